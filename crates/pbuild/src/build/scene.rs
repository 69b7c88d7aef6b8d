//! Everything about a build that stays the same from its start to its end.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use pcli::{BuildOutcome, BuildRecord, FoundManifest};
use pengine::ImageStore;
use pscan::NeedleSet;

use super::failure::PreparationError;
use super::git_context::GitClone;
use super::offers::Offers;
use super::{injected, leftovers};
use crate::edge::Edge;
use crate::plan::{Choices, SettledPlan};
use crate::secrets::Secrets;
use crate::site::Site;

/// The unchanging part of one build; each state hands it to the next.
#[derive(Debug)]
pub(super) struct Scene<'a> {
    pub(super) edge: &'a Edge,
    pub(super) site: Site,
    pub(super) plan: SettledPlan,
    pub(super) choices: Choices,
    pub(super) found: Option<FoundManifest>,
    pub(super) secrets: Secrets,
    pub(super) needles: Arc<NeedleSet>,
    /// The clone that the context is in, where this machine made one.
    pub(super) clone: Option<GitClone>,
}

impl Scene<'_> {
    /// The public variables that the manifest gives to every step.
    pub(super) fn configuration(&self) -> Vec<(String, String)> {
        injected::configuration(self.found.as_ref())
    }

    /// The way the engine keeps images; `None` where there is no engine.
    pub(super) async fn image_store(&self) -> Result<Option<ImageStore>, PreparationError> {
        let Some(engine) = self.site.engine() else { return Ok(None) };
        Ok(Some(engine.image_store().await.map_err(PreparationError::ImageStore)?))
    }

    /// The folder of the project, as its records are kept.
    pub(super) fn project(&self) -> &Path {
        // A clone is another folder each time.
        let context = self.plan.context_folder().filter(|_| self.clone.is_none());
        self.found.as_ref().map_or(context.unwrap_or(Path::new(".")), FoundManifest::directory)
    }

    /// Keeps a record of the build. A record that cannot be kept harms no build.
    pub(super) fn remember(&self, outcome: BuildOutcome, offers: &Offers) {
        let record = BuildRecord::new(SystemTime::now(), outcome, offers.uses());
        match pcli::remember_build(self.project(), record, &|name| std::env::var_os(name)) {
            Ok(_) => {}
            // Without a home there is no place, as in many CI jobs.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                self.edge.stderr.warning(&format!("this build was not noted for `pbuild doctor`: {error}"));
            }
        }
    }

    /// Removes an image that may not stay, where there is one.
    pub(super) async fn remove_image(&self, id: Option<&str>) -> bool {
        match id.zip(self.site.engine()) {
            Some((id, engine)) => leftovers::remove_unnamed_image(engine, id).await,
            None => false,
        }
    }
}
