//! Builders that are independent of the engine, as `docker buildx create` makes them: a real BuildKit at an address
//! of its own, and another engine that stores the images (B17).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use acceptance::{BuilderRelay, ImageName, Registry, SERVER};
use ptest::{Canary, Engine, Flavour, Scene, Tool};

/// A project that builds with the BuildKit of one engine, and whose images go to another engine.
struct Shop {
    scene: Scene,
    keeper: Engine,
    maker: Engine,
    token: Canary,
}

impl Shop {
    fn new() -> Self {
        let (keeper, maker) = (Engine::get(Flavour::Modern), Engine::get(Flavour::Containerd));
        let scene = Scene::on(&keeper);
        let token = scene.oracle().token("TOKEN");
        // Such a builder cannot use the images of an engine, so the base is a file of the project.
        let container = String::from_utf8(maker.docker(&["create", "busybox"])).expect("an id");
        let base = maker.docker(&["export", container.trim()]);
        maker.docker(&["rm", container.trim()]);
        scene.write("base.tar", base);
        Self { scene, keeper, maker, token }
    }

    /// Writes a Dockerfile with steps that no other test has.
    fn dockerfile(&self, mark: &str, leak: &str) {
        let text = format!(
            "FROM scratch\nADD base.tar /\nRUN test -n \"$TOKEN\"; echo {mark}-{} > /made{leak}\nCMD [\"cat\", \"/made\"]\n",
            std::process::id()
        );
        self.scene.write("Dockerfile", text);
    }

    fn build(&self, more: &[&str]) -> Tool<'_> {
        let tool = self.scene.pbuild().args(["build", "--progress", "plain", "--secret", "id=TOKEN"]).args(more);
        tool.arg(".").env("TOKEN", self.token.text())
    }

    fn store(&self) -> PathBuf {
        self.scene.home().join(".docker/buildx")
    }

    /// Runs the real `docker buildx` with the builders of the scene.
    fn buildx(&self, arguments: &[&str]) -> Output {
        let mut command = ptest::program("PBUILD_TEST_BUILDX");
        command.args(arguments).env("DOCKER_HOST", self.keeper.docker_host()).env("BUILDX_CONFIG", self.store());
        let output = command.output().expect("buildx runs");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    fn create_with_tls(&self, name: &str, relay: &BuilderRelay, pair: &str) {
        let file = |name: &str| relay.file(name).display().to_string();
        let (own, key) = (file(&format!("{pair}.pem")), file(&format!("{pair}.key")));
        let options = format!("cacert={},cert={own},key={key},servername={SERVER}", file("ca.pem"));
        let _ =
            self.buildx(&["create", "--name", name, "--driver", "remote", "--driver-opt", &options, relay.address()]);
    }

    fn has(&self, name: &str) -> bool {
        self.scene.project().join(name).exists()
    }
}

#[test]
fn b17_a_remote_builder_s_image_is_loaded_when_it_is_clean_and_not_before() {
    let shop = Shop::new();
    let relay = BuilderRelay::tls(&shop.maker);
    shop.create_with_tls("far", &relay, "client");
    let image = ImageName::new(&shop.keeper, "remote");
    let far = ["--builder", "far", "-t", image.as_str()];
    let with = |more: &[&str]| shop.build(&[&far, more].concat()).run();

    for (mark, more) in [("proven", &["--load"][..]), ("whole", &["--load", "--audit-base", "full"])] {
        shop.dockerfile(mark, "; echo $TOKEN > /leak");
        with(more).expect_code(10).expect_stderr("TOKEN");
        assert!(!image.exists(), "{mark}");
        let file = [&["-o", "type=oci,dest=image.tar"], &more[1..]].concat();
        with(&file).expect_code(10);
        assert!(!shop.has("image.tar"), "{mark}");
    }

    shop.dockerfile("clean", "");
    with(&["--load", "--iidfile", "id"]).expect_code(0).expect_stderr("far at tcp://").expect_stderr("clean");
    assert!(image.run(&["cat", "/made"]).starts_with("clean-"));
    let id = fs::read_to_string(shop.scene.project().join("id")).expect("the image's ID");
    let known = shop.keeper.docker(&["image", "inspect", "--format", "{{.Id}}", image.as_str()]);
    assert_eq!(String::from_utf8_lossy(&known).trim(), id);
    assert!(!shop.maker.try_docker(&["image", "inspect", image.as_str()]).status.success());
    shop.scene.oracle().check_bytes("inspect", &image.told_by_the_engine());

    // Such a builder also sends its cache to this machine, where it is searched.
    let cache = ["--load", "--cache-to", "type=local,dest=cache,mode=max"];
    with(&cache).expect_code(0).expect_stderr("audit     cache of ").expect_stderr("blobs written");
    assert!(shop.has("cache/index.json"));
    fs::remove_dir_all(shop.scene.project().join("cache")).expect("the cache is there");

    with(&[]).expect_code(0).expect_stderr("stays in its cache").expect_stderr("clean");
    with(&["-o", "type=oci,dest=image.tar"]).expect_code(0);
    assert!(shop.has("image.tar"));
    with(&["--audit-base", "full"]).expect_code(2).expect_stderr("--audit-base full");
    with(&["-o", "type=image"]).expect_code(2).expect_stderr("push=true");
    // The builder would push the image before the cache is searched.
    let pushing = ["--push", "--cache-to", "type=local,dest=cache"];
    with(&pushing).expect_code(2).expect_stderr("--cache-to: not with secrets, where the builder itself");
}

