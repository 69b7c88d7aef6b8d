//! Writes to a registry: first the blobs that the registry lacks, then a manifest.
//!
//! Source: OCI distribution specification 1.1 ("Push"). A blob is sent in one piece, as docker does it. If the
//! connection breaks, the upload goes on from the offset that the registry reports. The bytes are hashed again while
//! they are sent; if they are not the bytes that were searched, the last of them are not sent.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE};
use http::{HeaderName, Method, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use pimage::Digest;
use tokio::sync::mpsc;

use super::LARGEST_DOCUMENT;
use super::client::{Client, resolved};
use super::connection::Upload;
use super::error::RegistryError;
use super::reference::ImageReference;
use crate::files::blob::{BlobError, FileBlob};

/// The number of failures in a row, without progress between them, after which a blob is given up.
const ATTEMPTS: u32 = 5;
/// The pause after the first failure. It grows with each further failure.
const PAUSE: Duration = Duration::from_millis(500);
/// The number of pieces that wait to be sent.
const WAITING: usize = 4;

/// The way in which a blob got into a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// The blob was sent.
    Sent,
    /// The registry had it already.
    WasThere,
}

/// Writes to one repository of a registry.
pub(crate) struct Uploader(Client);

/// An upload that has begun: the address at which it goes on, and the number of bytes that have arrived.
struct Begun {
    address: Uri,
    offset: u64,
}

impl Uploader {
    /// Prepares to write under a name, with docker's credentials. No request is sent yet.
    ///
    /// # Errors
    /// Returns an error if the certificates for the registry cannot be read.
    pub(crate) fn new(reference: &ImageReference) -> Result<Self, RegistryError> {
        Client::new(reference).map(Self)
    }

    /// Writes a blob, unless the registry has it.
    ///
    /// # Errors
    /// Returns an error if the registry does not accept the blob, or if the file has changed.
    pub(crate) async fn blob(&self, blob: &FileBlob) -> Result<Arrival, RegistryError> {
        if self.has(&blob.digest).await? {
            return Ok(Arrival::WasThere);
        }
        let mut begun = None;
        let mut failures = Failures(0);
        while let Err(error) = self.attempt(blob, &mut begun).await {
            failures.pause_after(error).await?;
            let before = begun.as_ref().map_or(0, |begun: &Begun| begun.offset);
            begun = match begun {
                Some(begun) => self.resumed(&begun).await,
                None => None,
            };
            // After any progress, however slow, the count of failures begins again.
            if begun.as_ref().is_some_and(|begun| begun.offset > before) {
                failures = Failures(0);
            }
        }
        Ok(Arrival::Sent)
    }

    /// Writes a manifest under the tag of the name. Every blob that the manifest lists must be in the registry
    /// already.
    ///
    /// # Errors
    /// Returns an error if the registry does not accept the manifest.
    pub(crate) async fn manifest(&self, bytes: &[u8], kind: &str) -> Result<(), RegistryError> {
        let uri = self.uri(&format!("manifests/{}", self.0.reference().version()))?;
        let headers = [(CONTENT_TYPE, kind.to_owned()), (CONTENT_LENGTH, bytes.len().to_string())];
        let bytes = Bytes::copy_from_slice(bytes);
        let send = || Upload::of_bytes(bytes.clone());
        let mut failures = Failures(0);
        while let Err(error) = self.0.exchange(&Method::PUT, &uri, &headers, send).await.and_then(accepted) {
            failures.pause_after(error).await?;
        }
        Ok(())
    }

    /// Reads a manifest or an index of the repository.
    ///
    /// # Errors
    /// Returns an error if the registry does not give it.
    pub(crate) async fn document(&self, digest: &str) -> Result<Vec<u8>, RegistryError> {
        Ok(self.0.manifest(digest, LARGEST_DOCUMENT).await?.0)
    }

    async fn has(&self, digest: &Digest) -> Result<bool, RegistryError> {
        let uri = self.uri(&format!("blobs/{digest}"))?;
        let response = self.0.exchange(&Method::HEAD, &uri, &[], nothing).await?;
        // For a blob that exists, a registry may redirect to its storage.
        Ok(response.status().is_success() || response.status().is_redirection())
    }

