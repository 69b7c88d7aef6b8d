//! Pages of the book, and the README, that are followed by the letter: each command with a prompt runs, in its order.

use std::fs;
use std::path::Path;

use acceptance::service::{POSTGRES, VALKEY};
use acceptance::{App, ImageName};
use ptest::{Engine, Flavour, Outcome, Scene, Tool};

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Finds the blocks of a kind in a page.
fn blocks<'page>(page: &'page str, kind: &str) -> Vec<&'page str> {
    let fence = format!("```{kind}\n");
    page.split(fence.as_str()).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

/// Finds the commands of a page's blocks.
fn commands(page: &str) -> Vec<&str> {
    blocks(page, "console").iter().flat_map(|block| block.lines()).filter_map(|line| line.strip_prefix("$ ")).collect()
}

/// A search path with the tools under test before all others.
fn path_with_tools() -> String {
    let tools = std::env::var("PBUILD_TEST_BINARIES").expect("run scripts/test");
    format!("{tools}:{}", std::env::var("PATH").expect("a search path"))
}

/// Runs a line as a shell does, and expects success.
#[track_caller]
fn run<'scene>(scene: &'scene Scene, line: &str, with: impl Fn(Tool<'scene>) -> Tool<'scene>) -> Outcome {
    let outcome = with(scene.tool("sh").args(["-c", line]).env("PATH", path_with_tools())).run();
    assert_eq!(outcome.code(), 0, "{line}\n{}\n{}", outcome.stdout(), outcome.stderr());
    outcome
}

/// A Dockerfile that needs a secret and makes a small web server.
const DOCKERFILE: &str = "FROM busybox\nRUN : IMAGE; test -n \"$APP_KEY\" && mkdir /www && echo ok >/www/healthz\nEXPOSE 8080\n\
                          CMD [\"httpd\", \"-f\", \"-p\", \"8080\", \"-h\", \"/www\"]\n";

/// Makes an app whose image the page's own commands build.
fn app<'engine>(engine: &'engine Engine, test: &str, compose: &str) -> App<'engine> {
    let mut app = App::new(engine, test);
    app.image = ImageName::new(engine, test);
    let key = app.scene.oracle().token("APP_KEY");
    let own = |text: &str| {
        text.replace("name: shop", &format!("name: {}", app.project))
            .replace("image: shop", &format!("image: \"{}\"", app.image.as_str()))
            .replace("8080:8080", &format!("{}:8080", app.port))
    };
    app.scene.write("compose.yaml", own(compose));
    app.scene.write("Dockerfile", DOCKERFILE.replace("IMAGE", app.image.as_str()));
    app.scene.write_secret(".env", format!("APP_KEY={}\nDB_PASSWORD=typed-by-somebody\n", key.text()));
    app
}

#[test]
fn a_compose_project_becomes_one_of_ours_is_backed_up_and_removed() {
    let engine = Engine::get(Flavour::Modern);
    let (compose, state) = (page("docs/from-compose.md"), page("docs/state-and-backup.md"));
    let app = app(&engine, "compose", blocks(&compose, "yaml")[0]);
    engine.docker(&["tag", POSTGRES.image, "postgres:16"]);
    for command in commands(&compose) {
        let outcome = run(&app.scene, command, |tool| tool);
        match command {
            "pbuild new --ignore" => {
                let written = fs::read_to_string(app.scene.project().join("app.toml")).expect("a manifest");
                let shown =
                    blocks(&compose, "toml")[0].replace("name = \"shop\"", &format!("name = \"{}\"", app.project));
                let shown = shown.replace("image = \"shop\"", &format!("image = \"{}\"", app.image.as_str()));
                let shown = shown.replace("8080:8080", &format!("{}:8080", app.port));
                for line in shown.lines().filter(|line| !line.is_empty()) {
                    let there =
                        written.lines().any(|own| own.split(" # ").next().unwrap_or_default().trim_end() == line);
                    assert!(there, "{line}\n{written}");
                }
            }
            "prun start" => assert!(app.get("/healthz").contains("ok"), "the app answers"),
            "prun injected" => {
                app.register("DB_PASSWORD");
                outcome.expect_stdout("DB_USER ");
            }
            _ => {}
        }
    }
    for command in commands(&state) {
        run(&app.scene, command, |tool| tool);
    }
    assert!(app.containers().is_empty() && app.volumes().is_empty(), "nothing is left");
    engine.docker(&["rmi", "postgres:16"]);
}

#[test]
fn the_lines_of_the_readme_run() {
    let engine = Engine::get(Flavour::Modern);
    let readme = page("README.md");
    let app = app(&engine, "readme", "name: shop\nservices:\n  web: {build: ., image: shop, ports: [\"8080:8080\"]}\n");
    // The official image, under the name by which the catalogue knows it.
    engine.docker(&["tag", VALKEY.image, "valkey/valkey:8"]);
    let lines = commands(&readme);
    assert!(lines.len() >= 9, "{lines:?}");
    for command in lines {
        run(&app.scene, command, |tool| tool);
        if command.starts_with("prun services add") {
            app.register("REDIS_PASSWORD");
        }
    }
    assert!(app.get("/healthz").contains("ok"), "the app answers");
    run(&app.scene, "pbuild secrets list", |tool| tool).expect_stdout("APP_KEY");
    app.prun(&["stop", "--purge", "--yes"]).run().expect_code(0);
    engine.docker(&["rmi", "valkey/valkey:8"]);
}

#[test]
fn a_team_shares_its_secrets_as_the_page_says() {
    let page = page("docs/team-and-keys.md");
    let (scene, other) = (Scene::new(), Scene::new());
    let [token, first, second] = ["NPM_TOKEN", "APP_KEY", "STRIPE_KEY"].map(|name| scene.oracle().token(name));
    scene.write("app.toml", "name = \"shop\"\n[secrets]\nNPM_TOKEN = {}\nAPP_KEY = {}\nSTRIPE_KEY = {}\n");
    let colleague = other.pbuild().args(["secrets", "recipients", "mine"]).run().stdout();
    let lines = commands(&page);
    assert!(lines.len() > 18, "{lines:?}");
    for command in lines {
        let outcome = run(&scene, command, |tool| {
            let tool = tool.env("TOKEN", token.text()).env("FIRST", first.text()).env("SECOND", second.text());
            let tool = tool.env("COLLEAGUE", colleague.trim());
            let names = tool.env("GIT_AUTHOR_NAME", "one").env("GIT_COMMITTER_NAME", "one");
            names.env("GIT_AUTHOR_EMAIL", "one@example.invalid").env("GIT_COMMITTER_EMAIL", "one@example.invalid")
        });
        match command {
            "pbuild secrets recipients list" => {
                outcome.expect_stdout("Ana");
            }
            "pbuild secrets list" => {
                assert_eq!(outcome.stdout().matches("secrets.age").count(), 3, "{}", outcome.stdout())
            }
            _ => {}
        }
    }
}
