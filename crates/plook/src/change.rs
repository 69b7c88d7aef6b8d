//! Finds what one step changed: everything in the state after the step that is not exactly as in the state before it.
//!
//! Both states are overlay mounts with the same layers except for one. A file in the upper layer has an inode and a
//! change time of its own, whatever its content, size and times are, and so has every folder above it. So a node with
//! the same inode and the same change time belongs to the lower layers, and a folder of which both are the same
//! contains nothing new at any depth: the walk skips it. A change time can only be moved with the clock of the whole
//! machine, which no step of a build may set.

use std::collections::{HashMap, HashSet};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{FileType, Stat};

use crate::cursor::{self, Attribute, Cursor};

/// The walk through one step's change. Its order is that of a layer's tar.
pub struct Change {
    before: Option<Side>,
    /// The state that both states are stacked on, if the state before is not part of the state after.
    onto: Option<Onto>,
    after: Cursor,
    shares: Option<Arc<Shares>>,
    open: Vec<Folder>,
    /// The current path, from the root, with a `/` after every folder.
    path: Vec<u8>,
    /// The first path of every inode with several names.
    links: HashMap<u64, Vec<u8>>,
}

/// Another tree that the walk follows, as far as it has the same folders.
struct Side {
    cursor: Cursor,
    /// The number of the open folders that this tree does not have.
    missing: usize,
}

/// The state that two layers were stacked on; `None` if they were stacked on nothing.
struct Onto(Option<Side>);

/// The paths of a tree that several walks have reported. The walks share the tree: together they report all of it,
/// and each path once, by the walk that reaches it first.
#[derive(Debug, Default)]
pub struct Shares {
    told: Mutex<HashSet<Box<[u8]>>>,
    /// Whether one walk has reached the tree's end, so that the others can stop.
    over: AtomicBool,
}

impl Shares {
    /// The depth from which on folders are not shared: the walk that reports such a folder reports its whole content.
    const DEPTH: usize = 5;

    /// Claims a path for this walk. Returns false if another walk has it.
    fn claim(&self, path: &[u8]) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        !told.contains(path) && told.insert(path.into())
    }
}

/// A folder that the walk is in, with its names that are not visited yet.
struct Folder {
    names: std::vec::IntoIter<(CString, FileType)>,
    /// The length of the path of the folder above.
    above: usize,
}

/// A node that a step created, changed or removed.
pub struct Node {
    /// The node's path from the root, without a `/` before it.
    pub path: Vec<u8>,
    /// The kind of the node.
    pub kind: Kind,
    /// The node's extended attributes.
    pub attributes: Vec<Attribute>,
}

/// The kind of a changed node.
pub enum Kind {
    /// A regular file with its size in bytes.
    File {
        /// The file's content.
        content: File,
        /// The number of its bytes.
        size: u64,
        /// Whether it uses less disk space than that.
        sparse: bool,
    },
    /// Another name of a file that was reported before.
    HardLink {
        /// The first name.
        target: Vec<u8>,
    },
    /// A symbolic link.
    Symlink {
        /// The text of the link.
        target: Vec<u8>,
    },
    /// A folder.
    Directory,
    /// A pipe, a socket or a device. It is named but not opened.
    Special,
    /// A node that the step removed.
    Removed,
}

impl Change {
    /// Compares two states. Without a state before, everything is new.
    ///
    /// # Errors
    ///
    /// Returns an error if a root cannot be opened or listed.
    pub fn new(before: Option<&Path>, after: &Path) -> io::Result<Self> {
        let before = before.map(Side::new).transpose()?;
        let after = Cursor::new(after)?;
        let (links, path) = Default::default();
        let mut change = Self { before, onto: None, after, shares: None, open: Vec::new(), path, links };
        let names = change.names()?;
        change.open.push(Folder { names: names.into_iter(), above: 0 });
        Ok(change)
    }

    /// Declares that the state after does not contain the state before: both are stacked on the state `onto`. If the
    /// second layer covers a file of the first one, the walk ends with an error: the covered file cannot be seen, and
    /// the state before may have it from another build.
    ///
    /// # Errors
    ///
    /// Returns an error if a root cannot be opened.
    pub fn upon(mut self, onto: Option<&Path>) -> io::Result<Self> {
        self.onto = Some(Onto(onto.map(Side::new).transpose()?));
        Ok(self)
    }

