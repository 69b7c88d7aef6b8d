//! Apps of several processes: web, worker and a scheduled job through start, roll, rotation and rollback; and what is said
//! of instances that do not become healthy.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use acceptance::App;
use acceptance::service::VALKEY;
use ptest::{Engine, Flavour};

/// Runs for longer than half of its interval, says when, and notices another run beside it. The base image's shell ends
/// with what it waits for.
const JOB: &str = "trap 'rmdir /data/busy; exit 0' TERM; mkdir /data/busy || echo beside >>/data/beside; \
                   date +%s >>/data/runs; sleep 0.6 & wait; rmdir /data/busy";
const WORK: &str = "trap 'exit 0' TERM; test -n \\\"$REDIS_PASSWORD\\\" && echo works for $DB_NAME; while sleep 0.2 & wait $!; do :; done";

fn manifest() -> String {
    format!(
        r#"
[secrets]
APP_KEY = {{}}

[env]
DB_NAME = "shop"

{}
[[init]]
name = "migrate"
command = ["sh", "-c", "echo $HOSTNAME >>/data/migrated"]

[processes.web]
ports = ["@PORT@:8080"]
health = {{ http = "/healthz" }}

[processes.admin]
command = ["sh", "-c", "trap 'exit 0' TERM; httpd -f -p 8080 -h /etc & wait"]
ports = ["@ADMIN@:8080"]
health = {{ http = "/passwd", host = "admin.example", headers = {{ X-Forwarded-Proto = "https" }} }}

[processes.worker]
command = ["sh", "-c", "{WORK}"]
replicas = 2
memory = "32m"
init = false
health = {{ command = ["sh", "-c", "test -n \"$REDIS_PASSWORD\""], interval = "100ms", timeout = "5s" }}

[processes.clean-up]
command = ["sh", "-c", "{JOB}"]
schedule = {{ every = "1s" }}
init = false

[run]
volumes = ["data:/data"]
"#,
        VALKEY.table()
    )
}

/// The lines of a file of the app's own volume.
fn lines(app: &App<'_>, file: &str) -> Vec<String> {
    let script = format!("cat /data/{file} 2>/dev/null; true");
    let outcome = app.prun(&["exec", "--instance", "web.1", "--", "sh", "-c", &script]).run();
    outcome.expect_code(0);
    outcome.stdout().lines().map(str::to_owned).collect()
}

/// Checks that the job goes on, that no run was made twice, and that none ran beside another.
#[track_caller]
fn the_job_runs_once(app: &App<'_>) {
    let before = lines(app, "runs").len();
    assert!(app.becomes(|| lines(app, "runs").len() > before + 1), "the job goes on");
    let runs = lines(app, "runs");
    let mut once = runs.clone();
    once.dedup();
    assert_eq!(runs, once, "a moment was used twice");
    assert_eq!(lines(app, "beside"), [""; 0], "two ran at once");
}

fn digest_of(app: &App<'_>, instance: &str, variable: &str) -> String {
    let script = format!("printf %s \"${variable}\" | sha256sum | cut -d' ' -f1");
    let outcome = app.prun(&["exec", "--instance", instance, "--", "sh", "-c", &script]).run();
    outcome.expect_code(0);
    outcome.stdout().trim().to_owned()
}

