//! The order of `pbuild bake`: turns the flags, and the definition that buildx makes of the files, into builds.

mod definition;
mod entitlement;
mod origin;
mod target;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use pcli::resolve::SecretSources;
use pscreen::progress::ProgressMode;

use super::build::{self, Order, OrderError};
use super::choices::{Choices, ProgressError};
use crate::command::bake::BakeArguments;
use crate::command::build::{BuildArguments, ProgressMode as ProgressWord};
use definition::Definition;
pub(crate) use definition::DefinitionError;
pub(crate) use entitlement::EntitlementError;
use entitlement::Entitlements;
use target::Recipe;

/// The order of `pbuild bake`, as far as it is known before buildx has read the files.
#[derive(Debug)]
pub(crate) struct BakeOrder {
    arguments: BakeArguments,
    entitlements: Entitlements,
    show: ProgressMode,
}

/// The order of one target.
#[derive(Debug)]
pub(crate) struct TargetOrder {
    /// The target's name.
    pub(crate) name: String,
    /// The secrets that the target itself names: the values of `--secret`, by ID. Secrets of the command line take
    /// precedence over them.
    pub(crate) secrets: BTreeMap<String, String>,
    /// The build, or the question to the frontend.
    pub(crate) order: Order,
    /// The inner targets of this target.
    pub(crate) inner: Vec<InnerOrder>,
}

/// An inner target: its result is a named context of the outer target.
#[derive(Debug)]
pub(crate) struct InnerOrder {
    /// The name of the context.
    pub(crate) context: String,
    /// The target. Its outputs are not made in the outer target's build.
    pub(crate) target: TargetOrder,
}

/// The program that carries out the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Worker {
    /// pbuild builds.
    Ours,
    /// Buildx only shows something. No secret is read.
    Buildx,
}

