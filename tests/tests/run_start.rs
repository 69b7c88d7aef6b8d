//! `prun start` on real engines: services with generated credentials, delivery in memory, init, health, ports (R2, R9,
//! R12, R16).

use acceptance::{App, on_every_engine};
use ptest::{Engine, Flavour};

on_every_engine!(
    r12_an_app_gets_its_values_and_the_engine_tells_none_of_them,
    a_second_start_changes_nothing_and_a_changed_secret_everything_that_needs_it,
);

const SERVICES: &str = r#"
[secrets]
APP_KEY = {}
BUILD_TOKEN = { scope = "build" }
CERTIFICATE = { scope = "run", as = "file" }
REPORTING_URL = { scope = "run", value = "postgres://${DB_USERNAME}:${DB_PASSWORD}@${DB_HOST}:${DB_PORT}/${DB_DATABASE}" }

[env]
APP_ENV = "test"

[services.db]
kind = "postgres"
image = "pbuild/postgres:15"

[services.cache]
kind = "valkey"
image = "pbuild/valkey:8"

[[init]]
name = "migrate"
command = ["sh", "-c", "test -n \"$DB_PASSWORD\" && test -n \"$APP_KEY\" && echo migrated on $DB_HOST"]

[run]
ports = ["@PORT@:8080"]
health = { http = "/healthz" }
"#;

const PLAIN: &str = "[secrets]\nAPP_KEY = {}\n[run]\nports = [\"@PORT@:8080\"]\nhealth = { http = \"/healthz\" }\n";

fn r12_an_app_gets_its_values_and_the_engine_tells_none_of_them(engine: &Engine) {
    let app = App::new(engine, "values");
    app.manifest(SERVICES);
    let oracle = app.scene.oracle();
    let (key, token, certificate) =
        (oracle.punctuated("APP_KEY"), oracle.token("BUILD_TOKEN"), oracle.key("CERTIFICATE"));
    let outcome = app
        .prun(&["start"])
        .env("APP_KEY", key.text())
        .env("BUILD_TOKEN", token.text())
        .env("CERTIFICATE", certificate.text())
        .run();
    outcome.expect_code(0);
    for text in
        ["credential created, sealed", "ready", "init      migrate", "healthy   1 of 1 instance", "open      http://"]
    {
        outcome.expect_stderr(text);
    }
    let generated =
        ["DB_PASSWORD", "DATABASE_URL", "REDIS_PASSWORD", "REDIS_URL", "REPORTING_URL"].map(|name| app.register(name));
    assert!(app.get("/healthz").ends_with("ok\n"), "the published port answers");

    // What the app has is what was given and generated; what belongs to the build is not there.
    assert_eq!(app.digest_of("APP_KEY"), App::digest(key.value()));
    for canary in &generated {
        assert_eq!(app.digest_of(canary.name()), App::digest(canary.value()), "{}", canary.name());
    }
    let url = format!("postgresql://{}_a:", app.project.replace('-', "_"));
    assert!(generated[1].text().starts_with(&url[..20]));
    let script =
        "sha256sum < \"$CERTIFICATE\"; echo \"${BUILD_TOKEN-absent}\"; echo $APP_ENV; id -u; cat /proc/1/cmdline";
    let seen = app.prun(&["exec", "--", "sh", "-c", script]).run();
    seen.expect_code(0).expect_stdout(&App::digest(certificate.value())).expect_stdout("absent\ntest\n1000\n");
    // Printed, it is masked.
    app.prun(&["exec", "--", "env"]).run().expect_code(0).expect_stdout("DB_PASSWORD=***DB_PASSWORD***");
    app.prun(&["exec", "--", "sh", "-c", "exit 7"]).run().expect_code(7);
    // Only the app's own user reads the values.
    app.prun(&["exec", "--user", "12345", "--", "true"]).run().expect_code(125).expect_stderr("may not read");

    let shown = app.prun(&["injected"]).run();
    shown
        .expect_code(0)
        .expect_stdout("DB_PASSWORD")
        .expect_stdout("••••")
        .expect_stdout("build only, not in the container");
    app.prun(&["ps"]).run().expect_code(0).expect_stdout("running").expect_stdout("pbuild/postgres:15");
    app.prun(&["logs"]).run().expect_code(0).expect_stdout("[migrate] migrated on db");
    app.check_what_the_engine_tells();

    // A login from another container of the network: the right password opens, a wrong one does not.
    let owner = database_name(&app.project);
    let login = |password: &str| {
        let (host, user) = (format!("{}-db", app.project), format!("{owner}_a"));
        let client = ["exec", "--interactive", &host, "psql", "--password", "--host", "db", "--username", &user];
        let query = ["--dbname", &owner, "--tuples-only", "--no-align", "--command", "select current_user"];
        let words: Vec<String> = client.iter().chain(&query).map(|word| (*word).to_owned()).collect();
        (words, password.to_owned())
    };
    let outcome = docker_with_input(engine, login(generated[0].text()));
    assert!(outcome.status.success(), "{}", String::from_utf8_lossy(&outcome.stderr));
    assert_eq!(String::from_utf8_lossy(&outcome.stdout).trim(), owner, "the owner's role is in force");
    assert!(!docker_with_input(engine, login("not-the-password")).status.success());
}

