//! The report as text, for a terminal or a log.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use pscan::{Finding, LayerState, Place, Report, Verdict};
use pscreen::words::{counted, noun, seconds, size};

use crate::{advice, sentence};

/// The most lines of one kind. The JSON report lists more.
const MOST_LINES: usize = 200;

/// The most lines of advice, which are much alike.
const MOST_ADVICE: usize = 6;

/// The most damaged archives. Most of them are the test data of some reader.
const MOST_DAMAGED: usize = 5;

/// The most characters of one cell; an instruction can be long.
const WIDEST: usize = 56;

/// Writes the report for people, on a terminal or in a log.
#[must_use]
pub fn text(report: &Report) -> String {
    Text(report).to_string()
}

/// The report, as [`text`] shows it.
struct Text<'a>(&'a Report);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.incomplete(f)?;
        self.heading(f)?;
        let rows: Vec<[String; 5]> = self.0.findings().iter().take(MOST_LINES).map(row).collect();
        write_table(f, &rows)?;
        self.advice(f)?;
        let not_shown = self.0.findings().len().saturating_sub(MOST_LINES) as u64 + self.0.not_listed();
        if not_shown > 0 {
            writeln!(f, "  and {not_shown} more; the JSON report lists up to 10000")?;
        }
        for one in self.0.unprotected() {
            writeln!(f, "unprotected  {} is not searched for: {}", one.label(), one.why())?;
        }
        for one in self.0.damaged().iter().take(MOST_DAMAGED) {
            let layer = one.layer().map(|layer| format!("layer {layer}, ")).unwrap_or_default();
            writeln!(f, "damaged      {layer}{}; searched as far as it can be unpacked", one.why())?;
        }
        if let more @ 1.. = self.0.damaged().len().saturating_sub(MOST_DAMAGED) {
            writeln!(f, "damaged      and {more} more {}; the JSON report lists them", noun(more, "archive"))?;
        }
        for platform in self.0.absent_platforms() {
            writeln!(f, "absent       {platform}: listed in the index, nothing of it is here")?;
        }
        for finding in self.0.accepted().iter().take(MOST_LINES) {
            writeln!(f, "accepted     {}", sentence(finding))?;
        }
        for one in self.0.stale().iter().take(MOST_LINES) {
            writeln!(f, "stale        {one}: in the baseline, and not in the image any more")?;
        }
        self.last_line(f)
    }
}

impl Text<'_> {
    /// Writes the things that were not searched, which stand before anything else.
    fn incomplete(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.not_searched().is_empty() {
            return Ok(());
        }
        let end =
            if self.0.verdict() == Verdict::Leak { "there may be more leaks" } else { "this is not a clean result" };
        let count = counted(self.0.not_searched().len(), "thing");
        writeln!(f, "incomplete: {count} could not be searched or verified; {end}")?;
        for one in self.0.not_searched().iter().take(MOST_LINES) {
            match (one.layer(), one.member()) {
                (Some(layer), _) => writeln!(f, "  layer {layer}: {}", one.why())?,
                (None, Some(member)) if !one.why().contains(member) => writeln!(f, "  {member}: {}", one.why())?,
                (None, _) => writeln!(f, "  {}", one.why())?,
            }
        }
        if let more @ 1.. = self.0.not_searched().len().saturating_sub(MOST_LINES) {
            writeln!(f, "  and {more} more")?;
        }
        Ok(())
    }

    fn heading(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut facts = Vec::new();
        let platforms: BTreeSet<&str> = self.0.platforms().iter().map(String::as_str).collect();
        if !platforms.is_empty() {
            facts.push(platforms.into_iter().collect::<Vec<_>>().join(", "));
        }
        facts.push(counted(self.0.stats().layers, "layer"));
        facts.push(format!("{} searched", size(self.0.stats().bytes)));
        facts.push(format!(
            "{} in {}",
            counted(self.0.stats().secrets, "secret"),
            counted(self.0.stats().forms, "form")
        ));
        let known = self.0.layers().iter().filter(|layer| layer.state() == LayerState::Remembered).count();
        if known > 0 {
            facts.push(format!("{} known from before", counted(known, "layer")));
        }
        if let Some(way) = self.0.way() {
            facts.push(format!("from {way}"));
        }
        match self.0.subject() {
            Some(subject) => writeln!(f, "{subject}  {}", facts.join(" · ")),
            None => writeln!(f, "{}", facts.join(" · ")),
        }
    }

    /// Writes the advice on all findings, each sentence once.
    fn advice(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut given = BTreeSet::new();
        for finding in self.0.findings() {
            if given.len() == MOST_ADVICE {
                break;
            }
            let advice = advice(finding);
            if given.insert(advice.clone()) {
                writeln!(f, "  = help: {advice}")?;
            }
        }
        Ok(())
    }

    fn last_line(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let leaked: BTreeSet<&str> = self.0.findings().iter().map(|finding| finding.secret().as_str()).collect();
        let found = match self.0.verdict() {
            Verdict::Clean => "clean".to_owned(),
            Verdict::Incomplete => "no leak found".to_owned(),
            Verdict::Leak => {
                let places = counted(self.0.findings().len(), "place");
                format!("{} in {places}", counted(leaked.len(), "leaked secret"))
            }
        };
        let searched = match self.0.not_searched().len() {
            0 => "nothing left unsearched".to_owned(),
            count => format!("{} not searched or verified", counted(count, "thing")),
        };
        let time = Duration::from_millis(self.0.stats().milliseconds);
        writeln!(f, "{found} · {searched} · {}", seconds(time))
    }
}

/// Makes the cells of a finding: the layer or document, the instruction, the place, the secret, the form with remarks.
fn row(finding: &Finding) -> [String; 5] {
    let platform = finding.image().map(|platform| format!(" ({platform})")).unwrap_or_default();
    let instruction = finding.instruction().unwrap_or_default();
    let (container, place) = match (finding.place(), finding.layer()) {
        (Place::Document { name, pointer, offset }, _) => {
            (name.clone(), pointer.as_deref().map_or_else(|| format!("byte {offset}"), str::to_owned))
        }
        (place, Some(layer)) => (format!("layer {layer}"), place.to_string()),
        (place, None) => ("archive".to_owned(), place.to_string()),
    };
    let names = finding.same_value().iter().map(|name| format!(" = {name}")).collect::<String>();
    let mut remarks = finding.form().to_string();
    if let Some(container) = finding.container() {
        remarks.push_str(&format!(", in {}", container.name()));
    }
    if finding.is_weak() {
        remarks.push_str(", weak");
    }
    if finding.times() > 1 {
        remarks.push_str(&format!(", {} times", finding.times()));
    }
    if let Some(later) = finding.deleted_in() {
        remarks.push_str(&format!(", deleted in layer {later}"));
    }
    let instruction = match finding.line() {
        Some(line) => format!("{}:{} {}", line.file, line.line, cut(instruction)),
        None => cut(instruction),
    };
    [container + &platform, instruction, place, format!("{}{names}", finding.label()), remarks]
}

fn write_table(f: &mut fmt::Formatter<'_>, rows: &[[String; 5]]) -> fmt::Result {
    let mut widths = [0; 5];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in rows {
        let mut line = String::from(" ");
        for (width, cell) in widths.iter().zip(row).filter(|(width, _)| **width > 0) {
            line.push_str(&format!(" {cell:width$} "));
        }
        writeln!(f, "{}", line.trim_end())?;
    }
    Ok(())
}

fn cut(text: &str) -> String {
    if text.chars().count() <= WIDEST {
        return text.to_owned();
    }
    text.chars().take(WIDEST - 1).chain(['…']).collect()
}
