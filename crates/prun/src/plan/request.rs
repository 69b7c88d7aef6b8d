//! The requests that the commands carry out: checked types, into which the flags are turned once.

use std::path::PathBuf;

use pcli::resolve::SecretSources;

use super::PlannedService;
use super::order::Order;

/// How the user says which project a command is about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Choice {
    /// The project's name.
    pub(crate) name: Option<String>,
    /// The manifest that names it.
    pub(crate) config: Option<PathBuf>,
}

/// Which connections to an engine may carry secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// Every connection. There is a warning if others can read it.
    Any,
    /// Only a connection that others cannot read on the way.
    Private,
}

/// How a command is attached to the caller's terminal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attachment {
    /// Whether standard input is passed on.
    pub(crate) interactive: bool,
    /// Whether the command gets a terminal.
    pub(crate) tty: bool,
}

/// The fate of the data of services, and of their credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    /// Data and credentials stay.
    Kept,
    /// Data and credentials are removed when the user has typed a name.
    RemovedOnConfirmation,
    /// Data and credentials are removed.
    Removed,
}

/// A start, or the part of one that `prun run` needs.
#[derive(Clone, Debug)]
pub(crate) struct StartRequest {
    /// The flags about the app.
    pub(crate) order: Order,
    /// The manifest that was named.
    pub(crate) config: Option<PathBuf>,
    /// Where the values of the secrets come from.
    pub(crate) sources: SecretSources,
    /// Which connections may carry the secrets.
    pub(crate) transport: Transport,
    /// Whether the start is only previewed.
    pub(crate) preview: bool,
}

/// A command in a container of its own.
#[derive(Clone, Debug)]
pub(crate) struct RunRequest {
    /// The app whose values and services the command gets.
    pub(crate) start: StartRequest,
    /// How the command is attached to the caller's terminal.
    pub(crate) attachment: Attachment,
}

/// The end of an app.
#[derive(Clone, Debug)]
pub(crate) struct StopRequest {
    /// The project.
    pub(crate) project: Choice,
    /// The fate of the services' data.
    pub(crate) data: Data,
}

/// A look at logs.
#[derive(Clone, Debug)]
pub(crate) struct LogsRequest {
    /// The project.
    pub(crate) project: Choice,
    /// The services, processes and instances. An empty list means all instances of the app.
    pub(crate) of: Vec<String>,
    /// Whether to show the log of the instance that failed last, instead of logs of running containers.
    pub(crate) failed: bool,
    /// Whether the command waits for new output.
    pub(crate) follow: bool,
    /// How many lines from the end of each log are shown; `None` means all.
    pub(crate) tail: Option<u32>,
}

/// A page in a browser of this machine.
#[derive(Clone, Debug)]
pub(crate) struct UiRequest {
    /// The project.
    pub(crate) project: Choice,
    /// The port; 0 stands for any free port.
    pub(crate) port: u16,
}

/// An instance as a flag names it: `[PROCESS.]NUMBER`. Without a process, it is an instance of the first process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InstanceChoice {
    /// The process.
    pub(crate) process: Option<String>,
    /// The number, from 1.
    pub(crate) number: u32,
}

impl std::str::FromStr for InstanceChoice {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (process, number) = text.rsplit_once('.').map_or((None, text), |(name, number)| (Some(name), number));
        let number = number.parse().ok().filter(|number| *number > 0);
        match (process, number) {
            (Some(""), _) | (_, None) => Err("an instance is NUMBER or PROCESS.NUMBER, such as 2 or worker.2"),
            (process, Some(number)) => Ok(Self { process: process.map(str::to_owned), number }),
        }
    }
}

/// A list of a project.
#[derive(Clone, Debug)]
pub(crate) struct ListRequest {
    /// The project.
    pub(crate) project: Choice,
    /// The form.
    pub(crate) form: ListForm,
}

/// The form in which a list is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListForm {
    /// As a table for people.
    Table,
    /// As JSON.
    Json,
}

/// A command in an instance.
#[derive(Clone, Debug)]
pub(crate) struct ExecRequest {
    /// The project.
    pub(crate) project: Choice,
    /// The instance.
    pub(crate) instance: InstanceChoice,
    /// The user that runs the command; `None` means the instance's own user.
    pub(crate) user: Option<String>,
    /// How the command is attached to the caller's terminal.
    pub(crate) attachment: Attachment,
    /// The program and its arguments.
    pub(crate) command: Vec<String>,
}

/// A request to run init commands again, in a running instance.
#[derive(Clone, Debug)]
pub(crate) struct InitRequest {
    /// The project.
    pub(crate) project: Choice,
    /// The names of the init commands; an empty list means all of them.
    pub(crate) names: Vec<String>,
}

