//! The flags that name the sources of the user's secrets. They are the same for every command of both tools that
//! needs secrets.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use psecret::Dialect;

use crate::resolve::{Purpose, SecretSources, Strictness, Trust};

/// The flags, as clap reads them.
#[derive(Clone, Debug, Default, Args)]
pub struct SecretArguments {
    /// A secret: `id=NAME[,src=FILE|,env=VARIABLE]`
    ///
    /// As docker spells it (repeatable). `parts=false` takes it as one value, `rebuild=false` lets cached steps of other values
    /// count, and `id=NAME?` may have no value.
    #[arg(long = "secret", value_name = "SPEC", help_heading = "Secrets")]
    pub secrets: Vec<String>,

    /// Secrets from a file of NAME=VALUE lines (repeatable)
    #[arg(long = "env-file", value_name = "FILE", help_heading = "Secrets")]
    pub environment_files: Vec<PathBuf>,

    /// How env files are read: `docker` or `dotenv`
    ///
    /// `docker` takes lines as they are: no quotes, no escapes, `#` only at the start of a line. `dotenv` knows quotes, comments and
    /// values over several lines; `$` is taken literally. [default: dotenv for pbuild, docker for prun]
    #[arg(
        long = "env-file-dialect",
        value_enum,
        value_name = "DIALECT",
        help_heading = "Secrets",
        hide_possible_values = true,
        hide_short_help = true
    )]
    pub environment_file_dialect: Option<EnvironmentFileDialect>,

    /// Take this name from env files although it changes how programs run, such as PATH (repeatable)
    #[arg(long = "allow-name", value_name = "NAME", help_heading = "Secrets", hide_short_help = true)]
    pub allowed_names: Vec<String>,

    /// Refuse what is otherwise warned about
    ///
    /// Env files that others can read, and values too short or too common to search for.
    #[arg(long, help_heading = "Secrets", hide_short_help = true)]
    pub strict: bool,

    /// The manifest [default: app.toml, if there is one]
    #[arg(long, value_name = "FILE", help_heading = "Secrets")]
    pub config: Option<PathBuf>,

    /// Let app.toml read what it names, this once
    ///
    /// It may run its commands, read the files and variables it names and mount parts of the host. `trust` allows it for good.
    #[arg(long, help_heading = "Secrets")]
    pub trust_config: bool,

    /// Refuse an engine that is reached over plain TCP
    ///
    /// Everybody on the way to it can read the secrets.
    #[arg(long, help_heading = "Secrets", hide_short_help = true)]
    pub require_tls: bool,
}

/// The flags of `doctor`, the same in both tools.
#[derive(Clone, Debug, Default, Args)]
pub struct DoctorArguments {
    /// Print one object, contract version 1
    #[arg(long)]
    pub json: bool,

    /// Where secrets come from.
    #[command(flatten)]
    pub secrets: SecretArguments,
}

impl DoctorArguments {
    /// Turns the flags into a request, for a tool of this purpose.
    #[must_use]
    pub fn request(&self, purpose: Purpose) -> DoctorRequest {
        DoctorRequest {
            config: self.secrets.config.clone(),
            sources: self.secrets.sources(purpose.dialect()),
            purpose,
            json: self.json,
        }
    }
}

/// A request to `doctor`: the things to check, and the form of the report.
#[derive(Clone, Debug)]
pub struct DoctorRequest {
    /// The path of the manifest, if the user named one.
    pub config: Option<PathBuf>,
    /// The sources of the secrets' values.
    pub sources: SecretSources,
    /// The purpose for which the tool needs secrets.
    pub purpose: Purpose,
    /// True if the report is one JSON object.
    pub json: bool,
}

/// How lines of an env file are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EnvironmentFileDialect {
    /// As `docker run --env-file`: no quotes, no escapes, `#` only at the start of a line
    Docker,
    /// As Compose: quotes, comments, values over several lines; a dollar sign is taken literally
    Dotenv,
}

impl From<EnvironmentFileDialect> for Dialect {
    fn from(dialect: EnvironmentFileDialect) -> Self {
        match dialect {
            EnvironmentFileDialect::Docker => Self::Docker,
            EnvironmentFileDialect::Dotenv => Self::Dotenv,
        }
    }
}

impl SecretArguments {
    /// Turns the flags into the sources of values. `dialect` is the tool's default for env files: `dotenv` in a tool
    /// that reads the files of frameworks, `docker` in a tool that replaces `docker run`.
    #[must_use]
    pub fn sources(&self, dialect: Dialect) -> SecretSources {
        SecretSources {
            flags: self.secrets.clone(),
            env_files: self.environment_files.clone(),
            dialect: self.environment_file_dialect.map_or(dialect, Dialect::from),
            allowed_names: self.allowed_names.clone(),
            strictness: if self.strict { Strictness::Strict } else { Strictness::Lenient },
            trust: if self.trust_config { Trust::Granted } else { Trust::Withheld },
            kept: BTreeSet::new(),
        }
    }
}
