//! The files for CI, as far as a machine without those services can try them: their schemas, and every script of them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use ptest::{Canary, Image, Layer, Outcome, Scene};
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the root").to_owned()
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run scripts/test"))
}

/// Writes an archive that leaks, or not, into the scene's project.
fn archive(scene: &Scene, token: Option<&Canary>) -> PathBuf {
    let content = token.map_or("clean", Canary::text);
    let tar = Image::new().layer(Layer::new().file("srv/conf", content), "RUN make").docker_oci("shop:1").tar();
    scene.write_secret("image.tar", tar)
}

/// Makes a `PATH` with the tool under test before everything else.
fn path() -> String {
    format!("{}:{}", variable("PBUILD_TEST_BINARIES"), variable("PATH"))
}

/// The scripts of a CI file, their variables, and its inputs' defaults.
struct File {
    inputs: BTreeMap<String, String>,
    steps: Vec<(String, BTreeMap<String, String>)>,
}

impl File {
    fn read(name: &str) -> Self {
        let python = Path::new(&variable("PBUILD_TEST_CHECK_JSONSCHEMA")).with_file_name("python3");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/steps.py");
        let output = Command::new(python).arg(script).arg(root().join(name)).output().expect("python runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let file: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let texts = |value: &Value| {
            let pairs = value.as_object().expect("an object").iter();
            pairs.map(|(name, value)| (name.clone(), value.as_str().expect("text").to_owned())).collect()
        };
        let step = |step: &Value| (step["run"].as_str().expect("a script").to_owned(), texts(&step["env"]));
        Self {
            inputs: texts(&file["inputs"]),
            steps: file["steps"].as_array().expect("steps").iter().map(step).collect(),
        }
    }
}

#[test]
fn every_file_follows_the_schema_of_its_service() {
    let check = variable("PBUILD_TEST_CHECK_JSONSCHEMA");
    for arguments in [
        &["--builtin-schema", "vendor.github-actions", "action.yml"][..],
        &["--builtin-schema", "vendor.github-workflows", "examples/ci/github.yml"],
        &["--builtin-schema", "vendor.github-workflows", ".github/workflows/ci.yml"],
        &["--builtin-schema", "vendor.github-issue-config", ".github/ISSUE_TEMPLATE/config.yml"],
        &["--builtin-schema", "vendor.github-issue-forms", ".github/ISSUE_TEMPLATE/bug.yml"],
        &["--builtin-schema", "vendor.github-issue-forms", ".github/ISSUE_TEMPLATE/missed.yml"],
        &["--builtin-schema", "vendor.github-issue-forms", ".github/ISSUE_TEMPLATE/wish.yml"],
        &["--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci", "examples/ci/gitlab.yml"],
    ] {
        let output = Command::new(&check).args(arguments).current_dir(root()).output().expect("check-jsonschema runs");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    }
}

