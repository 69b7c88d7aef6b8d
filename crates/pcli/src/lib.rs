//! What both tools share at the edge: errors to people, exit codes, progress.
//!
//! Texts and events enter as plain data from the tools' own crates. Everything for people leaves through one
//! [`Printer`], behind one redactor; everything for scripts leaves as an [`Exit`].

pub mod arguments;
mod diagnostic;
pub mod doctor;
mod excerpt;
mod exit;
mod manifest;
mod printer;
mod process;
pub mod progress;
mod prompt;
mod record;
pub mod resolve;
mod sealed;
pub mod secrets;
mod signal;
mod size;
pub mod trust;
mod visible;

pub use diagnostic::Diagnostic;
pub use excerpt::{Excerpt, Mark};
pub use exit::{Ending, Exit};
pub use manifest::{FindError, FoundManifest, MANIFEST_NAME, find_manifest};
pub use printer::{Colour, Printer, Terminal};
pub use process::{protect, scrub};
pub use prompt::ask;
pub use record::{BuildOutcome, BuildRecord, REMEMBERED_BUILDS, SecretUse, last_builds, remember_build};
pub use sealed::{
    CACHE_KEY_VARIABLE, IDENTITY_VARIABLE, OWN_VARIABLES, PASSPHRASE_VARIABLE, ProjectStore, STORE_NAME, SealedError,
    Wrapping, digest_key, fix_permissions, identity, identity_or_new, identity_path, new_wrapped_identity,
    renew_identity, rewrap_identity,
};
pub use signal::{Cancellation, listen};
pub use size::size;
pub use visible::{one_line, visible};
