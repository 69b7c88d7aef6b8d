//! The image is the same as docker's: each Dockerfile of `tests/corpus` is built with `docker buildx build` and with
//! `pbuild build`, without a secret and with one, and the results are compared.
//!
//! Without a secret, the engine gets the same request as from docker. Steps come from the cache, `SOURCE_DATE_EPOCH`
//! fixes the dates, and the image is identical, so its ID is compared. With a secret, every step runs again and its
//! files have new times, so the whole configuration and all other parts of the layers are compared. The only intended
//! difference is the empty `/run/pbuild` that the old engine leaves.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use acceptance::ImageName;
use ptest::{Engine, Flavour, Scene, pack};
use serde_json::Value;

/// The flags of single cases, which are the same for both tools.
const FLAGS: &[(&str, &[&str])] = &[
    ("arg-default-and-given", &["--build-arg", "GIVEN=given", "--build-arg", "NONE"]),
    ("arg-in-every-place", &["--build-arg", "WHERE=opt", "--build-arg", "PORT=81", "--build-arg", "WHO=8:9"]),
    ("arg-predefined", &["--build-arg", "HTTP_PROXY=http://proxy.example", "--build-arg", "no_proxy=all"]),
    ("label", &["--label", "a=given", "--label", "more=x=y"]),
    ("multi-stage-target", &["--target", "middle"]),
];

/// The cases that are also tested on the other engines, whose frontend is older or whose image store differs.
const EVERYWHERE: &[&str] = &[
    "arg-before-from",
    "cmd-reset",
    "copy-files",
    "directive-escape",
    "healthcheck-exec",
    "multi-stage-unneeded",
    "onbuild",
    "run-exec",
    "run-files-of-all-kinds",
    "shell",
    "user",
    "workdir",
];

/// The cases that the frontend inside of Docker 28 does not support yet. Both tools must report this.
const UNKNOWN_TO_THE_FRONTEND: &[&str] = &["copy-parents", "copy-parents-pivot"];

/// Writes a context with all kinds of files, and returns its name in the project.
///
/// docker recognises files that an earlier build sent by the last part of the folder's path alone, and BuildKit's
/// checksum of a whole context depends on earlier requests for these files. So each case has a name of its own in
/// each run.
fn context(scene: &Scene, case: &str) -> String {
    let folder = format!("{case}-{}", std::process::id());
    for (name, text) in [
        ("app/main.txt", "main\n"),
        ("app/run.sh", "#!/bin/sh\necho run\n"),
        ("app/lib/a.txt", "a\n"),
        ("app/lib/b.log", "b\n"),
        ("app/lib/deep/c.txt", "c\n"),
        ("docs/README.md", "read me\n"),
        ("docs/skip.md", "not me\n"),
        ("with space.txt", "a blank in its name\n"),
        (".hidden", "hidden\n"),
        ("left.tmp", "left out\n"),
        (".dockerignore", "# what nobody needs\n*.tmp\ndocs/*\n!docs/README.md\n"),
    ] {
        scene.write(&format!("{folder}/{name}"), text);
    }
    let context = scene.project().join(&folder);
    fs::set_permissions(context.join("app/run.sh"), fs::Permissions::from_mode(0o755)).expect("the file is ours");
    symlink("main.txt", context.join("app/link")).expect("a link");
    fs::create_dir(context.join("empty")).expect("a folder");
    let mut archive = tar::Builder::new(Vec::new());
    for (name, text) in [("in/one.txt", "one\n"), ("in/two.txt", "two\n")] {
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        header.set_mode(0o640);
        header.set_mtime(1_600_000_000);
        header.set_cksum();
        archive.append_data(&mut header, name, text.as_bytes()).expect("memory takes every byte");
    }
    let archive = archive.into_inner().expect("memory takes every byte");
    scene.write(&format!("{folder}/packed.tar.gz"), pack::gzip(&archive));
    scene.write(&format!("{folder}/packed.tar"), archive);
    folder
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// Lists the names of all cases in order.
fn cases() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(corpus())
        .expect("the corpus")
        .filter_map(|entry| {
            let name = entry.expect("a readable entry").file_name().into_string().expect("a name in UTF-8");
            name.strip_suffix(".Dockerfile").map(str::to_owned)
        })
        .collect();
    names.sort();
    names
}

