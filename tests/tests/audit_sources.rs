//! One image has the same findings, however an audit reads it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use acceptance::{ImageName, Registry, named, on_every_engine};
use ptest::{Archive, Canary, Compression, Engine, Flavour, Image, Index, Layer, Outcome, Scene};
use serde_json::{Value, json};

on_every_engine!(the_engine_s_own_files_and_its_export_tell_the_same);

fn audit(scene: &Scene, token: &Canary, arguments: &[&str]) -> Outcome {
    let audit = scene.pbuild().args(["audit", "--secret", "id=TOKEN", "--format", "json"]);
    audit.args(arguments).env("TOKEN", token.text()).run()
}

/// Makes an image that contains the value in every place that a layer has.
fn image(token: &Canary, compression: Compression) -> Image {
    let value = token.text();
    let base = Layer::new().directory("etc").file("etc/hostname", "host\n").file("etc/base", "b".repeat(70_000));
    let middle = Layer::new()
        .directory("srv")
        .file("srv/conf", format!("key = {value}\n"))
        .file("srv/packed.gz", Compression::Gzip.pack(format!("packed {value}").as_bytes()))
        .symlink("srv/link", &format!("/opt/{value}"))
        .file(&format!("srv/{value}"), "named")
        .file("srv/big", "z".repeat(300_000));
    let top = Layer::new().whiteout("srv/conf").file("srv/last", format!("last {value}"));
    Image::new()
        .packed_layer(base, compression, "COPY hostname /etc")
        .packed_layer(middle, compression, "RUN make")
        .packed_layer(top, compression, "RUN rm srv/conf")
        .configured(|config| config["config"]["Env"] = json!([format!("TOKEN={value}"), "PATH=/bin"]))
}

fn unpack(scene: &Scene, name: &str, archive: &Archive) -> String {
    for member in archive.names() {
        scene.write_secret(&format!("{name}/{member}"), archive.get(member).expect("a member"));
    }
    let path = scene.project().join(name);
    scene.allow(&path);
    path.to_str().expect("UTF-8").to_owned()
}

/// Lists the findings with their places, without the fields that depend on the way to the image.
fn findings(outcome: &Outcome) -> Vec<Value> {
    let report = outcome.json();
    assert_eq!(report["not_searched"], json!([]), "{report}");
    let mut findings = report["findings"].as_array().expect("findings").clone();
    // The order of the findings within a packed file and those beside it is not fixed, so they are sorted.
    let key = |finding: &Value| {
        (finding["layer"].as_u64().unwrap_or(u64::MAX), finding["path"].to_string(), finding["part"].to_string())
    };
    findings.sort_by_key(key);
    findings
}

fn source(outcome: &Outcome) -> String {
    outcome.json()["source"].as_str().expect("a source").to_owned()
}

#[test]
fn files_and_folders_and_standard_input_tell_the_same() {
    let scene = Scene::new();
    let token = scene.oracle().token("TOKEN");
    let image = image(&token, Compression::Zstd);
    let plain = self::image(&token, Compression::Plain);
    let oci = scene.write_secret("oci.tar", image.oci().tar());
    let docker = scene.write_secret("docker.tar", plain.docker_oci("shop:1").tar());
    let legacy = scene.write_secret("legacy.tar", plain.docker_legacy("shop:1").tar());
    let layout = unpack(&scene, "layout", &image.oci());
    let by_prefix = |prefix: &str, path: &Path| format!("{prefix}:{}", path.display());
    let expected = findings(audit(&scene, &token, &["--archive", oci.to_str().expect("UTF-8")]).expect_code(10));
    assert!(expected.len() >= 6, "{expected:?}");
    for arguments in [
        vec![by_prefix("oci-archive", &oci)],
        vec![by_prefix("docker-archive", &docker)],
        vec![by_prefix("docker-archive", &legacy)],
        vec![format!("oci:{layout}")],
        vec!["--layout".to_owned(), layout.clone()],
    ] {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let outcome = audit(&scene, &token, &arguments);
        assert_eq!(findings(outcome.expect_code(10)), expected, "{arguments:?}");
    }
    let from_stdin = scene
        .pbuild()
        .args(["audit", "--secret", "id=TOKEN", "--format", "json", "docker-archive:-"])
        .env("TOKEN", token.text())
        .stdin(plain.docker_oci("shop:1").tar())
        .run();
    assert_eq!(findings(from_stdin.expect_code(10)), expected);
}

#[test]
fn a_folder_with_files_is_searched_by_name_link_and_content() {
    let scene = Scene::new();
    let token = scene.oracle().token("TOKEN");
    scene.write_secret("root/srv/conf", format!("key = {}\n", token.text()));
    scene.write("root/srv/clean", "nothing");
    let named = scene.write(&format!("root/srv/{}", token.text()), "named");
    scene.allow(&named);
    let link = scene.project().join("root/link");
    std::os::unix::fs::symlink(token.text(), &link).expect("a link");
    scene.allow(&link);
    scene.allow(scene.project().join("root"));
    let found = findings(audit(&scene, &token, &["dir:root"]).expect_code(10));
    let places: Vec<(&str, &str)> =
        found.iter().map(|finding| (finding["part"].as_str().unwrap(), finding["path"].as_str().unwrap())).collect();
    assert_eq!(places, [("header", "/link"), ("header", "/srv/***TOKEN***"), ("content", "/srv/conf")]);
    audit(&scene, &token, &["--directory", "root/srv/clean"]).expect_code(2).expect_stderr("root/srv/clean");
    fs::remove_dir_all(scene.project().join("root/srv")).expect("ours");
    fs::remove_file(link).expect("ours");
    audit(&scene, &token, &["dir:root"]).expect_code(0);
}

