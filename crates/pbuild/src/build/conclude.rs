//! From a build that ran to its end: what came of it is looked at, and goes where it should, or nowhere.

use std::sync::Arc;

use pbuildkit::BuildResult;
use pcli::BuildOutcome;
use pscreen::{Diagnostic, Exit};

use super::Work;
use crate::audit::attached::Attached;
use crate::audit::{AttachedVerdict, Audited, Built, Verdict};
use crate::build::context::ContextLeak;
use crate::build::finish;
use crate::build::finish::{BuilderPlace, Finish, image_id};
use crate::build::injection::Injection;
use crate::build::leftovers;
use crate::build::leftovers::order::Marks;
use crate::build::leftovers::{CacheBefore, Removed};
use crate::build::offers::Offers;
use crate::build::report;
use crate::edge::Failure;
use crate::gate::{Leak, Outcome, Proof};
use crate::output;
use crate::output::{Cleared, Pending};
use crate::plan::attestation::Attested;

/// A build that ran to its end, and of which nothing is known yet.
pub(super) struct Ended {
    pub(super) result: BuildResult,
    /// The image in the engine's store, where one is wanted.
    pub(super) built: Option<Built>,
    pub(super) injection: Injection,
    pub(super) before: CacheBefore,
    pub(super) attached: Option<Attached>,
    pub(super) attested: Attested,
    pub(super) offers: Offers,
}

/// Why a finished build goes nowhere.
enum Refused {
    /// A secret is in it; in the image, or in files that came of it.
    Leak { report: Box<pscan::Report>, of_image: bool },
    /// Something could not be searched.
    Incomplete(Box<pscan::Report>),
}

