//! The order of a first manifest: the one way from the flags of `pbuild new` to checked types.

use std::path::PathBuf;

use super::context::context_directory;
use super::error::PlanError;
use crate::command::NewArguments;

/// The order of a first manifest.
#[derive(Clone, Debug)]
pub(crate) struct DraftOrder {
    /// The project's folder, absolute.
    pub(crate) folder: PathBuf,
    /// The project's folder as it was given, for people.
    pub(crate) path: String,
    /// The Dockerfile that was named.
    pub(crate) dockerfile: Option<PathBuf>,
    /// The service of the compose file that is the app.
    pub(crate) service: Option<String>,
    /// The place of the draft.
    pub(crate) target: DraftTarget,
    /// The treatment of env files that could get into the image.
    pub(crate) open_env_files: OpenEnvFileCare,
    /// The names of variables that are public.
    pub(crate) public: Vec<String>,
}

/// The place of a draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DraftTarget {
    /// Standard output.
    StandardOutput,
    /// A new `app.toml`.
    NewFile,
    /// `app.toml`, also over one that is there.
    AnyFile,
}

/// The treatment of env files that could get into the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpenEnvFileCare {
    /// Open env files lead to a warning.
    Warn,
    /// Open env files are added to the ignore file.
    Ignore,
}

/// Turns the flags into the order of a first manifest.
///
/// # Errors
/// When the folder is not one.
pub(crate) fn parse(arguments: &NewArguments) -> Result<DraftOrder, PlanError> {
    Ok(DraftOrder {
        folder: context_directory(&arguments.path)?,
        path: arguments.path.clone(),
        dockerfile: arguments.file.as_deref().map(PathBuf::from),
        service: arguments.service.clone(),
        target: match (arguments.stdout, arguments.force) {
            (true, _) => DraftTarget::StandardOutput,
            (false, true) => DraftTarget::AnyFile,
            (false, false) => DraftTarget::NewFile,
        },
        open_env_files: if arguments.ignore { OpenEnvFileCare::Ignore } else { OpenEnvFileCare::Warn },
        public: arguments.public.clone(),
    })
}
