//! Sizes in the spelling of docker's flags.

/// Reads a size in bytes: a number, followed by nothing, by `b`, or by a unit of powers of 1024 (`k`, `m`, `g`, `t`,
/// also as `kb` or `KiB`). Like docker, it cuts a fraction of a unit to whole bytes.
#[must_use]
pub fn size(text: &str) -> Option<i64> {
    let lower = text.to_ascii_lowercase();
    let number = lower.strip_suffix("ib").or_else(|| lower.strip_suffix('b')).unwrap_or(&lower);
    let (number, factor) = match number.chars().last() {
        Some('k') => (&number[..number.len() - 1], 1_i64 << 10),
        Some('m') => (&number[..number.len() - 1], 1 << 20),
        Some('g') => (&number[..number.len() - 1], 1 << 30),
        Some('t') => (&number[..number.len() - 1], 1 << 40),
        _ => (number, 1),
    };
    let (whole, fraction) = number.trim_end().split_once('.').unwrap_or((number.trim_end(), ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || fraction.len() > 9 || !digits(whole) || !digits(fraction) {
        return None;
    }
    let parts = i128::from(factor) * format!("{fraction:0<9}").parse::<i128>().ok()? / 1_000_000_000;
    whole.parse::<i64>().ok()?.checked_mul(factor)?.checked_add(i64::try_from(parts).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_of_1024s_and_nonsense_is_no_size() {
        for (text, bytes) in [("1", 1), ("12b", 12), ("64k", 64 << 10), ("512m", 512 << 20), ("1 GiB", 1 << 30)] {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for (text, bytes) in [("1.5g", 3 << 29), ("0.25k", 256), ("1.9", 1), ("0", 0), ("1t", 1 << 40)] {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for text in ["", "m", ".5m", "1.5.5m", "-1", "1.5q", "9999999999g", "1.+5g", "1x", "1bb", "1ibib"] {
            assert_eq!(size(text), None, "{text}");
        }
    }
}
