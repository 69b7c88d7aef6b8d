//! The base images that were found clean before. The builder keeps notes of them for the frontend image, which has no
//! client of ours.
//!
//! Everybody who may send builds to the builder can read and write this folder. So a note only counts with its seal:
//! a digest under the key of all other digests, of the secrets' values, of what was searched for of each value, of
//! the program that searched, of the base, and of its layers. Nobody can make a seal without the values; with other
//! secrets or another program, a note is not even found. But a note may be copied from one builder to another. For
//! this reason a base is only noted if its name, or the names of its layers, mean the same files on every builder
//! ([`is_lasting`]).

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use psecret::{DigestKey, SecretName, UserSecret};
use serde::{Deserialize, Serialize};

use crate::kept::random_name;
use crate::wire::CleanBase;

/// The maximal number of notes; if there are more, the oldest are removed.
const MOST_NOTES: usize = 1000;
/// The maximal size of a note that is read: a base has at most 127 layers.
const LARGEST_NOTE: u64 = 1 << 20;

/// The maker of seals for one set of secrets.
pub struct Seals<'k> {
    key: &'k DigestKey,
    /// A keyed digest of each value with what is searched for of it, and a digest of the program.
    searched: String,
    name: SecretName,
    nothing: UserSecret,
}

/// The content of a note's file.
#[derive(Serialize, Deserialize)]
struct Note {
    layers: Vec<String>,
    seal: String,
}

impl<'k> Seals<'k> {
    /// Makes the maker of seals for these secrets and one program. Returns `None` if there is no secret, because then
    /// anybody could make a seal.
    #[must_use]
    pub fn new(
        key: &'k DigestKey,
        secrets: &[(SecretName, UserSecret)],
        parts: &BTreeMap<String, Vec<String>>,
        program: &[u8],
    ) -> Option<Self> {
        secrets.first()?;
        let name = SecretName::parse("BASE").ok()?;
        let of_value = |(name, value): &(SecretName, UserSecret)| {
            key.digest(&format!("base value {:?}", parts.get(name.as_str())), name, value)
        };
        let mut digests: Vec<String> = secrets.iter().map(of_value).collect();
        digests.sort_unstable();
        digests.push(key.digest("base program", &name, &UserSecret::new(program.to_vec())));
        Some(Self { key, searched: digests.join(" "), name, nothing: UserSecret::new(Vec::new()) })
    }

    fn digest(&self, of: &impl Serialize) -> Option<String> {
        let text = serde_json::to_string(&(&self.searched, of)).ok()?;
        Some(self.key.digest(&format!("base note {text}"), &self.name, &self.nothing))
    }

    fn path(&self, folder: &Path, identifier: &str) -> Option<PathBuf> {
        Some(notes(folder).join(self.digest(&("name", identifier))?))
    }

    fn seal(&self, identifier: &str, layers: &[String]) -> Option<String> {
        self.digest(&("seal", identifier, layers))
    }

    /// Reads the layers that a base had when it was found clean. Returns `None` if there is no valid note.
    #[must_use]
    pub fn recall(&self, folder: &Path, identifier: &str) -> Option<Vec<String>> {
        let flags = rustix::fs::OFlags::NOFOLLOW.union(rustix::fs::OFlags::NONBLOCK).bits().cast_signed();
        let path = self.path(folder, identifier)?;
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
        file.metadata().ok().filter(|about| about.is_file() && about.len() <= LARGEST_NOTE)?;
        let mut text = Vec::new();
        file.take(LARGEST_NOTE).read_to_end(&mut text).ok()?;
        let note: Note = serde_json::from_slice(&text).ok()?;
        (self.seal(identifier, &note.layers)? == note.seal).then_some(note.layers)
    }

