//! Engines on other machines: docker contexts over TLS, and over ssh with a real sshd. Docker's own client writes the
//! contexts.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use acceptance::{BuilderRelay, ImageName, PATIENCE, becomes};
use ptest::{Canary, Engine, Flavour, Scene, Tool, program};

/// Makes a docker context in the scene's home.
fn create_context(scene: &Scene, name: &str, endpoint: &str) {
    let mut command = program("PBUILD_TEST_DOCKER");
    command.args(["context", "create", name, "--docker", endpoint]);
    let output = command.env("DOCKER_CONFIG", scene.home().join(".docker")).output().expect("docker's client");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn build<'scene>(scene: &'scene Scene, context: &str, image: &ImageName<'_>, token: &Canary) -> Tool<'scene> {
    scene.write(
        "Dockerfile",
        format!("FROM busybox\nRUN : {}; printf %s \"$TOKEN\" | sha256sum > /seen\n", image.as_str()),
    );
    let tool = scene.pbuild().args(["build", "-t", image.as_str(), "--secret", "id=TOKEN", "--require-tls", "."]);
    tool.env("TOKEN", token.text()).env("DOCKER_CONTEXT", context)
}

fn check(scene: &Scene, context: &str, image: &ImageName<'_>, token: &Canary) {
    build(scene, context, image, token).run().expect_code(0).expect_stderr("clean").expect_stderr(context);
    let digest = ptest::sha256(token.value()).trim_start_matches("sha256:").to_owned();
    assert!(image.run(&["cat", "/seen"]).starts_with(&digest));
    let audit = scene.pbuild().args(["audit", "--secret", "id=TOKEN", image.as_str()]);
    audit.env("TOKEN", token.text()).env("DOCKER_CONTEXT", context).run().expect_code(0).expect_stdout("CLEAN");
}

#[test]
fn a_context_over_tls_is_an_engine_and_strangers_are_refused_on_both_sides() {
    let engine = Engine::get(Flavour::Modern);
    let relay = BuilderRelay::engine_tls(&engine);
    let scene = Scene::new();
    let token = scene.oracle().token("TOKEN");
    let image = ImageName::new(&engine, "tls");
    let endpoint = |authority: &str, pair: &str| {
        let file = |name: String| relay.file(&name).display().to_string();
        let (authority, own, key) =
            (file(authority.to_owned()), file(format!("{pair}.pem")), file(format!("{pair}.key")));
        format!("host={},ca={authority},cert={own},key={key}", relay.address())
    };
    create_context(&scene, "far", &endpoint("ca.pem", "client"));
    check(&scene, "far", &image, &token);

    create_context(&scene, "unknown-server", &endpoint("stranger.pem", "client"));
    create_context(&scene, "unknown-client", &endpoint("ca.pem", "stranger"));
    for context in ["unknown-server", "unknown-client"] {
        let refused = build(&scene, context, &image, &token).run();
        refused.expect_code(30).expect_stderr("TLS with tcp://127.0.0.1");
    }
    build(&scene, "missing", &image, &token).run().expect_code(2).expect_stderr("missing");
}

/// Debian's sshd in a container, whose `docker system dial-stdio` reaches the engine.
struct Sshd<'engine> {
    engine: &'engine Engine,
    container: String,
    folder: PathBuf,
}

/// The program that docker's client runs on the other machine. It connects its standard input and output with the
/// engine's socket.
const DIAL: &str = "#!/usr/bin/python3
import os, socket, sys, threading
assert sys.argv[1:] == ['system', 'dial-stdio'], sys.argv
engine = socket.socket(socket.AF_UNIX)
engine.connect('/engine.sock')
def up():
    while data := os.read(0, 65536): engine.sendall(data)
    engine.shutdown(socket.SHUT_WR)
threading.Thread(target=up, daemon=True).start()
while data := engine.recv(65536):
    while data: data = data[os.write(1, data):]
";

