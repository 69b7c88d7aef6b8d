//! Where the tool meets people: its two printers, its cancellation, and how an error is told.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pcli::{Cancellation, Diagnostic, Ending, Exit, Printer};
use psecret::Redactor;

use crate::error::{RunError, message, wrong};

/// How long people look at nothing.
const SILENCE: Duration = Duration::from_secs(4);

/// What every command is handed.
#[derive(Clone, Debug)]
pub struct Edge {
    /// What happens.
    pub stderr: Printer,
    /// Results.
    pub stdout: Printer,
    /// Whether the work should stop.
    pub cancellation: Cancellation,
}

impl Edge {
    /// What the commands that both tools share are handed.
    #[must_use]
    pub fn desk(&self) -> pcli::secrets::Desk {
        let (stdout, stderr) = (self.stdout.clone(), self.stderr.clone());
        pcli::secrets::Desk { stdout, stderr, cancellation: self.cancellation.clone() }
    }

    /// Waits for work, and says for what when nothing is to be seen for a while.
    pub async fn patiently<T>(&self, what: impl FnOnce() -> String, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        if let Ok(done) = tokio::time::timeout(SILENCE, &mut work).await {
            return done;
        }
        self.stderr.fact("waiting", &what());
        work.await
    }

    /// The same edge behind a redactor, from the moment the values are known.
    #[must_use]
    pub fn redacting(&self, redactor: &Redactor) -> Self {
        Self {
            stderr: self.stderr.redacting(redactor.clone()),
            stdout: self.stdout.redacting(redactor.clone()),
            cancellation: self.cancellation.clone(),
        }
    }
}

/// Seconds since 1970.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Asks before something goes that nobody can bring back.
///
/// # Errors
///
/// When the answer is another, or there is nobody to ask.
pub fn confirm(name: &str, what: &str) -> Result<(), Failure> {
    use std::io::{BufRead as _, IsTerminal as _};
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(wrong(what, "say --yes where nobody can be asked").into());
    }
    Printer::stderr().line(&format!("{what}; type `{name}` to go on"));
    let mut answer = String::new();
    let read = tokio::task::block_in_place(|| stdin.lock().read_line(&mut answer));
    if read.is_ok() && answer.trim() == name {
        return Ok(());
    }
    Err(wrong("the answer was another; nothing was removed", format!("type `{name}`, or say --yes")).into())
}

/// How a command ended: with a code of ours, or with that of the command that it ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// One of our own.
    Exit(Exit),
    /// The inner command's.
    Command(u8),
}

impl From<Exit> for Outcome {
    fn from(exit: Exit) -> Self {
        Self::Exit(exit)
    }
}

/// Why a command ended without its result.
#[derive(Debug)]
pub enum Failure {
    /// With something to say, and the code that goes with it.
    Told {
        /// What is said.
        diagnostic: Box<Diagnostic>,
        /// The printer whose redactor knew the values when it happened.
        printer: Option<Printer>,
    },
    /// Somebody asked it to.
    Ended(Ending),
}

impl From<Diagnostic> for Failure {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::Told { diagnostic: Box::new(diagnostic), printer: None }
    }
}

impl From<Ending> for Failure {
    fn from(ending: Ending) -> Self {
        Self::Ended(ending)
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Stopped(ending) => Self::Ended(ending),
            error => diagnostic(&error).into(),
        }
    }
}

impl Failure {
    /// The same, to be said behind the redactor of this edge: logs that an error shows may hold values.
    #[must_use]
    pub fn behind(self, edge: &Edge) -> Self {
        match self {
            Self::Told { diagnostic, printer } => {
                Self::Told { diagnostic, printer: Some(printer.unwrap_or_else(|| edge.stderr.clone())) }
            }
            Self::Ended(ending) => Self::Ended(ending),
        }
    }

    /// The same with another code to end with, as it is said to people.
    #[must_use]
    pub fn ending_with(self, code: u8) -> Self {
        match self {
            Self::Told { diagnostic, printer } => {
                Self::Told { diagnostic: Box::new(diagnostic.ending_with(code)), printer }
            }
            Self::Ended(ending) => Self::Ended(ending),
        }
    }

    /// Says it, and gives the code to end with.
    #[must_use]
    pub fn report(&self, printer: &Printer) -> Exit {
        match self {
            Self::Told { diagnostic, printer: own } => {
                own.as_ref().unwrap_or(printer).diagnostic(diagnostic);
                diagnostic.exit().unwrap_or(Exit::Failed)
            }
            Self::Ended(Ending::ReaderGone) => Exit::Ended(Ending::ReaderGone),
            Self::Ended(ending) => {
                printer.line("stopped");
                Exit::Ended(*ending)
            }
        }
    }
}

