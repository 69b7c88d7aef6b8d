//! Observers, which see the bytes of files before they are sent.

use std::path::Path;

/// An observer's permission to send the bytes so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Send the bytes.
    Continue,
    /// Stop the build. The chunk that was just shown is not sent, so the engine never receives the whole file.
    Stop,
}

/// An observer of every file of a build's locals.
///
/// A file that the engine still has from an earlier build is neither sent nor shown.
pub trait ContextObserver: Send + Sync {
    /// Begins a file. `local` is the local's name, such as `context`; `path` is relative to it.
    fn open(&self, local: &str, path: &Path) -> Box<dyn FileObserver>;
}

/// An observer of one file. Its calls come from a thread that may block.
pub trait FileObserver: Send {
    /// Shows the next bytes, in order, before they are sent.
    fn bytes(&mut self, bytes: &[u8]) -> Permission;

    /// Ends the file, before the engine is told of the end. This is the last chance to stop.
    fn end(&mut self) -> Permission;
}
