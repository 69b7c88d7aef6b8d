//! Reads an archive in one pass.

mod member;
mod together;

use std::collections::HashMap;
use std::io::{self, Read};

use crate::blob::{Blob, BlobId, Packing, printable};
use crate::contents::Contents;
use crate::decode::{self, HEAD, LARGEST_ZSTD_WINDOW_LOG, sniff};
use crate::digest::Hasher;
use crate::inside::{Look, LookResult, Passage, Shared, Stopped, Tap};
use crate::loose::LooseBlob;
use crate::options::{Options, Verify};
use crate::problem::{Fault, Problem};
use crate::resolve;
use crate::span::Span;
use crate::tar::{End, Walk};
use crate::unpack::{self, Gzip, Pump, Zstd};
use crate::visit::{Cancelled, EntryKind, Part, Stream, Visitor};
use crate::whiteout;
use crate::window::{Ahead as _, Window};
use member::{Broken, Member};

pub use together::{read_file, read_loose_together};

/// The maximal number of members that are read.
const MOST_MEMBERS: usize = 100_000;
/// The maximal length of a name that documents can refer to. A member or link with a longer name is read, but not
/// found by its name.
const LONGEST_NAME: usize = 512;
/// The largest dictionary of xz that is allowed, in bytes: `xz -9` needs 64 MiB.
const LARGEST_XZ_DICTIONARY: u64 = 65 << 20;
/// The name of the bytes after an archive's end.
const BEHIND: &str = "behind the archive's end";
/// The maximal size of all documents together.
const MOST_DOCUMENT_BYTES: u64 = 64 << 20;

/// Reads an archive from its first byte to its last.
///
/// The only error is cancellation: faults of the archive are in [`Contents::problems`], and everything that was read
/// before a fault is kept.
///
/// # Errors
///
/// Returns [`Cancelled`] if the visitor ended the reading.
pub fn read<V: Visitor>(source: impl Read, options: &Options, visitor: &mut V) -> Result<Contents, Cancelled> {
    let mut pass = Pass::new(options, visitor);
    let mut stored = Window::new(source);
    let ended = match unpacked(&mut stored) {
        Ok(mut archive) => pass.archive(&mut archive)?,
        Err(error) => {
            pass.problem(None, Fault::SourceFailed { at: 0, kind: error.kind() });
            ArchiveEnd::Broken
        }
    };
    match ended {
        ArchiveEnd::Whole => pass.behind(&mut stored)?,
        ArchiveEnd::Broken => {}
    }
    Ok(pass.finish())
}

/// The place where the walk over an archive ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ArchiveEnd {
    /// The archive's end.
    Whole,
    /// A place before the archive's end.
    Broken,
}

/// Reads the blobs of an image that is not an archive, each from its own source, in the given order. Their names are
/// those that members of an archive would have: `index.json`, `manifest.json`, `blobs/sha256/…`. A blob that cannot
/// be opened or read is reported as a problem, and the next one is read.
///
/// # Errors
///
/// Returns [`Cancelled`] if the visitor ended the reading.
pub fn read_loose<V: Visitor>(
    blobs: impl IntoIterator<Item = LooseBlob>,
    options: &Options,
    visitor: &mut V,
) -> Result<Contents, Cancelled> {
    let mut pass = Pass::new(options, visitor);
    for blob in blobs {
        pass.loose(blob)?;
    }
    Ok(pass.finish())
}

/// Unpacks the archive itself, if it is packed: `docker save … | gzip`.
fn unpacked<'a, R: Read>(window: &'a mut Window<R>) -> io::Result<Window<Box<dyn Read + 'a>>> {
    let packing = sniff(window.peek(HEAD)?);
    let inner: Box<dyn Read + 'a> = match packing {
        Packing::Gzip => Box::new(Gzip::new(window)),
        Packing::Zstd => Box::new(Pump::new(window, Zstd::new(LARGEST_ZSTD_WINDOW_LOG)?)),
        Packing::Xz => Box::new(unpack::xz(window, LARGEST_XZ_DICTIONARY)),
        Packing::Bzip2 => Box::new(Pump::new(window, unpack::Bzip2::new())),
        Packing::Plain | Packing::Unopened(_) => Box::new(window),
    };
    Ok(Window::new(inner))
}

