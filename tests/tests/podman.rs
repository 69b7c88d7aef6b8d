//! Podman's socket offers docker's API without BuildKit (B3).

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use acceptance::{PATIENCE, becomes};
use ptest::{Engine, Flavour, Scene};

/// A real Podman that stores everything in a folder of the scene.
struct Podman {
    folder: PathBuf,
    service: Child,
}

impl Podman {
    fn start(scene: &Scene) -> Self {
        let folder = scene.temporary().join("podman");
        std::fs::create_dir(&folder).expect("a folder of the scene");
        let service = Self::command(&folder)
            .args(["system", "service", "--time=0"])
            .arg(format!("unix://{}", folder.join("podman.sock").display()))
            .spawn()
            .expect("podman, which scripts/test installs");
        let podman = Self { folder, service };
        assert!(becomes(PATIENCE, || podman.folder.join("podman.sock").exists()), "podman listens");
        podman
    }

    fn command(folder: &std::path::Path) -> Command {
        let mut command = Command::new("podman");
        command.arg("--root").arg(folder.join("root")).arg("--runroot").arg(folder.join("run"));
        command.args(["--storage-driver", "vfs"]).env("TMPDIR", folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn address(&self) -> String {
        format!("unix://{}", self.folder.join("podman.sock").display())
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = self.service.kill();
        let _ = self.service.wait();
    }
}

#[test]
fn podman_cannot_build_and_its_images_can_be_audited() {
    let scene = Scene::new();
    let token = scene.oracle().token("TOKEN");
    let podman = Podman::start(&scene);
    scene.write("Dockerfile", "FROM busybox\nRUN true\n");
    let pbuild = |arguments: &[&str]| {
        let tool = scene.pbuild().args(arguments).env("DOCKER_HOST", podman.address());
        tool.env("TOKEN", token.text()).run()
    };
    for arguments in [&["build", "--secret", "id=TOKEN", "."][..], &["build", "."], &["build", "--check", "."]] {
        let refused = pbuild(arguments);
        refused.expect_code(1).expect_stderr("Podman").expect_stderr("has no BuildKit").expect_stderr("DOCKER_HOST");
    }

    // Podman loads an archive that docker saved, and pbuild searches Podman's own export of it.
    let engine = Engine::get(Flavour::Modern);
    let archive = scene.write("busybox.tar", engine.docker(&["save", "busybox"]));
    let loaded = Podman::command(&podman.folder).arg("load").arg("--input").arg(&archive).status();
    assert!(loaded.expect("podman").success());
    pbuild(&["audit", "--secret", "id=TOKEN", "busybox"]).expect_code(0).expect_stdout("CLEAN");
}
