//! The reports of an audit, in all formats at once, checked by the tools that read each format.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ptest::{Canary, Compression, Image, Layer, Outcome, Scene};
use serde_json::{Value, json};

const DOCKERFILE: &str = "FROM scratch\nCOPY big /usr\nRUN npm config \\\n    set token $TOKEN\nRUN rm /root/.npmrc\n";

fn audit(scene: &Scene, token: &Canary, arguments: &[&str]) -> Outcome {
    scene.pbuild().args(["audit", "--secret", "id=TOKEN"]).args(arguments).env("TOKEN", token.text()).run()
}

/// Makes an image with layers of every state, and with names that are hard for each format.
fn image(scene: &Scene, token: &Canary) -> PathBuf {
    let value = token.text();
    let hostile = b"srv/\"quote' <script>alert(1)</script>\n\x1b[31m\xff";
    let leaking = Layer::new()
        .file("root/.npmrc", format!("//r.example/:_authToken={value}\n"))
        .file_named(hostile, value)
        .file(&format!("srv/{}", "n".repeat(200)), value);
    let image = Image::new()
        .packed_layer(Layer::new().file("usr/big", "x".repeat(400_000)), Compression::Plain, "COPY big /usr # buildkit")
        .packed_layer(leaking, Compression::Plain, "RUN /bin/sh -c npm config     set token $TOKEN # buildkit")
        .packed_layer(
            Layer::new().whiteout("root/.npmrc"),
            Compression::Plain,
            "RUN /bin/sh -c rm /root/.npmrc # buildkit",
        )
        .configured(|config| config["config"]["Labels"] = json!({"token": value}));
    scene.write("Dockerfile", DOCKERFILE);
    scene.write_secret("image.tar", image.docker_oci("shop:1").tar())
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run scripts/test"))
}

