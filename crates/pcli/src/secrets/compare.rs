//! The commands that compare and merge two stores.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use psecret::{Change, DigestKey, Store};
use pvault::{Identity, Recipient, SealedFile};

use super::{Desk, DiffArguments, Project, SecretsError, environment};
use crate::{STORE_NAME, SealedError, identity, scrub};
use pscreen::Exit;

/// The purpose of the digests that [`textconv`] prints. Digests of different purposes never match.
const PURPOSE: &str = "diff";

/// The number of digits of a digest that are printed, enough to distinguish two values.
const SHOWN: usize = 12;

pub(super) fn diff(project: &Project, arguments: &DiffArguments, desk: &Desk) -> Result<Exit, SecretsError> {
    let identity = identity(&environment)?;
    let now = project.store.read(&identity)?;
    let before = match &arguments.old {
        Some(path) => read(path, &identity)?,
        None => committed(project.store.path(), &identity)?,
    };
    for (name, change) in before.changes(&now) {
        let sign = match change {
            Change::Added => '+',
            Change::Removed => '-',
            Change::Changed => '~',
        };
        desk.stdout.line(&format!("{sign} {name}"));
    }
    for (one, other, sign) in [(&before, &now, '-'), (&now, &before, '+')] {
        for recipient in one.recipients().filter(|recipient| !other.recipients().any(|known| known == *recipient)) {
            desk.stdout.line(&format!("{sign} recipient {recipient}"));
        }
    }
    Ok(Exit::Done)
}

/// Reads the store of the last commit from git.
fn committed(path: &Path, identity: &Identity) -> Result<Store, SecretsError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut git = Command::new("git");
    let shown = scrub(&mut git)
        .args(["show", &format!("HEAD:./{STORE_NAME}")])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .map_err(|source| SecretsError::Io { doing: "run git".to_owned(), source })?;
    if !shown.status.success() {
        return Err(SecretsError::NotCommitted { path: path.to_owned() });
    }
    let failed = |source| SecretsError::Io { doing: "write a temporary file".to_owned(), source };
    let mut file = tempfile::NamedTempFile::new().map_err(failed)?;
    // The bytes are still sealed, as they were committed.
    file.write_all(&shown.stdout).map_err(failed)?;
    read(file.path(), identity)
}

/// Opens any sealed store. An empty file counts as an empty store, because git passes one for a store that did not
/// exist.
fn read(path: &Path, identity: &Identity) -> Result<Store, SecretsError> {
    if fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() == 0) {
        return Ok(Store::default());
    }
    let content = SealedFile::open_shared(path)?.read(identity)?;
    let content = content.ok_or_else(|| SealedError::Absent { path: path.to_owned() })?;
    Store::parse(&content).map_err(|source| SealedError::Content { path: path.to_owned(), source }.into())
}

pub(super) fn textconv(file: &Path, desk: &Desk) -> Result<Exit, SecretsError> {
    let store = read(file, &identity(&environment)?)?;
    for recipient in store.recipients() {
        desk.stdout.line(&format!("recipient {recipient}"));
    }
    for name in store.names() {
        desk.stdout.line(&format!("{name} {}", fingerprint(&store, name, store.digest_key())));
    }
    Ok(Exit::Done)
}

/// Makes a short keyed digest of a value. It shows that a value changed to anybody who has the store's key, and
/// nothing else to anybody.
fn fingerprint(store: &Store, name: &psecret::SecretName, key: Option<&DigestKey>) -> String {
    match (key, store.get(name)) {
        (Some(key), Some(value)) => key.digest(PURPOSE, name, value).chars().take(SHOWN).collect(),
        // A store that the user sealed without pbuild has no digest key until pbuild changes the store, so there is
        // no digest to show.
        _ => "set".to_owned(),
    }
}

/// Merges two stores for git, and writes the result to the file `ours`. On a conflict, that file stays as it is, and
/// git reports the conflict.
pub(super) fn merge(base: &Path, ours: &Path, theirs: &Path, desk: &Desk) -> Result<Exit, SecretsError> {
    let identity = identity(&environment)?;
    let (old, mine, other) = (read(base, &identity)?, read(ours, &identity)?, read(theirs, &identity)?);
    let added: Vec<String> = other
        .recipients()
        .filter(|reader| !mine.recipients().any(|known| known == *reader))
        .map(str::to_owned)
        .collect();
    let merged = Store::merge(&old, mine, other).map_err(|names| SecretsError::Conflict { names })?;
    let recipients = merged.recipients().map(str::parse).collect::<Result<Vec<Recipient>, _>>()?;
    if !identity.recipients().any(|own| recipients.contains(&own)) {
        return Err(SealedError::NotListed { path: ours.to_owned() }.into());
    }
    // The file `ours` is a temporary file of git, so no lock and no backup may stay beside it.
    let state = tempfile::tempdir().map_err(|source| SecretsError::Io { doing: "make a folder".to_owned(), source })?;
    let file = SealedFile::open_shared(ours)?.with_state_in(state.path());
    file.lock()?.write(&merged.to_bytes(), &identity, &recipients)?;
    for reader in added.iter().filter(|reader| merged.recipients().any(|known| known == *reader)) {
        desk.stderr.warning(&format!("the other side added a reader: {reader}"));
    }
    Ok(Exit::Done)
}
