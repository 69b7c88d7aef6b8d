//! `--cache-from` and `--cache-to`, with a real registry: what is read spares steps and is searched, and nothing that
//! nobody searched is written.

use std::cell::Cell;
use std::path::PathBuf;

use acceptance::{Bucket, ImageName, PATIENCE, Registry, WHOLE, becomes, build, prune, records};
use ptest::{Engine, Flavour, Scene};

/// Makes a step whose result tells whether it ran again, and the text by which its records are found.
fn random(image: &ImageName<'_>) -> (String, String) {
    let mark = format!("/random-{}", image.as_str().replace(['/', ':'], "-"));
    (format!("RUN head -c 30 /dev/urandom | md5sum > {mark}\n"), mark)
}

/// Takes from the engine all that could answer for the step. Returns whether nothing of it is left: BuildKit lets go of
/// what a build used some time after its end.
fn forget(engine: &Engine, image: &ImageName<'_>, pushed: &str, mark: &str) -> bool {
    for name in [image.as_str(), pushed] {
        let _ = engine.try_docker(&["image", "rm", "--force", name]);
    }
    for record in records(engine, mark) {
        prune(engine, &record);
    }
    records(engine, mark).is_empty()
}

/// Whether a build has the result of an earlier one that the engine forgot, so that only a cache elsewhere can have it.
///
/// Both are made again when not: whoever prunes an engine, as other tests do, makes BuildKit sweep its keys, also those
/// that are just being written to a cache or read from one.
fn answers(forget: impl Fn() -> bool, write: impl Fn() -> String, read: impl Fn() -> String) -> bool {
    becomes(PATIENCE, || {
        if !forget() {
            return false;
        }
        let made = write();
        becomes(PATIENCE, &forget) && read() == made
    })
}

fn a_cache_in_the_image_answers_for_steps_with_secrets(engine: &Engine) {
    let registry = Registry::plain_inside(engine);
    let scene = Scene::on(engine);
    let token = scene.oracle().token("TOKEN");
    let image = ImageName::new(engine, "inline");
    let pushed = format!("{}/team/inline:1", registry.inside());
    let (step, mark) = random(&image);
    // What a stage holds that the image is not made of may not come along.
    scene.write("Dockerfile", format!("FROM busybox AS maker\nRUN echo $TOKEN > /leak\nFROM busybox\n{step}"));
    let pushing = ["build", "-t", &pushed, "--push", "--cache-to", "type=inline", "--secret", "id=TOKEN", "."];
    let write = || {
        scene.pbuild().args(pushing).env("TOKEN", token.text()).run().expect_code(0);
        engine.docker(&["tag", &pushed, image.as_str()]);
        let saved = engine.docker(&["save", image.as_str()]);
        scene.oracle().check_bytes("docker save", &saved);
        // A prune by somebody else takes the keys before they are written: then nothing is read, and all is made again.
        let has_cache = saved.windows(19).any(|window| window == b"moby.buildkit.cache");
        if has_cache { image.run(&["cat", &mark]) } else { String::new() }
    };
    let read = || {
        let again = build(&scene, &image, &token, &["--cache-from", &pushed]).run();
        again.expect_code(0).expect_stderr("clean");
        assert!(!again.stderr().contains(WHOLE), "{again:?}");
        let read = image.run(&["cat", &mark]);
        assert!(!read.is_empty(), "the step has made nothing");
        read
    };
    assert!(answers(|| forget(engine, &image, &pushed, &mark), write, read), "the step runs again");
    let _ = engine.try_docker(&["image", "rm", "--force", &pushed]);
}

#[test]
fn a_cache_in_the_image_answers_on_docker_s_own_store() {
    a_cache_in_the_image_answers_for_steps_with_secrets(&Engine::get(Flavour::Modern));
}

#[test]
fn a_cache_in_the_image_answers_on_containerd() {
    a_cache_in_the_image_answers_for_steps_with_secrets(&Engine::get(Flavour::Containerd));
}

/// A key that builds on several builders have in common.
fn shared_key() -> String {
    let mut bytes = [0; 32];
    let mut random = std::fs::File::open("/dev/urandom").expect("random bytes");
    std::io::Read::read_exact(&mut random, &mut bytes).expect("random bytes");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the files of the private folders in which caches wait to be searched.
fn private(scene: &Scene) -> Vec<PathBuf> {
    let mut open = vec![scene.home().join(".cache/pbuild/caches")];
    let mut files = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() { open.push(path) } else { files.push(path) }
        }
    }
    files.retain(|path| path.components().any(|part| part.as_os_str() == "blobs"));
    files
}

