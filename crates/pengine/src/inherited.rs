//! The files that child processes inherit.

use std::os::unix::ffi::OsStrExt as _;
use std::process::Command;

/// The beginning of the names of the tools' own variables; some of them hold keys.
const OWN: &[u8] = b"PBUILD_";

/// Takes the tools' own variables out of what `ssh` or a credential helper inherits; all else it may need.
pub fn scrub(command: &mut Command) {
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_bytes().starts_with(OWN)) {
        command.env_remove(name);
    }
}
