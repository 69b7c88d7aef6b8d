//! The frontend image's program. It injects secrets and proves that none stays, without a client of ours.
//!
//! BuildKit starts the program for a Dockerfile whose syntax line names its image, or if `BUILDKIT_SYNTAX` does, and
//! talks to it over standard input and output. The words after the image name the secrets ([`syntax`], [`requests`]).
//! The Dockerfile's own frontend makes the graph ([`options`]). A container reports which secrets the client brought
//! ([`secrets`]). The graph gets these secrets, runs, and is searched before it is returned ([`build`]). If the image
//! would contain a secret, the build ends with an error that names the line.
//!
//! This process never has a value. The engine mounts the secrets into containers of the same image, in which the same
//! program is the scanner ([`plook::program`]); only facts, keyed digests and masked findings leave these containers.
//! If the syntax line requires it, the same program is also mounted into the steps, and masks their output
//! ([`masking`]).
//!
//! ```
//! use pfrontend::syntax::SyntaxLine;
//!
//! let line = SyntaxLine::parse("registry.example/pbuild:1 NPM_TOKEN,APP_KEY require")?;
//! assert!(line.require && line.names.len() == 2);
//! let error = SyntaxLine::parse("registry.example/pbuild:1 NPM_TOKEN requre").unwrap_err();
//! assert_eq!(error.to_string(), "the syntax line has no word `requre`; did you mean `require`?");
//! # Ok::<(), pfrontend::syntax::SyntaxError>(())
//! ```

mod bases;
pub mod build;
mod context;
pub mod masking;
pub mod options;
pub mod requests;
mod scanner;
pub mod secrets;
mod seeking;
mod stages;
pub mod syntax;
mod verdict;

use pgateway::Status;

/// Makes an error of ours, for people. Its code is *unknown*, because clients print every other code before the
/// message.
fn refused(message: impl std::fmt::Display) -> Status {
    Status::unknown(format!("pbuild: {message}"))
}
