//! The frontend image's program: injection and proof without a client of ours.
//!
//! BuildKit starts it for a Dockerfile whose syntax line names its image, or where `BUILDKIT_SYNTAX` does, and speaks
//! with it over standard input and output. The words behind the image say which secrets are meant ([`syntax`],
//! [`requests`]). The Dockerfile's own frontend makes the graph ([`options`]); a container says which secrets the
//! client brought ([`secrets`]); the graph gets them, runs, and is searched before it is returned ([`build`]). Where a
//! secret would be in the image, the build ends with an error that names the line.
//!
//! This process never has a value. The engine mounts secrets into containers of the same image, where the same program
//! is the scanner ([`plook::program`]); facts, keyed digests and masked findings come out. Where the line says so, the
//! same program is mounted into the steps too, and masks what they print ([`masking`]).
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

/// Makes an error of ours, for people. Its code is *unknown*: clients print every other code before the message.
fn refused(message: impl std::fmt::Display) -> Status {
    Status::unknown(format!("pbuild: {message}"))
}