/// The time is the same for both tools, so that everything that depends on the time of a build is the same, too.
const EPOCH: (&str, &str) = ("SOURCE_DATE_EPOCH", "1700000000");

/// Builds one case three times and compares the results.
fn compare(engine: &Engine, scene: &Scene, case: &str) {
    for suffix in ["Dockerfile", "Dockerfile.dockerignore"] {
        let name = format!("{case}.{suffix}");
        if let Ok(text) = fs::read(corpus().join(&name)) {
            scene.write(&name, text);
        }
    }
    let flags = FLAGS.iter().find(|(name, _)| *name == case).map_or(&[][..], |(_, flags)| flags);
    let file = format!("{case}.Dockerfile");
    let context = context(scene, case);
    let [theirs, ours, injected] = ["docker", "pbuild", "secret"].map(|kind| ImageName::new(engine, kind));
    let words = |image: &ImageName<'_>| {
        let mut words = vec!["build", "--progress", "plain", "-f", &file, "-t"];
        words.push(image.as_str());
        words.extend(flags);
        words.into_iter().map(str::to_owned).chain([context.clone()]).collect::<Vec<_>>()
    };
    let docker = ptest::program("PBUILD_TEST_BUILDX")
        .args(words(&theirs))
        .current_dir(scene.project())
        .env("DOCKER_HOST", engine.docker_host())
        .env("BUILDX_NO_DEFAULT_ATTESTATIONS", "1")
        .env(EPOCH.0, EPOCH.1)
        .env_remove("DOCKER_CONTEXT")
        .output()
        .expect("docker buildx");
    let said = String::from_utf8_lossy(&docker.stderr).into_owned();
    let plain =
        scene.pbuild().args(words(&ours)).env(EPOCH.0, EPOCH.1).env("BUILDX_NO_DEFAULT_ATTESTATIONS", "1").run();
    let token = scene.oracle().token("TOKEN");
    let secret = || {
        scene
            .pbuild()
            .args(words(&injected))
            .args(["--secret", "id=TOKEN"])
            .env("TOKEN", token.text())
            .env(EPOCH.0, EPOCH.1)
            .env("BUILDX_NO_DEFAULT_ATTESTATIONS", "1")
            .run()
    };
    let fails = case.starts_with("fails-") || UNKNOWN_TO_THE_FRONTEND.contains(&case);
    assert_eq!(docker.status.success(), !fails, "{case}: docker says\n{said}");
    if !docker.status.success() {
        let why =
            said.lines().find_map(|line| line.strip_prefix("ERROR: ")).unwrap_or_else(|| panic!("{case}: {said}"));
        // docker puts these words before the reason, depending on which of its requests ends first.
        let before = ["failed to build: ", "failed to solve: ", "failed to run Build function: "];
        let why = before.iter().fold(why, |why, words| why.strip_prefix(words).unwrap_or(why));
        // A reference is new in each build, so it is removed.
        let why = why.rsplit_once("::").and_then(|(_, rest)| rest.split_once(": ")).map_or(why, |(_, rest)| rest);
        for outcome in [plain, secret()] {
            assert_ne!(outcome.code(), 0, "{case}: docker cannot build it: {why}");
            assert!(outcome.stderr().contains(why), "{case}: not told is {why}\n{outcome:?}");
        }
        return;
    }
    assert_eq!(plain.code(), 0, "{case} without a secret: {plain:?}");
    let secret = secret();
    assert_eq!(secret.code(), 0, "{case} with a secret: {secret:?}");
    secret.expect_stderr("clean");

    let inspected = |image: &ImageName<'_>| -> Value {
        let told = engine.docker(&["image", "inspect", image.as_str()]);
        serde_json::from_slice(&told).expect("JSON")
    };
    let (their_image, our_image) = (inspected(&theirs), inspected(&ours));
    assert_eq!(our_image[0]["RootFS"], their_image[0]["RootFS"], "{case}: layers without a secret");
    if engine.flavour() != Flavour::Old {
        // The old engine does not know SOURCE_DATE_EPOCH, so each build has its own date on it.
        assert_eq!(our_image[0]["Id"], their_image[0]["Id"], "{case}: the ID without a secret\n{our_image:#}");
    }
    let injected_image = inspected(&injected);
    if injected_image[0]["RootFS"] == their_image[0]["RootFS"] && engine.flavour() != Flavour::Old {
        // No step ran, or no step wrote a time.
        assert_eq!(injected_image[0]["Id"], their_image[0]["Id"], "{case}: the ID with a secret\n{injected_image:#}");
        return;
    }
    let (theirs, ours) = (Saved::of(engine, &theirs), Saved::of(engine, &injected));
    assert_eq!(ours.config, theirs.config, "{case}: the configuration with a secret");
    assert_eq!(ours.layers.len(), theirs.layers.len(), "{case}: how many layers with a secret");
    for (index, (our, their)) in ours.layers.iter().zip(&theirs.layers).enumerate() {
        if our != their {
            let mut our = entries(our);
            if engine.flavour() == Flavour::Old {
                // The old engine leaves the mount points of secrets behind, as docs/limits.md says, and busybox has
                // no /run.
                our.retain(|place, _| !["run/", "run/pbuild/"].contains(&place.as_str()));
            }
            assert_eq!(our, entries(their), "{case}: layer {index} with a secret");
        }
    }
}

