//! Compares `docs/coming-from-docker-build.md` with the help texts of the real buildx and of pbuild.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use acceptance::{ImageName, Registry, on_every_engine};
use ptest::{Engine, Flavour, Scene};
use serde_json::Value;

/// Finds the long flags in a help text.
fn flags(help: &str) -> BTreeSet<String> {
    let flag = |line: &str| {
        let word = line.split_whitespace().find(|word| word.starts_with("--"))?;
        let indented = line.len() - line.trim_start().len();
        let first = line.trim_start().starts_with('-');
        (first && indented < 10).then(|| word.trim_end_matches(',').to_owned())
    };
    help.lines().filter_map(flag).collect()
}

/// Reads the table of the page: the description of each flag.
fn table(page: &str) -> BTreeMap<String, String> {
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| `--")?.split('|');
        let flag = cells.next()?.trim().trim_end_matches('`');
        Some((format!("--{flag}"), cells.next()?.trim().to_owned()))
    };
    page.lines().filter_map(row).collect()
}

#[test]
fn the_page_names_every_flag_of_docker_and_says_the_truth_about_ours() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the root");
    let page = fs::read_to_string(root.join("docs/coming-from-docker-build.md")).expect("the page");
    let engine = Engine::get(Flavour::Modern);
    let help = engine.buildx(&["build", "--help"]);
    let docker = flags(&String::from_utf8_lossy(&help.stdout));
    let table = table(&page);
    assert!(docker.len() > 30, "{docker:?}");
    let named: BTreeSet<String> = table.keys().cloned().collect();
    assert_eq!(named, docker);

    let scene = Scene::new();
    let help = scene.pbuild().args(["build", "--help"]).run();
    let ours = flags(&help.stdout());
    for (flag, said) in &table {
        match said.as_str() {
            "same" => assert!(ours.contains(flag), "{flag} is not ours"),
            "not yet" => {
                assert!(!ours.contains(flag), "{flag} is there, and the page says not yet");
                scene.pbuild().args(["build", flag, "."]).run().expect_code(2).expect_stderr(flag);
            }
            "ignored" => {
                let outcome = scene.pbuild().args(["build", flag, "/nowhere"]).run();
                outcome.expect_code(2).expect_stderr(&format!("BuildKit has no use for {flag}"));
            }
            other => panic!("{flag}: what is {other:?}?"),
        }
    }
    let (_, old) = page.split_once("Flags of the builder before BuildKit").expect("the paragraph");
    let old: Vec<&str> = old.split('`').filter(|word| word.starts_with("--")).collect();
    assert!(old.len() > 10);
    for flag in old {
        let switches = ["--compress", "--squash", "--rm", "--force-rm", "--disable-content-trust"];
        let value = if switches.contains(&flag) { flag.to_owned() } else { format!("{flag}=1") };
        let outcome = scene.pbuild().args(["build", &value, "/nowhere"]).run();
        outcome.expect_code(2).expect_stderr(&format!("BuildKit has no use for {flag}"));
    }
}

/// A flag that is new in docker turns this test red: `docker build` without buildx, and bake, have help texts of their
/// own.
#[test]
fn no_flag_of_docker_s_older_builder_or_of_bake_is_unknown() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the root");
    let page = fs::read_to_string(root.join("docs/coming-from-docker-build.md")).expect("the page");
    let (_, old) = page.split_once("Flags of the builder before BuildKit").expect("the paragraph");
    let old = old.split('`').filter(|word| word.starts_with("--")).map(str::to_owned);
    let named: BTreeSet<String> = table(&page).into_keys().chain(old).collect();
    let engine = Engine::get(Flavour::Modern);
    let help = String::from_utf8_lossy(&engine.docker(&["build", "--help"])).into_owned();
    let docker = flags(&help);
    assert!(docker.len() > 25 && docker.contains("--cpu-period"), "{help}");
    assert_eq!(docker.difference(&named).collect::<Vec<_>>(), Vec::<&String>::new());

    let scene = Scene::new();
    let help = engine.buildx(&["bake", "--help"]);
    let docker = flags(&String::from_utf8_lossy(&help.stdout));
    assert!(docker.len() > 12, "{docker:?}");
    let mut ours = flags(&scene.pbuild().args(["bake", "--help"]).run().stdout());
    // There is no log of the client; the flag is taken all the same.
    scene.pbuild().args(["bake", "--debug", "--help"]).run().expect_code(0);
    scene.pbuild().args(["bake", "-D", "--help"]).run().expect_code(0);
    ours.insert("--debug".to_owned());
    assert_eq!(docker.difference(&ours).collect::<Vec<_>>(), Vec::<&String>::new());
}