struct Pass<'a, V> {
    options: &'a Options,
    visitor: &'a mut V,
    /// The index of this pass's first blob among all blobs.
    first: usize,
    blobs: Vec<Blob>,
    /// The blob of each name. If several members have the same name, the last one counts, as for a tool that extracts
    /// the archive.
    names: HashMap<String, BlobId>,
    links: HashMap<String, String>,
    problems: Vec<Problem>,
    damaged: Vec<Problem>,
    document_bytes: u64,
    whiteout_room: usize,
}

impl<'a, V: Visitor> Pass<'a, V> {
    fn new(options: &'a Options, visitor: &'a mut V) -> Self {
        Self {
            options,
            visitor,
            first: 0,
            blobs: Vec::new(),
            names: HashMap::new(),
            links: HashMap::new(),
            problems: Vec::new(),
            damaged: Vec::new(),
            document_bytes: 0,
            whiteout_room: whiteout::MOST_BYTES,
        }
    }

    fn finish(self) -> Contents {
        let mut contents = resolve::contents(self.blobs, self.names, &self.links, self.problems, self.options.verify);
        contents.damaged = self.damaged;
        contents
    }

    fn problem(&mut self, blob: Option<BlobId>, fault: Fault) {
        self.problems.push(Problem { blob, fault });
    }

    fn archive<R: Read>(&mut self, archive: &mut Window<R>) -> Result<ArchiveEnd, Cancelled> {
        let mut walk = Walk::default();
        let fault = loop {
            match walk.next(archive) {
                Ok(Ok(())) => {
                    if self.blobs.len() == MOST_MEMBERS {
                        break Some(Fault::Limit { what: "100000 members of the archive" });
                    }
                    match self.member(archive, &mut walk)? {
                        None => {}
                        Some(Broken::Cut) => break Some(Fault::ArchiveEndsEarly { at: archive.position() }),
                        Some(Broken::Failed(kind)) => break Some(Fault::SourceFailed { at: archive.position(), kind }),
                    }
                }
                Ok(Err(End::Regular)) if walk.saw_end() => break None,
                Ok(Err(End::Lost)) if walk.saw_end() => {
                    self.behind(archive)?;
                    break None;
                }
                Ok(Err(End::Regular | End::Lost)) if archive.position() == 0 => break Some(Fault::NotAnArchive),
                // A stream that stops between two members has lost the remaining members.
                Ok(Err(End::Regular | End::Cut)) => break Some(Fault::ArchiveEndsEarly { at: archive.position() }),
                Ok(Err(End::Lost)) => break Some(Fault::ArchiveDamaged { at: archive.position() }),
                Err(error) => break Some(Fault::SourceFailed { at: archive.position(), kind: error.kind() }),
            }
        };
        if let Some(fault) = fault {
            self.problem(None, fault);
            return Ok(ArchiveEnd::Broken);
        }
        // The rest is read to its end, because a program that writes to a pipe would otherwise fail.
        drop(io::copy(archive, &mut io::sink()));
        Ok(ArchiveEnd::Whole)
    }

    /// Shows the bytes after the archive's end to the visitor, if there are any. No tool unpacks them, but everybody
    /// who has the file has them.
    fn behind<R: Read>(&mut self, rest: &mut Window<R>) -> Result<(), Cancelled> {
        if rest.peek(1).is_ok_and(<[u8]>::is_empty) {
            return Ok(());
        }
        let mut member = Member::to_its_end(rest, false);
        if let Some(Broken::Failed(kind)) = self.whole_member(BEHIND, None, &mut member)? {
            self.problem(None, Fault::SourceFailed { at: rest.position(), kind });
        }
        Ok(())
    }

    fn member<R: Read>(&mut self, archive: &mut Window<R>, walk: &mut Walk) -> Result<Option<Broken>, Cancelled> {
        let entry = walk.entry();
        let name = member_name(&entry.path);
        match entry.kind {
            EntryKind::File => {}
            EntryKind::Link => {
                // The target of a hard link is a path from the archive's root, that of a symbolic link a path from
                // the link itself.
                if name.len().max(entry.link.len()) <= LONGEST_NAME && self.links.len() < MOST_MEMBERS {
                    self.links.insert(name, String::from_utf8_lossy(&entry.link).into_owned());
                }
                return Ok(None);
            }
            EntryKind::Directory | EntryKind::Other => return Ok(None),
        }
        let mut member = Member::new(archive, entry.size, self.options.verify == Verify::Digests);
        self.whole_member(&name, Some(entry.size), &mut member)
    }

