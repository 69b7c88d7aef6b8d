//! Every form of a secret is found. The forms are written by encoders that are not part of the product, and each text
//! contains the secret in exactly one form. Texts that only look like a form are not found.

mod seen;

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use ptest::Oracle;

use seen::{needles, seen};

/// A row of the matrix: the name of the form, and the text.
type Row = (String, Vec<u8>);

fn row(name: impl Into<String>, text: impl Into<Vec<u8>>) -> Row {
    (name.into(), text.into())
}

/// Wraps a text into lines of `width` characters, joined by `between`: a line break and indentation.
fn wrapped(text: &str, width: usize, between: &str) -> String {
    let lines: Vec<&str> =
        text.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).expect("base64 is ASCII")).collect();
    lines.join(between)
}

fn hex(bytes: &[u8], before: &str, between: &str) -> String {
    bytes.iter().map(|byte| format!("{before}{byte:02x}")).collect::<Vec<_>>().join(between)
}

fn each_byte(bytes: &[u8], write: impl Fn(u8) -> String) -> String {
    bytes.iter().map(|byte| write(*byte)).collect()
}

fn each_unit(text: &str, write: impl Fn(u16) -> String) -> String {
    text.encode_utf16().map(write).collect()
}

fn json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// Writes percent escapes for all bytes but letters, digits and the characters in `left`.
fn percent(bytes: &[u8], left: &str) -> String {
    each_byte(bytes, |byte| {
        let c = char::from(byte);
        if c.is_ascii_alphanumeric() || left.contains(c) { c.to_string() } else { format!("%{byte:02X}") }
    })
}

/// Puts the digits after each percent sign in lower case.
fn lower_escapes(text: &str) -> String {
    let mut pieces = text.split('%');
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |out, piece| out + "%" + &piece[..2].to_lowercase() + &piece[2..])
}

fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes).collect()
}

fn gzip(bytes: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(level));
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory takes everything")
}

/// Makes texts that contain base64 of these bytes.
fn base64_rows(what: &str, bytes: &[u8]) -> Vec<Row> {
    let mut rows = Vec::new();
    for before in 0..3 {
        for after in 0..3 {
            let whole = [&b"u:"[..before], bytes, &b"@h"[..after]].concat();
            let around = format!("{what}, {before} bytes before and {after} behind");
            rows.push(row(format!("{around}, standard"), STANDARD.encode(&whole)));
            rows.push(row(format!("{around}, no padding"), STANDARD_NO_PAD.encode(&whole)));
            rows.push(row(format!("{around}, URL"), URL_SAFE.encode(&whole)));
            rows.push(row(format!("{around}, URL, no padding"), URL_SAFE_NO_PAD.encode(&whole)));
        }
    }
    let text = STANDARD.encode([b"user=x;", bytes, b";host=y"].concat());
    for width in [15, 16, 20, 24, 33, 40, 60, 64, 70, 72, 76, 80] {
        for (how, between) in [
            ("LF", "\n"),
            ("CRLF", "\r\n"),
            ("indented", "\n        "),
            ("tabs", "\r\n\t\t"),
            ("within JSON", "\\n"),
            ("within JSON, CRLF", "\\r\\n"),
            ("within JSON twice", "\\\\n"),
            ("continued", "\\\n    "),
        ] {
            rows.push(row(format!("{what}, wrapped at {width}, {how}"), wrapped(&text, width, between)));
        }
    }
    let whole = STANDARD.encode(bytes);
    rows.push(row(format!("{what}, slashes escaped"), whole.replace('/', "\\/")));
    rows.push(row(
        format!("{what}, signs escaped in JSON"),
        whole.replace('+', "\\u002b").replace('=', "\\u003d").replace('/', "\\u002f"),
    ));
    rows.push(row(format!("{what}, signs escaped in a URL"), percent(whole.as_bytes(), "")));
    rows.push(row(
        format!("{what}, signs escaped in a URL, lower case"),
        lower_escapes(&percent(whole.as_bytes(), "")),
    ));
    rows.push(row(format!("{what}, signs escaped in HTML"), whole.replace('+', "&#43;").replace('=', "&#61;")));
    rows
}

