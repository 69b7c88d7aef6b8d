//! Drives a codec that works on buffers.

use std::io::{self, Read};

use super::{damaged, early};
use crate::window::Ahead;

/// A decoder from one buffer into another.
pub(crate) trait Codec {
    /// Returns whether a stream begins with the next bytes, and prepares to decode it. Called at the beginning, and
    /// after each stream's end.
    fn begins(&mut self, source: &mut dyn Ahead) -> io::Result<bool>;

    /// Decodes a piece. Without input, returns the output that the codec still holds.
    fn step(&mut self, input: &[u8], out: &mut [u8]) -> io::Result<Step>;
}

/// The result of decoding one piece.
pub(crate) struct Step {
    pub(crate) consumed: usize,
    pub(crate) produced: usize,
    /// Whether the stream has ended.
    pub(crate) done: bool,
}

/// A reader of a codec's output.
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
