//! The targets that a build builds on: each is solved by the frontend within the build, gets its own secrets, and is handed
//! on as a named context.

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

/// A target that another one builds on, settled and checked.
#[derive(Debug)]
pub(super) struct InnerTarget {
    context: String,
    /// Its key among all targets of the build.
    key: String,
    plan: SettledPlan,
    secrets: Secrets,
    graph: Graph,
    inner: Vec<InnerTarget>,
}

/// A target that another one builds on, as it was ordered: the name of the context, the build, and its secrets.
pub(super) struct InnerMember {
    context: String,
    order: BuildOrder,
    secrets: Secrets,
    inner: Vec<InnerMember>,
}

impl InnerMember {
    /// Lends the agents of the target to the build that builds on it; one that has the same id there stays.
    pub(super) fn lend_to(&self, forwarding: &mut Forwarding) {
        forwarding.add(&self.order.forwarding);
        self.inner.iter().for_each(|base| base.lend_to(forwarding));
    }

    /// Gives each target its part of the secrets.
    pub(super) fn of(inner: Vec<(String, Member)>, secrets_of: &dyn Fn(&Member) -> Secrets) -> Vec<Self> {
        let base = |(context, member): (String, Member)| {
            let secrets = secrets_of(&member);
            Self { context, order: member.order, secrets, inner: Self::of(member.inner, secrets_of) }
        };
        inner.into_iter().map(base).collect()
    }
}

impl InnerTarget {
    /// Settles targets as they will be sent, and checks what will be public of them.
    ///
    /// # Errors
    /// What keeps one from being built.
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
            // A build that needs only some files of it may leave out the step that a pattern means.
            let graph = Graph::new(injected, secrets.ids(), secrets.redactor.clone()).of_a_part();
            let graph = graph.declared_at(injected::places(manifest.as_ref()));
            settled.push(Self { context, key, plan, secrets, graph, inner });
        }
        Ok(settled)
    }

    /// Whether the engine must be asked for the address of its gateway.
    pub(super) fn asks_for_gateway(&self) -> bool {
        self.plan.asks_for_gateway() || self.inner.iter().any(Self::asks_for_gateway)
    }

    /// The ids of the secrets that its steps, and those of the targets below it, may ask for.
    pub(super) fn ids(&self) -> BTreeSet<String> {
        self.inner.iter().fold(self.secrets.ids(), |mut ids, base| {
            ids.extend(base.ids());
            ids
        })
    }

    /// The secrets of its steps, and of those below it, that are to be no part of cache keys.
    pub(super) fn has_unbound(&self) -> bool {
        !self.secrets.unbound().is_empty() || self.inner.iter().any(Self::has_unbound)
    }

    /// Puts the target into the request of the build that builds on it.
    pub(super) fn enter(&self, gateway: Option<&str>, request: &mut BuildRequest) -> TargetContext {
        let names = (self.context.clone(), self.key.clone());
        let mut context = self.plan.context_of(names, (Environment::of_process().docker_folder(), gateway), request);
        context.targets = self.inner.iter().map(|base| base.enter(gateway, request)).collect();
        context
    }

    /// Takes the graphs that its steps, and those below it, will be injected into, by key.
    pub(super) fn graphs(self) -> Vec<(String, Graph)> {
        let below = self.inner.into_iter().flat_map(Self::graphs);
        below.chain([(self.key, self.graph)]).collect()
    }
}
