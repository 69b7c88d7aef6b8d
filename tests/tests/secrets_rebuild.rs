//! The value with which a cached step ran: a step with another value is another step, on every engine. If `rebuild =
//! false` accepts the result of another value, the build says so.

use acceptance::{ImageName, on_every_engine};
use ptest::{Canary, Engine, Scene};

on_every_engine!(a_new_value_runs_its_steps_again_and_a_known_one_does_not_b15);
on_every_engine!(two_users_of_one_builder_share_cached_steps);
on_every_engine!(a_mount_of_the_dockerfile_s_own_is_bound_and_leaves_no_trace);
on_every_engine!(somebody_else_s_stage_is_not_taken_from_the_cache);
on_every_engine!(a_secret_that_is_left_out_of_the_cache_key_is_told_and_refused_under_strict);
on_every_engine!(a_step_that_leaked_runs_again_though_its_record_stayed);
on_every_engine!(two_builds_at_once_do_not_share_a_step);

/// A key that several users share.
const SHARED_KEY: &str = "5f0c7e1a9b3d4468a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718";
const OTHER_KEY: &str = "XwyOGps9RGihssPU5fYHGCk6S1xtfo+QobLD1OX2Bxg=";

/// Makes a text that makes the steps of one test on one engine unique.
fn mark(engine: &Engine, test: &str) -> String {
    format!("{test}-{:?}-{}", engine.flavour(), std::process::id())
}

/// Returns the digest that a step leaves of its value. A cached result thus shows the value with which the step ran.
fn seen(token: &Canary) -> String {
    ptest::sha256(token.value()).trim_start_matches("sha256:").to_owned()
}

fn a_new_value_runs_its_steps_again_and_a_known_one_does_not_b15(engine: &Engine) {
    let scene = Scene::on(engine);
    let (one, two) = (scene.oracle().token("ONE"), scene.oracle().token("TWO"));
    let mark = mark(engine, "rebuild");
    scene.write(
        "Dockerfile",
        format!("FROM busybox\nRUN echo {mark} ran-$((40+2)); printf %s \"$TOKEN\" | sha256sum > /seen\n"),
    );
    let image = ImageName::new(engine, "rebuild");
    let build = |token: &Canary, key: &str| {
        let tool =
            scene.pbuild().args(["build", "--progress", "plain", "-t", image.as_str(), "--secret", "id=TOKEN", "."]);
        let outcome = tool.env("TOKEN", token.text()).env("PBUILD_CACHE_KEY", key).run();
        outcome.expect_code(0).expect_stderr("clean");
        assert!(!outcome.stderr().contains("warning"), "{outcome:?}");
        assert!(image.run(&["cat", "/seen"]).starts_with(&seen(token)), "the step saw today's value");
        outcome.stderr().contains("ran-42")
    };
    let ran = [
        // These builds have no key of the user.
        build(&one, ""),
        build(&one, ""),
        build(&two, ""),
        build(&one, ""),
        build(&one, SHARED_KEY),
        build(&one, SHARED_KEY),
        build(&one, OTHER_KEY),
    ];
    assert_eq!(ran, [true, false, true, false, true, false, true]);
    scene.oracle().check_bytes("inspect and history", &image.told_by_the_engine());
}

/// No user has a key, so the builder keeps one for both of them.
fn two_users_of_one_builder_share_cached_steps(engine: &Engine) {
    let scene = Scene::on(engine);
    let (one, two) = (scene.oracle().token("ONE"), scene.oracle().token("TWO"));
    let mark = mark(engine, "two-users");
    scene.write(
        "Dockerfile",
        format!("FROM busybox\nRUN echo {mark} ran-$((40+2)); printf %s \"$TOKEN\" | sha256sum > /seen\n"),
    );
    let image = ImageName::new(engine, "two-users");
    let build = |user: &str, token: &Canary| {
        let tool =
            scene.pbuild().args(["build", "--progress", "plain", "-t", image.as_str(), "--secret", "id=TOKEN", "."]);
        let outcome = tool.env("TOKEN", token.text()).env("XDG_STATE_HOME", scene.home().join(user)).run();
        outcome.expect_code(0).expect_stderr("clean");
        assert!(image.run(&["cat", "/seen"]).starts_with(&seen(token)), "the step saw today's value");
        outcome.stderr().contains("ran-42")
    };
    let ran = [build("ann", &one), build("bob", &one), build("ann", &two), build("bob", &one), build("bob", &two)];
    assert_eq!(ran, [true, false, true, false, false]);
}