/// Requests a path of a published port.
fn get(app: &App<'_>, port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect((app.engine.address(), port)).expect("the port is published");
    write!(stream, "GET {path} HTTP/1.0\r\nHost: app\r\n\r\n").expect("a request");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Finds the blocks of a kind in the page about processes.
fn blocks(kind: &str) -> Vec<String> {
    let page =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/processes.md")).expect("the page");
    let fence = format!("```{kind}\n");
    page.split(fence.as_str()).skip(1).filter_map(|rest| rest.split("```").next()).map(str::to_owned).collect()
}

#[test]
fn web_worker_and_job_are_one_app_through_start_roll_rotation_and_rollback() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "processes");
    let (first, second) = (app.scene.oracle().token("FIRST_KEY"), app.scene.oracle().token("SECOND_KEY"));
    for shown in blocks("toml") {
        app.manifest(&shown);
        app.prun(&["start", "--dry-run"]).run().expect_code(0);
    }
    app.manifest(&manifest().replace("@ADMIN@", &(app.port + 1).to_string()));
    let start = |key: &str| app.prun(&["start", "--user", "0:0"]).env("APP_KEY", key).run();
    let outcome = start(first.text());
    outcome.expect_code(0).expect_stderr("1 web, 1 admin, 2 worker, 1 clean-up");
    outcome.expect_stderr("healthy   4 of 4 instances: web, admin, worker");
    outcome.expect_stderr("running   1 of 1 instance: clean-up (no health check configured)");
    assert_eq!(app.instances(), ["1.admin.1", "1.clean-up.1", "1.web.1", "1.worker.1", "1.worker.2"]);
    app.register("REDIS_PASSWORD");

    // Every process has the values; ports go to their own process, though two listen on one port.
    for instance in ["web.1", "worker.2", "clean-up.1"] {
        assert_eq!(digest_of(&app, instance, "APP_KEY"), App::digest(first.value()), "{instance}");
    }
    let password = digest_of(&app, "worker.1", "REDIS_PASSWORD");
    assert!(app.get("/healthz").ends_with("ok\n"));
    assert!(get(&app, app.port + 1, "/passwd").contains("root:"));
    assert_eq!(lines(&app, "migrated").len(), 2, "the worker and the job run no init commands");
    let container = format!("{}.1.worker.1", app.project);
    let memory = engine.docker(&["inspect", "--format", "{{.HostConfig.Memory}}", &container]);
    assert_eq!(String::from_utf8_lossy(&memory).trim(), (32 << 20).to_string());
    the_job_runs_once(&app);

    // The page's commands know processes.
    app.prun(&["ps"]).run().expect_code(0).expect_stdout("instance worker.2 of generation 1");
    app.prun(&["ps"]).run().expect_stdout("instance clean-up.1 of generation 1, every 1s");
    app.prun(&["logs", "worker"]).run().expect_code(0).expect_stdout("worker 2 | works for shop");
    app.prun(&["logs", "clean-up"]).run().expect_code(0).expect_stderr("prun: clean-up finished in 0.");
    app.prun(&["exec", "--instance", "mail.1", "--", "true"]).run().expect_code(125).expect_stderr("no process `mail`");
    app.prun(&["start", "--replicas", "2"]).run().expect_code(2).expect_stderr("[processes.worker]");
    let commands = blocks("console").join("\n");
    let commands: Vec<&str> = commands.lines().filter_map(|line| line.strip_prefix("$ prun ")).collect();
    assert!(commands.len() >= 7 && commands.contains(&"restart"), "{commands:?}");
    for command in commands {
        app.prun(&command.split_whitespace().collect::<Vec<_>>()).run().expect_code(0);
    }
    assert_eq!(app.instances()[0], "2.admin.1", "restarted");

    // One roll for all, and the job goes on through it.
    start(second.text()).expect_code(0).expect_stderr("retired   5 of the generation before");
    assert_eq!(app.instances().len(), 5);
    assert_eq!(digest_of(&app, "worker.2", "APP_KEY"), App::digest(second.value()));
    the_job_runs_once(&app);
    app.prun(&["services", "rotate", "cache"]).run().expect_code(0).expect_stderr("old credential revoked");
    app.register("REDIS_PASSWORD");
    assert_ne!(digest_of(&app, "worker.1", "REDIS_PASSWORD"), password);
    the_job_runs_once(&app);
    app.prun(&["rollback", "2"]).run().expect_code(0).expect_stderr("as generation 2 was");
    assert_eq!(digest_of(&app, "clean-up.1", "APP_KEY"), App::digest(first.value()));
    the_job_runs_once(&app);
    app.check_what_the_engine_tells();

    // A process less: its instances go, and its port.
    let less = manifest();
    let (head, rest) = less.split_once("[processes.admin]").expect("the process");
    let (_, tail) = rest.split_once("[processes.worker]").expect("the next one");
    app.manifest(&format!("{head}[processes.worker]{tail}"));
    start(first.text()).expect_code(0).expect_stderr("1 web, 2 worker, 1 clean-up");
    app.prun(&["generations"]).run().expect_code(0).expect_stdout("-[admin]");
    assert_eq!(app.instances().len(), 4);
    app.prun(&["stop", "--purge", "--yes"]).run().expect_code(0);
    assert!(app.containers().is_empty() && app.volumes().is_empty());
}

