//! The receiver's half of fsutil's transfer: entries arrive in order, each file is requested, and its bytes arrive in
//! pieces.
//!
//! The folder is empty at first, and nobody else writes to it. A path is therefore safe if all of its parts are plain
//! names, and if its parent was received as a folder. The sender is not trusted, so links that it sent are never
//! followed.

use std::collections::{HashMap, VecDeque};
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags, makedev, mknodat, utimensat};

use crate::filesync::{Packet, PacketKind, Stat, mode};

/// The most files that are requested at a time. Each of them is an open file.
const ASKED: usize = 64;

/// The reason why a transfer did not complete.
#[derive(Debug)]
pub(super) enum End {
    /// The other side left or failed, and its build reports the reason.
    Engine,
    /// An entry could not be written, or was refused.
    Here(io::Error),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Here(error)
    }
}

/// The kind of an entry that was made.
enum Made {
    Folder,
    File,
    /// Any other kind of entry. It cannot be a parent, and not the target of a hard link.
    Other,
}

struct Tree<'a> {
    root: &'a Path,
    made: HashMap<Vec<u8>, Made>,
    /// The folders, which stay writable for us until everything has arrived. Their real modes are set at the end.
    folders: Vec<(PathBuf, Stat)>,
    /// The files that are not requested yet, by the index of their entries.
    wanted: VecDeque<(u32, PathBuf, Stat)>,
    open: HashMap<u32, (File, PathBuf, Stat)>,
    entries: u32,
}

/// Receives a tree, except for the packet that confirms the end, which the caller sends.
pub(super) fn take(
    root: &Path,
    mut next: impl FnMut() -> Option<Packet>,
    mut answer: impl FnMut(Packet),
) -> Result<(), End> {
    let mut tree = Tree {
        root,
        made: HashMap::new(),
        folders: Vec::new(),
        wanted: VecDeque::new(),
        open: HashMap::new(),
        entries: 0,
    };
    let mut listed = false;
    while !(listed && tree.wanted.is_empty() && tree.open.is_empty()) {
        let packet = next().ok_or(End::Engine)?;
        match PacketKind::try_from(packet.kind) {
            Ok(PacketKind::Stat) => match packet.stat {
                Some(stat) if !listed => tree.make(stat)?,
                Some(_) => return Err(not_understood().into()),
                None => listed = true,
            },
            Ok(PacketKind::Data) => tree.write(packet.id, &packet.data)?,
            Ok(PacketKind::Error | PacketKind::Finish) => return Err(End::Engine),
            Ok(PacketKind::Request) | Err(_) => return Err(not_understood().into()),
        }
        while tree.open.len() < ASKED {
            let Some((id, path, stat)) = tree.wanted.pop_front() else { break };
            let file = OpenOptions::new().write(true).open(&path)?;
            tree.open.insert(id, (file, path, stat));
            answer(Packet::request(id));
        }
    }
    // The innermost folders come first, because a folder whose mode forbids writing must already be complete.
    for (path, stat) in tree.folders.iter().rev() {
        finish(path, stat)?;
    }
    Ok(())
}

