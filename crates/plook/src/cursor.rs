//! A position in a tree of folders that no program changes. It needs one open folder, however deep the position is.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};

/// The flags of every open: no link is followed, and no open waits for another process.
const CAREFULLY: OFlags =
    OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// An attribute's name and value.
pub(crate) type Attribute = (Vec<u8>, Vec<u8>);

/// A folder of a tree, with the way back up.
pub(crate) struct Cursor {
    folder: OwnedFd,
    /// The device and inode of each folder above.
    above: Vec<(u64, u64)>,
}

impl Cursor {
    /// Makes a cursor at the root of a tree.
    pub(crate) fn new(root: &Path) -> io::Result<Self> {
        let folder = rustix::fs::open(root, CAREFULLY.union(OFlags::DIRECTORY), Mode::empty())?;
        Ok(Self { folder, above: Vec::new() })
    }

    /// Enters a folder.
    pub(crate) fn enter(&mut self, name: &CStr) -> io::Result<()> {
        let flags = CAREFULLY.union(OFlags::DIRECTORY);
        let inner = rustix::fs::openat(&self.folder, name, flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&self.folder)?;
        self.above.push((stat.st_dev, stat.st_ino));
        self.folder = inner;
        Ok(())
    }

    /// Goes back to the folder that [`Cursor::enter`] left. Returns an error if the parent is another folder.
    pub(crate) fn leave(&mut self) -> io::Result<()> {
        let expected = self.above.pop().ok_or_else(|| io::Error::other("above the root"))?;
        let outer = rustix::fs::openat(&self.folder, c"..", CAREFULLY.union(OFlags::DIRECTORY), Mode::empty())?;
        let stat = rustix::fs::fstat(&outer)?;
        if (stat.st_dev, stat.st_ino) != expected {
            return Err(io::Error::other("the tree changed"));
        }
        self.folder = outer;
        Ok(())
    }

    /// Returns every name in the folder, in order, with its kind as far as the folder lists it.
    pub(crate) fn names(&self) -> io::Result<Vec<(CString, FileType)>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if name != c"." && name != c".." {
                names.push((name.to_owned(), entry.file_type()));
            }
        }
        names.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        Ok(names)
    }

    /// Returns the metadata of a name, if it exists.
    pub(crate) fn stat(&self, name: &CStr) -> io::Result<Option<Stat>> {
        match rustix::fs::statat(&self.folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a regular file for reading, without updating its access time if this is allowed.
    pub(crate) fn open(&self, name: &CStr) -> io::Result<File> {
        let open = |flags| rustix::fs::openat(&self.folder, name, flags, Mode::empty());
        let file = match open(CAREFULLY.union(OFlags::NOATIME)) {
            Err(rustix::io::Errno::PERM) => open(CAREFULLY)?,
            opened => opened?,
        };
        Ok(File::from(file))
    }

    /// Reads the target of a symbolic link.
    pub(crate) fn target(&self, name: &CStr) -> io::Result<Vec<u8>> {
        Ok(rustix::fs::readlinkat(&self.folder, name, Vec::new())?.into_bytes())
    }

    /// Reads the extended attributes of a node of any kind. A node on a file system without attributes has none.
    pub(crate) fn attributes(&self, name: &CStr) -> io::Result<Vec<Attribute>> {
        // Before Linux 6.13, no system call accepts a folder and a name. So the folder is named by its path in /proc.
        let mut path = format!("/proc/self/fd/{}/", self.folder.as_raw_fd()).into_bytes();
        path.extend_from_slice(name.to_bytes());
        attributes(|list| rustix::fs::llistxattr(&path, list), |name, value| rustix::fs::lgetxattr(&path, name, value))
    }
}

/// Reads the extended attributes of an open file.
pub(crate) fn attributes_of(file: &File) -> io::Result<Vec<Attribute>> {
    attributes(|list| rustix::fs::flistxattr(file, list), |name, value| rustix::fs::fgetxattr(file, name, value))
}

fn attributes(
    list_into: impl Fn(&mut [u8]) -> rustix::io::Result<usize>,
    value_into: impl Fn(&CStr, &mut [u8]) -> rustix::io::Result<usize>,
) -> io::Result<Vec<Attribute>> {
    let mut short = [0; 1024];
    let mut long = Vec::new();
    let mut list = &mut short[..];
    let length = loop {
        match list_into(list) {
            Ok(length) => break length,
            // 64 KiB is the kernel's own limit (XATTR_LIST_MAX).
            Err(rustix::io::Errno::RANGE) if long.is_empty() => {
                long.resize(1 << 17, 0);
                list = &mut long;
            }
            Err(rustix::io::Errno::OPNOTSUPP) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        }
    };
    let mut attributes = Vec::new();
    let names = list.get(..length).unwrap_or_default().split_inclusive(|byte| *byte == 0);
    for name in names.filter_map(|name| CStr::from_bytes_with_nul(name).ok()) {
        let mut value = vec![0; 256];
        loop {
            match value_into(name, &mut value) {
                Ok(length) => {
                    value.truncate(length);
                    attributes.push((name.to_bytes().to_vec(), value));
                    break;
                }
                Err(rustix::io::Errno::RANGE) if value.len() < 1 << 17 => value.resize(value.len() * 8, 0),
                // The attribute is listed but cannot be read by this process; a tar would not have it either.
                Err(rustix::io::Errno::NODATA | rustix::io::Errno::OPNOTSUPP) => break,
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(attributes)
}

#[cfg(test)]
impl Cursor {
    /// Makes a folder in the current folder, for trees that are deeper than a path can be long.
    pub(crate) fn make_folder(&self, name: &CStr) {
        rustix::fs::mkdirat(&self.folder, name, Mode::RWXU).unwrap();
    }
}
