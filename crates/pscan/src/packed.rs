//! Base64 of gzip, as Helm stores its releases. Such text is decoded from its beginning, unpacked, and searched as a
//! stream of its own.

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use flate2::write::MultiGzDecoder;
use zeroize::Zeroizing;

use crate::search::Searcher;
use crate::text::{self, Unit};

/// The beginnings of base64 of gzip, and of base64 of that text: Kubernetes encodes again what Helm encoded.
const BEGINNINGS: [(&[u8], Inside); 2] = [(b"H4sI", Inside::Gzip), (b"SDRzS", Inside::Base64)];

pub(crate) const LONGEST_BEGINNING: usize = 5;

/// The maximal number of bytes that are unpacked for each encoded character; the first [`FIRST_UNPACKED`] bytes are
/// free.
const MOST_UNPACKED: u64 = 256;
const FIRST_UNPACKED: u64 = 1 << 20;

/// The number of characters that are decoded at a time.
const PORTION: usize = 4096;

#[derive(Clone, Copy)]
enum Inside {
    Gzip,
    Base64,
}

/// Finds the places in a text where a packed text may begin.
pub(crate) fn beginnings(text: &[u8]) -> impl Iterator<Item = Beginning> {
    BEGINNINGS.into_iter().flat_map(move |(begins, inside)| {
        memchr::memmem::find_iter(text, begins).map(move |at| Beginning { at, inside })
    })
}

/// A place where a packed text may begin.
pub(crate) struct Beginning {
    pub(crate) at: usize,
    inside: Inside,
}

/// A packed text that is being unpacked.
pub(crate) struct Packed<'n> {
    /// The offset where the packed text begins; `at` is the offset up to which it was read.
    pub(crate) start: u64,
    pub(crate) at: u64,
    characters: Zeroizing<Vec<u8>>,
    unpack: Unpack<'n>,
}

enum Unpack<'n> {
    Gzip(Box<MultiGzDecoder<Sink<'n>>>),
    Base64(Sink<'n>),
}

/// The writer that searches the unpacked bytes.
struct Sink<'n> {
    searcher: Box<Searcher<'n>>,
    /// The needles that were found.
    seen: Vec<usize>,
    room: u64,
}

impl<'n> Packed<'n> {
    pub(crate) fn new(beginning: &Beginning, base: u64, searcher: Searcher<'n>) -> Self {
        let sink = Sink { searcher: Box::new(searcher), seen: Vec::new(), room: FIRST_UNPACKED };
        let unpack = match beginning.inside {
            Inside::Gzip => Unpack::Gzip(Box::new(MultiGzDecoder::new(sink))),
            Inside::Base64 => Unpack::Base64(sink),
        };
        let start = base + beginning.at as u64;
        Self { start, at: start, characters: Zeroizing::default(), unpack }
    }

    /// Reads more of the packed text. `text` is a part of the stream whose first byte has the offset `base`. Calls
    /// `found` with the needles that were found inside. Returns whether more of the packed text may follow.
    pub(crate) fn read(&mut self, text: &[u8], base: u64, found: &mut dyn FnMut(usize)) -> bool {
        let Ok(mut at) = usize::try_from(self.at - base) else { return false };
        let goes_on = loop {
            match text::next(text, at) {
                Unit::Char(character, other_side) => {
                    let standard = match character {
                        b'-' => b'+',
                        b'_' => b'/',
                        other => other,
                    };
                    if !(standard.is_ascii_alphanumeric() || b"+/".contains(&standard)) {
                        break false;
                    }
                    self.characters.push(standard);
                    at = other_side;
                    if self.characters.len() == PORTION && !self.decode() {
                        break false;
                    }
                }
                Unit::Gap { breaks: true, other_side } => at = other_side,
                Unit::Gap { .. } => break false,
                Unit::Unknown => break true,
            }
        };
        self.at = base + at as u64;
        self.sink().seen.drain(..).for_each(found);
        goes_on
    }

    /// Reads the rest of the packed text, which has ended.
    pub(crate) fn finish(mut self, found: &mut dyn FnMut(usize)) {
        // The last group may have only two or three characters, which still contain whole bytes.
        let over = self.characters.len() % 4;
        if over == 1 {
            self.characters.pop();
        }
        self.decode();
        if let Unpack::Gzip(gzip) = &mut self.unpack {
            // An error is ignored, because a stream that ends early was searched as far as it goes.
            drop(gzip.try_finish());
        }
        let Sink { searcher, seen, .. } = self.sink();
        searcher.finish(&mut |hit| seen.push(hit.needle()));
        seen.drain(..).for_each(found);
    }

    /// Unpacks the characters. Returns false if this fails.
    fn decode(&mut self) -> bool {
        let mut bytes = Zeroizing::new(vec![0; self.characters.len()]);
        let decoded = STANDARD_NO_PAD.decode_slice(self.characters.as_slice(), &mut bytes);
        let grown = self.characters.len() as u64 * MOST_UNPACKED;
        self.characters.clear();
        self.sink().room += grown;
        let Ok(count) = decoded else { return false };
        match &mut self.unpack {
            Unpack::Gzip(gzip) => gzip.write_all(&bytes[..count]).and_then(|()| gzip.flush()).is_ok(),
            Unpack::Base64(sink) => sink.write_all(&bytes[..count]).is_ok(),
        }
    }

    fn sink(&mut self) -> &mut Sink<'n> {
        match &mut self.unpack {
            Unpack::Gzip(gzip) => gzip.get_mut(),
            Unpack::Base64(sink) => sink,
        }
    }
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.room = self.room.checked_sub(bytes.len() as u64).ok_or(io::ErrorKind::FileTooLarge)?;
        let seen = &mut self.seen;
        self.searcher.push(bytes, &mut |hit| seen.push(hit.needle()));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
