//! Files that this crate sealed open with the `age` program alone, and the other way round.
//!
//! The tests need Debian's package `age`, which `scripts/test` installs.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use pvault::{Identity, Recipient, SealedFile, VaultError};
use zeroize::Zeroizing;

fn age(program: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; install Debian's package `age`"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn shown(path: &Path) -> &str {
    path.to_str().expect("a path of ASCII")
}

#[test]
fn age_opens_what_we_seal_with_our_identity_file() {
    let folder = tempfile::tempdir().unwrap();
    let (identity_path, path) = (folder.path().join("identity.txt"), folder.path().join("state.age"));
    let identity = Identity::load_or_create(&identity_path).unwrap();
    let content = "line one\nline two\n".repeat(10_000);
    let sealed = SealedFile::open(&path).unwrap();
    sealed.update(&identity, |_| Ok::<_, VaultError>(Zeroizing::new(content.as_bytes().to_vec()))).unwrap();
    let opened = age("age", &["-d", "-i", shown(&identity_path), shown(&path)]);
    assert_eq!(opened, content.as_bytes());
}

#[test]
fn we_open_what_age_seals_with_its_identity_file() {
    let folder = tempfile::tempdir().unwrap();
    let [identity_path, plain, armored, binary] =
        ["key.txt", "plain", "armored.age", "binary.age"].map(|name| folder.path().join(name));
    age("age-keygen", &["-o", shown(&identity_path)]);
    let identity = Identity::load(&identity_path).unwrap();
    let recipient = identity.recipient().to_string();
    assert_eq!(recipient.parse::<Recipient>().unwrap(), identity.recipient());
    fs::write(&plain, "from age").unwrap();
    age("age", &["-a", "-r", &recipient, "-o", shown(&armored), shown(&plain)]);
    age("age", &["-r", &recipient, "-o", shown(&binary), shown(&plain)]);
    for path in [armored, binary] {
        let read = SealedFile::open_shared(&path).unwrap().read(&identity).unwrap();
        assert_eq!(read.unwrap().as_slice(), b"from age");
    }
}
