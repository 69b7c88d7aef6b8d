//! The search in the builder, on real engines: it has the same findings as an audit of the finished image, it is
//! never wrongly clean, and nothing of a leak stays.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use acceptance::{ImageName, WHOLE, becomes, build, on_every_engine, prune, records, scanner_of};
use ptest::{Canary, Engine, Flavour, Outcome, Scene};

on_every_engine!(
    both_ways_find_the_same,
    clean_builds_of_every_sort_are_proven_in_the_builder,
    a_sibling_of_what_was_built_does_not_speak_for_it,
    a_new_run_of_a_known_step_is_searched_again,
    nothing_of_a_leak_stays_unless_it_is_kept,
    a_leak_of_the_base_is_told_apart,
    a_base_is_searched_once_for_each_set_of_secrets,
    what_a_base_hides_is_found_with_audit_base_full,
);

/// Builds the same project with docker, which does not stop a leak.
fn build_with_docker(scene: &Scene, engine: &Engine, image: &ImageName<'_>, token: &Canary) {
    let value = scene.temporary().join("value");
    std::fs::write(&value, token.text()).expect("a file of the test");
    scene.allow(&value);
    let (secret, project) = (format!("id=TOKEN,src={}", value.display()), scene.project().display().to_string());
    let built = engine.buildx(&["build", "--quiet", "--load", "-t", image.as_str(), "--secret", &secret, &project]);
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
}

/// Returns a `RUN` with the value in `$TOKEN` that docker and pbuild can build on engines of every age.
fn run(command: &str) -> String {
    format!("RUN --mount=type=secret,id=TOKEN TOKEN=$(cat /run/secrets/TOKEN) && {command}\n")
}

/// Returns one step for each way in which a value gets into an image.
fn corpus() -> String {
    let steps = [
        "mkdir -p /etc/app && echo \"url=http://u:$TOKEN@h/\" > /etc/app/conf",
        "printf 'user:%s' $TOKEN | base64 > /auth",
        "printf %s $TOKEN | hexdump -ve '1/1 \"%02x\"' > /hex",
        "ln -s \"/srv/$TOKEN\" /link",
        "mkdir -p /cache && touch \"/cache/$TOKEN\"",
        "mkdir -p \"/d-$TOKEN\" && echo inside > \"/d-$TOKEN/file\"",
        "echo $TOKEN > /closed && chown 1234:99 /closed && chmod 000 /closed",
        "echo $TOKEN > /root/.netrc",
        "rm /root/.netrc",
        "printf '{\"a\":\"%s\"}' $TOKEN | gzip > /packed.gz",
        "mkdir /w && echo $TOKEN > /w/in && tar -C /w -cf /all.tar in && rm -r /w",
        "echo $TOKEN > /one && ln /one /two",
        "for i in 1 2 3; do echo $TOKEN; done > /thrice",
        "touch -r /bin/sh /marker && printf %s $TOKEN | wc -c | xargs -I N dd if=/dev/zero bs=N count=1 of=/timed && touch -r /marker /timed",
        // Size and time are the same as before, so a differ that only compares these sees no change.
        "printf %s $TOKEN > /timed && touch -r /marker /timed",
        "mkdir -p /a/b/c/d/e && printf 'x%05000d%s' 0 $TOKEN > /a/b/c/d/e/deep",
        "echo $TOKEN > /mode && chmod 4755 /mode",
    ];
    steps.iter().map(|step| run(step)).collect()
}

