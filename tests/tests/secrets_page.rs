//! Follows the page "Secrets" exactly: all of its commands run in order, in one project.

use std::fs;
use std::path::Path;

use ptest::Scene;

/// Returns the commands of the page, which follow `$ ` in its blocks.
fn commands(page: &str) -> Vec<String> {
    let blocks = page.split("```console\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.flat_map(str::lines).filter_map(|line| line.strip_prefix("$ ")).map(str::to_owned).collect()
}

/// Returns the first block of TOML, which is the project's manifest.
fn manifest(page: &str) -> &str {
    let block = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
    block.expect("the page shows a manifest")
}

/// Makes a search path with the tools under test before all others.
fn path_with_tools() -> String {
    let tools = std::env::var("PBUILD_TEST_BINARIES").unwrap_or_else(|_| {
        let test = std::env::current_exe().expect("a test is a file");
        test.parent().and_then(Path::parent).and_then(Path::to_str).expect("a test lies in deps").to_owned()
    });
    format!("{tools}:{}", std::env::var("PATH").expect("a search path"))
}

#[test]
fn every_command_of_the_page_runs() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/secrets.md")).unwrap();
    let (scene, other) = (Scene::new(), Scene::new());
    let [first, second, token] = ["APP_KEY", "STRIPE_KEY", "NPM_TOKEN"].map(|name| scene.oracle().token(name));
    scene.write("app.toml", manifest(&page));
    scene.write_secret(".env", format!("NPM_TOKEN={}\nSTRIPE_KEY={}\n", token.text(), second.text()));
    let colleague = other.pbuild().args(["secrets", "recipients", "mine"]).run().stdout();
    let identity = scene.home().join(".config/pbuild/identity.txt");
    let commands = commands(&page);
    assert!(commands.len() > 20, "the page has its commands: {commands:?}");
    let mut listed = String::new();
    for command in &commands {
        let ci = fs::read_to_string(&identity).unwrap_or_default();
        let outcome = scene
            .tool("sh")
            .args(["-c", command])
            .env("PATH", path_with_tools())
            .env("FIRST", first.text())
            .env("SECOND", second.text())
            // This is not a canary, because the page's own commands put it into the variable that the tool reads.
            .env("PHRASE", "four words of this test")
            .env("COLLEAGUE", colleague.trim())
            .env("CI_IDENTITY", ci)
            .env("GIT_AUTHOR_NAME", "one")
            .env("GIT_AUTHOR_EMAIL", "one@example.invalid")
            .env("GIT_COMMITTER_NAME", "one")
            .env("GIT_COMMITTER_EMAIL", "one@example.invalid")
            .run();
        assert_eq!(outcome.code(), 0, "{command}\n{}\n{}", outcome.stdout(), outcome.stderr());
        match command.as_str() {
            "pbuild secrets list" => {
                listed = outcome.stdout();
                assert_eq!(listed.matches("secrets.age").count(), 3, "{listed}");
            }
            "pbuild secrets diff" => assert_eq!(outcome.stdout(), "+ STRIPE_KEY\n"),
            "git diff" => {
                outcome.expect_stdout("+STRIPE_KEY ");
            }
            _ => {}
        }
    }
    assert!(listed.contains("APP_KEY"), "the list was asked for");
}
