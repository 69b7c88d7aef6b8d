//! Writes the report as text for a terminal or a log: the verdict first, then a block for each secret with its places
//! and the advice on them.

use std::collections::BTreeSet;
use std::time::Duration;

use anstyle::Style;
use pscan::{LayerState, Report, Verdict};
use pscreen::words::{counted, noun, seconds, size};
use unicode_width::UnicodeWidthStr as _;

use crate::group::{Leak, Spot, leaks};
use crate::paper::{BAD, GOOD, HELP, Paper, SOFT, STRONG, UNKNOWN};
use crate::{revocation, sentence};

/// The maximal number of places, and of remarks of one kind. The JSON report lists more.
const MOST_LINES: usize = 200;

/// The maximal number of damaged archives that are listed. Most of them are test data of other programs.
const MOST_DAMAGED: usize = 5;

/// The maximal width of an instruction in columns, which is enough to recognize it.
const WIDEST: usize = 100;

/// The number of characters of an ID that docker shows, plus its prefix.
const SHORT_ID: usize = "sha256:".len() + 12;

/// The minimal width of the first column, so that names and layers line up.
const FIRST: usize = 10;

/// Writes the report for people. On a terminal, no line is wider than the terminal and the verdict has a colour. On
/// [`Paper::PLAIN`], each fact has one line.
#[must_use]
pub fn text(report: &Report, paper: Paper) -> String {
    let mut text = Text { report, paper, out: String::new() };
    text.incomplete();
    text.heading();
    text.leaks();
    text.remarks();
    text.out
}

/// A report that is being written by [`text`].
struct Text<'a> {
    report: &'a Report,
    paper: Paper,
    out: String,
}

