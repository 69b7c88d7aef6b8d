//! `--push`: a clean image is pushed to a real registry, and nothing else is.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use acceptance::{Registry, on_every_engine};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ptest::{Canary, Engine, Flavour, Outcome, Scene, Tool};
use serde_json::{Value, json};

on_every_engine!(
    a_clean_image_goes_to_a_registry_that_asks_who_one_is,
    a_name_that_another_image_takes_is_no_push_of_ours,
);

struct Push<'a> {
    scene: Scene,
    engine: &'a Engine,
    token: Canary,
    name: String,
}

impl<'a> Push<'a> {
    fn new(engine: &'a Engine, scene: Scene, registry: &Registry<'_>) -> Self {
        let token = scene.oracle().token("TOKEN");
        Self { scene, engine, token, name: format!("{}/team/shop:1", registry.inside()) }
    }

    fn dockerfile(&self, leak: &str) {
        let steps = format!("RUN echo {} > /made; : $TOKEN {leak}\n", self.name);
        // Random bytes, which cannot be compressed to a few.
        self.scene.write("Dockerfile", format!("FROM busybox\n{steps}RUN head -c 300000 /dev/urandom > /bytes\n"));
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        self.run_on(self.engine.docker_host(), arguments)
    }

    fn run_on(&self, docker_host: &str, arguments: &[&str]) -> Outcome {
        self.tool(arguments).env("DOCKER_HOST", docker_host).run()
    }

    fn tool(&self, arguments: &[&str]) -> Tool<'_> {
        let tool = self.scene.pbuild().args(["build", "-t", &self.name, "--secret", "id=TOKEN"]).args(arguments);
        tool.arg(".").env("TOKEN", self.token.text()).env("PATH", self.path())
    }

    fn path(&self) -> String {
        format!("{}:{}", self.scene.project().join("bin").display(), std::env::var("PATH").expect("PATH"))
    }

    /// Writes docker's configuration, which contains a password on purpose.
    fn configure(&self, configuration: &Value) {
        let docker = self.scene.home().join(".docker");
        fs::create_dir_all(&docker).expect("a folder");
        fs::write(docker.join("config.json"), configuration.to_string()).expect("a file");
        self.scene.allow(&docker);
    }

    fn host(&self) -> &str {
        self.name.split('/').next().expect("a host")
    }
}

impl Drop for Push<'_> {
    fn drop(&mut self) {
        let _ = self.engine.try_docker(&["image", "rm", "--force", &self.name]);
    }
}

fn a_clean_image_goes_to_a_registry_that_asks_who_one_is(engine: &Engine) {
    let scene = Scene::on(engine);
    let password = scene.oracle().token("PASSWORD");
    let registry = Registry::guarded(engine, "me", password.text());
    let push = Push::new(engine, scene, &registry);
    push.dockerfile("");
    let there = || registry.digest("team/shop", "1");

    push.run(&["--push"]).expect_code(1).expect_stderr("docker login").expect_stderr("failed to push");
    let auths = |user: &str, password: &str| json!({"auths": {push.host(): {"username": user, "password": password}}});
    push.configure(&auths("me", "wrong"));
    push.run(&["--push"]).expect_code(1).expect_stderr("not accepted");
    assert_eq!(there(), None);

    // A credential helper for one host, and then one for all hosts.
    let pair = json!({"Username": "me", "Secret": password.text()}).to_string();
    let helper = format!("#!/bin/sh\ncat >/dev/null\necho '{pair}'\n");
    let helper = push.scene.write_secret("bin/docker-credential-test", helper);
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o700)).expect("ours");
    push.scene.write(".dockerignore", "bin\n");
    push.configure(&json!({"credHelpers": {push.host(): "test"}}));
    push.run(&["-o", "type=registry", "--metadata-file", "metadata.json"]).expect_code(0).expect_stderr("clean");
    let digest = there().expect("the registry has it");
    let metadata = fs::read(push.scene.project().join("metadata.json")).expect("the file");
    let metadata: Value = serde_json::from_slice(&metadata).expect("JSON");
    assert_eq!(metadata["containerimage.digest"], json!(digest));
    assert_eq!(metadata["image.name"], json!(push.name));
    let pushed = format!("docker://{}/team/shop:1", registry.host());
    push.configure(&json!({"auths": {registry.host(): {"username": "me", "password": password.text()}}}));
    let audit = push.scene.pbuild().args(["audit", "--secret", "id=TOKEN", &pushed]).env("TOKEN", push.token.text());
    audit.env("SSL_CERT_FILE", registry.authority()).run().expect_code(0);

    // A leak is not pushed, and the registry keeps the earlier image.
    push.configure(&json!({"credsStore": "test"}));
    push.dockerfile("; echo $TOKEN > /leak");
    push.run(&["--push"]).expect_code(10);
    assert_eq!(there(), Some(digest.clone()));
    push.dockerfile("; echo other > /other");
    push.run(&["--push", "-q"]).expect_code(0);
    assert!(there().is_some_and(|now| now != digest));

    // Docker's variable wins over docker's file.
    push.configure(&auths("me", "wrong"));
    let pair = STANDARD.encode(format!("me:{}", password.text()));
    let variable = |auth: &str| json!({"auths": {push.host(): {"auth": auth}}}).to_string();
    push.tool(&["--push"]).env("DOCKER_AUTH_CONFIG", variable(&pair)).run().expect_code(0).expect_stderr("clean");
    push.tool(&["--push"]).env("DOCKER_AUTH_CONFIG", variable("bm9ib2R5Om5v")).run().expect_code(1);
    let broken = push.tool(&["--push"]).env("DOCKER_AUTH_CONFIG", format!("{{\"auths\": {pair}}}")).run();
    broken.expect_code(2).expect_stderr("DOCKER_AUTH_CONFIG");
    let told = engine.docker(&["image", "inspect", &push.name]);
    push.scene.oracle().check_bytes("inspect", &told);
}

