//! The command line, flat, as clap reads it. [`crate::plan`] turns it into something checked.

pub mod ignored;
pub mod plugin;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use pcli::arguments::SecretArguments;

use crate::build::call::CallOptions;
use crate::command::ignored::IgnoredOptions;
use crate::output::OutputOptions;
use crate::plan::attestation::AttestationOptions;
use crate::plan::cache::CacheOptions;
use crate::plan::step_options::StepOptions;

/// Builds container images with secrets that stay out of them
#[derive(Debug, Parser)]
#[command(name = "pbuild", version, propagate_version = true, arg_required_else_help = true)]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What pbuild can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a first app.toml from the Dockerfile, the env files and the compose file of a project
    New(NewArguments),
    /// Build an image, search every layer for the secrets it was given, and tag it only when none is found
    Build(Box<BuildArguments>),
    /// Search a finished image for the values of your secrets
    Audit(Box<AuditArguments>),
    /// The sealed store of a project's secrets
    Secrets(SecretsArguments),
    /// Let the manifest run its commands, read the files and variables it names and mount what is the host's; an entry that changes asks again
    Trust(pcli::secrets::TrustArguments),
    /// Say what is well and what to mend: engine, manifest, store, secrets, env files; no value is shown
    Doctor(pcli::arguments::DoctorArguments),
    /// Print a completion script for a shell
    Completions {
        /// The shell to write for
        shell: clap_complete::Shell,
    },
}

/// `pbuild new`.
#[derive(Debug, Args)]
pub struct NewArguments {
    /// The project's folder
    #[arg(value_name = "PATH", default_value = ".")]
    pub path: String,

    /// The Dockerfile [default: the compose file's, else PATH/Dockerfile]
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<String>,

    /// Print the manifest and write nothing
    #[arg(long, conflicts_with_all = ["force", "ignore"])]
    pub stdout: bool,

    /// Replace an app.toml that is there
    #[arg(long)]
    pub force: bool,

    /// Add env files that could get into the image to .dockerignore
    #[arg(long)]
    pub ignore: bool,

    /// These variables are public: write their values into app.toml (repeatable, or between commas)
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub public: Vec<String>,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ProgressMode {
    /// `tty` on a terminal, `plain` elsewhere
    #[default]
    Auto,
    /// One line for each fact, in order
    Plain,
    /// Redraws the running part
    Tty,
    /// One JSON object for each event, as BuildKit sends them, with secrets masked
    Rawjson,
    /// Nothing but the image ID
    #[value(alias = "none")]
    Quiet,
}

/// `BUILDKIT_PROGRESS` with a word that is no way to show progress.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid BUILDKIT_PROGRESS {0:?}: write auto, plain, tty, rawjson or quiet")]
pub struct ProgressError(String);

impl BuildArguments {
    /// Fills in what the environment says where the flags say nothing, as docker's client does: `BUILDKIT_PROGRESS` and
    /// `DOCKER_DEFAULT_PLATFORM`.
    ///
    /// # Errors
    /// [`ProgressError`].
    pub fn with_environment(mut self, environment: impl Fn(&str) -> Option<String>) -> Result<Self, ProgressError> {
        let set = |name: &str| environment(name).filter(|value| !value.is_empty());
        if let (None, Some(word)) = (self.progress, set("BUILDKIT_PROGRESS")) {
            let mode = ProgressMode::from_str(&word, true).map_err(|_| ProgressError(word))?;
            self.progress = Some(mode);
        }
        if let (true, Some(platform)) = (self.platforms.is_empty(), set("DOCKER_DEFAULT_PLATFORM")) {
            self.platforms.push(platform);
        }
        Ok(self)
    }
}

/// How much of the base image is searched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum AuditBase {
    /// What a container of it sees, inside the builder
    #[default]
    Merged,
    /// Every layer of it, by an export of the whole image
    Full,
}

/// `pbuild secrets`.
#[derive(Debug, Args)]
pub struct SecretsArguments {
    /// Close the identity and the store's backup to other users first, instead of refusing them
    #[arg(long)]
    pub fix_permissions: bool,

    /// What to do.
    #[command(subcommand)]
    pub command: SecretsCommand,
}

/// What `pbuild secrets` can do: what both tools know of, and what needs a build.
#[derive(Debug, Subcommand)]
pub enum SecretsCommand {
    /// The store and the list.
    #[command(flatten)]
    Shared(pcli::secrets::SecretsCommand),
    /// Propose the narrowest `steps` for each secret, from what the commands of the build mention; nothing is run
    Advise(AdviseArguments),
}

