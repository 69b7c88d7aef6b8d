//! Edge cases of the search in the builder: a foreign scanner, builds at the same time, several platforms, other ways
//! out of the builder, and the output for people.

use std::fs;
use std::path::{Path, PathBuf};

use acceptance::{ImageName, WHOLE, build, on_every_engine};
use ptest::{Engine, Flavour, Scene};

on_every_engine!(builds_at_the_same_time_are_told_apart, an_attribute_alone_is_a_change);

/// A step that only sets an extended attribute leaves size, time and content unchanged, so a differ that compares
/// these sees no change.
fn an_attribute_alone_is_a_change(engine: &Engine) {
    let scene = Scene::on(engine);
    let token = scene.oracle().token("TOKEN");
    let image = ImageName::new(engine, "attribute");
    let set = |path: &str| {
        format!(
            "RUN python3 -c \"import os; os.setxattr('{path}', 'user.note', b'x' + os.environ['TOKEN'].encode())\"\n"
        )
    };
    let steps = format!("FROM pbuild/python:3\nRUN mkdir /folder && echo {} >/file\n", image.as_str());
    scene.write("Dockerfile", format!("{steps}{}{}", set("/file"), set("/folder")));
    let outcome = build(&scene, &image, &token, &[]).run();
    outcome.expect_code(10).expect_stderr("attributes of /file").expect_stderr("attributes of /folder");
    outcome.expect_stderr("Dockerfile:3").expect_stderr("Dockerfile:4");
    assert!(!outcome.stderr().contains(WHOLE), "{outcome:?}");
    assert!(!image.exists());
}

/// Finds the scanner in the file of `pbuild`, which contains it as an embedded program.
fn scanner_in(program: &[u8]) -> std::ops::Range<usize> {
    let is_start = |at: &usize| program[*at..].starts_with(b"\x7fELF\x02\x01\x01");
    let number = |at: usize, bytes: usize| -> usize {
        program[at..at + bytes].iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte))
    };
    // The scanner is a static program at a fixed address, which has type EXEC and no loader. It ends after its
    // section headers.
    let start =
        (1..program.len() - 64).filter(is_start).find(|at| number(at + 16, 2) == 2).expect("an embedded program");
    let (sections, size, count) = (number(start + 40, 8), number(start + 58, 2), number(start + 60, 2));
    start..start + sections + size * count
}

/// Finds the file of a program with exactly these bytes in the builder's data.
fn kept_by_the_builder(root: &Path, program: &[u8]) -> PathBuf {
    let found = std::process::Command::new("find")
        .arg(root)
        .args(["-xdev", "-name", "plook", "-size", &format!("{}c", program.len()), "-print0"])
        .output()
        .expect("find runs");
    let mut paths = found.stdout.split(|byte| *byte == 0).filter_map(|path| std::str::from_utf8(path).ok());
    let is_it = |path: &&str| fs::read(path).is_ok_and(|bytes| bytes == program);
    PathBuf::from(paths.find(is_it).expect("the scanner is in the builder"))
}

/// The builder's cache contains another program under the scanner's key, as it can after a build with a foreign
/// `--cache-from`. This program gets no value and its answer does not count, although it works like the real one.
#[test]
fn a_replaced_scanner_is_not_believed() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    let image = ImageName::new(&engine, "replaced");
    // The test uses a scanner of its own, with other bytes in the unused padding of its header, so that no other test
    // gets the replaced one.
    let mut program =
        fs::read(Path::new(&std::env::var("PBUILD_TEST_BINARIES").expect("set")).join("pbuild")).expect("read");
    let scanner = scanner_in(&program);
    let unique = std::process::id().to_le_bytes();
    program[scanner.start + 9..scanner.start + 13].copy_from_slice(&unique);
    let copy = scene.temporary().join("pbuild");
    fs::write(&copy, &program).expect("a program of the test");
    make_runnable(&copy);
    scene.write("Dockerfile", format!("FROM busybox\nRUN echo x > /x; : {}\n", image.as_str()));
    let build = || {
        let tool = scene.tool(&copy).args(["build", "--progress", "plain", "--secret", "id=TOKEN"]);
        tool.args(["-t", image.as_str(), "."]).env("TOKEN", token.text()).run()
    };
    let first = build();
    first.expect_code(0);
    assert!(!first.stderr().contains(WHOLE), "{first:?}");

    let kept = kept_by_the_builder(&engine.data_root(), &program[scanner.clone()]);
    let mut other = program[scanner].to_vec();
    other[13] = 1;
    fs::write(&kept, &other).expect("root may write there");
    let second = build();
    second.expect_code(0).expect_stderr(WHOLE).expect_stderr("another program for the scanner");
    assert!(image.exists());
}