/// Lists the encodings that any value has.
fn rows_of_bytes(value: &[u8]) -> Vec<Row> {
    let mut rows = base64_rows("base64", value);
    rows.push(row("as written", value));
    let plain = hex(value, "", "");
    for (case, convert) in [
        ("lower", str::to_lowercase as fn(&str) -> String),
        ("upper", |text| text.to_uppercase().replace("\\X", "\\x").replace("0X", "0x")),
    ] {
        for (name, before, between) in [
            ("plain", "", ""),
            ("colons", "", ":"),
            ("blanks", "", " "),
            ("dashes", "", "-"),
            ("a list", "0x", ", "),
            ("a tight list", "0x", ","),
            ("\\x", "\\x", ""),
        ] {
            rows.push(row(format!("hex, {case}, {name}"), convert(&hex(value, before, between))));
        }
        for width in [32, 60, 64] {
            rows.push(row(format!("hex, {case}, wrapped at {width}"), convert(&wrapped(&plain, width, "\n"))));
        }
        let openssl: Vec<String> = value.chunks(15).map(|line| hex(line, "", ":")).collect();
        rows.push(row(format!("hex, {case}, as openssl shows it"), convert(&openssl.join(":\n    "))));
        let list: Vec<String> = value.chunks(12).map(|line| hex(line, "0x", ", ")).collect();
        rows.push(row(format!("hex, {case}, as xxd -i writes it"), convert(&list.join(",\n  "))));
        let dump: Vec<String> = value.chunks(16).map(|line| hex(line, "", " ")).collect();
        rows.push(row(format!("hex, {case}, in lines of 16"), convert(&dump.join(" \n"))));
    }
    // The value is one of a chart's values, in the format in which Helm stores a release.
    let chart = [
        &b"{\"name\":\"shop\",\"values\":{\"key\":\""[..],
        value,
        b"\"},\"manifest\":\"",
        &b"kind: Secret\n".repeat(900),
        b"\"}",
    ]
    .concat();
    for (name, level) in [("fast", 1), ("default", 6), ("best", 9)] {
        let text = STANDARD.encode(gzip(&chart, level));
        rows.push(row(format!("base64 of gzip, {name}, wrapped"), wrapped(&text, 76, "\n  ")));
        rows.push(row(format!("base64 of gzip, {name}, no padding"), text.trim_end_matches('=')));
        rows.push(row(format!("base64 of gzip, {name}, encoded once more"), STANDARD.encode(&text)));
        rows.push(row(format!("base64 of gzip, {name}"), text));
    }
    let escapes = [
        ("letters and digits", ""),
        ("unreserved", "-_.~"),
        ("encodeURIComponent", "-_.~!*'()"),
        ("minimal", "-_.~!*'();,/?:@&=+$#"),
        ("path", "-_.~/"),
    ];
    for (name, left) in escapes {
        let text = percent(value, left);
        rows.push(row(format!("percent, {name}, lower case"), lower_escapes(&text)));
        rows.push(row(format!("percent, {name}"), text));
    }
    for (name, left) in [("form, browser", "*-._"), ("form, Go", "-._~")] {
        let text = percent(value, left).replace("%20", "+");
        rows.push(row(format!("percent, {name}, lower case"), lower_escapes(&text)));
        rows.push(row(format!("percent, {name}"), text));
    }
    rows.push(row("percent, full", each_byte(value, |byte| format!("%{byte:02X}"))));
    rows.push(row("percent, full, lower case", each_byte(value, |byte| format!("%{byte:02x}"))));
    rows.extend(base64_rows("base64 of base64", STANDARD.encode(value).as_bytes()));
    rows.extend(base64_rows("base64 of hex", plain.as_bytes()));
    rows
}

