//! The frontend image with docker's own commands: it needs one line in the Dockerfile, or a build argument, and no
//! client of ours.
//!
//! `scripts/test` builds the image from the workspace and loads it into every engine.

use std::fs;

use acceptance::{Docker, FRONTEND as IMAGE, ImageName, Registry, Said, on_every_engine};
use ptest::{Canary, Engine, Flavour};
use serde_json::Value;

on_every_engine!(
    the_image_is_that_of_plain_docker,
    a_leak_ends_the_build_with_the_line_and_without_an_image,
    the_last_line_says_everything,
    a_value_that_was_not_brought_is_unset_told_and_with_require_an_error,
    a_leak_under_the_first_value_does_not_pass_under_the_second,
    chosen_from_outside_it_injects_too,
    pbuild_itself_injects_once_and_searches_once,
    a_build_argument_that_nobody_reads_is_searched_as_well,
    a_build_without_a_step_is_searched,
    a_leak_in_another_stage_is_told_and_with_a_word_an_error,
    files_of_the_dockerfile_s_own_mounts_are_searched_for,
    the_manifest_of_the_context_says_who_gets_what,
    a_base_is_searched_once_for_a_value_and_anew_for_another,
);

/// Returns the engine's description of an image, without the parts that differ between builds.
fn inspected(image: &ImageName<'_>) -> Value {
    let told = String::from_utf8(image.told_by_the_engine()).expect("JSON and a table");
    let (json, history) = told.split_once("\n]\n").expect("a list, then the history");
    let inspected: Value = serde_json::from_str(&format!("{json}\n]")).expect("the engine's JSON");
    let mut of_image = inspected[0].clone();
    let kept = ["Config", "Architecture", "Os"].map(|name| (name.to_owned(), of_image[name].take()));
    let layers = of_image["RootFS"]["Layers"].as_array().map_or(0, Vec::len);
    // The image's ID and the time are removed, because the words for the time vary: `2 seconds ago`, `Less than a
    // second ago`.
    let rest =
        |line: &str| line.split_once(" ago ").map(|(_, rest)| rest.split_whitespace().collect::<Vec<_>>().join(" "));
    let history: Vec<Option<String>> = history.lines().skip(1).map(rest).collect();
    assert!(history.iter().any(Option::is_some), "the history tells times");
    serde_json::json!({ "image": serde_json::Map::from_iter(kept), "layers": layers, "history": history })
}

fn the_image_is_that_of_plain_docker(engine: &Engine) {
    let docker = Docker::new(engine);
    let token = docker.scene.oracle().token("TOKEN");
    let mark = docker.mark("same");
    // The frontend inside of Docker 20.10 does not support here-documents.
    let lines = match engine.flavour() {
        Flavour::Old => "RUN echo of several lines > here; test -f a.txt",
        Flavour::Modern | Flavour::Containerd => "RUN <<EOF\necho of several lines > here\ntest -f a.txt\nEOF",
    };
    let text = format!(
        "FROM busybox\nARG WHO=me\nENV MARK={mark}\nLABEL of=$WHO\nWORKDIR /srv\nCOPY a.txt .\n\
         {lines}\nRUN [\"touch\", \"/srv/exec\"]\n\
         USER 1000\nRUN echo ${{WHO}} > /tmp/who\nHEALTHCHECK CMD true\nENTRYPOINT [\"sh\"]\n"
    );
    docker.scene.write("a.txt", "a\n");
    let [theirs, ours] = ["theirs", "ours"].map(|name| ImageName::new(engine, name));
    docker.scene.write("Dockerfile", &text);
    docker.build(&["-t", theirs.as_str(), "--build-arg", "WHO=you"], &[]).passes();
    docker.dockerfile("TOKEN", &text);
    let said = docker.build(&["-t", ours.as_str(), "--build-arg", "WHO=you"], &[("TOKEN", &token)]).passes();
    let said = said.says("[pbuild] clean: TOKEN · 1 injected · searched").says("the base image");
    assert!(!said.text().contains("warning"), "{}", said.text());
    assert_eq!(inspected(&theirs), inspected(&ours));
    docker.scene.oracle().check_bytes("the engine's words", &ours.told_by_the_engine());
}

