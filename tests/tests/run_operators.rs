//! The users who may operate a project, and the machines from which they may do so: the state is on the engine,
//! sealed for its operators, and knowing a project's name gives nobody access.

use std::fs;
use std::path::Path;

use acceptance::App;
use acceptance::service::{POSTGRES, VALKEY};
use ptest::{Engine, Flavour, OwnEngine, Tool};

const RUN: &str = "[run]\nports = [\"@PORT@:8080\"]\nhealth = { http = \"/healthz\" }\n";

/// The same project, used by another user of this machine with a home of their own.
struct Colleague<'app> {
    app: &'app App<'app>,
    home: std::path::PathBuf,
}

impl<'app> Colleague<'app> {
    fn of(app: &'app App<'_>, name: &str) -> Self {
        let home = app.scene.temporary().join(name);
        fs::create_dir_all(&home).expect("a folder of ours");
        Self { app, home }
    }

    fn prun(&self, words: &[&str]) -> Tool<'app> {
        let tool = self.app.prun(words).env("HOME", &self.home).env("XDG_STATE_HOME", self.home.join("state"));
        tool.env("XDG_CONFIG_HOME", self.home.join("config"))
    }

    fn key(&self) -> String {
        let key = self.prun(&["operators", "key"]).run();
        key.expect_code(0);
        key.stdout().trim().to_owned()
    }
}

#[test]
fn a_second_operator_and_a_runner_work_on_the_same_project_and_a_stranger_does_not() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "team");
    app.manifest(&(VALKEY.table() + RUN));
    app.start();
    let password = app.digest_of("REDIS_PASSWORD");
    let other = Colleague::of(&app, "other");

    // A user who is not an operator sees what runs, and is told how to become an operator.
    other.prun(&["ps"]).run().expect_code(0).expect_stdout("instance 1 of generation 1");
    let all = |tool: Tool<'_>| {
        let shown = tool.run();
        shown.expect_code(0);
        let line = shown.stdout().lines().find(|line| line.starts_with(&app.project)).expect("the project").to_owned();
        line.split_whitespace().skip(1).take(3).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(all(other.prun(&["ps", "--all"])), "1 cache of");
    assert_eq!(all(app.prun(&["ps", "--all"])), "1 cache operated");
    let key = other.key();
    for words in [&["start"][..], &["injected"], &["services", "rotate", "cache"], &["logs"], &["restart"]] {
        let refused = other.prun(words).run();
        refused.expect_code(41).expect_stderr("this user is not one of them");
        refused.expect_stderr(&format!("prun operators add NAME {key}"));
    }
    other.prun(&["state", "backup", "-"]).run().expect_code(41);

    // An operator on another machine must confirm once that this project is meant.
    app.prun(&["operators", "add", "other", &key]).run().expect_code(0);
    other.prun(&["injected"]).run().expect_code(0).expect_stdout("REDIS_PASSWORD");
    for words in [&["start"][..], &["injected", "--reveal", "REDIS_PASSWORD"], &["exec", "--", "true"]] {
        let refused = other.prun(words).run();
        assert_ne!(refused.code(), 0);
        refused.expect_stderr("was not started from").expect_stderr(&format!("prun adopt {}", app.project));
    }
    other.prun(&["adopt"]).run().expect_code(0).expect_stderr("2 operators, 1 instance");
    other.prun(&["start"]).run().expect_code(0).expect_stderr("nothing to change");
    other.prun(&["services", "rotate", "cache"]).run().expect_code(0);
    assert_ne!(app.digest_of("REDIS_PASSWORD"), password, "the first one sees what the second one did");
    app.prun(&["start"]).run().expect_code(0).expect_stderr("nothing to change");

    // A CI runner gets its key and the project's id from outside of the repository.
    let runner = Colleague::of(&app, "runner");
    let key = runner.key();
    app.prun(&["operators", "add", "ci", &key]).run().expect_code(0);
    let listed = app.prun(&["operators", "list"]).run();
    listed.expect_code(0).expect_stdout("ci ");
    let told = listed.stderr();
    let id = told.rsplit(" id ").next().expect("the id").trim();
    let text = fs::read_to_string(runner.home.join("state/prun/identity.txt")).expect("the runner's key");
    let secret = text.lines().find(|line| line.starts_with("AGE-SECRET-KEY-1")).expect("a key");
    app.scene.oracle().register("PRUN_IDENTITY", secret.as_bytes());
    fs::remove_dir_all(&runner.home).expect("its home goes");
    let in_ci = |id: &str| {
        runner.prun(&["start"]).env("PRUN_IDENTITY", secret).env("PRUN_PROJECT_ID", id).env("CI", "true").run()
    };
    in_ci("another").expect_code(2).expect_stderr("PRUN_PROJECT_ID is not the id of project");
    in_ci(id).expect_code(0).expect_stderr("nothing to change");

    // A removed operator cannot read state that is written later.
    app.prun(&["operators", "remove", "other"]).run().expect_code(0).expect_stderr("rotate the credentials");
    other.prun(&["injected"]).run().expect_code(41).expect_stderr("operators: ");
    let first =
        listed.stdout().lines().nth(1).expect("the first operator").split("  ").next().expect("a name").to_owned();
    app.prun(&["operators", "remove", "ci"]).run().expect_code(0);
    app.prun(&["operators", "remove", &first]).run().expect_code(2).expect_stderr("is the last operator");
    app.check_what_the_engine_tells();
}