#[test]
fn what_is_no_source_is_told_with_the_way_out() {
    let scene = Scene::new();
    let token = scene.oracle().token("TOKEN");
    scene.write("folder/file", "x");
    for (arguments, told) in [
        (&["oci:folder"][..], "no index.json"),
        (&["--archive", "folder"], "oci:folder searches it as an OCI layout"),
        (&["docker-archive:absent.tar"], "absent.tar"),
        (&["docker://UPPER/case"], "lowercase"),
        (&["docker://"], "names no image"),
        (&["--layout", "folder", "--archive", "x"], "cannot be used with"),
    ] {
        audit(&scene, &token, arguments).expect_code(2).expect_stderr(told);
    }
    let nobody = audit(&scene, &token, &["docker://127.0.0.1:9/none"]);
    nobody.expect_code(1).expect_stderr("the registry cannot be reached");
}

fn the_engine_s_own_files_and_its_export_tell_the_same(engine: &Engine) {
    let scene = Scene::on(engine);
    let token = scene.oracle().token("TOKEN");
    let name = ImageName::new(engine, "sources");
    let image = image(&token, Compression::Plain);
    let path = scene.write_secret("image.tar", named(image.docker_oci(name.as_str()), name.as_str()).tar());
    let legacy = scene.write_secret("legacy.tar", image.docker_legacy(name.as_str()).tar());
    let archive = if engine.flavour() == Flavour::Old { &legacy } else { &path };
    let _ = engine.docker(&["load", "--input", archive.to_str().expect("UTF-8")]);

    let own = audit(&scene, &token, &[name.as_str()]);
    let expected = findings(own.expect_code(10));
    assert_eq!(source(&own), "the engine's own files");
    assert!(expected.len() >= 6, "{expected:?}");

    // If another process owns the socket, the audit cannot know that the engine's files belong to the engine.
    let proxy = proxy(&scene, engine.docker_host());
    let exported = scene
        .pbuild()
        .args(["audit", "--secret", "id=TOKEN", "--format", "json", name.as_str()])
        .env("TOKEN", token.text())
        .env("DOCKER_HOST", &proxy)
        .run();
    assert_eq!(source(exported.expect_code(10)), "the engine's export");
    assert_eq!(findings(&exported), expected);
    assert_eq!(
        findings(audit(&scene, &token, &["--archive", archive.to_str().expect("UTF-8")]).expect_code(10)),
        expected
    );
}

/// Opens a socket that forwards to the engine's socket.
fn proxy(scene: &Scene, docker_host: &str) -> String {
    let path = scene.temporary().join("proxy.sock");
    let target = docker_host.trim_start_matches("unix://").to_owned();
    let listener = UnixListener::bind(&path).expect("a socket");
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = UnixStream::connect(&target) else { continue };
            for (from, to) in [(client.try_clone(), server.try_clone()), (server.try_clone(), client.try_clone())] {
                let (Ok(mut from), Ok(mut to)) = (from, to) else { continue };
                std::thread::spawn(move || {
                    // When one side ends, the other side is closed, too.
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Write);
                });
            }
        }
    });
    format!("unix://{}", path.display())
}

