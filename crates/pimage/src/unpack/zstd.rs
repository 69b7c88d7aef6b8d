//! Decodes Zstandard, frame by frame (RFC 8878).

use std::io;

use zstd::stream::raw::{DParameter, Decoder, Operation as _};

use super::damaged;
use super::pump::{Codec, Step};
use crate::window::Ahead;

/// The fields of a frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    /// The memory that decoding needs.
    pub(crate) window: u64,
    /// Whether the frame needs a dictionary, which is stored elsewhere.
    pub(crate) needs_dictionary: bool,
}

impl FrameHeader {
    /// Reads the header of a frame. Returns `None` for a skippable frame, and for bytes that are not a frame.
    pub(crate) fn parse(head: &[u8]) -> Option<Self> {
        let [0x28, 0xb5, 0x2f, 0xfd, descriptor, rest @ ..] = head else { return None };
        let single_segment = descriptor & 0x20 != 0;
        let mut rest = rest;
        let mut take = |count: usize| -> Option<u64> {
            let bytes = rest.get(..count)?;
            rest = &rest[count..];
            Some(bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
        };
        let window = if single_segment { 0 } else { take(1)? };
        let dictionary = take([0, 1, 2, 4][usize::from(descriptor & 3)])?;
        let size = take(match descriptor >> 6 {
            0 => usize::from(single_segment),
            flag => 1 << flag,
        })?;
        let base = 1_u64 << (10 + (window >> 3));
        let window = if single_segment { size } else { base + base / 8 * (window & 7) };
        Some(Self { window, needs_dictionary: dictionary != 0 })
    }
}

/// Whether these bytes begin a frame, even a skippable one.
pub(crate) fn is_frame(head: &[u8]) -> bool {
    matches!(head, [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

/// A decoder of frames.
pub(crate) struct Zstd(Decoder<'static>);

impl Zstd {
    /// Makes a decoder for frames whose window is at most two to the power of `window_log`.
    ///
    /// # Errors
    ///
    /// Returns an error if there is not enough memory.
    pub(crate) fn new(window_log: u32) -> io::Result<Self> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(window_log))?;
        Ok(Self(decoder))
    }
}

impl Codec for Zstd {
    fn begins(&mut self, source: &mut dyn Ahead) -> io::Result<bool> {
        if !is_frame(source.peek(4)?) {
            return Ok(false);
        }
        self.0.reinit()?;
        Ok(true)
    }

    fn step(&mut self, input: &[u8], out: &mut [u8]) -> io::Result<Step> {
        let status = self.0.run_on_buffers(input, out).map_err(|_| damaged())?;
        Ok(Step { consumed: status.bytes_read, produced: status.bytes_written, done: status.remaining == 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_tells_window_and_dictionary() {
        let packed = zstd::encode_all(&[7; 100_000][..], 3).unwrap();
        let header = FrameHeader::parse(&packed).unwrap();
        assert!(header.window >= 1 << 10 && !header.needs_dictionary, "{header:?}");
        assert_eq!(
            FrameHeader::parse(b"\x28\xb5\x2f\xfd\x03\xa8\x01\0\0\0"),
            Some(FrameHeader { window: 1 << 31, needs_dictionary: true })
        );
        assert_eq!(FrameHeader::parse(b"\x28\xb5\x2f\xfd"), None);
    }
}
