//! The edge between the tool and a person: two printers, the wish to stop, and errors on their way out.

use std::fmt;

use pscreen::{Cancellation, Diagnostic, Ending, Exit, Printer};
use psecret::Redactor;

/// The way of every command to a person.
#[derive(Clone, Debug)]
pub(crate) struct Edge {
    /// The printer of news, warnings and errors.
    pub(crate) stderr: Printer,
    /// The printer of results.
    pub(crate) stdout: Printer,
    /// Whether the work should stop.
    pub(crate) cancellation: Cancellation,
    /// Whether the facts about a run that goes well stay unsaid; warnings and errors never do.
    pub(crate) quiet: bool,
}

impl Edge {
    /// Makes the edge for the commands that both tools share.
    pub(crate) fn desk(&self) -> pcli::secrets::Desk {
        let (stdout, stderr) = (self.stdout.clone(), self.stderr.clone());
        pcli::secrets::Desk { stdout, stderr, cancellation: self.cancellation.clone() }
    }

    /// Puts this edge behind a redactor, from the moment the secrets are known.
    pub(crate) fn redacting(&self, redactor: &Redactor) -> Self {
        Self {
            stderr: self.stderr.redacting(redactor.clone()),
            stdout: self.stdout.redacting(redactor.clone()),
            ..self.clone()
        }
    }

    /// The same edge for one of several subjects, whose name stands in everything that is said.
    pub(crate) fn about(&self, subject: Option<&str>) -> Self {
        let stderr = subject.map_or_else(|| self.stderr.clone(), |subject| self.stderr.about(subject));
        Self { stderr, ..self.clone() }
    }

    /// Prints a fact under its label, unless facts stay unsaid.
    pub(crate) fn fact(&self, label: &str, text: &str) {
        if !self.quiet {
            self.stderr.fact(label, text);
        }
    }
}

/// An error in words for people.
///
/// The modules of this crate return enums that say what went wrong. The words for people, and the code that the tool
/// ends with, stand in `explain` and `build/explain` alone, with one exhaustive match for each enum.
pub(crate) trait Explain: fmt::Debug {
    /// The words, the help and the exit code.
    fn explain(&self) -> Diagnostic;
}

/// Why a command ended without its result.
#[derive(Debug)]
pub(crate) enum Failure {
    /// An error, which is explained where the command ends: behind the redactor, if there is one by then.
    Error(Box<dyn Explain>),
    /// Somebody asked for the end.
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

    /// Prints the failure, and gives the code to end with.
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