fn make_runnable(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("the file is ours");
}

/// Two builds differ only in their last step. The one that leaks is refused and its own records are removed; the
/// other one stays complete.
fn builds_at_the_same_time_are_told_apart(engine: &Engine) {
    let (clean, leaking) = (Scene::on(engine), Scene::on(engine));
    let token = leaking.oracle().token("TOKEN");
    let other = clean.oracle().token("TOKEN");
    let (good, bad) = (ImageName::new(engine, "at-once-good"), ImageName::new(engine, "at-once-bad"));
    let shared = format!("FROM busybox\nRUN sleep 1; echo {} > /shared\nRUN echo two > /two\n", good.as_str());
    clean.write("Dockerfile", shared.clone() + "RUN sleep 0.5; echo good > /last\n");
    leaking.write("Dockerfile", shared + "RUN sleep 0.5; echo $TOKEN > /last\n");
    let refused = build(&leaking, &bad, &token, &[]).spawn();
    let passed = build(&clean, &good, &other, &[]).spawn();
    let (refused, passed) = (refused.finish(), passed.finish());
    refused.expect_code(10).expect_stderr("/last").expect_stderr("Dockerfile:4");
    passed.expect_code(0).expect_stderr("clean");
    for outcome in [&refused, &passed] {
        assert!(!outcome.stderr().contains(WHOLE), "{outcome:?}");
    }
    assert!(!bad.exists());
    assert_eq!(good.run(&["cat", "/shared", "/two", "/last"]), format!("{}\ntwo\ngood\n", good.as_str()));
}

/// Only containerd's store puts consecutive linked copies into one snapshot; elsewhere `--link` is an ordinary copy.
/// Each copy is searched, and the image is proven to consist of them without an export.
#[test]
fn linked_copies_in_a_row_are_proven_in_the_builder() {
    let engine = Engine::get(Flavour::Containerd);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    let image = ImageName::new(&engine, "linked");
    scene.write("one", image.as_str());
    scene.write("two", "2");
    let copies = "COPY --link one /srv/deep/one\nCOPY --link two /srv/deep/two\nCOPY --link two /bin/true\n";
    for base in ["busybox", "scratch"] {
        let run = if base == "busybox" { "RUN echo after > /after\n" } else { "" };
        scene.write("Dockerfile", format!("FROM {base}\n{copies}{run}COPY one two /both/\n"));
        let outcome = build(&scene, &image, &token, &[]).run();
        outcome.expect_code(0);
        assert!(!outcome.stderr().contains(WHOLE), "{base}: {outcome:?}");
    }
    // A copy that overwrites a file of another copy hides that file, so only an export shows the image.
    scene.write("Dockerfile", format!("FROM busybox\n{copies}COPY --link two /srv/deep/one\n"));
    build(&scene, &image, &token, &[]).run().expect_code(0).expect_stderr(WHOLE);
    // The content was searched for the same secret just before.
    build(&scene, &image, &token, &[]).run().expect_code(0).expect_stderr(WHOLE).expect_stderr("known from before");

    let leak = |name: &str| format!("RUN mkdir -p /out && echo $TOKEN > /out/{name}\n");
    for (first, second) in [("leak", "other"), ("other", "leak")] {
        let maker = format!("FROM busybox AS maker\n{}RUN echo x > /out/other\n", leak("leak"));
        let links = format!("COPY --link --from=maker /out/{first} /1\nCOPY --link --from=maker /out/{second} /2\n");
        scene.write("Dockerfile", format!("{maker}FROM busybox\n{links}"));
        let outcome = build(&scene, &image, &token, &[]).run();
        let (path, line) = if first == "leak" { ("/1", 5) } else { ("/2", 6) };
        outcome
            .expect_code(10)
            .expect_stderr(&format!("in {path}, byte 0"))
            .expect_stderr(&format!("Dockerfile:{line}"));
        assert!(!outcome.stderr().contains(WHOLE), "{outcome:?}");
    }
}

