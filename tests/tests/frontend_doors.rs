//! The frontend image with a Dockerfile and files that do not come from a folder, and with steps of every form.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use acceptance::{Docker, FRONTEND, GitServer, ImageName, Registry, WHOLE, on_every_engine};
use ptest::{Canary, Engine, Flavour, OwnEngine};
use serde_json::Value;

on_every_engine!(
    a_dockerfile_on_standard_input_is_built_and_searched,
    an_archive_on_standard_input_is_built_and_searched,
    a_repository_is_built_and_searched,
    steps_without_a_network_get_the_secrets,
    linked_copies_are_searched_each_by_itself,
    triggers_of_the_base_get_the_secrets,
    the_image_comes_from_a_registry_that_asks_who_one_is,
);

/// Makes a tar archive of these files.
fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        archive.append_data(&mut header, name, *bytes).expect("memory takes every byte");
    }
    archive.into_inner().expect("memory takes every byte")
}

/// Returns a Dockerfile with a syntax line that names our frontend image.
fn text(words: &str, rest: &str) -> String {
    format!("# syntax={FRONTEND} {words}\n{rest}")
}

fn a_dockerfile_on_standard_input_is_built_and_searched(engine: &Engine) {
    let docker = Docker::new(engine);
    let token = docker.scene.oracle().planted("TOKEN");
    let image = ImageName::new(engine, "piped");
    let mark = docker.mark("piped");
    docker.scene.write("file", "of the folder\n");
    let clean = text("TOKEN", &format!("FROM busybox\nRUN echo {mark} ${{#TOKEN}} > /made\n"));
    let leaking = text("TOKEN", &format!("FROM busybox\nRUN echo {mark} > /made\nRUN echo $TOKEN > /leaked\n"));
    // The Dockerfile comes alone, and then together with a folder as the context.
    for (context, file) in [("-", None), (".", Some("--file=-"))] {
        let arguments: Vec<&str> = ["-t", image.as_str()].into_iter().chain(file).collect();
        let build = |text: &str| docker.build_of(context, &arguments, &[("TOKEN", &token)], text.as_bytes());
        let said = build(&leaking).fails().says("TOKEN is in layer 3, /leaked");
        assert!(said.last_line().contains("(Dockerfile:4)"), "{}", said.last_line());
        assert!(!image.exists(), "{context}");
        let _ = build(&clean).passes().says("[pbuild] clean: TOKEN · 1 injected");
        assert_eq!(image.run(&["cat", "/made"]).trim(), format!("{mark} 32"));
        engine.docker(&["image", "rm", "--force", image.as_str()]);
    }
    let with_file = text("TOKEN", "FROM busybox\nCOPY file /file\n");
    let said = docker.build_of(".", &["-t", image.as_str(), "-f", "-"], &[("TOKEN", &token)], with_file.as_bytes());
    let _ = said.passes();
    assert_eq!(image.run(&["cat", "/file"]), "of the folder\n");
}

fn an_archive_on_standard_input_is_built_and_searched(engine: &Engine) {
    let docker = Docker::new(engine);
    let token = docker.scene.oracle().planted("TOKEN");
    let image = ImageName::new(engine, "archive");
    let mark = docker.mark("archive");
    let dockerfile = text("TOKEN", &format!("FROM busybox\nCOPY file /file\nRUN echo {mark} ${{#TOKEN}} > /made\n"));
    let build = |file: &[u8]| {
        let input = archive(&[("Dockerfile", dockerfile.as_bytes()), ("file", file)]);
        docker.build_of("-", &["-t", image.as_str()], &[("TOKEN", &token)], &input)
    };
    let said = build(token.value()).fails().says("TOKEN is in layer 2, /file");
    assert!(said.last_line().contains("(Dockerfile:3)"), "{}", said.last_line());
    assert!(!image.exists());
    let _ = build(b"of the archive\n").passes().says("[pbuild] clean: TOKEN · 1 injected");
    assert_eq!(image.run(&["cat", "/file", "/made"]), format!("of the archive\n{mark} 32\n"));
    // The manifest is only read from a folder of the client.
    let dockerfile = text("app.toml", "FROM busybox\n");
    let input = archive(&[("Dockerfile", dockerfile.as_bytes()), ("app.toml", b"[secrets]\nTOKEN = {}\n")]);
    let said = docker.build_of("-", &[], &[("TOKEN", &token)], &input).fails();
    let _ = said.says("app.toml, which is read from a folder of the client's");
}

