//! A registry for one test: Debian's docker-registry in a container, with or without TLS, a password, or a token
//! service.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use ptest::{Archive, Engine};
use serde_json::Value;

use crate::tokens::{self, TokenService};

/// A registry, which is removed when this value is dropped.
#[derive(Debug)]
pub struct Registry<'engine> {
    engine: &'engine Engine,
    container: String,
    folder: tempfile::TempDir,
    host: String,
    /// The published port on the engine's machine.
    port: String,
    login: Login,
    tls: bool,
}

/// The clients that a registry accepts.
#[derive(Debug)]
enum Login {
    Everybody,
    Password {
        user: String,
        password: String,
    },
    /// Clients with a token of this service.
    Tokens(TokenService),
}

impl<'engine> Registry<'engine> {
    /// Starts a registry without TLS that accepts all clients, at an address of this machine.
    #[must_use]
    pub fn plain(engine: &'engine Engine) -> Self {
        Self::start(engine, folder(), Login::Everybody, false).at_home()
    }

    /// Starts a registry with TLS, with its own certificate authority, that accepts one user.
    #[must_use]
    pub fn guarded(engine: &'engine Engine, user: &str, password: &str) -> Self {
        let login = Login::Password { user: user.to_owned(), password: password.to_owned() };
        Self::start(engine, folder(), login, true)
    }

    /// Starts a registry without TLS at an address of this machine. It accepts clients with a token of a service that
    /// knows one user.
    #[must_use]
    pub fn with_tokens(engine: &'engine Engine, user: &str, password: &str) -> Self {
        Self::with_tokens_of(engine, Ipv4Addr::LOCALHOST.into(), user, password).at_home()
    }

    /// Starts a registry like [`Self::with_tokens`], but at its engine's address, with a token service that the
    /// engine reaches.
    #[must_use]
    pub fn with_tokens_inside(engine: &'engine Engine, user: &str, password: &str) -> Self {
        Self::with_tokens_of(engine, crate::relay::own_address(engine), user, password)
    }

    fn with_tokens_of(engine: &'engine Engine, host: IpAddr, user: &str, password: &str) -> Self {
        let folder = folder();
        let tokens = TokenService::start(folder.path(), host, user, password);
        Self::start(engine, folder, Login::Tokens(tokens), false)
    }

    /// Forwards the registry to an address of this machine.
    #[must_use]
    pub fn at_home(mut self) -> Self {
        self.host = forward(&self.host);
        self
    }

    /// Makes the name by which the registry's own engine reaches it count for this machine too.
    ///
    /// # Panics
    ///
    /// When another program has the port here.
    #[must_use]
    pub fn at_home_too(self) -> Self {
        forward_at(&self.inside(), &self.host);
        self
    }

    /// Returns the token service of the registry.
    ///
    /// # Panics
    ///
    /// Panics if the registry has no token service.
    #[must_use]
    pub fn tokens(&self) -> &TokenService {
        match &self.login {
            Login::Tokens(tokens) => tokens,
            Login::Everybody | Login::Password { .. } => panic!("a registry with a token service"),
        }
    }

    /// Starts a registry without TLS that accepts all clients, at its engine's address.
    #[must_use]
    pub fn plain_inside(engine: &'engine Engine) -> Self {
        Self::start(engine, folder(), Login::Everybody, false)
    }

    /// Starts a registry without TLS that accepts all clients, and whose disk is too small for any image.
    #[must_use]
    pub fn full(engine: &'engine Engine) -> Self {
        Self::start_with(engine, folder(), Login::Everybody, false, &["--tmpfs", "/var/lib/registry:size=64k"])
    }

    fn start(engine: &'engine Engine, folder: tempfile::TempDir, login: Login, tls: bool) -> Self {
        Self::start_with(engine, folder, login, tls, &[])
    }

