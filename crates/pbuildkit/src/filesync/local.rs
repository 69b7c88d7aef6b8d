//! A local: files of ours that the engine may ask for.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Files that the engine may ask for.
#[derive(Clone)]
pub enum Local {
    /// A directory of this machine.
    Directory(PathBuf),
    /// Files that exist only in memory, for example a Dockerfile from standard input. Paths are relative.
    Files(BTreeMap<PathBuf, Vec<u8>>),
}
