//! The state that prun keeps of a project: while other commands change it, when it is older than the running app, and
//! after a restart of the engine (R7, R8, P5, P6).

use std::fs;
use std::path::Path;

use acceptance::service::VALKEY;
use acceptance::{App, ImageName, PATIENCE};
use ptest::{Engine, Flavour, OwnEngine};

const RUN: &str = "[run]\nports = [\"@PORT@:8080\"]\nhealth = { http = \"/healthz\" }\n";

#[test]
fn the_second_is_told_who_works_on_the_project_and_readers_do_not_wait_r7_p6() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "lock");
    app.manifest(RUN);
    app.start();
    // This start waits in an init command until the file exists.
    let gate = ["sh", "-c", "until [ -e /gate/open ]; do sleep 0.1; done"];
    app.manifest(&format!(
        "[[init]]\nname = \"gate\"\ncommand = {gate:?}\n{RUN}volumes = [\"gate:/gate\"]\n[env]\nMODE = \"next\"\n"
    ));
    let mut first = app.prun(&["start"]).spawn();
    first.wait_for("waiting   instance 1 until its init commands have finished");

    // If one of these commands waited for the lock, it would exceed its deadline.
    for words in [
        &["ps"][..],
        &["injected"],
        &["logs"],
        &["services", "list"],
        &["operators", "list"],
        &["secrets", "list"],
        &["start", "--dry-run"],
        &["exec", "--", "true"],
        &["doctor"],
    ] {
        app.prun(words).deadline(PATIENCE).run().expect_code(0);
    }
    let told = format!("works on {}", app.project);
    let mut second = app.prun(&["restart"]).spawn();
    second.wait_for(&told).wait_for("(prun start); at most 120s");
    // A waiting command can be interrupted, and one that waits too long reports the reason.
    let mut third = app.prun(&["stop"]).spawn();
    third.wait_for(&told).interrupt();
    third.finish().expect_code(130);
    app.prun(&["start", "--wait", "1"]).run().expect_code(41).expect_stderr("it was waited for 1 s");
    assert_eq!(app.instances(), ["1.1", "2.1"]);

    // The lock ends with its holder, even if the holder is killed.
    first.kill();
    assert!(first.finish().was_killed());
    let open = format!("{}_gate:/gate", app.project);
    engine.docker(&["run", "--rm", "--volume", &open, "busybox", "touch", "/gate/open"]);
    second.finish().expect_code(0).expect_stderr("retired   1");
    app.prun(&["start"]).run().expect_code(0);
    assert!(!app.containers().iter().any(|name| name.contains(".state")), "{:?}", app.containers());
}

#[test]
fn a_state_from_a_backup_that_is_older_than_what_runs_is_found_out_p5() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "older");
    app.manifest(&(VALKEY.table() + RUN));
    app.start();
    app.prun(&["state", "backup", "first.age"]).run().expect_code(0).expect_stderr("sealed for the operators");
    let old = VALKEY.login(&app);
    app.prun(&["services", "rotate", "cache"]).run().expect_code(0);
    let new = VALKEY.login(&app);

    app.prun(&["state", "restore", "first.age"]).run().expect_code(0);
    for words in [&["start"][..], &["restart"], &["services", "rotate", "cache"], &["resume"]] {
        app.prun(words)
            .run()
            .expect_code(41)
            .expect_stderr("it knows of generation 1, and 2 was started")
            .expect_stderr("prun stop --project");
    }
    assert_eq!(app.instances(), ["2.1"], "what runs is not touched");
    assert!(app.get("/healthz").ends_with("ok\n"));
    assert!(VALKEY.opens(&app, &new) && !VALKEY.opens(&app, &old));

    // A user may continue with the older state on purpose. Valkey's data holds no password; other servers refuse the
    // older one (R2).
    app.prun(&["stop"]).run().expect_code(0);
    app.start();
    assert!(VALKEY.opens(&app, &old) && !VALKEY.opens(&app, &new));
}

