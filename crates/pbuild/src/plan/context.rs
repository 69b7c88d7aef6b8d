//! The places from which a build reads its files and its Dockerfile: a directory, an address, or standard input.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use pbuildkit::Archive;
use pcli::FoundManifest;

use super::error::PlanError;
use super::stdin::{self, DOCKERFILE_LIMIT, Input};
use super::step_options::is_remote;
use crate::command::build::BuildArguments;
use crate::files;

/// The place of the Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Dockerfile {
    /// A file of this machine.
    Disk {
        /// The directory that holds the Dockerfile. `NAME.dockerignore` is looked for in the same directory.
        directory: PathBuf,
        /// The Dockerfile's name in that directory.
        name: String,
    },
    /// The text of a Dockerfile that was read from standard input or from a pipe.
    Memory(Vec<u8>),
    /// A file of the context, which only the engine reads.
    InContext {
        /// The Dockerfile's path in the context.
        name: String,
    },
}

/// The files that COPY and ADD read.
#[derive(Clone)]
pub(crate) enum Context {
    /// A directory of this machine, absolute.
    Directory(PathBuf),
    /// A git repository or an archive elsewhere, which the engine fetches.
    Remote(String),
    /// An archive on standard input.
    Archive(Archive),
    /// No files, because standard input was the Dockerfile.
    Empty,
}

impl Context {
    /// Returns the directory, if the context is a directory of this machine.
    pub(crate) fn directory(&self) -> Option<&Path> {
        match self {
            Self::Directory(path) => Some(path),
            Self::Remote(_) | Self::Archive(_) | Self::Empty => None,
        }
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Directory(path) => write!(formatter, "Directory({})", path.display()),
            // A URL may hold a password.
            Self::Remote(_) => formatter.write_str("Remote"),
            Self::Archive(_) => formatter.write_str("Archive"),
            Self::Empty => formatter.write_str("Empty"),
        }
    }
}

impl Dockerfile {
    /// Returns the Dockerfile's name for the frontend.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Disk { name, .. } | Self::InContext { name } => name,
            Self::Memory(_) => "Dockerfile",
        }
    }
}

/// Returns whether a context is read from standard input or fetched by the engine. pbuild reads no manifest from such
/// a context.
pub(crate) fn is_elsewhere(context: &str) -> bool {
    context == "-" || is_remote(context)
}

/// Checks that a context is a directory of this machine. This comes first, because the manifest is in the context.
///
/// # Errors
/// Returns an error if the context is not a directory of this machine.
pub(crate) fn context_directory(context: &str) -> Result<PathBuf, PlanError> {
    let path = Path::new(context);
    let Ok(metadata) = fs::metadata(path) else {
        return Err(PlanError::ContextMissing { path: context.to_owned() });
    };
    if !metadata.is_dir() {
        return Err(PlanError::ContextNotDirectory { path: context.to_owned() });
    }
    std::path::absolute(path).map_err(|_| PlanError::ContextMissing { path: context.to_owned() })
}

/// Returns the context for the build of a folder: the one that the folder's own manifest names, or else the folder
/// itself.
///
/// # Errors
/// Returns an error if the manifest names a folder that does not exist, or one that is outside of `folder`.
pub(super) fn context_of(folder: PathBuf, found: Option<&FoundManifest>) -> Result<PathBuf, PlanError> {
    let of_manifest = found.and_then(|found| Some((found, found.manifest.build.context.as_deref()?)));
    let Some((found, context)) = of_manifest.filter(|(found, _)| lies_in(&found.path, &folder)) else {
        return Ok(folder);
    };
    let context = folder.join(context);
    // A link that leads out of the folder would send files that the manifest may not name.
    let stays = |path: &Path| fs::canonicalize(path).ok().zip(fs::canonicalize(&folder).ok());
    match stays(&context).is_some_and(|(context, folder)| context.starts_with(folder)) && context.is_dir() {
        true => Ok(context),
        false => Err(PlanError::ContextOfManifest { manifest: found.path.clone(), path: context }),
    }
}

