//! Builds that succeed, on every engine.

use acceptance::{ImageName, on_every_engine};
use ptest::{Engine, Flavour, Scene};

on_every_engine!(
    every_step_sees_the_secrets_and_the_image_holds_none,
    what_a_step_prints_is_masked_in_every_form,
    docker_and_pbuild_share_one_cache_when_there_is_no_secret,
    flags_mean_what_docker_means,
);

/// Steps in shell form and exec form, in a builder stage and in ONBUILD: each writes a digest of the value that it
/// saw (F11, F12, F13, F18).
fn every_step_sees_the_secrets_and_the_image_holds_none(engine: &Engine) {
    let scene = Scene::on(engine);
    let token = scene.oracle().token("TOKEN");
    let key = scene.oracle().punctuated("KEY");
    scene.write_secret("key.txt", key.value());
    scene.write(".dockerignore", "key.txt\n");
    scene.write("copied.txt", "copied\n");
    // The value is not a part of a step's cache key, so without this mark a second run would use the layers of the
    // first one.
    let mark = format!("{:?}-{}", engine.flavour(), std::process::id());
    let base = ImageName::new(engine, "onbuild");
    scene.write(
        "base.Dockerfile",
        format!("FROM busybox\nONBUILD RUN echo {mark}; printf %s \"$TOKEN\" | sha256sum > /onbuild\n"),
    );
    scene.pbuild().args(["build", "-t", base.as_str(), "-f", "base.Dockerfile", "."]).run().expect_code(0);
    scene.write(
        "Dockerfile",
        format!(
            "FROM busybox AS builder\n\
             RUN echo {mark}; printf %s \"$TOKEN\" | sha256sum > /stage\n\
             FROM busybox AS unused\n\
             RUN exit 7\n\
             FROM {}\n\
             COPY --from=builder /stage /stage\n\
             COPY copied.txt /\n\
             RUN echo {mark}; printf %s \"$TOKEN\" | sha256sum > /shell && printf %s \"$KEY\" | sha256sum > /key\n\
             RUN [\"/bin/sh\", \"-c\", \"printf %s \\\"$TOKEN\\\" | sha256sum > /exec\"]\n\
             RUN if [ -n \"$DB_HOST\" ]; then echo database > /branch; else echo skipped > /branch; fi\n",
            base.as_str()
        ),
    );
    let image = ImageName::new(engine, "steps");
    let build = || {
        scene
            .pbuild()
            .args(["build", "-t", image.as_str(), "--secret", "id=TOKEN", "--secret", "id=KEY,src=key.txt", "."])
            .env("TOKEN", token.text())
            .run()
    };
    build().expect_code(0).expect_stderr("clean");
    let digest = |value: &[u8]| ptest::sha256(value).trim_start_matches("sha256:").to_owned();
    for (file, value) in [
        ("/stage", token.value()),
        ("/onbuild", token.value()),
        ("/shell", token.value()),
        ("/exec", token.value()),
        ("/key", key.value()),
    ] {
        let seen = image.run(&["cat", file]);
        assert_eq!(seen.split_whitespace().next(), Some(digest(value).as_str()), "{file}");
    }
    assert_eq!(image.run(&["cat", "/branch"]), "skipped\n");
    let told = image.told_by_the_engine();
    scene.oracle().check_bytes("inspect and history", &told);
    assert!(String::from_utf8_lossy(&told).contains("sha256sum > /shell"), "history shows the user's own text");
    assert!(!String::from_utf8_lossy(&told).contains("/run/pbuild"), "history shows the user's own text alone");
    scene.oracle().check_bytes("docker save", &engine.docker(&["save", image.as_str()]));

    let again = build();
    again.expect_code(0);
    assert!(again.stderr().contains("CACHED") || again.stderr().contains("cached"), "{again:?}");
}

