//! `rebuild = true`: a changed value runs the steps that got it again, on every engine.

use acceptance::{ImageName, on_every_engine};
use ptest::{Canary, Engine, Scene};

on_every_engine!(a_new_value_runs_its_steps_again_and_a_known_one_does_not_b15);

fn a_new_value_runs_its_steps_again_and_a_known_one_does_not_b15(engine: &Engine) {
    let scene = Scene::on(engine);
    let (one, two) = (scene.oracle().token("ONE"), scene.oracle().token("TWO"));
    scene.write("app.toml", "[secrets]\nTOKEN = { rebuild = true }\nPLAIN = {}\n");
    scene.trust();
    let mark = format!("{:?}-{}", engine.flavour(), std::process::id());
    // The step leaves a digest of what it saw, so that a cached step tells the value it ran with.
    scene.write(
        "Dockerfile",
        format!("FROM busybox\nRUN echo {mark} ran-$((40+2)); printf %s \"$TOKEN\" | sha256sum > /seen\n"),
    );
    let image = ImageName::new(engine, "rebuild");
    let build = |token: &Canary, plain: &Canary, key: &str| {
        let tool = scene.pbuild().args(["build", "--progress", "plain", "-t", image.as_str(), "."]);
        let tool = tool.env("TOKEN", token.text()).env("PLAIN", plain.text()).env("PBUILD_CACHE_KEY", key);
        let outcome = tool.run();
        outcome.expect_code(0).expect_stderr("clean");
        let digest = ptest::sha256(token.value()).trim_start_matches("sha256:").to_owned();
        assert!(image.run(&["cat", "/seen"]).starts_with(&digest), "the step saw today's value");
        outcome.stderr().contains("ran-42")
    };
    let key = "a key that all runners share";
    let ran = [
        build(&one, &one, key),
        build(&one, &one, key),
        build(&two, &one, key),
        build(&one, &one, key),
        // A secret that is not marked changes nothing.
        build(&one, &two, key),
        build(&one, &one, "another key, another digest"),
    ];
    assert_eq!(ran, [true, false, true, false, false, true]);
    scene.oracle().check_bytes("inspect and history", &image.told_by_the_engine());
}

#[test]
fn without_a_key_the_digest_is_refused() {
    let scene = Scene::new();
    let token = scene.oracle().token("TOKEN");
    scene.write("app.toml", "[secrets]\nTOKEN = { rebuild = true }\n");
    scene.trust();
    scene.write("Dockerfile", "FROM scratch\n");
    let build =
        |key: &str| scene.pbuild().args(["build", "."]).env("TOKEN", token.text()).env("PBUILD_CACHE_KEY", key).run();
    build("").expect_code(2).expect_stderr("rebuild = true").expect_stderr("PBUILD_CACHE_KEY");
    build("short").expect_code(2).expect_stderr("less than 16");
}
