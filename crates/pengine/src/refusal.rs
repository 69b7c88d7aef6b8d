//! A TLS connection whose error is the alert of the other side, if it sent one.
//!
//! With TLS 1.3, a server that refuses a client's certificate sends an alert after the handshake and closes. The
//! alert may still be unread when the client's next write fails with a broken pipe, which explains nothing.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A TLS connection that reports an unread alert instead of a failed write.
pub(crate) struct Refusable<S>(pub(crate) S);

/// The largest number of reads that look for an alert. Other bytes may precede the alert, and are dropped.
const LOOKS: usize = 16;

impl<S: AsyncRead + Unpin> Refusable<S> {
    /// Returns the alert that the other side sent, or `error` if there is none.
    fn cause(&mut self, context: &mut Context<'_>, error: io::Error) -> io::Error {
        if !matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) {
            return error;
        }
        let mut unread = [0; 4096];
        for _ in 0..LOOKS {
            let mut buffer = ReadBuf::new(&mut unread);
            match Pin::new(&mut self.0).poll_read(context, &mut buffer) {
                Poll::Ready(Err(told)) if is_alert(&told) => return told,
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                Poll::Ready(_) | Poll::Pending => break,
            }
        }
        error
    }
}

fn is_alert(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(inner, Some(rustls::Error::AlertReceived(_)))
}

impl<S: AsyncRead + Unpin> AsyncRead for Refusable<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Refusable<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.0).poll_write(context, bytes));
        Poll::Ready(written.map_err(|error| self.cause(context, error)))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut self.0).poll_flush(context));
        Poll::Ready(flushed.map_err(|error| self.cause(context, error)))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    /// A connection on which every write fails, and reads return the listed results, the last one first.
    struct Broken(Vec<io::Result<usize>>);

    impl AsyncRead for Broken {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            match self.0.pop() {
                None => Poll::Pending,
                Some(read) => Poll::Ready(read.map(|count| buffer.put_slice(&vec![0; count]))),
            }
        }
    }

    impl AsyncWrite for Broken {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    async fn told(reads: Vec<io::Result<usize>>) -> String {
        Refusable(Broken(reads)).write_all(b"x").await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn a_write_that_fails_is_told_by_the_alert_behind_it() {
        let alert = || {
            let refused = rustls::AlertDescription::CertificateRequired;
            Err(io::Error::new(io::ErrorKind::InvalidData, rustls::Error::AlertReceived(refused)))
        };
        assert!(told(vec![alert()]).await.contains("alert"));
        assert!(told(vec![alert(), Ok(9)]).await.contains("alert"), "behind something unread");
        for silent in [vec![], vec![Ok(0)], vec![Err(io::ErrorKind::ConnectionReset.into())]] {
            assert_eq!(told(silent).await, io::Error::from(io::ErrorKind::BrokenPipe).to_string());
        }
    }
}
