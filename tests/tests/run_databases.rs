//! What people do with the services of a real app: look into them, copy their data, give the app rights, use servers that
//! others run, and pull images from registries that ask who one is.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use acceptance::service::{MARIADB, MYSQL, POSTGRES, Service, VALKEY};
use acceptance::{App, Registry, each_service};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ptest::{Engine, Flavour};
use serde_json::json;

each_service!(a_service_is_looked_into_dumped_and_loaded_whole_or_not_at_all:
    postgres => super::POSTGRES,
    mysql => super::MYSQL,
    mariadb => super::MARIADB,
    valkey => super::VALKEY,
);

fn a_service_is_looked_into_dumped_and_loaded_whole_or_not_at_all(service: Service) {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, &format!("tools-{}", service.kind));
    app.manifest(&service.table());
    app.start();
    app.register(&service.password());
    let login = service.login(&app);
    assert!(service.put(&app, &login));
    let services = |words: &[&str]| app.prun(&[&["services"], words].concat());
    let shell = |script: &str| services(&["shell", service.name]).stdin(script).run();
    // MySQL's client runs no commands of the machine.
    let processes = if service.kind == "mysql" { "" } else { "\\! cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ\n" };
    let (read, wrong, change) = match service.prefix {
        "DB" => (
            "select word from kept;\n",
            "select 1 from nothing;\n",
            "drop table kept; create table other (n int); insert into other values (1);\n",
        ),
        _ => ("get kept\n", "", "flushall\nset other 1\n"),
    };
    shell(read).expect_code(0).expect_stdout("darjeeling-4711");
    if service.prefix == "DB" {
        assert_ne!(shell(wrong).code(), 0, "the client's own exit code");
        // No process of the container has a password in its arguments or its environment; one would be masked here.
        let shown = shell(processes).stdout();
        assert!(processes.is_empty() || shown.contains(service.kind) || shown.contains("psql"), "{shown}");
        assert!(!shown.contains("***"), "{shown}");
        let administrator = services(&["shell", service.name]).stdin("create database beside; drop database beside;\n");
        administrator.run().expect_code(0);
        let option = if service.kind == "postgres" { "--command=select 40 + 2" } else { "--execute=select 40 + 2" };
        let person = services(&["shell", service.name, "--", option]).on_terminal(80, 24).run();
        person.expect_code(0).expect_stdout("42");
    }
    services(&["shell", "nope"]).run().expect_code(125).expect_stderr("has no service `nope`");

    let dump = services(&["dump", service.name]).run();
    dump.expect_code(0);
    let dump = dump.stdout_bytes().to_vec();
    assert!(!dump.is_empty());
    let load = |bytes: &[u8], replace: bool| {
        let words: &[&str] = if replace { &["load", "--replace", service.name] } else { &["load", service.name] };
        services(words).stdin(bytes).run()
    };
    load(&dump, false).expect_code(2).expect_stderr("holds data already: 1 ").expect_stderr("--replace");
    shell(change).expect_code(0);
    let other = || match service.prefix {
        "DB" => shell("select n + 41 from other;\n").stdout().contains("42"),
        _ => shell("get other\n").stdout().contains('1'),
    };
    // A part of a dump, as when whatever sends it breaks off, and something that is none, change nothing.
    let broken: &[u8] =
        if service.prefix == "DB" { b"create table half (n int); select nothing;" } else { &dump[..dump.len() / 2] };
    load(broken, true).expect_code(1).expect_stderr("what was there before is there still");
    assert!(other(), "what was there before is there still");
    if service.prefix == "DB" {
        let slow = match service.kind {
            "postgres" => "create table half (n int); select pg_sleep(2);\n",
            _ => "create table half (n int); select sleep(2);\n",
        };
        let mut loading = services(&["load", "--replace", service.name]).stdin(slow).spawn();
        loading.wait_for("replacing");
        loading.interrupt();
        loading.finish().expect_code(130);
        assert!(other(), "an interrupted load is none");
    }
    load(&dump, true).expect_code(0).expect_stderr("replacing").expect_stderr("loaded    1 ");
    assert!(app.becomes(|| service.get(&app, &login)), "the app has its data again");
    assert!(!other(), "and nothing besides");
    assert!(service.put(&app, &login), "it is the app's own");
    if service.prefix == "DB" {
        let all = shell(if service.kind == "postgres" { "\\l\n" } else { "show databases;\n" }).stdout();
        assert!(!all.contains("prun_load"), "{all}");
        services(&["dump", service.name, "--database", "nope"]).run().expect_code(2).expect_stderr("has no database");
    }
    app.check_what_the_engine_tells();
}

