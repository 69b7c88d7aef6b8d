//! A manifest acts like code of the people who wrote the repository: what it may do before and after the user trusts
//! it.

use std::fs;

use ptest::{Scene, Tool};

const ACTING: &str = concat!(
    "[secrets]\n",
    "BY_COMMAND = { from = { command = [\"sh\", \"-c\", \"touch was-here; printf %s \\\"$GIVEN\\\"\"] } }\n",
    "BY_VARIABLE = { from = { env = \"GIVEN\" } }\n",
    "BY_NAME = {}\n",
);

/// Makes a project whose manifest acts, without an engine. A build reports missing trust before it contacts an
/// engine.
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
    let run =
        |tool: Tool<'_>, words: &[&str]| tool.args(words).env("GIVEN", given.text()).env("BY_NAME", given.text()).run();
    for (tool, words) in [(scene.pbuild(), &["build", "."][..]), (scene.prun(), &["start", "shop:latest"])] {
        let refused = run(tool, words);
        refused.expect_code(2).expect_stderr("may not get the values of `BY_COMMAND`, `BY_VARIABLE`, `BY_NAME`");
        refused.expect_stderr("before you trust it").expect_stderr("app.toml:2").expect_stderr("--trust-config in CI");
        refused.expect_stderr(&format!("`{} trust`", if words[0] == "build" { "pbuild" } else { "prun" }));
    }
    for tool in [scene.pbuild(), scene.prun()] {
        let list = run(tool, &["secrets", "list"]);
        assert_eq!(list.expect_code(0).stdout().matches("not trusted").count(), 3, "{}", list.stdout());
    }
    let audit = run(scene.pbuild(), &["audit", "x"]);
    assert_ne!(audit.code(), 0);
    assert!(!scene.project().join("was-here").exists());
    // The user may name a variable on the command line, even if the manifest may not read it.
    let named = ["secrets", "list", "--secret", "id=BY_NAME"];
    run(scene.pbuild(), &named).expect_code(0).expect_stdout("--secret (variable BY_NAME)");
}

/// An audit searches for the values that trusted commands print, and reports the values that it may not read.
#[test]
fn an_audit_runs_trusted_commands_as_a_build_does() {
    let scene = Scene::new();
    let given = scene.oracle().token("BY_COMMAND");
    scene.write(
        "app.toml",
        concat!(
            "[secrets]\n",
            "BY_COMMAND = { from = { command = [\"sh\", \"-c\", \"touch was-here; printf %s \\\"$GIVEN\\\"\"] } }\n",
        ),
    );
    scene.write("tree/etc/app.conf", [b"token = ", given.value()].concat());
    let audit =
        |words: &[&str]| scene.pbuild().args(["audit", "dir:tree"]).args(words).env("GIVEN", given.text()).run();
    let refused = audit(&[]);
    refused.expect_code(2).expect_stderr("there is no secret to search for");
    refused.expect_stderr("BY_COMMAND is not searched for").expect_stderr("app.toml:2").expect_stderr("`pbuild trust`");
    assert!(!scene.project().join("was-here").exists());
    audit(&["--trust-config"]).expect_code(10).expect_stdout("BY_COMMAND").expect_stdout("/etc/app.conf");
    assert!(scene.project().join("was-here").exists());
    scene.trust();
    audit(&[]).expect_code(10);
    // As in a build, nothing is proven without the value.
    let failed = scene.pbuild().args(["audit", "dir:tree"]).run();
    failed.expect_code(40).expect_stderr("secret `BY_COMMAND` is empty");
    // The test planted the leak on purpose, so it removes the folder before the scene is checked.
    std::fs::remove_dir_all(scene.project().join("tree")).unwrap();
}

/// The store itself lists its recipients, and a manifest cannot add one.
#[test]
fn a_stranger_s_checkout_adds_no_recipient() {
    let (scene, stranger) = (Scene::new(), Scene::new());
    scene.pbuild().args(["secrets", "init"]).run().expect_code(0);
    let recipient = stranger.pbuild().args(["secrets", "recipients", "mine"]).run().stdout();
    for text in
        ["recipients = [\"R\"]\n", "[secrets]\nKEY = { recipients = [\"R\"] }\n", "[store]\nrecipients = [\"R\"]\n"]
    {
        scene.write("app.toml", text.replace('R', recipient.trim()));
        let set = scene.pbuild().args(["secrets", "set", "KEY"]).stdin("a value of sixteen").run();
        // Without one of our keys, the file belongs to another program and is not read at all.
        match text.contains("[secrets]") {
            true => set.expect_code(2).expect_stderr("unknown key"),
            false => set.expect_code(0).expect_stderr("is another program's, by its key"),
        };
    }
    scene.write("app.toml", "[secrets]\nKEY = {}\n");
    scene.pbuild().args(["secrets", "set", "KEY"]).stdin("a value of sixteen").run().expect_code(0);
    let listed = scene.pbuild().args(["secrets", "recipients", "list"]).run().stdout();
    assert!(listed.lines().count() == 1 && !listed.contains(recipient.trim()), "{listed}");
}

