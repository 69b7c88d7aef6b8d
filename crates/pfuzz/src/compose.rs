//! Reads compose files, and checks the first manifest that is made of one: `pbuild new`.

use std::path::Path;

use papp::Manifest;
use pbuild::fuzzing;

/// The values of the project's env file. The manifest may name their variables, and must not hold them.
const ENV_FILE: &str = "TOKEN=c4n4ry-3f9a17c2e5\nDB_URL=postgres://u:c4n4ry-77aa00bb@db/x\nPORT=c4n4ry-5150\nEMPTY=\n";
const CANARY: &str = "c4n4ry";

/// The name that has a value where a text alone is interpolated.
const SET: &str = "SET";

/// The input is a compose file; below a line `===`, a Dockerfile. Whatever they say, the draft is a manifest, and no
/// value of an env file is in it. Every line of the input is also a text to interpolate, which a second, naive reader
/// reads the same way.
pub(crate) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (compose, dockerfile) = text.split_once("\n===\n").unwrap_or((&text, "FROM x\n"));
    // A canary in the files themselves is no value that was taken from elsewhere.
    if !text.contains(CANARY)
        && let Ok(manifest) = fuzzing::manifest(dockerfile, ENV_FILE.as_bytes(), compose)
    {
        assert!(!manifest.contains(CANARY), "a value of the env file is in the manifest");
        if let Err(error) = Manifest::parse(Path::new("app.toml"), manifest.as_bytes()) {
            panic!("{error}\n{manifest}");
        }
    }
    for line in text.lines() {
        assert_eq!(fuzzing::interpolated(line, &|name| name == SET), naive(line), "{line:?}");
    }
}

/// Reads a text from left to right; where a variable begins, the rest is read by the grammar of Compose.
fn naive(text: &str) -> Option<String> {
    let mut read = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        if c != '$' {
            read.push(c);
        } else if rest.starts_with('$') {
            read.push('$');
            rest = &rest[1..];
        } else if let Some((name, default, after)) = variable(rest) {
            if name == SET {
                return None;
            }
            read.push_str(&naive(default?)?);
            rest = after;
        } else {
            read.push('$');
        }
    }
    Some(read)
}

/// Reads a variable behind a dollar sign: its name, its default, and the text behind it.
fn variable(text: &str) -> Option<(&str, Option<&str>, &str)> {
    let name = |text: &str| {
        let good = |(at, c): &(usize, char)| *c == '_' || c.is_ascii_alphabetic() || (*at > 0 && c.is_ascii_digit());
        text.char_indices().take_while(good).count()
    };
    let Some(inner) = text.strip_prefix('{') else {
        let length = name(text);
        return (length > 0).then(|| (&text[..length], None, &text[length..]));
    };
    let mut open = 1;
    let end = inner.bytes().position(|byte| {
        open += i32::from(byte == b'{') - i32::from(byte == b'}');
        open == 0
    })?;
    let (inner, after) = (&inner[..end], &inner[end + 1..]);
    let length = name(inner);
    if length == 0 {
        return None;
    }
    let (name, operator) = inner.split_at(length);
    let default = match operator.as_bytes() {
        [] | [b'?' | b'+', ..] => None,
        [b'-', ..] => Some(&operator[1..]),
        [b':', b'-', ..] => Some(&operator[2..]),
        [b':', ..] => None,
        _ => return None,
    };
    Some((name, default, after))
}
