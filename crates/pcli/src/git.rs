//! The settings that git needs to merge and to compare sealed stores: two attributes of the file, and two commands in
//! the repository's own configuration.
//!
//! The attributes are committed. The configuration belongs to each clone, and git never copies it from another
//! repository. A fresh clone therefore lacks the two commands, and a merge in it leaves conflict marks in the store.
//! `secrets init` sets both, and `doctor` checks them.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::scrub;

/// The file of attributes, which lies beside the store.
const ATTRIBUTES: &str = ".gitattributes";

/// The store's name.
const STORE: &str = "secrets.age";

/// The line for the store in the file of attributes.
const LINE: &str = "secrets.age diff=pbuild merge=pbuild";

/// The entries of the repository's configuration, as pairs of name and value.
const CONFIGURATION: [(&str, &str); 2] =
    [("diff.pbuild.textconv", "pbuild secrets textconv"), ("merge.pbuild.driver", "pbuild secrets merge %O %A %B")];

/// A setting that a repository lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lack {
    /// The attributes of the store.
    Attributes,
    /// The commands of the configuration.
    Driver,
}

/// Lists the settings that the repository of a folder lacks for a store in that folder. The list is empty outside of
/// a git repository.
pub(crate) fn lacks(folder: &Path) -> Vec<Lack> {
    if !is_in_work_tree(folder) {
        return Vec::new();
    }
    let merge = run(folder, ["check-attr", "merge", "--", STORE]);
    let has_attributes = merge.is_some_and(|said| said.trim_end().ends_with("merge: pbuild"));
    let has_driver = CONFIGURATION.iter().all(|(name, _)| run(folder, ["config", "--get", name]).is_some());
    let attributes = (!has_attributes).then_some(Lack::Attributes);
    attributes.into_iter().chain((!has_driver).then_some(Lack::Driver)).collect()
}

/// Makes the settings that the repository of this folder lacks, and returns each with the file that it was written
/// to. Existing entries are not changed.
///
/// # Errors
///
/// Returns an error if the file of attributes cannot be written, or if git fails.
pub(crate) fn set(folder: &Path) -> io::Result<Vec<(Lack, PathBuf)>> {
    let mut done = Vec::new();
    for lack in lacks(folder) {
        match lack {
            Lack::Attributes => {
                let path = folder.join(ATTRIBUTES);
                add_line(&path)?;
                done.push((lack, path));
            }
            Lack::Driver => {
                for (name, value) in CONFIGURATION {
                    if run(folder, ["config", "--get", name]).is_none() {
                        run(folder, ["config", "--local", name, value])
                            .ok_or_else(|| io::Error::other(format!("git config {name} failed")))?;
                    }
                }
                let place = run(folder, ["rev-parse", "--git-path", "config"]).unwrap_or_default();
                done.push((lack, folder.join(place.trim_end())));
            }
        }
    }
    Ok(done)
}

/// Returns true if a file has the marks that git leaves if it cannot merge two versions.
pub(crate) fn has_conflict_marks(path: &Path) -> bool {
    let Ok(content) = fs::read(path) else { return false };
    let mut lines = content.split(|byte| *byte == b'\n');
    lines.any(|line| line.starts_with(b"<<<<<<< ")) && lines.any(|line| line.starts_with(b">>>>>>> "))
}

fn add_line(path: &Path) -> io::Result<()> {
    let mut text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(LINE);
    text.push('\n');
    fs::write(path, text)
}

fn is_in_work_tree(folder: &Path) -> bool {
    run(folder, ["rev-parse", "--is-inside-work-tree"]).is_some_and(|said| said.trim_end() == "true")
}

/// Runs git, and returns its output if it succeeds.
fn run<const WORDS: usize>(folder: &Path, words: [&str; WORDS]) -> Option<String> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let mut git = Command::new("git");
    scrub(&mut git).args(words.map(OsStr::new)).current_dir(folder).stdin(Stdio::null()).stderr(Stdio::null());
    let output = git.output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_gets_what_it_lacks_once() {
        let folder = tempfile::tempdir().unwrap();
        assert!(lacks(folder.path()).is_empty(), "no git");
        run(folder.path(), ["init", "-q"]).expect("git");
        fs::write(folder.path().join(ATTRIBUTES), "*.sh eol=lf").unwrap();
        assert_eq!(lacks(folder.path()), [Lack::Attributes, Lack::Driver]);
        assert_eq!(set(folder.path()).unwrap().len(), 2);
        assert!(lacks(folder.path()).is_empty() && set(folder.path()).unwrap().is_empty());
        let attributes = fs::read_to_string(folder.path().join(ATTRIBUTES)).unwrap();
        assert_eq!(attributes, format!("*.sh eol=lf\n{LINE}\n"));
        let driver = run(folder.path(), ["config", "merge.pbuild.driver"]).unwrap();
        assert_eq!(driver.trim_end(), "pbuild secrets merge %O %A %B");
    }

    #[test]
    fn marks_are_known_at_the_beginnings_of_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for (content, marked) in [
            ("<<<<<<< HEAD\na\n=======\nb\n>>>>>>> x\n", true),
            ("a\n<<<<<<< HEAD\n", false),
            ("a <<<<<<< HEAD\n >>>>>>> x\n", false),
        ] {
            fs::write(&path, content).unwrap();
            assert_eq!(has_conflict_marks(&path), marked, "{content}");
        }
    }
}