fn a_repository_is_built_and_searched(engine: &Engine) {
    let docker = Docker::new(engine);
    let token = docker.scene.oracle().planted("TOKEN");
    let image = ImageName::new(engine, "repository");
    let mark = docker.mark("repository");
    let server = GitServer::start(engine);
    let dockerfile = |leak: &str| {
        text("TOKEN", &format!("FROM busybox\nCOPY file /file\nRUN echo {mark} ${{#TOKEN}} {leak}> /made\n"))
    };
    let build = || docker.build_of(&server.context(), &["-t", image.as_str()], &[("TOKEN", &token)], &[]);
    server.commit(&[("Dockerfile", &dockerfile("$TOKEN ")), ("file", "of the repository\n")]);
    let said = build().fails().says("TOKEN is in layer 3, /made");
    assert!(said.last_line().contains("(Dockerfile:4)"), "{}", said.last_line());
    assert!(!image.exists());
    server.commit(&[("Dockerfile", &dockerfile(""))]);
    let _ = build().passes().says("[pbuild] clean: TOKEN · 1 injected");
    assert_eq!(image.run(&["cat", "/file", "/made"]), format!("of the repository\n{mark} 32\n"));
    // With the build argument, the result is the same, and the manifest is only read from folders of the client.
    let argument = format!("BUILDKIT_SYNTAX={FRONTEND} TOKEN app.toml");
    let said = docker.build_of(&server.context(), &["--build-arg", &argument], &[("TOKEN", &token)], &[]).fails();
    let _ = said.says("app.toml, which is read from a folder of the client's");
}

fn steps_without_a_network_get_the_secrets(engine: &Engine) {
    let docker = Docker::new(engine);
    let token = docker.scene.oracle().planted("TOKEN");
    let image = ImageName::new(engine, "alone");
    let mark = docker.mark("alone");
    // The file has two lines of headings and one line for each interface, which is only `lo`.
    let step = "test $(wc -l < /proc/net/dev) = 3 && grep -q lo: /proc/net/dev";
    docker.dockerfile("TOKEN", &format!("FROM busybox\nRUN {step} && echo {mark} ${{#TOKEN}} > /made\n"));
    let build = |network: &[&str]| {
        let arguments = [&["-t", image.as_str()][..], network].concat();
        docker.build(&arguments, &[("TOKEN", &token)])
    };
    let _ = build(&[]).fails().says("exit code: 1");
    let _ = build(&["--network", "none"]).passes().says("[pbuild] clean: TOKEN · 1 injected");
    assert_eq!(image.run(&["cat", "/made"]).trim(), format!("{mark} 32"));
    docker.dockerfile("TOKEN", &format!("FROM busybox\nRUN {step} && echo {mark} $TOKEN > /leaked\n"));
    let _ = build(&["--network", "none"]).fails().says("TOKEN is in layer 2, /leaked");
}

/// A layer of `COPY --link` does not contain the layers below it, and a layer above it that covers its files does not
/// hide it.
fn linked_copies_are_searched_each_by_itself(engine: &Engine) {
    let docker = Docker::new(engine);
    let token = docker.scene.oracle().planted("TOKEN");
    let image = ImageName::new(engine, "linked");
    let mark = docker.mark("linked");
    docker.scene.write("first/file", "first\n");
    docker.scene.write("second/file", format!("{mark}\n"));
    let contexts = ["--build-context", "first=first", "--build-context", "second=second", "-t", image.as_str()];
    let lines = "COPY --link --from=first file /srv/one\nCOPY --link --from=second file /srv/two\n";
    docker.dockerfile("TOKEN", &format!("FROM busybox\n{lines}"));
    if engine.flavour() == Flavour::Old {
        // The frontend inside of Docker 20.10 supports neither, and says so in its own words.
        let _ = docker.build(&contexts, &[("TOKEN", &token)]).fails().never_says("[pbuild]");
        return;
    }
    let _ = docker.build(&contexts, &[("TOKEN", &token)]).passes().says("clean: TOKEN");
    assert_eq!(image.run(&["cat", "/srv/one", "/srv/two"]), format!("first\n{mark}\n"));
    engine.docker(&["image", "rm", "--force", image.as_str()]);
    docker.scene.write_secret("first/file", token.value());
    for lines in [lines, &lines.replace("/srv/two", "/srv/one")] {
        docker.dockerfile("TOKEN", &format!("FROM busybox\n{lines}"));
        let said = docker.build(&contexts, &[("TOKEN", &token)]).fails();
        assert!(said.last_line().contains("(Dockerfile:3)"), "{}", said.text());
        assert!(!image.exists());
    }
}

