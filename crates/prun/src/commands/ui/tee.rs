//! Printers that also write for the page, or only keep what they print.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use pscreen::{Colour, Printer};
use tokio::sync::mpsc::UnboundedSender;

use crate::page::News;

/// Makes a printer to the terminal that also sends each line to the page, without colours.
pub(crate) fn to_both(terminal: &Printer, page: UnboundedSender<News>) -> Printer {
    let colour = terminal.colour();
    Printer::new(Box::new(Tee { terminal: Box::new(io::stderr()), page, begun: Vec::new() }), colour)
}

/// Makes a printer that only keeps its text, and returns it with a way to read the text.
pub(crate) fn to_nobody() -> (Printer, Kept) {
    let kept = Kept::default();
    (Printer::new(Box::new(kept.clone()), Colour::Never), kept)
}

struct Tee {
    terminal: Box<dyn Write + Send>,
    page: UnboundedSender<News>,
    begun: Vec<u8>,
}

impl Write for Tee {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.terminal.write_all(bytes)?;
        self.begun.extend_from_slice(bytes);
        while let Some(end) = self.begun.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.begun.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line[..end]).into_owned();
            // A closed page does not read any more lines. Its errand is carried out all the same.
            let _ = self.page.send(News::Line(anstream::adapter::strip_str(&line).to_string()));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.terminal.flush()
    }
}

/// The text that a printer kept.
#[derive(Clone, Default)]
pub(crate) struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    /// Takes the lines that were printed so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect()
    }
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    #[test]
    fn the_page_gets_whole_lines_without_colours_and_the_terminal_gets_the_bytes() {
        let (page, mut told) = unbounded_channel();
        let (_, terminal) = to_nobody();
        let mut tee = Tee { terminal: Box::new(terminal.clone()), page, begun: Vec::new() };
        tee.write_all(b"\x1b[1mdb\x1b[0m        new credential\nhea").unwrap();
        tee.write_all("lthy ✓\n".as_bytes()).unwrap();
        drop(tee);
        let mut lines = Vec::new();
        while let Ok(News::Line(line)) = told.try_recv() {
            lines.push(line);
        }
        assert_eq!(lines, ["db        new credential", "healthy ✓"]);
        assert_eq!(terminal.lines(), ["\u{1b}[1mdb\u{1b}[0m        new credential", "healthy ✓"]);
    }

    #[test]
    fn a_page_that_is_gone_disturbs_nobody() {
        let (page, told) = unbounded_channel();
        drop(told);
        let (_, terminal) = to_nobody();
        let mut tee = Tee { terminal: Box::new(terminal.clone()), page, begun: Vec::new() };
        tee.write_all(b"a line\n").unwrap();
        assert_eq!(terminal.lines(), ["a line"]);
    }
}
