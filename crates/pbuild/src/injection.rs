//! What happens to the build graph between the frontend and the engine: it is checked, gets the secrets, and is
//! remembered, so that failures and findings can be told by the line of the Dockerfile that made them.

use std::collections::{BTreeMap, BTreeSet};

use pbuildkit::llb::{self, ChainError, ChainStep, InjectError, Mode, SourceLines, SourceMap, Step};
use pbuildkit::{Capabilities, Definition, Transform};
use psecret::Redactor;

use crate::cleanup::Marks;
use crate::guard::{self, GuardError};

/// Why a build was ended before anything ran.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InjectionError {
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
    /// A pattern of `steps` chose no step.
    #[error("secret `{name}` is for steps like {patterns}, and no step of this build is")]
    NoStep {
        /// The secret.
        name: String,
        /// Its patterns.
        patterns: String,
    },
}

/// The injection of one build; afterwards the build's memory of its steps.
#[derive(Debug)]
pub struct Injection {
    plan: llb::Plan,
    /// The ids that the session can answer.
    known: BTreeSet<String>,
    redactor: Redactor,
    source: SourceMap,
    steps: Vec<Step>,
    names: BTreeSet<String>,
    chains: BTreeMap<Option<String>, Vec<ChainStep>>,
}

impl Injection {
    /// An injection of this plan into a build whose session knows these ids.
    #[must_use]
    pub fn new(plan: llb::Plan, known: BTreeSet<String>, redactor: Redactor) -> Self {
        let (source, steps, names, chains) = Default::default();
        Self { plan, known, redactor, source, steps, names, chains }
    }

    /// Every step of the build, in the graph's order, with the secrets that it was offered.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// By what the cache records of this build can be told.
    #[must_use]
    pub fn marks(&self) -> Marks {
        let commands = self.steps.iter().map(|step| step.command.clone()).collect();
        Marks { names: self.names.clone(), commands }
    }

    /// The lines of the Dockerfile that made a vertex.
    #[must_use]
    pub fn lines(&self, vertex: &str) -> Option<&SourceLines> {
        self.source.get(vertex)
    }

    /// The lines that made a layer, counted from the base image's end: `from_last` is 0 for the last layer.
    #[must_use]
    pub fn layer_lines(&self, from_last: usize) -> Option<&SourceLines> {
        let chain = self.chains.values().next()?;
        let step = chain.iter().rev().nth(from_last)?;
        self.source.get(&step.digest)
    }

    /// Patterns are checked when all platforms are known: a step may exist on one of them only.
    ///
    /// # Errors
    /// The first secret whose patterns chose no step.
    pub fn check_patterns(&self) -> Result<(), InjectionError> {
        for secret in self.plan.secrets.iter().filter(|secret| !secret.steps.is_empty()) {
            if !self.steps.iter().any(|step| step.offered.contains(&secret.name)) {
                let patterns = secret.steps.iter().map(|pattern| format!("`{}`", pattern.as_str()));
                return Err(InjectionError::NoStep {
                    name: secret.name.clone(),
                    patterns: patterns.collect::<Vec<_>>().join(", "),
                });
            }
        }
        Ok(())
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
        let injected = llb::inject(definition, &self.plan, mode)?;
        for step in &injected.steps {
            self.check_required(step)?;
        }
        self.source.add(&injected.definition);
        let described = injected.definition.metadata.values();
        self.names.extend(described.filter_map(|about| about.description.get("llb.customname").cloned()));
        self.chains.insert(platform.map(str::to_owned), llb::chain(&injected.definition)?);
        self.steps.extend(injected.steps);
        // The last platform's call sees all steps; an earlier one may lack the step that a pattern means.
        if platform.is_none() {
            self.check_patterns()?;
        }
        Ok(injected.definition)
    }
}
