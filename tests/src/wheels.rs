//! A private index of the wheels that `scripts/test` fetched, on the engine's own network: `private/wheels.py`.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use ptest::{Canary, Engine};

use crate::becomes;

/// An index that is gone when this is dropped.
#[derive(Debug)]
pub struct Wheels<'engine> {
    engine: &'engine Engine,
    container: String,
    address: String,
}

impl<'engine> Wheels<'engine> {
    /// Starts an index that answers whoever has the token.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(engine: &'engine Engine, container: &str, token: &Canary) -> Self {
        let server = Path::new(env!("CARGO_MANIFEST_DIR")).join("private/wheels.py");
        let wheels = std::env::var("PBUILD_TEST_WHEELS").expect("run scripts/test");
        let create = ["create", "--name", container, "--tmpfs", "/run/index", "--init", "pbuild/python:3", "python3"];
        let _ = engine.docker(&[&create[..], &["/srv/wheels.py", "/run/index/token", "/srv/wheels"]].concat());
        let _ = engine.docker(&["cp", &server.display().to_string(), &format!("{container}:/srv/wheels.py")]);
        let _ = engine.docker(&["cp", &wheels, &format!("{container}:/srv/wheels")]);
        let _ = engine.docker(&["start", container]);
        let asked = ["container", "inspect", "--format", "{{ .NetworkSettings.Networks.bridge.IPAddress }}", container];
        let address = String::from_utf8(engine.docker(&asked)).expect("an address").trim().to_owned();
        let index = Self { engine, container: container.to_owned(), address };
        index.give(token);
        let ask = "import socket; socket.create_connection(('127.0.0.1', 8080), 1)";
        let answers = || engine.try_docker(&["exec", container, "python3", "-c", ask]).status.success();
        assert!(becomes(Duration::from_secs(20), answers), "{:?}", engine.try_docker(&["logs", container]));
        index
    }

    /// Where it answers to containers of the engine.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Gives it the token, in its memory: neither in the container's configuration nor on the engine's disk.
    fn give(&self, token: &Canary) {
        let mut child = ptest::program("PBUILD_TEST_DOCKER")
            .args(["exec", "--interactive", &self.container, "sh", "-c", "umask 077; cat > /run/index/token"])
            .env("DOCKER_HOST", self.engine.docker_host())
            .stdin(Stdio::piped())
            .spawn()
            .expect("docker runs");
        child.stdin.take().expect("a pipe").write_all(token.value()).expect("it reads");
        assert!(child.wait().expect("it ends").success(), "the token is stored");
    }
}

impl Drop for Wheels<'_> {
    fn drop(&mut self) {
        let _ = self.engine.try_docker(&["rm", "--force", "--volumes", &self.container]);
    }
}