impl<'engine> Sshd<'engine> {
    fn start(engine: &'engine Engine, scene: &Scene) -> Self {
        let folder = scene.temporary().join("ssh");
        fs::create_dir(&folder).expect("a folder of the scene");
        for key in ["host", "own", "stranger"] {
            let mut command = Command::new("ssh-keygen");
            command.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(folder.join(key));
            assert!(command.status().expect("ssh-keygen").success());
        }
        fs::copy(folder.join("own.pub"), folder.join("authorized")).expect("a key");
        fs::write(folder.join("docker"), DIAL).expect("a program of the test");
        fs::set_permissions(folder.join("docker"), fs::Permissions::from_mode(0o755)).expect("ours");
        let container = format!("pbuild-test-sshd-{}", std::process::id());
        let start = "chown -R root:root /keys && cp /keys/docker /usr/local/bin/ && mkdir -p /run/sshd && \
                     exec /usr/sbin/sshd -D -e -o HostKey=/keys/host -o AuthorizedKeysFile=/keys/authorized -o UsePAM=no";
        let socket = "/run/engine/docker.sock:/engine.sock";
        let create = ["create", "--name", &container, "--publish", "0:22", "--volume", socket, "pbuild/tools:1"];
        let _ = engine.docker(&[&create[..], &["sh", "-c", start]].concat());
        let _ = engine.docker(&["cp", &format!("{}/.", folder.display()), &format!("{container}:/keys")]);
        let _ = engine.docker(&["start", &container]);
        Self { engine, container, folder }
    }

    fn port(&self) -> String {
        let told = String::from_utf8(self.engine.docker(&["port", &self.container, "22/tcp"])).expect("a port");
        told.lines().next().and_then(|line| line.rsplit(':').next()).expect("a port").trim().to_owned()
    }

    /// Writes a program `ssh` that uses a configuration of its own, and returns its folder, which goes before the
    /// real ssh in the search path.
    fn client(&self, key: &str, knows_the_host: bool) -> PathBuf {
        let bin = self.folder.join(format!("bin-{key}-{knows_the_host}"));
        fs::create_dir(&bin).expect("a folder");
        let host = fs::read_to_string(self.folder.join("host.pub")).expect("a key");
        let known = format!("[{}]:{} {host}", self.engine.address(), self.port());
        fs::write(bin.join("known"), if knows_the_host { known } else { String::new() }).expect("a file");
        let folder = self.folder.display();
        let configuration = format!(
            "IdentityFile {folder}/{key}\nIdentitiesOnly yes\nUserKnownHostsFile {}\nStrictHostKeyChecking yes\nBatchMode yes\n",
            bin.join("known").display()
        );
        fs::write(bin.join("config"), configuration).expect("a file");
        let real = which("ssh");
        let script = format!("#!/bin/sh\nexec {} -F {} \"$@\"\n", real.display(), bin.join("config").display());
        fs::write(bin.join("ssh"), script).expect("a program of the test");
        fs::set_permissions(bin.join("ssh"), fs::Permissions::from_mode(0o755)).expect("ours");
        bin
    }
}

impl Drop for Sshd<'_> {
    fn drop(&mut self) {
        let _ = self.engine.try_docker(&["rm", "--force", "--volumes", &self.container]);
    }
}

fn which(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").expect("PATH");
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file()).expect("it is installed")
}

fn path_with(folder: &Path) -> String {
    format!("{}:{}", folder.display(), std::env::var("PATH").expect("PATH"))
}

#[test]
fn a_context_over_ssh_is_an_engine_and_strangers_are_refused_on_both_sides() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::new();
    let token = scene.oracle().token("TOKEN");
    let image = ImageName::new(&engine, "ssh");
    let sshd = Sshd::start(&engine, &scene);
    create_context(&scene, "far", &format!("host=ssh://root@{}:{}", engine.address(), sshd.port()));
    let ours = sshd.client("own", true);
    let with = |folder: &Path| build(&scene, "far", &image, &token).env("PATH", path_with(folder));
    assert!(becomes(PATIENCE, || {
        let logs = engine.try_docker(&["logs", &sshd.container]);
        String::from_utf8_lossy(&logs.stderr).contains("listening")
    }));
    with(&ours).run().expect_code(0).expect_stderr("clean").expect_stderr("far");
    let digest = ptest::sha256(token.value()).trim_start_matches("sha256:").to_owned();
    assert!(image.run(&["cat", "/seen"]).starts_with(&digest));

    let denied = with(&sshd.client("stranger", true)).run();
    denied.expect_code(30).expect_stderr("Permission denied");
    let unknown = with(&sshd.client("own", false)).run();
    unknown.expect_code(30).expect_stderr("Host key verification failed");
}
