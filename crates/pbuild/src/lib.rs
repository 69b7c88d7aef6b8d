//! Builds container images with secrets that stay out of them.
//!
//! Everything enters through the command line: the flags, a Dockerfile and its context, the manifest `app.toml`, and
//! the values of the secrets. `command` holds the flags as the user wrote them. `plan` turns the flags, once, into
//! types that can only hold what pbuild can carry out. From `plan`, three paths lead through the modules:
//!
//! - **A build** (`build`): `site` finds the builder that docker itself would use. The guard checks everything that
//!   will be public. Each step of the build graph gets the secrets that it may have, and while the steps run, pbuild
//!   compares every file of the context with the secrets. Before the result leaves the builder, the `gate` searches
//!   what the build made. If the gate cannot prove that a result is clean, the result comes without a name, into
//!   files that no other program finds (`output`) or into the engine's store, and pbuild searches it there. Only a
//!   clean result gets its names and its destinations. Several targets (`bake`) are built and searched together, and
//!   are delivered together or not at all.
//! - **An audit** (`audit`): the bytes of an image from an engine, a registry or a file stream through the search,
//!   which makes a report.
//! - **The first steps of a project** (`new`, `advise`, `doctor`): `new` writes a manifest from the project's files,
//!   `advise` reads a build graph and proposes narrower `steps` for the secrets, and `doctor` checks the setup.
//!
//! Text for people leaves through `edge` alone, which redacts the values in it. Errors are plain enums; `explain`
//! gives them their words and their exit code. Values leave through the numbered doors of `docs/doors.md`.
//!
//! ```no_run
//! use clap::Parser as _;
//! use pbuild::CommandLine;
//!
//! let command_line = CommandLine::parse_from(["pbuild", "build", "--tag", "shop:1", "--secret", "id=NPM_TOKEN", "."]);
//! let exit = pscreen::stage::perform(async |stage| pbuild::run(&command_line, stage).await);
//! ```

mod advise;
mod audit;
mod bake;
mod binding;
mod build;
mod buildx;
mod cache_export;
mod clean_bases;
mod command;
mod doctor;
mod edge;
mod entrance;
mod explain;
mod files;
#[doc(hidden)]
pub mod fuzzing;
mod install;
mod joined;
mod memory;
mod new;
mod oci_layout;
mod output;
mod own_key;
mod plan;
mod scanner;
mod secrets;
mod site;

use std::ffi::OsString;
use std::path::Path;

use clap::CommandFactory as _;
use pcli::resolve::Purpose;
use pscreen::stage::Stage;
use pscreen::{Ending, Exit};

pub use command::CommandLine;
use command::{Command, SecretsArguments, SecretsCommand};
use edge::{Edge, Failure};

/// Carries out a command line, and returns the code to exit with.
pub async fn run(command_line: &CommandLine, stage: Stage) -> Exit {
    let Stage { stderr, stdout, cancellation } = stage;
    // If a printer's reader is gone, as after `| head`, the command is cancelled, so that the build ends in the
    // engine too.
    let (stderr, stdout) = (stderr.cancelling(&cancellation).losing(), stdout.cancelling(&cancellation));
    let environment = |name: &str| std::env::var(name).ok();
    let stderr = if command_line.asks_for_events(environment) { stderr.as_events() } else { stderr };
    let in_place_of_buildx = std::env::var_os(entrance::IN_PLACE_OF_BUILDX).is_some();
    let stderr = if in_place_of_buildx { stderr.with_last_word() } else { stderr };
    let edge = Edge { stderr, stdout, cancellation, quiet: false };
    let outcome = carry_out(&command_line.command, &edge).await;
    if let Some(fault) = edge.stdout.fault("standard output") {
        edge.stderr.diagnostic(&fault);
        return Exit::Failed;
    }
    match outcome {
        Ok(Exit::Done) if edge.stdout.is_closed() || edge.stderr.is_closed() => Exit::Ended(Ending::ReaderGone),
        Ok(exit) => exit,
        Err(failure) => failure.report(&edge.stderr),
    }
}

async fn carry_out(command: &Command, edge: &Edge) -> Result<Exit, Failure> {
    let environment = |name: &str| std::env::var(name).ok();
    match command {
        Command::New(arguments) => new::run(&plan::draft(arguments)?, edge),
        Command::Doctor(arguments) if arguments.door => Ok(doctor::door(arguments.shared.json, edge)?),
        Command::Doctor(arguments) => doctor::run(&arguments.shared.request(Purpose::Build), edge).await,
        Command::Build(arguments) => {
            let ignored = arguments.ignored.given();
            if !ignored.is_empty() {
                edge.stderr.warning(&format!("BuildKit has no use for {}; ignored", ignored.join(", ")));
            }
            let places = [Path::new(&arguments.context), Path::new(".")];
            warn_of_foreign_manifest(arguments.secrets.config.as_deref(), &places, edge);
            build::run(plan::build(arguments, environment, std::io::stdin())?, edge).await
        }
        Command::Bake(arguments) => {
            warn_of_foreign_manifest(arguments.secrets.config.as_deref(), &[Path::new(".")], edge);
            bake::run(plan::bake(arguments, environment)?, edge).await
        }
        Command::Audit(arguments) => {
            warn_of_foreign_manifest(arguments.secrets.config.as_deref(), &[Path::new(".")], edge);
            audit::run(plan::audit(arguments)?, &Edge { quiet: arguments.quiet, ..edge.clone() }).await
        }
        Command::Secrets(arguments) => secrets_command(arguments, edge).await,
        Command::Trust(arguments) => Ok(pcli::secrets::trust(arguments, &edge.desk())?),
        Command::Install(arguments) => install::install(plan::entrances(arguments), edge),
        Command::Uninstall => install::uninstall(edge),
        Command::Completions { shell } => {
            pcli::manual::print_completions(CommandLine::command(), *shell, &edge.stdout);
            Ok(Exit::Done)
        }
        Command::Man { folder } => {
            pcli::manual::write_pages(CommandLine::command(), folder)?;
            Ok(Exit::Done)
        }
    }
}

/// Warns if an `app.toml` seems to belong to another program and is not read as the manifest. Without the warning, a
/// user who meant the file as the manifest would not notice that the build lacks the secrets in it.
fn warn_of_foreign_manifest(given: Option<&Path>, places: &[&Path], edge: &Edge) {
    pcli::foreign_manifest(given, places).iter().for_each(|said| edge.stderr.warning(said));
}

async fn secrets_command(arguments: &SecretsArguments, edge: &Edge) -> Result<Exit, Failure> {
    let desk = edge.desk();
    if arguments.fix_permissions {
        pcli::secrets::fix_permissions(&desk)?;
    }
    match &arguments.command {
        SecretsCommand::Advise(arguments) => {
            let environment = |name: &str| std::env::var(name).ok();
            advise::run(plan::advise(arguments, environment, std::io::stdin())?, edge).await
        }
        SecretsCommand::Shared(command) => Ok(pcli::secrets::run(command, &desk)?),
    }
}

/// Answers docker if docker started pbuild as one of its plugins: as `docker pbuild …`, or as `docker buildx …` where
/// pbuild is installed in the place of buildx. Returns `None` if docker did not.
///
/// For a command of docker's, this process becomes pbuild itself, with docker's flags as variables, or the real
/// buildx.
pub fn run_as_plugin(words: impl IntoIterator<Item = OsString>) -> Option<Exit> {
    let command = CommandLine::command();
    let own: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).chain(["help"]).collect();
    entrance::answer(words, &own)
}
