//! The command line as clap reads it. No other folder names clap or these structs: each has a `request`, which turns
//! the flags into one of the types of [`crate::plan::request`].

pub(crate) mod guide;
mod request;
mod services;
mod start;
mod state;
mod ui;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::edge::Codes;
use crate::plan::request::InstanceChoice;

pub(crate) use services::ServicesCommand;
pub(crate) use start::{RunArguments, StartArguments};
pub(crate) use state::{AdoptArguments, OperatorsCommand, RollbackArguments, StateCommand};
pub(crate) use ui::UiArguments;

/// Start images with their secrets, and with services whose credentials nobody ever typed
#[derive(Debug, Parser)]
#[command(name = "prun", version, long_version = env!("PRUN_VERSION"), arg_required_else_help = true)]
pub(crate) struct CommandLine {
    /// The command to run.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands of prun.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start or update the app and its services
    Start(Box<StartArguments>),
    /// Stop the app and its services; data stays
    Stop(StopArguments),
    /// Show the instances and services that run
    Ps(PsArguments),
    /// Show logs, with secrets masked
    Logs(LogsArguments),
    /// Run a command in an instance
    ///
    /// It has the app's environment.
    Exec(ExecArguments),
    /// Run a command in a container of its own
    ///
    /// It runs in the foreground, has the app's values and reaches its services.
    Run(Box<RunArguments>),
    /// Run the init commands of app.toml now
    ///
    /// They run in a container of their own. To begin a project, `pbuild new` writes a first app.toml.
    Init(InitArguments),
    /// Replace all instances, new ones first
    ///
    /// They have the same image and the same values.
    Restart(ProjectArguments),
    /// Bring all back after the engine's restart
    ///
    /// The values are in memory alone, and containers wait for them.
    Resume(ResumeArguments),
    /// Show what was started before
    ///
    /// When each generation was made, of which image, and the names of what changed; the last five are kept.
    Generations(ListArguments),
    /// Go back to an earlier generation
    ///
    /// Its image and your values of that time come back, without a rebuild; services keep their credentials.
    Rollback(RollbackArguments),
    /// Show the variables that instances get
    ///
    /// Values stay masked.
    Injected(InjectedArguments),
    /// Open a local page of the project
    ///
    /// It shows secrets, services and instances in a browser of this machine; it can reveal one value, set a secret, rotate a
    /// service and restart the app. It ends with Ctrl-C.
    Ui(UiArguments),
    /// Manage databases and caches
    ///
    /// Add, rotate, import, reset and remove them.
    #[command(subcommand)]
    Services(ServicesCommand),
    /// Say who may operate a project
    ///
    /// Its state is sealed for these users and runners.
    #[command(subcommand)]
    Operators(OperatorsCommand),
    /// Operate a running project from here
    ///
    /// It was started from another folder or machine, and a name in app.toml alone proves nothing.
    Adopt(AdoptArguments),
    /// Back up what prun knows of a project
    ///
    /// The backup is sealed, and comes back with `prun state restore`.
    #[command(subcommand)]
    State(StateCommand),
    /// Show where the secrets of a project come from
    Secrets(pcli::secrets::LookArguments),
    /// Let app.toml read what it names
    ///
    /// A manifest runs its commands, reads the files and variables it names and mounts parts of the host only if you said so; you
    /// will be asked again if an entry changes.
    Trust(pcli::secrets::TrustArguments),
    /// Check the setup and suggest fixes
    Doctor(pcli::arguments::DoctorArguments),
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

impl Command {
    /// The program whose exit codes this command ends with: prun, or the command that prun runs.
    #[must_use]
    pub(crate) fn codes(&self) -> Codes {
        match self {
            Self::Exec(_) | Self::Run(_) | Self::Services(ServicesCommand::Shell(_)) => Codes::OfCommand,
            Self::Start(_)
            | Self::Stop(_)
            | Self::Ps(_)
            | Self::Logs(_)
            | Self::Init(_)
            | Self::Restart(_)
            | Self::Resume(_)
            | Self::Generations(_)
            | Self::Rollback(_)
            | Self::Injected(_)
            | Self::Ui(_)
            | Self::Services(_)
            | Self::Operators(_)
            | Self::Adopt(_)
            | Self::State(_)
            | Self::Secrets(_)
            | Self::Trust(_)
            | Self::Doctor(_)
            | Self::Completions { .. }
            | Self::Man { .. } => Codes::Own,
        }
    }
}

/// The flags that choose a project.
#[derive(Debug, Default, Args)]
pub(crate) struct ProjectArguments {
    /// The project [default: `name` of the manifest, else the image's name]
    #[arg(long, value_name = "NAME")]
    pub(crate) project: Option<String>,