/// The same Dockerfile is searched in two ways: by the gate during the build, and by an audit of the image that
/// docker built.
fn both_ways_find_the_same(engine: &Engine) {
    let scene = Scene::on(engine);
    let token = scene.oracle().token("TOKEN");
    let image = ImageName::new(engine, "both-ways");
    // The name makes the steps unique to this run, so that two runs at the same time do not remove each other's cache
    // records.
    let steps = format!("FROM busybox\nRUN echo {} > /first\n{}RUN echo two > /last\n", image.as_str(), corpus());
    scene.write("Dockerfile", steps);
    let gate = build(&scene, &image, &token, &[]).run();
    gate.expect_code(10);
    assert!(!gate.stderr().contains(WHOLE), "{gate:?}");
    assert!(!image.exists());

    // The planted value has the same length, so it has the same offsets.
    let planted = scene.oracle().planted("TOKEN");
    build_with_docker(&scene, engine, &image, &planted);
    let archive = scene.temporary().join("image.tar");
    engine.docker(&["save", "-o", &archive.display().to_string(), image.as_str()]);
    scene.allow(&archive);
    let audit = scene
        .pbuild()
        .args(["audit", &format!("docker-archive:{}", archive.display()), "--secret", "id=TOKEN", "--format", "json"])
        .env("TOKEN", planted.text())
        .run();
    audit.expect_code(10);
    let report = audit.json();
    let audited: BTreeSet<String> = report["findings"]
        .as_array()
        .expect("findings")
        .iter()
        .map(|finding| {
            let content = finding["part"] == "content";
            let offset = if content { format!(", byte {}", finding["offset"]) } else { String::new() };
            format!("{}{offset}, {}", finding["path"].as_str().expect("a path"), form(&finding["form"]))
        })
        .collect();
    let mut told = told(&gate);
    if engine.flavour() == Flavour::Containerd {
        // containerd's own differ leaves this change out of the layer. The gate sees it, because it is in the
        // builder's state.
        assert!(told.remove("/timed, byte 0, as written") && !audited.contains("/timed, byte 0, as written"));
    }
    assert_eq!(told, audited);
    assert!(audited.len() >= 15, "{audited:#?}");
    // The findings name the line of each step, and report that a later step deleted a file.
    gate.expect_stderr("Dockerfile:3").expect_stderr("Dockerfile:18").expect_stderr("deleted in");
}

/// Lists the findings of a refused build: place, offset in the content, and form.
fn told(outcome: &Outcome) -> BTreeSet<String> {
    let line = |line: &str| {
        let place = line.trim_start().strip_prefix("TOKEN  in ")?;
        let place = place.split_once("; deleted").map_or(place, |(place, _)| place);
        let place = place
            .strip_suffix(" times")
            .map_or(place, |place| place.rsplit_once(", ").map_or(place, |(place, _)| place));
        // A place is `the name and attributes of /path, byte 1` or `/path, byte 1`.
        let header = !place.starts_with('/');
        let place = &place[place.find('/')?..];
        if !header {
            return Some(place.to_owned());
        }
        let (path, rest) = place.split_once(", ").unwrap_or((place, ""));
        Some(format!("{}, {}", path.trim_end_matches(')'), rest.rsplit(", ").next().unwrap_or_default()))
    };
    outcome.stderr().lines().filter_map(line).collect()
}

fn form(machine_name: &serde_json::Value) -> &'static str {
    match machine_name.as_str() {
        Some("raw") => "as written",
        Some("base64") => "base64",
        Some("hex") => "hex",
        other => panic!("the corpus has no form {other:?}"),
    }
}

/// Stages, ONBUILD, heredocs, linked copies and a stage as the target are all proven without an export.
fn clean_builds_of_every_sort_are_proven_in_the_builder(engine: &Engine) {
    let scene = Scene::on(engine);
    // The value stays in a stage that is not a part of the image, in the builder's cache.
    let token = scene.oracle().planted("TOKEN");
    scene.write("file", "of the context\n");
    let parent = ImageName::new(engine, "onbuild");
    scene.write("Dockerfile", "FROM busybox\nONBUILD RUN test -n \"$TOKEN\" && echo ran > /onbuild\n");
    build(&scene, &parent, &token, &[]).run().expect_code(0);
    let heredoc =
        if engine.flavour() == Flavour::Old { "" } else { "RUN <<END\ntest -n \"$TOKEN\"\necho x > /heredoc\nEND\n" };
    let linked = if engine.flavour() == Flavour::Old { "" } else { "COPY --link file /linked\n" };
    let dockerfile = format!(
        "FROM busybox AS maker\nRUN echo $TOKEN > /only-here && echo made > /made\n\
         FROM {} AS app\nWORKDIR /srv\nCOPY --from=maker /made /made\n{heredoc}{linked}RUN echo y > /after\nENV A=b\n\
         FROM scratch AS small\nCOPY --from=app /after /after\n",
        parent.as_str()
    );
    scene.write("Dockerfile", dockerfile);
    let image = ImageName::new(engine, "sorts");
    for target in ["app", "small"] {
        for _ in 0..2 {
            let outcome = build(&scene, &image, &token, &["--target", target]).run();
            outcome.expect_code(0).expect_stderr("clean");
            assert!(!outcome.stderr().contains(WHOLE), "{target}: {outcome:?}");
        }
    }
}

