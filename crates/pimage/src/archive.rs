//! The one pass over an archive.

mod member;
mod tap;

use std::collections::HashMap;
use std::io::{self, BufRead, Read};

use crate::blob::{Blob, BlobId, Packing};
use crate::contents::Contents;
use crate::decode::{self, HEAD, LARGEST_ZSTD_WINDOW_LOG, sniff};
use crate::digest::Hasher;
use crate::gzip::Gzip;
use crate::problem::{Fault, Problem};
use crate::resolve;
use crate::tar::{self, End, Walk};
use crate::visit::{Cancelled, EntryKind, Part, Visitor};
use crate::whiteout::{self, Whiteouts};
use crate::window::Window;
use member::{Broken, Member};
use tap::{Stopped, Tap};

/// Members past this number are not read.
const MOST_MEMBERS: usize = 100_000;
/// Members and links with longer names are read, but no document can name them.
const LONGEST_NAME: usize = 512;
/// All documents together.
const MOST_DOCUMENT_BYTES: u64 = 64 << 20;

/// How an archive is read.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether claimed digests are compared with the bytes.
    pub verify: Verify,
    /// The most unpacked bytes of one blob. Default: 64 GiB.
    pub largest_blob: u64,
    /// The most bytes of one JSON document. Default: 8 MiB.
    pub largest_document: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { verify: Verify::Digests, largest_blob: 64 << 30, largest_document: 8 << 20 }
    }
}

/// Whether claimed digests are compared with the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// Every digest that the archive claims is compared.
    Digests,
    /// Nothing is compared: the local engine itself has just written the archive.
    Nothing,
}

/// Reads an archive from its first byte to its last.
///
/// There is no error but cancellation: whatever is wrong is in [`Contents::problems`], and what was read before it
/// stays.
///
/// # Errors
///
/// [`Cancelled`] when the visitor asked for it.
pub fn read<V: Visitor>(source: impl Read, options: &Options, visitor: &mut V) -> Result<Contents, Cancelled> {
    let mut pass = Pass {
        options,
        visitor,
        blobs: Vec::new(),
        names: HashMap::new(),
        links: HashMap::new(),
        problems: Vec::new(),
        document_bytes: 0,
        whiteout_room: whiteout::MOST_BYTES,
    };
    match unpacked(&mut Window::new(source)) {
        Ok(mut archive) => pass.archive(&mut archive)?,
        Err(error) => pass.problem(None, Fault::SourceFailed { at: 0, kind: error.kind() }),
    }
    Ok(resolve::contents(pass.blobs, pass.names, &pass.links, pass.problems, options.verify))
}

/// The archive itself may be packed: `docker save … | gzip`.
fn unpacked<'a, R: Read>(window: &'a mut Window<R>) -> io::Result<Window<Box<dyn Read + 'a>>> {
    let packing = sniff(window.peek(HEAD)?);
    let inner: Box<dyn Read + 'a> = match packing {
        Packing::Gzip => Box::new(Gzip::new(window)),
        Packing::Zstd => Box::new(zstd_decoder(window)?),
        Packing::Plain | Packing::Unopened(_) => Box::new(window),
    };
    Ok(Window::new(inner))
}

fn zstd_decoder<'a, R: BufRead>(reader: R) -> io::Result<zstd::stream::read::Decoder<'a, R>> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(reader)?;
    decoder.window_log_max(LARGEST_ZSTD_WINDOW_LOG)?;
    Ok(decoder)
}

struct Pass<'a, V> {
    options: &'a Options,
    visitor: &'a mut V,
    blobs: Vec<Blob>,
    /// Of members with one name the last counts, as it does for who extracts the archive.
    names: HashMap<String, BlobId>,
    links: HashMap<String, String>,
    problems: Vec<Problem>,
    document_bytes: u64,
    whiteout_room: usize,
}