/// What is clean is sent by this machine, when it was searched; an empty builder that has the same key runs nothing.
#[test]
fn a_searched_cache_of_a_registry_answers_for_steps_with_secrets() {
    let engine = Engine::get(Flavour::Containerd);
    let registry = Registry::plain(&engine);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    let key = shared_key();
    let image = ImageName::new(&engine, "beside");
    let (step, mark) = random(&image);
    scene.write(
        "Dockerfile",
        format!(
            "FROM busybox AS maker\nRUN echo $TOKEN | wc -c > /made\nFROM busybox\nCOPY --from=maker /made /\n{step}"
        ),
    );
    let to = format!("type=registry,ref={}/team/cache:1,mode=max", registry.host());
    let from = format!("type=registry,ref={}/team/cache:1", registry.inside());
    let with_key = |more: &[&str]| {
        let built = build(&scene, &image, &token, more).env("PBUILD_CACHE_KEY", &key).run();
        built.expect_code(0).expect_stderr("clean");
        (image.run(&["cat", &mark]), built)
    };
    let write = || {
        let (made, built) = with_key(&["--cache-to", &to]);
        built.expect_stderr("audit     cache of ").expect_stderr("cache     type=registry,ref=").expect_stderr("sent");
        made
    };
    let read = || {
        let (made, built) = with_key(&["--cache-from", &from]);
        assert!(!built.stderr().contains(WHOLE), "{built:?}");
        made
    };
    assert!(answers(|| forget(&engine, &image, "none", &mark), write, read), "the step runs again");
    assert_eq!(registry.catalogue(), ["team/cache:1"]);
    scene.oracle().check_bytes("the registry", &registry.files());
    // What the registry has is not sent again, and what was searched stays for the next build.
    let (_, again) = with_key(&["--cache-to", &to]);
    again.expect_stderr("there already");
    assert!(!private(&scene).is_empty());
    // Another key is another builder's: the step is another one.
    let made = image.run(&["cat", &mark]);
    assert!(becomes(PATIENCE, || forget(&engine, &image, "none", &mark)));
    build(&scene, &image, &token, &["--cache-from", &from]).env("PBUILD_CACHE_KEY", shared_key()).run().expect_code(0);
    assert_ne!(image.run(&["cat", &mark]), made);
    // A cache that is not there is told, and harms nothing.
    let none = format!("{}/team/none:1", registry.inside());
    build(&scene, &image, &token, &["--cache-from", &none]).run().expect_code(0);
}

/// A builder that has nothing, and keeps layers in another way, runs no step: both have the same key.
#[test]
fn a_cache_counts_on_another_builder_that_has_the_key() {
    let (maker, other) = (Engine::get(Flavour::Containerd), Engine::get(Flavour::Modern));
    let scene = Scene::on(&maker);
    let token = scene.oracle().token("TOKEN");
    let (image, second) = (ImageName::new(&maker, "shared"), ImageName::new(&other, "shared"));
    let (step, mark) = random(&image);
    // An image's name means another thing to each store, so that the base is a file of the project.
    let container = String::from_utf8(maker.docker(&["create", "busybox"])).expect("an id");
    scene.write("base.tar", maker.docker(&["export", container.trim()]));
    maker.docker(&["rm", container.trim()]);
    let text = format!("FROM scratch\nADD base.tar /\nRUN test -n \"$TOKEN\"; : {mark}\n{step}");
    scene.write("Dockerfile", text);
    scene.write(".dockerignore", "cache\n");
    let key = shared_key();
    let to = ["--cache-to", "type=local,dest=cache,mode=max"];
    build(&scene, &image, &token, &to).env("PBUILD_CACHE_KEY", &key).run().expect_code(0).expect_stderr("2 ran");
    let read = || {
        let tool = build(&scene, &second, &token, &["--cache-from", "type=local,src=cache"]);
        tool.env("PBUILD_CACHE_KEY", &key).env("DOCKER_HOST", other.docker_host()).run()
    };
    // Whoever prunes the engine, as other tests do, may sweep the keys that are just being read.
    let all_cached = becomes(PATIENCE, || {
        let built = read();
        built.expect_code(0).expect_stderr("clean");
        let cached = built.stderr().contains("(2 cached)");
        if !cached {
            forget(&other, &second, "none", &mark);
        }
        cached
    });
    assert!(all_cached && second.run(&["cat", &mark]) == image.run(&["cat", &mark]));
}

