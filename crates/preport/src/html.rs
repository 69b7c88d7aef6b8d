//! Writes the report as one HTML page, which needs no network, loads nothing, and contains no markup from the image.
//!
//! The page's content security policy enforces this: it allows only the page's own style and script, by their
//! digests. Without the script, the page still has all content; the script adds the filters. The template escapes
//! every text, except for the style and the script, which are ours.

mod key;
mod layers;

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use pscan::{Finding, Report, Verdict};
use pscreen::words::{counted, seconds, size};
use sha2::{Digest as _, Sha256};

use self::key::finding_key;
use crate::group::{Leak, Spot, leaks};
use crate::text::spoken;
use crate::{revocation, sentence};

const STYLE: &str = include_str!("html/page.css");
const SCRIPT: &str = include_str!("html/page.js");

/// The maximal number of rows. More would keep a browser busy for a long time; the JSON report lists more.
const MOST_ROWS: usize = 5_000;

/// The maximal number of secrets in the list of things to do, so that the rest of the page stays on the first screen.
const MOST_TODO: usize = 5;

/// The maximal number of image IDs. An index with many platforms has more; the JSON report lists all.
const MOST_IDS: usize = 4;

/// Writes the report as one self-contained HTML page: the verdict, what to do now, each secret with its places, and a
/// map of the layers by size.
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
                    (findings(report))
                    (layers::of(report))
                    (remarks(report))
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
    let word = word(report);
    html! {
        header.(report.verdict().machine_name()) {
            p.verdict { (word) }
            h1 { (subject) }
            p.lead { (lead(report)) }
            (todo(report))
            dl.facts {
                @for (fact, label) in facts(report) {
                    div { dt { (label) } dd { (fact) } }
                }
            }
        }
    }
}

fn lead(report: &Report) -> String {
    match report.verdict() {
        Verdict::Clean => "Everything was searched, and no secret was found.".to_owned(),
        Verdict::Leak => {
            let names: BTreeSet<&str> = report.findings().iter().map(|finding| finding.secret().as_str()).collect();
            format!(
                "{} in {}. Whoever can pull this image can read them.",
                counted(names.len(), "secret"),
                counted(report.findings().len(), "place")
            )
        }
        Verdict::Incomplete => {
            "No secret was found, but not everything could be searched. This proves nothing.".to_owned()
        }
    }
}

/// Makes the list of things to do about the result, which comes first on the page.
fn todo(report: &Report) -> Markup {
    let leaks = leaks(report);
    let more = leaks.len().saturating_sub(MOST_TODO);
    html! {
        @match report.verdict() {
            Verdict::Clean => {}
            Verdict::Incomplete => {
                section.todo {
                    h2 { "What to do now" }
                    ol { li { "Make readable what is listed below, or give its secret a value, and search again." } }
                }
            }
            Verdict::Leak => {
                section.todo {
                    h2 { "What to do now" }
                    ol {
                        @for leak in leaks.iter().take(MOST_TODO) {
                            li { "Change " b { (leak.names()) } ": " (prose(revocation(leak.first()))) "." }
                        }
                        @if more > 0 { li { "Change " (counted(more, "more secret")) ", listed below." } }
                        li { "Mend " a href="#findings" { "each place below" } ", and build again." }
                        li { "Delete this image wherever it was pushed." }
                    }
                }
            }
        }
    }
}

/// Returns the figures of the search, each with its label.
fn facts(report: &Report) -> Vec<(String, String)> {
    let stats = report.stats();
    let platforms: BTreeSet<&str> = report.platforms().iter().map(String::as_str).collect();
    let platforms = platforms.into_iter().collect::<Vec<_>>().join(", ");
    let mut facts = vec![
        (format!("{}, {}", counted(stats.layers, "layer"), size(stats.bytes)), "Searched"),
        (format!("{} in {}", counted(stats.secrets, "secret"), counted(stats.forms, "form")), "For"),
    ];
    if !platforms.is_empty() {
        facts.push((platforms, "Platform"));
    }
    let time = seconds(Duration::from_millis(stats.milliseconds));
    facts.push((report.way().map_or_else(|| time.clone(), |way| format!("from {way}, {time}")), "Read"));
    facts.extend(report.date().map(|date| (spoken(date), "Date")));
    facts.extend(report.image_ids().iter().take(MOST_IDS).map(|id| (id.clone(), "Image")));
    if let more @ 1.. = report.image_ids().len().saturating_sub(MOST_IDS) {
        facts.push((format!("and {more} more"), "Image"));
    }
    facts.into_iter().map(|(fact, label)| (fact, label.to_owned())).collect()
}

/// Makes the markup of one of our own sentences, with the text between backticks as code.
fn prose(sentence: &'static str) -> Markup {
    html! {
        @for (number, piece) in sentence.split('`').enumerate() {
            @if number % 2 == 1 { code { (piece) } } @else { (piece) }
        }
    }
}

/// Makes a section with these lines, or no section if there are none.
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
    let leaks = leaks(report);
    let places: usize = leaks.iter().map(|leak| leak.spots.len()).sum();
    let more = places.saturating_sub(MOST_ROWS) as u64 + report.not_listed();
    let mut left = MOST_ROWS;
    let shown: Vec<usize> = leaks
        .iter()
        .map(|leak| {
            let shown = leak.spots.len().min(left);
            left -= shown;
            shown
        })
        .collect();
    html! {
        @if !leaks.is_empty() {
            section id="findings" {
                h2 { "Findings" }
                (filters(report))
                @for (index, (leak, shown)) in leaks.iter().zip(&shown).enumerate().filter(|(_, (_, shown))| **shown > 0) {
                    (block_of_leak(index, leak, *shown))
                }
                @if more > 0 {
                    p.lead { "and " (more) " more; the JSON report lists up to 10000" }
                }
            }
        }
    }
}

/// Makes the block of one secret: what to do with its value, and the first places.
fn block_of_leak(index: usize, leak: &Leak<'_>, shown: usize) -> Markup {
    let names: BTreeSet<&str> = leak.findings().flat_map(secret_names).collect();
    let title = format!("secret-{index}");
    html! {
        article.card data-secret=(names.into_iter().collect::<Vec<_>>().join(" ")) aria-labelledby=(title) {
            h3 id=(title) { (leak.names()) }
            p.note { "Change this value. " (prose(revocation(leak.first()))) "." }
            ul.places {
                @for spot in leak.spots.iter().take(shown) { (row_of_spot(spot)) }
            }
        }
    }
}

fn row_of_spot(spot: &Spot<'_>) -> Markup {
    let key = finding_key(spot.first());
    html! {
        li data-layer=(key) {
            span.where { (spot.container()) }
            div {
                code.place { (spot.place()) }
                p.note { (spot.remarks().join(" · ")) }
                @if let Some(cause) = spot.cause() { p.cause { code { (cause) } } }
                p.mend { b { "Mend: " } (spot.advice()) }
            }
        }
    }
}

/// Makes the form that filters the findings. It does nothing without the script, so it is hidden until the script
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

fn secret_names(finding: &Finding) -> impl Iterator<Item = &str> {
    [finding.secret()].into_iter().chain(finding.same_value()).map(|name| name.as_str())
}

fn digest(text: &str) -> String {
    STANDARD.encode(Sha256::digest(text.as_bytes()))
}
