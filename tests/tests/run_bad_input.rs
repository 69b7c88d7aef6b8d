//! Starts that fail on a real engine: the message is clear, and the earlier instances keep running (R2–R5, R14).

use acceptance::App;
use ptest::{Engine, Flavour};

const PLAIN: &str = "[run]\nports = [\"@PORT@:8080\"]\nhealth = { http = \"/healthz\" }\n";

fn service(kind: &str, image: &str) -> String {
    format!("[services.db]\nkind = \"{kind}\"\nimage = \"{image}\"\n")
}

#[test]
fn no_engine_is_told_with_what_to_do_b1() {
    let scene = ptest::Scene::new();
    scene.write("app.toml", "image = \"shop\"\n");
    scene
        .prun()
        .arg("start")
        .env("DOCKER_HOST", format!("unix://{}/nowhere.sock", scene.temporary().display()))
        .run()
        .expect_code(30)
        .expect_stderr("no engine answers")
        .expect_stderr("help: start Docker");
}

#[test]
fn a_plan_that_cannot_be_followed_starts_nothing() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "plan");
    for (manifest, code, text) in [
        ("[services.db]\nknd = \"postgres\"\n", 2, "did you mean `kind`"),
        ("[secrets]\nAPP_KEY = {}\n", 40, "secret `APP_KEY` has no value"),
        ("[env]\nDB_HOST = \"x\"\n[services.db]\nkind = \"postgres\"\n", 2, "[env] `DB_HOST` and service `db`"),
        ("[run]\nports = [\"53:53/sctp\"]\n", 2, "53:53/udp"),
        ("[run]\nvolumes = [\"./missing:/srv\"]\n", 2, "does not exist"),
        (
            "[services.db]\nkind = \"postgres\"\n[services.other]\nkind = \"mysql\"\nprimary = true\n",
            2,
            "services `db` and `other` would both set DB_HOST",
        ),
    ] {
        app.manifest(manifest);
        app.prun(&["start"]).run().expect_code(code).expect_stderr(text);
        assert!(app.instances().is_empty(), "{manifest}");
    }
    app.manifest("");
    app.prun(&["start", "pbuild-test/no-such-image:1"])
        .run()
        .expect_code(1)
        .expect_stderr("image `pbuild-test/no-such-image:1` is not in the engine");
    assert!(app.containers().is_empty());
}

/// The kernel would refuse the app's first exec, so the start reports it before anything runs.
#[test]
fn a_value_longer_than_a_variable_is_told_before_the_start_k14() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "long");
    app.manifest("[secrets]\nLONG = {}\n");
    let fits = 128 * 1024 - "LONG=".len() - 1;
    app.scene.write("long", "x".repeat(fits + 1));
    let outcome = app.prun(&["start", "--secret", "id=LONG,src=long"]).run();
    outcome.expect_code(40).expect_stderr("secret `LONG` has 131067 bytes").expect_stderr("as = \"file\"");
    assert!(app.containers().is_empty());
    // A value that is one byte shorter reaches the app, whose shell starts with it.
    app.scene.write("long", "x".repeat(fits));
    let run = app
        .prun(&[
            "run",
            "--secret",
            "id=LONG,src=long",
            app.image.as_str(),
            "sh",
            "-c",
            "printf '%s bytes' \"${#LONG}\"",
        ])
        .run();
    run.expect_code(0).expect_stdout(&format!("{fits} bytes"));
}

#[test]
fn a_taken_port_names_who_has_it_r4() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "port");
    app.manifest(PLAIN);
    let squatter = format!("{}-squatter", app.project);
    let publish = format!("{}:80", app.port);
    engine.docker(&["run", "--detach", "--name", &squatter, "--publish", &publish, "busybox", "sleep", "1000"]);
    let outcome = app.prun(&["start"]).run();
    engine.docker(&["rm", "--force", &squatter]);
    outcome.expect_code(1).expect_stderr(&format!("port {}:8080 is taken", app.port)).expect_stderr(&squatter);
    assert!(app.instances().is_empty());
    app.start();
}

#[test]
fn a_password_that_somebody_changed_is_found_out_and_never_replaced_r2() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "changed");
    app.manifest(&format!("{}{PLAIN}", service("postgres", "pbuild/postgres:15")));
    app.start();
    app.register("DB_PASSWORD");
    let container = format!("{}-db", app.project);
    let role = app.prun(&["injected", "--reveal", "DB_USERNAME"]).run().stdout().trim().to_owned();
    let statement = format!("alter role {role} password 'changed-by-hand'");
    engine.docker(&["exec", &container, "psql", "-U", "postgres", "-c", &statement]);
    app.prun(&["start"]).run().expect_code(1).expect_stderr("refuses the password that belongs to volume");
    // The earlier instance still runs, and the volume still exists.
    assert_eq!(app.instances(), ["1.1"]);
    assert!(app.get("/healthz").ends_with("ok\n"));
}

#[test]
fn data_whose_password_nobody_knows_is_left_alone_r2() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "unknown");
    app.manifest(&format!("{}{PLAIN}", service("valkey", "pbuild/valkey:8")));
    let volume = format!("{}-db", app.project);
    engine.docker(&["volume", "create", &volume]);
    let outcome = app.prun(&["start"]).run();
    let kept = engine.try_docker(&["volume", "inspect", &volume]).status.success();
    engine.docker(&["volume", "rm", &volume]);
    outcome.expect_code(1).expect_stderr("exists already, and its password is not in this project's state");
    assert!(kept && app.containers().is_empty());
}

