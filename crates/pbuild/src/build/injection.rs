//! The build graph on its way from the frontend to the engine: it is checked, gets the secrets, and is remembered, so that
//! failures and findings can name the line of the Dockerfile that made them.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::try_join_all;
use pbuildkit::{AskedSecret, Prepared, Refusal, Transform};
use pgateway::Capabilities;
use pllb::{ChainError, ChainStep, Definition, InjectError, Mode, SourceLines, SourceMap, Step};
use psecret::Redactor;

use crate::build::doubt::Doubts;
use crate::build::guard;
use crate::build::guard::GuardError;
use crate::build::leftovers::order::Marks;
use crate::gate::{Gate, GateOutcome, Leak, Unproven};

/// Why a build was ended before anything ran.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InjectionError {
    /// A value stands where it would end up in the image.
    #[error(transparent)]
    Guard(#[from] GuardError),
    /// The graph could not take the secrets.
    #[error("failed to hand the secrets to the build")]
    Inject(#[from] InjectError),
    /// The graph has no readable chain of layers.
    #[error("failed to read the build graph")]
    Chain(#[from] ChainError),
    /// The engine can do neither secret environments nor secret mounts.
    #[error("this engine's BuildKit can hand no secret to a step")]
    Unable,
    /// The Dockerfile requires a secret that nobody gave (B13).
    #[error("the Dockerfile requires secret `{id}`, which was not given")]
    Required {
        /// The id of the mount.
        id: String,
        /// The step's name, redacted.
        step: String,
        /// Where the Dockerfile mounts it, if known: file and line.
        place: Option<(String, usize)>,
    },
    /// Patterns of `steps` chose no step.
    #[error("{}", no_step(unmatched))]
    NoStep {
        /// All of them.
        unmatched: Vec<Unmatched>,
    },
    /// The search in the builder found a secret, so nothing was exported.
    #[error("the image would contain a secret")]
    Leak(Leak),
    /// The search in the builder proved nothing, and the image would not come here to be searched.
    #[error("the image could not be searched in the builder: {0}")]
    Unproven(Unproven),
    /// Steps may have got other values, and the image would not come here, where it is known which of them ran.
    #[error("steps of this build may have got other values")]
    Doubtful(Doubts),
}

/// A pattern of `steps` that no step of the build matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unmatched {
    /// The secret.
    pub(crate) name: String,
    /// The pattern.
    pub(crate) pattern: String,
    /// Where the manifest declares it: file and line.
    pub(crate) place: Option<String>,
    /// The commands that look most like the pattern, redacted, the nearest first.
    pub(crate) nearest: Vec<String>,
}

fn no_step(unmatched: &[Unmatched]) -> String {
    match unmatched {
        [one] => format!("no step of this build matches `{}`, which {} is for", one.pattern, one.name),
        several => format!("no step of this build matches {} patterns of `steps`", several.len()),
    }
}

/// How many commands are shown for a pattern that matches none.
const NEAREST: usize = 3;

/// The longest command that is shown, in characters.
const SHOWN: usize = 70;

/// The injection of one build; afterwards the build's memory of its steps.
#[derive(Debug)]
pub(crate) struct Injection {
    plan: pllb::Plan,
    /// The ids that the session can answer.
    known: BTreeSet<String>,
    redactor: Redactor,
    /// Where the manifest declares secrets, by name.
    places: BTreeMap<String, String>,
    /// Whether the graph has every step that a pattern may mean.
    whole: bool,
    source: SourceMap,
    steps: Vec<Step>,
    names: BTreeSet<String>,
    chains: BTreeMap<Option<String>, Vec<ChainStep>>,
    gate: Option<Gate>,
    /// Whether a build of which nothing is proven may not return its result.
    needs_proof: bool,
    outcome: Option<GateOutcome>,
    asked: Vec<AskedSecret>,
}

impl Injection {
    /// An injection of this plan into a build whose session knows these ids.
    pub(crate) fn new(plan: pllb::Plan, known: BTreeSet<String>, redactor: Redactor) -> Self {
        let (places, source, steps, names, chains) = Default::default();
        let (gate, needs_proof, outcome, asked) = Default::default();
        Self {
            plan,
            known,
            redactor,
            places,
            whole: true,
            source,
            steps,
            names,
            chains,
            gate,
            needs_proof,
            outcome,
            asked,
        }
    }

    /// The same, which can say where the secrets are declared.
    pub(crate) fn declared_at(mut self, places: BTreeMap<String, String>) -> Self {
        self.places = places;
        self
    }

    /// The same, for a build that ends at some stage: the steps of the others are missing, and that is no mistake.
    pub(crate) fn of_a_part(mut self) -> Self {
        self.whole = false;
        self
    }

    /// The same, and the build is searched before its result is returned.
    pub(crate) fn with_gate(self, gate: Gate) -> Self {
        Self { gate: Some(gate), ..self }
    }

    /// The same, and a result that is not proven there is not exported: nobody would search it later.
    pub(crate) fn needing_proof(self) -> Self {
        Self { needs_proof: true, ..self }
    }

    /// The outcome of the search in the builder, if there was one and it let the build pass.
    pub(crate) fn take_outcome(&mut self) -> Option<GateOutcome> {
        self.outcome.take()
    }

    /// The secrets that the engine had asked for when the build was searched.
    pub(crate) fn asked(&self) -> &[AskedSecret] {
        &self.asked
    }

    /// Every step of the build, in the graph's order, with the secrets that it was offered.
    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The marks of the cache records of this build.
    pub(crate) fn marks(&self) -> Marks {
        let commands = self.steps.iter().map(|step| step.command.clone()).collect();
        Marks { names: self.names.clone(), commands, contexts: true }
    }

    /// The marks of the cache records of one step of a platform's image and of the steps after it. The layer of the step is
    /// counted from the image's end, as in [`Injection::layer_lines`].
    pub(crate) fn marks_from(&self, platform: Option<&str>, from_last: usize) -> Marks {
        let chain = self.chain(platform).unwrap_or_default();
        let held: Vec<&ChainStep> = chain.iter().rev().take(from_last + 1).collect();
        let of_held = |step: &&Step| held.iter().any(|held| held.digest == step.digest);
        Marks {
            names: held.iter().map(|step| step.name.clone()).collect(),
            commands: self.steps.iter().filter(of_held).map(|step| step.command.clone()).collect(),
            contexts: false,
        }
    }

    /// The lines of the Dockerfile that made a vertex.
    pub(crate) fn lines(&self, vertex: &str) -> Option<&SourceLines> {
        self.source.get(vertex)
    }

    /// The lines that made a layer of a platform's image, counted from its end: `from_last` is 0 for the last layer.
    pub(crate) fn layer_lines(&self, platform: Option<&str>, from_last: usize) -> Option<&SourceLines> {
        let step = self.chain(platform)?.iter().rev().nth(from_last)?;
        self.source.get(&step.digest)
    }

    /// Whether a layer is the base image's own, counted as above.
    pub(crate) fn is_of_base(&self, platform: Option<&str>, from_last: usize) -> bool {
        self.chain(platform).is_some_and(|chain| from_last >= chain.len())
    }

    /// The steps of a platform's image; without a platform those of the only one.
    fn chain(&self, platform: Option<&str>) -> Option<&[ChainStep]> {
        let chain = match platform {
            Some(_) => self.chains.get(&platform.map(str::to_owned)),
            None => self.chains.values().next(),
        };
        chain.map(Vec::as_slice)
    }

    /// Patterns are checked when all platforms are known: a step may exist on one of them only.
    ///
    /// # Errors
    /// The patterns that chose no step, unless the build is only a part of the Dockerfile.
    pub(crate) fn check_patterns(&self) -> Result<(), InjectionError> {
        let unmatched = self.unmatched();
        if unmatched.is_empty() || !self.whole { Ok(()) } else { Err(InjectionError::NoStep { unmatched }) }
    }

    /// Every pattern of `steps` that no step matches.
    pub(crate) fn unmatched(&self) -> Vec<Unmatched> {
        let patterns =
            self.plan.secrets.iter().flat_map(|secret| secret.steps.iter().map(move |pattern| (secret, pattern)));
        patterns
            .filter(|(_, pattern)| !self.steps.iter().any(|step| pattern.matches(&step.command)))
            .map(|(secret, pattern)| Unmatched {
                name: secret.name.clone(),
                pattern: pattern.as_str().to_owned(),
                place: self.places.get(&secret.name).cloned(),
                nearest: self.nearest(pattern.as_str()),
            })
            .collect()
    }

    /// The commands that share most with a pattern, by pairs of neighbouring characters.
    fn nearest(&self, pattern: &str) -> Vec<String> {
        let wanted = pairs(pattern);
        let mut commands: Vec<(usize, &str)> = self
            .steps
            .iter()
            .flat_map(|step| pllb::StepPattern::commands(&step.command))
            .map(|command| (pairs(command).intersection(&wanted).count(), command))
            .collect();
        commands.sort_by(|one, other| other.0.cmp(&one.0).then(one.1.len().cmp(&other.1.len())));
        commands.dedup();
        commands.iter().take(NEAREST).map(|(_, command)| shortened(&self.redactor.redact(command))).collect()
    }

    /// The doubts while the build still runs: a step that does not ask may be cached, or another build's.
    fn doubts(&self) -> Doubts {
        let unbound = self.known.iter().filter(|name| !self.plan.bindings.contains_key(*name)).cloned().collect();
        Doubts::of_unknown_states(&unbound, &self.steps, &self.asked)
    }

    fn mode(&self, capabilities: &Capabilities) -> Result<Mode, InjectionError> {
        if capabilities.operation(Capabilities::SECRET_ENVIRONMENT) {
            Ok(Mode::Environment)
        } else if capabilities.operation(Capabilities::SECRET_MOUNT) {
            Ok(Mode::Mounts)
        } else if self.plan.secrets.is_empty() {
            // Plain configuration needs neither.
            Ok(Mode::Environment)
        } else {
            Err(InjectionError::Unable)
        }
    }

    fn check_required(&self, step: &Step) -> Result<(), InjectionError> {
        let Some(missing) = step.mounted.iter().find(|secret| !secret.optional && !self.known.contains(&secret.id))
        else {
            return Ok(());
        };
        Err(InjectionError::Required {
            id: self.redactor.redact(&missing.id),
            step: self.redactor.redact(&step.name),
            place: step.source.as_ref().map(|lines| (lines.file.clone(), lines.first)),
        })
    }
}

fn pairs(text: &str) -> BTreeSet<(char, char)> {
    let letters: Vec<char> =
        text.chars().filter(|c| !matches!(c, '*' | '?' | '\\')).flat_map(char::to_lowercase).collect();
    letters.windows(2).map(|pair| (pair[0], pair[1])).collect()
}

fn shortened(text: &str) -> String {
    let cut = text.char_indices().nth(SHOWN).map(|(at, _)| at);
    cut.map_or_else(|| text.to_owned(), |at| format!("{}…", &text[..at]))
}

impl Transform for Injection {
    type Error = InjectionError;

    fn inspect(&mut self, metadata: &BTreeMap<String, Vec<u8>>) -> Result<(), Self::Error> {
        Ok(guard::check_metadata(metadata, &self.redactor)?)
    }

    fn transform(
        &mut self,
        capabilities: &Capabilities,
        platform: Option<&str>,
        definition: Definition,
    ) -> Result<Definition, Self::Error> {
        let mode = self.mode(capabilities)?;
        guard::check_source(&SourceMap::new(&definition), &self.redactor)?;
        let injected = pllb::inject(definition, &self.plan, mode)?;
        for step in &injected.steps {
            self.check_required(step)?;
        }
        self.source.add(&injected.definition);
        let described = injected.definition.metadata.values();
        self.names.extend(described.filter_map(|about| about.description.get("llb.customname").cloned()));
        self.chains.insert(platform.map(str::to_owned), pllb::chain(&injected.definition)?.steps);
        self.steps.extend(injected.steps);
        // The last platform's call sees all steps; an earlier one may lack the step that a pattern means.
        if platform.is_none() {
            self.check_patterns()?;
        }
        Ok(injected.definition)
    }

    async fn prove(&mut self, prepared: Prepared<'_>) -> Result<(), Refusal<Self::Error>> {
        let Some(gate) = &mut self.gate else { return Ok(()) };
        // A step that fails is the build's failure, and not the search's.
        let evaluated = try_join_all(prepared.results.iter().map(|result| {
            let mut bridge = prepared.bridge.clone();
            async move { bridge.evaluate(&result.reference).await }
        }));
        let (evaluated, scanner) = futures::join!(evaluated, gate.bring_scanner(&prepared));
        evaluated?;
        self.asked = prepared.asked_secrets();
        match gate.search(&prepared, scanner).await {
            GateOutcome::Leak(leak) => Err(Refusal::Refused(InjectionError::Leak(leak))),
            GateOutcome::Unproven(why) if self.needs_proof => Err(Refusal::Refused(InjectionError::Unproven(why))),
            GateOutcome::Clean(_) if self.needs_proof && !self.doubts().unasked().is_empty() => {
                Err(Refusal::Refused(InjectionError::Doubtful(self.doubts())))
            }
            outcome @ (GateOutcome::Clean(_) | GateOutcome::Unproven(_)) => {
                self.outcome = Some(outcome);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use pllb::{PlannedSecret, StepPattern};

    use super::*;

    fn injection(patterns: &[&str], commands: &[&str]) -> Injection {
        let steps = patterns.iter().map(|pattern| StepPattern::new(pattern)).collect();
        let secret = PlannedSecret { steps, ..PlannedSecret::variable("NPM_TOKEN") };
        let plan = pllb::Plan { secrets: vec![secret], ..pllb::Plan::default() };
        let step = |command: &&str| Step {
            digest: String::new(),
            name: String::new(),
            command: (*command).to_owned(),
            source: None,
            offered: Vec::new(),
            mounted: Vec::new(),
        };
        let places = [("NPM_TOKEN".to_owned(), "app.toml:9".to_owned())].into();
        let mut injection = Injection::new(plan, BTreeSet::new(), Redactor::none()).declared_at(places);
        injection.steps = commands.iter().map(step).collect();
        injection
    }

    #[test]
    fn every_pattern_that_matches_no_step_is_told_with_the_nearest_commands() {
        let injection = injection(
            &["npm *", "yarm instal *"],
            &["npm ci && yarn install --frozen", "make", "apt-get install -y git"],
        );
        let unmatched = injection.unmatched();
        assert_eq!((unmatched.len(), unmatched[0].pattern.as_str()), (1, "yarm instal *"));
        assert_eq!(unmatched[0].place.as_deref(), Some("app.toml:9"));
        assert_eq!(unmatched[0].nearest, ["yarn install --frozen", "apt-get install -y git", "npm ci"]);
        assert!(injection.check_patterns().is_err());
        assert!(injection.of_a_part().check_patterns().is_ok());
    }

    #[test]
    fn patterns_that_match_are_fine() {
        assert!(injection(&["npm *", "*make*"], &["npm ci", "x; make"]).check_patterns().is_ok());
    }
}
