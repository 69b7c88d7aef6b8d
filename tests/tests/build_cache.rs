//! `--cache-from` and `--cache-to`, with a real registry: what is read spares steps and is searched, and nothing that
//! nobody searched is written.

use acceptance::{ImageName, PATIENCE, Registry, WHOLE, becomes, build, prune, records};
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
        assert!(saved.windows(19).any(|window| window == b"moby.buildkit.cache"));
        scene.oracle().check_bytes("docker save", &saved);
        image.run(&["cat", &mark])
    };
    let read = || {
        let again = build(&scene, &image, &token, &["--cache-from", &pushed]).run();
        again.expect_code(0).expect_stderr("clean");
        assert!(!again.stderr().contains(WHOLE), "{again:?}");
        image.run(&["cat", &mark])
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

/// BuildKit writes to a registry what it knows, and not what was searched.
#[test]
fn a_cache_beside_the_image_is_for_builds_without_secrets() {
    let engine = Engine::get(Flavour::Containerd);
    let registry = Registry::plain_inside(&engine);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    let image = ImageName::new(&engine, "beside");
    let (step, mark) = random(&image);
    scene.write("Dockerfile", format!("FROM busybox\n{step}"));
    let cache = format!("{}/team/cache:1", registry.inside());
    let to = format!("type=registry,ref={cache},mode=max");
    for to in [to.as_str(), &cache, "type=gha,token=t,url=http://127.0.0.1:1"] {
        let refused = build(&scene, &image, &token, &["--cache-to", to]).run();
        refused.expect_code(2).expect_stderr("--cache-to type=").expect_stderr("--cache-to type=inline");
    }
    build(&scene, &image, &token, &["--cache-to", "type=local,dest=x"])
        .run()
        .expect_code(2)
        .expect_stderr("--cache-to");
    for (flag, value) in [("--cache-to", "type=local"), ("--cache-from", "type=local"), ("--cache-to", "mode=max")] {
        scene.pbuild().args(["build", flag, value, "."]).run().expect_code(2).expect_stderr(flag);
    }
    assert!(!image.exists() && registry.digest("team/cache", "1").is_none());

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
    // A cache that is not there is told, and harms nothing.
    scene
        .pbuild()
        .args(["build", "--cache-from", &format!("{}/team/none:1", registry.inside()), "."])
        .run()
        .expect_code(0);
}

/// A folder keeps the results of steps: it is written without secrets, and read with and without. A folder that is not
/// there is reported.
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
    // With secrets the step is another one; what is read is searched.
    let from = ["--cache-from", "type=local,src=cache"];
    build(&scene, &image, &token, &from).run().expect_code(0).expect_stderr("clean");
}
