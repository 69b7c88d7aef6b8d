//! What a container writes, on its way to people: behind the redactor, and with a prefix where several write.

use bollard::container::LogOutput;
use pcli::Printer;
use psecret::{Redactor, RedactorStream};

use crate::edge::Edge;

/// The two streams of one container on their way to people.
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
    /// Lines behind this redactor, each with this prefix.
    pub(crate) fn new(redactor: &Redactor, prefix: String, edge: &Edge) -> Self {
        let side = |printer: &Printer| Side {
            redactor: redactor.stream(),
            line: Vec::new(),
            prefix: prefix.clone(),
            printer: printer.clone(),
        };
        Self { out: side(&edge.stdout), error: side(&edge.stderr) }
    }

    /// Whole bytes as they come, behind the redactor of an edge that knows the values.
    pub(crate) fn plain(edge: &Edge) -> Self {
        Self::new(edge.stdout.redactor(), String::new(), edge)
    }

    /// Shows a piece of output as far as no value can go on in the next one.
    pub(crate) fn push(&mut self, piece: &LogOutput) {
        match piece {
            LogOutput::StdErr { message } => self.error.push(message),
            LogOutput::StdOut { message } | LogOutput::StdIn { message } | LogOutput::Console { message } => {
                self.out.push(message);
            }
        }
    }

    /// Shows the rest.
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

    /// Without a prefix bytes go as they come; with one, whole lines.
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