    fn loose(&mut self, blob: LooseBlob) -> Result<(), Cancelled> {
        let LooseBlob { name, size, open, identity, remembered } = blob;
        if self.first + self.blobs.len() >= MOST_MEMBERS {
            self.problem(None, Fault::Limit { what: "100000 members of the archive" });
            return Ok(());
        }
        if let Some(remembered) = remembered {
            let id = BlobId(self.first + self.blobs.len());
            self.names.insert(name.clone(), id);
            self.damaged.extend(remembered.damaged().map(|fault| Problem { blob: Some(id), fault }));
            self.blobs.push(remembered.into_blob(printable(&name), identity.map(|(digest, _)| digest)));
            return Ok(());
        }
        match open() {
            Ok(source) => {
                let mut window = Window::new(source);
                let digested = self.options.verify == Verify::Digests;
                let mut member = match size {
                    Some(size) => Member::new(&mut window, size, digested),
                    None => Member::to_its_end(&mut window, digested),
                };
                let kind = match self.whole_member(&name, size, &mut member)? {
                    None => return Ok(()),
                    Some(Broken::Cut) => io::ErrorKind::UnexpectedEof,
                    Some(Broken::Failed(kind)) => kind,
                };
                self.problem(None, Fault::Unreadable { name: printable(&name), kind });
            }
            Err(error) => self.problem(None, Fault::Unreadable { name: printable(&name), kind: error.kind() }),
        }
        Ok(())
    }

    /// Reads one member to its end, and adds it to the blobs. Without a size, the member is as long as its source.
    fn whole_member<R: Read>(
        &mut self,
        name: &str,
        size: Option<u64>,
        member: &mut Member<'_, R>,
    ) -> Result<Option<Broken>, Cancelled> {
        let id = BlobId(self.first + self.blobs.len());
        let (mut blob, fault) = self.blob(id, name, size, member)?;
        let broken = member.broken();
        blob.stored = size.unwrap_or(member.count());
        blob.digest = member.digest();
        if blob.packing == Packing::Plain {
            blob.diff_id.clone_from(&blob.digest);
        }
        blob.whole = broken.is_none() && fault.is_none();
        // A member that is cut together with its archive is not reported again.
        if let (None, Some(fault)) = (broken, fault) {
            self.problem(Some(id), fault);
        }
        self.whiteout_room = blob.whiteouts.room();
        if name.len() <= LONGEST_NAME {
            self.names.insert(name.to_owned(), id);
        }
        self.blobs.push(blob);
        Ok(broken)
    }

    /// Reads one member to its end, and returns it with its fault, if it has one.
    fn blob<R: Read>(
        &mut self,
        id: BlobId,
        name: &str,
        size: Option<u64>,
        member: &mut Member<'_, R>,
    ) -> Result<(Blob, Option<Fault>), Cancelled> {
        let mut blob = Blob::unread(name, self.whiteout_room);
        let mut stored = Window::new(member);
        // The member remembers an error of the source.
        let head = stored.peek(HEAD).unwrap_or_default();
        blob.packing = sniff(head);
        let is_document = blob.packing == Packing::Plain && decode::looks_like_json(head);
        let room = self.options.largest_document.min(MOST_DOCUMENT_BYTES - self.document_bytes);
        let keep = is_document && size.is_some_and(|size| size <= room);
        if keep {
            self.document_bytes += size.unwrap_or_default();
            blob.document = Some(Vec::new());
        }
        let fault = match blob.packing {
            Packing::Gzip => {
                let mut gzip = Gzip::new(&mut stored);
                let fault = self.content(id, name, &mut gzip, "gzip", &mut blob)?;
                let fields = gzip.into_fields();
                self.aside(id, name, Part::GzipFields, fields.as_slice())?;
                fault
            }
            Packing::Zstd => match Zstd::new(LARGEST_ZSTD_WINDOW_LOG) {
                Ok(zstd) => self.content(id, name, Pump::new(&mut stored, zstd), "zstd", &mut blob)?,
                Err(_) => Some(Fault::Damaged { format: "zstd", at: 0 }),
            },
            Packing::Xz => self.content(id, name, unpack::xz(&mut stored, LARGEST_XZ_DICTIONARY), "xz", &mut blob)?,
            Packing::Bzip2 => {
                self.content(id, name, Pump::new(&mut stored, unpack::Bzip2::new()), "bzip2", &mut blob)?
            }
            Packing::Plain | Packing::Unopened(_) => self.content(id, name, &mut stored, "", &mut blob)?,
        };
        let behind = self.rest(id, name, &mut stored)?;
        let behind = behind.map(|at| Fault::Behind { at });
        let too_long = is_document && !keep;
        Ok((blob, fault.or(behind).or(too_long.then_some(Fault::Limit { what: "size of a JSON document" }))))
    }

