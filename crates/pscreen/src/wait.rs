//! Waits for input that another program or person writes, such as a pipe or standard input.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::{Ending, Exit};

/// The number of waits that are under way.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// A wait for input. Until it is dropped, the first signal ends the process, because a blocked read cannot react to a
/// [`Cancellation`](crate::Cancellation).
#[derive(Debug)]
#[must_use]
pub struct Waiting(());

/// Declares that the tool waits for input, and that no work is under way that would need to clean up.
///
/// ```
/// let _waiting = pscreen::waiting();
/// // … a read that may block …
/// ```
pub fn waiting() -> Waiting {
    WAITING.fetch_add(1, Ordering::SeqCst);
    Waiting(())
}

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Ends the process if a wait is under way.
pub(crate) fn end(ending: Ending) {
    if WAITING.load(Ordering::SeqCst) > 0 {
        std::process::exit(i32::from(Exit::from(ending).code()));
    }
}
