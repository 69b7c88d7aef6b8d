//! What both tools share at the edge: errors to people, exit codes, progress.
//!
//! Texts and events enter as plain data from the tools' own crates. Everything for people leaves through one
//! [`Printer`], behind one redactor; everything for scripts leaves as an [`Exit`].

pub mod arguments;
mod diagnostic;
mod excerpt;
mod exit;
mod manifest;
mod printer;
mod process;
pub mod progress;
pub mod resolve;
mod sealed;
pub mod secrets;
mod signal;
pub mod trust;
mod visible;

pub use diagnostic::Diagnostic;
pub use excerpt::{Excerpt, Mark};
pub use exit::{Ending, Exit};
pub use manifest::{FindError, FoundManifest, MANIFEST_NAME, find_manifest};
pub use printer::{Colour, Printer, Terminal};
pub use process::protect;
pub use sealed::{
    CACHE_KEY_VARIABLE, IDENTITY_VARIABLE, ProjectStore, STORE_NAME, SealedError, digest_key, identity,
    identity_or_new, identity_path,
};
pub use signal::{Cancellation, listen};
pub use visible::{one_line, visible};
