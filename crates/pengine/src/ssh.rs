//! A connection to the engine's socket on another machine, through `ssh … docker system dial-stdio`.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll, ready};

use crate::inherited::scrub;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout, Command};

/// A running ssh.
///
/// The command is that of docker's own client (docker/cli `cli/connhelper`), so a user who can use docker over ssh
/// can use this connection, too. ssh is killed when the stream is dropped.
pub(crate) struct SshStream {
    input: ChildStdin,
    output: ChildStdout,
    /// Resolves to the last line that ssh wrote, if ssh failed.
    ending: Pin<Box<dyn Future<Output = Option<String>> + Send>>,
    ended: bool,
}

/// The error of an ssh that failed. The HTTP layer carries it until it becomes [`crate::EngineError::Ssh`].
#[derive(Debug, thiserror::Error)]
#[error("ssh ended: {said}")]
pub(crate) struct SshEnded {
    /// The last line that ssh wrote.
    pub(crate) said: String,
}

const SAID_LIMIT: usize = 200;

impl SshStream {
    pub(crate) fn spawn(user: Option<&str>, host: &str, port: Option<u16>, socket: Option<&str>) -> io::Result<Self> {
        let mut command = Command::new("ssh");
        scrub(command.as_std_mut());
        if let Some(user) = user {
            command.args(["-l", user]);
        }
        if let Some(port) = port {
            command.args(["-p", &port.to_string()]);
        }
        command.args(["-o", "ConnectTimeout=30", "-T", "--", host, "docker"]);
        if let Some(socket) = socket {
            command.arg(format!("--host=unix://{socket}"));
        }
        command.args(["system", "dial-stdio"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let missing = || io::Error::other("a pipe is missing");
        let input = child.stdin.take().ok_or_else(missing)?;
        let output = child.stdout.take().ok_or_else(missing)?;
        let error_output = child.stderr.take().ok_or_else(missing)?;
        // Standard error is read from the start; otherwise an ssh that writes much would wait for us. The task ends
        // with ssh, and ssh ends with the stream.
        let said = tokio::spawn(last_words(error_output));
        let ending = Box::pin(async move {
            let status = child.wait().await;
            let said = said.await.unwrap_or_default();
            if status.is_ok_and(|status| status.success()) { None } else { Some(said) }
        });
        Ok(Self { input, output, ending, ended: false })
    }

    /// Waits for ssh to end after the stream ended or broke, because ssh's own message explains more than the error
    /// of a closed pipe.
    fn poll_reason(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Error>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let said = ready!(self.ending.as_mut().poll(context));
        self.ended = true;
        Poll::Ready(said.map(|said| io::Error::new(io::ErrorKind::ConnectionAborted, SshEnded { said })))
    }
}

async fn last_words(output: ChildStderr) -> String {
    let mut said = String::new();
    let mut lines = BufReader::new(output).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        let line = &line[..line.len().min(SAID_LIMIT)];
        let text: String = String::from_utf8_lossy(line).chars().filter(|c| !c.is_control()).collect();
        if !text.trim().is_empty() {
            text.trim().clone_into(&mut said);
        }
    }
    said
}

impl AsyncRead for SshStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.output).poll_read(context, buffer))?;
        if buffer.filled().len() > before || buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(ready!(self.poll_reason(context)).map_or(Ok(()), Err))
    }
}

impl AsyncWrite for SshStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match ready!(Pin::new(&mut self.input).poll_write(context, bytes)) {
            Ok(count) => Poll::Ready(Ok(count)),
            Err(broken) => Poll::Ready(Err(ready!(self.poll_reason(context)).unwrap_or(broken))),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_shutdown(context)
    }
}