impl<V: Visitor> Pass<'_, V> {
    fn problem(&mut self, blob: Option<BlobId>, fault: Fault) {
        self.problems.push(Problem { blob, fault });
    }

    fn archive<R: Read>(&mut self, archive: &mut Window<R>) -> Result<(), Cancelled> {
        let mut walk = Walk::default();
        let fault = loop {
            match walk.next(archive) {
                Ok(Ok(())) => {
                    if self.blobs.len() == MOST_MEMBERS {
                        break Some(Fault::Limit { what: "100000 members of the archive" });
                    }
                    match self.member(archive, &mut walk)? {
                        None => {}
                        Some(Broken::Cut) => break Some(Fault::ArchiveEndsEarly { at: walk.position() }),
                        Some(Broken::Failed(kind)) => break Some(Fault::SourceFailed { at: walk.position(), kind }),
                    }
                }
                Ok(Err(End::Regular)) if walk.saw_end() => break None,
                Ok(Err(End::Lost)) if walk.saw_end() => break None,
                Ok(Err(End::Regular | End::Lost)) if walk.position() == 0 => break Some(Fault::NotAnArchive),
                // A stream that stops between two members has lost the rest of them.
                Ok(Err(End::Regular | End::Cut)) => break Some(Fault::ArchiveEndsEarly { at: walk.position() }),
                Ok(Err(End::Lost)) => break Some(Fault::ArchiveDamaged { at: walk.position() }),
                Err(error) => break Some(Fault::SourceFailed { at: walk.position(), kind: error.kind() }),
            }
        };
        if let Some(fault) = fault {
            self.problem(None, fault);
        } else {
            // Whoever writes into the other end of a pipe wants to finish.
            drop(io::copy(archive, &mut io::sink()));
        }
        Ok(())
    }

    fn member<R: Read>(&mut self, archive: &mut Window<R>, walk: &mut Walk) -> Result<Option<Broken>, Cancelled> {
        let entry = walk.found_entry();
        let name = member_name(&entry.path);
        match walk.entry().kind {
            EntryKind::File => {}
            EntryKind::Link => {
                // A hard link names a member from the archive's root, a symbolic one from where it stands.
                if name.len().max(entry.link.len()) <= LONGEST_NAME && self.links.len() < MOST_MEMBERS {
                    self.links.insert(name, String::from_utf8_lossy(&entry.link).into_owned());
                }
                return Ok(None);
            }
            EntryKind::Directory | EntryKind::Other => return Ok(None),
        }
        let size = entry.size;
        let id = BlobId(self.blobs.len());
        let mut member = Member::new(archive, size, self.options.verify == Verify::Digests);
        let read = self.blob(id, &name, size, &mut member);
        walk.content_was_read(member.count());
        let broken = member.broken();
        let (mut blob, fault) = read?;
        blob.digest = member.digest();
        if blob.packing == Packing::Plain {
            blob.diff_id.clone_from(&blob.digest);
        }
        blob.whole = broken.is_none() && fault.is_none();
        // Of a cut archive it says enough that it is cut.
        if let (None, Some(fault)) = (broken, fault) {
            self.problem(Some(id), fault);
        }
        self.whiteout_room = blob.whiteouts.room();
        if name.len() <= LONGEST_NAME {
            self.names.insert(name, id);
        }
        self.blobs.push(blob);
        Ok(broken)
    }

    /// Reads one member to its end.
    fn blob<R: Read>(
        &mut self,
        id: BlobId,
        name: &str,
        size: u64,
        member: &mut Member<'_, R>,
    ) -> Result<(Blob, Option<Fault>), Cancelled> {
        let mut blob = Blob {
            name: printable(name),
            stored: size,
            bytes: 0,
            packing: Packing::Plain,
            is_tar: false,
            whole: false,
            digest: None,
            diff_id: None,
            document: None,
            whiteouts: Whiteouts::with_room(self.whiteout_room),
        };
        let mut stored = Window::new(member);
        // An error of the source stays known to the member.
        let head = stored.peek(HEAD).unwrap_or_default();
        blob.packing = sniff(head);
        let is_document = blob.packing == Packing::Plain && decode::looks_like_json(head);
        let keep =
            is_document && size <= self.options.largest_document && self.document_bytes + size <= MOST_DOCUMENT_BYTES;
        if keep {
            self.document_bytes += size;
            blob.document = Some(Vec::new());
        }
        let format = match blob.packing {
            Packing::Gzip => "gzip",
            Packing::Zstd => "zstd",
            Packing::Plain | Packing::Unopened(_) => "",
        };
        let fault = match blob.packing {
            Packing::Gzip => {
                let mut gzip = Gzip::new(&mut stored);
                let fault = self.content(id, name, &mut gzip, format, &mut blob)?;
                let fields = gzip.into_fields();
                self.aside(id, name, Part::GzipFields, fields.as_slice())?;
                fault
            }
            Packing::Zstd => match zstd_decoder(&mut stored) {
                Ok(decoder) => self.content(id, name, decoder, format, &mut blob)?,
                Err(_) => Some(Fault::Damaged { format, at: 0 }),
            },
            Packing::Plain | Packing::Unopened(_) => self.content(id, name, &mut stored, format, &mut blob)?,
        };
        self.rest(id, name, &mut stored)?;
        let too_long = is_document && !keep;
        Ok((blob, fault.or(too_long.then_some(Fault::Limit { what: "size of a JSON document" }))))
    }

    /// Shows the visitor what a decoder makes of a blob, up to the decoder's end or failure.
    fn content(
        &mut self,
        id: BlobId,
        name: &str,
        source: impl Read,
        format: &'static str,
        blob: &mut Blob,
    ) -> Result<Option<Fault>, Cancelled> {
        self.visitor.begin(id, name, Part::Content);
        let hash_again = self.options.verify == Verify::Digests && !format.is_empty();
        let tap = Tap::new(source, &mut *self.visitor, Hasher::new(hash_again), self.options.largest_blob);
        let mut window = Window::new(tap.keeping(blob.document.take()));
        let read = walk_content(&mut window, blob);
        let seen = window.into_inner().finish();
        self.visitor.end();
        blob.bytes = seen.count;
        blob.diff_id = seen.digest;
        blob.document = seen.kept;
        match (read, seen.stopped) {
            (_, Some(Stopped::Cancelled)) => Err(Cancelled),
            (_, Some(Stopped::Limit)) => Ok(Some(Fault::Limit { what: "unpacked bytes of one blob" })),
            (Ok(end), None) => Ok((end == End::Cut).then_some(Fault::LayerEndsEarly { at: seen.count })),
            // Without a decoder only the source can fail, and that is the archive's problem.
            (Err(_), None) if format.is_empty() => Ok(None),
            (Err(error), None) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Ok(Some(Fault::EndsEarly { format, at: seen.count }))
            }
            (Err(_), None) => Ok(Some(Fault::Damaged { format, at: seen.count })),
        }
    }

    /// Shows the visitor the stored bytes that no decoder took.
    fn rest<R: Read>(
        &mut self,
        id: BlobId,
        name: &str,
        stored: &mut Window<&mut Member<'_, R>>,
    ) -> Result<(), Cancelled> {
        let unread = stored.peek(1).map_or(0, <[u8]>::len) as u64;
        let at = stored.inner().count() - unread;
        self.aside(id, name, Part::Rest { at }, stored)
    }

    /// Shows the visitor bytes beside a blob's content, if there are any.
    fn aside(&mut self, id: BlobId, name: &str, part: Part, bytes: impl Read) -> Result<(), Cancelled> {
        let mut bytes = Window::new(bytes);
        // The member remembers how it ended.
        if bytes.peek(1).is_ok_and(<[u8]>::is_empty) {
            return Ok(());
        }
        self.visitor.begin(id, name, part);
        let mut tap = Tap::new(bytes, &mut *self.visitor, Hasher::new(false), u64::MAX);
        drop(io::copy(&mut tap, &mut io::sink()));
        let stopped = tap.finish().stopped;
        self.visitor.end();
        if stopped == Some(Stopped::Cancelled) { Err(Cancelled) } else { Ok(()) }
    }
}

