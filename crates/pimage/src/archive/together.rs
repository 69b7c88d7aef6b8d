//! Reads several blobs at the same time: one thread for each visitor, the largest blob first.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek as _};
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::{BEHIND, LONGEST_NAME, MOST_MEMBERS, Pass, member_name};
use crate::blob::{Blob, BlobId, Packing};
use crate::contents::Contents;
use crate::decode::{HEAD, sniff};
use crate::loose::LooseBlob;
use crate::options::Options;
use crate::problem::Problem;
use crate::tar::{End, Walk};
use crate::visit::{Cancelled, EntryKind, Visitor};
use crate::window::{Ahead as _, Window};
use crate::{read, resolve};

/// The maximal number of members that are looked up in advance. An archive with more is read in one pass, because
/// finding the members would take longer than reading them.
const MOST_FOUND: usize = 4096;

/// Reads an archive that is a file, with one thread for each visitor. Each visitor sees some of the blobs.
///
/// If the file is not a plain archive, or is damaged, the first visitor reads it from its first byte to its last, as
/// [`read`] does.
///
/// # Errors
///
/// Returns [`Cancelled`] if a visitor ended the reading.
///
/// # Panics
///
/// Panics if there is no visitor.
pub fn read_file<V: Visitor + Send>(file: File, options: &Options, visitors: &mut [V]) -> Result<Contents, Cancelled> {
    let file = Arc::new(file);
    match members(&file) {
        Some(Members { blobs, links }) => read_all(blobs, &links, options, visitors),
        None => {
            let mut source: &File = &file;
            // A pipe cannot be rewound, but nothing was read from it yet.
            drop(source.rewind());
            read(source, options, visitors.first_mut().expect("a visitor"))
        }
    }
}

/// Reads blobs as [`read_loose`](crate::read_loose) does, with one thread for each visitor. Each visitor sees some of
/// the blobs.
///
/// # Errors
///
/// Returns [`Cancelled`] if a visitor ended the reading.
///
/// # Panics
///
/// Panics if there is no visitor.
pub fn read_loose_together<V: Visitor + Send>(
    blobs: Vec<LooseBlob>,
    options: &Options,
    visitors: &mut [V],
) -> Result<Contents, Cancelled> {
    read_all(blobs, &HashMap::new(), options, visitors)
}

/// The results of reading one blob.
#[derive(Default)]
struct Parts {
    blob: Option<Blob>,
    names: Vec<String>,
    problems: Vec<Problem>,
    damaged: Vec<Problem>,
}

/// The work that the threads share.
struct Work {
    /// The blobs that are not read yet; the last one is read next.
    waiting: Vec<(usize, LooseBlob)>,
    document_bytes: u64,
    whiteout_room: usize,
    done: Vec<(usize, Parts)>,
}

fn read_all<V: Visitor + Send>(
    blobs: Vec<LooseBlob>,
    links: &HashMap<String, String>,
    options: &Options,
    visitors: &mut [V],
) -> Result<Contents, Cancelled> {
    assert!(!visitors.is_empty(), "a visitor");
    let mut waiting: Vec<(usize, LooseBlob)> = blobs.into_iter().enumerate().collect();
    // A blob of unknown size goes first, because it may be the largest.
    waiting.sort_by_key(|(at, blob)| (blob.size.unwrap_or(u64::MAX), std::cmp::Reverse(*at)));
    let whiteout_room = crate::whiteout::MOST_BYTES;
    let work = Mutex::new(Work { waiting, document_bytes: 0, whiteout_room, done: Vec::new() });
    thread::scope(|scope| {
        let threads: Vec<_> =
            visitors.iter_mut().map(|visitor| scope.spawn(|| read_some(&work, options, visitor))).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        threads.into_iter().map(join).fold(Ok(()), Result::and)
    })?;
    let Work { mut done, .. } = work.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(at, _)| *at);
    let (mut blobs, mut names, mut problems, mut damaged) = (Vec::new(), HashMap::new(), Vec::new(), Vec::new());
    for (at, parts) in done {
        names.extend(parts.names.into_iter().map(|name| (name, BlobId(at))));
        // A blob that could not be opened has no name, so no name refers to the empty blob in its place.
        blobs.push(parts.blob.unwrap_or_else(|| Blob::unread("", 0)));
        problems.extend(parts.problems);
        damaged.extend(parts.damaged);
    }
    let mut contents = resolve::contents(blobs, names, links, problems, options.verify);
    contents.damaged = damaged;
    Ok(contents)
}