    /// Shares the tree with other walks: this walk leaves out the paths that another walk with these shares has
    /// reported.
    #[must_use]
    pub fn sharing(self, shares: Arc<Shares>) -> Self {
        Self { shares: Some(shares), ..self }
    }

    /// Goes to the next node. Returns `None` at the end.
    ///
    /// # Errors
    ///
    /// Returns an error if the tree cannot be read. The rest of the tree was not visited then.
    pub fn next_node(&mut self) -> io::Result<Option<Node>> {
        while let Some(folder) = self.open.last_mut() {
            match folder.names.next() {
                Some((name, kind)) => {
                    if let Some(node) = self.look(&name, kind)? {
                        return Ok(Some(node));
                    }
                }
                None => self.leave()?,
            }
        }
        if let Some(shares) = &self.shares {
            shares.over.store(true, Ordering::Relaxed);
        }
        Ok(None)
    }

    /// Lists the names of the current folder in both states, in order.
    fn names(&self) -> io::Result<Vec<(CString, FileType)>> {
        let mut names = self.after.names()?;
        if let Some(before) = self.before.as_ref().filter(|before| before.missing == 0) {
            names.extend(before.cursor.names()?);
            names.sort_unstable_by(|one, other| one.0.cmp(&other.0));
            names.dedup_by(|one, other| one.0 == other.0);
        }
        Ok(names)
    }

    fn look(&mut self, name: &CStr, kind: FileType) -> io::Result<Option<Node>> {
        if self.before.is_none() && self.onto.is_none() {
            return self.look_at_new(name, kind);
        }
        let old = match self.before.as_ref().filter(|before| before.missing == 0) {
            Some(before) => before.cursor.stat(name)?,
            None => None,
        };
        let new = self.after.stat(name)?;
        if let Some((onto, old)) = self.onto.as_ref().zip(old.as_ref())
            && !new.as_ref().is_some_and(|new| is_the_same(old, new))
            && !self.is_told(onto, name, old, new.as_ref())?
        {
            return Err(io::Error::other("a linked copy covers something of the one before it"));
        }
        let Some(new) = new else {
            let path = [&self.path, name.to_bytes()].concat();
            return Ok(Some(Node { path, kind: Kind::Removed, attributes: Vec::new() }));
        };
        if old.as_ref().is_some_and(|old| is_the_same(old, &new)) {
            return Ok(None);
        }
        self.node(name, FileType::from_raw_mode(new.st_mode), old.as_ref()).map(Some)
    }

    /// Visits a name that was not there before. The kind from the folder's list is enough in this case, which saves a
    /// system call for each name.
    fn look_at_new(&mut self, name: &CStr, kind: FileType) -> io::Result<Option<Node>> {
        let kind = match kind {
            FileType::RegularFile | FileType::Directory | FileType::Symlink => kind,
            // Some file systems do not list the kind. Nodes that are never opened are checked, too.
            _ => match self.after.stat(name)? {
                Some(stat) => FileType::from_raw_mode(stat.st_mode),
                None => return Err(io::Error::other("the tree changed")),
            },
        };
        let above = self.open.len() - 1;
        if let Some(shares) = self.shares.as_ref().filter(|_| above < Shares::DEPTH) {
            if shares.over.load(Ordering::Relaxed) {
                self.open.clear();
                return Ok(None);
            }
            if !shares.claim(&[&self.path, name.to_bytes()].concat()) {
                // A shared folder that another walk has reported is still entered by this walk, for its content.
                if kind == FileType::Directory && above + 1 < Shares::DEPTH {
                    self.enter(name, None)?;
                }
                return Ok(None);
            }
        }
        self.node(name, kind, None).map(Some)
    }

    /// Makes the node for a new or changed name, and enters it if it is a folder.
    ///
    /// Any failure ends the walk, such as a name that vanishes or an attribute that cannot be read, because the walk
    /// would prove nothing without it.
    fn node(&mut self, name: &CStr, kind: FileType, old: Option<&Stat>) -> io::Result<Node> {
        let mut path = [&self.path, name.to_bytes()].concat();
        Ok(match kind {
            FileType::RegularFile => return self.file(name, path),
            FileType::Directory => {
                let attributes = self.after.attributes(name)?;
                path.push(b'/');
                self.enter(name, old)?;
                Node { path, kind: Kind::Directory, attributes }
            }
            FileType::Symlink => {
                let attributes = self.after.attributes(name)?;
                Node { path, kind: Kind::Symlink { target: self.after.target(name)? }, attributes }
            }
            _ => Node { path, kind: Kind::Special, attributes: self.after.attributes(name)? },
        })
    }

