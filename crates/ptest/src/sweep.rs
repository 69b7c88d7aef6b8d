//! The search after all tests, which looks for every recorded canary in the folders that the tests left behind.

use std::collections::BTreeMap;
use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, Read, Seek as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::SeekFrom;

use crate::canary::Canary;
use crate::needles::{Needles, Sighting};
use crate::trace::Trace;

/// The environment variable that names the folder in which canaries are recorded.
const FOLDER: &str = "PBUILD_TEST_CANARIES";

/// Records a canary for the sweep: one line with its name and its value in hex, in a file of this process.
pub(crate) fn note(canary: &Canary) {
    static WRITING: Mutex<()> = Mutex::new(());
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let _one_at_a_time = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let hex = base16ct::lower::encode_string(canary.value());
    let path = Path::new(&folder).join(format!("{}.canaries", std::process::id()));
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| file.write_all(format!("{} {hex}\n", canary.name()).as_bytes()))
        .unwrap_or_else(|error| panic!("{FOLDER}: cannot note a canary in {}: {error}", path.display()));
}

fn noted(folder: &Path) -> Vec<Canary> {
    let mut canaries = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("a readable entry").path();
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for line in text.lines() {
            let (name, hex) = line.split_once(' ').expect("a name and hex digits");
            let value = base16ct::lower::decode_vec(hex).expect("hex digits");
            canaries.entry(value).or_insert_with(|| name.to_owned());
        }
    }
    canaries.into_iter().map(|(value, name)| Canary::new(&name, value)).collect()
}

/// The result of a sweep.
#[derive(Debug)]
pub struct Swept {
    /// The number of canaries that were searched for.
    pub canaries: usize,
    /// The number of files that were read.
    pub files: usize,
    /// The number of bytes of these files.
    pub bytes: u64,
    /// The canaries that were found, with their places.
    pub traces: Vec<Trace>,
}

/// Searches a folder, such as an engine's data root, for every canary that any test recorded in `canaries`.
///
/// Names, targets of links and contents are searched, two files at a time. Gzip and zstd are unpacked, and holes are
/// skipped.
///
/// # Panics
///
/// Panics if a file cannot be read, unless the file has just been removed.
#[must_use]
pub fn sweep(data_root: &Path, canaries: &Path) -> Swept {
    let canaries = noted(canaries);
    let needles = Needles::new(&canaries);
    let mut entries: Vec<(PathBuf, FileType)> = Vec::new();
    walk(data_root, &mut |path, kind| entries.push((path.to_owned(), kind)));
    let bytes = entries.iter().filter_map(|(path, _)| fs::symlink_metadata(path).ok()).map(|meta| meta.len()).sum();
    let files = entries.iter().filter(|(_, kind)| kind.is_file()).count();

    let next = std::sync::atomic::AtomicUsize::new(0);
    let traces = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((path, kind)) = entries.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                    let mut seen = needles.search(path.file_name().unwrap_or_default().as_bytes());
                    search_content(&needles, path, *kind, &mut seen);
                    let place = needles.mask(path.as_os_str().as_bytes());
                    let found = seen.into_iter().map(|at| Trace {
                        name: at.name,
                        form: at.form,
                        place: format!("{place}, byte {} {}", at.offset, at.packed),
                    });
                    traces.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
                }
            });
        }
    });
    let traces = traces.into_inner().unwrap_or_else(PoisonError::into_inner);
    Swept { canaries: canaries.len(), files, bytes, traces }
}

/// Calls `each` for the path itself and, if it is a folder, for everything below it. Links are not followed.
pub(crate) fn walk(root: &Path, each: &mut dyn FnMut(&Path, FileType)) {
    let mut open = vec![root.to_owned()];
    while let Some(path) = open.pop() {
        let Some(meta) = unless_gone(fs::symlink_metadata(&path), &path) else { continue };
        each(&path, meta.file_type());
        if meta.is_dir() {
            let Some(entries) = unless_gone(fs::read_dir(&path), &path) else { continue };
            open.extend(entries.filter_map(|entry| unless_gone(entry, &path)).map(|entry| entry.path()));
        }
    }
}

