//! The real buildx: docker's own plugin, which does everything that pbuild does not do itself.
//!
//! [`Buildx::find`] searches the folders where docker looks for its plugins, in docker's order. It passes over a
//! `docker-buildx` that is pbuild, which `pbuild install --buildx` makes. That command moves the real buildx to
//! [`moved`].

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// The name of buildx's program in docker's plugin folders.
pub(crate) const PROGRAM: &str = "docker-buildx";

/// The folders of docker's own plugins, in docker's order (docker/cli `cli-plugins/manager`).
const SYSTEM_FOLDERS: [&str; 4] = [
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
];

/// The variable that is set for the program that pbuild takes for the real buildx. If that program is another pbuild,
/// the variable stops it from searching again.
pub(crate) const HANDED_ON: &str = "PBUILD_HANDED_ON";

/// Docker's variables for its plugins (docker/cli `cli-plugins/manager`, `cli-plugins/socket`). A plugin that has the
/// first one expects docker's command line; a plugin that has the second one ends when that socket closes.
const OF_PLUGINS: [&str; 2] = ["DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND", "DOCKER_CLI_PLUGIN_SOCKET"];

/// The real buildx.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Buildx {
    program: PathBuf,
}

/// The reasons why the real buildx cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildxError {
    /// There is no buildx.
    #[error("docker's own buildx was not found")]
    Absent {
        /// The folders that were searched.
        folders: Vec<PathBuf>,
    },
    /// Another pbuild was taken for the real buildx, and would hand the command back.
    #[error("the buildx that was found is another pbuild")]
    Circle,
    /// The program did not start.
    #[error("failed to start {}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The program ended with an error.
    #[error("buildx could not read the bake definition")]
    Failed {
        /// What the program printed to standard error.
        said: String,
    },
}

impl Buildx {
    /// Finds the real buildx. `docker_folder` is docker's own folder of this user.
    ///
    /// # Errors
    /// Returns an error if no real buildx is found.
    pub(crate) fn find(docker_folder: Option<&Path>) -> Result<Self, BuildxError> {
        if std::env::var_os(HANDED_ON).is_some() {
            return Err(BuildxError::Circle);
        }
        let own = std::env::current_exe().and_then(|program| program.canonicalize()).ok();
        let folders = plugin_folders(docker_folder);
        let known = docker_folder.map(moved).into_iter().chain(docker_folder.and_then(linked));
        let candidates = known.chain(folders.iter().map(|folder| folder.join(PROGRAM)));
        let found = candidates.into_iter().find(|program| is_real(program, own.as_deref()));
        found.map(|program| Self { program }).ok_or(BuildxError::Absent { folders })
    }

    fn command(&self, words: impl IntoIterator<Item = OsString>) -> Command {
        let mut command = Command::new(&self.program);
        pcli::scrub(&mut command).args(words).env(HANDED_ON, "1");
        command
    }

    /// Runs buildx to its end on a thread of its own, as [`Self::ask`] does.
    ///
    /// # Errors
    /// Returns an error if buildx does not start, or if it fails.
    pub(crate) async fn answer(&self, words: Vec<OsString>) -> Result<Vec<u8>, BuildxError> {
        let buildx = self.clone();
        let asking = tokio::task::spawn_blocking(move || buildx.ask(words)).await;
        asking.unwrap_or_else(|error| {
            Err(BuildxError::Start { program: self.program.clone(), source: io::Error::other(error) })
        })
    }

