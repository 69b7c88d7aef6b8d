//! Starts an app with its secrets and its services, rotates their credentials, and shows what runs.
//!
//! **Where bytes enter.** The command line (`command`) and `app.toml` make a `plan`. `commands::start` reads the
//! user's secrets, once. The sealed `state` of the `project` holds the credentials of its services and the values
//! that its instances run with.
//!
//! **What happens.** Each `service` is started, and a login proves that it accepts its credential. The `values` of a
//! generation are composed and sealed. Each `instance` is started through the entrypoint and checked until it is
//! healthy. Then the instances of the previous generation are removed. `engine` makes all requests to Docker.
//!
//! **Where bytes leave.** Values leave into the tmpfs volumes of services and instances and into the sealed state. On
//! request, a single value is also shown on standard output (`commands::show`) or on the local `page`
//! (`commands::ui`). Each of these ways is a numbered door (`docs/doors.md`); no value reaches the engine's API in
//! any other way. Errors leave through `tell`, which chooses the exit code.
//!
//! ```
//! use std::process::ExitCode;
//!
//! // No engine is asked for what the command line alone decides: standard error names the flag, and the exit code is 2.
//! let code = prun::run(["prun", "start", "--replicas", "many"]);
//! assert_eq!(code, ExitCode::from(2));
//! ```

mod command;
mod commands;
mod edge;
mod engine;
mod error;
mod fault;
mod instance;
mod names;
mod page;
mod plan;
mod project;
mod rotation;
mod service;
mod services;
mod state;
mod tell;
mod values;
mod walk;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::CommandFactory as _;
use command::{Command, CommandLine};
use commands::{adopt, doctor, exec, logs, operators, ps, resume, rollback, show, start, stop, ui};
use edge::{CommandEnd, Edge, Failure};
use pcli::help::Refusal;
use pcli::plugin::{Call, Plugin};
use pcli::resolve::Purpose;
use pscreen::stage::Stage;
use pscreen::{Ending, Exit, Printer};

/// Describes prun to docker's client as a plugin. With the plugin, `docker prun start` works.
const PLUGIN: Plugin =
    Plugin { program: "docker-prun", name: "prun", description: "Start containers with secrets and services" };

/// Answers docker's client if it calls prun as its plugin, and returns `None` if prun was called in another way. To
/// run a command, this process replaces itself with a plain call of prun that gets docker's flags as variables.
pub fn run_as_plugin(words: impl IntoIterator<Item = OsString>) -> Option<Exit> {
    let mut words = words.into_iter();
    if !PLUGIN.is_called(words.next().as_deref()) {
        return None;
    }
    let answer = match PLUGIN.call(words) {
        Ok(Call::Metadata) => Ok(PLUGIN.metadata(concat!("v", env!("CARGO_PKG_VERSION")))),
        // Docker's shell scripts expect this text. It means that there are no proposals, and that the shell completes
        // file names instead.
        Ok(Call::Completion) => Ok(":0".to_owned()),
        Ok(Call::Run(start)) => Err(start.exec(PLUGIN.name).diagnostic()),
        Err(error) => Err(error.diagnostic()),
    };
    match answer {
        Ok(answer) => {
            Printer::stdout().line(&answer);
            Some(Exit::Done)
        }
        Err(diagnostic) => {
            Printer::stderr().diagnostic(&diagnostic);
            Some(diagnostic.exit().unwrap_or(Exit::Failed))
        }
    }
}

/// Runs a command line, and returns the exit code.
///
/// Results go to standard output, everything else to standard error. The first word is the program's own name.
pub fn run<I>(words: I) -> ExitCode
where
    I: IntoIterator,
    I::Item: Into<OsString> + Clone,
{
    let words = words.into_iter().map(Into::into).collect();
    let command_line: CommandLine = match pcli::help::parse(words, &command::guide::GUIDE) {
        Ok(command_line) => command_line,
        Err(Refusal::Tip(diagnostic)) => {
            Printer::stderr().diagnostic(&diagnostic);
            return diagnostic.exit().unwrap_or(Exit::Usage).into();
        }
        Err(Refusal::Clap(help)) => {
            // If nobody reads the output any more, a failure to print help does not matter.
            let _ = help.print();
            return u8::try_from(help.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
        }
    };
    pscreen::stage::perform(async |stage| run_on(stage, &command_line.command).await)
}

async fn run_on(Stage { stderr, stdout, cancellation }: Stage, command: &Command) -> ExitCode {
    let edge = Edge { stderr, stdout, cancellation };
    let outcome = outcome(command, &edge).await;
    if let Some(fault) = edge.stdout.fault("standard output") {
        edge.stderr.diagnostic(&fault);
        return Exit::Failed.into();
    }
    match outcome {
        Ok(CommandEnd::Exit(Exit::Done)) if edge.stdout.is_closed() => Exit::Ended(Ending::ReaderGone).into(),
        Ok(CommandEnd::Exit(exit)) => exit.into(),
        Ok(CommandEnd::Command(code)) => code.into(),
        Err(failure) => tell::report(&failure, &edge.stderr, command.codes()),
    }
}

async fn outcome(command: &Command, edge: &Edge) -> Result<CommandEnd, Failure> {
    // `prun start` and `prun run` resolve relative paths in their flags against this directory.
    let here = std::path::absolute(".").unwrap_or_default();
    Ok(match command {
        Command::Start(arguments) => start::run(&arguments.request(&here), edge).await?.into(),
        Command::Stop(arguments) => stop::run(&arguments.request(), edge).await?.into(),
        Command::Ps(arguments) if arguments.all => ps::all(arguments.list.request().form, edge).await?.into(),
        Command::Ps(arguments) => ps::ps(&arguments.list.request(), edge).await?.into(),
        Command::Logs(arguments) => logs::logs(&arguments.request(), edge).await?.into(),
        Command::Exec(arguments) => exec::run(&arguments.request(), edge).await?,
        Command::Run(arguments) => commands::run::run(&arguments.request(&here)?, edge).await?,
        Command::Init(arguments) => commands::run::init(&arguments.request(), edge).await?,
        Command::Restart(arguments) => resume::restart(&arguments.choice(), edge).await?.into(),
        Command::Resume(arguments) => resume::resume(&arguments.request(), edge).await?.into(),
        Command::Generations(arguments) => rollback::list(&arguments.request(), edge).await?.into(),
        Command::Rollback(arguments) => rollback::run(&arguments.request(), edge).await?.into(),
        Command::Injected(arguments) => show::injected(&arguments.request(), edge).await?.into(),
        Command::Ui(arguments) => ui::run(&arguments.request(), edge).await?.into(),
        Command::Services(command) => commands::services::run(&command.request()?, edge).await?,
        Command::Operators(command) => operators::run(&command.request(), edge).await?.into(),
        Command::Adopt(arguments) => adopt::run(&arguments.request(), edge).await?.into(),
        Command::State(command) => commands::state::run(&command.request(), edge).await?.into(),
        Command::Secrets(arguments) => pcli::secrets::look(arguments, &edge.desk())?.into(),
        Command::Trust(arguments) => pcli::secrets::trust(arguments, &edge.desk())?.into(),
        Command::Doctor(arguments) => doctor::run(&arguments.request(Purpose::Run), edge).await?.into(),
        Command::Completions { shell } => {
            pcli::manual::print_completions(CommandLine::command(), *shell, &edge.stdout);
            Exit::Done.into()
        }
        Command::Man { folder } => {
            pcli::manual::write_pages(CommandLine::command(), folder)?;
            Exit::Done.into()
        }
    })
}
