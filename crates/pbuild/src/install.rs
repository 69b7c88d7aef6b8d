//! `pbuild install` and `uninstall`: the entrances through which docker's own commands reach pbuild, and the record
//! of the plugins that were there before.
//!
//! Everything is in docker's folder of this user. A second install leaves every entrance that is already right; the
//! record keeps what was there before the first install.

mod config;
mod record;
mod slot;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pcli::doctor::Observation;
use pengine::Environment;
use pscreen::{Diagnostic, Exit};

use crate::buildx::{self, Buildx};
use crate::edge::{Edge, Failure};
use crate::entrance;
use config::Alias;
pub(crate) use config::ConfigError;
use record::Record;
use slot::Slot;

/// The name of prun's program as a plugin of docker.
const PRUN: &str = "docker-prun";

/// The set of entrances to install.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entrances {
    /// The plugins `docker pbuild` and `docker prun`, and `docker build`.
    Usual,
    /// Also a `docker-buildx`, which compose, bake and docker's own actions call.
    WithBuildx,
}

/// The reasons why the entrances cannot be installed or removed. The record holds everything that was done before the
/// error.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InstallError {
    /// Docker's folder is not known.
    #[error("docker's folder is not known: neither DOCKER_CONFIG nor HOME is set")]
    NoFolder,
    /// A folder that docker searches before its own folder has a buildx.
    #[error("docker would go on to use {}", path.display())]
    Before {
        /// The program.
        path: PathBuf,
    },
    /// Docker's configuration cannot be read or changed.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file cannot be read or changed.
    #[error("failed to change {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

/// Docker's folder of this user, and the program that its entrances lead to.
struct House {
    folder: PathBuf,
    pbuild: PathBuf,
}

impl House {
    fn of_user() -> Result<Self, InstallError> {
        let folder = Environment::of_process().docker_folder().ok_or(InstallError::NoFolder)?;
        let folder = std::path::absolute(&folder).map_err(|source| InstallError::File { path: folder, source })?;
        Ok(Self { folder, pbuild: lasting(own_program()?) })
    }

    fn plugin(&self, name: &str) -> PathBuf {
        self.folder.join("cli-plugins").join(name)
    }

    /// Returns the plugins to install, each with the program that it leads to.
    fn plugins(&self, entrances: Entrances) -> Vec<(&'static str, PathBuf)> {
        let mut plugins = vec![(entrance::OWN.program, self.pbuild.clone())];
        plugins.extend(sibling(&self.pbuild, "prun").map(|prun| (PRUN, prun)));
        if entrances == Entrances::WithBuildx {
            plugins.push((buildx::PROGRAM, self.pbuild.clone()));
        }
        plugins
    }
}

/// Installs the entrances.
///
/// # Errors
/// Returns an [`InstallError`], which names the file.
pub(crate) fn install(entrances: Entrances, edge: &Edge) -> Result<Exit, Failure> {
    let house = House::of_user()?;
    if entrances == Entrances::WithBuildx {
        nothing_before(&house)?;
        // Without a real buildx, no program could carry out the commands that pbuild passes on.
        Buildx::find(Some(&house.folder))?;
    }
    let mut record = Record::read(&house.folder)?;
    record.note_folder(house.folder.join("cli-plugins").exists());
    for (name, target) in house.plugins(entrances) {
        let place = Slot { path: house.plugin(name), target, aside: house.folder.join(record::FOLDER).join(name) };
        let known = record.place(name);
        // The record is written first, so that uninstall knows what was there, whatever happens next.
        if let Some(before) = place.before(known.clone())? {
            record.set_place(name, before);
            record.write(&house.folder)?;
        }
        let change = place.install(known)?;
        if let Some(before) = change.before() {
            record.set_place(name, before);
        }
        record.write(&house.folder)?;
        edge.fact("plugin", &change.to_string());
    }
    let alias = Alias::at(&house.folder)?;
    match alias.install(entrance::OWN.name)? {
        None => edge.fact("alias", &format!("{} has it already", alias.path().display())),
        Some(before) => {
            record.keep_alias(before.clone());
            if let Err(error) = record.write(&house.folder) {
                let _ = Alias::at(&house.folder)?.uninstall(entrance::OWN.name, &before);
                return Err(error.into());
            }
            edge.fact("alias", &format!("{}: `docker build` is pbuild", alias.path().display()));
        }
    }
    Ok(Exit::Done)
}

