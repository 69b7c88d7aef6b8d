//! Walks through a tar to name the files in it.
//!
//! The walk reads through a [`Window`], which has already shown every byte to the visitor. So a wrong header can only
//! give bytes a wrong name; it cannot hide them from the search.

mod header;

use std::io::{self, Read as _};

use crate::visit::EntryKind;
use crate::window::Ahead;
use header::Header;

pub(crate) use header::BLOCK;

/// The maximal length of a name or a link. A longer one is skipped, and the entry has no such name.
const LONGEST_NAME: usize = 64 << 10;
/// The maximal length of a set of PAX records, which may contain large attributes beside the name.
const LONGEST_RECORDS: usize = 1 << 20;

/// Whether a block is a tar header.
pub(crate) fn is_header(block: &[u8]) -> bool {
    header::parse(block).is_some()
}

/// The reason why a walk ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The last entry was read; more bytes may follow.
    Regular,
    /// The stream ended in the middle of an entry.
    Cut,
    /// A block is not a header.
    Lost,
}

/// The state of a walk through one tar.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    header_at: u64,
    long: Names,
    entry: TarEntry,
    /// The offset after the entry's content and its padding.
    end: u64,
    saw_end: bool,
}

/// The names and the size that extension headers state for the next header.
#[derive(Debug, Default)]
struct Names {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

/// The current entry of a walk.
#[derive(Debug)]
pub(crate) struct TarEntry {
    pub(crate) path: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) kind: EntryKind,
    pub(crate) content_at: u64,
    pub(crate) size: u64,
}

impl Default for TarEntry {
    fn default() -> Self {
        Self { path: Vec::new(), link: Vec::new(), kind: EntryKind::Other, content_at: 0, size: 0 }
    }
}

impl Walk {
    /// Goes to the next entry, and skips the rest of the current one. The inner `Err` is the reason why the walk
    /// ended.
    ///
    /// # Errors
    ///
    /// Returns an error of the reader.
    pub(crate) fn next(&mut self, window: &mut dyn Ahead) -> io::Result<Result<(), End>> {
        let left = std::mem::take(&mut self.end).saturating_sub(window.position());
        if window.skip(left)? < left {
            return Ok(Err(End::Cut));
        }
        self.header_at = window.position();
        self.long = Names::default();
        loop {
            let block = window.peek(BLOCK)?;
            if block.is_empty() {
                return Ok(Err(if self.header_at == window.position() { End::Regular } else { End::Cut }));
            }
            if block.len() < BLOCK {
                let zeros = block.iter().all(|byte| *byte == 0);
                return Ok(Err(if zeros { End::Regular } else { End::Lost }));
            }
            if block[..BLOCK].iter().all(|byte| *byte == 0) {
                // A tar ends with two such blocks. But some writers leave only one, and more tars may be appended.
                window.skip(BLOCK as u64)?;
                self.saw_end = true;
                self.header_at = window.position();
                continue;
            }
            let Some(found) = header::parse(block) else { return Ok(Err(End::Lost)) };
            window.skip(BLOCK as u64)?;
            match found.kind {
                b'L' | b'K' | b'x' | b'X' | b'g' => {
                    if !self.extension(window, &found)? {
                        return Ok(Err(End::Cut));
                    }
                }
                _ => return self.found(window, found),
            }
        }
    }

    /// Searches for the next header after a block that is not a header. Returns false at the stream's end.
    ///
    /// # Errors
    ///
    /// Returns an error of the reader.
    pub(crate) fn recover(&mut self, window: &mut dyn Ahead) -> io::Result<bool> {
        loop {
            window.skip(BLOCK as u64)?;
            let block = window.peek(BLOCK)?;
            if block.len() < BLOCK {
                return Ok(false);
            }
            if is_header(block) {
                return Ok(true);
            }
        }
    }

