//! Escapes: hex, percent, JSON, shell, XML.

use zeroize::Zeroizing;

use super::{Form, LONGEST_IN_EVERY_FORM, Maker, Shape};

const LOWER: &[u8; 16] = b"0123456789abcdef";
const UPPER: &[u8; 16] = b"0123456789ABCDEF";

fn push_hex(out: &mut Vec<u8>, byte: u8, digits: &[u8; 16]) {
    out.push(digits[usize::from(byte >> 4)]);
    out.push(digits[usize::from(byte & 15)]);
}

/// Encodes a value as hex digits in lower case.
pub(super) fn hex(value: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(separated_hex(value, LOWER, b"", b""))
}

fn separated_hex(value: &[u8], digits: &[u8; 16], before: &[u8], between: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() * (2 + before.len() + between.len()));
    for (at, byte) in value.iter().enumerate() {
        if at > 0 {
            out.extend_from_slice(between);
        }
        out.extend_from_slice(before);
        push_hex(&mut out, *byte, digits);
    }
    out
}

/// The separators between the bytes of a dump: nothing, the colons of `openssl`, blanks, the dashes of .NET, and
/// those of a list in C or JavaScript.
const BETWEEN_HEX: [&[u8]; 6] = [b"", b":", b" ", b"-", b", 0x", b",0x"];

pub(super) fn add_hex(made: &mut Maker, value: &[u8]) {
    for digits in [LOWER, UPPER] {
        for between in BETWEEN_HEX {
            if between.is_empty() || value.len() <= LONGEST_IN_EVERY_FORM {
                made.add_shape(Shape::wrapped(Form::Hex, separated_hex(value, digits, b"", between)));
            }
        }
        if value.len() <= LONGEST_IN_EVERY_FORM {
            made.add(Form::HexEscaped, separated_hex(value, digits, b"\\x", b""));
        }
    }
}

pub(super) fn add_decimal(made: &mut Maker, value: &[u8]) {
    for between in [&b","[..], b", "] {
        let mut out = Vec::with_capacity(value.len() * 5);
        for (at, byte) in value.iter().enumerate() {
            if at > 0 {
                out.extend_from_slice(between);
            }
            out.extend_from_slice(byte.to_string().as_bytes());
        }
        made.add_shape(Shape::wrapped(Form::Decimal, out));
    }
}

/// For each writer of percent escapes, the characters that it does not escape, besides letters and digits.
const LEFT_BY_PERCENT: [&[u8]; 6] = [
    b"",                     // nothing but letters and digits
    b"-_.~",                 // the unreserved characters of RFC 3986: the strict component encoding
    b"-_.~!*'()",            // JavaScript's encodeURIComponent
    b"-_.~!*'();,/?:@&=+$#", // the fewest escapes: JavaScript's encodeURI
    b"-_.~$&+,;=",           // user information of a URL, as Go writes it
    b"-_.~/",                // paths, as Python's quote writes them
];

pub(super) fn add_percent(made: &mut Maker, value: &[u8]) {
    for digits in [UPPER, LOWER] {
        for left in LEFT_BY_PERCENT {
            made.add(Form::Percent, percent(value, digits, |b| b.is_ascii_alphanumeric() || left.contains(&b), false));
        }
        // application/x-www-form-urlencoded, as browsers and as Go and Python write it.
        made.add(Form::Percent, percent(value, digits, |b| b.is_ascii_alphanumeric() || b"*-._".contains(&b), true));
        made.add(Form::Percent, percent(value, digits, |b| b.is_ascii_alphanumeric() || b"-._~".contains(&b), true));
        made.add(Form::Percent, percent(value, digits, |_| false, false));
    }
}

fn percent(value: &[u8], digits: &[u8; 16], keep: impl Fn(u8) -> bool, plus_for_blank: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() * 3);
    for byte in value {
        if keep(*byte) {
            out.push(*byte);
        } else if plus_for_blank && *byte == b' ' {
            out.push(b'+');
        } else {
            out.push(b'%');
            push_hex(&mut out, *byte, digits);
        }
    }
    out
}

/// The characters that a JSON writer escapes although it need not.
#[derive(Clone, Copy)]
struct JsonWriter {
    /// `<`, `>`, `&` and the line separators, as Go does by default.
    html: bool,
    /// `/`, as PHP does.
    slash: bool,
    /// Everything beyond ASCII, as Python and PHP do.
    ascii: bool,
    /// All characters, with these hex digits.
    everything: Option<&'static [u8; 16]>,
}

pub(super) fn add_json(made: &mut Maker, text: &str) {
    for bits in 0..8_u8 {
        let writer = JsonWriter { html: bits & 1 > 0, slash: bits & 2 > 0, ascii: bits & 4 > 0, everything: None };
        made.add(Form::Json, json(text, writer));
    }
    if text.len() > LONGEST_IN_EVERY_FORM {
        return;
    }
    for digits in [LOWER, UPPER] {
        made.add(
            Form::Json,
            json(text, JsonWriter { html: false, slash: false, ascii: false, everything: Some(digits) }),
        );
    }
    for html in [false, true] {
        let writer = JsonWriter { html, slash: false, ascii: false, everything: None };
        // The first pass writes whole characters only, so its result is text.
        if let Ok(once) = String::from_utf8(json(text, writer)).map(Zeroizing::new) {
            made.add(Form::JsonTwice, json(&once, writer));
        }
    }
}

