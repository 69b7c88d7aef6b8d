//! Presents a folder with files as one layer.
//!
//! The reader makes a tar of the folder while it is read, so names, link targets, attributes and contents are
//! searched in the same way as a layer's. Nothing is written to disk. A file that cannot be read is left out and
//! listed in [`Unread`], and the caller reports it.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;

use crate::loose::LooseBlob;

const BLOCK: usize = 512;
/// The maximal number of unread paths that are listed.
const MOST_UNREAD: usize = 10_000;
/// The maximal length of an extended attribute's value on Linux (`XATTR_SIZE_MAX`).
const LARGEST_ATTRIBUTE: usize = 64 << 10;

/// The paths of a folder that were not read, each with the reason.
#[derive(Clone, Debug, Default)]
pub struct Unread(Arc<Mutex<Vec<(PathBuf, &'static str)>>>);

impl Unread {
    /// Returns the list so far. It is complete when the reading is over.
    #[must_use]
    pub fn list(&self) -> Vec<(PathBuf, &'static str)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, path: &Path, why: &'static str) {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if list.len() < MOST_UNREAD {
            list.push((path.to_owned(), why));
        }
    }
}

/// Presents a folder as an image of one layer. After the reading, [`Unread`] lists the paths that were not read.
///
/// Links are not followed. Other file systems that are mounted below the folder are left out and listed.
///
/// # Errors
///
/// Returns an error if the folder itself cannot be read.
pub fn tree(folder: &Path) -> io::Result<(Vec<LooseBlob>, Unread)> {
    let metadata = fs::metadata(folder)?;
    if !metadata.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    let unread = Unread::default();
    fs::read_dir(folder)?;
    let (root, device, known) = (folder.to_owned(), metadata.dev(), unread.clone());
    let manifest = json!([{"Config": "config.json", "RepoTags": [], "Layers": ["tree.tar"]}]).to_string();
    let config = json!({"rootfs": {"type": "layers", "diff_ids": [""]}}).to_string();
    let blobs = vec![
        LooseBlob::of_bytes("manifest.json".to_owned(), manifest.into_bytes()),
        LooseBlob::of_bytes("config.json".to_owned(), config.into_bytes()),
        LooseBlob::new("tree.tar".to_owned(), move || Ok(Box::new(TreeTar::new(&root, device, &known)?))),
    ];
    Ok((blobs, unread))
}

struct TreeTar {
    root: PathBuf,
    device: u64,
    unread: Unread,
    /// The paths that are not read yet, the next one last.
    todo: Vec<PathBuf>,
    head: io::Cursor<Vec<u8>>,
    content: Option<(File, PathBuf, u64)>,
    padding: usize,
    ended: bool,
}

impl TreeTar {
    fn new(root: &Path, device: u64, unread: &Unread) -> io::Result<Self> {
        let mut reader = Self {
            root: root.to_owned(),
            device,
            unread: unread.clone(),
            todo: Vec::new(),
            head: io::Cursor::default(),
            content: None,
            padding: 0,
            ended: false,
        };
        reader.list(root)?;
        Ok(reader)
    }

    /// Adds a folder's entries to the list, so that they are read in order.
    fn list(&mut self, folder: &Path) -> io::Result<()> {
        let entries = fs::read_dir(folder)?;
        let mut paths: Vec<PathBuf> =
            entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>()?;
        paths.sort_unstable_by(|a, b| b.cmp(a));
        self.todo.append(&mut paths);
        Ok(())
    }

    /// Prepares the next entry. Returns false after the last one.
    fn advance(&mut self) -> bool {
        let Some(path) = self.todo.pop() else { return false };
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            self.unread.note(&path, "it cannot be looked at");
            return true;
        };
        let kind = metadata.file_type();
        if kind.is_dir() {
            self.head = io::Cursor::new(self.header(&path, &metadata, b'5', 0, &[]));
            if metadata.dev() != self.device {
                self.unread.note(&path, "another file system is mounted there");
            } else if self.list(&path).is_err() {
                self.unread.note(&path, "the folder cannot be listed");
            }
        } else if kind.is_symlink() {
            let target = fs::read_link(&path).unwrap_or_default();
            self.head = io::Cursor::new(self.header(&path, &metadata, b'2', 0, target.as_os_str().as_bytes()));
        } else if kind.is_file() {
            self.file(path, &metadata);
        } else {
            let mark = if kind.is_fifo() {
                b'6'
            } else if kind.is_block_device() {
                b'4'
            } else {
                b'3'
            };
            self.head = io::Cursor::new(self.header(&path, &metadata, mark, 0, &[]));
        }
        true
    }

    fn file(&mut self, path: PathBuf, metadata: &Metadata) {
        // The file may have been replaced since `metadata` was read, so no link is followed, and no pipe is waited
        // for.
        let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits();
        let opened = File::options().read(true).custom_flags(flags.cast_signed()).open(&path);
        let file =
            opened.ok().and_then(|file| file.metadata().ok().filter(Metadata::is_file).map(|now| (file, now.len())));
        let Some((file, size)) = file else {
            self.unread.note(&path, "the file cannot be opened");
            self.head = io::Cursor::new(self.header(&path, metadata, b'0', 0, &[]));
            return;
        };
        self.head = io::Cursor::new(self.header(&path, metadata, b'0', size, &[]));
        self.padding = usize::try_from(size % BLOCK as u64).map_or(0, |part| (BLOCK - part) % BLOCK);
        self.content = Some((file, path, size));
    }

    /// Writes PAX records, and then a header. The records carry names of any length and bytes, and all attributes.
    fn header(&self, path: &Path, metadata: &Metadata, mark: u8, size: u64, target: &[u8]) -> Vec<u8> {
        let name = path.strip_prefix(&self.root).unwrap_or(path).as_os_str().as_bytes();
        let mut records = Vec::new();
        record(&mut records, b"path", name);
        if !target.is_empty() {
            record(&mut records, b"linkpath", target);
        }
        record(&mut records, b"size", size.to_string().as_bytes());
        for (key, value) in attributes(path) {
            record(&mut records, &[b"SCHILY.xattr.", key.as_slice()].concat(), &value);
        }
        let mut out = block(b"pax", 0o644, records.len() as u64, b'x', &[]);
        out.extend_from_slice(&records);
        out.resize(out.len().next_multiple_of(BLOCK), 0);
        out.extend(block(name, metadata.mode() & 0o7777, size, mark, target));
        out
    }
}

impl Read for TreeTar {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        loop {
            let count = self.head.read(out)?;
            if count > 0 {
                return Ok(count);
            }
            if let Some((file, path, left)) = &mut self.content {
                if *left > 0 {
                    let most = out.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    let count = match file.read(&mut out[..most]) {
                        Ok(count) if count > 0 => count,
                        ended => {
                            let why = if ended.is_ok() { "the file became shorter" } else { "the file cannot be read" };
                            self.unread.note(path, why);
                            // The header states the size, so missing bytes are reported and replaced by zeros.
                            out[..most].fill(0);
                            most
                        }
                    };
                    *left -= count as u64;
                    return Ok(count);
                }
                self.content = None;
                self.head = io::Cursor::new(vec![0; std::mem::take(&mut self.padding)]);
                continue;
            }
            if !self.advance() {
                if std::mem::replace(&mut self.ended, true) {
                    return Ok(0);
                }
                self.head = io::Cursor::new(vec![0; 2 * BLOCK]);
            }
        }
    }
}

