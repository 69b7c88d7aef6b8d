//! Writes the report as GitHub's workflow commands, which show findings beside the lines of a pull request.
//!
//! The syntax is that of `core/src/command.ts` in actions/toolkit: `%`, CR and LF are escaped in data, and in
//! properties `:` and `,` as well.

use std::fmt::Write as _;

use pscan::{Finding, Report, Verdict};
use pscreen::words::{counted, noun};

use crate::{advice, revocation, sentence};

/// The maximal number of annotations of one kind. GitHub shows ten per step; more lines would only fill its log.
const MOST: usize = 10;

/// Writes the report as annotation lines. Each pair of a secret and a line of the Dockerfile gets one `::error`. Each
/// thing that was not searched gets one line: an error if the result is incomplete, otherwise a warning. Secrets that
/// were not searched for, and stale entries of the baseline, get a `::notice` each. Each kind stops after ten lines,
/// and one more says how many are left.
#[must_use]
pub fn annotations(report: &Report) -> String {
    let mut out = String::new();
    let groups = groups(report.findings());
    for Group { first, more } in groups.iter().take(MOST) {
        let mut properties = format!("title={}", property(&format!("{} is in the image", first.label())));
        if let Some(line) = first.line() {
            properties = format!("file={},line={},{properties}", property(&line.file), line.line);
        }
        let others = match more {
            0 => String::new(),
            more => format!(", and in {} more", counted(*more, "place")),
        };
        let (mend, change) = (capitalised(&advice(first)), revocation(first));
        let message = format!("{}{others}. {mend}. Change the value: {change}.", sentence(first));
        // Writing to a string cannot fail.
        let _ = writeln!(out, "::error {properties}::{}", data(&message));
    }
    let hidden = groups.iter().skip(MOST).map(|group| group.more as u64 + 1).sum::<u64>() + report.not_listed();
    if hidden > 0 {
        let _ = writeln!(
            out,
            "::error title=More leaks::and {hidden} more {}; the report lists them",
            noun(hidden, "place")
        );
    }
    let level = if report.verdict() == Verdict::Incomplete { "error" } else { "warning" };
    list(
        &mut out,
        level,
        "Not searched",
        report.not_searched().iter().map(|one| {
            let layer = one.layer().map(|layer| format!("layer {layer}: ")).unwrap_or_default();
            format!("{layer}{}", one.why())
        }),
    );
    let unprotected = report.unprotected().iter();
    let unprotected = unprotected.map(|one| format!("{} is not searched for: {}", one.name(), one.why()));
    list(&mut out, "notice", "Unprotected", unprotected);
    let stale = report.stale().iter().map(|one| format!("the baseline accepts what is not there any more: {one}"));
    list(&mut out, "notice", "Stale baseline", stale);
    out
}

/// Writes one line for each of the first messages, and one that counts the rest.
fn list(out: &mut String, level: &str, title: &str, messages: impl ExactSizeIterator<Item = String>) {
    let left = messages.len().saturating_sub(MOST);
    for message in messages.take(MOST) {
        let _ = writeln!(out, "::{level} title={title}::{}", data(&message));
    }
    if left > 0 {
        let _ = writeln!(out, "::{level} title={title}::and {left} more; the report lists them");
    }
}

/// The findings of one secret that come from one line of the Dockerfile, or those whose line is unknown.
struct Group<'a> {
    first: &'a Finding,
    more: usize,
}

fn groups(findings: &[Finding]) -> Vec<Group<'_>> {
    let place = |finding: &Finding| finding.line().map(|line| (line.file.clone(), line.line));
    let mut groups: Vec<Group<'_>> = Vec::new();
    for finding in findings {
        let same =
            |group: &&mut Group<'_>| group.first.label() == finding.label() && place(group.first) == place(finding);
        match groups.iter_mut().find(same) {
            Some(group) => group.more += 1,
            None => groups.push(Group { first: finding, more: 0 }),
        }
    }
    groups
}

/// Begins a text with a capital letter, unless it begins with a name or a command.
pub(crate) fn capitalised(text: &str) -> String {
    let is_word = text.split(' ').next().is_some_and(|word| word.bytes().all(|byte| byte.is_ascii_lowercase()));
    let mut characters = text.chars();
    match characters.next().filter(|_| is_word) {
        Some(first) => first.to_ascii_uppercase().to_string() + characters.as_str(),
        None => text.to_owned(),
    }
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
