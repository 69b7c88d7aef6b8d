//! The HTTP request of a health check, and its answer.

use alloc::vec::Vec;

/// The beginning of the line that names the status of an answer, before the number.
pub const STATUS: &str = "HTTP status ";
/// The line for a port on which no process listens.
pub const NOTHING_LISTENS: &str = "nothing listens on the port";

/// The longest head of an answer that is read.
const LONGEST_HEAD: usize = 16 * 1024;

/// Makes the request for a path. `headers` are whole lines without their ends.
#[must_use]
pub fn request<'a>(host: &[u8], path: &[u8], headers: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut request = [b"GET ", path, b" HTTP/1.1\r\nHost: ", host, b"\r\nConnection: close\r\n"].concat();
    let mut has_agent = false;
    for header in headers {
        has_agent |= header.get(..11).is_some_and(|name| name.eq_ignore_ascii_case(b"User-Agent:"));
        request.extend_from_slice(header);
        request.extend_from_slice(b"\r\n");
    }
    if !has_agent {
        request.extend_from_slice(b"User-Agent: prun\r\n");
    }
    request.extend_from_slice(b"\r\n");
    request
}

/// Reads the status of an answer. Returns `None` until its three digits have arrived, and for an answer that is not
/// HTTP/1.0 or 1.1.
#[must_use]
pub fn status(answer: &[u8]) -> Option<u16> {
    let rest = answer.strip_prefix(b"HTTP/1.")?;
    let [b'0' | b'1', b' ', digits @ ..] = rest else { return None };
    let digits: [u8; 3] = digits.get(..3)?.try_into().ok()?;
    digits
        .iter()
        .all(u8::is_ascii_digit)
        .then(|| digits.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0')))
}

/// Returns whether a status means healthy.
#[must_use]
pub fn is_healthy(status: u16) -> bool {
    (200..400).contains(&status)
}

/// An answer. It is read to its end, so that the app is not cut off while it writes. Only its head is kept.
pub struct Answer {
    head: Vec<u8>,
    part: Part,
    has_body: bool,
}

/// The part of an answer that is read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Head,
    /// A body of which this many bytes are missing.
    Counted(u64),
    /// A body that ends with the connection.
    Open,
    /// The line with a chunk's size: the size that was read so far, and whether its digits have ended.
    Size(u64, bool),
    /// A chunk of which this many bytes are missing. The number includes the chunk's line end.
    Chunk(u64),
    /// The lines after the last chunk. The flag tells whether the current line is empty so far.
    Trailer(bool),
    Nothing,
}

impl Default for Answer {
    fn default() -> Self {
        Self { head: Vec::new(), part: Part::Head, has_body: true }
    }
}

impl Answer {
    /// Makes the answer to a HEAD request, which ends with its head.
    #[must_use]
    pub fn without_body() -> Self {
        Self { has_body: false, ..Self::default() }
    }

    /// Returns whether the final answer to the same request is still to come (RFC 9110, 15.2).
    #[must_use]
    pub fn is_interim(&self) -> bool {
        matches!(self.status(), Some(status @ 100..=199) if status != 101)
    }

    /// Begins to read the answer that follows an interim one to the same request.
    pub fn restart(&mut self) {
        self.head.clear();
        self.part = Part::Head;
    }

