//! What pbuild does in a build while the builder prepares it: it checks the graph, gives the steps their secrets, and
//! has the results searched before they are returned.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::try_join_all;
use pbuildkit::{AskedSecret, Prepared, Refusal, TargetContext, Transform};
use pgateway::{Bridge, Capabilities};
use pllb::{ChainStep, Definition, SourceMap};
use pproof::{Gate, GateOutcome, Graph, GraphError, Leak, Scanner, Subject, Unproven};
use psecret::Redactor;

use crate::binding::{KeyReach, PendingBinding};
use crate::build::company::Seat;
use crate::build::doubt::Doubts;
use crate::build::guard;
use crate::build::guard::GuardError;
use crate::build::leftovers::order::Marks;
use crate::build::search_line::SearchLine;
use crate::build::stages::{self, Lineage, StageLeak};
use crate::scanner;

/// The reasons why pbuild ended a build before its result was returned.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InjectionError {
    /// The guard found a value in a place that would end up in the image.
    #[error(transparent)]
    Guard(#[from] GuardError),
    /// The secrets cannot be injected into the graph.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The search in the builder found a secret, so nothing was exported.
    #[error("the image would contain a secret")]
    Leak(Leak),
    /// The search in the builder proved nothing, and pbuild would not receive the image to search it.
    #[error("the image could not be searched in the builder: {0}")]
    Unproven(Unproven),
    /// A stage that a cache would carry holds a secret, so nothing was exported.
    #[error("a stage of the build holds a secret")]
    StageLeak(Box<StageLeak>),
    /// Steps may have got other values, and pbuild would not receive the image. Only after the build is it known
    /// which steps ran.
    #[error("steps of this build may have got other values")]
    Doubtful(Doubts),
    /// Another build of the group is not proven clean, and no result of the group leaves the builder without the
    /// others.
    #[error("another build of the group is not clean")]
    Withheld,
}

/// The kinds of caches that a build exports, as far as they matter to the search.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ExportedCaches {
    /// No cache that carries a state.
    #[default]
    Nothing,
    /// Caches of the image. They may carry other states as well.
    OfImage,
    /// Caches of all stages.
    OfStages,
}

/// The injection of one build. After the build, it still holds the facts about the steps.
#[derive(Debug)]
pub(crate) struct Injection {
    graph: Graph,
    redactor: Redactor,
    /// The digests that need a key from the builder.
    pending: Option<PendingBinding>,
    /// Whether the builder's notes about leaking steps are used: a step may have a cached result that another value
    /// made.
    notes_count: bool,
    /// How many builds share the key, if the key had to be asked for.
    reach: Option<KeyReach>,
    /// The scanner, if it was needed before the search.
    scanner: Option<Scanner>,
    gate: Option<Gate<SearchLine>>,
    /// Whether a result without a proof must not be returned.
    needs_proof: bool,
    /// The caches that the build will export.
    caches: ExportedCaches,
    lineages: Vec<Lineage>,
    outcome: Option<GateOutcome>,
    asked: Vec<AskedSecret>,
    seat: Seat,
    /// The graphs of the inner targets of this build, by key.
    targets: BTreeMap<String, Graph>,
}

impl Injection {
    /// Makes an injection into this graph that does nothing else until more is set.
    pub(crate) fn new(graph: Graph, redactor: Redactor) -> Self {
        let (pending, notes_count, reach, scanner, gate) = Default::default();
        let (needs_proof, caches, lineages, outcome, asked) = Default::default();
        let (seat, targets) = Default::default();
        Self {
            graph,
            redactor,
            pending,
            notes_count,
            reach,
            scanner,
            gate,
            needs_proof,
            caches,
            lineages,
            outcome,
            asked,
            seat,
            targets,
        }
    }

    /// Sets the graphs of the inner targets of this build, by key.
    pub(crate) fn building_on(self, targets: impl IntoIterator<Item = (String, Graph)>) -> Self {
        Self { targets: targets.into_iter().collect(), ..self }
    }

    /// Binds the steps of all graphs to the values that they get.
    fn bind(&mut self, digests: &BTreeMap<String, String>) {
        self.targets.values_mut().chain([&mut self.graph]).for_each(|graph| graph.bind(digests.clone()));
    }

    /// Sets the seat of the build among the builds that run together.
    pub(crate) fn among(self, seat: Seat) -> Self {
        Self { seat, ..self }
    }

    /// Gives up the seat, because the build has ended, with or without a result.
    pub(crate) fn leave_company(&mut self) {
        self.seat = Seat::default();
    }

