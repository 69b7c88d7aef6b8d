//! Numbers in words and files: decimal digits and nothing else.

/// Reads a decimal number of at most nine digits.
pub(crate) fn number(text: &[u8]) -> Option<u32> {
    if text.is_empty() || text.len() > 9 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0')))
}

/// Reads a port: 1 to 65535.
pub(crate) fn port(text: &[u8]) -> Option<u16> {
    number(text).and_then(|number| u16::try_from(number).ok()).filter(|port| *port != 0)
}
