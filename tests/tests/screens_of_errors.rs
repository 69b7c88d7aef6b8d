//! The complete screens of errors: the mistakes that people make first, each with its cause, its place and the
//! advice. They are snapshots like those in `screens.rs`.

use std::fs;

use acceptance::{App, Session};
use ptest::{Engine, Flavour, Scene};

const DOCKERFILE: &str = "FROM busybox AS first\nRUN true\nFROM first AS second\nRUN true\n";

/// Both tools show the line of a manifest that is not valid.
#[test]
fn manifests() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    scene.write("Dockerfile", DOCKERFILE);
    // One of these starts makes the project's network before it fails. The state that knows the network is removed
    // with the scene, so the test removes the network.
    let forget = || drop(engine.try_docker(&["network", "rm", "busybox"]));
    forget();
    let mut session = Session::new(&scene);
    for (about, manifest, line) in [
        ("a kind by its other name", "[services.db]\nkind = \"postgresql\"\n", "prun start shop"),
        ("a table by its singular", "[service.db]\nkind = \"postgres\"\n", "prun start shop"),
        ("a scope misspelled", "[secrets]\nAPP_KEY = { scope = \"buld\" }\n", "pbuild build ."),
        ("a key misspelled", "[secrets]\nAPP_KEY = { scop = \"build\" }\n", "pbuild build ."),
        ("a name for people", "name = \"My Shop\"\n", "prun start shop"),
        ("an image's name with a blank", "image = \"Newc ER\"\n", "pbuild build ."),
        ("a value where none belongs", "[secrets]\nAPP_KEY = \"value\"\n", "pbuild build ."),
        ("a secret whose name is no variable's", "[secrets]\nAPP-KEY = {}\n", "pbuild build ."),
        ("ports that are no list", "[run]\nports = \"8080:8080\"\n", "prun start shop"),
        ("a text without quotes", "name = caseer\n", "pbuild build ."),
        ("a variable set twice", "[env]\nDB_HOST = \"x\"\n[services.db]\nkind = \"postgres\"\n", "prun start busybox"),
        ("a folder that is not there", "[run]\nvolumes = [\"./missing:/srv\"]\n", "prun start --trust-config busybox"),
        ("a folder of the host without trust", "[run]\nvolumes = [\"/:/host\"]\n", "prun start busybox"),
    ] {
        scene.write("app.toml", manifest);
        assert_ne!(session.run(about, line).code(), 0, "{about}");
    }
    forget();
    insta::assert_snapshot!("errors_of_manifests", session.text());
}

/// Values are missing in the places that a flag or the manifest names.
#[test]
fn sources_of_secrets() {
    let scene = Scene::on(&Engine::get(Flavour::Modern));
    let token = scene.oracle().token("APP_KEY");
    scene.write("Dockerfile", DOCKERFILE);
    scene.write("app.toml", "name = \"shop\"\n[secrets]\nAPP_KEY = {}\n");
    scene.write("broken.env", "FIRST=one\nSECOND two\n");
    scene.write("empty", "");
    let mut session = Session::new(&scene);
    session
        .run_with("a variable that the manifest may not read", "pbuild build .", |tool| {
            tool.env("APP_KEY", token.text())
        })
        .expect_code(2);
    scene.trust();
    session.run("a secret that is nowhere", "pbuild build .").expect_code(40);
    session.run("the same at a start", "prun start busybox").expect_code(40);
    scene.write_secret(".env", format!("APP_KEY={}\n", token.text()));
    session.run("a secret that an env file beside the manifest has", "pbuild build .").expect_code(40);
    session.run("an env file without its name", "pbuild build . --env-file").expect_code(2);
    for (about, words) in [
        ("an env file that is not there", "--env-file missing.env"),
        ("a line that is none of an env file", "--env-file broken.env"),
        ("a secret's file that is not there", "--secret id=APP_KEY,src=missing"),
        ("a secret's file that is empty", "--secret id=APP_KEY,src=empty"),
        ("a value as an argument", "--secret APP_KEY=hello"),
        ("a flag misspelled", "--secrte id=APP_KEY"),
    ] {
        assert_ne!(session.run(about, &format!("pbuild build {words} .")).code(), 0, "{about}");
    }
    insta::assert_snapshot!("errors_of_sources", session.text());
}

/// Neither tool finds an engine, for each of the reasons.
#[test]
fn engines() {
    let scene = Scene::new();
    scene.write("Dockerfile", DOCKERFILE);
    let missing = format!("unix://{}/no.sock", scene.temporary().display());
    let mut session = Session::new(&scene);
    for (about, name, value) in [
        ("no socket", "DOCKER_HOST", missing.as_str()),
        ("no address", "DOCKER_HOST", "foo"),
        ("nobody listens", "DOCKER_HOST", "tcp://127.0.0.1:1"),
        ("a machine that answers to nobody", "DOCKER_HOST", "ssh://nobody@127.0.0.1:1"),
        ("no such context", "DOCKER_CONTEXT", "nope"),
    ] {
        for line in ["pbuild build .", "prun start busybox", "pbuild doctor", "prun doctor"] {
            let outcome = session.run_with(&format!("{about}: {name}"), line, |tool| tool.env(name, value));
            assert_ne!(outcome.code(), 0, "{about}");
        }
    }
    insta::assert_snapshot!("errors_of_engines", session.text());
}