/// Lists the further encodings of a text.
fn rows_of_text(text: &str) -> Vec<Row> {
    let plain = json(text);
    let go = plain.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
    let ascii = |text: &str| {
        text.chars().fold(String::new(), |out, c| {
            let mut utf8 = [0; 4];
            let c: &str = c.encode_utf8(&mut utf8);
            out + &if c.is_ascii() { c.to_owned() } else { each_unit(c, |unit| format!("\\u{unit:04x}")) }
        })
    };
    let entities = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let double = text.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$").replace('`', "\\`");
    let mut rows = vec![
        row("JSON", plain.clone()),
        row("JSON, Go", go.clone()),
        row("JSON, escaped slash", plain.replace('/', "\\/")),
        row("JSON, ASCII", ascii(&plain)),
        row("JSON, PHP", ascii(&plain).replace('/', "\\/")),
        row("JSON, all escaped", each_unit(text, |unit| format!("\\u{unit:04x}"))),
        row("JSON, all escaped, upper case", each_unit(text, |unit| format!("\\u{unit:04X}"))),
        row("JSON twice", json(&plain)),
        row("JSON twice, Go", json(&go)),
        row("XML", entities.clone()),
        row("XML, quotes", entities.replace('"', "&quot;").replace('\'', "&apos;")),
        row("HTML, Python", entities.replace('"', "&quot;").replace('\'', "&#x27;")),
        row("HTML, Go", entities.replace('"', "&#34;").replace('\'', "&#39;")),
        row("HTML, all by number", text.chars().map(|c| format!("&#{};", c as u32)).collect::<String>()),
        row("HTML, all by number, hex", text.chars().map(|c| format!("&#x{:x};", c as u32)).collect::<String>()),
        row("shell, single quotes", text.replace('\'', "'\\''")),
        row("shell, single quotes, Python", text.replace('\'', "'\"'\"'")),
        row("shell, double quotes", double),
        row("SQL", text.replace('\'', "''")),
        row("CSV", text.replace('"', "\"\"")),
    ];
    for shift in 0..4 {
        let odd = vec![b'#'; shift];
        rows.push(row(format!("UTF-16 LE at {shift}"), [odd.clone(), utf16(text, u16::to_le_bytes)].concat()));
        rows.push(row(format!("UTF-16 BE at {shift}"), [odd, utf16(text, u16::to_be_bytes)].concat()));
    }
    rows.extend(base64_rows("base64 of UTF-16", &utf16(text, u16::to_le_bytes)));
    rows
}

/// Lists the further encodings of a value of several lines.
fn rows_of_lines(text: &str) -> Vec<Row> {
    let trimmed = text.trim_end();
    let indented = |by: &str| trimmed.replace('\n', &format!("\n{by}"));
    let crlf = text.replace('\n', "\r\n");
    let mut rows = vec![
        row("trimmed", trimmed),
        row("CRLF", crlf.clone()),
        row("CRLF, trimmed", crlf.trim_end()),
        row("YAML block", indented("    ")),
        row("YAML block, CRLF", indented("    ").replace('\n', "\r\n")),
        row("indented by tabs", indented("\t\t")),
        row("double spaced", trimmed.replace('\n', "\n\n")),
        row("JSON, CRLF", json(&crlf)),
        row("base64 of CRLF", STANDARD.encode(&crlf)),
    ];
    for (at, line) in trimmed.lines().enumerate().filter(|(_, line)| line.len() > 30 && !line.starts_with('-')) {
        rows.push(row(format!("line {at}"), line));
    }
    rows
}

/// Lists the further encodings of a private key.
fn rows_of_key(text: &str) -> Vec<Row> {
    let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(&body).expect("a key's body is base64");
    let mut rows = vec![
        row("one line", body.clone()),
        row("slashes escaped", body.replace('/', "\\/")),
        row("the body's signs in a URL", percent(body.as_bytes(), "")),
        row("DER", der.clone()),
    ];
    for width in [15, 20, 38, 48, 60, 70, 76, 100] {
        for between in ["\n", "\r\n", "\n      ", "\\n", "\\r\\n", "\\\n"] {
            rows.push(row(format!("wrapped at {width} with {between:?}"), wrapped(&body, width, between)));
        }
    }
    rows
}

/// Checks that each row is found. The surroundings have characters that no encoder writes, and put the row at every
/// alignment of the search.
fn check(value: &[u8], rows: &[Row]) {
    let set = needles(value);
    for (at, (name, text)) in rows.iter().enumerate() {
        let before = vec![b'('; at % 16];
        let file = [&before, b" \"".as_slice(), text, b"\" ", &[b')'; 3000]].concat();
        assert!(!seen(&set, &file, usize::MAX >> 1).is_empty(), "{name}: not found");
        for chunk in [61, 1000] {
            assert!(!seen(&set, &file, chunk).is_empty(), "{name}: not found in chunks of {chunk}");
        }
    }
    let names: std::collections::HashSet<&String> = rows.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), rows.len(), "each row is one way");
}

#[test]
fn a_token_is_found_in_every_form() {
    let oracle = Oracle::new();
    let token = oracle.token("TOKEN");
    let rows = [rows_of_bytes(token.value()), rows_of_text(token.text())].concat();
    assert!(rows.len() > 500, "{}", rows.len());
    check(token.value(), &rows);
}

#[test]
fn a_value_that_every_encoder_changes_is_found_in_every_form() {
    let oracle = Oracle::new();
    let value = oracle.punctuated("VALUE");
    check(value.value(), &[rows_of_bytes(value.value()), rows_of_text(value.text())].concat());
}

#[test]
fn bytes_that_are_no_text_are_found_in_every_form_s11() {
    let value: Vec<u8> = (0..48_u8).map(|at| at.wrapping_mul(83) ^ 0xa5).collect();
    check(&value, &rows_of_bytes(&value));
}

#[test]
fn lines_are_found_in_every_form_s10() {
    let oracle = Oracle::new();
    let value = oracle.multi_line("LINES");
    let trimmed = value.text().trim_end();
    check(value.value(), &[rows_of_bytes(value.value()), rows_of_text(trimmed), rows_of_lines(value.text())].concat());
}

#[test]
fn a_key_is_found_in_every_form_s10() {
    let oracle = Oracle::new();
    let key = oracle.key("KEY");
    let mut rows = [rows_of_bytes(key.value()), rows_of_lines(key.text())].concat();
    rows.extend(rows_of_key(key.text()));
    check(key.value(), &rows);
}

/// The shortest value that is searched in every form.
#[test]
fn eight_bytes_are_found_in_every_form_s6() {
    let value = b"q7/Xz+k9";
    let rows: Vec<Row> = [rows_of_bytes(value), rows_of_text("q7/Xz+k9")]
        .concat()
        .into_iter()
        // A line break at 15 or 16 characters leaves pieces that are too short for the search.
        .filter(|(name, _)| !name.contains("wrapped at 1"))
        .collect();
    check(value, &rows);
}

/// Lists texts with one bit or one character of the value changed, in every encoder's form. These are other values,
/// so they must not be found.
fn near(value: &str) -> Vec<Row> {
    let first = |by: u8| format!("{}{}", char::from(value.as_bytes()[0] ^ by), &value[1..]);
    let last = |by: u8| {
        let (rest, last) = value.split_at(value.len() - 1);
        format!("{rest}{}", char::from(last.as_bytes()[0] ^ by))
    };
    let mut rows = Vec::new();
    // The first and the last character of base64 share bits with their neighbours; each bit of the value itself must
    // count.
    for bit in 0..7 {
        for (end, other) in [("first", first(1 << bit)), ("last", last(1 << bit))] {
            for alignment in 0..3 {
                let text = [&b"u:"[..alignment], other.as_bytes(), b"@h"].concat();
                rows.push(row(
                    format!("base64, bit {bit} of the {end} byte, alignment {alignment}"),
                    STANDARD.encode(&text),
                ));
                rows.push(row(
                    format!("base64 in URLs, bit {bit} of the {end} byte, alignment {alignment}"),
                    URL_SAFE.encode(&text),
                ));
            }
            rows.push(row(format!("hex, bit {bit} of the {end} byte"), hex(other.as_bytes(), "", "")));
            rows.push(row(format!("as written, bit {bit} of the {end} byte"), other.clone()));
            rows.push(row(format!("UTF-16, bit {bit} of the {end} byte"), utf16(&other, u16::to_le_bytes)));
        }
    }
    let swapped: String =
        value.chars().map(|c| if c.is_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() }).collect();
    let encoded = STANDARD.encode(value);
    let middle = value.len() / 2;
    rows.extend([
        row("another case", swapped),
        row("upper case", value.to_uppercase()),
        row("lower case", value.to_lowercase()),
        row("a prefix", &value[..value.len() - 1]),
        row("a suffix", &value[1..]),
        row("a half", &value[..middle]),
        row("the other half", &value[middle..]),
        row("reversed", value.chars().rev().collect::<String>()),
        row("characters between", value.chars().flat_map(|c| [c, '.']).collect::<String>()),
        row("blanks between", value.chars().flat_map(|c| [c, ' ']).collect::<String>()),
        row("a blank within", format!("{} {}", &value[..middle], &value[middle..])),
        row("a line break within", format!("{}\n{}", &value[..middle], &value[middle..])),
        row("base64 with a blank within", format!("{} {}", &encoded[..20], &encoded[20..])),
        row("base64 with a character within", format!("{}.{}", &encoded[..20], &encoded[20..])),
        row("base64 with a line of other text within", format!("{}\n# x\n{}", &encoded[..20], &encoded[20..])),
        row("base64 in another case", encoded.to_lowercase()),
        row("base64 reversed", encoded.chars().rev().collect::<String>()),
        row("base64 cut short", &encoded[..encoded.len() - 4]),
        row("base64 without its beginning", &encoded[1..]),
        row("hex cut short", &hex(value.as_bytes(), "", "")[2..]),
        row("hex with a nibble too few", &hex(value.as_bytes(), "", "")[1..]),
        row("SHA-256 in hex", &ptest::sha256(value.as_bytes())["sha256:".len()..]),
        row("SHA-256 in base64", STANDARD.encode(ptest::sha256(value.as_bytes()))),
        row("two files, one half each", [&value.as_bytes()[..middle], &[0; 512], &value.as_bytes()[middle..]].concat()),
        row("percent, cut short", percent(&value.as_bytes()[..value.len() - 1], "")),
        row("JSON, one character other", each_unit(&last(1), |unit| format!("\\u{unit:04x}"))),
        row(
            "rot13",
            value
                .chars()
                .map(|c| match c {
                    'a'..='m' | 'A'..='M' => char::from(c as u8 + 13),
                    'n'..='z' | 'N'..='Z' => char::from(c as u8 - 13),
                    other => other,
                })
                .collect::<String>(),
        ),
    ]);
    rows
}

#[test]
fn near_misses_stay_silent() {
    let oracle = Oracle::new();
    let token = oracle.token("TOKEN");
    let set = needles(token.value());
    let rows = near(token.text());
    assert!(rows.len() > 150, "{}", rows.len());
    for (at, (name, text)) in rows.iter().enumerate() {
        let file = [&vec![b'('; at % 16], b" \"".as_slice(), text, b"\" "].concat();
        assert_eq!(seen(&set, &file, 61), Vec::<&str>::new(), "{name}");
    }
}

#[test]
fn another_key_with_the_same_header_is_silent() {
    let oracle = Oracle::new();
    let (ours, other) = (oracle.key("OURS"), oracle.key("OTHER"));
    let set = needles(ours.value());
    for (name, text) in [rows_of_bytes(other.value()), rows_of_lines(other.text()), rows_of_key(other.text())].concat()
    {
        assert_eq!(seen(&set, &text, 977), Vec::<&str>::new(), "{name}");
    }
    // One line of the key's body has its last character changed.
    let line = ours.text().lines().nth(1).expect("a body");
    let changed = format!("{}{}", &line[..63], if line.ends_with('A') { 'B' } else { 'A' });
    assert_eq!(seen(&set, changed.as_bytes(), 977), Vec::<&str>::new());
}

proptest! {
    /// Base64 of a value is found whatever surrounds it and however it is wrapped. It is not found if one bit of the
    /// value is changed.
    #[test]
    fn base64_is_exact_to_the_bit(
        value in proptest::collection::vec(any::<u8>(), 15..60),
        before in proptest::collection::vec(any::<u8>(), 0..5),
        after in proptest::collection::vec(any::<u8>(), 0..5),
        width in 15_usize..90,
        indentation in 0_usize..30,
        bit in 0_usize..480,
        url in any::<bool>(),
        chunk in 1_usize..100,
    ) {
        prop_assume!(value.trim_ascii().len() == value.len());
        prop_assume!(value.iter().collect::<std::collections::HashSet<_>>().len() > 8);
        let set = needles(&value);
        let encode = |value: &[u8]| {
            let whole = [&before, value, &after].concat();
            let text = if url { URL_SAFE.encode(whole) } else { STANDARD.encode(whole) };
            wrapped(&text, width, &format!("\n{}", " ".repeat(indentation)))
        };
        prop_assert!(!seen(&set, encode(&value).as_bytes(), chunk).is_empty());
        let mut other = value.clone();
        let bit = bit % (8 * other.len());
        other[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(seen(&set, encode(&other).as_bytes(), chunk).is_empty());
    }

    /// Text that has nothing to do with a secret is not found, in particular text in the alphabets of encoders.
    #[test]
    fn other_text_is_silent(text in "[A-Za-z0-9+/=\\n \\\\%:u-]{0,400}") {
        let set = needles(b"kq7Zp2Lw9Xv4Bn6Tr1Ys");
        prop_assert!(seen(&set, text.as_bytes(), 50).is_empty());
    }
}
