//! Fuzzes the reader of the header `WWW-Authenticate`, which a registry sends to a client that is not logged in.

use pbuild::fuzzing;

/// Checks that no header makes the reader panic, and that the scheme and the names that it reads are in lower case. A
/// challenge that is written from the lines of the input, by the grammar, must be read as these lines.
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

/// Makes a token of the grammar from the text: an `x`, followed by the text's valid characters in lower case.
fn token(text: &str) -> String {
    let good = |c: &char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(*c);
    format!("x{}", text.chars().filter(good).collect::<String>()).to_ascii_lowercase()
}