/// If the engine rewrites times, an image that was built with a secret is identical to docker's.
#[test]
fn with_rewritten_times_a_secret_changes_no_bit() {
    let engine = Engine::get(Flavour::Containerd);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    let folder = context(&scene, "rewritten");
    let mark = ImageName::new(&engine, "rewritten");
    scene.write(
        &format!("{folder}/Dockerfile"),
        format!(
            "FROM busybox AS made\nRUN mkdir /out && date > /out/date && touch -d @1 /out/date && echo {} > /out/file && echo > /out/date\n\
             FROM busybox\nWORKDIR /srv\nCOPY app app\nCOPY --from=made /out /out\nRUN ln -s out/file /link && chmod 700 /srv\nUSER nobody\n",
            mark.as_str()
        ),
    );
    let project = scene.project();
    let output = |name: &str| format!("type=oci,dest={},rewrite-timestamp=true", project.join(name).display());
    let context = project.join(&folder);
    let docker = ptest::program("PBUILD_TEST_BUILDX")
        .args(["build", "--provenance=false", "-o", &output("theirs.tar")])
        .arg(&context)
        .env("DOCKER_HOST", engine.docker_host())
        .env(EPOCH.0, EPOCH.1)
        .output()
        .expect("docker buildx");
    assert!(docker.status.success(), "{}", String::from_utf8_lossy(&docker.stderr));
    let built = scene.pbuild().args(["build", "--provenance=false", "--secret", "id=TOKEN", "-o", &output("ours.tar")]);
    built.arg(&context).env("TOKEN", token.text()).env(EPOCH.0, EPOCH.1).run().expect_code(0).expect_stderr("clean");
    let digest = |name: &str| -> String {
        let archive = fs::read(project.join(name)).expect("an archive");
        let mut archive = tar::Archive::new(archive.as_slice());
        let is_index = |entry: &tar::Entry<'_, &[u8]>| entry.path().is_ok_and(|path| path.ends_with("index.json"));
        let index = archive.entries().expect("an archive").flatten().find(is_index).expect("an index");
        let index: Value = serde_json::from_reader(index).expect("JSON");
        index["manifests"][0]["digest"].as_str().expect("a digest").to_owned()
    };
    assert_eq!(digest("ours.tar"), digest("theirs.tar"));
}

/// An image in the form of `docker save`.
struct Saved {
    /// The configuration, without the values that depend on the bytes of layers, and without dates that the engine
    /// does not fix.
    config: Value,
    /// The archives of the layers.
    layers: Vec<Vec<u8>>,
}