pub(crate) fn search_content(needles: &Needles, path: &Path, kind: FileType, seen: &mut Vec<Sighting>) {
    if kind.is_symlink() {
        if let Some(target) = unless_gone(fs::read_link(path), path) {
            seen.extend(needles.search(target.as_os_str().as_bytes()));
        }
    } else if kind.is_file() {
        let read = File::open(path).and_then(|file| needles.search_stream(&mut Written { file, end: 0 }, seen));
        unless_gone(read, path);
    }
}

/// The written bytes of a file. Of each hole, only one page of zeros is read, because layers may contain files of
/// zeros that are larger than any disk.
struct Written {
    file: File,
    /// The end of the range that is known to be written.
    end: u64,
}

impl Read for Written {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        const PAGE: usize = 4096;
        let at = self.file.stream_position()?;
        if at >= self.end {
            match next(&self.file, SeekFrom::Data(at))? {
                // No written byte follows; the rest of the file is a hole.
                None => return Ok(0),
                Some(data) if data > at => {
                    let zeros = buffer.len().min(PAGE);
                    buffer[..zeros].fill(0);
                    self.file.seek(io::SeekFrom::Start(data))?;
                    return Ok(zeros);
                }
                Some(data) => {
                    self.end = next(&self.file, SeekFrom::Hole(data))?.unwrap_or(data);
                    self.file.seek(io::SeekFrom::Start(at))?;
                }
            }
        }
        let known = usize::try_from(self.end - at).unwrap_or(usize::MAX).min(buffer.len());
        self.file.read(&mut buffer[..known])
    }
}

/// Returns the offset of the next data or the next hole, if there is one.
fn next(file: &File, from: SeekFrom) -> io::Result<Option<u64>> {
    match rustix::fs::seek(file, from) {
        Ok(at) => Ok(Some(at)),
        Err(rustix::io::Errno::NXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Returns `None` for a file that was removed, because a running engine removes files during the search. Any other
/// error fails the test.
fn unless_gone<T>(result: io::Result<T>, path: &Path) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => panic!("{}: {error}", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_cost_nothing_and_hide_nothing() {
        let canary = Canary::new("TOKEN", crate::canary::token());
        let data = tempfile::tempdir().unwrap();
        let (huge, after) = (data.path().join("huge"), data.path().join("after"));
        File::create(&huge).unwrap().set_len(1 << 42).unwrap();
        let mut file = File::create(&after).unwrap();
        file.write_all(b"before").unwrap();
        file.seek(io::SeekFrom::Start((1 << 41) + 5)).unwrap();
        file.write_all(canary.value()).unwrap();
        file.set_len(1 << 42).unwrap();
        let needles = Needles::new(&[canary]);
        for (path, found) in [(huge, 0), (after, 1)] {
            let mut seen = Vec::new();
            search_content(&needles, &path, fs::metadata(&path).unwrap().file_type(), &mut seen);
            assert_eq!(seen.len(), found, "{}", path.display());
        }
    }

    #[test]
    fn a_sweep_finds_what_any_process_noted() {
        let canary = Canary::new("TOKEN", crate::canary::token());
        let hex = base16ct::lower::encode_string(canary.value());
        let notes = tempfile::tempdir().unwrap();
        fs::write(notes.path().join("1.canaries"), format!("TOKEN {hex}\n")).unwrap();
        let data = tempfile::tempdir().unwrap();
        fs::create_dir_all(data.path().join("a/b")).unwrap();
        fs::write(data.path().join("a/b/blob"), zstd::encode_all(canary.value(), 1).unwrap()).unwrap();
        fs::write(data.path().join("a/clean"), "nothing").unwrap();
        let swept = sweep(data.path(), notes.path());
        assert_eq!((swept.canaries, swept.files, swept.traces.len()), (1, 2, 1));
        assert!(swept.traces[0].place.contains("a/b/blob"));
    }
}
