//! Writes the report for programs, contract version 1: the data of [`pscan`], with advice on each finding.

use pscan::{Finding, Report};
use serde_json::Value;

use crate::advice;

/// Writes the report as JSON, contract version 1: `result` is `clean`, `leak` or `incomplete`. Layers count from 1.
///
/// The JSON is that of [`Report::to_json`], with the further field `advice` in each finding. [`Report::from_json`]
/// reads both.
#[must_use]
pub fn json(report: &Report) -> Value {
    let mut json = report.to_json();
    advise(&mut json["findings"], report.findings());
    advise(&mut json["accepted"], report.accepted());
    json
}

fn advise(lines: &mut Value, findings: &[Finding]) {
    for (line, finding) in lines.as_array_mut().into_iter().flatten().zip(findings) {
        line["advice"] = advice(finding).into();
    }
}
