//! A build that ran to its end. Its result is searched, and then cleared or refused.

use std::sync::Arc;

use pbuildkit::BuildResult;
use pcli::BuildOutcome;
use pcli::resolve::Strictness;
use pscan::{Memory, Report};

use super::cleared::Cleared;
use super::doubt::Doubts;
use super::failure::{DeliveryError, Refusal};
use super::offers::Offers;
use super::report;
use super::scene::Scene;
use super::trace::Trace;
use crate::audit::attached::Attached;
use crate::audit::{AttachedVerdict, Audited, Built, ImageVerdict};
use crate::cache_export::{CacheLeak, CacheVerdict, CleanCaches, PrivateCaches};
use crate::edge::Failure;
use crate::memory::LayerMemory;
use crate::output::{self, OutputVerdict, Outputs, Pending};
use crate::plan::{Attestations, Caches};
use pproof::{GateOutcome, Proof};

/// A build that ran to its end.
pub(super) enum Finished<'a> {
    /// A build without an injection, in which there is nothing to search for.
    Plain(Box<Cleared<'a>>),
    /// A build whose result was not searched yet.
    Unsearched(Box<Unsearched<'a>>),
}

/// A build that ran to its end with secrets or configuration, and whose result was not searched yet.
pub(super) struct Unsearched<'a> {
    pub(super) scene: Scene<'a>,
    pub(super) outputs: Outputs,
    /// The caches that the user's flags name.
    pub(super) flags: Caches,
    /// The caches that were not searched yet.
    pub(super) caches: PrivateCaches,
    pub(super) result: BuildResult,
    /// The image in the engine's store, if the build makes one.
    pub(super) built: Option<Built>,
    pub(super) trace: Trace,
    pub(super) attached: Option<Attached>,
    pub(super) attestations: Attestations,
    pub(super) offers: Offers,
    pub(super) doubts: Doubts,
}

/// A build whose result may leave the builder, or was refused.
pub(super) enum Examined<'a> {
    /// The result may go to its destinations: its search found nothing, or there were no secrets to search for.
    Clean(Box<Cleared<'a>>),
    /// The result must not be delivered.
    Refused(Box<Refused<'a>>),
}

/// A build whose result is refused, with everything that has to be removed.
pub(super) struct Refused<'a> {
    scene: Scene<'a>,
    trace: Trace,
    offers: Offers,
    id: Option<String>,
    why: Objection,
}

/// The reasons why a result is refused.
enum Objection {
    /// The image holds a secret.
    LeakInImage(Box<Report>),
    /// Files that the build made hold a secret.
    LeakInFiles(Box<Report>),
    /// A cache that would be exported holds a secret.
    LeakInCache(CacheLeak),
    /// Something could not be searched.
    Incomplete(Box<Report>),
    /// A part of a cache could not be searched.
    IncompleteCache(Box<Report>),
    /// Steps may have got other values. No search is possible for values that this build does not know.
    Doubtful(Doubts),
}

/// The outcome of the search of everything that a build made.
enum Search {
    Clean(Clean),
    Objection(Objection),
}

/// Everything that a build made, after a search that found nothing.
struct Clean {
    image: Option<Audited>,
    places: output::CleanOutputs,
    caches: CleanCaches,
}

/// The outcome of the search of the image in the engine's store.
enum ImageSearch {
    Clean(Audited),
    Objection(Objection),
}

/// The parts of a finished build that a search reads.
struct Examination<'s, 'a> {
    scene: &'s Scene<'a>,
    proof: Option<Box<Proof>>,
    attached: Option<Attached>,
    attestations: Attestations,
}

impl<'a> Finished<'a> {
    /// Searches the result if there is anything to search for.
    ///
    /// # Errors
    /// Returns an error if a search cannot be carried out; in this case the image is removed.
    pub(super) async fn examine(self) -> Result<Examined<'a>, Failure> {
        match self {
            Self::Plain(cleared) => Ok(Examined::Clean(cleared)),
            Self::Unsearched(unsearched) => unsearched.examine().await,
        }
    }
}

