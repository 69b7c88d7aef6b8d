//! The wrappings of a value: quotes, prefixes, base64, hex, gzip and zlib.

use std::io::Read as _;

use ::base64::Engine as _;
use ::base64::alphabet;
use ::base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use crate::value::LONGEST_SECRET;

/// Accepts any padding or none, and any bits that an encoder left at the end.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// The shortest text that is read as base64.
const SHORTEST_ENCODED: usize = 8;

/// The length of base64 of thirty bytes.
const SHORTEST_KEY: usize = 40;

/// The words that precede a credential in headers and in configuration. Their case does not matter.
const PREFIXES: [&str; 14] = [
    "authorization: bearer ",
    "authorization: basic ",
    "authorization: token ",
    "authorization: ",
    "bearer ",
    "basic ",
    "token ",
    "apikey ",
    "negotiate ",
    "private-token: ",
    "x-api-key: ",
    "x-auth-token: ",
    "base64:",
    "hex:",
];

/// Removes the quotes around a text.
pub(super) fn unquoted(text: &str) -> Option<&str> {
    ['"', '\'', '`']
        .iter()
        .find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote))
        .filter(|inside| !inside.is_empty())
}

/// Removes the word before a text that says what the text is.
pub(super) fn without_prefix(text: &str) -> Option<&str> {
    if let Some((head, data)) = text.split_once(";base64,")
        && head.starts_with("data:")
    {
        return Some(data.trim());
    }
    let prefix = PREFIXES.iter().find(|prefix| {
        text.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix)) && text.len() > prefix.len()
    })?;
    Some(text[prefix.len()..].trim()).filter(|rest| !rest.is_empty())
}

/// Whether a text is a header that holds a credential.
pub(super) fn is_header(text: &str) -> bool {
    let name = text.split_once(": ").map_or("", |(name, _)| name);
    ["authorization", "private-token", "x-api-key", "x-auth-token"].iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Bytes that were decoded.
pub(super) struct Decoded {
    pub(super) bytes: Zeroizing<Vec<u8>>,
    /// Whether the text is certainly an encoding, and not another text that can be decoded by chance.
    pub(super) sure: bool,
}

/// Decodes pairs of hex digits, with nothing, a colon, a blank, a dash or a line end between the bytes, or with the
/// dashes of a UUID.
pub(super) fn hex(text: &str) -> Option<Decoded> {
    let text = text.strip_prefix("0x").or_else(|| text.strip_prefix("\\x")).unwrap_or(text);
    let mut digits = Zeroizing::new(Vec::with_capacity(text.len()));
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F' => digits.push(byte),
            b':' | b'-' | b' ' | b'\n' | b'\r' | b'\t' if digits.len().is_multiple_of(2) => {}
            _ => return None,
        }
    }
    let is_number = digits.iter().all(u8::is_ascii_digit) && digits.len() < 32;
    if digits.len() < 16 || !digits.len().is_multiple_of(2) || is_number {
        return None;
    }
    let value = |digit: u8| u8::try_from(char::from(digit).to_digit(16).unwrap_or_default()).unwrap_or_default();
    let bytes = digits.as_chunks::<2>().0.iter().map(|[high, low]| value(*high) << 4 | value(*low)).collect();
    Some(Decoded { bytes: Zeroizing::new(bytes), sure: true })
}

/// Decodes base64 in either alphabet, with any padding, in one line or wrapped.
pub(super) fn base64(text: &str) -> Option<Decoded> {
    if text.len() < SHORTEST_ENCODED {
        return None;
    }
    let mut joined = Zeroizing::new(Vec::with_capacity(text.len()));
    for line in text.lines().map(str::trim) {
        joined.extend_from_slice(line.as_bytes());
    }
    // In some texts, the line ends or the padding are escaped.
    if joined.contains(&b'\\') || joined.contains(&b'%') {
        let plain =
            text.replace("\\n", "").replace("\\r", "").replace("%3D", "=").replace("%2B", "+").replace("%2F", "/");
        return (plain.len() < text.len()).then(|| base64(&Zeroizing::new(plain))).flatten();
    }
    let body = joined.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    let (padding, body) = (joined.len() - body, &joined[..body]);
    if padding > 2 || body.len() % 4 == 1 || !body.iter().all(|b| b.is_ascii_alphanumeric() || b"+/-_".contains(b)) {
        return None;
    }
    let is_url_safe = body.iter().any(|byte| b"-_".contains(byte));
    let bytes = Zeroizing::new(if is_url_safe { &URL_SAFE } else { &STANDARD }.decode(body).ok()?);
    let has = |class: fn(&u8) -> bool| body.iter().any(class);
    let mixed = has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase) && (has(u8::is_ascii_digit) || padding > 0);
    let whole = (body.len() + padding) % 4 == 0;
    // Tokens such as `ghp_…` consist of the same letters.
    let is_token = is_url_safe
        && body.iter().position(|byte| b"-_".contains(byte)).is_some_and(|at| {
            (2..=10).contains(&at) && body[..at].iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        });
    // A text of letters and digits alone may be a token, too. It is certainly an encoding only if it is as long as a
    // key.
    let signed = padding > 0 || body.iter().any(|byte| !byte.is_ascii_alphanumeric());
    let sure = mixed && whole && !is_token && (if signed { body.len() >= 16 } else { body.len() >= SHORTEST_KEY });
    Some(Decoded { bytes, sure })
}

/// Decodes base64 in the URL alphabet, which JSON Web Keys have.
pub(super) fn url_safe(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    URL_SAFE.decode(text.trim()).ok().map(Zeroizing::new)
}

/// Unpacks a gzip or zlib stream. Returns `None` if the content is longer than twice the longest secret.
pub(super) fn unpacked(bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let most = 2 * LONGEST_SECRET as u64;
    let mut content = Zeroizing::new(Vec::new());
    let read = match bytes {
        [0x1f, 0x8b, 8, ..] => flate2::read::MultiGzDecoder::new(bytes).take(most).read_to_end(&mut content),
        [first, second, ..] if is_zlib(*first, *second) => {
            flate2::read::ZlibDecoder::new(bytes).take(most).read_to_end(&mut content)
        }
        _ => return None,
    };
    (read.is_ok() && !content.is_empty() && (content.len() as u64) < most).then_some(content)
}

/// Whether two bytes begin a zlib stream (RFC 1950): deflate, and a header checksum that is a multiple of 31.
fn is_zlib(first: u8, second: u8) -> bool {
    first & 0x8f == 8 && (u16::from(first) << 8 | u16::from(second)).is_multiple_of(31) && second & 0x20 == 0
}