#[test]
fn an_installed_unit_brings_values_back_after_a_restart_of_the_engine_r8() {
    let own = OwnEngine::up(&Engine::get(Flavour::Modern));
    let engine = own.engine();
    let app = App::new(engine, "reboot");
    let key = app.scene.oracle().token("APP_KEY");
    app.scene.write_secret("values", [b"APP_KEY=", key.value(), b"\n"].concat());
    app.manifest("[[init]]\nname = \"migrate\"\ncommand = [\"true\"]\n[run]\nreplicas = 2\n");
    app.prun(&["start", "--env-file", "values"]).run().expect_code(0);
    fs::remove_file(app.scene.project().join("values")).expect("the file is there");
    let units = app.scene.temporary().join("units");
    let folder = units.display().to_string();
    app.prun(&["resume", "--install", "--units", &folder]).run().expect_code(0).expect_stderr("after every start");

    own.restart();
    let has_values = || app.prun(&["exec", "--", "true"]).run().code() == 0;
    assert!(!has_values(), "memory is empty after a restart");
    // All commands report this state in the same way.
    app.prun(&["ps"]).run().expect_code(0).expect_stdout("waits for its values").expect_stderr("prun resume");
    app.prun(&["exec", "--", "true"]).run().expect_code(125).expect_stderr("prun resume --install");
    let container = format!("{}.1.1", app.project);
    let inside =
        engine.try_docker(&["exec", &container, &format!("/.prun/{}", entrypoint(&app)), "exec", "--", "true"]);
    let told = [inside.stdout, inside.stderr].concat();
    assert!(
        String::from_utf8_lossy(&told).contains("`prun resume` brings them back"),
        "{}",
        app.scene.oracle().mask(&told)
    );
    // Acts as systemd does after the engine has started: it runs all units that the engine's unit wants.
    for wanted in fs::read_dir(units.join("docker.service.wants")).expect("a folder of units") {
        run_as_systemd(&app, &fs::read_to_string(wanted.expect("an entry").path()).expect("a unit"));
    }
    assert_eq!(app.digest_of("APP_KEY"), App::digest(key.value()));
    assert_eq!(app.instances(), ["1.1", "1.2"], "nothing was replaced");
    app.check_what_the_engine_tells();
    let canaries = std::env::var_os("PBUILD_TEST_CANARIES").expect("PBUILD_TEST_CANARIES: run scripts/test");
    let swept = ptest::sweep(own.data_root(), Path::new(&canaries));
    assert!(swept.canaries > 0 && swept.traces.is_empty(), "{:#?}", swept.traces);
}

/// Returns the name of the entrypoint in its folder.
fn entrypoint(app: &App<'_>) -> String {
    let container = format!("{}.1.1", app.project);
    let path = app.engine.docker(&["inspect", "--format", "{{index .Config.Entrypoint 0}}", &container]);
    let path = String::from_utf8_lossy(&path).trim().to_owned();
    path.rsplit('/').next().expect("a name").to_owned()
}

#[test]
fn a_declared_value_that_has_no_source_any_more_is_kept_and_an_empty_one_is_set() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "kept");
    let key = app.scene.oracle().token("APP_KEY");
    let other = app.scene.oracle().token("OTHER");
    app.manifest("env_files = [{ path = \".env\" }]\n[secrets]\nAPP_KEY = {}\nEMPTY = {}\n");
    app.scene.write_secret(".env", "EMPTY=\n");
    app.prun(&["trust"]).run().expect_code(0);
    let start = app.prun(&["start", "--secret", "id=APP_KEY", "--secret", "id=OTHER"]);
    start.env("APP_KEY", key.text()).env("OTHER", other.text()).run().expect_code(0);
    let said = ["exec", "--", "sh", "-c", "echo ${EMPTY-unset}:${OTHER:+there}"];
    app.prun(&said).run().expect_code(0).expect_stdout(":there\n");

    // A declared value is kept. A value that only a flag gave is not.
    app.prun(&["start"]).run().expect_code(0).expect_stderr("kept      APP_KEY, as the last start had it");
    assert_eq!(app.digest_of("APP_KEY"), App::digest(key.value()));
    app.prun(&said).run().expect_code(0).expect_stdout(":\n");
    app.prun(&["restart"]).run().expect_code(0);
    app.prun(&said).run().expect_code(0).expect_stdout(":\n");
    // An env file of a flag is read as docker reads it.
    app.scene.write_secret("more", "MORE=\n");
    app.prun(&["start", "--env-file", "more"]).run().expect_code(0);
    app.prun(&["exec", "--", "sh", "-c", "echo ${MORE-unset}:"]).run().expect_code(0).expect_stdout(":\n");
}

