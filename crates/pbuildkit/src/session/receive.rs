//! Receives the results that a build's exporters send back: an archive in one file, or a tree of files (BuildKit
//! `session/filesync`, `FileSend`).
//!
//! The caller chooses the destination, and the sender is not trusted: names in a tree may not lead out of the
//! destination's folder, and a result that broke off is never [complete](Receiver::is_complete), even if the engine
//! reports success.

mod tree;

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::Stream;
use futures::future::BoxFuture;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::filesync::Packet;
use crate::trouble::{Cause, Trouble};

/// The most messages that wait to be written. A message has at most a few hundred KiB.
const WAITING: usize = 64;

/// The metadata key for the index of the exporter that sends. Engines that know only one exporter do not set it.
const EXPORTER: &str = "buildkit-attachable-exporter-id";

/// A receiver of the data of one exporter. Clones share its state.
#[derive(Clone, Debug)]
pub struct Receiver(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The path of the destination, for messages.
    path: PathBuf,
    target: Target,
    /// The number of transfers that began. A tree of several platforms comes in one transfer for each, all into the same
    /// folder; a file comes in one.
    begun: AtomicUsize,
    /// The number of transfers that are complete.
    complete: AtomicUsize,
}

#[derive(Debug)]
enum Target {
    File(File),
    Tree(PathBuf),
}

impl Receiver {
    /// Makes a receiver that writes the data into an open, empty file. Errors name the file `path`.
    #[must_use]
    pub fn file(file: File, path: &Path) -> Self {
        Self::new(Target::File(file), path)
    }

    /// Makes a receiver of a tree of files. `folder` is created when the tree arrives, and nobody else may write to
    /// it. Errors name it `path`.
    #[must_use]
    pub fn tree(folder: PathBuf, path: &Path) -> Self {
        Self::new(Target::Tree(folder), path)
    }

    fn new(target: Target, path: &Path) -> Self {
        let inner = Inner { path: path.to_owned(), target, begun: 0.into(), complete: 0.into() };
        Self(Arc::new(inner))
    }

    /// Returns true if the whole result was received.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let complete = self.0.complete.load(Ordering::Acquire);
        complete > 0 && complete == self.0.begun.load(Ordering::Acquire)
    }

    /// Reports why the result cannot be written, and returns a status for the engine.
    fn failed(&self, trouble: &Trouble, source: io::Error) -> Status {
        let status = Status::aborted(format!("the client cannot take the result: {}", source.kind()));
        trouble.report(Cause::Destination { path: self.0.path.clone(), source });
        status
    }
}

/// The service of the receivers. Clones are cheap.
#[derive(Clone)]
pub(crate) struct Results {
    pub(crate) receivers: Arc<Vec<Option<Receiver>>>,
    pub(crate) trouble: Arc<Trouble>,
}

impl Results {
    /// Returns the receiver that a call addresses. A file is received only once.
    fn take(&self, headers: &http::HeaderMap) -> Option<Receiver> {
        let index = match headers.get(EXPORTER) {
            Some(index) => index.to_str().ok()?.parse().ok()?,
            None => 0_usize,
        };
        let receiver = self.receivers.get(index)?.as_ref()?;
        let before = receiver.0.begun.fetch_add(1, Ordering::AcqRel);
        (before == 0 || matches!(receiver.0.target, Target::Tree(_))).then(|| receiver.clone())
    }
}

impl NamedService for Results {
    const NAME: &'static str = "moby.filesync.v1.FileSend";
}

impl tower::Service<http::Request<Body>> for Results {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let (receiver, trouble) = (self.take(request.headers()), Arc::clone(&self.trouble));
        Box::pin(async move {
            let Some(receiver) = receiver else {
                return Ok(Status::not_found("nothing is to be received of this exporter").into_http());
            };
            Ok(match receiver.0.target {
                Target::File(_) => {
                    let codec = ProstCodec::<Piece, Piece>::default();
                    Grpc::new(codec).streaming(TakeFile(receiver, trouble), request).await
                }
                Target::Tree(_) => {
                    let codec = ProstCodec::<Packet, Packet>::default();
                    Grpc::new(codec).streaming(TakeTree(receiver, trouble), request).await
                }
            })
        })
    }
}

/// A piece of a file, in the form of the wire (BuildKit `session/filesync/filesync.proto`, `BytesMessage`).
#[derive(Clone, PartialEq, prost::Message)]
struct Piece {
    #[prost(bytes = "bytes", tag = "1")]
    data: Bytes,
}