    /// Sets the binding of steps to values that still needs a key.
    pub(crate) fn bound_by(self, pending: Option<PendingBinding>) -> Self {
        Self { pending, ..self }
    }

    /// Sets whether steps whose results once held a secret run again. This is needed if some secrets are not part of
    /// cache keys.
    pub(crate) fn minding_notes(self, notes_count: bool) -> Self {
        Self { notes_count, ..self }
    }

    /// Sets the gate that searches the build before its result is returned.
    pub(crate) fn with_gate(self, gate: Gate<SearchLine>) -> Self {
        Self { gate: Some(gate), ..self }
    }

    /// Demands a proof. A result that the gate has not proven is not exported, because nothing would search it later.
    pub(crate) fn needing_proof(self) -> Self {
        Self { needs_proof: true, ..self }
    }

    /// Sets which caches the build exports.
    pub(crate) fn exporting(self, caches: ExportedCaches) -> Self {
        Self { caches, ..self }
    }

    /// Returns the lineages of the results and of the other stages. They are known only if the build exports caches.
    pub(crate) fn lineages(&self) -> &[Lineage] {
        &self.lineages
    }

    /// Returns the graph, with everything that was injected so far.
    pub(crate) fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Returns how many builds share the key that binds steps to values, if the key was not at hand before the build.
    pub(crate) fn key_reach(&self) -> Option<KeyReach> {
        self.reach
    }

    /// Takes the outcome of the search in the builder, if there was a search and it let the build pass.
    pub(crate) fn take_outcome(&mut self) -> Option<GateOutcome> {
        self.outcome.take()
    }

    /// Returns the secrets that the engine had asked for before the search.
    pub(crate) fn asked(&self) -> &[AskedSecret] {
        &self.asked
    }

    /// Returns the marks by which the cache records of this build are recognised.
    pub(crate) fn marks(&self) -> Marks {
        let commands = self.graph.steps().iter().map(|step| step.command.clone()).collect();
        Marks { names: self.graph.names().clone(), commands, contexts: false }
    }

    /// Returns the marks of the cache records of one step of a platform's image and of the steps after it. The layer
    /// of the step is counted from the image's end, as in [`Graph::layer_lines`].
    pub(crate) fn marks_from(&self, platform: Option<&str>, from_last: usize) -> Marks {
        self.marks_of(self.graph.from_layer(platform, from_last))
    }

    /// Returns the marks of the cache records of these steps.
    pub(crate) fn marks_of<'a>(&self, held: impl Iterator<Item = &'a ChainStep>) -> Marks {
        let held: Vec<_> = held.collect();
        let of_held = |step: &&pllb::Step| held.iter().any(|held| held.digest == step.digest);
        Marks {
            names: held.iter().map(|step| step.name.clone()).collect(),
            commands: self.graph.steps().iter().filter(of_held).map(|step| step.command.clone()).collect(),
            contexts: false,
        }
    }

    /// Returns the secrets that are not part of the cache keys of steps.
    pub(crate) fn unbound(&self) -> BTreeSet<String> {
        let unbound = |graph: &Graph| -> Vec<String> {
            let bound = &graph.plan().bindings;
            graph.known().iter().filter(|name| !bound.contains_key(*name)).cloned().collect()
        };
        self.targets.values().chain([&self.graph]).flat_map(unbound).collect()
    }

    /// Finds the doubts while the build still runs. A step that did not ask may be cached, or another build may have
    /// answered it.
    fn doubts(&self) -> Doubts {
        Doubts::of_unknown_states(&self.unbound(), self.graph.steps(), &self.asked)
    }
}

impl Transform for Injection {
    type Error = InjectionError;

    async fn begin(&mut self, bridge: &Bridge, capabilities: &Capabilities) {
        let pending = self.pending.take();
        let remembered = pending.as_ref().and_then(PendingBinding::remembered);
        if let Some(digests) = remembered.clone() {
            self.bind(&digests);
        }
        let asking = pending.filter(|_| remembered.is_none());
        if asking.is_none() && !self.notes_count {
            return;
        }
        let scanner = Scanner::bring(bridge, capabilities, scanner::PROGRAMS).await;
        if let Some(pending) = asking {
            let (digests, reach) = pending.ask(bridge, &scanner).await;
            self.bind(&digests);
            self.reach = Some(reach);
        }
        if self.notes_count {
            // Without the notes, a cached step may have been made with another value; the doubts about the build
            // report such a step.
            self.graph.run_again(pproof::leaked_steps(bridge, &scanner).await.unwrap_or_default());
        }
        self.scanner = Some(scanner);
    }