/// Writes the project's name as a role's: see `pcredential`.
fn database_name(project: &str) -> String {
    project.replace('-', "_").chars().take(28).collect()
}

fn docker_with_input(engine: &Engine, (words, input): (Vec<String>, String)) -> std::process::Output {
    use std::io::Write as _;
    let line = std::env::var("PBUILD_TEST_DOCKER").expect("PBUILD_TEST_DOCKER: run scripts/test");
    let mut docker = line.split_whitespace();
    let mut child = std::process::Command::new(docker.next().expect("a program"))
        .args(docker)
        .args(words)
        .env("DOCKER_HOST", engine.docker_host())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the docker client");
    child.stdin.take().expect("a pipe").write_all(format!("{input}\n").as_bytes()).expect("the client reads");
    child.wait_with_output().expect("the client ends")
}

fn a_second_start_changes_nothing_and_a_changed_secret_everything_that_needs_it(engine: &Engine) {
    let app = App::new(engine, "again");
    app.manifest(&PLAIN.replace("[run]", "[services.cache]\nkind = \"valkey\"\nimage = \"pbuild/valkey:8\"\n[run]"));
    let (first, second) = (app.scene.oracle().token("FIRST_KEY"), app.scene.oracle().token("SECOND_KEY"));
    let start = |key: &str| app.prun(&["start"]).env("APP_KEY", key).run();
    start(first.text()).expect_code(0);
    let password = app.digest_of("REDIS_PASSWORD");
    let container = engine.docker(&["inspect", "--format", "{{.Id}}", &format!("{}.1.1", app.project)]);

    start(first.text()).expect_code(0).expect_stderr("nothing to change");
    assert_eq!(engine.docker(&["inspect", "--format", "{{.Id}}", &format!("{}.1.1", app.project)]), container);

    start(second.text()).expect_code(0).expect_stderr("retired   1");
    assert_eq!(app.instances(), ["2.1"]);
    assert_eq!(app.digest_of("APP_KEY"), App::digest(second.value()));
    assert_eq!(app.digest_of("REDIS_PASSWORD"), password, "a credential is generated once");
    app.check_what_the_engine_tells();

    // Stopped, nothing runs, and the data and what opens it stay; started again, it is opened by the same credential.
    app.prun(&["stop"]).run().expect_code(0).expect_stderr("kept");
    assert!(app.containers().is_empty());
    assert_eq!(app.volumes(), ["-cache", ".state"].map(|end| format!("{}{end}", app.project)));
    start(second.text()).expect_code(0);
    assert_eq!(app.digest_of("REDIS_PASSWORD"), password);

    app.prun(&["stop", "--purge", "--yes"]).run().expect_code(0);
    assert!(app.containers().is_empty() && app.volumes().is_empty());
    assert!(!engine.try_docker(&["network", "inspect", &app.project]).status.success());
    app.prun(&["ps"]).run().expect_code(1).expect_stderr("nothing is known");
}

#[test]
fn everything_works_without_a_manifest() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "flags");
    let key = app.scene.oracle().token("APP_KEY");
    app.scene.write_secret("key", key.value());
    let publish = format!("{}:8080", app.port);
    app.prun(&[
        "start",
        app.image.as_str(),
        "--project",
        &app.project,
        "--secret",
        "id=APP_KEY,src=key",
        "-p",
        &publish,
    ])
    .run()
    .expect_code(0)
    .expect_stderr("from --project");
    assert!(app.get("/healthz").ends_with("ok\n"));
    app.prun(&["ps", "--project", &app.project]).run().expect_code(0).expect_stdout("running");
    app.prun(&["stop", "--purge", "--yes", "--project", &app.project]).run().expect_code(0);
}

