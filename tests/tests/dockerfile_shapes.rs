//! The ways to write a Dockerfile: every step that BuildKit recognises gets its secrets, and errors are reported in
//! BuildKit's words with the user's own lines.

use acceptance::ImageName;
use ptest::{Canary, Engine, Flavour, Outcome, Scene};

fn build(scene: &Scene, image: &ImageName<'_>, token: &Canary) -> Outcome {
    let tool = scene.pbuild().args(["build", "--no-cache", "-t", image.as_str(), "--secret", "id=TOKEN", "."]);
    tool.env("TOKEN", token.text()).run()
}

/// Escape characters, comments inside of a command, line ends, a byte order mark, a keyword on two lines, and two
/// backslashes at the end of a line (F2, F3, F4, F5, F6, F7).
#[test]
fn every_way_to_write_a_step_sees_the_secrets() {
    let engine = Engine::get(Flavour::Modern);
    let see = "printf %s \"$TOKEN\" | sha256sum > /seen";
    for (name, text) in [
        ("backtick", format!("# escape=`\nFROM busybox\nRUN true && `\n  {see}\n")),
        ("late-directive", format!("FROM busybox\n# escape=`\nRUN true && \\\n  {see}\n")),
        ("comment-inside", format!("FROM busybox\nRUN true && \\\n# a comment\n\n    # and one more\n  {see}\n")),
        ("crlf", format!("FROM busybox\r\nRUN true && \\\r\n  {see}\r\n")),
        ("mixed-ends", format!("FROM busybox\r\nRUN true && \\\n  {see}\r\nRUN true")),
        ("byte-order-mark", format!("\u{feff}FROM busybox\nRUN {see}")),
        ("split-keyword", format!("FROM busybox\nR\\\nUN {see}\n")),
        ("two-backslashes", format!("FROM busybox\nRUN {see}; echo x\\\\\nRUN test \"$TOKEN\"\n")),
        ("lower-case", format!("from busybox\nrun {see}\n")),
    ] {
        let scene = Scene::on(&engine);
        let token = scene.oracle().token("TOKEN");
        let image = ImageName::new(&engine, name);
        let dockerfile = scene.write("Dockerfile", &text);
        build(&scene, &image, &token).expect_code(0).expect_stderr("clean");
        let digest = ptest::sha256(token.value()).trim_start_matches("sha256:").to_owned();
        assert!(image.run(&["cat", "/seen"]).starts_with(&digest), "{name}");
        assert_eq!(std::fs::read(dockerfile).expect("it is still there"), text.as_bytes(), "{name}");
    }
}

/// A line that is too long, an unknown instruction, and a step that fails after comments and continuations: the
/// message names the user's own line, in spite of the injection (F8, F17, F19).
#[test]
fn what_is_refused_is_told_with_the_user_s_own_lines() {
    let engine = Engine::get(Flavour::Modern);
    let long = format!("FROM busybox\nRUN true\nRUN echo {}\n", "x".repeat(65_536));
    let failing = "FROM busybox\nRUN true\n\n# why\nRUN true && \\\n    # between\n    exit 3\nRUN true\n";
    for (name, text, told) in [
        ("long-line", long.as_str(), &["65535"][..]),
        ("unknown-word", "FROM busybox\nRUN true\nRUM true\n", &["Dockerfile:3", "RUM"]),
        ("failing", failing, &["Dockerfile:5", "exit 3"]),
    ] {
        let scene = Scene::on(&engine);
        let token = scene.oracle().token("TOKEN");
        let image = ImageName::new(&engine, name);
        scene.write("Dockerfile", text);
        let outcome = build(&scene, &image, &token);
        outcome.expect_code(1);
        told.iter().for_each(|words| _ = outcome.expect_stderr(words));
        assert!(!image.exists(), "{name}");
    }
}

/// The Dockerfile's own ignore file replaces that of the context, and a rule that sends an env file is reported with
/// its line (B23, B24).
#[test]
fn ignore_files_say_what_is_sent() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    let image = ImageName::new(&engine, "ignore");
    scene.write("Dockerfile", "FROM busybox\nCOPY . /app\n");
    scene.write(".env", "PORT=8080\n");
    scene.write("left.txt", "left\n");
    scene.write("taken.txt", "taken\n");
    scene.write(".dockerignore", "taken.txt\n");
    scene.write("Dockerfile.dockerignore", "*\n!taken.txt\n!.env\n");
    build(&scene, &image, &token)
        .expect_code(0)
        .expect_stderr("Dockerfile.dockerignore:3: `!.env` sends .env to the builder");
    assert_eq!(image.run(&["ls", "-A", "/app"]), ".env\ntaken.txt\n");
}
