//! The edge of the program, which every command gets: two printers and the cancellation. The module also has the
//! clock and the ways in which a command can end.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pscreen::{Cancellation, Diagnostic, Ending, Exit, Printer};
use psecret::Redactor;

use crate::error::RunError;
use crate::error::command::CommandError;
use crate::plan::error::PlanError;

/// How long a command may be silent before it prints what it waits for.
const SILENCE: Duration = Duration::from_secs(4);

/// The printers and the cancellation that every command gets.
#[derive(Clone, Debug)]
pub(crate) struct Edge {
    /// The printer of progress, warnings and errors.
    pub(crate) stderr: Printer,
    /// The printer of results.
    pub(crate) stdout: Printer,
    /// Whether the user has asked the command to end.
    pub(crate) cancellation: Cancellation,
}

impl Edge {
    /// Returns these printers and this cancellation in the form in which the commands that prun shares with pbuild
    /// need them.
    #[must_use]
    pub(crate) fn desk(&self) -> pcli::secrets::Desk {
        let (stdout, stderr) = (self.stdout.clone(), self.stderr.clone());
        pcli::secrets::Desk { stdout, stderr, cancellation: self.cancellation.clone() }
    }

    /// Waits for `work`. After [`SILENCE`], prints `what` the command waits for.
    pub(crate) async fn patiently<T>(&self, what: impl FnOnce() -> String, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        if let Ok(done) = tokio::time::timeout(SILENCE, &mut work).await {
            return done;
        }
        self.stderr.fact("waiting", &what());
        work.await
    }

    /// Returns a copy of the edge whose printers redact the redactor's values.
    #[must_use]
    pub(crate) fn redacting(&self, redactor: &Redactor) -> Self {
        Self {
            stderr: self.stderr.redacting(redactor.clone()),
            stdout: self.stdout.redacting(redactor.clone()),
            cancellation: self.cancellation.clone(),
        }
    }
}

/// Returns the seconds since 1970.
#[must_use]
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Asks the user to confirm the removal of data by typing `name`. `loss` describes the data.
///
/// # Errors
///
/// Returns [`RunError::Declined`] if the user types anything else, or [`RunError::NobodyToAsk`] without a terminal.
pub(crate) fn confirm(name: &str, loss: &str) -> Result<(), RunError> {
    use std::io::{BufRead as _, IsTerminal as _};
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(RunError::NobodyToAsk { loss: loss.to_owned() });
    }
    Printer::stderr().line(&format!("{loss}; type `{name}` to go on"));
    let mut answer = String::new();
    let read = tokio::task::block_in_place(|| stdin.lock().read_line(&mut answer));
    if read.is_ok() && answer.trim() == name {
        return Ok(());
    }
    Err(RunError::Declined { name: name.to_owned() })
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommandEnd {
    /// With an exit code of prun.
    Exit(Exit),
    /// With the exit code of the command that prun ran.
    Command(u8),
}

impl From<Exit> for CommandEnd {
    fn from(exit: Exit) -> Self {
        Self::Exit(exit)
    }
}

/// The exit codes that a command can end with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codes {
    /// The exit codes of prun; each of them means one thing.
    Own,
    /// The exit codes of the command that prun ran, as with docker. Every failure of prun itself has the same code.
    OfCommand,
}

/// The reason why a command ended without a result.
#[derive(Debug)]
pub(crate) enum Failure {
    /// An error.
    Error {
        /// The error itself.
        error: Box<RunError>,
        /// The printer whose redactor knows the values that the error may hold.
        printer: Option<Printer>,
    },
    /// An error of a command that prun shares with pbuild. The command has explained it already.
    Shared(Box<Diagnostic>),
    /// The user asked the command to end.
    Ended(Ending),
}

impl Failure {
    /// Makes the failure print through the redactor of this edge, unless it has a printer already. An error can hold
    /// a log, and a log can hold values.
    #[must_use]
    pub(crate) fn behind(self, edge: &Edge) -> Self {
        match self {
            Self::Error { error, printer } => {
                Self::Error { error, printer: Some(printer.unwrap_or_else(|| edge.stderr.clone())) }
            }
            Self::Shared(diagnostic) => Self::Shared(diagnostic),
            Self::Ended(ending) => Self::Ended(ending),
        }
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Stopped(ending) => Self::Ended(ending),
            error => Self::Error { error: Box::new(error), printer: None },
        }
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        RunError::from(error).into()
    }
}

impl From<CommandError> for Failure {
    fn from(error: CommandError) -> Self {
        RunError::from(error).into()
    }
}

impl From<Diagnostic> for Failure {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::Shared(Box::new(diagnostic))
    }
}

impl From<Ending> for Failure {
    fn from(ending: Ending) -> Self {
        Self::Ended(ending)
    }
}