/// Reads blobs until none is left.
fn read_some<V: Visitor>(work: &Mutex<Work>, options: &Options, visitor: &mut V) -> Result<(), Cancelled> {
    let locked = || -> MutexGuard<'_, Work> { work.lock().unwrap_or_else(PoisonError::into_inner) };
    loop {
        let mut pass = Pass::new(options, visitor);
        let (at, blob) = {
            let mut work = locked();
            let Some(next) = work.waiting.pop() else { return Ok(()) };
            (pass.document_bytes, pass.whiteout_room) = (work.document_bytes, work.whiteout_room);
            next
        };
        pass.first = at;
        let (documents, room) = (pass.document_bytes, pass.whiteout_room);
        let read = pass.loose(blob);
        let mut work = locked();
        if read.is_err() {
            work.waiting.clear();
            return read;
        }
        work.document_bytes = (work.document_bytes + pass.document_bytes - documents).min(super::MOST_DOCUMENT_BYTES);
        work.whiteout_room = work.whiteout_room.saturating_sub(room - pass.whiteout_room);
        let Pass { mut blobs, names, problems, damaged, .. } = pass;
        work.done.push((at, Parts { blob: blobs.pop(), names: names.into_keys().collect(), problems, damaged }));
    }
}

struct Members {
    blobs: Vec<LooseBlob>,
    links: HashMap<String, String>,
}

/// Finds the members of a plain archive without reading their content. Returns `None` if the file is something else,
/// or is not complete.
fn members(file: &Arc<File>) -> Option<Members> {
    let length = file.metadata().ok().filter(std::fs::Metadata::is_file)?.len();
    let mut source: &File = file;
    source.rewind().ok()?;
    let mut window = Window::new(source);
    if sniff(window.peek(HEAD).ok()?) != Packing::Plain {
        return None;
    }
    let mut walk = Walk::default();
    let mut members = Members { blobs: Vec::new(), links: HashMap::new() };
    loop {
        match walk.next(&mut window).ok()? {
            Ok(()) => {}
            Err(End::Regular) if walk.saw_end() => return Some(members),
            Err(End::Lost) if walk.saw_end() => {
                let (at, left) = (window.position(), length.checked_sub(window.position())?);
                let file = Arc::clone(file);
                let open = move || -> io::Result<Box<dyn Read + Send>> {
                    Ok(Box::new(Section { file: Arc::clone(&file), at, left }))
                };
                // The size is left out, because a pipe does not know it in advance either.
                members.blobs.push(LooseBlob { size: None, ..LooseBlob::sized(BEHIND.to_owned(), left, open) });
                return Some(members);
            }
            Err(_) => return None,
        }
        let entry = walk.entry();
        let name = member_name(&entry.path);
        match entry.kind {
            EntryKind::File => {
                let (at, size) = (window.position(), entry.size);
                if at.checked_add(size)? > length || members.blobs.len() == MOST_FOUND {
                    return None;
                }
                let file = Arc::clone(file);
                let open = move || -> io::Result<Box<dyn Read + Send>> {
                    Ok(Box::new(Section { file: Arc::clone(&file), at, left: size }))
                };
                members.blobs.push(LooseBlob::sized(name, size, open));
                window.leap(size).ok()?;
            }
            EntryKind::Link
                if name.len().max(entry.link.len()) <= LONGEST_NAME && members.links.len() < MOST_MEMBERS =>
            {
                members.links.insert(name, String::from_utf8_lossy(&entry.link).into_owned());
            }
            EntryKind::Link | EntryKind::Directory | EntryKind::Other => {}
        }
    }
}

/// A part of a file with a position of its own, so that several readers can share one open file.
struct Section {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Read for Section {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let most = out.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = self.file.read_at(&mut out[..most], self.at)?;
        self.at += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Write as _;
    use std::ops::ControlFlow;

