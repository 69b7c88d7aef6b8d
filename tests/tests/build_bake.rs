//! `pbuild bake`: the real buildx reads the files, and either all images of a group get their names, or none does.

use acceptance::{BuilderRelay, GitServer, ImageName, Plugins, Registry, on_every_engine};
use ptest::{Canary, Engine, Flavour, Tool};
use serde_json::Value;

on_every_engine!(a_group_gets_all_of_its_names_or_none, a_target_builds_on_another_one_and_each_has_its_own_secrets);

struct Bakery<'engine> {
    plugins: Plugins<'engine>,
    token: Canary,
    web: ImageName<'engine>,
    api: ImageName<'engine>,
    mark: String,
}

impl<'engine> Bakery<'engine> {
    /// Makes two targets, of which one names a secret.
    fn new(engine: &'engine Engine, what: &str) -> Self {
        let plugins = Plugins::new(engine);
        let token = plugins.scene.oracle().token("TOKEN");
        let [web, api] = ["web", "api"].map(|name| ImageName::new(engine, &format!("{what}-{name}")));
        let mark = format!("{what}-{}-{:?}", std::process::id(), engine.flavour());
        let bakery = Self { plugins, token, web, api, mark };
        let (web, api) = (bakery.web.as_str(), bakery.api.as_str());
        let targets = format!(
            "target \"web\" {{\n  context = \"web\"\n  tags = [\"{web}\"]\n  secret = [\"id=TOKEN\"]\n}}\n\
             target \"api\" {{\n  context = \"api\"\n  tags = [\"{api}\"]\n  args = {{ WORD = WORD }}\n}}\n"
        );
        let group = "variable \"WORD\" { default = \"none\" }\ngroup \"default\" { targets = [\"web\", \"api\"] }\n";
        bakery.plugins.scene.write("docker-bake.hcl", format!("{group}{targets}"));
        bakery.write("$WORD");
        bakery.write_web("");
        bakery
    }

    fn write(&self, word: &str) {
        let text = format!("FROM busybox\nARG WORD\nRUN echo {} {word} ${{#TOKEN}} > /made\n", self.mark);
        self.plugins.scene.write("api/Dockerfile", text);
    }

    fn write_web(&self, leak: &str) {
        let text = format!("FROM busybox\nRUN echo {} ${{#TOKEN}} {leak}> /made\n", self.mark);
        self.plugins.scene.write("web/Dockerfile", text);
    }

    fn bake(&self, words: &[&str]) -> Tool<'_> {
        let tool = self.plugins.scene.pbuild().arg("bake").args(words).env("TOKEN", self.token.text());
        self.plugins.with_path(tool)
    }
}

fn a_group_gets_all_of_its_names_or_none(engine: &Engine) {
    let bakery = Bakery::new(engine, "group");
    bakery.write_web("$TOKEN ");
    let outcome = bakery.bake(&["--progress", "plain", "--metadata-file", "built.json"]).run();
    outcome.expect_code(10).expect_stderr("error: [web] the image would contain a secret; it was not tagged");
    outcome.expect_stderr("--> Dockerfile:2:1").expect_stderr("withheld  api");
    assert!(!bakery.web.exists() && !bakery.api.exists());
    assert!(!bakery.plugins.scene.project().join("built.json").exists());

    bakery.write_web("");
    let outcome = bakery.bake(&["--progress", "plain", "--metadata-file", "built.json"]).env("WORD", "given").run();
    outcome.expect_code(0).expect_stderr("[web 2/2] RUN").expect_stderr("[api 2/2] RUN");
    outcome.expect_stderr("secrets   [api] TOKEN to other targets");
    // Only the target that names the secret gets it: the other target sees an empty value.
    let length = bakery.token.text().len();
    assert_eq!(bakery.web.run(&["cat", "/made"]), format!("{} {length}\n", bakery.mark));
    assert_eq!(bakery.api.run(&["cat", "/made"]), format!("{} given 0\n", bakery.mark));
    let built = std::fs::read(bakery.plugins.scene.project().join("built.json")).expect("a metadata file");
    let built: Value = serde_json::from_slice(&built).expect("JSON");
    for (target, image) in [("web", &bakery.web), ("api", &bakery.api)] {
        let name = built[target]["image.name"].as_str().expect("a name");
        assert!(name.contains(image.as_str()), "{built}");
        assert!(built[target]["containerimage.digest"].is_string(), "{built}");
    }
}