/// A cache that a stage leaks into goes nowhere, and the step is named, whether it is seen in the builder or in what the
/// builder wrote; a cache of the image alone may carry what one of all stages has made.
#[test]
fn a_leak_of_a_stage_reaches_no_cache() {
    let engine = Engine::get(Flavour::Containerd);
    let registry = Registry::plain(&engine);
    let scene = Scene::on(&engine);
    // A stage that is no part of the image keeps it in the builder, and so does --keep-leaked-cache.
    let token = scene.oracle().planted("TOKEN");
    let image = ImageName::new(&engine, "stage");
    let (step, _) = random(&image);
    let text = |leak: &str, round: u32| {
        format!(
            "FROM busybox AS maker\nRUN echo {} {round} > /made\n{leak}\nRUN echo later\nFROM busybox\nCOPY --from=maker /made /\n{step}",
            image.as_str()
        )
    };
    scene.write("Dockerfile", text("RUN echo $TOKEN > /leak", 0));
    let to = format!("type=registry,ref={}/team/cache:1", registry.host());
    let max = format!("{to},mode=max");
    let key = shared_key();
    let refused = |more: &[&str]| {
        let built = build(&scene, &image, &token, more).env("PBUILD_CACHE_KEY", &key).run();
        built.expect_code(10).expect_stderr("--cache-to type=").expect_stderr("TOKEN").expect_stderr("Dockerfile:3");
        assert!(!image.exists() && private(&scene).is_empty(), "{built:?}");
        built
    };
    let _ = refused(&["--cache-to", &max, "--cache-to", "type=local,dest=cache,mode=max"]);
    // Without a search in the builder, and with what that leaves there.
    refused(&["--cache-to", &max, "--audit-base", "full", "--keep-leaked-cache"]).expect_stderr("are kept");
    let _ = refused(&["--cache-to", &to]);
    assert!(registry.catalogue().is_empty() && !scene.project().join("cache").exists());

    // The image itself holds nothing, and has its name without the cache; the same without the leak has both.
    build(&scene, &image, &token, &[]).run().expect_code(0);
    // Every refused build prunes, and whoever prunes makes BuildKit sweep its keys. A cached step that lost its key makes a cache
    // empty, so that all steps are new ones until a cache was written.
    let round = Cell::new(0);
    let sent = becomes(PATIENCE, || {
        round.set(round.get() + 1);
        scene.write("Dockerfile", text("RUN true", round.get()));
        let built = build(&scene, &image, &token, &["--cache-to", &max]).run();
        built.expect_code(0);
        built.stderr().contains("sent")
    });
    assert!(sent, "a clean cache is sent");
    assert_eq!(registry.catalogue(), ["team/cache:1"]);
    scene.oracle().check_bytes("the registry", &registry.files());
}

/// What cannot be searched first, or not be made here, is refused before anything runs.
#[test]
fn a_cache_that_nobody_could_search_is_refused() {
    let engine = Engine::get(Flavour::Containerd);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    let image = ImageName::new(&engine, "unsearched");
    scene.write("Dockerfile", "FROM busybox\n");
    for to in ["type=gha,token=t,url=http://127.0.0.1:1", "type=azblob,name=x"] {
        let refused = build(&scene, &image, &token, &["--cache-to", to]).run();
        refused.expect_code(2).expect_stderr("--cache-to type=").expect_stderr("type=registry");
    }
    for (flag, value) in [
        ("--cache-to", "type=local"),
        ("--cache-from", "type=local"),
        ("--cache-to", "mode=max"),
        ("--cache-to", "type=registry"),
        ("--cache-to", "type=registry,ref=UPPER"),
        ("--cache-to", "type=local,dest=x,speed=high"),
        ("--cache-to", "type=registry,ref=r.example/x,registry.insecure=true"),
        ("--cache-to", "type=s3,region=r"),
    ] {
        build(&scene, &image, &token, &[flag, value]).run().expect_code(2).expect_stderr(flag);
    }
    assert!(!image.exists());
    // Docker's own image store exports no cache; docker says the same.
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    scene.write("Dockerfile", "FROM busybox\n");
    let image = ImageName::new(&engine, "unsearched");
    let refused = build(&scene, &image, &token, &["--cache-to", "type=local,dest=cache"]).run();
    refused.expect_code(2).expect_stderr("this engine's image store").expect_stderr("containerd image store");
    scene.pbuild().args(["build", "--cache-to", "type=local,dest=cache", "."]).run().expect_code(2);
}

