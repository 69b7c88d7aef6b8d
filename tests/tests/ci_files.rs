//! The files for CI, as far as they can be tested without the CI services: their schemas, and every script in them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use acceptance::{ImageName, Registry};
use ptest::{Canary, Engine, Flavour, Image, Layer, Outcome, Scene};
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the root").to_owned()
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run scripts/test"))
}

/// Writes an archive into the scene's project, with the token in it if there is one.
fn archive(scene: &Scene, token: Option<&Canary>) -> PathBuf {
    let content = token.map_or("clean", Canary::text);
    let tar = Image::new().layer(Layer::new().file("srv/conf", content), "RUN make").docker_oci("shop:1").tar();
    scene.write_secret("image.tar", tar)
}

/// Makes a search path with the tools under test before all others.
fn path() -> String {
    format!("{}:{}", variable("PBUILD_TEST_BINARIES"), variable("PATH"))
}

/// A CI file: its scripts with their variables, and the defaults of its inputs.
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
        &["--builtin-schema", "vendor.github-actions", "actions/setup/action.yml"][..],
        &["--builtin-schema", "vendor.github-actions", "actions/build/action.yml"],
        &["--builtin-schema", "vendor.github-actions", "actions/audit/action.yml"],
        &["--builtin-schema", "vendor.github-workflows", "examples/ci/github.yml"],
        &["--builtin-schema", "vendor.github-workflows", ".github/workflows/ci.yml"],
        &["--builtin-schema", "vendor.github-workflows", ".github/workflows/release.yml"],
        &["--builtin-schema", "vendor.github-workflows", ".github/workflows/book.yml"],
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