/// Removes the entrances, and restores what was in their places before.
///
/// # Errors
/// Returns an [`InstallError`], which names the file.
pub(crate) fn uninstall(edge: &Edge) -> Result<Exit, Failure> {
    let house = House::of_user()?;
    let mut record = Record::read(&house.folder)?;
    if record.is_empty() {
        edge.fact("entrances", "none is installed");
        return Ok(Exit::Done);
    }
    for (name, before) in record.places() {
        let aside = house.folder.join(record::FOLDER).join(&name);
        let place = Slot { path: house.plugin(&name), target: house.pbuild.clone(), aside };
        edge.fact("plugin", &place.uninstall(&before)?.to_string());
        record.forget_place(&name);
        record.write(&house.folder)?;
    }
    if let Some(before) = record.alias() {
        let alias = Alias::at(&house.folder)?;
        let text = match alias.uninstall(entrance::OWN.name, &before)? {
            true => "as before",
            false => "is another one now, and stays",
        };
        edge.fact("alias", &format!("{}: {text}", alias.path().display()));
        record.forget_alias();
    }
    record.write(&house.folder)?;
    Ok(Exit::Done)
}

/// Asks docker which buildx it uses, and checks the alias. Only docker knows which plugin it takes: another
/// `DOCKER_CONFIG`, `--config`, or an action that installs a buildx can put a different one first.
pub(crate) fn look() -> Vec<Observation> {
    let folder = Environment::of_process().docker_folder();
    let alias = folder.as_deref().and_then(|folder| Alias::at(folder).ok()).and_then(|alias| alias.present());
    let build = match alias.as_deref() {
        Some(plugin) if plugin == entrance::OWN.name => Observation::ok("docker build", "builds with pbuild"),
        Some(_) | None => {
            Observation::warning("docker build", "is docker's own unless it goes to buildx", "pbuild install")
        }
    };
    let mut docker = Command::new("docker");
    let asked = pcli::scrub(&mut docker).args(["buildx", "version"]).stdin(Stdio::null()).output();
    let buildx = match asked {
        Err(error) => Observation::problem("docker buildx", &Diagnostic::from_error(&error, Exit::Failed)),
        Ok(answer) => {
            let text = String::from_utf8_lossy(&answer.stdout);
            let line = text.lines().next().unwrap_or_default();
            match line.contains(entrance::OWN.name) {
                true => Observation::ok("docker buildx", line),
                false => Observation::problem("docker buildx", &not_ours(line)),
            }
        }
    };
    vec![build, buildx]
}

fn not_ours(line: &str) -> Diagnostic {
    let title = match line {
        "" => "`docker buildx version` says nothing".to_owned(),
        line => format!("builds without pbuild: {line}"),
    };
    Diagnostic::error(title, Exit::Failed)
        .help("run `pbuild install --buildx` after everything that sets up buildx, with the same DOCKER_CONFIG")
}

/// Returns an error if docker finds another buildx before pbuild's, because docker would use that one without a word.
fn nothing_before(house: &House) -> Result<(), InstallError> {
    let own = house.folder.join("cli-plugins");
    let folders = buildx::plugin_folders(Some(&house.folder));
    let before = folders.iter().take_while(|folder| **folder != own).map(|folder| folder.join(buildx::PROGRAM));
    match before.into_iter().find(|path| path.exists()) {
        Some(path) => Err(InstallError::Before { path }),
        None => Ok(()),
    }
}

fn own_program() -> Result<PathBuf, InstallError> {
    let failed = |source| InstallError::File { path: PathBuf::from("/proc/self/exe"), source };
    std::env::current_exe().map_err(failed)
}

/// Returns a path of the program that stays the same after an upgrade: if `PATH` has a link to the program, the link.
fn lasting(program: PathBuf) -> PathBuf {
    let Some(name) = program.file_name().map(ToOwned::to_owned) else { return program };
    let real = program.canonicalize().ok();
    let found = in_path(Path::new(&name)).find(|candidate| candidate.canonicalize().ok() == real);
    found.unwrap_or(program)
}

/// Finds a program in the same folder as another program, or else in `PATH`.
fn sibling(program: &Path, name: &str) -> Option<PathBuf> {
    let beside = program.parent().map(|folder| folder.join(name));
    beside.into_iter().chain(in_path(Path::new(name))).find(|path| path.is_file())
}

fn in_path(name: &Path) -> impl Iterator<Item = PathBuf> {
    let folders: Vec<PathBuf> =
        std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
    let name = name.to_owned();
    folders.into_iter().filter(|folder| folder.is_absolute()).map(move |folder| folder.join(&name))
}
