//! The inner targets of a build. The frontend solves each inner target within the build, the target's steps get the
//! target's own secrets, and the result becomes a named context.

use std::collections::BTreeSet;

use pbuildkit::{BuildRequest, TargetContext};
use pengine::Environment;
use pproof::Graph;

use super::readings::Member;
use super::{frontend, guard, injected, sent};
use crate::edge::{Edge, Failure};
use crate::plan::ssh::Forwarding;
use crate::plan::{BuildOrder, LateFacts, SettledPlan};
use crate::secrets::Secrets;

/// An inner target, settled and checked.
#[derive(Debug)]
pub(super) struct InnerTarget {
    context: String,
    /// The key of this target among all targets of the build.
    key: String,
    plan: SettledPlan,
    secrets: Secrets,
    graph: Graph,
    inner: Vec<InnerTarget>,
}

/// An inner target as the user ordered it: the name of the context, the build, and its secrets.
pub(super) struct InnerMember {
    context: String,
    order: BuildOrder,
    secrets: Secrets,
    inner: Vec<InnerMember>,
}

impl InnerMember {
    /// Lends the SSH agents of the target to the outer build. If the outer build has an agent of the same ID, that
    /// agent stays.
    pub(super) fn lend_to(&self, forwarding: &mut Forwarding) {
        forwarding.add(&self.order.forwarding);
        self.inner.iter().for_each(|base| base.lend_to(forwarding));
    }

    /// Makes the members, and gives each of them its part of the secrets.
    pub(super) fn of(inner: Vec<(String, Member)>, secrets_of: &dyn Fn(&Member) -> Secrets) -> Vec<Self> {
        let base = |(context, member): (String, Member)| {
            let secrets = secrets_of(&member);
            Self { context, order: member.order, secrets, inner: Self::of(member.inner, secrets_of) }
        };
        inner.into_iter().map(base).collect()
    }
}

impl InnerTarget {
    /// Settles the targets as they will be sent, and checks everything of them that will be public.
    ///
    /// # Errors
    /// Returns an error if one of the targets cannot be built.
    pub(super) fn settle(
        inner: Vec<InnerMember>,
        above: &str,
        proxies: &[(&'static str, String)],
        edge: &Edge,
    ) -> Result<Vec<Self>, Failure> {
        let mut settled = Vec::new();
        for (InnerMember { context, order, secrets, inner }, number) in inner.into_iter().zip(0..) {
            let BuildOrder { plan, outputs, extras, manifest, choices, .. } = order;
            let extras = extras?;
            let dockerfile = plan.dockerfile_text()?;
            sent::warn(&plan, edge)?;
            let frontend = frontend::choose(&plan, dockerfile.as_deref(), &choices, &secrets)?;
            let plan = plan.settle(&LateFacts { frontend, proxies: proxies.to_vec() });
            guard::check(&plan, &extras, &outputs, dockerfile.as_deref(), &secrets.redactor)?;
            let key = format!("{above}{number}");
            let inner = Self::settle(inner, &format!("{key}-"), proxies, edge)?;
            let injected = injected::plan(&secrets, manifest.as_ref());
            // A build that needs only some files of the target may leave out the step that a pattern matches.
            let graph = Graph::new(injected, secrets.ids(), secrets.redactor.clone()).of_a_part();
            let graph = graph.declared_at(injected::places(manifest.as_ref()));
            settled.push(Self { context, key, plan, secrets, graph, inner });
        }
        Ok(settled)
    }

    /// Returns whether the engine must be asked for the address of its gateway.
    pub(super) fn asks_for_gateway(&self) -> bool {
        self.plan.asks_for_gateway() || self.inner.iter().any(Self::asks_for_gateway)
    }

    /// Returns the IDs of the secrets that the steps of this target, and of its inner targets, may ask for.
    pub(super) fn ids(&self) -> BTreeSet<String> {
        self.inner.iter().fold(self.secrets.ids(), |mut ids, base| {
            ids.extend(base.ids());
            ids
        })
    }

    /// Returns whether this target, or one of its inner targets, has secrets that must not be part of cache keys.
    pub(super) fn has_unbound(&self) -> bool {
        !self.secrets.unbound().is_empty() || self.inner.iter().any(Self::has_unbound)
    }

    /// Adds the target to the request of the outer build, and returns its context.
    pub(super) fn enter(&self, gateway: Option<&str>, request: &mut BuildRequest) -> TargetContext {
        let names = (self.context.clone(), self.key.clone());
        let mut context = self.plan.context_of(names, (Environment::of_process().docker_folder(), gateway), request);
        context.targets = self.inner.iter().map(|base| base.enter(gateway, request)).collect();
        context
    }

    /// Returns the graphs of this target and of its inner targets, by key.
    pub(super) fn graphs(self) -> Vec<(String, Graph)> {
        let below = self.inner.into_iter().flat_map(Self::graphs);
        below.chain([(self.key, self.graph)]).collect()
    }
}
