//! Runs commands inside running containers, with input and output of any length. Both are passed on as they come.

use std::cell::Cell;

use bollard::container::LogOutput;
use bollard::exec::StartExecResults;
use futures::StreamExt as _;
use pengine::Engine;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Notify;

use crate::engine::inside;
use crate::error::{RunError, engine};

/// How many bytes of a command's standard error are kept.
const KEPT: usize = 16 * 1024;

/// The input of a command.
pub(crate) struct Input<'a, R> {
    /// The bytes before the stream.
    pub(crate) before: &'a [u8],
    /// The stream, read to its end.
    pub(crate) stream: R,
    /// The bytes after the stream, which are sent only if the stream was read to its end.
    pub(crate) after: &'a [u8],
    /// A text that the command prints when it has read everything, and the bytes that are then sent as a
    /// confirmation.
    pub(crate) agreement: Option<(&'a str, &'a str)>,
}

/// The end of a command.
#[derive(Debug)]
pub(crate) struct PipedEnd {
    /// The command's exit code.
    pub(crate) code: i64,
    /// The end of what the command wrote to standard error.
    pub(crate) said: Vec<u8>,
    /// Whether the reader of the output is gone.
    pub(crate) is_reader_gone: bool,
    /// Whether the whole input was sent to the command.
    pub(crate) has_read_all: bool,
}

/// Runs a command in a container, sends it the input, and writes its standard output to `output`.
///
/// The command's input also ends when the connection breaks. A command that must not take a part for the whole needs
/// a sign of the end in `after`.
/// # Errors
///
/// Returns [`RunError::Engine`] if the engine cannot run the command, or if the input cannot be read.
pub(crate) async fn run<R: AsyncRead + Unpin>(
    host: &Engine,
    container: &str,
    command: &[String],
    input: Option<Input<'_, R>>,
    mut output: impl AsyncWrite + Unpin,
) -> Result<PipedEnd, RunError> {
    let doing = || format!("run a command in {container}");
    let (exec, started) = inside::begin(host, container, command, input.is_some()).await?;
    let StartExecResults::Attached { output: mut news, input: mut stdin } = started else {
        return Ok(PipedEnd { code: -1, said: Vec::new(), is_reader_gone: false, has_read_all: false });
    };
    let whole = Cell::new(input.is_none());
    let agreed = Notify::new();
    let sign = input.as_ref().and_then(|input| input.agreement).map(|(sign, _)| sign);
    let mut printed = Vec::new();
    let feed = async {
        if let Some(mut input) = input {
            let mut buffer = vec![0; 64 * 1024];
            // A command that ends before it has read everything closes the connection, so a write can fail.
            let mut sent = stdin.write_all(input.before).await.is_ok();
            while sent {
                sent = match input.stream.read(&mut buffer).await {
                    Ok(0) => {
                        let mut last = stdin.write_all(input.after).await.is_ok() && stdin.flush().await.is_ok();
                        if let Some((_, answer)) = input.agreement.filter(|_| last) {
                            agreed.notified().await;
                            last = stdin.write_all(answer.as_bytes()).await.is_ok() && stdin.flush().await.is_ok();
                        }
                        whole.set(last);
                        break;
                    }
                    Ok(count) => stdin.write_all(&buffer[..count]).await.is_ok() && stdin.flush().await.is_ok(),
                    Err(_) => false,
                };
            }
        }
        let _ = stdin.shutdown().await;
        // The command is over when its output ends, not when its input does. So the input side waits here.
        std::future::pending::<()>().await;
    };
    let mut end = PipedEnd { code: -1, said: Vec::new(), is_reader_gone: false, has_read_all: false };
    let show = async {
        while let Some(piece) = news.next().await {
            match piece.map_err(engine(doing))? {
                LogOutput::StdErr { message } => {
                    end.said.extend_from_slice(&message);
                    let surplus = end.said.len().saturating_sub(KEPT);
                    end.said.drain(..surplus);
                }
                LogOutput::StdOut { message } | LogOutput::StdIn { message } | LogOutput::Console { message } => {
                    if let Some(sign) = sign {
                        printed.extend_from_slice(&message);
                        if printed.windows(sign.len()).any(|window| window == sign.as_bytes()) {
                            agreed.notify_one();
                        }
                        let surplus = printed.len().saturating_sub(sign.len());
                        printed.drain(..surplus);
                    }
                    if output.write_all(&message).await.is_err() {
                        end.is_reader_gone = true;
                        return Ok(());
                    }
                }
            }
        }
        end.is_reader_gone = output.flush().await.is_err();
        Ok::<_, RunError>(())
    };
    tokio::select! {
        result = show => result?,
        () = feed => {}
    }
    end.has_read_all = whole.get();
    if !end.is_reader_gone {
        end.code = super::inside::code_of(host, &exec, container).await?;
    }
    Ok(end)
}
