//! The order of a build: the one way from the flags of `pbuild build` to checked types.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use pcli::resolve::SecretSources;
use pcli::{FindError, FoundManifest, find_manifest};

use super::attestation::{AttestationError, Attestations};
use super::build_plan::BuildPlan;
use super::cache::{CacheError, Caches};
use super::choices::{BuilderName, Choices, ProgressError, Tls};
use super::context::{context_directory, context_of, is_elsewhere};
use super::error::PlanError;
use super::image_name::{ImageName, ImageNameError};
use super::question::{Question, QuestionError};
use super::ssh::{Forwarding, SshError};
use crate::command::boolean;
use crate::command::build::BuildArguments;
use crate::output::{OutputError, Outputs, Shorthand};

/// The work of `pbuild build`.
#[derive(Debug)]
pub(crate) enum Order {
    /// The command builds.
    Build(Box<BuildOrder>),
    /// The command asks about the Dockerfile, and builds nothing.
    Ask(Box<QuestionOrder>),
}

/// The order of a question about a Dockerfile.
#[derive(Debug)]
pub(crate) struct QuestionOrder {
    /// The question.
    pub(crate) question: Question,
    /// The recipe.
    pub(crate) plan: BuildPlan,
    /// The builder that was named.
    pub(crate) builder: BuilderName,
    /// Whether the way to the engine must be encrypted.
    pub(crate) tls: Tls,
}

/// The order of a build. Each part is possible, as far as that is certain without an engine.
#[derive(Debug)]
pub(crate) struct BuildOrder {
    /// The recipe.
    pub(crate) plan: BuildPlan,
    /// Where the result goes.
    pub(crate) outputs: Outputs,
    /// The attestations and caches beside the image.
    ///
    /// An error here may quote a value, so it must not be shown before the secrets are known and masked.
    pub(crate) extras: Result<Extras, ExtrasError>,
    /// The SSH agents that steps may use.
    pub(crate) forwarding: Forwarding,
    /// The manifest, where there is one.
    pub(crate) manifest: Option<FoundManifest>,
    /// Where the values of the secrets come from.
    pub(crate) sources: SecretSources,
    /// Whether the way to the engine must be encrypted.
    pub(crate) tls: Tls,
    /// The builder that was named.
    pub(crate) builder: BuilderName,
    /// The choices about the course of the build.
    pub(crate) choices: Choices,
}

impl BuildOrder {
    /// Makes the order of the part that one of several nodes carries out: these platforms alone.
    ///
    /// # Errors
    /// Returns an error if the outputs of several nodes cannot be joined, or if there is no room for them.
    pub(crate) fn part(&self, extras: &Extras, platforms: &[String]) -> Result<Self, OutputError> {
        Ok(Self {
            plan: self.plan.part(platforms),
            outputs: self.outputs.part()?,
            extras: Ok(extras.clone()),
            forwarding: self.forwarding.clone(),
            manifest: self.manifest.clone(),
            sources: self.sources.clone(),
            tls: self.tls,
            builder: self.builder.clone(),
            choices: self.choices.clone(),
        })
    }
}

/// The things that leave the builder beside the image.
#[derive(Clone, Debug)]
pub(crate) struct Extras {
    /// Provenance, lists of parts, annotations.
    pub(crate) attestations: Attestations,
    /// Caches that are read and written.
    pub(crate) caches: Caches,
}

