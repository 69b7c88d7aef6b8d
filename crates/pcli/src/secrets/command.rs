//! The command line of `secrets`, flat, as clap reads it.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::arguments::{EnvironmentFileDialect, SecretArguments};

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

/// The flags of `trust`, the same in both tools.
#[derive(Debug, Args)]
pub struct TrustArguments {
    /// Take it back
    #[arg(long)]
    pub forget: bool,

    /// Show what would be trusted, and remember nothing
    #[arg(long, conflicts_with = "forget")]
    pub dry_run: bool,

    /// Which project.
    #[command(flatten)]
    pub project: ProjectFlag,
}

/// What `pbuild secrets` can do.
#[derive(Debug, Subcommand)]
pub enum SecretsCommand {
    /// Show names and sources; never a value
    List(ListArguments),
    /// Make a store, and an identity that opens it
    ///
    /// The store is secrets.age beside app.toml. In a git repository the attributes and the merge driver that the store needs are
    /// set, too.
    Init(InitArguments),
    /// Set a secret; its value is asked for
    ///
    /// Where standard input is no terminal, it is read from there. It is never an argument.
    Set(SetArguments),
    /// Remove secrets from the store
    Unset(UnsetArguments),
    /// Set the secrets of an env file
    Import(ImportArguments),
    /// Write the secrets to a new file for you alone
    Export(ExportArguments),
    /// Change the secrets in $EDITOR, in memory alone
    Edit(ProjectFlag),
    /// Show which names changed since the last commit
    Diff(DiffArguments),
    /// Make a new key for your identity
    ///
    /// The store is sealed for it, and no more for the old one.
    RotateKey(ProjectFlag),
    /// Who can open the store
    Recipients(RecipientsArguments),
    /// How your identity is kept
    Identity(IdentityArguments),
    /// Print a new PBUILD_CACHE_KEY
    ///
    /// Several people or runners with the same key share cached steps.
    CacheKey,
    /// Print a store as names and keyed digests
    ///
    /// Git runs it (diff.DRIVER.textconv).
    Textconv {
        /// The sealed file
        file: PathBuf,
    },
    /// Merge two stores that grew from a common one
    ///
    /// Git runs it (merge.DRIVER.driver, `%O %A %B`).
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
    /// Print one object, contract version 1
    #[arg(long)]
    pub json: bool,

    /// Where secrets come from.
    #[command(flatten)]
    pub secrets: SecretArguments,
}

/// `secrets init`.
#[derive(Debug, Args)]
pub struct InitArguments {
    /// Wrap the new identity with a passphrase, which every use of it then asks for
    #[arg(long)]
    pub passphrase: bool,

    /// Which project.
    #[command(flatten)]
    pub project: ProjectFlag,
}

/// `secrets identity`.
#[derive(Debug, Args)]
pub struct IdentityArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: IdentityCommand,
}

/// What can be done with the identity.
#[derive(Debug, Subcommand)]
pub enum IdentityCommand {
    /// Wrap it with a new passphrase; plain `age` opens it too
    Passphrase {
        /// Keep it without one, in a file that you alone may read
        #[arg(long)]
        remove: bool,
    },
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
    #[arg(long = "env-file-dialect", value_enum, value_name = "DIALECT", default_value_t = EnvironmentFileDialect::Dotenv)]
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
    Add(AddRecipientArguments),
    /// Seal the store and its backup without this reader
    Remove(RecipientArguments),
}

/// `secrets recipients remove`.
#[derive(Debug, Args)]
pub struct RecipientArguments {
    /// The reader's age recipient, age1…
    #[arg(value_name = "RECIPIENT")]
    pub recipient: String,

    /// Which project.
    #[command(flatten)]
    pub project: ProjectFlag,
}

/// `secrets recipients add`.
#[derive(Debug, Args)]
pub struct AddRecipientArguments {
    /// The reader's age recipient, age1…
    #[arg(value_name = "RECIPIENT")]
    pub recipient: String,

    /// Whose it is, for `recipients list`: a name, kept in the store
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,

    /// Which project.
    #[command(flatten)]
    pub project: ProjectFlag,
}
