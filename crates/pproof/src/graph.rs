//! Gives the secrets to the build graph on its way from the frontend to the engine. The graph is remembered, so that
//! failures and findings can name the line of the Dockerfile that caused them.

use std::collections::{BTreeMap, BTreeSet};

use pgateway::Capabilities;
use pllb::{
    ChainError, ChainStep, Definition, InjectError, Mode, Plan, SourceLines, SourceMap, Step, StepPattern, Wrapper,
};
use pscan::{Finding, Report};
use psecret::Redactor;

/// The reason why secrets cannot be given to a graph.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    /// The secrets could not be injected into the graph.
    #[error("failed to hand the secrets to the build")]
    Inject(#[from] InjectError),
    /// The graph does not have a readable chain of layers.
    #[error("failed to read the build graph")]
    Chain(#[from] ChainError),
    /// The engine supports neither secret environments nor secret mounts.
    #[error("this engine's BuildKit can hand no secret to a step")]
    Unable,
    /// The Dockerfile requires a secret that was not given (B13).
    #[error("the Dockerfile requires secret `{id}`, which was not given")]
    Required {
        /// The id of the mount, redacted.
        id: String,
        /// The step's name, redacted.
        step: String,
        /// The file and line of the Dockerfile that mounts the secret, if known.
        place: Option<(String, usize)>,
    },
    /// Patterns of `steps` match no step.
    #[error("{}", no_step(unmatched))]
    NoStep {
        /// All patterns that match no step.
        unmatched: Vec<Unmatched>,
    },
}

/// A pattern of `steps` that no step of the build matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmatched {
    /// The secret.
    pub name: String,
    /// The pattern.
    pub pattern: String,
    /// The file and line of the manifest that declares the pattern.
    pub place: Option<String>,
    /// The commands that are most similar to the pattern, redacted, the most similar first.
    pub nearest: Vec<String>,
}

fn no_step(unmatched: &[Unmatched]) -> String {
    match unmatched {
        [one] => format!("no step of this build matches `{}`, which {} is for", one.pattern, one.name),
        several => format!("no step of this build matches {} patterns of `steps`", several.len()),
    }
}

/// The number of commands that are shown for a pattern without a match.
const NEAREST: usize = 3;

/// The maximal length of a command that is shown, in characters.
const SHOWN: usize = 70;

/// The graph of one build, with all its platforms one after the other.
#[derive(Debug)]
pub struct Graph {
    plan: Plan,
    /// The ids of the secrets that the session can serve.
    known: BTreeSet<String>,
    /// The steps of other targets that this graph builds on, by their digests, after their own injection.
    settled: BTreeMap<String, Step>,
    /// The ids that only settled steps may mount.
    reserved: BTreeSet<String>,
    /// The steps that must run even if the cache has a result.
    rerun: BTreeSet<String>,
    redactor: Redactor,
    /// The wrapper that runs the commands of steps with secrets, if there is one.
    wrapper: Option<Wrapper>,
    /// The places in the manifest that declare secrets, by name.
    places: BTreeMap<String, String>,
    /// Whether the graph has all steps of the Dockerfile, so that every pattern must match one.
    whole: bool,
    source: SourceMap,
    steps: Vec<Step>,
    names: BTreeSet<String>,
    chains: BTreeMap<Option<String>, Vec<ChainStep>>,
}

impl Graph {
    /// Makes a graph whose steps get the secrets of this plan. `known` are the ids that the session of the build can
    /// serve.
    #[must_use]
    pub fn new(plan: Plan, known: BTreeSet<String>, redactor: Redactor) -> Self {
        let (settled, reserved, rerun, places, source) = Default::default();
        let (wrapper, steps, names, chains) = Default::default();
        Self {
            plan,
            known,
            settled,
            reserved,
            rerun,
            redactor,
            wrapper,
            places,
            whole: true,
            source,
            steps,
            names,
            chains,
        }
    }

    /// Builds on the graph of another target. The steps of the other target stay as its own injection left them.
    /// Secrets that only the other target knows are not given to this graph's own steps.
    pub fn build_on(&mut self, base: &Self) {
        self.settled.extend(base.settled.clone());
        self.settled.extend(base.steps.iter().map(|step| (step.digest.clone(), step.clone())));
        let foreign = base.known.iter().chain(&base.reserved).filter(|id| !self.known.contains(*id)).cloned();
        self.reserved.extend(foreign.collect::<Vec<_>>());
    }

    /// Sets the places in the manifest that declare the secrets, for error messages.
    #[must_use]
    pub fn declared_at(self, places: BTreeMap<String, String>) -> Self {
        Self { places, ..self }
    }

    /// Sets a wrapper, which runs the commands of the steps that get secrets.
    #[must_use]
    pub fn wrapped(self, wrapper: Wrapper) -> Self {
        Self { wrapper: Some(wrapper), ..self }
    }

