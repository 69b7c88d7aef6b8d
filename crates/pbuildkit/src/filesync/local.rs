//! Locals: the files of this machine that the engine may request.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Files that the engine may request.
#[derive(Clone)]
pub enum Local {
    /// A directory of this machine.
    Directory(PathBuf),
    /// Files that exist only in memory, such as a Dockerfile from standard input. Their paths are relative.
    Files(BTreeMap<PathBuf, Vec<u8>>),
}
