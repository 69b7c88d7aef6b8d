//! What the forwarder's processes know together: which list the instances are of, and how often each did not answer.
//!
//! Only numbers are shared, each of them read and written at once, so that no process ever waits for another.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use pshim::target::{self, List, Target};

use crate::system;

/// How many instances of a list are watched. Further ones count as healthy.
const MOST: usize = 1024;
/// An instance that did not answer so often in a row is left out.
const SICK: u32 = 2;

/// The numbers that the processes share.
pub(crate) struct Board {
    /// The fingerprint of the list that the other numbers are about, or zero while they are set anew.
    list: AtomicU64,
    /// How many milliseconds lie between two checks.
    pause: AtomicU32,
    /// How often the instance at this place of the list did not answer since it last did.
    failures: [AtomicU32; MOST],
}

impl Board {
    /// Makes a board that this process shares with its later children. Returns `None` if the kernel has no memory.
    pub(crate) fn shared() -> Option<&'static Self> {
        let address = system::map_shared(size_of::<Self>())?;
        // SAFETY: the mapping is as long as the board, aligned to a page, never unmapped, and full of zeros, which are
        // valid for every atomic number.
        Some(unsafe { &*(address as *const Self) })
    }

    /// Begins to speak of another list, in which every instance counts as healthy. Says nothing new of a known one.
    pub(crate) fn turn_to(&self, list: u64, pause: u32) {
        if self.list.load(Ordering::Acquire) != list {
            self.list.store(0, Ordering::Release);
            self.failures.iter().for_each(|failures| failures.store(0, Ordering::Relaxed));
            self.pause.store(pause, Ordering::Relaxed);
            self.list.store(list, Ordering::Release);
        }
    }

    /// Returns the fingerprint of the list that the board speaks of.
    pub(crate) fn list(&self) -> u64 {
        self.list.load(Ordering::Acquire)
    }

    /// Returns how many milliseconds lie between two checks.
    pub(crate) fn pause(&self) -> u64 {
        u64::from(self.pause.load(Ordering::Relaxed).max(1))
    }

    /// Returns whether the instance at this place of a list is to be left out.
    pub(crate) fn is_sick(&self, list: u64, place: usize) -> bool {
        self.failures(list, place) >= SICK
    }

    /// Returns how often the instance did not answer.
    pub(crate) fn failures(&self, list: u64, place: usize) -> u32 {
        match self.failures.get(place) {
            Some(failures) if self.list() == list => failures.load(Ordering::Relaxed),
            _ => 0,
        }
    }

    /// Notes that an instance answered. Returns whether it was left out until now.
    pub(crate) fn note_answer(&self, list: u64, place: usize) -> bool {
        match self.failures.get(place) {
            Some(failures) if self.list() == list => failures.swap(0, Ordering::Relaxed) >= SICK,
            _ => false,
        }
    }

    /// Notes that an instance did not answer. Returns whether it is left out from now on.
    pub(crate) fn note_failure(&self, list: u64, place: usize) -> bool {
        match self.failures.get(place) {
            Some(failures) if self.list() == list => failures.fetch_add(1, Ordering::Relaxed) + 1 == SICK,
            _ => false,
        }
    }

    /// Notes that an instance refused a connection. One refusal is enough. Returns whether it was not left out yet.
    pub(crate) fn note_refusal(&self, list: u64, place: usize) -> bool {
        match self.failures.get(place) {
            Some(failures) if self.list() == list => failures.swap(SICK, Ordering::Relaxed) < SICK,
            _ => false,
        }
    }
}

/// Reads the list. Returns it with its fingerprint if it is complete.
pub(crate) fn read<T>(with: impl FnOnce(&List<'_>, u64) -> T) -> Option<T> {
    let bytes = system::read_file(pshim::TARGETS_FILE).ok()?;
    let list = target::parse(&bytes)?;
    Some(with(&list, target::fingerprint(&bytes)))
}

/// Iterates over the targets of a port in the order in which they are tried: beginning with the one whose turn it is,
/// those that are left out last.
pub(crate) fn in_order<'l, 'a>(
    board: &'static Board,
    (list, fingerprint): (&'l List<'a>, u64),
    (protocol, listen): (target::Protocol, u16),
    turn: usize,
) -> impl Iterator<Item = (usize, &'l Target<'a>)> + use<'l, 'a> {
    let of_port = move |sick| {
        let is_meant = move |(place, _): &(usize, &Target<'_>)| board.is_sick(fingerprint, *place) == sick;
        target::in_turn(list, protocol, listen, turn).filter(is_meant)
    };
    of_port(false).chain(of_port(true))
}