    /// Shows the visitor the decoded content of a blob, up to the decoder's end or failure.
    fn content(
        &mut self,
        id: BlobId,
        name: &str,
        source: impl Read,
        format: &'static str,
        blob: &mut Blob,
    ) -> Result<Option<Fault>, Cancelled> {
        let shared = Shared::new(&mut *self.visitor, &self.options.inside);
        shared.begin(&Stream { blob: id, name, part: Part::Content, path: &[], inside: &[] });
        let hash_again = self.options.verify == Verify::Digests && !format.is_empty();
        let tap = Tap::new(source, &shared, Hasher::new(hash_again), self.options.largest_blob);
        let mut window = Window::new(tap.keeping(blob.document.take(), usize::MAX));
        let mut look = Look::new(&shared, id, name, std::mem::take(&mut blob.whiteouts));
        let read = look.blob(&mut Span::rest(&mut window));
        let LookResult { is_tar, cut, whiteouts, faults, damaged } = look.finish();
        (blob.is_tar, blob.whiteouts) = (is_tar, whiteouts);
        let Passage { count, digest, kept, stopped } = window.into_inner().finish();
        shared.end();
        (blob.bytes, blob.diff_id, blob.document) = (count, digest, kept);
        let about = |fault| Problem { blob: Some(id), fault };
        self.problems.extend(faults.into_iter().map(about));
        self.damaged.extend(damaged.into_iter().map(about));
        match (read, stopped) {
            (_, Some(Stopped::Cancelled)) => Err(Cancelled),
            (_, Some(Stopped::Limit(what))) => Ok(Some(Fault::Limit { what })),
            (Ok(()), None) => Ok(cut.then_some(Fault::LayerEndsEarly { at: count })),
            (Err(_), None) if shared.is_cancelled() => Err(Cancelled),
            // Without a decoder, only the source can fail, and this is reported for the archive.
            (Err(_), None) if format.is_empty() => Ok(None),
            (Err(error), None) => Ok(Some(match error.kind() {
                io::ErrorKind::UnexpectedEof => Fault::EndsEarly { format, at: count },
                io::ErrorKind::OutOfMemory => Fault::Limit { what: "memory for unpacking" },
                _ => Fault::Damaged { format, at: count },
            })),
        }
    }

    /// Shows the visitor the stored bytes that no decoder read, and returns the offset where they begin.
    fn rest<R: Read>(
        &mut self,
        id: BlobId,
        name: &str,
        stored: &mut Window<&mut Member<'_, R>>,
    ) -> Result<Option<u64>, Cancelled> {
        let at = stored.position();
        Ok(self.aside(id, name, Part::Rest { at }, stored)?.then_some(at))
    }

    /// Shows the visitor bytes beside a blob's content. Returns false if there are none.
    fn aside(&mut self, id: BlobId, name: &str, part: Part, bytes: impl Read) -> Result<bool, Cancelled> {
        let mut bytes = Window::new(bytes);
        // The member remembers an error of the source.
        if bytes.peek(1).is_ok_and(<[u8]>::is_empty) {
            return Ok(false);
        }
        let shared = Shared::new(&mut *self.visitor, &self.options.inside);
        shared.begin(&Stream { blob: id, name, part, path: &[], inside: &[] });
        let mut tap = Tap::new(bytes, &shared, Hasher::new(false), u64::MAX);
        drop(io::copy(&mut tap, &mut io::sink()));
        let stopped = tap.finish().stopped;
        shared.end();
        if stopped == Some(Stopped::Cancelled) { Err(Cancelled) } else { Ok(true) }
    }
}

/// Normalizes a member's name to the form that documents use.
fn member_name(path: &[u8]) -> String {
    let mut name = &*String::from_utf8_lossy(path);
    while let Some(rest) = name.strip_prefix("./").or_else(|| name.strip_prefix('/')) {
        name = rest;
    }
    name.to_owned()
}