/// What makes a build out of a Dockerfile.
#[derive(Clone, Debug, Default, Args)]
pub struct RecipeArguments {
    /// The Dockerfile; `-` reads it from standard input [default: PATH/Dockerfile]
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<String>,

    /// Build up to this stage
    #[arg(long, value_name = "STAGE")]
    pub target: Option<String>,

    /// Set a build argument; without a value it comes from the environment (repeatable)
    #[arg(long = "build-arg", value_name = "NAME[=VALUE]")]
    pub build_arguments: Vec<String>,
}

/// `pbuild secrets advise`.
#[derive(Debug, Args)]
pub struct AdviseArguments {
    /// The build's context
    #[arg(value_name = "PATH", default_value = ".")]
    pub path: String,

    /// Which build is meant.
    #[command(flatten)]
    pub recipe: RecipeArguments,

    /// A secret that the build gets by a flag, as for the build; its value is not read (repeatable)
    #[arg(long = "secret", value_name = "SPEC")]
    pub secrets: Vec<String>,

    /// The manifest [default: PATH/app.toml, else app.toml in the current directory]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Print one object, contract version 1
    #[arg(long)]
    pub json: bool,

    /// Write the lines into the manifest; comments and order stay
    #[arg(long)]
    pub write: bool,
}

/// `pbuild build`: docker's flags keep docker's spelling and meaning.
#[derive(Clone, Debug, Default, Args)]
pub struct BuildArguments {
    /// What COPY and ADD read from: a directory, a git or http URL, or `-`, a Dockerfile or a tar archive on standard input
    #[arg(value_name = "PATH | URL | -")]
    pub context: String,

    /// Name the image, `NAME[:TAG]` (repeatable) [default: `image` of the manifest]
    #[arg(short, long = "tag", value_name = "NAME")]
    pub tags: Vec<String>,

    /// Which build is meant.
    #[command(flatten)]
    pub recipe: RecipeArguments,

    /// Set a label on the image (repeatable)
    #[arg(long = "label", value_name = "NAME=VALUE")]
    pub labels: Vec<String>,

    /// Build for this platform, for example linux/arm64 (repeatable, or between commas) [default: DOCKER_DEFAULT_PLATFORM, else
    /// the builder's own]
    #[arg(long = "platform", value_name = "PLATFORM", value_delimiter = ',')]
    pub platforms: Vec<String>,

    /// Run every step again
    #[arg(long)]
    pub no_cache: bool,

    /// Always ask the registry for newer base images
    #[arg(long)]
    pub pull: bool,

    /// The network of RUN steps: `default`, `none` or `host`
    #[arg(long, value_name = "MODE")]
    pub network: Option<String>,

    /// A line for /etc/hosts of RUN steps, `NAME:IP` or `NAME=IP` (repeatable)
    #[arg(long = "add-host", value_name = "NAME:IP")]
    pub extra_hosts: Vec<String>,

    /// How steps run, and what else they can read.
    #[command(flatten)]
    pub steps: StepOptions,

    /// An SSH agent for steps that mount one: `default`, which is the one of SSH_AUTH_SOCK, `ID=SOCKET`, or `ID=KEY[,KEY…]` for
    /// an agent of the build's own with these keys (repeatable)
    #[arg(long, value_name = "ID[=SOCKET|KEY[,KEY]]")]
    pub ssh: Vec<String>,

    /// The builder: one of `docker buildx create`, a docker context, or an address (tcp://, unix://,
    /// docker-container://) [default: BUILDX_BUILDER, else the one of `docker buildx use`]
    #[arg(long, value_name = "NAME")]
    pub builder: Option<String>,

    /// How to show progress [default: BUILDKIT_PROGRESS, else auto]
    #[arg(long, value_enum, value_name = "MODE")]
    pub progress: Option<ProgressMode>,

    /// Print the image ID and nothing else
    #[arg(short, long, conflicts_with = "progress")]
    pub quiet: bool,

    /// Write the image ID to this file
    #[arg(long, value_name = "FILE")]
    pub iidfile: Option<PathBuf>,

    /// Write what the engine says of the image to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub metadata_file: Option<PathBuf>,

    /// Where the result goes.
    #[command(flatten)]
    pub output: OutputOptions,

