//! The sender's part of a transfer: it sends the list of entries, and then each file that the engine requests, until
//! the engine has everything.

use std::collections::HashMap;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::{Bytes, BytesMut};
use futures::Stream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::filesync::local::Local;
use crate::filesync::query::Query;
use crate::filesync::tree::{DiskTree, MemoryTree, Tree};
use crate::filesync::walk::{Filter, WalkError, walk};
use crate::filesync::wire::{Packet, PacketKind};
use crate::filesync::{Shared, follow};
use crate::ignore::Matcher;
use crate::session::observer::Permission;
use crate::trouble::Cause;

/// The bytes of a file in one packet, as in fsutil.
const CHUNK: usize = 32 << 10;
/// The most packets that wait for the network. 64 packets of 32 KiB bound the memory of a transfer at 2 MiB.
const WAITING_PACKETS: usize = 64;
/// The number of files that are read at the same time.
const READERS: usize = 4;
/// The most bytes that are sent beyond a file's listed size. Without the limit, a file that grows faster than it is
/// sent would never end.
const GROWTH_LIMIT: u64 = 1 << 30;

type Packets = mpsc::Sender<Result<Packet, Status>>;

/// A file that the engine may request.
struct Offered {
    path: Vec<u8>,
    size: u64,
}

struct Transfer {
    shared: Arc<Shared>,
    local: String,
    tree: Arc<dyn Tree>,
    /// The offered files, by the index of their entries.
    offered: Mutex<HashMap<u32, Offered>>,
    /// The first entry whose name is not UTF-8. Docker's receivers, at least up to version 28, end the transfer at
    /// such a name.
    odd_name: OnceLock<Vec<u8>>,
    packets: Packets,
}

/// The error of a transfer whose receiver is gone.
struct Gone;

/// The reason why a file was not sent to its end.
enum FileError {
    Gone,
    Read(io::Error),
    Stopped,
}

/// Starts a transfer. The stream ends when the transfer ends.
///
/// # Errors
///
/// Returns an error if the engine requests a local that does not exist, or if its patterns are not valid.
pub(super) async fn send(
    shared: &Arc<Shared>,
    query: Query,
    requests: Streaming<Packet>,
) -> Result<impl Stream<Item = Result<Packet, Status>> + Send + use<>, Status> {
    let no_access = || Status::not_found(format!("no access allowed to dir {:?}", query.local));
    let local = shared.locals.get(&query.local).cloned().ok_or_else(no_access)?;
    let (packets, stream) = mpsc::channel(WAITING_PACKETS);
    let reporting = Arc::clone(shared);
    let name = query.local.clone();
    let prepared = tokio::task::spawn_blocking(move || prepare(&local, &query)).await;
    let (tree, filter) = match prepared.map_err(|_| Status::internal("reading a local failed"))? {
        Ok(prepared) => prepared,
        Err(PrepareError::Pattern(text)) => return Err(Status::invalid_argument(text)),
        Err(PrepareError::Source(cause)) => {
            let status = Status::internal(words(&cause));
            reporting.trouble.report(cause);
            return Err(status);
        }
    };
    let transfer = Arc::new(Transfer {
        shared: reporting,
        local: name,
        tree,
        offered: Mutex::new(HashMap::new()),
        odd_name: OnceLock::new(),
        packets,
    });
    let walker = Arc::clone(&transfer);
    // Both tasks end with the stream, because their packets can no longer be sent.
    tokio::task::spawn_blocking(move || walker.list(&filter));
    tokio::spawn(answer(transfer, requests));
    Ok(ReceiverStream::new(stream))
}

enum PrepareError {
    Pattern(String),
    Source(Cause),
}

