//! Trees of files to send: a directory of this machine, or files in memory.
//!
//! A path is a sequence of bytes with `/` between the parts, relative to the root. The root is the empty path.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::{ffi::OsStr, fs};

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use crate::filesync::wire::mode;

/// A tree of files.
pub(crate) trait Tree: Send + Sync {
    /// Lists the names in a directory, sorted by bytes.
    fn names(&self, directory: &[u8]) -> io::Result<Vec<Vec<u8>>>;
    /// Describes the entry at a path, without following links.
    fn entry(&self, path: &[u8]) -> io::Result<Entry>;
    /// Opens a regular file.
    fn open(&self, path: &[u8]) -> io::Result<Box<dyn Read + Send>>;
    /// Returns the path for messages to people.
    fn display(&self, path: &[u8]) -> PathBuf;
}

/// The entry at a path.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entry {
    /// The mode, as in Go's `os.FileMode`.
    pub(crate) mode: u32,
    pub(crate) size: u64,
    /// The modification time, in nanoseconds since 1970.
    pub(crate) modified: i64,
    /// The target of a symbolic link.
    pub(crate) target: Vec<u8>,
    pub(crate) device: (u32, u32),
    /// The device and inode of a file with several names.
    pub(crate) hard_link: Option<(u64, u64)>,
    pub(crate) attributes: BTreeMap<String, Vec<u8>>,
}

impl Entry {
    pub(crate) fn is_directory(&self) -> bool {
        self.mode & mode::DIRECTORY != 0
    }

    pub(crate) fn is_symlink(&self) -> bool {
        self.mode & mode::SYMLINK != 0
    }

    /// Returns true if the entry has bytes that the engine may request.
    pub(crate) fn is_file(&self) -> bool {
        self.mode & (mode::DIRECTORY | mode::SYMLINK | mode::DEVICE | mode::NAMED_PIPE) == 0
    }
}

/// A directory of this machine.
pub(crate) struct DiskTree {
    root: PathBuf,
}

impl DiskTree {
    pub(crate) fn new(root: &Path) -> io::Result<Self> {
        let root = root.canonicalize()?;
        if root.is_dir() { Ok(Self { root }) } else { Err(io::Error::from(io::ErrorKind::NotADirectory)) }
    }

    fn whole(&self, path: &[u8]) -> PathBuf {
        if path.is_empty() { self.root.clone() } else { self.root.join(OsStr::from_bytes(path)) }
    }
}

