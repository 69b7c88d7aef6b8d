//! What this user remembers of projects: which projects the user operates, from which folders, and which version of
//! their state was seen last.
//!
//! Nothing in a checkout proves which project its manifest describes, because a name can be copied. So a project
//! hands out values only in a folder from which this user has started it, or that the user has named with `prun
//! adopt`. The memory also reveals a state that is older than the version that was seen last, or whose author did not
//! know the key of that version.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::RunError;
use crate::state::document::Document;
use crate::state::error::StateError;

/// The name of the file in the folder of states.
const NAME: &str = "projects.json";

/// The projects that this user operates, by their ids.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Projects {
    version: u32,
    projects: BTreeMap<String, Project>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Project {
    name: String,
    /// The newest version of the state that was seen.
    number: u64,
    /// The fingerprint of the key in that version.
    key: String,
    /// The folders of the manifests from which the project is operated.
    folders: Vec<PathBuf>,
}

/// The file with a user's memory of projects. Without a home directory there is no file, and nothing is remembered.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    file: Option<PathBuf>,
}

impl Memory {
    /// Refers to the memory in the folder of states, without reading it.
    #[must_use]
    pub(crate) fn in_folder(folder: Option<&Path>) -> Self {
        Self { file: folder.map(|folder| folder.join(NAME)) }
    }

    fn read(&self) -> Projects {
        let text = self.file.as_deref().and_then(pvault::read_list).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Returns whether the user operates the project of this id; if a folder is given, from that folder.
    #[must_use]
    pub(crate) fn knows(&self, owner: &str, folder: Option<&Path>) -> bool {
        let projects = self.read().projects;
        let here = |project: &Project| folder.is_none_or(|folder| project.folders.iter().any(|known| known == folder));
        projects.get(owner).is_some_and(here)
    }

    /// Checks that a document is not older than the version that was seen last, and that its author knew the key of
    /// that version.
    ///
    /// # Errors
    ///
    /// Returns [`StateError::Older`] or [`StateError::OtherOrigin`].
    pub(crate) fn check(&self, document: &Document) -> Result<(), StateError> {
        let Some(project) = self.read().projects.remove(&document.owner) else { return Ok(()) };
        let name = document.project.clone();
        if !document.follows(&project.key) {
            return Err(StateError::OtherOrigin { project: name });
        }
        if document.number < project.number {
            return Err(StateError::Older { project: name, found: document.number, seen: project.number });
        }
        Ok(())
    }

    /// Remembers a document that this user has read or written, and the folder of the manifest, if there is one.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be written.
    pub(crate) fn remember(&self, document: &Document, folder: Option<&Path>) -> Result<(), RunError> {
        let change = |project: &mut Project| {
            project.name.clone_from(&document.project);
            project.number = document.number;
            project.key = document.fingerprint();
            let known = |folder: &&Path| !project.folders.iter().any(|known| known == folder);
            if let Some(folder) = folder.filter(known) {
                project.folders.push(folder.to_owned());
            }
        };
        let mut before = self.read().projects.remove(&document.owner).unwrap_or_default();
        let after = {
            let mut after = before.clone();
            change(&mut after);
            after
        };
        if std::mem::take(&mut before) == after {
            return Ok(());
        }
        self.change(|projects| change(projects.entry(document.owner.clone()).or_default()))
    }

    /// Forgets a project.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be written.
    pub(crate) fn forget(&self, owner: &str) -> Result<(), RunError> {
        if !self.read().projects.contains_key(owner) {
            return Ok(());
        }
        self.change(|projects| {
            projects.remove(owner);
        })
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, Project>)) -> Result<(), RunError> {
        let Some(file) = &self.file else { return Ok(()) };
        pvault::change_list(file, |text| {
            let mut known: Projects = serde_json::from_str(text).unwrap_or_default();
            known.version = 1;
            change(&mut known.projects);
            let mut text = serde_json::to_string_pretty(&known).expect("texts and numbers are JSON");
            text.push('\n');
            text
        })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use pcredential::Ledger;

    use super::*;

    fn document(number: u64) -> Document {
        let mut document = Document::new(&Ledger::owned_by("shop", "mark"), "one", "age1one");
        document.number = number;
        document
    }

    #[test]
    fn a_project_is_known_where_it_was_operated_and_not_in_a_copy() {
        let folder = tempfile::tempdir().unwrap();
        let memory = Memory::in_folder(Some(&folder.path().join("prun")));
        let (here, copy) = (Path::new("/srv/shop"), Path::new("/tmp/copy"));
        assert!(!memory.knows("mark", None));
        assert!(!folder.path().join("prun").exists(), "looking creates nothing");
        memory.remember(&document(1), Some(here)).unwrap();
        assert!(memory.knows("mark", Some(here)));
        assert!(!memory.knows("mark", Some(copy)));
        assert!(memory.knows("mark", None));
        assert!(!memory.knows("other", Some(here)));
        memory.forget("mark").unwrap();
        assert!(!memory.knows("mark", Some(here)));
    }

    #[test]
    fn an_older_state_and_one_of_another_origin_are_found_out() {
        let folder = tempfile::tempdir().unwrap();
        let memory = Memory::in_folder(Some(folder.path()));
        let mut newest = document(7);
        assert!(memory.check(&newest).is_ok(), "the first one is believed");
        memory.remember(&newest, None).unwrap();
        newest.number = 6;
        assert!(matches!(memory.check(&newest), Err(StateError::Older { found: 6, seen: 7, .. })));
        newest.number = 8;
        assert!(memory.check(&newest).is_ok());
        assert!(matches!(memory.check(&document(8)), Err(StateError::OtherOrigin { .. })));
    }
}