/// pbuild makes the same files as docker's own client with this builder.
#[test]
fn a_remote_builder_makes_the_files_that_docker_makes() {
    let shop = Shop::new();
    let relay = BuilderRelay::unix(&shop.maker);
    let _ = shop.buildx(&["create", "--name", "near", "--driver", "remote", relay.address()]);
    shop.scene.write("Dockerfile", format!("FROM scratch\nADD base.tar /\nRUN echo {} > /made\n", std::process::id()));
    let project = shop.scene.project().display().to_string();
    let at = |name: &str| format!("type=tar,dest={project}/{name}");
    let _ = shop.buildx(&["build", "--builder", "near", "-o", &at("theirs.tar"), &project]);
    fs::rename(shop.scene.project().join("theirs.tar"), shop.scene.temporary().join("theirs.tar")).expect("ours");
    let tool = shop.scene.pbuild().args(["build", "--builder", "near", "-o", &at("ours.tar"), "."]);
    tool.run().expect_code(0);
    let theirs = fs::read(shop.scene.temporary().join("theirs.tar")).expect("a file");
    let ours = fs::read(shop.scene.project().join("ours.tar")).expect("a file");
    assert!(ours == theirs, "{} and {} bytes", ours.len(), theirs.len());
}

#[test]
fn the_builder_that_buildx_uses_is_ours_too_and_the_doctor_names_it() {
    let shop = Shop::new();
    let relay = BuilderRelay::unix(&shop.maker);
    let _ = shop.buildx(&["create", "--name", "near", "--driver", "remote", relay.address()]);
    shop.dockerfile("current", "");
    let seen = |tool: Tool<'_>| tool.run().expect_code(0).stderr();
    let engine = format!("engine    28.5.2 at {}", shop.keeper.docker_host());
    assert!(!seen(shop.build(&["-o", "type=cacheonly"])).contains("near at unix://"), "{engine}");
    assert!(seen(shop.build(&["-o", "type=cacheonly"]).env("BUILDX_BUILDER", "near")).contains("near at unix://"));
    let _ = shop.buildx(&["use", "near"]);
    assert!(seen(shop.build(&["-o", "type=cacheonly"])).contains("near at unix://"));
    assert!(!seen(shop.build(&["-o", "type=cacheonly", "--builder", "default"])).contains("near at unix://"));
    assert!(seen(shop.build(&["-o", "type=cacheonly", "--builder", relay.address()])).contains(relay.address()));
    assert!(seen(shop.scene.pbuild().args(["build", "--check", "."])).contains("near at unix://"));
    let doctor = shop.scene.pbuild().arg("doctor").run();
    doctor.expect_stdout("near at unix://").expect_stdout("gateway.exec");
}

/// The container of a builder, which is reached through an engine. It is removed when this value is dropped.
struct Boxed<'a>(&'a Engine, &'static str);

impl Drop for Boxed<'_> {
    fn drop(&mut self) {
        let _ = self.0.try_docker(&["rm", "--force", self.1]);
    }
}