impl Tree for DiskTree {
    fn names(&self, directory: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.whole(directory))? {
            names.push(entry?.file_name().into_vec());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn entry(&self, path: &[u8]) -> io::Result<Entry> {
        let whole = self.whole(path);
        let metadata = fs::symlink_metadata(&whole)?;
        let kind = metadata.file_type();
        let target = if kind.is_symlink() { fs::read_link(&whole)?.into_os_string().into_vec() } else { Vec::new() };
        let is_device = kind.is_block_device() || kind.is_char_device();
        let seconds = metadata.mtime().saturating_mul(1_000_000_000);
        Ok(Entry {
            mode: go_mode(&metadata),
            size: metadata.len(),
            modified: seconds.saturating_add(metadata.mtime_nsec()),
            target,
            device: if is_device { device_numbers(metadata.rdev()) } else { (0, 0) },
            hard_link: (!kind.is_dir() && metadata.nlink() > 1).then(|| (metadata.dev(), metadata.ino())),
            attributes: attributes(&whole)?,
        })
    }

    /// Opens a file without following links. A link that took the file's place after the listing cannot lead out of
    /// the directory. The call does not wait if a pipe took the file's place.
    fn open(&self, path: &[u8]) -> io::Result<Box<dyn Read + Send>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let root = rustix::fs::open(&self.root, FOLDER | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let file = match open_beneath(&root, path, flags).map(File::from) {
            // The path is a socket. Docker's clients send a socket as an empty file.
            Err(Errno::NXIO) => return Ok(Box::new(io::empty())),
            other => other?,
        };
        if file.metadata()?.is_file() {
            Ok(Box::new(file))
        } else {
            Err(io::Error::other("it is no longer a regular file"))
        }
    }

    fn display(&self, path: &[u8]) -> PathBuf {
        self.whole(path)
    }
}

/// The flags for a folder that is only opened to reach files below it.
#[cfg(target_os = "linux")]
const FOLDER: OFlags = OFlags::PATH;
#[cfg(not(target_os = "linux"))]
const FOLDER: OFlags = OFlags::RDONLY;

/// Opens a file of a folder in one system call. No part of its path may be a link.
#[cfg(target_os = "linux")]
fn open_beneath(root: &OwnedFd, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    use rustix::fs::{ResolveFlags, openat2};
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    match openat2(root, path, flags, Mode::empty(), resolve) {
        // The kernel is older than Linux 5.6, or a sandbox does not allow the call.
        Err(Errno::NOSYS | Errno::PERM) => open_part_by_part(root, path, flags),
        other => other,
    }
}

/// Opens a file of a folder. No part of its path may be a link.
#[cfg(not(target_os = "linux"))]
fn open_beneath(root: &OwnedFd, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    open_part_by_part(root, path, flags)
}

/// Opens a file folder by folder, without following links. A path with `..` is refused.
fn open_part_by_part(root: &OwnedFd, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
    if parts.iter().any(|part| matches!(*part, b"" | b"." | b"..")) {
        return Err(Errno::XDEV);
    }
    let (name, folders) = parts.split_last().ok_or(Errno::NOENT)?;
    let down = FOLDER | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut below: Option<OwnedFd> = None;
    for folder in folders {
        below = Some(openat(below.as_ref().unwrap_or(root), *folder, down, Mode::empty())?);
    }
    openat(below.as_ref().unwrap_or(root), *name, flags, Mode::empty())
}

fn go_mode(metadata: &fs::Metadata) -> u32 {
    let unix = metadata.mode();
    let kind = metadata.file_type();
    let kind_bits = if kind.is_dir() {
        mode::DIRECTORY
    } else if kind.is_symlink() {
        mode::SYMLINK
    } else if kind.is_char_device() {
        mode::DEVICE | mode::CHARACTER_DEVICE
    } else if kind.is_block_device() {
        mode::DEVICE
    } else if kind.is_fifo() {
        mode::NAMED_PIPE
    } else {
        // Regular files have no bits. Sockets have none either, because fsutil sends them as regular files.
        0
    };
    let special = [(0o4000, mode::SET_USER), (0o2000, mode::SET_GROUP), (0o1000, mode::STICKY)];
    special.iter().filter(|(bit, _)| unix & bit != 0).fold(kind_bits | (unix & 0o777), |all, (_, bit)| all | bit)
}

/// Splits a device number as fsutil does. For large numbers, glibc does it differently.
fn device_numbers(device: u64) -> (u32, u32) {
    let major = (device >> 8) & 0xfff;
    let minor = (device & 0xff) | ((device >> 12) & 0xfff00);
    (u32::try_from(major).unwrap_or_default(), u32::try_from(minor).unwrap_or_default())
}

fn attributes(path: &Path) -> io::Result<BTreeMap<String, Vec<u8>>> {
    // The first call only returns the size. Nearly all files have no attributes, so nothing is allocated for them.
    let size = match rustix::fs::llistxattr(path, &mut [0u8; 0]) {
        Ok(0) | Err(Errno::NOTSUP) => return Ok(BTreeMap::new()),
        other => other?,
    };
    let mut list = vec![0; size];
    let size = rustix::fs::llistxattr(path, list.as_mut_slice())?;
    let mut found = BTreeMap::new();
    for name in list[..size].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let Ok(text) = std::str::from_utf8(name) else { continue };
        // An attribute that cannot be read is left out, as fsutil does.
        let Ok(size) = rustix::fs::lgetxattr(path, text, &mut [0u8; 0]) else { continue };
        let mut value = vec![0; size];
        if let Ok(size) = rustix::fs::lgetxattr(path, text, value.as_mut_slice()) {
            value.truncate(size);
            found.insert(text.to_owned(), value);
        }
    }
    Ok(found)
}

