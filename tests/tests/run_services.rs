//! Every kind of service against its real server: credentials, variables, data (R9, R12).

use acceptance::service::{Login, MARIADB, MONGODB, MYSQL, POSTGRES, REDIS, Service, VALKEY};
use acceptance::{App, each_service};
use ptest::{Engine, Flavour};

each_service!(r12_an_app_gets_a_login_that_no_other_password_opens_and_the_data_stays:
    postgres => super::POSTGRES,
    mysql => super::MYSQL,
    mariadb => super::MARIADB,
    redis => super::REDIS,
    valkey => super::VALKEY,
    mongodb => super::MONGODB,
);

each_service!(r2_data_whose_password_nobody_knows_is_reset_by_the_server_itself_and_stays:
    postgres => super::POSTGRES,
    mysql => super::MYSQL,
    mariadb => super::MARIADB,
    valkey => super::VALKEY,
);

each_service!(r2_data_that_others_made_is_imported_and_the_app_gets_a_login_of_its_own:
    postgres => super::POSTGRES,
    mysql => super::MYSQL,
    mariadb => super::MARIADB,
);

const RUN: &str = "[run]\nports = [\"@PORT@:8080\"]\nhealth = { http = \"/healthz\" }\n";

fn r12_an_app_gets_a_login_that_no_other_password_opens_and_the_data_stays(service: Service) {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, service.kind);
    app.manifest(&(service.table() + RUN));
    app.start().expect_stderr("credential created, sealed");

    let shown = app.prun(&["injected"]).run();
    shown.expect_code(0);
    let names: Vec<String> =
        shown.stdout().lines().skip(1).filter_map(|line| Some(line.split_whitespace().next()?.to_owned())).collect();
    assert_eq!(names, service.variables());

    let password = app.register(&service.password());
    let url = app.register(&service.url());
    for canary in [&password, &url] {
        assert_eq!(app.digest_of(canary.name()), App::digest(canary.value()), "{}", canary.name());
    }
    let scheme = match service.kind {
        "postgres" => "postgresql",
        "mysql" | "mariadb" => "mysql",
        "mongodb" => "mongodb",
        _ => "redis",
    };
    let (before, after) = url.text().split_once(password.text()).expect("the password stands in the URL");
    assert!(before.starts_with(&format!("{scheme}://")) && after.starts_with(&format!("@{}:", service.name)));

    let login = service.login(&app);
    assert!(service.put(&app, &login), "the credential opens the service over the network");
    assert!(
        !service.put(&app, &login.with("not-the-password")) && !service.put(&app, &login.with("")),
        "no other does"
    );

    // The engine starts the service again, by itself or by hand.
    engine.docker(&["restart", &format!("{}-{}", app.project, service.name)]);
    assert!(app.becomes(|| service.get(&app, &login)), "the data is there after a restart");
    assert!(!service.get(&app, &login.with("not-the-password")));

    app.prun(&["stop"]).run().expect_code(0);
    app.start().expect_stderr("started with its own credential");
    assert_eq!(app.digest_of(&service.password()), App::digest(password.value()), "a credential is generated once");
    assert!(service.get(&app, &login), "the data is there after a stop");
    app.check_what_the_engine_tells();
}

fn r2_data_whose_password_nobody_knows_is_reset_by_the_server_itself_and_stays(service: Service) {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, &format!("reset-{}", service.kind));
    app.manifest(&(service.table() + RUN));
    app.start();
    let before = service.login(&app);
    assert!(service.put(&app, &before));
    // The state is lost with all that it knew; the volume is there.
    app.prun(&["stop"]).run().expect_code(0);
    engine.docker(&["volume", "rm", &format!("{}.state", app.project)]);
    app.prun(&["start"]).run().expect_code(1).expect_stderr("exists already").expect_stderr("prun services reset");

    app.prun(&["services", "reset", service.name]).run().expect_code(0).expect_stderr("its data stays");
    app.start().expect_stderr("gets new passwords");
    let after = service.login(&app);
    assert!(service.get(&app, &after), "the data is there");
    assert!(!service.opens(&app, &Login { user: after.user.clone(), ..before }), "the lost password opens nothing");
    app.start().expect_stderr("nothing to change");
    app.prun(&["services", "rotate", service.name]).run().expect_code(0);
    engine.docker(&["volume", "inspect", &format!("{}-{}", app.project, service.name)]);
    for container in app.containers() {
        engine.docker(&["rm", "--force", "--volumes", &container]);
    }
    engine.docker(&["volume", "rm", &format!("{}-{}", app.project, service.name)]);
}

