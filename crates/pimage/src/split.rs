//! Restores a layer's tar, byte for byte, from the folder that an engine unpacked it into.
//!
//! A tar has headers and padding that a file system does not store. The engine stores them in `tar-split.json.gz`, as
//! one line for each piece of the tar. A line contains either the bytes of the piece, or the name of the file whose
//! content is the piece (github.com/vbatts/tar-split, `tar/storage`). `docker save` makes its archives in the same
//! way.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::MultiGzDecoder;
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, open};
use serde::Deserialize;

/// The maximal length of a line; a piece contains only headers and padding.
const LONGEST_LINE: u64 = 64 << 20;

/// A reader of the tar of one layer.
pub(crate) struct SplitTar {
    pieces: BufReader<MultiGzDecoder<File>>,
    folder: OwnedFd,
    line: Vec<u8>,
    current: Piece,
}

enum Piece {
    Bytes(io::Cursor<Vec<u8>>),
    File { file: File, left: u64 },
}

#[derive(Deserialize)]
struct Line {
    r#type: u8,
    name: Option<String>,
    /// The name in base64, if it is not UTF-8.
    name_raw: Option<String>,
    #[serde(default)]
    size: u64,
    payload: Option<String>,
}

const FILE: u8 = 1;
const SEGMENT: u8 = 2;

impl SplitTar {
    /// Opens the list of pieces, and the folder that the layer was unpacked into.
    pub(crate) fn open(split: &Path, folder: &Path) -> io::Result<Self> {
        let pieces = BufReader::new(MultiGzDecoder::new(File::open(split)?));
        let folder = open(folder, FOLDER | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { pieces, folder, line: Vec::new(), current: Piece::Bytes(io::Cursor::default()) })
    }

    /// Goes to the next piece. Returns false after the last one.
    fn advance(&mut self) -> io::Result<bool> {
        self.line.clear();
        let read = self.pieces.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Ok(false);
        }
        let line: Line = serde_json::from_slice(&self.line).map_err(|_| damaged())?;
        let payload = || STANDARD.decode(line.payload.as_deref().unwrap_or_default()).map_err(|_| damaged());
        self.current = match line.r#type {
            SEGMENT => Piece::Bytes(io::Cursor::new(payload()?)),
            FILE if line.size == 0 => Piece::Bytes(io::Cursor::default()),
            FILE => {
                let name = match (line.name_raw, line.name) {
                    (Some(raw), _) => STANDARD.decode(raw).map_err(|_| damaged())?,
                    (None, Some(name)) => name.into_bytes(),
                    (None, None) => return Err(damaged()),
                };
                Piece::File { file: self.file(&name, line.size)?, left: line.size }
            }
            _ => return Err(damaged()),
        };
        Ok(true)
    }

    /// Opens a file of the layer. Neither its name nor a link can lead out of the folder. The file must have the
    /// length in the list; otherwise it was changed, and the folder no longer has the layer's content.
    fn file(&self, name: &[u8], size: u64) -> io::Result<File> {
        // Without `NONBLOCK`, opening a pipe would wait for its other end.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let name = name.strip_prefix(b"/").unwrap_or(name);
        let file = open_in_root(&self.folder, name, flags)?;
        let stat = fstat(&file)?;
        let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        if !regular || u64::try_from(stat.st_size) != Ok(size) {
            return Err(damaged());
        }
        Ok(File::from(file))
    }
}

impl Read for SplitTar {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        loop {
            let count = match &mut self.current {
                Piece::Bytes(bytes) => bytes.read(out)?,
                Piece::File { file, left } => {
                    let most = out.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    let count = file.read(&mut out[..most])?;
                    if count == 0 && *left > 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    *left -= count as u64;
                    count
                }
            };
            if count > 0 {
                return Ok(count);
            }
            if !self.advance()? {
                return Ok(0);
            }
        }
    }
}

/// The flags for opening a folder of which only the files below it are read.
#[cfg(target_os = "linux")]
const FOLDER: OFlags = OFlags::PATH;
#[cfg(not(target_os = "linux"))]
const FOLDER: OFlags = OFlags::RDONLY;

/// Opens a file as if the folder were the root of the file system.
#[cfg(target_os = "linux")]
fn open_in_root(folder: &OwnedFd, name: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
    use rustix::fs::{ResolveFlags, openat2};
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    Ok(openat2(folder, name, flags, Mode::empty(), resolve)?)
}

/// Returns an error, because only Linux has this function. On other systems, the engine's folder is in a virtual
/// machine and cannot be reached.
#[cfg(not(target_os = "linux"))]
fn open_in_root(_folder: &OwnedFd, _name: &[u8], _flags: OFlags) -> io::Result<OwnedFd> {
    Err(io::ErrorKind::Unsupported.into())
}

fn damaged() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

/// Whether a folder exists and can be listed.
pub(crate) fn is_open_folder(path: &Path) -> bool {
    rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).is_ok()
}