fn a_leak_ends_the_build_with_the_line_and_without_an_image(engine: &Engine) {
    let docker = Docker::new(engine);
    let token = docker.scene.oracle().planted("TOKEN");
    let image = ImageName::new(engine, "leak");
    let mark = docker.mark("leak");
    docker.dockerfile(
        "TOKEN",
        &format!("FROM busybox\nRUN echo {mark} > /a\nRUN mkdir /etc/app && \\\n    echo \"key=$TOKEN\" > /etc/app/key\nRUN rm /etc/app/key\n"),
    );
    let said = docker.build(&["-t", image.as_str()], &[("TOKEN", &token)]).fails();
    let said = said.says("TOKEN is in layer 3, /etc/app/key, byte 4").says("deleted in layer 4").says("(Dockerfile:4)");
    if engine.flavour() != Flavour::Old {
        let _ = said.says("4 | >>> RUN mkdir /etc/app && \\").says("5 | >>>     echo \"key=$TOKEN\" > /etc/app/key");
    }
    assert!(!image.exists(), "the image has its name");
    // The result was not exported in any other way.
    let file = docker.scene.project().join("out.tar");
    docker.build(&["-o", "type=tar,dest=out.tar"], &[("TOKEN", &token)]).fails();
    assert!(!fs::metadata(&file).is_ok_and(|file| file.len() > 0), "there is an export");
}

fn the_last_line_says_everything(engine: &Engine) {
    let docker = Docker::new(engine);
    let token = docker.scene.oracle().planted("TOKEN");
    let mark = docker.mark("line");
    let text = format!("FROM busybox\nRUN echo {mark} > /$TOKEN; for n in 1 2 3; do echo $TOKEN > /in-$n; done\n");
    docker.dockerfile("TOKEN", &text);
    let said = docker.build(&[], &[("TOKEN", &token)]).fails();
    let line = said.last_line();
    for part in ["pbuild: no image was made", "TOKEN", "(Dockerfile:3)", "and 3 places more", "; "] {
        assert!(line.contains(part), "no {part:?} in {line:?}");
    }
    let _ = said.says("***TOKEN***");
}

fn a_value_that_was_not_brought_is_unset_told_and_with_require_an_error(engine: &Engine) {
    let docker = Docker::new(engine);
    let token = docker.scene.oracle().token("TOKEN");
    let text =
        format!("FROM busybox\nRUN echo {} && test -z \"${{KEY+set}}\" && test -n \"$TOKEN\"\n", docker.mark("unset"));
    docker.dockerfile("TOKEN,KEY", &text);
    let _ = docker.build(&[], &[("TOKEN", &token)]).passes().says("not brought, so unset and not searched for: KEY");
    docker.dockerfile("TOKEN,KEY require", &text);
    let said = docker.build(&[], &[("TOKEN", &token)]).fails();
    assert!(said.last_line().contains("secret KEY was not brought"), "{}", said.last_line());
    docker.dockerfile("TOKEN,KEY requre", &text);
    let _ = docker.build(&[], &[("TOKEN", &token)]).fails().says("did you mean `require`?");
    // buildx sends an empty value for a variable that is not set. The old engine reads the empty value as a missing
    // one.
    docker.dockerfile("TOKEN require", &text);
    let words = ["build", "--progress", "plain", "--secret=id=TOKEN,env=NOT_SET_ANYWHERE", "."];
    let said = docker.run("PBUILD_TEST_BUILDX", &words, &[]).fails();
    let _ = said.says(if engine.flavour() == Flavour::Old { "TOKEN was not brought" } else { "secret TOKEN is empty" });
    // A build without any secret prints that nothing was searched.
    docker.dockerfile("", "FROM busybox\nRUN true\n");
    let _ = docker.build(&[], &[]).passes().says("so nothing was searched");
}

