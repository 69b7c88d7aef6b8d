//! Locks of the kernel on files that all containers of a project share. The kernel frees a lock when its holder ends,
//! even if the holder is killed.

use crate::signals::{Signal, Signals};
use crate::{say, system};

/// A lock that this process has.
pub(crate) struct Lock {
    /// The open file. The lock is free when no process has this file open any more.
    pub(crate) file: i32,
    /// Whether another process had the lock at first, so that this one waited.
    pub(crate) waited: bool,
}

/// Takes the lock of a file or directory. If another process has it, prints `waits` and waits. Returns an exit code
/// as the error if the lock is missing, or if a signal asks this process to end in the meantime.
pub(crate) fn take(path: &[u8], waits: &[u8], signals: &Signals) -> Result<Lock, u8> {
    let Ok(file) = system::open(&pshim::program::terminated(path)) else {
        say(&[b"the lock ", path, b" is missing"]);
        return Err(pshim::FAILED);
    };
    let mut waited = false;
    loop {
        match system::lock(file, false) {
            Ok(()) => return Ok(Lock { file, waited }),
            Err(system::EAGAIN) => {}
            Err(_) => {
                say(&[b"the lock ", path, b" cannot be taken"]);
                return Err(pshim::FAILED);
            }
        }
        if !waited {
            say(&[waits]);
            waited = true;
        }
        // The lock is tried repeatedly, because a blocking wait for it could not react to a signal.
        let _ = system::poll(&mut [signals.poll()], Some(50));
        while let Some(signal) = signals.next() {
            if let Signal::End(number) = signal {
                return Err(128 + number as u8);
            }
        }
    }
}
