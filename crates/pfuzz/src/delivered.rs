//! Fuzzes the readers of the entrypoint: delivered variables, init commands, and the answers of a name server, an app
//! and a command.

use pshim::{Prefixer, dns, environment, http, init};

/// Checks that no bytes make a reader panic. Delivered variables are either read completely or refused: the entries,
/// each with its NUL, together are the whole file.
pub(crate) fn run(data: &[u8]) {
    if let Some(entries) = environment::parse(data) {
        let joined: Vec<u8> = entries.iter().flat_map(|entry| [entry, &b"\0"[..]].concat()).collect();
        assert_eq!(joined, data, "no entry goes and none is cut");
        let merged = environment::merge(&[b"PATH=/bin", b"A=old"], &entries);
        assert!(merged.ends_with(&entries), "what is delivered wins");
    }
    if let Some(commands) = init::parse(data) {
        assert!(commands.iter().all(|command| !command.words.is_empty()), "a command without a word");
    }
    let _ = dns::address(7, data);
    let mut answer = http::Answer::default();
    answer.push(data);
    assert_eq!(answer.status(), http::status(data).filter(|_| answer.status().is_some()), "one first line, one status");
    let mut whole = Prefixer::new(b"> ");
    let mut parts = Prefixer::new(b"> ");
    let expected = whole.push(data);
    let found: Vec<u8> = data.chunks(3).flat_map(|part| parts.push(part)).collect();
    assert_eq!(expected, found, "however it is cut");
}
