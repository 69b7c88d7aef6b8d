//! Decodes deflate, bare (RFC 1951) or in zlib's frame (RFC 1950).

use std::io;

use flate2::{Decompress, FlushDecompress, Status};

use super::damaged;
use super::pump::{Codec, Pump, Step};
use crate::window::Ahead;

/// A decoder of one deflate stream.
pub(crate) struct Inflate {
    inflate: Decompress,
    begun: bool,
    failed: bool,
}

/// Reads a bare deflate stream.
pub(crate) fn deflate(source: &mut dyn Ahead) -> Pump<'_, Inflate> {
    Pump::new(source, Inflate { inflate: Decompress::new(false), begun: false, failed: false })
}

/// Reads a zlib stream, and verifies its checksum.
pub(crate) fn zlib(source: &mut dyn Ahead) -> Pump<'_, Inflate> {
    Pump::new(source, Inflate { inflate: Decompress::new(true), begun: false, failed: false })
}

impl Codec for Inflate {
    fn begins(&mut self, _: &mut dyn Ahead) -> io::Result<bool> {
        Ok(!std::mem::replace(&mut self.begun, true))
    }

    fn step(&mut self, input: &[u8], out: &mut [u8]) -> io::Result<Step> {
        let (before_in, before_out) = (self.inflate.total_in(), self.inflate.total_out());
        let flush = if input.is_empty() { FlushDecompress::Finish } else { FlushDecompress::None };
        if self.failed {
            return Err(damaged());
        }
        let status = self.inflate.decompress(input, out, flush);
        // Both numbers are at most the length of a buffer.
        let consumed = usize::try_from(self.inflate.total_in() - before_in).unwrap_or(input.len());
        let produced = usize::try_from(self.inflate.total_out() - before_out).unwrap_or(out.len());
        // The bytes before the damage are returned first.
        self.failed = status.is_err();
        if self.failed && produced == 0 {
            return Err(damaged());
        }
        Ok(Step { consumed, produced, done: matches!(status, Ok(Status::StreamEnd)) })
    }
}