/// A flag of attestations or caches that cannot be followed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExtrasError {
    /// An attestation or an annotation.
    #[error(transparent)]
    Attestation(#[from] AttestationError),
    /// A cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// Why a build cannot be ordered like this.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OrderError {
    /// The way to show progress.
    #[error(transparent)]
    Progress(#[from] ProgressError),
    /// The recipe.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The manifest.
    #[error(transparent)]
    Manifest(#[from] FindError),
    /// The question about the Dockerfile.
    #[error(transparent)]
    Question(#[from] QuestionError),
    /// An output.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// A name that an output gives.
    #[error(transparent)]
    Name(#[from] ImageNameError),
    /// An SSH agent.
    #[error(transparent)]
    Ssh(#[from] SshError),
}

/// Turns the flags, with the manifest and the environment, into a build.
///
/// `stdin` is read for `-f -` and for the context `-` alone.
///
/// # Errors
/// [`OrderError`] names the flag or the file to change.
pub(crate) fn parse(
    arguments: &BuildArguments,
    environment: impl Fn(&str) -> Option<String>,
    stdin: impl Read + Send + 'static,
) -> Result<Order, OrderError> {
    order(arguments, environment, stdin, Defaults::OfManifest)
}

/// Turns a target of a bake file into a build. The manifest says which steps get which secrets, and nothing else: the
/// file has the names, the stage and the arguments of each of its targets.
///
/// # Errors
/// [`OrderError`] names the flag of `pbuild build` that the attribute stands for.
pub(super) fn target(
    arguments: &BuildArguments,
    environment: impl Fn(&str) -> Option<String>,
    stdin: impl Read + Send + 'static,
) -> Result<Order, OrderError> {
    order(arguments, environment, stdin, Defaults::None)
}

/// Where a recipe comes from, as far as no flag says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Defaults {
    /// The manifest.
    OfManifest,
    /// Nowhere.
    None,
}

fn order(
    arguments: &BuildArguments,
    environment: impl Fn(&str) -> Option<String>,
    stdin: impl Read + Send + 'static,
    defaults: Defaults,
) -> Result<Order, OrderError> {
    let choices = Choices::parse(arguments, &environment)?;
    let directory = match is_elsewhere(&arguments.context) {
        true => None,
        false => Some(context_directory(&arguments.context)?),
    };
    let places: Vec<&Path> = directory.iter().map(PathBuf::as_path).chain([Path::new(".")]).collect();
    let found = find_manifest(arguments.secrets.config.as_deref(), &places)?;
    let defaulting = found.as_ref().filter(|_| defaults == Defaults::OfManifest);
    let directory = directory.map(|folder| context_of(folder, defaulting)).transpose()?;
    let manifest = defaulting.map(|found| &found.manifest);
    let mut plan = BuildPlan::new(arguments, directory, manifest, &environment, stdin)?;
    let builder = BuilderName { builder: arguments.builder.clone(), node: arguments.builder_node.clone() };
    let tls = Tls::of_flag(arguments.secrets.require_tls);
    if let Some(question) = Question::parse(&arguments.call)? {
        return Ok(Order::Ask(Box::new(QuestionOrder { question, plan, builder, tls })));
    }
    let terminal = io::IsTerminal::is_terminal(&io::stdout());
    let shorthand = match (arguments.output.push, arguments.output.load) {
        (true, _) => Shorthand::Push,
        (false, true) => Shorthand::Load,
        (false, false) => Shorthand::None,
    };
    // Docker's client does the same: without a flag the variable leaves the result where it was made.
    let stays = arguments.output.outputs.is_empty()
        && shorthand == Shorthand::None
        && environment("BUILDX_NO_DEFAULT_LOAD").is_some_and(|word| boolean(word.as_ref()) == Some(true));
    let in_cache = ["type=cacheonly".to_owned()];
    let asked = if stays { &in_cache[..] } else { &arguments.output.outputs };
    let mut outputs = Outputs::parse(asked, shorthand, terminal)?;
    let names: Vec<ImageName> =
        outputs.take_names().iter().map(|name| ImageName::parse(name)).collect::<Result<_, _>>()?;
    plan.add_tags(names);
    outputs.name(&plan.tags)?;
    let extras = extras(arguments, &plan, &environment);
    let forwarding = Forwarding::parse(&arguments.ssh, environment("SSH_AUTH_SOCK"))?;
    Ok(Order::Build(Box::new(BuildOrder {
        plan,
        outputs,
        extras,
        forwarding,
        manifest: found,
        sources: arguments.secrets.sources(psecret::Dialect::Dotenv),
        tls,
        builder,
        choices,
    })))
}

fn extras(
    arguments: &BuildArguments,
    plan: &BuildPlan,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Extras, ExtrasError> {
    let attestations = Attestations::parse(&arguments.attestations)?;
    let caches = Caches::parse(&arguments.caches, &plan.build_arguments, environment)?;
    Ok(Extras { attestations, caches })
}
