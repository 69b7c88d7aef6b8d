//! The environment that child processes inherit.

use std::os::unix::ffi::OsStrExt as _;
use std::process::Command;

/// The prefix of the tools' own variables, some of which hold keys.
const OWN: &[u8] = b"PBUILD_";

/// Removes the tools' own variables from the environment of `ssh` or a credential helper. All other variables stay,
/// because the program may need them.
pub fn scrub(command: &mut Command) {
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_bytes().starts_with(OWN)) {
        command.env_remove(name);
    }
}
