//! The content that may precede an archive: programs that unpack themselves, pictures that hide an archive, headers.

/// The beginnings of pictures, documents and scripts whose readers ignore the bytes after their end.
const CARRIERS: [&[u8]; 5] = [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"%PDF-", b"#!"];

/// Returns the length of the header, if the head is that of a known format with content after it.
pub(super) fn header_length(head: &[u8]) -> Option<u64> {
    match head {
        // These are a Java module, and the header of a browser's extension before a zip.
        [b'J', b'M', 1, 0, b'P', b'K', ..] => Some(4),
        [b'C', b'r', b'2', b'4', 3, 0, 0, 0, length @ ..] => {
            Some(12 + u64::from(u32::from_le_bytes(*length.first_chunk()?)))
        }
        _ => git_header(head),
    }
}

/// Returns the length of the header of a loose git object: its type and its length.
fn git_header(head: &[u8]) -> Option<u64> {
    let kinds: [&[u8]; 4] = [b"blob ", b"tree ", b"commit ", b"tag "];
    let kind = kinds.iter().find(|kind| head.starts_with(kind))?.len();
    let digits = head[kind..].iter().take(20).take_while(|byte| byte.is_ascii_digit()).count();
    (digits > 0 && head.get(kind + digits) == Some(&0)).then_some((kind + digits + 1) as u64)
}

/// Returns the offset from which on content that is not an archive may contain one.
pub(super) fn stub_length(head: &[u8]) -> Option<u64> {
    match head {
        [0x7f, b'E', b'L', b'F', ..] => elf_end(head),
        [b'M', b'Z', _, _, ..] => Some(2),
        [0xed, 0xab, 0xee, 0xdb, 3 | 4, ..] => Some(96),
        _ => CARRIERS.iter().any(|magic| head.starts_with(magic)).then_some(2),
    }
}

/// Returns the offset where the segments and the section table of a program end.
fn elf_end(head: &[u8]) -> Option<u64> {
    let (wide, big) = (*head.get(4)? == 2, *head.get(5)? == 2);
    let number = |at: usize, length: usize| -> Option<u64> {
        let bytes = head.get(at..at + length)?;
        let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        Some(if big { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) })
    };
    let (sections, size, count) = if wide {
        (number(40, 8)?, number(58, 2)?, number(60, 2)?)
    } else {
        (number(32, 4)?, number(46, 2)?, number(48, 2)?)
    };
    let mut end = sections.checked_add(size * count)?;
    let (segments, size, count) = if wide {
        (number(32, 8)?, number(54, 2)?, number(56, 2)?)
    } else {
        (number(28, 4)?, number(42, 2)?, number(44, 2)?)
    };
    for nth in 0..count {
        let Some(at) = segments.checked_add(nth * size).and_then(|at| usize::try_from(at).ok()) else { break };
        let (from, length) = if wide {
            (number(at.saturating_add(8), 8), number(at.saturating_add(32), 8))
        } else {
            (number(at.saturating_add(4), 4), number(at.saturating_add(16), 4))
        };
        let (Some(from), Some(length)) = (from, length) else { break };
        end = end.max(from.saturating_add(length));
    }
    Some(end.max(64))
}