/// One step of BuildKit may have several results. The image is built on the result that leaks, and a request for the
/// step returns the other one. If the gate did not examine which states the image is made of, it would miss a file
/// that a later step deletes.
fn a_sibling_of_what_was_built_does_not_speak_for_it(engine: &Engine) {
    let scene = Scene::on(engine);
    let (leaked, other) = (scene.oracle().token("LEAKED"), scene.oracle().token("OTHER"));
    let image = ImageName::new(engine, "sibling");
    let mark = image.as_str().replace(['/', ':'], "-");
    // The first characters of the value decide whether the step leaks.
    let first = &leaked.text()[..6];
    let steps = format!(
        "FROM busybox\nRUN case $TOKEN in {first}*) echo $TOKEN > /x;; *) echo y > /x;; esac; : first-{mark}\n\
         RUN rm /x && echo two > /two; : second-{mark}\n"
    );
    scene.write("Dockerfile", steps);
    build(&scene, &image, &leaked, &["--keep-leaked-cache"]).run().expect_code(10);
    let leaky = records(engine, &format!("second-{mark}"));
    build(&scene, &image, &other, &["--no-cache"]).run().expect_code(0);
    for record in records(engine, &format!("second-{mark}")).iter().filter(|record| !leaky.contains(record)) {
        prune(engine, record);
    }
    let outcome = build(&scene, &image, &leaked, &[]).run();
    // Kept records existed before this build, so the build does not remove them. The test removes them, children
    // first.
    for step in ["second", "first"] {
        for record in records(engine, &format!("{step}-{mark}")) {
            prune(engine, &record);
        }
    }
    outcome.expect_code(10).expect_stderr("/x");
}

/// A step runs again with the same secret id and a different result. The result of the earlier search must not count.
fn a_new_run_of_a_known_step_is_searched_again(engine: &Engine) {
    let scene = Scene::on(engine);
    let (leaked, other) = (scene.oracle().token("LEAKED"), scene.oracle().token("OTHER"));
    let image = ImageName::new(engine, "again");
    let mark = image.as_str().replace(['/', ':'], "-");
    let first = &leaked.text()[..6];
    scene.write(
        "Dockerfile",
        format!("FROM busybox\nRUN case $TOKEN in {first}*) echo $TOKEN > /x;; *) echo y > /x;; esac; : {mark}\n"),
    );
    build(&scene, &image, &other, &[]).run().expect_code(0);
    for record in records(engine, &mark) {
        prune(engine, &record);
    }
    build(&scene, &image, &leaked, &[]).run().expect_code(10).expect_stderr("/x");
}

/// After a leak, the files of the step are removed from the engine's disk. With `--keep-leaked-cache` they stay, so
/// that the user can examine them.
fn nothing_of_a_leak_stays_unless_it_is_kept(engine: &Engine) {
    let scene = Scene::on(engine);
    let token = scene.oracle().token("TOKEN");
    for (keep, stays) in [(&["--keep-leaked-cache"][..], true), (&[][..], false)] {
        let image = ImageName::new(engine, "stays");
        let name = format!("leak-{}", image.as_str().replace(['/', ':'], "-"));
        scene.write("Dockerfile", format!("FROM busybox\nRUN echo $TOKEN > /{name}\nRUN echo x > /y-{name}\n"));
        let outcome = build(&scene, &image, &token, keep).run();
        outcome.expect_code(10).expect_stderr("no image was made");
        assert!(!outcome.stderr().contains("exporting"), "{outcome:?}");
        let there = || exists_below(&engine.data_root(), &name);
        if stays {
            assert!(there());
            for record in ["y-", ""].iter().flat_map(|step| records(engine, &format!("/{step}{name}"))) {
                prune(engine, &record);
            }
        }
        // Engines remove layers in the background.
        assert!(becomes(Duration::from_secs(30), || !there()), "{name} is still on the engine's disk");
    }
}

