//! The word `mask` of the frontend image: a wrapper runs the commands of steps with secrets and masks their output.
//!
//! `scripts/test` builds the image from the workspace and loads it into every engine.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use acceptance::{Docker, ImageName, Said, on_every_engine};
use ptest::{Canary, Engine, Flavour};
use serde_json::Value;

/// The path of the wrapper in a step.
const WRAPPER: &str = "/dev/pbuild-mask";

on_every_engine!(
    what_steps_with_secrets_print_is_masked,
    files_are_masked_and_one_that_the_user_cannot_read_is_told,
    a_step_that_fails_has_its_code_its_line_and_its_own_command,
    orphans_are_reaped_and_left_behind_with_the_step,
    a_step_is_told_to_its_wrapper_alone,
    the_image_is_the_one_without_the_word,
);

/// Docker's commands in one scene, with one value in a variable and one in a file.
struct Steps<'engine> {
    docker: Docker<'engine>,
    token: Canary,
}

impl<'engine> Steps<'engine> {
    fn new(engine: &'engine Engine) -> Self {
        let docker = Docker::new(engine);
        let token = docker.scene.oracle().token("TOKEN");
        docker.scene.write_secret("file", docker.scene.oracle().token("file").value());
        Self { docker, token }
    }

    /// Writes a Dockerfile with these words and lines. Its first step is unique to this call.
    fn dockerfile(&self, words: &str, text: &str) {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        self.docker.dockerfile(words, &text.replace("MARK", &self.docker.mark(&format!("mark-{count}"))));
    }

    fn build(&self, words: &[&str]) -> Said {
        let words = [&["--secret=id=file,src=file"][..], words].concat();
        self.docker.build(&words, &[("TOKEN", &self.token)])
    }
}

fn what_steps_with_secrets_print_is_masked(engine: &Engine) {
    let steps = Steps::new(engine);
    let mut text = "FROM busybox\nWORKDIR /srv/app\n\
         RUN echo MARK; echo \"out $TOKEN.\"; echo \"err $TOKEN.\" >&2; echo \"b64 $(printf %s \"$TOKEN\" | base64).\"\n\
         RUN printf 'cut %s' \"${TOKEN%????????????????}\"; sleep 0.3; printf '%s.\\n' \"${TOKEN#????????????????}\"\n\
         RUN [\"sh\", \"-c\", \"echo exec $TOKEN.\"]\n\
         RUN test \"$(pwd)\" = /srv/app && test \"$(id -u)\" = 0\n\
         USER 1000:1000\nRUN echo \"user $TOKEN in $(pwd) as $(id -u):$(id -g).\"\n"
        .to_owned();
    let mut shown = vec!["out", "err", "b64", "cut", "exec"];
    // On Docker 20.10, a step gets its secrets through a shell, and the frontend supports neither networks nor
    // here-documents.
    if engine.flavour() != Flavour::Old {
        text.push_str(
            "RUN --network=none echo \"lonely $TOKEN.\"\nRUN <<EOF\necho \"here $TOKEN.\"\nEOF\nRUN <<EOF\n#!/bin/busybox sh\necho \"own $TOKEN.\"\nEOF\n\
             FROM scratch\nCOPY --from=busybox /bin/busybox /busybox\nRUN [\"/busybox\", \"sh\", \"-c\", \"echo bare $TOKEN.\"]\n\
             RUN [\"/busybox\", \"true\"]\n",
        );
        text = text.replace("FROM busybox\n", "FROM busybox AS first\n");
        text.push_str("COPY --from=first /srv /srv\n");
        shown.extend(["lonely", "here", "own", "bare"]);
    }
    steps.dockerfile("TOKEN mask", &text);
    let metadata = steps.docker.scene.project().join("metadata.json");
    let mut said = steps.build(&["--metadata-file", "metadata.json"]).passes().says("clean: TOKEN");
    for word in &shown {
        said = said.says(&format!("{word} ***TOKEN***."));
    }
    let _ = said.says("user ***TOKEN*** in /srv/app as 1000:1000.");
    if engine.flavour() == Flavour::Old {
        return;
    }
    // The log that the engine keeps of the build.
    let told: Value = serde_json::from_slice(&fs::read(metadata).expect("metadata")).expect("JSON");
    let reference = told["buildx.build.ref"].as_str().expect("a reference").rsplit('/').next().expect("an id");
    let logs = engine.buildx(&["history", "logs", "--progress", "plain", reference]);
    let kept = [logs.stdout, logs.stderr].concat();
    steps.docker.scene.oracle().check_bytes("the engine's history", &kept);
    let kept = steps.docker.scene.oracle().mask(&kept);
    for word in &shown {
        assert!(kept.contains(&format!("{word} ***TOKEN***.")), "no {word} in\n{kept}");
    }
}