#[test]
fn an_app_has_the_rights_the_extensions_and_the_databases_that_it_asks_for() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "rights");
    let table = POSTGRES.table();
    app.manifest(&table);
    app.start();
    let login = POSTGRES.login(&app);
    assert!(POSTGRES.put(&app, &login));
    let asks = |user: &str, database: &str, statement: &str| {
        let login =
            acceptance::service::Login { user: user.to_owned(), database: database.to_owned(), ..POSTGRES.login(&app) };
        POSTGRES.says(&app, &login, statement)
    };
    let may = "select rolcreatedb from pg_roles where rolname = current_user";
    assert_eq!(asks(&login.user, &login.database, may), "f");

    // What is missing from the image is told at once, and the app goes on.
    app.manifest(&format!("{table}extensions = [\"no_such_extension\"]\n"));
    let missing = app.prun(&["start"]).run();
    missing.expect_code(1).expect_stderr("no_such_extension").expect_stderr("`extensions` of [services.db]");
    assert_eq!(asks(&login.user, &login.database, may), "f");
    app.manifest(&format!("{table}database = \"elsewhere\"\n"));
    app.prun(&["start"])
        .run()
        .expect_code(2)
        .expect_stderr("has the database")
        .expect_stderr("databases = [\"elsewhere\"]");

    app.manifest(&format!(
        "{table}rights = \"admin\"\nextensions = [\"pgcrypto\"]\ndatabases = [\"cable\", \"queue\"]\n"
    ));
    app.start().expect_stderr("retired   1");
    assert_eq!(asks(&login.user, &login.database, may), "t");
    for database in [login.database.as_str(), "cable", "queue"] {
        assert_eq!(asks(&login.user, database, "select length(gen_random_uuid()::text)"), "36", "{database}");
        assert_eq!(asks(&login.user, database, "select length(crypt('a', gen_salt('md5'))) > 20"), "t", "{database}");
    }
    let url = app.register("CABLE_DATABASE_URL");
    assert!(
        url.text().ends_with("/cable") && url.text().starts_with("postgresql://"),
        "a database for each connection"
    );
    assert!(POSTGRES.get(&app, &login));

    // A rotation knows all of them, and what is taken back is gone.
    app.manifest(&format!("{table}databases = [\"cable\", \"queue\"]\n"));
    app.start();
    assert_eq!(asks(&login.user, &login.database, may), "f");
    app.prun(&["services", "rotate", "db"]).run().expect_code(0);
    let next = POSTGRES.login(&app);
    assert_ne!(next.user, login.user);
    assert_eq!(asks(&next.user, "cable", "select current_user <> session_user"), "t", "the owner of everything");
    app.prun(&["services", "dump", "db", "--database", "cable"]).run().expect_code(0).expect_stdout("dump complete");
    app.start().expect_stderr("nothing to change");
    app.check_what_the_engine_tells();
}