/// The value is printed over several writes, in base64, hex, percent-encoded and JSON-escaped, on both streams (L1,
/// L2, L10).
fn what_a_step_prints_is_masked_in_every_form(engine: &Engine) {
    let scene = Scene::on(engine);
    let token = scene.oracle().token("TOKEN");
    let half = token.text().len() / 2;
    scene.write(
        "Dockerfile",
        format!(
            "FROM busybox\n\
             RUN echo plain: $TOKEN; echo stderr: $TOKEN >&2; \
                 printf 'split: %s' $(echo $TOKEN | cut -c1-{half}); sleep 0.3; echo $TOKEN | cut -c{}-; \
                 echo base64: $(printf %s $TOKEN | base64 | tr -d '\\n'); \
                 echo hex: $(printf %s $TOKEN | hexdump -ve '1/1 \"%02x\"'); \
                 echo done\n",
            half + 1
        ),
    );
    let image = ImageName::new(engine, "masked");
    for progress in ["plain", "rawjson"] {
        let outcome = scene
            .pbuild()
            .args(["build", "--no-cache", "--progress", progress, "-t", image.as_str(), "--secret", "id=TOKEN", "."])
            .env("TOKEN", token.text())
            .run();
        outcome.expect_code(0);
        if progress == "plain" {
            let shown = outcome.stderr();
            let (_, log) = shown.split_once("] RUN").expect("the step's log");
            assert_eq!(log.matches("***TOKEN***").count(), 5, "each of the five is masked\n{outcome:?}");
            for line in ["plain: ***TOKEN***", "base64: ***TOKEN***", "hex: ***TOKEN***"] {
                outcome.expect_stderr(line);
            }
        }
        outcome.expect_stderr("done");
    }
}

/// Without a secret, the engine gets the same request as from docker, so each tool uses the other one's cached steps
/// (P7).
fn docker_and_pbuild_share_one_cache_when_there_is_no_secret(engine: &Engine) {
    let scene = Scene::on(engine);
    for first in ["docker", "pbuild"] {
        let mark = format!("{first}-{}-{:?}", std::process::id(), engine.flavour());
        scene.write("app/file.txt", &mark);
        scene.write(".dockerignore", "ignored\n");
        scene.write("ignored", &mark);
        scene.write("Dockerfile", format!("FROM busybox\nARG MARK\nCOPY . /srv\nRUN echo {mark} $MARK > /made\n"));
        let image = ImageName::new(engine, "shared");
        let project = scene.project();
        let project = project.to_str().expect("a path in UTF-8");
        let docker = || {
            let output = engine.buildx(&[
                "build",
                "--progress",
                "plain",
                "--build-arg",
                "MARK=1",
                "-t",
                image.as_str(),
                project,
            ]);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8_lossy(&output.stderr).into_owned()
        };
        let pbuild = || {
            let outcome = scene
                .pbuild()
                .args(["build", "--progress", "plain", "--build-arg", "MARK=1", "-t", image.as_str(), "."])
                .run();
            outcome.expect_code(0);
            outcome.stderr()
        };
        let second = if first == "docker" {
            docker();
            pbuild()
        } else {
            pbuild();
            docker()
        };
        for step in ["COPY . /srv", "RUN echo"] {
            let line =
                second.lines().find(|line| line.contains(step)).unwrap_or_else(|| panic!("no {step}:\n{second}"));
            let number = line.split(' ').next().expect("a step's number");
            assert!(second.contains(&format!("{number} CACHED")), "{step} is cached after {first} built it:\n{second}");
        }
    }
}

fn flags_mean_what_docker_means(engine: &Engine) {
    let scene = Scene::on(engine);
    let token = scene.oracle().token("TOKEN");
    scene.write(
        "sub/Other.Dockerfile",
        "FROM busybox AS first\nARG WHO=nobody\nRUN echo $WHO > /who; grep index /etc/hosts > /hosts; ls /sys/class/net > /nets\n\
         FROM first\nRUN exit 9\n",
    );
    let image = ImageName::new(engine, "flags");
    let second = ImageName::new(engine, "flags-second");
    let outcome = scene
        .pbuild()
        .args([
            "build",
            "-f",
            "sub/Other.Dockerfile",
            "--target",
            "first",
            "--build-arg",
            "WHO=me",
            "--label",
            "a.b=c d",
        ])
        .args(["--add-host", "index:10.9.8.7", "--network", "none", "--iidfile", "id.txt", "-q"])
        .args(["-t", image.as_str(), "-t", second.as_str(), "--secret", "id=TOKEN,env=OTHER", "."])
        .env("OTHER", token.text())
        .run();
    outcome.expect_code(0);
    let id = std::fs::read_to_string(scene.project().join("id.txt")).expect("the file of --iidfile");
    assert!(id.starts_with("sha256:") && outcome.stdout().trim() == id.trim(), "-q prints the ID: {outcome:?}");
    assert!(second.exists());
    assert_eq!(image.run(&["cat", "/who"]), "me\n");
    assert!(image.run(&["cat", "/hosts"]).contains("10.9.8.7"));
    assert_eq!(image.run(&["cat", "/nets"]), "lo\n");
    let told = image.told_by_the_engine();
    assert!(String::from_utf8_lossy(&told).contains("\"a.b\": \"c d\""));
}

