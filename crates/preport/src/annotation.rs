//! The report as GitHub's workflow commands, which show findings beside the lines of a pull request.
//!
//! The syntax is that of `core/src/command.ts` in actions/toolkit: `%`, CR and LF are escaped in data, and `:` and `,`
//! as well in properties.

use std::fmt::Write as _;

use pscan::{Report, Verdict};
use pscreen::words::noun;

use crate::{advice, sentence};

/// GitHub shows ten annotations of a step; more lines would only fill its log.
const MOST: usize = 50;

/// Writes one `::error …::` line for each finding, one for each thing that was not searched, and a notice for each
/// secret that was not searched for.
#[must_use]
pub fn annotations(report: &Report) -> String {
    let mut out = String::new();
    for finding in report.findings().iter().take(MOST) {
        let mut properties = format!("title={}", property(&format!("{} is in the image", finding.label())));
        if let Some(line) = finding.line() {
            properties = format!("file={},line={},{properties}", property(&line.file), line.line);
        }
        let message = format!("{}. {}", sentence(finding), advice(finding));
        // Writing to a string cannot fail.
        let _ = writeln!(out, "::error {properties}::{}", data(&message));
    }
    let more = report.findings().len().saturating_sub(MOST) as u64 + report.not_listed();
    if more > 0 {
        let _ =
            writeln!(out, "::error title=More leaks::and {more} more {}; the report lists them", noun(more, "place"));
    }
    for one in report.not_searched().iter().take(MOST) {
        let layer = one.layer().map(|layer| format!("layer {layer}: ")).unwrap_or_default();
        let level = if report.verdict() == Verdict::Incomplete { "error" } else { "warning" };
        let _ = writeln!(out, "::{level} title=Not searched::{}", data(&format!("{layer}{}", one.why())));
    }
    for one in report.unprotected() {
        let message = format!("{} is not searched for: {}", one.name(), one.why());
        let _ = writeln!(out, "::notice title=Unprotected::{}", data(&message));
    }
    for one in report.stale() {
        let message = format!("the baseline accepts what is not there any more: {one}");
        let _ = writeln!(out, "::notice title=Stale baseline::{}", data(&message));
    }
    out
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
