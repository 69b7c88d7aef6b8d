//! The log of a container. It is masked as a whole before it is cut: a cut through a value would leave a part of the
//! value that no redactor knows.

use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptionsBuilder;
use futures::StreamExt;
use pengine::Engine;
use psecret::{Redactor, RedactorStream};

/// How many lines of a log an error shows, if the user can read the whole log later.
pub(crate) const TAIL: usize = 12;
/// How many lines of a log an error shows for a first start, of which nothing is left that could be read later.
pub(crate) const LONG_TAIL: usize = 400;
/// How many bytes at the end of a long log are kept at least. Up to twice as many may be kept.
const MOST: usize = 4 << 20;

/// A masked log. A long log begins at the first whole line of its end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    bytes: Vec<u8>,
    is_cut: bool,
}

impl Log {
    /// Reads the log of a container, running or not. The log is empty if it cannot be read.
    pub(crate) async fn read(host: &Engine, container: &str, redactor: &Redactor) -> Self {
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).build();
        let mut pieces = host.docker().logs(container, Some(options));
        // A value may arrive in pieces, with pieces of the other stream between them. So each stream has its own
        // redactor.
        let (mut out, mut error) = (redactor.stream(), redactor.stream());
        let mut log = Self::default();
        while let Some(Ok(piece)) = pieces.next().await {
            match &piece {
                LogOutput::StdErr { message } => log.push(&mut error, message),
                LogOutput::StdOut { message } | LogOutput::StdIn { message } | LogOutput::Console { message } => {
                    log.push(&mut out, message);
                }
            }
        }
        log.append(&out.finish());
        log.append(&error.finish());
        log
    }

    fn push(&mut self, side: &mut RedactorStream, raw: &[u8]) {
        let masked = side.push(raw);
        self.append(&masked);
    }

    /// Adds masked bytes, and drops bytes from the front if the log is too long.
    fn append(&mut self, masked: &[u8]) {
        self.bytes.extend_from_slice(masked);
        if self.bytes.len() > 2 * MOST {
            self.bytes.drain(..self.bytes.len() - MOST);
            self.is_cut = true;
        }
    }

    /// Returns the whole log, as whole lines.
    #[must_use]
    pub(crate) fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes).into_owned();
        if !self.is_cut {
            return text;
        }
        let rest = text.split_once('\n').map_or("", |(_, rest)| rest);
        format!("(the beginning of this log is longer ago than what is kept of it)\n{rest}")
    }

    /// Returns the last lines of the log, at most `count`.
    #[must_use]
    pub(crate) fn tail(&self, count: usize) -> Vec<String> {
        let text = self.text();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(count)..].iter().map(|line| (*line).to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_many_lines_is_masked_before_the_end_is_cut_off() {
        let value: String = (0..40).map(|line| format!("part-{line:02}-of-the-key\n")).collect();
        let redactor = psecret::RedactorBuilder::new().mask("KEY", value.as_bytes()).build().unwrap();
        let (mut side, mut log) = (redactor.stream(), Log::default());
        for piece in format!("before\n{value}after\n").as_bytes().chunks(7) {
            log.push(&mut side, piece);
        }
        log.append(&side.finish());
        assert_eq!(log.text(), "before\n***KEY***after\n");
        assert_eq!(log.tail(TAIL), ["before", "***KEY***after"]);
    }

    #[test]
    fn a_log_is_kept_in_whole_lines_from_its_end() {
        let mut log = Log::default();
        // These pieces end within a line.
        let piece = "0123456\n".repeat(10_000) + "012";
        let rest = "3456\n".to_owned();
        for _ in 0..(3 * MOST / piece.len()) {
            log.append(piece.as_bytes());
            log.append(rest.as_bytes());
        }
        let text = log.text();
        assert!(text.starts_with("(the beginning of this log") && text.len() <= 2 * MOST + 100);
        assert!(text.lines().skip(1).all(|line| line.len() == 7), "no line is cut");
        assert_eq!(log.tail(TAIL).len(), TAIL);
    }
}
