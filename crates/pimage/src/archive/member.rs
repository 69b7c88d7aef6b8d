//! The bytes of one member in the archive.

use std::io::{self, Read};

use crate::digest::{Digest, Hasher};
use crate::window::Window;

/// The reason why a member could not be read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The archive ended before the member's end.
    Cut,
    /// The source failed.
    Failed(io::ErrorKind),
}

/// A reader that ends where its member ends.
pub(super) struct Member<'a, R> {
    archive: &'a mut Window<R>,
    left: u64,
    /// Whether the member has no size, so that it ends where the source ends.
    open_ended: bool,
    count: u64,
    hasher: Hasher,
    broken: Option<Broken>,
}

impl<'a, R: Read> Member<'a, R> {
    pub(super) fn new(archive: &'a mut Window<R>, size: u64, digested: bool) -> Self {
        Self { archive, left: size, open_ended: false, count: 0, hasher: Hasher::new(digested), broken: None }
    }

    /// Makes a member of everything that the source holds.
    pub(super) fn to_its_end(source: &'a mut Window<R>, digested: bool) -> Self {
        Self { open_ended: true, ..Self::new(source, u64::MAX, digested) }
    }

    /// Returns the number of bytes that were read.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn broken(&self) -> Option<Broken> {
        self.broken
    }

    /// Returns the digest of the member, if all of its bytes were read.
    pub(super) fn digest(&mut self) -> Option<Digest> {
        let hasher = std::mem::replace(&mut self.hasher, Hasher::new(false));
        if self.left == 0 { hasher.finish() } else { None }
    }
}

impl<R: Read> Read for Member<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let most = out.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if most == 0 {
            return Ok(0);
        }
        match self.archive.read(&mut out[..most]) {
            Ok(0) => {
                self.left = if self.open_ended { 0 } else { self.left };
                self.broken = if self.open_ended { None } else { Some(Broken::Cut) };
                Ok(0)
            }
            Ok(count) => {
                self.hasher.update(&out[..count]);
                self.left -= count as u64;
                self.count += count as u64;
                Ok(count)
            }
            Err(error) => {
                self.broken = Some(Broken::Failed(error.kind()));
                Err(error)
            }
        }
    }
}