    /// Reads the next bytes of the answer. Returns how many of them belong to it.
    pub fn push(&mut self, pushed: &[u8]) -> usize {
        let mut bytes = pushed;
        while let Some((byte, rest)) = bytes.split_first() {
            let taken = match self.part {
                Part::Nothing => return pushed.len() - bytes.len(),
                Part::Open => return pushed.len(),
                Part::Counted(left) | Part::Chunk(left) => usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len()),
                Part::Head | Part::Size(..) | Part::Trailer(_) => 1,
            };
            self.part = match self.part {
                Part::Nothing | Part::Open => self.part,
                Part::Head => self.head_byte(*byte),
                Part::Counted(left) => match left - taken as u64 {
                    0 => Part::Nothing,
                    left => Part::Counted(left),
                },
                Part::Chunk(left) => match left - taken as u64 {
                    0 => Part::Size(0, false),
                    left => Part::Chunk(left),
                },
                Part::Size(0, _) if *byte == b'\n' => Part::Trailer(true),
                Part::Size(size, _) if *byte == b'\n' => Part::Chunk(size.saturating_add(2)),
                Part::Size(size, ended) => match (*byte as char).to_digit(16).filter(|_| !ended) {
                    Some(digit) => Part::Size(size.saturating_mul(16).saturating_add(u64::from(digit)), false),
                    None => Part::Size(size, true),
                },
                Part::Trailer(true) if *byte == b'\n' => Part::Nothing,
                Part::Trailer(is_empty) => Part::Trailer(*byte == b'\n' || (is_empty && *byte == b'\r')),
            };
            bytes = if taken == 1 { rest } else { &bytes[taken..] };
        }
        pushed.len()
    }

    fn head_byte(&mut self, byte: u8) -> Part {
        self.head.push(byte);
        if self.head.ends_with(b"\r\n\r\n") || self.head.ends_with(b"\n\n") {
            return self.body();
        }
        if self.head.len() < LONGEST_HEAD { Part::Head } else { Part::Nothing }
    }

    /// Reads from the head how the body ends (RFC 9112, 6.3).
    fn body(&self) -> Part {
        if !self.has_body || matches!(self.status(), Some(100..=199 | 204 | 304)) {
            return Part::Nothing;
        }
        let value = |name: &[u8]| {
            self.head.split(|byte| *byte == b'\n').find_map(|line| {
                let (key, value) = line.split_at_checked(name.len())?;
                key.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
            })
        };
        if value(b"transfer-encoding:").is_some_and(|coding| coding.to_ascii_lowercase().ends_with(b"chunked")) {
            return Part::Size(0, false);
        }
        let length = value(b"content-length:").and_then(|text| core::str::from_utf8(text).ok()?.parse().ok());
        match length {
            Some(0) => Part::Nothing,
            Some(length) => Part::Counted(length),
            None => Part::Open,
        }
    }

    /// Returns the status, once it has arrived.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        status(&self.head)
    }

    /// Returns whether the whole answer has arrived. An answer without a length ends with its connection.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.part == Part::Nothing
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_request_names_host_path_and_headers() {
        let made = request(b"shop-1", b"/healthz?full=1", [&b"X-Forwarded-Proto: https"[..]]);
        assert!(made.starts_with(b"GET /healthz?full=1 HTTP/1.1\r\nHost: shop-1\r\n"));
        assert!(made.ends_with(b"\r\nX-Forwarded-Proto: https\r\nUser-Agent: prun\r\n\r\n"));
        let made = request(b"shop-1", b"/", [&b"user-agent: probe"[..]]);
        assert!(made.ends_with(b"\r\nuser-agent: probe\r\n\r\n"), "one agent is enough");
    }

    #[test]
    fn statuses_are_told_apart() {
        assert_eq!(status(b"HTTP/1.1 200 OK\r\n"), Some(200));
        assert_eq!(status(b"HTTP/1.0 503"), Some(503));
        for other in [&b""[..], b"HTTP/1.1 20", b"HTTP/2 200", b"SSH-2.0", b"HTTP/1.1 2x0"] {
            assert_eq!(status(other), None);
        }
        assert!(is_healthy(204) && is_healthy(302) && !is_healthy(404) && !is_healthy(500));
    }

    const WHOLE: [&[u8]; 5] = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5;a=b\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n1\r\na\r\n0\r\nTrailer: x\r\n\r\n",
    ];

    #[test]
    fn the_end_of_an_answer_is_seen_and_not_before_it_is_there() {
        for answer in WHOLE {
            for end in 0..=answer.len() {
                let mut read = Answer::default();
                read.push(&answer[..end]);
                assert_eq!(read.is_whole(), end == answer.len(), "{end} of {}", answer.escape_ascii());
            }
        }
        let mut open = Answer::default();
        open.push(b"HTTP/1.0 200 OK\r\n\r\nany text");
        assert!(!open.is_whole() && open.status() == Some(200));
    }

    #[test]
    fn an_interim_answer_ends_with_its_head_and_another_one_follows() {
        let both = b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        let mut read = Answer::default();
        let end = read.push(both);
        assert!(read.is_whole() && read.is_interim() && both[end..].starts_with(b"HTTP/1.1 200"));
        read.restart();
        assert_eq!(read.push(&both[end..]), both.len() - end);
        assert!(read.is_whole() && !read.is_interim() && read.status() == Some(200));
    }

    proptest! {
        #[test]
        fn however_an_answer_is_cut_it_is_the_same(which in 0_usize..5, cut in 0_usize..90) {
            let answer = WHOLE[which];
            let cut = cut.min(answer.len());
            let mut read = Answer::default();
            read.push(&answer[..cut]);
            read.push(&answer[cut..]);
            prop_assert!(read.is_whole());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), which in 0_usize..5) {
            let mut read = Answer::default();
            read.push(&WHOLE[which][..40.min(WHOLE[which].len())]);
            read.push(&bytes);
            let _ = (read.status(), read.is_whole());
        }
    }
}
