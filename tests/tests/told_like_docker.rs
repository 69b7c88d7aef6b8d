//! The output of a build that scripts read: `-q`, `--iidfile` and `--metadata-file` have the same content as with
//! `docker buildx build`, on each image store. Also the documents that are attached to an image.

use std::fs;
use std::io::Read as _;

use acceptance::{ImageName, build, on_every_engine};
use ptest::{Engine, Flavour, Scene};
use serde_json::Value;

on_every_engine!(scripts_read_what_docker_tells, the_metadata_file_has_docker_s_provenance_and_warnings);

/// Both tools build the same image, the second one from the cache, so all of their output must be the same.
fn scripts_read_what_docker_tells(engine: &Engine) {
    let scene = Scene::on(engine);
    let image = ImageName::new(engine, "told");
    scene.write("Dockerfile", format!("FROM busybox\nRUN echo {} > /made\n", image.as_str()));
    scene.write(".dockerignore", "*\n");
    let project = scene.project();
    let file = |name: &str| project.join(name).display().to_string();
    let arguments = |tool: &str| -> Vec<String> {
        let (id, metadata) = (file(&format!("{tool}.id")), file(&format!("{tool}.json")));
        ["build", "-q", "-t", image.as_str(), "--iidfile", &id, "--metadata-file", &metadata].map(str::to_owned).into()
    };
    let mut docker = ptest::program("PBUILD_TEST_BUILDX");
    docker.args(arguments("docker")).arg(&project).env("DOCKER_HOST", engine.docker_host());
    let docker = docker.env("BUILDX_NO_DEFAULT_ATTESTATIONS", "1").output().expect("buildx runs");
    assert!(docker.status.success(), "{}", String::from_utf8_lossy(&docker.stderr));
    let ours = scene.pbuild().args(arguments("pbuild")).arg(&project).env("BUILDX_NO_DEFAULT_ATTESTATIONS", "1").run();
    ours.expect_code(0);
    assert_eq!(ours.stdout(), String::from_utf8_lossy(&docker.stdout));
    let read = |name: &str| fs::read(project.join(name)).expect("a file that was asked for");
    assert_eq!(read("pbuild.id"), read("docker.id"));
    let metadata = |name: &str| -> Value {
        let mut document: Value = serde_json::from_slice(&read(name)).expect("JSON");
        // The two builds have a record each, and docker shows provenance there.
        document.as_object_mut().expect("an object").retain(|key, _| !key.starts_with("buildx.build."));
        document
    };
    let record: Value = serde_json::from_slice(&read("pbuild.json")).expect("JSON");
    let record = record["buildx.build.ref"].as_str().expect("the name of the record").to_owned();
    let id = record.strip_prefix("default/default/").expect("docker's own builder and its node");
    if engine.flavour() != Flavour::Old {
        // Docker's own list names the record by the folder of the project.
        let mut history = ptest::program("PBUILD_TEST_BUILDX");
        history.args(["history", "ls", "--no-trunc", "--format", "{{.Ref}} {{.Name}}"]);
        history.env("DOCKER_HOST", engine.docker_host()).env("BUILDX_CONFIG", scene.home().join(".docker/buildx"));
        let history = String::from_utf8_lossy(&history.output().expect("buildx runs").stdout).into_owned();
        let folder = project.file_name().expect("a folder").to_string_lossy().into_owned();
        assert!(history.lines().any(|line| line == format!("{id} {folder}")), "{id} {folder} in {history}");
    }
    let (mut told, docker) = (metadata("pbuild.json"), metadata("docker.json"));
    if engine.flavour() == Flavour::Old {
        // The old engine's BuildKit does not return the name, so docker does not have it.
        assert!(told.as_object_mut().expect("an object").remove("image.name").is_some());
    }
    assert_eq!(told, docker);
}

