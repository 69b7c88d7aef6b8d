//! Locks of the kernel on what all containers of a project see: they are free when their holder ends, however it does.

use crate::signals::{Signal, Signals};
use crate::{say, system};

/// A lock that this process has.
pub(crate) struct Lock {
    /// The open file; the lock is free when nobody has it open any more.
    pub(crate) file: i32,
    /// Whether somebody else had it before.
    pub(crate) waited: bool,
}

/// Takes the lock of a file or directory, and says `waits` if somebody else has it. The error is the exit code of a
/// process that is told to end meanwhile.
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
        // Tried again and again instead of waited for, so that a request to end is heeded.
        let _ = system::poll(&mut [signals.poll()], Some(50));
        while let Some(signal) = signals.next() {
            if let Signal::End(number) = signal {
                return Err(128 + number as u8);
            }
        }
    }
}
