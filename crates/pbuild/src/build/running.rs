//! A build that the engine carries out.

use std::collections::BTreeMap;
use std::sync::Arc;

use pbuildkit::status::{StatusUpdate, Warning};
use pbuildkit::{AskedSecret, BuildError, BuildRequest, BuildResult, SecretAnswer};
use pcli::BuildOutcome;
use pscreen::progress::{FailedStep, ProgressMode, Summary};
use pscreen::{Cancellation, Ending};
use tokio::sync::mpsc;

use super::cleared::{Cleared, built_image};
use super::context::ContextGuard;
use super::doubt::Doubts;
use super::failure::{BrokenBuild, widened};
use super::finished::{Finished, Unsearched};
use super::injection::{Injection, InjectionError};
use super::leftovers::CacheBefore;
use super::offers::{Offers, StepState};
use super::scene::Scene;
use super::screen::{Pane, ScreenAccount};
use super::trace::Trace;
use crate::audit::Built;
use crate::audit::attached::Attached;
use crate::binding::KeyReach;
use crate::cache_export::PrivateCaches;
use crate::edge::Failure;
use crate::output::Outputs;
use crate::plan::ssh::LentAgents;
use crate::plan::{Attestations, Caches};

/// A build that starts when [`Running::run`] is awaited.
pub(super) struct Running<'a> {
    pub(super) scene: Scene<'a>,
    pub(super) outputs: Outputs,
    /// The caches that the user's flags name.
    pub(super) flags: Caches,
    /// The SSH agents that the build lends to its steps. They end with the build.
    pub(super) agents: LentAgents,
    pub(super) request: BuildRequest,
    pub(super) updates: mpsc::Sender<StatusUpdate>,
    pub(super) pane: Pane,
    /// The guards of a build that gets secrets or configuration. Without guards, the same request runs that docker
    /// would send.
    pub(super) guarded: Option<Guarded>,
}

/// Everything that guards a build with secrets or configuration.
pub(super) struct Guarded {
    pub(super) injection: Injection,
    pub(super) context: Arc<ContextGuard>,
    pub(super) before: CacheBefore,
    pub(super) attached: Option<Attached>,
    pub(super) attestations: Attestations,
    /// The caches that are searched before they are exported.
    pub(super) caches: PrivateCaches,
}

/// A build that has ended in the engine, and of which nothing was reported yet, because a screen may still show other
/// builds.
pub(super) struct Ended<'a> {
    scene: Scene<'a>,
    outputs: Outputs,
    flags: Caches,
    pane: Pane,
    guarded: Option<Guarded>,
    end: End,
}

/// The end of a build in the engine.
enum End {
    /// The engine answered.
    Answer(Result<BuildResult, BuildError<InjectionError>>),
    /// The command was cancelled.
    Cancelled(Ending),
    /// Another build of the group failed.
    Withdrawn,
}

impl<'a> Running<'a> {
    /// Waits until the build ends, or until another build of its group withdraws it.
    pub(super) async fn run(self, withdrawal: &Cancellation) -> Ended<'a> {
        let Self { scene, outputs, flags, agents, request, updates, pane, mut guarded } = self;
        let building = async {
            match &mut guarded {
                Some(guarded) => scene.site.builder.build(request, Some(&mut guarded.injection), updates).await,
                None => scene
                    .site
                    .builder
                    .build_plain(request, updates)
                    .await
                    .map_err(|error| widened(error, |never| match never {})),
            }
        };
        let waiting = scene.edge.cancellation.unless_cancelled(withdrawal.unless_cancelled(building)).await;
        let end = match waiting {
            Err(ending) => End::Cancelled(ending),
            Ok(Err(_)) => End::Withdrawn,
            Ok(Ok(answer)) => End::Answer(answer),
        };
        drop(agents);
        if let Some(guarded) = &mut guarded {
            // A build that waits for this build's vote must learn that no vote will come.
            guarded.injection.leave_company();
        }
        Ended { scene, outputs, flags, pane, guarded, end }
    }
}

impl<'a> Ended<'a> {
    /// Returns whether this build failed in such a way that the other builds of the group need not go on. After a
    /// leak they go on, so that every leak is found at once.
    pub(super) fn ends_the_others(&self) -> bool {
        match &self.end {
            End::Answer(Ok(_)) | End::Withdrawn => false,
            End::Answer(Err(BuildError::Transform(
                InjectionError::Leak(_) | InjectionError::StageLeak(_) | InjectionError::Withheld,
            ))) => false,
            End::Answer(Err(_)) | End::Cancelled(_) => true,
        }
    }

