//! The visitor and the limits that all streams of one blob share.

use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;

use crate::visit::{Entry, Stream, Visitor};

/// The limits for opening content inside of layers. Content beyond a limit is searched in its packed form, and the
/// report says so.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The depth of containers inside of containers. Default: 8.
    pub depth: usize,
    /// The unpacked bytes of one member. Default: 1 GiB.
    pub member_bytes: u64,
    /// The unpacked bytes of all content inside of one layer. Default: 10 GiB.
    pub layer_bytes: u64,
    /// The number of members of all content inside of one layer. Default: one million.
    pub entries: u64,
    /// The number of unpacked bytes for each packed byte. Default: 1000.
    pub ratio: u64,
    /// The number of unpacked bytes from which on the ratio is checked. Default: 64 MiB.
    pub ratio_from: u64,
    /// The memory for the dictionaries of all decoders, and for content that must be kept whole. Default: 96 MiB.
    pub memory: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            depth: 8,
            member_bytes: 1 << 30,
            layer_bytes: 10 << 30,
            entries: 1_000_000,
            ratio: 1000,
            ratio_from: 64 << 20,
            memory: 96 << 20,
        }
    }
}

/// The visitor and the counters of one blob, which are used by one thread.
pub(crate) struct Shared<'v> {
    visitor: RefCell<&'v mut dyn Visitor>,
    limits: &'v Limits,
    bytes: Cell<u64>,
    entries: Cell<u64>,
    memory: Cell<u64>,
    cancelled: Cell<bool>,
}

impl<'v> Shared<'v> {
    pub(crate) fn new(visitor: &'v mut dyn Visitor, limits: &'v Limits) -> Self {
        Self {
            visitor: RefCell::new(visitor),
            limits,
            bytes: Cell::new(0),
            entries: Cell::new(0),
            memory: Cell::new(0),
            cancelled: Cell::new(false),
        }
    }

    pub(crate) fn begin(&self, stream: &Stream<'_>) {
        self.visitor.borrow_mut().begin(stream);
    }

    pub(crate) fn entry(&self, entry: &Entry<'_>) {
        self.visitor.borrow_mut().entry(entry);
    }

    pub(crate) fn bytes(&self, level: usize, bytes: &[u8]) -> ControlFlow<()> {
        let flow = self.visitor.borrow_mut().bytes(level, bytes);
        if flow.is_break() {
            self.cancelled.set(true);
        }
        flow
    }

    pub(crate) fn end(&self) {
        self.visitor.borrow_mut().end();
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.get()
    }

    pub(super) fn limits(&self) -> &Limits {
        self.limits
    }

    /// Returns the limit that is exceeded by a member of `count` bytes, unpacked from `packed` bytes, if there is
    /// one. The last `news` bytes were not counted before.
    pub(super) fn limit(&self, count: u64, news: u64, packed: u64) -> Option<&'static str> {
        self.bytes.set(self.bytes.get() + news);
        if self.bytes.get() > self.limits.layer_bytes {
            Some("unpacked bytes of all archives inside one layer")
        } else if count > self.limits.member_bytes {
            Some("unpacked bytes of one archive member")
        } else if count > self.limits.ratio_from && count / self.limits.ratio > packed {
            Some("unpacked bytes for each packed one")
        } else {
            None
        }
    }

    /// Whether a limit for all content inside this blob is reached.
    pub(super) fn is_exhausted(&self) -> bool {
        self.bytes.get() > self.limits.layer_bytes || self.entries.get() >= self.limits.entries
    }

    /// Counts a member. Returns false if the maximal number is reached.
    pub(super) fn count_entry(&self) -> bool {
        let count = self.entries.get();
        self.entries.set(count + 1);
        count < self.limits.entries
    }

    /// Reserves memory until the result is dropped. Returns `None` if there is not enough.
    pub(super) fn reserve(&'v self, bytes: u64) -> Option<Reserved<'v>> {
        let used = self.memory.get().checked_add(bytes)?;
        if used > self.limits.memory {
            return None;
        }
        self.memory.set(used);
        Some(Reserved { memory: &self.memory, bytes })
    }
}

/// A reserved amount of memory.
pub(super) struct Reserved<'v> {
    memory: &'v Cell<u64>,
    bytes: u64,
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.memory.set(self.memory.get() - self.bytes);
    }
}
