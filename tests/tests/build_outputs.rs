//! `--output`: destinations of every kind, on every engine that supports them. No file exists before the search is
//! done.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use acceptance::{ImageName, on_every_engine};
use ptest::{Engine, Flavour, Outcome, Scene, Tool};

on_every_engine!(
    files_and_tars_are_docker_s_own_and_hold_no_secret,
    a_leaking_build_writes_nothing_anywhere,
    a_place_that_cannot_be_written_to_is_told_first,
);

/// Returns a Dockerfile with a step that makes files of every kind and that has the secret. The marks give each test
/// layers of its own.
fn dockerfile(mark: &str) -> String {
    format!(
        "FROM busybox AS made\n\
         RUN test -n \"$TOKEN\" || test {mark} = plain; mkdir -p /out/sub /out/closed; echo {mark} > /out/sub/file; \
             printf %s \"$TOKEN\" | sha256sum > /out/seen; chmod 4755 /out/sub/file; ln /out/sub/file /out/hard; \
             ln -s ../sub/file /out/link; mkfifo /out/pipe; echo x > /out/closed/inner; chmod 555 /out/closed; \
             touch -d '2021-02-03 04:05:06' /out/sub /out/sub/file\n\
         FROM scratch\nCOPY --from=made /out /\n"
    )
}

fn mark(engine: &Engine, test: &str) -> String {
    format!("{test}-{:?}-{}", engine.flavour(), std::process::id())
}

/// Lists the content of a folder: kinds, modes, targets of links and contents, without the folder itself.
fn listed(folder: &Path) -> BTreeMap<String, String> {
    walked(folder, |_| String::new())
}

/// Lists the content of a folder like [`listed`], and the times in nanoseconds.
fn listed_with_times(folder: &Path) -> BTreeMap<String, String> {
    walked(folder, |metadata| format!("{}.{}", metadata.mtime(), metadata.mtime_nsec()))
}

fn walked(folder: &Path, time: fn(&fs::Metadata) -> String) -> BTreeMap<String, String> {
    fn walk(root: &Path, folder: &Path, time: fn(&fs::Metadata) -> String, all: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            let metadata = fs::symlink_metadata(&path).expect("an entry");
            let content = match metadata.file_type() {
                kind if kind.is_file() => format!("{:?}", fs::read(&path).expect("a file")),
                kind if kind.is_symlink() => format!("{:?}", fs::read_link(&path).expect("a link")),
                _ => String::new(),
            };
            let (mode, links) = (metadata.mode(), if metadata.is_dir() { 0 } else { metadata.nlink() });
            let told = format!("{mode:o} {links} {} {content}", time(&metadata));
            all.insert(path.strip_prefix(root).expect("below").display().to_string(), told);
            if metadata.is_dir() {
                walk(root, &path, time, all);
            }
        }
    }
    let mut all = BTreeMap::new();
    walk(folder, folder, time, &mut all);
    all
}

fn build<'a>(scene: &'a Scene, token: &str, outputs: &[&str]) -> Tool<'a> {
    let outputs = outputs.iter().flat_map(|output| ["-o", output]);
    scene.pbuild().arg("build").args(outputs).args(["--secret", "id=TOKEN", "."]).env("TOKEN", token)
}

