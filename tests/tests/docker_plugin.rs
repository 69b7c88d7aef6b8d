//! `docker pbuild`: pbuild as a plugin of the real docker client.

use std::fs;
use std::os::unix::fs::symlink;

use acceptance::ImageName;
use ptest::{Engine, Flavour, Scene};

#[test]
fn docker_finds_pbuild_and_hands_it_its_engine() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::new();
    let image = ImageName::new(&engine, "plugin");
    let configuration = scene.temporary().join("docker");
    let plugins = configuration.join("cli-plugins");
    fs::create_dir_all(&plugins).expect("a folder of the test");
    symlink(ptest::binaries().join("pbuild"), plugins.join("docker-pbuild")).expect("a link of the test");
    let configuration = configuration.display().to_string();
    let docker = |words: &[&str]| engine.try_docker(&[&["--config", &configuration][..], words].concat());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();

    let help = docker(&["--help"]);
    let listed = text(&help.stdout).lines().any(|line| line.trim_start().starts_with("pbuild*"));
    assert!(listed && !text(&help.stdout).contains("Invalid Plugins"), "{help:?}");

    scene.write("Dockerfile", "FROM busybox\nRUN echo made > /made\n");
    let project = scene.project().display().to_string();
    let built = docker(&["--debug", "pbuild", "build", "-t", image.as_str(), &project]);
    assert!(built.status.success(), "{}", text(&built.stderr));
    assert_eq!(image.run(&["cat", "/made"]), "made\n");

    // docker's own flag chooses the engine, and pbuild's exit codes are passed on.
    let elsewhere = docker(&["--host", "unix:///nonexistent/docker.sock", "pbuild", "build", &project]);
    assert_eq!(elsewhere.status.code(), Some(30), "{}", text(&elsewhere.stderr));
    assert!(text(&elsewhere.stderr).contains("/nonexistent/docker.sock"), "{}", text(&elsewhere.stderr));
    let usage = docker(&["pbuild", "build", "--no-such-flag", &project]);
    assert_eq!(usage.status.code(), Some(2), "{}", text(&usage.stderr));
}