/// Runs the steps of the action one after the other, as a runner does, and returns the last one's outcome.
fn run_action(scene: &Scene, token: &Canary, given: &[(&str, &str)]) -> (Outcome, String) {
    let mut file = File::read("action.yml");
    file.inputs.extend(given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let (outputs, paths) = (scene.write("outputs", ""), scene.write("paths", ""));
    let mut last = None;
    for (script, variables) in &file.steps {
        let mut step = scene
            .tool("/bin/bash")
            .args(["--noprofile", "--norc", "-eo", "pipefail", "-c", script])
            .env("PATH", path())
            .env("TOKEN", token.text())
            .env("GITHUB_ACTION_PATH", root())
            .env("RUNNER_TEMP", scene.temporary())
            .env("GITHUB_OUTPUT", &outputs)
            .env("GITHUB_PATH", &paths);
        for (name, value) in variables {
            let input = value.trim().strip_prefix("${{ inputs.").and_then(|rest| rest.strip_suffix(" }}"));
            let input = input.expect("a variable is one input and nothing else");
            step = step.env(name, file.inputs.get(input).expect("an input that is declared"));
        }
        assert!(!script.contains("${{"), "no text of an input becomes part of a script");
        last = Some(step.run());
    }
    (last.expect("the action has steps"), fs::read_to_string(outputs).expect("the outputs"))
}

#[test]
fn the_action_s_own_steps_tell_a_leak_and_a_clean_image() {
    let scene = Scene::new();
    let token = scene.oracle().token("TOKEN");
    archive(&scene, Some(&token));
    scene.write("Dockerfile", "FROM scratch\nRUN make\n");
    let given = [
        ("image", "docker-archive:image.tar"),
        ("secrets", "TOKEN"),
        ("dockerfile", "Dockerfile"),
        ("html", "audit.html"),
    ];
    let (outcome, outputs) = run_action(&scene, &token, &given);
    outcome.expect_code(10).expect_stdout("::error file=Dockerfile,line=2,");
    assert_eq!(outputs, "result=leak\n");
    for report in ["pbuild-audit.sarif", "audit.html"] {
        assert!(scene.project().join(report).exists(), "{report}");
    }
    archive(&scene, None);
    let (outcome, outputs) = run_action(&scene, &token, &given);
    outcome.expect_code(0);
    assert_eq!(outputs, "result=clean\n");
    // What looks like a command in an input is a name that no engine has, and runs nothing.
    let (outcome, outputs) =
        run_action(&scene, &token, &[("image", "docker-archive:$(touch hacked); touch hacked"), ("secrets", "TOKEN")]);
    outcome.expect_code(2);
    assert_eq!(outputs, "");
    assert!(!scene.project().join("hacked").exists());
}

#[test]
fn the_template_s_own_script_tells_a_leak_and_a_clean_image() {
    let scene = Scene::new();
    let token = scene.oracle().token("TOKEN");
    let [(script, variables)] = File::read("examples/ci/gitlab.yml").steps.try_into().expect("one job");
    assert_eq!(variables.keys().collect::<Vec<_>>(), ["AUDIT_IMAGE", "AUDIT_SECRETS"]);
    for (token_in_image, code) in [(Some(&token), 10), (None, 0)] {
        archive(&scene, token_in_image);
        let job = scene.tool("/bin/sh").args(["-ec", &script]).env("PATH", path()).env("TOKEN", token.text());
        job.env("AUDIT_IMAGE", "docker-archive:image.tar").env("AUDIT_SECRETS", "TOKEN").run().expect_code(code);
        for report in ["pbuild-audit.xml", "pbuild-audit.html"] {
            fs::remove_file(scene.project().join(report)).expect(report);
        }
    }
}

/// Every command line of the page's shell examples, with a docker that hands out the test's archive.
#[test]
fn the_commands_of_the_page_do_what_it_says() {
    let page = fs::read_to_string(root().join("docs/ci.md")).expect("the page");
    let block = page.split_once("```sh\n").and_then(|(_, rest)| rest.split_once("```")).expect("a shell example").0;
    let scene = Scene::new();
    let (token, key) = (scene.oracle().token("NPM_TOKEN"), scene.oracle().token("APP_KEY"));
    let docker = scene.write("bin/docker", "#!/bin/sh\ntest \"$*\" = 'save shop:1' && exec cat image.tar\n");
    fs::set_permissions(&docker, fs::Permissions::from_mode(0o755)).expect("ours");
    std::os::unix::fs::symlink(root().join("examples"), scene.project().join("examples")).expect("a link");
    let run = |line: &str| {
        let shell = scene.tool("/bin/sh").args(["-ec", line]).env("NPM_TOKEN", token.text()).env("APP_KEY", key.text());
        shell.env("PATH", format!("{}:{}", scene.project().join("bin").display(), path())).run()
    };
    let lines: Vec<&str> = block.lines().collect();
    assert_eq!(lines.len(), 2);
    archive(&scene, Some(&key));
    run(lines[0]).expect_code(10).expect_stdout("/srv/conf").expect_stderr("change its value");
    archive(&scene, None);
    run(lines[0]).expect_code(0).expect_stdout("the image may go on");
    // The other line names a registry of the reader's; the same script takes any source.
    let other = lines[1].replace("docker://registry.example/shop:1", "docker-archive:image.tar");
    assert_ne!(other, lines[1]);
    run(&other).expect_code(0);
    scene.write_secret("image.tar", "cut");
    run(lines[0]).expect_code(11).expect_stderr("this proves nothing");
}
