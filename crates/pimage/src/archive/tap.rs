//! The point that every byte passes on its way to whoever looks for something in it.

use std::io::{self, Read};
use std::ops::ControlFlow;

use crate::digest::{Digest, Hasher};
use crate::visit::Visitor;

/// Why a tap closed before the stream's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    /// The visitor wants no more.
    Cancelled,
    /// The stream is longer than allowed.
    Limit,
}

/// A reader that shows a visitor each byte it reads, once, in order.
pub(super) struct Tap<'v, R, V> {
    source: R,
    visitor: &'v mut V,
    hasher: Hasher,
    limit: u64,
    seen: Seen,
}

/// What passed a tap.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) count: u64,
    pub(super) digest: Option<Digest>,
    pub(super) kept: Option<Vec<u8>>,
    pub(super) stopped: Option<Stopped>,
}

impl<'v, R: Read, V: Visitor> Tap<'v, R, V> {
    pub(super) fn new(source: R, visitor: &'v mut V, hasher: Hasher, limit: u64) -> Self {
        Self { source, visitor, hasher, limit, seen: Seen::default() }
    }

    /// Keeps a copy of everything, if there is where to keep it.
    pub(super) fn keeping(mut self, kept: Option<Vec<u8>>) -> Self {
        self.seen.kept = kept;
        self
    }

    pub(super) fn visitor(&mut self) -> &mut V {
        self.visitor
    }

    pub(super) fn finish(self) -> Seen {
        Seen { digest: self.hasher.finish(), ..self.seen }
    }
}

impl<R: Read, V: Visitor> Read for Tap<'_, R, V> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(out)?;
        let bytes = &out[..count];
        if count == 0 {
            return Ok(0);
        }
        self.seen.count += count as u64;
        self.hasher.update(bytes);
        if let Some(kept) = &mut self.seen.kept {
            kept.extend_from_slice(bytes);
        }
        if self.visitor.bytes(bytes) == ControlFlow::Break(()) {
            self.seen.stopped = Some(Stopped::Cancelled);
        } else if self.seen.count > self.limit {
            self.seen.stopped = Some(Stopped::Limit);
        }
        match self.seen.stopped {
            None => Ok(count),
            Some(_) => Err(io::Error::other("stopped")),
        }
    }
}
