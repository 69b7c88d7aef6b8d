//! Folders of this machine as content stores. The engine reads images and caches from them, and writes caches to
//! them.
//!
//! A store is an OCI layout: a blob is the file `blobs/ALGORITHM/HEX`. Written bytes get this name only after their
//! digest was computed and equals the expected digest. Sources: containerd `api/services/content/v1/content.proto`
//! and its server; BuildKit `session/content` (the metadata of a call name the store).

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::Stream;
use futures::future::BoxFuture;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, ServerStreamingService, StreamingService, UnaryService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

/// The metadata key that names the store of a call.
const STORE: &str = "buildkit-attachable-store-id";
/// The most bytes in one sent piece.
const PIECE: usize = 256 << 10;
/// The most pieces that wait to be sent.
const WAITING: usize = 4;

/// The folders that the engine may use, by the names that the engine uses for them.
#[derive(Clone, Debug, Default)]
pub struct ContentStores(pub BTreeMap<String, ContentStore>);

/// A folder that is an OCI layout.
#[derive(Clone, Debug)]
pub struct ContentStore {
    /// The folder.
    pub folder: PathBuf,
    /// True if the engine may add blobs to the folder.
    pub writable: bool,
    /// The blobs that the engine wrote, including those that existed already.
    pub written: WrittenBlobs,
}

/// The digests of the blobs that an engine wrote to a store, in the order in which they were completed. An exporter
/// writes its manifest last.
#[derive(Clone, Debug, Default)]
pub struct WrittenBlobs(Arc<Mutex<Vec<String>>>);

impl WrittenBlobs {
    /// Returns the digests so far.
    #[must_use]
    pub fn list(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, digest: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(digest.to_owned());
    }
}

impl ContentStore {
    /// Makes a store from which the engine can only read.
    #[must_use]
    pub fn readable(folder: PathBuf) -> Self {
        Self { folder, writable: false, written: WrittenBlobs::default() }
    }

    /// Makes a store from which the engine can read, and to which it can write.
    #[must_use]
    pub fn writable(folder: PathBuf) -> Self {
        Self { folder, writable: true, written: WrittenBlobs::default() }
    }

    /// Returns the path of a blob, which need not exist. A digest of another form could name any file, so it is
    /// refused.
    fn blob(&self, digest: &str) -> Result<PathBuf, Status> {
        let wrong = || Status::invalid_argument("the digest is none");
        let (algorithm, hex) = digest.split_once(':').ok_or_else(wrong)?;
        let length = match algorithm {
            "sha256" => 64,
            "sha512" => 128,
            _ => return Err(wrong()),
        };
        if hex.len() != length || !hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(wrong());
        }
        Ok(self.folder.join("blobs").join(algorithm).join(hex))
    }

    fn open(&self, digest: &str) -> Result<(File, u64), Status> {
        let path = self.blob(digest)?;
        let opened = File::open(&path).and_then(|file| file.metadata().map(|metadata| (file, metadata)));
        match opened {
            Ok((file, metadata)) if metadata.is_file() => Ok((file, metadata.len())),
            Ok(_) => Err(Status::not_found(format!("content {digest}: not found"))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Status::not_found(format!("content {digest}: not found")))
            }
            Err(error) => Err(failed("read", &path, &error)),
        }
    }
}

fn failed(what: &str, path: &Path, error: &io::Error) -> Status {
    Status::internal(format!("the client cannot {what} {}: {}", path.display(), error.kind()))
}

/// The content service. Clones are cheap.
#[derive(Clone)]
pub(crate) struct Content(Arc<ContentStores>);

impl Content {
    pub(crate) fn new(stores: ContentStores) -> Self {
        Self(Arc::new(stores))
    }

    fn store(&self, headers: &http::HeaderMap) -> Result<ContentStore, Status> {
        let id = headers.get(STORE).and_then(|id| id.to_str().ok());
        let id = id.ok_or_else(|| Status::invalid_argument(format!("request lacks metadata {STORE:?}")))?;
        self.0.0.get(id).cloned().ok_or_else(|| Status::not_found(format!("unknown store {id}")))
    }
}

impl NamedService for Content {
    const NAME: &'static str = "containerd.services.content.v1.Content";
}