fn files_are_masked_and_one_that_the_user_cannot_read_is_told(engine: &Engine) {
    let steps = Steps::new(engine);
    steps.dockerfile(
        "mask",
        "FROM busybox\n\
         RUN --mount=type=secret,id=file echo \"MARK first $(cat /run/secrets/file).\"\n\
         RUN --mount=type=secret,id=file,target=/srv/key echo \"there $(cat /srv/key).\"\n\
         WORKDIR /srv\n\
         RUN --mount=type=secret,id=file,target=near/key echo \"near $(cat near/key).\"\n\
         USER 1000\n\
         RUN --mount=type=secret,id=file,target=/srv/key,uid=1000,mode=0400 echo \"mine $(cat /srv/key).\"\n\
         RUN --mount=type=secret,id=file,mode=0400 test ! -r /run/secrets/file && echo \"not mine\"\n",
    );
    let mut said = steps.build(&[]).passes().says("clean: file");
    for word in ["first", "there", "near", "mine"] {
        said = said.says(&format!("{word} ***file***."));
    }
    let told = "pbuild: file is not masked: it should be in /run/secrets/file, and this step's user cannot read it";
    let said = said.says(told).says("not mine");
    assert_eq!(said.text().matches("is not masked").count(), 1, "{}", said.text());
}

fn a_step_that_fails_has_its_code_its_line_and_its_own_command(engine: &Engine) {
    let steps = Steps::new(engine);
    for (command, code) in [
        ("echo \"$TOKEN\" && exit 3", 3),
        ("kill -9 $$", 137),
        // The wrapper is the first process of the step, and passes the signal on to the command.
        ("kill -TERM 1; sleep 60; exit 9", 143),
        ("exec /srv/nothing", 127),
    ] {
        steps.dockerfile("TOKEN mask", &format!("FROM busybox\nRUN echo MARK\nRUN {command}\nRUN true\n"));
        let said = steps.build(&[]).fails().says(&format!("exit code: {code}"));
        let last = said.last_line();
        assert!(last.contains("/bin/sh -c ") && !last.contains(WRAPPER), "{last}");
        if engine.flavour() != Flavour::Old {
            let _ = said.says(&format!("4 | >>> RUN {command}"));
        }
    }
    steps.dockerfile("TOKEN mask", "FROM busybox\nRUN echo MARK\nRUN [\"nothing-of-this-name\"]\n");
    let said = steps.build(&[]).fails().says("exit code: 127");
    // In the old engine, a shell passes the secrets to a step, and it reports the missing program first.
    if engine.flavour() != Flavour::Old {
        let _ = said.says("pbuild: failed to run \"nothing-of-this-name\"");
    }
}

fn orphans_are_reaped_and_left_behind_with_the_step(engine: &Engine) {
    let steps = Steps::new(engine);
    steps.dockerfile(
        "TOKEN mask",
        "FROM busybox\n\
         RUN echo MARK; (sleep 0.1 & sleep 0.1 &); sleep 1; cat /proc/[0-9]*/status | grep State; \
         ! cat /proc/[0-9]*/status | grep -q 'State:.Z'\n\
         RUN sleep 3000 & (while :; do echo more; sleep 0.1; done) & echo \"last $TOKEN.\"\n",
    );
    let begun = Instant::now();
    let _ = steps.build(&[]).passes().says("last ***TOKEN***.");
    assert!(begun.elapsed() < Duration::from_secs(600), "nobody waits for what a step leaves behind");
}

/// A wrapper knows the values of its own step and no others, and a step without a secret has no wrapper. The wrapper
/// cannot be bypassed.
fn a_step_is_told_to_its_wrapper_alone(engine: &Engine) {
    let steps = Steps::new(engine);
    steps.docker.scene.write(
        "app.toml",
        "[secrets]\nTOKEN = { scope = \"build\", steps = [\"echo token*\"] }\nfile = { scope = \"build\", as = \"file\", steps = [\"echo file*\"] }\n",
    );
    steps.dockerfile(
        "app.toml mask",
        "FROM busybox\n\
         RUN echo token MARK; tr '\\0' ' ' < /proc/1/cmdline; ! cat /proc/1/environ; ! cat /proc/1/mem; \
         ! sh -c 'echo around > /proc/1/fd/1'\n\
         RUN echo file; tr '\\0' ' ' < /proc/1/cmdline\n\
         RUN test $$ = 1 && test ! -e /dev/pbuild-mask && test -z \"$TOKEN\" && echo plain\n",
    );
    let said = steps.build(&[]).passes();
    let token = if engine.flavour() == Flavour::Old { "TOKEN:/run/pbuild/TOKEN" } else { "TOKEN:TOKEN" };
    let said =
        said.says(&format!("{WRAPPER} mask {token} -- ")).says(&format!("{WRAPPER} mask file:/run/secrets/file -- "));
    let text = said.text();
    // The step's name contains the command, which is not output of the step.
    let printed =
        |word: &str| text.lines().any(|line| line.trim_end().ends_with(&format!(" {word}")) && !line.contains("RUN"));
    assert!(printed("plain") && !printed("around"), "{text}");
}