    fn inspect(&mut self, metadata: &BTreeMap<String, Vec<u8>>) -> Result<(), Self::Error> {
        Ok(guard::check_metadata(metadata, &self.redactor)?)
    }

    fn transform(
        &mut self,
        capabilities: &Capabilities,
        platform: Option<&str>,
        definition: Definition,
    ) -> Result<Definition, Self::Error> {
        guard::check_source(&SourceMap::new(&definition), &self.redactor)?;
        self.targets.values().for_each(|target| self.graph.build_on(target));
        let injected = self.graph.inject(capabilities, platform, definition)?;
        if self.caches != ExportedCaches::Nothing {
            self.lineages.extend(stages::lineages(&injected));
        }
        Ok(injected)
    }

    fn transform_target(
        &mut self,
        target: &TargetContext,
        capabilities: &Capabilities,
        platform: Option<&str>,
        definition: Definition,
    ) -> Result<Definition, Self::Error> {
        guard::check_source(&SourceMap::new(&definition), &self.redactor)?;
        // A target without a planned graph gets no secrets.
        let Some(mut graph) = self.targets.remove(&target.key) else { return Ok(definition) };
        let below = target.targets.iter().filter_map(|below| self.targets.get(&below.key));
        below.for_each(|below| graph.build_on(below));
        let injected = graph.inject(capabilities, platform, definition);
        self.targets.insert(target.key.clone(), graph);
        Ok(injected?)
    }

    async fn prove(&mut self, prepared: Prepared<'_>) -> Result<(), Refusal<Self::Error>> {
        let Some(gate) = &mut self.gate else {
            return match self.seat.agree().await {
                true => Ok(()),
                false => Err(Refusal::Refused(InjectionError::Withheld)),
            };
        };
        // The steps are evaluated before the search, so that a step that fails is reported as the build's failure and
        // not as the search's.
        let evaluated = try_join_all(prepared.results.iter().map(|result| {
            let mut bridge = prepared.bridge.clone();
            async move { bridge.evaluate(&result.reference).await }
        }));
        let brought = self.scanner.take();
        let scanner = async {
            match brought {
                Some(scanner) => scanner,
                None => Scanner::bring(&prepared.bridge, prepared.capabilities, scanner::PROGRAMS).await,
            }
        };
        let (evaluated, scanner) = futures::join!(evaluated, scanner);
        evaluated?;
        self.asked = prepared.asked_secrets();
        let subject = Subject { bridge: &prepared.bridge, documents: prepared.metadata, results: &prepared.results };
        let room = self.seat.room().await;
        let outcome = gate.search(subject, &scanner).await;
        let stage = match &outcome {
            GateOutcome::Clean(_) if self.caches == ExportedCaches::OfStages => {
                stages::search(&prepared, gate, &scanner).await
            }
            GateOutcome::Clean(_) | GateOutcome::Leak(_) | GateOutcome::Unproven(_) => None,
        };
        drop(room);
        if let Some(leak) = stage {
            let held = pproof::holding(&leak.report, &leak.steps);
            let _ = pproof::note_steps(&prepared.bridge, &scanner, held, Vec::new()).await;
            return Err(Refusal::Refused(InjectionError::StageLeak(Box::new(leak))));
        }
        let (leaked, clean) = match &outcome {
            GateOutcome::Leak(leak) => (self.graph.holding(&leak.report, leak.platform.as_deref()), Vec::new()),
            GateOutcome::Clean(_) => (Vec::new(), self.graph.ran_again()),
            GateOutcome::Unproven(_) => (Vec::new(), Vec::new()),
        };
        // An error of writing notes is ignored. A missing note cannot make an image pass, because every returned
        // result is searched.
        let _ = pproof::note_steps(&prepared.bridge, &scanner, leaked, clean).await;
        match outcome {
            GateOutcome::Leak(leak) => Err(Refusal::Refused(InjectionError::Leak(leak))),
            GateOutcome::Unproven(why) if self.needs_proof => Err(Refusal::Refused(InjectionError::Unproven(why))),
            GateOutcome::Clean(_) if self.needs_proof && !self.doubts().unasked().is_empty() => {
                Err(Refusal::Refused(InjectionError::Doubtful(self.doubts())))
            }
            outcome @ (GateOutcome::Clean(_) | GateOutcome::Unproven(_)) => {
                if !self.seat.agree().await {
                    return Err(Refusal::Refused(InjectionError::Withheld));
                }
                self.outcome = Some(outcome);
                Ok(())
            }
        }
    }
}
