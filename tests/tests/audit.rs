//! `pbuild audit` without a build, as CI runs it: archives of every kind, the engine's own images, and the contract
//! of its report.

use ptest::{Archive, Compression, Engine, Flavour, Image, Layer, Outcome, Scene};

fn audit(scene: &Scene, token: &str, arguments: &[&str]) -> Outcome {
    scene.pbuild().arg("audit").args(["--secret", "id=TOKEN"]).args(arguments).env("TOKEN", token).run()
}

/// Makes an image of two layers: a common base layer, and this one.
fn image(layer: Layer, compression: Compression) -> Image {
    let base = Layer::new().file("etc/hostname", "host\n");
    Image::new().packed_layer(base, compression, "COPY hostname /etc").packed_layer(layer, compression, "RUN make")
}

fn docker(image: &Image) -> Archive {
    image.docker_oci("test:1")
}

fn legacy(image: &Image) -> Archive {
    image.docker_legacy("test:1")
}

#[test]
fn archives_of_every_kind_tell_the_same() {
    let scene = Scene::new();
    let token = scene.oracle().token("TOKEN");
    let leaking = || Layer::new().file("srv/conf", format!("key = {}\n", token.text()));
    let clean = || Layer::new().file("srv/conf", "key = none\n");
    for compression in [Compression::Plain, Compression::Gzip, Compression::GzipMembers, Compression::Zstd] {
        for (name, write) in [("docker", docker as fn(&Image) -> Archive), ("oci", Image::oci), ("legacy", legacy)] {
            if name == "legacy" && compression != Compression::Plain {
                continue;
            }
            let path = scene.write_secret("image.tar", write(&image(leaking(), compression)).tar());
            let path = path.to_str().expect("UTF-8");
            let found = audit(&scene, token.text(), &["--archive", path]);
            found.expect_code(10).expect_stdout("/srv/conf, byte 6").expect_stdout("TOKEN").expect_stdout("layer 2");
            let whole = write(&image(clean(), compression)).tar();
            scene.write("clean.tar", &whole);
            audit(&scene, token.text(), &["--archive", "clean.tar"]).expect_code(0).expect_stdout("CLEAN  ");
            let from_stdin = scene
                .pbuild()
                .args(["audit", "--secret", "id=TOKEN", "--archive", "-"])
                .env("TOKEN", token.text())
                .stdin(whole)
                .run();
            from_stdin.expect_code(0);
        }
    }
}

/// Findings before the cut are reported, and a cut archive is never clean (A1, P3).
#[test]
fn an_archive_that_ends_early_is_incomplete_or_a_leak_and_never_clean_a1() {
    let scene = Scene::new();
    let token = scene.oracle().token("TOKEN");
    let clean = image(Layer::new().file("srv/big", "x".repeat(200_000)), Compression::Gzip).oci().tar();
    for keep in [1, 511, 512, 1000, clean.len() / 2, clean.len() - 2000] {
        scene.write("cut.tar", &clean[..keep]);
        let outcome = audit(&scene, token.text(), &["--archive", "cut.tar"]);
        outcome.expect_code(11).expect_stdout("incomplete");
    }
    let leaking = Layer::new().file("srv/conf", token.text()).file("srv/big", "x".repeat(400_000));
    let whole = docker(&image(leaking, Compression::Plain)).tar();
    scene.write_secret("cut.tar", &whole[..whole.len() - 100_000]);
    audit(&scene, token.text(), &["--archive", "cut.tar"]).expect_code(10).expect_stdout("/srv/conf");
    for (name, bytes) in [("empty", &b""[..]), ("text", b"this is no archive at all, only some text\n")] {
        scene.write(name, bytes);
        audit(&scene, token.text(), &["--archive", name]).expect_code(11);
    }
}

#[test]
fn the_json_report_keeps_its_contract() {
    let scene = Scene::new();
    let token = scene.oracle().token("TOKEN");
    let leaking = Layer::new().file("srv/conf", format!("key = {}\n", token.text()));
    let path = scene.write_secret("image.tar", docker(&image(leaking, Compression::Plain)).tar());
    let outcome = audit(&scene, token.text(), &["--archive", path.to_str().expect("UTF-8"), "--format", "json"]);
    outcome.expect_code(10);
    let report = outcome.json();
    assert_eq!(report["version"], 1);
    assert_eq!(report["result"], "leak");
    let finding = &report["findings"][0];
    assert_eq!(finding["secret"], "TOKEN");
    assert_eq!(finding["layer"], 2);
    assert_eq!(finding["path"], "/srv/conf");
    assert_eq!(finding["offset"], 6);
    assert!(finding["diff_id"].as_str().is_some_and(|digest| digest.starts_with("sha256:")));
    assert_eq!(finding["instruction"], "RUN make");
    for key in ["image", "not_searched", "unprotected", "stats"] {
        assert!(report.get(key).is_some(), "{key}");
    }
}