    async fn attempt(&self, blob: &FileBlob, begun: &mut Option<Begun>) -> Result<(), RegistryError> {
        let Begun { mut address, offset } = match begun.take() {
            Some(begun) => begun,
            None => self.begin().await?,
        };
        *begun = Some(Begun { address: address.clone(), offset });
        if offset < blob.size {
            let mut headers =
                vec![(CONTENT_TYPE, OCTETS.to_owned()), (CONTENT_LENGTH, (blob.size - offset).to_string())];
            if offset > 0 {
                headers.push((CONTENT_RANGE, format!("{offset}-{}", blob.size - 1)));
            }
            let fault = Fault::default();
            let send = || body(blob, offset, &fault);
            let answer = self.0.exchange(&Method::PATCH, &address, &headers, send).await;
            if let Some(error) = fault.take() {
                return Err(error.into());
            }
            let answer = continued(answer?, begun)?;
            address = location(&answer, &address)?;
        }
        *begun = Some(Begun { address: address.clone(), offset: blob.size });
        let target = with_digest(&address, &blob.digest)?;
        let headers = [(CONTENT_LENGTH, "0".to_owned()), (CONTENT_TYPE, OCTETS.to_owned())];
        let answer = self.0.exchange(&Method::PUT, &target, &headers, nothing).await?;
        continued(answer, begun).map(drop)
    }

    async fn begin(&self) -> Result<Begun, RegistryError> {
        let uri = self.uri("blobs/uploads/")?;
        let headers = [(CONTENT_LENGTH, "0".to_owned())];
        let answer = accepted(self.0.exchange(&Method::POST, &uri, &headers, nothing).await?)?;
        Ok(Begun { address: location(&answer, &uri)?, offset: 0 })
    }

    /// Asks the registry where an upload stopped. Returns `None` if the upload has to begin again.
    async fn resumed(&self, begun: &Begun) -> Option<Begun> {
        let answer = self.0.exchange(&Method::GET, &begun.address, &[], nothing).await.ok()?;
        if !answer.status().is_success() {
            return None;
        }
        let offset = end_of_range(header(&answer, &RANGE)?)?;
        Some(Begun { address: location(&answer, &begun.address).ok()?, offset })
    }

    fn uri(&self, path: &str) -> Result<Uri, RegistryError> {
        self.0.uri(&format!("/v2/{}/{path}", self.0.reference().repository()))
    }
}

const OCTETS: &str = "application/octet-stream";

fn nothing() -> Upload {
    Upload::of_bytes(Bytes::new())
}

fn header<'a>(response: &'a Response<Incoming>, name: &HeaderName) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

fn location(response: &Response<Incoming>, from: &Uri) -> Result<Uri, RegistryError> {
    match header(response, &LOCATION) {
        Some(target) => resolved(from, target),
        None => Err(RegistryError::Protocol("an upload without an address")),
    }
}

/// Reads from `0-LAST` how many bytes have arrived. Registries answer `0-0` if no bytes have arrived.
fn end_of_range(range: &str) -> Option<u64> {
    let last: u64 = range.trim().trim_start_matches("bytes=").strip_prefix("0-")?.parse().ok()?;
    Some(if last == 0 { 0 } else { last + 1 })
}

fn with_digest(address: &Uri, digest: &Digest) -> Result<Uri, RegistryError> {
    let separator = if address.query().is_some() { '&' } else { '?' };
    let target = format!("{address}{separator}digest=sha256%3A{}", digest.hex());
    target.parse().map_err(|_| RegistryError::Protocol("an upload without an address"))
}

fn accepted(response: Response<Incoming>) -> Result<Response<Incoming>, RegistryError> {
    match response.status() {
        status if status.is_success() => Ok(response),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(RegistryError::Denied { known: true }),
        status => Err(RegistryError::Status(status.as_u16())),
    }
}

/// Checks the answer to a part of an upload. If the registry no longer knows the upload, the whole blob is sent
/// again.
fn continued(response: Response<Incoming>, begun: &mut Option<Begun>) -> Result<Response<Incoming>, RegistryError> {
    if is_forgotten(response.status()) {
        *begun = None;
    }
    accepted(response)
}

fn is_forgotten(status: StatusCode) -> bool {
    [StatusCode::BAD_REQUEST, StatusCode::NOT_FOUND, StatusCode::RANGE_NOT_SATISFIABLE].contains(&status)
}

/// The number of attempts in a row that have failed.
struct Failures(u32);

impl Failures {
    /// Pauses before the next attempt.
    ///
    /// # Errors
    /// Returns the given error if another attempt cannot succeed, or if this was the last attempt.
    async fn pause_after(&mut self, error: RegistryError) -> Result<(), RegistryError> {
        self.0 += 1;
        if self.0 == ATTEMPTS || !may_pass(&error) {
            return Err(error);
        }
        tokio::time::sleep(PAUSE * self.0).await;
        Ok(())
    }
}