impl tower::Service<http::Request<Body>> for Content {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let store = self.store(request.headers());
        Box::pin(async move {
            let store = match store {
                Ok(store) => store,
                Err(status) => return Ok(status.into_http()),
            };
            let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
            Ok(match method.as_str() {
                "Info" => {
                    let codec = ProstCodec::<InfoResponse, DigestRequest>::default();
                    Grpc::new(codec).unary(Ask(store), request).await
                }
                "Read" => {
                    let codec = ProstCodec::<ReadResponse, ReadRequest>::default();
                    Grpc::new(codec).server_streaming(Give(store), request).await
                }
                "Write" if store.writable => {
                    let codec = ProstCodec::<WriteResponse, WriteRequest>::default();
                    Grpc::new(codec).streaming(Take(store), request).await
                }
                // A transfer that was given up leaves nothing behind, so there is nothing to resume or to abort.
                "Status" | "Abort" => Status::not_found("nothing of that name is being written").into_http(),
                "Write" => Status::permission_denied("the client lends this store for reading alone").into_http(),
                _ => Status::unimplemented("the client has no such method").into_http(),
            })
        })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct DigestRequest {
    #[prost(string, tag = "1")]
    digest: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct InfoResponse {
    #[prost(message, optional, tag = "1")]
    info: Option<Info>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Info {
    #[prost(string, tag = "1")]
    digest: String,
    #[prost(int64, tag = "2")]
    size: i64,
}

/// A request for a range of a blob.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ReadRequest {
    #[prost(string, tag = "1")]
    pub(crate) digest: String,
    #[prost(int64, tag = "2")]
    pub(crate) offset: i64,
    /// The length of the range. Zero stands for the rest of the blob.
    #[prost(int64, tag = "3")]
    pub(crate) size: i64,
}

/// A piece of a blob.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ReadResponse {
    #[prost(int64, tag = "1")]
    offset: i64,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) data: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WriteRequest {
    #[prost(int32, tag = "1")]
    action: i32,
    #[prost(int64, tag = "3")]
    total: i64,
    #[prost(string, tag = "4")]
    expected: String,
    #[prost(int64, tag = "5")]
    offset: i64,
    #[prost(bytes = "bytes", tag = "6")]
    data: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WriteResponse {
    #[prost(int32, tag = "1")]
    action: i32,
    #[prost(int64, tag = "4")]
    offset: i64,
    #[prost(int64, tag = "5")]
    total: i64,
    #[prost(string, tag = "6")]
    digest: String,
}

/// The values of `WriteAction` in the protocol. `STAT` only asks for the state of a transfer.
const STAT: i32 = 0;
/// `COMMIT` ends a transfer and declares the blob complete.
const COMMIT: i32 = 2;

/// Answers questions about the size of a blob.
struct Ask(ContentStore);

impl UnaryService<DigestRequest> for Ask {
    type Response = InfoResponse;
    type Future = BoxFuture<'static, Result<Response<InfoResponse>, Status>>;

    fn call(&mut self, request: Request<DigestRequest>) -> Self::Future {
        let store = self.0.clone();
        Box::pin(async move {
            let digest = request.into_inner().digest;
            let (_, size) = store.open(&digest)?;
            let info = Info { digest, size: i64::try_from(size).unwrap_or(i64::MAX) };
            Ok(Response::new(InfoResponse { info: Some(info) }))
        })
    }
}

/// Sends a range of a blob.
struct Give(ContentStore);

impl ServerStreamingService<ReadRequest> for Give {
    type Response = ReadResponse;
    type ResponseStream = ReceiverStream<Result<ReadResponse, Status>>;
    type Future = BoxFuture<'static, Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<ReadRequest>) -> Self::Future {
        let store = self.0.clone();
        Box::pin(async move {
            let ReadRequest { digest, offset, size } = request.into_inner();
            let (file, whole) = store.open(&digest)?;
            let offset = u64::try_from(offset).unwrap_or_default();
            if offset > whole {
                return Err(Status::out_of_range(format!("read past object length {whole} bytes")));
            }
            // A size of zero, or one beyond the end, stands for the rest of the blob.
            let left = match u64::try_from(size) {
                Ok(size @ 1..) => size.min(whole - offset),
                _ => whole - offset,
            };
            let (sender, receiver) = mpsc::channel(WAITING);
            tokio::task::spawn_blocking(move || {
                if let Err(error) = send(file, offset, left, &sender) {
                    let _ = sender
                        .blocking_send(Err(Status::internal(format!("the client cannot read {digest}: {error}"))));
                }
            });
            Ok(Response::new(ReceiverStream::new(receiver)))
        })
    }
}

/// Reads pieces, on a thread that may block, until the end of the range or until the receiver is gone.
fn send(mut file: File, offset: u64, left: u64, pieces: &mpsc::Sender<Result<ReadResponse, Status>>) -> io::Result<()> {
    file.seek(io::SeekFrom::Start(offset))?;
    let mut file = file.take(left);
    let mut at = 0;
    loop {
        let mut data = Vec::with_capacity(PIECE);
        (&mut file).take(PIECE as u64).read_to_end(&mut data)?;
        if data.is_empty() {
            return Ok(());
        }
        let length = i64::try_from(data.len()).unwrap_or_default();
        let piece = ReadResponse { offset: at, data: data.into() };
        if pieces.blocking_send(Ok(piece)).is_err() {
            return Ok(());
        }
        at += length;
    }
}

/// Receives a new blob.
struct Take(ContentStore);

impl StreamingService<WriteRequest> for Take {
    type Response = WriteResponse;
    type ResponseStream = Pin<Box<dyn Stream<Item = Result<WriteResponse, Status>> + Send>>;
    type Future = BoxFuture<'static, Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<WriteRequest>>) -> Self::Future {
        let store = self.0.clone();
        Box::pin(async move {
            let (answers, stream) = mpsc::channel(WAITING);
            let mut requests = request.into_inner();
            tokio::spawn(async move {
                let mut blob = None;
                while let Ok(Some(request)) = requests.message().await {
                    let commits = request.action == COMMIT;
                    let (store, taken) = (store.clone(), blob.take());
                    // Each request is answered before the next one is read, so only one thread writes to the blob.
                    let step = tokio::task::spawn_blocking(move || write(&store, taken, &request)).await;
                    let answer = match step {
                        Ok(Ok((next, answer))) => {
                            blob = next;
                            Ok(answer)
                        }
                        Ok(Err(status)) => Err(status),
                        Err(_) => Err(Status::internal("the client's writer ended early")),
                    };
                    let ended = commits || answer.is_err();
                    if answers.send(answer).await.is_err() || ended {
                        break;
                    }
                }
            });
            Ok(Response::new(Box::pin(ReceiverStream::new(stream)) as Self::ResponseStream))
        })
    }
}

