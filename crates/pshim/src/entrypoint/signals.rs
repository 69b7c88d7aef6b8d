//! Signals that are read like bytes, so that nothing ever interrupts anything.

use crate::system::{self, Poll};

pub(crate) const HANGUP: i32 = 1;
pub(crate) const INTERRUPT: i32 = 2;
pub(crate) const QUIT: i32 = 3;
pub(crate) const KILL: i32 = 9;
pub(crate) const TERMINATE: i32 = 15;
pub(crate) const CHILD: i32 = 17;

/// The size of `struct signalfd_siginfo`.
const RECORD: usize = 128;

/// Reads the signals that matter until it is dropped; then they do again what they did before.
pub(crate) struct Signals {
    file: i32,
    before: u64,
}

/// The signal that came.
pub(crate) enum Signal {
    /// A child ended.
    Child,
    /// Somebody wants this process to end.
    End(i32),
}

impl Signals {
    /// Begins to read signals.
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

    /// Makes the entry by which signals are waited for together with other files.
    pub(crate) fn poll(&self) -> Poll {
        Poll::for_read(self.file)
    }

    /// The next signal that has come, without waiting.
    pub(crate) fn next(&self) -> Option<Signal> {
        let mut record = [0; RECORD];
        let count = system::read(self.file, &mut record).ok()?;
        let number = i32::from_ne_bytes(record[..count].get(..4)?.try_into().ok()?);
        Some(if number == CHILD { Signal::Child } else { Signal::End(number) })
    }

    /// Lets signals do what they did before, in a process that was split off.
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