impl Work<'_> {
    pub(super) async fn finish_without_secrets(mut self, result: BuildResult) -> Result<Exit, Failure> {
        self.caches.tag_folders(&result.exporter_response).map_err(|(folder, error)| {
            let diagnostic = Diagnostic::from_error(&error, Exit::Failed);
            diagnostic.note(format!("while writing --cache-to type=local,dest={}", folder.display()))
        })?;
        self.edge.fact("audit", "nothing to search for: this build has no secrets");
        let places = Pending::new(std::mem::take(&mut self.outputs.places));
        let image = match &self.outputs.store {
            Some(_) => Some(Built::new(image_id(&result)?).without_secrets()),
            None => None,
        };
        self.finish(image, places.without_secrets(), result).await
    }

    async fn finish(&self, image: Option<Audited>, outputs: Cleared, result: BuildResult) -> Result<Exit, Failure> {
        let push = self.outputs.store.as_ref().is_some_and(|store| store.push);
        let (engine, names) = (self.site.engine(), self.plan.tags.as_slice());
        let place = match (&self.outputs.registry, self.outputs.loads) {
            (Some(_), _) => BuilderPlace::Registry,
            (None, true) => BuilderPlace::Engine,
            (None, false) => BuilderPlace::Nowhere,
        };
        let finish = Finish { engine, arguments: self.arguments, names, push, place, edge: self.edge };
        finish.run(image, outputs, result).await
    }

    /// Searches what is not proven, and lets go what is clean.
    pub(super) async fn conclude(mut self, ended: Ended) -> Result<Exit, Failure> {
        let Ended { result, built, mut injection, before, attached, attested, offers } = ended;
        let proof = match injection.take_outcome() {
            Some(Outcome::Clean(proof)) => {
                self.edge.fact("audit", &report::clean_in_builder(&proof));
                Some(proof)
            }
            Some(Outcome::Unproven(why)) => {
                self.edge.fact("audit", &format!("searching the whole image, because {why}"));
                None
            }
            Some(Outcome::Leak(_)) | None => None,
        };
        let id = built.as_ref().map(|built| built.id().to_owned());
        let places = Pending::new(std::mem::take(&mut self.outputs.places));
        let examined = async {
            // The places first: what they hold goes without a trace, an image has to be removed.
            let examined = places.examine(proof.as_deref(), attested, &self.needles, self.edge).await?;
            let (outputs, reports) = match examined {
                output::Examined::Clean(outputs, reports) => (outputs, reports),
                output::Examined::Leak(report) => return Ok(Err(Refused::Leak { report, of_image: false })),
                output::Examined::Incomplete(report) => return Ok(Err(Refused::Incomplete(report))),
            };
            reports.iter().for_each(|found| self.edge.fact("audit", &report::clean(found)));
            let Some(built) = built else { return Ok(Ok((None, outputs))) };
            let image = self.examine(built, proof.as_deref(), attached.as_ref()).await?;
            Ok(image.map(|image| (Some(image), outputs)))
        };
        let examined: Result<Result<_, Refused>, Failure> = examined.await;
        match examined {
            Ok(Ok((image, outputs))) => {
                self.remember(BuildOutcome::Clean, &offers);
                self.finish(image, outputs, result).await
            }
            Ok(Err(Refused::Leak { report, of_image })) => {
                self.remember(BuildOutcome::Leak, &offers);
                let found = Leak { platform: None, report };
                if of_image {
                    return Err(self.leak(&found, id.as_deref(), &injection, &before).await);
                }
                let holding = report::holding(&found.report, None, &injection);
                let removed = self.remove(id.as_deref(), &before, &injection.marks(), &holding).await;
                let told = report::removed(removed, self.arguments.keep_leaked_cache);
                Err(report::leak_of_files(&found.report).note(told).into())
            }
            Ok(Err(Refused::Incomplete(found))) => {
                self.remember(BuildOutcome::Incomplete, &offers);
                self.remove_image(id.as_deref()).await;
                Err(report::incomplete(&found).into())
            }
            Err(failure) => {
                self.remove_image(id.as_deref()).await;
                Err(failure)
            }
        }
    }

    /// Looks at the image in the engine's store: at what was attached to it since the proof, or at all of it.
    async fn examine(
        &self,
        built: Built,
        proof: Option<&Proof>,
        attached: Option<&Attached>,
    ) -> Result<Result<Audited, Refused>, Failure> {
        let of_leak = |report| Err(Refused::Leak { report, of_image: true });
        if let Some(proof) = proof {
            // Without a store that holds attestations nothing was asked for that could be one.
            let unreadable = attached.is_none() && self.attestations.asked_for();
            let needles = Arc::clone(&self.needles);
            let verdict = match unreadable {
                true => AttachedVerdict::Unknown,
                false => built.audit_attached(attached, needles, self.edge).await?,
            };
            match verdict {
                AttachedVerdict::Clean(nothing_unseen) => return Ok(Ok(built.proven(proof, nothing_unseen))),
                AttachedVerdict::Leak(report) => return Ok(of_leak(report)),
                AttachedVerdict::Unknown => {
                    let why = "what the engine attached to it could not be read back";
                    self.edge.fact("audit", &format!("searching the whole image, because {why}"));
                }
            }
        }
        let engine = self.site.engine().ok_or_else(finish::no_engine)?;
        Ok(match built.audit(engine, &self.secrets, Arc::clone(&self.needles), self.edge).await? {
            Verdict::Clean(image, found) => {
                self.edge.fact("audit", &report::clean(&found));
                Ok(image)
            }
            Verdict::Leak(report) => of_leak(Box::new(report)),
            Verdict::Incomplete(report) => Err(Refused::Incomplete(Box::new(report))),
        })
    }

    /// Removes an image that may not stay, where there is one.
    pub(super) async fn remove_image(&self, id: Option<&str>) {
        if let (Some(id), Some(engine)) = (id, self.site.engine()) {
            leftovers::remove_unnamed_image(engine, id).await;
        }
    }

    /// Says where a secret is, and removes what holds it: cache records, and the image if one was exported.
    pub(super) async fn leak(
        &self,
        found: &Leak,
        id: Option<&str>,
        injection: &Injection,
        before: &CacheBefore,
    ) -> Failure {
        let platform = found.platform.as_deref();
        let holding = report::holding(&found.report, platform, injection);
        let removed = self.remove(id, before, &injection.marks(), &holding).await;
        let told = report::removed(removed, self.arguments.keep_leaked_cache);
        report::leak(&found.report, platform, injection).note(told).into()
    }

    pub(super) async fn context_leak(&self, leaks: Vec<ContextLeak>, before: &CacheBefore, marks: &Marks) -> Failure {
        // The file itself was never sent, so that no record holds the value.
        if let Err(error) = before.restore(&self.site.builder, marks, &Marks::default()).await {
            self.edge.stderr.warning(&format!(
                "what was sent of the context could not be removed: {error}; run `docker builder prune`"
            ));
        }
        let mut diagnostic = Diagnostic::error(
            "the build context holds a secret; nothing of the file was sent to the engine",
            Exit::Leak,
        );
        for leak in &leaks {
            diagnostic = diagnostic.note(leak.to_string());
        }
        let (path, name) = leaks.first().map(|leak| (leak.path.clone(), leak.secret.clone())).unwrap_or_default();
        diagnostic
            .help(format!("list {path} in .dockerignore; or, if no COPY takes it, --allow-context-leak {name}"))
            .into()
    }

    async fn remove(&self, id: Option<&str>, before: &CacheBefore, marks: &Marks, holding: &Marks) -> Removed {
        let images = match id.zip(self.site.engine()) {
            Some((id, engine)) => usize::from(leftovers::remove_unnamed_image(engine, id).await),
            None => 0,
        };
        if self.arguments.keep_leaked_cache {
            return Removed { images, ..Removed::default() };
        }
        let warn = |why: &str| {
            let what = "cache records that hold the value could not be removed";
            self.edge.stderr.warning(&format!("{what}: {why}; run `docker builder prune`"));
        };
        match before.restore(&self.site.builder, marks, holding).await {
            Ok(removed) => {
                if removed.kept > 0 {
                    warn("another build uses them");
                }
                Removed { images, ..removed }
            }
            Err(error) => {
                warn(&error.to_string());
                Removed { images, ..Removed::default() }
            }
        }
    }
}