fn json(text: &str, writer: JsonWriter) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 16);
    for c in text.chars() {
        let escape_name = match c {
            '"' | '\\' => Some(c),
            '\n' => Some('n'),
            '\r' => Some('r'),
            '\t' => Some('t'),
            '\u{8}' => Some('b'),
            '\u{c}' => Some('f'),
            '/' if writer.slash => Some('/'),
            _ => None,
        };
        let by_number = c < ' '
            || (writer.html && matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}'))
            || (writer.ascii && !c.is_ascii());
        match (writer.everything, escape_name) {
            (Some(digits), _) => push_units(&mut out, c, digits),
            (None, Some(name)) => {
                out.push(b'\\');
                push_char(&mut out, name);
            }
            (None, None) if by_number => push_units(&mut out, c, LOWER),
            (None, None) => push_char(&mut out, c),
        }
    }
    out
}

fn push_char(out: &mut Vec<u8>, c: char) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

fn push_units(out: &mut Vec<u8>, c: char, digits: &[u8; 16]) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        out.extend_from_slice(b"\\u");
        for byte in unit.to_be_bytes() {
            push_hex(out, byte, digits);
        }
    }
}

pub(super) fn add_shell(made: &mut Maker, value: &[u8]) {
    made.add(Form::Shell, replaced(value, |b| (b == b'\'').then_some(&b"'\\''"[..])));
    made.add(Form::Shell, replaced(value, |b| (b == b'\'').then_some(&b"'\"'\"'"[..])));
    made.add(Form::Shell, backslashed(value, |b| b"\"\\$`".contains(&b)));
    made.add(Form::Shell, backslashed(value, |b| b" \t\"\\$`'!*?[]{}()<>|&;#~^,=%@:".contains(&b)));
    made.add(Form::Shell, backslashed(value, |b| b" \t\"\\$`'!*?[]{}()<>|&;^,".contains(&b)));
    made.add(Form::Shell, ansi_c(value));
}

pub(super) fn add_quoted(made: &mut Maker, value: &[u8]) {
    for line_end in [&b"\n"[..], b"\\n"] {
        made.add(
            Form::Literal,
            replaced(value, |b| match b {
                b'\\' => Some(b"\\\\"),
                b'\'' => Some(b"\\'"),
                b'\n' => Some(line_end),
                _ => None,
            }),
        );
    }
    made.add(Form::Doubled, replaced(value, |b| (b == b'\'').then_some(&b"''"[..])));
    made.add(Form::Doubled, replaced(value, |b| (b == b'"').then_some(&b"\"\""[..])));
}

fn replaced<'a>(value: &[u8], by: impl Fn(u8) -> Option<&'a [u8]>) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + 16);
    for byte in value {
        match by(*byte) {
            Some(other) => out.extend_from_slice(other),
            None => out.push(*byte),
        }
    }
    out
}

fn backslashed(value: &[u8], escape: impl Fn(u8) -> bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + 16);
    for byte in value {
        if escape(*byte) {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out
}

/// Writes the inside of `$'…'`, as bash prints words that contain control characters.
fn ansi_c(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + 16);
    for byte in value {
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\r' => out.extend_from_slice(b"\\r"),
            0x1b => out.extend_from_slice(b"\\E"),
            b'\'' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            0..b' ' | 0x7f => {
                out.push(b'\\');
                out.extend([byte >> 6, byte >> 3 & 7, byte & 7].map(|digit| b'0' + digit));
            }
            _ => out.push(*byte),
        }
    }
    out
}

pub(super) fn add_xml(made: &mut Maker, text: &str) {
    // The spellings of the two quotes, by row: unescaped; only the double quote escaped (attributes of XML, PHP
    // before 8.1); the names of XML 1.0; Python's `html.escape`; Ruby's `CGI.escapeHTML`; Go's `html.EscapeString`;
    // PHP's `htmlspecialchars`.
    for (double, single) in [
        ("\"", "'"),
        ("&quot;", "'"),
        ("&quot;", "&apos;"),
        ("&quot;", "&#x27;"),
        ("&quot;", "&#39;"),
        ("&#34;", "&#39;"),
        ("&quot;", "&#039;"),
    ] {
        let mut out = Vec::with_capacity(text.len() + 16);
        for c in text.chars() {
            match c {
                '&' => out.extend_from_slice(b"&amp;"),
                '<' => out.extend_from_slice(b"&lt;"),
                '>' => out.extend_from_slice(b"&gt;"),
                '"' => out.extend_from_slice(double.as_bytes()),
                '\'' => out.extend_from_slice(single.as_bytes()),
                _ => push_char(&mut out, c),
            }
        }
        made.add(Form::Xml, out);
    }
    let by_number = |write: &dyn Fn(u32) -> String| {
        text.chars().flat_map(|c| Zeroizing::new(write(c as u32)).bytes().collect::<Vec<_>>()).collect::<Vec<u8>>()
    };
    made.add(Form::Xml, by_number(&|c| format!("&#{c};")));
    made.add(Form::Xml, by_number(&|c| format!("&#x{c:x};")));
    made.add(Form::Xml, by_number(&|c| format!("&#x{c:X};")));
}