/// A registry that asks for a token gets docker's credentials, and one that may write.
#[test]
fn a_cache_is_sent_with_docker_s_credentials() {
    let engine = Engine::get(Flavour::Containerd);
    let scene = Scene::on(&engine);
    let (token, password) = (scene.oracle().token("TOKEN"), scene.oracle().token("PASSWORD"));
    let registry = Registry::with_tokens(&engine, "me", password.text());
    let image = ImageName::new(&engine, "credentials");
    let (step, _) = random(&image);
    scene.write("Dockerfile", format!("FROM busybox\n{step}"));
    let to = format!("type=registry,ref={}/team/cache:1", registry.host());
    let send = || build(&scene, &image, &token, &["--cache-to", &to]).run();
    send().expect_code(1).expect_stderr("docker login");
    assert!(!image.exists());
    let docker = scene.home().join(".docker");
    std::fs::create_dir_all(&docker).expect("a folder");
    scene.allow(&docker);
    let entry = serde_json::json!({"auths": {registry.host(): {"username": "me", "password": password.text()}}});
    std::fs::write(docker.join("config.json"), entry.to_string()).expect("a file");
    send().expect_code(0).expect_stderr("sent");
    assert!(registry.digest("team/cache", "1").is_some());
    let asked = registry.tokens().asked();
    let wrote = |scopes: &[String]| {
        scopes.iter().any(|scope| scope.starts_with("repository:team/cache:") && scope.contains("push"))
    };
    assert!(asked.iter().any(|asked| asked.granted && wrote(&asked.scopes)), "{asked:?}");
}

/// A registry that takes no more leaves the name that it has, and the image without one.
#[test]
fn a_registry_without_room_keeps_the_image_from_its_name() {
    let engine = Engine::get(Flavour::Containerd);
    let registry = Registry::full(&engine).at_home();
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    let image = ImageName::new(&engine, "room");
    let (step, _) = random(&image);
    scene.write("Dockerfile", format!("FROM busybox\n{step}"));
    let to = format!("type=registry,ref={}/team/cache:1", registry.host());
    let failed = build(&scene, &image, &token, &["--cache-to", &to]).run();
    failed.expect_code(1).expect_stderr("no space left").expect_stderr("ignore-error=true");
    assert!(!image.exists() && registry.digest("team/cache", "1").is_none());
    let passed = build(&scene, &image, &token, &["--cache-to", &format!("{to},ignore-error=true")]).run();
    passed.expect_code(0).expect_stderr("warning: --cache-to type=registry,ref=");
    assert!(image.exists());
}

/// A registry that never answers holds up the upload and not the user: no name, and no image without one.
#[test]
fn an_interrupted_upload_of_a_cache_names_nothing_b7() {
    let engine = Engine::get(Flavour::Containerd);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    let image = ImageName::new(&engine, "silent");
    let (step, _) = random(&image);
    scene.write("Dockerfile", format!("FROM busybox\n{step}"));
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let to = format!("type=registry,ref={}/team/cache:1", silent.local_addr().expect("an address"));
    let mut running = build(&scene, &image, &token, &["--cache-to", &to, "--iidfile", "id"]).spawn();
    running.wait_for("cache of");
    running.interrupt();
    running.finish().expect_code(130).expect_stderr("no image was tagged");
    assert!(!image.exists() && !scene.project().join("id").exists());
    assert!(!private(&scene).is_empty(), "what was searched stays for the next build");
    // The next build goes on: nothing is written anew.
    let registry = Registry::plain(&engine);
    let to = format!("type=registry,ref={}/team/cache:1", registry.host());
    build(&scene, &image, &token, &["--cache-to", &to]).run().expect_code(0).expect_stderr("sent");
    assert_eq!(registry.catalogue(), ["team/cache:1"]);
}

/// Without secrets BuildKit itself writes the cache, as it does for docker.
#[test]
fn a_cache_without_secrets_is_buildkit_s_own_affair() {
    let engine = Engine::get(Flavour::Containerd);
    let registry = Registry::plain_inside(&engine);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    let image = ImageName::new(&engine, "plain");
    let (step, mark) = random(&image);
    scene.write("Dockerfile", format!("FROM busybox\n{step}"));
    let cache = format!("{}/team/cache:1", registry.inside());
    let to = format!("type=registry,ref={cache},mode=max");
    let plain = |flag: &str, value: &str| {
        scene.pbuild().args(["build", "-t", image.as_str(), flag, value, "."]).run().expect_code(0);
        image.run(&["cat", &mark])
    };
    let from = format!("type=registry,ref={cache}");
    let (write, read) = (|| plain("--cache-to", &to), || plain("--cache-from", &from));
    assert!(answers(|| forget(&engine, &image, &cache, &mark), write, read), "the step runs again");
    let made = image.run(&["cat", &mark]);
    // With secrets the same step is another one, and what the cache cannot answer is run.
    build(&scene, &image, &token, &["--cache-from", &cache]).run().expect_code(0).expect_stderr("clean");
    assert_ne!(image.run(&["cat", &mark]), made);
    assert!(private(&scene).is_empty());
}