#[test]
fn one_manifest_on_two_engines_is_two_projects() {
    let [one, two] = [Flavour::Modern, Flavour::Containerd].map(Engine::get);
    let app = App::new(&one, "two");
    let there = App::new(&two, "two-there");
    app.manifest(&VALKEY.table());
    let elsewhere = |words: &[&str]| app.prun(words).env("DOCKER_HOST", two.docker_host());
    let token = |value: &str| app.scene.oracle().token(value);
    let (staging, production) = (token("STAGING"), token("PRODUCTION"));
    let words = ["start", "--secret", "id=TOKEN", there.image.as_str()];
    app.prun(&["start", "--secret", "id=TOKEN"]).env("TOKEN", staging.text()).run().expect_code(0);
    elsewhere(&words).env("TOKEN", production.text()).run().expect_code(0).expect_stderr("credential created, sealed");
    app.prun(&["restart"]).run().expect_code(0);
    let digest = |name: &str| {
        let script = format!("printf %s \"${name}\" | sha256sum | cut -d' ' -f1");
        elsewhere(&["exec", "--", "sh", "-c", &script]).run().stdout().trim().to_owned()
    };
    assert_eq!(app.digest_of("TOKEN"), App::digest(staging.value()));
    assert_eq!(digest("TOKEN"), App::digest(production.value()));
    assert_ne!(app.digest_of("REDIS_PASSWORD"), digest("REDIS_PASSWORD"));
    app.prun(&["services", "rotate", "cache"]).run().expect_code(0);
    elsewhere(&["start", "--secret", "id=TOKEN", there.image.as_str()])
        .env("TOKEN", production.text())
        .run()
        .expect_code(0)
        .expect_stderr("nothing to change");
    elsewhere(&["stop", "--purge", "--yes"]).run().expect_code(0);
    assert!(app.prun(&["ps"]).run().stdout().contains("instance 1"), "the first engine's project goes on");
}

