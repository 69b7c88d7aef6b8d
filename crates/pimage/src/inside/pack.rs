//! Reads a pack of git objects from its front (gitformat-pack).
//!
//! An object is stored whole, or as a difference to an earlier object of the pack. Differences are applied as long as
//! their base is among the objects in memory. Of the others, only the stored bytes are shown, and the report says so.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read};
use std::rc::Rc;

use super::packed::End;
use super::{Header, Look};
use crate::container::Container;
use crate::problem::Fault;
use crate::span::Span;
use crate::unpack;
use crate::visit::EntryKind;
use crate::window::Ahead as _;

/// The size of the largest object that is kept, and of the largest result of a difference.
const LARGEST_OBJECT: usize = 4 << 20;
/// The maximal size of all kept objects together.
const MOST_KEPT: usize = 24 << 20;

/// The last objects of a pack, by the offset at which they begin.
#[derive(Default)]
struct Objects {
    objects: HashMap<u64, (Type, Rc<[u8]>)>,
    order: VecDeque<u64>,
    bytes: usize,
}

impl Objects {
    fn keep(&mut self, at: u64, kind: Type, object: Vec<u8>) {
        self.bytes += object.len();
        self.order.push_back(at);
        self.objects.insert(at, (kind, object.into()));
        while self.bytes > MOST_KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.bytes -= self.objects.remove(&oldest).map_or(0, |(_, object)| object.len());
        }
    }
}

/// The type of an object, or the way in which a difference refers to its base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Commit,
    Tree,
    Blob,
    Tag,
    /// A difference to the object that begins this many bytes before it.
    Before(u64),
    /// A difference to the object with a name.
    Named,
}

impl Type {
    fn name(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Tree => "tree",
            Self::Blob => "blob",
            Self::Tag => "tag",
            Self::Before(_) | Self::Named => "delta",
        }
    }
}

/// Reads the header of an object: its type, its unpacked length, and the header's length.
fn header(head: &[u8]) -> Option<(Type, u64, u64)> {
    let mut bytes = head.iter();
    let first = *bytes.next()?;
    let (mut size, mut shift, mut last) = (u64::from(first & 15), 4, first);
    while last & 0x80 != 0 {
        last = *bytes.next()?;
        size |= u64::from(last & 0x7f).checked_shl(shift)?;
        shift += 7;
    }
    let kind = match (first >> 4) & 7 {
        1 => Type::Commit,
        2 => Type::Tree,
        3 => Type::Blob,
        4 => Type::Tag,
        6 => {
            last = *bytes.next()?;
            let mut before = u64::from(last & 0x7f);
            while last & 0x80 != 0 {
                last = *bytes.next()?;
                before = before.checked_add(1)?.checked_mul(128)? | u64::from(last & 0x7f);
            }
            Type::Before(before)
        }
        7 => {
            bytes.nth(19)?;
            Type::Named
        }
        _ => return None,
    };
    Some((kind, size, (head.len() - bytes.len()) as u64))
}

