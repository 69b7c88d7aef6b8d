//! The header `WWW-Authenticate`, by which a registry answers a client that is not logged in.

use pbuild::fuzzing;

/// No header makes the reader panic, and what it reads is a scheme with names in small letters. A challenge that is
/// written by the grammar, from the lines of the input, is read as what it was written from.
pub(crate) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for (scheme, parameters) in fuzzing::challenges(&text) {
        assert!(!scheme.is_empty() && scheme == scheme.to_ascii_lowercase());
        assert!(parameters.iter().all(|(name, _)| *name == name.to_ascii_lowercase()));
    }
    let mut lines = text.split('\n');
    let scheme = token(lines.next().unwrap_or_default());
    let parameters: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (token(name), value.chars().filter(|c| *c == '\t' || (' '..='~').contains(c)).collect()))
        .collect();
    let quoted = |value: &str| format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""));
    let written: Vec<String> =
        parameters.iter().map(|(name, value): &(String, String)| format!("{name}={}", quoted(value))).collect();
    let header = format!("{scheme} {}", written.join(", "));
    let read = fuzzing::challenges(header.trim_end());
    assert_eq!(read, [(scheme, parameters)], "{header:?}");
}

/// Takes a token of the grammar out of the text, in small letters behind a letter.
fn token(text: &str) -> String {
    let good = |c: &char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(*c);
    format!("x{}", text.chars().filter(good).collect::<String>()).to_ascii_lowercase()
}
