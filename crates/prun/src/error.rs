//! The errors that can occur between a command line and a running app.

pub(crate) mod answer;
pub(crate) mod command;

use answer::Answer;
use command::CommandError;
use pcli::FindError;
use pcli::resolve::ResolveError;
use pcredential::LedgerError;
use pengine::{EngineError, RegistryLoginError};
use pscreen::Ending;
use psecret::SecretError;
use pvault::VaultError;

use crate::plan::error::PlanError;
use crate::state::error::StateError;
use crate::values::error::ValuesError;

/// The reason why a command failed.
///
/// No message holds a value. The output of a container is kept apart from the message, in `tail`, and is redacted
/// before it is printed.
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
    /// A user secret has no value.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The flags and the manifest do not make a plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The values of a generation cannot be composed.
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
    /// The command would remove data, but standard input is not a terminal, so it cannot ask the user.
    #[error("{loss}")]
    NobodyToAsk {
        /// The data that would be removed.
        loss: String,
    },
    /// The user did not agree to the removal of data.
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
    /// A name of the project is taken in the engine by something that the project did not make.
    #[error("{kind} `{name}` exists and does not belong to this project")]
    Foreign {
        /// A container, a volume or a network.
        kind: &'static str,
        /// The name of the container, volume or network.
        name: String,
    },
    /// A volume has data already, and the project's state does not hold the password of that data.
    #[error("service `{service}`: volume `{volume}` exists already, and its password is not in this project's state")]
    ExistingVolume {
        /// The service.
        service: String,
        /// The volume.
        volume: String,
    },
    /// The data in a volume does not accept the sealed password.
    #[error("service `{service}` refuses the password that belongs to volume `{volume}`")]
    WrongPassword {
        /// The service.
        service: String,
        /// The volume.
        volume: String,
    },
    /// A service refuses the administrator's login that the user gave.
    #[error("service `{service}` refuses the login of its administrator")]
    WrongAdministrator {
        /// The service.
        service: String,
        /// The host, if the service is an external one.
        external: Option<String>,
    },
    /// An external server refuses the app's login.
    #[error("service `{service}` at {host} refuses the app's login")]
    WrongExternalLogin {
        /// The service.
        service: String,
        /// The server's host.
        host: String,
        /// Whether prun made the login.
        administered: bool,
    },
    /// A service answers that it cannot do what is asked. Waiting does not change that.
    #[error("service `{service}` cannot do what app.toml and its data ask for")]
    Impossible {
        /// The service.
        service: String,
        /// The last lines of the service's answer.
        tail: Vec<String>,
        /// Whether prun did not make the service's data.
        of_others: bool,
    },
    /// A client of a service failed.
    #[error("{doing} failed with exit code {code}")]
    Tool {
        /// The task, such as `the dump of service \`db\``.
        doing: String,
        /// The client's exit code.
        code: i64,
        /// The last lines of its output.
        tail: Vec<String>,
        /// What happened to the data.
        state: &'static str,
    },
    /// The sealed state is older than what runs.
    #[error(
        "the state of project `{project}` is older than what runs: it knows of generation {sealed}, and {noted} was started"
    )]
    OlderState {
        /// The project.
        project: String,
        /// The number of the generation in the state; 0 if the state holds none.
        sealed: u64,
        /// The number of the generation that was started last.
        noted: u64,
    },
    /// A rotation cannot continue. Both credentials are sealed, so no access is lost.
    #[error("service `{service}` {otherwise}")]
    Rotation {
        /// The service.
        service: String,
        /// What the service fails to do, as a verb with its object.
        otherwise: &'static str,
        /// The last lines of the service's answer.
        tail: Vec<String>,
    },
    /// A service did not answer in time.
    #[error("service `{service}` was not ready within {seconds} s")]
    NotReady {
        /// The service.
        service: String,
        /// How long prun waited, in seconds.
        seconds: u64,
        /// The last lines of the service's log.
        tail: Vec<String>,
    },
    /// A service's container exited.
    #[error("service `{service}` ended with exit code {code}")]
    ServiceEnded {
        /// The service.
        service: String,
        /// The container's exit code.
        code: i64,
        /// The last lines of the service's log.
        tail: Vec<String>,
    },
    /// A registry's login cannot be read from docker's configuration.
    #[error("the login of docker for {registry} cannot be read: {source}")]
    RegistryLogin {
        /// The registry.
        registry: String,
        /// What is wrong with the configuration.
        source: RegistryLoginError,
    },
    /// An image is not in the engine and could not be pulled.
    #[error("{0}")]
    ImageMissing(Box<PullFailure>),
    /// Another program listens on a port.
    #[error("port {port} is taken")]
    PortTaken {
        /// The port, as the plan writes it.
        port: String,
        /// The name of the container that has the port, if it is one of the engine's.
        holder: Option<String>,
    },
    /// An init command failed.
    #[error("init command `{name}` failed with exit code {code}; the app was not started")]
    Init {
        /// The command's name.
        name: String,
        /// The command's exit code.
        code: i64,
        /// The last lines of the instance's log.
        tail: Vec<String>,
    },
    /// An instance ended before it was healthy.
    #[error("instance {instance} ended with exit code {code} before it was healthy")]
    Ended {
        /// The instance's name.
        instance: String,
        /// The instance's exit code.
        code: i64,
        /// The last lines of the instance's log.
        tail: Vec<String>,
    },
    /// An instance did not become healthy.
    #[error("instance {instance} was not healthy within {seconds} s")]
    Unhealthy {
        /// The instance's name.
        instance: String,
        /// How long prun waited, in seconds.
        seconds: u64,
        /// The last answer of the health check.
        answer: Answer,
        /// The last lines of the instance's log.
        tail: Vec<String>,
    },
    /// A user secret cannot be used.
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
        /// The version of the sealed state.
        found: u32,
        /// The newest version that this program reads.
        known: u32,
    },
    /// The engine has no state of a project of this name.
    #[error("nothing is known of a project `{project}`")]
    UnknownProject {
        /// The name.
        project: String,
    },
    /// The project has a state, but no generation of it was ever started.
    #[error("project `{project}` has not been started yet")]
    NotStarted {
        /// The project.
        project: String,
    },
    /// Somebody removed a container while prun waited for it.
    #[error("container {container} was removed by somebody")]
    ContainerRemoved {
        /// The container's name.
        container: String,
    },
    /// The user asked the command to end.
    #[error("stopped")]
    Stopped(Ending),
}

