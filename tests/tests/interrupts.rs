//! Ctrl-C and a cut connection to the engine, in each phase: no process keeps running, no name is given, and nothing
//! is left (B4, B7).

use std::time::{Duration, Instant};

use acceptance::{ImageName, becomes, scanner_of};
use ptest::{Engine, Flavour, Process, Scene};

/// Returns true if the engine still runs a process with this mark in its command line.
fn runs(mark: &str) -> bool {
    Process::all().any(|process| process.is_told(mark) && !process.command().starts_with(b"pbuild"))
}

#[test]
fn an_interrupted_step_is_cancelled_in_the_engine_b7() {
    for flavour in Flavour::ALL {
        let engine = Engine::get(flavour);
        let scene = Scene::on(&engine);
        let token = scene.oracle().token("TOKEN");
        let image = ImageName::new(&engine, "interrupted-run");
        // The duration is unique to this test, so that its process can be recognised.
        let seconds = format!("8{}.{}", 1000 + flavour as u32, std::process::id());
        scene.write("Dockerfile", format!("FROM busybox\nRUN echo begun && sleep {seconds}\n"));
        let mut running = scene
            .pbuild()
            .args(["build", "--no-cache", "--progress", "plain", "-t", image.as_str(), "--secret", "id=TOKEN", "."])
            .env("TOKEN", token.text())
            .spawn();
        running.wait_for("begun");
        assert!(becomes(Duration::from_secs(5), || runs(&seconds)), "the step runs");
        let began = Instant::now();
        running.interrupt();
        running.finish().expect_code(130).expect_stderr("no image was tagged");
        assert!(began.elapsed() < Duration::from_secs(5), "{flavour:?}: ended after {:?}", began.elapsed());
        assert!(becomes(Duration::from_secs(10), || !runs(&seconds)), "{flavour:?}: the step still runs");
        assert!(!image.exists());
    }
}

#[test]
fn an_interrupted_upload_leaves_nothing_b7() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    let image = ImageName::new(&engine, "interrupted-upload");
    let file = std::fs::File::create(scene.project().join("large.bin")).expect("a file of the project");
    // The file is so large that its transfer lasts until the signal. The receiver does not get it as a sparse file.
    file.set_len(3 << 30).expect("a large file");
    scene.write("Dockerfile", "FROM busybox\nCOPY large.bin /\n");
    let mut running = scene
        .pbuild()
        .args(["build", "--progress", "plain", "-t", image.as_str(), "--secret", "id=TOKEN", "."])
        .env("TOKEN", token.text())
        .spawn();
    running.wait_for("load build context");
    std::thread::sleep(Duration::from_millis(700));
    running.interrupt();
    running.finish().expect_code(130);
    assert!(!image.exists());
}

/// Ctrl-C in the middle of the search in the builder: no name, no image, and the scanner ends.
#[test]
fn an_interrupted_search_leaves_nothing_b7() {
    for flavour in Flavour::ALL {
        let engine = Engine::get(flavour);
        let scene = Scene::on(&engine);
        let token = scene.oracle().token("TOKEN");
        let image = ImageName::new(&engine, "interrupted-search");
        // A sparse file of zeros, which is so large that the search lasts until the signal.
        let file = format!("zeros-{}", std::process::id());
        scene.write("Dockerfile", format!("FROM busybox\nRUN truncate -s 60G /{file} && echo made\n"));
        let mut running = scene
            .pbuild()
            .args(["build", "--progress", "plain", "-t", image.as_str(), "--secret", "id=TOKEN", "."])
            .env("TOKEN", token.text())
            .spawn();
        running.wait_for("[audit] searching");
        assert!(becomes(Duration::from_secs(20), || scanner_of(&file)), "{flavour:?}: the search runs");
        running.interrupt();
        let outcome = running.finish();
        outcome.expect_code(130);
        assert!(!outcome.stderr().contains("exporting"), "{flavour:?}: something was exported");
        assert!(becomes(Duration::from_secs(20), || !scanner_of(&file)), "{flavour:?}: the scanner runs on");
        assert!(!image.exists());
    }
}

/// SIGTERM ends the build like Ctrl-C, with another exit code.
#[test]
fn a_request_to_end_exits_143_b7() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    scene.write("Dockerfile", "FROM busybox\nRUN echo begun && sleep 8642\n");
    let mut running = scene
        .pbuild()
        .args(["build", "--no-cache", "--progress", "plain", "--secret", "id=TOKEN", "."])
        .env("TOKEN", token.text())
        .spawn();
    running.wait_for("begun");
    running.terminate();
    running.finish().expect_code(143);
}

/// Messages are no result: a full disk behind them ends no build, as with docker.
#[test]
fn a_full_disk_behind_standard_error_ends_no_build() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let image = ImageName::new(&engine, "full");
    let binaries = std::env::var("PBUILD_TEST_BINARIES").expect("PBUILD_TEST_BINARIES is not set: run scripts/test");
    scene.write("Dockerfile", "FROM busybox\nRUN echo begun\n");
    let script = format!("{binaries}/pbuild build -t {} . 2>/dev/full", image.as_str());
    scene.tool("/bin/bash").args(["-c", &script]).run().expect_code(0);
    assert!(image.exists());
}

/// `| head` closes our output: the build ends in the engine, and nothing more is printed (C14).
#[test]
fn a_reader_that_goes_away_ends_the_build_c14() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    let image = ImageName::new(&engine, "reader");
    let binaries = std::env::var("PBUILD_TEST_BINARIES").expect("PBUILD_TEST_BINARIES is not set: run scripts/test");
    let seconds = format!("8755.{}", std::process::id());
    scene.write("Dockerfile", format!("FROM busybox\nRUN echo begun && sleep {seconds}\n"));
    let script = format!(
        "{binaries}/pbuild build --no-cache --progress plain -t {} --secret id=TOKEN . 2>&1 | grep -m 1 begun; echo ${{PIPESTATUS[0]}}",
        image.as_str()
    );
    let outcome = scene.tool("/bin/bash").args(["-c", &script]).env("TOKEN", token.text()).run();
    outcome.expect_code(0).expect_stdout("141");
    assert!(becomes(Duration::from_secs(10), || !runs(&seconds)), "the step still runs");
    assert!(!image.exists());
}
