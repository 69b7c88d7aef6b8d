//! Drives a codec that works on buffers.

use std::io::{self, Read};

use super::{damaged, early};
use crate::window::Ahead;

/// Decodes from one buffer into another.
pub(crate) trait Codec {
    /// Whether a stream begins with what comes next, and gets ready for it. Asked at the beginning and behind each
    /// stream's end.
    fn begins(&mut self, source: &mut dyn Ahead) -> io::Result<bool>;

    /// Decodes a piece. Without input it gives what it still holds.
    fn step(&mut self, input: &[u8], out: &mut [u8]) -> io::Result<Step>;
}

/// The result of unpacking one piece.
pub(crate) struct Step {
    pub(crate) consumed: usize,
    pub(crate) produced: usize,
    /// The stream is over.
    pub(crate) done: bool,
}

/// Reads what a codec makes of a source.
pub(crate) struct Pump<'a, C> {
    source: &'a mut dyn Ahead,
    codec: C,
    inside: bool,
    over: bool,
}

impl<'a, C: Codec> Pump<'a, C> {
    pub(crate) fn new(source: &'a mut dyn Ahead, codec: C) -> Self {
        Self { source, codec, inside: false, over: false }
    }
}

impl<C: Codec> Read for Pump<'_, C> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        while !self.over {
            if !self.inside {
                self.inside = self.codec.begins(self.source)?;
                self.over = !self.inside;
                continue;
            }
            let input = self.source.fill_buf()?;
            let starved = input.is_empty();
            let Step { consumed, produced, done } = self.codec.step(input, out)?;
            self.source.consume(consumed);
            self.inside = !done;
            if produced > 0 {
                return Ok(produced);
            }
            if !done && consumed == 0 {
                return Err(if starved { early() } else { damaged() });
            }
        }
        Ok(0)
    }
}
