//! `examples/shop`, the main use case: a private dependency, every form of RUN, no value in the image, and a refused
//! leak.

use std::path::{Path, PathBuf};
use std::process::Command;

use acceptance::{ImageName, on_every_engine};
use ptest::{Canary, Engine, Flavour, Scene};

on_every_engine!(the_shop_is_built_with_its_private_dependency_and_its_leaking_twin_is_refused);

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the root").join("examples/shop")
}

/// The private index, on the engine's own network.
struct Index<'engine> {
    engine: &'engine Engine,
    container: String,
    address: String,
}

impl<'engine> Index<'engine> {
    fn start(engine: &'engine Engine, token: &Canary) -> Self {
        let container = format!("pbuild-test-index-{}", std::process::id());
        let output = Command::new(example().join("index/start"))
            .args([container.as_str(), "pbuild/python:3"])
            .env("DOCKER_HOST", engine.docker_host())
            .env("INDEX_TOKEN", token.text())
            .output()
            .expect("the example's index starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let address = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Self { engine, container, address }
    }

    /// Returns the status of a request without the token.
    fn answer_to_a_stranger(&self) -> String {
        let ask = "import urllib.request, urllib.error\n\
                   try: urllib.request.urlopen('http://127.0.0.1:8080/simple/shop-greeting/'); print(200)\n\
                   except urllib.error.HTTPError as error: print(error.code)\n";
        let told = self.engine.docker(&["exec", &self.container, "python3", "-c", ask]);
        String::from_utf8_lossy(&told).into_owned()
    }
}

impl Drop for Index<'_> {
    fn drop(&mut self) {
        let _ = self.engine.try_docker(&["rm", "--force", "--volumes", &self.container]);
    }
}

fn the_shop_is_built_with_its_private_dependency_and_its_leaking_twin_is_refused(engine: &Engine) {
    let scene = Scene::on(engine);
    let (token, key) = (scene.oracle().token("INDEX_TOKEN"), scene.oracle().token("APP_KEY"));
    let index = Index::start(engine, &token);
    let host = format!("index:{}", index.address);
    let image = ImageName::new(engine, "shop");
    let build = |file: &str, token: &str, image: &ImageName<'_>| {
        scene
            .pbuild()
            .args(["build", "--trust-config", "--no-cache", "--add-host", &host, "-t", image.as_str(), "-f"])
            .arg(example().join(file))
            .arg(example())
            .env("INDEX_TOKEN", token)
            .env("APP_KEY", key.text())
            .run()
    };
    let file = if engine.flavour() == Flavour::Old { "Dockerfile.old" } else { "Dockerfile" };
    let outcome = build(file, token.text(), &image);
    outcome.expect_code(0).expect_stderr("migration skipped").expect_stderr("clean");
    scene.oracle().check_bytes("inspect and history", &image.told_by_the_engine());
    scene.oracle().check_bytes("docker save", &engine.docker(&["save", image.as_str()]));
    scene
        .pbuild()
        .args(["audit", image.as_str(), "--trust-config", "--config"])
        .arg(example().join("app.toml"))
        .env("INDEX_TOKEN", token.text())
        .env("APP_KEY", key.text())
        .run()
        .expect_code(0)
        .expect_stdout("CLEAN");

    let leaking = ImageName::new(engine, "shop-leaking");
    let outcome = build("Dockerfile.leak", token.text(), &leaking);
    outcome.expect_code(10);
    for text in ["INDEX_TOKEN", "/etc/pip.conf", "Dockerfile.leak:", "deleted"] {
        outcome.expect_stderr(text);
    }
    assert!(!leaking.exists());

    // The index really checks the token: without it, the dependency cannot be installed.
    let refused = ImageName::new(engine, "shop-refused");
    build(file, "not-the-token-of-this-index", &refused).expect_code(1).expect_stderr("No matching distribution");
    assert_eq!(index.answer_to_a_stranger(), "401\n");
    assert!(!refused.exists());
}
