//! Reads zip from its front (APPNOTE 6.3.10).
//!
//! Most readers use the directory at the end of a zip, but the local headers show more: duplicates, members that the
//! directory hides, members that other tools appended. So this reader follows every local header, in order, and takes
//! the length of a packed member from the member's own stream, not from its header. At the end it checks the
//! directory: if the directory lists a member that was not found, this member lies inside another member's bytes,
//! which is reported.

use std::io::{self, BufRead as _, Read};

use memchr::memmem;

use super::super::packed::{End as Ended, MEMORY};
use super::super::sniff::is_local_header;
use super::super::{Header, Look};
use crate::container::Container;
use crate::problem::Fault;
use crate::span::Span;
use crate::unpack::{self, Pump, Zstd};
use crate::visit::EntryKind;
use crate::window::Ahead as _;

const LOCAL: [u8; 4] = *b"PK\x03\x04";
const CENTRAL: [u8; 4] = *b"PK\x01\x02";
const END: [u8; 4] = *b"PK\x05\x06";
const END_64: [u8; 4] = *b"PK\x06\x06";
/// The first two bytes of all signatures.
const ANY: [u8; 2] = *b"PK";

const ENCRYPTED: u16 = 1;
const DESCRIPTOR_FOLLOWS: u16 = 1 << 3;

/// The largest dictionary of a member packed with LZMA or Zstandard.
const MOST_MEMORY: u64 = 64 << 20;

/// The headers of one zip that were read so far.
#[derive(Default)]
struct Zip {
    /// The offsets of the local headers that were found, in order.
    met: Vec<u64>,
    /// The offsets of local headers that the directory lists.
    listed: Vec<u64>,
    /// The offset where the directory begins; `directory_claimed` is the one that the zip's end states.
    directory_at: Option<u64>,
    directory_claimed: Option<u64>,
}

/// A local header.
struct Local {
    name: Vec<u8>,
    flags: u16,
    method: u16,
    /// The packed length; `None` if only a descriptor after the content has it.
    packed: Option<u64>,
    unpacked: Option<u64>,
    length: u64,
}

impl Local {
    fn parse(head: &[u8]) -> Option<Self> {
        let short = |at: usize| Some(u16::from_le_bytes(*head.get(at..)?.first_chunk()?));
        let long = |at: usize| Some(u32::from_le_bytes(*head.get(at..)?.first_chunk()?));
        let (name, extra) = (usize::from(short(26)?), usize::from(short(28)?));
        let (flags, method) = (short(6)?, short(8)?);
        let extra_field = head.get(30 + name..30 + name + extra)?;
        let mut sizes = (u64::from(long(22)?), u64::from(long(18)?));
        if sizes.0 == u64::from(u32::MAX) || sizes.1 == u64::from(u32::MAX) {
            sizes = wide_sizes(extra_field).unwrap_or(sizes);
        }
        let told = flags & DESCRIPTOR_FOLLOWS == 0 || sizes.1 > 0;
        Some(Self {
            name: head.get(30..30 + name)?.to_vec(),
            flags,
            method,
            packed: told.then_some(sizes.1),
            unpacked: told.then_some(sizes.0),
            length: (30 + name + extra) as u64,
        })
    }
}

/// Reads sizes of more than 32 bits from the extra field of kind 1: the unpacked and the packed size.
fn wide_sizes(mut extra: &[u8]) -> Option<(u64, u64)> {
    loop {
        let [kind_0, kind_1, size_0, size_1, rest @ ..] = extra else { return None };
        let (field, behind) = rest.split_at_checked(usize::from(u16::from_le_bytes([*size_0, *size_1])))?;
        if [*kind_0, *kind_1] == [1, 0] {
            let number = |at: usize| Some(u64::from_le_bytes(*field.get(at..)?.first_chunk()?));
            return Some((number(0)?, number(8)?));
        }
        extra = behind;
    }
}