impl Tree<'_> {
    fn make(&mut self, stat: Stat) -> Result<(), End> {
        let id = self.entries;
        self.entries = self.entries.checked_add(1).ok_or_else(not_understood)?;
        let path = self.place(&stat.path)?;
        let made = match stat.mode & KIND {
            mode::DIRECTORY => {
                fs::DirBuilder::new().mode(0o700).create(&path)?;
                self.folders.push((path, stat.clone()));
                Made::Folder
            }
            mode::SYMLINK => {
                symlink(OsStr::from_bytes(&stat.link), &path)?;
                dress(&path, &stat);
                Made::Other
            }
            0 if !stat.link.is_empty() => {
                if !matches!(self.made.get(&stat.link), Some(Made::File)) {
                    return Err(outside().into());
                }
                fs::hard_link(self.root.join(OsStr::from_bytes(&stat.link)), &path)?;
                Made::File
            }
            0 => {
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
                self.wanted.push_back((id, path, stat.clone()));
                Made::File
            }
            kind => {
                node(&path, kind, &stat)?;
                finish(&path, &stat)?;
                Made::Other
            }
        };
        self.made.insert(stat.path, made);
        Ok(())
    }

    /// Returns the path at which an entry is made. Returns an error if the path would lie outside of the folder, was
    /// received before, or has a parent that is not a received folder.
    fn place(&self, path: &[u8]) -> io::Result<PathBuf> {
        let plain = |name: &[u8]| !name.is_empty() && name != b"." && name != b".." && !name.contains(&0);
        if !path.split(|byte| *byte == b'/').all(plain) || self.made.contains_key(path) {
            return Err(outside());
        }
        let parent = path.iter().rposition(|byte| *byte == b'/').map(|at| &path[..at]);
        if parent.is_some_and(|parent| !matches!(self.made.get(parent), Some(Made::Folder))) {
            return Err(outside());
        }
        Ok(self.root.join(OsStr::from_bytes(path)))
    }

    /// Writes a piece of a file. An empty piece ends the file.
    fn write(&mut self, id: u32, data: &[u8]) -> Result<(), End> {
        if !data.is_empty() {
            let (file, ..) = self.open.get_mut(&id).ok_or_else(not_understood)?;
            return Ok(file.write_all(data)?);
        }
        let (file, path, stat) = self.open.remove(&id).ok_or_else(not_understood)?;
        drop(file);
        Ok(finish(&path, &stat)?)
    }
}

/// The bits of the mode that give the kind of an entry. A socket has a bit of its own.
const KIND: u32 =
    mode::DIRECTORY | mode::SYMLINK | mode::DEVICE | mode::NAMED_PIPE | mode::CHARACTER_DEVICE | mode::SOCKET;

/// Makes a device or a pipe, if we are allowed to.
fn node(path: &Path, kind: u32, stat: &Stat) -> io::Result<()> {
    let kind = match kind {
        mode::NAMED_PIPE => FileType::Fifo,
        mode::DEVICE => FileType::BlockDevice,
        kind if kind == mode::DEVICE | mode::CHARACTER_DEVICE => FileType::CharacterDevice,
        _ => return Err(not_understood()),
    };
    let number = |number: i64| u32::try_from(number).map_err(|_| not_understood());
    let device = makedev(number(stat.device_major)?, number(stat.device_minor)?);
    Ok(mknodat(CWD, path, kind, Mode::RUSR | Mode::WUSR, device)?)
}

/// Sets the attributes, mode and time of a finished entry, in an order in which none of them changes another.
fn finish(path: &Path, stat: &Stat) -> io::Result<()> {
    let special = [(mode::SET_USER, 0o4000), (mode::SET_GROUP, 0o2000), (mode::STICKY, 0o1000)];
    let special: u32 = special.iter().filter(|(bit, _)| stat.mode & bit != 0).map(|(_, mode)| mode).sum();
    dress(path, stat);
    fs::set_permissions(path, Permissions::from_mode((stat.mode & 0o777) | special))?;
    // Setting permissions does not change the modification time. A file system that cannot store times is not an
    // error.
    set_time(path, stat);
    Ok(())
}

/// Sets the attributes and the time, as far as the file system supports them. Like docker, it ignores a file system
/// without attributes.
fn dress(path: &Path, stat: &Stat) {
    for (name, value) in &stat.attributes {
        let _ = rustix::fs::lsetxattr(path, name.as_str(), value, XattrFlags::empty());
    }
    set_time(path, stat);
}

fn set_time(path: &Path, stat: &Stat) {
    let second = 1_000_000_000;
    let time = Timespec { tv_sec: stat.modified.div_euclid(second), tv_nsec: stat.modified.rem_euclid(second) };
    let times = Timestamps { last_access: time, last_modification: time };
    let _ = utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW);
}

fn outside() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the engine sent a name that leads out of the folder")
}