/// Runs a Node script of the tests, with the packages that `scripts/test` installed.
fn node(script: &str, arguments: &[&Path]) -> String {
    let modules = variable("PBUILD_TEST_NODE_MODULES");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("node").join(script);
    let output = Command::new("node").arg(script).arg(modules).args(arguments).output().expect("node runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The text of the step is masked in the report, but the step's line in the Dockerfile is still found.
#[test]
fn a_value_that_stands_in_the_dockerfile_has_its_line() {
    let scene = Scene::new();
    let token = scene.oracle().token("TOKEN");
    let step = format!("echo {} > /leak", token.text());
    let layer = Layer::new().file("leak", format!("{}\n", token.text()));
    let image = Image::new().packed_layer(layer, Compression::Plain, &format!("RUN /bin/sh -c {step} # buildkit"));
    scene.write_secret("image.tar", image.docker_oci("shop:1").tar());
    scene.write_secret("Dockerfile", format!("FROM scratch\nRUN true\nRUN {step}\n"));
    let outcome = audit(&scene, &token, &["docker-archive:image.tar", "--dockerfile", "Dockerfile", "--github"]);
    outcome.expect_code(10).expect_stdout("::error file=Dockerfile,line=3,title=TOKEN is in the image::");
}

#[test]
fn every_format_is_written_at_once_and_people_still_read_text() {
    let scene = Scene::new();
    let token = scene.oracle().token("TOKEN");
    image(&scene, &token);
    let outcome = audit(
        &scene,
        &token,
        &[
            "docker-archive:image.tar",
            "--dockerfile",
            "Dockerfile",
            "--github",
            "--format",
            "json=a.json",
            "--format",
            "sarif=a.sarif",
            "--format",
            "junit=a.xml",
            "--format",
            "html=a.html",
        ],
    );
    outcome
        .expect_code(10)
        .expect_stdout("Dockerfile:3  RUN npm config")
        .expect_stdout("::error file=Dockerfile,line=3,title=TOKEN is in the image::");
    for file in ["a.json", "a.sarif", "a.xml", "a.html"] {
        assert!(scene.project().join(file).metadata().expect(file).len() > 500, "{file}");
    }
    let report: Value =
        serde_json::from_slice(&fs::read(scene.project().join("a.json")).expect("a report")).expect("JSON");
    let found = report["findings"].as_array().expect("findings").iter().find(|one| one["path"] == "/root/.npmrc");
    assert_eq!(found.expect("the leak")["dockerfile"], json!({"file": "Dockerfile", "line": 3}));
    let states: Vec<&str> = report["layers"]
        .as_array()
        .expect("layers")
        .iter()
        .map(|layer| layer["state"].as_str().expect("a state"))
        .collect();
    assert_eq!(states, ["searched", "leak", "searched"]);
    // A line end within a name does not begin a new line of the report.
    assert!(outcome.stdout().lines().all(|line| !line.contains('\u{1b}')));
    let quiet = audit(&scene, &token, &["docker-archive:image.tar", "--quiet", "--format", "json=b.json"]);
    assert_eq!(quiet.expect_code(10).stdout(), "");
    for (arguments, told) in [
        (&["--format", "xml"][..], "no such format"),
        (&["--format", "json", "--format", "text"], "standard output has a format already"),
        (&["--format", "json=absent/a.json"], "absent/a.json"),
        (&["--dockerfile", "absent"], "--dockerfile absent"),
    ] {
        let outcome = audit(&scene, &token, &[&["docker-archive:image.tar"][..], arguments].concat());
        assert!([1, 2].contains(&outcome.code()), "{arguments:?}");
        outcome.expect_stderr(told);
    }
}

/// Makes images for every result: `image.tar` contains the value, `clean.tar` does not, and `cut.tar` ends early.
fn images(scene: &Scene) -> Canary {
    let token = scene.oracle().token("TOKEN");
    image(scene, &token);
    let clean = Image::new().layer(Layer::new().file("a", "nothing"), "COPY a /").oci().tar();
    scene.write("clean.tar", &clean);
    scene.write("cut.tar", &clean[..clean.len() / 2]);
    token
}

/// CI systems show each case: a leak, a clean image, an image that was not searched completely, and a secret that was
/// not searched for.
#[test]
fn junit_is_what_ci_systems_read() {
    let scene = Scene::new();
    let token = images(&scene);
    for (name, code, outcome) in [("image", 10, "failure"), ("clean", 0, "skipped"), ("cut", 11, "error")] {
        let audit = scene.pbuild().args(["audit", "--secret", "id=TOKEN", "--secret", "id=SHORT"]);
        let audit = audit.args([format!("docker-archive:{name}.tar"), "--format".into(), format!("junit={name}.xml")]);
        audit.env("TOKEN", token.text()).env("SHORT", "abc").run().expect_code(code);
        let path = scene.project().join(format!("{name}.xml"));
        let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/junit.xsd");
        let read = |arguments: &[&str]| {
            let output = Command::new("xmllint").args(arguments).arg(&path).output().expect("xmllint runs");
            assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
        };
        let _ = read(&["--noout", "--nonet", "--schema", schema.to_str().expect("UTF-8")]);
        // The counts in the attributes equal the numbers of the elements.
        for (attribute, what) in
            [("tests", ""), ("failures", "[failure]"), ("errors", "[error]"), ("skipped", "[skipped]")]
        {
            let wrong = format!("//testsuite[@{attribute} != count(testcase{what})]");
            assert_eq!(read(&["--xpath", &format!("count({wrong})")]), "0", "{name}: {attribute}");
        }
        assert_eq!(read(&["--xpath", &format!("count(//{outcome})")]), "1", "{name}");
    }
}

/// The validator of the authors of the standard finds no error.
#[test]
fn sarif_is_what_the_standard_says() {
    let scene = Scene::new();
    let token = images(&scene);
    for (name, code) in [("image", 10), ("clean", 0), ("cut", 11)] {
        let (source, format) = (format!("docker-archive:{name}.tar"), format!("sarif={name}.sarif"));
        audit(&scene, &token, &[&source, "--format", &format]).expect_code(code);
        let path = scene.project().join(format!("{name}.sarif"));
        let told = node("sarif.mjs", &[&path]);
        assert!(!told.contains("error"), "{told}");
    }
}

/// The page loads nothing from the network and runs only its own script, its filters work, and a screen reader can
/// read all of it, in light and in dark mode.
#[test]
fn the_page_works_in_a_browser_and_loads_nothing() {
    let scene = Scene::new();
    let token = scene.oracle().token("TOKEN");
    image(&scene, &token);
    audit(&scene, &token, &["docker-archive:image.tar", "--quiet", "--format", "html=a.html"]).expect_code(10);
    let told = node("page.mjs", &[&scene.project().join("a.html")]);
    let seen: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(seen["requests"], json!([]), "{told}");
    assert_eq!(seen["complaints"], json!([]), "{told}");
    assert_eq!(seen["dialogs"], 0, "{told}");
    assert_eq!(seen["axe"], json!([]), "{told}");
    assert_eq!((&seen["layers"], &seen["rows"]), (&json!(3), &json!(4)), "{told}");
    assert_eq!((&seen["above"], &seen["wider"]), (&json!([]), &json!([])), "{told}");
    assert_eq!(seen["by text"], 1, "{told}");
    assert_eq!((&seen["by layer"], &seen["by keyboard"]), (&json!(3), &json!(3)), "{told}");
    assert_eq!(seen["after reset"], 4, "{told}");
    assert_eq!(seen["without script"], 4, "{told}");
}

/// If the disk is full, the old report stays, and the message names the file.
#[test]
fn a_full_disk_leaves_the_old_report_whole_b8() {
    let scene = Scene::new();
    let token = scene.oracle().token("TOKEN");
    image(&scene, &token);
    let small = scene.project().join("small");
    fs::create_dir(&small).expect("a folder");
    // The mount exists only in a namespace of its own, and ends with it.
    let script = "mount -t tmpfs -o size=64k tmpfs small && printf old >small/a.html && head -c 56000 /dev/zero >small/filler && \
        code=0; \"$0\" audit --secret id=TOKEN docker-archive:image.tar --format html=small/a.html || code=$?; \
        cat small/a.html; ls -A small | wc -l; exit $code";
    let pbuild = PathBuf::from(variable("PBUILD_TEST_BINARIES")).join("pbuild");
    let outcome = scene
        .tool("/usr/bin/unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", script])
        .arg(&pbuild)
        .env("TOKEN", token.text())
        .run();
    outcome.expect_code(1).expect_stderr("small/a.html").expect_stdout("old2\n");
}

#[test]
fn a_baseline_for_one_part_of_a_secret_hides_no_other() {
    let scene = Scene::new();
    let (read, write) = (scene.oracle().token("READ"), scene.oracle().token("WRITE"));
    let value = json!({"read_token": read.text(), "write_token": write.text()}).to_string();
    let audit = |holds: &str, arguments: &[&str]| {
        let image = Image::new().layer(Layer::new().file("srv/conf", holds), "RUN make");
        scene.write_secret("image.tar", image.docker_oci("shop:1").tar());
        let audit = scene.pbuild().args(["audit", "--secret", "id=TOKENS", "docker-archive:image.tar"]).args(arguments);
        let key = "5f0c7e1a9b3d4468a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718";
        audit.env("TOKENS", &value).env("PBUILD_CACHE_KEY", key).run()
    };
    audit(read.text(), &["--write-baseline", "base.json"]).expect_code(10);
    audit(read.text(), &["--baseline", "base.json"]).expect_code(0);
    let both = format!("{}\n{}\n", read.text(), write.text());
    audit(&both, &["--baseline", "base.json"]).expect_code(10).expect_stdout("TOKENS, part write_token");
    audit(&both, &["--write-baseline", "base.json"]).expect_code(10);
    audit(&both, &["--baseline", "base.json"]).expect_code(0);
    audit(write.text(), &["--baseline", "base.json"]).expect_stdout("stale        TOKENS, part read_token, in content");
}

#[test]
fn a_baseline_accepts_what_is_known_and_nothing_else_s21() {
    let scene = Scene::new();
    let token = scene.oracle().token("TOKEN");
    image(&scene, &token);
    let with_key = |key: &str, value: &str, arguments: &[&str]| {
        let audit = scene.pbuild().args(["audit", "--secret", "id=TOKEN", "docker-archive:image.tar"]).args(arguments);
        audit.env("TOKEN", value).env("PBUILD_CACHE_KEY", key).run()
    };
    let key = "5f0c7e1a9b3d4468a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718";
    audit(&scene, &token, &["docker-archive:image.tar", "--write-baseline", "base.json"])
        .expect_code(2)
        .expect_stderr("PBUILD_CACHE_KEY");
    with_key(key, token.text(), &["--write-baseline", "base.json"]).expect_code(10);
    let accepted = with_key(key, token.text(), &["--baseline", "base.json", "--format", "json"]);
    let report = accepted.expect_code(0).json();
    assert_eq!((&report["result"], &report["findings"]), (&json!("clean"), &json!([])));
    assert_eq!(report["accepted"].as_array().expect("accepted").len(), 4);
    with_key("XwyOGps9RGihssPU5fYHGCk6S1xtfo+QobLD1OX2Bxg=", token.text(), &["--baseline", "base.json"])
        .expect_code(2)
        .expect_stderr("written with another key");
    // A finding in a new place is new, and an accepted finding that no longer exists is reported.
    let other =
        Image::new().layer(Layer::new().file("srv/new", token.text()).file("root/.npmrc", token.text()), "RUN make");
    scene.write_secret("image.tar", other.docker_oci("shop:1").tar());
    let outcome = with_key(key, token.text(), &["--baseline", "base.json"]);
    outcome.expect_code(10).expect_stdout("/srv/new").expect_stdout("accepted     TOKEN is in layer 1, /root/.npmrc");
    outcome.expect_stdout("stale        TOKEN in document config /config/Labels/token");
    scene.write("broken.json", "{}");
    with_key(key, token.text(), &["--baseline", "broken.json"]).expect_code(2).expect_stderr("not a baseline");
}
