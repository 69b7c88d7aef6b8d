//! The record of a start. A start can be repeated from its record, without the flags and files that made it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use papp::Manifest;
use psecret::PartChoice;
use serde::{Deserialize, Serialize};

use crate::plan::error::PlanError;
use crate::plan::order::Order;
use crate::plan::{Goal, Plan, PlannedService};

/// Returns a folder's absolute path without links. An empty path stands for the current folder.
#[must_use]
pub(crate) fn whole(folder: &Path) -> PathBuf {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    folder.canonicalize().unwrap_or_else(|_| folder.to_owned())
}

/// The order and the manifest of the last start, sealed with the generation that it made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    /// The order. Version 2 of the sealed form called it `arguments`.
    #[serde(alias = "arguments")]
    order: Order,
    manifest: Option<String>,
    folder: PathBuf,
    /// The composed secrets that need injected variables. They are composed anew for each generation.
    deferred: Vec<String>,
    /// Services that `prun services add` added, as `KIND[:VERSION]=NAME`.
    added: Vec<String>,
    /// Variables that were set to the empty text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    empty: Vec<String>,
}

/// Where a service of the plan comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServiceOrigin {
    /// From this line of the manifest.
    Manifest(usize),
    /// From a flag of `prun start`, or from `prun services add`.
    Flags,
}

impl Record {
    /// Records a start. `folder` is the folder against which the manifest's paths are resolved.
    #[must_use]
    pub(crate) fn new(order: Order, manifest: Option<String>, folder: &Path, deferred: Vec<String>) -> Self {
        Self { order, manifest, folder: whole(folder), deferred, added: Vec::new(), empty: Vec::new() }
    }

    /// Makes the same plan again.
    ///
    /// # Errors
    ///
    /// Returns an error if this version of prun no longer understands the order or the manifest.
    pub(crate) fn plan(&self) -> Result<Plan, PlanError> {
        let manifest = match &self.manifest {
            None => Manifest::default(),
            Some(text) => {
                Manifest::parse(Path::new("app.toml"), text.as_bytes()).map_err(|_| PlanError::SealedManifest)?
            }
        };
        let mut plan = Plan::new(&self.order, &manifest, &self.folder, Goal::Instances)?;
        plan.compose_only(&self.deferred);
        plan.add(&self.added)?;
        plan.set_empty(&self.empty);
        Ok(plan)
    }

    /// Returns whether the start was made from a manifest in this folder. The answer is `false` if an older prun did
    /// not record the folder.
    #[must_use]
    pub(crate) fn is_of(&self, folder: &Path) -> bool {
        !self.folder.as_os_str().is_empty() && whole(&self.folder) == folder
    }

    /// Returns which parts of each declared secret are masked, by the secret's name.
    #[must_use]
    pub(crate) fn part_choices(&self) -> BTreeMap<String, PartChoice> {
        let manifest = self.manifest.as_ref();
        let manifest = manifest.and_then(|text| Manifest::parse(Path::new("app.toml"), text.as_bytes()).ok());
        let secrets = manifest.map(|manifest| manifest.secrets).unwrap_or_default();
        secrets.into_iter().map(|secret| (secret.name, pcli::resolve::part_choice(&secret.parts))).collect()
    }

    /// Returns the services that `prun services add` added.
    #[must_use]
    pub(crate) fn added(&self) -> &[String] {
        &self.added
    }

    /// Finds where a service comes from.
    #[must_use]
    pub(crate) fn origin(&self, service: &str) -> Option<ServiceOrigin> {
        let named = |text: &&String| PlannedService::of_flag(text).is_ok_and(|planned| planned.name == service);
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

    /// Returns the record without a service that a flag or `prun services add` named.
    #[must_use]
    pub(crate) fn without(mut self, service: &str) -> Self {
        let other = |text: &String| PlannedService::of_flag(text).is_ok_and(|planned| planned.name != service);
        self.added.retain(other);
        self.order.services.retain(other);
        self
    }

    /// Returns the record with these variables set to the empty text.
    #[must_use]
    pub(crate) fn with_empty(mut self, empty: &[String]) -> Self {
        self.empty = empty.to_vec();
        self
    }

    /// Returns the record with this image instead of the ordered one. The ordered name may stand for another image by
    /// now.
    #[must_use]
    pub(crate) fn with_image(mut self, image: &str) -> Self {
        self.order.image = Some(image.to_owned());
        self
    }

    /// Returns the record with these services, which `prun services add` added.
    #[must_use]
    pub(crate) fn with_added(mut self, added: &[String]) -> Self {
        self.added = added.to_vec();
        self
    }
}
