//! `pbuild install`: docker's own commands build with pbuild, and all other commands of docker stay as they are.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use acceptance::{ImageName, Plugins};
use ptest::{Engine, Flavour};
use serde_json::Value;

/// Lists a folder: each path with the text of the file or the target of the link.
fn listing(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).expect("a folder") {
            let path = entry.expect("an entry").path();
            let metadata = fs::symlink_metadata(&path).expect("an entry");
            let text = if metadata.is_symlink() {
                format!("link to {}", fs::read_link(&path).expect("a link").display())
            } else if metadata.is_dir() {
                open.push(path.clone());
                "folder".to_owned()
            } else {
                fs::read_to_string(&path).expect("a text")
            };
            found.insert(path.display().to_string(), text);
        }
    }
    found
}

#[test]
fn what_install_does_uninstall_undoes_to_the_byte() {
    let engine = Engine::get(Flavour::Modern);
    let plugins = Plugins::new(&engine);
    let folder = plugins.folder();
    symlink("/nowhere/pbuild-of-old", folder.join("cli-plugins/docker-pbuild")).expect("a broken link");
    fs::write(folder.join("config.json"), "{\"unknown\":  [1],\n\t\"aliases\" : { }}").expect("a file");
    let before = listing(&folder);
    for _ in 0..2 {
        plugins.install(&["--buildx"]);
        let configuration: Value =
            serde_json::from_slice(&fs::read(folder.join("config.json")).expect("a file")).expect("JSON");
        assert_eq!(configuration["aliases"], serde_json::json!({"builder": "pbuild"}));
        let link = fs::read_link(folder.join("cli-plugins/docker-buildx")).expect("a link");
        assert_eq!(link, ptest::binaries().join("pbuild"));
    }
    // An upgrade of buildx replaces the link, and the next install finds the new program.
    let upgraded = fs::read_to_string(folder.join("pbuild/docker-buildx")).expect("a program") + "# newer\n";
    fs::rename(folder.join("pbuild/docker-buildx"), folder.join("cli-plugins/docker-buildx")).expect("a program");
    fs::write(folder.join("cli-plugins/docker-buildx"), &upgraded).expect("a program");
    plugins.install(&["--buildx"]);
    let version = plugins.docker(&["buildx", "version"]).run();
    version.expect_code(0).expect_stdout("github.com/docker/buildx").expect_stdout("through pbuild");
    let checked = plugins.with_path(plugins.scene.pbuild().args(["doctor", "--door"])).run();
    checked.expect_code(0).expect_stdout("through pbuild");

    plugins.scene.pbuild().arg("uninstall").run().expect_code(0);
    let mut expected = before;
    expected.insert(folder.join("cli-plugins/docker-buildx").display().to_string(), upgraded);
    assert_eq!(listing(&folder), expected);
    let checked = plugins.with_path(plugins.scene.pbuild().args(["doctor", "--door"])).run();
    checked.expect_code(1).expect_stdout("builds without pbuild");
    plugins.scene.pbuild().arg("uninstall").run().expect_code(0).expect_stderr("none is installed");
}

#[test]
fn docker_build_is_pbuild_and_every_other_command_of_the_builder_is_buildx() {
    let engine = Engine::get(Flavour::Modern);
    let plugins = Plugins::new(&engine);
    let token = plugins.scene.oracle().token("TOKEN");
    let image = ImageName::new(&engine, "alias");
    plugins.install(&[]);
    let build = |words: &[&str]| {
        let words = [words, &["-t", image.as_str(), "--secret", "id=TOKEN", "."]].concat();
        plugins.docker(&words).env("TOKEN", token.text()).run()
    };
    plugins.scene.write("Dockerfile", format!("FROM busybox\nRUN echo {} $TOKEN > /made\n", image.as_str()));
    for words in [&["build"][..], &["image", "build"], &["builder", "build"]] {
        build(words).expect_code(10).expect_stderr("the image would contain a secret");
        assert!(!image.exists());
    }
    plugins.scene.write("Dockerfile", format!("FROM busybox\nRUN echo {} ${{#TOKEN}} > /made\n", image.as_str()));
    build(&["build"]).expect_code(0);
    assert!(image.exists());
    // No record has this id. The engine is shared with other tests, so nothing may be pruned.
    let pruned = plugins.docker(&["builder", "prune", "--force", "--filter", "id=nothing"]).run();
    pruned.expect_code(0).expect_stdout("Total:");
    plugins.docker(&["pbuild", "--version"]).run().expect_code(0).expect_stdout("pbuild ");
    plugins.docker(&["prun", "--version"]).run().expect_code(0).expect_stdout("prun ");
}