impl Look<'_> {
    /// Follows all headers of a zip.
    pub(in crate::inside) fn zip(&mut self, span: &mut Span<'_>) -> io::Result<()> {
        let begin = span.position();
        let mut zip = Zip::default();
        while seek_signature(span)? {
            let at = span.position();
            let Some(signature) = span.next::<4>()? else { break };
            match signature {
                LOCAL => {
                    // A name and an extra field have at most 64 KiB each.
                    let Some(local) = Local::parse(span.peek(30 + 2 * 0xffff)?) else { break };
                    zip.met.push(at);
                    span.skip(local.length)?;
                    if !self.zip_member(&local, at, span)? {
                        return Ok(());
                    }
                }
                CENTRAL => {
                    zip.directory_at.get_or_insert(at);
                    zip.listed.extend(listed_offset(span.peek(46 + 3 * 0xffff)?));
                    // The directory and the comments belong to the archive itself, not to its last member.
                    if zip.listed.len() == 1 {
                        self.resume(at);
                    }
                    span.skip(46)?;
                    if zip.listed.len() as u64 > self.shared.limits().entries {
                        self.tell(Fault::Limit { what: "members of all archives inside one layer" });
                        return Ok(());
                    }
                }
                END_64 => {
                    zip.directory_claimed = span.next::<56>()?.map(|end| long_long(&end[48..]));
                    span.skip(4)?;
                }
                END => {
                    let end = span.next::<22>()?.unwrap_or_default();
                    let claimed = u32::from_le_bytes([end[16], end[17], end[18], end[19]]);
                    zip.directory_claimed.get_or_insert(u64::from(claimed));
                    span.skip(22 + u64::from(u16::from_le_bytes([end[20], end[21]])))?;
                    // Content that was appended to the zip is looked at by the caller.
                    self.compare(&zip, begin);
                    return Ok(());
                }
                _ => {
                    span.skip(2)?;
                }
            }
        }
        // A zip without its end is cut, or the bytes never were a zip.
        if zip.met.len() > 1 {
            self.tell_damaged(Fault::EndsEarly { format: "zip", at: span.position() - begin });
        }
        Ok(())
    }

    /// Walks through one member. Returns false if the maximal number of entries is reached.
    fn zip_member(&mut self, local: &Local, header_at: u64, span: &mut Span<'_>) -> io::Result<bool> {
        let content_at = span.position();
        let size = local.packed.unwrap_or(u64::MAX);
        let kind = if local.name.ends_with(b"/") { EntryKind::Directory } else { EntryKind::File };
        let header = Header { name: &local.name, kind, header_at, content_at, size };
        let stored = local.method == 0 && local.flags & ENCRYPTED == 0;
        if let (true, Some(size)) = (stored, local.packed) {
            // If a wrong size were used, it would hide the headers after it. Such a member is only named.
            if !lies(span, size)? {
                return self.member(Container::Zip, &header, &mut span.part(size));
            }
        }
        let mark = self.inside.len();
        if !self.enter(Container::Zip, &header) {
            return Ok(false);
        }
        let unpacked = if local.flags & ENCRYPTED != 0 {
            self.tell(Fault::NotOpened { format: "encrypted zip" });
            Ok(())
        } else {
            self.zip_unpack(local, span)
        };
        self.leave(mark);
        if let Some(size) = local.packed.filter(|_| local.flags & ENCRYPTED != 0)
            && !lies(span, size)?
        {
            span.skip(size)?;
        }
        unpacked.map(|()| true)
    }

    fn zip_unpack(&mut self, local: &Local, span: &mut Span<'_>) -> io::Result<()> {
        let (meter, packed_at) = (span.meter().clone(), span.position());
        let shared = self.shared;
        let Some(_reserved) = shared.reserve(if matches!(local.method, 14 | 93 | 95) { MOST_MEMORY } else { 0 }) else {
            self.tell(Fault::Limit { what: MEMORY });
            return Ok(());
        };
        let format = match local.method {
            0 => return Ok(()),
            8 => "deflate",
            12 => "bzip2",
            14 => "lzma",
            93 => "zstd",
            95 => "xz",
            method => {
                self.tell(Fault::NotOpened { format: unopened(method) });
                return Ok(());
            }
        };
        let source: Box<dyn Read + '_> = match local.method {
            12 => Box::new(Pump::new(span, unpack::Bzip2::new())),
            14 => match unpack::zip_lzma(span, local.unpacked, MOST_MEMORY)? {
                Some(lzma) => Box::new(lzma),
                None => {
                    self.tell(Fault::Limit { what: MEMORY });
                    return Ok(());
                }
            },
            93 => Box::new(Pump::new(span, Zstd::new(26)?)),
            95 => Box::new(unpack::xz(span, MOST_MEMORY)),
            _ => Box::new(unpack::deflate(span)),
        };
        let unpacked = self.unpack(Container::Zip, meter, source, packed_at)?;
        // A local header may occur by chance in other content; the decoder then fails at once.
        let certain = unpacked.bytes > 0 || matches!(unpacked.end, Ended::Whole);
        self.judge(format, &unpacked, certain, span);
        Ok(())
    }

    /// Reports if the directory lists a member that was not found.
    fn compare(&mut self, zip: &Zip, begin: u64) {
        // Some writers count the bytes before a zip in its offsets, and some do not.
        let shift = match (zip.directory_at, zip.directory_claimed) {
            (Some(at), Some(claimed)) if claimed != u64::from(u32::MAX) => at.saturating_sub(claimed),
            _ => begin,
        };
        let missed = |offset: &&u64| {
            let met = |at: u64| zip.met.binary_search(&at).is_ok();
            !met(**offset + shift) && !met(**offset + begin) && **offset != u64::from(u32::MAX)
        };
        if zip.listed.iter().any(|offset| missed(&offset)) {
            self.tell(Fault::NotOpened { format: "zip whose members overlap" });
        }
    }
}