/// Lists the names in the project's folder, which shows leftovers.
fn names(scene: &Scene) -> Vec<String> {
    let entries = fs::read_dir(scene.project()).expect("the project").flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn unpacked(scene: &Scene, tar: &[u8]) -> BTreeMap<String, String> {
    let folder = scene.temporary().join("unpacked");
    let file = scene.temporary().join("unpacked.tar");
    fs::create_dir(&folder).expect("a folder");
    fs::write(&file, tar).expect("a file");
    let output = Command::new("tar").arg("-xpf").arg(&file).arg("-C").arg(&folder).output().expect("tar runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let all = listed(&folder);
    let _ = fs::remove_dir_all(&folder);
    all
}

fn files_and_tars_are_docker_s_own_and_hold_no_secret(engine: &Engine) {
    let scene = Scene::on(engine);
    let token = scene.oracle().token("TOKEN");
    let project = scene.project();
    let at = |name: &str| project.join(name).display().to_string();
    // Without a secret, the bytes are the same as with docker.
    scene.write("Dockerfile", dockerfile("plain"));
    scene.write(".dockerignore", "*\n");
    for output in ["type=tar,dest=", "type=local,dest="] {
        let docker = engine.buildx(&["build", "-o", &format!("{output}{}", at("docker")), &at(".")]);
        assert!(docker.status.success(), "{}", String::from_utf8_lossy(&docker.stderr));
        scene.pbuild().args(["build", "-o", &format!("{output}ours"), "."]).run().expect_code(0);
        if output.contains("tar") {
            assert_eq!(fs::read(at("docker")).expect("docker's"), fs::read(at("ours")).expect("ours"));
            fs::remove_file(at("docker")).expect("docker's");
            fs::remove_file(at("ours")).expect("ours");
        } else {
            let docker = listed_with_times(Path::new(&at("docker")));
            assert!(docker.len() >= 7, "{docker:?}");
            assert_eq!(docker, listed_with_times(Path::new(&at("ours"))));
            let modes = ["docker", "ours"].map(|name| fs::metadata(at(name)).expect("a folder").mode());
            assert_eq!(modes[0], modes[1]);
        }
    }
    // With a secret, the same files are written over existing ones.
    scene.write("Dockerfile", dockerfile(&mark(engine, "outputs")));
    fs::remove_file(at("ours/link")).expect("a link");
    scene.write("ours/link/was/a/folder", "");
    scene.write("ours/stays", "");
    build(&scene, token.text(), &["ours"]).run().expect_code(0).expect_stderr("clean").expect_stderr("ours");
    let files = listed(Path::new(&at("ours")));
    let seen = ptest::sha256(token.value()).trim_start_matches("sha256:").to_owned();
    assert!(fs::read_to_string(at("ours/seen")).expect("a file of the step").starts_with(&seen));
    assert!(files.contains_key("stays") && files["closed"].starts_with("40555 "), "{files:?}");
    let outcome = build(&scene, token.text(), &["-"]).run();
    outcome.expect_code(0).expect_stderr("clean");
    // As with docker, a quiet build prints the image's ID, but if a result goes to standard output, nothing else is
    // printed there.
    let quiet = build(&scene, token.text(), &["-"]).arg("-q").run();
    assert_eq!(quiet.expect_code(0).stdout_bytes(), outcome.stdout_bytes());
    let mut unpacked = unpacked(&scene, outcome.stdout_bytes());
    unpacked.insert("stays".to_owned(), files["stays"].clone());
    assert_eq!(unpacked, files);
    // An existing file is replaced as a whole and keeps its mode. A new file gets the default mode.
    scene.write("old.tar", "longer than nothing");
    fs::set_permissions(project.join("old.tar"), std::os::unix::fs::PermissionsExt::from_mode(0o640)).expect("a mode");
    for name in ["old.tar", "new.tar"] {
        build(&scene, token.text(), &[&format!("type=tar,dest={name}")]).run().expect_code(0);
        assert_eq!(fs::read(at(name)).expect("the tar"), outcome.stdout_bytes());
    }
    let mode = |name: &str| fs::metadata(at(name)).expect("the tar").mode() & 0o777;
    assert_eq!((mode("old.tar"), mode("new.tar")), (0o640, mode("Dockerfile")));
    build(&scene, token.text(), &["type=cacheonly"]).run().expect_code(0).expect_stderr("clean");
    assert_eq!(names(&scene), [".dockerignore", "Dockerfile", "docker", "new.tar", "old.tar", "ours"]);
}

fn a_leaking_build_writes_nothing_anywhere(engine: &Engine) {
    let scene = Scene::on(engine);
    let token = scene.oracle().token("TOKEN");
    let mark = mark(engine, "leak");
    scene.write("Dockerfile", format!("FROM busybox\nRUN echo {mark} $TOKEN > /leaked\n"));
    scene.write("there.tar", "what was there");
    scene.write("there/file", "what was there");
    let before = (names(&scene), listed(&scene.project()));
    let image = ImageName::new(engine, "outputs-leak");
    let mut outputs = vec![vec!["type=tar,dest=there.tar"], vec!["there"], vec!["new/below"], vec!["-"]];
    match engine.flavour() {
        Flavour::Containerd => {
            outputs.push(vec!["type=oci,dest=there.tar", "type=docker,dest=new.tar", "there"]);
            outputs.push(vec!["type=image", "there"]);
        }
        Flavour::Modern => outputs.push(vec!["type=image", "type=tar,dest=there.tar", "there"]),
        Flavour::Old => {}
    }
    for outputs in outputs {
        // The result is searched in the builder, or in the received files if the builder can prove nothing.
        for base in ["merged", "full"] {
            let tool = build(&scene, token.text(), &outputs).args(["-t", image.as_str(), "--audit-base", base]);
            let outcome = tool.run();
            outcome.expect_code(10).expect_stderr("TOKEN");
            assert!(outcome.stdout_bytes().is_empty(), "{outputs:?} {base}");
            assert_eq!(before, (names(&scene), listed(&scene.project())), "{outputs:?} {base}");
            assert!(!image.exists(), "{outputs:?} {base}");
        }
    }
}

fn a_place_that_cannot_be_written_to_is_told_first(engine: &Engine) {
    let scene = Scene::on(engine);
    let token = scene.oracle().token("TOKEN");
    scene.write("Dockerfile", "FROM nowhere.example/never-asked-for\n");
    scene.write("file", "");
    for output in
        ["type=tar,dest=absent/a.tar", "type=tar,dest=.", "file", "file/below", "type=what,dest=a", "type=local"]
    {
        build(&scene, token.text(), &[output]).run().expect_code(2).expect_stderr("--output");
    }
    // On a terminal, both outputs of the tool are the terminal.
    build(&scene, token.text(), &["-"]).on_terminal(80, 24).run().expect_code(2).expect_stdout("is a terminal");
    if engine.flavour() == Flavour::Containerd {
        let both = build(&scene, token.text(), &["type=image", "type=oci,dest=a.tar"]).run();
        both.expect_code(2).expect_stderr("--output type=oci,dest=a.tar").expect_stderr("the engine's own store");
    } else {
        let archive = build(&scene, token.text(), &["type=oci,dest=a.tar"]).run();
        archive.expect_code(2).expect_stderr("containerd image store");
    }
    if engine.flavour() == Flavour::Old {
        let two = build(&scene, token.text(), &["type=image", "type=tar,dest=a.tar"]).run();
        two.expect_code(2).expect_stderr("one output at a time");
    }
    assert_eq!(names(&scene), ["Dockerfile", "file"]);
}

/// Archives of images contain their names and the same content as docker's, and docker can load them.
#[test]
fn archives_of_images_are_docker_s_own_and_come_several_at_once() {
    let engine = Engine::get(Flavour::Containerd);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    let image = ImageName::new(&engine, "archives");
    scene.write("Dockerfile", dockerfile(&mark(&engine, "archives")));
    let outputs = ["type=oci,dest=oci.tar", "type=docker,dest=docker.tar", "type=tar,dest=files.tar", "files"];
    let outcome = build(&scene, token.text(), &outputs).args(["-t", image.as_str(), "--provenance=false"]).run();
    outcome.expect_code(0).expect_stderr("clean");
    assert!(!image.exists(), "the engine's store was not asked for");
    for archive in ["oci.tar", "docker.tar"] {
        let audit = ["audit", "--archive", archive, "--secret", "id=TOKEN"];
        scene.pbuild().args(audit).env("TOKEN", token.text()).run().expect_code(0);
    }
    let path = scene.project().join("docker.tar").display().to_string();
    let _ = engine.docker(&["load", "-i", &path]);
    assert!(image.exists(), "the archive has the image's name");
    let member = |archive: &str, name: &str| -> serde_json::Value {
        let file = scene.project().join(archive);
        let output = Command::new("tar").arg("-xOf").arg(file).arg(name).output().expect("tar runs");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{archive} has no {name}"))
    };
    let index = member("oci.tar", "index.json");
    let named = index["manifests"][0]["annotations"]["io.containerd.image.name"].as_str().expect("a name");
    assert_eq!(named, format!("docker.io/{}", image.as_str()));
    let tar = fs::read(scene.project().join("files.tar")).expect("the tar");
    assert_eq!(unpacked(&scene, &tar), listed(&scene.project().join("files")));
    // Provenance is made after the proof, so the received archive is searched, too.
    let outcome = build(&scene, token.text(), &["type=oci,dest=max.tar"]).args(["--provenance", "mode=max"]).run();
    outcome.expect_code(0).expect_stderr("1 layer");
    let provenance = member("max.tar", "index.json")["manifests"][0]["digest"].clone();
    assert_ne!(provenance, index["manifests"][0]["digest"]);
}

/// `tar=false`: the folder becomes a layout only after the search, a second image is added to the first one, and a
/// leak changes nothing.
#[test]
fn a_folder_is_a_layout_that_images_join() {
    let engine = Engine::get(Flavour::Containerd);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    scene.write("Dockerfile", dockerfile(&mark(&engine, "layout")));
    let to_layout = |name: &str| {
        let tool = build(&scene, token.text(), &["type=oci,dest=new/layout,tar=false"]);
        tool.args(["-t", name, "--provenance=false"]).run()
    };
    to_layout("layout-test:1").expect_code(0).expect_stderr("OCI layout");
    to_layout("layout-test:2").expect_code(0);
    let folder = scene.project().join("new/layout");
    let index = || -> serde_json::Value {
        serde_json::from_slice(&fs::read(folder.join("index.json")).expect("an index")).expect("JSON")
    };
    let names = |index: &serde_json::Value| -> Vec<String> {
        let manifests = index["manifests"].as_array().expect("manifests").iter();
        manifests.map(|image| image["annotations"]["io.containerd.image.name"].to_string()).collect()
    };
    assert_eq!(names(&index()), ["\"docker.io/library/layout-test:1\"", "\"docker.io/library/layout-test:2\""]);
    let audit = ["audit", "oci:new/layout", "--secret", "id=TOKEN"];
    scene.pbuild().args(audit).env("TOKEN", token.text()).run().expect_code(0);
    let before = listed_with_times(&folder);
    scene.write("Dockerfile", "FROM busybox\nRUN echo $TOKEN > /leak\n");
    to_layout("layout-test:1").expect_code(10);
    assert_eq!(listed_with_times(&folder), before);
}

/// Ctrl-C leaves no new file, and existing files stay.
#[test]
fn an_interrupted_build_leaves_no_file() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    scene.write("Dockerfile", "FROM busybox\nRUN echo begun; sleep 60\n");
    scene.write("there.tar", "what was there");
    let before = names(&scene);
    for output in ["type=tar,dest=there.tar", "new"] {
        let mut running = build(&scene, token.text(), &[output]).arg("--no-cache").spawn();
        running.wait_for("begun").interrupt();
        let ended: Outcome = running.finish();
        ended.expect_code(130);
        assert_eq!(names(&scene), before);
    }
    assert_eq!(fs::read_to_string(scene.project().join("there.tar")).expect("the file"), "what was there");
}