/// Builds that fail.
#[test]
fn builds() {
    let scene = Scene::on(&Engine::get(Flavour::Modern));
    scene.write("typo/Dockerfile", "FROM busybox\nRUNN true\n");
    scene.write("base/Dockerfile", "FROM 127.0.0.1:1/nowhere:1\nRUN true\n");
    scene.write("stages/Dockerfile", DOCKERFILE);
    scene.write("failing/Dockerfile", "FROM busybox\nRUN echo denied >&2; exit 42\n");
    fs::create_dir(scene.project().join("empty")).unwrap();
    let mut session = Session::new(&scene);
    for (about, words) in [
        ("no Dockerfile", "empty"),
        ("an instruction misspelled", "typo"),
        ("a base image that is nowhere", "base"),
        ("a stage that is not there", "--target third stages"),
        ("a context that is not there", "nowhere"),
        ("a tag that is none", "-t Bad_Name: stages"),
        ("a flag that docker does not have either", "--squish stages"),
        ("a step that fails", "--no-cache failing"),
    ] {
        assert_ne!(session.run(about, &format!("pbuild build {words}")).code(), 0, "{about}");
    }
    insta::assert_snapshot!("errors_of_builds", session.text());
}

/// Audits that cannot read their input.
#[test]
fn audits() {
    let scene = Scene::on(&Engine::get(Flavour::Modern));
    let token = scene.oracle().token("TOKEN");
    scene.write_secret(".env", format!("TOKEN={}\n", token.text()));
    scene.write("notes.txt", "no image\n");
    let mut session = Session::new(&scene);
    for (about, words) in [
        ("an image that the engine does not have", "pbuild-test/no-such-image:1 --env-file .env"),
        ("a file that is no archive", "--archive notes.txt --env-file .env"),
        ("a file that is not there", "--archive missing.tar --env-file .env"),
        ("a format that is none", "busybox --format xml --env-file .env"),
        ("a registry that nobody runs", "docker://127.0.0.1:1/shop:1 --env-file .env"),
        ("nothing to search for", "busybox"),
    ] {
        assert_ne!(session.run(about, &format!("pbuild audit {words}")).code(), 0, "{about}");
    }
    insta::assert_snapshot!("errors_of_audits", session.text());
}

