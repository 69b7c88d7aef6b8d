//! Errors of single subcommands.

use std::io;
use std::path::PathBuf;

use pcredential::ServiceKind;

/// Why a subcommand cannot do what its command line asks for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// `prun logs` names something that does not run.
    #[error("nothing called `{name}` runs in project {project}")]
    NothingRuns {
        /// The name.
        name: String,
        /// The project.
        project: String,
    },
    /// `prun exec` names an instance that does not run.
    #[error("instance {instance} of project `{project}` does not run")]
    InstanceStopped {
        /// Its name.
        instance: String,
        /// The project.
        project: String,
    },
    /// The app has no process of this name.
    #[error("project `{project}` has no process `{process}`")]
    NoProcess {
        /// The name.
        process: String,
        /// The project.
        project: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// No instance has failed since the last roll that succeeded.
    #[error("no instance of project `{project}` has failed since it was started last")]
    NothingFailed {
        /// The project.
        project: String,
    },
    /// The instances wait for their values.
    #[error("the instances of project `{project}` wait for their values, which a restart of the engine took")]
    ValuesGone {
        /// The project.
        project: String,
    },
    /// The project has no other generation of this number.
    #[error("project `{project}` keeps no generation {number} to go back to")]
    NoGeneration {
        /// The project.
        project: String,
        /// The number.
        number: u64,
        /// The numbers that there are.
        kept: Vec<u64>,
    },
    /// The project has had one generation.
    #[error("project `{project}` has no generation before the one that runs")]
    FirstGeneration {
        /// The project.
        project: String,
    },
    /// The image of a generation is gone.
    #[error("the image of generation {number}, {image}, is no longer in the engine")]
    ImageGone {
        /// The generation.
        number: u64,
        /// The image's id.
        image: String,
    },
    /// `prun injected --reveal` names a variable that does not exist.
    #[error("instances have no variable `{name}`")]
    NoVariable {
        /// The variable.
        name: String,
    },
    /// A project has no service of this name.
    #[error("project {project} has no service `{service}`")]
    NoService {
        /// The project.
        project: String,
        /// The service.
        service: String,
    },
    /// Only a service that is in use has a credential to rotate.
    #[error("project {project} uses no service `{service}`")]
    UnusedService {
        /// The project.
        project: String,
        /// The service.
        service: String,
        /// The services that are in use.
        used: Vec<String>,
    },
    /// A project has a service of this name already.
    #[error("project {project} has a service `{service}` already")]
    ServiceExists {
        /// The project.
        project: String,
        /// The service.
        service: String,
    },
    /// The data of a service is of another kind than the plan's.
    #[error("service `{service}` and its data are {sealed}; the plan says {planned}")]
    KindOfData {
        /// The service.
        service: String,
        /// The kind of its data.
        sealed: ServiceKind,
        /// The kind in the plan.
        planned: ServiceKind,
    },
    /// The manifest would bring a removed service back.
    #[error("service `{service}` is declared in app.toml:{line}")]
    ServiceDeclared {
        /// The service.
        service: String,
        /// The line of the manifest that declares it.
        line: usize,
    },
    /// Data that prun did not make is not removed.
    #[error("volume {volume} was made by others and is not removed")]
    AdoptedVolume {
        /// The volume.
        volume: String,
    },
    /// Data is still there after it was removed.
    #[error("volume {name} is still there, so the credentials of the project stay")]
    NotRemoved {
        /// The volume.
        name: String,
    },
    /// There is no data to take over.
    #[error("there is no volume `{volume}`")]
    NoVolumeToImport {
        /// The volume.
        volume: String,
    },
    /// There is no data whose passwords could be set anew.
    #[error("there is no volume `{volume}`")]
    NoVolumeToReset {
        /// The volume.
        volume: String,
    },
    /// Standard input holds no password that a service takes.
    #[error("the password of the administrator of `{service}` is missing or cannot be used")]
    AdministratorPassword {
        /// The service.
        service: String,
    },
    /// MongoDB lets nobody in without its password.
    #[error("MongoDB has no way in without a password")]
    ResetOfMongodb {
        /// The service.
        service: String,
    },
    /// `--tty` without a terminal.
    #[error("--tty: standard input is not a terminal")]
    NoTerminal,
    /// `prun run --detach`.
    #[error("--detach: prun run stays in the foreground")]
    Detached,
    /// The project has nothing that runs before the app.
    #[error("the project has no init commands")]
    NoInit,
    /// No init command has this name.
    #[error("no init command is called `{name}`")]
    UnknownInit {
        /// The name.
        name: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// The systemd unit cannot be written where it should lie.
    #[error("cannot write {}: {source}", path.display())]
    Unit {
        /// The unit's file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}
