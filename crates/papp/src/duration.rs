//! Durations in the manifest.

use std::time::Duration;

/// The rule that [`parse`] checks, as the end of "`key` must …".
pub(crate) const RULE: &str = "be a time such as \"500ms\", \"30s\", \"5m\" or \"1h\", at most a day";

/// Parses a whole number with its unit. The duration must be more than zero and at most a day.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..unit_at].parse().ok()?;
    let duration = match &text[unit_at..] {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.checked_mul(60)?),
        "h" => Duration::from_secs(number.checked_mul(3600)?),
        _ => return None,
    };
    (!duration.is_zero() && duration <= Duration::from_secs(24 * 3600)).then_some(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_a_unit_up_to_a_day() {
        assert_eq!(parse("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse("90s"), Some(Duration::from_secs(90)));
        assert_eq!(parse("24h"), Some(Duration::from_secs(86_400)));
        for bad in
            ["", "5", "s", "0s", "25h", "1d", "1.5s", "-1s", "5 s", "99999999999999999999s", "9999999999999999999h"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
