//! Fuzzes the parser of the sealed store's content.

use psecret::Store;

/// Checks that no bytes make the parser panic, that a store is read as it was written, and that a merge takes the
/// changes of the only side that has any.
///
/// The data are up to two stores with a line `---` between them.
pub(crate) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (one, two) = text.split_once("\n---\n").unwrap_or((&text, ""));
    written_and_read(data);
    let (Ok(one), Ok(two)) = (Store::parse(one.as_bytes()), Store::parse(two.as_bytes())) else { return };
    let copy = |store: &Store| Store::parse(&store.to_bytes()).expect("the store reads what it wrote");
    for (ours, theirs) in [(copy(&one), copy(&two)), (copy(&two), copy(&one)), (copy(&two), copy(&two))] {
        let merged = Store::merge(&one, ours, theirs).expect("one side changed nothing, or both the same");
        assert!(merged.changes(&two).is_empty());
        assert!(merged.recipients().eq(two.recipients()));
    }
}

fn written_and_read(data: &[u8]) {
    let Ok(store) = Store::parse(data) else { return };
    let written = store.to_bytes();
    let again = Store::parse(&written).expect("the store reads what it wrote");
    assert!(store.changes(&again).is_empty());
    assert!(store.recipients().eq(again.recipients()));
    assert_eq!(store.digest_key().is_some(), again.digest_key().is_some());
    assert_eq!(*written, *again.to_bytes(), "equal stores are equal bytes");
}