    /// Declares that the build ends at some stage of the Dockerfile. Steps of other stages are then missing, so a
    /// pattern without a match is not an error.
    #[must_use]
    pub fn of_a_part(self) -> Self {
        Self { whole: false, ..self }
    }

    /// Binds steps to the values that they get, by these keyed digests, which replace those of the plan. The keys are
    /// the secrets' names.
    pub fn bind(&mut self, bindings: BTreeMap<String, String>) {
        self.plan.bindings = bindings;
    }

    /// Runs these steps, given by their digests, even if the cache has their results. A result of theirs once
    /// contained a secret, which may have had another value than today.
    pub fn run_again(&mut self, steps: BTreeSet<String>) {
        self.rerun = steps;
    }

    /// Lists the steps that had to run again and are part of an image's chain. Their results are now new.
    #[must_use]
    pub fn ran_again(&self) -> Vec<String> {
        let steps = self.chains.values().flatten().map(|step| &step.digest);
        steps.filter(|step| self.rerun.contains(*step)).cloned().collect()
    }

    /// Lists the steps whose results contain the findings in a platform's image: the first step with a finding, and
    /// all steps after it.
    #[must_use]
    pub fn holding(&self, report: &Report, platform: Option<&str>) -> Vec<String> {
        holding(report, self.chain(platform).unwrap_or_default())
    }

    /// Gives the secrets to the steps of one platform, and remembers the steps.
    ///
    /// # Errors
    ///
    /// Returns an error if the graph, the engine or the plan does not allow this. If `platform` is `None`, there is
    /// only one platform, and the patterns are checked, too. With several platforms, one of them may lack the step
    /// that a pattern is for, so the caller calls [`Self::check_patterns`] after the last one.
    pub fn inject(
        &mut self,
        capabilities: &Capabilities,
        platform: Option<&str>,
        definition: Definition,
    ) -> Result<Definition, GraphError> {
        let mode = self.mode(capabilities)?;
        let settled = self.settled.keys().cloned().collect();
        let mut injected = pllb::inject_beyond(definition, &self.plan, mode, &settled)?;
        for step in &mut injected.steps {
            if let Some(settled) = self.settled.get(&step.digest) {
                step.clone_from(settled);
            }
        }
        if let Some(wrapper) = &self.wrapper {
            injected = pllb::wrap(injected, wrapper)?;
        }
        for step in &self.rerun {
            if let Some(about) = injected.definition.metadata.get_mut(step) {
                about.ignore_cache = true;
            }
        }
        for step in injected.steps.iter().filter(|step| !self.settled.contains_key(&step.digest)) {
            self.check_required(step)?;
        }
        self.source.add(&injected.definition);
        let described = injected.definition.metadata.values();
        self.names.extend(described.filter_map(|about| about.description.get("llb.customname").cloned()));
        self.chains.insert(platform.map(str::to_owned), pllb::chain(&injected.definition)?.steps);
        self.steps.extend(injected.steps);
        if platform.is_none() {
            self.check_patterns()?;
        }
        Ok(injected.definition)
    }

    /// Returns the plan by which steps get secrets.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Returns the ids of the secrets that the session can serve.
    #[must_use]
    pub fn known(&self) -> &BTreeSet<String> {
        &self.known
    }

    /// Returns every step of the build, in the graph's order, with the secrets that it was offered.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Returns the names of all vertices that have one.
    #[must_use]
    pub fn names(&self) -> &BTreeSet<String> {
        &self.names
    }

    /// Returns the lines of the Dockerfile that made a vertex.
    #[must_use]
    pub fn lines(&self, vertex: &str) -> Option<&SourceLines> {
        self.source.get(vertex)
    }

    /// Returns the lines that made a layer of a platform's image. `from_last` counts the layers from the image's end:
    /// it is 0 for the last layer.
    #[must_use]
    pub fn layer_lines(&self, platform: Option<&str>, from_last: usize) -> Option<&SourceLines> {
        let step = self.chain(platform)?.iter().rev().nth(from_last)?;
        self.source.get(&step.digest)
    }

    /// Lists the steps of a platform's image, from the last one back to the step that made a layer. `from_last`
    /// counts as in [`Self::layer_lines`].
    pub fn from_layer(&self, platform: Option<&str>, from_last: usize) -> impl Iterator<Item = &ChainStep> {
        self.chain(platform).unwrap_or_default().iter().rev().take(from_last.saturating_add(1))
    }

    /// Whether a layer belongs to the base image. `from_last` counts as in [`Self::layer_lines`].
    #[must_use]
    pub fn is_of_base(&self, platform: Option<&str>, from_last: usize) -> bool {
        self.chain(platform).is_some_and(|chain| from_last >= chain.len())
    }

    /// Returns the steps of a platform's image. Without a platform, returns those of the only image.
    fn chain(&self, platform: Option<&str>) -> Option<&[ChainStep]> {
        let chain = match platform {
            Some(_) => self.chains.get(&platform.map(str::to_owned)),
            None => self.chains.values().next(),
        };
        chain.map(Vec::as_slice)
    }