impl Text<'_> {
    /// Writes a line without the blanks at its end.
    fn line(&mut self, line: &str) {
        self.out.push_str(line.trim_end());
        self.out.push('\n');
    }

    /// Writes text after a first column, on as many lines as it needs, in a style.
    fn column(&mut self, first: &str, indentation: usize, style: Style, lines: &[String]) {
        let blanks = indentation.saturating_sub(first.width());
        for (number, line) in lines.iter().enumerate() {
            let before = if number == 0 { format!("{first}{}", " ".repeat(blanks)) } else { " ".repeat(indentation) };
            let line = before + &self.paper.paint(style, line);
            self.line(&line);
        }
    }

    /// Writes what was not searched; this comes before everything else.
    fn incomplete(&mut self) {
        let not_searched = self.report.not_searched();
        if not_searched.is_empty() {
            return;
        }
        let end = match self.report.verdict() {
            Verdict::Leak => "there may be more leaks",
            Verdict::Clean | Verdict::Incomplete => "this is not a clean result",
        };
        let count = counted(not_searched.len(), "thing");
        let said = format!("{count} could not be searched or verified; {end}");
        self.column("incomplete:", 12, UNKNOWN, &self.paper.broken(12, &said));
        for one in not_searched.iter().take(MOST_LINES) {
            let what = match (one.layer(), one.member()) {
                (Some(layer), _) => format!("layer {layer}: {}", one.why()),
                (None, Some(member)) if !one.why().contains(member) => format!("{member}: {}", one.why()),
                (None, _) => one.why().to_owned(),
            };
            self.column("", 2, Style::new(), &self.paper.broken(2, &what));
        }
        if let more @ 1.. = not_searched.len().saturating_sub(MOST_LINES) {
            self.line(&format!("  and {more} more"));
        }
        self.line("");
    }

    /// Writes the verdict, and what was searched.
    fn heading(&mut self) {
        let (word, style, found) = match self.report.verdict() {
            Verdict::Clean => ("CLEAN", GOOD, "nothing found, nothing left unsearched".to_owned()),
            Verdict::Incomplete => ("INCOMPLETE", UNKNOWN, "nothing found, and not everything searched".to_owned()),
            Verdict::Leak => ("LEAK", BAD, found(self.report)),
        };
        let indentation = word.len() + 2;
        let subject = self.report.subject().unwrap_or("image");
        let (head, width) = (self.paper.paint(style, word), word.width());
        let one = format!("{subject}  {found}");
        let lines = match self.paper.fits(indentation, one.width()) {
            true => vec![one],
            false => [self.paper.broken(indentation, subject), self.paper.broken(indentation, &found)].concat(),
        };
        for (number, line) in lines.iter().enumerate() {
            let before = if number == 0 { head.as_str() } else { "" };
            let blanks = indentation - if number == 0 { width } else { 0 };
            let line = format!("{before}{}{}", " ".repeat(blanks), self.paper.paint(STRONG, line));
            self.line(&line);
        }
        let facts = self.paper.joined(indentation, &facts(self.report));
        self.column("", indentation, Style::new(), &facts);
        self.identity(indentation);
    }

    /// Writes the image's ID, and when it was searched.
    fn identity(&mut self, indentation: usize) {
        let ids = self.report.image_ids();
        let shown = |id: &String| {
            let whole = format!("image {id}");
            match self.paper.fits(indentation, whole.width()) {
                true => whole,
                false => format!("image {}…", id.chars().take(SHORT_ID).collect::<String>()),
            }
        };
        let mut facts: Vec<String> = ids.iter().take(4).map(shown).collect();
        if let more @ 1.. = ids.len().saturating_sub(4) {
            facts.push(format!("and {more} more"));
        }
        facts.extend(self.report.date().map(|date| format!("searched {}", spoken(date))));
        let lines = self.paper.joined(indentation, &facts);
        self.column("", indentation, SOFT, &lines);
    }

    /// Writes a block for each secret that was found.
    fn leaks(&mut self) {
        let leaks = leaks(self.report);
        let mut left = MOST_LINES;
        for leak in &leaks {
            if left == 0 {
                break;
            }
            self.line("");
            self.leak(leak, &mut left);
        }
        let places: usize = leaks.iter().map(|leak| leak.spots.len()).sum();
        let more = places.saturating_sub(MOST_LINES) as u64 + self.report.not_listed();
        if more > 0 {
            self.line(&format!("  and {more} more; the JSON report lists up to 10000"));
        }
        if !leaks.is_empty() {
            self.line("");
        }
    }

    fn leak(&mut self, leak: &Leak<'_>, left: &mut usize) {
        let shown = leak.spots.iter().take(*left);
        let widest = shown.clone().map(|spot| spot.container().width() + 2).max().unwrap_or(0).max(FIRST);
        let indentation = widest + 2;
        let names = leak.names();
        let change = "change this value: whoever can pull the image has it";
        let beside = names.width() + 2 <= indentation;
        let name = self.paper.paint(BAD, &names);
        let blanks = " ".repeat(indentation.saturating_sub(names.width()));
        if beside && self.paper.fits(indentation, change.width()) {
            self.line(&format!("{name}{blanks}{change}"));
        } else {
            self.line(&name);
            self.column("", indentation, Style::new(), &self.paper.broken(indentation, change));
        }
        self.column("", indentation, Style::new(), &self.paper.broken(indentation, revocation(leak.first())));
        let spots: Vec<&Spot<'_>> = shown.collect();
        for (number, spot) in spots.iter().enumerate() {
            self.spot(spot, indentation);
            // If several places have the same advice, it follows the last of them.
            let advice = spot.advice();
            if spots.get(number + 1).is_none_or(|next| next.advice() != advice) {
                let lines = self.paper.broken(indentation + 6, &advice);
                let head = format!("{}{}", " ".repeat(indentation), self.paper.paint(HELP, "help:"));
                for (number, line) in lines.iter().enumerate() {
                    let before = if number == 0 { head.clone() + " " } else { " ".repeat(indentation + 6) };
                    self.line(&(before + line));
                }
            }
        }
        *left -= spots.len();
    }

    /// Writes a place, on one line if it fits, and below it the instruction that made the place.
    fn spot(&mut self, spot: &Spot<'_>, indentation: usize) {
        let container = format!("  {}", spot.container());
        let (place, remarks) = (spot.place(), spot.remarks());
        let one = format!("{place}   {}", remarks.join(" · "));
        let lines = match self.paper.fits(indentation, one.width()) {
            true => vec![one],
            false => [self.paper.broken(indentation, &place), self.paper.joined(indentation, &remarks)].concat(),
        };
        self.column(&container, indentation, Style::new(), &lines);
        if let Some(cause) = spot.cause() {
            let cause = self.paper.cut(indentation, WIDEST, &cause);
            self.column("", indentation, SOFT, &[cause]);
        }
    }

    /// Writes the remarks: what was not searched for, what is damaged, and what a baseline accepts.
    fn remarks(&mut self) {
        for one in self.report.unprotected() {
            self.remark("unprotected", &format!("{} is not searched for: {}", one.label(), one.why()));
        }
        let damaged = self.report.damaged();
        for one in damaged.iter().take(MOST_DAMAGED) {
            let layer = one.layer().map(|layer| format!("layer {layer}, ")).unwrap_or_default();
            self.remark("damaged", &format!("{layer}{}; searched as far as it can be unpacked", one.why()));
        }
        if let more @ 1.. = damaged.len().saturating_sub(MOST_DAMAGED) {
            self.remark("damaged", &format!("and {more} more {}; the JSON report lists them", noun(more, "archive")));
        }
        for platform in self.report.absent_platforms() {
            self.remark("absent", &format!("{platform}: listed in the index, nothing of it is here"));
        }
        for finding in self.report.accepted().iter().take(MOST_LINES) {
            self.remark("accepted", &sentence(finding));
        }
        for one in self.report.stale().iter().take(MOST_LINES) {
            self.remark("stale", &format!("{one}: in the baseline, and not in the image any more"));
        }
    }

    fn remark(&mut self, label: &str, text: &str) {
        const LABELS: usize = 13;
        self.column(label, LABELS, Style::new(), &self.paper.broken(LABELS, text));
    }
}