/// A pull that failed.
#[derive(Debug)]
pub(crate) struct PullFailure {
    /// The service whose image it is. For the app's own image, there is none.
    pub(crate) service: Option<String>,
    /// The image.
    pub(crate) image: String,
    /// The registry that was asked.
    pub(crate) registry: String,
    /// Whether docker has no login for the registry.
    pub(crate) stranger: bool,
    /// The engine's answer.
    pub(crate) source: bollard::errors::Error,
}

impl PullFailure {
    /// Returns whether the registry asks for a login, or for another one.
    #[must_use]
    pub(crate) fn is_denied(&self) -> bool {
        let said = message(&self.source).to_lowercase();
        ["unauthorized", "denied", "no basic auth credentials", "authentication required"]
            .iter()
            .any(|word| said.contains(word))
    }
}

impl std::fmt::Display for PullFailure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let image = &self.image;
        match &self.service {
            None => write!(formatter, "image `{image}` is not in the engine and could not be pulled"),
            Some(service) => {
                write!(formatter, "image `{image}` of service `{service}` is not in the engine and could not be pulled")
            }
        }
    }
}

impl RunError {
    /// Adds the service's name to the error of a failed pull.
    #[must_use]
    pub(crate) fn of_service(self, service: &str) -> Self {
        match self {
            Self::ImageMissing(failure) => {
                Self::ImageMissing(Box::new(PullFailure { service: Some(service.to_owned()), ..*failure }))
            }
            other => other,
        }
    }
}

impl From<Ending> for RunError {
    fn from(ending: Ending) -> Self {
        Self::Stopped(ending)
    }
}

/// Returns a function that turns the engine's refusal of a request into an error. `doing` names the request.
pub(crate) fn engine<T: Into<String>>(doing: impl FnOnce() -> T) -> impl FnOnce(bollard::errors::Error) -> RunError {
    move |source| RunError::Engine { doing: doing().into(), source }
}

/// Returns whether the engine answered that something does not exist.
#[must_use]
pub(crate) fn is_missing(error: &bollard::errors::Error) -> bool {
    status(error) == Some(404)
}

/// Returns whether the engine answered that something exists already, or has the requested state already.
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

/// Returns the engine's answer, without the text that the client library puts around it.
#[must_use]
pub(crate) fn message(error: &bollard::errors::Error) -> String {
    match error {
        bollard::errors::Error::DockerResponseServerError { message, .. } => message.clone(),
        bollard::errors::Error::DockerStreamError { error } => error.clone(),
        other => other.to_string(),
    }
}
