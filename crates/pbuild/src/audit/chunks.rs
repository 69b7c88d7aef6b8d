//! Turns an async stream of bytes into a blocking reader: the engine's client is async, and the search is blocking
//! code on its own thread.

use std::io;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use tokio::sync::mpsc;

/// The number of chunks that wait between the stream and the reader. A chunk is at most the content of one HTTP
/// frame, so at most a few hundred kilobytes wait; if the search is slower than the engine, the engine has to wait.
const CHUNKS_IN_FLIGHT: usize = 16;

/// A blocking reader of the chunks that [`channel`] forwards.
#[derive(Debug)]
pub(crate) struct ChunkReader {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
}

impl io::Read for ChunkReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.receiver.blocking_recv() {
                Some(chunk) => self.current = chunk?,
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.current.len());
        buffer[..count].copy_from_slice(&self.current.split_to(count));
        Ok(count)
    }
}

/// Forwards a stream into a reader. The caller awaits the future while a blocking thread reads from the reader.
///
/// The future ends with the stream, at the stream's first error, or when the reader is dropped.
pub(crate) fn channel<S, E>(stream: S) -> (ChunkReader, impl Future<Output = ()>)
where
    S: Stream<Item = Result<Bytes, E>>,
    E: std::error::Error + Send + Sync + 'static,
{
    let (sender, receiver) = mpsc::channel(CHUNKS_IN_FLIGHT);
    let forward = async move {
        let mut stream = std::pin::pin!(stream);
        while let Some(chunk) = stream.next().await {
            let failed = chunk.is_err();
            if sender.send(chunk.map_err(io::Error::other)).await.is_err() || failed {
                break;
            }
        }
    };
    (ChunkReader { receiver, current: Bytes::new() }, forward)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn bytes_arrive_whole_and_an_error_after_them() {
        let chunks = vec![
            Ok(Bytes::from_static(b"one ")),
            Ok(Bytes::new()),
            Ok(Bytes::from_static(b"two")),
            Err(io::Error::other("cut")),
        ];
        let (mut reader, forward) = channel(futures::stream::iter(chunks));
        let read = tokio::task::spawn_blocking(move || {
            let mut text = Vec::new();
            let error = reader.read_to_end(&mut text).expect_err("the stream was cut");
            (text, error.to_string())
        });
        forward.await;
        assert_eq!(read.await.expect("the reader ends"), (b"one two".to_vec(), "cut".to_owned()));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_dropped_reader_ends_the_stream() {
        let endless = futures::stream::repeat_with(|| Ok::<_, io::Error>(Bytes::from_static(b"x")));
        let (reader, forward) = channel(endless);
        drop(reader);
        forward.await;
    }
}