/// Users behind a proxy have configured it once, in docker.
#[test]
fn proxies_of_docker_s_configuration_reach_the_steps() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let image = ImageName::new(&engine, "proxies");
    let docker = scene.home().join(".docker");
    fs::create_dir_all(&docker).expect("a folder of the test");
    let proxies = r#"{"proxies": {"default": {"httpProxy": "http://proxy.invalid:1", "noProxy": "a.invalid"}}}"#;
    fs::write(docker.join("config.json"), proxies).expect("a file of the test");
    // Proxies are not a part of a step's cache key, so the step must be one that no other test has.
    let mark = image.as_str();
    let step = format!("RUN echo $HTTP_PROXY $http_proxy $NO_PROXY $HTTPS_PROXY > /proxies; echo {mark} > /mark\n");
    scene.write("Dockerfile", format!("FROM busybox\n{step}"));
    let read = "/proxies";
    scene.pbuild().args(["build", "-t", image.as_str(), "."]).run().expect_code(0);
    assert_eq!(image.run(&["cat", read]), "http://proxy.invalid:1 http://proxy.invalid:1 a.invalid\n");
    let given = ["build", "-t", image.as_str(), "--no-cache", "--build-arg", "HTTP_PROXY=http://other.invalid", "."];
    scene.pbuild().args(given).run().expect_code(0);
    assert_eq!(image.run(&["cat", read]), "http://other.invalid http://other.invalid a.invalid\n");
    fs::write(docker.join("config.json"), r#"{"proxies": 5}"#).expect("a file of the test");
    scene.pbuild().args(["build", "."]).run().expect_stderr("config.json").expect_stderr("another type");
}

/// The variables that docker's client reads apply, unless a flag overrides them.
#[test]
fn variables_of_docker_s_client_are_read() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let image = ImageName::new(&engine, "variables");
    scene.write("Dockerfile", "FROM scratch\nLABEL a=b\n");
    let build = |name: &str, value: &str, more: &[&str]| {
        let tool = scene.pbuild().args(["build", "-t", image.as_str()]).args(more).arg(".").env(name, value);
        tool.run()
    };
    let architecture = || {
        let told = engine.docker(&["image", "inspect", "--format", "{{.Architecture}}", image.as_str()]);
        String::from_utf8_lossy(&told).trim().to_owned()
    };
    build("DOCKER_DEFAULT_PLATFORM", "linux/s390x", &[]).expect_code(0);
    assert_eq!(architecture(), "s390x");
    build("DOCKER_DEFAULT_PLATFORM", "linux/s390x", &["--platform", "linux/riscv64"]).expect_code(0);
    assert_eq!(architecture(), "riscv64");
    let json = build("BUILDKIT_PROGRESS", "rawjson", &[]);
    json.expect_code(0).expect_stderr("\"vertexes\"");
    assert!(!build("BUILDKIT_PROGRESS", "rawjson", &["--progress", "plain"]).stderr().contains("\"vertexes\""));
    build("BUILDKIT_PROGRESS", "loud", &[]).expect_code(2).expect_stderr("BUILDKIT_PROGRESS");
    engine.docker(&["image", "rm", "--force", image.as_str()]);
    build("BUILDX_NO_DEFAULT_LOAD", "true", &[]).expect_code(0);
    assert!(!image.exists(), "the result stays in the builder");
    build("BUILDX_NO_DEFAULT_LOAD", "true", &["--load"]).expect_code(0);
    assert!(image.exists());
}

/// Scripts write `--no-cache=$NO_CACHE`, and wrappers repeat flags.
#[test]
fn flags_are_written_in_docker_s_ways() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let image = ImageName::new(&engine, "ways");
    scene.write("Dockerfile", format!("FROM busybox\nRUN grep -c one /etc/hosts > /hosts; echo {}\n", image.as_str()));
    for words in [
        &["--no-cache=false"][..],
        &["--no-cache=true", "--no-cache=false"],
        &["--pull=false", "--push=false", "--load=true"],
        &["--quiet=true", "--force-rm=true", "--compress=false", "--check=false"],
        &["-q", "--progress", "plain", "--progress", "quiet"],
        &["-f", "nothere", "-f", "Dockerfile"],
        &["-f", "", "--target=", "--network=", "--cache-from=", "--cache-to=", "--secret=", "--ssh=", "-o", ""],
        &["--iidfile=", "--metadata-file=", "--annotation=", "--add-host=", "--allow=", "--platform="],
        &["--network", "none", "--network", "default", "--shm-size", "1.5g", "--shm-size", "0", "--platform", "local"],
        &["--add-host", "one:10.0.0.1,two:10.0.0.2"],
    ] {
        scene.pbuild().args(["build", "-t", image.as_str()]).args(words).arg(".").run().expect_code(0);
    }
    assert_eq!(image.run(&["cat", "/hosts"]), "1\n");
    for words in [["build", "--print=outline", "."], ["build", "--call=subrequests.describe", "."]] {
        scene.pbuild().args(words).run().expect_code(0);
    }
    scene.pbuild().args(["build", "--no-cache=perhaps", "."]).run().expect_code(2).expect_stderr("--no-cache");
    scene.pbuild().args(["build", "-q", "--progress=plain", "."]).run().expect_code(2).expect_stderr("--quiet");
}

