//! Runs commands inside running containers, with their standard input.

use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use futures::StreamExt;
use pengine::Engine;
use tokio::io::AsyncWriteExt;

use crate::error::{RunError, engine};

/// The most bytes of a command's output that are kept.
const OUTPUT_LIMIT: usize = 64 * 1024;

/// The result of a command that ran in a container.
#[derive(Debug)]
pub(crate) struct CommandResult {
    /// The command's exit code; -1 if the engine did not report it in time.
    pub(crate) code: i64,
    /// The command's standard output and standard error together, cut after [`OUTPUT_LIMIT`] bytes.
    pub(crate) output: Vec<u8>,
}

/// Starts a command in a container, and returns its id and its streams. `input` tells whether the command has a standard
/// input.
///
/// # Errors
///
/// Returns [`RunError::Engine`].
pub(crate) async fn begin(
    host: &Engine,
    container: &str,
    command: &[String],
    input: bool,
) -> Result<(String, StartExecResults), RunError> {
    let doing = || format!("run a command in {container}");
    let options = CreateExecOptions {
        cmd: Some(command.to_vec()),
        attach_stdin: Some(input),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        ..CreateExecOptions::default()
    };
    let docker = host.docker();
    let exec = docker.create_exec(container, options).await.map_err(engine(doing))?.id;
    let started = docker.start_exec(&exec, None::<StartExecOptions>).await.map_err(engine(doing))?;
    Ok((exec, started))
}

/// Runs a command in a container, gives it all of `input`, and waits for its end.
///
/// The input travels over the connection, so it appears neither in the command's arguments nor in anything that the
/// engine stores.
///
/// # Errors
///
/// Returns [`RunError::Engine`] if the engine cannot run the command.
pub(crate) async fn run(
    host: &Engine,
    container: &str,
    command: &[String],
    input: &[u8],
) -> Result<CommandResult, RunError> {
    let doing = || format!("run a command in {container}");
    let (exec, started) = begin(host, container, command, !input.is_empty()).await?;
    let mut kept = Vec::new();
    if let StartExecResults::Attached { mut output, input: mut stdin } = started {
        if !input.is_empty() {
            // A command that ends before it has read everything closes the connection, so the write fails. The exit
            // code then tells what happened.
            let _ = stdin.write_all(input).await;
            let _ = stdin.flush().await;
        }
        let _ = stdin.shutdown().await;
        while let Some(piece) = output.next().await {
            let piece = piece.map_err(engine(doing))?;
            let bytes = bytes_of(&piece);
            kept.extend_from_slice(&bytes[..bytes.len().min(OUTPUT_LIMIT - kept.len())]);
        }
    }
    let code = code_of(host, &exec, container).await?;
    Ok(CommandResult { code, output: kept })
}

/// Returns the exit code of a command whose output has ended, or -1 if the engine does not report one in time.
///
/// # Errors
///
/// Returns [`RunError::Engine`].
pub(crate) async fn code_of(host: &Engine, exec: &str, container: &str) -> Result<i64, RunError> {
    // The output may end a moment before the engine knows the exit code.
    for _ in 0..50 {
        let state =
            host.docker().inspect_exec(exec).await.map_err(engine(|| format!("run a command in {container}")))?;
        if let (Some(false), Some(code)) = (state.running, state.exit_code) {
            return Ok(code);
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    Ok(-1)
}

/// Returns the bytes of a piece of output, of any stream.
#[must_use]
pub(crate) fn bytes_of(piece: &LogOutput) -> &[u8] {
    match piece {
        LogOutput::StdErr { message }
        | LogOutput::StdOut { message }
        | LogOutput::StdIn { message }
        | LogOutput::Console { message } => message,
    }
}
