//! The stage of a tool: its printers, its cancellation, and a runtime that ends with it.

use std::process::ExitCode;

use crate::{Cancellation, Diagnostic, Exit, Printer, docker, listen};

/// The printers and the cancellation of a tool.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The printer of messages, warnings and errors.
    pub stderr: Printer,
    /// The printer of results.
    pub stdout: Printer,
    /// The signal that asks the work to stop.
    pub cancellation: Cancellation,
}

/// Runs the work of a tool on a runtime of its own, and returns its exit code. Signals are handled from the start.
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
    // A thread may still wait for a pipe that nobody writes to; it must not keep the process alive.
    runtime.shutdown_background();
    code
}

fn failed(error: &dyn std::error::Error, when: &str) -> ExitCode {
    Printer::stderr().diagnostic(&Diagnostic::from_error(error, Exit::Failed).note(when));
    Exit::Failed.into()
}
