//! The facts about a build that do not change from its start to its end.

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

/// The node of a builder as docker's files name it.
#[derive(Clone, Debug)]
pub(super) struct NodeName {
    /// The builder.
    pub(super) builder: String,
    /// The node.
    pub(super) node: String,
}

/// The unchanging facts of one build. Each state of the build passes them to the next one.
#[derive(Debug)]
pub(super) struct Scene<'a> {
    pub(super) edge: &'a Edge,
    pub(super) site: Site,
    /// The node that carries out the build.
    pub(super) node: NodeName,
    pub(super) plan: SettledPlan,
    pub(super) choices: Choices,
    pub(super) found: Option<FoundManifest>,
    pub(super) secrets: Secrets,
    pub(super) needles: Arc<NeedleSet>,
    /// The clone that holds the context, if this machine made a clone.
    pub(super) clone: Option<GitClone>,
}

impl Scene<'_> {
    /// Returns the public variables of the manifest, which every step gets.
    pub(super) fn configuration(&self) -> Vec<(String, String)> {
        injected::configuration(self.found.as_ref())
    }

    /// Returns how the engine keeps images, or `None` if the builder has no engine.
    pub(super) async fn image_store(&self) -> Result<Option<ImageStore>, PreparationError> {
        let Some(engine) = self.site.engine() else { return Ok(None) };
        Ok(Some(engine.image_store().await.map_err(PreparationError::ImageStore)?))
    }

    /// Returns the folder that identifies the project in the records of builds.
    pub(super) fn project(&self) -> &Path {
        // A clone is in a different folder for each build, so it cannot stand for the project.
        let context = self.plan.context_folder().filter(|_| self.clone.is_none());
        self.found.as_ref().map_or(context.unwrap_or(Path::new(".")), FoundManifest::directory)
    }

    /// Keeps a record of the build. If the record cannot be kept, the build still succeeds.
    pub(super) fn remember(&self, outcome: BuildOutcome, offers: &Offers) {
        let record = BuildRecord::new(SystemTime::now(), outcome, offers.uses());
        match pcli::remember_build(self.project(), record, &|name| std::env::var_os(name)) {
            Ok(_) => {}
            // Without a home folder, as in many CI jobs, there is no place for the record.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                self.edge.stderr.warning(&format!("this build was not noted for `pbuild doctor`: {error}"));
            }
        }
    }

    /// Removes an image that must not stay. Returns whether an image was removed.
    pub(super) async fn remove_image(&self, id: Option<&str>) -> bool {
        match id.zip(self.site.engine()) {
            Some((id, engine)) => leftovers::remove_unnamed_image(engine, id).await,
            None => false,
        }
    }
}