fn a_leak_under_the_first_value_does_not_pass_under_the_second(engine: &Engine) {
    for words in ["TOKEN", "TOKEN no-rebuild"] {
        let docker = Docker::new(engine);
        let [first, second] = ["FIRST", "SECOND"].map(|name| docker.scene.oracle().planted(name));
        let image = ImageName::new(engine, "rotated");
        let mark = docker.mark(&words.replace(' ', "-"));
        docker.dockerfile(words, &format!("FROM busybox\nRUN echo {mark} $TOKEN > /leaked\nRUN true\n"));
        for value in [&first, &first, &second] {
            let said = docker.build(&["-t", image.as_str()], &[("TOKEN", value)]).fails();
            let _ = said.says("TOKEN is in layer 2, /leaked");
        }
        assert!(!image.exists());
        // The mended step passes, and passes again in a second build.
        docker.dockerfile(words, &format!("FROM busybox\nRUN echo {mark} ${{#TOKEN}} > /leaked\nRUN true\n"));
        for _ in 0..2 {
            docker.build(&["-t", image.as_str()], &[("TOKEN", &second)]).passes();
        }
        assert_eq!(image.run(&["cat", "/leaked"]).trim(), format!("{mark} 32"));
    }
}

fn chosen_from_outside_it_injects_too(engine: &Engine) {
    let docker = Docker::new(engine);
    let token = docker.scene.oracle().token("TOKEN");
    let image = ImageName::new(engine, "outside");
    let argument = format!("BUILDKIT_SYNTAX={IMAGE} TOKEN require");
    let mark = docker.mark("outside");
    let text = format!("FROM busybox\nRUN echo {mark} ${{#TOKEN}} > /length\n");
    // The Dockerfile may name our frontend image itself. The inner one then passes the build on.
    for own in ["", &format!("# syntax={IMAGE} OTHER require\n")] {
        docker.scene.write("Dockerfile", format!("{own}{text}"));
        let said = docker.build(&["--build-arg", &argument, "-t", image.as_str()], &[("TOKEN", &token)]).passes();
        let said = said.says("[pbuild] clean: TOKEN · 1 injected");
        assert_eq!(said.text().matches("[pbuild]").count(), 1, "{}", said.text());
        assert_eq!(image.run(&["cat", "/length"]).trim(), format!("{mark} 32"));
    }
}

/// Our own client builds a Dockerfile that names the frontend image.
fn pbuild_itself_injects_once_and_searches_once(engine: &Engine) {
    let docker = Docker::new(engine);
    let token = docker.scene.oracle().token("TOKEN");
    let image = ImageName::new(engine, "client");
    let mark = docker.mark("client");
    docker.dockerfile("OTHER require", &format!("FROM busybox\nRUN echo {mark} ${{#TOKEN}} > /length\n"));
    let build = |arguments: &[&str]| {
        let tool = docker.scene.pbuild().args(["build", "-t", image.as_str(), "--secret", "id=TOKEN"]).args(arguments);
        tool.arg(".").env("TOKEN", token.text()).run()
    };
    build(&[]).expect_code(2).expect_stderr("--allow-frontend");
    let outcome = build(&["--allow-frontend", IMAGE]);
    outcome.expect_code(0).expect_stderr("clean");
    assert!(!outcome.stderr().contains("[pbuild]"), "{outcome:?}");
    assert_eq!(image.run(&["cat", "/length"]).trim(), format!("{mark} 32"));
}

fn a_build_argument_that_nobody_reads_is_searched_as_well(engine: &Engine) {
    let docker = Docker::new(engine);
    let token = docker.scene.oracle().planted("TOKEN");
    docker.dockerfile("TOKEN", "FROM busybox\nRUN true\n");
    let argument = format!("UNUSED={}", token.text());
    let said = docker.build(&["--build-arg", &argument], &[("TOKEN", &token)]).fails();
    let _ = said.says("build-options, /build-arg:UNUSED");
    let label = format!("who={}", token.text());
    let _ = docker.build(&["--label", &label], &[("TOKEN", &token)]).fails().says("/config/Labels/who");
}