/// The base is built within the build that needs it, from its own files and with its own secrets.
fn a_target_builds_on_another_one_and_each_has_its_own_secrets(engine: &Engine) {
    let bakery = Bakery::new(engine, "bases");
    let other = bakery.plugins.scene.oracle().token("OTHER");
    let (web, mark) = (bakery.web.as_str(), &bakery.mark);
    bakery.plugins.scene.write(
        "docker-bake.hcl",
        format!(
            "target \"web\" {{\n  context = \"web\"\n  contexts = {{ \"example.com/base\" = \"target:base\" }}\n  \
             tags = [\"{web}\"]\n  secret = [\"id=TOKEN\"]\n}}\n\
             target \"base\" {{\n  context = \"base\"\n  secret = [\"id=OTHER\"]\n}}\n"
        ),
    );
    bakery.plugins.scene.write("base/file", format!("of the base {mark}\n"));
    bakery.plugins.scene.write("base/.dockerignore", "ignored\n");
    bakery.plugins.scene.write_secret("base/ignored", other.value());
    let step = |file: &str, leak: &str| format!("RUN echo {mark} ${{#TOKEN}} ${{#OTHER}} {leak} > /{file}\n");
    let write = |base: &str, web: &str| {
        let scene = &bakery.plugins.scene;
        let text = format!("FROM busybox\nENV FROM_BASE=yes\nCOPY . /files/\n{}", step("base", base));
        scene.write("base/Dockerfile", text);
        scene.write("web/Dockerfile", format!("FROM example.com/base\n{}", step("web", &format!("$FROM_BASE {web}"))));
    };
    let bake = || bakery.bake(&["--progress", "plain", "web"]).env("OTHER", other.text()).run();
    let (token, length) = (bakery.token.text().len(), other.text().len());

    write("$OTHER", "");
    if engine.flavour() == Flavour::Old {
        // The old engine would look for an image of the context's name.
        bake().expect_code(1).expect_stderr("a context that another target makes");
        return;
    }
    bake().expect_code(10).expect_stderr("OTHER  in /base, byte").expect_stderr("RUN echo");
    assert!(!bakery.web.exists());
    write("", "$TOKEN");
    bake().expect_code(10).expect_stderr("TOKEN  in /web, byte");
    assert!(!bakery.web.exists());
    write("", "");
    bake().expect_code(0);
    assert_eq!(
        bakery.web.run(&["cat", "/files/file", "/base", "/web"]),
        format!("of the base {mark}\n{mark} 0 {length}\n{mark} {token} 0 yes\n")
    );
}

/// The builder itself pushes an image when it returns the result, so no build may return before all are proven.
#[test]
fn a_builder_pushes_all_images_of_a_group_or_none() {
    let engine = Engine::get(Flavour::Containerd);
    let bakery = Bakery::new(&engine, "pushed");
    let registry = Registry::plain_inside(&engine);
    let relay = BuilderRelay::unix(&engine);
    let names = ["web", "api"].map(|name| format!("team/{name}"));
    let tags: Vec<String> = ["web", "api"]
        .iter()
        .zip(&names)
        .map(|(target, name)| format!("--set={target}.tags={}/{name}:1", registry.inside()))
        .collect();
    let push = || {
        let words =
            [&["--builder", relay.address(), "--push", "--progress", "plain"][..], &[&tags[0], &tags[1]]].concat();
        bakery.bake(&words).run()
    };
    bakery.write_web("$TOKEN ");
    push().expect_code(10).expect_stderr("withheld  api");
    assert!(names.iter().all(|name| registry.digest(name, "1").is_none()));
    bakery.write_web("");
    push().expect_code(0);
    assert!(names.iter().all(|name| registry.digest(name, "1").is_some()));
}

#[test]
fn without_a_secret_bake_makes_the_images_that_buildx_makes() {
    let engine = Engine::get(Flavour::Modern);
    let bakery = Bakery::new(&engine, "same");
    let (web, api, mark) = (bakery.web.as_str(), bakery.api.as_str(), &bakery.mark);
    let targets = format!(
        "group \"default\" {{ targets = [\"web\", \"api\"] }}\n\
         target \"web\" {{\n  contexts = {{ base = \"target:api\" }}\n  tags = [\"{web}\"]\n  \
         dockerfile-inline = \"FROM base\\nRUN echo web > /web\"\n  labels = {{ a = \"b c\" }}\n}}\n\
         target \"api\" {{\n  tags = [\"{api}\"]\n  args = {{ WORD = \"x\" }}\n  \
         dockerfile-inline = \"FROM busybox\\nARG WORD\\nRUN echo {mark} $WORD > /api\"\n}}\n"
    );
    bakery.plugins.scene.write("docker-bake.hcl", targets);
    let ids = || {
        let outcome = [&bakery.web, &bakery.api].map(|image| {
            let id = engine.docker(&["image", "inspect", "--format", "{{.Id}}", image.as_str()]);
            engine.docker(&["image", "rm", image.as_str()]);
            String::from_utf8_lossy(&id).into_owned()
        });
        outcome.to_vec()
    };
    bakery.bake(&["--progress", "plain"]).run().expect_code(0).expect_stderr("this build has no secrets");
    let ours = ids();
    bakery.plugins.docker(&["buildx", "bake"]).run().expect_code(0);
    assert_eq!(ours, ids());
}

