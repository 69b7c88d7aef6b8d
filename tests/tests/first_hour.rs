//! The first hour of a new user: one command adds a manifest to an ordinary project, which then builds with the same
//! values.

use std::fs;
use std::path::Path;

use acceptance::{App, ImageName, on_every_engine};
use ptest::{Engine, Scene};

/// An ordinary project: its files, and the variable that its build needs.
struct Shape {
    name: &'static str,
    dockerfile: &'static str,
    compose: &'static str,
    /// The text of the env file, in which `@` stands for the value.
    env: &'static str,
    variable: &'static str,
}

const SHAPES: [Shape; 3] = [
    Shape {
        name: "node",
        dockerfile: "# The shop\nARG BASE=busybox\nFROM ${BASE} AS build\nARG NPM_TOKEN\nWORKDIR /srv\n\
                     RUN : IMAGE && test -n \"$NPM_TOKEN\" && printf %s \"$NPM_TOKEN\" | sha256sum | cut -c1-64 >/digest\n\
                     COPY . .\nFROM ${BASE}\nCOPY --from=build /digest /digest\nCOPY --from=build /srv /srv\nEXPOSE 3000\n",
        compose: "services:\n  web:\n    image: \"IMAGE\"\n    build: {context: ., args: {NPM_TOKEN: \"${NPM_TOKEN}\"}}\n    env_file: [.env]\n    \
                  environment: {NODE_ENV: production}\n    ports: [\"${PORT:-3000}:3000\"]\n    volumes: [\".:/srv\", /srv/node_modules]\n\
                  \x20 db: {image: \"postgres:17\", environment: {POSTGRES_PASSWORD: \"${DB_PASSWORD}\"}}\n",
        env: "NPM_TOKEN=@\nPORT=3000\nNODE_ENV=production\nDB_PASSWORD=secret\nSESSION_SECRET=\"keyboard cat 1234\" # sessions\n",
        variable: "NPM_TOKEN",
    },
    Shape {
        name: "php",
        dockerfile: "FROM busybox\narg COMPOSER_AUTH\nRUN <<EOF\nset -e # IMAGE\ntest -n \"$COMPOSER_AUTH\"\n\
                     printf %s \"$COMPOSER_AUTH\" | sha256sum | cut -c1-64 >/digest\nEOF\nCOPY app /app\n",
        compose: "name: shop\nservices:\n  app:\n    image: \"IMAGE\"\n    build: .\n    ports: [\"8080:80\"]\n  mysql: {image: \"mysql:8.4\"}\n  redis: {image: \"redis:7\"}\n",
        env: "APP_NAME=app\nAPP_ENV=local\nAPP_KEY=base64:Zm9vYmFyYmF6cXV4\nCOMPOSER_AUTH='{\"http-basic\":{\"repo\":\"@\"}}'\nDB_HOST=mysql\nDB_PASSWORD=secret\nREDIS_HOST=redis\n",
        variable: "COMPOSER_AUTH",
    },
    Shape {
        name: "python",
        dockerfile: "FROM busybox\nRUN : IMAGE \\\n    # the private index\n    \
                     && test -n \"$PIP_INDEX_URL\" \\\n    && printf %s \"$PIP_INDEX_URL\" | sha256sum | cut -c1-64 >/digest\nCOPY app /app\n",
        compose: "services:\n  web: {build: ., image: \"IMAGE\", environment: [DEBUG=1, SECRET_KEY], healthcheck: {test: [CMD, \"true\"]}}\n",
        env: "PIP_INDEX_URL=https://build:@@index.example/simple\nSECRET_KEY=django-insecure-12345678\nDEBUG=1\nDJANGO_SETTINGS_MODULE=app.settings\n",
        variable: "PIP_INDEX_URL",
    },
];

fn project(scene: &Scene, shape: &Shape, image: &ImageName<'_>) -> String {
    let token = scene.oracle().token(shape.variable);
    // The value is not a part of a cache key, so the steps of each run must differ.
    scene.write("Dockerfile", shape.dockerfile.replace("IMAGE", image.as_str()));
    scene.write("compose.yaml", shape.compose.replace("IMAGE", image.as_str()));
    let env = shape.env.replacen('@', token.text(), 1);
    let line = env
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{}=", shape.variable)))
        .expect("the variable is in the file");
    let value = line.trim_matches('\'').to_owned();
    scene.write_secret(".env", env);
    scene.write(".dockerignore", ".env\n");
    scene.write("app/main", "print the shop\n");
    value
}

fn an_ordinary_project_builds_at_once_with_the_same_values(engine: &Engine) {
    for shape in &SHAPES {
        // Engines of 2020 do not support heredocs in a Dockerfile.
        if shape.dockerfile.contains("<<EOF") && !knows_heredocs(engine) {
            continue;
        }
        let (scene, image) = (Scene::on(engine), ImageName::new(engine, &format!("firsthour-{}", shape.name)));
        let value = project(&scene, shape, &image);
        let new = scene.pbuild().arg("new").run();
        new.expect_code(0).expect_stderr("pbuild build .").expect_stderr(shape.variable);
        assert!(!new.stderr().contains("warning"), "{}", new.stderr());
        let build = scene.pbuild().args(["build", "."]).run();
        let manifest = fs::read_to_string(scene.project().join("app.toml")).expect("a manifest");
        assert_eq!(build.code(), 0, "{}\n{}\n{manifest}", shape.name, build.stderr());
        build.expect_stderr("clean");
        assert_eq!(image.run(&["cat", "/digest"]).trim(), App::digest(value.as_bytes()), "{}", shape.name);
    }
}

