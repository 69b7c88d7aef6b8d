//! Builds container images with secrets that stay out of them.
//!
//! Everything enters through the command line: the flags, and with them a Dockerfile and its context, the manifest
//! `app.toml`, and the values of the secrets. `command` holds the flags as they are, and `plan` turns them, once, into
//! types that hold only what can be carried out. From there on three walks lead through the folders, in this order:
//!
//! - **A build** (`build`): the recipe is settled with the builder that docker itself would use (`site`), the guard
//!   looks at everything that will be public, each step of the graph gets the secrets that it may have, and while the
//!   steps run, every file of the context is compared with them. Before the result leaves the builder, the `gate`
//!   searches what the build made. Whatever the gate cannot prove comes without a name, into files that nobody else
//!   finds (`output`) or into the engine's store, and is searched there. Only a clean result gets its names and places.
//! - **An audit** (`audit`): an image of an engine, a registry or a file streams through the search, and leaves as a
//!   report.
//! - **A first hour** (`new`, `advise`, `doctor`): the project's files become a manifest, a build graph becomes
//!   narrower steps, an engine becomes a list of findings.
//!
//! Words for people leave through `edge` alone, behind a redactor that knows the values; errors are plain enums until
//! `explain` gives them their words and their exit code. Values leave through the numbered doors of `docs/doors.md`.
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
mod binding;
mod build;
mod clean_bases;
mod command;
mod doctor;
mod edge;
mod explain;
mod files;
#[doc(hidden)]
pub mod fuzzing;
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

use clap::CommandFactory as _;
use pcli::resolve::Purpose;
use pscreen::stage::Stage;
use pscreen::{Ending, Exit, Printer};

pub use command::CommandLine;
use command::plugin::{self, Call};
use command::{Command, SecretsArguments, SecretsCommand};
use edge::{Edge, Explain as _, Failure};

/// Carries out a command line, and says how the tool ends.
pub async fn run(command_line: &CommandLine, stage: Stage) -> Exit {
    let Stage { stderr, stdout, cancellation } = stage;
    // Nobody reads any more, as after `| head`: the build must end in the engine too.
    let (stderr, stdout) = (stderr.cancelling(&cancellation), stdout.cancelling(&cancellation));
    let environment = |name: &str| std::env::var(name).ok();
    let stderr = if command_line.asks_for_events(environment) { stderr.as_events() } else { stderr };
    let edge = Edge { stderr, stdout, cancellation, quiet: false };
    match carry_out(&command_line.command, &edge).await {
        Ok(Exit::Done) if edge.stdout.is_closed() || edge.stderr.is_closed() => Exit::Ended(Ending::ReaderGone),
        Ok(exit) => exit,
        Err(failure) => failure.report(&edge.stderr),
    }
}

async fn carry_out(command: &Command, edge: &Edge) -> Result<Exit, Failure> {
    let environment = |name: &str| std::env::var(name).ok();
    match command {
        Command::New(arguments) => new::run(&plan::draft(arguments)?, edge),
        Command::Doctor(arguments) => doctor::run(&arguments.request(Purpose::Build), edge).await,
        Command::Build(arguments) => {
            let ignored = arguments.ignored.given();
            if !ignored.is_empty() {
                edge.stderr.warning(&format!("BuildKit has no use for {}; ignored", ignored.join(", ")));
            }
            build::run(plan::build(arguments, environment, std::io::stdin())?, edge).await
        }
        Command::Audit(arguments) => audit::run(plan::audit(arguments)?, edge).await,
        Command::Secrets(arguments) => secrets_command(arguments, edge).await,
        Command::Trust(arguments) => Ok(pcli::secrets::trust(arguments, &edge.desk())?),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut CommandLine::command(), "pbuild", &mut script);
            edge.stdout.bytes(&script);
            Ok(Exit::Done)
        }
    }
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

/// Answers docker, where docker calls pbuild as its plugin (`docker pbuild …`); `None` where it does not.
///
/// A command of docker's becomes a new start of this program, with docker's flags as variables.
pub fn run_as_plugin(words: impl IntoIterator<Item = OsString>) -> Option<Exit> {
    let mut words = words.into_iter();
    if !plugin::is_plugin(words.next().as_deref()) {
        return None;
    }
    let diagnostic = match plugin::call(words) {
        Ok(Call::Metadata) => {
            Printer::stdout().line(&plugin::metadata());
            return Some(Exit::Done);
        }
        Ok(Call::Completion) => {
            // In the words of docker's shell scripts: no proposals, and files instead.
            Printer::stdout().line(":0");
            return Some(Exit::Done);
        }
        Ok(Call::Run(start)) => start.exec().explain(),
        Err(error) => error.explain(),
    };
    Printer::stderr().diagnostic(&diagnostic);
    Some(diagnostic.exit().unwrap_or(Exit::Failed))
}
