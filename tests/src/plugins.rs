//! Docker's clients with plugins of their own in a scene's home, where `pbuild install` can find and change them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use ptest::{Engine, Scene, Tool};

/// Docker's clients in one scene.
pub struct Plugins<'engine> {
    /// The engine that builds.
    pub engine: &'engine Engine,
    /// Its project, its home and its canaries.
    pub scene: Scene,
}

impl<'engine> Plugins<'engine> {
    /// Makes a scene whose `docker` has the real buildx as its plugin, and nothing of pbuild's.
    #[must_use]
    pub fn new(engine: &'engine Engine) -> Self {
        let plugins = Self { engine, scene: Scene::on(engine) };
        // What buildx notes here holds no value; pbuild's own notes are searched.
        plugins.program(&plugins.folder().join("cli-plugins/docker-buildx"), "PBUILD_TEST_BUILDX");
        plugins.program(&plugins.scene.home().join("bin/docker"), "PBUILD_TEST_DOCKER");
        plugins
    }

    /// Docker's folder of the scene's user.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.scene.home().join(".docker")
    }

    /// Writes a program that is one of the real clients, by the variable that names it.
    fn program(&self, path: &Path, variable: &str) {
        let words = std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set: run scripts/test"));
        let engines = std::env::var("PBUILD_ENGINES").expect("PBUILD_ENGINES is not set: run scripts/test");
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder of the scene");
        fs::write(path, format!("#!/bin/sh\nPBUILD_ENGINES={engines} exec {words} \"$@\"\n")).expect("a program");
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("the file is ours");
    }

    /// Runs pbuild's own command that installs the doors.
    pub fn install(&self, words: &[&str]) {
        self.scene.pbuild().arg("install").args(words).run().expect_code(0);
    }

    /// Makes a tool of docker's client, which finds its plugins by itself.
    pub fn docker(&self, words: &[&str]) -> Tool<'_> {
        self.with_path(self.scene.tool(self.scene.home().join("bin/docker")).args(words))
    }

    /// Makes a tool of compose.
    pub fn compose(&self, words: &[&str]) -> Tool<'_> {
        let compose = ptest::program("PBUILD_TEST_COMPOSE");
        let tool = self.scene.tool(compose.get_program()).args(compose.get_args()).args(words);
        self.with_path(tool)
    }

    /// Lets a tool find `docker`, as everybody does.
    pub fn with_path<'scene>(&self, tool: Tool<'scene>) -> Tool<'scene> {
        let folders = format!("{}:{}", self.scene.home().join("bin").display(), std::env::var("PATH").expect("PATH"));
        let engines = std::env::var("PBUILD_ENGINES").expect("PBUILD_ENGINES is not set: run scripts/test");
        tool.env("PATH", folders).env("PBUILD_ENGINES", engines)
    }
}
