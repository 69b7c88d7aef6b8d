//! The stages of a build that its image is not made of: a cache with `mode=max` carries them all the same, so they are
//! searched before anything is exported. Here it is known which step made what; the cache itself, which is searched
//! whatever happens here, does not say it.

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
    /// The steps of the stage, the first one first.
    pub(crate) steps: Vec<ChainStep>,
}

/// The steps of a result, or of a stage beside it, by their digests, the first one first.
#[derive(Debug)]
pub(crate) struct Lineage {
    pub(crate) of_image: bool,
    steps: Vec<String>,
}

impl Lineage {
    /// Counts the steps that lead to a step, with itself.
    pub(crate) fn depth_of(&self, step: &str) -> Option<usize> {
        Some(self.steps.iter().position(|one| one == step)? + 1)
    }
}

/// Lists the lineage of a result and those of the stages beside it.
pub(crate) fn lineages(definition: &Definition) -> Vec<Lineage> {
    let lineage = |definition: &Definition, of_image| {
        let chain = pllb::chain(definition).unwrap_or_default();
        Lineage { of_image, steps: chain.steps.into_iter().map(|step| step.digest).collect() }
    };
    let beside = pllb::stages(definition).unwrap_or_default();
    let beside = beside.iter().map(|output| lineage(&pllb::state(definition, output), false));
    [lineage(definition, true)].into_iter().chain(beside).collect()
}

/// Searches the stages beside a build's results, each once, until one holds a secret. A stage that cannot be searched in
/// the builder is searched in the cache alone.
///
/// The builder runs or fetches whatever of them it does not have, as it would for the cache.
pub(crate) async fn search(
    prepared: &Prepared<'_>,
    gate: &mut Gate<SearchLine>,
    scanner: &Scanner,
) -> Option<StageLeak> {
    let mut seen: Vec<Output> = Vec::new();
    for result in &prepared.results {
        for output in pllb::stages(&result.definition).unwrap_or_default() {
            // Platforms share stages that are for the builder's own.
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