#[test]
fn a_builder_in_a_container_is_reached_through_the_engine() {
    let mut shop = Shop::new();
    shop.keeper = Engine::get(Flavour::Containerd);
    let image = ImageName::new(&shop.keeper, "boxed");
    let name = "buildx_buildkit_pbuild-test-boxed0";
    let boxed = |more: &[&str]| {
        let arguments = [&["--builder", "pbuild-test-boxed", "--load", "-t", image.as_str()], more].concat();
        shop.build(&arguments).env("DOCKER_HOST", shop.keeper.docker_host()).run()
    };
    let _ = shop.buildx(&["create", "--name", "pbuild-test-boxed", "--driver", "docker-container"]);
    shop.dockerfile("boxed", "");
    let _removed = Boxed(&shop.keeper, name);
    boxed(&[]).expect_code(30).expect_stderr(name).expect_stderr("docker buildx inspect --bootstrap");

    shop.keeper.docker(&["create", "--name", name, "busybox", "sleep", "600"]);
    boxed(&[]).expect_code(30).expect_stderr("is not running");
    shop.keeper.docker(&["start", name]);
    boxed(&[]).expect_code(30).expect_stderr("buildctl");

    let relay = BuilderRelay::tcp(&shop.maker);
    let (host, port) = relay.address().trim_start_matches("tcp://").rsplit_once(':').expect("a port");
    let install = format!("printf '#!/bin/sh\\ntest \"$1\" = dial-stdio && exec nc {host} {port}\\n' > /bin/buildctl");
    shop.keeper.docker(&["exec", name, "sh", "-c", &format!("{install}; chmod 755 /bin/buildctl")]);
    boxed(&[]).expect_code(0).expect_stderr("in container").expect_stderr("clean");
    assert!(image.run(&["cat", "/made"]).starts_with("boxed-"));
    shop.keeper.docker(&["image", "rm", "--force", image.as_str()]);
    shop.dockerfile("boxed", "; echo $TOKEN > /leak");
    boxed(&[]).expect_code(10);
    assert!(!image.exists());
}

#[test]
fn a_builder_pushes_what_is_proven_and_nothing_else() {
    let shop = Shop::new();
    let registry = Registry::plain_inside(&shop.maker);
    let relay = BuilderRelay::unix(&shop.maker);
    let name = format!("{}/team/shop:1", registry.inside());
    let push =
        |more: &[&str]| shop.build(&[&["--builder", relay.address(), "-t", &name, "--push"], more].concat()).run();
    shop.dockerfile("pushed", "; echo $TOKEN > /leak");
    push(&[]).expect_code(10);
    assert_eq!(registry.digest("team/shop", "1"), None);
    shop.dockerfile("pushed", "");
    push(&["--provenance", "true"]).expect_code(2).expect_stderr("attestations");
    push(&["--audit-base", "full"]).expect_code(2);
    assert_eq!(registry.digest("team/shop", "1"), None);
    let pushed = push(&[]);
    pushed.expect_code(0).expect_stderr("pushed").expect_stderr("clean");
    let digest = registry.digest("team/shop", "1").expect("the registry has it");
    pushed.expect_stderr(&digest);
    // Both: what leaks reaches neither the registry nor the engine of the docker context, what is clean reaches both.
    let loaded = || shop.keeper.try_docker(&["image", "inspect", &name]).status.success();
    shop.dockerfile("both", "; echo $TOKEN > /leak");
    push(&["--load"]).expect_code(10);
    assert!(!loaded());
    assert_eq!(registry.digest("team/shop", "1").as_ref(), Some(&digest));
    shop.dockerfile("both", "");
    push(&["--load"]).expect_code(0);
    assert!(loaded());
    assert_ne!(registry.digest("team/shop", "1").as_ref(), Some(&digest));
    shop.keeper.docker(&["image", "rm", &name]);
}

#[test]
fn a_builder_that_cannot_be_used_is_named_with_the_reason() {
    let shop = Shop::new();
    let relay = BuilderRelay::tls(&shop.maker);
    shop.create_with_tls("far", &relay, "client");
    shop.create_with_tls("stranger", &relay, "stranger");
    shop.dockerfile("none", "");
    let with = |builder: &str| shop.build(&["--builder", builder]).run();
    // A server that refuses a certificate sends its reason and closes. Sometimes the kernel drops the reason together
    // with the connection, because it still held unread bytes; then only the end can be reported.
    let told = (0..5).any(|_| {
        let refused = with("stranger");
        refused.expect_code(30).expect_stderr("stranger at tcp://");
        refused.stderr().contains("alert: ")
    });
    assert!(told, "the reason is told");
    // A connection without TLS to a port with TLS.
    with(relay.address()).expect_code(30).expect_stderr(relay.address());
    with("nowhere").expect_code(2).expect_stderr("(--builder)").expect_stderr("describes far, stranger");
    let by_variable = shop.build(&[]).env("BUILDX_BUILDER", "nowhere").run();
    by_variable.expect_code(2).expect_stderr("(BUILDX_BUILDER)");
    with("tcp://127.0.0.1:1").expect_code(30).expect_stderr("no BuildKit answers at tcp://127.0.0.1:1");
    with("kube-pod://one").expect_code(2).expect_stderr("kube-pod");
    // C16: everybody on the network path could read the connection.
    let open = shop.build(&["--builder", "tcp://127.0.0.1:1", "--require-tls"]).run();
    open.expect_code(2).expect_stderr("--require-tls");
    let address = relay.address().to_owned();
    drop(relay);
    fs::remove_file(shop.store().join("instances/stranger")).expect("a builder");
    // The files of the relay were removed with it.
    with("far").expect_code(2).expect_stderr("ca.pem");
    with(&address).expect_code(30).expect_stderr("no BuildKit answers");
}

