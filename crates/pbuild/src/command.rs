//! The command line, flat, as clap reads it. [`crate::plan`] turns it into something checked.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use pcli::arguments::SecretArguments;

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
    /// Build an image, search every layer for the secrets it was given, and tag it only when none is found
    Build(Box<BuildArguments>),
    /// Search a finished image for the values of your secrets
    Audit(AuditArguments),
    /// The sealed store of a project's secrets
    Secrets(pcli::secrets::SecretsArguments),
    /// Let the manifest run its commands and read the files and variables it names, until one of these entries changes
    Trust {
        /// Take it back
        #[arg(long)]
        forget: bool,

        /// Which project.
        #[command(flatten)]
        project: pcli::secrets::ProjectFlag,
    },
    /// Print a completion script for a shell
    Completions {
        /// The shell to write for
        shell: clap_complete::Shell,
    },
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
    Quiet,
}

/// `pbuild build`: docker's flags keep docker's spelling and meaning.
#[derive(Debug, Args)]
pub struct BuildArguments {
    /// The directory that COPY and ADD read from
    #[arg(value_name = "PATH")]
    pub context: String,

    /// Name the image, `NAME[:TAG]` (repeatable) [default: `image` of the manifest]
    #[arg(short, long = "tag", value_name = "NAME")]
    pub tags: Vec<String>,

    /// The Dockerfile; `-` reads it from standard input [default: PATH/Dockerfile]
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<String>,

    /// Build up to this stage
    #[arg(long, value_name = "STAGE")]
    pub target: Option<String>,

    /// Set a build argument; without a value it comes from the environment (repeatable)
    #[arg(long = "build-arg", value_name = "NAME[=VALUE]")]
    pub build_arguments: Vec<String>,

    /// Set a label on the image (repeatable)
    #[arg(long = "label", value_name = "NAME=VALUE")]
    pub labels: Vec<String>,

    /// Build for this platform, for example linux/arm64
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<String>,

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

    /// How to show progress
    #[arg(long, value_enum, value_name = "MODE", default_value_t = ProgressMode::Auto)]
    pub progress: ProgressMode,

    /// Print the image ID and nothing else
    #[arg(short, long, conflicts_with = "progress")]
    pub quiet: bool,

    /// Write the image ID to this file
    #[arg(long, value_name = "FILE")]
    pub iidfile: Option<PathBuf>,

    /// Where secrets come from.
    #[command(flatten)]
    pub secrets: SecretArguments,

    /// Accept that a file of the context holds this secret; the layers are searched all the same (repeatable)
    #[arg(long, value_name = "NAME", help_heading = "Secrets")]
    pub allow_context_leak: Vec<String>,

    /// Let this frontend image (`# syntax=`) have the secrets (repeatable)
    #[arg(long, value_name = "IMAGE", help_heading = "Secrets")]
    pub allow_frontend: Vec<String>,

    /// Keep the cache records of a leaking build, to look into them
    #[arg(long, help_heading = "Secrets")]
    pub keep_leaked_cache: bool,
}

/// `pbuild audit`.
#[derive(Debug, Args)]
pub struct AuditArguments {
    /// An image of the engine
    #[arg(value_name = "IMAGE", required_unless_present = "archive", conflicts_with = "archive")]
    pub image: Option<String>,

    /// An archive as `docker save` writes it, or an OCI archive; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub archive: Option<PathBuf>,

    /// How to report
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = ReportFormat::Text)]
    pub format: ReportFormat,

    /// Where secrets come from.
    #[command(flatten)]
    pub secrets: SecretArguments,
}

/// The shapes of a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// For people
    #[default]
    Text,
    /// For programs: one object, contract version 1
    Json,
}
