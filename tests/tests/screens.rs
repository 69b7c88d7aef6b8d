//! Whole screens as snapshots: an extra line, another order or a moved column is a difference that somebody must
//! review. With `INSTA_UPDATE=always` before its command, a test writes its snapshots anew; git then shows the
//! changes.

use std::collections::BTreeSet;
use std::path::Path;

use acceptance::{App, ImageName, Index, Session, example};
use ptest::{Engine, Flavour, Image, Layer, Scene};

/// Lists the subcommands of a command, as its own help lists them: in groups between the usage and the options.
fn commands(help: &str) -> Vec<String> {
    help.lines()
        .skip_while(|line| !line.starts_with("Usage: "))
        .skip(1)
        .take_while(|line| !line.starts_with("Options:") && !line.starts_with("Arguments:"))
        // The further lines of a description have a larger indentation.
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help" && !name.starts_with('-'))
        .map(str::to_owned)
        .collect()
}

/// The most lines of a short help text, which a terminal shows without scrolling.
const SCREEN: usize = 40;

/// Shows the help texts of a command and of all of its subcommands: the short one, which fits on a screen, and the
/// long one.
fn helps(session: &mut Session<'_>, line: &str) {
    let short = session.run("on one screen", &format!("{line} -h"));
    short.expect_code(0);
    let lines = short.stdout().lines().count();
    assert!(lines <= SCREEN, "{line} -h has {lines} lines:\n{}", short.stdout());
    let help = session.run("with everything", &format!("{line} --help"));
    help.expect_code(0);
    // Groups are not wrapped, so they must fit on a terminal of sixty columns.
    let lists = help.stdout();
    let lists =
        lists.lines().skip_while(|line| !line.starts_with("Usage: ")).take_while(|line| !line.starts_with("Options:"));
    let grouped = commands(&help.stdout());
    let is_listed =
        |line: &&str| line.split_whitespace().next().is_some_and(|name| grouped.iter().any(|one| one == name));
    // Clap wraps its own lists.
    let is_ours = !help.stdout().lines().any(|line| line == "Commands:");
    lists.filter(|_| is_ours).filter(is_listed).for_each(|line| assert!(line.chars().count() <= 60, "{line}"));
    for command in grouped {
        helps(session, &format!("{line} {command}"));
    }
}

#[test]
fn the_help_of_every_command_of_pbuild() {
    let scene = Scene::new();
    let mut session = Session::new(&scene);
    helps(&mut session, "pbuild");
    assert!(session.text().contains("$ pbuild secrets recipients add --help"), "commands below commands are shown");
    insta::assert_snapshot!("help_of_pbuild", session.text());
}

#[test]
fn the_help_of_every_command_of_prun() {
    let scene = Scene::new();
    let mut session = Session::new(&scene);
    helps(&mut session, "prun");
    assert!(session.text().contains("$ prun services rotate --help"), "commands below commands are shown");
    insta::assert_snapshot!("help_of_prun", session.text());
}

/// A snapshot without a test checks nothing, and a snapshot that waits for a review must not be committed.
#[test]
fn every_snapshot_has_a_test_that_takes_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    for entry in std::fs::read_dir(folder.join("snapshots")).expect("the snapshots") {
        let file = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        let parts = file.strip_suffix(".snap").and_then(|name| name.split_once("__"));
        let (test, name) = parts.unwrap_or_else(|| panic!("{file} is no snapshot"));
        let source = std::fs::read_to_string(folder.join(format!("{test}.rs"))).expect("the snapshot's test");
        assert!(source.contains(&format!("assert_snapshot!(\"{name}\"")), "{test}.rs takes no snapshot {name}");
    }
}

/// The session of the README: trust, build, audit, start, show, rotate a credential, and refuse the leaking twin.
#[test]
fn the_shop_as_the_readme_shows_it() {
    let engine = Engine::get(Flavour::Modern);
    let mut app = App::new(&engine, "screens");
    // Columns are as wide as names, so the names must have the same length in all runs.
    app.project = format!("screens{:08}", std::process::id());
    app.image = ImageName::new(&engine, "screens");
    let (token, key) = (app.scene.oracle().token("INDEX_TOKEN"), app.scene.oracle().token("APP_KEY"));
    let index = Index::start(&engine, &format!("{}-index", app.project), &token);
    let address = index.address();
    copy(&example(), &app.scene.project());
    let rest: String = std::fs::read_to_string(example().join("app.toml"))
        .expect("the example's manifest")
        .lines()
        .skip_while(|line| !line.starts_with('['))
        .map(|line| line.replace("127.0.0.1:8080:8080", "@PORT@:8080") + "\n")
        .collect();
    app.manifest(&rest);
    app.prun(&["trust", "--forget"]).run().expect_code(0);

    let port = app.port.to_string();
    let mut session = Session::new(&app.scene)
        .naming(app.image.as_str(), "shop:latest")
        .naming(app.project.as_str(), "shop")
        .naming(address, "<index>")
        .naming(engine.address(), "<engine>")
        .naming(port, "<port>");
    let mut run = |about: &str, line: &str| {
        session.run_with(about, line, |tool| tool.env("INDEX_TOKEN", token.text()).env("APP_KEY", key.text()))
    };
    run("entries that read the environment", "pbuild trust").expect_code(0);
    run("a clean build", &format!("pbuild build --no-cache --add-host index:{address} .")).expect_code(0);
    run("a clean audit", &format!("pbuild audit {}", app.image.as_str())).expect_code(0);
    run("a start", "prun start").expect_code(0);
    for name in ["DB_PASSWORD", "DATABASE_URL", "REDIS_PASSWORD", "REDIS_URL"] {
        app.register(name);
    }
    run("the variables of the app", "prun injected").expect_code(0);
    run("a credential changed", "prun services rotate db").expect_code(0);
    run("what runs", "prun ps").expect_code(0);
    run("nothing to do", "prun start").expect_code(0);
    let leak = format!("pbuild build --no-cache --add-host index:{address} --file Dockerfile.leak --tag leaking .");
    run("a leaking build", &leak).expect_code(10);
    run("the end", "prun stop").expect_code(0);
    insta::assert_snapshot!("shop", session.text());
}