/// Files that exist only in memory.
pub(crate) struct MemoryTree {
    files: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl MemoryTree {
    pub(crate) fn new(files: &BTreeMap<PathBuf, Vec<u8>>) -> Self {
        let files = files.iter().map(|(path, bytes)| (path.as_os_str().as_bytes().to_vec(), bytes.clone()));
        Self { files: files.collect() }
    }

    /// Lists the paths below a directory, relative to that directory.
    fn below<'a>(&'a self, directory: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.files.keys().filter_map(move |path| match directory {
            [] => Some(path.as_slice()),
            _ => path.strip_prefix(directory)?.strip_prefix(b"/"),
        })
    }
}

/// Makes a modification time from a digest of the bytes.
///
/// Older engines assume that a file with the same size and time is unchanged, so two Dockerfiles of the same length
/// would be confused without it. The time does not belong to any cache key.
fn time_of(bytes: &[u8]) -> i64 {
    let digest = Sha256::digest(bytes);
    // 60 bits of nanoseconds give a time between 1970 and 2006.
    digest.iter().take(8).fold(0, |time, byte| (time << 8) | i64::from(*byte)) & ((1 << 60) - 1)
}

impl Tree for MemoryTree {
    fn names(&self, directory: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        let first = |rest: &[u8]| rest.split(|byte| *byte == b'/').next().unwrap_or_default().to_vec();
        let names: BTreeSet<Vec<u8>> = self.below(directory).map(first).collect();
        if names.is_empty() && !directory.is_empty() {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        }
        Ok(names.into_iter().collect())
    }

    fn entry(&self, path: &[u8]) -> io::Result<Entry> {
        if let Some(bytes) = self.files.get(path) {
            let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            return Ok(Entry { mode: 0o644, size, modified: time_of(bytes), ..Entry::default() });
        }
        if path.is_empty() || self.below(path).next().is_some() {
            return Ok(Entry { mode: mode::DIRECTORY | 0o755, ..Entry::default() });
        }
        Err(io::Error::from(io::ErrorKind::NotFound))
    }

    fn open(&self, path: &[u8]) -> io::Result<Box<dyn Read + Send>> {
        let bytes = self.files.get(path).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(Box::new(io::Cursor::new(bytes.clone())))
    }

    fn display(&self, path: &[u8]) -> PathBuf {
        PathBuf::from(OsStr::from_bytes(path))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    /// Systems without `openat2` open a path part by part; the function exists on all systems, so it is tested on
    /// all.
    #[test]
    fn no_part_of_a_path_is_a_link_also_part_by_part() {
        let folder = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("file"), "outside").unwrap();
        fs::create_dir_all(folder.path().join("a/b")).unwrap();
        fs::write(folder.path().join("a/b/file"), "inside").unwrap();
        std::os::unix::fs::symlink(outside.path(), folder.path().join("link")).unwrap();
        std::os::unix::fs::symlink("b", folder.path().join("a/beside")).unwrap();
        std::os::unix::fs::symlink("file", folder.path().join("a/b/other")).unwrap();

        let root = rustix::fs::open(folder.path(), FOLDER | OFlags::DIRECTORY, Mode::empty()).unwrap();
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut text = String::new();
        let file = open_part_by_part(&root, b"a/b/file", flags).unwrap();
        File::from(file).read_to_string(&mut text).unwrap();
        assert_eq!(text, "inside");
        for path in ["link/file", "a/beside/file", "a/b/other", "../x", "a/../a/b/file", "a//b/file", "", "/a/b/file"] {
            assert!(open_part_by_part(&root, path.as_bytes(), flags).is_err(), "{path}");
        }
    }
}