/// Returns how much was found: `2 secrets in 4 places`.
fn found(report: &Report) -> String {
    let secrets: BTreeSet<&str> = report.findings().iter().map(|finding| finding.secret().as_str()).collect();
    let places = report.findings().len() as u64 + report.not_listed();
    format!("{} in {}", counted(secrets.len(), "secret"), counted(places, "place"))
}

/// Returns how much was searched, how it was read, and how long the search took.
fn facts(report: &Report) -> Vec<String> {
    let stats = report.stats();
    let mut facts = Vec::new();
    let platforms: BTreeSet<&str> = report.platforms().iter().map(String::as_str).collect();
    if !platforms.is_empty() {
        facts.push(platforms.into_iter().collect::<Vec<_>>().join(", "));
    }
    facts.push(counted(stats.layers, "layer"));
    facts.push(format!("{} searched", size(stats.bytes)));
    facts.push(format!("{} in {}", counted(stats.secrets, "secret"), counted(stats.forms, "form")));
    let known = report.layers().iter().filter(|layer| layer.state() == LayerState::Remembered).count();
    if known > 0 {
        facts.push(format!("{} known from before", counted(known, "layer")));
    }
    facts.extend(report.way().map(|way| format!("from {way}")));
    facts.push(seconds(Duration::from_millis(stats.milliseconds)));
    facts
}

/// Writes a time for people: `2026-11-30 19:05 UTC`.
pub(crate) fn spoken(date: &str) -> String {
    match (date.get(..10), date.get(11..16), date.ends_with('Z')) {
        (Some(day), Some(minute), true) => format!("{day} {minute} UTC"),
        _ => date.to_owned(),
    }
}