/// Lists the content of an exported image by path: kind, mode, owner and size.
fn content(steps: &Steps<'_>) -> BTreeMap<String, String> {
    let _ = steps.build(&["-o", "type=tar,dest=out.tar"]).passes();
    let archive = fs::read(steps.docker.scene.project().join("out.tar")).expect("an archive");
    let mut all = BTreeMap::new();
    for entry in tar::Archive::new(archive.as_slice()).entries().expect("an archive") {
        let mut entry = entry.expect("an entry");
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("the entry's bytes");
        let header = entry.header();
        let told = format!(
            "{:?} {:o} {}:{} {}",
            header.entry_type(),
            header.mode().expect("a mode"),
            header.uid().expect("an owner"),
            header.gid().expect("a group"),
            ptest::sha256(&bytes)
        );
        all.insert(String::from_utf8_lossy(&entry.path_bytes()).into_owned(), told);
    }
    all
}

fn the_image_is_the_one_without_the_word(engine: &Engine) {
    let steps = Steps::new(engine);
    // The base of the test has no /dev, and the files that a first step leaves in /dev depend on the mounts below it.
    let text = "FROM busybox\nWORKDIR /dev\nWORKDIR /srv\nRUN echo ${#TOKEN} > length\nRUN [\"touch\", \"exec\"]\n\
                RUN --mount=type=secret,id=file wc -c < /run/secrets/file > bytes\nUSER 1000\nRUN id > /tmp/who\nCMD [\"sh\"]\n";
    let mut told = Vec::new();
    for words in ["TOKEN", "TOKEN mask"] {
        let image = ImageName::new(engine, "mask");
        steps.dockerfile(words, text);
        let _ = steps.build(&["-t", image.as_str()]).passes().says("clean: TOKEN, file");
        let inspected: Value =
            serde_json::from_slice(&engine.docker(&["image", "inspect", image.as_str()])).expect("JSON");
        let layers = inspected[0]["RootFS"]["Layers"].as_array().expect("layers").len();
        let history = engine.docker(&["history", "--no-trunc", "--format", "{{ .CreatedBy }}", image.as_str()]);
        let mut config = inspected[0]["Config"].clone();
        // The old engine writes the image's own name into this field.
        config.as_object_mut().expect("an object").remove("Image");
        told.push((layers, config, String::from_utf8_lossy(&history).into_owned(), content(&steps)));
    }
    let with_word = told.pop().expect("two");
    let without = told.pop().expect("two");
    assert!(with_word.3.contains_key("srv/exec") && with_word.3.keys().all(|path| !path.contains("pbuild-mask")));
    assert_eq!(with_word, without);
}

/// Without the word, the output of steps is not masked, as with docker.
#[test]
fn nothing_is_masked_unless_it_is_asked_for() {
    let engine = Engine::get(Flavour::Modern);
    let mut steps = Steps::new(&engine);
    steps.token = steps.docker.scene.oracle().planted("TOKEN");
    steps.dockerfile("TOKEN", "FROM busybox\nRUN echo \"MARK $TOKEN\"; test $$ = 1\n");
    // The output contains the value, so the scene's own functions cannot be used: they refuse such output.
    let words = ["build", "--progress", "plain", "--secret=id=TOKEN", "."];
    let mut buildx = ptest::program("PBUILD_TEST_BUILDX");
    buildx.args(words).current_dir(steps.docker.scene.project()).env("TOKEN", steps.token.text());
    buildx.env("DOCKER_HOST", engine.docker_host()).env_remove("DOCKER_CONTEXT");
    let output = buildx.output().expect("docker buildx");
    assert!(output.status.success());
    steps.docker.scene.oracle().must_hold("the progress", &output.stderr, &steps.token);
}
