//! What a build leaves in the engine, and its removal if the build is refused.

use pllb::SourceLines;
use pscan::Report;

use super::context::ContextLeak;
use super::failure::{Cleanup, LeakingCache, LeakingImage, Origin, Refusal};
use super::injection::Injection;
use super::leftovers::order::Marks;
use super::leftovers::{CacheBefore, Removed};
use super::report;
use super::scene::Scene;
use super::stages::StageLeak;
use crate::cache_export::CacheLeak;
use crate::plan::LeakedCache;

/// What one build leaves in the engine: its steps, and the list of cache records from before the build.
#[derive(Debug)]
pub(super) struct Trace {
    pub(super) injection: Injection,
    pub(super) before: CacheBefore,
    /// Whether files with a secret were sent, because `--allow-context-leak` allowed them.
    pub(super) context_holds: bool,
}

impl Trace {
    /// Refuses an image that holds a secret. Removes the cache records that hold the secret, and the image if it was
    /// exported.
    pub(super) async fn refuse_image(
        &self,
        scene: &Scene<'_>,
        report: Report,
        platform: Option<String>,
        id: Option<&str>,
    ) -> Refusal {
        let holding = report::holding(&report, platform.as_deref(), &self.injection);
        let origins = report::origins(&report, platform.as_deref(), &self.injection);
        let cleanup = self.clean_up(scene, id, &holding, &origins).await;
        Refusal::Image(Box::new(LeakingImage { report, platform, origins, cleanup }))
    }

    /// Refuses files that hold a secret, and removes the cache records that hold the secret.
    pub(super) async fn refuse_files(&self, scene: &Scene<'_>, report: Box<Report>, id: Option<&str>) -> Refusal {
        let holding = report::holding(&report, None, &self.injection);
        let origins = report::origins(&report, None, &self.injection);
        let cleanup = self.clean_up(scene, id, &holding, &origins).await;
        Refusal::Files(report, cleanup)
    }

    /// Refuses a build because a cache would carry a stage that holds a secret, and removes the cache records that
    /// hold the secret.
    pub(super) async fn refuse_stage(&self, scene: &Scene<'_>, leak: StageLeak, destination: &str) -> Refusal {
        let StageLeak { report, steps } = leak;
        let origins = report::stage_origins(&report, &steps, &self.injection);
        let held = pproof::holding(&report, &steps);
        let holding = self.injection.marks_of(steps.iter().filter(|step| held.contains(&step.digest)));
        let candidates = origins.iter().map(|_| Vec::new()).collect();
        let cleanup = self.clean_up(scene, None, &holding, &origins).await;
        let destination = destination.to_owned();
        Refusal::Cache(Box::new(LeakingCache { destination, report: *report, origins, candidates, cleanup }))
    }

    /// Refuses a cache that holds a secret. It is not known which of the builder's records hold the secret, so all
    /// records of the build are removed.
    pub(super) async fn refuse_cache(&self, scene: &Scene<'_>, leak: CacheLeak, id: Option<&str>) -> Refusal {
        let mut candidates = report::cache_origins(&leak, &self.injection);
        let origin = |candidates: &mut Vec<SourceLines>| match candidates.as_mut_slice() {
            [_] => candidates.pop().map_or(Origin::Unknown, Origin::Step),
            _ => Origin::Unknown,
        };
        let origins: Vec<Origin> = candidates.iter_mut().map(origin).collect();
        let destination = leak.report.subject().unwrap_or_default().to_owned();
        let cleanup = self.clean_up(scene, id, &self.injection.marks(), &origins).await;
        Refusal::Cache(Box::new(LeakingCache { destination, report: *leak.report, origins, candidates, cleanup }))
    }

    /// Refuses a context that holds a secret, and removes the records of this build.
    pub(super) async fn refuse_context(&self, scene: &Scene<'_>, leaks: Vec<ContextLeak>) -> Refusal {
        // The last packet of the file was never sent, so no record holds the value. The builder itself drops what it
        // received in a transfer that did not end.
        let marks = self.injection.marks();
        if let Err(error) = self.before.restore(&scene.site.builder, &marks, &Marks::default()).await {
            scene.edge.stderr.warning(&format!(
                "what was sent of the context could not be removed: {error}; run `docker builder prune`"
            ));
        }
        Refusal::Context(leaks)
    }

    async fn clean_up(&self, scene: &Scene<'_>, id: Option<&str>, holding: &Marks, origins: &[Origin]) -> Cleanup {
        let images = usize::from(scene.remove_image(id).await);
        let cache = scene.choices.leaked_cache();
        if cache == LeakedCache::Kept {
            return Cleanup { removed: Removed { images, ..Removed::default() }, cache };
        }
        let warn = |why: &str| {
            let what = "cache records that hold the value could not be removed";
            scene.edge.stderr.warning(&format!("{what}: {why}; run `docker builder prune`"));
        };
        // The builder does not tell the files of this build from files that another build sent at the same time, so
        // the records of contexts are removed only if a sent file held a value.
        let contexts = self.context_holds;
        let marks = Marks { contexts, ..self.injection.marks() };
        let holding = &Marks { contexts, ..holding.clone() };
        let removed = match self.before.restore(&scene.site.builder, &marks, holding).await {
            Ok(removed) => {
                if removed.kept > 0 {
                    warn("another build uses them");
                }
                let of_step = origins.iter().any(Origin::is_step);
                if of_step && removed.holding == 0 {
                    warn("none of them was made during this build; an earlier one may have left it");
                }
                if removed.unknown > 0 {
                    warn("the builder cannot look at all that was made during this build");
                }
                Removed { images, ..removed }
            }
            Err(error) => {
                warn(&error.to_string());
                Removed { images, ..Removed::default() }
            }
        };
        Cleanup { removed, cache }
    }
}
