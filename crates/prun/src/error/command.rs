//! The errors of single subcommands.

use std::io;
use std::path::PathBuf;

use pcredential::ServiceKind;

/// The reason why a subcommand cannot do what the command line asks for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// `prun logs` names an instance or a service that does not run.
    #[error("nothing called `{name}` runs in project {project}")]
    NothingRuns {
        /// The name of the instance, process or service.
        name: String,
        /// The project.
        project: String,
    },
    /// `prun exec` names an instance that does not run.
    #[error("instance {instance} of project `{project}` does not run")]
    InstanceStopped {
        /// The instance's name.
        instance: String,
        /// The project.
        project: String,
    },
    /// The app has no process of this name.
    #[error("project `{project}` has no process `{process}`")]
    NoProcess {
        /// The process's name.
        process: String,
        /// The project.
        project: String,
        /// The names of the app's processes.
        known: Vec<String>,
    },
    /// No instance has failed since the last roll that succeeded.
    #[error("no instance of project `{project}` has failed since it was started last")]
    NothingFailed {
        /// The project.
        project: String,
    },
    /// The instances do not run because they wait for their values.
    #[error("the instances of project `{project}` wait for their values, which a restart of the engine took")]
    ValuesGone {
        /// The project.
        project: String,
    },
    /// The project does not keep a generation of this number, or that generation runs already.
    #[error("project `{project}` keeps no generation {number} to go back to")]
    NoGeneration {
        /// The project.
        project: String,
        /// The number.
        number: u64,
        /// The numbers of the generations that are kept.
        kept: Vec<u64>,
    },
    /// The project has only ever had one generation.
    #[error("project `{project}` has no generation before the one that runs")]
    FirstGeneration {
        /// The project.
        project: String,
    },
    /// The engine no longer has the image of a generation.
    #[error("the image of generation {number}, {image}, is no longer in the engine")]
    ImageGone {
        /// The generation.
        number: u64,
        /// The image's id.
        image: String,
    },
    /// `prun injected --reveal` names a variable that instances do not have.
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
    /// The app does not use the service, so its credential cannot be rotated.
    #[error("project {project} uses no service `{service}`")]
    UnusedService {
        /// The project.
        project: String,
        /// The service.
        service: String,
        /// The services that the app uses.
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
    /// The data of a service is of another kind than the plan's service.
    #[error("service `{service}` and its data are {sealed}; the plan says {planned}")]
    KindOfData {
        /// The service.
        service: String,
        /// The kind of the data.
        sealed: ServiceKind,
        /// The kind in the plan.
        planned: ServiceKind,
    },
    /// The manifest makes an external service of one that prun runs, or the other way round.
    #[error("service `{service}` is {}; app.toml says otherwise", if *is_own { "prun's own, with data of this project" } else { "a server that others run" })]
    OwnAndExternal {
        /// The service.
        service: String,
        /// Whether prun runs the service.
        is_own: bool,
    },
    /// The data of a service has another database than the one in the plan.
    #[error("the data of service `{service}` has the database `{sealed}`; app.toml says `{planned}`")]
    DatabaseOfData {
        /// The service.
        service: String,
        /// The database that the app uses.
        sealed: String,
        /// The database in the plan.
        planned: String,
    },
    /// An external server is new or has moved, and the secret with its login has no value.
    #[error("the login for service `{service}`, secret `{secret}`, has no value here")]
    ExternalWithoutLogin {
        /// The service.
        service: String,
        /// The secret.
        secret: String,
    },
    /// prun did not make the login of an external service, so it cannot rotate it.
    #[error("the login of service `{service}` was made by others, and prun cannot change it")]
    NotRotated {
        /// The service.
        service: String,
    },
    /// A container of others uses the volume. Two servers on one folder would destroy the data in it.
    #[error("volume `{volume}` is in use by container `{container}`, which is not of this project")]
    VolumeInUse {
        /// The volume.
        volume: String,
        /// The container.
        container: String,
    },
    /// The service does not run, so its client cannot be used.
    #[error("service `{service}` of project `{project}` does not run")]
    ServiceStopped {
        /// The service.
        service: String,
        /// The project.
        project: String,
    },
    /// The app does not have this database in the service.
    #[error("service `{service}` has no database `{database}` of the app")]
    NoDatabase {
        /// The service.
        service: String,
        /// The database's name.
        database: String,
        /// The names of the app's databases.
        known: Vec<String>,
    },
    /// Standard output is a terminal, and a dump would fill it.
    #[error("standard output is a terminal, and a dump is not for reading")]
    DumpToTerminal {
        /// The service.
        service: String,
    },
    /// Standard input is a terminal, and a dump comes from a file or a pipe.
    #[error("standard input is a terminal, and no dump comes from there")]
    LoadFromTerminal {
        /// The service.
        service: String,
    },
    /// A load would replace data, and the user did not ask for that.
    #[error("service `{service}` holds data already: {held}; nothing was read or changed")]
    HoldsData {
        /// The service.
        service: String,
        /// The amount of data, in words.
        held: String,
    },
    /// The service is MongoDB. Only MongoDB's own programs read and write its dumps.
    #[error("prun neither dumps nor loads MongoDB")]
    DumpOfMongodb {
        /// The service.
        service: String,
    },
    /// The service is an external one. prun does not replace the data of external servers.
    #[error("service `{service}` is a server that others run, and prun loads nothing into it")]
    LoadIntoExternal {
        /// The service.
        service: String,
    },
    /// The service cannot be removed while the manifest declares it, because the next start would make it again.
    #[error("service `{service}` is declared in app.toml:{line}")]
    ServiceDeclared {
        /// The service.
        service: String,
        /// The line of the manifest that declares it.
        line: usize,
    },
    /// prun did not make this volume, so it does not remove the volume.
    #[error("volume {volume} was made by others and is not removed")]
    AdoptedVolume {
        /// The volume.
        volume: String,
    },
    /// A volume still exists after its removal.
    #[error("volume {name} is still there, so the credentials of the project stay")]
    NotRemoved {
        /// The volume.
        name: String,
    },
    /// There is no volume whose data could be imported.
    #[error("there is no volume `{volume}`")]
    NoVolumeToImport {
        /// The volume.
        volume: String,
    },
    /// There is no volume whose passwords could be reset.
    #[error("there is no volume `{volume}`")]
    NoVolumeToReset {
        /// The volume.
        volume: String,
    },
    /// Standard input does not hold a password that the service can use.
    #[error("the password of the administrator of `{service}` is missing or cannot be used")]
    AdministratorPassword {
        /// The service.
        service: String,
    },
    /// MongoDB cannot be reset, because it has no way to log in without a password.
    #[error("MongoDB has no way in without a password")]
    ResetOfMongodb {
        /// The service.
        service: String,
    },
    /// `--tty` was given, but standard input is not a terminal.
    #[error("--tty: standard input is not a terminal")]
    NoTerminal,
    /// `prun run` was given `--detach`.
    #[error("--detach: prun run stays in the foreground")]
    Detached,
    /// The project has no init commands.
    #[error("the project has no init commands")]
    NoInit,
    /// No init command has this name.
    #[error("no init command is called `{name}`")]
    UnknownInit {
        /// The name.
        name: String,
        /// The names of the init commands.
        known: Vec<String>,
    },
    /// The page cannot listen on its port.
    #[error("cannot listen on 127.0.0.1:{port}: {source}")]
    PagePort {
        /// The port; 0 stands for any free port.
        port: u16,
        /// The cause.
        source: io::Error,
    },
    /// The page is asked for a project that it does not show.
    #[error("this page does not show project `{project}`")]
    NotOnPage {
        /// The project.
        project: String,
    },
    /// The page asked for an errand while another one is running.
    #[error("prun is still busy with what the page asked for before")]
    ErrandUnderWay,
    /// The systemd unit cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Unit {
        /// The unit's file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}
