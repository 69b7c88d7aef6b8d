//! A receiver in memory tests the real sender, over a real session on a pipe.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bollard_buildkit_proto::health::HealthCheckRequest;
use bollard_buildkit_proto::health::health_client::HealthClient;
use futures::future::BoxFuture;
use hyper_util::rt::TokioIo;
use pengine::Registries;
use proptest::prelude::*;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

use super::tree::{DiskTree, Entry, Tree};
use super::walk::{Filter, WalkError, walk};
use super::wire::{Packet, PacketKind, Stat, mode};
use super::*;
use crate::ignore::Matcher;
use crate::session::observer::{FileObserver, Permission};
use crate::session::receive::Results;
use crate::session::secrets::{NoSecrets, SecretGate};
use crate::session::ssh::Agents;
use crate::session::upload::Uploads;
use crate::session::{Services, serve};
use crate::trouble::{Cause, Trouble};

/// The entries and files that a receiver got.
#[derive(Default)]
struct Received {
    entries: Vec<Stat>,
    files: BTreeMap<Vec<u8>, Vec<u8>>,
    finished: Vec<Vec<u8>>,
    error: Option<tonic::Status>,
}

impl Received {
    fn paths(&self) -> Vec<String> {
        self.entries.iter().map(|entry| String::from_utf8_lossy(&entry.path).into_owned()).collect()
    }

    fn entry(&self, path: &str) -> &Stat {
        self.entries.iter().find(|entry| entry.path == path.as_bytes()).unwrap()
    }
}

struct Session {
    channel: Channel,
    trouble: Arc<Trouble>,
    sent: Arc<Counters>,
}

async fn session(local: Local, observer: Option<Arc<dyn ContextObserver>>) -> Session {
    let (ours, theirs) = tokio::io::duplex(256 << 10);
    let (trouble, sent) = (Arc::new(Trouble::default()), Arc::new(Counters::default()));
    let locals = BTreeMap::from([("context".to_owned(), local)]);
    let services = Services {
        content: crate::session::content::ContentStores::default(),
        files: FileSync::new(locals, observer, Arc::clone(&trouble), Arc::clone(&sent)),
        secrets: Arc::new(SecretGate::only(Arc::new(NoSecrets), [])),
        registries: Registries::anonymous(),
        agents: Agents::default(),
        uploads: Uploads { archive: None, observer: None, trouble: Arc::default() },
        results: Results { receivers: Arc::default(), trouble: Arc::default() },
    };
    tokio::spawn(serve(ours, services));
    let mut theirs = Some(theirs);
    let connector = tower::service_fn(move |_: http::Uri| {
        let stream = theirs.take();
        async move { stream.map(TokioIo::new).ok_or_else(|| io::Error::other("one connection only")) }
    });
    let channel = Endpoint::from_static("http://engine").connect_with_connector(connector).await.unwrap();
    Session { channel, trouble, sent }
}

/// The behaviour of a receiver.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    /// The receiver requests every file, like an engine that has no files.
    AskAll,
    /// The receiver requests no file, like an engine that has all files.
    AskNothing,
    /// The receiver requests a file that was never offered.
    AskWrong,
    /// The receiver reads each packet late.
    Slow,
}

/// Plays the receiver's half of a transfer.
fn receive<'s>(
    session: &'s Session,
    metadata: &'s [(&'static str, &'s str)],
    manner: Manner,
) -> BoxFuture<'s, Received> {
    Box::pin(async move {
        let (requests, outgoing) = mpsc::channel::<Packet>(1024);
        let mut request = tonic::Request::new(ReceiverStream::new(outgoing));
        if !metadata.iter().any(|(name, _)| *name == "dir-name") {
            request.metadata_mut().insert("dir-name", "context".parse().unwrap());
        }
        for (name, value) in metadata {
            request.metadata_mut().append(*name, value.parse().unwrap());
        }
        let mut client = tonic::client::Grpc::new(session.channel.clone());
        client.ready().await.unwrap();
        let path = http::uri::PathAndQuery::from_static("/moby.filesync.v1.FileSync/DiffCopy");
        let mut received = Received::default();
        let mut stream = match client.streaming(request, path, ProstCodec::<Packet, Packet>::default()).await {
            Ok(response) => response.into_inner(),
            Err(status) => {
                received.error = Some(status);
                return received;
            }
        };
        let mut names = BTreeMap::new();
        let mut waiting = 0;
        let mut listed = false;
        loop {
            let packet = match stream.message().await {
                Ok(Some(packet)) => packet,
                Ok(None) => return received,
                Err(status) => {
                    received.error = Some(status);
                    return received;
                }
            };
            if manner == Manner::Slow {
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
            match PacketKind::try_from(packet.kind).unwrap() {
                PacketKind::Stat => match packet.stat {
                    Some(stat) => {
                        let index = u32::try_from(received.entries.len()).unwrap();
                        let special = mode::DIRECTORY | mode::SYMLINK | mode::DEVICE | mode::NAMED_PIPE;
                        if stat.mode & special == 0 && stat.link.is_empty() && manner != Manner::AskNothing {
                            let id = if manner == Manner::AskWrong { index + 1_000_000 } else { index };
                            names.insert(index, stat.path.clone());
                            waiting += 1;
                            let ask = Packet { kind: PacketKind::Request.into(), id, ..Packet::default() };
                            requests.send(ask).await.unwrap();
                        }
                        received.entries.push(stat);
                    }
                    None => listed = true,
                },
                PacketKind::Data => {
                    let name = names[&packet.id].clone();
                    if packet.data.is_empty() {
                        received.finished.push(name);
                        waiting -= 1;
                    } else {
                        received.files.entry(name).or_default().extend_from_slice(&packet.data);
                    }
                }
                PacketKind::Finish => return received,
                PacketKind::Error | PacketKind::Request => {}
            }
            if listed && waiting == 0 {
                requests.send(Packet::finish()).await.unwrap();
            }
        }
    })
}