fn not_understood() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "what the engine sent is no tree of files")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use bytes::Bytes;
    use tempfile::TempDir;

    use super::*;

    fn entry(path: &str, mode: u32) -> Stat {
        Stat { path: path.into(), mode, modified: 1_700_000_000_000_000_007, ..Stat::default() }
    }

    fn link(path: &str, mode: u32, target: &str) -> Stat {
        Stat { link: target.into(), ..entry(path, mode) }
    }

    /// Receives these entries. The script answers each requested file with the file's index as its bytes.
    fn receive(root: &Path, entries: &[Stat]) -> Result<(), End> {
        let queue = std::cell::RefCell::new(VecDeque::new());
        queue.borrow_mut().extend(entries.iter().cloned().map(Packet::entry));
        queue.borrow_mut().push_back(Packet::end_of_entries());
        take(
            root,
            || queue.borrow_mut().pop_front(),
            |packet| {
                let text = packet.id.to_string();
                queue.borrow_mut().push_back(Packet::data(packet.id, Bytes::from(text)));
                queue.borrow_mut().push_back(Packet::data(packet.id, Bytes::new()));
            },
        )
    }

    #[test]
    fn a_tree_comes_with_modes_times_and_links() {
        let folder = TempDir::new().unwrap();
        let mut entries = vec![
            entry("d", mode::DIRECTORY | 0o555),
            entry("d/run", 0o755 | mode::SET_USER),
            link("d/again", 0o755, "d/run"),
            link("to", mode::SYMLINK | 0o777, "../outside"),
            entry("pipe", mode::NAMED_PIPE | 0o600),
        ];
        entries.extend((0..200).map(|number| entry(&format!("many{number:03}"), 0o644)));
        receive(folder.path(), &entries).unwrap();
        let at = |name: &str| fs::symlink_metadata(folder.path().join(name)).unwrap();
        assert_eq!(at("d").mode() & 0o7777, 0o555);
        assert_eq!(at("d/run").mode() & 0o7777, 0o4755);
        assert_eq!(at("d/run").ino(), at("d/again").ino());
        assert_eq!((at("d").mtime(), at("d/run").mtime_nsec()), (1_700_000_000, 7));
        assert_eq!(fs::read_link(folder.path().join("to")).unwrap(), Path::new("../outside"));
        assert_eq!(fs::read_to_string(folder.path().join("many007")).unwrap(), "12");
        fs::set_permissions(folder.path().join("d"), Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn no_name_leads_out_of_the_folder() {
        let outside = TempDir::new().unwrap();
        let away = outside.path().to_str().unwrap();
        for entries in [
            vec![entry("../x", 0o644)],
            vec![entry("/x", 0o644)],
            vec![entry("a/../../x", 0o644)],
            vec![entry("", 0o644)],
            vec![entry(".", mode::DIRECTORY | 0o755)],
            vec![entry("a//x", 0o644)],
            vec![entry("nul\0", 0o644)],
            vec![entry("absent/x", 0o644)],
            vec![entry("file", 0o644), entry("file/x", 0o644)],
            vec![entry("twice", mode::DIRECTORY | 0o755), entry("twice", 0o644)],
            vec![link("out", mode::SYMLINK | 0o777, away), entry("out/x", 0o644)],
            vec![link("out", mode::SYMLINK | 0o777, away), link("hard", 0o644, "out")],
            vec![link("hard", 0o644, "/etc/passwd")],
            vec![link("hard", 0o644, "../../etc/passwd")],
            vec![entry("socket", mode::SOCKET | 0o644)],
        ] {
            let folder = TempDir::new().unwrap();
            let error = receive(folder.path(), &entries).unwrap_err();
            assert!(matches!(error, End::Here(_)), "{entries:?}: {error:?}");
        }
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }

    #[test]
    fn bytes_that_nobody_asked_for_and_an_early_end_are_no_tree() {
        let folder = TempDir::new().unwrap();
        let stray = vec![Packet::data(7, Bytes::from_static(b"x"))];
        for packets in [stray, vec![Packet::entry(entry("a", 0o644))], vec![Packet::finish()], vec![]] {
            let mut packets = packets.into_iter();
            let target = TempDir::new_in(folder.path()).unwrap();
            assert!(take(target.path(), || packets.next(), |_| {}).is_err());
        }
    }
}
