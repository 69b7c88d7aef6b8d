//! Fuzzes the opener of sealed files.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

use pvault::{Identity, SealedFile, VaultError};

/// A key that was made for this target and opens nothing else.
const IDENTITY: &str = "AGE-SECRET-KEY-1W6DCW9CJWS2J4UJN4A646WAXQKXHX6K8MEWSQFQLWU7K4FDHT3ASZACNMD";

/// A file that was sealed for this key.
const SEALED: &[u8] = include_bytes!("sealed.age");
const OPENED: &[u8] = b"API_TOKEN=opened\n";

/// Checks that any file opens to exactly the sealed content or not at all, and that no error shows the file's bytes.
///
/// If the first byte is odd, the rest is a list of changes to the sealed file, with three bytes each: two for the
/// place, and the new byte. If it is even, the rest is the file. In both cases, the rest is also read as an identity.
pub(crate) fn run(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else { return };
    let content = if how % 2 == 1 { changed(rest) } else { rest.to_vec() };
    open(&content);
    let text = String::from_utf8_lossy(rest);
    if let Err(error) = Identity::parse(&text, "the identity") {
        assert_eq!(error.to_string(), VaultError::NotAnIdentity { place: "the identity".to_owned() }.to_string());
    }
}

fn changed(changes: &[u8]) -> Vec<u8> {
    let mut sealed = SEALED.to_vec();
    for change in changes.chunks_exact(3) {
        let at = usize::from(u16::from_be_bytes([change[0], change[1]]));
        let length = sealed.len();
        sealed[at % length] = change[2];
    }
    sealed
}

fn open(content: &[u8]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("secrets.age");
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    made.and_then(|mut file| file.write_all(content)).expect("a file in it");
    let identity = Identity::parse(IDENTITY, "this target").expect("it was made by age-keygen");
    match SealedFile::open(&path).expect("a path without links").read(&identity) {
        Ok(Some(opened)) => assert!(*opened == OPENED, "it opens to something else"),
        Ok(None) => panic!("the file is there"),
        Err(_) => {}
    }
    assert!(fs::read(&path).expect("the file") == content, "reading changes nothing");
}