    /// Whether no content is lost where the state after differs from the state before: either the state before has
    /// this node from `onto`, or both nodes are folders with the same attributes.
    fn is_told(&self, onto: &Onto, name: &CStr, old: &Stat, new: Option<&Stat>) -> io::Result<bool> {
        if let Some(onto) = onto.0.as_ref().filter(|onto| onto.missing == 0)
            && onto.cursor.stat(name)?.is_some_and(|onto| is_the_same(&onto, old))
        {
            return Ok(true);
        }
        let is_folder = |stat: &Stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let Some(before) = self.before.as_ref().filter(|_| is_folder(old) && new.is_some_and(is_folder)) else {
            return Ok(false);
        };
        Ok(before.cursor.attributes(name)? == self.after.attributes(name)?)
    }

    fn file(&mut self, name: &CStr, path: Vec<u8>) -> io::Result<Node> {
        let content = self.after.open(name)?;
        let opened = rustix::fs::fstat(&content)?;
        if FileType::from_raw_mode(opened.st_mode) != FileType::RegularFile {
            return Err(io::Error::other("the tree changed"));
        }
        if opened.st_nlink > 1 {
            if let Some(target) = self.links.get(&opened.st_ino) {
                let kind = Kind::HardLink { target: target.clone() };
                // The attributes belong to the file, and were reported with its first name.
                return Ok(Node { path, kind, attributes: Vec::new() });
            }
            self.links.insert(opened.st_ino, path.clone());
        }
        let size = u64::try_from(opened.st_size).map_err(|_| io::Error::other("a file of no size"))?;
        let stored = u64::try_from(opened.st_blocks).unwrap_or(0).saturating_mul(512);
        let attributes = cursor::attributes_of(&content)?;
        Ok(Node { path, kind: Kind::File { content, size, sparse: stored < size }, attributes })
    }

    /// Enters a folder, in each of the trees that has it.
    fn enter(&mut self, name: &CStr, old: Option<&Stat>) -> io::Result<()> {
        self.after.enter(name)?;
        if let Some(before) = &mut self.before {
            before.enter(name, old)?;
        }
        if let Some(Onto(Some(onto))) = &mut self.onto {
            let old = if onto.missing == 0 { onto.cursor.stat(name)? } else { None };
            onto.enter(name, old.as_ref())?;
        }
        let above = self.path.len();
        self.path.extend_from_slice(name.to_bytes());
        self.path.push(b'/');
        let names = self.names()?;
        self.open.push(Folder { names: names.into_iter(), above });
        Ok(())
    }

    fn leave(&mut self) -> io::Result<()> {
        let Some(folder) = self.open.pop() else { return Ok(()) };
        self.path.truncate(folder.above);
        if self.open.is_empty() {
            return Ok(());
        }
        self.after.leave()?;
        if let Some(before) = &mut self.before {
            before.leave()?;
        }
        if let Some(Onto(Some(onto))) = &mut self.onto {
            onto.leave()?;
        }
        Ok(())
    }
}

impl Side {
    fn new(root: &Path) -> io::Result<Self> {
        Ok(Self { cursor: Cursor::new(root)?, missing: 0 })
    }

    fn enter(&mut self, name: &CStr, own: Option<&Stat>) -> io::Result<()> {
        let is_folder = own.is_some_and(|own| FileType::from_raw_mode(own.st_mode) == FileType::Directory);
        if self.missing == 0 && is_folder {
            return self.cursor.enter(name);
        }
        self.missing += 1;
        Ok(())
    }

    fn leave(&mut self) -> io::Result<()> {
        if self.missing > 0 {
            self.missing -= 1;
            return Ok(());
        }
        self.cursor.leave()
    }
}

/// Whether a node belongs to the lower layers. Its size, mode and owner cannot change without its change time, but
/// comparing them costs nothing.
fn is_the_same(old: &Stat, new: &Stat) -> bool {
    let told = |stat: &Stat| {
        (
            (stat.st_ino, stat.st_ctime, stat.st_ctime_nsec),
            (stat.st_mtime, stat.st_mtime_nsec, stat.st_size),
            (stat.st_mode, stat.st_uid, stat.st_gid, stat.st_rdev),
        )
    };
    told(old) == told(new)
}

#[cfg(test)]
mod tests;
