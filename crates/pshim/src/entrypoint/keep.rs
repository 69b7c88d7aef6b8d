//! The task of a keeper, which holds the lock of a project's state. The lock is held while this program runs, and the
//! program runs while its client is connected.

use alloc::vec::Vec;

use pshim::keep::{self, Order};

use crate::signals::{Signal, Signals};
use crate::system::{self, EEXIST, Errno, Poll};

/// The longest line that is read.
const LONGEST: usize = 1024;

/// Carries out orders from standard input until the input ends, or until none has arrived for [`keep::PATIENCE`].
pub(crate) fn keep(folder: &[u8]) -> u8 {
    const STDIN: i32 = 0;
    let Some(signals) = Signals::watch() else { return pshim::FAILED };
    system::write_all(system::STDOUT, keep::READY);
    let (mut line, mut buffer) = (Vec::with_capacity(LONGEST), [0; 512]);
    let mut heard = system::milliseconds();
    loop {
        let silence = system::milliseconds() - heard;
        if silence >= keep::PATIENCE {
            return pshim::TIMED_OUT;
        }
        let mut files = [Poll::for_read(STDIN), signals.poll()];
        let _ = system::poll(&mut files, Some(keep::PATIENCE - silence));
        while let Some(signal) = signals.next() {
            if let Signal::End(_) = signal {
                return 0;
            }
        }
        if !files[0].happened() {
            continue;
        }
        let count = match system::read(STDIN, &mut buffer) {
            Ok(0) | Err(_) => return 0,
            Ok(count) => count,
        };
        heard = system::milliseconds();
        for byte in &buffer[..count] {
            match byte {
                b'\n' => {
                    carry_out(folder, &line);
                    line.clear();
                }
                byte if line.len() < LONGEST => line.push(*byte),
                _ => return pshim::FAILED,
            }
        }
    }
}

fn carry_out(folder: &[u8], line: &[u8]) {
    let result = match keep::parse(line) {
        Some(Order::Alive) => return,
        Some(Order::Commit { uploaded, name }) => commit(folder, uploaded, name),
        Some(Order::Forget { name }) => system::unlink(&path(folder, name)),
        None => Err(Errno(0)),
    };
    let answer = match result {
        Ok(()) => keep::DONE,
        Err(EEXIST) => keep::TAKEN,
        Err(_) => keep::FAILED,
    };
    system::write_all(system::STDOUT, answer);
}

/// Gives an uploaded file its final name. The content is on the disk before the file gets its name, and the name is
/// on the disk before the client gets the answer.
fn commit(folder: &[u8], uploaded: &[u8], name: &[u8]) -> Result<(), Errno> {
    let (uploaded, name) = (path(folder, uploaded), path(folder, name));
    system::sync(&uploaded)?;
    system::link(&uploaded, &name)?;
    system::unlink(&uploaded)?;
    system::sync(&pshim::program::terminated(folder))
}

fn path(folder: &[u8], name: &[u8]) -> Vec<u8> {
    pshim::program::terminated(&[folder, b"/", name].concat())
}
