//! The order of an advice: turns the flags of `pbuild secrets advise` into checked types.

use std::io::Read;
use std::path::Path;

use pcli::{FoundManifest, find_manifest};
use psecret::{SecretError, SecretFlag, SecretName};

use super::build::OrderError;
use super::build_plan::BuildPlan;
use super::context::{context_directory, context_of};
use crate::command::AdviseArguments;
use crate::command::build::BuildArguments;

/// The order of an advice.
#[derive(Debug)]
pub(crate) struct AdviseOrder {
    /// The recipe of the build that the advice is about.
    pub(crate) plan: BuildPlan,
    /// The manifest, if there is one.
    pub(crate) manifest: Option<FoundManifest>,
    /// The secrets that the build gets by flags.
    pub(crate) secrets: Vec<SecretName>,
    /// The format of the advice.
    pub(crate) format: AdviceFormat,
    /// Whether the advice is written into the manifest.
    pub(crate) effect: Effect,
}

/// The format of an advice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AdviceFormat {
    /// Text for people.
    Text,
    /// JSON for programs.
    Json,
}

/// Whether the advice changes the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The advice is only shown.
    Show,
    /// The advice is written into the manifest.
    Write,
}

/// The reasons why the flags are not a valid order.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdviseOrderError {
    /// The recipe of the build is wrong.
    #[error(transparent)]
    Build(#[from] OrderError),
    /// `--write` was given, and there is no manifest.
    #[error("there is no app.toml to write to")]
    NoManifest,
    /// A `--secret` flag does not name a secret.
    #[error("{source}")]
    Secret {
        /// The number of the flag, from 1.
        number: usize,
        /// The mistake in the flag.
        source: SecretError,
    },
}

/// Turns the flags, with the environment, into the order of an advice.
///
/// # Errors
/// Returns an [`AdviseOrderError`] that names the flag or the file to change.
pub(crate) fn parse(
    arguments: &AdviseArguments,
    environment: impl Fn(&str) -> Option<String>,
    stdin: impl Read + Send + 'static,
) -> Result<AdviseOrder, AdviseOrderError> {
    let context = context_directory(&arguments.path).map_err(OrderError::from)?;
    let manifest = find_manifest(arguments.config.as_deref(), &[&context, Path::new(".")]).map_err(OrderError::from)?;
    let context = context_of(context, manifest.as_ref()).map_err(OrderError::from)?;
    if arguments.write && manifest.is_none() {
        return Err(AdviseOrderError::NoManifest);
    }
    let name = |(at, text): (usize, &String)| match SecretFlag::parse(text) {
        Ok(flag) => Ok(flag.name().clone()),
        Err(source) => Err(AdviseOrderError::Secret { number: at + 1, source }),
    };
    let secrets = arguments.secrets.iter().enumerate().map(name).collect::<Result<_, _>>()?;
    let flags = BuildArguments {
        context: arguments.path.clone(),
        recipe: arguments.recipe.clone(),
        ..BuildArguments::default()
    };
    let of_manifest = manifest.as_ref().map(|found| &found.manifest);
    let plan = BuildPlan::new(&flags, Some(context), of_manifest, environment, stdin).map_err(OrderError::from)?;
    let format = if arguments.json { AdviceFormat::Json } else { AdviceFormat::Text };
    let effect = if arguments.write { Effect::Write } else { Effect::Show };
    Ok(AdviseOrder { plan, manifest, secrets, format, effect })
}