async fn transfer(local: Local, metadata: &[(&'static str, &str)]) -> Received {
    let session = session(local, None).await;
    let received = receive(&session, metadata, Manner::AskAll).await;
    assert!(received.error.is_none(), "{:?}", received.error);
    received
}

fn write(root: &Path, path: &str, bytes: &[u8]) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn b21_a_directory_arrives_as_it_is() {
    let folder = TempDir::new().unwrap();
    let root = folder.path();
    let large: Vec<u8> = (0..200_000u32).flat_map(u32::to_le_bytes).collect();
    write(root, "large", &large);
    write(root, "a-b/file", b"1");
    write(root, "a/file", b"2");
    write(root, "empty", b"");
    fs::create_dir(root.join("folder")).unwrap();
    symlink("a/file", root.join("link")).unwrap();
    symlink("/outside", root.join("outside")).unwrap();
    fs::hard_link(root.join("a/file"), root.join("second name")).unwrap();
    fs::set_permissions(root.join("empty"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::set_permissions(root.join("folder"), fs::Permissions::from_mode(0o3770)).unwrap();
    let _socket = UnixListener::bind(root.join("socket")).unwrap();
    let odd = OsStr::from_bytes(b"odd-\xff\xfe");
    fs::write(root.join(odd), "odd").unwrap();

    let received = transfer(Local::Directory(root.into()), &[]).await;
    let odd_text = "odd-\u{fffd}\u{fffd}";
    // `a` and its entries come before `a-b`, although `a-b` is smaller than `a/file` as text.
    let expected = [
        "a",
        "a/file",
        "a-b",
        "a-b/file",
        "empty",
        "folder",
        "large",
        "link",
        odd_text,
        "outside",
        "second name",
        "socket",
    ];
    assert_eq!(received.paths(), expected);
    assert_eq!(received.files[b"large".as_slice()], large);
    assert_eq!(received.files[b"odd-\xff\xfe".as_slice()], b"odd");
    assert_eq!(received.entry("empty").mode, 0o755 | mode::SET_USER);
    // Docker's own clients send a socket as an empty file, too.
    assert_eq!(received.entry("socket").mode & !0o777, 0);
    assert!(!received.files.contains_key(b"socket".as_slice()));
    assert_eq!(received.entry("folder").mode, 0o770 | mode::SET_GROUP | mode::STICKY | mode::DIRECTORY);
    assert_eq!(received.entry("link").link, b"a/file");
    assert_eq!(received.entry("outside").link, b"/outside");
    assert_eq!(received.entry("second name").link, b"a/file");
    assert!(!received.files.contains_key(b"second name".as_slice()));
    assert!(received.entries.iter().all(|entry| entry.uid == 0 && entry.gid == 0));
    let modified = fs::metadata(root.join("large")).unwrap().modified().unwrap();
    let modified = modified.duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    assert_eq!(u128::try_from(received.entry("large").modified).unwrap(), modified);
}

#[tokio::test]
async fn what_the_engine_has_is_not_sent_again() {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "file", b"bytes");
    let session = session(Local::Directory(folder.path().into()), None).await;
    let received = receive(&session, &[], Manner::AskNothing).await;
    assert!(received.error.is_none() && received.files.is_empty());
    assert_eq!(session.sent.read(), TransferCount { entries: 1, files: 0, bytes: 0 });
}

#[tokio::test]
async fn ignored_files_are_left_out_and_re_included_ones_come_with_their_folders() {
    let folder = TempDir::new().unwrap();
    for path in ["keep", "logs/a", "logs/deep/keep", "logs/deep/drop", "vendor/x/y", "empty/z"] {
        write(folder.path(), path, b"x");
    }
    let patterns = [
        ("exclude-patterns", "logs"),
        ("exclude-patterns", "!logs/deep/keep"),
        ("exclude-patterns", "vendor"),
        ("exclude-patterns", "empty/*"),
    ];
    let received = transfer(Local::Directory(folder.path().into()), &patterns).await;
    assert_eq!(received.paths(), ["empty", "keep", "logs", "logs/deep", "logs/deep/keep"]);
}

#[tokio::test]
async fn only_what_is_named_is_sent_with_links_followed() {
    let folder = TempDir::new().unwrap();
    for path in ["a/b/c", "a/b/d", "other", "releases/1/app"] {
        write(folder.path(), path, b"x");
    }
    symlink("releases/1", folder.path().join("current")).unwrap();
    let named = [("followpaths", "current/app"), ("include-patterns", "a/b/c")];
    let received = transfer(Local::Directory(folder.path().into()), &named).await;
    assert_eq!(received.paths(), ["a", "a/b", "a/b/c", "current", "releases", "releases/1", "releases/1/app"]);
}

#[tokio::test]
async fn a_hard_link_whose_first_name_is_ignored_is_a_file_of_its_own() {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "first", b"same");
    for name in ["second", "third"] {
        fs::hard_link(folder.path().join("first"), folder.path().join(name)).unwrap();
    }
    let received = transfer(Local::Directory(folder.path().into()), &[("exclude-patterns", "first")]).await;
    assert_eq!(received.entry("second").link, b"");
    assert_eq!(received.entry("third").link, b"second");
    assert_eq!(received.files[b"second".as_slice()], b"same");
}

#[tokio::test]
async fn b25_files_from_memory_are_sent_like_any_other() {
    let files = BTreeMap::from([
        (PathBuf::from("Dockerfile"), b"FROM scratch".to_vec()),
        (PathBuf::from("deep/down/file"), b"x".to_vec()),
    ]);
    let received = transfer(Local::Files(files.clone()), &[]).await;
    assert_eq!(received.paths(), ["Dockerfile", "deep", "deep/down", "deep/down/file"]);
    assert_eq!(received.files[b"Dockerfile".as_slice()], b"FROM scratch");
    let named =
        [("followpaths", "Dockerfile"), ("followpaths", "Dockerfile.dockerignore"), ("followpaths", "dockerfile")];
    assert_eq!(transfer(Local::Files(files), &named).await.paths(), ["Dockerfile"]);
}

#[tokio::test]
async fn b25_two_files_of_one_name_and_length_in_memory_never_look_alike() {
    let time = async |text: &str| {
        let files = BTreeMap::from([(PathBuf::from("Dockerfile"), text.as_bytes().to_vec())]);
        transfer(Local::Files(files), &[]).await.entry("Dockerfile").modified
    };
    assert_ne!(time("FROM a").await, time("FROM b").await);
    assert_eq!(time("FROM a").await, time("FROM a").await);
}

#[tokio::test]
async fn a_local_that_does_not_exist_is_refused() {
    let session = session(Local::Files(BTreeMap::new()), None).await;
    let received = receive(&session, &[("dir-name", "other")], Manner::AskAll).await;
    assert_eq!(received.error.unwrap().code(), tonic::Code::NotFound);
    assert!(session.trouble.take().is_none());
    let missing = PathBuf::from("/nonexistent/context");
    let session = super::tests::session(Local::Directory(missing.clone()), None).await;
    let received = receive(&session, &[], Manner::AskAll).await;
    assert!(received.error.is_some());
    assert!(matches!(session.trouble.take(), Some(Cause::Source { path, .. }) if path == missing));
}

#[tokio::test]
async fn a_file_that_was_not_offered_is_never_sent() {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "file", b"x");
    let session = session(Local::Directory(folder.path().into()), None).await;
    let received = receive(&session, &[], Manner::AskWrong).await;
    assert_eq!(received.error.unwrap().code(), tonic::Code::InvalidArgument);
}

/// Stops a transfer at a needle, as a search for secrets would.
struct StopAt(&'static [u8]);
struct NeedleWatch(Vec<u8>, &'static [u8]);

impl ContextObserver for StopAt {
    fn open(&self, local: &str, _: &Path) -> Box<dyn FileObserver> {
        assert_eq!(local, "context");
        Box::new(NeedleWatch(Vec::new(), self.0))
    }
}

impl FileObserver for NeedleWatch {
    fn bytes(&mut self, bytes: &[u8]) -> Permission {
        self.0.extend_from_slice(bytes);
        if self.0.windows(self.1.len()).any(|window| window == self.1) {
            Permission::Stop
        } else {
            Permission::Continue
        }
    }

    fn end(&mut self) -> Permission {
        if self.0.ends_with(b"last") { Permission::Stop } else { Permission::Continue }
    }
}

#[tokio::test]
async fn b22_an_observer_stops_a_file_before_its_end_is_sent() {
    let mut late = vec![b'x'; 300_000];
    late.extend_from_slice(b"canary-4f0a");
    late.extend_from_slice(&[b'x'; 100_000]);
    for bytes in [b"canary-4f0a".to_vec(), late, b"the end is the last".to_vec()] {
        let folder = TempDir::new().unwrap();
        write(folder.path(), "config", &bytes);
        let observer: Arc<dyn ContextObserver> = Arc::new(StopAt(b"canary-4f0a"));
        let session = session(Local::Directory(folder.path().into()), Some(observer)).await;
        let received = receive(&session, &[], Manner::AskAll).await;
        assert!(received.finished.is_empty());
        let got = received.files.get(b"config".as_slice()).cloned().unwrap_or_default();
        assert!(!got.windows(11).any(|window| window == b"canary-4f0a"));
        let status = received.error.unwrap();
        assert!(!status.message().contains("config"), "{status}");
        let cause = session.trouble.take();
        assert!(
            matches!(cause, Some(Cause::Stopped { local, path }) if local == "context" && path == Path::new("config"))
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn b5_the_session_says_that_it_lives_while_it_sends() {
    let folder = TempDir::new().unwrap();
    for number in 0..200 {
        write(folder.path(), &format!("file-{number}"), &vec![b'x'; 100_000]);
    }
    let session = session(Local::Directory(folder.path().into()), None).await;
    let mut health = HealthClient::new(session.channel.clone());
    let busy = receive(&session, &[], Manner::Slow);
    let ask = async {
        let mut slowest = Duration::ZERO;
        for _ in 0..20 {
            let started = Instant::now();
            health.check(HealthCheckRequest::default()).await.unwrap();
            slowest = slowest.max(started.elapsed());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        slowest
    };
    let (received, slowest) = tokio::join!(busy, ask);
    assert_eq!(received.finished.len(), 200);
    assert_eq!(session.sent.read(), TransferCount { entries: 200, files: 200, bytes: 20_000_000 });
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
}

/// A tree with a folder that cannot be listed, and a file that cannot be opened.
struct Broken {
    inner: DiskTree,
    list: bool,
}

impl Tree for Broken {
    fn names(&self, directory: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        if self.list && directory == b"closed" {
            return Err(io::Error::from(io::ErrorKind::PermissionDenied));
        }
        self.inner.names(directory)
    }

    fn entry(&self, path: &[u8]) -> io::Result<Entry> {
        self.inner.entry(path)
    }

    fn open(&self, path: &[u8]) -> io::Result<Box<dyn Read + Send>> {
        self.inner.open(path)
    }

    fn display(&self, path: &[u8]) -> PathBuf {
        self.inner.display(path)
    }
}

#[test]
fn b21_a_directory_that_cannot_be_read_is_an_error_with_its_path_unless_it_is_ignored() {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "closed/file", b"x");
    let tree = Broken { inner: DiskTree::new(folder.path()).unwrap(), list: true };
    let outcome = walk(&tree, &Filter::default(), |_, _| Ok(()));
    assert!(matches!(outcome, Err(WalkError::Entry { path, .. }) if path == b"closed"));
    // The folder is ignored, and is only read because a pattern might reverse that. That it cannot be listed is not
    // an error here.
    let exclude = Some(Matcher::new(&["closed", "!closed/other"]).unwrap());
    assert!(walk(&tree, &Filter { include: None, exclude }, |_, _| Ok(())).is_ok());
}

#[tokio::test]
async fn b21_a_file_that_disappears_while_it_is_sent_arrives_empty_as_with_docker() {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "file", b"x");
    let session = session(Local::Directory(folder.path().into()), None).await;
    // The list of entries is sent before the file is requested.
    let (requests, outgoing) = mpsc::channel::<Packet>(4);
    let mut request = tonic::Request::new(ReceiverStream::new(outgoing));
    request.metadata_mut().insert("dir-name", "context".parse().unwrap());
    let mut client = tonic::client::Grpc::new(session.channel.clone());
    client.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static("/moby.filesync.v1.FileSync/DiffCopy");
    let codec = ProstCodec::<Packet, Packet>::default();
    let mut stream = client.streaming(request, path, codec).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().unwrap().stat.is_some());
    fs::remove_file(folder.path().join("file")).unwrap();
    requests.send(Packet { kind: PacketKind::Request.into(), ..Packet::default() }).await.unwrap();
    let mut data = Vec::new();
    while let Some(packet) = stream.message().await.unwrap() {
        match PacketKind::try_from(packet.kind).unwrap() {
            PacketKind::Data => {
                data.push(packet.data.len());
                requests.send(Packet::finish()).await.unwrap();
            }
            PacketKind::Finish => break,
            _ => {}
        }
    }
    assert_eq!(data, [0], "an end, and nothing before it");
    assert!(session.trouble.take().is_none());
}

#[test]
fn b21_a_file_that_was_swapped_for_a_link_is_not_followed_out_of_the_directory() {
    let (folder, outside) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    write(outside.path(), "secret", b"outside");
    write(folder.path(), "file", b"x");
    let tree = DiskTree::new(folder.path()).unwrap();
    fs::remove_file(folder.path().join("file")).unwrap();
    symlink(outside.path().join("secret"), folder.path().join("file")).unwrap();
    symlink(outside.path(), folder.path().join("folder")).unwrap();
    assert!(tree.open(b"file").is_err());
    assert!(tree.open(b"folder/secret").is_err());
}

#[test]
fn b21_a_pipe_is_listed_and_never_opened() {
    let folder = TempDir::new().unwrap();
    let pipe = folder.path().join("pipe");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let tree = DiskTree::new(folder.path()).unwrap();
    let mut seen = Vec::new();
    walk(&tree, &Filter::default(), |stat, has_bytes| {
        seen.push((stat.mode, has_bytes));
        Ok(())
    })
    .unwrap();
    assert_eq!(seen, [(super::wire::mode::NAMED_PIPE | 0o600, false)]);
    // If the pipe took the place of a file, opening it would not wait for a writer.
    assert!(tree.open(b"pipe").is_err());
}

#[test]
fn b21_three_hundred_folders_deep_is_walked() {
    let folder = TempDir::new().unwrap();
    let deep = vec!["d"; 300].join("/");
    write(folder.path(), &format!("{deep}/file"), b"x");
    let tree = DiskTree::new(folder.path()).unwrap();
    let mut count = 0;
    walk(&tree, &Filter::default(), |_, _| {
        count += 1;
        Ok(())
    })
    .unwrap();
    assert_eq!(count, 301);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// For any tree and any patterns, parents come before children, the names of a directory are sorted, and the
    /// receiver's own checks of the order pass.
    #[test]
    fn entries_come_in_the_order_that_the_receiver_demands(
        paths in proptest::collection::btree_set("[a-c.\\-]{1,2}(/[a-c.\\-]{1,2}){0,3}", 1..12),
        excluded in proptest::collection::vec("!?[a-c*]{1,2}(/[a-c*]{1,2})?", 0..3),
    ) {
        let files: BTreeMap<PathBuf, Vec<u8>> = paths
            .iter()
            .filter(|path| !path.split('/').any(|part| part == "." || part == ".."))
            .filter(|path| !paths.iter().any(|other| other.starts_with(&format!("{path}/"))))
            .map(|path| (PathBuf::from(path), b"x".to_vec()))
            .collect();
        let tree = super::tree::MemoryTree::new(&files);
        let exclude = Matcher::new(&excluded).ok().filter(|matcher| !matcher.is_empty());
        let mut parents: Vec<(Vec<u8>, Vec<u8>)> = vec![(Vec::new(), Vec::new())];
        walk(&tree, &Filter { include: None, exclude }, |stat, _| {
            let (folder, name) = match stat.path.iter().rposition(|byte| *byte == b'/') {
                Some(index) => (stat.path[..index].to_vec(), stat.path[index + 1..].to_vec()),
                None => (Vec::new(), stat.path.clone()),
            };
            while parents.last().is_some_and(|(path, _)| *path != folder) {
                parents.pop();
            }
            let last = parents.last_mut().expect("the folder was sent before");
            assert!(last.1 < name, "{:?} after {:?}", stat.path, last.1);
            last.1 = name;
            if stat.mode & mode::DIRECTORY != 0 {
                parents.push((stat.path, Vec::new()));
            }
            Ok(())
        })
        .unwrap();
    }
}