fn a_build_without_a_step_is_searched(engine: &Engine) {
    let docker = Docker::new(engine);
    let token = docker.scene.oracle().planted("TOKEN");
    docker.dockerfile("TOKEN", "FROM scratch\nLABEL a=b\n");
    let _ = docker.build(&["-o", "type=cacheonly"], &[("TOKEN", &token)]).passes().says("clean: TOKEN");
    docker.scene.write_secret("key", token.value());
    docker.dockerfile("TOKEN", "FROM scratch\nCOPY key /key\n");
    let said = docker.build(&["-o", "type=cacheonly"], &[("TOKEN", &token)]).fails();
    let _ = said.says("TOKEN is in layer 1, /key").says("(Dockerfile:3)");
}

fn a_leak_in_another_stage_is_told_and_with_a_word_an_error(engine: &Engine) {
    let docker = Docker::new(engine);
    let token = docker.scene.oracle().planted("TOKEN");
    let image = ImageName::new(engine, "stages");
    let text = format!(
        "FROM busybox AS tools\nRUN echo {} $TOKEN > /kept; echo made > /made\n\
         FROM busybox\nCOPY --from=tools /made /made\n",
        docker.mark("stages")
    );
    docker.dockerfile("TOKEN", &text);
    let said = docker.build(&["-t", image.as_str()], &[("TOKEN", &token)]).passes().says("clean: TOKEN");
    let _ = said.says("a stage that is no part of the image holds a secret").says("--cache-to").says("(Dockerfile:3)");
    assert!(image.exists());
    docker.dockerfile("TOKEN stages=all", &text);
    let said = docker.build(&[], &[("TOKEN", &token)]).fails().says("a stage of the build would keep a secret");
    assert!(said.last_line().contains("/kept") && said.last_line().contains("(Dockerfile:3)"), "{}", said.last_line());
    docker.dockerfile("TOKEN stages=all", &text.replace("$TOKEN", "${#TOKEN}"));
    let _ = docker.build(&[], &[("TOKEN", &token)]).passes().says("1 other stage");
}

fn files_of_the_dockerfile_s_own_mounts_are_searched_for(engine: &Engine) {
    let docker = Docker::new(engine);
    let token = docker.scene.oracle().planted("netrc");
    let mark = docker.mark("own");
    docker.scene.write_secret("netrc", token.value());
    let build = |docker: &Docker<'_>| {
        let words = ["build", "--progress", "plain", "--secret=id=netrc,src=netrc", "."];
        docker.run("PBUILD_TEST_BUILDX", &words, &[])
    };
    docker.dockerfile(
        "",
        &format!("FROM busybox\nRUN --mount=type=secret,id=netrc echo {mark} && test -s /run/secrets/netrc\n"),
    );
    let _ = build(&docker).passes().says("[pbuild] clean: netrc · 0 injected");
    docker.dockerfile(
        "",
        &format!("FROM busybox\nRUN --mount=type=secret,id=netrc echo {mark} && cp /run/secrets/netrc /kept\n"),
    );
    let _ = build(&docker).fails().says("netrc is in layer 2, /kept");
}

fn the_manifest_of_the_context_says_who_gets_what(engine: &Engine) {
    let docker = Docker::new(engine);
    let [npm, key] = ["NPM_TOKEN", "APP_KEY"].map(|name| docker.scene.oracle().token(name));
    let secrets = [("NPM_TOKEN", &npm), ("APP_KEY", &key)];
    let manifest = "[env]\nAPP_ENV = \"production\"\n[secrets]\n\
                    NPM_TOKEN = { scope = \"build\", steps = [\"echo npm*\"] }\nAPP_KEY = { scope = \"run\" }\n";
    docker.scene.write("app.toml", manifest);
    let text = format!(
        "FROM busybox\nRUN echo npm {} && test -n \"$NPM_TOKEN\" && test -z \"$APP_KEY\"\n\
         RUN test -z \"$NPM_TOKEN\" && test \"$APP_ENV\" = production\n",
        docker.mark("manifest")
    );
    docker.dockerfile("app.toml", &text);
    let _ = docker.build(&[], &secrets).passes().says("clean: NPM_TOKEN, APP_KEY · 1 injected");
    docker.scene.write("app.toml", manifest.replace("echo npm", "yarn"));
    let _ = docker.build(&[], &secrets).fails().says("no step of this build matches `yarn*`");
    docker.scene.write("app.toml", manifest.replace("scope", "scpoe"));
    let _ = docker.build(&[], &secrets).fails().says("app.toml:4:15: unknown key `scpoe`");
    fs::remove_file(docker.scene.project().join("app.toml")).expect("the manifest");
    let _ = docker.build(&[], &secrets).fails().says("the syntax line says app.toml, and the context has none");
}

