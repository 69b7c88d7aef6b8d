//! The flags of the commands about the state: `prun operators`, `prun adopt`, `prun state` and `prun rollback`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{ListArguments, ProjectArguments};
use crate::plan::request::{AdoptRequest, OperatorsRequest, RollbackRequest, StateRequest};

/// `prun operators`.
#[derive(Debug, Subcommand)]
pub(crate) enum OperatorsCommand {
    /// Show who may operate a project, and the project's id
    List(ListArguments),
    /// Let somebody operate the project: start it, see its values, rotate
    Add(AddOperatorArguments),
    /// Take an operator out
    Remove(RemoveOperatorArguments),
    /// Print the public half of this user's key; makes the key if there is none
    Key,
}

/// `prun operators add`.
#[derive(Debug, Args)]
pub(crate) struct AddOperatorArguments {
    /// The name under which others know the operator
    #[arg(value_name = "NAME")]
    name: String,

    /// What `prun operators key` prints for that user
    #[arg(value_name = "KEY")]
    key: String,

    /// The project.
    #[command(flatten)]
    project: ProjectArguments,
}

/// `prun operators remove`.
#[derive(Debug, Args)]
pub(crate) struct RemoveOperatorArguments {
    /// The operator
    #[arg(value_name = "NAME")]
    name: String,

    /// The project.
    #[command(flatten)]
    project: ProjectArguments,
}

/// `prun adopt`.
#[derive(Debug, Args)]
pub(crate) struct AdoptArguments {
    /// The project [default: `name` of the manifest, else the image's name]
    #[arg(value_name = "NAME")]
    name: Option<String>,

    /// The manifest [default: app.toml in the current directory, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Trust a state that does not follow from the one that was seen before
    #[arg(long)]
    again: bool,
}

/// `prun state`.
#[derive(Debug, Subcommand)]
pub(crate) enum StateCommand {
    /// Write the sealed state to a file
    Backup(FileArguments),
    /// Bring a backup back
    Restore(FileArguments),
    /// Begin a new state where no operator's key is left; what runs goes on
    New(NewArguments),
}

/// `prun state backup` and `prun state restore`.
#[derive(Debug, Args)]
pub(crate) struct FileArguments {
    /// The file; `-` is standard output
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The project.
    #[command(flatten)]
    project: ProjectArguments,
}

/// `prun state new`.
#[derive(Debug, Args)]
pub(crate) struct NewArguments {
    /// Do not ask before the credentials in the state are given up
    #[arg(long)]
    yes: bool,

    /// The project.
    #[command(flatten)]
    project: ProjectArguments,
}

/// `prun rollback`.
#[derive(Debug, Args)]
pub(crate) struct RollbackArguments {
    /// The generation [default: the one before the newest]
    #[arg(value_name = "GENERATION")]
    number: Option<u64>,

    /// The project.
    #[command(flatten)]
    project: ProjectArguments,
}

impl RollbackArguments {
    pub(crate) fn request(&self) -> RollbackRequest {
        RollbackRequest { project: self.project.choice(), number: self.number }
    }
}

impl OperatorsCommand {
    pub(crate) fn request(&self) -> OperatorsRequest {
        match self {
            Self::List(arguments) => OperatorsRequest::List(arguments.request()),
            Self::Add(arguments) => OperatorsRequest::Add {
                project: arguments.project.choice(),
                name: arguments.name.clone(),
                key: arguments.key.clone(),
            },
            Self::Remove(arguments) => {
                OperatorsRequest::Remove { project: arguments.project.choice(), name: arguments.name.clone() }
            }
            Self::Key => OperatorsRequest::Key,
        }
    }
}

impl AdoptArguments {
    pub(crate) fn request(&self) -> AdoptRequest {
        AdoptRequest { name: self.name.clone(), config: self.config.clone(), again: self.again }
    }
}

impl StateCommand {
    pub(crate) fn request(&self) -> StateRequest {
        match self {
            Self::Backup(arguments) => {
                StateRequest::Backup { project: arguments.project.choice(), file: arguments.file.clone() }
            }
            Self::Restore(arguments) => {
                StateRequest::Restore { project: arguments.project.choice(), file: arguments.file.clone() }
            }
            Self::New(arguments) => StateRequest::New { project: arguments.project.choice(), confirmed: arguments.yes },
        }
    }
}