/// A registry without free space, and names that cannot be pushed, give a clear error and no tag.
#[test]
fn a_full_registry_has_no_half_of_an_image() {
    let engine = Engine::get(Flavour::Containerd);
    let registry = Registry::full(&engine);
    let push = Push::new(&engine, Scene::on(&engine), &registry);
    push.dockerfile("");
    push.run(&["--push"]).expect_code(1).expect_stderr("no space left").expect_stderr("the registry has no such name");
    assert_eq!(registry.digest("team/shop", "1"), None);
    let tool = push.scene.pbuild().args(["build", "--push", "."]);
    tool.run().expect_code(2).expect_stderr("tag is needed when pushing to registry");
    push.run(&["-o", "type=image,push=true,push-by-digest=true"]).expect_code(2).expect_stderr("push-by-digest");
}

/// The tokens of the registry come from a service. An expired token is reported with the command that renews it, and
/// a valid one pushes.
#[test]
fn an_expired_token_is_told_and_a_good_one_pushes() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let password = scene.oracle().token("PASSWORD");
    let registry = Registry::with_tokens_inside(&engine, "me", password.text());
    let push = Push::new(&engine, scene, &registry);
    push.dockerfile("");
    let login = |token: &str| json!({"auths": {push.host(): {"username": "", "identitytoken": token}}});
    push.configure(&login("expired"));
    push.run(&["--push"]).expect_code(1).expect_stderr("docker login").expect_stderr("not accepted");
    assert!(registry.tokens().asked().iter().all(|asked| !asked.granted));
    push.configure(&login(password.text()));
    push.run(&["--push"]).expect_code(0);
    let asked = registry.tokens().asked();
    let pushed = |scope: &String| scope.contains("team/shop") && scope.contains("push");
    assert!(asked.iter().any(|asked| asked.granted && asked.scopes.iter().any(pushed)), "{asked:?}");
}

/// The connection is cut in the middle of a layer. The engine or our client starts again, and the pushed image is
/// complete.
#[test]
fn a_push_that_is_cut_is_begun_again() {
    let engine = Engine::get(Flavour::Containerd);
    let registry = Registry::plain_inside(&engine);
    let proxy = Proxy::start(&engine, &registry.inside());
    let mut push = Push::new(&engine, Scene::on(&engine), &registry);
    push.name = format!("{}/team/shop:1", proxy.address);
    push.dockerfile("");
    push.run(&["--push"]).expect_code(0);
    assert!(registry.digest("team/shop", "1").is_some());
    assert!(proxy.said().contains("cut"), "{}", proxy.said());
}

/// B10: another image gets the name between the search and the push. The pushed image was not searched, and the build
/// reports this.
fn a_name_that_another_image_takes_is_no_push_of_ours(engine: &Engine) {
    let registry = Registry::plain_inside(engine);
    let push = Push::new(engine, Scene::on(engine), &registry);
    push.dockerfile("");
    let between = Between::start(engine, &push.scene, &push.name);
    let refused = push.run_on(&between.address, &["--push"]);
    refused.expect_code(1).expect_stderr("another image").expect_stderr("than the one that was searched");
    assert!(registry.digest("team/shop", "1").is_some(), "the other image is there, which is why it has to be told");
    push.run(&["--push"]).expect_code(0);
}

