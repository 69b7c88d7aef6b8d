//! The last answer of a health check, as far as the user can act on it.

use std::fmt;

/// The last answer of a health check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// No answer came.
    Nothing,
    /// An HTTP status that does not mean healthy.
    Status {
        /// The status.
        status: u16,
        /// The path that was requested.
        path: String,
    },
    /// No process listens on the port.
    NobodyListens {
        /// The port.
        port: u16,
    },
    /// The image does not have the program.
    NoProgram {
        /// The program.
        program: String,
    },
    /// The check's own output.
    Words(String),
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("none"),
            Self::Status { status, path } => write!(f, "{path} answers with HTTP status {status}"),
            Self::NobodyListens { port } => write!(f, "nothing listens on port {port}"),
            Self::NoProgram { program } => write!(f, "the image has no program `{program}`"),
            Self::Words(words) => f.write_str(words),
        }
    }
}