/// A key that builders share makes the steps depend on the value, and a key that could be guessed is refused.
fn a_base_is_searched_once_for_a_value_and_anew_for_another(engine: &Engine) {
    let docker = Docker::new(engine);
    let [elsewhere, within] = [docker.scene.oracle().token("ELSEWHERE"), docker.scene.oracle().planted("WITHIN")];
    let base = ImageName::new(engine, "base");
    docker.scene.write("value", within.text());
    docker
        .scene
        .write("Dockerfile", format!("FROM busybox\nRUN echo {}\nCOPY value /etc/value\n", docker.mark("base")));
    docker.build(&["-t", base.as_str()], &[]).passes();
    fs::remove_file(docker.scene.project().join("value")).expect("a file");
    let build = |number: usize, value: &Canary| {
        docker.dockerfile("TOKEN", &format!("FROM {}\nRUN echo {number} {}\n", base.as_str(), docker.mark("on-it")));
        docker.build(&[], &[("TOKEN", value)])
    };
    let _ = build(0, &elsewhere).passes().says("searched 1 step, the base image · ");
    // While builds of other tests use the builder's folder, BuildKit makes another folder, so several builds are
    // tried.
    let known = "searched 1 step · the base image was clean before · ";
    assert!((1..9).any(|number| build(number, &elsewhere).passes().text().contains(known)), "no base is remembered");
    let _ = build(10, &within).fails().says("TOKEN is in layer").says("/etc/value");
}

#[test]
fn the_client_s_key_binds_the_steps() {
    let engine = Engine::get(Flavour::Modern);
    let docker = Docker::new(&engine);
    let token = docker.scene.oracle().token("TOKEN");
    let key = docker.scene.oracle().register("KEY", "0a1b".repeat(16));
    let other = docker.scene.oracle().register("OTHER_KEY", "2c3d".repeat(16));
    docker.dockerfile("TOKEN", &format!("FROM busybox\nRUN echo {} > /a\n", docker.mark("key")));
    let ran = |key: Option<&Canary>| {
        let mut secrets = vec![("TOKEN", &token)];
        secrets.extend(key.map(|key| ("PBUILD_CACHE_KEY", key)));
        let said = docker.build(&[], &secrets).passes().says("clean: TOKEN ·");
        let text = said.text();
        let step = text.lines().find(|line| line.contains("RUN echo")).expect("the step");
        let number = step.split(' ').next().expect("a number").to_owned();
        !text.contains(&format!("{number} CACHED"))
    };
    assert_eq!(
        [None, None, Some(&key), Some(&key), Some(&other), None].map(ran),
        [true, false, true, false, true, false]
    );
    let guessable = docker.scene.oracle().register("GUESSABLE", "a key that everybody knows");
    let said = docker.build(&[], &[("TOKEN", &token), ("PBUILD_CACHE_KEY", &guessable)]).fails();
    let _ = said.says("PBUILD_CACHE_KEY is not a valid key");
    docker.dockerfile("TOKEN,PBUILD_CACHE_KEY", "FROM busybox\n");
    let _ = docker.build(&[], &[("TOKEN", &token)]).fails().says("no secret for steps");
}

