//! Waits for what others write: a pipe, standard input.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::{Ending, Exit};

/// The waits that are under way.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// While it lives, the first signal ends the process: a read that waits hears of no
/// [`Cancellation`](crate::Cancellation).
#[derive(Debug)]
#[must_use]
pub struct Waiting(());

/// Says that the tool reads what somebody may still have to write, and has nothing under way that would need an orderly
/// end.
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

/// Ends the process if it waits.
pub(crate) fn end(ending: Ending) {
    if WAITING.load(Ordering::SeqCst) > 0 {
        std::process::exit(i32::from(Exit::from(ending).code()));
    }
}
