//! A manifest is code from whoever wrote the repository: what it may do before the user said so, and after.

use std::fs;

use ptest::Scene;

const ACTING: &str = concat!(
    "[secrets]\n",
    "BY_COMMAND = { from = { command = [\"sh\", \"-c\", \"touch was-here; printf %s \\\"$GIVEN\\\"\"] } }\n",
    "BY_VARIABLE = { from = { env = \"GIVEN\" } }\n",
);

/// A project whose manifest acts, and an engine that is not there: what a build says about its secrets comes first.
fn stranger() -> Scene {
    let scene = Scene::new();
    scene.write("app.toml", ACTING);
    scene.write("Dockerfile", "FROM scratch\n");
    scene
}

#[test]
fn a_stranger_s_checkout_runs_no_command_and_names_no_variable() {
    let scene = stranger();
    let given = scene.oracle().token("GIVEN");
    let build = scene.pbuild().args(["build", "."]).env("GIVEN", given.text()).run();
    build.expect_code(2).expect_stderr("before you trust it").expect_stderr("`BY_COMMAND`").expect_stderr("app.toml:2");
    let list = scene.pbuild().args(["secrets", "list"]).env("GIVEN", given.text()).run();
    list.expect_code(0).expect_stdout("not trusted");
    assert!(!list.stdout().contains("set"), "{}", list.stdout());
    let audit = scene.pbuild().args(["audit", "x"]).env("GIVEN", given.text()).run();
    assert_ne!(audit.code(), 0);
    assert!(!scene.project().join("was-here").exists());
}

#[test]
fn what_is_trusted_acts_until_it_changes() {
    let scene = stranger();
    let given = scene.oracle().token("GIVEN");
    let trust = scene.pbuild().arg("trust").run();
    trust.expect_code(0).expect_stderr("`BY_COMMAND` runs").expect_stderr("`BY_VARIABLE` reads");
    let none = format!("unix://{}/none.sock", scene.temporary().display());
    let build = || {
        let build = scene.pbuild().args(["build", "."]).env("GIVEN", given.text()).env("DOCKER_HOST", &none).run();
        (build.code(), build.stderr())
    };
    let (code, said) = build();
    assert!(!said.contains("trust"), "{code}: {said}");
    assert!(scene.project().join("was-here").exists(), "{code}: {said}");
    scene.write("app.toml", ACTING.replace("env = \"GIVEN\"", "env = \"HOME\""));
    let (code, said) = build();
    assert!(code == 2 && said.contains("before you trust it"), "{code}: {said}");
    // Back to what was trusted, then forgotten.
    scene.write("app.toml", ACTING);
    assert_ne!(build().0, 2);
    scene.pbuild().args(["trust", "--forget"]).run().expect_code(0);
    assert_eq!(build().0, 2);
}

#[test]
fn the_flag_trusts_once() {
    let scene = stranger();
    let given = scene.oracle().token("GIVEN");
    let list = |words: &[&str]| {
        let list = scene.pbuild().args(["secrets", "list"]).args(words).env("GIVEN", given.text()).run();
        list.expect_code(0);
        list.stdout()
    };
    assert!(list(&["--trust-config"]).contains("app.toml (variable GIVEN)"));
    assert!(list(&[]).contains("not trusted"));
}

#[test]
fn a_copy_of_a_trusted_manifest_is_another_manifest() {
    let scene = stranger();
    scene.pbuild().arg("trust").run().expect_code(0);
    fs::create_dir(scene.project().join("copy")).unwrap();
    scene.write("copy/app.toml", ACTING);
    let list = scene.pbuild().args(["secrets", "list"]).current_dir(scene.project().join("copy")).run();
    list.expect_code(0).expect_stdout("not trusted");
}