/// Every builder pulls the image, BuildKit reads its labels, and its containers have no network.
#[test]
fn the_image_is_small_and_says_what_it_can_do() {
    let engine = Engine::get(Flavour::Modern);
    let told: Value = serde_json::from_slice(&engine.docker(&["image", "inspect", IMAGE])).expect("the engine's JSON");
    assert!(told[0]["Size"].as_u64().expect("a size") < 6_000_000, "{}", told[0]["Size"]);
    let labels = &told[0]["Config"]["Labels"];
    assert_eq!(labels["moby.buildkit.frontend.network.none"], "true");
    let can = labels["moby.buildkit.frontend.caps"].as_str().expect("what it can do");
    for word in ["inputs", "subrequests", "contexts"] {
        assert!(can.split(',').any(|one| one == format!("moby.buildkit.frontend.{word}")), "{can}");
    }
    assert_eq!(told[0]["RootFS"]["Layers"].as_array().map(Vec::len), Some(1));
}

/// A failed step fails the build with its own error and line.
#[test]
fn a_failing_step_fails_as_with_docker() {
    let engine = Engine::get(Flavour::Modern);
    let docker = Docker::new(&engine);
    let token = docker.scene.oracle().token("TOKEN");
    docker.dockerfile("TOKEN", &format!("FROM busybox\nRUN echo {} && exit 7\n", docker.mark("fails")));
    let said = docker.build(&[], &[("TOKEN", &token)]).fails().says("exit code: 7").says("3 | >>> RUN echo");
    let _ = said.never_says("[pbuild]");
}

/// Builds the page's own examples, with the image of this test and with a step that needs no package.
#[test]
fn the_page_s_snippets_build() {
    let engine = Engine::get(Flavour::Modern);
    let docker = Docker::new(&engine);
    let token = docker.scene.oracle().token("NPM_TOKEN");
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/frontend.md");
    let page = fs::read_to_string(path).expect("docs/frontend.md");
    let image = ImageName::new(&engine, "page");
    let snippet = |language: &str, part: &str| {
        let mut blocks = page.split("```").skip(1).step_by(2).filter_map(|block| block.strip_prefix(language));
        let block = blocks.find(|block| block.contains(part)).unwrap_or_else(|| panic!("no {language} with {part}"));
        block.trim_start().replace("ghcr.io/OWNER/pbuild-frontend:1", IMAGE)
    };
    let own =
        snippet("dockerfile", "# syntax=").replace("node:22", "busybox").replace("npm ci", "test -n \"$NPM_TOKEN\"");
    docker.scene.write("Dockerfile", &own);
    let secrets = [("NPM_TOKEN", &token)];
    let _ = docker.build(&[], &secrets).passes().says("clean: NPM_TOKEN").says("APP_KEY");

    let plain: String = own.lines().skip(1).map(|line| format!("{line}\n")).collect();
    docker.scene.write("Dockerfile", plain);
    docker.scene.write(
        "compose.yaml",
        snippet("yaml", "services:\n  app:").replace("image: shop", &format!("image: {}", image.as_str())),
    );
    let _ = docker.run("PBUILD_TEST_COMPOSE", &["--progress", "plain", "build"], &secrets).passes();
    assert!(image.exists());
    docker
        .scene
        .write("docker-bake.hcl", snippet("hcl", "target").replace("\"shop\"", &format!("\"{}\"", image.as_str())));
    let said = docker.run("PBUILD_TEST_BUILDX", &["bake", "--progress", "plain"], &secrets).passes();
    let _ = said.says("clean: NPM_TOKEN");

    // The page's arguments for other people's programs are words that the frontend accepts.
    for (language, part) in [("yaml", "build-push-action"), ("yaml", "docker:28-dind"), ("sh", "require")] {
        let block = snippet(language, part);
        let (_, line) = block.split_once("BUILDKIT_SYNTAX=").expect("the argument");
        let line = line.trim_start_matches(['\'', '"']);
        let line = line.split(['\'', '"', '\n']).next().expect("a line");
        let argument = format!("BUILDKIT_SYNTAX={line}");
        let _ = docker.build(&["--build-arg", &argument], &secrets).passes().says("clean: NPM_TOKEN");
    }
}

