//! What a build says about its audit: which line of the Dockerfile made the leak, and how to mend it.

use pscan::{Finding, LayerState, Report};
use pscreen::{Diagnostic, Exit};

use crate::build::explain;
use crate::build::injection::Injection;
use crate::build::leftovers::Removed;
use crate::build::leftovers::order::Marks;
use crate::gate::Proof;

/// A clean search, as one fact.
#[must_use]
pub fn clean(report: &Report) -> String {
    let stats = report.stats();
    let known = report.layers().iter().filter(|layer| layer.state() == LayerState::Remembered).count();
    let known = if known > 0 { format!(", {known} known from before") } else { String::new() };
    format!(
        "{}{known} · {} · {} in {} · clean  {}.{}s",
        counted(stats.layers, "layer"),
        size(stats.bytes),
        counted(stats.secrets, "secret"),
        counted(stats.forms, "form"),
        stats.milliseconds / 1000,
        stats.milliseconds % 1000 / 100
    )
}

/// A clean search in the builder, as one fact.
#[must_use]
pub fn clean_in_builder(proof: &Proof) -> String {
    let stats = proof.stats();
    let platforms = if proof.platforms() > 1 { format!("{} platforms, ", proof.platforms()) } else { String::new() };
    let mut bases: Vec<String> = proof
        .bases()
        .map(|(base, known)| format!(", base {}{}", base_name(base), if known { " clean before" } else { "" }))
        .collect();
    bases.dedup();
    format!(
        "{platforms}{}{} · {} · {} in {} · clean  {}.{}s",
        counted(proof.steps(), "step"),
        bases.concat(),
        size(stats.bytes),
        counted(stats.secrets, "secret"),
        counted(stats.forms, "form"),
        stats.milliseconds / 1000,
        stats.milliseconds % 1000 / 100
    )
}

/// A base image as people call it: `debian:stable` and the beginning of its digest.
fn base_name(identifier: &str) -> String {
    let name = identifier.strip_prefix("docker-image://").unwrap_or(identifier);
    let name = name.strip_prefix("docker.io/").unwrap_or(name);
    let name = name.strip_prefix("library/").unwrap_or(name);
    match name.split_once("@sha256:") {
        Some((name, digest)) => format!("{name}@sha256:{}…", digest.get(..12).unwrap_or(digest)),
        None => name.to_owned(),
    }
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// Bytes with a unit, in powers of ten as docker counts.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{} kB", bytes.div_ceil(1000)),
        1_000_000..1_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{}.{} GB", bytes / 1_000_000_000, bytes % 1_000_000_000 / 100_000_000),
    }
}