/// Compose finds the plugin itself, and calls it without docker.
#[test]
fn compose_builds_through_the_door_with_the_secrets_of_its_file() {
    let engine = Engine::get(Flavour::Modern);
    let plugins = Plugins::new(&engine);
    let [token, key] = ["TOKEN", "KEY"].map(|name| plugins.scene.oracle().token(name));
    let [web, api] = ["compose-web", "compose-api"].map(|name| ImageName::new(&engine, name));
    plugins.install(&["--buildx"]);
    plugins.scene.write_secret("key.txt", key.value());
    plugins.scene.write(".dockerignore", "key.txt\n");
    let service = |name: &str, image: &ImageName<'_>, more: &str| {
        format!(
            "  {name}:\n    image: {}\n    network_mode: none\n    build: {{dockerfile: {name}.Dockerfile, context: .{more}}}\n",
            image.as_str()
        )
    };
    let more = ", secrets: [TOKEN, KEY], additional_contexts: {base: \"service:api\"}";
    let services = service("web", &web, more) + &service("api", &api, "");
    let secrets = "secrets:\n  TOKEN: {environment: TOKEN}\n  KEY: {file: ./key.txt}\n";
    plugins.scene.write("compose.yaml", format!("services:\n{services}{secrets}"));
    plugins.scene.write("api.Dockerfile", format!("FROM busybox\nRUN echo {} > /made\n", api.as_str()));
    let dockerfile = |shown: &str| {
        let step = format!("RUN --mount=type=secret,id=KEY echo {} ${{#TOKEN}} {shown} > /made", web.as_str());
        plugins.scene.write("web.Dockerfile", format!("FROM base\n{step}\n"));
    };
    let compose = |words: &[&str]| plugins.compose(words).env("TOKEN", token.text()).run();

    dockerfile("$(cat /run/secrets/KEY)");
    let refused = compose(&["build"]);
    assert_ne!(refused.code(), 0, "{}", refused.stderr());
    refused.expect_stderr("[web] the image would contain a secret").expect_stderr("KEY  in /made");
    assert!(!web.exists() && !api.exists());

    dockerfile("$(wc -c < /run/secrets/KEY)");
    compose(&["up", "--build", "--no-start"]).expect_code(0);
    let (token, key) = (token.text().len(), key.text().len());
    assert_eq!(web.run(&["cat", "/made"]), format!("{} {token} {key}\n", web.as_str()));
    assert!(api.exists());
    compose(&["down"]).expect_code(0);
}

