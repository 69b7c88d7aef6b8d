//! What prun keeps of a project: while others work on it, when it is older than what runs, and after a restart of the
//! engine (R7, R8, P5, P6).

use std::fs;
use std::path::Path;

use acceptance::service::VALKEY;
use acceptance::{App, ImageName};
use ptest::{Engine, Flavour, OwnEngine};

const RUN: &str = "[run]\nports = [\"@PORT@:8080\"]\nhealth = { http = \"/healthz\" }\n";

#[test]
fn the_second_is_told_who_works_on_the_project_and_readers_do_not_wait_r7_p6() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "lock");
    app.manifest(RUN);
    app.start();
    // As a prun that is at work: the kernel's lock, and its number in the file.
    let lock = app.scene.home().join(".local/state/prun").join(&app.project).join(".services.age.lock");
    let held = fs::File::options().write(true).open(&lock).expect("the lock lies beside the state");
    held.lock().expect("nobody works on the project");
    fs::write(&lock, "4711").expect("the lock is a file");

    // A command that waited for the lock would end with code 41.
    for words in [
        &["ps"][..],
        &["injected"],
        &["logs"],
        &["services", "list"],
        &["secrets", "list"],
        &["start", "--dry-run"],
        &["exec", "--", "true"],
        &["doctor"],
    ] {
        app.prun(words).run().expect_code(0);
    }
    let mut second = app.prun(&["restart"]).spawn();
    second.wait_for("waiting   prun, process 4711, is at work on this project");
    drop(held);
    second.finish().expect_code(0).expect_stderr("retired   1");

    // A command that waits can be told to stop, and one that waits too long says why.
    let held = fs::File::options().write(true).open(&lock).expect("the lock stays");
    held.lock().expect("nobody works on the project");
    let mut third = app.prun(&["stop"]).spawn();
    third.wait_for("is at work on this project").interrupt();
    third.finish().expect_code(130);
    app.prun(&["stop"]).run().expect_code(41).expect_stderr("is locked by process");
    assert_eq!(app.instances(), ["2.1"]);
}

#[test]
fn a_state_from_a_backup_that_is_older_than_what_runs_is_found_out_p5() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "older");
    app.manifest(&(VALKEY.table() + RUN));
    app.start();
    let state = app.scene.home().join(".local/state/prun").join(&app.project);
    let backup = app.scene.temporary().join("backup");
    copy(&state, &backup);
    let old = VALKEY.login(&app);
    app.prun(&["services", "rotate", "cache"]).run().expect_code(0);
    let new = VALKEY.login(&app);

    copy(&backup, &state);
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

    // Who says so goes on with the older one. Valkey's data holds no password; other servers refuse theirs (R2).
    app.prun(&["stop"]).run().expect_code(0);
    app.start();
    assert!(VALKEY.opens(&app, &old) && !VALKEY.opens(&app, &new));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder of ours");
    fs::set_permissions(to, fs::metadata(from).expect("a folder").permissions()).expect("the folder is ours");
    for name in ["services.age", "generation.age"] {
        fs::copy(from.join(name), to.join(name)).expect("a file of the state");
    }
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
    // What systemd does when the engine has started: whatever the engine's unit wants.
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

/// Runs a unit's command with nothing but the unit's environment.
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
    // No entrypoint of ours, no volume, nothing beside it.
    assert_eq!(app.containers(), [format!("{}.1.1", app.project)]);
    let shown = engine.docker(&["inspect", "--format", "{{.Path}} {{.Args}} {{.Mounts}}", &app.containers()[0]]);
    assert_eq!(String::from_utf8_lossy(&shown).trim(), "sleep [1000] []");
    app.prun(&["exec", "--", "sh", "-c", "echo $MODE"]).run().expect_code(0).expect_stdout("quick\n");
    app.prun(&["start", image.as_str()]).run().expect_code(0).expect_stderr("nothing to change");

    // A start whose container ends takes nobody's place, and with a secret everything is as always.
    app.prun(&["start", image.as_str(), "0.3"]).run().expect_code(1).expect_stderr("ended with exit code 0");
    assert_eq!(app.instances(), ["1.1"]);
    let key = app.scene.oracle().token("APP_KEY");
    app.prun(&["start", "--secret", "id=APP_KEY", image.as_str()]).env("APP_KEY", key.text()).run().expect_code(0);
    assert_eq!(app.digest_of("APP_KEY"), App::digest(key.value()));
    app.prun(&["start", image.as_str()]).run().expect_code(0).expect_stderr("retired   1");
    assert_eq!(app.containers().len(), 1, "what delivered the secret is gone too: {:?}", app.containers());
}