/// A leaking build: every finding with its line and its mend. The platform is that of the image, where the build makes
/// several and the report is of one.
#[must_use]
pub fn leak(report: &Report, platform: Option<&str>, injection: &Injection) -> Diagnostic {
    let mut names: Vec<&str> = report.findings().iter().map(|finding| finding.secret().as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let secrets = if names.len() == 1 { "a secret".to_owned() } else { format!("{} secrets", names.len()) };
    let image = platform.map_or_else(|| "the image".to_owned(), |platform| format!("the image for {platform}"));
    let mut diagnostic = Diagnostic::error(format!("{image} would contain {secrets}; it was not tagged"), Exit::Leak);
    let layer = |finding: &Finding| Layer::of(finding, report, platform);
    for finding in report.findings() {
        diagnostic = diagnostic.note(format!(
            "{}  in {}, {}{}",
            finding.secret(),
            finding.place(),
            finding.form(),
            remarks(finding)
        ));
        if let Some(lines) = layer(finding).and_then(|layer| injection.layer_lines(platform, layer.from_last)) {
            diagnostic = diagnostic.excerpt(explain::excerpt(lines, "this step wrote it"));
        } else if layer(finding).is_some_and(|layer| injection.is_of_base(platform, layer.from_last)) {
            diagnostic = diagnostic.note("--> the base image holds it; no step of this build wrote it");
            diagnostic = diagnostic
                .help("build the base image anew without the value, or change the value: whoever has the base has it");
            continue;
        } else if let Some(instruction) = finding.instruction() {
            diagnostic = diagnostic.note(format!("--> {instruction}"));
        }
        diagnostic = diagnostic.help(finding.advice());
    }
    if report.not_listed() > 0 {
        diagnostic = diagnostic.note(format!("and {} more", report.not_listed()));
    }
    not_searched(diagnostic, report)
}

/// A build whose files, received from an exporter, hold a secret: they name no layer and so no line.
#[must_use]
pub fn leak_of_files(report: &Report) -> Diagnostic {
    let subject = report.subject().unwrap_or_default();
    let message = format!("--output {subject} would contain a secret; nothing was written");
    report.findings().iter().fold(Diagnostic::error(message, Exit::Leak), |diagnostic, finding| {
        let (secret, place, form) = (finding.secret(), finding.place(), finding.form());
        diagnostic.note(format!("{secret}  in {place}, {form}{}", remarks(finding)))
    })
}

/// A search that left something out.
#[must_use]
pub fn incomplete(report: &Report) -> Diagnostic {
    let diagnostic = Diagnostic::error("the image could not be searched whole, so it was not tagged", Exit::Incomplete);
    not_searched(diagnostic, report)
}

fn not_searched(diagnostic: Diagnostic, report: &Report) -> Diagnostic {
    report.not_searched().iter().fold(diagnostic, |diagnostic, what| {
        let layer = what.layer().map(|layer| format!("layer {layer}: ")).unwrap_or_default();
        diagnostic.note(format!("not searched: {layer}{}", what.why()))
    })
}

fn remarks(finding: &Finding) -> String {
    let mut remarks = String::new();
    if finding.times() > 1 {
        remarks.push_str(&format!(", {} times", finding.times()));
    }
    if let Some(later) = finding.deleted_in() {
        remarks.push_str(&format!(
            "; deleted in layer {later}, which leaves it in layer {}",
            finding.layer().unwrap_or(0)
        ));
    }
    remarks
}

/// The layer of a finding, counted from the image's end, where the chain of steps ends too.
struct Layer {
    from_last: usize,
}

impl Layer {
    fn of(finding: &Finding, report: &Report, platform: Option<&str>) -> Option<Self> {
        // In a report of several images the numbers of layers cannot be told apart.
        (platform.is_some() || report.platforms().len() <= 1).then_some(())?;
        report.stats().layers.checked_sub(finding.layer()?).map(|from_last| Self { from_last })
    }
}

/// By what the cache records can be told that hold a finding: those of the first step with one and of all after it, which
/// build upon it. Where a finding has no layer, all of the build's.
#[must_use]
pub fn holding(report: &Report, platform: Option<&str>, injection: &Injection) -> Marks {
    let layers = report.findings().iter().map(|finding| Layer::of(finding, report, platform));
    let layers: Option<Vec<usize>> = layers.map(|layer| layer.map(|layer| layer.from_last)).collect();
    match layers.and_then(|layers| layers.into_iter().max()) {
        Some(from_last) if report.not_listed() == 0 => injection.marks_from(platform, from_last),
        _ => Marks { contexts: false, ..injection.marks() },
    }
}

/// What was removed after a refusal, in a sentence.
#[must_use]
pub fn removed(removed: Removed, kept_on_purpose: bool) -> String {
    let image = if removed.images > 0 { "the unnamed image was removed" } else { "no image was made" };
    if kept_on_purpose {
        return format!("{image}; its cache records are kept, `docker builder prune` removes them");
    }
    let were = if removed.records == 1 { "was" } else { "were" };
    let records = format!("{} of this build {were} removed", counted(removed.records, "cache record"));
    format!("{image}, and {records}")
}
