//! A context that is one archive. The engine fetches it from the session as if from a web server (BuildKit
//! `session/upload`).

use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bollard_buildkit_proto::moby::upload::v1::BytesMessage;
use bollard_buildkit_proto::moby::upload::v1::upload_server::Upload;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use crate::session::observer::{ContextObserver, Permission};
use crate::trouble::{Cause, Trouble};

/// The host of the URLs that the engine fetches from the session.
const HOST: &str = "buildkit-session";

/// The name under which the archive is shown to an observer.
const NAME: &str = "(archive)";

/// The number of bytes that are read and sent at a time.
const CHUNK: usize = 64 << 10;

/// An archive of a build's context, compressed or not, which can be read once.
#[derive(Clone)]
pub struct Archive {
    id: String,
    source: Arc<Mutex<Option<Box<dyn Read + Send>>>>,
}

impl Archive {
    /// Makes an archive, which is read when the engine requests it.
    #[must_use]
    pub fn new(source: impl Read + Send + 'static) -> Self {
        Self { id: uuid::Uuid::new_v4().simple().to_string(), source: Arc::new(Mutex::new(Some(Box::new(source)))) }
    }

    /// Returns the URL that the frontend gets as its `context`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{HOST}/{}", self.id)
    }
}

/// The upload service.
pub(crate) struct Uploads {
    pub(crate) archive: Option<Archive>,
    pub(crate) observer: Option<Arc<dyn ContextObserver>>,
    pub(crate) trouble: Arc<Trouble>,
}

impl Uploads {
    /// Returns the archive's bytes if the engine requests this archive for the first time.
    fn take(&self, metadata: &MetadataMap) -> Option<Box<dyn Read + Send>> {
        let value = |key: &str| metadata.get(key).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let archive = self.archive.as_ref()?;
        let ours = value("urlhost") == HOST && value("urlpath").trim_start_matches('/') == archive.id;
        ours.then(|| archive.source.lock().unwrap_or_else(PoisonError::into_inner).take()).flatten()
    }
}

type Chunks = mpsc::Sender<Result<BytesMessage, Status>>;

/// Reads the archive, shows the bytes to the observer and sends them, on a thread that may block.
fn send(
    mut source: Box<dyn Read + Send>,
    observer: Option<&dyn ContextObserver>,
    chunks: &Chunks,
) -> Result<(), Cause> {
    let stopped = || Cause::Stopped { local: "context".to_owned(), path: NAME.into() };
    let mut file = observer.map(|observer| observer.open("context", Path::new(NAME)));
    loop {
        let mut data = Vec::with_capacity(CHUNK);
        let read = source.by_ref().take(CHUNK as u64).read_to_end(&mut data);
        read.map_err(|source: io::Error| Cause::Source { path: NAME.into(), source })?;
        if data.is_empty() {
            break;
        }
        if file.as_mut().is_some_and(|file| file.bytes(&data) == Permission::Stop) {
            return Err(stopped());
        }
        if chunks.blocking_send(Ok(BytesMessage { data })).is_err() {
            // The engine closed the stream; the build reports the reason.
            return Ok(());
        }
    }
    if file.as_mut().is_some_and(|file| file.end() == Permission::Stop) {
        return Err(stopped());
    }
    Ok(())
}

#[tonic::async_trait]
impl Upload for Uploads {
    type PullStream = ReceiverStream<Result<BytesMessage, Status>>;

    async fn pull(&self, request: Request<Streaming<BytesMessage>>) -> Result<Response<Self::PullStream>, Status> {
        let source = self.take(request.metadata()).ok_or_else(|| Status::not_found("no such upload"))?;
        let (sender, receiver) = mpsc::channel(4);
        let (observer, trouble) = (self.observer.clone(), Arc::clone(&self.trouble));
        tokio::task::spawn_blocking(move || {
            if let Err(cause) = send(source, observer.as_deref(), &sender) {
                trouble.report(cause);
                // Without this error, the engine would take the part that was sent for the whole archive.
                let _ = sender.blocking_send(Err(Status::aborted("the client stopped the upload")));
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt as _;

    use super::*;
    use crate::session::observer::FileObserver;

    fn asked(host: &str, path: &str) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        metadata.insert("urlhost", host.parse().unwrap());
        metadata.insert("urlpath", path.parse().unwrap());
        metadata
    }

    fn uploads(content: &'static [u8]) -> (Uploads, String) {
        let archive = Archive::new(content);
        let path = archive.url().trim_start_matches("http://buildkit-session").to_owned();
        (Uploads { archive: Some(archive), observer: None, trouble: Arc::default() }, path)
    }

    #[test]
    fn only_the_address_that_the_build_names_has_an_archive_and_only_once() {
        let (uploads, path) = uploads(b"tar");
        assert!(uploads.take(&asked("elsewhere", &path)).is_none());
        assert!(uploads.take(&asked(HOST, "/other")).is_none());
        assert!(uploads.take(&asked(HOST, &path)).is_some());
        assert!(uploads.take(&asked(HOST, &path)).is_none());
    }

    struct StopsAtTheEnd;

    impl ContextObserver for StopsAtTheEnd {
        fn open(&self, local: &str, _: &Path) -> Box<dyn FileObserver> {
            assert_eq!(local, "context");
            Box::new(Self)
        }
    }

    impl FileObserver for StopsAtTheEnd {
        fn bytes(&mut self, _: &[u8]) -> Permission {
            Permission::Continue
        }

        fn end(&mut self) -> Permission {
            Permission::Stop
        }
    }

    struct Broken;

    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }

    #[tokio::test]
    async fn bytes_arrive_in_order_and_a_reader_or_an_observer_that_gives_up_ends_the_upload() {
        let content: Vec<u8> = (0..300_000_u32).map(|number| number.to_le_bytes()[0]).collect();
        for (source, observer, whole) in [
            (Box::new(io::Cursor::new(content.clone())) as Box<dyn Read + Send>, None, true),
            (Box::new(io::Cursor::new(content.clone())), Some(&StopsAtTheEnd as &'static dyn ContextObserver), false),
            (Box::new(Broken), None, false),
        ] {
            let (sender, receiver) = mpsc::channel(64);
            let sent = tokio::task::spawn_blocking(move || send(source, observer, &sender)).await.unwrap();
            assert_eq!(sent.is_ok(), whole);
            let messages: Vec<_> = ReceiverStream::new(receiver).collect().await;
            let got: Vec<u8> = messages.into_iter().flat_map(|message| message.unwrap().data).collect();
            assert!(!whole || got == content);
        }
    }
}