/// Runs the steps of an action one after the other, as a runner does, and returns the outcome of the last one.
fn run_action(name: &str, scene: &Scene, token: &Canary, given: &[(&str, &str)]) -> (Outcome, String) {
    let mut file = File::read(&format!("actions/{name}/action.yml"));
    file.inputs.extend(given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let (outputs, paths) = (scene.write("outputs", ""), scene.write("paths", ""));
    let mut last = None;
    for (script, variables) in &file.steps {
        let mut step = scene
            .tool("/bin/bash")
            .args(["--noprofile", "--norc", "-eo", "pipefail", "-c", script])
            .env("PATH", path())
            .env("TOKEN", token.text())
            .env("GITHUB_ACTION_PATH", root().join("actions").join(name))
            .env("RUNNER_TEMP", scene.temporary())
            .env("GITHUB_OUTPUT", &outputs)
            .env("GITHUB_PATH", &paths)
            .env("GITHUB_ENV", scene.temporary().join("github-env"));
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
    let (outcome, outputs) = run_action("audit", &scene, &token, &given);
    outcome.expect_code(10).expect_stdout("::error file=Dockerfile,line=2,");
    assert_eq!(outputs, "result=leak\n");
    for report in ["pbuild-audit.sarif", "audit.html"] {
        assert!(scene.project().join(report).exists(), "{report}");
    }
    archive(&scene, None);
    let (outcome, outputs) = run_action("audit", &scene, &token, &given);
    outcome.expect_code(0);
    assert_eq!(outputs, "result=clean\n");
    // An input that looks like a command is only an unknown name of an image, and runs nothing.
    let hostile = [("image", "docker-archive:$(touch hacked); touch hacked"), ("secrets", "TOKEN")];
    let (outcome, outputs) = run_action("audit", &scene, &token, &hostile);
    outcome.expect_code(2);
    assert_eq!(outputs, "");
    assert!(!scene.project().join("hacked").exists());
}

/// The entrances end with the job: the runner's own files stay as they were.
#[test]
fn the_setup_action_changes_a_folder_of_docker_s_that_ends_with_the_job() {
    let scene = Scene::new();
    let token = scene.oracle().token("TOKEN");
    let theirs = scene.home().join(".docker");
    fs::create_dir_all(&theirs).expect("a folder");
    fs::write(theirs.join("config.json"), "{\"auths\": {}}").expect("a file");
    let set_up = |door: &str| run_action("setup", &scene, &token, &[("door", door)]).0;
    set_up("none").expect_code(0);
    set_up("sideways").expect_code(2).expect_stdout("not sideways");
    set_up("docker").expect_code(0);
    let ours = scene.temporary().join("pbuild/docker");
    let config = fs::read_to_string(ours.join("config.json")).expect("docker's file");
    assert!(config.contains("\"builder\": \"pbuild\"") && config.contains("auths"), "{config}");
    assert!(fs::symlink_metadata(ours.join("cli-plugins/docker-pbuild")).is_ok_and(|link| link.is_symlink()));
    assert_eq!(fs::read_to_string(theirs.join("config.json")).expect("their file"), "{\"auths\": {}}");
    assert!(!theirs.join("cli-plugins").exists());
    let variables = fs::read_to_string(scene.temporary().join("github-env")).expect("the job's variables");
    assert!(variables.contains(&format!("DOCKER_CONFIG={}\n", ours.display())), "{variables}");
    assert!(variables.contains(&format!("BUILDX_CONFIG={}\n", theirs.join("buildx").display())), "{variables}");
}

#[test]
fn the_build_action_names_what_is_clean_and_nothing_else() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let token = scene.oracle().planted("TOKEN");
    let image = ImageName::new(&engine, "action");
    let given = [("tags", image.as_str()), ("secrets", "TOKEN\nLATER?\n"), ("build-args", "WHO=me\nHOW=well")];
    let build = |last: &str| {
        scene.write("Dockerfile", format!("FROM busybox\nARG WHO\nARG HOW\nRUN test $WHO$HOW = mewell && {last}\n"));
        run_action("build", &scene, &token, &given)
    };
    let (outcome, outputs) = build("echo $TOKEN > /token");
    outcome.expect_code(10).expect_stderr("Dockerfile:4");
    assert!(outputs == "result=leak\n" && !image.exists(), "{outputs}");
    let (outcome, outputs) = build("test -n $TOKEN -a -z \"${LATER+set}\"");
    outcome.expect_code(0);
    assert!(outputs.starts_with("result=clean\ndigest=sha256:") && image.exists(), "{outputs}");
    let (outcome, outputs) = build("exit 7");
    outcome.expect_code(1);
    assert_eq!(outputs, "result=failed\n");
}

/// GitLab's templates and GitLab's component contain the same script.
#[test]
fn the_build_templates_push_what_is_clean_and_nothing_else() {
    let engine = Engine::get(Flavour::Modern);
    let registry = Registry::plain_inside(&engine);
    let scene = Scene::on(&engine);
    let token = scene.oracle().planted("TOKEN");
    let name = format!("{}/team/gitlab:1", registry.inside());
    let script = |file: &str| File::read(file).steps.swap_remove(0).0;
    let template = script("examples/ci/gitlab.yml");
    assert_eq!(template, script("examples/ci/gitlab-component.yml"));
    for (step, code) in [("echo $TOKEN > /token", 10), ("test -n $TOKEN", 0)] {
        scene.write("Dockerfile", format!("FROM busybox\nRUN {step}\n"));
        let job = scene.tool("/bin/sh").args(["-ec", &template]).env("PATH", path()).env("TOKEN", token.text());
        job.env("BUILD_CONTEXT", ".").env("BUILD_TAG", &name).env("BUILD_SECRETS", "TOKEN").run().expect_code(code);
        assert_eq!(registry.digest("team/gitlab", "1").is_some(), code == 0);
    }
    let _ = engine.try_docker(&["image", "rm", "--force", &name]);
}

#[test]
fn the_template_s_own_script_tells_a_leak_and_a_clean_image() {
    let scene = Scene::new();
    let token = scene.oracle().token("TOKEN");
    let [_, (script, variables)] = File::read("examples/ci/gitlab.yml").steps.try_into().expect("two jobs");
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

/// Runs every command line of the page's shell examples. The `docker` in the search path returns the archive of the
/// test.
#[test]
fn the_commands_of_the_page_do_what_it_says() {
    let page = fs::read_to_string(root().join("docs/ci.md")).expect("the page");
    let mut blocks = page.split("```sh\n").skip(1).map(|rest| rest.split_once("```").expect("an end").0);
    let (build, block) = (blocks.next().expect("how to build"), blocks.next().expect("how to search"));
    let pipeline = fs::read_to_string(root().join("examples/ci/Jenkinsfile")).expect("a pipeline");
    let pipeline = pipeline.split_once("sh '").and_then(|(_, rest)| rest.split_once('\'')).expect("a command").0;
    // Both commands run in a folder without a Dockerfile, so the flags are read but nothing is built.
    for line in [build, pipeline] {
        let empty = Scene::new();
        let shell = empty.tool("/bin/sh").args(["-ec", line]).env("PATH", path()).env("IMAGE", "shop:1");
        shell.run().expect_code(2).expect_stderr("failed to read dockerfile");
    }
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
    // The second line names a registry that does not exist; the same script accepts any source.
    let other = lines[1].replace("docker://registry.example/shop:1", "docker-archive:image.tar");
    assert_ne!(other, lines[1]);
    run(&other).expect_code(0);
    scene.write_secret("image.tar", "cut");
    run(lines[0]).expect_code(11).expect_stderr("this proves nothing");
}
