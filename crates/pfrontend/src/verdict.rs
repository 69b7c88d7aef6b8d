//! Writes the result for people: the error that ends a build, or the line among the steps that says that the image is
//! clean.

use pgateway::{Status, error_at};
use pllb::{ChainStep, Definition};
use pproof::{Graph, Proof};
use preport::{advice, sentence};
use pscan::{Finding, Report};
use pscreen::words::{counted, size};

use crate::refused;

/// The maximal number of findings that are listed.
const MOST: usize = 10;

/// The place of a finding: the steps of the chain in which it was found, and the graph that has their lines.
pub(crate) struct Place<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) definition: Option<&'a Definition>,
    pub(crate) steps: &'a [ChainStep],
}

impl Place<'_> {
    /// Returns the step that made the layer of a finding; `None` for a layer of the base image and for documents.
    fn step(&self, report: &Report, finding: &Finding) -> Option<&ChainStep> {
        let from_last = report.stats().layers.checked_sub(finding.layer()?)?;
        self.steps.iter().rev().nth(from_last)
    }

    /// Lists the steps whose results contain the findings: the steps that made them, and all steps after these.
    pub(crate) fn held(&self, report: &Report) -> Vec<String> {
        pproof::holding(report, self.steps)
    }

    /// Returns the lines of the Dockerfile, such as `Dockerfile:4`, if they are known.
    fn lines(&self, report: &Report, finding: &Finding) -> Option<&pllb::SourceLines> {
        self.graph.lines(&self.step(report, finding)?.digest)
    }

    /// Describes a finding in one line, with the line of the Dockerfile.
    pub(crate) fn sentence(&self, report: &Report, finding: &Finding) -> String {
        match self.lines(report, finding) {
            Some(lines) => format!("{} ({}:{})", sentence(finding), lines.file, lines.first),
            None => sentence(finding),
        }
    }
}

/// The thing that contains a secret.
#[derive(Clone, Copy)]
pub(crate) enum Subject<'a> {
    /// An image, with its platform if there are several.
    Image(Option<&'a str>),
    /// A stage that is not part of the image.
    Stage,
}

/// Makes the error of a leak. Its last line is complete in itself, because docker/build-push-action shows only that
/// line; docker marks the Dockerfile's lines.
pub(crate) fn leak(report: &Report, place: &Place<'_>, subject: Subject<'_>) -> Status {
    let (what, because) = match subject {
        Subject::Image(None) => ("the image would contain a secret".to_owned(), "it would contain"),
        Subject::Image(Some(platform)) => {
            (format!("the image for {platform} would contain a secret"), "it would contain")
        }
        Subject::Stage => ("a stage of the build would keep a secret".to_owned(), "a stage would keep"),
    };
    let mut text = format!("pbuild: {what}");
    let findings = report.findings();
    for finding in findings.iter().take(MOST) {
        text.push_str(&format!("\n  {}", place.sentence(report, finding)));
    }
    let more = findings.len().saturating_sub(MOST) as u64 + report.not_listed();
    if more > 0 {
        text.push_str(&format!("\n  and {more} more"));
    }
    // If a leak has no finding, there were too many places to list.
    let Some(first) = findings.first() else { return refused("the image would contain secrets; no image was made") };
    let line = place.lines(report, first);
    let at = line.map(|line| format!(" ({}:{})", line.file, line.first)).unwrap_or_default();
    let others = match findings.len() - 1 {
        0 => String::new(),
        others => format!(", and {} more", counted(others, "place")),
    };
    text.push_str(&format!(
        "\npbuild: no image was made, because {because} {}: {}{at}{others}; {}",
        first.label(),
        first.place(),
        advice(first)
    ));
    let file = line.and_then(|line| {
        let infos = &place.definition?.source.as_ref()?.infos;
        Some((line, infos.iter().find(|info| info.filename == line.file)?.data.as_slice()))
    });
    match file {
        Some((line, data)) => error_at(&text, line, data),
        None => Status::unknown(text),
    }
}

/// Writes the line of a clean build.
pub(crate) fn clean(proof: &Proof, names: &[String], injected: usize, stages: usize) -> String {
    let stats = proof.stats();
    let mut what = vec![counted(proof.steps(), "step")];
    let (before, now): (Vec<_>, Vec<_>) = proof.bases().partition(|(_, known)| *known);
    match now.len() {
        0 => {}
        1 => what.push("the base image".to_owned()),
        bases => what.push(format!("{bases} base images")),
    }
    if stages > 0 {
        what.push(counted(stages, "other stage"));
    }
    let mut what = what.join(", ");
    match before.len() {
        0 => {}
        1 => what.push_str(" · the base image was clean before"),
        bases => what.push_str(&format!(" · {bases} base images were clean before")),
    }
    let platforms = match proof.platforms() {
        0 | 1 => String::new(),
        platforms => format!(" · {}", counted(platforms, "platform")),
    };
    format!(
        "[pbuild] clean: {} · {} injected · searched {what}{platforms} · {}",
        names.join(", "),
        injected,
        size(stats.bytes),
    )
}