/// Another build may still use records that a refused build leaves, and BuildKit frees its own uses later. The build
/// waits for both.
#[test]
fn what_holds_a_value_is_waited_for() {
    let engine = Engine::get(Flavour::Modern);
    let (scene, slow) = (Scene::on(&engine), Scene::on(&engine));
    let token = scene.oracle().token("TOKEN");
    let image = ImageName::new(&engine, "waits");
    let name = format!("leak-{}", image.as_str().replace(['/', ':'], "-"));
    let leak = format!("FROM busybox\nRUN echo $TOKEN > /{name}\n");
    scene.write("Dockerfile", &leak);
    slow.write("Dockerfile", leak + "RUN sleep 5\n");
    let keeping = build(&slow, &image, &token, &["--keep-leaked-cache"]).spawn();
    let refused = build(&scene, &image, &token, &[]).run();
    refused.expect_code(10);
    assert!(!refused.stderr().contains("could not be removed"), "{refused:?}");
    keeping.finish().expect_code(10);
    assert!(becomes(Duration::from_secs(30), || !exists_below(&engine.data_root(), &name)), "{name} stays");
}

/// Returns true if the layers below a folder contain a file of this name.
fn exists_below(root: &Path, name: &str) -> bool {
    let found = std::process::Command::new("find")
        .arg(root)
        .args(["-xdev", "-name", name, "-print", "-quit"])
        .output()
        .expect("find runs");
    !found.stdout.is_empty()
}

/// Everybody who has the base image has the value. The message says so, and does not blame a step.
fn a_leak_of_the_base_is_told_apart(engine: &Engine) {
    let scene = Scene::on(engine);
    let token = scene.oracle().planted("TOKEN");
    let (base, image) = (ImageName::new(engine, "leaky-base"), ImageName::new(engine, "on-leaky-base"));
    let container = base.as_str().replace(['/', ':'], "-");
    let file = scene.temporary().join("old.conf");
    std::fs::write(&file, format!("x={}\n", token.text())).expect("a file of the test");
    scene.allow(&file);
    engine.docker(&["create", "--name", &container, "busybox", "true"]);
    engine.docker(&["cp", &file.display().to_string(), &format!("{container}:/etc/old.conf")]);
    engine.docker(&["commit", &container, base.as_str()]);
    engine.docker(&["rm", &container]);
    scene.write("Dockerfile", format!("FROM {}\nRUN echo x > /x\n", base.as_str()));
    let outcome = build(&scene, &image, &token, &[]).run();
    outcome.expect_code(10).expect_stderr("/etc/old.conf").expect_stderr("the base image holds it");
    assert!(!outcome.stderr().contains("this step wrote it"), "{outcome:?}");
    assert!(!image.exists());
}

/// The second build does not search the base again, a build with another secret does, and a moved tag is a new base.
fn a_base_is_searched_once_for_each_set_of_secrets(engine: &Engine) {
    let scene = Scene::on(engine);
    let (token, other) = (scene.oracle().planted("TOKEN"), scene.oracle().token("OTHER"));
    let (base, image) = (ImageName::new(engine, "known-base"), ImageName::new(engine, "on-known-base"));
    engine.docker(&["tag", "busybox", base.as_str()]);
    scene.write("Dockerfile", format!("FROM {}\nRUN echo x > /x\n", base.as_str()));
    for (token, known) in [(&token, false), (&token, true), (&other, false)] {
        let outcome = build(&scene, &image, token, &[]).run();
        outcome.expect_code(0);
        assert_eq!(outcome.stderr().contains("clean before"), known, "{outcome:?}");
    }
    let container = base.as_str().replace(['/', ':'], "-");
    let file = scene.temporary().join("new.conf");
    std::fs::write(&file, token.text()).expect("a file of the test");
    scene.allow(&file);
    engine.docker(&["create", "--name", &container, "busybox", "true"]);
    engine.docker(&["cp", &file.display().to_string(), &format!("{container}:/etc/new.conf")]);
    engine.docker(&["commit", &container, base.as_str()]);
    engine.docker(&["rm", &container]);
    build(&scene, &image, &token, &[]).run().expect_code(10).expect_stderr("/etc/new.conf");
}