#[test]
fn a_manifest_that_took_another_projects_name_gets_nothing() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "theirs");
    app.manifest(&(VALKEY.table() + RUN));
    app.start();
    let copy = app.scene.temporary().join("copy");
    fs::create_dir_all(&copy).expect("a folder");
    fs::copy(app.scene.project().join("app.toml"), copy.join("app.toml")).expect("the manifest");
    let before = app.containers();
    for (words, code) in [
        (&["start"][..], 2),
        (&["start", "--dry-run"], 2),
        (&["run", "--", "env"], 125),
        (&["exec", "--", "env"], 125),
        (&["init"], 2),
        (&["restart"], 2),
        (&["stop"], 2),
        (&["injected", "--reveal", "REDIS_PASSWORD"], 2),
        (&["services", "rotate", "cache"], 2),
        (&["services", "reset", "cache"], 2),
        (&["services", "add", "postgres"], 2),
        (&["services", "remove", "cache", "--purge", "--yes"], 2),
        (&["operators", "add", "me", "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"], 2),
        (&["state", "new", "--yes"], 2),
        (&["stop", "--purge", "--yes"], 2),
    ] {
        let refused = app.prun(words).current_dir(&copy).run();
        assert_eq!(refused.code(), code, "{words:?}: {refused:?}");
        refused.expect_stderr("was not started from");
    }
    assert_eq!(app.containers(), before);
    assert_eq!(app.prun(&["operators", "list"]).run().stdout().lines().count(), 2);
    // The owner can declare that the copy belongs to them, too.
    app.prun(&["adopt"]).current_dir(&copy).run().expect_code(0).expect_stderr("this user operates it from");
    app.prun(&["start"]).current_dir(&copy).run().expect_code(0).expect_stderr("nothing to change");
}

#[test]
fn a_lost_key_costs_no_outage_and_the_ways_out_that_are_named_work() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "lost");
    app.manifest(&(POSTGRES.table() + RUN));
    app.start();
    let before = app.containers();
    let gone = app.scene.home().join(".local/state/prun");
    fs::remove_dir_all(&gone).expect("the state of the user");

    app.prun(&["ps"]).run().expect_code(0).expect_stdout("instance 1 of generation 1");
    let refused = app.prun(&["start"]).run();
    refused.expect_code(41).expect_stderr("prun operators key").expect_stderr("prun services reset NAME");
    app.prun(&["services", "reset", "db"]).run().expect_code(0).expect_stderr("a new one of this user alone");
    assert_eq!(app.containers(), before, "nothing is stopped before a start can go on");
    assert!(app.get("/healthz").ends_with("ok\n"));
    app.prun(&["start"]).run().expect_code(0).expect_stderr("gets new passwords").expect_stderr("retired   1");
    assert_eq!(app.instances(), ["2.1"]);
    let login = POSTGRES.login(&app);
    assert!(POSTGRES.opens(&app, &login));

    // This time only the key is lost. A new state replaces the one that nobody can open, and then the service is reset.
    fs::remove_file(gone.join("identity.txt")).expect("the key");
    app.prun(&["state", "new"]).run().expect_code(2).expect_stderr("pass --yes");
    app.prun(&["state", "new", "--yes"]).run().expect_code(0);
    app.prun(&["start"]).run().expect_code(1).expect_stderr("prun services reset db");
    assert_eq!(app.instances(), ["2.1"]);
    app.prun(&["services", "reset", "db"]).run().expect_code(0);
    app.prun(&["start"]).run().expect_code(0);
}

#[test]
fn pruning_beside_a_running_app_loses_nothing_and_the_data_root_holds_no_value() {
    let own = OwnEngine::up(&Engine::get(Flavour::Modern));
    let app = App::new(own.engine(), "pruned");
    let key = app.scene.oracle().token("APP_KEY");
    app.manifest("[run]\nreplicas = 2\n");
    let start = || app.prun(&["start", "--secret", "id=APP_KEY"]).env("APP_KEY", key.text()).run();
    start().expect_code(0);
    own.engine().docker(&["system", "prune", "--all", "--force", "--volumes"]);
    own.engine().docker(&["volume", "prune", "--all", "--force"]);
    start().expect_code(0).expect_stderr("nothing to change");
    app.prun(&["restart"]).run().expect_code(0);
    assert_eq!(app.digest_of("APP_KEY"), App::digest(key.value()));
    app.prun(&["state", "backup", "backup.age"]).run().expect_code(0);

    // If somebody restores an older version by hand, every operator who has seen a newer one notices it.
    let volume = format!("{}.state:/state", app.project);
    let script = "cd /state && ls && rm $(ls -v state.* | tail -n 1)";
    let image = app.image.as_str();
    own.engine().docker(&["run", "--rm", "--user", "0", "--volume", &volume, image, "sh", "-c", script]);
    app.prun(&["injected"]).run().expect_code(41).expect_stderr("was seen here before");
    start().expect_code(41).expect_stderr("prun state restore FILE");
    app.prun(&["state", "restore", "backup.age"]).run().expect_code(0);
    start().expect_code(0).expect_stderr("nothing to change");
    let canaries = std::env::var_os("PBUILD_TEST_CANARIES").expect("PBUILD_TEST_CANARIES: run scripts/test");
    let swept = ptest::sweep(own.data_root(), Path::new(&canaries));
    assert!(swept.canaries > 0 && swept.traces.is_empty(), "{:#?}", swept.traces);
}

