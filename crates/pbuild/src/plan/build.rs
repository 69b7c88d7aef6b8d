//! The order of a build. This module is the only place that turns the flags of `pbuild build` into checked types.

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

/// The work that `pbuild build` is asked to do.
#[derive(Debug)]
pub(crate) enum Order {
    /// The command builds.
    Build(Box<BuildOrder>),
    /// The command answers a question about the Dockerfile, and does not build.
    Ask(Box<QuestionOrder>),
}

/// The order of a question about a Dockerfile.
#[derive(Debug)]
pub(crate) struct QuestionOrder {
    /// The question.
    pub(crate) question: Question,
    /// The recipe.
    pub(crate) plan: BuildPlan,
    /// The builder that the user named.
    pub(crate) builder: BuilderName,
    /// Whether the connection to the engine must be encrypted.
    pub(crate) tls: Tls,
}

/// The order of a build. Each part was checked as far as that is possible without an engine.
#[derive(Debug)]
pub(crate) struct BuildOrder {
    /// The recipe.
    pub(crate) plan: BuildPlan,
    /// The destinations of the result.
    pub(crate) outputs: Outputs,
    /// The attestations and caches that the build makes besides the image.
    ///
    /// An error in this field may quote a value, so it must not be shown before the secrets are known and masked.
    pub(crate) extras: Result<Extras, ExtrasError>,
    /// The SSH agents that steps may use.
    pub(crate) forwarding: Forwarding,
    /// The manifest, if there is one.
    pub(crate) manifest: Option<FoundManifest>,
    /// The sources of the secrets' values.
    pub(crate) sources: SecretSources,
    /// Whether the connection to the engine must be encrypted.
    pub(crate) tls: Tls,
    /// The builder that the user named.
    pub(crate) builder: BuilderName,
    /// The choices about the course of the build.
    pub(crate) choices: Choices,
}

impl BuildOrder {
    /// Makes the order for the part of the build that one of several nodes carries out: only these platforms.
    ///
    /// # Errors
    /// Returns an error if the outputs of several nodes cannot be joined, or if there is no space for them.
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

/// The attestations and caches that a build makes besides the image.
#[derive(Clone, Debug)]
pub(crate) struct Extras {
    /// Provenance, bills of materials and annotations.
    pub(crate) attestations: Attestations,
    /// Caches that are read and written.
    pub(crate) caches: Caches,
}

/// An error in the flags of attestations or caches.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExtrasError {
    /// An attestation or an annotation is not valid.
    #[error(transparent)]
    Attestation(#[from] AttestationError),
    /// A cache is not valid.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// The reason why the flags do not make an order.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OrderError {
    /// The flag for the progress is not valid.
    #[error(transparent)]
    Progress(#[from] ProgressError),
    /// The recipe is not possible.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The manifest cannot be read.
    #[error(transparent)]
    Manifest(#[from] FindError),
    /// The question about the Dockerfile is not possible.
    #[error(transparent)]
    Question(#[from] QuestionError),
    /// An output is not possible.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// A name that an output gives to the image is not valid.
    #[error(transparent)]
    Name(#[from] ImageNameError),
    /// An SSH agent cannot be used.
    #[error(transparent)]
    Ssh(#[from] SshError),
}

/// Turns the flags, the manifest and the environment into an order.
///
/// `stdin` is read only for `-f -` and for the context `-`.
///
/// # Errors
/// Returns an [`OrderError`] that names the flag or the file to change.
pub(crate) fn parse(
    arguments: &BuildArguments,
    environment: impl Fn(&str) -> Option<String>,
    stdin: impl Read + Send + 'static,
) -> Result<Order, OrderError> {
    order(arguments, environment, stdin, Defaults::OfManifest)
}

/// Turns a target of a bake file into an order. The manifest only tells which steps get which secrets: the names, the
/// stage and the arguments come from the bake file.
///
/// # Errors
/// Returns an [`OrderError`] that names the flag of `pbuild build` to which the attribute corresponds.
pub(super) fn target(
    arguments: &BuildArguments,
    environment: impl Fn(&str) -> Option<String>,
    stdin: impl Read + Send + 'static,
) -> Result<Order, OrderError> {
    order(arguments, environment, stdin, Defaults::None)
}

/// The source of the recipe's settings for which there is no flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Defaults {
    /// The manifest's `[build]` table.
    OfManifest,
    /// No source.
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
        (true, true) => Shorthand::PushAndLoad,
        (true, false) => Shorthand::Push,
        (false, true) => Shorthand::Load,
        (false, false) => Shorthand::None,
    };
    // As with docker, the variable makes a result stay in the builder if there is no flag for an output.
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