fn triggers_of_the_base_get_the_secrets(engine: &Engine) {
    let docker = Docker::new(engine);
    let token = docker.scene.oracle().planted("TOKEN");
    let [base, image] = ["onbuild", "triggered"].map(|name| ImageName::new(engine, name));
    let mark = docker.mark("trigger");
    let build_base = |leak: &str| {
        let line = format!("ONBUILD RUN echo {mark} ${{#TOKEN}} {leak}> /trigger\n");
        docker.scene.write("Dockerfile", format!("FROM busybox\n{line}"));
        docker.build(&["-t", base.as_str()], &[]).passes();
        docker.dockerfile("TOKEN", &format!("FROM {}\nRUN true\n", base.as_str()));
        docker.build(&["-t", image.as_str()], &[("TOKEN", &token)])
    };
    let said = build_base("$TOKEN ").fails().says("TOKEN is in layer 2, /trigger");
    assert!(said.last_line().contains("/trigger"), "{}", said.last_line());
    assert!(!image.exists());
    let _ = build_base("").passes().says("clean: TOKEN · 1 injected");
    assert_eq!(image.run(&["cat", "/trigger"]).trim(), format!("{mark} 32"));
}

/// The finding marks the line on which a here-document begins. All lines of the document belong to the step.
#[test]
fn here_documents_get_the_secrets_and_are_searched() {
    for flavour in [Flavour::Modern, Flavour::Containerd] {
        let engine = Engine::get(flavour);
        let docker = Docker::new(&engine);
        let token = docker.scene.oracle().planted("TOKEN");
        let image = ImageName::new(&engine, "heredoc");
        let mark = docker.mark("heredoc");
        let build = |dockerfile: &str| {
            docker.dockerfile("TOKEN", dockerfile);
            docker.build(&["-t", image.as_str()], &[("TOKEN", &token)])
        };
        let run = format!("FROM busybox\nRUN <<END\necho {mark}\necho LEAK > /made\nEND\n");
        let script = "COPY <<END /script\n#!/bin/sh\necho $TOKEN\nEND\nRUN sh /script > /output\n";
        let said = build(&run.replace("LEAK", "$TOKEN")).fails().says("TOKEN is in layer 2, /made");
        assert!(said.last_line().contains("(Dockerfile:3)"), "{}", said.last_line());
        // The step that writes the file does not use the variable, but the step that runs the file does.
        let said = build(&format!("{run}{}", script.replace("$TOKEN", "\\$TOKEN"))).fails();
        let said = said.says("TOKEN is in layer 4, /output");
        assert!(said.last_line().contains("(Dockerfile:11)"), "{}", said.last_line());
        assert!(!image.exists(), "{flavour:?}");
        let clean = format!("{}{}", run.replace("LEAK", "${#TOKEN}"), script.replace("$TOKEN", "\\${#TOKEN}"));
        let _ = build(&clean).passes().says("clean: TOKEN · 1 injected").never_says("other stage");
        assert_eq!(image.run(&["cat", "/made", "/output"]), "32\n32\n");
    }
}

