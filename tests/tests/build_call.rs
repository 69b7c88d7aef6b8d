//! `--check` and `--call`: the frontend's answers are the same as with the real buildx, and nothing is built.

use ptest::{Engine, Flavour, Outcome, Scene};
use serde_json::Value;

const SMELLY: &str = "# check=skip=none\nARG VERSION=1\nFROM busybox as base\nMAINTAINER someone\nFROM base AS final\nRUN echo x\nCMD echo shell\n";

fn ask(scene: &Scene, words: &[&str]) -> Outcome {
    scene.pbuild().arg("build").args(words).arg(".").run()
}

/// Reads an answer without the operation that read the Dockerfile, because this operation contains the id of the
/// session.
fn json(text: &str) -> Value {
    let mut answer: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    for source in answer["sources"].as_array_mut().into_iter().flatten() {
        if let Some(source) = source.as_object_mut() {
            source.remove("definition");
        }
    }
    answer
}

#[test]
fn answers_are_docker_s() {
    for flavour in [Flavour::Modern, Flavour::Containerd] {
        let engine = Engine::get(flavour);
        let scene = Scene::on(&engine);
        scene.write("Dockerfile", SMELLY);
        let project = scene.project().display().to_string();
        for (method, code) in [("check", 1), ("outline", 0), ("targets", 0)] {
            let call = format!("{method},format=json");
            let theirs = engine.buildx(&["build", "--call", &call, &project]);
            assert_eq!(theirs.status.code(), Some(code), "{theirs:?}");
            let ours = ask(&scene, &["--call", &call]);
            ours.expect_code(code);
            assert_eq!(json(&ours.stdout()), json(&String::from_utf8_lossy(&theirs.stdout)), "{method}");
        }
        let same_text = |code: i32, words: &[&str]| {
            let theirs = engine.buildx(&[&["build"], words, &[&project]].concat());
            let ours = ask(&scene, words);
            ours.expect_code(code);
            // buildx shows the file's whole path if the context is not the current folder.
            let theirs = String::from_utf8_lossy(&theirs.stdout).replace(&format!("{project}/"), "");
            assert_eq!(ours.stdout(), theirs, "{words:?}");
            ours
        };
        let check = same_text(1, &["--check", "--target", "final"]);
        assert!(
            check.stdout().contains("MaintainerDeprecated") && check.stdout().contains("Dockerfile:4"),
            "{check:?}"
        );
        assert!(ask(&scene, &["--call", "targets"]).stdout().contains("final"));

        scene.write("Dockerfile", "FROM busybox\nRUN echo x\n");
        same_text(0, &["--check"]);
        scene.write("Dockerfile", "FROM busybox\nRUNN echo x\n");
        ask(&scene, &["--check"]).expect_code(1).expect_stderr("Dockerfile:2").expect_stderr("RUNN");
    }
}

#[test]
fn an_older_frontend_does_not_answer_and_builds_nothing() {
    let engine = Engine::get(Flavour::Old);
    let scene = Scene::on(&engine);
    scene.write("Dockerfile", SMELLY);
    ask(&scene, &["--check"]).expect_code(1).expect_stderr("does not know the question");
    ask(&scene, &["--call", "scan"]).expect_code(2).expect_stderr("--call");
}