/// What people are told about an error: what, where, what to do.
#[must_use]
pub fn diagnostic(error: &RunError) -> Diagnostic {
    let plain = |exit| Diagnostic::error(error.to_string(), exit);
    match error {
        RunError::Connect(source) => engine(source),
        RunError::Engine { source, .. } => plain(Exit::Failed).note(format!("the engine says: {}", message(source))),
        RunError::Plan { help, .. } => plain(Exit::Usage).help(help.clone()),
        RunError::Foreign { kind, .. } => plain(Exit::Failed)
            .note(format!(
                "it was made by hand, by another user, or by a prun whose state is gone; no {kind} of others is touched"
            ))
            .help("choose another name with --project, or remove it yourself"),
        RunError::ExistingVolume { service, volume } => plain(Exit::Failed)
            .note("a fresh password would not open the data in it, and nothing here deletes data")
            .help(format!(
                "prun services import {service}, with its administrator's password: the app gets a login of its own"
            ))
            .help(format!("prun services reset {service}: new passwords, set by the server itself; the data stays"))
            .help(format!("bring back this project's state, or move the data away: docker volume rm {volume}")),
        RunError::WrongPassword { service, volume } => plain(Exit::Failed)
            .note(format!(
                "the data in `{volume}` is not what this project made, or somebody changed the password of `{service}`"
            ))
            .help("set the old password again, or bring back the volume or the newer state that belongs to it")
            .help(format!("or ask for another one: prun services import {service}, prun services reset {service}")),
        RunError::OlderState { project, .. } => plain(Exit::Store)
            .note(
                "it was brought back from a backup; credentials that were rotated since are refused by their services",
            )
            .help(format!("bring back the newer state: services.age and generation.age of {project}, or their .bak"))
            .help(format!(
                "or go on with the older one: prun stop --project {project}, then start; services that refuse its \
                 credentials take prun services reset"
            )),
        RunError::Rotation { tail, .. } => plain(Exit::Failed)
            .tail("what it said", tail.clone())
            .note("instances are as they were; both credentials are sealed, and what is valid stays valid")
            .help("prun start goes on with the rotation"),
        RunError::NotReady { service, tail, .. } => plain(Exit::Failed)
            .tail(format!("the end of the log of `{service}`"), tail.clone())
            .help("--wait SECONDS gives it more time"),
        RunError::ServiceEnded { service, tail, .. } => {
            plain(Exit::Failed).tail(format!("the end of the log of `{service}`"), tail.clone())
        }
        RunError::ImageMissing { source, .. } => plain(Exit::Failed)
            .note(format!("the engine says: {}", message(source)))
            .help("build it (pbuild build), or name another one"),
        RunError::PortTaken { holder, .. } => {
            let diagnostic = match holder {
                Some(name) => plain(Exit::Failed).note(format!("container `{name}` has it")),
                None => plain(Exit::Failed).note("another program on the engine's machine listens on it"),
            };
            diagnostic.help("publish another port: -p HOST:CONTAINER, or ports in app.toml")
        }
        RunError::Init { tail, code, .. } => {
            let diagnostic = plain(Exit::Failed).tail("the end of its log", tail.clone());
            match *code {
                TIMED_OUT => diagnostic.help("if it took longer than its `timeout` in app.toml, give it more"),
                KILLED => diagnostic.note("it was killed with SIGKILL, as the kernel does when memory runs out"),
                _ => diagnostic,
            }
        }
        RunError::Ended { tail, .. } => plain(Exit::Failed).tail("the end of its log", tail.clone()),
        RunError::Unhealthy { answer, tail, .. } => {
            let diagnostic = if answer.is_empty() {
                plain(Exit::Failed)
            } else {
                plain(Exit::Failed).note(format!("the last health check: {answer}"))
            };
            diagnostic.tail("the end of its log", tail.clone()).help("--wait SECONDS gives it more time")
        }
        RunError::Injected(_) => plain(Exit::Usage).help("mark one with primary = true, or rename a service"),
        RunError::Secret(_) => Diagnostic::from_error(error, Exit::SecretMissing),
        RunError::Vault(source) => {
            let diagnostic = Diagnostic::from_error(source, Exit::Store);
            source.help().into_iter().fold(diagnostic, Diagnostic::help)
        }
        RunError::Ledger(_) | RunError::DamagedState => {
            plain(Exit::Store).help("the state's backup lies beside it, in files that end in .bak")
        }
        RunError::Nothing { .. } => plain(Exit::Failed).help("prun start"),
        RunError::Stopped(ending) => plain(Exit::Ended(*ending)),
    }
}

/// The code of an init command that its `timeout` ended.
const TIMED_OUT: i64 = pshim::TIMED_OUT as i64;

/// The code of a command that SIGKILL ended, as shells count: 128 and the signal's number.
const KILLED: i64 = 128 + 9;

fn engine(error: &pengine::EngineError) -> Diagnostic {
    use pengine::EngineError;
    let exit = match error {
        EngineError::ReadConfiguration { .. }
        | EngineError::BrokenConfiguration { .. }
        | EngineError::ContextMissing { .. }
        | EngineError::Address { .. }
        | EngineError::Certificate { .. }
        | EngineError::UncheckedTls { .. }
        | EngineError::Plaintext { .. } => Exit::Usage,
        _ => Exit::EngineUnreachable,
    };
    let diagnostic = Diagnostic::from_error(error, exit);
    match error {
        EngineError::Permission { .. } => {
            diagnostic.help("be a member of the group that owns the socket, or name another engine with DOCKER_HOST")
        }
        _ if exit == Exit::EngineUnreachable => {
            diagnostic.help("start Docker, or name another engine with DOCKER_HOST or `docker context use`")
        }
        _ => diagnostic,
    }
}
