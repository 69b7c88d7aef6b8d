//! Keeps the first error on our side of a build until the build reports it.

use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// The reason why a transfer failed on our side. The build must report this reason, and not the engine's view of the
/// failure.
#[derive(Debug)]
pub(crate) enum Cause {
    /// A file cannot be read.
    Source { path: PathBuf, source: io::Error },
    /// The data of an exporter cannot be written to its destination.
    Destination { path: PathBuf, source: io::Error },
    /// The observer stopped the transfer.
    Stopped { local: String, path: PathBuf },
}

/// Holds the first cause until the build takes it.
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

    /// Returns the first cause, if there is one.
    pub(crate) fn take(&self) -> Option<Cause> {
        self.cause.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Waits for a cause, forever if there is none.
    pub(crate) async fn wait(&self) -> Cause {
        loop {
            self.happened.notified().await;
            if let Some(cause) = self.take() {
                return cause;
            }
        }
    }
}