impl<'a> Unsearched<'a> {
    /// Searches everything in the result that the gate has not proven. A build without secrets is cleared without a
    /// search; a doubtful build is refused before any search.
    ///
    /// # Errors
    /// Returns an error if a search cannot be carried out; in this case the image is removed.
    async fn examine(self) -> Result<Examined<'a>, Failure> {
        let Self { scene, mut outputs, flags, caches, result, built, mut trace, .. } = self;
        let Self { attached, attestations, offers, doubts, .. } = self;
        if scene.secrets.is_empty() {
            return Ok(Examined::Clean(Box::new(Cleared::without_secrets(scene, outputs, &flags, result)?)));
        }
        let id = built.as_ref().map(|built| built.id().to_owned());
        let strict = scene.secrets.strictness == Strictness::Strict;
        if !doubts.unasked().is_empty() || (strict && !doubts.cached().is_empty()) {
            let why = Objection::Doubtful(doubts);
            return Ok(Examined::Refused(Box::new(Refused { scene, trace, offers, id, why })));
        }
        let proof = proof(&scene, trace.injection.take_outcome());
        let places = Pending::new(outputs.take_places());
        let examination = Examination { scene: &scene, proof, attached, attestations };
        match examination.all(places, built, caches).await {
            Ok(Search::Clean(Clean { image, places, caches })) => {
                scene.remember(BuildOutcome::Clean, &offers);
                Ok(Examined::Clean(Box::new(Cleared::new(scene, &outputs, image, places, caches, result))))
            }
            Ok(Search::Objection(why)) => Ok(Examined::Refused(Box::new(Refused { scene, trace, offers, id, why }))),
            Err(failure) => {
                scene.remove_image(id.as_deref()).await;
                Err(failure)
            }
        }
    }
}

impl<'a> Examined<'a> {
    /// Returns a clean result. For a refused build, removes what may hold a secret. One image stays: if another build
    /// may have served values to its steps, that build may be about to name the image.
    ///
    /// # Errors
    /// Returns a [`Refusal`] if the result was refused.
    pub(super) async fn clear(self) -> Result<Cleared<'a>, Refusal> {
        let Refused { scene, trace, offers, id, why } = match self {
            Self::Clean(cleared) => return Ok(*cleared),
            Self::Refused(refused) => *refused,
        };
        let id = id.as_deref();
        Err(match why {
            Objection::LeakInImage(report) => {
                scene.remember(BuildOutcome::Leak, &offers);
                trace.refuse_image(&scene, *report, None, id).await
            }
            Objection::LeakInFiles(report) => {
                scene.remember(BuildOutcome::Leak, &offers);
                trace.refuse_files(&scene, report, id).await
            }
            Objection::LeakInCache(leak) => {
                scene.remember(BuildOutcome::Leak, &offers);
                trace.refuse_cache(&scene, leak, id).await
            }
            Objection::Incomplete(report) => {
                scene.remember(BuildOutcome::Incomplete, &offers);
                scene.remove_image(id).await;
                Refusal::Incomplete(report)
            }
            Objection::IncompleteCache(report) => {
                scene.remember(BuildOutcome::Incomplete, &offers);
                scene.remove_image(id).await;
                Refusal::IncompleteCache(report)
            }
            Objection::Doubtful(doubts) => {
                scene.remember(BuildOutcome::Incomplete, &offers);
                // The build that served the value may have made this same image, and may be about to name it.
                if doubts.unasked().is_empty() {
                    scene.remove_image(id).await;
                }
                Refusal::Doubtful(doubts)
            }
        })
    }
}