    /// The manifest [default: app.toml in the current directory, if there is one]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// A command that shows a list.
#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    /// Print JSON, with a version
    #[arg(long)]
    json: bool,

    /// The project.
    #[command(flatten)]
    project: ProjectArguments,
}

/// `prun ps`.
#[derive(Debug, Args)]
pub(crate) struct PsArguments {
    /// Show every project of the engine, also those of others
    #[arg(short, long, conflicts_with_all = ["project", "config"])]
    pub(crate) all: bool,

    /// The list.
    #[command(flatten)]
    pub(crate) list: ListArguments,
}

/// `prun stop`.
#[derive(Debug, Args)]
pub(crate) struct StopArguments {
    /// The project.
    #[command(flatten)]
    pub(crate) project: ProjectArguments,

    /// Remove the data of the services and their credentials too; they cannot be brought back
    #[arg(long)]
    pub(crate) purge: bool,

    /// Do not ask before data is removed
    #[arg(long, requires = "purge")]
    pub(crate) yes: bool,
}

/// `prun logs`.
#[derive(Debug, Args)]
pub(crate) struct LogsArguments {
    /// Show only these processes, instances and services; `app` is all processes [default: app]
    #[arg(value_name = "NAME")]
    pub(crate) of: Vec<String>,

    /// Show the whole log of the instance that failed last, though it is gone
    #[arg(long, conflicts_with_all = ["of", "follow"])]
    pub(crate) failed: bool,

    /// Follow new output
    #[arg(short, long)]
    pub(crate) follow: bool,

    /// Show only this many lines from the end of each log
    #[arg(short = 'n', long, value_name = "COUNT")]
    pub(crate) tail: Option<u32>,

    /// The project.
    #[command(flatten)]
    pub(crate) project: ProjectArguments,
}

/// `prun exec`.
#[derive(Debug, Args)]
pub(crate) struct ExecArguments {
    /// Pass standard input on to the command
    #[arg(short, long)]
    pub(crate) interactive: bool,

    /// The instance: `[PROCESS.]NUMBER`, such as worker.2 [default: the first one of the first process]
    #[arg(long, value_name = "INSTANCE", default_value = "1", hide_default_value = true)]
    pub(crate) instance: InstanceChoice,

    /// Run it as this user, who must be able to read the app's values
    #[arg(short, long, value_name = "USER")]
    pub(crate) user: Option<String>,

    /// Give the command a terminal
    #[arg(short, long)]
    pub(crate) tty: bool,

    /// The project.
    #[command(flatten)]
    pub(crate) project: ProjectArguments,

    /// The command and its arguments
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
}

/// `prun init`.
#[derive(Debug, Args)]
pub(crate) struct InitArguments {
    /// Run only these commands
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,

    /// The project.
    #[command(flatten)]
    pub(crate) project: ProjectArguments,
}

/// `prun resume`.
#[derive(Debug, Args)]
pub(crate) struct ResumeArguments {
    /// Install a systemd unit that runs this command after every start of the engine, and do nothing else
    #[arg(long, conflicts_with_all = ["print_unit", "project"])]
    pub(crate) install: bool,

    /// The folder of the unit [default: /etc/systemd/system; the user's own folder for a rootless engine]
    #[arg(long, value_name = "FOLDER", requires = "install")]
    pub(crate) units: Option<PathBuf>,

    /// Print that unit instead of installing it
    #[arg(long)]
    pub(crate) print_unit: bool,

    /// The project [default: every project of this user that was running]
    #[arg(long, value_name = "NAME")]
    pub(crate) project: Option<String>,
}

/// The format in which variables are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum InjectedFormat {
    /// A table for people
    #[default]
    Table,
    /// Lines of NAME=VALUE; a masked variable is a comment
    Env,
    /// JSON, with a version; a masked variable has no value
    Json,
}

/// `prun injected`.
#[derive(Debug, Args)]
pub(crate) struct InjectedArguments {
    /// Print the value of this variable, and nothing else
    #[arg(long, value_name = "NAME")]
    pub(crate) reveal: Option<String>,

    /// The format of the output
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) format: InjectedFormat,

    /// The project.
    #[command(flatten)]
    pub(crate) project: ProjectArguments,
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
        assert_eq!(arguments.instance, InstanceChoice { process: None, number: 2 });
        assert_eq!(arguments.command.len(), 3);
    }

    #[test]
    fn an_instance_is_a_number_with_or_without_a_process() {
        let parse = |text: &str| text.parse::<InstanceChoice>().map(|choice| (choice.process, choice.number));
        assert_eq!(parse("worker.2"), Ok((Some("worker".to_owned()), 2)));
        assert_eq!(parse("1"), Ok((None, 1)));
        for wrong in ["", "0", "worker", ".1", "worker.0", "worker.x"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