/// Builds the project with one of the tools, and returns the metadata file without what differs in each build.
fn metadata(scene: &Scene, engine: &Engine, ours: bool, (mode, more): (&str, &[&str])) -> Value {
    let file = scene.project().join("told.json");
    let place = file.display().to_string();
    let words = [&["build", "-q", "--metadata-file", &place][..], more, &["."]].concat();
    let variables = [("BUILDX_METADATA_PROVENANCE", mode), ("BUILDX_METADATA_WARNINGS", "1")];
    if ours {
        let tool = scene.pbuild().args(words);
        variables.into_iter().fold(tool, |tool, (name, value)| tool.env(name, value)).run().expect_code(0);
    } else {
        let mut docker = ptest::program("PBUILD_TEST_BUILDX");
        docker.args(words).current_dir(scene.project()).envs(variables).env("DOCKER_HOST", engine.docker_host());
        assert!(docker.output().expect("buildx runs").status.success());
    }
    let mut told: Value = serde_json::from_slice(&fs::read(&file).expect("a metadata file")).expect("JSON");
    fs::remove_file(&file).expect("it is ours");
    let fields = told.as_object_mut().expect("an object");
    fields.remove("buildx.build.ref");
    for (key, value) in fields.iter_mut() {
        if key.starts_with("buildx.build.provenance") && value["metadata"].is_object() {
            // Times, loads and the names of sessions.
            value["metadata"] = value["metadata"]["completeness"].take();
            if let Some(steps) = value["buildConfig"].as_object_mut() {
                steps.remove("digestMapping");
            }
        }
    }
    for warning in told["buildx.build.warnings"].as_array_mut().into_iter().flatten() {
        warning.as_object_mut().expect("a warning").remove("vertex");
    }
    told.as_object_mut().expect("an object").retain(|key, value| key.starts_with("buildx.build.") && !value.is_null());
    told
}

fn the_metadata_file_has_docker_s_provenance_and_warnings(engine: &Engine) {
    let scene = Scene::on(engine);
    let image = ImageName::new(engine, "provenance");
    scene.write("Dockerfile", format!("FROM busybox as base\nRUN echo {} > /made\n", image.as_str()));
    let has_records = engine.flavour() != Flavour::Old;
    for mode in ["min", "max", "disabled"] {
        let [docker, ours] = [false, true].map(|ours| metadata(&scene, engine, ours, (mode, &[])));
        assert_eq!(ours, docker, "{mode}");
        let provenance = &ours["buildx.build.provenance"];
        assert_eq!(provenance["materials"].is_array(), has_records && mode != "disabled", "{ours}");
        assert_eq!(provenance["buildConfig"].is_object(), has_records && mode == "max", "{ours}");
        // The old engine does not check the Dockerfile.
        assert_eq!(ours["buildx.build.warnings"].is_array(), has_records, "{ours}");
    }
}

/// A build with secrets has no record in the engine, so its provenance is what the engine attached to the image.
#[test]
fn the_metadata_file_of_a_build_with_secrets_has_the_attached_provenance_and_no_value() {
    for flavour in [Flavour::Modern, Flavour::Containerd] {
        let engine = Engine::get(flavour);
        let scene = Scene::on(&engine);
        let token = scene.oracle().token("TOKEN");
        let image = ImageName::new(&engine, "provenance-secret");
        scene.write("Dockerfile", format!("FROM busybox as base\nRUN echo {} ${{#TOKEN}} > /made\n", image.as_str()));
        scene.write_secret("token.txt", token.value());
        scene.write(".dockerignore", "token.txt\n");
        let secret = &["--secret", "id=TOKEN,src=token.txt"];
        for mode in ["min", "max"] {
            let told = metadata(&scene, &engine, true, (mode, secret));
            let is_attached = flavour == Flavour::Containerd;
            assert_eq!(told["buildx.build.provenance"]["materials"].is_array(), is_attached, "{told}");
            assert!(told["buildx.build.warnings"].is_array(), "{told}");
            assert!(!told.to_string().contains(token.text()));
        }
    }
}

