//! What a build says about its audit: which line of the Dockerfile made the leak, and how to mend it.

use pbuildkit::llb::SourceLines;
use pcli::{Diagnostic, Exit};
use pscan::{Finding, Place, Report};

use crate::explain;
use crate::injection::Injection;
use crate::leftovers::Removed;

/// A clean search, as one fact.
#[must_use]
pub fn clean(report: &Report) -> String {
    let stats = report.stats();
    format!(
        "{} · {} · {} in {} · clean  {}.{}s",
        counted(stats.layers, "layer"),
        size(stats.bytes),
        counted(stats.secrets, "secret"),
        counted(stats.forms, "form"),
        stats.milliseconds / 1000,
        stats.milliseconds % 1000 / 100
    )
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

/// A leaking build: every finding with its line and its mend.
#[must_use]
pub fn leak(report: &Report, injection: &Injection) -> Diagnostic {
    let mut names: Vec<&str> = report.findings().iter().map(|finding| finding.secret().as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let secrets = if names.len() == 1 { "a secret".to_owned() } else { format!("{} secrets", names.len()) };
    let mut diagnostic = Diagnostic::error(format!("the image would contain {secrets}; it was not tagged"), Exit::Leak);
    for finding in report.findings() {
        diagnostic = diagnostic.note(format!(
            "{}  in {}, {}{}",
            finding.secret(),
            finding.place(),
            finding.form(),
            remarks(finding)
        ));
        if let Some(lines) = lines_of(finding, report, injection) {
            diagnostic = diagnostic.excerpt(explain::excerpt(lines, "this step wrote it"));
        } else if let Some(instruction) = finding.instruction() {
            diagnostic = diagnostic.note(format!("--> {instruction}"));
        } else if finding.layer().is_some() {
            diagnostic = diagnostic.note("--> a layer of the base image");
        }
        diagnostic = diagnostic.help(mend(finding));
    }
    if report.not_listed() > 0 {
        diagnostic = diagnostic.note(format!("and {} more", report.not_listed()));
    }
    not_searched(diagnostic, report)
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

/// The Dockerfile's lines that made the finding's layer: the chain of steps ends where the layers end.
fn lines_of<'a>(finding: &Finding, report: &Report, injection: &'a Injection) -> Option<&'a SourceLines> {
    // With several images the numbers of layers cannot be told apart.
    (report.platforms().len() <= 1).then_some(())?;
    let from_last = report.stats().layers.checked_sub(finding.layer()?)?;
    injection.layer_lines(from_last)
}

/// What to do about it, by the place.
fn mend(finding: &Finding) -> String {
    let name = finding.secret().as_str();
    let (Place::File { path, .. } | Place::Header { path, .. }) = finding.place() else {
        return match finding.place() {
            Place::Document { pointer: Some(pointer), .. } if pointer.starts_with("/config") => {
                format!("ENV, LABEL and CMD are public; use ${name} in RUN alone")
            }
            Place::Document { .. } => {
                "leave the value out of the Dockerfile and of build arguments; RUN has the variable".to_owned()
            }
            _ => format!("find what the step does with ${name}, and leave it out of the image"),
        };
    };
    let file = path.rsplit('/').next().unwrap_or(path);
    let same_step = "a file that one step writes stays in its layer, so remove it in the same RUN";
    match file {
        "pip.conf" => format!("pass it for one command: PIP_INDEX_URL=…${name}… pip install …, with no pip.conf"),
        ".npmrc" => format!("write ${{{name}}} into .npmrc, which npm reads from the environment, instead of the value"),
        "auth.json" => format!("pass it for one command: COMPOSER_AUTH=…${name}… composer install"),
        ".netrc" | ".git-credentials" => format!("pass it for one command, for example git -c http.extraHeader=…${name}…; {same_step}"),
        "config" if path.ends_with("/.git/config") => {
            "the clone URL with its token is kept in .git/config; remove .git in the same RUN, or clone without the token in the URL".to_owned()
        }
        ".bash_history" | ".ash_history" | ".python_history" | ".lesshst" => format!("shell histories keep what was typed; {same_step}"),
        _ if file == ".env" || file.starts_with(".env.") => format!("list {file} in .dockerignore; at run time prun gives the variables"),
        _ if finding.deleted_in().is_some() => same_step.to_owned(),
        _ => format!("pass ${name} to the one command that needs it, and write nothing that holds it; {same_step}"),
    }
}

/// What was removed after a refusal, in a sentence.
#[must_use]
pub fn removed(removed: Removed, kept_on_purpose: bool) -> String {
    let image = if removed.images > 0 { "the unnamed image was removed" } else { "there was no image to remove" };
    if kept_on_purpose {
        return format!("{image}; its cache records are kept, `docker builder prune` removes them");
    }
    format!("{image}, and {} that held the value", counted(removed.records, "cache record"))
}