/// `prun` needs trust before it mounts paths of the host. There is no engine, so a trusted start ends with code 30.
#[test]
fn a_stranger_s_checkout_mounts_nothing_of_the_host() {
    let scene = Scene::new();
    let none = format!("unix://{}/none.sock", scene.temporary().display());
    let init = "[[init]]\nname = \"own\"\ncommand = [\"chroot\", \"/host\"]\n";
    scene.write("app.toml", format!("image = \"busybox\"\n[run]\nvolumes = [\"/:/host\"]\n{init}"));
    let prun = |words: &[&str]| scene.prun().args(words).env("DOCKER_HOST", &none).run();
    let refused = |words: &[&str], code| {
        let refused = prun(words);
        refused.expect_code(code).expect_stderr("may not reach into this machine before you trust it");
        refused
            .expect_stderr("app.toml:3: the container reads and writes \"/\"")
            .expect_stderr("app.toml:6: `own` runs");
        refused.expect_stderr("then `prun trust`");
    };
    let doctor = || prun(&["doctor"]).stdout();
    refused(&["start"], 2);
    // As in docker, `run` reserves all exit codes below 125 for the command.
    refused(&["run", "busybox", "true"], 125);
    assert!(doctor().contains("2 of 2 entries that need trust are not trusted"), "{}", doctor());
    assert!(doctor().contains("line 3: the container reads and writes \"/\" of the host"), "{}", doctor());
    let shown = prun(&["trust", "--dry-run"]);
    shown.expect_code(0).expect_stderr("reads and writes \"/\"").expect_stderr("nothing is remembered");
    refused(&["start"], 2);
    assert_eq!(prun(&["start", "--trust-config"]).code(), 30);
    prun(&["trust"]).expect_code(0);
    assert_eq!(prun(&["start"]).code(), 30);
}

#[test]
fn what_is_trusted_acts_until_it_changes() {
    let scene = stranger();
    let given = scene.oracle().token("GIVEN");
    let trust = scene.pbuild().arg("trust").run();
    trust
        .expect_code(0)
        .expect_stderr("`BY_COMMAND` runs")
        .expect_stderr("`BY_VARIABLE` reads")
        .expect_stderr("`BY_NAME` reads");
    let none = format!("unix://{}/none.sock", scene.temporary().display());
    let build = || {
        let tool = scene.pbuild().args(["build", "."]).env("GIVEN", given.text()).env("BY_NAME", given.text());
        let build = tool.env("DOCKER_HOST", &none).run();
        (build.code(), build.stderr())
    };
    let (code, said) = build();
    assert!(!said.contains("trust"), "{code}: {said}");
    assert!(scene.project().join("was-here").exists(), "{code}: {said}");
    scene.write("app.toml", ACTING.replace("env = \"GIVEN\"", "env = \"HOME\""));
    let (code, said) = build();
    assert!(code == 2 && said.contains("the value of `BY_VARIABLE` before you trust it"), "{code}: {said}");
    // A name whose value is in the store needs no new trust.
    scene.write("app.toml", format!("{ACTING}SEALED = {{}}\n"));
    let sealed = scene.oracle().token("SEALED");
    scene.pbuild().args(["secrets", "init"]).run().expect_code(0);
    scene.pbuild().args(["secrets", "set", "SEALED"]).stdin(sealed.value()).run().expect_code(0);
    assert_ne!(build().0, 2);
    // The manifest is again the trusted one, and is then forgotten. Both tools share the record of trust.
    scene.write("app.toml", ACTING);
    assert_ne!(build().0, 2);
    scene.prun().args(["trust", "--forget"]).run().expect_code(0);
    assert_eq!(build().0, 2);
    scene.prun().arg("trust").run().expect_code(0);
    assert_ne!(build().0, 2);
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
