//! A buffered reader that can look ahead.

use std::cell::Cell;
use std::io::{self, BufRead, Read, Seek};
use std::rc::Rc;

/// The number of bytes that are read at a time. Larger reads are not measurably faster, smaller ones are slower.
pub(crate) const CHUNK: usize = 256 << 10;

/// A reader that shows the next bytes without consuming them, and knows its position.
pub(crate) trait Ahead: BufRead {
    /// Returns the next bytes: at least `count` of them, unless the stream ends before. `count` is at most [`CHUNK`].
    fn peek(&mut self, count: usize) -> io::Result<&[u8]>;

    /// Returns the counter of consumed bytes, which can be read while another reader uses this one.
    fn meter(&self) -> &Rc<Cell<u64>>;

    /// Returns the number of bytes that were consumed.
    fn position(&self) -> u64 {
        self.meter().get()
    }

    /// Whether the source itself has failed, after which no more bytes come.
    fn has_failed(&self) -> bool;

    /// Skips up to `count` bytes, and returns how many there were.
    fn skip(&mut self, count: u64) -> io::Result<u64> {
        let mut left = count;
        while left > 0 {
            let there = self.fill_buf()?.len() as u64;
            if there == 0 {
                break;
            }
            let step = there.min(left);
            // The step is at most the buffer's length.
            self.consume(usize::try_from(step).unwrap_or(CHUNK));
            left -= step;
        }
        Ok(count - left)
    }
}

/// A buffered reader over any source.
pub(crate) struct Window<R> {
    inner: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    consumed: Rc<Cell<u64>>,
    failed: Option<io::ErrorKind>,
}

impl<R: Read> Window<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self::with_buffer(inner, vec![0; CHUNK].into_boxed_slice())
    }

    /// Makes a window with a buffer of [`CHUNK`] bytes that was used before.
    pub(crate) fn with_buffer(inner: R, buffer: Box<[u8]>) -> Self {
        Self { inner, buffer, start: 0, end: 0, consumed: Rc::default(), failed: None }
    }

    pub(crate) fn into_inner(self) -> R {
        self.inner
    }

    /// Returns the source, and the buffer for the next window.
    pub(crate) fn into_parts(self) -> (R, Box<[u8]>) {
        (self.inner, self.buffer)
    }

    /// Fills the buffer. A source that has failed is not read again, because decoders may not support this.
    fn load(&mut self) -> io::Result<usize> {
        if let Some(kind) = self.failed {
            return Err(kind.into());
        }
        let read = retried(|| self.inner.read(&mut self.buffer[self.end..]));
        match &read {
            Ok(count) => self.end += count,
            Err(error) => self.failed = Some(error.kind()),
        }
        read
    }
}

impl<R: Read + Seek> Window<R> {
    /// Skips bytes without reading them.
    pub(crate) fn leap(&mut self, count: u64) -> io::Result<()> {
        let there = (self.end - self.start) as u64;
        let unread = count.saturating_sub(there);
        // The buffer does not hold more than `CHUNK` bytes.
        self.consume(usize::try_from(count.min(there)).unwrap_or(CHUNK));
        if unread > 0 {
            self.inner.seek_relative(i64::try_from(unread).map_err(io::Error::other)?)?;
            self.consumed.set(self.consumed.get() + unread);
        }
        Ok(())
    }
}

impl<R: Read> Ahead for Window<R> {
    fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        while self.end - self.start < count {
            if self.buffer.len() - self.start < count {
                self.buffer.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
            }
            if self.load()? == 0 {
                break;
            }
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn meter(&self) -> &Rc<Cell<u64>> {
        &self.consumed
    }

    fn has_failed(&self) -> bool {
        self.failed.is_some()
    }
}

impl<R: Read> Read for Window<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        // Large reads bypass the buffer, so that these bytes are not copied twice.
        if self.start == self.end && out.len() >= CHUNK && self.failed.is_none() {
            let read = retried(|| self.inner.read(out));
            match &read {
                Ok(count) => self.consumed.set(self.consumed.get() + *count as u64),
                Err(error) => self.failed = Some(error.kind()),
            }
            return read;
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
            self.load()?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, count: usize) {
        let count = count.min(self.end - self.start);
        self.start += count;
        self.consumed.set(self.consumed.get() + count as u64);
    }
}

/// Reads, and tries again if a signal interrupted the read.
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

    /// A reader of one byte at a time, like a slow pipe.
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