/// B16: each platform's image is searched in the builder, and a finding names the platform and the line.
#[test]
fn several_platforms_are_proven_in_the_builder() {
    let engine = Engine::get(Flavour::Containerd);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    let image = ImageName::new(&engine, "platforms");
    scene.write("file", image.as_str());
    let maker = "FROM --platform=$BUILDPLATFORM busybox AS maker\nARG TARGETARCH\n";
    let platforms = ["--platform", "linux/amd64,linux/arm64"];
    let rest = "FROM scratch\nCOPY file /file\nCOPY --from=maker /made /made\n";
    scene.write("Dockerfile", format!("{maker}RUN test -n \"$TOKEN\" && echo $TARGETARCH > /made\n{rest}"));
    let outcome = build(&scene, &image, &token, &platforms).run();
    outcome.expect_code(0).expect_stderr("2 platforms, 4 steps");
    assert!(!outcome.stderr().contains(WHOLE), "{outcome:?}");

    let leak = "RUN if [ $TARGETARCH = arm64 ]; then echo $TOKEN; else echo y; fi > /made\n";
    scene.write("Dockerfile", format!("{maker}{leak}{rest}"));
    let outcome = build(&scene, &image, &token, &platforms).run();
    outcome.expect_code(10).expect_stderr("the image for linux/arm64 would contain").expect_stderr("Dockerfile:6");
    assert!(!outcome.stderr().contains(WHOLE), "{outcome:?}");
}

/// Provenance is made on export, after the search in the builder. It is read back, and an image whose provenance
/// contains a value gets no name. In this test, it names a base image whose tag consists of two build arguments.
#[test]
fn provenance_is_read_back_before_the_image_has_a_name() {
    let engine = Engine::get(Flavour::Containerd);
    let scene = Scene::on(&engine);
    let token = scene.oracle().planted("TOKEN");
    let image = ImageName::new(&engine, "provenance");
    let base = format!("pbuild-test/provenance-base:{}", token.text());
    let _ = engine.docker(&["tag", "busybox", &base]);
    let (first, second) = token.text().split_at(token.text().len() / 2);
    let from = format!("ARG A={first}\nARG B={second}\nFROM pbuild-test/provenance-base:${{A}}${{B}}\n");
    scene.write("Dockerfile", from + "RUN echo x > /x\n");
    let refused = build(&scene, &image, &token, &[]).run();
    let _ = engine.docker(&["image", "rm", &base]);
    refused.expect_code(10).expect_stderr("attached/sha256:").expect_stderr("the unnamed image was removed");
    assert!(!refused.stderr().contains(WHOLE), "{refused:?}");
    assert!(!image.exists());

    scene.write("Dockerfile", "FROM busybox\nRUN echo x > /x\n");
    let passed = build(&scene, &image, &token, &[]).run();
    passed.expect_code(0).expect_stderr("exporting attestation manifest");
    assert!(!passed.stderr().contains(WHOLE), "{passed:?}");
}

/// The scanner is not shown as a step of the build. Its search is one line of our own, in every kind of progress.
#[test]
fn the_search_is_one_line_and_the_scanner_none() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    let image = ImageName::new(&engine, "line");
    scene.write("Dockerfile", "FROM busybox\nRUN echo x > /x\nRUN echo y > /y\n");
    for (mode, line) in [
        ("plain", "[audit] searching 2 steps and the base image\n"),
        ("rawjson", "\"name\":\"[audit] searching 2 steps"),
        ("tty", ""),
    ] {
        let tool =
            scene.pbuild().args(["build", "--progress", mode, "-t", image.as_str(), "--secret", "id=TOKEN", "."]);
        let tool = tool.env("TOKEN", token.text());
        let outcome = if mode == "tty" { tool.on_terminal(120, 40).run() } else { tool.run() };
        outcome.expect_code(0);
        let said = format!("{}{}", outcome.stdout(), outcome.stderr());
        // A terminal only shows steps that run at the time of a redraw, and a short search may run between two
        // redraws.
        assert!(said.contains(line), "{mode}: {outcome:?}");
        assert!(!said.contains("scanner"), "{mode}: {outcome:?}");
    }
}