    /// Notes that a base is clean, unless [`is_lasting`] is false for it.
    ///
    /// # Errors
    ///
    /// Returns an error if the note cannot be written.
    pub fn note(&self, folder: &Path, CleanBase { identifier, layers }: &CleanBase) -> io::Result<()> {
        let (Some(path), Some(seal)) = (self.path(folder, identifier), self.seal(identifier, layers)) else {
            return Ok(());
        };
        if !is_lasting(identifier, layers) {
            return Ok(());
        }
        let notes = notes(folder);
        fs::create_dir_all(&notes)?;
        make_room(&notes, MOST_NOTES);
        // The note is written to another file first, because another build may read it at the same time.
        let made = notes.join(format!("made.{}", random_name().unwrap_or_default()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&made)?;
        let written = serde_json::to_vec(&Note { layers: layers.clone(), seal })
            .map_err(io::Error::from)
            .and_then(|text| file.write_all(&text))
            .and_then(|()| fs::rename(&made, &path));
        if written.is_err() {
            let _ = fs::remove_file(&made);
        }
        written
    }
}

/// Whether a base with this name and these layers has the same files on every builder. This is so if its name
/// contains a digest, or if its layers have random names, like those of Docker's overlay2. The snapshots of
/// containerd have small numbers, which mean other files on another builder.
#[must_use]
pub fn is_lasting(identifier: &str, layers: &[String]) -> bool {
    let is_random = |part: &str| part.len() >= 26 && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let is_named_at_random = |layer: &String| layer.split('/').any(is_random);
    identifier.contains("@sha256:") || (!layers.is_empty() && layers.iter().all(is_named_at_random))
}

/// Whether the builder has no note of a base.
pub(crate) fn is_empty(folder: &Path) -> bool {
    fs::read_dir(notes(folder)).map_or(true, |mut notes| notes.next().is_none())
}

fn notes(folder: &Path) -> PathBuf {
    folder.join("bases")
}

/// Removes the oldest tenth of the notes if there are too many.
fn make_room(notes: &Path, most: usize) {
    let age = |path: &Path| fs::metadata(path).and_then(|about| about.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let files = fs::read_dir(notes).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<(SystemTime, PathBuf)> = files.map(|path| (age(&path), path)).collect();
    if files.len() < most {
        return;
    }
    files.sort_unstable();
    for (_, path) in files.iter().take(most.div_ceil(10)) {
        // Another build may have removed the file at the same moment.
        let _ = fs::remove_file(path);
    }
}

/// Reads the program that is running, for the seals: another program may search for more.
///
/// # Errors
///
/// Returns an error if there is no `/proc`.
pub fn own_program() -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open("/proc/self/exe")?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "docker-image://docker.io/library/debian:12@sha256:aa";

    fn secrets(values: &[(&str, &str)]) -> Vec<(SecretName, UserSecret)> {
        let secret = |(name, value): &(&str, &str)| {
            (SecretName::parse(name).unwrap(), UserSecret::new(value.as_bytes().to_vec()))
        };
        values.iter().map(secret).collect()
    }

    fn layers(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn clean(identifier: &str, names: &[&str]) -> CleanBase {
        CleanBase { identifier: identifier.to_owned(), layers: layers(names) }
    }

    #[test]
    fn a_note_counts_for_the_same_secrets_parts_program_and_key() {
        let folder = tempfile::tempdir().unwrap();
        let (key, other_key) = (DigestKey::new([1; 32]), DigestKey::new([2; 32]));
        let ours = secrets(&[("A", "one value"), ("B", "another value")]);
        let all = BTreeMap::new();
        let seals = Seals::new(&key, &ours, &all, b"program").unwrap();
        assert_eq!(seals.recall(folder.path(), BASE), None);
        seals.note(folder.path(), &clean(BASE, &["/2/fs", "/1/fs"])).unwrap();
        let known = |key: &DigestKey, secrets: &[_], parts: &BTreeMap<_, _>, program: &[u8], base: &str| {
            Seals::new(key, secrets, parts, program).unwrap().recall(folder.path(), base)
        };
        let turned = secrets(&[("B", "another value"), ("A", "one value")]);
        for same in [&ours, &turned] {
            assert_eq!(known(&key, same, &all, b"program", BASE), Some(layers(&["/2/fs", "/1/fs"])));
        }
        let some = BTreeMap::from([("A".to_owned(), Vec::new())]);
        assert_eq!(known(&key, &ours, &some, b"program", BASE), None);
        assert_eq!(known(&key, &ours, &all, b"newer", BASE), None);
        assert_eq!(known(&key, &ours, &all, b"program", "docker-image://other@sha256:aa"), None);
        assert_eq!(known(&other_key, &ours, &all, b"program", BASE), None);
        for others in [&[("A", "one value")][..], &[("A", "one value"), ("B", "a third value")]] {
            assert_eq!(known(&key, &secrets(others), &all, b"program", BASE), None);
        }
        assert!(Seals::new(&key, &[], &all, b"program").is_none(), "a seal without a secret is anybody's");
    }

    #[test]
    fn a_forged_note_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let key = DigestKey::new([1; 32]);
        let (ours, all) = (secrets(&[("A", "one value")]), BTreeMap::new());
        let seals = Seals::new(&key, &ours, &all, b"program").unwrap();
        seals.note(folder.path(), &clean(BASE, &["/1/fs"])).unwrap();
        let path = seals.path(folder.path(), BASE).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("/1/fs", "/7/fs")).unwrap();
        assert_eq!(seals.recall(folder.path(), BASE), None, "other layers");
        fs::write(&path, &text).unwrap();
        assert!(seals.recall(folder.path(), BASE).is_some());
        // A note of another base is copied under this base's name.
        let other = "docker-image://other@sha256:bb";
        seals.note(folder.path(), &clean(other, &["/1/fs"])).unwrap();
        fs::copy(seals.path(folder.path(), other).unwrap(), &path).unwrap();
        assert_eq!(seals.recall(folder.path(), BASE), None);
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(seals.path(folder.path(), other).unwrap(), &path).unwrap();
        assert_eq!(seals.recall(folder.path(), BASE), None, "links are not followed");
    }

