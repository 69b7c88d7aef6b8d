//! What a start was told, so that it can be done again without the files, the flags and the secrets of that day.

use std::path::{Path, PathBuf};

use papp::Manifest;
use serde::{Deserialize, Serialize};

use crate::plan::error::PlanError;
use crate::plan::order::Order;
use crate::plan::{Plan, WantedService};

/// The flags and the manifest of the last start; sealed with the generation that it made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    /// Version 2 of the sealed form called it `arguments`.
    #[serde(alias = "arguments")]
    order: Order,
    manifest: Option<String>,
    folder: PathBuf,
    /// The composed secrets that are made anew from injected variables.
    deferred: Vec<String>,
    /// Services that `prun services add` added, as `KIND[:VERSION]=NAME`.
    added: Vec<String>,
}

/// Where a service was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServiceOrigin {
    /// In this line of the manifest.
    Manifest(usize),
    /// By a flag of `prun start`, or by `prun services add`.
    Flags,
}

impl Record {
    /// Notes what a start was told. `folder` is the one that the plan's paths begin at.
    #[must_use]
    pub(crate) fn new(order: Order, manifest: Option<String>, folder: &Path, deferred: Vec<String>) -> Self {
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        Self { order, manifest, folder, deferred, added: Vec::new() }
    }

    /// The same plan again.
    ///
    /// # Errors
    ///
    /// When this program no longer understands what it once was told.
    pub(crate) fn plan(&self) -> Result<Plan, PlanError> {
        let manifest = match &self.manifest {
            None => Manifest::default(),
            Some(text) => {
                Manifest::parse(Path::new("app.toml"), text.as_bytes()).map_err(|_| PlanError::SealedManifest)?
            }
        };
        let mut plan = Plan::new(&self.order, &manifest, &self.folder)?;
        plan.compose_only(&self.deferred);
        plan.add(&self.added)?;
        Ok(plan)
    }

    /// The services that were added by hand.
    #[must_use]
    pub(crate) fn added(&self) -> &[String] {
        &self.added
    }

    /// Where a service was asked for.
    #[must_use]
    pub(crate) fn origin(&self, service: &str) -> Option<ServiceOrigin> {
        let named = |text: &&String| WantedService::of_flag(text).is_ok_and(|wanted| wanted.name == service);
        let in_manifest = self
            .manifest
            .as_ref()
            .and_then(|text| Manifest::parse(Path::new("app.toml"), text.as_bytes()).ok())
            .and_then(|manifest| manifest.services.iter().find(|other| other.name == service).map(|other| other.line));
        if let Some(line) = in_manifest {
            return Some(ServiceOrigin::Manifest(line));
        }
        self.added.iter().chain(&self.order.services).find(named).map(|_| ServiceOrigin::Flags)
    }

    /// The same without a service that flags or `prun services add` named.
    #[must_use]
    pub(crate) fn without(mut self, service: &str) -> Self {
        let other = |text: &String| WantedService::of_flag(text).is_ok_and(|wanted| wanted.name != service);
        self.added.retain(other);
        self.order.services.retain(other);
        self
    }

    /// The same with these services added by hand.
    #[must_use]
    pub(crate) fn with_added(mut self, added: &[String]) -> Self {
        self.added = added.to_vec();
        self
    }
}