/// Only newer engines support heredocs.
#[test]
fn heredoc_steps_see_the_secrets_f1() {
    for flavour in [Flavour::Modern, Flavour::Containerd] {
        let engine = Engine::get(flavour);
        let scene = Scene::on(&engine);
        let token = scene.oracle().token("TOKEN");
        scene.write(
            "Dockerfile",
            "FROM busybox\nRUN <<ONE cat > /one && printf %s \"$TOKEN\" | sha256sum > /two\nfirst\nONE\n\
             RUN <<TWO\nset -eu\nprintf %s \"$TOKEN\" | sha256sum > /three\nTWO\n",
        );
        let image = ImageName::new(&engine, "heredoc");
        scene
            .pbuild()
            .args(["build", "--no-cache", "-t", image.as_str(), "--secret", "id=TOKEN", "."])
            .env("TOKEN", token.text())
            .run()
            .expect_code(0);
        let digest = ptest::sha256(token.value()).trim_start_matches("sha256:").to_owned();
        assert!(image.run(&["cat", "/two"]).starts_with(&digest));
        assert!(image.run(&["cat", "/three"]).starts_with(&digest));
    }
}

/// The Dockerfile comes from standard input, and is never written to disk (B25).
#[test]
fn a_dockerfile_from_standard_input_is_built() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    scene.write("file.txt", "from the context\n");
    let image = ImageName::new(&engine, "stdin");
    scene
        .pbuild()
        .args(["build", "-t", image.as_str(), "-f", "-", "."])
        .stdin("FROM busybox\nCOPY file.txt /\n")
        .run()
        .expect_code(0);
    assert_eq!(image.run(&["cat", "/file.txt"]), "from the context\n");
}

/// The manifest sets the names, the tag and the stage, and only matching steps get the token.
#[test]
fn the_manifest_says_what_to_build_and_who_gets_what() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let (token, key) = (scene.oracle().token("TOKEN"), scene.oracle().token("KEY"));
    let image = ImageName::new(&engine, "manifest");
    scene.write(
        "app.toml",
        format!(
            "image = \"{}\"\n[build]\ntarget = \"first\"\nargs = {{ WHO = \"manifest\" }}\n[env]\nMODE = \"public-mode\"\n\
             [secrets]\nTOKEN = {{ scope = \"build\", steps = [\"fetch *\"] }}\nKEY = {{}}\nLATER = {{ scope = \"run\" }}\n",
            image.as_str()
        ),
    );
    scene.write(
        "Dockerfile",
        "FROM busybox AS first\nARG WHO\n\
         RUN printf '#!/bin/sh\\ntest -n \"$TOKEN\"' > /bin/fetch && chmod +x /bin/fetch\n\
         RUN fetch it\nRUN test -z \"$TOKEN\" && test -n \"$KEY\" && echo $MODE $WHO > /seen\nFROM first\nRUN exit 9\n",
    );
    scene.trust();
    scene.pbuild().args(["build", "."]).env("TOKEN", token.text()).env("KEY", key.text()).run().expect_code(0);
    assert_eq!(image.run(&["cat", "/seen"]), "public-mode manifest\n");
}

/// With only public configuration, every step has it, nothing needs to be proven, and no secret is requested.
#[test]
fn a_manifest_with_public_configuration_and_no_secret_builds() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let image = ImageName::new(&engine, "public");
    scene.write("app.toml", format!("image = \"{}\"\n[env]\nMODE = \"public-mode\"\n", image.as_str()));
    scene.write("Dockerfile", "FROM busybox\nRUN echo $MODE > /mode\n");
    scene.pbuild().args(["build", "."]).run().expect_code(0).expect_stderr("nothing to search for");
    assert_eq!(image.run(&["cat", "/mode"]), "public-mode\n");
}

/// Two builds of the same name run at the same time. Each searches the image that it built, and the name ends at a
/// clean image (B9, B10).
#[test]
fn two_builds_of_one_name_search_what_they_built_b9() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    let image = ImageName::new(&engine, "twice");
    scene.write("Clean", "FROM busybox\nRUN sleep 1; echo clean > /which\n");
    scene.write("Leaking", "FROM busybox\nRUN sleep 1; echo $TOKEN > /which\n");
    let start = |file: &str| {
        scene
            .pbuild()
            .args(["build", "--no-cache", "-f", file, "-t", image.as_str(), "--secret", "id=TOKEN", "."])
            .env("TOKEN", token.text())
            .spawn()
    };
    let (clean, leaking) = (start("Clean"), start("Leaking"));
    leaking.finish().expect_code(10);
    clean.finish().expect_code(0);
    assert_eq!(image.run(&["cat", "/which"]), "clean\n");
}
