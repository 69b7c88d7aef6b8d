//! The errors between a command line and a running app.

pub(crate) mod answer;
pub(crate) mod command;

use answer::Answer;
use command::CommandError;
use pcli::FindError;
use pcli::resolve::ResolveError;
use pcredential::LedgerError;
use pengine::EngineError;
use pscreen::Ending;
use psecret::SecretError;
use pvault::VaultError;

use crate::plan::error::PlanError;
use crate::state::error::StateError;
use crate::values::error::ValuesError;

/// Why a command failed.
///
/// No message holds a value. The output of a container is kept apart, in `tail`, and is redacted before it is printed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// No engine can be used.
    #[error(transparent)]
    Connect(#[from] EngineError),
    /// The engine refused a request.
    #[error("failed to {doing}")]
    Engine {
        /// The request, as a verb with its object.
        doing: String,
        /// The engine's answer.
        source: bollard::errors::Error,
    },
    /// The manifest cannot be read.
    #[error(transparent)]
    Manifest(#[from] FindError),
    /// A user's secret has no value.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The plan cannot be followed.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The values of a generation cannot be put together.
    #[error(transparent)]
    Values(#[from] ValuesError),
    /// A command line asks for something that does not exist or cannot be done.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// Neither a flag nor a manifest names a project.
    #[error("no project is named")]
    NoProject,
    /// The environment names no folder for the state.
    #[error("there is no folder for the state of projects")]
    NoStateFolder,
    /// Data would be removed, and standard input is not a terminal that could be asked.
    #[error("{loss}")]
    NobodyToAsk {
        /// Which data.
        loss: String,
    },
    /// The user did not agree that data is removed.
    #[error("the answer was another; nothing was removed")]
    Declined {
        /// The answer that agrees.
        name: String,
    },
    /// The engine's machine cannot run the entrypoint.
    #[error("the engine runs {architecture} images, and this prun has no entrypoint for them")]
    Architecture {
        /// The engine's architecture.
        architecture: String,
    },
    /// The engine has something under a name of the project that the project did not make.
    #[error("{kind} `{name}` exists and does not belong to this project")]
    Foreign {
        /// A container, a volume or a network.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// A volume has data, and the project's state does not hold its password.
    #[error("service `{service}`: volume `{volume}` exists already, and its password is not in this project's state")]
    ExistingVolume {
        /// The service.
        service: String,
        /// The volume.
        volume: String,
    },
    /// The data in a volume has another password than the sealed one.
    #[error("service `{service}` refuses the password that belongs to volume `{volume}`")]
    WrongPassword {
        /// The service.
        service: String,
        /// The volume.
        volume: String,
    },
    /// The sealed state is not the newest one.
    #[error(
        "the state of project `{project}` is older than what runs: it knows of generation {sealed}, and {noted} was started"
    )]
    OlderState {
        /// The project.
        project: String,
        /// The generation that the state holds; 0 when it holds none.
        sealed: u64,
        /// The generation that was started last.
        noted: u64,
    },
    /// A rotation cannot go on; both credentials are sealed.
    #[error("service `{service}` {otherwise}")]
    Rotation {
        /// The service.
        service: String,
        /// The thing that the service does not do, as a verb with its object.
        otherwise: &'static str,
        /// The end of its answer.
        tail: Vec<String>,
    },
    /// A service did not answer in time.
    #[error("service `{service}` was not ready within {seconds} s")]
    NotReady {
        /// The service.
        service: String,
        /// How long was waited.
        seconds: u64,
        /// The end of its log.
        tail: Vec<String>,
    },
    /// A service ended.
    #[error("service `{service}` ended with exit code {code}")]
    ServiceEnded {
        /// The service.
        service: String,
        /// Its exit code.
        code: i64,
        /// The end of its log.
        tail: Vec<String>,
    },
    /// An image is not in the engine and could not be pulled.
    #[error("image `{image}` is not in the engine and could not be pulled")]
    ImageMissing {
        /// The image.
        image: String,
        /// The engine's answer.
        source: bollard::errors::Error,
    },
    /// Another program listens on a port.
    #[error("port {port} is taken")]
    PortTaken {
        /// The port as the plan has it.
        port: String,
        /// The container that has it, if it is one of the engine's.
        holder: Option<String>,
    },
    /// An init command failed.
    #[error("init command `{name}` failed with exit code {code}; the app was not started")]
    Init {
        /// Its name.
        name: String,
        /// Its exit code.
        code: i64,
        /// The end of its log.
        tail: Vec<String>,
    },
    /// An instance ended before it was healthy.
    #[error("instance {instance} ended with exit code {code} before it was healthy")]
    Ended {
        /// Its name.
        instance: String,
        /// Its exit code.
        code: i64,
        /// The end of its log.
        tail: Vec<String>,
    },
    /// An instance did not become healthy.
    #[error("instance {instance} was not healthy within {seconds} s")]
    Unhealthy {
        /// Its name.
        instance: String,
        /// How long was waited.
        seconds: u64,
        /// The last answer of the health check.
        answer: Answer,
        /// The end of its log.
        tail: Vec<String>,
    },
    /// A user's secret cannot be used.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The sealed state cannot be used.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The project's state on the engine cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The sealed ledger of services cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The sealed generation cannot be read.
    #[error("the project's sealed state is damaged")]
    DamagedState,
    /// A newer prun sealed the state.
    #[error("the project's sealed state has version {found}; this prun reads {known}")]
    NewerState {
        /// Its version.
        found: u32,
        /// The newest version that this program reads.
        known: u32,
    },
    /// There is no state of a project of this name.
    #[error("nothing is known of a project `{project}`")]
    UnknownProject {
        /// The name.
        project: String,
    },
    /// The project has a state, and no generation of it was ever started.
    #[error("project `{project}` has not been started yet")]
    NotStarted {
        /// The project.
        project: String,
    },
    /// A container was removed while prun waited for it.
    #[error("container {container} was removed by somebody")]
    ContainerRemoved {
        /// Its name.
        container: String,
    },
    /// The user asked the command to end.
    #[error("stopped")]
    Stopped(Ending),
}

impl From<Ending> for RunError {
    fn from(ending: Ending) -> Self {
        Self::Stopped(ending)
    }
}

/// Makes an error of the engine's refusal of a request.
pub(crate) fn engine<T: Into<String>>(doing: impl FnOnce() -> T) -> impl FnOnce(bollard::errors::Error) -> RunError {
    move |source| RunError::Engine { doing: doing().into(), source }
}

/// Whether the engine answered that something does not exist.
#[must_use]
pub(crate) fn is_missing(error: &bollard::errors::Error) -> bool {
    status(error) == Some(404)
}

/// Whether the engine answered that something exists already, or has that state already.
#[must_use]
pub(crate) fn is_conflict(error: &bollard::errors::Error) -> bool {
    matches!(status(error), Some(304 | 409))
}

fn status(error: &bollard::errors::Error) -> Option<u16> {
    match error {
        bollard::errors::Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// Returns the engine's answer without any words of the client library.
#[must_use]
pub(crate) fn message(error: &bollard::errors::Error) -> String {
    match error {
        bollard::errors::Error::DockerResponseServerError { message, .. } => message.clone(),
        bollard::errors::Error::DockerStreamError { error } => error.clone(),
        other => other.to_string(),
    }
}
