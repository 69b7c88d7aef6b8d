//! The display on a terminal: finished steps scroll up, and running steps are redrawn below them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anstyle::Style;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::board::{Board, BoardEvent, State, Vertex};
use super::plain::{amount, is_cancellation, warning_diagnostic};
use crate::printer::{DIMMED, ERROR, Picture};
use crate::words::seconds;
use crate::{Printer, Terminal};

/// The number of lines of a running step's log that are shown.
const LOG_LINES: usize = 6;

/// The most columns of a line. Wider lines are not easier to read.
const WIDEST: usize = 100;

/// The time without events after which the screen says so (B5).
const STALL: Duration = Duration::from_secs(30);

/// The indentation of log lines, which aligns them below the name of their step.
const INDENT: &str = "      ";

#[derive(Debug)]
pub(super) struct Tty {
    terminal: Terminal,
    /// The positions of the steps whose final line was already shown.
    told: BTreeSet<usize>,
    /// The base images that may be done. BuildKit ends such a step when the image's name is resolved, and again when
    /// its layers are there. Their lines wait until a step begins on the image.
    held: BTreeSet<usize>,
    /// The widths of the lines that the next picture will replace.
    drawn: Vec<usize>,
    last_news: Option<Instant>,
}

/// A line of the redrawn part: a text that is cut to fit, a style, and a text at the right edge.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    left: String,
    right: String,
    style: Style,
}

impl Tty {
    pub(super) fn new(terminal: Terminal) -> Self {
        Self { terminal, told: BTreeSet::new(), held: BTreeSet::new(), drawn: Vec::new(), last_news: None }
    }

    pub(super) fn show(&mut self, board: &Board, changes: &[BoardEvent], printer: &Printer, now: Instant) {
        if !changes.is_empty() || self.last_news.is_none() {
            self.last_news = Some(now);
        }
        let (width, height) = self.size();
        let movement = self.erase(width);
        let mut out = String::new();
        for change in changes {
            match change {
                BoardEvent::Step { step, began, ended } => {
                    let lines = self.lines_that_stay(board, *step, *began, *ended, now);
                    lines.iter().for_each(|line| stay(&mut out, line, width));
                }
                BoardEvent::Warning(warning) => out.push_str(&warning_diagnostic(warning).render(printer.redactor())),
                BoardEvent::Fact { label, text } => out.push_str(&printer.fact_line(label, text)),
                BoardEvent::Chunk { .. } | BoardEvent::Text { .. } | BoardEvent::Transfer { .. } => {}
            }
        }
        for line in self.frame(board, now, height) {
            let (text, columns) = line.fit(width);
            out.push_str(&text);
            out.push('\n');
            self.drawn.push(columns);
        }
        // A picture is written in one call, because a terminal that shows half of it flickers.
        printer.print_picture(&Picture { movement, lines: out });
    }

    pub(super) fn finish(&mut self, board: &Board, printer: &Printer, now: Instant) {
        let (width, _) = self.size();
        let movement = self.erase(width);
        let mut lines = String::new();
        for step in std::mem::take(&mut self.held) {
            finished(&board.steps[step], now).iter().for_each(|line| stay(&mut lines, line, width));
        }
        printer.print_picture(&Picture { movement, lines });
    }

    /// Returns the lines that become final when a step begins or ends.
    fn lines_that_stay(&mut self, board: &Board, position: usize, began: bool, ended: bool, now: Instant) -> Vec<Line> {
        let step = &board.steps[position];
        let mut lines = Vec::new();
        if began {
            let bases: Vec<usize> =
                self.held.iter().copied().filter(|held| step.inputs.contains(&board.steps[*held].id)).collect();
            for base in bases {
                self.held.remove(&base);
                self.told.insert(base);
                lines.extend(finished(&board.steps[base], now));
            }
        }
        if !ended {
            return lines;
        }
        let failed = matches!(step.state, State::Failed(_));
        if is_base(step) && !failed && !self.told.contains(&position) {
            self.held.insert(position);
            return lines;
        }
        self.held.remove(&position);
        // A repeated end is not shown again, unless the step failed in the meantime.
        let again = !self.told.insert(position) && (is_base(step) || step.state == State::Cached) && !failed;
        lines.extend(finished(step, now).filter(|_| !again));
        lines
    }

    fn size(&self) -> (usize, usize) {
        let size = if self.terminal.redraws { Terminal::size_of_stderr() } else { None };
        let (width, height) = size.or(self.terminal.size).unwrap_or((80, 24));
        (width.clamp(1, WIDEST), height.max(1))
    }

    /// Returns the movement to the first line of the last picture, and the command that clears the screen from there.
    /// A window that became narrower has wrapped the lines, so they take more rows than before.
    fn erase(&mut self, width: usize) -> String {
        let rows: usize = self.drawn.drain(..).map(|columns| columns.div_ceil(width).max(1)).sum();
        if rows == 0 { String::new() } else { format!("\r\u{1b}[{rows}A\u{1b}[J") }
    }