/// Returns the name of a method that is not opened, for reports.
fn unopened(method: u16) -> &'static str {
    match method {
        9 => "zip with deflate64",
        97 => "zip with wavpack",
        98 => "zip with ppmd",
        _ => "zip with an unknown method",
    }
}

/// Whether a stored member cannot have the length in its header: the content ends before, or no header follows.
fn lies(span: &mut Span<'_>, size: u64) -> io::Result<bool> {
    if size > span.left() {
        return Ok(true);
    }
    // The end of a long member is not in the buffer, so its size is accepted without a check.
    let Ok(size) = usize::try_from(size) else { return Ok(false) };
    if size + 4 > crate::window::CHUNK {
        return Ok(false);
    }
    let there = span.peek(size + 4)?;
    Ok(there.get(size..size + 2).is_none_or(|next| next != ANY))
}

/// Reads the offset of a member from its line of the directory.
fn listed_offset(line: &[u8]) -> Option<u64> {
    let offset = u32::from_le_bytes(*line.get(42..)?.first_chunk()?);
    if offset != u32::MAX {
        return Some(u64::from(offset));
    }
    // The wide numbers are in a fixed order, with the offset last; each is present only if the short field is full.
    let short = |at: usize| Some(usize::from(u16::from_le_bytes(*line.get(at..)?.first_chunk()?)));
    let (name, extra) = (short(28)?, short(30)?);
    let extra = line.get(46 + name..46 + name + extra)?;
    let wide = |at: usize| line.get(at..at + 4) == Some(&[0xff; 4]);
    let before = 8 * (usize::from(wide(20)) + usize::from(wide(24)));
    let mut rest = extra;
    loop {
        let [kind_0, kind_1, size_0, size_1, behind @ ..] = rest else { return None };
        let (field, behind) = behind.split_at_checked(usize::from(u16::from_le_bytes([*size_0, *size_1])))?;
        if [*kind_0, *kind_1] == [1, 0] {
            return Some(u64::from_le_bytes(*field.get(before..)?.first_chunk()?));
        }
        rest = behind;
    }
}

fn long_long(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Goes to the next signature. Returns false at the span's end.
fn seek_signature(span: &mut Span<'_>) -> io::Result<bool> {
    let finder = memmem::Finder::new(&ANY);
    loop {
        let there = span.peek(46)?;
        let mut from = 0;
        let found = loop {
            let Some(at) = finder.find(&there[from..]).map(|at| from + at) else { break None };
            let head = &there[at..];
            let signature = head.first_chunk::<4>();
            match signature {
                Some(&LOCAL) if head.len() < 30 => break None,
                Some(&LOCAL) if is_local_header(head) => break Some(at),
                Some(&CENTRAL | &END | &END_64) => break Some(at),
                None => break None,
                Some(_) => from = at + 2,
            }
        };
        // The beginning of a signature is checked again with more bytes after it.
        let step = found.unwrap_or_else(|| there.len().saturating_sub(29));
        let (done, stuck) = (found.is_some(), step == 0 && found.is_none());
        if stuck {
            return Ok(false);
        }
        span.consume(step);
        if done {
            return Ok(true);
        }
    }
}