/// Returns whether another attempt may succeed. If the registry itself decided, it does not.
fn may_pass(error: &RegistryError) -> bool {
    match error {
        RegistryError::Unreachable(kind) => *kind != io::ErrorKind::ConnectionRefused,
        RegistryError::Silent => true,
        RegistryError::Status(status) => matches!(status, 400 | 404 | 408 | 416 | 429 | 500..),
        RegistryError::Tls(_)
        | RegistryError::Certificate { .. }
        | RegistryError::Credentials(_)
        | RegistryError::Denied { .. }
        | RegistryError::NotFound
        | RegistryError::Protocol(_)
        | RegistryError::SchemaOne
        | RegistryError::WrongDigest
        | RegistryError::NoSize
        | RegistryError::Blob(_) => false,
    }
}

/// The reason why a file was not sent completely, if it was not.
#[derive(Clone, Default)]
pub(crate) struct Fault(Arc<Mutex<Option<BlobError>>>);

impl Fault {
    /// Takes the reason, if there is one.
    pub(crate) fn take(&self) -> Option<BlobError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Makes a body of the bytes of a file from an offset on. The whole file is hashed, from its first byte.
pub(crate) fn body(blob: &FileBlob, offset: u64, fault: &Fault) -> Upload {
    let (pieces, receiver) = mpsc::channel(WAITING);
    let taken = Arc::new(AtomicU64::new(0));
    let (blob, fault, counter) = (blob.clone(), fault.clone(), Arc::clone(&taken));
    tokio::task::spawn_blocking(move || {
        let give = |piece: Bytes| {
            counter.fetch_add(1, Ordering::Relaxed);
            pieces.blocking_send(Ok(Frame::data(piece))).is_ok()
        };
        if let Err(error) = blob.read(offset, give) {
            *fault.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            // An error in the body aborts the request before its end.
            let _ = pieces.blocking_send(Err(io::Error::from(io::ErrorKind::InvalidData)));
        }
    });
    let stream = futures::stream::unfold(receiver, async |mut receiver| {
        let piece: Option<Result<Frame<Bytes>, io::Error>> = receiver.recv().await;
        piece.map(|piece| (piece, receiver))
    });
    Upload { body: StreamBody::new(Box::pin(stream)).boxed_unsync(), taken }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// A registry with one repository, which breaks the connection in the middle of a blob for the first `breaks`
    /// parts.
    #[derive(Default)]
    struct FakeRegistry {
        breaks: usize,
        /// Whether the registry knows how much of the blob had arrived before a break.
        remembers: bool,
        upload: Vec<u8>,
        blobs: BTreeMap<String, Vec<u8>>,
        manifests: BTreeMap<String, (String, Vec<u8>)>,
        /// The offsets at which parts of blobs began.
        offsets: Vec<u64>,
    }

    type Shared = Arc<Mutex<FakeRegistry>>;

    fn start(registry: FakeRegistry) -> (String, Shared) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Mutex::new(registry));
        let state = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&state);
                std::thread::spawn(move || serve(stream, &state));
            }
        });
        (host, shared)
    }

    fn serve(mut stream: TcpStream, state: &Shared) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        if reader.fill_buf().ok()?.first() == Some(&0x16) {
            // The client tries TLS first.
            return stream.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n").ok();
        }
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            reader.read_until(b'\n', &mut head).ok()?;
        }
        let head = String::from_utf8(head).ok()?;
        let field = |name: &str| {
            head.lines().find_map(|line| line.split_once(": ").filter(|(key, _)| key.eq_ignore_ascii_case(name)))
        };
        let (method, rest) = head.split_once(' ')?;
        let path = rest.split(' ').next()?;
        let length: usize = field("content-length").and_then(|(_, length)| length.parse().ok()).unwrap_or(0);
        let mut state = state.lock().ok()?;
        let answer = match (method, path) {
            ("HEAD", path) => {
                let known = path.rsplit('/').next().is_some_and(|digest| state.blobs.contains_key(digest));
                if known { "200 OK" } else { "404 Not Found" }.to_owned()
            }
            ("POST", _) => {
                state.upload.clear();
                "202 Accepted\r\nLocation: /v2/a/b/blobs/uploads/1?state=0".to_owned()
            }
            ("PATCH", _) => {
                let offset = field("content-range").map_or("0", |(_, range)| range.split('-').next().unwrap_or("0"));
                let offset: u64 = offset.parse().ok()?;
                state.offsets.push(offset);
                let breaks = state.breaks > 0;
                let taken = if breaks { length / 2 } else { length };
                let mut bytes = vec![0; taken];
                reader.read_exact(&mut bytes).ok()?;
                assert_eq!(offset, state.upload.len() as u64, "a part begins where the one before ended");
                state.upload.extend(bytes);
                if breaks {
                    state.breaks -= 1;
                    return None;
                }
                "202 Accepted\r\nLocation: /v2/a/b/blobs/uploads/1?state=1".to_owned()
            }
            ("GET", _) if state.remembers => {
                let last = state.upload.len() - 1;
                format!("204 No Content\r\nRange: 0-{last}\r\nLocation: /v2/a/b/blobs/uploads/1?state=2")
            }
            ("GET", _) => "404 Not Found".to_owned(),
            ("PUT", path) if path.contains("/manifests/") => {
                let mut bytes = vec![0; length];
                reader.read_exact(&mut bytes).ok()?;
                let tag = path.rsplit('/').next()?.to_owned();
                let kind = field("content-type")?.1.to_owned();
                state.manifests.insert(tag, (kind, bytes));
                "201 Created".to_owned()
            }
            ("PUT", path) => {
                let digest = path.split("digest=").nth(1)?.replace("%3A", ":");
                let blob = state.upload.clone();
                if Digest::of(&blob).as_str() == digest {
                    state.blobs.insert(digest, blob);
                    "201 Created".to_owned()
                } else {
                    "400 Bad Request".to_owned()
                }
            }
            _ => "405 Method Not Allowed".to_owned(),
        };
        stream.write_all(format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").as_bytes()).ok()
    }

    fn blob(folder: &tempfile::TempDir) -> (FileBlob, Vec<u8>) {
        let bytes: Vec<u8> = (0..3_000_001_u32).map(|at| u8::try_from(at % 253).unwrap()).collect();
        let path = folder.path().join("blob");
        std::fs::write(&path, &bytes).unwrap();
        (FileBlob { path, digest: Digest::of(&bytes), size: bytes.len() as u64 }, bytes)
    }

    fn uploader(host: &str) -> Uploader {
        Uploader::new(&ImageReference::parse(&format!("{host}/a/b:cache")).unwrap()).unwrap()
    }

    fn waiting<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(work)
    }

    #[test]
    fn an_upload_goes_on_where_it_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let (blob, bytes) = blob(&folder);
        let (host, state) = start(FakeRegistry { breaks: 3, remembers: true, ..FakeRegistry::default() });
        let uploader = uploader(&host);
        waiting(async {
            assert_eq!(uploader.blob(&blob).await.unwrap(), Arrival::Sent);
            assert_eq!(uploader.blob(&blob).await.unwrap(), Arrival::WasThere);
            uploader.manifest(b"{}", "application/x").await.unwrap();
        });
        let state = state.lock().unwrap();
        assert_eq!(state.blobs[blob.digest.as_str()], bytes);
        assert_eq!(state.offsets, [0, 1_500_000, 2_250_000, 2_625_000]);
        assert_eq!(state.manifests["cache"], ("application/x".to_owned(), b"{}".to_vec()));
    }

    #[test]
    fn an_upload_that_the_registry_forgot_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (blob, bytes) = blob(&folder);
        let (host, state) = start(FakeRegistry { breaks: 1, ..FakeRegistry::default() });
        assert_eq!(waiting(uploader(&host).blob(&blob)).unwrap(), Arrival::Sent);
        let state = state.lock().unwrap();
        assert_eq!((state.offsets.as_slice(), &state.blobs[blob.digest.as_str()]), (&[0, 0][..], &bytes));
    }

    #[test]
    fn what_changed_since_the_search_never_arrives_whole() {
        let folder = tempfile::tempdir().unwrap();
        let (blob, mut bytes) = blob(&folder);
        bytes[17] ^= 1;
        std::fs::write(&blob.path, &bytes).unwrap();
        let (host, state) = start(FakeRegistry::default());
        let failed = waiting(uploader(&host).blob(&blob));
        assert!(matches!(failed, Err(RegistryError::Blob(_))), "{failed:?}");
        assert!(state.lock().unwrap().blobs.is_empty());
    }

    #[test]
    fn the_end_of_a_range_says_how_much_arrived() {
        for (range, offset) in [("0-0", Some(0)), ("0-9", Some(10)), ("bytes=0-9", Some(10)), ("5-9", None), ("", None)]
        {
            assert_eq!(end_of_range(range), offset, "{range}");
        }
    }
}
