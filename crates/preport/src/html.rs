//! The report as one HTML page: it needs no network, loads nothing, and takes no markup from the image.
//!
//! The page says so itself: its content security policy allows its own style and script, by their digests, and nothing
//! else. Everything is in the page without the script; the script adds the filters. The template escapes every text;
//! only the style and the script, which are ours, are written as they are.

mod key;
mod map;
mod treemap;

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use pscan::{Finding, LayerState, LayerSummary, Place, Report, Verdict};
use pscreen::words::{counted, noun, seconds, size};
use sha2::{Digest as _, Sha256};

use self::key::{finding_key, layer_name};
use crate::{advice, sentence};

const STYLE: &str = include_str!("html/page.css");
const SCRIPT: &str = include_str!("html/page.js");

/// More rows would keep a browser busy for long; the JSON report lists more.
const MOST_ROWS: usize = 5_000;

/// Writes the report as one self-contained HTML page with a map of the layers by size.
#[must_use]
pub fn html(report: &Report) -> String {
    let subject = report.subject().unwrap_or("image");
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        digest(STYLE),
        digest(SCRIPT)
    );
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="referrer" content="no-referrer";
                title { (word(report)) ": " (subject) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (header(report, subject))
                main {
                    (remark("Not searched or not verified", not_searched(report)))
                    (map::of(report))
                    (findings(report))
                    (remarks(report))
                    (layers(report))
                }
                footer {
                    "Written by pbuild " (env!("CARGO_PKG_VERSION"))
                    ". It holds names and places, no value and no bytes around one."
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

fn word(report: &Report) -> &'static str {
    match report.verdict() {
        Verdict::Clean => "Clean",
        Verdict::Leak => "Leak",
        Verdict::Incomplete => "Incomplete",
    }
}

fn header(report: &Report, subject: &str) -> Markup {
    let lead = match report.verdict() {
        Verdict::Clean => "Everything was searched, and no secret was found.".to_owned(),
        Verdict::Leak => {
            let names: BTreeSet<&str> = report.findings().iter().map(|finding| finding.secret().as_str()).collect();
            format!(
                "{} in {}. Whoever can pull this image can read them: change these values.",
                counted(names.len(), "secret"),
                counted(report.findings().len(), "place")
            )
        }
        Verdict::Incomplete => {
            "No secret was found, but not everything could be searched. This proves nothing.".to_owned()
        }
    };
    html! {
        header {
            p.verdict.(report.verdict().machine_name()) { (word(report)) }
            h1 { (subject) }
            p.lead { (lead) }
            ul.facts {
                @for (fact, label) in facts(report) {
                    li { b { (fact) } span { (label) } }
                }
            }
        }
    }
}

/// Lists each number with its label.
fn facts(report: &Report) -> [(String, String); 5] {
    let stats = report.stats();
    let platforms: BTreeSet<&str> = report.platforms().iter().map(String::as_str).collect();
    let platforms = platforms.into_iter().collect::<Vec<_>>().join(", ");
    [
        (stats.layers.to_string(), noun(stats.layers, "layer")),
        (size(stats.bytes), "searched".to_owned()),
        (stats.secrets.to_string(), format!("{}, in {}", noun(stats.secrets, "secret"), counted(stats.forms, "form"))),
        (
            seconds(Duration::from_millis(stats.milliseconds)),
            report.way().map_or_else(|| "time".to_owned(), |way| format!("read from {way}")),
        ),
        (if platforms.is_empty() { "–".to_owned() } else { platforms }, "platforms".to_owned()),
    ]
}

/// Makes a section with these lines, or nothing where there are none.
fn remark(title: &str, lines: Vec<String>) -> Markup {
    html! {
        @if !lines.is_empty() {
            section {
                h2 { (title) }
                div.card {
                    ul.plain {
                        @for line in lines.iter().take(MOST_ROWS) {
                            li { (line) }
                        }
                    }
                }
            }
        }
    }
}

fn not_searched(report: &Report) -> Vec<String> {
    let line = |one: &pscan::NotSearched| {
        let layer = one.layer().map(|layer| format!("layer {layer}: ")).unwrap_or_default();
        layer + one.why()
    };
    report.not_searched().iter().map(line).collect()
}

fn remarks(report: &Report) -> Markup {
    let unprotected = report.unprotected().iter();
    let absent = report.absent_platforms().iter();
    let accepted = report.accepted().iter();
    let stale = report.stale().iter();
    html! {
        (remark("Unprotected", unprotected.map(|one| format!("{} is not searched for: {}", one.name(), one.why())).collect()))
        (remark("Absent platforms", absent.map(|one| format!("{one}: listed in the index, nothing of it is here")).collect()))
        (remark("Accepted", accepted.map(|one| format!("{}: accepted by the baseline", sentence(one))).collect()))
        (remark("Stale baseline entries", stale.map(|one| format!("{one}: in the baseline, and not in the image any more")).collect()))
    }
}

fn findings(report: &Report) -> Markup {
    let more = report.findings().len().saturating_sub(MOST_ROWS) as u64 + report.not_listed();
    html! {
        @if !report.findings().is_empty() {
            section id="findings" {
                h2 { "Findings" }
                (filters(report))
                div.card.scroll {
                    table {
                        (columns(["Secret", "Place", "Form", "Written by"]))
                        tbody {
                            @for finding in report.findings().iter().take(MOST_ROWS) {
                                (row_of_finding(finding))
                            }
                        }
                    }
                }
                @if more > 0 {
                    p.lead { "and " (more) " more; the JSON report lists up to 10000" }
                }
            }
        }
    }
}

/// Makes the form that narrows the table down. Without the script it would do nothing, so it is hidden until the script
/// runs.
fn filters(report: &Report) -> Markup {
    let names: BTreeSet<&str> = report.findings().iter().flat_map(secret_names).collect();
    let mut keys: Vec<String> = report.findings().iter().map(finding_key).collect();
    keys.dedup();
    let mut seen = BTreeSet::new();
    let keys = keys.iter().filter(|key| seen.insert(key.as_str()));
    html! {
        form.filters hidden {
            label {
                "Search"
                input type="search" name="text" placeholder="path, secret, form …" autocomplete="off";
            }
            label {
                "Secret"
                select name="secret" {
                    option value="" { "all" }
                    @for name in names { option { (name) } }
                }
            }
            label {
                "Place"
                select name="layer" {
                    option value="" { "all" }
                    @for key in keys { option { (key) } }
                }
            }
            button type="reset" { "Show all" }
            output {}
        }
    }
}

fn columns(names: [&str; 4]) -> Markup {
    html! {
        thead {
            tr {
                @for name in names { th scope="col" { (name) } }
            }
        }
    }
}

fn row_of_finding(finding: &Finding) -> Markup {
    let key = finding_key(finding);
    let place = match finding.place() {
        Place::Document { pointer: Some(pointer), .. } => pointer.clone(),
        place => place.to_string(),
    };
    html! {
        tr data-secret=(secret_names(finding).collect::<Vec<_>>().join(" ")) data-layer=(key) {
            td.name {
                (finding.label())
                @for name in finding.same_value() { " = " (name.as_str()) }
            }
            td {
                code { (place) }
                span.note {
                    (key)
                    @if let Some(later) = finding.deleted_in() {
                        "; deleted in layer " (later) ", which leaves it readable"
                    }
                }
            }
            td {
                (finding.form().to_string())
                @if finding.is_weak() { ", weak" }
                @if finding.times() > 1 { ", " (finding.times()) " times" }
            }
            td {
                code {
                    @if let Some(line) = finding.line() { (line.file) ":" (line.line) "  " }
                    (finding.instruction().unwrap_or_default())
                }
                span.note { (advice(finding)) }
            }
        }
    }
}

fn secret_names(finding: &Finding) -> impl Iterator<Item = &str> {
    [finding.secret()].into_iter().chain(finding.same_value()).map(|name| name.as_str())
}

fn layers(report: &Report) -> Markup {
    html! {
        @if !report.layers().is_empty() {
            section {
                h2 { "Layers" }
                div.card.scroll {
                    table {
                        (columns(["Layer", "Size", "Result", "Made by"]))
                        tbody {
                            @for (index, layer) in report.layers().iter().enumerate().take(MOST_ROWS) {
                                tr id={ "layer-" (index) } { (cells_of_layer(report, layer)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn cells_of_layer(report: &Report, layer: &LayerSummary) -> Markup {
    let word = match layer.state() {
        LayerState::Searched => "nothing found",
        LayerState::Remembered => "searched before",
        LayerState::Leak => "leak",
        LayerState::NotSearched => "not searched whole",
    };
    html! {
        td { (layer_name(report, layer)) }
        td.number { (size(layer.bytes())) }
        td { span.tag.(layer.state().machine_name()) { (word) } }
        td {
            code { (layer.instruction().unwrap_or_default()) }
            span.note { (layer.diff_id().unwrap_or_default()) }
        }
    }
}

fn digest(text: &str) -> String {
    STANDARD.encode(Sha256::digest(text.as_bytes()))
}
