//! The quickstarts of the book: each example is a real app, built with packages from a private index, started with its
//! database, and asked for its page. The commands are those of the page, in its order.

use std::fs;
use std::path::{Path, PathBuf};

use acceptance::service::POSTGRES;
use acceptance::{App, ImageName, Wheels};
use ptest::{Engine, Flavour, Outcome};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the root").to_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Copies the files of a folder.
fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a folder of the example") {
        let path = entry.expect("an entry").path();
        let there = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            fs::create_dir_all(&there).expect("a folder of the project");
            copy(&path, &there);
        } else {
            fs::copy(&path, &there).expect("a file of the project");
        }
    }
}

/// Finds the blocks of a kind in a page.
fn blocks<'page>(page: &'page str, kind: &str) -> Vec<&'page str> {
    let fence = format!("```{kind}\n");
    page.split(fence.as_str()).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

/// Fails unless each line that a page shows of a file is in that file.
#[track_caller]
fn shows(page: &str, kind: &str, file: &str) {
    let shown = blocks(page, kind);
    assert!(!shown.is_empty(), "the page shows {kind}");
    for line in shown.iter().flat_map(|block| block.lines()).filter(|line| !line.is_empty()) {
        let base = line.strip_prefix("FROM ").is_some_and(|image| file.contains(&format!("ARG BASE={image}\n")));
        assert!(base || file.lines().any(|other| other == line), "the example has no line {line:?}");
    }
}

/// A search path with the tools under test before all others.
fn path_with_tools() -> String {
    let tools = std::env::var("PBUILD_TEST_BINARIES").expect("run scripts/test");
    format!("{tools}:{}", std::env::var("PATH").expect("a search path"))
}

#[test]
fn django_is_built_from_a_private_index_and_serves_its_page() {
    let engine = Engine::get(Flavour::Modern);
    let (page, example) = (read(&root().join("docs/quickstart-django.md")), root().join("examples/django"));
    let manifest = read(&example.join("app.toml"));
    for (kind, file) in [("dockerfile", "Dockerfile"), ("toml", "app.toml"), ("python", "shop/settings.py")] {
        shows(&page, kind, &read(&example.join(file)));
    }
    let mut app = App::new(&engine, "django");
    app.image = ImageName::new(&engine, "django");
    let token = app.scene.oracle().token("INDEX_TOKEN");
    let index = Wheels::start(&engine, &format!("{}-index", app.project), &token);
    copy(&example, &app.scene.project());
    // The example under names of this test, on the images that are here; pip takes an index without TLS only if told so.
    let own: String =
        manifest.lines().skip_while(|line| !line.starts_with('[')).map(|line| line.to_owned() + "\n").collect();
    let own =
        own.replace("127.0.0.1:8000", "@PORT@").replace("version = \"17\"", &format!("image = \"{}\"", POSTGRES.image));
    app.manifest(&format!("{own}[env]\nPIP_TRUSTED_HOST = \"index\"\n[build.args]\nBASE = \"pbuild/python:3\"\n"));

    let address = format!("http://build:{}@index:8080/simple", token.text());
    let host = format!("--add-host index:{}", index.address());
    let run = |command: &str| -> Outcome {
        let command =
            if command.starts_with("pbuild build") { format!("{command} {host}") } else { command.to_owned() };
        let tool = app.scene.tool("sh").args(["-c", &command]).env("PATH", path_with_tools());
        let outcome = tool.env("PIP_INDEX_URL", &address).run();
        outcome.expect_code(0);
        outcome
    };
    let commands: Vec<&str> = blocks(&page, "console")
        .iter()
        .flat_map(|block| block.lines())
        .filter_map(|line| line.strip_prefix("$ "))
        .collect();
    assert!(commands.len() > 8, "{commands:?}");
    for command in commands {
        let outcome = run(command);
        match command {
            "pbuild build ." => {
                outcome.expect_stderr("PIP_INDEX_URL (with its part password) to `pip *`").expect_stderr("clean");
            }
            "prun start" => {
                outcome.expect_stderr("init      migrate").expect_stderr("healthy   1 of 1 instance");
                for name in ["SECRET_KEY", "DB_PASSWORD", "DATABASE_URL"] {
                    app.register(name);
                }
                let answer = app.get("/");
                assert!(answer.contains("Written by a migration") && answer.contains("sessionid="), "{answer}");
                assert!(app.get("/admin/").contains("302"), "the admin asks who one is");
                for container in app.containers() {
                    app.scene.oracle().check_bytes("inspect", &engine.docker(&["inspect", &container]));
                }
            }
            "prun exec -- python3 manage.py showmigrations notes" => {
                outcome.expect_stdout("[X] 0001_initial");
            }
            "prun services rotate db" => {
                assert!(app.get("/").contains("Written by a migration"), "the same data with another password");
            }
            _ => {}
        }
    }
    assert!(app.containers().is_empty(), "the page ends with everything down");
}
