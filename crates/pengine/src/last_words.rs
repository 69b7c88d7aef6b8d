//! The reason why a connection ended, for code that only notices the end.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::connection::Connection;

/// The most characters that are kept of a line.
const LIMIT: usize = 200;

/// The last line that explains the end of a connection: from a program's standard error, from an engine that could
/// not start the program, or from the error that ended the stream.
#[derive(Clone, Debug, Default)]
pub struct LastWords(Arc<Mutex<String>>);

impl LastWords {
    /// Returns the line, or an empty text if there is none.
    #[must_use]
    pub fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn keep(&self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        if let Some(line) = text.lines().map(str::trim).rfind(|line| !line.is_empty()) {
            let line = line.chars().filter(|character| !character.is_control()).take(LIMIT).collect();
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = line;
        }
    }
}

/// A connection that keeps the error that ended it. With TLS 1.3, this error shows that the other side refused our
/// certificate, because the refusal arrives after the handshake.
pub(crate) struct ErrorKeeper {
    inner: Connection,
    said: LastWords,
}

impl ErrorKeeper {
    pub(crate) fn new(inner: Connection) -> (Self, LastWords) {
        let said = LastWords::default();
        (Self { inner, said: said.clone() }, said)
    }
}

impl AsyncRead for ErrorKeeper {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.inner).poll_read(context, buffer));
        if let Err(error) = &read {
            self.said.keep(error.to_string().as_bytes());
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for ErrorKeeper {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