#[test]
fn an_earlier_generation_comes_back_with_its_image_and_its_values_and_todays_credentials() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "back");
    app.manifest(&(VALKEY.table() + RUN));
    let (first, second) = (app.scene.oracle().token("FIRST"), app.scene.oracle().token("SECOND"));
    let start = |value: &str| app.prun(&["start", "--secret", "id=APP_KEY"]).env("APP_KEY", value).run();
    start(first.text()).expect_code(0);
    app.prun(&["rollback"]).run().expect_code(2).expect_stderr("no generation before");
    let old = VALKEY.login(&app);
    // The name of the image later belongs to another image.
    let container = format!("{}-next", app.project);
    engine.docker(&["create", "--name", &container, app.image.as_str()]);
    engine.docker(&["commit", "--change", "ENV NEXT=1", &container, app.image.as_str()]);
    engine.docker(&["rm", &container]);
    start(second.text()).expect_code(0);
    app.prun(&["services", "rotate", "cache"]).run().expect_code(0);
    let listed = app.prun(&["generations"]).run();
    listed.expect_code(0).expect_stdout("image APP_KEY");
    assert_eq!(listed.stdout().lines().count(), 4, "{}", listed.stdout());
    let next = || app.prun(&["exec", "--", "sh", "-c", "echo ${NEXT-before}"]).run().stdout();
    assert_eq!(next(), "1\n");

    app.prun(&["rollback", "9"]).run().expect_code(2).expect_stderr("kept are 3, 2, 1");
    app.prun(&["rollback", "1"]).run().expect_code(0).expect_stderr("retired   1");
    assert_eq!((next().as_str(), app.instances()), ("before\n", vec!["4.1".to_owned()]));
    assert_eq!(app.digest_of("APP_KEY"), App::digest(first.value()));
    let now = VALKEY.login(&app);
    assert!(VALKEY.opens(&app, &now) && !VALKEY.opens(&app, &old), "nothing that was revoked comes back");
    assert!(app.get("/healthz").ends_with("ok\n"));
}

/// Runs the command of a unit with only the unit's environment.
fn run_as_systemd(app: &App<'_>, unit: &str) {
    let values =
        |key: &str| unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect::<Vec<_>>();
    let command = values("ExecStart");
    let mut words = command[0].split(' ');
    let mut tool = app.scene.tool("env").arg("--ignore-environment");
    for variable in values("Environment") {
        tool = tool.arg(variable);
    }
    tool = tool.arg(words.next().expect("a program")).args(words);
    tool.run().expect_code(0);
}

#[test]
fn an_image_without_secrets_is_started_as_docker_starts_it() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "plain");
    let image = ImageName::new(&engine, "plain");
    let container = format!("{}-plain", app.project);
    engine.docker(&["create", "--name", &container, app.image.as_str()]);
    let changes =
        ["--change", "ENTRYPOINT [\"sleep\"]", "--change", "CMD [\"1000\"]", "--change", "STOPSIGNAL SIGKILL"];
    engine.docker(&[&["commit"][..], &changes, &[container.as_str(), image.as_str()]].concat());
    engine.docker(&["rm", &container]);
    app.manifest("[env]\nMODE = \"quick\"\n");
    app.prun(&["start", image.as_str()]).run().expect_code(0).expect_stderr("no health check configured");
    // The app has no entrypoint of ours, no volume, and no second container.
    assert_eq!(app.containers(), [format!("{}.1.1", app.project)]);
    let shown = engine.docker(&["inspect", "--format", "{{.Path}} {{.Args}} {{.Mounts}}", &app.containers()[0]]);
    assert_eq!(String::from_utf8_lossy(&shown).trim(), "sleep [1000] []");
    app.prun(&["exec", "--", "sh", "-c", "echo $MODE"]).run().expect_code(0).expect_stdout("quick\n");
    app.prun(&["start", image.as_str()]).run().expect_code(0).expect_stderr("nothing to change");

    // A start whose container ends replaces nothing. With a secret, a start works as usual.
    app.prun(&["start", image.as_str(), "0.3"]).run().expect_code(1).expect_stderr("ended with exit code 0");
    assert_eq!(app.instances(), ["1.1"]);
    let key = app.scene.oracle().token("APP_KEY");
    app.prun(&["start", "--secret", "id=APP_KEY", image.as_str()]).env("APP_KEY", key.text()).run().expect_code(0);
    assert_eq!(app.digest_of("APP_KEY"), App::digest(key.value()));
    app.prun(&["start", image.as_str()]).run().expect_code(0).expect_stderr("retired   1");
    assert_eq!(app.containers().len(), 1, "what delivered the secret is gone too: {:?}", app.containers());
}
