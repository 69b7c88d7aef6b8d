//! Signals, which are read like bytes from a file, so that no signal ever interrupts the program.

use crate::system::{self, Poll};

pub(crate) const HANGUP: i32 = 1;
pub(crate) const INTERRUPT: i32 = 2;
pub(crate) const QUIT: i32 = 3;
pub(crate) const KILL: i32 = 9;
pub(crate) const TERMINATE: i32 = 15;
pub(crate) const CHILD: i32 = 17;

/// The size of `struct signalfd_siginfo`.
const RECORD: usize = 128;

/// Reads the signals that the program handles. When the value is dropped, these signals have their former effect
/// again.
pub(crate) struct Signals {
    file: i32,
    before: u64,
}

/// A signal that has arrived.
pub(crate) enum Signal {
    /// A child ended.
    Child,
    /// A signal that asks this process to end, with its number.
    End(i32),
}

impl Signals {
    /// Begins to read signals. Returns `None` if the kernel refuses.
    pub(crate) fn watch() -> Option<Self> {
        let set = [HANGUP, INTERRUPT, QUIT, TERMINATE, CHILD].iter().fold(0, |set, signal| set | 1_u64 << (signal - 1));
        let before = system::block_signals(set);
        match system::signal_file(set) {
            Ok(file) => Some(Self { file, before }),
            Err(_) => {
                system::block_signals(before);
                None
            }
        }
    }

    /// Makes the entry with which [`system::poll`] waits for signals together with other files.
    pub(crate) fn poll(&self) -> Poll {
        Poll::for_read(self.file)
    }

    /// Returns the next signal that has arrived, without waiting for one.
    pub(crate) fn next(&self) -> Option<Signal> {
        let mut record = [0; RECORD];
        let count = system::read(self.file, &mut record).ok()?;
        let number = i32::from_ne_bytes(record[..count].get(..4)?.try_into().ok()?);
        Some(if number == CHILD { Signal::Child } else { Signal::End(number) })
    }

    /// Gives signals their former effect again, in a child process that was forked off.
    pub(crate) fn restore(&self) {
        system::block_signals(self.before);
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        system::close(self.file);
        self.restore();
    }
}
