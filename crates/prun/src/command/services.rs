//! The flags of `prun services`.

use clap::{Args, Subcommand};

use super::{ListArguments, ProjectArguments};

/// `prun services`.
#[derive(Debug, Subcommand)]
pub(crate) enum ServicesCommand {
    /// Give services new credentials; instances get them without a rebuild and without a failed login
    Rotate(RotateArguments),
    /// Add a service; the app is restarted with its variables
    Add(AddArguments),
    /// Take a service out; its data and credential stay
    Remove(RemoveArguments),
    /// Show the services of a project
    List(ListArguments),
    /// Take over data that prun did not make: the app gets a login of its own
    Import(ImportArguments),
    /// Set new passwords in data whose passwords nobody knows; the data stays
    Reset(ResetArguments),
    /// Open the server's own client, with its administrator's rights
    ///
    /// At a terminal it is interactive; else it reads a script from standard input, and its exit code is the client's.
    Shell(ShellArguments),
    /// Write a service's data to standard output
    ///
    /// SQL for PostgreSQL, MySQL and MariaDB, an RDB file for Redis and Valkey.
    Dump(ToolArguments),
    /// Bring data from standard input into a service: all of it, or nothing
    ///
    /// It takes what `prun services dump` writes, and what the server's own dump programs write.
    Load(LoadArguments),
}

/// A service whose own client is used.
#[derive(Debug, Args)]
pub(crate) struct ToolArguments {
    /// The service
    #[arg(value_name = "NAME")]
    pub(crate) service: String,

    /// One of the app's databases [default: the first one]
    #[arg(long, value_name = "NAME")]
    pub(crate) database: Option<String>,

    /// The project.
    #[command(flatten)]
    pub(crate) project: ProjectArguments,
}

/// `prun services shell`.
#[derive(Debug, Args)]
pub(crate) struct ShellArguments {
    /// The service.
    #[command(flatten)]
    pub(crate) tool: ToolArguments,

    /// Arguments for the client
    #[arg(value_name = "ARGUMENT", last = true)]
    pub(crate) arguments: Vec<String>,
}

/// `prun services load`.
#[derive(Debug, Args)]
pub(crate) struct LoadArguments {
    /// The service.
    #[command(flatten)]
    pub(crate) tool: ToolArguments,

    /// Put the data in the place of what is there
    #[arg(long)]
    pub(crate) replace: bool,
}

/// `prun services add`.
#[derive(Debug, Args)]
pub(crate) struct AddArguments {
    /// The service; kinds are postgres, mysql, mariadb, redis, valkey, mongodb
    #[arg(value_name = "KIND[:VERSION][=NAME]")]
    pub(crate) service: String,

    /// The project.
    #[command(flatten)]
    pub(crate) project: ProjectArguments,
}

/// `prun services remove`.
#[derive(Debug, Args)]
pub(crate) struct RemoveArguments {
    /// The service
    #[arg(value_name = "NAME")]
    pub(crate) name: String,

    /// Remove its data and its credential too; they cannot be brought back
    #[arg(long)]
    pub(crate) purge: bool,

    /// Do not ask before data is removed
    #[arg(long, requires = "purge")]
    pub(crate) yes: bool,

    /// The project.
    #[command(flatten)]
    pub(crate) project: ProjectArguments,
}

/// `prun services import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    /// A service of app.toml, or `KIND[:VERSION][=NAME]`
    #[arg(value_name = "SERVICE")]
    pub(crate) service: String,

    /// The volume with the data [default: the one that prun would make]
    #[arg(long, value_name = "NAME")]
    pub(crate) volume: Option<String>,

    /// The database that the app uses [default: made from the project's name]
    #[arg(long, value_name = "NAME")]
    pub(crate) database: Option<String>,

    /// The administrator's name in the data [default: postgres for PostgreSQL, default for Redis and Valkey, root for
    /// MySQL, MariaDB and MongoDB]; its password comes from standard input
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,

    /// The project.
    #[command(flatten)]
    pub(crate) project: ProjectArguments,
}

/// `prun services reset`.
#[derive(Debug, Args)]
pub(crate) struct ResetArguments {
    /// A service of app.toml, or `KIND[:VERSION][=NAME]`
    #[arg(value_name = "SERVICE")]
    pub(crate) service: String,

    /// The administrator's name in the data [default: postgres for PostgreSQL, default for Redis and Valkey, root for
    /// MySQL and MariaDB]
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,

    /// The volume with the data, if the service has another one
    #[arg(long, value_name = "NAME")]
    pub(crate) volume: Option<String>,

    /// The database that the app uses, if it is another one
    #[arg(long, value_name = "NAME")]
    pub(crate) database: Option<String>,

    /// The project.
    #[command(flatten)]
    pub(crate) project: ProjectArguments,
}

/// `prun services rotate`.
#[derive(Debug, Args)]
pub(crate) struct RotateArguments {
    /// The services
    #[arg(value_name = "NAME", required_unless_present = "all", conflicts_with = "all")]
    pub(crate) names: Vec<String>,

    /// Every service of the project
    #[arg(long)]
    pub(crate) all: bool,

    /// The project.
    #[command(flatten)]
    pub(crate) project: ProjectArguments,
}