/// The reasons why the flags and files are not a valid order.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BakeError {
    /// The mode of the progress is wrong.
    #[error(transparent)]
    Progress(#[from] ProgressError),
    /// The definition that buildx made of the files is not supported.
    #[error(transparent)]
    Definition(#[from] DefinitionError),
    /// A target needs a permission that it does not have.
    #[error(transparent)]
    Permission(#[from] EntitlementError),
    /// The order of one target is wrong.
    #[error("target {target}: {source}")]
    Target {
        /// The target.
        target: String,
        /// The cause.
        source: OrderError,
    },
}

/// Checks the flags.
///
/// # Errors
/// Returns a [`BakeError`] that names the flag.
pub(crate) fn parse(
    arguments: &BakeArguments,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<BakeOrder, BakeError> {
    let of_progress = BuildArguments { progress: arguments.progress, ..BuildArguments::default() };
    let show = Choices::parse(&of_progress, &environment)?.show();
    let checked = environment("BUILDX_BAKE_ENTITLEMENTS_FS").as_deref().and_then(super::comma_separated::truth);
    let entitlements = Entitlements::parse(&arguments.allowed, checked.unwrap_or(true))?;
    Ok(BakeOrder { arguments: arguments.clone(), entitlements, show })
}

impl BakeOrder {
    /// Returns the program that carries out the order.
    pub(crate) fn worker(&self) -> Worker {
        let BakeArguments { print, list, check, call, .. } = &self.arguments;
        let asks = call.as_deref().is_some_and(|call| !call.is_empty() && call != "build");
        if *print || list.is_some() || *check || asks { Worker::Buildx } else { Worker::Ours }
    }

    /// Returns the arguments with which buildx prints its definition of the targets and does nothing else.
    pub(crate) fn question(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = ["bake", "--print", "--progress", "quiet"].map(OsString::from).into();
        words.extend(self.definition_words());
        words
    }

    /// Returns the arguments with which buildx carries out the whole order.
    pub(crate) fn whole(&self) -> Vec<OsString> {
        let BakeArguments { print, list, check, call, builder, progress, metadata_file, allowed, .. } = &self.arguments;
        let mut words: Vec<OsString> = vec!["bake".into()];
        words.extend(self.arguments.debug.then(|| "--debug".into()));
        words.extend(print.then(|| "--print".into()));
        words.extend(check.then(|| "--check".into()));
        let progress = progress.map(ProgressWord::word);
        let given = [("list", list.as_deref()), ("call", call.as_deref()), ("builder", builder.as_deref())];
        for (flag, value) in given.into_iter().chain([("progress", progress)]) {
            words.extend(value.map(|value| format!("--{flag}={value}").into()));
        }
        if let Some(file) = metadata_file {
            words.extend(["--metadata-file".into(), file.clone().into()]);
        }
        words.extend(allowed.iter().map(|word| format!("--allow={word}").into()));
        words.extend(self.definition_words());
        words
    }

    /// Returns the flags that decide what the targets are, and the names of the targets.
    fn definition_words(&self) -> Vec<OsString> {
        let BakeArguments { files, changes, variables, provenance, sbom, targets, .. } = &self.arguments;
        let BakeArguments { no_cache, pull, push, load, .. } = &self.arguments;
        let mut words: Vec<OsString> = Vec::new();
        for (flag, values) in [("file", files), ("set", changes), ("var", variables)] {
            words.extend(values.iter().map(|value| format!("--{flag}={value}").into()));
        }
        for (flag, is_given) in [("no-cache", *no_cache), ("pull", *pull), ("push", *push), ("load", *load)] {
            words.extend(is_given.then(|| format!("--{flag}").into()));
        }
        for (flag, value) in [("provenance", provenance), ("sbom", sbom)] {
            words.extend(value.iter().map(|value| format!("--{flag}={value}").into()));
        }
        words.push("--".into());
        words.extend(targets.iter().map(OsString::from));
        words
    }

    /// Returns the path of the file that describes the results.
    pub(crate) fn metadata_file(&self) -> Option<PathBuf> {
        self.arguments.metadata_file.clone()
    }

    /// Returns the sources of the secrets on the command line.
    pub(crate) fn sources(&self) -> SecretSources {
        self.arguments.secrets.sources(psecret::Dialect::Dotenv)
    }

    /// Turns the definition that buildx printed into the orders of the targets, sorted by name.
    ///
    /// # Errors
    /// Returns a [`BakeError`] that names the target and its attribute.
    pub(crate) fn targets(
        &self,
        printed: &[u8],
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Vec<TargetOrder>, BakeError> {
        let definition = Definition::read(printed)?;
        let recipe = |name| Recipe::new(definition.attributes(name)?, &self.arguments);
        let recipes: Vec<Recipe> = definition.requested()?.into_iter().map(recipe).collect::<Result<_, _>>()?;
        let targets = |recipe| self.target(recipe, &definition, &environment, &mut Vec::new());
        // Compose uses this mode. It asks its user for the permissions itself, and it reads only JSON. buildx leaves
        // out the check, too.
        if self.show != ProgressMode::RawJson {
            self.entitlements.check(recipes.iter().map(Recipe::needs))?;
        }
        recipes.into_iter().map(targets).collect()
    }

    /// Turns one recipe into the order of a target and of its inner targets. `above` are the names of the outer
    /// targets.
    fn target(
        &self,
        recipe: Recipe,
        definition: &Definition,
        environment: &dyn Fn(&str) -> Option<String>,
        above: &mut Vec<String>,
    ) -> Result<TargetOrder, BakeError> {
        let Recipe { name, secrets, arguments, inline, inner } = recipe;
        if above.contains(&name) {
            return Err(DefinitionError::Circle { target: name }.into());
        }
        above.push(name.clone());
        let mut base = |(context, base): (String, String)| {
            let recipe = Recipe::new(definition.attributes(&base)?, &self.arguments)?;
            if self.show != ProgressMode::RawJson {
                self.entitlements.check([recipe.needs()])?;
            }
            Ok::<_, BakeError>(InnerOrder { context, target: self.target(recipe, definition, environment, above)? })
        };
        let inner = inner.into_iter().map(&mut base).collect::<Result<_, _>>()?;
        above.pop();
        let stdin = std::io::Cursor::new(inline.unwrap_or_default());
        match build::target(&arguments, environment, stdin) {
            Ok(order) => Ok(TargetOrder { name, secrets, order, inner }),
            Err(source) => Err(BakeError::Target { target: name, source }),
        }
    }
}
