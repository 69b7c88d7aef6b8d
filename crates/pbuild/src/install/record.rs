//! The record of what was in the places of the entrances before the first install.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::InstallError;
use super::config::AliasBefore;
use crate::buildx::RECORD;
use crate::files::replace::replace;

/// pbuild's own folder below docker's folder, and the name of the record in it.
pub(super) const FOLDER: &str = RECORD[0];
const FILE: &str = RECORD[1];

/// What was in the place of a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Before {
    /// Nothing was there.
    Nothing,
    /// A link was there, with this target.
    Link(PathBuf),
    /// A program was there. It is now in pbuild's folder, under the same name.
    Moved,
}

/// The record of what was there before the first install.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    #[serde(default)]
    plugins: BTreeMap<String, Before>,
    #[serde(default)]
    alias: Option<AliasBefore>,
    /// Whether the install has made the folder of plugins.
    #[serde(default)]
    folder_is_new: bool,
}

impl Record {
    /// Reads the record. If there is no file, returns an empty record, which means that nothing is installed.
    pub(super) fn read(docker_folder: &Path) -> Result<Self, InstallError> {
        let path = path(docker_folder);
        let failed = |source| InstallError::File { path: path.clone(), source };
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| failed(error.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(failed(error)),
        }
    }

    /// Writes the record. Removes an empty record, together with pbuild's folder if nothing else is in it.
    pub(super) fn write(&self, docker_folder: &Path) -> Result<(), InstallError> {
        let path = path(docker_folder);
        let failed = |source| InstallError::File { path: path.clone(), source };
        let folder = docker_folder.join(FOLDER);
        if self.is_empty() {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
                Ok(()) | Err(_) => {}
            }
            // Removing a folder fails if an uninstall has left a file in it, so that folder stays.
            let _ = fs::remove_dir(folder);
            if self.folder_is_new {
                let _ = fs::remove_dir(docker_folder.join("cli-plugins"));
            }
            return Ok(());
        }
        fs::create_dir_all(folder).map_err(failed)?;
        let text = serde_json::to_vec_pretty(self).map_err(|error| failed(error.into()))?;
        replace(&path, &text).map_err(failed)
    }

    /// Returns whether nothing is installed.
    pub(super) fn is_empty(&self) -> bool {
        self.plugins.is_empty() && self.alias.is_none()
    }

    /// Notes whether the folder of plugins existed before the first install.
    pub(super) fn note_folder(&mut self, exists: bool) {
        if self.is_empty() {
            self.folder_is_new = !exists;
        }
    }

    /// Returns what was in a plugin's place before the first install, or `None` if the record lacks the plugin.
    pub(super) fn place(&self, name: &str) -> Option<Before> {
        self.plugins.get(name).cloned()
    }

    /// Returns all plugins, and what was in the place of each.
    pub(super) fn places(&self) -> Vec<(String, Before)> {
        self.plugins.iter().map(|(name, before)| (name.clone(), before.clone())).collect()
    }

    pub(super) fn set_place(&mut self, name: &str, before: Before) {
        self.plugins.insert(name.to_owned(), before);
    }

    pub(super) fn forget_place(&mut self, name: &str) {
        self.plugins.remove(name);
    }

    /// Returns the state of docker's alias before the install.
    pub(super) fn alias(&self) -> Option<AliasBefore> {
        self.alias.clone()
    }

    /// Keeps the state of docker's alias before this install. If the user has changed the alias since an earlier
    /// install, the newer state replaces the older one.
    pub(super) fn keep_alias(&mut self, before: AliasBefore) {
        self.alias = Some(before);
    }

    pub(super) fn forget_alias(&mut self) {
        self.alias = None;
    }
}

fn path(docker_folder: &Path) -> PathBuf {
    docker_folder.join(FOLDER).join(FILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_is_what_was_kept_last_and_goes_with_the_last_entrance() {
        let folder = tempfile::tempdir().unwrap();
        let mut record = Record::read(folder.path()).unwrap();
        assert!(record.is_empty());
        record.set_place("docker-pbuild", Before::Link("/x".into()));
        record.keep_alias(AliasBefore::NoAlias);
        record.keep_alias(AliasBefore::NoFile);
        record.write(folder.path()).unwrap();
        let mut read = Record::read(folder.path()).unwrap();
        assert_eq!(read, record);
        assert_eq!(read.alias(), Some(AliasBefore::NoFile));
        read.forget_place("docker-pbuild");
        read.forget_alias();
        read.write(folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
