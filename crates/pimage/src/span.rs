//! A part of a stream. Bytes that are read from the part are consumed in the stream, too.

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

use crate::window::Ahead;

/// A reader that ends where a part of a stream ends, or where the stream itself ends.
pub(crate) struct Span<'a> {
    source: &'a mut dyn Ahead,
    end: u64,
}

impl<'a> Span<'a> {
    /// Makes a span of all bytes that follow.
    pub(crate) fn rest(source: &'a mut dyn Ahead) -> Self {
        Self { source, end: u64::MAX }
    }

    /// Makes a span of the next `count` bytes of this span.
    pub(crate) fn part(&mut self, count: u64) -> Span<'_> {
        let end = self.source.position().saturating_add(count).min(self.end);
        Span { source: &mut *self.source, end }
    }

    /// Returns how many bytes may follow. If the stream ends earlier, fewer follow.
    pub(crate) fn left(&self) -> u64 {
        self.end - self.source.position().min(self.end)
    }

    /// Skips all bytes of the span.
    pub(crate) fn drain(&mut self) -> io::Result<()> {
        self.skip(u64::MAX).map(|_| ())
    }

    /// Returns the next bytes as an array without consuming them, or `None` if there are fewer.
    pub(crate) fn next<const N: usize>(&mut self) -> io::Result<Option<[u8; N]>> {
        Ok(self.peek(N)?.first_chunk::<N>().copied())
    }

    fn cut(&self, length: usize) -> usize {
        usize::try_from(self.left()).unwrap_or(usize::MAX).min(length)
    }
}

impl Ahead for Span<'_> {
    fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        let (count, most) = (self.cut(count), self.cut(usize::MAX));
        let there = self.source.peek(count)?;
        Ok(&there[..there.len().min(most)])
    }

    fn meter(&self) -> &Rc<Cell<u64>> {
        self.source.meter()
    }

    fn has_failed(&self) -> bool {
        self.source.has_failed()
    }
}

impl Read for Span<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let most = self.cut(out.len());
        if most == 0 { Ok(0) } else { self.source.read(&mut out[..most]) }
    }
}

impl BufRead for Span<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let most = self.cut(usize::MAX);
        if most == 0 {
            return Ok(&[]);
        }
        let there = self.source.fill_buf()?;
        Ok(&there[..there.len().min(most)])
    }

    fn consume(&mut self, count: usize) {
        let count = self.cut(count);
        self.source.consume(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::Window;

    #[test]
    fn a_part_ends_where_it_ends_and_the_rest_goes_on_behind_it() {
        let mut window = Window::new(&b"0123456789"[..]);
        let mut span = Span::rest(&mut window);
        assert_eq!(span.skip(2).unwrap(), 2);
        let mut part = span.part(4);
        assert_eq!((part.left(), part.peek(9).unwrap()), (4, &b"2345"[..]));
        let mut inner = part.part(100);
        assert_eq!((inner.skip(3).unwrap(), inner.peek(1).unwrap()), (3, &b"5"[..]));
        inner.drain().unwrap();
        assert_eq!(part.fill_buf().unwrap(), b"");
        assert_eq!((span.position(), span.next::<4>().unwrap(), span.next::<5>().unwrap()), (6, Some(*b"6789"), None));
    }
}
