//! The example `examples/shop`, which the README shows, and the private package index that its build needs.

use std::path::{Path, PathBuf};
use std::process::Command;

use ptest::{Canary, Engine};

/// Returns the example's folder.
#[must_use]
pub fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the root").join("examples/shop")
}

/// The example's package index, which is removed when this value is dropped.
#[derive(Debug)]
pub struct Index<'a> {
    engine: &'a Engine,
    container: String,
    address: String,
}

impl<'a> Index<'a> {
    /// Starts the index in a container of this name. It answers requests with the token.
    ///
    /// # Panics
    ///
    /// Panics if the index does not start.
    #[must_use]
    pub fn start(engine: &'a Engine, container: &str, token: &Canary) -> Self {
        let started = Command::new(example().join("index/start"))
            .args([container, "pbuild/python:3"])
            .env("DOCKER_HOST", engine.docker_host())
            .env("INDEX_TOKEN", token.text())
            .output()
            .expect("the example's index starts");
        let address = String::from_utf8_lossy(&started.stdout).trim().to_owned();
        Self { engine, container: container.to_owned(), address }
    }

    /// Returns the address at which containers of the engine reach the index.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Index<'_> {
    fn drop(&mut self) {
        let _ = self.engine.try_docker(&["rm", "--force", "--volumes", &self.container]);
    }
}