/// A builder of two nodes, each a real BuildKit of another engine: the second one is for arm64.
struct Pair<'shop> {
    shop: &'shop Shop,
    relays: [BuilderRelay; 2],
}

impl<'shop> Pair<'shop> {
    fn create(shop: &'shop Shop, name: &str, engines: [&Engine; 2]) -> Self {
        let relays = engines.map(BuilderRelay::unix);
        let create = ["create", "--name", name, "--driver", "remote"];
        let first = ["--node", "near", "--platform", "linux/amd64", relays[0].address()];
        let _ = shop.buildx(&[&create[..], &first].concat());
        let second = ["--append", "--node", "far", "--platform", "linux/arm64", relays[1].address()];
        let _ = shop.buildx(&[&create[..], &second].concat());
        Self { shop, relays }
    }

    /// Builds for both platforms. The programs are those of this machine, which run whatever an image says they are.
    fn build(&self, more: &[&str]) -> Tool<'_> {
        self.shop.build(&[&["--platform", "linux/amd64,linux/arm64"], more].concat())
    }
}

/// Returns the digest of the only image of an OCI layout, and the platforms that the image is for.
fn image_of(folder: &Path) -> (String, Vec<String>) {
    let read = |path: &str| -> serde_json::Value {
        serde_json::from_slice(&fs::read(folder.join(path)).expect("a file of the layout")).expect("JSON")
    };
    let digest = read("index.json")["manifests"][0]["digest"].as_str().expect("an image").to_owned();
    let index = read(&format!("blobs/{}", digest.replacen(':', "/", 1)));
    let platform = |manifest: &serde_json::Value| manifest["platform"]["architecture"].as_str().map(str::to_owned);
    (digest, index["manifests"].as_array().expect("an index").iter().filter_map(platform).collect())
}

