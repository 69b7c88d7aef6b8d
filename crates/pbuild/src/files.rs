//! The files of a project that several commands read: its Dockerfile, its ignore file, and the names in its commands.

use std::io;
use std::path::Path;

pub(crate) mod blob;
pub(crate) mod coverage;
pub(crate) mod dockerfile;
pub(crate) mod mention;
pub(crate) mod replace;

/// Reads a file of the project, or a pipe, up to `limit` bytes. While the function waits for a pipe, a signal ends
/// the process.
///
/// # Errors
///
/// Returns the same errors as [`psecret::read_bounded`].
pub(crate) fn read(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let _waiting = pscreen::waiting();
    psecret::read_bounded(path, limit)
}