/// Applies a difference. Returns `None` if it does not fit this base or its result is too large.
fn apply(base: &[u8], delta: &[u8]) -> Option<Vec<u8>> {
    let mut rest = delta;
    let number = |rest: &mut &[u8]| -> Option<usize> {
        let (mut number, mut shift) = (0_usize, 0);
        loop {
            let (byte, behind) = rest.split_first()?;
            *rest = behind;
            number |= usize::from(byte & 0x7f).checked_shl(shift)?;
            shift += 7;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
    };
    let (base_size, size) = (number(&mut rest)?, number(&mut rest)?);
    if base_size != base.len() || size > LARGEST_OBJECT {
        return None;
    }
    let mut result = Vec::with_capacity(size);
    while let Some((command, behind)) = rest.split_first() {
        rest = behind;
        let piece = if command & 0x80 == 0 {
            let (literal, behind) = rest.split_at_checked(usize::from(*command))?;
            rest = behind;
            literal
        } else {
            let mut numbers = [0_usize; 2];
            for bit in 0..7 {
                if command & (1 << bit) != 0 {
                    let (byte, behind) = rest.split_first()?;
                    rest = behind;
                    let (number, shift) = if bit < 4 { (0, bit) } else { (1, bit - 4) };
                    numbers[number] |= usize::from(*byte) << (8 * shift);
                }
            }
            let [offset, length] = numbers;
            base.get(offset..offset + if length == 0 { 0x10000 } else { length })?
        };
        if result.len() + piece.len() > size {
            return None;
        }
        result.extend_from_slice(piece);
    }
    (result.len() == size).then_some(result)
}

impl Look<'_> {
    /// Unpacks the objects of a pack.
    pub(super) fn git_pack(&mut self, span: &mut Span<'_>) -> io::Result<()> {
        let begin = span.position();
        let Some(head) = span.next::<12>()? else { return Ok(()) };
        let count = u32::from_be_bytes([head[8], head[9], head[10], head[11]]);
        let shared = self.shared;
        let reserved = shared.reserve((MOST_KEPT + 3 * LARGEST_OBJECT) as u64);
        let mut objects = Objects::default();
        let mut unresolved = 0;
        span.skip(12)?;
        for _ in 0..count {
            let at = span.position();
            let Some((kind, size, length)) = header(span.peek(64)?) else { break };
            span.skip(length)?;
            let small = reserved.is_some() && size <= LARGEST_OBJECT as u64;
            let base = match kind {
                Type::Before(before) if small => {
                    at.checked_sub(begin + before).and_then(|at| objects.objects.get(&at)).cloned()
                }
                _ => None,
            };
            let whole = match base {
                Some((kind, base)) => {
                    let mut delta = Vec::new();
                    let unpacked = unpack::zlib(span).take(size + 1).read_to_end(&mut delta);
                    if unpacked.is_err() {
                        self.tell_damaged(Fault::Damaged { format: "git pack", at: at - begin });
                        return Ok(());
                    }
                    Some((kind, apply(&base, &delta).unwrap_or(delta)))
                }
                None => None,
            };
            unresolved += u64::from(whole.is_none() && matches!(kind, Type::Before(_) | Type::Named));
            let shown = whole.as_ref().map_or(kind, |(kind, _)| *kind);
            let name = format!("{} at {}", shown.name(), at - begin);
            let header = Header {
                name: name.as_bytes(),
                kind: EntryKind::File,
                header_at: at,
                content_at: at + length,
                size: u64::MAX,
            };
            let mark = self.inside.len();
            if !self.enter(Container::GitPack, &header) {
                return Ok(());
            }
            let (meter, packed_at) = (span.meter().clone(), at);
            let unpacked = match &whole {
                Some((_, object)) => self.unpack(Container::GitPack, meter, Box::new(object.as_slice()), packed_at)?,
                None => {
                    let most = if small { LARGEST_OBJECT } else { 0 };
                    let (unpacked, kept) =
                        self.unpack_keeping(Container::GitPack, meter, Box::new(unpack::zlib(span)), packed_at, most)?;
                    if let (Some(object), Type::Commit | Type::Tree | Type::Blob | Type::Tag) = (kept, kind) {
                        objects.keep(at - begin, kind, object);
                    }
                    unpacked
                }
            };
            self.leave(mark);
            if let Some((kind, object)) = whole {
                objects.keep(at - begin, kind, object);
            }
            match unpacked.end {
                End::Whole => {}
                End::Limit(what) => {
                    self.tell(Fault::Limit { what });
                    return Ok(());
                }
                End::Early | End::Damaged => {
                    self.tell_damaged(Fault::Damaged { format: "git pack", at: at - begin });
                    return Ok(());
                }
            }
        }
        if unresolved > 0 {
            self.tell_damaged(Fault::Unresolved { objects: unresolved });
        }
        // The checksum of the pack has 20 bytes.
        span.skip(20)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_applied_or_refused() {
        let base = b"the quick brown fox";
        // The delta copies 4 bytes from 0, inserts 3, and copies 3 from 16.
        let delta = [19, 10, 0x91, 0, 4, 3, b'r', b'e', b'd', 0x91, 16, 3];
        assert_eq!(apply(base, &delta).unwrap(), b"the redfox");
        for (at, byte) in [(0, 18), (1, 9), (1, 11), (3, 17), (4, 40), (10, 17)] {
            let mut wrong = delta;
            wrong[at] = byte;
            assert!(apply(base, &wrong).is_none_or(|result| result != b"the redfox"), "{at}");
        }
        assert_eq!(apply(base, &[]), None);
    }

    #[test]
    fn headers_tell_kind_size_and_base() {
        assert_eq!(header(&[0x35]), Some((Type::Blob, 5, 1)));
        assert_eq!(header(&[0xb5, 0x02]), Some((Type::Blob, 37, 2)));
        assert_eq!(header(&[0x65, 0x80, 0x00]), Some((Type::Before(128), 5, 3)));
        assert_eq!(header(&[0x05]), None);
        assert_eq!(header(&[0xb5]), None);
    }
}
