//! The report as GitHub's workflow commands, which show findings beside the lines of a pull request.
//!
//! Facts: actions/toolkit `core/src/command.ts`: in data `%`, CR and LF are escaped, in properties also `:` and `,`.

use std::fmt::Write as _;

use super::{Report, Verdict};

/// GitHub shows ten annotations of a step; more lines would only fill its log.
const MOST: usize = 50;

impl Report {
    /// One `::error …::` line for each finding, one for what was not searched, and a notice about what was not searched
    /// for.
    #[must_use]
    pub fn to_annotations(&self) -> String {
        let mut out = String::new();
        for finding in self.findings.iter().take(MOST) {
            let mut properties = format!("title={}", property(&format!("{} is in the image", finding.secret())));
            if let Some(line) = finding.line() {
                properties = format!("file={},line={},{properties}", property(&line.file), line.line);
            }
            let message = format!("{}. {}", finding.sentence(), finding.advice());
            // Writing to a string cannot fail.
            let _ = writeln!(out, "::error {properties}::{}", data(&message));
        }
        let more = self.findings.len().saturating_sub(MOST) as u64 + self.not_listed;
        if more > 0 {
            let _ = writeln!(out, "::error title=More leaks::and {more} more places; the report lists them");
        }
        for one in self.not_searched.iter().take(MOST) {
            let layer = one.layer.map(|layer| format!("layer {layer}: ")).unwrap_or_default();
            let level = if self.verdict() == Verdict::Incomplete { "error" } else { "warning" };
            let _ = writeln!(out, "::{level} title=Not searched::{}", data(&format!("{layer}{}", one.why)));
        }
        for one in &self.unprotected {
            let message = format!("{} is not searched for: {}", one.name(), one.why());
            let _ = writeln!(out, "::notice title=Unprotected::{}", data(&message));
        }
        for one in &self.stale {
            let message = format!("the baseline accepts what is not there any more: {one}");
            let _ = writeln!(out, "::notice title=Stale baseline::{}", data(&message));
        }
        out
    }
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
