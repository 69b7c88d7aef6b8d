//! The `prun` command: parses arguments, calls one function, turns its result into an exit code.

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use pcli::{Diagnostic, Ending, Exit, Printer};
use prun::command::{Command, CommandLine};
use prun::commands::{doctor, exec, logs, resume, run as one_off, services, show, start, stop};
use prun::edge::{Edge, Failure, Outcome};

fn main() -> ExitCode {
    pcli::protect();
    let command_line = CommandLine::parse();
    if let Command::Completions { shell } = command_line.command {
        clap_complete::generate(shell, &mut CommandLine::command(), "prun", &mut std::io::stdout());
        return ExitCode::SUCCESS;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let diagnostic = Diagnostic::from_error(&error, Exit::Failed).note("while starting the runtime");
            Printer::stderr().diagnostic(&diagnostic);
            return Exit::Failed.into();
        }
    };
    let code = runtime.block_on(run(command_line));
    // A thread that waits for standard input must not keep the process.
    runtime.shutdown_background();
    code
}

async fn run(command_line: CommandLine) -> ExitCode {
    let (stderr, stdout) = (Printer::stderr(), Printer::stdout());
    let cancellation = match pcli::listen() {
        Ok(cancellation) => cancellation,
        Err(error) => {
            stderr.diagnostic(&Diagnostic::from_error(&error, Exit::Failed).note("while listening for signals"));
            return Exit::Failed.into();
        }
    };
    let edge = Edge { stderr, stdout, cancellation };
    match outcome(&command_line.command, &edge).await {
        Ok(Outcome::Exit(Exit::Done)) if edge.stdout.is_closed() => Exit::Ended(Ending::ReaderGone).into(),
        Ok(Outcome::Exit(exit)) => exit.into(),
        Ok(Outcome::Command(code)) => code.into(),
        // As docker has it: the inner command's codes are its own, ours is 125.
        Err(failure @ Failure::Told { .. }) if matches!(command_line.command, Command::Exec(_) | Command::Run(_)) => {
            let _ = failure.ending_with(pshim::FAILED).report(&edge.stderr);
            pshim::FAILED.into()
        }
        Err(failure) => failure.report(&edge.stderr).into(),
    }
}

async fn outcome(command: &Command, edge: &Edge) -> Result<Outcome, Failure> {
    Ok(match command {
        Command::Start(arguments) => start::run(arguments, edge).await?.into(),
        Command::Stop(arguments) => stop::run(arguments, edge).await?.into(),
        Command::Ps(arguments) => show::ps(arguments, edge).await?.into(),
        Command::Logs(arguments) => logs::logs(arguments, edge).await?.into(),
        Command::Exec(arguments) => exec::run(arguments, edge).await?,
        Command::Run(arguments) => one_off::run(arguments, edge).await?,
        Command::Init(arguments) => one_off::init(arguments, edge).await?,
        Command::Restart(arguments) => resume::restart(arguments, edge).await?.into(),
        Command::Resume(arguments) => resume::resume(arguments, edge).await?.into(),
        Command::Injected(arguments) => show::injected(arguments, edge)?.into(),
        Command::Services(command) => services::run(command, edge).await?.into(),
        Command::Secrets(arguments) => pcli::secrets::look(arguments, &edge.desk())?.into(),
        Command::Trust(arguments) => pcli::secrets::trust(arguments, &edge.desk())?.into(),
        Command::Doctor(arguments) => doctor::run(arguments, edge).await?.into(),
        Command::Completions { .. } => Outcome::Exit(Exit::Done),
    })
}