/// A file that an upper layer of the base deletes is still in the base. The gate does not see it, and says how much
/// of the base it searched; `--audit-base full` finds the file.
fn what_a_base_hides_is_found_with_audit_base_full(engine: &Engine) {
    let scene = Scene::on(engine);
    let token = scene.oracle().planted("TOKEN");
    let (base, image) = (ImageName::new(engine, "hiding-base"), ImageName::new(engine, "on-hiding-base"));
    let steps = run(&format!("echo $TOKEN > /hidden; : {}", base.as_str()));
    scene.write("Dockerfile", format!("FROM busybox\n{steps}RUN rm /hidden\n"));
    build_with_docker(&scene, engine, &base, &token);
    scene.write("Dockerfile", format!("FROM {}\nRUN echo x > /x\n", base.as_str()));
    build(&scene, &image, &token, &[]).run().expect_code(0).expect_stderr("1 step, base ");
    build(&scene, &image, &token, &["--audit-base", "full"])
        .run()
        .expect_code(10)
        .expect_stderr("the base image holds it");
}

/// A connection to the engine that a test can cut.
struct Line {
    folder: tempfile::TempDir,
    open: Arc<Mutex<Vec<UnixStream>>>,
}

impl Line {
    fn to(engine: &Engine) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let listener = UnixListener::bind(folder.path().join("engine.sock")).expect("a socket in a new folder");
        let target = engine.docker_host().trim_start_matches("unix://").to_owned();
        let open: Arc<Mutex<Vec<UnixStream>>> = Arc::default();
        let kept = Arc::clone(&open);
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = UnixStream::connect(&target) else { return };
                let clone = |stream: &UnixStream| stream.try_clone().expect("a descriptor");
                kept.lock().expect("nobody panics with it").extend([clone(&near), clone(&far)]);
                for (mut from, mut to) in [(clone(&near), clone(&far)), (far, near)] {
                    std::thread::spawn(move || {
                        let mut buffer = vec![0; 64 << 10];
                        while let Ok(count @ 1..) = from.read(&mut buffer) {
                            if to.write_all(&buffer[..count]).is_err() {
                                break;
                            }
                        }
                        let _ = to.shutdown(Shutdown::Write);
                    });
                }
            }
        });
        Self { folder, open }
    }

    fn address(&self) -> String {
        format!("unix://{}", self.folder.path().join("engine.sock").display())
    }

    /// Ends every connection, and prevents new ones.
    fn cut(&self) {
        std::fs::remove_file(self.folder.path().join("engine.sock")).expect("the socket is ours");
        for stream in self.open.lock().expect("nobody panics with it").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// The engine goes away in the middle of the search (B4): the build is never clean, the image gets no name, and the
/// scanner ends.
#[test]
fn an_engine_that_dies_in_mid_search_proves_nothing_b4() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    let image = ImageName::new(&engine, "dies");
    let line = Line::to(&engine);
    let file = format!("zeros-dies-{}", std::process::id());
    scene.write("Dockerfile", format!("FROM busybox\nRUN truncate -s 60G /{file}\n"));
    let mut running = scene
        .pbuild()
        .args(["build", "--progress", "plain", "-t", image.as_str(), "--secret", "id=TOKEN", "."])
        .env("TOKEN", token.text())
        .env("DOCKER_HOST", line.address())
        .spawn();
    running.wait_for("[audit] searching 1 step and the base image");
    assert!(becomes(Duration::from_secs(20), || scanner_of(&file)), "the search runs");
    line.cut();
    let outcome = running.finish();
    assert_ne!(outcome.code(), 0);
    assert!(becomes(Duration::from_secs(20), || !scanner_of(&file)), "the scanner runs on");
    assert!(!image.exists());
}