fn knows_heredocs(engine: &Engine) -> bool {
    let version = engine.docker(&["version", "--format", "{{.Server.Version}}"]);
    !String::from_utf8_lossy(&version).starts_with("20.")
}

on_every_engine!(an_ordinary_project_builds_at_once_with_the_same_values);

#[test]
fn what_is_written_holds_names_and_is_trusted_and_nothing_is_overwritten() {
    let scene = Scene::new();
    let token = scene.oracle().token("DEPLOY_TOKEN");
    scene.write("Dockerfile", "FROM scratch\nARG DEPLOY_TOKEN\nARG OTHER_TOKEN\nCOPY . /\n");
    scene.write_secret(".env", format!("DEPLOY_TOKEN={}\nPORT=3000\n", token.text()));
    let printed = scene.pbuild().args(["new", "--stdout"]).run();
    printed
        .expect_code(0)
        .expect_stdout("env_files = [{ path = \".env\" }]")
        .expect_stdout("\nOTHER_TOKEN = { scope = \"build\", optional = true }");
    printed.expect_stderr(".env is not in .dockerignore");
    assert!(!scene.project().join("app.toml").exists());

    scene.pbuild().args(["new", "--ignore"]).run().expect_code(0).expect_stderr("ignored");
    assert_eq!(fs::read_to_string(scene.project().join(".dockerignore")).unwrap(), ".env\n");
    // A trusted value is read at once. A name that was added later needs trust.
    let list = || scene.pbuild().args(["secrets", "list"]).run();
    list().expect_code(0).expect_stdout("app.toml (.env:1)");
    let manifest = fs::read_to_string(scene.project().join("app.toml")).unwrap();
    scene.write("app.toml", format!("{manifest}\n[secrets.PORT]\n"));
    list().expect_code(0).expect_stdout("not trusted");

    let again = scene.pbuild().arg("new").run();
    again.expect_code(2).expect_stderr("app.toml is there already").expect_stderr("--force");
    let forced = scene.pbuild().args(["new", "--force", "--public", "PORT"]).run();
    forced.expect_code(0);
    let manifest = fs::read_to_string(scene.project().join("app.toml")).unwrap();
    assert!(manifest.contains("PORT = \"3000\""), "{manifest}");
}

#[test]
fn a_broken_compose_file_is_told_by_its_place_and_not_by_its_text() {
    let scene = Scene::new();
    let token = scene.oracle().token("TOKEN");
    scene.write("Dockerfile", "FROM scratch\n");
    scene.write_secret("compose.yaml", format!("services:\n  web: [{}\n", token.text()));
    let new = scene.pbuild().arg("new").run();
    new.expect_code(2).expect_stderr("compose.yaml").expect_stderr("line ");
    scene.pbuild().args(["new", "elsewhere"]).run().expect_code(2);
}

fn following_the_advice_gives_exactly_the_needed_steps_the_secret(engine: &Engine) {
    let (scene, image) = (Scene::on(engine), ImageName::new(engine, "advise"));
    let [token, other] = ["NPM_TOKEN", "OTHER_KEY"].map(|name| scene.oracle().token(name));
    // The program does not contain the name of its variable.
    scene.write("npm", "#!/bin/sh\nexport -p | grep TOKEN | sha256sum >\"/seen-$1\"\n");
    let dockerfile = "FROM busybox\nCOPY npm /bin/npm\nRUN : IMAGE; chmod +x /bin/npm\nRUN : IMAGE; npm ci\n\
                      RUN [\"npm\", \"run\"]\nRUN : IMAGE; echo \"${#OTHER_KEY}\" >/length\n";
    scene.write("Dockerfile", dockerfile.replace("IMAGE", image.as_str()));
    scene.write(
        "app.toml",
        "# ours\n[secrets]\nNPM_TOKEN = { scope = \"build\" } # packages\nOTHER_KEY = {}\nNOBODY = { scope = \"build\" }\n",
    );
    let json = scene.pbuild().args(["secrets", "advise", "--json"]).run();
    json.expect_code(0);
    let document: serde_json::Value = serde_json::from_str(&json.stdout()).expect("one object");
    assert_eq!(document["version"], 1);
    assert_eq!(document["secrets"][0]["steps"], serde_json::json!(["npm *"]));
    assert_eq!(document["secrets"][2]["verdict"], "unmentioned");
    let advice = scene.pbuild().args(["secrets", "advise", "--write"]).run();
    advice.expect_code(0).expect_stdout("NPM_TOKEN = { scope = \"build\", steps = [\"npm *\"] }");
    advice.expect_stderr("no command of this build mentions it: remove it?");
    let manifest = fs::read_to_string(scene.project().join("app.toml")).expect("a manifest");
    assert!(manifest.contains("steps = [\"npm *\"] } # packages") && manifest.starts_with("# ours\n"), "{manifest}");
    scene.write("app.toml", manifest.replace("NOBODY = { scope = \"build\" }\n", ""));

    let build = scene
        .pbuild()
        .args(["build", "--tag", image.as_str(), ".", "--secret", "id=NPM_TOKEN", "--secret", "id=OTHER_KEY"])
        .env("NPM_TOKEN", token.text())
        .env("OTHER_KEY", other.text())
        .run();
    build.expect_code(0).expect_stderr("NPM_TOKEN to 2 steps").expect_stderr("OTHER_KEY to 1 step");
    assert!(!build.stderr().contains("unused"), "{}", build.stderr());
    scene.pbuild().args(["secrets", "advise"]).run().expect_code(0).expect_stderr("good: 2 steps read it");

    // A pattern that matches no step ends the build before anything runs, and the message names a similar command.
    let broken = fs::read_to_string(scene.project().join("app.toml")).expect("a manifest").replace("npm *", "npn *");
    scene.write("app.toml", broken);
    let build = scene
        .pbuild()
        .args(["build", ".", "--secret", "id=NPM_TOKEN", "--secret", "id=OTHER_KEY"])
        .env("NPM_TOKEN", token.text())
        .env("OTHER_KEY", other.text())
        .run();
    build.expect_code(2).expect_stderr("`npn *`").expect_stderr("app.toml:3").expect_stderr("npm ci");
}