/// `docker compose up --build` starts a service only if its image is clean.
#[test]
fn compose_starts_a_service_that_is_clean_and_no_other() {
    let engine = Engine::get(Flavour::Modern);
    let plugins = Plugins::new(&engine);
    let token = plugins.scene.oracle().token("TOKEN");
    let image = ImageName::new(&engine, "compose-up");
    let project = format!("pbuild-test-up-{}", std::process::id());
    plugins.install(&["--buildx"]);
    let page = format!("compose-{}", image.as_str());
    let service = format!(
        "  web:\n    image: {}\n    init: true\n    build: {{context: ., secrets: [TOKEN]}}\n    ports: [\"8000\"]\n",
        image.as_str()
    );
    let secrets = "secrets:\n  TOKEN: {environment: TOKEN}\n";
    plugins.scene.write("compose.yaml", format!("name: {project}\nservices:\n{service}{secrets}"));
    let dockerfile = |shown: &str| {
        let step = format!("RUN mkdir /www; echo {page} {shown} > /www/index.html");
        let serve = "CMD [\"httpd\", \"-f\", \"-p\", \"8000\", \"-h\", \"/www\"]";
        plugins.scene.write("Dockerfile", format!("FROM busybox\n{step}\n{serve}\n"));
    };
    let compose = |words: &[&str]| plugins.compose(words).env("TOKEN", token.text()).run();
    let filter = format!("label=com.docker.compose.project={project}");
    let containers =
        || String::from_utf8(engine.docker(&["ps", "--all", "--quiet", "--filter", &filter])).expect("ids");

    dockerfile("$TOKEN");
    let refused = compose(&["up", "--build", "--detach"]);
    assert_ne!(refused.code(), 0, "{}", refused.stderr());
    refused.expect_stderr("the image would contain a secret").expect_stderr("TOKEN  in /www/index.html");
    assert!(!image.exists());
    assert_eq!(containers(), "");

    dockerfile("${#TOKEN}");
    compose(&["up", "--build", "--detach"]).expect_code(0);
    assert_eq!(containers().lines().count(), 1);
    let answer = compose(&["exec", "-T", "web", "wget", "-q", "-O", "-", "http://127.0.0.1:8000/"]);
    answer.expect_code(0);
    assert_eq!(answer.stdout(), format!("{page} {}\n", token.text().len()));
    compose(&["down", "--timeout", "1"]).expect_code(0);
    assert_eq!(containers(), "");
}

/// The code of Docker's own actions calls `docker buildx build`.
#[test]
fn the_code_of_docker_s_actions_builds_through_the_door() {
    let engine = Engine::get(Flavour::Modern);
    let plugins = Plugins::new(&engine);
    let token = plugins.scene.oracle().token("TOKEN");
    let image = ImageName::new(&engine, "door-action");
    plugins.install(&["--buildx"]);
    let modules =
        std::env::var("PBUILD_TEST_NODE_MODULES").expect("PBUILD_TEST_NODE_MODULES is not set: run scripts/test");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("node/action.mjs").display().to_string();
    let act = |leak: &str, (input, secret): (&str, &str)| {
        plugins
            .scene
            .write("Dockerfile", format!("FROM busybox\nRUN echo {} ${{#TOKEN}} {leak}> /made\n", image.as_str()));
        let context = format!("context={}", plugins.scene.project().display());
        let tool = plugins.scene.tool("/usr/bin/env").args(["node", &script, &modules, &context]);
        let tool = tool.arg(format!("tags={}", image.as_str())).env(input, secret).env("TOKEN", token.text());
        let outcome = plugins.with_path(tool).run();
        outcome.expect_code(0);
        outcome.json()
    };
    let by_value = format!("TOKEN={}", token.text());
    let seen = act("$TOKEN ", ("INPUT_SECRET-ENVS", "TOKEN=TOKEN"));
    let line = seen["error"].as_str().expect("an error");
    for part in ["buildx failed with: ", "the image would contain a secret", "TOKEN  in /made", "(Dockerfile:2)"] {
        assert!(line.contains(part), "no {part:?} in {line:?}");
    }
    assert!(!image.exists());
    for secret in [("INPUT_SECRETS", by_value.as_str()), ("INPUT_SECRET-ENVS", "TOKEN=TOKEN")] {
        let seen = act("", secret);
        assert_eq!(seen["error"], Value::Null, "{seen}");
        let id = engine.docker(&["image", "inspect", "--format", "{{.Id}}", image.as_str()]);
        assert_eq!(seen["imageID"], String::from_utf8_lossy(&id).trim());
        assert_eq!(seen["digest"], seen["imageID"]);
    }
}