#[test]
fn the_folder_of_an_older_prun_is_taken_over_where_it_belongs() {
    let [engine, other] = [Flavour::Modern, Flavour::Containerd].map(Engine::get);
    let app = App::new(&engine, "earlier");
    app.manifest(&POSTGRES.table());
    app.start();
    let password = app.digest_of("DB_PASSWORD");
    make_earlier(&app);
    app.prun(&["injected"]).run().expect_code(0).expect_stdout("DB_PASSWORD");
    let copy = app.scene.temporary().join("copy");
    fs::create_dir_all(&copy).expect("a folder");
    fs::copy(app.scene.project().join("app.toml"), copy.join("app.toml")).expect("the manifest");
    app.prun(&["start"]).current_dir(&copy).run().expect_code(2).expect_stderr("was not started from");
    app.prun(&["start"]).run().expect_code(0).expect_stderr("ready     db");
    assert_eq!(app.digest_of("DB_PASSWORD"), password, "its credential still opens the data");
    app.prun(&["operators", "list"]).run().expect_code(0);
    // Another engine has no state of the project, and starts with a new one.
    let there = App::new(&other, "earlier-there");
    let started = app.prun(&["start", there.image.as_str()]).env("DOCKER_HOST", other.docker_host()).run();
    started.expect_code(0).expect_stderr("credential created, sealed");
    app.prun(&["stop", "--purge", "--yes"]).env("DOCKER_HOST", other.docker_host()).run().expect_code(0);
}

/// Moves the state of a stopped app to the place in which an older prun kept it.
fn make_earlier(app: &App<'_>) {
    app.prun(&["state", "backup", "state.age"]).run().expect_code(0);
    app.prun(&["stop"]).run().expect_code(0);
    app.engine.docker(&["volume", "rm", &format!("{}.state", app.project)]);
    let states = app.scene.home().join(".local/state/prun");
    fs::remove_file(states.join("projects.json")).expect("the memory");
    let identity = states.join("identity.txt");
    let sealed = app.scene.project().join("state.age");
    let age = |words: &[&str], input: &[u8]| {
        let outcome = app.scene.tool("age").args(words).stdin(input).may_show_values().run();
        outcome.expect_code(0);
        outcome.stdout_bytes().to_vec()
    };
    let key = identity.display().to_string();
    let plain = age(&["--decrypt", "--identity", &key], &fs::read(&sealed).expect("the backup"));
    let end = plain.iter().position(|byte| *byte == b'\n').expect("a line");
    let header: serde_json::Value = serde_json::from_slice(&plain[..end]).expect("JSON");
    let length = |value: &serde_json::Value| usize::try_from(value.as_u64().expect("a length")).expect("it fits");
    let (ledger, generation) = plain[end + 1..].split_at(length(&header["ledger"]));
    let generation = &generation[..length(&header["generations"][0])];
    let recipient = header["operators"][0]["recipient"].as_str().expect("a key");
    let folder = states.join(&app.project);
    fs::create_dir(&folder).expect("a folder");
    for (name, content) in [("services.age", ledger), ("generation.age", generation)] {
        let sealed = age(&["--armor", "--recipient", recipient], content);
        let path = folder.join(name);
        fs::write(&path, sealed).expect("a file");
        for path in [&folder, &path] {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = if path.is_dir() { 0o700 } else { 0o600 };
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("they are ours");
        }
    }
}