    use ptest::{Archive, Compression, Image, Layer};

    use super::*;
    use crate::{Entry, Stream};

    /// A visitor that remembers the bytes of each blob.
    #[derive(Default)]
    struct Bytes {
        now: usize,
        level: usize,
        blobs: BTreeMap<usize, Vec<u8>>,
        stop: bool,
    }

    impl Visitor for Bytes {
        fn begin(&mut self, stream: &Stream<'_>) {
            self.now = stream.blob.0;
            self.level += 1;
        }
        fn entry(&mut self, _: &Entry<'_>) {}
        fn bytes(&mut self, level: usize, bytes: &[u8]) -> ControlFlow<()> {
            if level == 0 {
                self.blobs.entry(self.now).or_default().extend_from_slice(bytes);
            }
            if self.stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
        fn end(&mut self) {
            self.level -= 1;
        }
    }

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    /// Writes out everything that a caller can see of an archive.
    fn shown(contents: &Contents) -> String {
        let blobs: Vec<_> = contents
            .blobs
            .iter()
            .map(|blob| {
                let Blob { name, stored, bytes, packing, is_tar, whole, digest, diff_id, document, whiteouts, recalled } = blob;
                let hides = whiteouts.hide(b"etc/old");
                format!(
                    "{name} {stored} {bytes} {packing:?} {is_tar} {whole} {digest:?} {diff_id:?} {document:?} {hides} {recalled}"
                )
            })
            .collect();
        let Contents { images, problems, damaged, absent, .. } = contents;
        format!("{images:?} {blobs:?} {problems:?} {damaged:?} {absent:?}")
    }

    fn visitors(count: usize) -> Vec<Bytes> {
        (0..count).map(|_| Bytes::default()).collect()
    }

    fn archives() -> Vec<Archive> {
        Compression::ALL
            .iter()
            .flat_map(|compression| {
                let layer = |name: &str| Layer::new().file(name, name.repeat(3000)).whiteout("etc/old");
                let image = ["a", "b", "c"]
                    .iter()
                    .fold(Image::new(), |image, name| image.packed_layer(layer(name), *compression, "COPY"));
                [image.docker_legacy("shop:1"), image.docker_oci("shop:1"), image.oci()]
            })
            .collect()
    }

    /// The contents of an archive do not depend on the number of readers, and each blob's bytes are shown to exactly
    /// one.
    #[test]
    fn many_readers_see_what_one_sees() {
        for archive in archives() {
            let tar = archive.tar();
            let mut one = Bytes::default();
            let alone = read(tar.as_slice(), &Options::default(), &mut one).unwrap();
            for count in 1..4 {
                let mut many = visitors(count);
                let together = read_file(file(&tar), &Options::default(), &mut many).unwrap();
                assert_eq!(shown(&together), shown(&alone), "{count}");
                let all: BTreeMap<usize, Vec<u8>> = many.into_iter().flat_map(|visitor| visitor.blobs).collect();
                assert_eq!(all, one.blobs, "{count}");
            }
        }
    }

    /// An archive that is packed, cut or damaged is read with the same results as a stream of the same bytes.
    #[test]
    fn what_is_no_plain_archive_is_read_in_one_pass() {
        let whole = archives()[0].tar();
        let mut damaged = whole.clone();
        damaged[3000..3100].fill(7);
        for bytes in [Compression::Gzip.pack(&whole), whole[..whole.len() / 2].to_vec(), damaged, b"nothing".to_vec()] {
            let alone = read(bytes.as_slice(), &Options::default(), &mut Bytes::default()).unwrap();
            let together = read_file(file(&bytes), &Options::default(), &mut visitors(2)).unwrap();
            assert_eq!(shown(&together), shown(&alone));
        }
    }

    #[test]
    fn one_visitor_ends_the_reading_of_all() {
        let mut visitors = visitors(2);
        visitors.iter_mut().for_each(|visitor| visitor.stop = true);
        assert_eq!(read_file(file(&archives()[0].tar()), &Options::default(), &mut visitors).unwrap_err(), Cancelled);
    }
}
