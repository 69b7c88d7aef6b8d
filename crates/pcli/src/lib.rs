//! The sources of secrets' values: `secrets` commands, resolution, trust, the record of builds.
//!
//! Values enter from flags, env files, the manifest `app.toml`, the sealed store and the process environment, as far
//! as the user trusts the manifest to read them; [`resolve`](resolve::resolve) reads every value once. The results
//! are [`psecret::Secret`]s, each with its source, and for people the screens of the `secrets` commands. A value is
//! never printed.
//!
//! ```
//! use std::path::Path;
//!
//! // A project without a manifest is no error: everything can be given on the command line.
//! let folder = tempfile::tempdir()?;
//! let found = pcli::find_manifest(None, &[folder.path()]).expect("nothing to read is no error");
//! assert!(found.is_none());
//! # Ok::<(), std::io::Error>(())
//! ```

pub mod arguments;
pub mod doctor;
mod git;
pub mod help;
mod manifest;
pub mod manual;
pub mod plugin;
mod process;
mod record;
pub mod resolve;
mod sealed;
pub mod secrets;
pub mod trust;

pub use manifest::{FindError, FoundManifest, MANIFEST_NAME, find_manifest, foreign_manifest};
pub use process::{protect, scrub};
pub use record::{BuildOutcome, BuildRecord, REMEMBERED_BUILDS, SecretUse, last_builds, remember_build};
pub use sealed::{
    CACHE_KEY_VARIABLE, IDENTITY_VARIABLE, OPERATOR_VARIABLE, OWN_VARIABLES, PASSPHRASE_VARIABLE, ProjectStore,
    STORE_NAME, SealedError, Wrapping, digest_key, digest_key_at_hand, fix_permissions, identity, identity_or_new,
    identity_path, new_wrapped_identity, renew_identity, rewrap_identity,
};
