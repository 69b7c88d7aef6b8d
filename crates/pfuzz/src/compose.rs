//! Fuzzes the reader of compose files, and checks the manifest that `pbuild new` makes of one.

use std::path::Path;

use papp::Manifest;
use pbuild::fuzzing;

/// The project's env file. The manifest may contain the names of its variables, but not their values.
const ENV_FILE: &str = "TOKEN=c4n4ry-3f9a17c2e5\nDB_URL=postgres://u:c4n4ry-77aa00bb@db/x\nPORT=c4n4ry-5150\nEMPTY=\n";
const CANARY: &str = "c4n4ry";

/// The only name that has a value when a text is interpolated.
const SET: &str = "SET";

/// Reads the input as a compose file; below a line `===`, it may have a Dockerfile. Whatever the two contain, the
/// result must be a valid manifest without any value of the env file. Every line of the input is also interpolated,
/// and a second, naive reader must read it in the same way.
pub(crate) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (compose, dockerfile) = text.split_once("\n===\n").unwrap_or((&text, "FROM x\n"));
    // A canary in the input itself is not a value of the env file.
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

/// Reads a text from left to right. Where a variable begins, it is read by the grammar of Compose.
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

/// Reads a variable after a dollar sign. Returns its name, its default, and the text after it.
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