#[test]
fn names_of_others_are_never_taken_r14() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "foreign");
    app.manifest(&format!("{}{PLAIN}", service("valkey", "pbuild/valkey:8")));
    let name = format!("{}-db", app.project);
    engine.docker(&["run", "--detach", "--name", &name, "busybox", "sleep", "1000"]);
    let outcome = app.prun(&["start"]).run();
    let runs = engine.docker(&["inspect", "--format", "{{.State.Running}}", &name]);
    engine.docker(&["rm", "--force", &name]);
    outcome.expect_code(1).expect_stderr(&format!("container `{name}` exists and does not belong to this project"));
    assert_eq!(String::from_utf8_lossy(&runs).trim(), "true");
}

#[test]
fn a_service_that_never_becomes_ready_shows_the_end_of_its_log_r3() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "never");
    let silent = acceptance::ImageName::new(&engine, "silent");
    let container = format!("{}-silent", app.project);
    engine.docker(&["create", "--name", &container, "busybox"]);
    let command = "CMD echo thinking about it; sleep 1000";
    engine.docker(&["commit", "--change", command, &container, silent.as_str()]);
    engine.docker(&["rm", &container]);
    app.manifest(&format!("{}{PLAIN}", service("postgres", silent.as_str())));
    app.prun(&["start", "--wait", "3"])
        .run()
        .expect_code(1)
        .expect_stderr("service `db` was not ready within 3 s")
        .expect_stderr("thinking about it")
        .expect_stderr("--wait SECONDS");
    assert!(app.instances().is_empty());
}

#[test]
fn a_service_that_ends_is_not_waited_for_r3() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "ends");
    let broken = acceptance::ImageName::new(&engine, "broken");
    let container = format!("{}-broken", app.project);
    engine.docker(&["create", "--name", &container, "busybox"]);
    engine.docker(&["commit", "--change", "CMD echo no space; exit 3", &container, broken.as_str()]);
    engine.docker(&["rm", &container]);
    app.manifest(&format!("{}{PLAIN}", service("postgres", broken.as_str())));
    app.prun(&["start", "--wait", "60"])
        .run()
        .expect_code(1)
        .expect_stderr("service `db` ended with exit code 3")
        .expect_stderr("no space");
}

#[test]
fn an_init_command_that_fails_keeps_what_ran_and_shows_its_masked_end_r5() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "init");
    let key = app.scene.oracle().token("APP_KEY");
    let manifest = |command: &str| {
        app.manifest(&format!(
            "[secrets]\nAPP_KEY = {{}}\n[[init]]\nname = \"migrate\"\ncommand = [\"sh\", \"-c\", \"{command}\"]\n{PLAIN}"
        ));
    };
    let start = || app.prun(&["start"]).env("APP_KEY", key.text()).run();
    manifest("echo cannot: $APP_KEY; exit 3");
    let failed = start();
    failed.expect_code(1).expect_stderr("init command `migrate` failed with exit code 3; the app was not started");
    failed.expect_stderr("[migrate] cannot: ***APP_KEY***");
    assert!(app.instances().is_empty(), "nothing half-made");

    manifest("true");
    start().expect_code(0);
    manifest("exit 4");
    start().expect_code(1).expect_stderr("exit code 4");
    assert_eq!(app.instances(), ["1.1"], "the old one runs still");
    assert!(app.get("/healthz").ends_with("ok\n"));

    app.manifest(&format!(
        "[secrets]\nAPP_KEY = {{}}\n[[init]]\nname = \"slow\"\ncommand = [\"sleep\", \"60\"]\ntimeout = \"1s\"\n{PLAIN}"
    ));
    start().expect_code(1).expect_stderr("init command `slow` failed with exit code 124").expect_stderr("`timeout`");
    assert_eq!(app.instances(), ["1.1"]);

    // The kernel kills a process like this when memory runs out.
    manifest("kill -9 $$");
    start().expect_code(1).expect_stderr("failed with exit code 137").expect_stderr("when memory runs out");
    assert_eq!(app.instances(), ["1.1"]);
}

#[test]
fn an_app_that_ends_or_never_is_healthy_does_not_replace_the_old_one_r3() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "health");
    app.manifest(PLAIN);
    app.start();
    app.manifest(&PLAIN.replace("/healthz", "/missing"));
    // A change of the health check alone does not replace instances, but a change of a variable does.
    app.manifest(&format!("[env]\nROUND = \"2\"\n{}", PLAIN.replace("/healthz", "/missing")));
    app.prun(&["start", "--wait", "6"])
        .run()
        .expect_code(1)
        .expect_stderr("instance 1 was not healthy within 6 s")
        .expect_stderr("HTTP status 404");
    assert_eq!(app.instances(), ["1.1"]);

    let ending = acceptance::ImageName::new(&engine, "ending");
    let container = format!("{}-ending", app.project);
    engine.docker(&["create", "--name", &container, app.image.as_str()]);
    engine.docker(&["commit", "--change", "CMD echo giving up; exit 9", &container, ending.as_str()]);
    engine.docker(&["rm", &container]);
    app.manifest(PLAIN);
    app.prun(&["start", ending.as_str()])
        .run()
        .expect_code(1)
        .expect_stderr("instance 1 ended with exit code 9 before it was healthy")
        .expect_stderr("giving up");
    assert_eq!(app.instances(), ["1.1"]);
    assert!(app.get("/healthz").ends_with("ok\n"));
}