on_every_engine!(following_the_advice_gives_exactly_the_needed_steps_the_secret);

/// Makes a search path with the tools under test before all others.
fn path_with_tools() -> String {
    let tools = std::env::var("PBUILD_TEST_BINARIES").unwrap_or_else(|_| {
        let test = std::env::current_exe().expect("a test is a file");
        test.parent().and_then(Path::parent).and_then(Path::to_str).expect("a test lies in deps").to_owned()
    });
    format!("{tools}:{}", std::env::var("PATH").expect("a search path"))
}

fn every_command_of_the_page_runs(engine: &Engine) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/first-hour.md");
    let page = fs::read_to_string(page).expect("the page");
    let blocks = page.split("```console\n").skip(1).filter_map(|rest| rest.split("```").next());
    let commands: Vec<&str> = blocks.flat_map(str::lines).filter_map(|line| line.strip_prefix("$ ")).collect();
    assert!(commands.len() > 7, "{commands:?}");
    let (scene, image) = (Scene::on(engine), ImageName::new(engine, "firsthour-page"));
    let token = scene.oracle().token("NPM_TOKEN");
    scene.write("Dockerfile", "FROM busybox\nARG NPM_TOKEN\nRUN test -n \"$NPM_TOKEN\"\nRUN true\nCOPY . /srv\n");
    scene.write("compose.yaml", format!("services: {{web: {{build: ., image: \"{}\"}}}}\n", image.as_str()));
    scene.write_secret(".env", format!("NPM_TOKEN={}\nPORT=3000\n", token.text()));
    let mut said = String::new();
    for command in commands {
        let outcome = scene.tool("sh").args(["-c", command]).env("PATH", path_with_tools()).run();
        assert_eq!(outcome.code(), 0, "{command}\n{}\n{}", outcome.stdout(), outcome.stderr());
        said.push_str(&outcome.stdout());
        said.push_str(&outcome.stderr());
    }
    for told in ["app.toml (.env:1)", "NPM_TOKEN to 2 steps", "steps = [\"test *\"]", "NPM_TOKEN to 1 step", "clean"] {
        assert!(said.contains(told), "{told}\n{said}");
    }
    assert!(image.exists());
}

on_every_engine!(every_command_of_the_page_runs);

/// Doctor works without an engine and says so. It shows names and never a value.
#[test]
fn doctor_names_what_is_well_and_what_to_mend() {
    let scene = Scene::new();
    let weak = scene.oracle().token("APP_KEY");
    scene.write("app.toml", "[secrets]\nAPP_KEY = {}\nNO_VALUE = {}\n[run]\ndeliver = \"env\"\n");
    scene.write_secret(".env", format!("APP_KEY={}\n", weak.text()));
    let none = format!("unix://{}/none.sock", scene.temporary().display());
    let doctor = |tool: ptest::Tool<'_>| tool.args(["doctor", "--env-file", ".env"]).env("DOCKER_HOST", &none).run();
    let build = doctor(scene.pbuild());
    build.expect_code(30).expect_stdout("problem  engine").expect_stdout("no value (line 3");
    build.expect_stdout(".env could get into an image").expect_stdout("searched for in every form");
    let run = doctor(scene.prun());
    run.expect_code(30).expect_stdout("docker inspect");
    let json = scene.pbuild().args(["doctor", "--json", "--env-file", ".env"]).env("DOCKER_HOST", &none).run();
    let document: serde_json::Value = serde_json::from_str(&json.stdout()).expect("one object");
    assert_eq!((document["version"].as_u64(), document["findings"][0]["health"].as_str()), (Some(1), Some("problem")));
}
