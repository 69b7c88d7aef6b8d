//! The user interface of the tools: errors, exit codes, progress, prompts, words.
//!
//! Texts and events enter as plain data from the tools' own crates. Everything for people leaves through one
//! [`Printer`], which redacts it; everything for scripts leaves as an [`Exit`]. A [`Cancellation`] carries the user's
//! Ctrl-C to every part of a tool.
//!
//! ```
//! use pscreen::{Diagnostic, Exit};
//!
//! let diagnostic = Diagnostic::error("no engine answers at unix:///run/none.sock", Exit::EngineUnreachable)
//!     .help("start Docker, or name another engine with DOCKER_HOST");
//! assert!(diagnostic.to_string().contains("help: start Docker"));
//! assert_eq!(diagnostic.exit().map(Exit::code), Some(30));
//! ```

mod diagnostic;
mod docker;
mod excerpt;
mod exit;
mod printer;
pub mod progress;
mod prompt;
mod signal;
mod size;
pub mod stage;
mod visible;
mod wait;
pub mod words;

pub use diagnostic::Diagnostic;
pub use excerpt::{Excerpt, Mark};
pub use exit::{Ending, Exit};
pub use printer::{Colour, Printer, Terminal, Tone};
pub use prompt::ask;
pub use signal::{Cancellation, listen};
pub use size::size;
pub use visible::{one_line, visible};
pub use wait::{Waiting, waiting};
