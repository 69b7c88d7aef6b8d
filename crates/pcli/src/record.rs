//! The record of a project's last builds: which secrets were offered, requested and mentioned. It holds names and
//! numbers only.
//!
//! Each project has one private file in the user's state folder. `doctor` uses the record to name secrets that no
//! build needs. A build whose record cannot be written is still a good build.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use pvault::{Environment, state_folder};
use serde::{Deserialize, Serialize};

use crate::sealed::folder_name;

/// The number of builds that are remembered.
pub const REMEMBERED_BUILDS: usize = 20;

/// The largest record that is read, in bytes.
const LARGEST: u64 = 4 << 20;

/// How a build ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BuildOutcome {
    /// The image was searched, and nothing was found.
    Clean,
    /// A value was found in the image.
    Leak,
    /// A part of the image could not be searched.
    Incomplete,
}

/// The use that one build made of one secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretUse {
    /// The secret's name.
    pub name: String,
    /// The number of steps that were offered the secret, or that mount it themselves.
    pub steps: usize,
    /// The number of these steps that ran.
    pub ran: usize,
    /// The number of these steps that came from the cache, and so did not request the secret.
    pub cached: usize,
    /// The number of times that the engine requested the secret.
    pub asked: u64,
    /// True if a command of these steps mentions the secret, or runs a program that is known to read it.
    pub mentioned: bool,
}

/// One build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildRecord {
    /// The time at which the build ended, in the format of RFC 3339.
    pub at: String,
    /// How the build ended.
    pub outcome: BuildOutcome,
    /// The secrets of the build.
    pub secrets: Vec<SecretUse>,
}

impl BuildRecord {
    /// Records a build that ended now.
    #[must_use]
    pub fn new(now: SystemTime, outcome: BuildOutcome, secrets: Vec<SecretUse>) -> Self {
        let at = jiff::Timestamp::try_from(now).map(|time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        Self { at: at.unwrap_or_default(), outcome, secrets }
    }
}

#[derive(Default, Serialize, Deserialize)]
struct File {
    version: u32,
    builds: Vec<BuildRecord>,
}

/// Reads the remembered builds of a project, in the order in which they ended. If the record cannot be read, the list
/// is empty.
#[must_use]
pub fn last_builds(project: &Path, environment: &Environment<'_>) -> Vec<BuildRecord> {
    file(project, environment).map(|path| read(&path).builds).unwrap_or_default()
}

/// Adds a build to the record of the project in this folder.
///
/// # Errors
///
/// Returns an error if the state folder cannot be written, of the kind `NotFound` if there is no state folder.
pub fn remember_build(project: &Path, build: BuildRecord, environment: &Environment<'_>) -> io::Result<()> {
    let path = file(project, environment).ok_or(io::ErrorKind::NotFound)?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut known = read(&path);
    known.version = 1;
    known.builds.push(build);
    let surplus = known.builds.len().saturating_sub(REMEMBERED_BUILDS);
    known.builds.drain(..surplus);
    // The temporary file has the mode 0600, and a reader sees either the old record or the new one.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(&serde_json::to_vec(&known)?)?;
    file.persist(&path).map_err(|error| error.error)?;
    Ok(())
}

fn read(path: &Path) -> File {
    let is_readable = fs::symlink_metadata(path).is_ok_and(|file| file.is_file() && file.len() <= LARGEST);
    let read = if is_readable { fs::read(path).ok() } else { None };
    let file: Option<File> = read.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    file.filter(|file| file.version == 1).unwrap_or_default()
}

fn file(project: &Path, environment: &Environment<'_>) -> Option<PathBuf> {
    let project = if project.as_os_str().is_empty() { Path::new(".") } else { project };
    let place = fs::canonicalize(project).ok()?;
    Some(state_folder(environment, "pbuild")?.join("builds").join(format!("{}.json", folder_name(&place))))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn build(number: usize) -> BuildRecord {
        let secret =
            SecretUse { name: format!("NAME_{number}"), steps: 2, ran: 1, cached: 1, asked: 1, mentioned: true };
        BuildRecord::new(SystemTime::UNIX_EPOCH, BuildOutcome::Clean, vec![secret])
    }

    #[test]
    fn the_last_twenty_builds_of_each_project_are_kept_private() {
        let (home, one, two) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let environment = |name: &str| (name == "HOME").then(|| OsString::from(home.path()));
        for number in 0..REMEMBERED_BUILDS + 5 {
            remember_build(one.path(), build(number), &environment).unwrap();
        }
        let builds = last_builds(one.path(), &environment);
        assert_eq!((builds.len(), builds.last()), (REMEMBERED_BUILDS, Some(&build(REMEMBERED_BUILDS + 4))));
        assert_eq!(builds[0].at, "1970-01-01T00:00:00Z");
        assert!(last_builds(two.path(), &environment).is_empty());
        let path = file(one.path(), &environment).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        // A damaged record is replaced by a new one.
        fs::write(&path, "{\"version\":1,\"builds\":[{").unwrap();
        assert!(last_builds(one.path(), &environment).is_empty());
        remember_build(one.path(), build(1), &environment).unwrap();
        assert_eq!(last_builds(one.path(), &environment).len(), 1);
    }

    #[test]
    fn without_a_home_nothing_is_remembered_k10() {
        let one = tempfile::tempdir().unwrap();
        assert_eq!(remember_build(one.path(), build(1), &|_| None).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(last_builds(one.path(), &|_| None).is_empty());
    }
}
