//! The boundary between pbuild and a person: two printers, the person's wish to stop, and the errors that a command
//! reports.

use std::fmt;

use pscreen::{Cancellation, Diagnostic, Ending, Exit, Printer};
use psecret::Redactor;

/// The printers and the cancellation that every command gets.
#[derive(Clone, Debug)]
pub(crate) struct Edge {
    /// The printer of news, warnings and errors.
    pub(crate) stderr: Printer,
    /// The printer of results.
    pub(crate) stdout: Printer,
    /// Tells whether the command is cancelled.
    pub(crate) cancellation: Cancellation,
    /// Whether facts about a successful run are left out. Warnings and errors are always printed.
    pub(crate) quiet: bool,
}

impl Edge {
    /// Makes the [`pcli::secrets::Desk`] for the commands that pbuild and prun share.
    pub(crate) fn desk(&self) -> pcli::secrets::Desk {
        let (stdout, stderr) = (self.stdout.clone(), self.stderr.clone());
        pcli::secrets::Desk { stdout, stderr, cancellation: self.cancellation.clone() }
    }

    /// Returns an edge whose printers mask the values of the secrets.
    pub(crate) fn redacting(&self, redactor: &Redactor) -> Self {
        Self {
            stderr: self.stderr.redacting(redactor.clone()),
            stdout: self.stdout.redacting(redactor.clone()),
            ..self.clone()
        }
    }

    /// Returns a copy of the edge for one of several subjects, for example a target of a group. The copy's facts,
    /// warnings and errors carry the subject's name. Without a subject, the copy prints as the edge does.
    pub(crate) fn about(&self, subject: Option<&str>) -> Self {
        let stderr = subject.map_or_else(|| self.stderr.clone(), |subject| self.stderr.about(subject));
        Self { stderr, ..self.clone() }
    }

    /// Prints a fact under its label, unless the edge is quiet.
    pub(crate) fn fact(&self, label: &str, text: &str) {
        if !self.quiet {
            self.stderr.fact(label, text);
        }
    }
}

/// An error in words for people.
///
/// The modules of this crate return enums that say what went wrong. Only `explain` and `build/explain` give them
/// their words for people and their exit code, with one exhaustive match for each enum.
pub(crate) trait Explain: fmt::Debug {
    /// Returns the words, the help and the exit code.
    fn explain(&self) -> Diagnostic;
}

/// The reason why a command ended without its result.
#[derive(Debug)]
pub(crate) enum Failure {
    /// An error. It is explained where the command ends, so that the redactor masks its text if there is one by then.
    Error(Box<dyn Explain>),
    /// The command was cancelled.
    Ending(Ending),
}

impl<E: Explain + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Error(Box::new(error))
    }
}

impl From<Ending> for Failure {
    fn from(ending: Ending) -> Self {
        Self::Ending(ending)
    }
}

impl Failure {
    /// Whether a builder or an engine did not answer, so that another one may be asked.
    pub(crate) fn is_silence(&self) -> bool {
        match self {
            Self::Error(error) => error.explain().exit() == Some(Exit::EngineUnreachable),
            Self::Ending(_) => false,
        }
    }

    /// The first line of the error for people; empty where somebody asked for the end.
    pub(crate) fn title(&self) -> String {
        match self {
            Self::Error(error) => error.explain().title_and_help().0.to_owned(),
            Self::Ending(_) => String::new(),
        }
    }

    /// Prints the failure, and returns the exit code.
    pub(crate) fn report(&self, printer: &Printer) -> Exit {
        match self {
            Self::Error(error) => {
                let diagnostic = error.explain();
                printer.diagnostic(&diagnostic);
                diagnostic.exit().unwrap_or(Exit::Failed)
            }
            Self::Ending(Ending::ReaderGone) => Exit::Ended(Ending::ReaderGone),
            Self::Ending(ending) => {
                printer.line("stopped; no image was tagged");
                Exit::Ended(*ending)
            }
        }
    }
}