    #[test]
    fn a_base_whose_layers_mean_something_else_elsewhere_is_not_noted() {
        let folder = tempfile::tempdir().unwrap();
        let key = DigestKey::new([1; 32]);
        let (ours, all) = (secrets(&[("A", "one value")]), BTreeMap::new());
        let seals = Seals::new(&key, &ours, &all, b"program").unwrap();
        let local = "docker-image://docker.io/library/shop:latest";
        let numbered = ["/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots/12/fs"];
        let random = ["/var/lib/docker/overlay2/l/4WCXQ5ZJ2VK3B6YRN7LSDTEHPA"];
        for (names, is_known) in [(&numbered, false), (&random, true)] {
            seals.note(folder.path(), &clean(local, names)).unwrap();
            assert_eq!(seals.recall(folder.path(), local).is_some(), is_known, "{names:?}");
        }
        assert!(!is_lasting(local, &[]) && is_lasting(BASE, &layers(&numbered)));
    }

    #[test]
    fn the_oldest_notes_make_room() {
        let folder = tempfile::tempdir().unwrap();
        let key = DigestKey::new([1; 32]);
        let (ours, all) = (secrets(&[("A", "one value")]), BTreeMap::new());
        let seals = Seals::new(&key, &ours, &all, b"program").unwrap();
        let names: Vec<String> = (0..20).map(|number| format!("docker-image://{number}@sha256:aa")).collect();
        for name in &names {
            seals.note(folder.path(), &clean(name, &["/1/fs"])).unwrap();
        }
        let old = SystemTime::now() - std::time::Duration::from_secs(9);
        for name in &names[..3] {
            File::open(seals.path(folder.path(), name).unwrap()).unwrap().set_modified(old).unwrap();
        }
        let known = |most| {
            make_room(&notes(folder.path()), most);
            names.iter().map(|name| seals.recall(folder.path(), name).is_some()).collect::<Vec<_>>()
        };
        assert_eq!(known(21), [true; 20]);
        let left = known(20);
        assert_eq!((left.iter().filter(|known| **known).count(), &left[3..]), (18, &[true; 17][..]));
    }
}