#[test]
fn questions_are_answered_as_docker_answers_them() {
    let engine = Engine::get(Flavour::Modern);
    let docker = Docker::new(&engine);
    let text = "FROM busybox AS base\nARG WHO=me\nfrom base AS app\nRUN --mount=type=secret,id=KEY true\n";
    for call in ["check", "outline", "targets"] {
        docker.scene.write("Dockerfile", format!("# syntax\n{text}"));
        let theirs = docker.build(&["--call", call], &[]);
        docker.dockerfile("TOKEN", text);
        let ours = docker.build(&["--call", call], &[]);
        assert_eq!(theirs.code(), ours.code(), "{call}: {}", ours.text());
        let shown = |said: &Said| said.stdout();
        assert!(!shown(&theirs).is_empty());
        assert_eq!(shown(&theirs), shown(&ours), "{call}");
    }
}

/// Neither platform needs a machine of its own, because no step runs.
#[test]
fn every_platform_is_searched() {
    let engine = Engine::get(Flavour::Containerd);
    let docker = Docker::new(&engine);
    let token = docker.scene.oracle().planted("TOKEN");
    docker.scene.write("fine", "fine\n");
    docker.scene.write_secret("key", token.value());
    let platforms = ["--platform", "linux/amd64,linux/arm64", "-o", "type=oci,dest=both.tar"];
    docker.dockerfile("TOKEN", "FROM scratch\nARG TARGETARCH\nCOPY fine /$TARGETARCH\n");
    let _ = docker.build(&platforms, &[("TOKEN", &token)]).passes().says("2 platforms");
    let archive = fs::read(docker.scene.project().join("both.tar")).expect("an archive");
    docker.scene.oracle().check_bytes("both.tar", &archive);
    fs::remove_file(docker.scene.project().join("both.tar")).expect("an archive");
    docker.dockerfile(
        "TOKEN",
        "FROM scratch AS for-amd64\nCOPY fine /a\nFROM scratch AS for-arm64\nCOPY key /a\nARG TARGETARCH\nFROM for-$TARGETARCH\n",
    );
    let said = docker.build(&platforms, &[("TOKEN", &token)]).fails();
    let _ = said.says("the image for linux/arm64 would contain a secret").says("(Dockerfile:5)");
}

#[test]
fn a_clean_image_is_pushed_and_a_leaking_one_is_not() {
    let engine = Engine::get(Flavour::Modern);
    let registry = Registry::plain_inside(&engine);
    let docker = Docker::new(&engine);
    let token = docker.scene.oracle().planted("TOKEN");
    let name = format!("{}/team/front:1", registry.inside());
    let mark = docker.mark("push");
    for (step, pushed) in [(format!("RUN echo {mark} $TOKEN > /a"), false), (format!("RUN echo {mark} > /a"), true)] {
        docker.dockerfile("TOKEN", &format!("FROM busybox\n{step}\n"));
        let said = docker.build(&["--push", "-t", &name], &[("TOKEN", &token)]);
        let _ = if pushed { said.passes() } else { said.fails().never_says("pushing") };
        assert_eq!(registry.digest("team/front", "1").is_some(), pushed);
    }
    let _ = engine.try_docker(&["image", "rm", "--force", &name]);
}

#[test]
fn results_go_where_docker_puts_them() {
    let engine = Engine::get(Flavour::Containerd);
    let docker = Docker::new(&engine);
    let token = docker.scene.oracle().token("TOKEN");
    docker.dockerfile("TOKEN", &format!("FROM busybox\nRUN echo {} ${{#TOKEN}} > /made\n", docker.mark("outputs")));
    for output in ["type=local,dest=out", "type=tar,dest=out.tar", "type=oci,dest=oci.tar"] {
        let _ = docker.build(&["-o", output], &[("TOKEN", &token)]).passes().says("clean: TOKEN");
    }
    let project = docker.scene.project();
    assert!(fs::read_to_string(project.join("out/made")).expect("a file").ends_with(" 32\n"));
    assert!(fs::metadata(project.join("out.tar")).expect("a tar").len() > 1000);
    assert!(fs::metadata(project.join("oci.tar")).expect("an archive").len() > 1000);
}