#[test]
fn a_database_that_others_run_is_used_and_rotated_and_never_made_or_removed() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "external");
    let theirs = format!("{}-theirs", app.project);
    let administrator = app.scene.oracle().token("ADMINISTRATOR");
    let file = app.scene.write_secret("administrator", administrator.value());
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("the file is ours");
    let create = [
        "create",
        "--name",
        &theirs,
        "--publish",
        "0:5432",
        "--env",
        "POSTGRES_USER=boss",
        "--env",
        "POSTGRES_DB=legacy",
        "--env",
        "POSTGRES_PASSWORD_FILE=/administrator",
        POSTGRES.image,
    ];
    engine.docker(&create);
    engine.docker(&["cp", &file.display().to_string(), &format!("{theirs}:/administrator")]);
    engine.docker(&["start", &theirs]);
    let port = String::from_utf8(engine.docker(&["port", &theirs, "5432/tcp"])).expect("a port");
    let port = port.lines().next().and_then(|line| line.rsplit(':').next()).expect("a port").trim().to_owned();
    // As superuser there; over the network, because the server that sets things up answers on its socket alone.
    let ask = |statement: &str| {
        let script = format!(
            "PGPASSWORD=$(cat /administrator) psql -X -h 127.0.0.1 -U boss -d legacy -w -t -A -c \"{statement}\""
        );
        engine.try_docker(&["exec", &theirs, "sh", "-c", &script])
    };
    let made = "create table kept (word varchar(40)); insert into kept values ('darjeeling-4711'); \
                create role shop nologin; alter table kept owner to shop; grant create on schema public to shop";
    assert!(app.becomes(|| ask(made).status.success()), "others make their data");
    let external = |rest: &str| {
        format!(
            "[services.warehouse]\nkind = \"postgres\"\nimage = \"{}\"\n\
             external = {{ host = \"{}\", port = {port}, database = \"legacy\", {rest} }}\n\
             [secrets]\nWAREHOUSE = {{ scope = \"run\" }}\n",
            POSTGRES.image,
            engine.address()
        )
    };
    let url = app
        .scene
        .oracle()
        .register("WAREHOUSE", format!("postgres://boss:{}@ignored/", administrator.text()).as_bytes());
    let start = |value: &str| app.prun(&["start"]).env("WAREHOUSE", value).run();

    // A login of the app's own, which others made: used, and not changed.
    app.manifest(&external("username = \"boss\", password = \"WAREHOUSE\""));
    start("not-the-password").expect_code(1).expect_stderr("refuses the app's login");
    start(administrator.text()).expect_code(0).expect_stderr("others run it");
    assert_eq!(app.digest_of("DB_PASSWORD"), App::digest(administrator.value()));
    assert_eq!(app.digest_of("WAREHOUSE"), App::digest(b""), "the secret itself is prun's");
    app.prun(&["services", "rotate", "warehouse"]).run().expect_code(2).expect_stderr("made by others");

    // With an administrator's, prun makes the app's logins, for the role that owns the data, and rotates them.
    app.manifest(&external("username = \"shop\", admin = \"WAREHOUSE\""));
    start("postgres://boss:wrong@ignored/").expect_code(1).expect_stderr("the login of its administrator");
    start(url.text()).expect_code(0);
    app.register("DB_PASSWORD");
    let warehouse = Service { name: "warehouse", ..POSTGRES };
    let reads = || {
        let statement = "insert into kept values ('more'); select current_user, count(*) > 1 from kept";
        warehouse.says_at(&app, &engine.address(), &port, &warehouse.login(&app), statement)
    };
    assert_eq!(reads(), "shop|t");
    let user = |app: &App<'_>| app.prun(&["injected", "--reveal", "DB_USERNAME"]).run().stdout();
    let before = user(&app);
    // The administrator's login is sealed: nobody needs it again.
    app.prun(&["services", "rotate", "--all"]).run().expect_code(0).expect_stderr("old credential revoked");
    app.register("DB_PASSWORD");
    assert_ne!(user(&app), before);
    assert_eq!(reads(), "shop|t");
    app.prun(&["start"]).run().expect_code(0).expect_stderr("nothing to change");
    let shell = app.prun(&["services", "shell", "warehouse"]).stdin("select current_user;\n").run();
    shell.expect_code(0).expect_stdout("boss");
    app.prun(&["services", "load", "warehouse"]).stdin("select 1;\n").run().expect_code(2).expect_stderr("others run");
    app.prun(&["services", "list"]).run().expect_code(0).expect_stdout(&port);
    app.check_what_the_engine_tells();

    app.prun(&["stop", "--purge", "--yes"]).run().expect_code(0);
    assert!(app.containers().is_empty(), "{:?}", app.containers());
    let kept = ask("select count(*) > 1 from kept");
    assert!(String::from_utf8_lossy(&kept.stdout).contains('t'), "their data is theirs");
    engine.docker(&["rm", "--force", "--volumes", &theirs]);
}