/// The metadata of a group has the warnings of all targets once, and the provenance of each target without secrets.
#[test]
fn the_metadata_of_a_group_has_warnings_and_provenance() {
    let engine = Engine::get(Flavour::Modern);
    let bakery = Bakery::new(&engine, "told");
    for target in ["web", "api"] {
        let text = format!("FROM busybox as base\nRUN echo {} > /made\n", bakery.mark);
        bakery.plugins.scene.write(&format!("{target}/Dockerfile"), text);
    }
    let file = "group \"default\" { targets = [\"web\", \"api\"] }\n\
                target \"web\" { context = \"web\" }\ntarget \"api\" { context = \"api\" }\n";
    bakery.plugins.scene.write("told.hcl", file);
    let words = ["--file", "told.hcl", "--metadata-file", "told.json"];
    let read = || -> Value {
        let place = bakery.plugins.scene.project().join("told.json");
        let mut told: Value = serde_json::from_slice(&std::fs::read(place).expect("a metadata file")).expect("JSON");
        for target in ["web", "api"] {
            assert!(told[target]["buildx.build.provenance"]["materials"].is_array(), "{told}");
        }
        let warnings = told["buildx.build.warnings"].as_array_mut().expect("warnings");
        warnings.iter_mut().for_each(|warning| drop(warning.as_object_mut().expect("a warning").remove("vertex")));
        told["buildx.build.warnings"].take()
    };
    bakery.bake(&words).env("BUILDX_METADATA_WARNINGS", "1").run().expect_code(0);
    let ours = read();
    let docker = [&["buildx", "bake"][..], &words].concat();
    bakery.plugins.docker(&docker).env("BUILDX_METADATA_WARNINGS", "1").run().expect_code(0);
    assert_eq!(ours, read());
}

/// The definition and the folders in it come from a repository; `cwd://` is a folder here.
#[test]
fn a_definition_of_a_repository_takes_its_folders_from_there() {
    let engine = Engine::get(Flavour::Modern);
    let bakery = Bakery::new(&engine, "remote");
    let server = GitServer::start(&engine);
    let (web, api, mark) = (bakery.web.as_str(), bakery.api.as_str(), &bakery.mark);
    let definition = format!(
        "group \"default\" {{ targets = [\"web\", \"api\"] }}\n\
         target \"api\" {{ tags = [\"{api}\"] }}\n\
         target \"web\" {{\n  context = \"web\"\n  tags = [\"{web}\"]\n  secret = [\"id=TOKEN\"]\n  \
         contexts = {{ other = \"sub\", whole = \".\", here = \"cwd://here\" }}\n}}\n"
    );
    let commit = |leak: &str| {
        let copies =
            "COPY . /there\nCOPY --from=other . /other\nCOPY --from=whole . /whole\nCOPY --from=here . /here\n";
        let step = format!("RUN echo {mark} ${{#TOKEN}} {leak}> /made\n");
        server.commit(&[
            ("docker-bake.hcl", &definition),
            ("Dockerfile", &format!("FROM busybox\nCOPY . /root-of-it\nRUN echo {mark} > /made\n")),
            ("web/Dockerfile", &format!("FROM busybox\n{copies}{step}")),
            ("web/file", "in web"),
            ("sub/file", "in sub"),
        ]);
    };
    bakery.plugins.scene.write("here/file", "here");
    bakery.plugins.scene.write("docker-bake.hcl", "not read");
    bakery.plugins.scene.write("web/file", "not the one");
    let address = server.context();
    commit("$TOKEN ");
    let refused = bakery.bake(&["--progress", "plain", &address]).run();
    refused.expect_code(10).expect_stderr("TOKEN  in /made");
    assert!(!bakery.web.exists() && !bakery.api.exists());
    commit("");
    bakery.bake(&["--progress", "plain", &address]).run().expect_code(0);
    let files = ["/there/file", "/other/file", "/whole/web/file", "/here/file"];
    let read = bakery.web.run(&[&["cat"][..], &files].concat());
    assert_eq!(read, "in webin subin webhere");
    assert!(bakery.api.run(&["ls", "/root-of-it"]).contains("docker-bake.hcl"));
}

