//! The base images of a build: those that the builder knows as clean for these secrets, and those that this build
//! found clean.
//!
//! The builder's notes are sealed with the values, so a container with the mounted values reads and writes them. This
//! process only passes lists of layers between these containers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use pllb::{Base, Definition};
use plook::wire::{self, BasesNote, CleanBase, Probe, ProbeAnswer};
use pproof::KnownBases;
use psecret::PartChoice;

use crate::requests::SecretRequest;

/// Makes the request to probe the secrets of a build and its base images.
pub(crate) fn question<'a>(requests: &[SecretRequest], definitions: impl IntoIterator<Item = &'a Definition>) -> Probe {
    let bases: BTreeSet<String> = definitions.into_iter().flat_map(pllb::images).collect();
    let parts = requests.iter().filter_map(|request| {
        let parts = match &request.parts {
            PartChoice::All => return None,
            PartChoice::None => Vec::new(),
            PartChoice::Named(names) => names.clone(),
        };
        Some((request.name.to_string(), parts))
    });
    Probe {
        version: wire::VERSION,
        secrets: requests.iter().map(|request| request.name.to_string()).collect(),
        parts: parts.collect(),
        bases: bases.into_iter().collect(),
    }
}

/// The base images of one build. Clones share the bases that are found clean.
#[derive(Clone)]
pub(crate) struct Bases(Arc<Shared>);

struct Shared {
    probe: Probe,
    check_key: String,
    checks: Vec<Option<String>>,
    /// The layers of the bases that earlier builds found clean.
    before: BTreeMap<String, Vec<String>>,
    /// The bases that this build found clean.
    since: Mutex<Vec<CleanBase>>,
}

impl Bases {
    /// Reads the bases that the builder knows from the answer to a probe.
    pub(crate) fn new(probe: Probe, answer: &ProbeAnswer) -> Self {
        let known = probe.bases.iter().zip(&answer.bases);
        let before = known.filter_map(|(name, layers)| Some((name.clone(), layers.clone()?))).collect();
        let checks = answer.secrets.iter().map(|facts| facts.as_ref().map(|facts| facts.check.clone())).collect();
        let check_key = answer.check_key.clone();
        Self(Arc::new(Shared { probe, check_key, checks, before, since: Mutex::default() }))
    }

    /// Makes the note of the bases that this build found clean. Returns `None` if there are none.
    pub(crate) fn note(&self) -> Option<BasesNote> {
        let bases = std::mem::take(&mut *self.0.since.lock().unwrap_or_else(PoisonError::into_inner));
        let Shared { probe, check_key, checks, .. } = &*self.0;
        (!bases.is_empty()).then(|| BasesNote {
            version: wire::VERSION,
            probe: probe.clone(),
            check_key: check_key.clone(),
            checks: checks.clone(),
            bases,
        })
    }
}

impl KnownBases for Bases {
    fn layers(&self, base: &Base) -> Option<Vec<String>> {
        self.0.before.get(&pllb::base_name(&base.identifier, &base.output.digest)).cloned()
    }

    fn note(&self, base: &Base, layers: &[String]) {
        let identifier = pllb::base_name(&base.identifier, &base.output.digest);
        let clean = CleanBase { identifier, layers: layers.to_vec() };
        let mut since = self.0.since.lock().unwrap_or_else(PoisonError::into_inner);
        // A stage often begins with the same base as the image.
        if !since.contains(&clean) {
            since.push(clean);
        }
    }
}
