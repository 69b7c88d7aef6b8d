//! Sending local files: the sender's half of fsutil's transfer, over a session's `FileSync` service.
//!
//! The engine names a local, says which patterns it wants, gets the list of entries, and asks for the bytes of those
//! that it does not have. Reading and matching happen on threads that may block, so that the session stays able to say
//! that it lives.

mod follow;
mod sender;
mod service;
mod tree;
mod walk;
mod wire;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::request::Local;
use crate::session::observer::ContextObserver;
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

/// How much was sent; what the engine had already does not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Entries listed: files, directories, links.
    pub entries: u64,
    /// Files whose bytes the engine asked for.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

#[derive(Default)]
pub(crate) struct Counters {
    entries: AtomicU64,
    files: AtomicU64,
    bytes: AtomicU64,
}

impl Counters {
    pub(crate) fn read(&self) -> Sent {
        Sent {
            entries: self.entries.load(Ordering::Relaxed),
            files: self.files.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}

/// Why a transfer failed on our side; the build must say this, and not what the engine makes of it.
#[derive(Debug)]
pub(crate) enum Cause {
    /// A file cannot be read.
    Source { path: PathBuf, source: io::Error },
    /// What came of an exporter cannot be put where it belongs.
    Destination { path: PathBuf, source: io::Error },
    /// The observer stopped it.
    Stopped { local: String, path: PathBuf },
}

/// Holds the first cause until the build asks for it.
#[derive(Default)]
pub(crate) struct Trouble {
    cause: Mutex<Option<Cause>>,
    happened: Notify,
}

impl Trouble {
    pub(crate) fn report(&self, cause: Cause) {
        self.cause.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(cause);
        self.happened.notify_one();
    }

    /// The first cause, if there was one.
    pub(crate) fn take(&self) -> Option<Cause> {
        self.cause.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Waits for a cause; for ever if there is none.
    pub(crate) async fn wait(&self) -> Cause {
        loop {
            self.happened.notified().await;
            if let Some(cause) = self.take() {
                return cause;
            }
        }
    }
}
