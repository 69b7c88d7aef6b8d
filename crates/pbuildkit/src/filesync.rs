//! Sending local files: the sender's half of fsutil's transfer, over a session's `FileSync` service.
//!
//! The engine names a local, says which patterns it wants, gets the list of entries, and asks for the bytes of those
//! that it does not have. Reading and matching happen on threads that may block, so that the session can still
//! answer that it is alive.

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

/// The service: cheap to clone.
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

/// How much was sent. Files that the engine had already do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransferCount {
    /// Entries listed: files, directories, links.
    pub entries: u64,
    /// Files whose bytes the engine asked for.
    pub files: u64,
    /// The bytes of these files.
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