fn a_mount_of_the_dockerfile_s_own_is_bound_and_leaves_no_trace(engine: &Engine) {
    let scene = Scene::on(engine);
    let (one, two) = (scene.oracle().token("ONE"), scene.oracle().token("TWO"));
    let mark = mark(engine, "mounted");
    scene.write("app.toml", "[build]\ninject = \"mounted\"\n\n[secrets]\nTOKEN = {}\n");
    scene.trust();
    scene.write(
        "Dockerfile",
        format!(
            "FROM busybox\nRUN --mount=type=secret,id=TOKEN,target=/key echo {mark} ran-$((40+2)); sha256sum </key >/seen; \
             ls /run >/run-holds; grep -c pbuild-binding /proc/self/mounts >/mounts || true\n"
        ),
    );
    let image = ImageName::new(engine, "mounted");
    let build = |token: &Canary| {
        let tool = scene.pbuild().args(["build", "--progress", "plain", "-t", image.as_str(), "."]);
        let outcome = tool.env("TOKEN", token.text()).run();
        outcome.expect_code(0).expect_stderr("clean");
        assert!(!outcome.stderr().contains("asked for secret"), "{outcome:?}");
        assert!(image.run(&["cat", "/seen"]).starts_with(&seen(token)), "the step saw today's value");
        assert!(!image.run(&["cat", "/run-holds"]).contains("pbuild"), "the binding is no file");
        assert_eq!(image.run(&["cat", "/mounts"]).trim(), "0");
        outcome.stderr().contains("ran-42")
    };
    assert_eq!([build(&one), build(&one), build(&two), build(&one)], [true, false, true, false]);
}

fn somebody_else_s_stage_is_not_taken_from_the_cache(engine: &Engine) {
    let scene = Scene::on(engine);
    // A stage that is not a part of the first image keeps its value in the builder's cache.
    let (one, two) = (scene.oracle().planted("ONE"), scene.oracle().token("TWO"));
    let mark = mark(engine, "stage");
    scene.write(
        "Dockerfile",
        format!(
            "FROM busybox AS builder\nRUN echo {mark} > /app.js && echo \"token=$NPM_TOKEN\" > /npmrc\n\
             FROM busybox AS test\nCOPY --from=builder /app.js /app.js\n\
             FROM busybox AS release\nCOPY --from=builder /npmrc /npmrc\n"
        ),
    );
    let image = ImageName::new(engine, "stage");
    let build = |target: &str, token: &Canary| {
        let tool =
            scene.pbuild().args(["build", "--target", target, "-t", image.as_str(), "--secret", "id=NPM_TOKEN", "."]);
        tool.env("NPM_TOKEN", token.text()).run()
    };
    build("test", &one).expect_code(0).expect_stderr("clean");
    // The value of this build is found in its own image. The cached stage contains the value of the other one.
    build("release", &two).expect_code(10).expect_stderr("NPM_TOKEN");
}

fn a_secret_that_is_left_out_of_the_cache_key_is_told_and_refused_under_strict(engine: &Engine) {
    let scene = Scene::on(engine);
    let (one, two) = (scene.oracle().token("ONE"), scene.oracle().token("TWO"));
    let mark = mark(engine, "every-run");
    scene.write("app.toml", "[secrets]\nTOKEN = { rebuild = false }\n");
    scene.trust();
    scene.write("Dockerfile", format!("FROM busybox\nRUN echo {mark}; printf %s \"$TOKEN\" | sha256sum > /seen\n"));
    let image = ImageName::new(engine, "every-run");
    let build = |token: &Canary, more: &[&str]| {
        let tool = scene.pbuild().args(["build", "-t", image.as_str()]).args(more).arg(".");
        tool.env("TOKEN", token.text()).run()
    };
    let doubt = "another value of TOKEN may have made its result";
    let first = build(&one, &["--strict"]);
    first.expect_code(0).expect_stderr("clean");
    assert!(!first.stderr().contains(doubt), "{first:?}");
    build(&two, &[]).expect_code(0).expect_stderr("clean").expect_stderr(doubt);
    assert!(image.run(&["cat", "/seen"]).starts_with(&seen(&one)), "the step is the other value's");
    build(&two, &["--strict"]).expect_code(11).expect_stderr("--strict").expect_stderr(doubt);
    // The flag wins over the manifest.
    let bound = build(&two, &["--strict", "--secret", "id=TOKEN,rebuild=true"]);
    bound.expect_code(0);
    assert!(image.run(&["cat", "/seen"]).starts_with(&seen(&two)));
}

