//! Docker's plain format for pipes and CI: one line for each fact, in order.

use std::time::{Instant, SystemTime};

use super::board::{Board, BoardEvent, State, Vertex};
use super::event::{LogStream, WarningNews};
use crate::printer::{Colour, DIMMED, ERROR};
use crate::visible::{log_line, one_line};
use crate::words::seconds;
use crate::{Diagnostic, Printer};

/// Writes `#5 [2/4] RUN …`, `#5 0.123 text`, `#5 DONE 0.2s`, `#5 CACHED`, `#5 ERROR: …`.
///
/// Unlike docker's printer, it writes every line at once, even between the lines of another step; the number shows
/// the step of each line.
#[derive(Debug, Default)]
pub(super) struct Plain {
    /// Whether the heading of a step was written, by the step's position.
    headed: Vec<bool>,
    /// The output stream whose line was written without its end.
    open: Option<(usize, LogStream)>,
    /// True if any line was written.
    begun: bool,
}

impl Plain {
    pub(super) fn show(&mut self, board: &Board, changes: &[BoardEvent], printer: &Printer) {
        for change in changes {
            match change {
                BoardEvent::Step { step, began, ended } => {
                    if *began {
                        self.heading(board, *step, printer);
                    }
                    if *ended {
                        self.heading(board, *step, printer);
                        self.end(&board.steps[*step], printer);
                    }
                }
                BoardEvent::Text { step, stream, at, piece } => {
                    self.heading(board, *step, printer);
                    if !(piece.continues && self.open == Some((*step, *stream))) {
                        self.close_line(printer);
                        printer.print(&prefix(&board.steps[*step], *at));
                    }
                    printer.print_log(&piece.text);
                    self.open = Some((*step, *stream));
                    if piece.ends {
                        self.close_line(printer);
                    }
                }
                BoardEvent::Transfer { step, transfer } => {
                    let step_of = &board.steps[*step];
                    let transfer = &step_of.transfers[*transfer];
                    // Only the end of a transfer is written, with its size. A line for every state would be too much.
                    if transfer.completed.is_some() {
                        self.heading(board, *step, printer);
                        let size = amount(transfer.current, transfer.total);
                        self.line(step_of, &format!("{}{size} done", transfer.label), printer);
                    }
                }
                BoardEvent::Warning(warning) => {
                    self.close_line(printer);
                    printer.diagnostic(&warning_diagnostic(warning));
                }
                BoardEvent::Fact { label, text } => {
                    self.close_line(printer);
                    printer.fact(label, text);
                }
                BoardEvent::Chunk { .. } => {}
            }
        }
    }

    pub(super) fn finish(&mut self, printer: &Printer) {
        self.close_line(printer);
        if self.begun {
            printer.print("\n");
        }
    }

    fn heading(&mut self, board: &Board, position: usize, printer: &Printer) {
        if self.headed.len() <= position {
            self.headed.resize(position + 1, false);
        }
        let step = &board.steps[position];
        if !std::mem::replace(&mut self.headed[position], true) {
            self.close_line(printer);
            if self.begun {
                printer.print("\n");
            }
            self.begun = true;
            self.line(step, if step.name.is_empty() { &step.id } else { &step.name }, printer);
        }
    }

    fn end(&mut self, step: &Vertex, printer: &Printer) {
        let text = match &step.state {
            State::Cached => format!("{DIMMED}CACHED{DIMMED:#}"),
            State::Failed(error) if is_cancellation(error) => format!("{ERROR}CANCELED{ERROR:#}"),
            State::Failed(error) => format!("{ERROR}ERROR{ERROR:#}: {error}"),
            // The duration is only known if the step has a beginning and an end.
            State::Done | State::Waiting | State::Running => match step.duration(Instant::now()) {
                Some(duration) => format!("{DIMMED}DONE {}{DIMMED:#}", seconds(duration)),
                None => format!("{DIMMED}DONE{DIMMED:#}"),
            },
        };
        self.line(step, &text, printer);
    }

    fn line(&mut self, step: &Vertex, text: &str, printer: &Printer) {
        self.close_line(printer);
        printer.print(&format!("#{} {text}\n", step.number.unwrap_or_default()));
    }

    fn close_line(&mut self, printer: &Printer) {
        if self.open.take().is_some() {
            printer.print("\n");
        }
    }
}

/// Returns the beginning of a log line, such as `#5 0.123 `: the step's number, and the seconds since the step began.
fn prefix(step: &Vertex, at: Option<SystemTime>) -> String {
    let since = at.zip(step.started).map(|(at, started)| at.duration_since(started).unwrap_or_default());
    let since = since.map_or_else(String::new, |since| format!("{:.3} ", since.as_secs_f64()));
    format!("#{} {DIMMED}{since}{DIMMED:#}", step.number.unwrap_or_default())
}

/// Returns the size in docker's units, as ` 2.05kB` or ` 1.00MB / 2.00MB`. Returns an empty text if nothing was
/// counted.
pub(super) fn amount(current: u64, total: u64) -> String {
    match (current, total) {
        (0, 0) => String::new(),
        (_, 0) => format!(" {}", bytes(current)),
        _ => format!(" {} / {}", bytes(current), bytes(total)),
    }
}

fn bytes(count: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{count}B") } else { format!("{value:.2}{}", units[unit]) }
}

/// Returns true if the error means that the step was cancelled because another step failed. BuildKit reports such
/// steps as failed, too.
pub(super) fn is_cancellation(error: &str) -> bool {
    error.ends_with("context canceled")
}

pub(super) fn warning_diagnostic(warning: &WarningNews) -> Diagnostic {
    let mut diagnostic = Diagnostic::warning(one_line(&warning.short));
    if let Some(place) = &warning.place {
        diagnostic = diagnostic.note(format!("{}:{}", place.file, place.first));
    }
    for line in &warning.detail {
        diagnostic = diagnostic.note(line.clone());
    }
    if warning.url.is_empty() { diagnostic } else { diagnostic.help(warning.url.clone()) }
}

impl Printer {
    /// Writes a redacted line of a log. Bytes that are not UTF-8 stay, and colours are the only escape sequences that
    /// stay (L7).
    fn print_log(&self, text: &[u8]) {
        let mut out = Vec::with_capacity(text.len());
        let mut coloured = false;
        for chunk in text.utf8_chunks() {
            let line = log_line(chunk.valid());
            coloured |= line.contains('\u{1b}');
            match self.colour() {
                Colour::Ansi => out.extend_from_slice(line.as_bytes()),
                Colour::Never => out.extend_from_slice(anstream::adapter::strip_str(&line).to_string().as_bytes()),
            }
            out.extend_from_slice(chunk.invalid());
        }
        if coloured && self.colour() == Colour::Ansi {
            out.extend_from_slice(b"\x1b[0m");
        }
        self.print_bytes(&out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_dockers() {
        for (count, text) in
            [(0, "0B"), (999, "999B"), (2050, "2.05kB"), (999_999, "1.00MB"), (1_500_000_000, "1.50GB")]
        {
            assert_eq!(bytes(count), text);
        }
        assert_eq!(bytes(u64::MAX), "18446.74PB");
        assert_eq!((amount(0, 0), amount(1, 0), amount(0, 2)), (String::new(), " 1B".into(), " 0B / 2B".into()));
    }
}
