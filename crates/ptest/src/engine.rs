//! The engines that the test script started.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Which of the supported engines.
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

/// A running engine that belongs to the tests.
#[derive(Clone, Debug)]
pub struct Engine {
    flavour: Flavour,
    docker_host: String,
}

impl Engine {
    /// Returns the engine of a flavour, as `scripts/test` announces it.
    ///
    /// # Panics
    ///
    /// When it announces none: a test that needs an engine is never skipped.
    #[must_use]
    pub fn get(flavour: Flavour) -> Self {
        Self { flavour, docker_host: variable(flavour.variable()) }
    }

    /// The engine's flavour.
    #[must_use]
    pub fn flavour(&self) -> Flavour {
        self.flavour
    }

    /// The value of `DOCKER_HOST` for this engine.
    #[must_use]
    pub fn docker_host(&self) -> &str {
        &self.docker_host
    }

    /// Where it keeps its data.
    ///
    /// # Panics
    ///
    /// When `scripts/test` did not say.
    #[must_use]
    pub fn data_root(&self) -> PathBuf {
        variable(&format!("{}_DATA_ROOT", self.flavour.variable())).into()
    }

    /// The address at which ports it publishes answer.
    ///
    /// # Panics
    ///
    /// When `scripts/test` did not say.
    #[must_use]
    pub fn address(&self) -> String {
        variable(&format!("{}_ADDRESS", self.flavour.variable()))
    }

    /// Runs the real docker client against it and returns whatever came of it.
    ///
    /// # Panics
    ///
    /// When the client cannot be run.
    #[must_use]
    pub fn try_docker(&self, arguments: &[&str]) -> Output {
        self.client("PBUILD_TEST_DOCKER", arguments)
    }

    /// Runs the real docker client against it and returns what it printed.
    ///
    /// # Panics
    ///
    /// When the client fails.
    #[track_caller]
    pub fn docker(&self, arguments: &[&str]) -> Vec<u8> {
        let output = self.try_docker(arguments);
        assert!(output.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// Runs the real `docker buildx` against it.
    ///
    /// # Panics
    ///
    /// When it cannot be run.
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

/// An engine of one test's own, for what no other test may meet, such as a restart. It goes with its data when it is
/// dropped; one of a kind at a time.
#[derive(Debug)]
pub struct OwnEngine {
    name: &'static str,
    engine: Engine,
    data_root: PathBuf,
}

impl OwnEngine {
    /// Brings it up, with an image `busybox` from another engine.
    ///
    /// # Panics
    ///
    /// When it does not come up.
    #[must_use]
    pub fn up(other: &Engine) -> Self {
        Self::named("spare", other)
    }

    /// The same, which stores layers as folders, so that there are no overlay mounts.
    ///
    /// # Panics
    ///
    /// When it does not come up.
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

    /// Gives it an image of another engine.
    ///
    /// # Panics
    ///
    /// When the other one has no such image.
    pub fn load(&self, other: &Engine, image: &str) {
        let archive = tempfile::NamedTempFile::new().expect("a temporary file");
        let path = archive.path().display().to_string();
        other.docker(&["save", "--output", &path, image]);
        self.engine.docker(&["load", "--quiet", "--input", &path]);
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Where it keeps its data.
    #[must_use]
    pub fn data_root(&self) -> &Path {
        &self.data_root
    }

    /// Ends the engine and everything that runs in it, and starts it again, as a reboot of its machine does.
    ///
    /// # Panics
    ///
    /// When it does not come up again.
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

/// Runs the script that brings engines up and down, and returns what it printed.
#[track_caller]
fn script(arguments: &[&str]) -> String {
    let output = program("PBUILD_TEST_ENGINE").args(arguments).output().expect("scripts/engine");
    assert!(output.status.success(), "engine {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Makes the command of a real tool whose command line `scripts/test` wrote into that variable.
///
/// # Panics
///
/// When it did not.
#[must_use]
pub fn program(name: &str) -> Command {
    let line = words(&variable(name));
    let mut command = Command::new(&line[0]);
    command.args(&line[1..]);
    command
}

/// Splits a command line as `scripts/test` writes it: no quotes, blanks between words.
fn words(line: &str) -> Vec<String> {
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    assert!(!words.is_empty(), "an empty command line");
    words
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run scripts/test"))
}