#[test]
fn each_way_of_delivery_shows_what_its_documentation_says_r16() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "ways");
    let key = app.scene.oracle().token("APP_KEY");
    let inspect = || engine.docker(&["inspect", &format!("{}.{}", app.project, app.instances()[0])]);

    app.manifest(&format!("{PLAIN}deliver = \"files\"\n"));
    app.prun(&["start"]).env("APP_KEY", key.text()).run().expect_code(0);
    let script = "echo \"${APP_KEY-absent}\"; sha256sum < \"$APP_KEY_FILE\"";
    let seen = app.prun(&["exec", "--", "sh", "-c", script]).run();
    seen.expect_code(0).expect_stdout("absent\n").expect_stdout(&App::digest(key.value()));
    app.check_what_the_engine_tells();

    // Asked for by name, the engine's own way: it shows the value to everybody who may ask the engine.
    app.manifest(&format!("{PLAIN}deliver = \"env\"\n"));
    app.prun(&["start"]).env("APP_KEY", key.text()).run().expect_code(0);
    assert_eq!(app.scene.oracle().search("inspect", &inspect()).len(), 1);
    // The engine's interface is JSON, so other bytes would become other ones.
    app.scene.write_secret("bytes", b"\xff\xfe\x80abcdefgh");
    let refused = app.prun(&["start", "--secret", "id=APP_KEY,src=bytes"]).run();
    refused.expect_code(2).expect_stderr("the value of `APP_KEY` is not UTF-8").expect_stderr("as = \"file\"");
    app.prun(&["stop", "--purge", "--yes"]).run().expect_code(0);
}

#[test]
fn images_of_every_shape_run_as_they_did() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "shapes");
    let key = app.scene.oracle().token("APP_KEY");
    let shape = |changes: &[&str], check: &str| {
        let image = acceptance::ImageName::new(&engine, "shape");
        let container = format!("{}-shape", app.project);
        engine.docker(&["create", "--name", &container, app.image.as_str()]);
        // What does not heed SIGTERM would be waited for.
        let mut words = vec!["commit", "--change", "STOPSIGNAL SIGKILL"];
        changes.iter().for_each(|change| words.extend(["--change", change]));
        engine.docker(&[&words[..], &[container.as_str(), image.as_str()]].concat());
        engine.docker(&["rm", &container]);
        app.manifest("[secrets]\nAPP_KEY = {}\n");
        app.prun(&["start", image.as_str()]).env("APP_KEY", key.text()).run().expect_code(0);
        let seen = app.prun(&["exec", "--", "sh", "-c", check]).run();
        app.prun(&["stop"]).run().expect_code(0);
        seen.expect_code(0);
    };
    // The app is process 1, in shell form and with an entrypoint of its own, as a user known by name.
    shape(&["ENTRYPOINT [\"/bin/sleep\"]", "CMD [\"1000\"]", "USER root"], "grep -q sleep /proc/1/cmdline");
    shape(&["CMD exec sleep 1000", "USER nobody"], "test \"$(id -un)\" = nobody && test -n \"$APP_KEY\"");
    // A health check sees the app's environment, which docker's own does not.
    shape(&["CMD [\"sleep\", \"1000\"]", "HEALTHCHECK --interval=1s CMD test -n \"$APP_KEY\""], "test -n \"$APP_KEY\"");
}

#[test]
fn a_first_start_that_fails_binds_nothing_and_the_name_stays_free() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "first");
    app.manifest("[run]\nvolumes = [\"./missing:/srv\"]\n");
    app.prun(&["start", "--trust-config"]).run().expect_code(2).expect_stderr("missing");
    app.manifest("[[init]]\nname = \"fails\"\ncommand = [\"false\"]\n");
    app.prun(&["start"]).run().expect_code(1).expect_stderr("init command `fails`");
    assert!(app.containers().is_empty() && app.volumes().is_empty(), "{:?} {:?}", app.containers(), app.volumes());
    assert!(!engine.try_docker(&["network", "inspect", &app.project]).status.success());
    app.prun(&["ps"]).run().expect_code(1).expect_stderr("nothing is known");
    // Another user of the engine has not lost the name.
    app.manifest("");
    let home = app.scene.temporary().join("other");
    std::fs::create_dir_all(&home).expect("a folder");
    let other = app.prun(&["start"]).env("HOME", &home).env("XDG_STATE_HOME", home.join("state"));
    other.run().expect_code(0);

    // Data that a failed start made is kept, with what opens it.
    let app = App::new(&engine, "second");
    app.manifest("[[init]]\nname = \"fails\"\ncommand = [\"false\"]\n[services.cache]\nkind = \"valkey\"\nimage = \"pbuild/valkey:8\"\n");
    app.prun(&["start"]).run().expect_code(1);
    app.manifest("[services.cache]\nkind = \"valkey\"\nimage = \"pbuild/valkey:8\"\n");
    app.start().expect_stderr("cache");
}