/// Flags that are given together, and the answers on standard output.
#[test]
fn flags_together_do_what_docker_does() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let registry = Registry::plain_inside(&engine);
    let mark = ImageName::new(&engine, "together");
    scene.write("Dockerfile", format!("FROM busybox\nRUN echo {} > /made\n", mark.as_str()));
    let name = format!("{}/team/together:1", registry.inside());
    let build = |words: &[&str]| scene.pbuild().args(["build"]).args(words).arg(".").run();
    build(&["-t", &name, "--load", "--push"]).expect_code(0);
    assert!(registry.digest("team/together", "1").is_some());
    engine.docker(&["image", "rm", &name]);
    let both = |words: &[&str]| {
        let mut docker = ptest::program("PBUILD_TEST_BUILDX");
        docker.arg("build").args(words).arg(".").current_dir(scene.project());
        let docker = docker.env("DOCKER_HOST", engine.docker_host()).output().expect("buildx runs");
        assert_eq!(build(words).stdout(), String::from_utf8_lossy(&docker.stdout), "{words:?}");
    };
    for words in [&["--progress", "none"][..], &["--progress", "quiet"], &["-q", "--progress", "none"]] {
        both(words);
    }
    let refused = build(&["--annotation", "index:a=b"]);
    refused.expect_code(2).expect_stderr("index annotations not supported for single platform export");
}

/// The files of several platforms come in one transfer for each.
#[test]
fn files_of_several_platforms_have_a_folder_each() {
    let engine = Engine::get(Flavour::Containerd);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    scene.write("file", "of both");
    scene.write(".dockerignore", "out*\n");
    scene.write("Dockerfile", "FROM scratch\nCOPY file /folder/\n");
    for (out, secret) in [("out", &[][..]), ("out-searched", &["--secret", "id=TOKEN"])] {
        let words = [&["build", "--platform", "linux/amd64,linux/arm64", "-o", out][..], secret, &["."]].concat();
        scene.pbuild().args(words).env("TOKEN", token.text()).run().expect_code(0);
        for platform in ["linux_amd64", "linux_arm64"] {
            let file = scene.project().join(out).join(platform).join("folder/file");
            assert_eq!(fs::read_to_string(file).expect("a file of the platform"), "of both");
        }
    }
}

on_every_engine!(a_source_policy_holds_with_secrets_and_without);