/// A folder, an image and a repository are named contexts.
#[test]
fn further_contexts_are_parts_of_the_image() {
    let engine = Engine::get(Flavour::Modern);
    let docker = Docker::new(&engine);
    let token = docker.scene.oracle().planted("TOKEN");
    let image = ImageName::new(&engine, "further");
    let server = GitServer::start(&engine);
    let mark = docker.mark("further");
    server.commit(&[("file", &format!("{mark}\n"))]);
    docker.scene.write("folder/file", "of the folder\n");
    docker.dockerfile(
        "TOKEN",
        "FROM base\nCOPY --from=folder file /folder\nCOPY --from=repository file /repository\nRUN test -n \"$TOKEN\"\n",
    );
    let repository = format!("repository={}", server.context());
    let build = || {
        let contexts = ["--build-context=base=docker-image://busybox", "--build-context=folder=folder"];
        let more = ["--build-context", &repository, "-t", image.as_str()];
        docker.build(&[&contexts[..], &more].concat(), &[("TOKEN", &token)])
    };
    let _ = build().passes().says("clean: TOKEN");
    assert_eq!(image.run(&["cat", "/folder", "/repository"]), format!("of the folder\n{mark}\n"));
    engine.docker(&["image", "rm", "--force", image.as_str()]);
    leak_from_the_folder(&docker, &token);
    let said = build().fails().says("TOKEN is in layer 2, /folder");
    assert!(said.last_line().contains("(Dockerfile:3)"), "{}", said.last_line());
    assert!(!image.exists());
}

fn leak_from_the_folder(docker: &Docker<'_>, token: &Canary) {
    fs::remove_file(docker.scene.project().join("folder/file")).expect("a file");
    docker.scene.write_secret("folder/file", token.value());
}

/// Only a registry with a password has the frontend image, and docker's own login lets the builder pull it.
fn the_image_comes_from_a_registry_that_asks_who_one_is(engine: &Engine) {
    let docker = Docker::new(engine);
    let [token, password] = ["TOKEN", "PASSWORD"].map(|name| docker.scene.oracle().planted(name));
    let registry = Registry::with_tokens_inside(engine, "me", password.text());
    let name = format!("{}/team/frontend:1", registry.inside());
    let image = ImageName::new(engine, "pulled");
    let mark = docker.mark("pulled");
    let build = |leak: &str| {
        let step = format!("RUN echo {mark} ${{#TOKEN}} {leak}> /made");
        docker.scene.write("Dockerfile", format!("# syntax={name} TOKEN\nFROM busybox\n{step}\n"));
        docker.build(&["-t", image.as_str()], &[("TOKEN", &token)])
    };
    let nobody = build("").fails();
    let refused = ["401 Unauthorized", "authorization failed"].iter().any(|words| nobody.last_line().contains(words));
    assert!(refused, "{}", nobody.text());
    assert!(!image.exists());

    // The login is stored in docker's own file, which contains the password on purpose.
    docker.scene.allow(docker.scene.home().join(".docker"));
    let login = ["login", "--username", "me", "--password-stdin", &registry.inside()];
    let _ = docker.run_with("PBUILD_TEST_DOCKER", &login, &[], password.value()).passes();
    engine.docker(&["tag", FRONTEND, &name]);
    let _ = docker.run("PBUILD_TEST_DOCKER", &["push", "--quiet", &name], &[]).passes();
    engine.docker(&["image", "rm", &name]);
    assert!(registry.digest("team/frontend", "1").is_some());

    let said = build("$TOKEN ").fails().says("TOKEN is in layer 2, /made");
    assert!(said.last_line().contains("(Dockerfile:3)"), "{}", said.last_line());
    assert!(!image.exists());
    let _ = build("").passes().says("[pbuild] clean: TOKEN · 1 injected");
    assert_eq!(image.run(&["cat", "/made"]).trim(), format!("{mark} 32"));
}

