//! Unpacks bzip2, all streams of a file.

use std::io;

use bzip2::{Decompress, Status};

use super::damaged;
use super::pump::{Codec, Step};
use crate::window::Ahead;

/// The magic number of a block, which follows a file header; `END` is that of the stream's end.
const BLOCK: [u8; 6] = *b"1AY&SY";
const END: [u8; 6] = [0x17, 0x72, 0x45, 0x38, 0x50, 0x90];

/// Whether these bytes begin a bzip2 stream.
pub(crate) fn is_bzip2(head: &[u8]) -> bool {
    matches!(head.first_chunk::<10>(), Some([b'B', b'Z', b'h', b'1'..=b'9', magic @ ..]) if matches!(*magic, BLOCK | END))
}

/// Decodes bzip2.
pub(crate) struct Bzip2 {
    decoder: Decompress,
    failed: bool,
}

impl Bzip2 {
    pub(crate) fn new() -> Self {
        Self { decoder: Decompress::new(false), failed: false }
    }
}

impl Codec for Bzip2 {
    fn begins(&mut self, source: &mut dyn Ahead) -> io::Result<bool> {
        if !is_bzip2(source.peek(10)?) {
            return Ok(false);
        }
        if self.decoder.total_in() > 0 {
            self.decoder = Decompress::new(false);
        }
        Ok(true)
    }

    fn step(&mut self, input: &[u8], out: &mut [u8]) -> io::Result<Step> {
        let (before_in, before_out) = (self.decoder.total_in(), self.decoder.total_out());
        if self.failed {
            return Err(damaged());
        }
        let status = self.decoder.decompress(input, out);
        // Both numbers are at most the length of a buffer.
        let consumed = usize::try_from(self.decoder.total_in() - before_in).unwrap_or(input.len());
        let produced = usize::try_from(self.decoder.total_out() - before_out).unwrap_or(out.len());
        // The bytes before the damage are returned first.
        self.failed = status.is_err();
        if self.failed && produced == 0 {
            return Err(damaged());
        }
        Ok(Step { consumed, produced, done: matches!(status, Ok(Status::StreamEnd)) })
    }
}
