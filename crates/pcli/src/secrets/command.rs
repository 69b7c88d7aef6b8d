//! The command line of `secrets`, flat, as clap reads it.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::arguments::{EnvironmentFileDialect, SecretArguments};

/// `pbuild secrets`.
#[derive(Debug, Args)]
pub struct SecretsArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: SecretsCommand,
}

/// `prun secrets`: looking, and nothing that changes.
#[derive(Debug, Args)]
pub struct LookArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: LookCommand,
}

/// What `prun secrets` can do.
#[derive(Debug, Subcommand)]
pub enum LookCommand {
    /// Show names, scopes and where the values come from; never a value
    List(ListArguments),
}

/// What `pbuild secrets` can do.
#[derive(Debug, Subcommand)]
pub enum SecretsCommand {
    /// Show names, scopes and where the values come from; never a value
    List(ListArguments),
    /// Make a sealed store, secrets.age, and an identity that opens it
    Init(ProjectFlag),
    /// Set a secret in the store; its value is asked for, or read from standard input
    Set(SetArguments),
    /// Remove secrets from the store
    Unset(UnsetArguments),
    /// Set the secrets of an env file
    Import(ImportArguments),
    /// Write the secrets to a new env file that its owner alone may read
    Export(ExportArguments),
    /// Change the secrets in $EDITOR, in a file that is in memory alone
    Edit(ProjectFlag),
    /// Show which names changed since the last commit, or since another store
    Diff(DiffArguments),
    /// Make a new key for your identity, and seal the store for it
    RotateKey(ProjectFlag),
    /// Who can open the store
    Recipients(RecipientsArguments),
    /// For git: print a store as names and keyed digests (diff.DRIVER.textconv)
    Textconv {
        /// The sealed file
        file: PathBuf,
    },
    /// For git: merge two stores that grew from a common one (merge.DRIVER.driver, `%O %A %B`)
    Merge {
        /// The common one
        base: PathBuf,
        /// Ours, which gets the result
        ours: PathBuf,
        /// Theirs
        theirs: PathBuf,
    },
}

/// Which project is meant.
#[derive(Debug, Default, Args)]
pub struct ProjectFlag {
    /// The manifest that the store lies beside [default: app.toml in the current directory]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// `secrets list`.
#[derive(Debug, Args)]
pub struct ListArguments {
    /// How to print
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = ListFormat::Text)]
    pub format: ListFormat,

    /// Where secrets come from.
    #[command(flatten)]
    pub secrets: SecretArguments,
}

/// The shapes of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    /// For people
    #[default]
    Text,
    /// For programs: one object, contract version 1
    Json,
}

/// `secrets set`.
#[derive(Debug, Args)]
pub struct SetArguments {
    /// The secret's name
    #[arg(value_name = "NAME")]
    pub name: String,

    /// Keep the line end that standard input ends with
    #[arg(long)]
    pub raw: bool,

    /// Which project.
    #[command(flatten)]
    pub project: ProjectFlag,
}

/// `secrets unset`.
#[derive(Debug, Args)]
pub struct UnsetArguments {
    /// The names
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,

    /// Which project.
    #[command(flatten)]
    pub project: ProjectFlag,
}

/// `secrets import`.
#[derive(Debug, Args)]
pub struct ImportArguments {
    /// The env file; `-` reads standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// How the file is read: `docker` takes lines as they are, `dotenv` knows quotes and comments
    #[arg(long = "env-file-dialect", value_enum, value_name = "DIALECT", default_value_t = EnvironmentFileDialect::Docker)]
    pub dialect: EnvironmentFileDialect,

    /// Which project.
    #[command(flatten)]
    pub project: ProjectFlag,
}

/// `secrets export`.
#[derive(Debug, Args)]
pub struct ExportArguments {
    /// The new file, in the dialect `dotenv`, mode 0600; one that exists is left as it is
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,

    /// Which project.
    #[command(flatten)]
    pub project: ProjectFlag,
}

/// `secrets diff`.
#[derive(Debug, Args)]
pub struct DiffArguments {
    /// An older store [default: the one of the last commit]
    #[arg(value_name = "FILE")]
    pub old: Option<PathBuf>,

    /// Which project.
    #[command(flatten)]
    pub project: ProjectFlag,
}

/// `secrets recipients`.
#[derive(Debug, Args)]
pub struct RecipientsArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: RecipientsCommand,
}

/// What can be done with recipients.
#[derive(Debug, Subcommand)]
pub enum RecipientsCommand {
    /// Print who can open the store
    List(ProjectFlag),
    /// Print your own recipient, for somebody who adds it; makes an identity if you have none
    Mine,
    /// Seal the store for one more reader
    Add(RecipientArguments),
    /// Seal the store and its backup without this reader
    Remove(RecipientArguments),
}

/// `secrets recipients add` and `remove`.
#[derive(Debug, Args)]
pub struct RecipientArguments {
    /// The reader's age recipient, age1…
    #[arg(value_name = "RECIPIENT")]
    pub recipient: String,

    /// Which project.
    #[command(flatten)]
    pub project: ProjectFlag,
}
