//! Docker's clients with their own plugins in a scene's home, where `pbuild install` can find and change the plugins.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use ptest::{Engine, Scene, Tool};

/// Docker's clients in one scene.
pub struct Plugins<'engine> {
    /// The engine that builds.
    pub engine: &'engine Engine,
    /// The scene, with its project, its home and its canaries.
    pub scene: Scene,
}

impl<'engine> Plugins<'engine> {
    /// Makes a scene whose `docker` has the real buildx as a plugin, and no plugin of pbuild.
    #[must_use]
    pub fn new(engine: &'engine Engine) -> Self {
        let plugins = Self { engine, scene: Scene::on(engine) };
        // The files that buildx itself writes hold no value; the files that pbuild writes are searched.
        plugins.program(&plugins.folder().join("cli-plugins/docker-buildx"), "PBUILD_TEST_BUILDX");
        plugins.program(&plugins.scene.home().join("bin/docker"), "PBUILD_TEST_DOCKER");
        plugins
    }

    /// Returns docker's folder in the home of the scene.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.scene.home().join(".docker")
    }

    /// Writes a program that starts one of the real clients. `variable` holds the client's command line.
    fn program(&self, path: &Path, variable: &str) {
        let words = std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set: run scripts/test"));
        let engines = std::env::var("PBUILD_ENGINES").expect("PBUILD_ENGINES is not set: run scripts/test");
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder of the scene");
        fs::write(path, format!("#!/bin/sh\nPBUILD_ENGINES={engines} exec {words} \"$@\"\n")).expect("a program");
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("the file is ours");
    }

    /// Runs `pbuild install`, which installs the entrances.
    pub fn install(&self, words: &[&str]) {
        self.scene.pbuild().arg("install").args(words).run().expect_code(0);
    }

    /// Makes a tool of docker's client, which finds its plugins in the scene's home.
    pub fn docker(&self, words: &[&str]) -> Tool<'_> {
        self.with_path(self.scene.tool(self.scene.home().join("bin/docker")).args(words))
    }

    /// Makes a tool of docker compose.
    pub fn compose(&self, words: &[&str]) -> Tool<'_> {
        let compose = ptest::program("PBUILD_TEST_COMPOSE");
        let tool = self.scene.tool(compose.get_program()).args(compose.get_args()).args(words);
        self.with_path(tool)
    }

    /// Adds the scene's `docker` to the search path of a tool.
    pub fn with_path<'scene>(&self, tool: Tool<'scene>) -> Tool<'scene> {
        let folders = format!("{}:{}", self.scene.home().join("bin").display(), std::env::var("PATH").expect("PATH"));
        let engines = std::env::var("PBUILD_ENGINES").expect("PBUILD_ENGINES is not set: run scripts/test");
        tool.env("PATH", folders).env("PBUILD_ENGINES", engines)
    }
}
