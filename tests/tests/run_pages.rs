//! Follows the pages about services, rotation, delivery, init commands and operators exactly: all of their commands
//! run in order, in one project with the manifests that the pages show.

use std::fs;
use std::path::Path;

use acceptance::App;
use acceptance::service::POSTGRES;
use ptest::{Engine, Flavour};

/// Returns the code blocks of a kind in a page, including those inside of a list.
fn blocks(page: &str, kind: &str) -> Vec<String> {
    let fence = format!("```{kind}\n");
    page.split(fence.as_str())
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .map(|block| block.lines().map(|line| line.strip_prefix("  ").unwrap_or(line)).collect::<Vec<_>>().join("\n"))
        .collect()
}

/// Returns the commands of a page's blocks. `#` is the prompt of root.
fn commands(page: &str) -> Vec<String> {
    let lines = blocks(page, "console").join("\n");
    let command = |line: &str| line.strip_prefix("$ ").or(line.strip_prefix("# ")).map(str::to_owned);
    lines.lines().filter_map(command).collect()
}

#[test]
fn every_command_of_the_pages_runs_and_their_manifests_are_manifests() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "pages");
    let page = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../docs/{name}.md"));
        fs::read_to_string(path).expect("a page of the documentation")
    };
    let pages = ["services", "rotation", "delivery", "init-commands", "operators"];
    let [services, rotation, delivery, init, operators] = pages.map(page);
    // The page names the official image, so our image gets that name on this engine.
    engine.docker(&["tag", POSTGRES.image, "postgres:17"]);
    let run = "[run]\nhealth = { command = [\"true\"] }\n";
    for shown in blocks(&services, "toml").iter().chain(&blocks(&init, "toml")) {
        app.manifest(&(shown.clone() + "\n" + run));
        let url = "postgres://boss:secret@db.example/";
        app.prun(&["start", "--dry-run"]).env("WAREHOUSE_ADMIN_URL", url).run().expect_code(0);
    }
    // The page's init commands need programs of the app, so `echo` replaces them.
    let manifest = blocks(&init, "toml")[0].replace("php artisan", "echo artisan").replace("\"php\"", "\"echo\"");
    app.manifest(&(manifest + "\n" + run));
    app.start().expect_stderr("init      migrate").expect_stderr("init      warm");
    let units = app.scene.temporary().join("units").display().to_string();
    let mut count = 0;
    for command in [services, rotation, init, delivery, operators].iter().flat_map(|page| commands(page)) {
        let words: Vec<&str> = command.split_whitespace().collect();
        assert_eq!(words[0], "prun", "{command}");
        let mut words = words[1..].to_vec();
        if words.contains(&"--install") {
            // Units are installed into a folder of the test, not into this machine's systemd.
            words.extend(["--units", &units]);
        }
        app.prun(&words).run().expect_code(0);
        count += 1;
    }
    assert!(count >= 13, "the pages have their commands: {count}");
    engine.docker(&["rmi", "postgres:17"]);
}