/// The README states how many forms the example's secrets have, and the example's README says how to make such
/// secrets. The number of forms varies a little with the value, so several such values are tested.
#[test]
fn the_readme_counts_as_many_forms_as_there_are() {
    let readme = example().join("../../README.md");
    let readme = std::fs::read_to_string(readme).expect("the README");
    let counts = |text: &str| -> BTreeSet<String> {
        text.split("2 secrets in ").skip(1).filter_map(|rest| Some(rest.split_once(" forms")?.0.to_owned())).collect()
    };
    let shown = counts(&readme);
    let scene = Scene::new();
    let image = Image::new().layer(Layer::new().file("etc/motd", "hello\n"), "COPY motd /etc/motd");
    scene.write("image.tar", image.docker_legacy("shop:1").tar());
    let mut counted = BTreeSet::new();
    for sample in 0..16 {
        let hex = |name: &str, digits: usize| {
            ptest::sha256(format!("{name} {sample}").as_bytes())["sha256:".len()..][..digits].to_owned()
        };
        let audit = scene.pbuild().args([
            "audit",
            "--archive",
            "image.tar",
            "--secret",
            "id=INDEX_TOKEN",
            "--secret",
            "id=APP_KEY",
        ]);
        let audit = audit.env("INDEX_TOKEN", hex("token", 32)).env("APP_KEY", hex("key", 64)).run();
        audit.expect_code(0);
        counted.extend(counts(&audit.stdout()));
    }
    assert_eq!(shown.len(), 1, "the README's build and audit search for the same: {shown:?}");
    assert!(shown.is_subset(&counted), "the README says {shown:?}, and two such secrets have one of {counted:?}");
}

/// Copies the files of a folder.
fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("a folder of the example") {
        let path = entry.expect("an entry").path();
        let there = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            std::fs::create_dir_all(&there).expect("a folder of the project");
            copy(&path, &there);
        } else {
            std::fs::copy(&path, &there).expect("a file of the project");
        }
    }
}

/// The result of an audit for people: a clean image, a leak in several places, and an incomplete audit.
#[test]
fn audits_of_an_archive() {
    let scene = Scene::new();
    let (token, hidden) = (scene.oracle().token("NPM_TOKEN"), scene.oracle().token("DEPLOY_KEY"));
    let both = format!("NPM_TOKEN={}\nDEPLOY_KEY={}\nMODE=production\n", token.text(), hidden.text());
    scene.write_secret("both.env", both);
    let npmrc = format!("registry=x\n//registry.example/:_authToken={}\n", token.text());
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, token.value());
    let write = |name: &str, layers: [(Layer, &str); 2]| {
        let image = layers.into_iter().fold(Image::new(), |image, (layer, made_by)| image.layer(layer, made_by));
        let path = scene.write(name, image.docker_legacy("shop:1").tar());
        scene.allow(path);
    };
    let motd = || (Layer::new().file("etc/motd", "hello\n"), "COPY motd /etc/motd");
    write("clean.tar", [motd(), (Layer::new().file("srv/app", "app\n"), "COPY app /srv/app")]);
    let first = Layer::new().directory("root").file("root/.npmrc", npmrc);
    let second = Layer::new().whiteout("root/.npmrc").file("srv/state.json", format!("{{\"auth\":\"{encoded}\"}}\n"));
    write("leak.tar", [(first, "RUN npm config set …"), (second, "RUN npm run build; rm /root/.npmrc")]);
    // The header claims more bytes than the archive contains.
    let cut = Layer::new().header(b"srv/data", b'0', b"", 1_000_000);
    write("cut.tar", [motd(), (cut, "COPY data /srv/data")]);

    let mut session = Session::new(&scene);
    session.run("nothing is there", "pbuild audit --archive clean.tar --env-file both.env").expect_code(0);
    session.run("two places", "pbuild audit --archive leak.tar --env-file both.env").expect_code(10);
    session.run("a layer that ends early", "pbuild audit --archive cut.tar --env-file both.env").expect_code(11);
    session.run("for a pipeline", "pbuild audit --archive leak.tar --env-file both.env --github").expect_code(10);
    session.run("for programs", "pbuild audit --archive cut.tar --env-file both.env --format json").expect_code(11);
    insta::assert_snapshot!("audits", session.text());
}