/// The rules of a supply chain, which docker's client reads from a variable.
fn a_source_policy_holds_with_secrets_and_without(engine: &Engine) {
    let scene = Scene::on(engine);
    let token = scene.oracle().token("TOKEN");
    let image = ImageName::new(engine, "policy");
    scene.write("Dockerfile", format!("FROM busybox\nRUN echo {} > /made\n", image.as_str()));
    let build = |policy: &str, secret: bool| {
        let path = scene.write("policy.json", policy);
        let tool = scene.pbuild().args(["build", "-t", image.as_str()]).env("TOKEN", token.text());
        let tool = if secret { tool.args(["--secret", "id=TOKEN"]) } else { tool };
        tool.arg(".").env("EXPERIMENTAL_BUILDKIT_SOURCE_POLICY", path.display().to_string()).run()
    };
    let rule = |action: &str, name: &str| {
        let identifier = format!("docker-image://docker.io/library/{name}*");
        format!(r#"{{"rules": [{{"action": "{action}", "selector": {{"identifier": "{identifier}"}}}}]}}"#)
    };
    for secret in [false, true] {
        let denied = build(&rule("DENY", "busybox"), secret);
        denied.expect_code(1);
        let other = build(&rule("DENY", "other"), secret);
        if engine.flavour() == Flavour::Old {
            // The old engine knows no source policies, and would build without them.
            denied.expect_stderr("too old for a source policy");
            other.expect_code(1);
        } else {
            denied.expect_stderr("denied by policy");
            other.expect_code(0);
        }
        build(&rule("FORBID", "busybox"), secret).expect_code(2).expect_stderr("ALLOW, DENY or CONVERT");
    }
}

on_every_engine!(secrets_that_docker_takes_are_taken);

/// A pull request from a fork has no secrets, a keystore contains zero bytes, and a bundle of certificates is long.
fn secrets_that_docker_takes_are_taken(engine: &Engine) {
    let scene = Scene::on(engine);
    let token = scene.oracle().token("STORE");
    scene.write_secret("store.p12", [token.value(), &b"\0"[..], &[b'.'; 150_000][..]].concat());
    let image = ImageName::new(engine, "taken");
    let dockerfile = |step: &str| {
        let gone = "test -z \"${FORKED+set}${DECLARED+set}${UNSET+set}\"";
        let text =
            format!("FROM busybox\nRUN {gone} && wc -c < \"$STORE\" > /size; echo {} > /made{step}\n", image.as_str());
        scene.write("Dockerfile", text);
    };
    scene.write("app.toml", "[secrets]\nDECLARED = { optional = true }\nAPP_KEY = { scope = \"run\" }\n");
    let build = || {
        let tool = scene.pbuild().args([
            "build",
            "-t",
            image.as_str(),
            "--trust-config",
            "--secret",
            "id=STORE,src=store.p12",
        ]);
        tool.args(["--secret", "id=FORKED?,env=FORKED", "--secret", "id=UNSET?", "."]).env("FORKED", "").run()
    };
    dockerfile("");
    let outcome = build();
    outcome.expect_code(0).expect_stderr("so `STORE` is the path of a file with the value");
    for name in ["FORKED", "UNSET", "DECLARED"] {
        outcome.expect_stderr(&format!("`{name}` is optional and has no value; nothing gets it"));
    }
    assert_eq!(image.run(&["cat", "/size"]).trim(), (token.value().len() + 150_001).to_string());
    dockerfile("; cp \"$STORE\" /leak");
    build().expect_code(10).expect_stderr("STORE");
    let required = scene.pbuild().args(["build", "--secret", "id=FORKED,env=FORKED", "."]).env("FORKED", "").run();
    required.expect_code(40).expect_stderr("id=FORKED?").expect_stderr("optional = true");
}

/// Finds the facts about the checkout in the provenance of an OCI archive.
fn checkout_facts(archive: &Path) -> Option<Value> {
    let bytes = fs::read(archive).expect("an archive");
    let mut archive = tar::Archive::new(bytes.as_slice());
    for entry in archive.entries().expect("entries") {
        let Ok(document) = serde_json::from_reader::<_, Value>(entry.expect("an entry")) else { continue };
        let metadata = &document["predicate"]["metadata"]["https://mobyproject.org/buildkit@v1#metadata"];
        let newer = &document["predicate"]["runDetails"]["metadata"]["buildkit_metadata"];
        if let Some(facts) = metadata.get("vcs").or(newer.get("vcs")) {
            return Some(facts.clone());
        }
    }
    None
}

#[test]
fn provenance_names_the_checkout_as_docker_does() {
    let engine = Engine::get(Flavour::Containerd);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    let mark = ImageName::new(&engine, "checkout");
    scene.write("Dockerfile", format!("FROM busybox\nRUN echo {} > /made\n", mark.as_str()));
    scene.write(".dockerignore", "*.tar\n");
    let git = |words: &[&str]| {
        let ours = ["-c", "user.name=n", "-c", "user.email=n@example.org"];
        let mut git = std::process::Command::new("git");
        assert!(git.args(ours).args(words).current_dir(scene.project()).status().expect("git").success(), "{words:?}");
    };
    git(&["init", "--quiet"]);
    git(&["remote", "add", "origin", "https://me@git.example/a/b.git"]);
    git(&["add", "Dockerfile"]);
    git(&["commit", "--quiet", "--message", "x"]);
    let to = |name: &str| format!("type=oci,dest={}", scene.project().join(name).display());
    let mut docker = ptest::program("PBUILD_TEST_BUILDX");
    docker.args(["build", "--provenance=mode=min", "-o", &to("docker.tar"), "."]).current_dir(scene.project());
    assert!(docker.env("DOCKER_HOST", engine.docker_host()).status().expect("docker").success());
    let expected = checkout_facts(&scene.project().join("docker.tar")).expect("docker names the checkout");
    assert_eq!(expected["source"], "https://git.example/a/b.git");
    let built = scene.pbuild().args(["build", "--provenance=mode=min", "-o", &to("ours.tar"), "."]).run();
    built.expect_code(0);
    assert_eq!(checkout_facts(&scene.project().join("ours.tar")), Some(expected.clone()));
    // The provenance of a build with secrets contains nothing from a frontend. Labels belong to the image.
    let labelled = scene.pbuild().args(["build", "-t", mark.as_str(), "--secret", "id=TOKEN", "."]);
    labelled.env("TOKEN", token.text()).env("BUILDX_GIT_LABELS", "1").run().expect_code(0);
    let told = engine.docker(&["image", "inspect", "--format", "{{json .Config.Labels}}", mark.as_str()]);
    let labels: Value = serde_json::from_slice(&told).expect("JSON");
    assert_eq!(labels["org.opencontainers.image.source"], expected["source"]);
    assert_eq!(labels["org.opencontainers.image.revision"], expected["revision"]);
}
