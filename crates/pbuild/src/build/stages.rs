//! The stages of a build that are not part of its image. A cache with `mode=max` carries them, so pbuild searches
//! them before anything is exported. At this point it is known which step made what. The cache, which is always
//! searched as well, does not name the steps.

use std::collections::BTreeMap;

use pbuildkit::Prepared;
use pgateway::PreparedResult;
use pllb::{ChainStep, Definition, Output};
use pproof::{Gate, GateOutcome, Leak, Scanner, Subject};
use pscan::Report;

use super::search_line::SearchLine;

/// A stage that holds a secret.
#[derive(Debug)]
pub(crate) struct StageLeak {
    pub(crate) report: Box<Report>,
    /// The steps of the stage, the first step first.
    pub(crate) steps: Vec<ChainStep>,
}

/// The steps of a result, or of a stage that is not part of it, by their digests, the first step first.
#[derive(Debug)]
pub(crate) struct Lineage {
    pub(crate) of_image: bool,
    steps: Vec<String>,
}

impl Lineage {
    /// Counts the steps that lead to a step, including the step itself.
    pub(crate) fn depth_of(&self, step: &str) -> Option<usize> {
        Some(self.steps.iter().position(|one| one == step)? + 1)
    }
}

/// Lists the lineage of a result and the lineages of the stages that are not part of it.
pub(crate) fn lineages(definition: &Definition) -> Vec<Lineage> {
    let lineage = |definition: &Definition, of_image| {
        let chain = pllb::chain(definition).unwrap_or_default();
        Lineage { of_image, steps: chain.steps.into_iter().map(|step| step.digest).collect() }
    };
    let beside = pllb::stages(definition).unwrap_or_default();
    let beside = beside.iter().map(|output| lineage(&pllb::state(definition, output), false));
    [lineage(definition, true)].into_iter().chain(beside).collect()
}

/// Searches the stages that are not part of a build's results, each once, until one holds a secret. A stage that
/// cannot be searched in the builder is searched only in the cache.
///
/// The builder runs or fetches every stage that it does not have yet, as it would for the cache.
pub(crate) async fn search(
    prepared: &Prepared<'_>,
    gate: &mut Gate<SearchLine>,
    scanner: &Scanner,
) -> Option<StageLeak> {
    let mut seen: Vec<Output> = Vec::new();
    for result in &prepared.results {
        for output in pllb::stages(&result.definition).unwrap_or_default() {
            // Several platforms share a stage that is built for the builder's own platform.
            if seen.contains(&output) {
                continue;
            }
            let definition = pllb::state(&result.definition, &output);
            seen.push(output);
            let Ok(chain) = pllb::chain(&definition) else { continue };
            let mut bridge = prepared.bridge.clone();
            let Ok(reference) = bridge.solve_definition(definition.clone(), &[]).await else { continue };
            let stage = PreparedResult { platform: result.platform.clone(), reference, definition };
            let results = std::slice::from_ref(&stage);
            let subject = Subject { bridge: &prepared.bridge, documents: &BTreeMap::new(), results };
            if let GateOutcome::Leak(Leak { report, .. }) = gate.search(subject, scanner).await {
                return Some(StageLeak { report, steps: chain.steps });
            }
        }
    }
    None
}