/// Writes `LENGTH KEY=VALUE\n`. The length includes its own digits.
fn record(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + rest.to_string().len();
    if length.to_string().len() > rest.to_string().len() {
        length = rest + length.to_string().len();
    }
    out.extend_from_slice(length.to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// Makes one header block (POSIX.1-2001 ustar). Fields that do not fit into it are in the PAX records before it.
fn block(name: &[u8], mode: u32, size: u64, mark: u8, target: &[u8]) -> Vec<u8> {
    let mut block = vec![0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &name[..name.len().min(100)]);
    put(100, format!("{mode:07o}\0").as_bytes());
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    // Eleven octal digits are enough for 8 GiB; the record has the exact size.
    put(124, format!("{:011o}\0", size.min(0o77_777_777_777)).as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, &[mark]);
    put(157, &target[..target.len().min(100)]);
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// Reads the extended attributes of a path; those of a link itself, not of its target.
fn attributes(path: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut names = vec![0; LARGEST_ATTRIBUTE];
    let Ok(length) = rustix::fs::llistxattr(path, &mut names) else { return Vec::new() };
    let names = names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let value = |name: &[u8]| {
        let mut value = vec![0; LARGEST_ATTRIBUTE];
        let length = rustix::fs::lgetxattr(path, name, &mut value).ok()?;
        value.truncate(length);
        Some((name.to_vec(), value))
    };
    names.filter_map(value).collect()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::ops::ControlFlow;

    use super::*;
    use crate::{Contents, Entry, Options, Stream, Visitor, read_loose};

    #[derive(Default)]
    struct Sightings {
        paths: Vec<Vec<u8>>,
        bytes: Vec<u8>,
    }

    impl Visitor for Sightings {
        fn begin(&mut self, _: &Stream<'_>) {}
        fn entry(&mut self, entry: &Entry<'_>) {
            self.paths.push(entry.path.to_vec());
        }
        fn bytes(&mut self, _: usize, bytes: &[u8]) -> ControlFlow<()> {
            self.bytes.extend_from_slice(bytes);
            ControlFlow::Continue(())
        }
        fn end(&mut self) {}
    }

    fn search(folder: &Path) -> (Sightings, Contents, Unread) {
        let (blobs, unread) = tree(folder).unwrap();
        let mut seen = Sightings::default();
        let contents = read_loose(blobs, &Options::default(), &mut seen).unwrap();
        (seen, contents, unread)
    }

    #[test]
    fn names_links_and_contents_of_a_folder_are_a_layer() {
        let folder = tempfile::tempdir().unwrap();
        let long = "n".repeat(200);
        fs::create_dir_all(folder.path().join("a/b")).unwrap();
        for name in ["a/b/one", long.as_str()] {
            fs::write(folder.path().join(name), format!("content of {name}")).unwrap();
        }
        let odd = OsStr::from_bytes(b"odd \xff\n");
        fs::write(folder.path().join(odd), "x".repeat(1025)).unwrap();
        std::os::unix::fs::symlink("t".repeat(300), folder.path().join("link")).unwrap();
        let (seen, contents, unread) = search(folder.path());
        assert!(contents.problems().is_empty(), "{:?}", contents.problems());
        assert!(unread.list().is_empty());
        let expected: Vec<&[u8]> = vec![b"a", b"a/b", b"a/b/one", b"link", long.as_bytes(), odd.as_bytes()];
        assert_eq!(seen.paths, expected);
        for needle in ["content of a/b/one", &"t".repeat(300)] {
            assert!(seen.bytes.windows(needle.len()).any(|window| window == needle.as_bytes()));
        }
    }

    #[test]
    fn a_pipe_is_not_waited_for_and_the_record_s_length_counts_itself() {
        let folder = tempfile::tempdir().unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, folder.path().join("pipe"), rustix::fs::Mode::RUSR).unwrap();
        assert_eq!(search(folder.path()).0.paths, [b"pipe"]);
        for length in 0..1200 {
            let mut out = Vec::new();
            record(&mut out, b"path", &vec![b'n'; length]);
            let said: usize = String::from_utf8_lossy(&out).split(' ').next().unwrap().parse().unwrap();
            assert_eq!(said, out.len(), "{length}");
        }
    }

    #[test]
    fn what_is_no_folder_is_refused() {
        assert!(tree(Path::new("/dev/null")).is_err());
        assert!(tree(Path::new("/absent")).is_err());
    }
}