/// A page that serves one host: httpd hands a script's own status on.
const HOST: &str = "#!/bin/sh\ncase \"$HTTP_HOST\" in shop.example) printf 'HTTP/1.0 200 OK\\r\\n\\r\\nok' ;; \
                    *) printf 'HTTP/1.0 400 Bad Request\\r\\n\\r\\n' ;; esac\n";

#[test]
fn a_changed_check_is_tried_at_once_and_each_cause_has_its_own_help() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "causes");
    let (key, certificate) = (app.scene.oracle().token("APP_KEY"), app.scene.oracle().key("CERTIFICATE"));
    // The server with the script; beside it nothing changes.
    let container = format!("{}-script", app.project);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let script = folder.path().join("cgi-bin/host");
    fs::create_dir(folder.path().join("cgi-bin")).expect("a folder in a new folder");
    fs::write(&script, HOST).expect("a file in a new folder");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("a file of ours");
    engine.docker(&["create", "--name", &container, app.image.as_str()]);
    let scripts = folder.path().join("cgi-bin").display().to_string();
    engine.docker(&["cp", &scripts, &format!("{container}:/www/")]);
    engine.docker(&["commit", &container, app.image.as_str()]);
    engine.docker(&["rm", &container]);
    let with = |health: &str| {
        app.manifest(&format!(
            "[secrets]\nAPP_KEY = {{}}\nCERTIFICATE = {{}}\n[run]\nports = [\"@PORT@:8080\"]\n{health}"
        ));
        let (key, certificate) = (key.text(), certificate.text());
        app.prun(&["start", "--wait", "2"]).env("APP_KEY", key).env("CERTIFICATE", certificate).run()
    };
    with("health = { http = \"/healthz\", start = \"20s\" }").expect_code(0);
    for (health, cause, help) in [
        ("http = \"/nowhere\"", "/nowhere answers with HTTP status 404", "names a page of the app"),
        ("http = \"/cgi-bin/host\"", "answers with HTTP status 400", "host = \"shop.example\""),
        ("http = \"/healthz\", port = 9999", "nothing listens on port 9999", "on localhost nobody reaches it"),
        ("command = [\"curl\", \"-f\"]", "the image has no program `curl`", "needs none"),
        ("command = [\"sleep\", \"60\"], timeout = \"300ms\"", "does not end", "gives it more time"),
    ] {
        let outcome = with(&format!("health = {{ {health} }}"));
        outcome.expect_code(1).expect_stderr(cause).expect_stderr(help);
        assert_eq!(app.instances(), ["1.1"], "what runs stays");
    }
    // What did not succeed is not remembered; what does succeed is tried once.
    let good = "health = { http = \"/cgi-bin/host\", host = \"shop.example\" }";
    with(good).expect_code(0).expect_stderr("healthy   1 of 1 instance");
    with(good).expect_code(0).expect_stderr("nothing to change");
    assert_eq!(app.instances(), ["1.1"]);

    // A failed instance is gone, and all that it said is there, masked as a whole: the end of its log begins within a key
    // of many lines.
    app.prun(&["logs", "--failed"]).run().expect_code(1).expect_stderr("no instance");
    let talk = "seq 1 40; echo \"$APP_KEY\"; echo \"$CERTIFICATE\"; echo the end; exit 3";
    let words = ["start", app.image.as_str(), "sh", "-c", talk];
    let (key, text) = (key.text(), certificate.text());
    let outcome = app.prun(&words).env("APP_KEY", key).env("CERTIFICATE", text).run();
    outcome.expect_code(1).expect_stderr("ended with exit code 3").expect_stderr("prun logs --failed shows all of it");
    let log = app.prun(&["logs", "--failed"]).run();
    log.expect_code(0).expect_stdout("1\n2\n3\n").expect_stdout("***APP_KEY***\n***CERTIFICATE***\nthe end\n");
    log.expect_stderr("instance 1 of generation 2, which failed");
    for line in certificate.text().lines().filter(|line| line.len() > 8) {
        assert!(!outcome.stderr().contains(line) && !log.stdout().contains(line), "a line of the key is shown");
    }
    let tail = app.prun(&["logs", "--failed", "--tail", "1"]).run();
    assert_eq!(tail.stdout(), "the end\n");
    app.check_what_the_engine_tells();
    with("health = { http = \"/healthz\" }\nreplicas = 2").expect_code(0);
    app.prun(&["logs", "--failed"]).run().expect_code(1);
    assert!(!app.containers().iter().any(|name| name.ends_with(".failed")), "it goes with the next success");
}