    /// Draws the running steps with the last lines of their logs, at most one screen.
    fn frame(&self, board: &Board, now: Instant, height: usize) -> Vec<Line> {
        let mut running: Vec<&Vertex> = board.steps.iter().filter(|step| step.is_running()).collect();
        running.sort_by_key(|step| step.number);
        // The last row stays free for the cursor.
        let room = height.saturating_sub(1);
        let hidden = running.len().saturating_sub(room);
        running.truncate(room);
        let log_lines = (room - running.len()).checked_div(running.len()).unwrap_or(0).min(LOG_LINES);
        let mut lines = Vec::new();
        for step in &running {
            let elapsed = step.duration(now).map(seconds).unwrap_or_default();
            lines.push(Line { left: shown_name(step), right: elapsed, style: Style::new() });
            lines.extend(below(step, log_lines));
        }
        let silence =
            self.last_news.map(|last| now.saturating_duration_since(last)).filter(|silence| *silence >= STALL);
        if let (Some(silence), true) = (silence, lines.len() < room) {
            let left = format!("no news from the engine for {} s", silence.as_secs());
            lines.push(Line { left, right: String::new(), style: DIMMED });
        }
        if hidden > 0
            && let Some(last) = lines.last_mut()
        {
            last.right = format!("and {} more", hidden + 1);
        }
        lines
    }
}

/// Returns true if the step is a base image. BuildKit's Dockerfile frontend names such a step `[1/4] FROM debian`.
fn is_base(step: &Vertex) -> bool {
    let name = step.name.split_once("] ").map_or(step.name.as_str(), |(_, name)| name);
    name.starts_with("FROM ")
}

/// Appends a line that scrolls up with the other final lines.
fn stay(out: &mut String, line: &Line, width: usize) {
    out.push_str(&line.fit(width).0);
    out.push('\n');
}

/// Draws the state of a running step: its open transfers, and then the last lines of its log.
fn below(step: &Vertex, room: usize) -> Vec<Line> {
    let dimmed = |left: &str, right: &str| Line {
        left: format!("{INDENT}{left}"),
        right: right.trim_start().to_owned(),
        style: DIMMED,
    };
    let going = step.transfers.iter().filter(|transfer| transfer.completed.is_none());
    let mut lines: Vec<Line> =
        going.map(|transfer| dimmed(&short_name(&transfer.label), &amount(transfer.current, transfer.total))).collect();
    lines.truncate(room);
    lines.extend(step.last_lines(room - lines.len()).iter().map(|line| dimmed(line, "")));
    lines
}

/// Cuts the digest of a layer to twelve digits, as docker does.
fn short_name(label: &str) -> String {
    match label.strip_prefix("sha256:") {
        Some(digits) if digits.len() == 64 => format!("layer {}", &digits[..12]),
        _ => label.trim_end_matches(':').to_owned(),
    }
}

/// Returns the final line of a step. Internal steps of BuildKit have no final line if they succeeded, and neither has
/// the audit, because it has a summary of its own.
fn finished(step: &Vertex, now: Instant) -> Option<Line> {
    let left = shown_name(step);
    let internal = ["[internal]", "[auth]", "[audit]"].iter().any(|kind| step.name.starts_with(kind));
    match &step.state {
        State::Failed(error) if is_cancellation(error) => {
            Some(Line { left, right: "cancelled".to_owned(), style: DIMMED })
        }
        State::Failed(_) => Some(Line { left, right: "failed".to_owned(), style: ERROR }),
        State::Waiting | State::Running | State::Done | State::Cached if internal || step.name.is_empty() => None,
        State::Cached => Some(Line { left, right: "cached".to_owned(), style: DIMMED }),
        State::Waiting | State::Running | State::Done => {
            Some(Line { left, right: step.duration(now).map(seconds).unwrap_or_default(), style: Style::new() })
        }
    }
}

fn shown_name(step: &Vertex) -> String {
    if step.name.is_empty() { step.id.clone() } else { step.name.clone() }
}

impl Line {
    /// Styles the line, and returns it with its number of columns. The left text is cut to fit; the right text is
    /// shown only if it has room.
    fn fit(&self, width: usize) -> (String, usize) {
        let style = self.style;
        let right = self.right.width();
        if right == 0 || right + 8 > width {
            let left = cut(&self.left, width);
            return (format!("{style}{left}{style:#}"), left.width());
        }
        let left = cut(&self.left, width - right - 2);
        let gap = width - right - left.width();
        (format!("{style}{left}{:gap$}{}{style:#}", "", self.right), width)
    }
}

/// Cuts a text to the columns that there are. The last character of a cut text is `…`. Tabs count as blanks.
fn cut(text: &str, width: usize) -> String {
    let text = text.replace('\t', " ");
    if text.width() <= width {
        return text;
    }
    let mut out = String::new();
    let mut columns = 0;
    for character in text.chars() {
        columns += character.width().unwrap_or(0);
        if columns > width.saturating_sub(1) {
            break;
        }
        out.push(character);
    }
    if width > 0 {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_is_cut_and_its_end_stands_at_the_edge() {
        let line = Line { left: "[2/4] RUN make all".into(), right: "6.2s".into(), style: Style::new() };
        assert_eq!(line.fit(30).0, "[2/4] RUN make all        6.2s");
        assert_eq!(line.fit(20).0, "[2/4] RUN mak…  6.2s");
        assert_eq!(line.fit(11).0, "[2/4] RUN …");
        assert_eq!(line.fit(1).0, "…");
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_the_terminal_c15(left in "[a-z日本é\\t\u{301} ]{0,60}", right in "[a-z0-9.]{0,9}", width in 1..60_usize) {
            let (text, columns) = Line { left, right, style: DIMMED }.fit(width);
            let shown = anstream::adapter::strip_str(&text).to_string();
            prop_assert!(shown.width() <= width, "{shown:?}");
            prop_assert_eq!(shown.width(), columns);
        }
    }
}
