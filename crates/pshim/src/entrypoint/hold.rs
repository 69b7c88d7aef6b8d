//! The task of a holder, which keeps a tmpfs alive.

use crate::signals::{Signal, Signals};
use crate::system;

/// Sleeps until a signal asks the program to end. As process 1, it also collects the exit status of every process
/// that ends before.
pub(crate) fn hold() -> u8 {
    let Some(signals) = Signals::watch() else { return pshim::FAILED };
    loop {
        let _ = system::poll(&mut [signals.poll()], None);
        while let Some(signal) = signals.next() {
            match signal {
                Signal::Child => while system::reap().is_some() {},
                Signal::End(_) => return 0,
            }
        }
    }
}