#[test]
fn compose_and_bake_build_with_it() {
    let engine = Engine::get(Flavour::Modern);
    let docker = Docker::new(&engine);
    let token = docker.scene.oracle().planted("TOKEN");
    let image = ImageName::new(&engine, "elsewhere");
    let mark = docker.mark("elsewhere");
    docker.scene.write("Dockerfile", format!("FROM busybox\nRUN echo {mark} ${{#TOKEN}} > /made\n"));
    docker.scene.write(
        "compose.yaml",
        format!(
            "services:\n  app:\n    image: {}\n    build:\n      context: .\n      args:\n        BUILDKIT_SYNTAX: \"{IMAGE} TOKEN\"\n\
             \x20     secrets: [TOKEN]\nsecrets:\n  TOKEN:\n    environment: TOKEN\n",
            image.as_str()
        ),
    );
    docker.scene.write(
        "docker-bake.hcl",
        format!(
            "target \"base\" {{\n  dockerfile-inline = \"FROM busybox\\nCOPY key /leaked\"\n}}\n\
             target \"app\" {{\n  contexts = {{ from = \"target:base\" }}\n  dockerfile = \"app.Dockerfile\"\n\
             \x20 args = {{ BUILDKIT_SYNTAX = \"{IMAGE} TOKEN\" }}\n  secret = [\"id=TOKEN,env=TOKEN\"]\n}}\n"
        ),
    );
    let variables = [("TOKEN", &token)];
    let _ = docker.run("PBUILD_TEST_COMPOSE", &["--progress", "plain", "build"], &variables).passes();
    assert_eq!(image.run(&["cat", "/made"]).trim(), format!("{mark} 32"));
    docker.scene.write("Dockerfile", format!("FROM busybox\nRUN echo {mark} $TOKEN > /made\n"));
    let said = docker.run("PBUILD_TEST_COMPOSE", &["--progress", "plain", "build"], &variables).fails();
    let _ = said.says("TOKEN is in layer 2, /made");
    // The target `base` is built without the frontend image, but its files are a part of the image and are searched.
    docker.scene.write_secret("key", token.value());
    docker.scene.write("app.Dockerfile", "FROM from\nRUN true\n");
    let said = docker.run("PBUILD_TEST_BUILDX", &["bake", "--progress", "plain", "app"], &variables);
    let _ = said.fails().says("TOKEN is in layer 2, /leaked");
}

#[test]
fn linked_copies_triggers_and_other_contexts_are_searched() {
    let engine = Engine::get(Flavour::Modern);
    let docker = Docker::new(&engine);
    let token = docker.scene.oracle().planted("TOKEN");
    let base = ImageName::new(&engine, "onbuild");
    let mark = docker.mark("shapes");
    docker.scene.write("other/file", "of another context\n");
    docker.scene.write("Dockerfile", "FROM busybox\nONBUILD RUN echo trigger ${#TOKEN} > /trigger\n");
    docker.build(&["-t", base.as_str()], &[]).passes();
    let text = format!(
        "FROM {}\nCOPY --link --from=other file /one\nCOPY --link --from=other file /two\nRUN echo {mark} > /a\n",
        base.as_str()
    );
    docker.dockerfile("TOKEN", &text);
    let image = ImageName::new(&engine, "shapes");
    let context = ["--build-context", "other=other", "-t", image.as_str()];
    let _ = docker.build(&context, &[("TOKEN", &token)]).passes().says("clean: TOKEN");
    assert_eq!(image.run(&["cat", "/trigger"]).trim(), "trigger 32");
    docker.scene.write_secret("other/file", token.value());
    let said = docker.build(&context, &[("TOKEN", &token)]).fails();
    let _ = said.says("(Dockerfile:3)");
}
