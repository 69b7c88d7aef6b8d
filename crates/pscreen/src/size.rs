//! Sizes as docker's flags spell them.

/// Reads a size in bytes: a whole number above zero, with a unit of 1024s behind it (`k`, `m`, `g`, also `kb` or `KiB`)
/// or `b`.
#[must_use]
pub fn size(text: &str) -> Option<i64> {
    let lower = text.to_ascii_lowercase();
    let number = lower.strip_suffix("ib").or_else(|| lower.strip_suffix('b')).unwrap_or(&lower);
    let (number, factor) = match number.chars().last() {
        Some('k') => (&number[..number.len() - 1], 1_i64 << 10),
        Some('m') => (&number[..number.len() - 1], 1 << 20),
        Some('g') => (&number[..number.len() - 1], 1 << 30),
        _ => (number, 1),
    };
    number.trim_end().parse::<i64>().ok().and_then(|number| number.checked_mul(factor)).filter(|bytes| *bytes > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_of_1024s_and_nonsense_is_no_size() {
        for (text, bytes) in [("1", 1), ("12b", 12), ("64k", 64 << 10), ("512m", 512 << 20), ("1 GiB", 1 << 30)] {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for text in ["", "m", "0", "-1", "1.5q", "9999999999g", "1x", "1bb", "1ibib"] {
            assert_eq!(size(text), None, "{text}");
        }
    }
}