    /// Reports the build after the screen has shown everything, and returns its result with the warnings of the
    /// frontend. Returns `None` if the build has no result only because of another build of the group.
    ///
    /// # Errors
    /// Returns an error if the build failed, or if a secret was found before the result was returned.
    pub(super) async fn conclude(self, summary: &Summary) -> Result<Option<(Finished<'a>, Vec<Warning>)>, Failure> {
        let Self { scene, outputs, flags, pane, guarded, end } = self;
        let ScreenAccount { failed, states, warnings } = pane.finish(summary).await;
        let answer = match end {
            End::Answer(Err(BuildError::Transform(InjectionError::Withheld))) | End::Withdrawn => return Ok(None),
            End::Answer(answer) => answer,
            End::Cancelled(ending) => return Err(ending.into()),
        };
        let Some(Guarded { injection, context, before, attached, attestations, caches }) = guarded else {
            let result = answer.map_err(|error| BrokenBuild::uninjected(error, failed))?;
            let cleared = Cleared::without_secrets(scene, outputs, &flags, result)?.recorded();
            return Ok(Some((Finished::Plain(Box::new(cleared)), warnings)));
        };
        let (allowed, refused) = context.leaks().into_iter().partition::<Vec<_>, _>(|leak| leak.allowed);
        allowed.iter().for_each(|leak| scene.edge.stderr.warning(&leak.to_string()));
        if injection.key_reach() == Some(KeyReach::Build) {
            scene.edge.stderr.warning(&format!(
                "there is no place to keep a key for cached steps, so steps with secrets run in each build; \
                 `pbuild secrets cache-key` makes one for {}",
                pcli::CACHE_KEY_VARIABLE
            ));
        }
        let trace = Trace { injection, before, context_holds: !allowed.is_empty() };
        let result = match answer {
            Ok(result) => result,
            Err(BuildError::Stopped { .. }) => return Err(trace.refuse_context(&scene, refused).await.into()),
            Err(error) => {
                let exports = caches.of_stages();
                return Err(broken(&scene, &trace, error, &states, failed, &exports).await);
            }
        };
        let offers = tell_offers(&scene, &trace.injection, &states, &result.asked_secrets);
        let doubts =
            Doubts::new(&trace.injection.unbound(), trace.injection.graph().steps(), &states, &result.asked_secrets);
        doubts.cached().iter().for_each(|doubt| scene.edge.stderr.warning(&doubt.of_cached()));
        let built = outputs.store().map(|_| built_image(&result)).transpose()?;
        if let Err(error) = trace.injection.graph().check_patterns() {
            scene.remove_image(built.as_ref().map(Built::id)).await;
            return Err(error.into());
        }
        let unsearched =
            Unsearched { scene, outputs, flags, caches, result, built, trace, attached, attestations, offers, doubts };
        Ok(Some((Finished::Unsearched(Box::new(unsearched)), warnings)))
    }
}

/// Explains a build that was ended by the engine, the guard or the gate.
async fn broken(
    scene: &Scene<'_>,
    trace: &Trace,
    error: BuildError<InjectionError>,
    states: &BTreeMap<String, StepState>,
    failed: Option<FailedStep>,
    exports: &str,
) -> Failure {
    match error {
        BuildError::Transform(InjectionError::Leak(found)) => {
            let offers = tell_offers(scene, &trace.injection, states, trace.injection.asked());
            scene.remember(BuildOutcome::Leak, &offers);
            trace.refuse_image(scene, *found.report, found.platform, None).await.into()
        }
        BuildError::Transform(InjectionError::StageLeak(leak)) => {
            let offers = tell_offers(scene, &trace.injection, states, trace.injection.asked());
            scene.remember(BuildOutcome::Leak, &offers);
            trace.refuse_stage(scene, *leak, exports).await.into()
        }
        error => {
            let given = scene.secrets.delivered().map(|secret| secret.name().as_str());
            BrokenBuild::injected(error, &trace.injection, failed).given(given).into()
        }
    }
}

/// Prints which steps got which secrets, and which secrets no step used. Also warns of a pattern that matches no
/// step, and of an ID that the engine asked for although no step mounts it.
fn tell_offers(
    scene: &Scene<'_>,
    injection: &Injection,
    states: &BTreeMap<String, StepState>,
    asked: &[AskedSecret],
) -> Offers {
    let edge = scene.edge;
    let names: Vec<String> = scene.secrets.offered().map(|secret| secret.name().to_string()).collect();
    let offers = Offers::new(&names, injection.graph().steps(), states, asked);
    offers.lines().iter().for_each(|line| edge.fact("offered", line));
    offers.unused().iter().for_each(|line| edge.fact("unused", line));
    if scene.choices.show() == ProgressMode::RawJson {
        edge.stderr.bytes(format!("{}\n", offers.json()).as_bytes());
    }
    for unmatched in injection.graph().unmatched() {
        let (name, pattern) = (unmatched.name, unmatched.pattern);
        edge.stderr.warning(&format!("no step of this part of the build matches `{pattern}`, which {name} is for"));
    }
    for asked in asked.iter().filter(|asked| asked.answer == SecretAnswer::NotMounted) {
        edge.stderr.warning(&format!(
            "the engine asked for secret `{}`, which no step of this build mounts; it got nothing",
            asked.id
        ));
    }
    offers
}