struct TakeFile(Receiver, Arc<Trouble>);

impl StreamingService<Piece> for TakeFile {
    type Response = Piece;
    type ResponseStream = futures::stream::Empty<Result<Piece, Status>>;
    type Future = BoxFuture<'static, Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<Piece>>) -> Self::Future {
        let (receiver, trouble) = (self.0.clone(), Arc::clone(&self.1));
        Box::pin(async move {
            take_file(&receiver, request.into_inner(), &trouble).await?;
            Ok(Response::new(futures::stream::empty()))
        })
    }
}

async fn take_file(receiver: &Receiver, mut pieces: Streaming<Piece>, trouble: &Trouble) -> Result<(), Status> {
    let (sender, mut waiting) = mpsc::channel::<Bytes>(WAITING);
    let target = receiver.clone();
    let writing = tokio::task::spawn_blocking(move || -> io::Result<()> {
        let Target::File(file) = &target.0.target else { return Ok(()) };
        let mut file = file;
        while let Some(data) = waiting.blocking_recv() {
            file.write_all(&data)?;
        }
        Ok(())
    });
    let ended = loop {
        match pieces.message().await {
            Ok(Some(piece)) => {
                if sender.send(piece.data).await.is_err() {
                    // The writer failed, and `writing` holds its error.
                    break Ok(());
                }
            }
            Ok(None) => break Ok(()),
            Err(status) => break Err(status),
        }
    };
    drop(sender);
    match writing.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(receiver.failed(trouble, error)),
        Err(_) => return Err(Status::internal("writing a result ended early")),
    }
    ended?;
    receiver.0.complete.fetch_add(1, Ordering::AcqRel);
    Ok(())
}

struct TakeTree(Receiver, Arc<Trouble>);

impl StreamingService<Packet> for TakeTree {
    type Response = Packet;
    type ResponseStream = Pin<Box<dyn Stream<Item = Result<Packet, Status>> + Send>>;
    type Future = BoxFuture<'static, Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<Packet>>) -> Self::Future {
        let (receiver, trouble) = (self.0.clone(), Arc::clone(&self.1));
        Box::pin(async move {
            let (sender, waiting) = mpsc::channel(WAITING);
            // The channel needs no limit, because `tree::take` requests only a limited number of files at a time.
            let (answers, stream) = mpsc::unbounded_channel();
            let mut packets = request.into_inner();
            tokio::spawn(async move {
                while let Ok(Some(packet)) = packets.message().await {
                    if sender.send(packet).await.is_err() {
                        break;
                    }
                }
            });
            tokio::task::spawn_blocking(move || take_tree(&receiver, waiting, &answers, &trouble));
            Ok(Response::new(Box::pin(UnboundedReceiverStream::new(stream)) as Self::ResponseStream))
        })
    }
}

type Answers = mpsc::UnboundedSender<Result<Packet, Status>>;

/// Receives a tree of files, on a thread that may block.
fn take_tree(receiver: &Receiver, mut packets: mpsc::Receiver<Packet>, answers: &Answers, trouble: &Trouble) {
    let Target::Tree(folder) = &receiver.0.target else { return };
    // If nobody receives the answers, the build has ended, and it reports the reason.
    let answer = |packet| drop(answers.send(Ok(packet)));
    let made = match std::fs::DirBuilder::new().mode(0o700).create(folder) {
        // Another transfer made it. No transfer writes into what another one made: `tree::take` takes as a parent only a
        // folder that it made itself.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && receiver.0.begun.load(Ordering::Acquire) > 1 => {
            Ok(())
        }
        made => made.map_err(tree::End::from),
    };
    match made.and_then(|()| tree::take(folder, || packets.blocking_recv(), answer)) {
        Ok(()) => {
            // The flag is set before the last packet, because that packet lets the engine end its build.
            receiver.0.complete.fetch_add(1, Ordering::AcqRel);
            let _ = answers.send(Ok(Packet::finish()));
            // The engine repeats the last packet.
            while packets.blocking_recv().is_some() {}
        }
        Err(tree::End::Engine) => drop(answers.send(Err(Status::aborted("the engine ended the transfer")))),
        Err(tree::End::Here(error)) => drop(answers.send(Err(receiver.failed(trouble, error)))),
    }
}
