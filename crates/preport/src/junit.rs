//! The report as JUnit XML, for the test pages of CI systems.
//!
//! There is no standard, so this is the subset that Jenkins, GitLab and `junit-10.xsd` agree on. Each secret is a
//! test case, and one more test case says whether everything was searched.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use pscan::{Finding, Report};
use pscreen::words::counted;

use crate::{advice, revocation, sentence};

/// Writes the report as JUnit XML: a failed test for each leaked secret, an error if anything was not searched, and a
/// skipped test for each secret that was not searched for.
#[must_use]
pub fn junit(report: &Report) -> String {
    let mut leaked: BTreeMap<&str, Vec<&Finding>> = BTreeMap::new();
    for finding in report.findings() {
        for name in [finding.secret()].into_iter().chain(finding.same_value()) {
            leaked.entry(name.as_str()).or_default().push(finding);
        }
    }
    let failures = report.searched().iter().filter(|name| leaked.contains_key(name.as_str())).count();
    let mut cases = String::new();
    let mut tests = 1;
    for name in report.searched() {
        tests += 1;
        let findings = leaked.remove(name.as_str()).unwrap_or_default();
        case(&mut cases, &format!("{name} is not in the image"), &failure(name, &findings));
    }
    for one in report.unprotected() {
        tests += 1;
        let body = format!("<skipped message=\"not searched for: {}\"/>", escape(&one.why()));
        case(&mut cases, &format!("{} is not in the image", one.name()), &body);
    }
    case(&mut cases, "everything was searched", &unsearched_body(report));
    let errors = usize::from(!report.not_searched().is_empty());
    let subject = escape(report.subject().unwrap_or("image"));
    let skipped = report.unprotected().len();
    let counts = format!("tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\"");
    let seconds = format!("{}.{:03}", report.stats().milliseconds / 1000, report.stats().milliseconds % 1000);
    let mut properties = String::new();
    for id in report.image_ids() {
        let _ = writeln!(properties, "      <property name=\"image\" value=\"{}\"/>", escape(id));
    }
    if !properties.is_empty() {
        properties = format!("    <properties>\n{properties}    </properties>\n");
    }
    // The schema's timestamps have no time zone.
    let date = report.date().map(|date| format!(" timestamp=\"{}\"", escape(date.trim_end_matches('Z'))));
    let date = date.unwrap_or_default();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <testsuites name=\"pbuild audit\" {counts} time=\"{seconds}\">\n\
         \x20 <testsuite name=\"{subject}\" {counts} skipped=\"{skipped}\" time=\"{seconds}\"{date}>\n\
         {properties}{cases}\
         \x20 </testsuite>\n</testsuites>\n"
    )
}

fn unsearched_body(report: &Report) -> String {
    if report.not_searched().is_empty() {
        return String::new();
    }
    let mut lines = String::new();
    for one in report.not_searched() {
        let layer = one.layer().map(|layer| format!("layer {layer}: ")).unwrap_or_default();
        lines.push_str(&escape(&format!("{layer}{}\n", one.why())));
    }
    format!(
        "<error message=\"{} not searched or verified\" type=\"incomplete\">{lines}</error>",
        report.not_searched().len()
    )
}

fn case(out: &mut String, name: &str, body: &str) {
    let name = escape(name);
    // Writing to a string cannot fail.
    let _ = match body {
        "" => writeln!(out, "    <testcase classname=\"pbuild.audit\" name=\"{name}\"/>"),
        body => writeln!(out, "    <testcase classname=\"pbuild.audit\" name=\"{name}\">{body}</testcase>"),
    };
}

fn failure(name: &str, findings: &[&Finding]) -> String {
    if findings.is_empty() {
        return String::new();
    }
    let mut lines = String::new();
    for finding in findings {
        lines.push_str(&format!("{}\n  help: {}\n", sentence(finding), advice(finding)));
    }
    lines.push_str(&format!("change this value: {}\n", revocation(findings[0])));
    let message = format!("{name} is in the image, in {}", counted(findings.len(), "place"));
    format!("<failure message=\"{}\" type=\"leak\">{}</failure>", escape(&message), escape(&lines))
}

/// Escapes text for XML 1.0, in content and in attributes. A character that XML cannot represent becomes U+FFFD.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            // In an attribute, a parser would replace these characters by blanks.
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            '\r' => out.push_str("&#13;"),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