fn prepare(local: &Local, query: &Query) -> Result<(Arc<dyn Tree>, Filter), PrepareError> {
    let unreadable = |path: &Path, source| PrepareError::Source(Cause::Source { path: path.to_owned(), source });
    let (tree, root): (Arc<dyn Tree>, &Path) = match local {
        Local::Directory(root) => (Arc::new(DiskTree::new(root).map_err(|error| unreadable(root, error))?), root),
        Local::Files(files) => (Arc::new(MemoryTree::new(files)), Path::new("")),
    };
    let include = follow::include_patterns(tree.as_ref(), query.include.clone(), &query.follow)
        .map_err(|error| unreadable(root, error))?;
    let matcher =
        |patterns: &[String]| Matcher::new(patterns).map_err(|error| PrepareError::Pattern(error.to_string()));
    let include = include.map(|patterns| matcher(&patterns)).transpose()?.filter(|matcher| !matcher.is_empty());
    let exclude = Some(matcher(&query.exclude)?).filter(|matcher| !matcher.is_empty());
    Ok((tree, Filter { include, exclude }))
}

impl Transfer {
    /// Sends the list of entries, on a thread that may block.
    fn list(&self, filter: &Filter) {
        let mut index: u32 = 0;
        let outcome = walk(self.tree.as_ref(), filter, |stat, has_bytes| {
            // A hard link shares the bytes of its first name, so the engine never requests them.
            if has_bytes {
                let offered = Offered { path: stat.path.clone(), size: u64::try_from(stat.size).unwrap_or_default() };
                self.offered.lock().unwrap_or_else(PoisonError::into_inner).insert(index, offered);
            }
            if std::str::from_utf8(&stat.path).is_err() {
                self.odd_name.get_or_init(|| stat.path.clone());
            }
            index = index.checked_add(1).ok_or(WalkError::Enough)?;
            self.shared.sent.entries.fetch_add(1, Ordering::Relaxed);
            self.packets.blocking_send(Ok(Packet::entry(stat))).map_err(|_| WalkError::Enough)
        });
        match outcome {
            // If the receiver is gone, the transfer has ended, and sending this packet fails without consequence.
            Ok(()) | Err(WalkError::Enough) => {
                let _ = self.packets.blocking_send(Ok(Packet::end_of_entries()));
            }
            Err(WalkError::Entry { path, source }) => {
                let cause = Cause::Source { path: self.tree.display(&path), source };
                let _ = tokio::runtime::Handle::current().block_on(self.give_up(cause));
            }
        }
    }

    /// Reports the first name that is not UTF-8 after the receiver has left. The build's own error usually has the
    /// reason, but not the name that the engine refused.
    fn explain_end(&self) {
        if let Some(path) = self.odd_name.get() {
            let source = io::Error::new(io::ErrorKind::InvalidFilename, "the engine takes only names in UTF-8");
            self.shared.trouble.report(Cause::Source { path: self.tree.display(path), source });
        }
    }

    /// Reports the cause of a failed transfer to the build and to the receiver.
    async fn give_up(&self, cause: Cause) -> Result<(), Gone> {
        let words = words(&cause);
        // The build gets the cause first, so that people read it instead of the receiver's error.
        self.shared.trouble.report(cause);
        self.packets.send(Ok(Packet::error(&words))).await.map_err(|_| Gone)?;
        self.packets.send(Err(Status::aborted(words))).await.map_err(|_| Gone)
    }

    /// Sends one file, on a thread that may block.
    fn send_file(&self, id: u32, file: &Offered) -> Result<(), FileError> {
        let mut source = match self.tree.open(&file.path) {
            Ok(source) => source,
            // As with docker's clients, a file that vanished after it was listed arrives empty.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Box::new(io::empty()),
            Err(error) => return Err(FileError::Read(error)),
        };
        let path = Path::new(std::ffi::OsStr::from_bytes(&file.path));
        let mut observer = self.shared.observer.as_ref().map(|observer| observer.open(&self.local, path));
        self.shared.sent.files.fetch_add(1, Ordering::Relaxed);
        let mut left = file.size.saturating_add(GROWTH_LIMIT);
        loop {
            let chunk = read_chunk(source.as_mut(), left).map_err(FileError::Read)?;
            if chunk.is_empty() {
                break;
            }
            let length = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
            left = left.saturating_sub(length);
            if observer.as_mut().is_some_and(|observer| observer.bytes(&chunk) == Permission::Stop) {
                return Err(FileError::Stopped);
            }
            self.shared.sent.bytes.fetch_add(length, Ordering::Relaxed);
            self.packets.blocking_send(Ok(Packet::data(id, chunk))).map_err(|_| FileError::Gone)?;
        }
        if observer.as_mut().is_some_and(|observer| observer.end() == Permission::Stop) {
            return Err(FileError::Stopped);
        }
        self.packets.blocking_send(Ok(Packet::data(id, Bytes::new()))).map_err(|_| FileError::Gone)
    }
}

