//! The stage of a tool: its printers, the wish to stop, and a runtime that ends with it.

use std::process::ExitCode;

use crate::{Cancellation, Diagnostic, Exit, Printer, docker, listen};

/// The things through which a tool meets a person.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The printer of news, warnings and errors.
    pub stderr: Printer,
    /// The printer of results.
    pub stdout: Printer,
    /// Whether the work should stop.
    pub cancellation: Cancellation,
}

/// Performs the work of a tool on a runtime of its own, from the first signal that it listens for to its exit code.
///
/// ```
/// use pscreen::Exit;
///
/// let code = pscreen::stage::perform(async |stage| {
///     stage.stderr.fact("done", "nothing");
///     Exit::Done
/// });
/// ```
pub fn perform<W, E>(work: W) -> ExitCode
where
    W: AsyncFnOnce(Stage) -> E,
    E: Into<ExitCode>,
{
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error, "while starting the runtime"),
    };
    let code = runtime.block_on(async {
        match listen() {
            Ok(cancellation) => {
                docker::follow(&cancellation);
                let (stderr, stdout) = (Printer::stderr(), Printer::stdout());
                work(Stage { stderr, stdout, cancellation }).await.into()
            }
            Err(error) => failed(&error, "while listening for signals"),
        }
    });
    // A thread that waits for a pipe that nobody writes to must not keep the process.
    runtime.shutdown_background();
    code
}

fn failed(error: &dyn std::error::Error, when: &str) -> ExitCode {
    Printer::stderr().diagnostic(&Diagnostic::from_error(error, Exit::Failed).note(when));
    Exit::Failed.into()
}
