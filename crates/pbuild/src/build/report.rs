//! Describes the audit of a build: the amount that was searched, and the lines of the Dockerfile that a finding comes
//! from.

use std::collections::BTreeSet;
use std::time::Duration;

use pllb::{ChainStep, SourceLines, Step};
use pscan::{Finding, LayerState, Report};
use pscreen::words::{counted, seconds, size};

use super::failure::Origin;
use super::injection::Injection;
use super::leftovers::order::Marks;
use crate::cache_export::CacheLeak;
use pproof::Proof;

/// Reports a clean search in one line.
pub(crate) fn clean(report: &Report) -> String {
    let stats = report.stats();
    let known = report.layers().iter().filter(|layer| layer.state() == LayerState::Remembered).count();
    let known = if known > 0 { format!(", {known} known from before") } else { String::new() };
    format!(
        "{}{known} · {} searched · {} in {} · clean  {}",
        counted(stats.layers, "layer"),
        size(stats.bytes),
        counted(stats.secrets, "secret"),
        counted(stats.forms, "form"),
        seconds(Duration::from_millis(stats.milliseconds))
    )
}

/// Reports a clean search of a cache in one line.
pub(crate) fn clean_cache(report: &Report) -> String {
    format!("cache of {}", clean(report))
}

/// Reports a clean search in the builder in one line.
pub(crate) fn clean_in_builder(proof: &Proof) -> String {
    let stats = proof.stats();
    let platforms = if proof.platforms() > 1 { format!("{} platforms, ", proof.platforms()) } else { String::new() };
    let mut bases: Vec<String> = proof
        .bases()
        .map(|(base, known)| format!(", base {}{}", base_name(base), if known { " clean before" } else { "" }))
        .collect();
    bases.dedup();
    format!(
        "{platforms}{}{} · {} searched · {} in {} · clean  {}",
        counted(proof.steps(), "step"),
        bases.concat(),
        size(stats.bytes),
        counted(stats.secrets, "secret"),
        counted(stats.forms, "form"),
        seconds(Duration::from_millis(stats.milliseconds))
    )
}

/// Names a base image for people: `debian:stable` and the beginning of its digest.
fn base_name(identifier: &str) -> String {
    let name = identifier.strip_prefix("docker-image://").unwrap_or(identifier);
    let name = name.strip_prefix("docker.io/").unwrap_or(name);
    let name = name.strip_prefix("library/").unwrap_or(name);
    match name.split_once("@sha256:") {
        Some((name, digest)) => format!("{name}@sha256:{}…", digest.get(..12).unwrap_or(digest)),
        None => name.to_owned(),
    }
}

/// The layer of a finding, counted from the image's end, because the chain of steps is counted from its end, too.
struct Layer {
    from_last: usize,
}

impl Layer {
    fn of(finding: &Finding, report: &Report, platform: Option<&str>) -> Option<Self> {
        // In a report of several images the numbers of layers are ambiguous.
        (platform.is_some() || report.platforms().len() <= 1).then_some(())?;
        report.stats().layers.checked_sub(finding.layer()?).map(|from_last| Self { from_last })
    }
}

/// Returns the marks of the cache records that hold a finding: those of the first step with a finding, and of all
/// later steps, which build on it. If a finding has no layer, these are the marks of all records of the build.
pub(crate) fn holding(report: &Report, platform: Option<&str>, injection: &Injection) -> Marks {
    let layers = report.findings().iter().map(|finding| Layer::of(finding, report, platform));
    let layers: Option<Vec<usize>> = layers.map(|layer| layer.map(|layer| layer.from_last)).collect();
    match layers.and_then(|layers| layers.into_iter().max()) {
        Some(from_last) if report.not_listed() == 0 => injection.marks_from(platform, from_last),
        _ => injection.marks(),
    }
}

