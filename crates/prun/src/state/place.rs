//! The place of a project's state: a volume of the engine, with one file for each version.
//!
//! The holders of values mount the volume, too, so that a prune of the engine does not remove it while the app runs.
//! Any container that mounts the volume serves to read its files, running or not. Only the holder of the lock changes
//! the files.

use bollard::models::{ContainerCreateBody, HostConfig};
use pcredential::Ledger;
use pengine::Engine;

use crate::engine::containers::{self, Access};
use crate::error::{RunError, engine, is_missing};
use crate::instance::holder;
use crate::names::{self, Project, Role};

/// The file with the names of the operators, which anybody may read.
pub(crate) const OPERATORS: &str = "operators";
/// The prefix of the file names of versions.
const VERSION: &str = "state.";
/// The prefix of the file names of uploads.
pub(crate) const UPLOAD: &str = "new.";
/// How often a read of the state is tried. An attempt fails if the container that it reads through goes away.
const TRIES: u32 = 5;

/// The newest version of a state, as it lies on the engine.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    /// The version's number; 0 when there is none yet.
    pub(crate) number: u64,
    /// The sealed document.
    pub(crate) sealed: Vec<u8>,
    /// The names of the operators, for people to read. Nothing proves that the names are right.
    pub(crate) operators: Vec<String>,
    /// Files that a killed command has left.
    pub(crate) leftovers: Vec<String>,
}

/// The place of one project's state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// The engine.
    pub(crate) host: &'a Engine,
    /// The project's name.
    pub(crate) project: &'a str,
}

impl Place<'_> {
    /// Returns the name of the volume, which is also the name of the lock's container.
    #[must_use]
    pub(crate) fn name(&self) -> String {
        Project::new(self.project, "").state()
    }

    /// Reads the owner's mark on the volume; `None` if there is no volume.
    ///
    /// # Errors
    ///
    /// Returns [`RunError::Foreign`] if the volume does not belong to a project of this name, and
    /// [`RunError::Engine`].
    pub(crate) async fn owner(&self) -> Result<Option<String>, RunError> {
        let name = self.name();
        let volume = match self.host.docker().inspect_volume(&name).await {
            Ok(volume) => volume,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(engine(|| format!("look at volume {name}"))(error)),
        };
        let labels = Some(&volume.labels);
        match names::label(labels, names::OWNER) {
            Some(owner) if names::label(labels, names::PROJECT) == Some(self.project) => Ok(Some(owner.to_owned())),
            _ => Err(RunError::Foreign { kind: "volume", name }),
        }
    }

    /// Makes sure that there is a volume, and returns its owner's mark. The mark is `owner`, unless another command
    /// has created the volume before.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Place::owner`].
    pub(crate) async fn ensure(&self, owner: &str) -> Result<String, RunError> {
        let project = Project::new(self.project, owner);
        let labels = project.labels(Role::State, &[]);
        match containers::ensure_volume(self.host, &project, &self.name(), labels, &[]).await {
            Ok(()) | Err(RunError::Foreign { .. }) => {}
            Err(error) => return Err(error),
        }
        // If two commands create the volume at the same time, the engine gives both the same volume, with the labels
        // of the first.
        Ok(self.owner().await?.unwrap_or_else(|| owner.to_owned()))
    }

    /// Reads the newest version. Returns `None` if there is no volume.
    ///
    /// # Errors
    ///
    /// Returns an error if the engine refuses a request.
    pub(crate) async fn read(&self) -> Result<Option<Stored>, RunError> {
        let Some(owner) = self.owner().await? else { return Ok(None) };
        let project = Project::new(self.project, &owner);
        let mut last = None;
        for _ in 0..TRIES {
            let through = containers::mounting(self.host, &project, &self.name(), Role::Values).await?;
            let read = match through {
                Some(holder) => containers::files(self.host, &holder, pshim::STATE).await,
                None => self.read_through_its_own(&project).await?,
            };
            match read {
                Ok(files) => return Ok(Some(newest(files))),
                // The holder was removed, or a version was replaced, while its files were read.
                Err(error) => last = Some(error),
            }
        }
        let error = last.expect("a try that failed");
        Err(engine(|| format!("read the state of {}", self.project))(error))
    }

    /// Reads the files through a container that is created for this read and never runs.
    async fn read_through_its_own(
        &self,
        project: &Project,
    ) -> Result<Result<Vec<(String, Vec<u8>)>, bollard::errors::Error>, RunError> {
        let name = format!("{}.{}", self.name(), Ledger::fresh_owner());
        let body = ContainerCreateBody {
            image: Some(holder::image(self.host).await?),
            cmd: Some(vec![holder::PROGRAM.to_owned(), "done".to_owned()]),
            labels: Some(project.labels(Role::State, &[])),
            host_config: Some(HostConfig {
                mounts: Some(vec![containers::mount(&self.name(), pshim::STATE, Access::Read)]),
                restart_policy: None,
                ..holder::bare("none")
            }),
            ..ContainerCreateBody::default()
        };
        let id = containers::create(self.host, project, &name, body).await?;
        let files = containers::files(self.host, &id, pshim::STATE).await;
        containers::discard(self.host, &id).await?;
        Ok(files)
    }

    /// Removes the volume.
    ///
    /// # Errors
    ///
    /// Returns an error if the engine refuses, for example because a container still mounts it.
    pub(crate) async fn remove(&self) -> Result<(), RunError> {
        containers::remove_volume(self.host, &self.name()).await
    }
}

/// Returns the file name of a version.
#[must_use]
pub(crate) fn file_of(number: u64) -> String {
    format!("{VERSION}{number}")
}

/// Finds the newest version among the files of the folder.
fn newest(files: Vec<(String, Vec<u8>)>) -> Stored {
    let mut stored = Stored::default();
    for (path, content) in files {
        let name = path.rsplit('/').next().unwrap_or_default();
        if name == OPERATORS {
            let text = String::from_utf8_lossy(&content).into_owned();
            stored.operators = text.lines().take(50).map(|line| pscreen::one_line(line).to_string()).collect();
        } else if name.starts_with(UPLOAD) {
            stored.leftovers.push(name.to_owned());
        } else if let Some(number) = name.strip_prefix(VERSION).and_then(|number| number.parse().ok())
            && number > stored.number
        {
            (stored.number, stored.sealed) = (number, content);
        }
    }
    stored
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_is_the_one_with_the_highest_number() {
        let file = |name: &str, content: &str| (format!("state/{name}"), content.as_bytes().to_vec());
        let stored = newest(vec![
            ("state/".to_owned(), Vec::new()),
            file("state.9", "nine"),
            file("state.10", "ten"),
            file("new.17", "half"),
            file("operators", "one@host\ntwo\n"),
            file("state.x", "no number"),
        ]);
        assert_eq!((stored.number, stored.sealed.as_slice()), (10, &b"ten"[..]));
        assert_eq!(stored.operators, ["one@host", "two"]);
        assert_eq!(stored.leftovers, ["new.17"]);
        assert_eq!(newest(Vec::new()).number, 0);
    }
}
