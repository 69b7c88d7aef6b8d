//! The encoded forms of a canary, computed without code of the product.
//!
//! The product computes which characters of base64 a value determines. This module finds them by observation: it
//! encodes the value between two different surroundings, and keeps the characters that are the same in both.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

/// The length of the shortest form that is searched for. Shorter ones occur in innocent files by chance.
const SHORTEST: usize = 8;

/// The characters that `encodeURIComponent` and Go's `url.QueryEscape` leave unencoded, beside letters and digits.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// The characters that `encodeURI` leaves unencoded.
const MINIMAL: &AsciiSet = &COMPONENT
    .remove(b'!')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b';')
    .remove(b',')
    .remove(b'/')
    .remove(b'?')
    .remove(b':')
    .remove(b'@')
    .remove(b'&')
    .remove(b'=')
    .remove(b'+')
    .remove(b'$')
    .remove(b'#');

/// A function that makes base64 of bytes: either the characters to search for, or whole texts.
type Base64 = fn(&[u8]) -> Vec<Vec<u8>>;

/// Returns every form of a value to search for, with the form's name.
pub(crate) fn shapes(value: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    encoded(value, base64_anywhere)
}

/// Returns a value in every encoding, as a file may contain it.
pub(crate) fn texts(value: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    encoded(value, base64_with_neighbours)
}

fn encoded(value: &[u8], base64: Base64) -> Vec<(&'static str, Vec<u8>)> {
    let trimmed = value.trim_ascii();
    let mut shapes = vec![("as written", trimmed.to_vec())];
    for line in lines(trimmed) {
        shapes.push(("a line of it", line.to_vec()));
    }
    encoded_once(trimmed, base64, &mut shapes);
    if let Ok(text) = std::str::from_utf8(trimmed) {
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        shapes.extend(nested(base64, "base64 of UTF-16", "base64url of UTF-16", &little));
        shapes.push(("UTF-16 LE", little));
        shapes.push(("UTF-16 BE", big));
        as_json(text, &mut shapes);
    }
    shapes.extend(nested(base64, "base64 of base64", "base64url of base64", STANDARD.encode(trimmed).as_bytes()));
    shapes.extend(nested(base64, "base64 of hex", "base64url of hex", hex(trimmed, "", "").as_bytes()));
    shapes.retain(|(_, bytes)| bytes.len() >= SHORTEST);
    shapes
}

/// Returns the lines of a value that are long enough to be random, without the marker lines of PEM.
fn lines(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let several = value.contains(&b'\n');
    value.split(|b| *b == b'\n').filter(move |line| several && line.len() >= 16 && !line.starts_with(b"-----"))
}