impl Saved {
    fn of(engine: &Engine, image: &ImageName<'_>) -> Self {
        let saved = engine.docker(&["save", image.as_str()]);
        let (mut files, mut links) = (BTreeMap::new(), BTreeMap::new());
        for entry in tar::Archive::new(&saved[..]).entries().expect("an archive") {
            let mut entry = entry.expect("an entry");
            let name = entry.path().expect("a path").display().to_string();
            if let Some(target) = entry.link_name().expect("a link's target") {
                // The old engine writes identical layers only once.
                links.insert(name, target.display().to_string().trim_start_matches("../").to_owned());
            } else {
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).expect("the entry's bytes");
                files.insert(name, bytes);
            }
        }
        let manifest: Value = serde_json::from_slice(&files["manifest.json"]).expect("JSON");
        let file = |name: &Value| {
            let name = name.as_str().expect("a name").to_owned();
            let name = links.get(&name).unwrap_or(&name);
            files.get(name).unwrap_or_else(|| panic!("no {name}")).clone()
        };
        let mut config: Value = serde_json::from_slice(&file(&manifest[0]["Config"])).expect("JSON");
        let fields = config.as_object_mut().expect("an object");
        fields.remove("rootfs");
        if engine.flavour() == Flavour::Old {
            fields.remove("created");
            let history = fields["history"].as_array_mut().expect("a list");
            history.iter_mut().for_each(|step| drop(step.as_object_mut().expect("an object").remove("created")));
        }
        let layers = manifest[0]["Layers"].as_array().expect("a list").iter().map(file).collect();
        Self { config, layers }
    }
}

/// Lists the content of a layer, without times.
fn entries(layer: &[u8]) -> BTreeMap<String, String> {
    let unpacked = if layer.starts_with(&[0x1f, 0x8b]) { gunzip(layer) } else { layer.to_owned() };
    let mut all = BTreeMap::new();
    for entry in tar::Archive::new(&unpacked[..]).entries().expect("an archive") {
        let mut entry = entry.expect("an entry");
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let link = entry.link_name_bytes().map(|name| String::from_utf8_lossy(&name).into_owned());
        let extended: Vec<(String, Vec<u8>)> = entry
            .pax_extensions()
            .expect("extended headers")
            .into_iter()
            .flatten()
            .map(|record| record.expect("a record"))
            .map(|record| (record.key().expect("a key").to_owned(), record.value_bytes().to_owned()))
            .filter(|(key, _)| !key.ends_with("time"))
            .collect();
        let header = entry.header().clone();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("the entry's bytes");
        let told = format!(
            "{:?} {:o} {}:{} {:?} {:?} {link:?} {extended:?} {}",
            header.entry_type(),
            header.mode().expect("a mode"),
            header.uid().expect("an owner"),
            header.gid().expect("a group"),
            header.device_major().ok().flatten(),
            header.device_minor().ok().flatten(),
            ptest::sha256(&bytes),
        );
        all.insert(path, told);
    }
    all
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut file = tempfile::tempfile().expect("a temporary file");
    std::io::Write::write_all(&mut file, bytes).expect("the file takes it");
    std::io::Seek::rewind(&mut file).expect("a file");
    let output = std::process::Command::new("gzip").arg("-dc").stdin(file).output().expect("gzip");
    assert!(output.status.success());
    output.stdout
}

/// Runs every fourth case, beginning with this index, so that four parts can run at the same time.
fn part(remainder: usize) {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    for case in cases().iter().skip(remainder).step_by(4) {
        compare(&engine, &scene, case);
    }
}

#[test]
fn the_first_quarter_is_the_same() {
    part(0);
}

#[test]
fn the_second_quarter_is_the_same() {
    part(1);
}

#[test]
fn the_third_quarter_is_the_same() {
    part(2);
}

#[test]
fn the_last_quarter_is_the_same() {
    part(3);
}

#[test]
fn there_are_enough_of_them() {
    let cases = cases();
    assert!(cases.len() >= 60, "{}", cases.len());
    for name in FLAGS.iter().map(|(name, _)| name).chain(EVERYWHERE) {
        assert!(cases.iter().any(|case| case == name), "{name} is no case");
    }
}

fn on_another_engine(flavour: Flavour) {
    let engine = Engine::get(flavour);
    let scene = Scene::on(&engine);
    EVERYWHERE.iter().for_each(|case| compare(&engine, &scene, case));
}

#[test]
fn some_are_the_same_on_containerd() {
    on_another_engine(Flavour::Containerd);
}

#[test]
fn some_are_the_same_on_the_old_engine() {
    on_another_engine(Flavour::Old);
}
