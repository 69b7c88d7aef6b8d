//! The engines that `scripts/test` started.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A supported engine, which `scripts/test` starts for the tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// Docker 28 on overlay2.
    Modern,
    /// Docker 28 with the containerd image store.
    Containerd,
    /// Docker 20.10.
    Old,
}

impl Flavour {
    /// All flavours.
    pub const ALL: [Self; 3] = [Self::Modern, Self::Containerd, Self::Old];

    fn variable(self) -> &'static str {
        match self {
            Self::Modern => "PBUILD_TEST_MODERN",
            Self::Containerd => "PBUILD_TEST_CONTAINERD",
            Self::Old => "PBUILD_TEST_OLD",
        }
    }
}

/// A running engine for tests.
#[derive(Clone, Debug)]
pub struct Engine {
    flavour: Flavour,
    docker_host: String,
}

impl Engine {
    /// Returns the engine of a flavour, whose address `scripts/test` puts into a variable.
    ///
    /// # Panics
    ///
    /// Panics if the variable is not set, because a test that needs an engine is never skipped.
    #[must_use]
    pub fn get(flavour: Flavour) -> Self {
        Self { flavour, docker_host: variable(flavour.variable()) }
    }

    /// Returns the flavour of the engine.
    #[must_use]
    pub fn flavour(&self) -> Flavour {
        self.flavour
    }

    /// Returns the value of `DOCKER_HOST` for this engine.
    #[must_use]
    pub fn docker_host(&self) -> &str {
        &self.docker_host
    }

    /// Returns the folder of the engine's data.
    ///
    /// # Panics
    ///
    /// Panics if `scripts/test` did not set the variable for it.
    #[must_use]
    pub fn data_root(&self) -> PathBuf {
        variable(&format!("{}_DATA_ROOT", self.flavour.variable())).into()
    }

    /// Returns the address at which the engine's published ports are reached.
    ///
    /// # Panics
    ///
    /// Panics if `scripts/test` did not set the variable for it.
    #[must_use]
    pub fn address(&self) -> String {
        variable(&format!("{}_ADDRESS", self.flavour.variable()))
    }

    /// Runs the real docker client against the engine, and returns its result even if it fails.
    ///
    /// # Panics
    ///
    /// Panics if the client cannot be run.
    #[must_use]
    pub fn try_docker(&self, arguments: &[&str]) -> Output {
        self.client("PBUILD_TEST_DOCKER", arguments)
    }

    /// Runs the real docker client against the engine, and returns its standard output.
    ///
    /// # Panics
    ///
    /// Panics if the client fails.
    #[track_caller]
    pub fn docker(&self, arguments: &[&str]) -> Vec<u8> {
        let output = self.try_docker(arguments);
        assert!(output.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// Runs the real `docker buildx` against the engine.
    ///
    /// # Panics
    ///
    /// Panics if it cannot be run.
    #[must_use]
    pub fn buildx(&self, arguments: &[&str]) -> Output {
        self.client("PBUILD_TEST_BUILDX", arguments)
    }

    fn client(&self, program: &str, arguments: &[&str]) -> Output {
        self::program(program)
            .args(arguments)
            .env("DOCKER_HOST", &self.docker_host)
            .env_remove("DOCKER_CONTEXT")
            .output()
            .unwrap_or_else(|error| panic!("{program}: {error}"))
    }
}

/// An engine for one test alone, which may do things to it that would disturb other tests, such as a restart. When it
/// is dropped, the engine and its data are removed. There can be only one of each kind at a time.
#[derive(Debug)]
pub struct OwnEngine {
    name: &'static str,
    engine: Engine,
    data_root: PathBuf,
}

impl OwnEngine {
    /// Starts the engine, and loads the image `busybox` from another engine.
    ///
    /// # Panics
    ///
    /// Panics if the engine does not start.
    #[must_use]
    pub fn up(other: &Engine) -> Self {
        Self::named("spare", other)
    }

    /// Starts an engine that stores layers as folders, so that there are no overlay mounts.
    ///
    /// # Panics
    ///
    /// Panics if the engine does not start.
    #[must_use]
    pub fn without_overlay(other: &Engine) -> Self {
        Self::named("vfs", other)
    }

    fn named(name: &'static str, other: &Engine) -> Self {
        script(&["down", "--purge", name]);
        let docker_host = script(&["up", name]).trim().trim_start_matches("DOCKER_HOST=").to_owned();
        let environment = script(&["env", name]);
        let data_root = environment.lines().find_map(|line| line.strip_prefix("PBUILD_ENGINE_DATA_ROOT="));
        let data_root = data_root.expect("a data root").into();
        let own = Self { name, engine: Engine { flavour: Flavour::Modern, docker_host }, data_root };
        own.load(other, "busybox");
        own
    }

    /// Loads an image from another engine.
    ///
    /// # Panics
    ///
    /// Panics if the other engine does not have the image.
    pub fn load(&self, other: &Engine, image: &str) {
        let archive = tempfile::NamedTempFile::new().expect("a temporary file");
        let path = archive.path().display().to_string();
        other.docker(&["save", "--output", &path, image]);
        self.engine.docker(&["load", "--quiet", "--input", &path]);
    }

    /// Returns the engine.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Returns the folder of the engine's data.
    #[must_use]
    pub fn data_root(&self) -> &Path {
        &self.data_root
    }

    /// Ends the engine with everything that runs in it, and starts it again, like a reboot of its machine.
    ///
    /// # Panics
    ///
    /// Panics if the engine does not start again.
    pub fn restart(&self) {
        script(&["down", self.name]);
        script(&["up", self.name]);
    }
}

impl Drop for OwnEngine {
    fn drop(&mut self) {
        script(&["down", "--purge", self.name]);
    }
}

/// Runs `scripts/engine`, which starts and ends engines, and returns its output.
#[track_caller]
fn script(arguments: &[&str]) -> String {
    let output = program("PBUILD_TEST_ENGINE").args(arguments).output().expect("scripts/engine");
    assert!(output.status.success(), "engine {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Returns the command of a real tool, whose command line `scripts/test` puts into the variable `name`.
///
/// # Panics
///
/// Panics if the variable is not set.
#[must_use]
pub fn program(name: &str) -> Command {
    let line = words(&variable(name));
    let mut command = Command::new(&line[0]);
    command.args(&line[1..]);
    command
}

/// Splits a command line in the form of `scripts/test`, which has blanks between words and no quotes.
fn words(line: &str) -> Vec<String> {
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    assert!(!words.is_empty(), "an empty command line");
    words
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run scripts/test"))
}