fn encoded_once(value: &[u8], base64: Base64, shapes: &mut Vec<(&'static str, Vec<u8>)>) {
    shapes.extend(base64(value).into_iter().map(|bytes| ("base64", bytes)));
    for width in [64, 76] {
        let whole = STANDARD.encode(value);
        let rows: Vec<&[u8]> = whole.as_bytes().chunks(width).collect();
        if rows.len() > 1 {
            shapes.push(("base64, wrapped", rows.join(&b'\n')));
            shapes.push(("base64, wrapped and escaped", rows.join(&b"\\n"[..])));
        }
    }
    for (before, between) in [("", ""), ("", ":"), ("", " "), ("\\x", "")] {
        let lower = hex(value, before, between);
        shapes.push(("hex, upper", lower.to_uppercase().replace("\\X", "\\x").into_bytes()));
        shapes.push(("hex", lower.into_bytes()));
    }
    for (name, set) in
        [("percent, all but letters and digits", NON_ALPHANUMERIC), ("percent", COMPONENT), ("percent", MINIMAL)]
    {
        shapes.push((name, percent_encode(value, set).to_string().into_bytes()));
    }
    let form = percent_encode(value, COMPONENT).to_string().replace("%20", "+");
    shapes.push(("percent", form.into_bytes()));
    let each: String = value.iter().map(|byte| format!("%{byte:02x}")).collect();
    shapes.push(("percent, every byte", each.to_uppercase().into_bytes()));
    shapes.push(("percent, every byte", each.into_bytes()));
    let text = String::from_utf8_lossy(value);
    shapes.push(("shell", text.replace('\'', r"'\''").into_bytes()));
    let mut double = text.replace('\\', r"\\");
    for special in ['"', '$', '`'] {
        double = double.replace(special, &format!("\\{special}"));
    }
    shapes.push(("shell", double.into_bytes()));
    let xml = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    shapes.push(("XML", xml.replace('"', "&quot;").into_bytes()));
    shapes.push(("XML", xml.into_bytes()));
}

/// Writes a text as different JSON writers do: those of serde, Go, Python and PHP, and each of them applied twice.
fn as_json(text: &str, shapes: &mut Vec<(&'static str, Vec<u8>)>) {
    let plain = inside_quotes(text);
    let go = plain.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
    let ascii = |text: &str| {
        text.chars().fold(String::new(), |mut out, c| {
            if c.is_ascii() {
                out.push(c);
            } else {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            out
        })
    };
    let all: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
    shapes.push(("JSON twice", inside_quotes(&plain).into_bytes()));
    shapes.push(("JSON twice", inside_quotes(&go).into_bytes()));
    shapes.push(("JSON, ASCII", ascii(&plain).into_bytes()));
    shapes.push(("JSON, ASCII", ascii(&plain).replace('/', "\\/").into_bytes()));
    shapes.push(("JSON, every character", all.into_bytes()));
    shapes.push(("JSON", go.into_bytes()));
    shapes.push(("JSON", plain.into_bytes()));
}

fn inside_quotes(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// Returns the characters of base64 that the value determines, whatever comes before and after it, in both alphabets
/// and all three alignments.
fn base64_anywhere(value: &[u8]) -> Vec<Vec<u8>> {
    let between = |fill: u8, before: usize| {
        let mut whole = vec![fill; before];
        whole.extend_from_slice(value);
        whole.extend([fill; 3]);
        whole
    };
    let mut found: Vec<Vec<u8>> = Vec::new();
    for engine in [&STANDARD, &URL_SAFE] {
        for before in 3..6 {
            let dark = engine.encode(between(0x00, before));
            let light = engine.encode(between(0xff, before));
            let same: Vec<bool> = dark.bytes().zip(light.bytes()).map(|(a, b)| a == b).collect();
            // The padding at the end is the same in both texts, too, but does not belong to the value. Only the first
            // run of equal characters counts.
            let first = same.iter().position(|same| *same).unwrap_or(same.len());
            let length = same[first..].iter().take_while(|same| **same).count();
            let core = dark.as_bytes()[first..first + length].to_vec();
            if !found.contains(&core) {
                found.push(core);
            }
        }
    }
    found
}

/// Returns base64 of the value between other bytes.
fn base64_with_neighbours(value: &[u8]) -> Vec<Vec<u8>> {
    let mut texts = Vec::new();
    for engine in [&STANDARD, &URL_SAFE] {
        for before in 0..3 {
            for after in 0..3 {
                let whole = [&vec![b'='; before], value, &vec![0xbe; after]].concat();
                texts.push(engine.encode(whole).into_bytes());
            }
        }
    }
    texts
}

/// Returns base64 of an encoded text. A result with characters of the URL alphabet gets the name `url`.
fn nested(
    base64: Base64,
    standard: &'static str,
    url: &'static str,
    encoded: &[u8],
) -> impl Iterator<Item = (&'static str, Vec<u8>)> + use<> {
    base64(encoded)
        .into_iter()
        .map(move |bytes| (if bytes.iter().any(|byte| b"-_".contains(byte)) { url } else { standard }, bytes))
}

fn hex(value: &[u8], before: &str, between: &str) -> String {
    value.iter().map(|byte| format!("{before}{byte:02x}")).collect::<Vec<_>>().join(between)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_recognized_inside_any_surroundings() {
        let value = b"correct horse battery";
        let cores: Vec<Vec<u8>> = base64_anywhere(value);
        for before in 0..7_u8 {
            for after in 0..4_u8 {
                let mut whole: Vec<u8> = (0..before).map(|byte| byte.wrapping_mul(37)).collect();
                whole.extend_from_slice(value);
                whole.extend((0..after).map(|byte| byte.wrapping_mul(91)));
                let text = STANDARD.encode(whole);
                assert!(
                    cores.iter().any(|core| text.as_bytes().windows(core.len()).any(|window| window == core)),
                    "{before} bytes before, {after} after"
                );
            }
        }
    }

    #[test]
    fn every_shape_of_a_plain_value_is_as_known_from_elsewhere() {
        let shapes = shapes("pass word/é".as_bytes());
        let has = |text: &str| shapes.iter().any(|(_, bytes)| bytes == text.as_bytes());
        assert!(has("pass%20word/%C3%A9") && has("pass+word%2F%C3%A9"), "percent");
        assert!(has("7061737320776f72642fc3a9") && has("70:61:73:73:20:77:6f:72:64:2f:c3:a9"), "hex");
        assert!(has("pass word/\\u00e9") && has("pass word\\/\\u00e9"), "JSON");
        assert!(has("cGFzcyB3b3JkL8Op"), "base64");
    }
}
