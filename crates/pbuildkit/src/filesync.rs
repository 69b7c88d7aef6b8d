//! Sending local files: the sender's half of fsutil's transfer, over a session's `FileSync` service.
//!
//! The engine names a local and the patterns that it wants, receives the list of entries, and requests the bytes of
//! the files that it does not have. Reading and matching happen on threads that may block, so that the session can
//! still answer BuildKit's health checks.

mod follow;
mod local;
mod query;
mod sender;
mod service;
mod tree;
mod walk;
mod wire;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::session::observer::ContextObserver;
use crate::trouble::Trouble;
pub use local::Local;
pub(crate) use wire::{Packet, PacketKind, Stat, mode};

/// The `FileSync` service. Clones are cheap.
#[derive(Clone)]
pub(crate) struct FileSync(Arc<Shared>);

struct Shared {
    locals: BTreeMap<String, Local>,
    observer: Option<Arc<dyn ContextObserver>>,
    trouble: Arc<Trouble>,
    sent: Arc<Counters>,
}

impl FileSync {
    pub(crate) fn new(
        locals: BTreeMap<String, Local>,
        observer: Option<Arc<dyn ContextObserver>>,
        trouble: Arc<Trouble>,
        sent: Arc<Counters>,
    ) -> Self {
        Self(Arc::new(Shared { locals, observer, trouble, sent }))
    }
}

/// The amount of data that was sent. Files that the engine already had do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransferCount {
    /// The number of listed entries: files, directories and links.
    pub entries: u64,
    /// The number of files whose bytes the engine requested.
    pub files: u64,
    /// The number of bytes of these files.
    pub bytes: u64,
}

#[derive(Default)]
pub(crate) struct Counters {
    entries: AtomicU64,
    files: AtomicU64,
    bytes: AtomicU64,
}

impl Counters {
    pub(crate) fn read(&self) -> TransferCount {
        TransferCount {
            entries: self.entries.load(Ordering::Relaxed),
            files: self.files.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}
