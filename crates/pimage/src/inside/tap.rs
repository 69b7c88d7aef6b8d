//! The tap: every byte passes it on its way to the visitor.

use std::cell::Cell;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::rc::Rc;

use super::Shared;
use crate::digest::{Digest, Hasher};

/// The reason why a tap closed before the stream's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// The visitor ended the reading.
    Cancelled,
    /// A limit was reached.
    Limit(&'static str),
}

/// A reader that shows the visitor each byte that it reads, once and in order.
pub(crate) struct Tap<'v, R> {
    source: R,
    shared: &'v Shared<'v>,
    level: usize,
    hasher: Hasher,
    most: Most,
    most_kept: usize,
    seen: Passage,
}

/// The limit for the bytes that pass a tap.
enum Most {
    /// The limit for a blob, in bytes.
    OfBlob(u64),
    /// The limits for packed content. The meter counts the packed bytes that the content comes from; `before` was its
    /// value at the beginning.
    Inside { meter: Rc<Cell<u64>>, before: u64 },
}

/// The record of the bytes that passed a tap.
#[derive(Default)]
pub(crate) struct Passage {
    pub(crate) count: u64,
    pub(crate) digest: Option<Digest>,
    pub(crate) kept: Option<Vec<u8>>,
    pub(crate) stopped: Option<Stopped>,
}

impl<'v, R: Read> Tap<'v, R> {
    /// Makes a tap for the bytes of a blob.
    pub(crate) fn new(source: R, shared: &'v Shared<'v>, hasher: Hasher, most: u64) -> Self {
        Self { source, shared, level: 0, hasher, most: Most::OfBlob(most), most_kept: 0, seen: Passage::default() }
    }

    /// Makes a tap for content that was unpacked inside a blob. The packed bytes begin where the meter had the value
    /// `before`.
    pub(super) fn inside(source: R, shared: &'v Shared<'v>, level: usize, meter: Rc<Cell<u64>>, before: u64) -> Self {
        let most = Most::Inside { before, meter };
        Self { source, shared, level, hasher: Hasher::new(false), most, most_kept: 0, seen: Passage::default() }
    }

    /// Keeps a copy of the bytes in `kept`, if it is given, as long as the copy is not longer than `most`.
    pub(crate) fn keeping(mut self, kept: Option<Vec<u8>>, most: usize) -> Self {
        self.seen.kept = kept;
        self.most_kept = most;
        self
    }

    pub(crate) fn finish(self) -> Passage {
        Passage { digest: self.hasher.finish(), ..self.seen }
    }

    fn limit(&self, news: u64) -> Option<&'static str> {
        let count = self.seen.count;
        match &self.most {
            Most::OfBlob(most) => (count > *most).then_some("unpacked bytes of one blob"),
            Most::Inside { meter, before } => self.shared.limit(count, news, meter.get().saturating_sub(*before)),
        }
    }
}

impl<R: Read> Read for Tap<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(out)?;
        let bytes = &out[..count];
        if count == 0 {
            return Ok(0);
        }
        self.seen.count += count as u64;
        self.hasher.update(bytes);
        match &mut self.seen.kept {
            Some(kept) if kept.len() + count > self.most_kept => self.seen.kept = None,
            Some(kept) => kept.extend_from_slice(bytes),
            None => {}
        }
        if self.shared.bytes(self.level, bytes) == ControlFlow::Break(()) {
            self.seen.stopped = Some(Stopped::Cancelled);
        } else if let Some(what) = self.limit(count as u64) {
            self.seen.stopped = Some(Stopped::Limit(what));
        }
        match self.seen.stopped {
            None => Ok(count),
            Some(_) => Err(io::Error::other("stopped")),
        }
    }
}