/// A target for several platforms builds on another one, and both platforms are in the image.
#[test]
fn a_target_for_several_platforms_builds_on_another_one() {
    let engine = Engine::get(Flavour::Containerd);
    let bakery = Bakery::new(&engine, "platforms");
    let (web, mark) = (bakery.web.as_str(), &bakery.mark);
    bakery.plugins.scene.write(
        "docker-bake.hcl",
        format!(
            "target \"web\" {{\n  context = \"web\"\n  contexts = {{ base = \"target:base\" }}\n  \
             platforms = [\"linux/amd64\", \"linux/arm64\"]\n  tags = [\"{web}\"]\n  secret = [\"id=TOKEN\"]\n}}\n\
             target \"base\" {{\n  context = \"base\"\n  platforms = [\"linux/amd64\", \"linux/arm64\"]\n}}\n"
        ),
    );
    bakery.plugins.scene.write("base/file", format!("of the base {mark}\n"));
    bakery.plugins.scene.write("base/Dockerfile", "FROM scratch\nARG TARGETARCH\nCOPY file /base-$TARGETARCH\n");
    let dockerfile = |leak: &str| {
        let tool = format!("FROM --platform=$BUILDPLATFORM busybox AS tool\nRUN echo {mark} {leak} > /made\n");
        let result = "FROM base\nARG TARGETARCH\nCOPY --from=tool /made /web-$TARGETARCH\n";
        bakery.plugins.scene.write("web/Dockerfile", format!("{tool}{result}"));
    };
    let bake = || bakery.bake(&["--progress", "plain", "web"]).run();
    dockerfile("$TOKEN");
    bake().expect_code(10).expect_stderr("TOKEN  in /web-");
    assert!(!bakery.web.exists());
    dockerfile("${#TOKEN}");
    bake().expect_code(0);
    let files = |archive: &[u8]| {
        let mut found = std::collections::BTreeSet::new();
        for entry in tar::Archive::new(archive).entries().expect("an archive").flatten() {
            let name = entry.path().expect("a name").display().to_string();
            found.insert(name.trim_start_matches("./").to_owned());
        }
        found
    };
    for platform in ["amd64", "arm64"] {
        let words = ["create", "--platform", &format!("linux/{platform}"), web, "nothing"];
        let container = String::from_utf8(engine.docker(&words)).expect("an id").trim().to_owned();
        let exported = files(&engine.docker(&["export", &container]));
        engine.docker(&["rm", &container]);
        for name in ["base", "web"] {
            assert!(exported.contains(&format!("{name}-{platform}")), "{platform}: {exported:?}");
        }
    }
}

#[test]
fn every_line_of_rawjson_is_an_object_and_steps_carry_their_target() {
    let engine = Engine::get(Flavour::Modern);
    let bakery = Bakery::new(&engine, "events");
    let outcome = bakery.bake(&["--progress", "rawjson"]).run();
    outcome.expect_code(0);
    let lines: Vec<Value> = outcome
        .stderr()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let vertexes = || lines.iter().filter_map(|line| line["vertexes"].as_array()).flatten();
    for target in ["web", "api"] {
        let started = format!("[{target} 2/2] RUN echo");
        assert!(vertexes().any(|vertex| vertex["name"].as_str().is_some_and(|name| name.starts_with(&started))));
    }
}

#[test]
fn a_target_that_fails_ends_the_others_and_nothing_gets_a_name() {
    let engine = Engine::get(Flavour::Modern);
    let bakery = Bakery::new(&engine, "fails");
    bakery.plugins.scene.write("api/Dockerfile", "FROM busybox\nRUN exit 7\n");
    let outcome = bakery.bake(&["--progress", "plain"]).run();
    outcome.expect_code(1).expect_stderr("error: [api] process \"/bin/sh -c exit 7\" did not complete successfully");
    assert!(!bakery.web.exists() && !bakery.api.exists());
}

#[test]
fn what_a_file_may_not_reach_is_named_with_the_flag_that_allows_it() {
    let engine = Engine::get(Flavour::Modern);
    let bakery = Bakery::new(&engine, "reach");
    let far = bakery.plugins.scene.temporary();
    let place = far.display().to_string();
    let text = format!(
        "target \"default\" {{\n  context = \"{place}\"\n  dockerfile-inline = \"FROM scratch\"\n  network = \"host\"\n}}\n"
    );
    bakery.plugins.scene.write("far.hcl", text);
    let outcome = bakery.bake(&["--file", "far.hcl"]).run();
    outcome.expect_code(2).expect_stderr(&format!("--allow=fs.read={place} --allow=network.host"));
    // Commands that do not build go to buildx, which prints its reading of the file.
    let printed = bakery.bake(&["--file", "far.hcl", "--print"]).run();
    printed.expect_code(0);
    assert_eq!(printed.json()["target"]["default"]["context"], place.as_str());
    let unknown = bakery.bake(&["nowhere"]).run();
    unknown.expect_code(2).expect_stderr("failed to find target nowhere");
}