/// Reads a full chunk, or the rest of the file.
fn read_chunk(source: &mut dyn Read, left: u64) -> io::Result<Bytes> {
    let size = CHUNK.min(usize::try_from(left).unwrap_or(CHUNK));
    let mut chunk = BytesMut::zeroed(size);
    let mut filled = 0;
    while filled < size {
        match source.read(&mut chunk[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    chunk.truncate(filled);
    Ok(chunk.freeze())
}

/// Answers the engine's requests until the engine is done.
async fn answer(transfer: Arc<Transfer>, mut requests: Streaming<Packet>) {
    // The queue needs no limit of its own: each offered file can be requested only once.
    let (queue, waiting) = mpsc::unbounded_channel::<(u32, Offered)>();
    let waiting = Arc::new(tokio::sync::Mutex::new(waiting));
    for _ in 0..READERS {
        tokio::spawn(read_files(Arc::clone(&transfer), Arc::clone(&waiting)));
    }
    loop {
        let packet = match requests.message().await {
            Ok(Some(packet)) => packet,
            Ok(None) | Err(_) => return transfer.explain_end(),
        };
        match PacketKind::try_from(packet.kind) {
            Ok(PacketKind::Request) => {
                let file = transfer.offered.lock().unwrap_or_else(PoisonError::into_inner).remove(&packet.id);
                let Some(file) = file else {
                    let status = Status::invalid_argument(format!("invalid file id {}", packet.id));
                    let _ = transfer.packets.send(Err(status)).await;
                    return;
                };
                if queue.send((packet.id, file)).is_err() {
                    return;
                }
            }
            Ok(PacketKind::Finish) => {
                let _ = transfer.packets.send(Ok(Packet::finish())).await;
                return;
            }
            Ok(PacketKind::Error) => return,
            Ok(PacketKind::Stat | PacketKind::Data) | Err(_) => {}
        }
    }
}

/// Reads files from the queue until the queue is closed. Several of these tasks run at once.
async fn read_files(
    transfer: Arc<Transfer>,
    waiting: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<(u32, Offered)>>>,
) {
    loop {
        let next = waiting.lock().await.recv().await;
        let Some((id, file)) = next else { return };
        let reader = Arc::clone(&transfer);
        let outcome = tokio::task::spawn_blocking(move || {
            let outcome = reader.send_file(id, &file);
            (outcome, file)
        });
        let Ok((outcome, file)) = outcome.await else { return };
        let cause = match outcome {
            Ok(()) => continue,
            Err(FileError::Gone) => return,
            Err(FileError::Read(source)) => Cause::Source { path: transfer.tree.display(&file.path), source },
            Err(FileError::Stopped) => {
                let path = Path::new(std::ffi::OsStr::from_bytes(&file.path)).to_owned();
                Cause::Stopped { local: transfer.local.clone(), path }
            }
        };
        let _ = transfer.give_up(cause).await;
        return;
    }
}

/// Describes a cause for the engine's log. The path is left out, because a file may be named after a secret.
fn words(cause: &Cause) -> String {
    match cause {
        Cause::Source { source, .. } => format!("a local file cannot be read: {}", source.kind()),
        Cause::Destination { .. } | Cause::Stopped { .. } => "the client stopped the transfer".to_owned(),
    }
}
