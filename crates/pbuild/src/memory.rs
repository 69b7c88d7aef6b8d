//! Layers that an earlier audit searched for the same secrets and found clean.
//!
//! The files of the memory hold no value, and nothing that could be compared with a value. Their names are digests,
//! under a key of the user's own, of the layer, of all values that were searched for, and of the scanner that
//! searched. Each file carries a digest of its content under the same key, so that a file written by another user
//! does not count. docs/decisions lists the facts that are kept, with the reasons.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use pimage::{Digest, Remembered};
use psecret::{DigestKey, Secret, SecretName, UserSecret};
use serde::{Deserialize, Serialize};

use crate::files;
use crate::files::replace::replace;
use crate::own_key::{own_key, private_folder};

/// The name of this version of the search: a digest of its sources, made by the build script. What another version
/// found does not count.
const SEARCH: &str = env!("PBUILD_SEARCH");
/// The largest number of files. Beyond this number, the oldest tenth is removed.
const MOST_LAYERS: usize = 20_000;
/// The largest file that is read, in bytes.
const LARGEST_FILE: usize = 16 << 20;

/// The memory of one set of secrets.
pub(crate) struct LayerMemory {
    folder: PathBuf,
    key: DigestKey,
    /// A keyed digest of each value that is searched for, sorted.
    needles: String,
    nothing: UserSecret,
    name: SecretName,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    layer: Remembered,
    seal: String,
}

/// The lines that were noted under a name.
#[derive(Serialize, Deserialize)]
struct Note {
    lines: Vec<String>,
    seal: String,
}

impl LayerMemory {
    /// Opens the memory of these secrets. Returns `None` if there is no folder for the memory; then every layer is
    /// searched.
    pub(crate) fn open(secrets: &[Secret], environment: &pvault::Environment<'_>) -> Option<Self> {
        let key = own_key(&pvault::state_folder(environment, "pbuild")?, "layers.key")?;
        let absolute = |name: &str| environment(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
        let folder = cache.join("pbuild/layers");
        private_folder(&folder)?;
        // A secret's parts and its other readings count like its value: if they change, a layer may hold something
        // that an earlier audit did not search for.
        let digest = |secret: &Secret| {
            let purpose = format!("layers {:?}", secret.part_choice());
            secret.readings().map(|reading| key.digest(&purpose, secret.name(), reading)).collect::<Vec<_>>().join("+")
        };
        let mut needles: Vec<String> = secrets.iter().map(digest).collect();
        needles.sort_unstable();
        let name = SecretName::parse("LAYER").ok()?;
        Some(Self { folder, key, needles: needles.join(" "), nothing: UserSecret::new(Vec::new()), name })
    }

    /// Computes a digest of a text that is not secret.
    fn digest(&self, purpose: &str) -> String {
        self.key.digest(purpose, &self.name, &self.nothing)
    }

    fn path(&self, layer: &Digest) -> PathBuf {
        self.folder.join(self.digest(&format!("layer {SEARCH} {layer} {}", self.needles)))
    }

    /// Reads the lines that were noted under a name for the same secrets and by the same search. Returns `None` if
    /// there are none.
    pub(crate) fn recall_note(&self, name: &str) -> Option<Vec<String>> {
        let path = self.note_path(name);
        let text = files::read(&path, LARGEST_FILE).ok()?;
        let note: Note = serde_json::from_slice(&text).ok()?;
        (self.seal(&path, &note.lines)? == note.seal).then_some(note.lines)
    }

    /// Notes lines under a name. An error of writing is ignored, because a missing note costs only time.
    pub(crate) fn note(&self, name: &str, lines: &[String]) {
        let path = self.note_path(name);
        let Some(seal) = self.seal(&path, &lines) else { return };
        if let Ok(text) = serde_json::to_vec(&Note { lines: lines.to_vec(), seal }) {
            make_room(&self.folder);
            let _ = replace(&path, &text);
        }
    }

    fn note_path(&self, name: &str) -> PathBuf {
        self.folder.join(self.digest(&format!("note {SEARCH} {name} {}", self.needles)))
    }

    fn seal(&self, path: &Path, content: &impl Serialize) -> Option<String> {
        let text = serde_json::to_string(content).ok()?;
        Some(self.digest(&format!("entry {} {text}", path.file_name()?.to_string_lossy())))
    }
}

impl pscan::Memory for LayerMemory {
    fn recall(&self, digest: &Digest) -> Option<Remembered> {
        let path = self.path(digest);
        let text = files::read(&path, LARGEST_FILE).ok()?;
        let entry: Entry = serde_json::from_slice(&text).ok()?;
        (self.seal(&path, &entry.layer)? == entry.seal).then_some(entry.layer)
    }

    fn remember(&self, digest: &Digest, layer: &Remembered) {
        let path = self.path(digest);
        let Some(seal) = self.seal(&path, layer) else { return };
        let Ok(text) = serde_json::to_vec(&Entry { layer: layer.clone(), seal }) else { return };
        make_room(&self.folder);
        // An error of writing is ignored, because a missing entry costs only time.
        let _ = replace(&path, &text);
    }
}

impl std::fmt::Debug for LayerMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LayerMemory")
    }
}

/// Removes the oldest tenth of the files if there are [`MOST_LAYERS`] or more.
fn make_room(folder: &Path) {
    let files: Vec<PathBuf> = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    if files.len() < MOST_LAYERS {
        return;
    }
    let age =
        |path: &PathBuf| fs::metadata(path).and_then(|metadata| metadata.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let mut files: Vec<(SystemTime, PathBuf)> = files.into_iter().map(|path| (age(&path), path)).collect();
    files.sort_unstable();
    for (_, path) in files.iter().take(MOST_LAYERS / 10) {
        // Another process may have removed the file at the same moment.
        let _ = fs::remove_file(path);
    }
}