/// Returns whether a file is directly in a folder.
fn lies_in(file: &Path, folder: &Path) -> bool {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let canonical = |path: &Path| fs::canonicalize(path).ok();
    canonical(parent).is_some_and(|parent| Some(parent) == canonical(folder))
}

/// Reads a context that is not a directory of this machine.
pub(super) fn elsewhere(
    arguments: &BuildArguments,
    stdin: impl Read + Send + 'static,
) -> Result<(Context, Dockerfile), PlanError> {
    let file = arguments.recipe.file.as_deref();
    let in_context = || Dockerfile::InContext { name: file.unwrap_or("Dockerfile").to_owned() };
    if arguments.context != "-" {
        let dockerfile = if file == Some("-") { dockerfile_of(stdin)? } else { in_context() };
        return Ok((Context::Remote(arguments.context.clone()), dockerfile));
    }
    if file == Some("-") {
        return Err(PlanError::InputTwice);
    }
    match stdin::read(stdin).map_err(|source| PlanError::Input { source })? {
        Input::Archive(archive) => Ok((Context::Archive(archive), in_context())),
        Input::Dockerfile(text) => match file {
            Some(file) => Err(PlanError::DockerfileTwice { file: file.to_owned() }),
            None if text.is_empty() => Err(PlanError::InputEmpty),
            None => Ok((Context::Empty, Dockerfile::Memory(text))),
        },
    }
}

/// Reads the Dockerfile from standard input.
fn dockerfile_of(stdin: impl Read) -> Result<Dockerfile, PlanError> {
    let mut bytes = Vec::new();
    let _waiting = pscreen::waiting();
    match stdin.take(DOCKERFILE_LIMIT as u64).read_to_end(&mut bytes) {
        Ok(0) => Err(PlanError::InputEmpty),
        Ok(_) => Ok(Dockerfile::Memory(bytes)),
        Err(source) => Err(PlanError::Input { source }),
    }
}

/// Finds the Dockerfile of a context of this machine.
pub(super) fn dockerfile(
    arguments: &BuildArguments,
    context: &Path,
    manifest: Option<&str>,
    stdin: impl Read,
) -> Result<Dockerfile, PlanError> {
    if arguments.recipe.file.as_deref() == Some("-") {
        return dockerfile_of(stdin);
    }
    // The flag's path is relative to the current directory, the manifest's path to the context.
    let path = match (&arguments.recipe.file, manifest) {
        (Some(file), _) => PathBuf::from(file),
        (None, Some(file)) => context.join(file),
        (None, None) => ["Dockerfile", "dockerfile"]
            .map(|name| context.join(name))
            .into_iter()
            .find(|path| path.is_file())
            .unwrap_or_else(|| context.join("Dockerfile")),
    };
    match fs::metadata(&path) {
        Ok(metadata) if metadata.is_dir() => {
            return Err(PlanError::DockerfileUnreadable { path, source: std::io::ErrorKind::IsADirectory.into() });
        }
        Ok(metadata) if metadata.is_file() => {}
        // A pipe can be read only once, and only a regular file can be sent under its name, so the text is kept in
        // memory.
        Ok(_) => {
            let text = files::read(&path, DOCKERFILE_LIMIT);
            return text.map(Dockerfile::Memory).map_err(|source| PlanError::DockerfileUnreadable { path, source });
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(PlanError::DockerfileMissing { path });
        }
        Err(source) => return Err(PlanError::DockerfileUnreadable { path, source }),
    }
    let missing = || PlanError::DockerfileMissing { path: path.clone() };
    let absolute = std::path::absolute(&path).map_err(|_| missing())?;
    let directory = absolute.parent().ok_or_else(missing)?.to_owned();
    let name = absolute.file_name().and_then(|name| name.to_str()).ok_or_else(missing)?.to_owned();
    Ok(Dockerfile::Disk { directory, name })
}