#[test]
fn provenance_of_several_platforms_has_a_key_for_each() {
    let engine = Engine::get(Flavour::Containerd);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    let mark = ImageName::new(&engine, "platforms");
    scene.write("file", mark.as_str());
    scene.write_secret("token.txt", token.value());
    scene.write(".dockerignore", "token.txt\ntold.json\n");
    scene.write("Dockerfile", "FROM scratch\nCOPY file /\n");
    let platforms = &["--platform", "linux/amd64,linux/arm64"];
    let [docker, ours] = [false, true].map(|ours| metadata(&scene, &engine, ours, ("min", platforms)));
    // Buildx 0.29 looks in the wrong place of the record and writes nothing; a newer one writes a key for each platform.
    if docker.as_object().is_some_and(|fields| !fields.is_empty()) {
        assert_eq!(ours, docker);
    }
    let secret = [&platforms[..], &["--secret", "id=TOKEN,src=token.txt"]].concat();
    let secret = metadata(&scene, &engine, true, ("min", &secret));
    for told in [ours, secret] {
        for platform in ["linux/amd64", "linux/arm64"] {
            assert!(told[format!("buildx.build.provenance/{platform}")]["buildType"].is_string(), "{told}");
        }
        assert!(told["buildx.build.provenance"].is_null(), "{told}");
    }
}

/// Makes a generator of lists of parts (SBOMs) that replaces docker's. It follows BuildKit's protocol
/// (`docs/attestations/sbom-protocol`).
fn generator(scene: &Scene, engine: &Engine, name: &str, says: &str) {
    let document = format!(
        "{{\"_type\":\"https://in-toto.io/Statement/v0.1\",\"predicateType\":\"https://spdx.dev/Document\",\
         \"predicate\":{{\"name\":\"{says}\"}}}}"
    );
    let folder = scene.project().join("generator");
    fs::create_dir_all(&folder).expect("a folder");
    let script = format!(
        "test -d $BUILDKIT_SCAN_SOURCE; cat > $BUILDKIT_SCAN_DESTINATION/sbom.spdx.json <<'E'\n{document}\nE\n"
    );
    fs::write(folder.join("scan"), script).expect("a file");
    fs::write(folder.join("Dockerfile"), "FROM busybox\nCOPY scan /\nENTRYPOINT [\"/bin/sh\", \"/scan\"]\n")
        .expect("a file");
    let built = engine.buildx(&["build", "-q", "-t", name, &folder.display().to_string()]);
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    fs::remove_dir_all(folder).expect("it is ours");
}

/// Returns the documents of a saved image that contain a text.
fn documents(engine: &Engine, image: &ImageName<'_>, text: &str) -> String {
    let saved = engine.docker(&["save", image.as_str()]);
    let mut archive = tar::Archive::new(saved.as_slice());
    let mut found = String::new();
    for mut entry in archive.entries().expect("an archive").flatten() {
        let mut document = String::new();
        if entry.read_to_string(&mut document).is_ok() && document.contains(text) {
            found.push_str(&document);
        }
    }
    found
}

/// A list of parts and an annotation are in the image. If the list contains a value, the image gets no name.
#[test]
fn a_list_of_parts_and_annotations_are_searched_like_the_image() {
    let engine = Engine::get(Flavour::Containerd);
    let scene = Scene::on(&engine);
    let token = scene.oracle().planted("TOKEN");
    let image = ImageName::new(&engine, "attached");
    let maker = format!("pbuild-test/generator:{}", std::process::id());
    generator(&scene, &engine, &maker, "parts-of-the-test");
    scene.write("Dockerfile", format!("FROM busybox\nRUN test \"$TOKEN\"; echo {} > /made\n", image.as_str()));
    let sbom = format!("type=sbom,generator={maker}");
    let with = |more: &[&str]| build(&scene, &image, &token, more).run();

    with(&["--attest", &sbom, "--annotation", "index:com.example.note=kept"]).expect_code(0).expect_stderr("clean");
    assert!(documents(&engine, &image, "spdx.dev").contains("parts-of-the-test"));
    assert!(documents(&engine, &image, "com.example.note").contains("kept"));
    let _ = engine.docker(&["image", "rm", image.as_str()]);

    generator(&scene, &engine, &maker, token.text());
    let refused = with(&["--attest", &sbom]);
    refused.expect_code(10).expect_stderr("TOKEN");
    assert!(!image.exists());
    let _ = engine.try_docker(&["image", "rm", "--force", &maker]);
}