#[test]
fn images_are_pulled_with_the_login_that_docker_knows() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "pulls");
    let password = app.scene.oracle().token("PASSWORD");
    let registry = Registry::guarded(&engine, "me", password.text());
    let host = registry.inside();
    let names = [format!("{host}/team/app:1"), format!("{host}/team/valkey:8")];
    let configure = |value: &serde_json::Value| app.scene.write_secret("docker/config.json", value.to_string());
    let pair = |user: &str, secret: &str| STANDARD.encode(format!("{user}:{secret}"));
    let auths = |user: &str, secret: &str| json!({"auths": {&host: {"auth": pair(user, secret)}}});
    let folder = app.scene.project().join("docker").display().to_string();
    let remove = || names.iter().for_each(|name| drop(engine.try_docker(&["image", "rm", "--force", name])));
    configure(&auths("me", password.text()));
    for (name, image) in names.iter().zip([app.image.as_str(), VALKEY.image]) {
        engine.docker(&["tag", image, name]);
        engine.docker(&["--config", &folder, "push", name]);
    }
    remove();
    let manifest = |image: &str| {
        let service = format!("[services.cache]\nkind = \"valkey\"\nimage = \"{}\"\n", names[1]);
        app.scene.write("app.toml", format!("name = \"{}\"\nimage = \"{image}\"\n{service}", app.project));
    };

    // Nobody's login, somebody else's, and then the right one from a helper of docker's.
    configure(&json!({}));
    manifest(&names[0]);
    let start = || app.prun(&["start"]).env("DOCKER_CONFIG", &folder);
    let told = start().run();
    told.expect_code(1).expect_stderr(&format!("docker knows no login for {host}")).expect_stderr("docker login");
    configure(&auths("me", "wrong"));
    start().run().expect_code(1).expect_stderr("may not pull this image");
    let answer = json!({"Username": "me", "Secret": password.text()}).to_string();
    let helper =
        app.scene.write_secret("bin/docker-credential-test", format!("#!/bin/sh\ncat >/dev/null\necho '{answer}'\n"));
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o700)).expect("ours");
    let path = format!("{}:{}", helper.parent().expect("a folder").display(), std::env::var("PATH").expect("a path"));
    configure(&json!({"credHelpers": {&host: "test"}}));
    start().env("PATH", &path).run().expect_code(0).expect_stderr(&format!("pull      {}", names[0]));

    // A service's image has an error of its own; docker's variable opens the registry, too.
    app.prun(&["stop"]).run().expect_code(0);
    remove();
    configure(&json!({}));
    manifest(app.image.as_str());
    start().run().expect_code(1).expect_stderr("of service `cache`").expect_stderr("[services.cache]");
    let variable = auths("me", password.text()).to_string();
    start().env("DOCKER_AUTH_CONFIG", &variable).run().expect_code(0).expect_stderr(&format!("pull      {}", names[1]));
    app.check_what_the_engine_tells();
    app.prun(&["stop", "--purge", "--yes"]).run().expect_code(0);
    remove();
}
