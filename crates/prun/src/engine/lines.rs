//! The output of a container on its way to a printer: redacted, and with a prefix if several containers are shown.

use bollard::container::LogOutput;
use pscreen::Printer;
use psecret::{Redactor, RedactorStream};

use crate::edge::Edge;

/// The two output streams of one container, each with a redactor and a printer.
pub(crate) struct Lines {
    out: Side,
    error: Side,
}

struct Side {
    redactor: RedactorStream,
    line: Vec<u8>,
    prefix: String,
    printer: Printer,
}

impl Lines {
    /// Makes the streams of a container, both of which are redacted and get `prefix` before each line.
    pub(crate) fn new(redactor: &Redactor, prefix: String, edge: &Edge) -> Self {
        let side = |printer: &Printer| Side {
            redactor: redactor.stream(),
            line: Vec::new(),
            prefix: prefix.clone(),
            printer: printer.clone(),
        };
        Self { out: side(&edge.stdout), error: side(&edge.stderr) }
    }

    /// Redacts both streams like the edge's own output, without a prefix.
    pub(crate) fn plain(edge: &Edge) -> Self {
        Self::new(edge.stdout.redactor(), String::new(), edge)
    }

    /// Shows a piece of output. A tail in which a secret may begin is held back until the next piece arrives.
    pub(crate) fn push(&mut self, piece: &LogOutput) {
        match piece {
            LogOutput::StdErr { message } => self.error.push(message),
            LogOutput::StdOut { message } | LogOutput::StdIn { message } | LogOutput::Console { message } => {
                self.out.push(message);
            }
        }
    }

    /// Returns whether the reader of standard output has gone.
    pub(crate) fn is_unread(&self) -> bool {
        self.out.printer.is_closed()
    }

    /// Shows the tails that were held back.
    pub(crate) fn finish(&mut self) {
        self.out.finish();
        self.error.finish();
    }
}

impl Side {
    fn push(&mut self, bytes: &[u8]) {
        let clean = self.redactor.push(bytes);
        self.show(&clean);
    }

    fn finish(&mut self) {
        let rest = self.redactor.finish();
        self.show(&rest);
        if !self.line.is_empty() {
            self.show(b"\n");
        }
    }

    /// Prints bytes as they arrive if there is no prefix, and only whole lines if there is one.
    fn show(&mut self, clean: &[u8]) {
        if self.prefix.is_empty() {
            if !clean.is_empty() {
                self.printer.bytes(clean);
            }
            return;
        }
        for byte in clean {
            self.line.push(*byte);
            if *byte == b'\n' {
                let line = [self.prefix.as_bytes(), &self.line[..]].concat();
                self.printer.bytes(&line);
                self.line.clear();
            }
        }
    }
}
