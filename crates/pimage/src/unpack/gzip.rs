//! Unpacks gzip, every member of a file, with the names that its headers hold (RFC 1952).

use std::io::{self, Read};

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::{damaged, early};
use crate::window::Ahead;

/// The maximal length of a header; its name and comment are for people.
const LONGEST_HEADER: usize = 64 << 10;
/// The maximal length of the optional fields of all headers together.
const MOST_FIELDS: usize = 1 << 20;

const EXTRA: u8 = 4;
const NAME: u8 = 8;
const COMMENT: u8 = 16;
const CHECKSUM: u8 = 2;
const RESERVED: u8 = 0xe0;

/// A decoder of all members of a stream. Bytes that are not a member are not consumed, so the caller can read them.
pub(crate) struct Gzip<'a> {
    window: &'a mut dyn Ahead,
    place: Place,
    members: u64,
    fields: Vec<u8>,
}

enum Place {
    Header,
    Body(Box<Body>),
    Trailer { sum: u32, amount: u32 },
}

struct Body {
    inflate: Decompress,
    crc: Crc,
    failed: bool,
}

impl<'a> Gzip<'a> {
    pub(crate) fn new(window: &'a mut dyn Ahead) -> Self {
        Self { window, place: Place::Header, members: 0, fields: Vec::new() }
    }

    /// Returns the extra fields, names and comments of the headers that were read, one header per line.
    pub(crate) fn into_fields(self) -> Vec<u8> {
        self.fields
    }

    /// Reads a header. Returns false at the stream's end.
    fn header(&mut self) -> io::Result<bool> {
        let head = self.window.peek(10)?;
        if self.members > 0 && !head.starts_with(&[0x1f, 0x8b]) {
            return Ok(false);
        }
        let [0x1f, 0x8b, 8, flags, _, _, _, _, _, _, ..] = *head else {
            let begins = head.is_empty() || [0x1f, 0x8b, 8].starts_with(&head[..head.len().min(3)]);
            return Err(if begins && head.len() < 10 { early() } else { damaged() });
        };
        let length = if flags == 0 {
            10
        } else {
            let head = self.window.peek(LONGEST_HEADER)?;
            let (length, fields) = header_length(head, flags)?;
            if self.fields.len() + fields.len() < MOST_FIELDS {
                self.fields.extend_from_slice(fields);
                self.fields.push(b'\n');
            }
            length
        };
        self.window.consume(length);
        self.members += 1;
        Ok(true)
    }
}

/// Returns the length of a header, and its optional fields.
fn header_length(head: &[u8], flags: u8) -> io::Result<(usize, &[u8])> {
    if flags & RESERVED != 0 {
        return Err(damaged());
    }
    let missing = || if head.len() < LONGEST_HEADER { early() } else { damaged() };
    let mut at = 10;
    if flags & EXTRA != 0 {
        let size = head.get(at..at + 2).ok_or_else(missing)?;
        at += 2 + usize::from(u16::from_le_bytes([size[0], size[1]]));
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            let rest = head.get(at..).ok_or_else(missing)?;
            at += 1 + rest.iter().position(|byte| *byte == 0).ok_or_else(missing)?;
        }
    }
    let fields = head.get(10..at).ok_or_else(missing)?;
    let length = if flags & CHECKSUM != 0 { at + 2 } else { at };
    if head.len() < length { Err(missing()) } else { Ok((length, fields)) }
}