    /// Runs buildx to its end with this process's standard input, as a program and not as docker's plugin, and
    /// returns what it printed.
    ///
    /// # Errors
    /// Returns an error if buildx does not start, or if it fails.
    pub(crate) fn ask(&self, words: Vec<OsString>) -> Result<Vec<u8>, BuildxError> {
        let mut command = self.command(words);
        command.stdin(Stdio::inherit()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for variable in OF_PLUGINS {
            command.env_remove(variable);
        }
        let output = command.output();
        let output = output.map_err(|source| BuildxError::Start { program: self.program.clone(), source })?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(BuildxError::Failed { said: String::from_utf8_lossy(&output.stderr).trim().to_owned() })
    }

    /// Replaces this process by buildx, as a program and not as docker's plugin. Returns only if that fails.
    pub(crate) fn become_itself(&self, words: impl IntoIterator<Item = OsString>) -> BuildxError {
        let mut command = self.command(words);
        for variable in OF_PLUGINS {
            command.env_remove(variable);
        }
        BuildxError::Start { program: self.program.clone(), source: command.exec() }
    }

    /// Replaces this process by buildx, with the arguments and the variables that docker gave. Returns only if that
    /// fails.
    pub(crate) fn become_it(&self, words: impl IntoIterator<Item = OsString>) -> BuildxError {
        let source = self.command(words).exec();
        BuildxError::Start { program: self.program.clone(), source }
    }
}

/// Returns the path to which `pbuild install` moves a buildx that is in its way. The path is outside of every plugin
/// folder, because docker takes every program in those folders for a plugin.
pub(crate) fn moved(docker_folder: &Path) -> PathBuf {
    docker_folder.join(RECORD[0]).join(PROGRAM)
}

/// The file, below docker's folder, that records what was in the places of the plugins before `pbuild install`.
pub(crate) const RECORD: [&str; 2] = ["pbuild", "installed.json"];

/// Returns the target of the link that `pbuild install` has replaced.
fn linked(docker_folder: &Path) -> Option<PathBuf> {
    let record = fs::read(docker_folder.join(RECORD[0]).join(RECORD[1])).ok()?;
    let record: Value = serde_json::from_slice(&record).ok()?;
    let target = record["plugins"][PROGRAM]["link"].as_str()?;
    // A link's relative target starts at the link's own folder.
    Some(docker_folder.join("cli-plugins").join(target))
}

/// Returns the folders in which docker looks for plugins, in docker's order.
pub(crate) fn plugin_folders(docker_folder: Option<&Path>) -> Vec<PathBuf> {
    let configuration = docker_folder.and_then(|folder| fs::read(folder.join("config.json")).ok());
    let configuration: Value = configuration.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    let extra = configuration["cliPluginsExtraDirs"].as_array().into_iter().flatten();
    let extra = extra.filter_map(Value::as_str).map(PathBuf::from);
    let own = docker_folder.map(|folder| folder.join("cli-plugins"));
    extra.chain(own).chain(SYSTEM_FOLDERS.map(PathBuf::from)).collect()
}

/// Returns whether `program` can be started and is not `own`.
fn is_real(program: &Path, own: Option<&Path>) -> bool {
    let executable = |metadata: &fs::Metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0;
    let Ok(real) = program.canonicalize() else { return false };
    fs::metadata(&real).is_ok_and(|metadata| executable(&metadata)) && own != Some(real.as_path())
        // A link may lead to another copy of pbuild, whose path is not `own`.
        && real.file_name() != Some(OsStr::new("pbuild"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn program(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn docker_s_order_counts_and_pbuild_itself_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let docker = folder.path().join("docker");
        let extra = folder.path().join("extra");
        let own = docker.join("cli-plugins").join(PROGRAM);
        fs::create_dir_all(own.parent().unwrap()).unwrap();
        symlink(std::env::current_exe().unwrap(), &own).unwrap();
        let configuration = serde_json::json!({ "cliPluginsExtraDirs": [extra] }).to_string();
        fs::write(docker.join("config.json"), configuration).unwrap();
        assert_eq!(plugin_folders(Some(&docker))[..2], [extra.clone(), docker.join("cli-plugins")]);

        program(&extra.join(PROGRAM));
        assert_eq!(Buildx::find(Some(&docker)).unwrap().program, extra.join(PROGRAM));
        program(&docker.join("elsewhere"));
        let record = serde_json::json!({ "plugins": { PROGRAM: { "link": "../elsewhere" } } }).to_string();
        fs::create_dir_all(docker.join("pbuild")).unwrap();
        fs::write(docker.join("pbuild/installed.json"), record).unwrap();
        assert_eq!(Buildx::find(Some(&docker)).unwrap().program, docker.join("cli-plugins/../elsewhere"));
        program(&moved(&docker));
        assert_eq!(Buildx::find(Some(&docker)).unwrap().program, moved(&docker));
    }

    #[test]
    fn what_cannot_be_started_or_is_a_pbuild_is_not_buildx() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        program(&path("pbuild"));
        program(&path("real"));
        fs::write(path("text"), "").unwrap();
        symlink(path("pbuild"), path("link")).unwrap();
        symlink(path("absent"), path("broken")).unwrap();
        let own = path("real").canonicalize().unwrap();
        assert!(is_real(&path("real"), None));
        assert!(!is_real(&path("real"), Some(&own)));
        for name in ["link", "text", "broken", "absent"] {
            assert!(!is_real(&path(name), None), "{name}");
        }
    }
}