/// What `prun resume` does: it brings values back after a restart of the engine, or handles the systemd unit that
/// does so after each start of the engine.
#[derive(Clone, Debug)]
pub(crate) enum ResumeRequest {
    /// Every project of this user that was running.
    All,
    /// The project of this name.
    Project(String),
    /// The systemd unit, printed.
    PrintUnit,
    /// The systemd unit, installed into this folder; `None` means systemd's own folder.
    InstallUnit(Option<PathBuf>),
}

/// How variables are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum InjectedForm {
    /// As a table for people.
    Table,
    /// As lines of NAME=VALUE.
    Lines,
    /// As JSON.
    Json,
    /// The value of the variable of this name, and nothing else.
    Value(String),
}

/// A look at the variables of instances.
#[derive(Clone, Debug)]
pub(crate) struct InjectedRequest {
    /// The project.
    pub(crate) project: Choice,
    /// The form in which the variables are shown.
    pub(crate) form: InjectedForm,
}

/// The services that get new credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rotated {
    /// All services that are in use.
    All,
    /// The services of these names.
    Named(Vec<String>),
}

/// Data that prun did not make, and what is known of its administrator.
#[derive(Clone, Debug)]
pub(crate) struct ImportRequest {
    /// The project.
    pub(crate) project: Choice,
    /// The service: its name, or `KIND[:VERSION][=NAME]`.
    pub(crate) service: String,
    /// The volume with the data; by default the volume that a service of this name has.
    pub(crate) volume: Option<String>,
    /// The app's database; by default the one that the manifest names, or else the one of the service's kind.
    pub(crate) database: Option<String>,
    /// The name of the database's administrator; by default the one of the service's kind.
    pub(crate) administrator: Option<String>,
}

/// A change of a project's services, or a look at them.
#[derive(Clone, Debug)]
pub(crate) enum ServicesRequest {
    /// New credentials.
    Rotate {
        /// The project.
        project: Choice,
        /// The services.
        services: Rotated,
    },
    /// A further service.
    Add {
        /// The project.
        project: Choice,
        /// The service.
        service: PlannedService,
    },
    /// The removal of a service.
    Remove {
        /// The project.
        project: Choice,
        /// The service's name.
        service: String,
        /// The fate of the service's data.
        data: Data,
    },
    /// A list of all services.
    List(ListRequest),
    /// Data that prun did not make.
    Import(ImportRequest),
    /// New passwords for data whose passwords nobody knows.
    Reset(ImportRequest),
    /// The shell of the service's own client, with further arguments for it.
    Shell(ToolRequest, Vec<String>),
    /// The data of a service, to standard output.
    Dump(ToolRequest),
    /// Data from standard input.
    Load {
        /// The service that gets the data.
        tool: ToolRequest,
        /// Whether the data may replace the data that the service has.
        replace: bool,
    },
}

/// A request to run a service's own client.
#[derive(Clone, Debug)]
pub(crate) struct ToolRequest {
    /// The project.
    pub(crate) project: Choice,
    /// The service's name.
    pub(crate) service: String,
    /// One of the app's databases. If absent, it is the first one.
    pub(crate) database: Option<String>,
}

/// A change of a project's operators, or a look at them.
#[derive(Clone, Debug)]
pub(crate) enum OperatorsRequest {
    /// A list of all operators.
    List(ListRequest),
    /// A new operator.
    Add {
        /// The project.
        project: Choice,
        /// The operator's name.
        name: String,
        /// The public half of the operator's key.
        key: String,
    },
    /// The removal of an operator.
    Remove {
        /// The project.
        project: Choice,
        /// The operator's name.
        name: String,
    },
    /// The public half of the caller's own key.
    Key,
}

/// A request to operate a project from this machine from now on.
#[derive(Clone, Debug)]
pub(crate) struct AdoptRequest {
    /// The project's name.
    pub(crate) name: Option<String>,
    /// The manifest that names it.
    pub(crate) config: Option<PathBuf>,
    /// Whether this user forgets the state that was seen before, and so accepts a state of another origin.
    pub(crate) again: bool,
}

/// A backup of the state, its restoration, or a new state in the place of a lost one.
#[derive(Clone, Debug)]
pub(crate) enum StateRequest {
    /// The sealed state goes to a file.
    Backup {
        /// The project.
        project: Choice,
        /// The file; `-` is standard output.
        file: PathBuf,
    },
    /// A file becomes the newest version.
    Restore {
        /// The project.
        project: Choice,
        /// The file.
        file: PathBuf,
    },
    /// A new state takes the place of one that nobody can open.
    New {
        /// The project.
        project: Choice,
        /// Whether the user has agreed already.
        confirmed: bool,
    },
}

/// A way back to an earlier generation.
#[derive(Clone, Debug)]
pub(crate) struct RollbackRequest {
    /// The project.
    pub(crate) project: Choice,
    /// The generation's number; `None` means the generation before the newest.
    pub(crate) number: Option<u64>,
}
