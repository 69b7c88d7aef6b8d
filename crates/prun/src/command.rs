//! The command line, flat, as clap reads it. [`crate::plan`] turns it into something checked.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use pcli::arguments::SecretArguments;

/// Starts images with their secrets, and with services whose credentials nobody ever typed
#[derive(Debug, Parser)]
#[command(name = "prun", version, propagate_version = true, arg_required_else_help = true)]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What prun can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start the app and its services, or bring what runs to what is wanted
    Start(Box<StartArguments>),
    /// Stop the app and its services; their data stays
    Stop(StopArguments),
    /// Show what runs
    Ps(ProjectArguments),
    /// Show what instances and services wrote, with secrets masked
    Logs(LogsArguments),
    /// Run a command in an instance, with the app's environment
    Exec(ExecArguments),
    /// Show the variables that instances get; values stay masked
    Injected(InjectedArguments),
    /// Where the secrets of a project come from
    Secrets(pcli::secrets::LookArguments),
    /// Print a completion script for a shell
    Completions {
        /// The shell to write for
        shell: clap_complete::Shell,
    },
}

/// Which project is meant.
#[derive(Debug, Default, Args)]
pub struct ProjectArguments {
    /// The project [default: `name` of the manifest, else the image's name]
    #[arg(long, value_name = "NAME")]
    pub project: Option<String>,

    /// The manifest [default: app.toml in the current directory, if there is one]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// `prun start`: docker's flags keep docker's spelling and meaning.
#[derive(Debug, Default, Args)]
pub struct StartArguments {
    /// The app's image [default: `image` of the manifest]
    #[arg(value_name = "IMAGE")]
    pub image: Option<String>,

    /// The project [default: `name` of the manifest, else the image's name]
    #[arg(long, value_name = "NAME")]
    pub project: Option<String>,

    /// A service: `KIND[:VERSION][=NAME]`; kinds are postgres, mysql, mariadb, redis, valkey, mongodb (repeatable)
    #[arg(long = "service", value_name = "KIND[=NAME]")]
    pub services: Vec<String>,

    /// Publish a port: `[ADDRESS:][HOST:]CONTAINER`, as docker spells it (repeatable)
    #[arg(short, long = "publish", value_name = "PORT")]
    pub ports: Vec<String>,

    /// How many instances to run
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub replicas: Option<u32>,

    /// How many seconds a service or an instance may take to become ready [default: 120]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86400))]
    pub wait: Option<u64>,

    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Where secrets come from.
    #[command(flatten)]
    pub secrets: SecretArguments,
}

/// `prun stop`.
#[derive(Debug, Args)]
pub struct StopArguments {
    /// Which project.
    #[command(flatten)]
    pub project: ProjectArguments,

    /// Remove the data of the services and their credentials too; they cannot be brought back
    #[arg(long)]
    pub purge: bool,
}

/// `prun logs`.
#[derive(Debug, Args)]
pub struct LogsArguments {
    /// Only these services; `app` is the app [default: app]
    #[arg(value_name = "SERVICE")]
    pub of: Vec<String>,

    /// Go on with what comes
    #[arg(short, long)]
    pub follow: bool,

    /// Only so many lines from the end of each
    #[arg(short = 'n', long, value_name = "COUNT")]
    pub tail: Option<u32>,

    /// Which project.
    #[command(flatten)]
    pub project: ProjectArguments,
}

/// `prun exec`.
#[derive(Debug, Args)]
pub struct ExecArguments {
    /// Give the command what comes on standard input
    #[arg(short, long)]
    pub interactive: bool,

    /// The instance
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub instance: u32,

    /// Run it as this user, who must be able to read the app's values
    #[arg(short, long, value_name = "USER")]
    pub user: Option<String>,

    /// Which project.
    #[command(flatten)]
    pub project: ProjectArguments,

    /// The command and its arguments
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
}

/// `prun injected`.
#[derive(Debug, Args)]
pub struct InjectedArguments {
    /// Print the value of this variable, and nothing else
    #[arg(long, value_name = "NAME")]
    pub reveal: Option<String>,

    /// Which project.
    #[command(flatten)]
    pub project: ProjectArguments,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn flags_of_the_inner_command_stay_its_own() {
        let line = CommandLine::try_parse_from(["prun", "exec", "--instance", "2", "sh", "-c", "exit 3"]).unwrap();
        let Command::Exec(arguments) = line.command else { panic!("exec") };
        assert_eq!((arguments.instance, arguments.command.len()), (2, 3));
    }
}
