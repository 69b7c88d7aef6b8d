//! The command line, flat, as clap reads it. [`crate::plan`] turns it into something checked.

pub(crate) mod audit;
pub(crate) mod build;
mod docker_words;
pub(crate) mod ignored;
pub(crate) mod plugin;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, CommandFactory as _, Parser, Subcommand};

use audit::AuditArguments;
use build::{BuildArguments, ProgressMode, RecipeArguments};
pub(crate) use docker_words::boolean;

/// Builds container images with secrets that stay out of them
#[derive(Debug, Parser)]
#[command(name = "pbuild", version, propagate_version = true, arg_required_else_help = true)]
pub struct CommandLine {
    /// The command.
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl CommandLine {
    /// Reads a command line, the program's name first; the flags of `pbuild build` may be written in any of docker's ways. Ends
    /// the process with help or with an error, as [`Parser::parse_from`] does.
    #[must_use]
    pub fn read(words: impl IntoIterator<Item = OsString>) -> Self {
        let mut command = Self::command();
        command.build();
        Self::parse_from(docker_words::translate(&command, words))
    }

    /// Whether standard error is for programs: each of its lines is a JSON object (`--progress rawjson`).
    pub(crate) fn asks_for_events(&self, environment: impl Fn(&str) -> Option<String>) -> bool {
        let Command::Build(arguments) = &self.command else { return false };
        let of_variable = || ProgressMode::of_word(&environment("BUILDKIT_PROGRESS")?);
        !arguments.quiet && arguments.progress.or_else(of_variable) == Some(ProgressMode::Rawjson)
    }
}

/// The commands of pbuild.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write a first app.toml from the Dockerfile, the env files and the compose file of a project
    New(NewArguments),
    /// Build an image, search every layer for the secrets it was given, and tag it only when none is found
    #[command(args_override_self = true)]
    Build(Box<BuildArguments>),
    /// Search a finished image for the values of your secrets
    Audit(Box<AuditArguments>),
    /// The sealed store of a project's secrets
    Secrets(SecretsArguments),
    /// Let the manifest run its commands, read the files and variables it names and mount parts of the host; you will
    /// be asked again if an entry changes
    Trust(pcli::secrets::TrustArguments),
    /// Check the setup and suggest fixes: engine, manifest, store, secrets, env files; no value is shown
    Doctor(pcli::arguments::DoctorArguments),
    /// Print a completion script for a shell
    Completions {
        /// The shell to write for
        shell: clap_complete::Shell,
    },
}

/// `pbuild new`.
#[derive(Debug, Args)]
pub(crate) struct NewArguments {
    /// The project's folder
    #[arg(value_name = "PATH", default_value = ".")]
    pub(crate) path: String,

    /// The Dockerfile [default: the compose file's, else PATH/Dockerfile]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<String>,

    /// Print the manifest and write nothing
    #[arg(long, conflicts_with_all = ["force", "ignore"])]
    pub(crate) stdout: bool,

    /// Replace an app.toml that is there
    #[arg(long)]
    pub(crate) force: bool,

    /// Add env files that could get into the image to .dockerignore
    #[arg(long)]
    pub(crate) ignore: bool,

    /// These variables are public: write their values into app.toml (repeatable, or between commas)
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) public: Vec<String>,
}

/// `pbuild secrets`.
#[derive(Debug, Args)]
pub(crate) struct SecretsArguments {
    /// Close the identity and the store's backup to other users first, instead of refusing them
    #[arg(long)]
    pub(crate) fix_permissions: bool,

    /// What to do.
    #[command(subcommand)]
    pub(crate) command: SecretsCommand,
}

/// The commands of `pbuild secrets`: those that both tools have, and the one that needs a build.
#[derive(Debug, Subcommand)]
pub(crate) enum SecretsCommand {
    /// The store and the list.
    #[command(flatten)]
    Shared(pcli::secrets::SecretsCommand),
    /// Propose the narrowest `steps` for each secret, from what the commands of the build mention; nothing is run
    Advise(AdviseArguments),
}

/// `pbuild secrets advise`.
#[derive(Debug, Args)]
pub(crate) struct AdviseArguments {
    /// The build's context
    #[arg(value_name = "PATH", default_value = ".")]
    pub(crate) path: String,

    /// Which build is meant.
    #[command(flatten)]
    pub(crate) recipe: RecipeArguments,

    /// A secret that the build gets by a flag, as for the build; its value is not read (repeatable)
    #[arg(long = "secret", value_name = "SPEC")]
    pub(crate) secrets: Vec<String>,

    /// The manifest [default: PATH/app.toml, else app.toml in the current directory]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Print one object, contract version 1
    #[arg(long)]
    pub(crate) json: bool,

    /// Write the lines into the manifest; comments and order stay
    #[arg(long)]
    pub(crate) write: bool,
}