    /// Checks that each pattern matches a step. This must be called after all platforms, because a step may exist on
    /// only one of them.
    ///
    /// # Errors
    ///
    /// Returns the patterns without a match, unless the build is only a part of the Dockerfile.
    pub fn check_patterns(&self) -> Result<(), GraphError> {
        let unmatched = self.unmatched();
        if unmatched.is_empty() || !self.whole { Ok(()) } else { Err(GraphError::NoStep { unmatched }) }
    }

    /// Returns every pattern of `steps` that no step matches.
    #[must_use]
    pub fn unmatched(&self) -> Vec<Unmatched> {
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

    /// Returns the commands that have most pairs of neighbouring characters in common with a pattern.
    fn nearest(&self, pattern: &str) -> Vec<String> {
        let wanted = pairs(pattern);
        let mut commands: Vec<(usize, &str)> = self
            .steps
            .iter()
            .flat_map(|step| StepPattern::commands(&step.command))
            .map(|command| (pairs(command).intersection(&wanted).count(), command))
            .collect();
        commands.sort_by(|one, other| other.0.cmp(&one.0).then(one.1.len().cmp(&other.1.len())));
        commands.dedup();
        commands.iter().take(NEAREST).map(|(_, command)| shortened(&self.redactor.redact(command))).collect()
    }

    fn mode(&self, capabilities: &Capabilities) -> Result<Mode, GraphError> {
        if capabilities.operation(Capabilities::SECRET_ENVIRONMENT) {
            Ok(Mode::Environment)
        } else if capabilities.operation(Capabilities::SECRET_MOUNT) {
            Ok(Mode::Mounts)
        } else if self.plan.secrets.is_empty() {
            // Plain configuration needs neither secret environments nor secret mounts.
            Ok(Mode::Environment)
        } else {
            Err(GraphError::Unable)
        }
    }

    fn check_required(&self, step: &Step) -> Result<(), GraphError> {
        let missing = |secret: &&pllb::MountedSecret| {
            (!secret.optional && !self.known.contains(&secret.id)) || self.reserved.contains(&secret.id)
        };
        let Some(missing) = step.mounted.iter().find(missing) else {
            return Ok(());
        };
        Err(GraphError::Required {
            id: self.redactor.redact(&missing.id),
            step: self.redactor.redact(&step.name),
            place: step.source.as_ref().map(|lines| (lines.file.clone(), lines.first)),
        })
    }
}

/// Lists the steps of a chain whose results contain the report's findings: the first step with a finding, and all
/// steps after it. [`Graph::holding`] does the same for a platform's image.
#[must_use]
pub fn holding(report: &Report, chain: &[ChainStep]) -> Vec<String> {
    let from_last = |finding: &Finding| report.stats().layers.checked_sub(finding.layer()?);
    let first = report.findings().iter().filter_map(from_last).filter(|from_last| *from_last < chain.len()).max();
    let count = first.map_or(0, |first| first + 1);
    chain.iter().rev().take(count).map(|step| step.digest.clone()).collect()
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

#[cfg(test)]
mod tests {
    use pllb::PlannedSecret;

    use super::*;

    fn graph(patterns: &[&str], commands: &[&str]) -> Graph {
        let steps = patterns.iter().map(|pattern| StepPattern::new(pattern)).collect();
        let secret = PlannedSecret { steps, ..PlannedSecret::variable("NPM_TOKEN") };
        let plan = Plan { secrets: vec![secret], ..Plan::default() };
        let step = |command: &&str| Step {
            digest: String::new(),
            name: String::new(),
            command: (*command).to_owned(),
            source: None,
            offered: Vec::new(),
            mounted: Vec::new(),
        };
        let places = [("NPM_TOKEN".to_owned(), "app.toml:9".to_owned())].into();
        let mut graph = Graph::new(plan, BTreeSet::new(), Redactor::none()).declared_at(places);
        graph.steps = commands.iter().map(step).collect();
        graph
    }

    #[test]
    fn every_pattern_that_matches_no_step_is_told_with_the_nearest_commands() {
        let graph =
            graph(&["npm *", "yarm instal *"], &["npm ci && yarn install --frozen", "make", "apt-get install -y git"]);
        let unmatched = graph.unmatched();
        assert_eq!((unmatched.len(), unmatched[0].pattern.as_str()), (1, "yarm instal *"));
        assert_eq!(unmatched[0].place.as_deref(), Some("app.toml:9"));
        assert_eq!(unmatched[0].nearest, ["yarn install --frozen", "apt-get install -y git", "npm ci"]);
        assert!(graph.check_patterns().is_err());
        assert!(graph.of_a_part().check_patterns().is_ok());
    }

    #[test]
    fn patterns_that_match_are_fine() {
        assert!(graph(&["npm *", "*make*"], &["npm ci", "x; make"]).check_patterns().is_ok());
    }
}
