//! The command line as clap reads it, without checks. [`crate::plan`] turns it into checked types.

pub(crate) mod audit;
pub(crate) mod bake;
pub(crate) mod build;
mod docker_words;
mod guide;
pub(crate) mod ignored;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, CommandFactory as _, Parser, Subcommand};

use audit::AuditArguments;
use bake::BakeArguments;
use pcli::help::Refusal;
use pscreen::{Exit, Printer};

use build::{BuildArguments, ProgressMode, RecipeArguments};
pub(crate) use docker_words::boolean;

/// Builds container images with secrets that stay out of them
#[derive(Debug, Parser)]
#[command(name = "pbuild", version, long_version = env!("PBUILD_VERSION"), arg_required_else_help = true)]
pub struct CommandLine {
    /// The command.
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl CommandLine {
    /// Reads a command line, the program's name first. The flags of `pbuild build` and `pbuild bake` may be written
    /// in any of docker's ways. Ends the process with the help text or with an error, as [`Parser::parse_from`] does.
    #[must_use]
    pub fn read(words: impl IntoIterator<Item = OsString>) -> Self {
        let mut command = Self::command();
        command.build();
        match pcli::help::parse(docker_words::translate(&command, words), &guide::GUIDE) {
            Ok(command_line) => command_line,
            Err(Refusal::Clap(error)) => error.exit(),
            Err(Refusal::Tip(diagnostic)) => {
                Printer::stderr().diagnostic(&diagnostic);
                std::process::exit(i32::from(diagnostic.exit().unwrap_or(Exit::Usage).code()))
            }
        }
    }

    /// Returns whether standard error is read by a program: each of its lines is then a JSON object (`--progress
    /// rawjson`).
    pub(crate) fn asks_for_events(&self, environment: impl Fn(&str) -> Option<String>) -> bool {
        let (quiet, progress) = match &self.command {
            Command::Build(arguments) => (arguments.quiet, arguments.progress),
            Command::Bake(arguments) => (false, arguments.progress),
            _ => return false,
        };
        let of_variable = || ProgressMode::of_word(&environment("BUILDKIT_PROGRESS")?);
        !quiet && progress.or_else(of_variable) == Some(ProgressMode::Rawjson)
    }
}

/// The commands of pbuild.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write a first app.toml
    ///
    /// It is made from the Dockerfile, the env files and the compose file.
    New(NewArguments),
    /// Build an image; no tag if a secret leaks
    ///
    /// Every RUN has the secrets as environment variables, and every layer is searched for them.
    #[command(args_override_self = true)]
    Build(Box<BuildArguments>),
    /// Build the targets of a bake or compose file
    ///
    /// They are built together; no image gets its name before all of them are clean.
    #[command(args_override_self = true)]
    Bake(Box<BakeArguments>),
    /// Search a finished image for your secrets
    Audit(Box<AuditArguments>),
    /// Keep secrets: set, list, share, rotate
    Secrets(SecretsArguments),
    /// Let app.toml read what it names
    ///
    /// A manifest runs its commands, reads the files and variables it names and mounts parts of the host only if you said so; you
    /// will be asked again if an entry changes.
    Trust(pcli::secrets::TrustArguments),
    /// Check the setup and suggest fixes
    Doctor(OwnDoctorArguments),
    /// Let docker's own commands build with pbuild
    ///
    /// `docker build` builds with pbuild then, and there are the plugins `docker pbuild` and `docker prun`.
    Install(InstallArguments),
    /// Undo what `pbuild install` did
    Uninstall,
    /// Print a completion script for a shell
    Completions {
        /// The shell to write for
        shell: clap_complete::Shell,
    },
    /// Write manual pages into a folder
    ///
    /// `man` looks into ~/.local/share/man/man1, for example.
    Man {
        /// The folder; it is made if it is not there
        folder: PathBuf,
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

    /// The service of the compose file that is the app
    ///
    /// [default: one that is built from PATH, else one that uses a database]
    #[arg(long, value_name = "NAME", conflicts_with = "file")]
    pub(crate) service: Option<String>,

    /// Print the manifest and write nothing
    #[arg(long, conflicts_with_all = ["force", "ignore"])]
    pub(crate) stdout: bool,

    /// Replace an app.toml that is there
    #[arg(long)]
    pub(crate) force: bool,

    /// Add env files that could get into the image to .dockerignore
    #[arg(long)]
    pub(crate) ignore: bool,

    /// These variables are public: write their values into app.toml
    ///
    /// Repeatable, or between commas; `all` for every one that does not look secret.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) public: Vec<String>,
}

/// `pbuild doctor`: the flags of both tools, and one of our own.
#[derive(Debug, Args)]
pub(crate) struct OwnDoctorArguments {
    /// Check instead whether docker's own commands build with pbuild; fails unless `docker buildx version` names it
    #[arg(long)]
    pub(crate) door: bool,

    /// The flags of both tools.
    #[command(flatten)]
    pub(crate) shared: pcli::arguments::DoctorArguments,
}

/// `pbuild install`.
#[derive(Debug, Args)]
pub(crate) struct InstallArguments {
    /// Stand in the place of buildx, too: `docker compose build`, `docker buildx build` and `bake` and Docker's own
    /// actions build with pbuild, and every other command of buildx goes to the real one
    #[arg(long)]
    pub(crate) buildx: bool,
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
    /// Propose which steps need which secret
    ///
    /// The narrowest `steps` for each secret, from what the commands of the build mention; nothing is run.
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
