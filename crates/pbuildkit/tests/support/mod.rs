//! The engines of the tests, requests for builds, and the updates of builds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::{env, fs};

use pbuildkit::status::StatusUpdate;
use pbuildkit::{BuildError, BuildRequest, BuildResult, Builder, Local, NoTransform, Transform};
use pengine::{Endpoint, Engine};
use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

/// The engines that are supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavour {
    Modern,
    Containerd,
    Old,
}

impl Flavour {
    pub(crate) const ALL: [Self; 3] = [Self::Modern, Self::Containerd, Self::Old];
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run scripts/test"))
}

fn address(flavour: Flavour) -> String {
    variable(match flavour {
        Flavour::Modern => "PBUILD_TEST_MODERN",
        Flavour::Containerd => "PBUILD_TEST_CONTAINERD",
        Flavour::Old => "PBUILD_TEST_OLD",
    })
}

/// Connects to the engine of a flavour.
pub(crate) async fn engine(flavour: Flavour) -> Engine {
    let address = address(flavour);
    let endpoint = Endpoint::plain(&address).expect("the address is valid");
    Engine::connect(&endpoint).await.unwrap_or_else(|error| panic!("{address}: {error}"))
}

/// Connects to the BuildKit of the engine of a flavour.
pub(crate) async fn builder(flavour: Flavour) -> Builder {
    Builder::connect(&engine(flavour).await).await.expect("BuildKit is there")
}

/// A proxy between a client and an engine, which a test can cut.
pub(crate) struct Proxy {
    _folder: TempDir,
    socket: PathBuf,
    connections: Arc<Mutex<JoinSet<()>>>,
    listener: JoinHandle<()>,
}

impl Proxy {
    pub(crate) fn start(flavour: Flavour) -> Self {
        let folder = TempDir::new().expect("a folder can be made");
        let socket = folder.path().join("proxy.sock");
        let listener = UnixListener::bind(&socket).expect("the socket can be made");
        let target = address(flavour).strip_prefix("unix://").expect("the test engines have sockets").to_owned();
        let connections = Arc::new(Mutex::new(JoinSet::new()));
        let keeper = Arc::clone(&connections);
        let listener = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let target = target.clone();
                keeper.lock().expect("nobody panics with it").spawn(async move {
                    if let Ok(mut far) = UnixStream::connect(target).await {
                        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                    }
                });
            }
        });
        Self { _folder: folder, socket, connections, listener }
    }

    pub(crate) async fn builder(&self) -> Builder {
        let endpoint = Endpoint::plain(&format!("unix://{}", self.socket.display())).expect("the address is valid");
        let engine = Engine::connect(&endpoint).await.expect("the engine answers");
        Builder::connect(&engine).await.expect("BuildKit is there")
    }

    /// Cuts all connections, as a killed engine would.
    pub(crate) fn cut(&self) {
        self.listener.abort();
        self.connections.lock().expect("nobody panics with it").abort_all();
    }
}

/// Makes a request for a build of a Dockerfile in memory, with an empty context.
pub(crate) fn dockerfile(text: &str) -> BuildRequest {
    let mut request = BuildRequest::dockerfile();
    let files = BTreeMap::from([(PathBuf::from("Dockerfile"), text.as_bytes().to_vec())]);
    request.locals.insert("dockerfile".into(), Local::Files(files));
    request.locals.insert("context".into(), Local::Files(BTreeMap::new()));
    request
}

/// A build that ended, with its updates.
pub(crate) struct Built<E: std::error::Error + 'static = std::convert::Infallible> {
    pub(crate) outcome: Result<BuildResult, BuildError<E>>,
    pub(crate) updates: Vec<StatusUpdate>,
}

impl<E: std::error::Error> Built<E> {
    /// Returns the names of all steps.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.updates.iter().flat_map(|update| &update.vertices).map(|vertex| vertex.name.as_str()).collect()
    }

    /// Returns the output of all steps.
    pub(crate) fn log(&self) -> String {
        let bytes = self.updates.iter().flat_map(|update| &update.logs).flat_map(|log| log.bytes.clone());
        String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()).into_owned()
    }

    /// Returns the names of the steps whose results came from the cache.
    pub(crate) fn cached(&self) -> Vec<&str> {
        let vertices = self.updates.iter().flat_map(|update| &update.vertices);
        vertices.filter(|vertex| vertex.cached).map(|vertex| vertex.name.as_str()).collect()
    }
}

/// Builds as docker would.
pub(crate) async fn run(builder: &Builder, request: BuildRequest) -> Built {
    run_with(builder, request, None::<&mut NoTransform>).await
}

/// Builds with a transformation.
pub(crate) async fn run_with<T: Transform>(
    builder: &Builder,
    request: BuildRequest,
    transform: Option<&mut T>,
) -> Built<T::Error> {
    let (sender, mut receiver) = mpsc::channel(64);
    let collect = async {
        let mut updates = Vec::new();
        while let Some(update) = receiver.recv().await {
            updates.push(update);
        }
        updates
    };
    let (outcome, updates) = futures::join!(builder.build(request, transform, sender), collect);
    Built { outcome, updates }
}

/// Builds a directory with the real `docker buildx`, and returns the output.
pub(crate) fn buildx(flavour: Flavour, root: &Path, arguments: &[&str]) -> String {
    let line = variable("PBUILD_TEST_BUILDX");
    let mut words = line.split_whitespace();
    let program = words.next().expect("PBUILD_TEST_BUILDX names a program");
    let output = Command::new(program)
        .args(words)
        .args(["build", "--progress=plain"])
        .args(arguments)
        .arg(root)
        .env("DOCKER_HOST", address(flavour))
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}");
    text
}

/// Makes a word that no other test and no earlier run uses.
pub(crate) fn unique() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let random = fs::read_to_string("/proc/sys/kernel/random/uuid").expect("the kernel makes identifiers");
    format!("canary-{}-{}", COUNT.fetch_add(1, Ordering::Relaxed), random.trim())
}

/// Makes a number of seconds that no other process sleeps.
pub(crate) fn odd_number() -> u64 {
    1_000_000 + unique().bytes().fold(u64::from(std::process::id()), |sum, byte| (sum * 31 + u64::from(byte)) % 900_000)
}

/// Counts the processes of this machine whose command lines begin with this text (arguments end in NUL).
pub(crate) fn processes_with(text: &str) -> usize {
    let processes = fs::read_dir("/proc").expect("/proc is there").filter_map(Result::ok);
    let lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    lines.filter(|line| line.starts_with(text.as_bytes())).count()
}