/// The record of the step contains the first value, which the second build cannot find, because the value is not a
/// part of the step's cache key.
fn a_step_that_leaked_runs_again_though_its_record_stayed(engine: &Engine) {
    let scene = Scene::on(engine);
    let (one, two) = (scene.oracle().planted("ONE"), scene.oracle().planted("TWO"));
    let mark = mark(engine, "noted");
    scene.write("Dockerfile", format!("FROM busybox\nRUN echo {mark}; printf %s \"$TOKEN\" > /kept\n"));
    let image = ImageName::new(engine, "noted");
    let build = |token: &Canary, more: &[&str]| {
        let tool = scene.pbuild().args(["build", "-t", image.as_str(), "--secret", "id=TOKEN,rebuild=false"]);
        tool.args(more).arg(".").env("TOKEN", token.text()).run()
    };
    build(&one, &["--keep-leaked-cache"]).expect_code(10).expect_stderr("/kept");
    build(&two, &[]).expect_code(10).expect_stderr("/kept");
}

/// While one build runs a step, a build with another value would join that step if both steps were the same.
fn two_builds_at_once_do_not_share_a_step(engine: &Engine) {
    let scene = Scene::on(engine);
    let (one, two) = (scene.oracle().token("ONE"), scene.oracle().token("TWO"));
    let mark = mark(engine, "at-once");
    let build = |token: &Canary, image: &ImageName<'_>, spec: &str| {
        let tool = scene.pbuild().args(["build", "--progress", "plain", "-t", image.as_str(), "--secret", spec, "."]);
        tool.env("TOKEN", token.text())
    };
    let both = |text: &str, spec: &str| {
        scene.write(
            "Dockerfile",
            format!("FROM busybox\nRUN echo {mark}{text}; sleep 4; printf %s \"$TOKEN\" | sha256sum > /seen\n"),
        );
        let (first, second) = (ImageName::new(engine, "at-once-a"), ImageName::new(engine, "at-once-b"));
        let mut earlier = build(&one, &first, spec).spawn();
        // The step is shown when it begins. The other build starts while the step sleeps. Both builds may make the
        // same image.
        earlier.wait_for(&format!("{mark}{text}"));
        let later = build(&two, &second, spec).run();
        earlier.finish().expect_code(0);
        let saw = (later.code() == 0).then(|| second.run(&["cat", "/seen"]));
        (later, saw)
    };
    let (later, saw) = both("bound", "id=TOKEN");
    later.expect_code(0);
    assert!(saw.is_some_and(|saw| saw.starts_with(&seen(&two))), "its own value");

    let (later, _) = both("unbound", "id=TOKEN,rebuild=false");
    later.expect_code(11).expect_stderr("did not ask this build for TOKEN");
}

#[test]
fn a_key_that_could_be_guessed_is_refused_and_a_made_one_is_none() {
    let scene = Scene::new();
    let token = scene.oracle().token("TOKEN");
    scene.write("app.toml", "[secrets]\nTOKEN = {}\n");
    scene.trust();
    scene.write("Dockerfile", "FROM scratch\n");
    let build =
        |key: &str| scene.pbuild().args(["build", "."]).env("TOKEN", token.text()).env("PBUILD_CACHE_KEY", key).run();
    for weak in ["short", "a key that all runners share"] {
        build(weak).expect_code(2).expect_stderr("32 random bytes").expect_stderr("pbuild secrets cache-key");
    }
    let made = scene.pbuild().args(["secrets", "cache-key"]).run();
    made.expect_code(0);
    assert_eq!(made.stdout().trim().len(), 64);
    let again = scene.pbuild().args(["secrets", "cache-key"]).run();
    assert_ne!(made.stdout(), again.stdout());
}
