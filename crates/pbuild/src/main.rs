//! The `pbuild` command: parses arguments, calls one function, turns its result into an exit code.

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use pbuild::command::{Command, CommandLine};
use pbuild::edge::Edge;
use pcli::{Ending, Exit, Printer};

fn main() -> ExitCode {
    pcli::protect();
    let command_line = CommandLine::parse();
    if let Command::Completions { shell } = command_line.command {
        clap_complete::generate(shell, &mut CommandLine::command(), "pbuild", &mut std::io::stdout());
        return ExitCode::SUCCESS;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let diagnostic = pcli::Diagnostic::from_error(&error, Exit::Failed).note("while starting the runtime");
            Printer::stderr().diagnostic(&diagnostic);
            return Exit::Failed.into();
        }
    };
    let exit = runtime.block_on(run(command_line));
    // A thread that waits for a pipe that nobody writes to must not keep the process.
    runtime.shutdown_background();
    exit.into()
}

async fn run(command_line: CommandLine) -> Exit {
    let (stderr, stdout) = (Printer::stderr(), Printer::stdout());
    let cancellation = match pcli::listen() {
        Ok(cancellation) => cancellation,
        Err(error) => {
            stderr.diagnostic(&pcli::Diagnostic::from_error(&error, Exit::Failed).note("while listening for signals"));
            return Exit::Failed;
        }
    };
    // Nobody reads any more, as after `| head`: the build must end in the engine too.
    let (stderr, stdout) = (stderr.cancelling(&cancellation), stdout.cancelling(&cancellation));
    let edge = Edge { stderr, stdout, cancellation, quiet: false };
    let outcome = match &command_line.command {
        Command::Build(arguments) => pbuild::build::run(arguments, &edge).await,
        Command::Audit(arguments) => pbuild::audit::run(arguments, &edge).await,
        Command::Secrets(arguments) => pcli::secrets::run(arguments, &edge.desk()).map_err(Into::into),
        Command::Trust { forget, project } => pcli::secrets::trust(project, *forget, &edge.desk()).map_err(Into::into),
        Command::Completions { .. } => return Exit::Done,
    };
    match outcome {
        Ok(Exit::Done) if edge.stdout.is_closed() || edge.stderr.is_closed() => Exit::Ended(Ending::ReaderGone),
        Ok(exit) => exit,
        Err(failure) => failure.report(&edge.stderr),
    }
}
