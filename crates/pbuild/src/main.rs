//! The `pbuild` command: parses arguments, calls one function, turns its result into an exit code.

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use pbuild::command::plugin::{self, Call, PluginError};
use pbuild::command::{Command, CommandLine, SecretsArguments, SecretsCommand};
use pbuild::edge::{Edge, Failure};
use pscreen::{Diagnostic, Ending, Exit, Printer};

fn main() -> ExitCode {
    pcli::protect();
    if plugin::is_plugin(std::env::args_os().next().as_deref()) {
        return called_by_docker();
    }
    let command_line = CommandLine::parse();
    if let Command::Completions { shell } = command_line.command {
        clap_complete::generate(shell, &mut CommandLine::command(), "pbuild", &mut std::io::stdout());
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
    let exit = runtime.block_on(run(command_line));
    // A thread that waits for a pipe that nobody writes to must not keep the process.
    runtime.shutdown_background();
    exit.into()
}

/// `docker pbuild …`.
fn called_by_docker() -> ExitCode {
    let diagnostic = match plugin::call(std::env::args_os().skip(1)) {
        Ok(Call::Metadata) => {
            Printer::stdout().line(&plugin::metadata());
            return ExitCode::SUCCESS;
        }
        Ok(Call::Completion) => {
            // In the words of docker's shell scripts: no proposals, and files instead.
            Printer::stdout().line(":0");
            return ExitCode::SUCCESS;
        }
        Ok(Call::Run(start)) => {
            Diagnostic::from_error(&start.exec(), Exit::Failed).note("while starting pbuild for docker")
        }
        Err(error @ PluginError::Flag { .. }) => Diagnostic::from_error(&error, Exit::Usage)
            .help("choose the engine by DOCKER_HOST, DOCKER_TLS_VERIFY and DOCKER_CERT_PATH, or by a docker context"),
        Err(error @ PluginError::Unknown) => Diagnostic::from_error(&error, Exit::Usage).help("run pbuild itself"),
    };
    Printer::stderr().diagnostic(&diagnostic);
    diagnostic.exit().unwrap_or(Exit::Failed).into()
}

async fn run(command_line: CommandLine) -> Exit {
    let (stderr, stdout) = (Printer::stderr(), Printer::stdout());
    let cancellation = match pscreen::listen() {
        Ok(cancellation) => cancellation,
        Err(error) => {
            stderr.diagnostic(&Diagnostic::from_error(&error, Exit::Failed).note("while listening for signals"));
            return Exit::Failed;
        }
    };
    // Nobody reads any more, as after `| head`: the build must end in the engine too.
    let (stderr, stdout) = (stderr.cancelling(&cancellation), stdout.cancelling(&cancellation));
    let edge = Edge { stderr, stdout, cancellation, quiet: false };
    let outcome = match &command_line.command {
        Command::New(arguments) => pbuild::new::run(arguments, &edge),
        Command::Doctor(arguments) => pbuild::doctor::run(arguments, &edge).await,
        Command::Build(arguments) => pbuild::build::run(arguments, &edge).await,
        Command::Audit(arguments) => pbuild::audit::run(arguments, &edge).await,
        Command::Secrets(arguments) => secrets(arguments, &edge).await,
        Command::Trust(arguments) => pcli::secrets::trust(arguments, &edge.desk()).map_err(Into::into),
        Command::Completions { .. } => return Exit::Done,
    };
    match outcome {
        Ok(Exit::Done) if edge.stdout.is_closed() || edge.stderr.is_closed() => Exit::Ended(Ending::ReaderGone),
        Ok(exit) => exit,
        Err(failure) => failure.report(&edge.stderr),
    }
}

async fn secrets(arguments: &SecretsArguments, edge: &Edge) -> Result<Exit, Failure> {
    let desk = edge.desk();
    if arguments.fix_permissions {
        pcli::secrets::fix_permissions(&desk)?;
    }
    match &arguments.command {
        SecretsCommand::Advise(arguments) => pbuild::advise::run(arguments, edge).await,
        SecretsCommand::Shared(command) => Ok(pcli::secrets::run(command, &desk)?),
    }
}