fn r2_data_that_others_made_is_imported_and_the_app_gets_a_login_of_its_own(service: Service) {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, &format!("import-{}", service.kind));
    let (theirs, volume) = (format!("{}-theirs", app.project), format!("{}-old", app.project));
    // Every character that a language of the servers or their clients could mean something by.
    let word = format!("{}'\"\\`#$; \u{df}%", app.scene.oracle().token("PART").text());
    let administrator = app.scene.oracle().register("ADMINISTRATOR", word.as_bytes());
    // In a file that only this server sees.
    let (folder, variables, user): (_, &[&str], _) = match service.kind {
        "postgres" => ("/var/lib/postgresql/data", &["POSTGRES_USER=boss", "POSTGRES_DB=legacy"], "boss"),
        "mysql" => ("/var/lib/mysql", &["MYSQL_DATABASE=legacy"], "root"),
        _ => ("/var/lib/mysql", &["MARIADB_DATABASE=legacy"], "root"),
    };
    let file = app.scene.write_secret("administrator", administrator.value());
    let password = match service.kind {
        "postgres" => "POSTGRES_PASSWORD_FILE=/administrator",
        "mysql" => "MYSQL_ROOT_PASSWORD_FILE=/administrator",
        _ => "MARIADB_ROOT_PASSWORD_FILE=/administrator",
    };
    let data = format!("{volume}:{folder}");
    let mut create = vec!["create", "--name", &theirs, "--volume", &data, "--env", password];
    variables.iter().for_each(|variable| create.extend(["--env", variable]));
    create.push(service.image);
    engine.docker(&create);
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).expect("the file is ours");
    engine.docker(&["cp", &file.display().to_string(), &format!("{theirs}:/administrator")]);
    engine.docker(&["start", &theirs]);
    let statement = "create table kept (word varchar(40)); insert into kept values ('darjeeling-4711')";
    // Over the network: the server that sets the data up answers on its socket alone.
    let script = match service.kind {
        "postgres" => format!("psql -X -h 127.0.0.1 -U boss -d legacy -w -c \"{statement}\""),
        kind => format!("{kind} --protocol=tcp -h127.0.0.1 -uroot -e \"{statement}\" legacy"),
    };
    let script = format!("PGPASSWORD=$(cat /administrator) MYSQL_PWD=$(cat /administrator) {script}");
    let words = ["services", "import", service.name, "--volume", &volume, "--database", "legacy", "--user", user];
    let made = || engine.try_docker(&["exec", &theirs, "sh", "-c", &script]).status.success();
    assert!((0..4).any(|_| app.becomes(made)), "others make their data");
    app.manifest(&(service.table() + RUN));
    // Two servers on one folder would destroy the data.
    let used = app.prun(&words).stdin("word\n").run();
    used.expect_code(2).expect_stderr(&format!("in use by container `{theirs}`")).expect_stderr("docker stop");
    engine.docker(&["stop", &theirs]);
    engine.docker(&["rm", &theirs]);

    app.prun(&words[..3]).stdin("").run().expect_code(2).expect_stderr("there is no volume").expect_stderr("--volume");
    // A slip is told at once, not waited for, and the same command corrects it.
    let import = |database: &str, password: &[u8]| {
        let words = ["services", "import", service.name, "--volume", &volume, "--database", database, "--user", user];
        app.prun(&words).stdin([password, b"\n"].concat()).run().expect_code(0).expect_stderr("imported");
    };
    import("legcy", administrator.value());
    let slip = app.prun(&["start"]).run();
    slip.expect_code(1).expect_stderr("legcy").expect_stderr("--database NAME");
    if service.kind != "postgres" {
        import("legacy", b"wrong");
        app.prun(&["start"]).run().expect_code(1).expect_stderr("refuses the login of its administrator");
    }
    import("legacy", administrator.value());
    app.start().expect_stderr("imported: the app gets a login of its own");
    let login = service.login(&app);
    assert_ne!(login.user, user);
    assert!(service.get(&app, &login), "their data is the app's");
    assert!(service.put(&app, &login), "and it may write");
    app.check_what_the_engine_tells();

    // What others made is not removed.
    let purge = app.prun(&["services", "remove", service.name, "--purge", "--yes"]).run();
    purge.expect_code(2).expect_stderr("was made by others");
    app.prun(&["stop", "--purge", "--yes"]).run().expect_code(0);
    engine.docker(&["volume", "rm", &volume]);
}