/// A folder keeps the results of steps: it is written and read with and without secrets. A folder that is not there is
/// reported.
/// This machine writes to the bucket, and only what was searched. Docker's engines cannot read from a bucket; they build
/// without it.
#[test]
fn a_bucket_gets_a_whole_cache_that_was_searched() {
    let engine = Engine::get(Flavour::Containerd);
    let bucket = Bucket::start(&engine);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    let image = ImageName::new(&engine, "bucket");
    let (step, _) = random(&image);
    let dockerfile = |leak: &str| {
        let maker = format!("FROM busybox AS maker\nRUN echo {} $TOKEN | {leak} > /made\n", image.as_str());
        scene.write("Dockerfile", format!("{maker}FROM busybox\nCOPY --from=maker /made /size\n{step}"));
    };
    let to = format!("{},mode=max", bucket.cache());
    dockerfile("tee /leak | wc -c");
    build(&scene, &image, &token, &["--cache-to", &to]).run().expect_code(10);
    assert!(bucket.names().is_empty(), "{:?}", bucket.names());
    dockerfile("wc -c");
    let built = build(&scene, &image, &token, &["--cache-to", &to]).run();
    built.expect_code(0).expect_stderr("audit     cache of ").expect_stderr("cache     type=s3,bucket=caches");
    let config: serde_json::Value = serde_json::from_slice(&bucket.object("/caches/manifests/shop")).expect("JSON");
    let layers = config["layers"].as_array().expect("layers");
    assert!(layers.len() > 1 && config["records"].is_array(), "{config}");
    for layer in layers {
        let digest = layer["blob"].as_str().expect("a digest");
        assert!(!bucket.object(&format!("/caches/blobs/{digest}")).is_empty(), "{digest}");
    }
    scene.oracle().check_bytes("the bucket", &bucket.files());
    let read = build(&scene, &image, &token, &["--progress", "plain", "--cache-from", &bucket.cache()]).run();
    read.expect_code(0).expect_stderr("unknown cache importer: s3");
}

#[test]
fn a_cache_in_a_folder_answers_for_steps() {
    let engine = Engine::get(Flavour::Containerd);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    let image = ImageName::new(&engine, "folder");
    let (step, mark) = random(&image);
    scene.write("Dockerfile", format!("FROM busybox\n{step}"));
    scene.write(".dockerignore", "cache\n");
    let plain = |flag: &str, value: &str| {
        let built = scene.pbuild().args(["build", "-t", image.as_str(), flag, value, "."]).run();
        built.expect_code(0);
        (image.run(&["cat", &mark]), built)
    };
    let (_, built) = plain("--cache-from", "type=local,src=cache");
    built.expect_stderr("--cache-from type=local,src=cache is left out");
    let write = || plain("--cache-to", "type=local,dest=cache,mode=max").0;
    let read = || plain("--cache-from", "type=local,src=cache").0;
    assert!(answers(|| forget(&engine, &image, "none", &mark), write, read), "the step runs again");
    let index = std::fs::read_to_string(scene.project().join("cache/index.json")).expect("an index");
    assert!(index.contains("latest"), "{index}");
    // With secrets the step is another one, for which the same folder has a cache of its own; what is read is searched.
    let key = shared_key();
    let secret = |flag: &str, value: &str| {
        let built = build(&scene, &image, &token, &[flag, value]).env("PBUILD_CACHE_KEY", &key).run();
        built.expect_code(0).expect_stderr("clean");
        image.run(&["cat", &mark])
    };
    let write = || secret("--cache-to", "type=local,dest=cache,mode=max,tag=secret");
    let read = || secret("--cache-from", "type=local,src=cache,tag=secret");
    assert!(answers(|| forget(&engine, &image, "none", &mark), write, read), "the step runs again");
    let index = std::fs::read_to_string(scene.project().join("cache/index.json")).expect("an index");
    assert!(index.contains("latest") && index.contains("secret"), "{index}");
}
