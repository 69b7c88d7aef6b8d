//! The reasons why a build command cannot be carried out.

use std::path::PathBuf;

use super::image_name::ImageNameError;
use super::source_policy::SourcePolicyError;
use super::step_options::StepOptionError;

/// The reasons why the recipe of a build is not valid.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlanError {
    /// The context is not a directory of this machine.
    #[error("unable to prepare context: path {path:?} not found")]
    ContextMissing {
        /// The path as the user wrote it.
        path: String,
    },
    /// The context is a file.
    #[error("unable to prepare context: {path:?} is not a directory")]
    ContextNotDirectory {
        /// The path as the user wrote it.
        path: String,
    },
    /// The manifest names a context that is not a folder below the manifest's own folder.
    #[error("build.context of {}: there is no folder {} below it", manifest.display(), path.display())]
    ContextOfManifest {
        /// The manifest.
        manifest: PathBuf,
        /// The folder that it names.
        path: PathBuf,
    },
    /// Standard input would have to be both the context and the Dockerfile.
    #[error("standard input cannot be both the context and the Dockerfile")]
    InputTwice,
    /// Standard input is a Dockerfile, and `-f` names another one.
    #[error("standard input is a Dockerfile, and -f {file} names another")]
    DockerfileTwice {
        /// The flag's value.
        file: String,
    },
    /// Standard input should be a Dockerfile or an archive, and it is empty.
    #[error("failed to read dockerfile: standard input is empty")]
    InputEmpty,
    /// Standard input cannot be read.
    #[error("failed to read standard input")]
    Input {
        /// The cause.
        source: std::io::Error,
    },
    /// The source policy is wrong.
    #[error(transparent)]
    SourcePolicy(#[from] SourcePolicyError),
    /// A flag about steps or more contexts is wrong.
    #[error(transparent)]
    Step(#[from] StepOptionError),
    /// The Dockerfile does not exist. The message is docker's.
    #[error("failed to read dockerfile: open {}: no such file or directory", path.display())]
    DockerfileMissing {
        /// The path that was tried.
        path: PathBuf,
    },
    /// The Dockerfile cannot be read.
    #[error("failed to read dockerfile {}", path.display())]
    DockerfileUnreadable {
        /// The path that was tried.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The value of `-t` is not an image name.
    #[error(transparent)]
    Tag(#[from] ImageNameError),
    /// `--build-arg` has no name.
    #[error("invalid --build-arg: there is no name before `=`")]
    BuildArgument,
    /// `--label` has no name.
    #[error("invalid --label: there is no name before `=`")]
    Label,
    /// The value of `--add-host` is not `NAME:IP`.
    #[error("invalid --add-host {text:?}: write NAME:IP")]
    ExtraHost {
        /// The flag's value.
        text: String,
    },
    /// `--network` names a mode that BuildKit does not have.
    #[error("invalid --network {mode:?}: BuildKit knows `default`, `none` and `host`")]
    Network {
        /// The flag's value.
        mode: String,
    },
}