    fn start_with(
        engine: &'engine Engine,
        folder: tempfile::TempDir,
        login: Login,
        tls: bool,
        options: &[&str],
    ) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let container = format!("pbuild-test-registry-{}-{number}", std::process::id());
        let mut arguments: Vec<String> =
            ["create", "--name", &container, "--publish", "0:5000"].map(str::to_owned).to_vec();
        arguments.extend(options.iter().map(|option| (*option).to_owned()));
        let mut setting = |name: &str, value: &str| {
            arguments.extend(["--env".to_owned(), format!("REGISTRY_{name}={value}")]);
        };
        if tls {
            certificates(folder.path(), &engine.address());
            setting("HTTP_TLS_CERTIFICATE", "/tls/server.pem");
            setting("HTTP_TLS_KEY", "/tls/server.key");
        }
        match &login {
            Login::Everybody => {}
            Login::Password { user, password } => {
                fs::write(folder.path().join("password"), password).expect("a file of the test");
                setting("USER", user);
                setting("PASSWORD_FILE", "/tls/password");
            }
            Login::Tokens(tokens) => {
                setting("AUTH", "token");
                setting("AUTH_TOKEN_REALM", &tokens.realm());
                setting("AUTH_TOKEN_SERVICE", tokens::SERVICE);
                setting("AUTH_TOKEN_ISSUER", tokens::ISSUER);
                setting("AUTH_TOKEN_ROOTCERTBUNDLE", "/tls/token.pem");
            }
        }
        arguments.push("pbuild/registry:2".to_owned());
        let _ = engine.docker(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let source = format!("{}/.", folder.path().display());
        let _ = engine.docker(&["cp", &source, &format!("{container}:/tls")]);
        let _ = engine.docker(&["start", &container]);
        let port = String::from_utf8(engine.docker(&["port", &container, "5000/tcp"])).expect("a port");
        let port = port.lines().next().and_then(|line| line.rsplit(':').next()).expect("a port").trim().to_owned();
        let host = format!("{}:{port}", engine.address());
        let registry = Self { engine, container, folder, host, port, login, tls };
        registry.wait();
        registry
    }

