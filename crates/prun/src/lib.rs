//! Starts an app with its secrets and its services, rotates their credentials, and shows what runs.
//!
//! **Where bytes enter.** The command line (`command`) and `app.toml` make a `plan`. The user's secrets are read once,
//! by `commands::start`. The sealed `state` of the `project` holds the credentials of its services and the values that
//! its instances run with.
//!
//! **What happens.** Each `service` is started and proven by a login. The `values` of a generation are composed and
//! sealed. Each `instance` is started through the entrypoint and looked at until it is healthy; then the generation
//! before it goes. `engine` does what all of this asks of Docker.
//!
//! **Where bytes leave.** Into the tmpfs volumes of services and instances, into the sealed state, and, when somebody
//! asks for it, one value on standard output (`commands::show`). Each of these ways is a numbered door
//! (`docs/doors.md`); no value reaches the engine's API in any other way. Errors leave through `tell`, which chooses
//! the exit code.
//!
//! ```
//! use std::process::ExitCode;
//!
//! // A project that was never started has nothing to show; standard error says so, and the exit code is 1.
//! let code = prun::run(["prun", "injected", "--project", "never-started"]);
//! assert_eq!(code, ExitCode::from(1));
//! ```

mod command;
mod commands;
mod edge;
mod engine;
mod error;
mod fault;
mod instance;
mod names;
mod plan;
mod project;
mod service;
mod state;
mod tell;
mod values;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use command::{Command, CommandLine};
use commands::{doctor, exec, logs, resume, services, show, start, stop};
use edge::{CommandEnd, Edge, Failure};
use pcli::resolve::Purpose;
use pscreen::stage::Stage;
use pscreen::{Ending, Exit};

/// Runs a command line, and returns the exit code.
///
/// Results go to standard output, everything else to standard error. The first word is the program's own name.
pub fn run<I>(words: I) -> ExitCode
where
    I: IntoIterator,
    I::Item: Into<OsString> + Clone,
{
    let command_line = match CommandLine::try_parse_from(words) {
        Ok(command_line) => command_line,
        Err(help) => {
            // If nobody reads the output any more, there is nobody to help.
            let _ = help.print();
            return u8::try_from(help.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
        }
    };
    if let Command::Completions { shell } = command_line.command {
        clap_complete::generate(shell, &mut CommandLine::command(), "prun", &mut std::io::stdout());
        return ExitCode::SUCCESS;
    }
    pscreen::stage::perform(async |stage| run_on(stage, &command_line.command).await)
}

async fn run_on(Stage { stderr, stdout, cancellation }: Stage, command: &Command) -> ExitCode {
    let edge = Edge { stderr, stdout, cancellation };
    match outcome(command, &edge).await {
        Ok(CommandEnd::Exit(Exit::Done)) if edge.stdout.is_closed() => Exit::Ended(Ending::ReaderGone).into(),
        Ok(CommandEnd::Exit(exit)) => exit.into(),
        Ok(CommandEnd::Command(code)) => code.into(),
        Err(failure) => tell::report(&failure, &edge.stderr, command.codes()),
    }
}

async fn outcome(command: &Command, edge: &Edge) -> Result<CommandEnd, Failure> {
    // Relative paths among the flags of a start begin here.
    let here = std::path::absolute(".").unwrap_or_default();
    Ok(match command {
        Command::Start(arguments) => start::run(&arguments.request(&here), edge).await?.into(),
        Command::Stop(arguments) => stop::run(&arguments.request(), edge).await?.into(),
        Command::Ps(arguments) => show::ps(&arguments.choice(), edge).await?.into(),
        Command::Logs(arguments) => logs::logs(&arguments.request(), edge).await?.into(),
        Command::Exec(arguments) => exec::run(&arguments.request(), edge).await?,
        Command::Run(arguments) => commands::run::run(&arguments.request(&here)?, edge).await?,
        Command::Init(arguments) => commands::run::init(&arguments.request(), edge).await?,
        Command::Restart(arguments) => resume::restart(&arguments.choice(), edge).await?.into(),
        Command::Resume(arguments) => resume::resume(&arguments.request(), edge).await?.into(),
        Command::Injected(arguments) => show::injected(&arguments.request(), edge)?.into(),
        Command::Services(command) => services::run(&command.request()?, edge).await?.into(),
        Command::Secrets(arguments) => pcli::secrets::look(arguments, &edge.desk())?.into(),
        Command::Trust(arguments) => pcli::secrets::trust(arguments, &edge.desk())?.into(),
        Command::Doctor(arguments) => doctor::run(&arguments.request(Purpose::Run), edge).await?.into(),
        Command::Completions { .. } => CommandEnd::Exit(Exit::Done),
    })
}