    /// What is said of the image beside it.
    #[command(flatten)]
    pub attestations: AttestationOptions,

    /// Caches beside the engine's own.
    #[command(flatten)]
    pub caches: CacheOptions,

    /// Questions about the Dockerfile.
    #[command(flatten)]
    pub call: CallOptions,

    /// What BuildKit has no use for.
    #[command(flatten)]
    pub ignored: IgnoredOptions,

    /// Where secrets come from.
    #[command(flatten)]
    pub secrets: SecretArguments,

    /// Accept that a file of the context holds this secret; the layers are searched all the same (repeatable)
    #[arg(long, value_name = "NAME", help_heading = "Secrets")]
    pub allow_context_leak: Vec<String>,

    /// Let this frontend image (`# syntax=`) have the secrets (repeatable)
    #[arg(long, value_name = "IMAGE", help_heading = "Secrets")]
    pub allow_frontend: Vec<String>,

    /// How the base image is searched: `merged`, as a container sees it, once for each base and set of secrets; or `full`,
    /// with the files that its upper layers hide, by exporting the whole image without a name
    #[arg(long, value_enum, value_name = "MODE", default_value_t = AuditBase::Merged)]
    pub audit_base: AuditBase,

    /// Keep the cache records of a leaking build, to look into them
    #[arg(long, help_heading = "Secrets")]
    pub keep_leaked_cache: bool,
}

/// `pbuild audit`.
#[derive(Debug, Args)]
#[command(after_help = SOURCES_HELP)]
#[command(group(clap::ArgGroup::new("source").required(true).args(["image", "archive", "layout", "registry", "directory"])))]
pub struct AuditArguments {
    /// An image of the engine, or anything of the list below
    #[arg(value_name = "IMAGE")]
    pub image: Option<String>,

    /// An archive as `docker save` writes it, or an OCI archive, packed or not; `-` reads standard input
    #[arg(long, value_name = "FILE", help_heading = "Sources")]
    pub archive: Option<PathBuf>,

    /// A folder with an OCI layout; `DIR:NAME` for one image of it
    #[arg(long, value_name = "DIR[:NAME]", help_heading = "Sources")]
    pub layout: Option<String>,

    /// An image of a registry, without an engine; credentials are docker's own
    #[arg(long, value_name = "REFERENCE", help_heading = "Sources")]
    pub registry: Option<String>,

    /// A folder with files, such as an unpacked image
    #[arg(long, value_name = "DIR", help_heading = "Sources")]
    pub directory: Option<PathBuf>,

    /// How to report, and where to: `text`, `json`, `sarif`, `junit` or `html`; without a FILE to standard output
    /// (repeatable) [default: text]
    #[arg(long = "format", value_name = "FORMAT[=FILE]", help_heading = "Reports")]
    pub formats: Vec<String>,

    /// Also print annotations for GitHub Actions
    #[arg(long, help_heading = "Reports")]
    pub github: bool,

    /// Print no report for people; files of --format are written, and errors shown
    #[arg(short, long, help_heading = "Reports")]
    pub quiet: bool,

    /// The Dockerfile that the image was built from, to name its lines
    #[arg(long, value_name = "FILE", help_heading = "Reports")]
    pub dockerfile: Option<PathBuf>,

    /// Accept the findings that this file knows
    #[arg(long, value_name = "FILE", help_heading = "Baselines")]
    pub baseline: Option<PathBuf>,

    /// Write a file that accepts today's findings
    #[arg(long, value_name = "FILE", help_heading = "Baselines")]
    pub write_baseline: Option<PathBuf>,

    /// Search every layer, also those that an earlier audit searched for the same secrets
    #[arg(long)]
    pub no_cache: bool,

    /// Where secrets come from.
    #[command(flatten)]
    pub secrets: SecretArguments,
}

/// How sources are spelled.
const SOURCES_HELP: &str = "\
IMAGE is one of:
  NAME[:TAG], ID            an image of the engine, as docker names it (also docker-daemon:NAME)
  docker-archive:FILE       what `docker save` wrote (also oci-archive:FILE); `-` reads standard input
  oci:DIR[:NAME]            a folder with an OCI layout
  docker://REFERENCE        an image of a registry, all its platforms (also registry:REFERENCE)
  dir:PATH                  a folder with files

Exit codes: 0 clean, 10 leak, 11 something was not searched, 2 nothing to search for";
