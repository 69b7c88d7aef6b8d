//! The order of a first manifest: turns the flags of `pbuild new` into checked types.

use std::path::PathBuf;

use super::context::context_directory;
use super::error::PlanError;
use crate::command::NewArguments;

/// The order of a first manifest.
#[derive(Clone, Debug)]
pub(crate) struct DraftOrder {
    /// The project's folder, absolute.
    pub(crate) folder: PathBuf,
    /// The project's folder as the user wrote it, for messages.
    pub(crate) path: String,
    /// The Dockerfile that the user named.
    pub(crate) dockerfile: Option<PathBuf>,
    /// The service of the compose file that is the app.
    pub(crate) service: Option<String>,
    /// The destination of the new manifest.
    pub(crate) target: DraftTarget,
    /// What to do with env files that could get into the image.
    pub(crate) open_env_files: OpenEnvFileCare,
    /// The names of variables that the user declares public.
    pub(crate) public: Vec<String>,
}

/// The destination of a new manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DraftTarget {
    /// Standard output.
    StandardOutput,
    /// `app.toml`, which must not exist yet.
    NewFile,
    /// `app.toml`, which is replaced if it exists.
    AnyFile,
}

/// What to do with env files that could get into the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpenEnvFileCare {
    /// A warning names the files.
    Warn,
    /// The files are added to the ignore file.
    Ignore,
}

/// Turns the flags into the order of a first manifest.
///
/// # Errors
/// Returns an error if the project's folder is not a directory.
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