/// Names the places of a tar, and reads whatever it is to its end.
fn walk_content<R: Read, V: Visitor>(window: &mut Window<Tap<'_, R, V>>, blob: &mut Blob) -> io::Result<End> {
    let head = window.peek(HEAD)?;
    // A layer without a change is two blocks of zeros; peeking may show both.
    let empty_tar = head.get(..HEAD).is_some_and(|block| block.iter().all(|byte| *byte == 0));
    blob.is_tar = empty_tar || tar::is_header(head);
    let mut end = End::Regular;
    if blob.is_tar {
        let mut walk = Walk::default();
        end = loop {
            match walk.next(window)? {
                Ok(()) => {
                    let entry = walk.entry();
                    blob.whiteouts.note(entry.path);
                    window.inner().visitor().entry(&entry);
                }
                Err(end) => break end,
            }
        };
    }
    loop {
        let count = window.fill_buf()?.len();
        if count == 0 {
            return Ok(end);
        }
        window.consume(count);
    }
}

/// A member's name as other documents spell it.
fn member_name(path: &[u8]) -> String {
    let mut name = &*String::from_utf8_lossy(path);
    while let Some(rest) = name.strip_prefix("./").or_else(|| name.strip_prefix('/')) {
        name = rest;
    }
    name.to_owned()
}

/// A name without control characters, and not endless.
pub(crate) fn printable(name: &str) -> String {
    name.chars().take(256).flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}