/// An audit without a searchable secret is a usage error and not a clean image, because it would prove nothing.
#[test]
fn an_audit_without_a_searchable_secret_exits_2() {
    let scene = Scene::new();
    scene.write("image.tar", docker(&image(Layer::new(), Compression::Plain)).tar());
    scene
        .pbuild()
        .args(["audit", "--archive", "image.tar"])
        .run()
        .expect_code(2)
        .expect_stderr("no secret to search for");
    let weak = scene.pbuild().args(["audit", "--archive", "image.tar", "--secret", "id=MODE"]).env("MODE", "yes").run();
    weak.expect_code(2);
    scene
        .pbuild()
        .args(["audit", "--archive", "missing.tar", "--secret", "id=A"])
        .env("A", "0123456789")
        .run()
        .expect_code(2);
    scene.pbuild().arg("audit").run().expect_code(2);
}

/// An image has the same findings in the engine and as a file.
#[test]
fn an_image_of_the_engine_and_its_archive_tell_the_same() {
    for flavour in Flavour::ALL {
        let engine = Engine::get(flavour);
        let scene = Scene::on(&engine);
        let token = scene.oracle().token("TOKEN");
        scene.write("saved.tar", engine.docker(&["save", "busybox"]));
        for arguments in [&["busybox"][..], &["--archive", "saved.tar"]] {
            audit(&scene, token.text(), arguments).expect_code(0).expect_stdout("nothing left unsearched");
        }
        let absent = audit(&scene, token.text(), &["pbuild-test/no-such-image"]);
        absent.expect_code(1).expect_stderr("no image");
    }
}

/// If the value of a declared secret is not at hand, the audit says so, so that nobody misreads "clean".
#[test]
fn a_declared_secret_that_is_not_at_hand_is_told() {
    let scene = Scene::new();
    let token = scene.oracle().token("TOKEN");
    scene.write("app.toml", "[secrets]\nTOKEN = {}\nOTHER = {}\n");
    scene.write("image.tar", docker(&image(Layer::new(), Compression::Plain)).tar());
    let audit = || scene.pbuild().args(["audit", "--archive", "image.tar"]).env("TOKEN", token.text()).run();
    // The value is not even read before the manifest is trusted.
    let outcome = audit();
    outcome.expect_stderr("TOKEN is not searched for: app.toml:2 may not get its value before `pbuild trust`");
    scene.trust();
    let outcome = audit();
    outcome.expect_code(11).expect_stderr("OTHER has no value here");
    assert!(!outcome.stderr().contains("TOKEN is not"), "{}", outcome.stderr());
}

/// A secret that was not searched for makes the result incomplete in every report, unless a flag says that its value
/// may be missing.
#[test]
fn a_declared_secret_without_a_value_makes_the_result_incomplete_in_every_report() {
    let scene = Scene::new();
    let token = scene.oracle().token("TOKEN");
    scene.write("app.toml", "[secrets]\nTOKEN = {}\nOTHER = { scope = \"build\" }\nLATER = { scope = \"run\" }\n");
    scene.write("image.tar", docker(&image(Layer::new(), Compression::Plain)).tar());
    for untrusted in [true, false] {
        let audit = |more: &[&str]| {
            let given = ["audit", "--archive", "image.tar", "--secret", "id=TOKEN"];
            let tool = scene.pbuild().args(given).args(more).env("TOKEN", token.text());
            if untrusted { tool.env("OTHER", "not-trusted-1").run() } else { tool.run() }
        };
        let why =
            if untrusted { "app.toml:3 may not get its value here" } else { "app.toml:3 declares it, and it has no" };
        let said = format!("OTHER was not searched for: {why}");
        audit(&[]).expect_code(11).expect_stdout(&said).expect_stdout("LATER is not searched for");
        for format in ["json", "sarif", "html", "junit"] {
            audit(&["--format", format]).expect_code(11).expect_stdout(&said).expect_stdout("LATER");
        }
        audit(&["--github", "--quiet"]).expect_code(11).expect_stdout("::error title=Not searched::OTHER");
        audit(&["--allow-missing", "OTHER"]).expect_code(0).expect_stdout("OTHER is not searched for");
        audit(&["--allow-missing", "OTHER", "--strict"]).expect_code(11).expect_stdout("LATER was not searched for");
        let all = ["--allow-missing", "OTHER", "--allow-missing", "LATER", "--strict"];
        audit(&all).expect_code(0);
        let mistyped = audit(&["--allow-missing", "OHTER"]);
        mistyped.expect_code(11).expect_stderr("--allow-missing OHTER: no declared secret of that name");
    }
}
