//! A scripted engine on a unix socket, for tests of our behaviour when an engine misbehaves (harness H1).
//!
//! The mock engine speaks just enough HTTP/1.1 to read a request's head and to answer, stay silent, break off, or
//! hand the connection over. It keeps the heads of all requests for the test.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

/// The mock engine's answer to one request.
pub enum Reply {
    /// Answers with a status, headers and a body.
    Answer {
        /// The HTTP status.
        status: u16,
        /// Header lines without line ends.
        headers: Vec<String>,
        /// The body.
        body: Vec<u8>,
    },
    /// Answers with these bytes and closes the connection. The bytes need not be HTTP; tests use them for cut answers
    /// and wrong protocols.
    Raw(Vec<u8>),
    /// Answers 500 with the request as the body.
    Echo,
    /// Sends nothing and keeps the connection open.
    Hang,
    /// Closes the connection without an answer.
    Close,
    /// Answers 101 and passes the connection to this function.
    Upgrade(Handover),
}

/// A function that works on a connection that was handed over.
pub type Handover = Box<dyn FnOnce(UnixStream) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

impl Reply {
    /// Makes a plain answer.
    #[must_use]
    pub fn ok(body: &str) -> Self {
        Self::Answer { status: 200, headers: Vec::new(), body: body.as_bytes().to_vec() }
    }

    /// Makes the answer of a modern engine to `GET /_ping`.
    #[must_use]
    pub fn pong(api_version: &str) -> Self {
        let headers = vec![format!("Api-Version: {api_version}"), "Builder-Version: 2".to_owned()];
        Self::Answer { status: 200, headers, body: b"OK".to_vec() }
    }

    /// Makes a reply that passes the connection to a function.
    pub fn upgrade<F, Fut>(handover: F) -> Self
    where
        F: FnOnce(UnixStream) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        Self::Upgrade(Box::new(move |stream| Box::pin(handover(stream))))
    }
}

/// A mock engine, which stops when it is dropped.
pub struct MockEngine {
    socket: PathBuf,
    requests: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl MockEngine {
    /// Listens on a socket. The script chooses the reply by the request's head, which is the request line and the
    /// headers.
    ///
    /// # Errors
    ///
    /// Returns an error if the socket cannot be made.
    pub fn start<S>(socket: &Path, script: S) -> io::Result<Self>
    where
        S: Fn(&str) -> Reply + Send + Sync + 'static,
    {
        let listener = UnixListener::bind(socket)?;
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let script = Arc::new(script);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(answer(stream, Arc::clone(&script), Arc::clone(&seen)));
            }
        });
        Ok(Self { socket: socket.to_owned(), requests, task })
    }

    /// Returns the address of the mock engine, for `DOCKER_HOST`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Returns the heads of all requests so far.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for MockEngine {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Makes the script of an engine that answers a ping, names its version, and leaves all other requests to `rest`.
pub fn well_behaved<R>(rest: R) -> impl Fn(&str) -> Reply + Send + Sync + 'static
where
    R: Fn(&str) -> Reply + Send + Sync + 'static,
{
    move |head: &str| match head.split(' ').nth(1) {
        Some("/_ping") => Reply::pong("1.51"),
        Some("/version") => Reply::ok(r#"{"Version":"28.5.2"}"#),
        _ => rest(head),
    }
}

async fn answer<S: Fn(&str) -> Reply>(mut stream: UnixStream, script: Arc<S>, seen: Arc<Mutex<Vec<String>>>) {
    let Some(head) = read_head(&mut stream).await else { return };
    let reply = script(&head);
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(head.clone());
    let bytes = match reply {
        Reply::Answer { status, headers, body } => response(status, &headers, &body),
        Reply::Raw(bytes) => bytes,
        Reply::Echo => response(500, &[], head.as_bytes()),
        Reply::Close => return,
        Reply::Hang => {
            // The connection stays open until the other side gives up.
            let _ = stream.read(&mut [0]).await;
            return;
        }
        Reply::Upgrade(handover) => {
            let switching = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
            if stream.write_all(switching).await.is_ok() {
                handover(stream).await;
            }
            return;
        }
    };
    let _ = stream.write_all(&bytes).await;
    let _ = stream.shutdown().await;
}

fn response(status: u16, headers: &[String], body: &[u8]) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status} Status\r\nContent-Length: {}\r\nConnection: close\r\n", body.len());
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

async fn read_head(stream: &mut UnixStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        // The head is read byte by byte, so that no bytes after an upgrade are lost.
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}