/// Finds the origins of a report's findings, in the report's order.
pub(super) fn origins(report: &Report, platform: Option<&str>, injection: &Injection) -> Vec<Origin> {
    let origin = |finding: &Finding| {
        let Some(Layer { from_last }) = Layer::of(finding, report, platform) else { return Origin::Unknown };
        match injection.graph().layer_lines(platform, from_last) {
            Some(lines) => Origin::Step(lines.clone()),
            None if injection.graph().is_of_base(platform, from_last) => Origin::Base,
            None => Origin::Unknown,
        }
    };
    report.findings().iter().map(origin).collect()
}

/// Finds the origins of findings in a stage. `steps` are the steps of this stage, the first step first.
pub(super) fn stage_origins(report: &Report, steps: &[ChainStep], injection: &Injection) -> Vec<Origin> {
    let origin = |finding: &Finding| {
        let step = Layer::of(finding, report, None).map(|layer| steps.iter().rev().nth(layer.from_last));
        match step {
            Some(Some(step)) => injection.graph().lines(&step.digest).cloned().map_or(Origin::Unknown, Origin::Step),
            Some(None) => Origin::Base,
            None => Origin::Unknown,
        }
    };
    report.findings().iter().map(origin).collect()
}

/// Finds the steps that may have written each finding of a cache. A cache does not name the step that made a layer,
/// but it says how many steps lead to the layer. Usually only one of the steps at that depth gets the secret.
pub(super) fn cache_origins(leak: &CacheLeak, injection: &Injection) -> Vec<Vec<SourceLines>> {
    let candidates = |(finding, depths): (&Finding, &BTreeSet<usize>)| {
        let name = finding.secret().as_str();
        let getting: Vec<&Step> = injection.graph().steps().iter().filter(|step| gets(step, name)).collect();
        let of = |of_image: bool| -> Vec<SourceLines> {
            let lineages = || injection.lineages().iter().filter(|lineage| lineage.of_image == of_image);
            let is_there = |depth| depths.is_empty() || depths.contains(&depth);
            let fits = |step: &&&Step| lineages().any(|lineage| lineage.depth_of(&step.digest).is_some_and(is_there));
            let mut lines: Vec<_> = getting.iter().filter(fits).filter_map(|step| step.source.clone()).collect();
            lines.sort_by_key(|lines| (lines.file.clone(), lines.first));
            // Steps that differ only in the platform have the same lines.
            lines.dedup();
            lines
        };
        // The image itself was found clean, so its own steps are suspected last.
        let beside = of(false);
        if beside.is_empty() { of(true) } else { beside }
    };
    leak.report.findings().iter().zip(&leak.depths).map(candidates).collect()
}

fn gets(step: &Step, name: &str) -> bool {
    step.offered.iter().any(|offered| offered == name) || step.mounted.iter().any(|mount| mount.id == name)
}

/// Removes the prelude that pbuild runs before a command on engines without secret environments from an error that
/// quotes both.
///
/// The Dockerfile has only the command. The prelude ends with `exec "$@" sh`, and the command follows.
pub(crate) fn without_prelude(message: &str) -> String {
    let (start, end) = ("[/bin/sh -c ", "exec \"$@\" sh ");
    match (message.find(start), message.find(end)) {
        (Some(from), Some(to)) if message[from..to.max(from)].contains("/run/pbuild/") => {
            format!("{}[{}", &message[..from], &message[to + end.len()..])
        }
        _ => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_an_old_engine_quotes_the_users_command_alone() {
        let message = "executor failed running [/bin/sh -c A=\nread -r x </run/pbuild/A\nexec \"$@\" sh /bin/sh -c make]: exit code: 2";
        assert_eq!(without_prelude(message), "executor failed running [/bin/sh -c make]: exit code: 2");
        for other in ["executor failed running [/bin/sh -c make]", "exec \"$@\" sh then [/bin/sh -c x", ""] {
            assert_eq!(without_prelude(other), other);
        }
    }
}