#[test]
fn services_come_and_go_with_a_line_and_their_data_stays_until_somebody_says_so() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "line");
    app.manifest(RUN);
    app.start();
    let prun = |words: &[&str]| app.prun(&[&["services"], words].concat()).run();
    engine.docker(&["tag", VALKEY.image, "valkey/valkey:test-of-a-line"]);
    prun(&["add", "valkey:test-of-a-line"])
        .expect_code(0)
        .expect_stderr("credential created")
        .expect_stderr("retired   1");
    let login = VALKEY.login(&app);
    assert!(VALKEY.put(&app, &login));
    prun(&["list"]).expect_code(0).expect_stdout("cache").expect_stdout("running");
    prun(&["add", "valkey:test-of-a-line"]).expect_code(2).expect_stderr("has a service `cache` already");
    // A start does not forget what was added by hand.
    app.start().expect_stderr("nothing to change");

    prun(&["remove", "cache"]).expect_code(0).expect_stderr("kept");
    app.prun(&["injected"]).run().expect_code(0);
    assert!(app.prun(&["injected", "--reveal", "REDIS_HOST"]).run().code() != 0, "the app does not get it any more");
    prun(&["list"]).expect_code(0).expect_stdout("stopped");
    prun(&["add", "valkey:test-of-a-line"]).expect_code(0).expect_stderr("started with its own credential");
    assert!(VALKEY.get(&app, &login), "its data was kept");

    prun(&["remove", "cache", "--purge"]).expect_code(2).expect_stderr("--yes");
    assert!(VALKEY.get(&app, &login), "nothing happens without an answer");
    prun(&["remove", "cache", "--purge", "--yes"]).expect_code(0).expect_stderr("removed");
    assert!(app.volumes().iter().all(|volume| !volume.ends_with("-cache")), "{:?}", app.volumes());
    prun(&["remove", "cache"]).expect_code(1).expect_stderr("has no service `cache`");
    // What app.toml says is taken out there.
    app.manifest(&(VALKEY.table() + RUN));
    app.start();
    prun(&["remove", "cache"]).expect_code(2).expect_stderr("is declared in app.toml:3");
    engine.docker(&["image", "rm", "valkey/valkey:test-of-a-line"]);
}

#[test]
fn further_names_are_filled_when_somebody_asks_and_clashes_name_both_services() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "sets");
    let asked = "variables = [\"PG*\", \"POSTGRES_*\", \"NAME_*\", \"*_FILE\"]\n";
    app.manifest(&(POSTGRES.table() + asked + RUN));
    app.start();
    let password = app.register("DB_PASSWORD");
    for name in ["PGPASSWORD", "POSTGRES_PASSWORD"] {
        assert_eq!(app.digest_of(name), App::digest(password.value()), "{name}");
    }
    let script = "sha256sum < \"$DB_PASSWORD_FILE\"; echo $PGHOST $DB_URL | sed 's/:.*//'";
    let seen = app.prun(&["exec", "--", "sh", "-c", script]).run();
    seen.expect_code(0).expect_stdout(&App::digest(password.value())).expect_stdout("db postgresql");
    app.check_what_the_engine_tells();

    let second = POSTGRES.table().replace("services.db", "services.other") + asked;
    app.manifest(&(POSTGRES.table() + asked + &second + RUN));
    let clash = app.prun(&["start"]).run();
    clash.expect_code(2).expect_stderr("services `db` and `other` would both set PGHOST");
    app.manifest(&(VALKEY.table() + asked + RUN));
    app.prun(&["start"]).run().expect_code(2).expect_stderr("service `cache` is valkey, which has no variables PG*");
}