/// Prints whether the gate proved the build clean, and returns its proof if there is one.
fn proof(scene: &Scene<'_>, outcome: Option<GateOutcome>) -> Option<Box<Proof>> {
    match outcome {
        Some(GateOutcome::Clean(proof)) => {
            scene.edge.fact("audit", &report::clean_in_builder(&proof));
            Some(proof)
        }
        Some(GateOutcome::Unproven(why)) => {
            scene.edge.fact("audit", &format!("searching the whole image, because {why}"));
            None
        }
        Some(GateOutcome::Leak(_)) | None => None,
    }
}

impl Examination<'_, '_> {
    /// Searches the files first. Files of a refused build disappear when they are dropped, but an image has to be
    /// removed.
    async fn all(&self, places: Pending, built: Option<Built>, caches: PrivateCaches) -> Result<Search, Failure> {
        let edge = self.scene.edge;
        let attested = self.attestations.reach();
        let (places, reports) = match places.examine(self.proof.as_deref(), attested, &self.scene.needles, edge).await?
        {
            OutputVerdict::Clean(places, reports) => (places, reports),
            OutputVerdict::Leak(report) => return Ok(Search::Objection(Objection::LeakInFiles(report))),
            OutputVerdict::Incomplete(report) => return Ok(Search::Objection(Objection::Incomplete(report))),
        };
        reports.iter().for_each(|found| edge.fact("audit", &report::clean(found)));
        let image = match built {
            None => None,
            Some(built) => match self.image(built).await? {
                ImageSearch::Clean(image) => Some(image),
                ImageSearch::Objection(why) => return Ok(Search::Objection(why)),
            },
        };
        let memory = LayerMemory::open(&self.scene.secrets.all, &|name: &str| std::env::var_os(name));
        let memory = memory.map(|memory| Arc::new(memory) as Arc<dyn Memory>);
        Ok(match caches.search(memory, &self.scene.needles, edge).await? {
            CacheVerdict::Clean(caches, reports) => {
                reports.iter().for_each(|found| edge.fact("audit", &report::clean_cache(found)));
                Search::Clean(Clean { image, places, caches })
            }
            CacheVerdict::Leak(leak) => Search::Objection(Objection::LeakInCache(leak)),
            CacheVerdict::Incomplete(report) => Search::Objection(Objection::IncompleteCache(report)),
        })
    }

    /// Searches the image in the engine's store: with a proof, only the documents that the engine attached since;
    /// otherwise the whole image.
    async fn image(&self, built: Built) -> Result<ImageSearch, Failure> {
        let (scene, edge) = (self.scene, self.scene.edge);
        if let Some(proof) = &self.proof {
            // If this process cannot read the engine's store although documents were asked for, it is not known what
            // they hold. If no documents were asked for, there is nothing to read.
            let unreadable = self.attached.is_none() && self.attestations.asked_for();
            let verdict = match unreadable {
                true => AttachedVerdict::Unknown,
                false => built.audit_attached(self.attached.as_ref(), Arc::clone(&scene.needles), edge).await?,
            };
            match verdict {
                AttachedVerdict::Clean(unseen) => return Ok(ImageSearch::Clean(built.proven(proof, unseen))),
                AttachedVerdict::Leak(report) => return Ok(ImageSearch::Objection(Objection::LeakInImage(report))),
                AttachedVerdict::Unknown => {
                    let why = "what the engine attached to it could not be read back";
                    edge.fact("audit", &format!("searching the whole image, because {why}"));
                }
            }
        }
        let engine = scene.site.engine().ok_or(DeliveryError::NoEngine)?;
        Ok(match built.audit(engine, &scene.secrets, Arc::clone(&scene.needles), edge).await? {
            ImageVerdict::Clean(image, found) => {
                edge.fact("audit", &report::clean(&found));
                ImageSearch::Clean(image)
            }
            ImageVerdict::Leak(report) => ImageSearch::Objection(Objection::LeakInImage(Box::new(report))),
            ImageVerdict::Incomplete(report) => ImageSearch::Objection(Objection::Incomplete(Box::new(report))),
        })
    }
}
