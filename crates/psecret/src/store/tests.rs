use proptest::prelude::*;

use super::*;

fn name(text: &str) -> SecretName {
    SecretName::parse(text).unwrap()
}

fn store(entries: &[(&str, &str)], recipients: &[&str]) -> Store {
    let mut store = Store::default();
    for (key, value) in entries {
        store.set(name(key), UserSecret::new(value.as_bytes().to_vec())).unwrap();
    }
    for recipient in recipients {
        assert!(store.add_recipient(recipient));
    }
    store
}

fn text(store: &Store) -> String {
    String::from_utf8(store.to_bytes().to_vec()).unwrap()
}

#[test]
fn the_content_is_an_env_file_that_people_can_read() {
    let mut store = store(&[("B", "it's\n$x"), ("A", "plain # value")], &["age1one"]);
    store.set(name("BINARY"), UserSecret::new(vec![0, 255])).unwrap();
    assert_eq!(
        text(&store),
        "#@ store 1\n#@ recipient age1one\n#@ base64 BINARY\nA='plain # value'\nB=\"it's\\n\\$x\"\nBINARY='AP8='\n"
    );
}

#[test]
fn an_env_file_is_a_store() {
    let store = Store::parse(b"# mine\nexport A = x\nB=\nC='y\nz'\n").unwrap();
    assert!(store.get(&name("A")).unwrap().is(b"x") && store.get(&name("C")).unwrap().is(b"y\nz"));
    assert!(store.get(&name("B")).is_none(), "an empty value is no secret");
}

#[test]
fn head_lines_count_at_the_head_alone() {
    // A value that contains a head line must not add a recipient.
    let store = Store::parse(b"#@ store 1\nA='x\n#@ recipient age1thief\n'\n#@ recipient age1thief\n").unwrap();
    assert_eq!(store.recipients().count(), 0);
}

#[test]
fn a_newer_store_and_a_broken_head_are_told_apart_k4() {
    assert!(matches!(Store::parse(b"#@ store 2\n"), Err(StoreError::Newer)));
    assert!(matches!(Store::parse(b"#@ store 1\n#@ nonsense\n"), Err(StoreError::Head { line: 2 })));
    assert!(matches!(Store::parse(b"#@ base64 A\nA='***'\n"), Err(StoreError::NotBase64 { .. })));
    let error = Store::parse(b"#@ store 1\nA='hunter2").unwrap_err();
    assert_eq!(error.to_string(), "line 2, column 3: the quote that opens here is never closed");
}

#[test]
fn empty_values_and_names_no_reader_knows_are_refused() {
    let mut store = Store::default();
    assert!(matches!(store.set(name("A"), UserSecret::new(Vec::new())), Err(SecretError::Empty { .. })));
    assert!(matches!(store.set(name("A'B"), UserSecret::new(vec![1])), Err(SecretError::Name)));
}

#[test]
fn changes_name_names_alone() {
    let (one, two) =
        (store(&[("A", "1"), ("B", "2"), ("C", "3")], &[]), store(&[("B", "2"), ("C", "x"), ("D", "4")], &[]));
    let changes: Vec<(&str, Change)> =
        one.changes(&two).into_iter().map(|(name, change)| (name.as_str(), change)).collect();
    assert_eq!(changes, [("A", Change::Removed), ("C", Change::Changed), ("D", Change::Added)]);
    assert!(one.changes(&one).is_empty());
}

#[test]
fn what_one_side_changed_is_merged() {
    let base = store(&[("A", "1"), ("B", "2"), ("C", "3")], &["age1one", "age1two"]);
    let ours = store(&[("A", "x"), ("B", "2"), ("C", "3"), ("D", "4")], &["age1one", "age1two", "age1three"]);
    let theirs = store(&[("A", "1"), ("C", "3"), ("D", "4"), ("E", "5")], &["age1two"]);
    let merged = Store::merge(&base, ours, theirs).unwrap();
    assert_eq!(text(&merged), "#@ store 1\n#@ recipient age1three\n#@ recipient age1two\nA='x'\nC='3'\nD='4'\nE='5'\n");
}

#[test]
fn the_key_of_digests_is_kept_and_a_broken_one_refused() {
    let mut store = store(&[("A", "1")], &[]);
    assert!(store.digest_key().is_none());
    store.set_digest_key(DigestKey::new([7; 32]));
    let read = Store::parse(&store.to_bytes()).unwrap();
    let digest = |store: &Store| store.digest_key().unwrap().digest("x", &name("A"), store.get(&name("A")).unwrap());
    assert_eq!(digest(&store), digest(&read));
    assert!(matches!(Store::parse(b"#@ store 1\n#@ key AAAA\n"), Err(StoreError::Head { line: 2 })));
    let merged = Store::merge(&Store::default(), Store::default(), read).unwrap();
    assert_eq!(digest(&merged), digest(&store));
}

#[test]
fn values_that_are_not_text_are_named() {
    let mut store = store(&[("A", "text\n")], &[]);
    store.set(name("B"), UserSecret::new(vec![0xff])).unwrap();
    assert_eq!(store.binary(), [&name("B")]);
}

#[test]
fn what_both_sides_changed_is_a_conflict() {
    let base = store(&[("A", "1"), ("B", "2")], &[]);
    let conflicts = Store::merge(&base, store(&[("A", "x"), ("B", "y")], &[]), store(&[("A", "z")], &[])).unwrap_err();
    assert_eq!(conflicts, [name("A"), name("B")]);
}

#[test]
fn debug_shows_no_value() {
    assert!(!format!("{:?}", store(&[("A", "hunter2")], &[])).contains("hunter2"));
}

proptest! {
    #[test]
    fn whatever_is_stored_is_read_back(
        values in prop::collection::btree_map("[A-Za-z0-9_.-]{1,12}", prop_oneof![
            prop::collection::vec(any::<u8>(), 1..40),
            "[ -~\n\r\t$'\"\\\\#\u{e4}]{1,40}".prop_map(String::into_bytes),
        ], 0..8),
    ) {
        let mut store = Store::default();
        for (key, value) in &values {
            store.set(name(key), UserSecret::new(value.clone())).unwrap();
        }
        let bytes = store.to_bytes();
        let read = Store::parse(&bytes).unwrap();
        prop_assert_eq!(read.names().count(), values.len());
        for (key, value) in &values {
            prop_assert!(read.get(&name(key)).unwrap().is(value));
        }
        prop_assert_eq!(read.to_bytes(), bytes);
    }
}