#[test]
fn each_node_builds_its_platforms_and_the_parts_become_one_image_when_all_are_clean() {
    let mut shop = Shop::new();
    shop.keeper = Engine::get(Flavour::Containerd);
    let pair = Pair::create(&shop, "pair", [&Engine::get(Flavour::Modern), &shop.maker]);
    let with = |more: &[&str]| pair.build(&[&["--builder", "pair"], more].concat()).run();
    // Docker's own store makes no archives, so that those come of two ways to the other engine.
    let archiving = Pair::create(&shop, "archiving", [&shop.maker, &shop.maker]);
    let archive = |more: &[&str]| archiving.build(&[&["--builder", "archiving"], more].concat()).run();
    let image = ImageName::new(&shop.keeper, "nodes");

    // A leak for one platform keeps the other platform's part from every place.
    shop.dockerfile("nodes", "; test $(cat /arch) = amd64 || echo $TOKEN > /leak");
    let text = fs::read_to_string(shop.scene.project().join("Dockerfile")).expect("a Dockerfile");
    shop.scene.write(
        "Dockerfile",
        text.replace("ADD base.tar /\n", "ARG TARGETARCH\nADD base.tar /\nRUN echo $TARGETARCH > /arch\n"),
    );
    for refused in [archive(&["-o", "type=oci,dest=image.tar"]), with(&["-o", "type=local,dest=out"])] {
        refused.expect_code(10).expect_stderr("TOKEN").expect_stderr("withheld").expect_stderr("linux/amd64");
        assert!(!shop.has("image.tar") && !shop.has("out"), "{refused:?}");
    }

    let text = fs::read_to_string(shop.scene.project().join("Dockerfile")).expect("a Dockerfile");
    shop.scene.write("Dockerfile", text.replace("> /leak", "| wc -c > /leak"));
    archive(&["-o", "type=oci,dest=image.tar", "-t", "pair:1"]).expect_code(0).expect_stderr("clean");
    let built = archive(&["-o", "type=oci,tar=false,dest=layout", "--metadata-file", "metadata.json", "-t", "pair:1"]);
    built.expect_code(0).expect_stderr("clean");
    let (digest, platforms) = image_of(&shop.scene.project().join("layout"));
    assert_eq!(platforms, ["amd64", "arm64"]);
    let metadata = fs::read(shop.scene.project().join("metadata.json")).expect("the metadata");
    let metadata: serde_json::Value = serde_json::from_slice(&metadata).expect("JSON");
    assert_eq!(metadata["containerimage.digest"], digest);
    shop.scene.oracle().check_bytes("the archive", &fs::read(shop.scene.project().join("image.tar")).expect("a file"));
    with(&["-o", "type=local,dest=out"]).expect_code(0);
    for platform in ["linux_amd64", "linux_arm64"] {
        let made = fs::read_to_string(shop.scene.project().join("out").join(platform).join("arch")).expect("a file");
        assert_eq!(format!("linux_{}", made.trim()), platform);
    }
    fs::remove_dir_all(shop.scene.project().join("out")).expect("the files are ours");

    let loaded = |engine: &Engine| {
        let tool = archiving.build(&["--builder", "archiving", "--load", "-t", image.as_str()]);
        tool.env("DOCKER_HOST", engine.docker_host()).run()
    };
    loaded(&Engine::get(Flavour::Modern)).expect_code(2).expect_stderr("--load of several platforms");
    loaded(&shop.keeper).expect_code(0).expect_stderr("clean");
    assert!(image.run(&["cat", "/arch"]).starts_with("amd64"));

    // The node that `--builder-node` names builds for all platforms. Without the flag, a node that does not answer is
    // left out.
    let alone = with(&["--builder-node", "far", "-o", "type=cacheonly"]);
    alone.expect_code(0).expect_stderr("pair at unix://");
    assert_eq!(alone.stderr().matches("pair at unix://").count(), 1, "{alone:?}");
    with(&["--builder-node", "none"]).expect_code(2).expect_stderr("--builder-node").expect_stderr("near, far");
    with(&["-o", "type=tar,dest=x.tar"]).expect_code(2).expect_stderr("type=tar");
    with(&["--cache-to", "type=local,dest=cache"]).expect_code(2).expect_stderr("--builder-node");
    let stored = shop.store().join("instances/archiving");
    let text = fs::read_to_string(&stored).expect("a builder");
    let address = archiving.relays[0].address();
    fs::write(&stored, text.replace(address, "unix:///nowhere.sock")).expect("the builder is ours");
    let rest = archive(&["-o", "type=oci,tar=false,dest=rest"]);
    rest.expect_code(0).expect_stderr("node near is left out").expect_stderr("clean");
    assert_eq!(image_of(&shop.scene.project().join("rest")).1, ["amd64", "arm64"]);
}

#[test]
fn nodes_push_by_digest_and_the_name_comes_last() {
    let shop = Shop::new();
    let registry = Registry::plain_inside(&shop.maker).at_home_too();
    let pair = Pair::create(&shop, "pushing", [&shop.maker, &shop.maker]);
    let name = format!("{}/team/pair:1", registry.inside());
    let push = |more: &[&str]| {
        let words = ["--builder", "pushing", "--push", "-t", &name, "--metadata-file", "metadata.json"];
        pair.build(&[&words, more].concat()).run()
    };
    shop.dockerfile("pushing", "; echo $TOKEN > /leak");
    push(&[]).expect_code(10);
    assert!(registry.catalogue().is_empty(), "{:?}", registry.catalogue());
    shop.dockerfile("pushing", "");
    let pushed = push(&[]);
    pushed.expect_code(0).expect_stderr("clean").expect_stderr("pushed");
    let digest = registry.digest("team/pair", "1").expect("the registry has it");
    pushed.expect_stderr(&digest);
    assert_eq!(registry.catalogue(), ["team/pair:1"]);
    let metadata = fs::read(shop.scene.project().join("metadata.json")).expect("the metadata");
    let metadata: serde_json::Value = serde_json::from_slice(&metadata).expect("JSON");
    assert_eq!((&metadata["containerimage.digest"], &metadata["image.name"]), (&digest.into(), &name.into()));
    shop.scene.oracle().check_bytes("the registry", &registry.files());
    // The real buildx reads it as one image for both platforms.
    let seen = shop.buildx(&["imagetools", "inspect", metadata["image.name"].as_str().expect("a name")]);
    let seen = String::from_utf8_lossy(&seen.stdout).into_owned();
    assert!(seen.contains("linux/amd64") && seen.contains("linux/arm64"), "{seen}");
}