    /// Returns the current entry.
    pub(crate) fn entry(&self) -> &TarEntry {
        &self.entry
    }

    /// Returns the offset where the entry's headers begin.
    pub(crate) fn header_at(&self) -> u64 {
        self.header_at
    }

    /// Whether the mark of a tar's end was read.
    pub(crate) fn saw_end(&self) -> bool {
        self.saw_end
    }

    fn found(&mut self, window: &mut dyn Ahead, header: Header) -> io::Result<Result<(), End>> {
        let mut map_goes_on = header.map_goes_on;
        while map_goes_on {
            let block = window.peek(BLOCK)?;
            if block.len() < BLOCK {
                return Ok(Err(End::Cut));
            }
            map_goes_on = block[504] != 0;
            window.skip(BLOCK as u64)?;
        }
        let long = std::mem::take(&mut self.long);
        let mut size = long.size.unwrap_or(header.size);
        if header::content_is_disputed(header.kind) && size > 0 {
            let follows = window.peek(BLOCK)?;
            if follows.len() >= BLOCK && is_header(follows) {
                size = 0;
            }
        }
        self.entry = TarEntry {
            path: long.path.unwrap_or(header.path),
            link: long.link.unwrap_or(header.link),
            kind: header::entry_kind(header.kind),
            content_at: window.position(),
            size,
        };
        self.end = window.position().saturating_add(size.next_multiple_of_block());
        Ok(Ok(()))
    }

    /// Reads an extension header. Returns false if the stream ends within it.
    fn extension(&mut self, window: &mut dyn Ahead, header: &Header) -> io::Result<bool> {
        let limit = if matches!(header.kind, b'L' | b'K') { LONGEST_NAME } else { LONGEST_RECORDS };
        let whole = header.size.next_multiple_of_block();
        if header.size > limit as u64 || header.kind == b'g' {
            return Ok(window.skip(whole)? == whole);
        }
        let mut contents = Vec::new();
        let read = window.take(header.size).read_to_end(&mut contents)? as u64;
        if read < header.size || window.skip(whole - read)? < whole - read {
            return Ok(false);
        }
        match header.kind {
            b'L' => self.long.path = Some(without_nul(contents)),
            b'K' => self.long.link = Some(without_nul(contents)),
            _ => self.records(&contents),
        }
        Ok(true)
    }

    /// Reads PAX records: a length, a blank, a key, `=`, a value, a line end. The reading stops at a broken record.
    fn records(&mut self, mut rest: &[u8]) {
        while let Some((length, record)) = record(rest) {
            rest = &rest[length..];
            let Some(at) = record.iter().position(|byte| *byte == b'=') else { continue };
            let (key, value) = (&record[..at], &record[at + 1..]);
            let name = || value[..value.len().min(LONGEST_NAME)].to_vec();
            match key {
                b"path" | b"GNU.sparse.name" => self.long.path = Some(name()),
                b"linkpath" => self.long.link = Some(name()),
                b"size" => self.long.size = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()),
                _ => {}
            }
        }
    }
}

/// Reads the first record. Returns its whole length, and the text between the blank and the line end.
fn record(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let blank = bytes.iter().take(20).position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&bytes[..blank]).ok()?.parse().ok()?;
    let record = bytes.get(blank + 1..length)?.strip_suffix(b"\n")?;
    Some((length, record))
}

fn without_nul(mut name: Vec<u8>) -> Vec<u8> {
    name.truncate(name.iter().position(|byte| *byte == 0).unwrap_or(name.len()));
    name
}

trait Blocks {
    fn next_multiple_of_block(self) -> u64;
}

impl Blocks for u64 {
    /// Rounds up to whole blocks. A size near the end of the number's range stays as it is, because no stream is that
    /// long.
    fn next_multiple_of_block(self) -> u64 {
        self.checked_next_multiple_of(BLOCK as u64).unwrap_or(self)
    }
}

#[cfg(test)]
mod tests;