/// The audit searches all platforms of an index over TLS, with the registry's own authority and with each way in
/// which docker keeps credentials.
#[test]
fn a_registry_with_a_password_and_its_own_authority_tells_the_same() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::new();
    let (token, password) = (scene.oracle().token("TOKEN"), scene.oracle().token("PASSWORD"));
    let registry = Registry::guarded(&engine, "me", password.text());
    let other = Image::new().layer(Layer::new().file("srv/arm", token.text()), "RUN arm");
    let index =
        Index::new().platform("linux/amd64", image(&token, Compression::Gzip)).platform("linux/arm64", other).oci();
    registry.push("team/shop", "1", &index);
    let layout = unpack(&scene, "layout", &index);
    let expected = findings(audit(&scene, &token, &[&format!("oci:{layout}")]).expect_code(10));
    assert!(expected.iter().any(|finding| finding["platform"] == "linux/arm64"));

    let reference = format!("docker://{}/team/shop:1", registry.host());
    let authority = registry.authority();
    let ask = |reference: &str, path: &str| {
        scene
            .pbuild()
            .args(["audit", "--secret", "id=TOKEN", "--format", "json", reference])
            .env("TOKEN", token.text())
            .env("SSL_CERT_FILE", &authority)
            .env("PATH", path)
            .run()
    };
    let system = std::env::var("PATH").expect("PATH");
    ask(&reference, &system).expect_code(1).expect_stderr("docker login");

    // The credentials as `docker login` writes them: without a helper, with a helper for one host, and with a helper
    // for all hosts.
    let docker = scene.home().join(".docker");
    fs::create_dir_all(&docker).expect("a folder");
    scene.allow(&docker);
    let bin = scene.project().join("bin");
    let pair = json!({"Username": "me", "Secret": password.text()}).to_string();
    let helper =
        scene.write_secret("bin/docker-credential-test", format!("#!/bin/sh\ncat >/dev/null\necho '{pair}'\n"));
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o700)).expect("ours");
    let path = format!("{}:{system}", bin.display());
    let by_hand = json!({"auths": {registry.host(): {"username": "me", "password": password.text()}}});
    for configuration in [by_hand, json!({"credHelpers": {registry.host(): "test"}}), json!({"credsStore": "test"})] {
        fs::write(docker.join("config.json"), configuration.to_string()).expect("a file");
        let outcome = ask(&reference, &path);
        assert_eq!(findings(outcome.expect_code(10)), expected);
        assert_eq!(source(&outcome), "the registry");
    }
    ask(&reference.replace(":1", ":2"), &path).expect_code(1).expect_stderr("no such image");
    let wrong = json!({"auths": {registry.host(): {"username": "me", "password": "wrong"}}});
    fs::write(docker.join("config.json"), wrong.to_string()).expect("a file");
    ask(&reference, &path).expect_code(1).expect_stderr("are not accepted");

    // The authority in the folder in which docker keeps it, and then no authority.
    fs::write(docker.join("config.json"), json!({"credsStore": "test"}).to_string()).expect("a file");
    let plain = |scene: &Scene| {
        let audit = scene.pbuild().args(["audit", "--secret", "id=TOKEN", "--format", "json", &reference]);
        audit.env("TOKEN", token.text()).env("PATH", &path).run()
    };
    plain(&scene).expect_code(1).expect_stderr("certs.d");
    let certificates = scene.home().join(".config/docker/certs.d").join(registry.host());
    fs::create_dir_all(&certificates).expect("a folder");
    fs::copy(&authority, certificates.join("ca.crt")).expect("a file");
    assert_eq!(findings(plain(&scene).expect_code(10)), expected);
}

#[test]
fn a_registry_of_this_machine_may_speak_without_tls_and_a_digest_is_held_to() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::new();
    let token = scene.oracle().token("TOKEN");
    let registry = Registry::plain(&engine);
    let archive = image(&token, Compression::Zstd).oci();
    registry.push("shop", "latest", &archive);
    let layout = unpack(&scene, "layout", &archive);
    let expected = findings(audit(&scene, &token, &[&format!("oci:{layout}")]).expect_code(10));
    let reference = format!("{}/shop", registry.host());
    assert_eq!(findings(audit(&scene, &token, &["--registry", &reference]).expect_code(10)), expected);
    let index: Value = serde_json::from_slice(archive.get("index.json").expect("an index")).expect("JSON");
    let digest = index["manifests"][0]["digest"].as_str().expect("a digest");
    let by_digest = format!("registry:{reference}@{digest}");
    assert_eq!(findings(audit(&scene, &token, &[&by_digest]).expect_code(10)), expected);
}

/// The registries of most services work like this: a client with credentials fetches a token, which is valid for this
/// repository only.
#[test]
fn a_registry_with_a_token_service_tells_the_same() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::new();
    let (token, password) = (scene.oracle().token("TOKEN"), scene.oracle().token("PASSWORD"));
    let registry = Registry::with_tokens(&engine, "me", password.text());
    let archive = image(&token, Compression::Gzip).oci();
    registry.push("team/shop", "1", &archive);
    let layout = unpack(&scene, "layout", &archive);
    let expected = findings(audit(&scene, &token, &[&format!("oci:{layout}")]).expect_code(10));
    let reference = format!("docker://{}/team/shop:1", registry.host());
    audit(&scene, &token, &[&reference]).expect_code(1).expect_stderr("docker login");

    let docker = scene.home().join(".docker");
    fs::create_dir_all(&docker).expect("a folder");
    scene.allow(&docker);
    let entry = |entry: Value| json!({"auths": {registry.host(): entry}}).to_string();
    for (way, configuration) in [
        ("basic", json!({"username": "me", "password": password.text()})),
        ("refresh_token", json!({"username": "", "identitytoken": password.text()})),
    ] {
        fs::write(docker.join("config.json"), entry(configuration)).expect("a file");
        assert_eq!(findings(audit(&scene, &token, &[&reference]).expect_code(10)), expected, "{way}");
        let asked = registry.tokens().asked();
        let last = asked.last().expect("a token was asked for");
        let wanted = (way, vec!["repository:team/shop:pull".to_owned()], true);
        assert_eq!((last.way.as_str(), last.scopes.clone(), last.granted), wanted);
    }
    for wrong in [json!({"username": "me", "password": "wrong"}), json!({"identitytoken": "wrong"})] {
        fs::write(docker.join("config.json"), entry(wrong)).expect("a file");
        audit(&scene, &token, &[&reference]).expect_code(1).expect_stderr("are not accepted");
    }
}
