//! A server for one test, from which builds install packages of several kinds. It runs `private/server.py` on the
//! engine's own network.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ptest::{Canary, Engine};

use crate::becomes;

/// The host name by which steps reach the server.
const NAME: &str = "private";

/// A server, which is removed when this value is dropped.
#[derive(Debug)]
pub struct Private<'engine> {
    engine: &'engine Engine,
    container: String,
    address: String,
}

impl<'engine> Private<'engine> {
    /// Starts a server that requires a token. It serves npm, Composer, pip, git and an API on port 8080, and git over
    /// ssh.
    ///
    /// # Panics
    /// Panics if the server does not start.
    #[must_use]
    pub fn start(engine: &'engine Engine, token: &Canary) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let container = format!("pbuild-test-private-{}-{number}", std::process::id());
        let server = Path::new(env!("CARGO_MANIFEST_DIR")).join("private/server.py");
        let create = [
            "create",
            "--name",
            &container,
            "--publish",
            "0:8080",
            "--tmpfs",
            "/run/private",
            "--init",
            "pbuild/tools:1",
        ];
        let _ = engine.docker(&[&create[..], &["python3", "/srv/server.py", "/run/private/token"]].concat());
        let _ = engine.docker(&["cp", &server.display().to_string(), &format!("{container}:/srv/server.py")]);
        let _ = engine.docker(&["start", &container]);
        let asked =
            ["container", "inspect", "--format", "{{ .NetworkSettings.Networks.bridge.IPAddress }}", &container];
        let address = String::from_utf8(engine.docker(&asked)).expect("an address").trim().to_owned();
        let server = Self { engine, container, address };
        // The token is neither in the container's configuration nor on the engine's disk.
        server.put("token", token.value());
        let answers = || server.status("/") == "401";
        assert!(becomes(Duration::from_secs(20), answers), "{:?}", engine.try_docker(&["logs", &server.container]));
        server
    }

    /// Stores a file in the memory of the server.
    fn put(&self, name: &str, bytes: &[u8]) {
        let store = format!("umask 077; cat > /run/private/{name}");
        let mut child = ptest::program("PBUILD_TEST_DOCKER")
            .args(["exec", "--interactive", &self.container, "sh", "-c", &store])
            .env("DOCKER_HOST", self.engine.docker_host())
            .stdin(Stdio::piped())
            .spawn()
            .expect("docker runs");
        child.stdin.take().expect("a pipe").write_all(bytes).expect("it reads");
        assert!(child.wait().expect("it ends").success(), "{name} is stored");
    }

    /// Allows access over ssh with the private half of this key.
    pub fn let_in(&self, public: &[u8]) {
        self.put("authorized_keys", public);
    }

    /// Returns the status of a request without the token.
    #[must_use]
    pub fn status(&self, path: &str) -> String {
        let url = format!("http://127.0.0.1:8080{path}");
        let command =
            ["exec", &self.container, "curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}"];
        let told = self.engine.try_docker(&[&command[..], &[&url]].concat());
        String::from_utf8_lossy(&told.stdout).into_owned()
    }

    /// Returns the flag that makes the server known to the steps of a build.
    #[must_use]
    pub fn flag(&self) -> String {
        format!("--add-host={NAME}:{}", self.address)
    }

    /// Returns the server's host and port at the engine's address, which this machine reaches, too.
    ///
    /// # Panics
    /// Panics if the engine does not report the port.
    #[must_use]
    pub fn host(&self) -> String {
        let told = String::from_utf8(self.engine.docker(&["port", &self.container, "8080/tcp"])).expect("a port");
        let port = told.lines().next().and_then(|line| line.rsplit(':').next()).expect("a port");
        format!("{}:{}", self.engine.address(), port.trim())
    }

    /// Returns the server's address on the engine's network.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Private<'_> {
    fn drop(&mut self) {
        let _ = self.engine.try_docker(&["rm", "--force", "--volumes", &self.container]);
    }
}
