//! Relays for tests: an engine's BuildKit at an address of its own, and an engine with TLS.
//!
//! A relay of BuildKit passes each connection on to the engine's `POST /grpc`, so that the client talks to a real
//! BuildKit but reaches nothing else of the engine. A relay of an engine passes connections on unchanged.

use std::fs;
use std::io;
use std::net::{IpAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use ptest::Engine;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

/// The name in the certificate of a relay with TLS, which differs from the relay's address.
pub const SERVER: &str = "buildkitd.test";

const UPGRADE: &[u8] = b"POST /grpc HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";

/// The destination of a relay's connections.
#[derive(Clone, Copy, Debug)]
enum Door {
    /// Only the engine's BuildKit.
    BuildKit,
    /// The whole engine.
    Engine,
}

/// A relay, which ends when it is dropped.
#[derive(Debug)]
pub struct BuilderRelay {
    folder: tempfile::TempDir,
    address: String,
    _runtime: Runtime,
}

impl BuilderRelay {
    /// Starts a relay of BuildKit on a socket.
    ///
    /// # Panics
    ///
    /// Panics if the relay cannot listen.
    #[must_use]
    pub fn unix(engine: &Engine) -> Self {
        let (folder, runtime, socket) = parts(engine);
        let path = folder.path().join("buildkitd.sock");
        let address = format!("unix://{}", path.display());
        let listener = {
            let _inside = runtime.enter();
            UnixListener::bind(path).expect("a socket")
        };
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(relay(client, socket.clone(), Door::BuildKit));
            }
        });
        Self { folder, address, _runtime: runtime }
    }

    /// Starts a relay of BuildKit, without TLS, on a port that the engine's containers reach.
    ///
    /// # Panics
    ///
    /// Panics if the relay cannot listen.
    #[must_use]
    pub fn tcp(engine: &Engine) -> Self {
        let host = own_address(engine);
        let (folder, runtime, socket) = parts(engine);
        let listener = runtime.block_on(TcpListener::bind((host, 0))).expect("a port");
        let address = format!("tcp://{}", listener.local_addr().expect("an address"));
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // BuildKit sets this, too, so that small frames do not wait for acknowledgements.
                client.set_nodelay(true).expect("a connection");
                tokio::spawn(relay(client, socket.clone(), Door::BuildKit));
            }
        });
        Self { folder, address, _runtime: runtime }
    }

    /// Starts a relay of BuildKit on a port of this machine. It has TLS, and accepts only clients with a certificate
    /// of its authority.
    ///
    /// # Panics
    ///
    /// Panics if the relay cannot listen.
    #[must_use]
    pub fn tls(engine: &Engine) -> Self {
        Self::with_tls(engine, Door::BuildKit, &format!("DNS:{SERVER}"))
    }

    /// Starts a relay of the whole engine with TLS. Its certificate is for the relay's address.
    ///
    /// # Panics
    ///
    /// Panics if the relay cannot listen.
    #[must_use]
    pub fn engine_tls(engine: &Engine) -> Self {
        Self::with_tls(engine, Door::Engine, "IP:127.0.0.1")
    }

    fn with_tls(engine: &Engine, door: Door, names: &str) -> Self {
        let (folder, runtime, socket) = parts(engine);
        certificates(folder.path(), names);
        let mut configuration = server(folder.path());
        if matches!(door, Door::BuildKit) {
            configuration.alpn_protocols = vec![b"h2".to_vec()];
        }
        let acceptor = TlsAcceptor::from(Arc::new(configuration));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = format!("tcp://{}", listener.local_addr().expect("an address"));
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                client.set_nodelay(true).expect("a connection");
                let (acceptor, socket) = (acceptor.clone(), socket.clone());
                tokio::spawn(async move { relay(acceptor.accept(client).await?, socket, door).await });
            }
        });
        Self { folder, address, _runtime: runtime }
    }

    /// Returns the address at which the relay listens.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Returns a file for TLS: `ca.pem`, `client.pem`, `client.key`, or `stranger.pem` and `stranger.key`, which the
    /// authority did not sign.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Returns the address of this machine that the engine reaches.
pub(crate) fn own_address(engine: &Engine) -> IpAddr {
    let probe = UdpSocket::bind("0.0.0.0:0").expect("a port");
    probe.connect((engine.address(), 9)).expect("a way to the engine");
    probe.local_addr().expect("an address").ip()
}

fn parts(engine: &Engine) -> (tempfile::TempDir, Runtime, PathBuf) {
    let socket = engine.docker_host().strip_prefix("unix://").expect("a socket of this machine").into();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    (tempfile::tempdir().expect("a folder"), runtime.expect("a runtime"), socket)
}

async fn relay(mut client: impl AsyncRead + AsyncWrite + Unpin, socket: PathBuf, door: Door) -> io::Result<()> {
    let mut engine = UnixStream::connect(socket).await?;
    if matches!(door, Door::BuildKit) {
        engine.write_all(UPGRADE).await?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(engine.read_u8().await?);
        }
        if !answer.starts_with(b"HTTP/1.1 101") {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
    }
    tokio::io::copy_bidirectional(&mut client, &mut engine).await.map(drop)
}

fn server(folder: &Path) -> ServerConfig {
    let authority = CertificateDer::from_pem_file(folder.join("ca.pem")).expect("an authority");
    let mut roots = RootCertStore::empty();
    roots.add(authority).expect("an authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let chain = CertificateDer::from_pem_file(folder.join("server.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).expect("a key");
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .with_client_cert_verifier(verifier.build().expect("a verifier"))
        .with_single_cert(vec![chain], key)
        .expect("a pair")
}

fn certificates(folder: &Path, names: &str) {
    fs::write(folder.join("extensions"), format!("subjectAltName={names}\n")).expect("a file of the test");
    let new = "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    let signed = "x509 -req -CA ca.pem -CAkey ca.key -CAcreateserial -days 2";
    for line in [
        format!("{new} -x509 -days 2 -subj /CN=test-authority -keyout ca.key -out ca.pem"),
        format!("{new} -subj /CN=server -keyout server.key -out server.csr"),
        format!("{signed} -in server.csr -extfile extensions -out server.pem"),
        format!("{new} -subj /CN=client -keyout client.key -out client.csr"),
        format!("{signed} -in client.csr -extfile extensions -out client.pem"),
        format!("{new} -x509 -days 2 -subj /CN=stranger -keyout stranger.key -out stranger.pem"),
    ] {
        let output = Command::new("openssl").args(line.split(' ')).current_dir(folder).output().expect("openssl runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