/// Starts that fail.
#[test]
fn starts() {
    let engine = Engine::get(Flavour::Modern);
    let mut app = App::new(&engine, "mistakes");
    app.project = format!("mistakes{:08}", std::process::id());
    let squatter = format!("{}-squatter", app.project);
    let publish = format!("{}:80", app.port);
    let volume = format!("{}-db", app.project);
    let mut session = Session::new(&app.scene)
        .naming(app.image.as_str(), "shop:latest")
        .naming(app.project.as_str(), "shop")
        .naming(app.port.to_string(), "<port>");
    let web = |health: &str| format!("[run]\nports = [\"@PORT@:8080\"]\nhealth = {health}\n");
    let init = |command: &str| format!("[[init]]\nname = \"migrate\"\ncommand = {command}\n");

    app.manifest("");
    session.run("an image that is not there", "prun start 127.0.0.1:1/no-such-image:1").expect_code(1);
    app.manifest("[services.db]\nkind = \"redis\"\nimage = \"127.0.0.1:1/redis:7\"\n");
    session.run("a service whose image is nowhere", "prun start").expect_code(1);
    app.manifest("");
    session.run("a service of a start that bound nothing", "prun services remove db --purge --yes");

    engine.docker(&["run", "--detach", "--name", &squatter, "--publish", &publish, "busybox", "sleep", "1000"]);
    app.manifest(&web("{ http = \"/healthz\" }"));
    let taken = session.run("a port that somebody has", "prun start");
    engine.docker(&["rm", "--force", &squatter]);
    taken.expect_code(1);

    app.manifest(&init(r#"["sh", "-c", "echo cannot >&2; exit 3"]"#));
    session.run("an init command that fails", "prun start").expect_code(1);
    app.manifest(&init(r#"["migrate-the-database"]"#));
    session.run("an init command that is not in the image", "prun start").expect_code(1);

    app.manifest(&web("{ http = \"/missing\" }"));
    session.run("a page that is not there", "prun start --wait 4").expect_code(1);
    app.manifest(&web("{ command = [\"curl\", \"-f\", \"http://localhost:8080\"] }"));
    session.run("a check whose program is not in the image", "prun start --wait 4").expect_code(1);
    app.manifest(&web("{ http = \"/healthz\", port = 9090 }"));
    session.run("a port on which nothing listens", "prun start --wait 4");

    engine.docker(&["volume", "create", &volume]);
    app.manifest("[services.db]\nkind = \"valkey\"\nimage = \"pbuild/valkey:8\"\n");
    let unknown = session.run("data whose password nobody knows", "prun start");
    engine.docker(&["volume", "rm", &volume]);
    unknown.expect_code(1);

    app.manifest(&web("{ http = \"/healthz\" }"));
    app.start();
    for (about, line) in [
        ("a service that is not there", "prun logs nope"),
        ("a variable that is not there", "prun injected --reveal NOPE"),
        ("an instance that is not there", "prun exec --instance 9 -- true"),
        ("a project that is not there", "prun stop --project nowhere"),
        ("a service that the manifest does not know", "prun services rotate nope"),
        ("a command that others have", "prun up"),
        ("a purge that nobody was asked about", "prun stop --purge"),
    ] {
        assert_ne!(session.run(about, line).code(), 0, "{about}");
    }
    insta::assert_snapshot!("errors_of_starts", session.text());
}

/// A sealed store cannot be opened, read or written.
#[test]
fn stores() {
    let scene = Scene::new();
    let (key, passphrase) = (scene.oracle().token("APP_KEY"), scene.oracle().token("PASSPHRASE"));
    scene.write("app.toml", "name = \"shop\"\n[secrets]\nAPP_KEY = {}\n");
    let identity = scene.home().join(".config/pbuild/identity.txt");
    let sealed = scene.project().join("secrets.age");
    let mut session = Session::new(&scene);
    session.run("a store that is not there", "pbuild secrets recipients list");
    session.run("a new store", "pbuild secrets init").expect_code(0);
    session.run("a value as an argument", "pbuild secrets set APP_KEY hello").expect_code(2);
    session.run("the same with an equals sign", "pbuild secrets set APP_KEY=hello").expect_code(2);
    session.run_with("a value", "pbuild secrets set APP_KEY", |tool| tool.stdin(key.value())).expect_code(0);
    session.run("a name that is not there", "pbuild secrets unset NOPE").expect_code(40);
    scene.write("there.env", "");
    assert_ne!(session.run("a file that is there", "pbuild secrets export --out there.env").code(), 0);
    assert_ne!(session.run("no commit to compare with", "pbuild secrets diff").code(), 0);

    let good = fs::read_to_string(&sealed).expect("the store");
    fs::write(&sealed, good.replacen('A', "B", 9)).expect("the store is ours");
    session.run("a store that somebody changed", "pbuild secrets unset APP_KEY").expect_code(41);
    fs::write(&sealed, format!("<<<<<<< ours\n{good}=======\n{good}>>>>>>> theirs\n")).expect("the store is ours");
    session.run("a merge that stopped", "pbuild secrets unset APP_KEY").expect_code(41);
    fs::write(&sealed, &good).expect("the store is ours");

    let open = |mode| fs::set_permissions(&identity, std::os::unix::fs::PermissionsExt::from_mode(mode)).expect("ours");
    open(0o644);
    session.run("an identity that others can read", "pbuild secrets unset APP_KEY").expect_code(41);
    open(0o600);
    session
        .run_with("a passphrase for it", "pbuild secrets identity passphrase", |tool| {
            tool.env("PBUILD_NEW_PASSPHRASE", passphrase.text())
        })
        .expect_code(0);
    session.run("nobody to ask for it", "pbuild secrets unset APP_KEY").expect_code(41);
    session
        .run_with("another one", "pbuild secrets unset APP_KEY", |tool| {
            tool.env("PBUILD_PASSPHRASE", "some other words")
        })
        .expect_code(41);
    fs::remove_file(&identity).expect("the identity is ours");
    session.run("no identity", "pbuild secrets unset APP_KEY").expect_code(41);
    insta::assert_snapshot!("errors_of_stores", session.text());
}

/// Users type words that they know from other tools.
#[test]
fn guesses() {
    let scene = Scene::new();
    let mut session = Session::new(&scene);
    for line in [
        "pbuild init",
        "pbuild up",
        "pbuild push",
        "pbuild status",
        "pbuild secrets get APP_KEY",
        "pbuild secrets add APP_KEY",
        "pbuild secrets rm APP_KEY",
        "pbuild build -e A=B .",
        "pbuild audit --json shop",
        "prun down",
        "prun rm",
        "prun status",
        "prun env",
        "prun secrets get APP_KEY",
        "prun secrets set APP_KEY",
        "prun start --gpus all shop",
        "prun start --mount type=volume shop",
        "prun start --build",
        "prun stop -v",
    ] {
        session.run("what people type", line).expect_code(2);
    }
    insta::assert_snapshot!("errors_of_guesses", session.text());
}