impl Read for Gzip<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        loop {
            match &mut self.place {
                Place::Header => {
                    if !self.header()? {
                        return Ok(0);
                    }
                    let body = Body { inflate: Decompress::new(false), crc: Crc::new(), failed: false };
                    self.place = Place::Body(Box::new(body));
                }
                Place::Body(body) => {
                    let input = self.window.fill_buf()?;
                    let (before_in, before_out) = (body.inflate.total_in(), body.inflate.total_out());
                    let flush = if input.is_empty() { FlushDecompress::Finish } else { FlushDecompress::None };
                    if body.failed {
                        return Err(damaged());
                    }
                    let status = body.inflate.decompress(input, out, flush);
                    // The bytes before the damage are returned first.
                    let failed = status.is_err();
                    body.failed = failed;
                    // Both numbers are at most the length of a buffer.
                    let consumed = usize::try_from(body.inflate.total_in() - before_in).unwrap_or(input.len());
                    let produced = usize::try_from(body.inflate.total_out() - before_out).unwrap_or(out.len());
                    let starved = input.is_empty();
                    self.window.consume(consumed);
                    body.crc.update(&out[..produced]);
                    let ended = matches!(status, Ok(Status::StreamEnd));
                    if ended {
                        self.place = Place::Trailer { sum: body.crc.sum(), amount: body.crc.amount() };
                    }
                    if produced > 0 {
                        return Ok(produced);
                    }
                    if failed || !ended && consumed == 0 {
                        return Err(if starved && !failed { early() } else { damaged() });
                    }
                }
                Place::Trailer { sum, amount } => {
                    let claimed = self.window.peek(8)?;
                    let Some(claimed) = claimed.first_chunk::<8>() else { return Err(early()) };
                    let expected = u64::from(*sum) | u64::from(*amount) << 32;
                    if u64::from_le_bytes(*claimed) != expected {
                        return Err(damaged());
                    }
                    self.window.consume(8);
                    self.place = Place::Header;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, GzBuilder};

    use super::*;
    use crate::window::Window;

    fn member(bytes: &[u8], builder: GzBuilder) -> Vec<u8> {
        let mut encoder = builder.write(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Decodes a stream. Returns the content, the error, the fields of the headers, and the bytes that were left.
    fn decoded(packed: &[u8]) -> (Vec<u8>, Option<io::ErrorKind>, Vec<u8>, Vec<u8>) {
        let mut window = Window::new(packed);
        let mut gzip = Gzip::new(&mut window);
        let mut out = Vec::new();
        let error = gzip.read_to_end(&mut out).err().map(|error| error.kind());
        let fields = gzip.into_fields();
        let mut left = Vec::new();
        window.read_to_end(&mut left).unwrap();
        (out, error, fields, left)
    }

    /// A3, A5 (`docs/cases.md`): a stream may have several members, and a member may be empty.
    #[test]
    fn all_members_are_decoded_empty_ones_too() {
        let packed =
            [member(b"one ", GzBuilder::new()), member(b"", GzBuilder::new()), member(b"two", GzBuilder::new())];
        assert_eq!(decoded(&packed.concat()), (b"one two".to_vec(), None, Vec::new(), Vec::new()));
        assert_eq!(decoded(b"").1, Some(io::ErrorKind::UnexpectedEof));
    }

    #[test]
    fn the_fields_of_headers_are_kept() {
        let named = GzBuilder::new().filename("the name").comment("the comment").extra(b"extra".to_vec());
        let (out, error, fields, _) = decoded(&member(b"content", named));
        assert_eq!((out.as_slice(), error), (&b"content"[..], None));
        for field in ["the name", "the comment", "extra"] {
            assert!(fields.windows(field.len()).any(|window| window == field.as_bytes()), "{field}");
        }
    }

    /// A6 (`docs/cases.md`): a header has a maximal length.
    #[test]
    fn an_endless_name_is_no_header_and_is_left_to_be_read() {
        let packed = [&[0x1f, 0x8b, 8, NAME, 0, 0, 0, 0, 0, 0][..], &vec![b'n'; 1 << 20]].concat();
        let (out, error, _, left) = decoded(&packed);
        assert_eq!((out.len(), error, left.len()), (0, Some(io::ErrorKind::InvalidData), packed.len()));
    }

    /// A4 (`docs/cases.md`): the decoder leaves the bytes after the last member to its caller.
    #[test]
    fn what_follows_the_last_member_is_left_to_be_read() {
        for garbage in [&b"garbage"[..], b"\x1f\x8b\x09 not deflate", b"\0\0\0\0", b"\x1f\x8b\x08\xe0reserved flags"] {
            let (out, error, _, left) = decoded(&[member(b"one", GzBuilder::new()), garbage.to_vec()].concat());
            let is_told = garbage.starts_with(b"\x1f\x8b");
            assert_eq!((out.as_slice(), error.is_some(), left.as_slice()), (&b"one"[..], is_told, garbage));
        }
    }

    /// A1, A2 (`docs/cases.md`): a member that is cut or damaged is decoded up to that place.
    #[test]
    fn a_cut_or_damaged_member_gives_what_it_can() {
        let text: Vec<u8> = (0..20_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        let packed = member(&text, GzBuilder::new());
        for at in (1..packed.len()).step_by(997).chain([packed.len() - 1]) {
            let (out, error, _, _) = decoded(&packed[..at]);
            assert_eq!(error, Some(io::ErrorKind::UnexpectedEof), "cut at {at}");
            assert!(text.starts_with(&out) && (at < 2000 || out.len() > at / 2), "cut at {at}");
        }
        let mut wrong = packed.clone();
        let crc = packed.len() - 8;
        wrong[crc] ^= 1;
        let (out, error, _, _) = decoded(&wrong);
        assert_eq!((out == text, error), (true, Some(io::ErrorKind::InvalidData)));
    }
}
