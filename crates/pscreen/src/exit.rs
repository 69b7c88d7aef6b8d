//! The exit codes of both tools. No code ever changes its meaning.

use std::fmt;
use std::process::ExitCode;

/// The way in which a tool ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: everything that the user requested was done.
    Done,
    /// 1: a build, a start or another operation of the engine failed.
    Failed,
    /// 2: the command line or the configuration is not valid; nothing was done.
    Usage,
    /// 10: a secret's value was found in the image.
    Leak,
    /// 11: part of the image was not searched, so nothing is proven.
    Incomplete,
    /// 30: no engine answers.
    EngineUnreachable,
    /// 40: a secret is missing or cannot be read.
    SecretMissing,
    /// 41: the sealed store is damaged or locked.
    Store,
    /// 128 plus the number of a signal: 130 after an interrupt, 143 after a request to end, 141 after the reader of
    /// the output has gone.
    Ended(Ending),
}

/// The reason why a tool stopped before its work was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// SIGINT, which Ctrl-C sends.
    Interrupt,
    /// SIGTERM, or SIGHUP, which is treated like SIGTERM.
    Terminate,
    /// The reader of the output has gone, as with `| head`. Nothing is printed in this case.
    ReaderGone,
}

impl Exit {
    /// Returns the exit code of the process.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Leak => 10,
            Self::Incomplete => 11,
            Self::EngineUnreachable => 30,
            Self::SecretMissing => 40,
            Self::Store => 41,
            Self::Ended(Ending::Interrupt) => 130,
            Self::Ended(Ending::ReaderGone) => 141,
            Self::Ended(Ending::Terminate) => 143,
        }
    }

    /// Returns the code with its meaning for people, such as `10 (leak found)`.
    #[must_use]
    pub fn explained(self) -> String {
        let meaning = match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Usage => "usage or configuration",
            Self::Leak => "leak found",
            Self::Incomplete => "audit incomplete",
            Self::EngineUnreachable => "engine unreachable",
            Self::SecretMissing => "secret missing or unreadable",
            Self::Store => "store damaged or locked",
            Self::Ended(Ending::Interrupt) => "interrupted",
            Self::Ended(Ending::ReaderGone) => "output closed",
            Self::Ended(Ending::Terminate) => "terminated",
        };
        format!("{} ({meaning})", self.code())
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code())
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl From<Ending> for Exit {
    fn from(ending: Ending) -> Self {
        Self::Ended(ending)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_the_number_that_scripts_rely_on() {
        let all = [
            (Exit::Done, 0),
            (Exit::Failed, 1),
            (Exit::Usage, 2),
            (Exit::Leak, 10),
            (Exit::Incomplete, 11),
            (Exit::EngineUnreachable, 30),
            (Exit::SecretMissing, 40),
            (Exit::Store, 41),
            (Exit::Ended(Ending::Interrupt), 130),
            (Exit::Ended(Ending::ReaderGone), 141),
            (Exit::Ended(Ending::Terminate), 143),
        ];
        for (exit, code) in all {
            assert_eq!(exit.code(), code);
            assert!(exit.explained().starts_with(&format!("{code} (")));
        }
    }
}
