//! A buffered reader that can look ahead.

use std::io::{self, BufRead, Read};

/// How much is read at once. Larger reads bring nothing measurable, smaller ones cost.
pub(crate) const CHUNK: usize = 256 << 10;

/// A buffered reader whose [`Window::peek`] shows the next bytes without consuming them.
pub(crate) struct Window<R> {
    inner: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl<R: Read> Window<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, buffer: vec![0; CHUNK].into_boxed_slice(), start: 0, end: 0 }
    }

    pub(crate) fn inner(&mut self) -> &mut R {
        &mut self.inner
    }

    pub(crate) fn into_inner(self) -> R {
        self.inner
    }

    /// The next bytes: at least `count` of them unless the stream ends before. `count` is at most [`CHUNK`].
    pub(crate) fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        while self.end - self.start < count {
            if self.buffer.len() - self.start < count {
                self.buffer.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
            }
            match retried(|| self.inner.read(&mut self.buffer[self.end..]))? {
                0 => break,
                read => self.end += read,
            }
        }
        Ok(&self.buffer[self.start..self.end])
    }

    /// Passes over up to `count` bytes and returns how many there were.
    pub(crate) fn skip(&mut self, count: u64) -> io::Result<u64> {
        let mut left = count;
        while left > 0 {
            let there = self.fill_buf()?.len() as u64;
            if there == 0 {
                break;
            }
            let step = there.min(left);
            // At most the buffer's length.
            self.consume(usize::try_from(step).unwrap_or(CHUNK));
            left -= step;
        }
        Ok(count - left)
    }
}

impl<R: Read> Read for Window<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        // Large reads go past the buffer: each byte less is copied once less.
        if self.start == self.end && out.len() >= CHUNK {
            return retried(|| self.inner.read(out));
        }
        let there = self.fill_buf()?;
        let count = there.len().min(out.len());
        out[..count].copy_from_slice(&there[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl<R: Read> BufRead for Window<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            self.end = retried(|| self.inner.read(&mut self.buffer))?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
    }
}

/// A read that a signal interrupted is tried again.
fn retried(mut read: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match read() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time, as a slow pipe may.
    struct Drip<'a>(&'a [u8]);

    impl Read for Drip<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let count = self.0.len().min(out.len()).min(1);
            out[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    #[test]
    fn peeking_waits_for_enough_and_consumes_nothing() {
        let mut window = Window::new(Drip(b"abcdef"));
        assert_eq!(window.peek(4).unwrap(), b"abcd");
        assert_eq!(window.skip(2).unwrap(), 2);
        assert_eq!(window.peek(9).unwrap(), b"cdef");
        assert_eq!(window.skip(9).unwrap(), 4);
        assert_eq!(window.peek(1).unwrap(), b"");
    }

    #[test]
    fn peeking_at_the_buffers_end_moves_what_is_left() {
        let bytes: Vec<u8> = (0..3 * CHUNK).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let mut window = Window::new(bytes.as_slice());
        window.peek(1).unwrap();
        window.skip(CHUNK as u64 - 3).unwrap();
        assert_eq!(window.peek(512).unwrap()[..512], bytes[CHUNK - 3..CHUNK + 509]);
    }
}
