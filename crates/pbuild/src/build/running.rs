//! A build in the engine's hands.

use std::collections::BTreeMap;
use std::sync::Arc;

use pbuildkit::status::StatusUpdate;
use pbuildkit::{AskedSecret, BuildError, BuildRequest, SecretAnswer};
use pcli::BuildOutcome;
use pscreen::progress::{FailedStep, ProgressMode};
use tokio::sync::mpsc;

use super::cleared::built_image;
use super::context::ContextGuard;
use super::doubt::Doubts;
use super::failure::BrokenBuild;
use super::finished::Finished;
use super::injection::{Injection, InjectionError};
use super::leftovers::CacheBefore;
use super::offers::{Offers, StepState};
use super::scene::Scene;
use super::screen::{Screen, ScreenAccount};
use super::trace::Trace;
use crate::audit::Built;
use crate::audit::attached::Attached;
use crate::binding::KeyReach;
use crate::edge::Failure;
use crate::output::Outputs;
use crate::plan::ssh::LentAgents;
use crate::plan::{Attestations, Caches};

/// A build that runs as soon as it is waited for.
pub(super) struct Running<'a> {
    pub(super) scene: Scene<'a>,
    pub(super) outputs: Outputs,
    pub(super) caches: Caches,
    /// The agents that the build lends to its steps; they end with the build.
    pub(super) agents: LentAgents,
    pub(super) request: BuildRequest,
    pub(super) updates: mpsc::Sender<StatusUpdate>,
    pub(super) screen: Screen,
    pub(super) injection: Injection,
    pub(super) context: Arc<ContextGuard>,
    pub(super) before: CacheBefore,
    pub(super) attached: Option<Attached>,
    pub(super) attestations: Attestations,
}

impl<'a> Running<'a> {
    /// Waits for the end of the build.
    ///
    /// # Errors
    /// When the build fails, or a secret was found before the result was returned.
    pub(super) async fn finish(self) -> Result<Finished<'a>, Failure> {
        let Self { scene, outputs, caches, agents, request, updates, screen, mut injection, .. } = self;
        let building = scene.site.builder.build(request, Some(&mut injection), updates);
        let built = scene.edge.cancellation.unless_cancelled(building).await;
        let ScreenAccount { failed, states } = screen.finish().await;
        drop(agents);
        let (allowed, refused) = self.context.leaks().into_iter().partition::<Vec<_>, _>(|leak| leak.allowed);
        allowed.iter().for_each(|leak| scene.edge.stderr.warning(&leak.to_string()));
        if injection.key_reach() == Some(KeyReach::Build) {
            scene.edge.stderr.warning(&format!(
                "there is no place to keep a key for cached steps, so steps with secrets run in each build; \
                 `pbuild secrets cache-key` makes one for {}",
                pcli::CACHE_KEY_VARIABLE
            ));
        }
        let trace = Trace { injection, before: self.before, context_holds: !allowed.is_empty() };
        let result = match built? {
            Ok(result) => result,
            Err(BuildError::Stopped { .. }) => return Err(trace.refuse_context(&scene, refused).await.into()),
            Err(error) => return Err(broken(&scene, &trace, error, &states, failed).await),
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
        let (attached, attestations) = (self.attached, self.attestations);
        Ok(Finished { scene, outputs, caches, result, built, trace, attached, attestations, offers, doubts })
    }
}

/// Explains a build that the engine, the guard or the gate ended.
async fn broken(
    scene: &Scene<'_>,
    trace: &Trace,
    error: BuildError<InjectionError>,
    states: &BTreeMap<String, StepState>,
    failed: Option<FailedStep>,
) -> Failure {
    match error {
        BuildError::Transform(InjectionError::Leak(found)) => {
            let offers = tell_offers(scene, &trace.injection, states, trace.injection.asked());
            scene.remember(BuildOutcome::Leak, &offers);
            trace.refuse_image(scene, *found.report, found.platform, None).await.into()
        }
        error => {
            let given = scene.secrets.delivered().map(|secret| secret.name().as_str());
            BrokenBuild::injected(error, &trace.injection, failed).given(given).into()
        }
    }
}

/// Says which steps had which secrets, and which secret nobody needs: that one is one too many.
fn tell_offers(
    scene: &Scene<'_>,
    injection: &Injection,
    states: &BTreeMap<String, StepState>,
    asked: &[AskedSecret],
) -> Offers {
    let edge = scene.edge;
    let in_build = scene.secrets.all.iter().filter(|secret| secret.scope().in_build());
    let names: Vec<String> = in_build.map(|secret| secret.name().to_string()).collect();
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
