//! The report for people.

use std::collections::BTreeSet;
use std::fmt;

use super::{LayerState, Report, Verdict};
use crate::finding::{Finding, Place};

/// The most lines of one kind: who has more of them reads the JSON.
const MOST_LINES: usize = 200;

/// The most lines of advice: they are alike.
const MOST_ADVICE: usize = 6;

/// Damaged archives are mostly those that somebody tests a reader with.
const MOST_DAMAGED: usize = 5;

/// The most characters of one cell; an instruction can be long.
const WIDEST: usize = 56;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.incomplete(f)?;
        self.heading(f)?;
        let rows: Vec<[String; 5]> = self.findings.iter().take(MOST_LINES).map(row).collect();
        write_table(f, &rows)?;
        self.advice(f)?;
        let not_shown = self.findings.len().saturating_sub(MOST_LINES) as u64 + self.not_listed;
        if not_shown > 0 {
            writeln!(f, "  and {not_shown} more; the JSON report lists up to 10000")?;
        }
        for one in &self.unprotected {
            writeln!(f, "unprotected  {} is not searched for: {}", one.label(), one.why())?;
        }
        for one in self.damaged.iter().take(MOST_DAMAGED) {
            let layer = one.layer.map(|layer| format!("layer {layer}, ")).unwrap_or_default();
            writeln!(f, "damaged      {layer}{}; searched as far as it can be unpacked", one.why)?;
        }
        if let more @ 1.. = self.damaged.len().saturating_sub(MOST_DAMAGED) {
            writeln!(f, "damaged      and {more} more archives; the JSON report lists them")?;
        }
        for platform in &self.absent {
            writeln!(f, "absent       {platform}: listed in the index, nothing of it is here")?;
        }
        for finding in self.accepted.iter().take(MOST_LINES) {
            writeln!(f, "accepted     {}", finding.sentence())?;
        }
        for one in self.stale.iter().take(MOST_LINES) {
            writeln!(f, "stale        {one}: in the baseline, and not in the image any more")?;
        }
        self.last_line(f)
    }
}

impl Report {
    /// What was not searched stands before anything else.
    fn incomplete(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.not_searched.is_empty() {
            return Ok(());
        }
        let end =
            if self.verdict() == Verdict::Leak { "there may be more leaks" } else { "this is not a clean result" };
        let count = counted(self.not_searched.len(), "thing");
        writeln!(f, "incomplete: {count} could not be searched or verified; {end}")?;
        for one in self.not_searched.iter().take(MOST_LINES) {
            match (one.layer, &one.member) {
                (Some(layer), _) => writeln!(f, "  layer {layer}: {}", one.why)?,
                (None, Some(member)) if !one.why.contains(member.as_str()) => writeln!(f, "  {member}: {}", one.why)?,
                (None, _) => writeln!(f, "  {}", one.why)?,
            }
        }
        if let more @ 1.. = self.not_searched.len().saturating_sub(MOST_LINES) {
            writeln!(f, "  and {more} more")?;
        }
        Ok(())
    }

    fn heading(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut facts = Vec::new();
        let platforms: BTreeSet<&str> = self.platforms.iter().map(String::as_str).collect();
        if !platforms.is_empty() {
            facts.push(platforms.into_iter().collect::<Vec<_>>().join(", "));
        }
        facts.push(counted(self.stats.layers, "layer"));
        facts.push(size(self.stats.bytes));
        facts.push(format!("{} in {}", counted(self.stats.secrets, "secret"), counted(self.stats.forms, "form")));
        let known = self.layers.iter().filter(|layer| layer.state() == LayerState::Remembered).count();
        if known > 0 {
            facts.push(format!("{} known from before", counted(known, "layer")));
        }
        if let Some(way) = &self.way {
            facts.push(format!("from {way}"));
        }
        match &self.subject {
            Some(subject) => writeln!(f, "{subject}  {}", facts.join(" · ")),
            None => writeln!(f, "{}", facts.join(" · ")),
        }
    }

    /// What to do, each thing once.
    fn advice(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told = BTreeSet::new();
        for finding in &self.findings {
            if told.len() == MOST_ADVICE {
                break;
            }
            let advice = finding.advice();
            if told.insert(advice.clone()) {
                writeln!(f, "  = help: {advice}")?;
            }
        }
        Ok(())
    }

    fn last_line(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let leaked: BTreeSet<&str> = self.findings.iter().map(|finding| finding.secret().as_str()).collect();
        let found = match self.verdict() {
            Verdict::Clean => "clean".to_owned(),
            Verdict::Incomplete => "no leak found".to_owned(),
            Verdict::Leak => {
                let places = counted(self.findings.len(), "place");
                format!("{} in {places}", counted(leaked.len(), "leaked secret"))
            }
        };
        let searched = match self.not_searched.len() {
            0 => "nothing left unsearched".to_owned(),
            count => format!("{} not searched or verified", counted(count, "thing")),
        };
        let tenths = self.stats.milliseconds / 100;
        writeln!(f, "{found} · {searched} · {}.{}s", tenths / 10, tenths % 10)
    }
}

/// Layer or document, who wrote it, place, secret, form with remarks.
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

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, offset } => write!(f, "{path}, byte {offset}"),
            Self::Header { path, .. } => write!(f, "name or attributes of {path}"),
            Self::Bytes { after: Some(path), offset } => write!(f, "behind {path}, byte {offset} of the layer"),
            Self::Bytes { after: None, offset } => write!(f, "byte {offset} of the layer"),
            Self::GzipHeader { .. } => f.write_str("header of the gzip stream"),
            Self::Packed { offset } => write!(f, "packed bytes, byte {offset}"),
            Self::Document { name, pointer: Some(pointer), .. } => write!(f, "{name}, {pointer}"),
            Self::Document { name, pointer: None, offset } => write!(f, "{name}, byte {offset}"),
        }
    }
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

pub(super) fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// Decimal units with one digit behind the point.
pub(super) fn size(bytes: u64) -> String {
    for (unit, name) in [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")] {
        if bytes >= unit {
            return format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit);
        }
    }
    format!("{bytes} bytes")
}