    fn wait(&self) {
        for _ in 0..200 {
            if TcpStream::connect(&self.host).is_ok() && self.curl(&["/v2/"], &[]).is_some() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("the registry does not answer");
    }

    /// Returns the host and port of the registry, as in image references.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the host and port by which the registry's own engine reaches it. Docker does not check the certificate
    /// of a registry on its own machine.
    #[must_use]
    pub fn inside(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Lists everything in the registry: its repositories with their tags. A repository without tags is listed with
    /// `-`.
    ///
    /// # Panics
    ///
    /// Panics if the answer is not a list.
    #[must_use]
    pub fn catalogue(&self) -> Vec<String> {
        let names = |document: Option<Vec<u8>>, key: &str| -> Vec<String> {
            let document: Value = document.map_or(Value::Null, |text| serde_json::from_slice(&text).expect("JSON"));
            let names = document[key].as_array().into_iter().flatten().filter_map(Value::as_str);
            names.map(str::to_owned).collect()
        };
        let tags = |name: String| {
            // The registry returns no list of tags for a repository without tags.
            let tags = names(self.curl(&[&format!("/v2/{name}/tags/list")], &[]), "tags");
            let tags = if tags.is_empty() { vec!["-".to_owned()] } else { tags };
            tags.into_iter().map(move |tag| format!("{name}:{tag}"))
        };
        let repositories = self.curl(&["/v2/_catalog"], &[]).expect("a list of repositories");
        names(Some(repositories), "repositories").into_iter().flat_map(tags).collect()
    }

    /// Returns a tar of all files of the registry.
    #[must_use]
    pub fn files(&self) -> Vec<u8> {
        self.engine.docker(&["cp", &format!("{}:/var/lib/registry", self.container), "-"])
    }

    /// Returns the digest of the image under a name and tag, or `None` if the registry has no such image.
    #[must_use]
    pub fn digest(&self, name: &str, tag: &str) -> Option<String> {
        let kinds = "Accept: application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
                     application/vnd.docker.distribution.manifest.list.v2+json, \
                     application/vnd.docker.distribution.manifest.v2+json";
        let path = format!("/v2/{name}/manifests/{tag}");
        self.curl(&["-H", kinds, &path], &[]).map(|manifest| ptest::sha256(&manifest))
    }

    /// Returns the file of the authority that signed the registry's certificate.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Pushes an OCI archive to the registry.
    pub fn push(&self, name: &str, tag: &str, archive: &Archive) {
        for blob in archive.names().filter(|name| name.starts_with("blobs/")) {
            let digest = blob.trim_start_matches("blobs/").replacen('/', ":", 1);
            let bytes = archive.get(blob).expect("a blob of the archive");
            let head = self.curl(&["-X", "POST", "-D", "-", &format!("/v2/{name}/blobs/uploads/")], &[]);
            let head = String::from_utf8_lossy(&head.expect("an upload begins")).into_owned();
            let location = head.lines().find_map(|line| line.strip_prefix("Location: ")).expect("a location").trim();
            let path = location.split_once("/v2/").map(|(_, path)| format!("/v2/{path}")).expect("a path");
            let sep = if path.contains('?') { '&' } else { '?' };
            let target = format!("{path}{sep}digest={digest}");
            let arguments =
                ["-X", "PUT", "-H", "Content-Type: application/octet-stream", "--data-binary", "@-", &target];
            self.curl(&arguments, bytes).expect("a blob is stored");
        }
        let index: Value = serde_json::from_slice(archive.get("index.json").expect("an index")).expect("JSON");
        self.put_manifests(name, archive, &index, Some(tag));
    }

    /// Pushes the manifests that a document lists. Inner manifests are pushed first.
    fn put_manifests(&self, name: &str, archive: &Archive, document: &Value, tag: Option<&str>) {
        for descriptor in document["manifests"].as_array().into_iter().flatten() {
            let digest = descriptor["digest"].as_str().expect("a digest");
            let bytes = archive.get(&format!("blobs/{}", digest.replacen(':', "/", 1))).expect("a manifest");
            let inner: Value = serde_json::from_slice(bytes).expect("JSON");
            self.put_manifests(name, archive, &inner, None);
            let kind = format!("Content-Type: {}", descriptor["mediaType"].as_str().expect("a media type"));
            let target = format!("/v2/{name}/manifests/{}", tag.unwrap_or(digest));
            self.curl(&["-X", "PUT", "-H", &kind, "--data-binary", "@-", &target], bytes)
                .expect("a manifest is stored");
        }
    }

    /// Runs curl. Credentials are passed in its configuration file; the last argument is a path of the registry.
    fn curl(&self, arguments: &[&str], input: &[u8]) -> Option<Vec<u8>> {
        let (path, options) = arguments.split_last().expect("a path");
        let scheme = if self.tls { "https" } else { "http" };
        let configuration = self.folder.path().join("curl");
        let credentials = match &self.login {
            Login::Everybody => String::new(),
            Login::Password { user, password } => format!("user = \"{user}:{password}\"\n"),
            Login::Tokens(tokens) => {
                // The repository is the part of the path before the words of the protocol.
                let name = path.trim_start_matches("/v2/");
                let end = ["/blobs/", "/manifests/"].iter().filter_map(|word| name.find(word)).min().unwrap_or(0);
                let scopes = [format!("repository:{}:pull,push", &name[..end])];
                let token = tokens.token(if end > 0 { &scopes } else { &[] });
                format!("header = \"Authorization: Bearer {token}\"\n")
            }
        };
        fs::write(&configuration, credentials).expect("a file of the test");
        let mut child = Command::new("curl")
            .args(["--silent", "--fail", "--http1.1", "--noproxy", "*", "--cacert"])
            .arg(self.authority())
            .arg("--config")
            .arg(&configuration)
            .args(options)
            .arg(format!("{scheme}://{}{path}", self.host))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("curl is installed");
        // A server that refuses early closes the pipe, so errors are ignored.
        let _ = child.stdin.take().expect("a pipe").write_all(input);
        let output = child.wait_with_output().expect("curl ends");
        output.status.success().then_some(output.stdout)
    }
}

impl Drop for Registry<'_> {
    fn drop(&mut self) {
        let _ = self.engine.try_docker(&["rm", "--force", "--volumes", &self.container]);
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Adds to the archive the name under which containerd's image store loads it.
#[must_use]
pub fn named(mut archive: Archive, name: &str) -> Archive {
    let mut index: Value = serde_json::from_slice(archive.get("index.json").expect("an index")).expect("JSON");
    index["manifests"][0]["annotations"] = serde_json::json!({"io.containerd.image.name": format!("docker.io/{name}")});
    archive.replace("index.json", index.to_string());
    archive
}

/// Makes a certificate authority, and a certificate for an address that it signs.
fn certificates(folder: &Path, address: &str) {
    let extensions = format!("subjectAltName=IP:{address}\n");
    fs::write(folder.join("extensions"), extensions).expect("a file of the test");
    for line in [
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test-authority -keyout ca.key -out ca.pem",
        "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=registry -keyout server.key -out server.csr",
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out server.pem",
    ] {
        let output = Command::new("openssl").args(line.split(' ')).current_dir(folder).output().expect("openssl runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Forwards connections from a port of this machine to another address, as long as the test runs.
fn forward(target: &str) -> String {
    forward_at("127.0.0.1:0", target)
}

/// Forwards connections of one address of this machine to a target, and returns the address.
fn forward_at(address: &str, target: &str) -> String {
    let listener = TcpListener::bind(address).expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let target = target.to_owned();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(&target) else { continue };
            let pairs = [(client.try_clone(), server.try_clone()), (server.try_clone(), client.try_clone())];
            for (from, to) in pairs {
                let (Ok(mut from), Ok(mut to)) = (from, to) else { continue };
                std::thread::spawn(move || {
                    let mut buffer = [0; 1 << 16];
                    while let Ok(count @ 1..) = from.read(&mut buffer) {
                        if to.write_all(&buffer[..count]).is_err() {
                            break;
                        }
                    }
                    let _ = to.shutdown(Shutdown::Write);
                });
            }
        }
    });
    address
}
