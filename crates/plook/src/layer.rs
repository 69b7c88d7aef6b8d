//! Presents a change as the tar that it will be in the image, so that the search of layers can read it. The tar is
//! made while it is read.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};

use crate::change::{Change, Kind, Node};

const BLOCK: usize = 512;

/// The layer of one change. The holes of sparse files become zeros without being read from the disk.
pub struct Layer {
    change: Change,
    /// The headers and the padding that are to be read next.
    ready: io::Cursor<Vec<u8>>,
    content: Option<Content>,
    ended: bool,
}

impl Layer {
    /// Makes the layer of a change.
    #[must_use]
    pub fn new(change: Change) -> Self {
        Self { change, ready: io::Cursor::default(), content: None, ended: false }
    }

    /// Makes the headers of the next node, or the layer's end.
    fn go_on(&mut self) -> io::Result<()> {
        match self.change.next_node()? {
            Some(node) => {
                self.ready = io::Cursor::new(headers(&node));
                if let Kind::File { content, size, sparse } = node.kind {
                    self.content = Some(Content::new(content, size, sparse));
                }
            }
            None => {
                self.ready = io::Cursor::new(vec![0; 2 * BLOCK]);
                self.ended = true;
            }
        }
        Ok(())
    }

    fn read_some(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.ready.read(out)?;
            if count > 0 {
                return Ok(count);
            }
            match &mut self.content {
                Some(content) if content.at < content.size => return content.read(out),
                Some(content) => {
                    // The size is that of a file, so the number does not overflow.
                    let padding = content.size.wrapping_neg() % BLOCK as u64;
                    self.ready = io::Cursor::new(vec![0; usize::try_from(padding).unwrap_or(0)]);
                    self.content = None;
                }
                None if self.ended => return Ok(0),
                None => self.go_on()?,
            }
        }
    }
}

/// Fills the whole buffer, so that thousands of small files do not cause thousands of small reads.
impl Read for Layer {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < out.len() {
            match self.read_some(&mut out[filled..])? {
                0 => break,
                count => filled += count,
            }
        }
        Ok(filled)
    }
}

/// A file's content. Its holes are not read from the disk.
struct Content {
    file: File,
    size: u64,
    at: u64,
    stretch: Stretch,
}

/// The kind of the bytes from the current offset on.
#[derive(Clone, Copy)]
enum Stretch {
    /// Bytes that are read, up to an offset.
    Data(u64),
    /// A hole, up to an offset.
    Hole(u64),
}

impl Content {
    fn new(file: File, size: u64, sparse: bool) -> Self {
        Self { file, size, at: 0, stretch: Stretch::Data(if sparse { 0 } else { size }) }
    }

    /// Finds the next data. If the file system does not know its holes, everything is data.
    fn look_ahead(&mut self) -> io::Result<()> {
        use rustix::fs::SeekFrom as Where;
        let data = match rustix::fs::seek(&self.file, Where::Data(self.at)) {
            Ok(data) => data.min(self.size),
            Err(rustix::io::Errno::NXIO) => self.size,
            Err(_) => self.at,
        };
        if data > self.at {
            self.stretch = Stretch::Hole(data);
            return Ok(());
        }
        let hole =
            rustix::fs::seek(&self.file, Where::Hole(self.at)).unwrap_or(self.size).clamp(self.at + 1, self.size);
        self.file.seek(SeekFrom::Start(self.at))?;
        self.stretch = Stretch::Data(hole);
        Ok(())
    }

    /// Reads more of the file, whose end is not reached yet.
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let (Stretch::Data(end) | Stretch::Hole(end)) = self.stretch;
        if self.at == end {
            self.look_ahead()?;
        }
        let (Stretch::Data(end) | Stretch::Hole(end)) = self.stretch;
        let most = out.len().min(usize::try_from(end - self.at).unwrap_or(usize::MAX));
        let count = match self.stretch {
            Stretch::Hole(_) => {
                out[..most].fill(0);
                most
            }
            Stretch::Data(_) => match self.file.read(&mut out[..most])? {
                0 if most > 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => count,
            },
        };
        self.at += count as u64;
        Ok(count)
    }
}

/// Writes the blocks before a node's content: PAX records for the fields that do not fit into a header, then the
/// header.
fn headers(node: &Node) -> Vec<u8> {
    let path = if matches!(node.kind, Kind::Removed) { whiteout(&node.path) } else { node.path.clone() };
    let (kind, target, size): (u8, &[u8], u64) = match &node.kind {
        Kind::File { size, .. } => (b'0', b"", *size),
        Kind::HardLink { target } => (b'1', target, 0),
        Kind::Symlink { target } => (b'2', target, 0),
        Kind::Directory => (b'5', b"", 0),
        Kind::Special => (b'6', b"", 0),
        Kind::Removed => (b'0', b"", 0),
    };
    let mut out = Vec::new();
    for (name, value) in &node.attributes {
        // Each attribute has a set of its own, so that a large one does not make the path unreadable.
        records(&mut out, &record(&[b"SCHILY.xattr.", name.as_slice()].concat(), value));
    }
    let mut long = Vec::new();
    if path.len() > 100 {
        long.extend(record(b"path", &path));
    }
    if target.len() > 100 {
        long.extend(record(b"linkpath", target));
    }
    if size > MOST_OCTAL {
        long.extend(record(b"size", size.to_string().as_bytes()));
    }
    if !long.is_empty() {
        records(&mut out, &long);
    }
    header(&mut out, kind, &path, target, size);
    out
}

/// The largest number with eleven octal digits.
const MOST_OCTAL: u64 = (1 << 33) - 1;

fn whiteout(path: &[u8]) -> Vec<u8> {
    let name = path.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
    [&path[..name], b".wh.", &path[name..]].concat()
}

/// Writes one PAX record. Its length includes its own digits.
fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}

fn records(out: &mut Vec<u8>, records: &[u8]) {
    header(out, b'x', b"", b"", records.len() as u64);
    out.extend_from_slice(records);
    out.resize(out.len().next_multiple_of(BLOCK), 0);
}

fn header(out: &mut Vec<u8>, kind: u8, path: &[u8], target: &[u8], size: u64) {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8], most: usize| {
        let bytes = &bytes[..bytes.len().min(most)];
        block[at..at + bytes.len()].copy_from_slice(bytes);
    };
    put(0, path, 100);
    put(100, b"0000644", 7);
    put(108, b"0000000", 7);
    put(116, b"0000000", 7);
    put(124, format!("{:011o}", size.min(MOST_OCTAL)).as_bytes(), 11);
    put(136, b"00000000000", 11);
    put(148, b"        ", 8);
    put(156, &[kind], 1);
    put(157, target, 100);
    put(257, b"ustar\x0000", 8);
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..154].copy_from_slice(format!("{:06o}", sum & 0o777_777).as_bytes());
    block[154] = 0;
    out.extend_from_slice(&block);
}

#[cfg(test)]
mod tests;
