//! Commands whose streams are attached to the caller's: standard input, the terminal's raw mode and size, and
//! redacted output.

use std::io::IsTerminal as _;
use std::pin::Pin;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error;
use futures::{Stream, StreamExt as _};
use pscreen::Ending;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::signal::unix::{SignalKind, signal};

use crate::engine::lines::Lines;
use crate::error::command::CommandError;
use crate::error::{RunError, engine};
use crate::plan::request::Attachment;

/// The caller's terminal in raw mode. Dropping the value restores the mode from before.
pub(crate) struct Raw(Termios);

impl Raw {
    /// Puts the terminal into raw mode, so that every key goes to the command. Returns `None` if standard input is
    /// not a terminal.
    pub(crate) fn enter() -> Option<Self> {
        let stdin = std::io::stdin();
        let before = tcgetattr(&stdin).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&stdin, OptionalActions::Now, &raw).ok()?;
        Some(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// Refuses a terminal for a command whose standard input is not a terminal, as docker does, because nobody could type
/// there.
///
/// # Errors
/// Returns [`CommandError::NoTerminal`].
pub(crate) fn check_terminal(attachment: Attachment) -> Result<(), CommandError> {
    match attachment.tty && attachment.interactive && !std::io::stdin().is_terminal() {
        true => Err(CommandError::NoTerminal),
        false => Ok(()),
    }
}

/// Returns the terminal's rows and columns, or `None` if standard output is not a terminal.
pub(crate) fn size() -> Option<(u16, u16)> {
    let size = tcgetwinsize(std::io::stdout()).ok().filter(|size| size.ws_row > 0 && size.ws_col > 0)?;
    Some((size.ws_row, size.ws_col))
}

/// Calls `resize` with the terminal's size, now and after each change. The future never completes.
pub(crate) async fn follow_size<F: Future<Output = ()>>(resize: impl Fn(u16, u16) -> F) {
    let mut changes = signal(SignalKind::window_change()).ok();
    loop {
        if let Some((rows, columns)) = size() {
            resize(rows, columns).await;
        }
        match &mut changes {
            Some(changes) => {
                changes.recv().await;
            }
            None => std::future::pending().await,
        }
        // A window that is being dragged changes many times a second, and each pause merges some of these changes.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The engine's ends of the streams of a command.
pub(crate) struct Ends {
    pub(crate) output: Pin<Box<dyn Stream<Item = Result<LogOutput, Error>> + Send>>,
    pub(crate) input: Pin<Box<dyn AsyncWrite + Send>>,
}

/// Shows the output of a command and feeds it standard input, until the output ends or nobody reads it.
///
/// # Errors
///
/// Returns [`RunError::Engine`], or [`RunError::Stopped`] if the reader of standard output has gone.
pub(crate) async fn pump(ends: Ends, interactive: bool, lines: &mut Lines, doing: &str) -> Result<(), RunError> {
    let Ends { mut output, mut input } = ends;
    let feed = async {
        if interactive {
            let mut stdin = tokio::io::stdin();
            let mut buffer = vec![0; 16 * 1024];
            while let Ok(count @ 1..) = stdin.read(&mut buffer).await {
                if input.write_all(&buffer[..count]).await.is_err() {
                    break;
                }
                let _ = input.flush().await;
            }
        }
        let _ = input.shutdown().await;
        // A command ends when its output ends, not when its input does.
        std::future::pending::<()>().await;
    };
    let show = async {
        while let Some(piece) = output.next().await {
            lines.push(&piece.map_err(engine(|| doing))?);
            // A command may write forever, and then this loop never waits. A cancellation must be heard all the same.
            tokio::task::consume_budget().await;
            if lines.is_unread() {
                return Err(RunError::Stopped(Ending::ReaderGone));
            }
        }
        Ok::<_, RunError>(())
    };
    tokio::select! {
        result = show => result?,
        () = feed => {}
    }
    lines.finish();
    Ok(())
}