/// A proxy of the engine that gives the name to another image before the first push.
struct Between {
    address: String,
}

impl Between {
    fn start(engine: &Engine, scene: &Scene, name: &str) -> Self {
        let socket = scene.temporary().join("between.sock");
        let listener = UnixListener::bind(&socket).expect("a socket");
        let target = engine.docker_host().strip_prefix("unix://").expect("an engine on this machine").to_owned();
        let (repository, tag) = name.rsplit_once(':').expect("a name with a tag");
        let rename = format!("POST /images/busybox/tag?repo={repository}&tag={tag} HTTP/1.1\r\nHost: engine\r\n");
        let rename = format!("{rename}Connection: close\r\nContent-Length: 0\r\n\r\n");
        let renamed = Arc::new(AtomicBool::new(false));
        // The thread ends with the test's process.
        thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), target) = (client, target.clone()) else { return };
                let (renamed, rename) = (Arc::clone(&renamed), rename.clone());
                thread::spawn(move || hand_on(client, &target, &renamed, &rename));
            }
        });
        Self { address: format!("unix://{}", socket.display()) }
    }
}

fn hand_on(mut client: UnixStream, target: &str, renamed: &AtomicBool, rename: &str) {
    let mut head = [0; 4096];
    let Ok(length @ 1..) = client.read(&mut head) else { return };
    let connect = || UnixStream::connect(target).expect("the engine");
    let is_push = head[..length].windows(6).any(|window| window == b"/push?");
    if is_push && !renamed.swap(true, Ordering::SeqCst) {
        let (mut engine, mut answer) = (connect(), String::new());
        engine.write_all(rename.as_bytes()).expect("a request");
        engine.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    }
    let mut engine = connect();
    let (mut from, mut to) = (engine.try_clone().expect("a socket"), client.try_clone().expect("a socket"));
    thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let _ = engine.write_all(&head[..length]).and_then(|()| io::copy(&mut client, &mut engine));
    let _ = engine.shutdown(Shutdown::Write);
}

/// A proxy that cuts the first connection after more than a few bytes. It runs inside of the engine's own network.
struct Proxy<'a> {
    engine: &'a Engine,
    container: String,
    address: String,
}

impl<'a> Proxy<'a> {
    fn start(engine: &'a Engine, target: &str) -> Self {
        let port = target.rsplit(':').next().expect("a port");
        let program = format!(
            "import socket, threading\n\
             cut = []\n\
             def pump(a, b, limit):\n\
             \x20   count = 0\n\
             \x20   while True:\n\
             \x20       data = a.recv(65536)\n\
             \x20       count += len(data)\n\
             \x20       if limit and count > 150000 and not cut:\n\
             \x20           cut.append(1); print('cut', flush=True); a.close(); b.close(); return\n\
             \x20       if not data: b.shutdown(socket.SHUT_WR); return\n\
             \x20       b.sendall(data)\n\
             server = socket.create_server(('0.0.0.0', 5000))\n\
             print('ready', flush=True)\n\
             while True:\n\
             \x20   client, _ = server.accept()\n\
             \x20   other = socket.create_connection(('{}', {port}))\n\
             \x20   threading.Thread(target=pump, args=(client, other, True), daemon=True).start()\n\
             \x20   threading.Thread(target=pump, args=(other, client, False), daemon=True).start()\n",
            engine.address()
        );
        let name = format!("pbuild-test-proxy-{}", std::process::id());
        let arguments =
            ["run", "-d", "--name", &name, "--publish", "0:5000", "pbuild/python:3", "python3", "-c", &program];
        let _ = engine.docker(&arguments);
        let mut proxy = Self { engine, container: name, address: String::new() };
        assert!(acceptance::becomes(acceptance::PATIENCE, || proxy.said().contains("ready")));
        let port = String::from_utf8(engine.docker(&["port", &proxy.container, "5000/tcp"])).expect("a port");
        let port = port.lines().next().and_then(|line| line.rsplit(':').next()).expect("a port").trim().to_owned();
        proxy.address = format!("127.0.0.1:{port}");
        proxy
    }

    fn said(&self) -> String {
        String::from_utf8_lossy(&self.engine.docker(&["logs", &self.container])).into_owned()
    }
}

impl Drop for Proxy<'_> {
    fn drop(&mut self) {
        let _ = self.engine.try_docker(&["rm", "--force", "--volumes", &self.container]);
    }
}
