//! The LZMA family: xz, lzip, and the older bare format.
//!
//! The header of each format states how much memory decoding needs, so the caller can refuse a stream.

use std::io::{self, Read};

use lzma_rust2::{Action, LzipStream, LzmaReader, LzmaStream, Status, StreamResult, XzReader};

use super::pump::{Codec, Pump, Step};
use crate::window::Ahead;

/// The length of the header of bare LZMA: properties, dictionary, size.
const LZMA_HEADER: usize = 13;

/// The memory that a decoder needs beside its dictionary, rounded up.
const BESIDE_DICTIONARY: u64 = 1 << 20;

/// Computes the memory that an xz stream needs, from the header of its first block. Returns `None` if this is not a
/// header.
pub(crate) fn xz_memory(head: &[u8]) -> Option<u64> {
    let block = head.get(12..)?;
    // If the index follows at once, there is no block.
    if *block.first()? == 0 {
        return Some(BESIDE_DICTIONARY);
    }
    let (flags, mut rest) = block.get(1..)?.split_first()?;
    for present in [0x40, 0x80] {
        if flags & present != 0 {
            number(&mut rest)?;
        }
    }
    let mut dictionary = 0;
    for _ in 0..=flags & 3 {
        let (id, length) = (number(&mut rest)?, number(&mut rest)?);
        let (properties, behind) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        rest = behind;
        if id == 0x21 {
            let bits = u64::from(properties.first()? & 0x3f);
            dictionary = if bits >= 40 { u64::from(u32::MAX) } else { (2 | (bits & 1)) << (bits / 2 + 11) };
        }
    }
    Some(dictionary + BESIDE_DICTIONARY)
}

/// Reads a number of xz: seven bits per byte, the lowest first.
fn number(rest: &mut &[u8]) -> Option<u64> {
    let mut sum = 0_u64;
    for shift in (0..63).step_by(7) {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        sum |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(sum);
        }
    }
    None
}

/// Computes the memory that bare LZMA needs. Returns `None` if the head is not a header of it. The format has no
/// magic number, so the header must be one that an encoder writes: usual properties, a round dictionary size, and a
/// plausible length.
pub(crate) fn lzma_memory(head: &[u8]) -> Option<u64> {
    let head = head.first_chunk::<LZMA_HEADER>()?;
    let [0x5d, d0, d1, d2, d3, size @ ..] = *head else { return None };
    let dictionary = u32::from_le_bytes([d0, d1, d2, d3]);
    let size = u64::from_le_bytes(size);
    let round = dictionary >= 4096 && (dictionary & (dictionary - 1) == 0 || (dictionary / 3).is_power_of_two());
    (round && (size == u64::MAX || size < 1 << 38)).then(|| u64::from(dictionary) + BESIDE_DICTIONARY)
}

/// Computes the memory that an lzip member needs.
pub(crate) fn lzip_memory(head: &[u8]) -> Option<u64> {
    let [b'L', b'Z', b'I', b'P', 1, coded, ..] = head else { return None };
    let base = 1_u64 << (coded & 0x1f);
    (12..=29).contains(&(coded & 0x1f)).then(|| base - base / 16 * u64::from(coded >> 5) + BESIDE_DICTIONARY)
}

/// The number of bytes that are unpacked at a time. If the input is damaged, up to this many bytes before the damage
/// may be lost.
const PIECE: usize = 4096;

fn kilobytes(memory: u64) -> u32 {
    u32::try_from(memory / 1024 + 1024).unwrap_or(u32::MAX)
}

/// Reads all streams of xz, also with zeros between them. The reading ends at a later block that needs more memory
/// than the first.
pub(crate) fn xz(source: &mut dyn Ahead, memory: u64) -> impl Read + '_ {
    let memory = kilobytes(memory);
    Xz { reader: Some(XzReader::new_mem_limit(source, false, memory)), memory }
}

struct Xz<'a> {
    reader: Option<XzReader<&'a mut dyn Ahead>>,
    memory: u32,
}

impl Read for Xz<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while let Some(reader) = &mut self.reader {
            let most = out.len().min(PIECE);
            let count = reader.read(&mut out[..most])?;
            if count > 0 || out.is_empty() {
                return Ok(count);
            }
            if let Some(source) = self.reader.take().map(XzReader::into_inner)
                && another_xz(source)?
            {
                self.reader = Some(XzReader::new_mem_limit(source, false, self.memory));
            }
        }
        Ok(0)
    }
}

/// Whether another stream follows, after a padding of zeros.
fn another_xz(source: &mut dyn Ahead) -> io::Result<bool> {
    loop {
        match source.peek(6)? {
            [0, 0, 0, 0, ..] => source.consume(4),
            head => return Ok(head.starts_with(b"\xfd7zXZ\0")),
        }
    }
}

/// Reads bare LZMA with its header. The decoder may consume bytes after the stream's end, because it reads ahead.
pub(crate) fn lzma(source: &mut dyn Ahead, memory: u64) -> io::Result<impl Read + '_> {
    let mut reader = LzmaReader::new_mem_limit(source, kilobytes(memory), None)?;
    // The bytes before the damage are returned first.
    reader.set_defer_errors(true);
    Ok(reader)
}

/// Reads LZMA in zip's format: a version precedes the properties, and the size, if known, comes from the caller.
/// Returns `None` if there is no header or if more memory is needed.
pub(crate) fn zip_lzma(source: &mut dyn Ahead, size: Option<u64>, memory: u64) -> io::Result<Option<impl Read + '_>> {
    let Some([_, _, 5, 0, properties, dictionary @ ..]) = source.peek(9)?.first_chunk::<9>().copied() else {
        return Ok(None);
    };
    let dictionary = u32::from_le_bytes(dictionary);
    if u64::from(dictionary) > memory {
        return Ok(None);
    }
    source.consume(9);
    let stream = LzmaStream::new_with_props(size.unwrap_or(u64::MAX), properties, dictionary, None);
    Ok(stream.ok().map(|stream| Pump::new(source, Once { stream, begun: false })))
}

/// Reads all members of lzip.
pub(crate) fn lzip(source: &mut dyn Ahead, memory: u64) -> impl Read + '_ {
    Pump::new(source, Once { stream: LzipStream::new_mem_limit(true, kilobytes(memory)), begun: false })
}

/// A codec for a source that holds one stream. An lzip file counts as one stream, because `LzipStream` reads all its
/// members.
struct Once<S> {
    stream: S,
    begun: bool,
}

trait Process {
    fn process(&mut self, input: &[u8], out: &mut [u8], action: Action) -> io::Result<StreamResult>;
}

impl Process for LzmaStream {
    fn process(&mut self, input: &[u8], out: &mut [u8], action: Action) -> io::Result<StreamResult> {
        self.process(input, out, action)
    }
}

impl Process for LzipStream {
    fn process(&mut self, input: &[u8], out: &mut [u8], action: Action) -> io::Result<StreamResult> {
        self.process(input, out, action)
    }
}

impl<S: Process> Codec for Once<S> {
    fn begins(&mut self, _: &mut dyn Ahead) -> io::Result<bool> {
        Ok(!std::mem::replace(&mut self.begun, true))
    }

    fn step(&mut self, input: &[u8], out: &mut [u8]) -> io::Result<Step> {
        let action = if input.is_empty() { Action::Finish } else { Action::Run };
        let most = out.len().min(PIECE);
        let result = self.stream.process(input, &mut out[..most], action)?;
        Ok(Step {
            consumed: result.bytes_consumed,
            produced: result.bytes_produced,
            done: result.status == Status::StreamEnd,
        })
    }
}
