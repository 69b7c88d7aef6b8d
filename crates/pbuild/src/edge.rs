//! Where the tool meets people: its two printers, its cancellation, and how it may fail.

use pscreen::{Cancellation, Diagnostic, Ending, Exit, Printer};
use psecret::Redactor;

/// What every command is handed.
#[derive(Clone, Debug)]
pub struct Edge {
    /// What happens.
    pub stderr: Printer,
    /// Results.
    pub stdout: Printer,
    /// Whether the work should stop.
    pub cancellation: Cancellation,
    /// Whether facts about a run that goes well are wanted; warnings and errors always are.
    pub quiet: bool,
}

impl Edge {
    /// What the commands that both tools share are handed.
    #[must_use]
    pub fn desk(&self) -> pcli::secrets::Desk {
        let (stdout, stderr) = (self.stdout.clone(), self.stderr.clone());
        pcli::secrets::Desk { stdout, stderr, cancellation: self.cancellation.clone() }
    }

    /// The same edge behind a redactor, from the moment the secrets are known.
    #[must_use]
    pub fn redacting(&self, redactor: &Redactor) -> Self {
        Self {
            stderr: self.stderr.redacting(redactor.clone()),
            stdout: self.stdout.redacting(redactor.clone()),
            ..self.clone()
        }
    }

    /// Prints a fact under its label, unless nobody wants facts.
    pub fn fact(&self, label: &str, text: &str) {
        if !self.quiet {
            self.stderr.fact(label, text);
        }
    }
}

/// Why a command ended without its result.
#[derive(Debug)]
pub enum Failure {
    /// With something to say.
    Told(Box<Diagnostic>),
    /// Somebody asked it to.
    Ended(Ending),
}

impl From<Diagnostic> for Failure {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::Told(Box::new(diagnostic))
    }
}

impl From<Ending> for Failure {
    fn from(ending: Ending) -> Self {
        Self::Ended(ending)
    }
}

impl Failure {
    /// Says it, and gives the code to end with.
    #[must_use]
    pub fn report(&self, printer: &Printer) -> Exit {
        match self {
            Self::Told(diagnostic) => {
                printer.diagnostic(diagnostic);
                diagnostic.exit().unwrap_or(Exit::Failed)
            }
            Self::Ended(Ending::ReaderGone) => Exit::Ended(Ending::ReaderGone),
            Self::Ended(ending) => {
                printer.line("stopped; no image was tagged");
                Exit::Ended(*ending)
            }
        }
    }
}