/// A blob that is being written, in a temporary file that is removed unless the blob is committed.
struct Blob {
    file: tempfile::NamedTempFile,
    hasher: Sha256,
    length: u64,
}

/// Handles one message of a transfer. After the last message, no blob is returned.
fn write(
    store: &ContentStore,
    blob: Option<Blob>,
    request: &WriteRequest,
) -> Result<(Option<Blob>, WriteResponse), Status> {
    let folder = store.folder.join("blobs/sha256");
    let wrong = |error: io::Error| failed("write to", &folder, &error);
    if !request.expected.is_empty() && store.blob(&request.expected)?.is_file() {
        store.written.note(&request.expected);
        return Err(Status::already_exists(format!("blob with expected digest {} exists", request.expected)));
    }
    let mut blob = match blob {
        Some(blob) => blob,
        None => {
            fs::create_dir_all(&folder).map_err(wrong)?;
            let file = tempfile::Builder::new().prefix(".pbuild-").tempfile_in(&folder).map_err(wrong)?;
            Blob { file, hasher: Sha256::new(), length: 0 }
        }
    };
    if request.action != STAT {
        let offset = u64::try_from(request.offset).unwrap_or(u64::MAX);
        if offset == 0 && blob.length > 0 {
            // The transfer starts again from the beginning.
            blob.file.as_file_mut().set_len(0).map_err(wrong)?;
            blob.file.as_file_mut().rewind().map_err(wrong)?;
            (blob.hasher, blob.length) = (Sha256::new(), 0);
        } else if offset != blob.length {
            return Err(Status::out_of_range(format!("write @{offset} must occur at current offset {}", blob.length)));
        }
        blob.file.write_all(&request.data).map_err(wrong)?;
        blob.hasher.update(&request.data);
        blob.length += request.data.len() as u64;
    }
    let hex = base16ct::lower::encode_string(&blob.hasher.clone().finalize());
    let answer = WriteResponse {
        action: request.action,
        offset: i64::try_from(blob.length).unwrap_or(i64::MAX),
        total: request.total,
        digest: format!("sha256:{hex}"),
    };
    if request.action != COMMIT {
        return Ok((Some(blob), answer));
    }
    if !request.expected.is_empty() && request.expected != answer.digest {
        return Err(Status::failed_precondition(format!("unexpected commit digest {}", answer.digest)));
    }
    if request.total > 0 && request.total != answer.offset {
        return Err(Status::failed_precondition(format!("unexpected commit size {}", answer.offset)));
    }
    blob.file.persist(folder.join(hex)).map_err(|error| wrong(error.error))?;
    store.written.note(&answer.digest);
    Ok((None, answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(writable: bool) -> (tempfile::TempDir, ContentStore) {
        let folder = tempfile::tempdir().unwrap();
        let store = ContentStore { writable, ..ContentStore::writable(folder.path().to_owned()) };
        (folder, store)
    }

    fn request(action: i32, offset: i64, data: &'static [u8], expected: &str) -> WriteRequest {
        WriteRequest { action, total: 0, expected: expected.to_owned(), offset, data: Bytes::from_static(data) }
    }

    fn digest(data: &[u8]) -> String {
        format!("sha256:{}", base16ct::lower::encode_string(&Sha256::digest(data)))
    }

    #[test]
    fn a_digest_that_is_none_names_no_file() {
        let (_folder, store) = store(false);
        for wrong in ["", "sha256:", "sha256:../../../etc/passwd", "md5:00", &format!("sha256:{}", "A".repeat(64))] {
            assert_eq!(store.blob(wrong).unwrap_err().code(), tonic::Code::InvalidArgument, "{wrong}");
        }
        assert_eq!(store.open(&digest(b"x")).unwrap_err().code(), tonic::Code::NotFound);
    }

    #[test]
    fn a_blob_has_its_name_when_it_is_whole_and_the_promised_one() {
        let (folder, store) = store(true);
        let promised = digest(b"one two");
        let (blob, told) = write(&store, None, &request(STAT, 0, b"", &promised)).unwrap();
        assert_eq!((told.offset, told.digest), (0, digest(b"")));
        let (blob, told) = write(&store, blob, &request(1, 0, b"one ", "")).unwrap();
        assert_eq!(told.offset, 4);
        let (blob, told) = write(&store, blob, &request(1, 4, b"two", "")).unwrap();
        assert_eq!((told.offset, store.open(&promised).is_err()), (7, true));
        let (blob, told) = write(&store, blob, &request(COMMIT, 7, b"", &promised)).unwrap();
        assert_eq!((blob.is_none(), told.digest), (true, promised.clone()));
        assert_eq!(store.open(&promised).unwrap().1, 7);
        let again = write(&store, None, &request(STAT, 0, b"", &promised)).err().unwrap();
        assert_eq!(again.code(), tonic::Code::AlreadyExists);
        assert_eq!(store.written.list(), [promised.clone(), promised], "a blob that is there is as good as written");

        // A wrong digest, a gap, a transfer that was given up: none of them leaves a file behind.
        let (blob, _) = write(&store, None, &request(1, 0, b"other", "")).unwrap();
        assert!(write(&store, blob, &request(COMMIT, 5, b"", &digest(b"else"))).is_err());
        let (blob, _) = write(&store, None, &request(1, 0, b"other", "")).unwrap();
        assert_eq!(write(&store, blob, &request(1, 9, b"x", "")).err().unwrap().code(), tonic::Code::OutOfRange);
        // A transfer starts again from the beginning.
        let (blob, _) = write(&store, None, &request(1, 0, b"other", "")).unwrap();
        let (_, told) = write(&store, blob, &request(1, 0, b"new", "")).unwrap();
        assert_eq!((told.offset, told.digest), (3, digest(b"new")));
        assert_eq!(fs::read_dir(folder.path().join("blobs/sha256")).unwrap().count(), 1);
    }

    #[test]
    fn a_part_of_a_blob_is_sent_in_pieces() {
        let (_folder, store) = store(true);
        let bytes: Vec<u8> = (0..3 * PIECE + 5).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let path = store.blob(&digest(&bytes)).unwrap();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &bytes).unwrap();
        let (sender, mut pieces) = mpsc::channel(100);
        let (file, _) = store.open(&digest(&bytes)).unwrap();
        send(file, 7, bytes.len() as u64 - 9, &sender).unwrap();
        drop(sender);
        let mut got = Vec::new();
        while let Some(piece) = pieces.blocking_recv() {
            let piece = piece.unwrap();
            assert_eq!(piece.offset, i64::try_from(got.len()).unwrap());
            got.extend_from_slice(&piece.data);
        }
        assert_eq!(got, bytes[7..bytes.len() - 2]);
    }
}
