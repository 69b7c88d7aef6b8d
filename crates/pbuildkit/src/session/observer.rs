//! Observers, which look at files while they are sent.

use std::path::Path;

/// An observer's permission to send the bytes so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Send them.
    Continue,
    /// Stop the build. The chunk that was just shown is not sent, so the engine never has the whole file.
    Stop,
}

/// Somebody who looks at every file of a build's locals while it is sent.
///
/// A file that the engine has already from an earlier build is not sent and not shown.
pub trait ContextObserver: Send + Sync {
    /// Begins a file. `local` is the local's name, such as `context`; `path` is relative to it.
    fn open(&self, local: &str, path: &Path) -> Box<dyn FileObserver>;
}

/// Looks at one file, on a thread that may block.
pub trait FileObserver: Send {
    /// Shows the next bytes, in order, before they are sent.
    fn bytes(&mut self, bytes: &[u8]) -> Permission;

    /// Ends a file, before the engine learns of its end: the last chance to stop.
    fn end(&mut self) -> Permission;
}