/// On a builder whose layers are not overlays, the frontend image can prove nothing, so it makes no image. pbuild
/// itself searches the whole image on such a builder.
#[test]
fn a_builder_without_overlays_makes_nothing() {
    let modern = Engine::get(Flavour::Modern);
    let own = OwnEngine::without_overlay(&modern);
    own.load(&modern, FRONTEND);
    let engine = own.engine();
    let docker = Docker::new(engine);
    let token = docker.scene.oracle().token("TOKEN");
    let image = ImageName::new(engine, "folders");
    let text = "FROM busybox\nRUN echo ${#TOKEN} > /made\n";
    docker.dockerfile("TOKEN", text);
    let said = docker.build(&["-t", image.as_str()], &[("TOKEN", &token)]).fails();
    assert!(said.last_line().contains("pbuild: "), "{}", said.text());
    assert!(!image.exists());
    docker.scene.write("Dockerfile", text);
    acceptance::build(&docker.scene, &image, &token, &[]).run().expect_code(0).expect_stderr(WHOLE);
    assert!(image.exists());
}

/// A job of Docker's own action shows the image's ID, or one line about the leak.
#[test]
fn the_code_of_docker_s_actions_builds_with_it() {
    let engine = Engine::get(Flavour::Modern);
    let docker = Docker::new(&engine);
    let token = docker.scene.oracle().planted("TOKEN");
    let image = ImageName::new(&engine, "action");
    let mark = docker.mark("action");
    let modules =
        std::env::var("PBUILD_TEST_NODE_MODULES").expect("PBUILD_TEST_NODE_MODULES is not set: run scripts/test");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("node/action.mjs");
    // The action calls `docker buildx`.
    let docker_program = docker.scene.home().join("bin/docker");
    fs::create_dir_all(docker_program.parent().expect("a folder")).expect("a folder");
    let [client, buildx] = ["PBUILD_TEST_DOCKER", "PBUILD_TEST_BUILDX"].map(|name| std::env::var(name).expect(name));
    let lines =
        format!("#!/bin/sh\ncase $1 in buildx) shift && exec {buildx} \"$@\" ;; *) exec {client} \"$@\" ;; esac\n");
    fs::write(&docker_program, lines).expect("a program");
    fs::set_permissions(&docker_program, fs::Permissions::from_mode(0o755)).expect("ours");
    let folders = format!("{}:{}", docker.scene.home().join("bin").display(), std::env::var("PATH").expect("PATH"));
    let act = |(input, secret): (&str, &str), leak: &str| {
        docker.scene.write("Dockerfile", format!("FROM busybox\nRUN echo {mark} ${{#TOKEN}} {leak}> /made\n"));
        let context = docker.scene.project().display().to_string();
        let inputs = [
            format!("context={context}"),
            format!("tags={}", image.as_str()),
            format!("build-args=BUILDKIT_SYNTAX={FRONTEND} TOKEN require"),
        ];
        let tool = docker.scene.tool("/usr/bin/env").args(["node", &script.display().to_string(), &modules]);
        let tool = tool.args(inputs).env(input, secret).env("PATH", &folders).env("TOKEN", token.text());
        let engines = std::env::var_os("PBUILD_ENGINES");
        let tool = engines.into_iter().fold(tool, |tool, engines| tool.env("PBUILD_ENGINES", engines));
        let outcome = tool.run();
        outcome.expect_code(0);
        outcome.json()
    };
    let by_value = format!("TOKEN={}", token.text());
    let by_name = ("INPUT_SECRET-ENVS", "TOKEN=TOKEN");
    let seen = act(by_name, "$TOKEN ");
    let line = seen["error"].as_str().expect("an error");
    for part in ["buildx failed with: ", "no image was made", "TOKEN: /made", "(Dockerfile:2)"] {
        assert!(line.contains(part), "no {part:?} in {line:?}");
    }
    assert!(!image.exists());
    for secret in [("INPUT_SECRETS", by_value.as_str()), by_name] {
        let seen = act(secret, "");
        assert_eq!(seen["error"], Value::Null, "{seen}");
        assert!(seen["text"].as_str().expect("what docker said").contains("[pbuild] clean: TOKEN"), "{seen}");
        let id = engine.docker(&["image", "inspect", "--format", "{{.Id}}", image.as_str()]);
        assert_eq!(seen["imageID"], String::from_utf8_lossy(&id).trim());
    }
    let seen = act(("INPUT_SECRET-ENVS", "TOKEN=NOT_SET_ANYWHERE"), "");
    assert!(seen["error"].as_str().expect("an error").contains("secret TOKEN is empty"), "{seen}");
}
