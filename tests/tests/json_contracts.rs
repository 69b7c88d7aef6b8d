//! Every JSON that programs read has a schema in `docs/schemas`. The output of the tools follows its schema, and has
//! no field that the schema does not name.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use acceptance::service::VALKEY;
use acceptance::{App, ImageName};
use ptest::{Engine, Flavour, Image, Layer, Scene};
use serde_json::{Value, json};

fn schemas() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the root").join("docs/schemas")
}

/// Changes a schema so that it allows only the fields that it names. Readers must ignore unknown fields, but a tool
/// must not write them without a schema.
fn closed(schema: &mut Value) {
    if let Some(object) = schema.as_object_mut() {
        // The alternatives of an object would refuse each other's fields, so they are not changed.
        let fields =
            object.get("properties").is_some_and(|fields| fields.get("type").is_none()) && object.contains_key("type");
        object.iter_mut().filter(|(key, _)| *key != "oneOf").for_each(|(_, value)| closed(value));
        if fields {
            object.insert("additionalProperties".to_owned(), json!(false));
        }
    }
    schema.as_array_mut().into_iter().flatten().for_each(closed);
}

/// Fails if the document does not follow the schema of this name.
#[track_caller]
fn follows(name: &str, document: &[u8]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (instance, strict) = (folder.path().join("document.json"), folder.path().join("closed.schema.json"));
    fs::write(&instance, document).expect("a file in a new folder");
    let path = schemas().join(format!("{name}.schema.json"));
    let mut schema: Value = serde_json::from_slice(&fs::read(&path).expect("the schema")).expect("the schema is JSON");
    closed(&mut schema);
    fs::write(&strict, schema.to_string()).expect("a file in a new folder");
    let check = std::env::var("PBUILD_TEST_CHECK_JSONSCHEMA").expect("run scripts/test");
    for schema in [&path, &strict] {
        let output = Command::new(&check).arg("--schemafile").args([schema, &instance]).output();
        let output = output.expect("check-jsonschema runs");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{name}: {said}\n{}", String::from_utf8_lossy(document));
    }
}

#[test]
fn every_schema_is_one_and_has_a_test_here() {
    let check = std::env::var("PBUILD_TEST_CHECK_JSONSCHEMA").expect("run scripts/test");
    let source = include_str!("json_contracts.rs");
    for entry in fs::read_dir(schemas()).expect("docs/schemas") {
        let path = entry.expect("an entry").path();
        let output = Command::new(&check).arg("--check-metaschema").arg(&path).output().expect("check-jsonschema runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".schema.json"));
        let name = name.unwrap_or_else(|| panic!("{} is no schema", path.display()));
        assert!(source.contains(&format!("follows(\"{name}\"")), "no test here holds {name}");
    }
}

#[test]
fn a_field_that_no_schema_names_is_noticed() {
    let document = json!({ "version": 1, "findings": [{ "health": "ok", "about": "a", "text": "b", "news": 1 }] });
    let noticed = std::panic::catch_unwind(|| follows("doctor", document.to_string().as_bytes()));
    assert!(noticed.is_err(), "`news` is in no schema");
}

/// Audits with every result, and a baseline.
#[test]
fn audits_follow_their_schema() {
    let scene = Scene::new();
    let token = scene.oracle().token("TOKEN");
    let values = format!("TOKEN={0}\nSAME={0}\nMODE=production\n", token.text());
    scene.write_secret("values.env", values);
    let layer = |text: &str| (Layer::new().file("srv/conf", text), "RUN make");
    let key = "5f0c7e1a9b3d4468a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718";
    let audit = |name: &str, (layer, made_by): (Layer, &str), words: &[&str], code: i32| {
        let variable = if code == 10 { token.text() } else { "nothing" };
        let image = Image::new().layer(layer, made_by).empty_layer(&format!("ENV X={variable}"));
        scene.write_secret(&format!("{name}.tar"), image.docker_legacy("shop:1").tar());
        let archive = format!("{name}.tar");
        let tool =
            scene.pbuild().args(["audit", "--archive", &archive, "--env-file", "values.env", "--format", "json"]);
        let outcome = tool.args(words).env("PBUILD_CACHE_KEY", key).run();
        outcome.expect_code(code);
        follows("audit", outcome.stdout_bytes());
        outcome.json()
    };
    assert_eq!(audit("clean", layer("nothing"), &[], 0)["result"], "clean");
    let cut = (Layer::new().header(b"srv/data", b'0', b"", 1_000_000), "COPY data /srv");
    assert_eq!(audit("cut", cut, &[], 11)["result"], "incomplete");
    scene.write("Dockerfile", "FROM scratch\nRUN make\n");
    let leak =
        audit("leak", layer(token.text()), &["--dockerfile", "Dockerfile", "--write-baseline", "known.json"], 10);
    assert!(leak["findings"].as_array().is_some_and(|findings| findings.len() > 1), "{leak}");
    follows("audit-baseline", &fs::read(scene.project().join("known.json")).expect("a baseline"));
}

#[test]
fn lists_advice_and_doctors_follow_their_schemas() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("NPM_TOKEN");
    scene.write("Dockerfile", "FROM busybox\nRUN echo \"$NPM_TOKEN\" >/dev/null\nRUN true\n");
    scene.write(
        "app.toml",
        "[secrets]\nNPM_TOKEN = {}\nOTHER = { scope = \"run\" }\nCALL = { from = { command = [\"true\"] } }\n",
    );
    let run = |line: &str| {
        let outcome = scene.pbuild().args(line.split_whitespace()).env("NPM_TOKEN", token.text()).run();
        assert!(!outcome.stdout_bytes().is_empty(), "{outcome:?}");
        outcome
    };
    follows("secrets-list", run("secrets list --json").stdout_bytes());
    scene.trust();
    scene.pbuild().args(["secrets", "init"]).run().expect_code(0);
    scene.pbuild().args(["secrets", "set", "SPARE"]).stdin("not declared by anybody").run().expect_code(0);
    follows("secrets-list", run("secrets list --json").stdout_bytes());
    follows("secrets-advise", run("secrets advise --json").stdout_bytes());
    follows("doctor", run("doctor --json").stdout_bytes());
    let doctor = scene.prun().args(["doctor", "--json"]).run();
    follows("doctor", doctor.stdout_bytes());
}

#[test]
fn the_lines_among_buildkits_follow_their_schema() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let token = scene.oracle().token("TOKEN");
    scene.write("Dockerfile", "FROM busybox\nRUN test -n \"$TOKEN\"\nRUN --mount=type=secret,id=TOKEN true\n");
    let image = ImageName::new(&engine, "offers");
    let words = ["build", "--progress", "rawjson", "-t", image.as_str(), "--secret", "id=TOKEN", "."];
    let outcome = scene.pbuild().args(words).env("TOKEN", token.text()).run();
    outcome.expect_code(0);
    let stderr = outcome.stderr();
    let ours: Vec<&str> = stderr.lines().filter(|line| line.starts_with("{\"pbuild\"")).collect();
    ours.iter().for_each(|line| follows("build-events", line.as_bytes()));
    assert_eq!(ours.iter().filter(|line| line.contains("\"offers\"")).count(), 1, "{ours:?}");
    assert!(ours.iter().any(|line| line.contains("\"label\":\"audit\"") && line.contains("clean")), "{ours:?}");
    // Programs read every line. A step occurs only once in a line, and begins before it ends.
    let time = |step: &serde_json::Value, key: &str| step[key].as_str().map(str::to_owned);
    for line in stderr.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
        let steps: Vec<&serde_json::Value> = event["vertexes"].as_array().into_iter().flatten().collect();
        let names: std::collections::BTreeSet<&str> = steps.iter().filter_map(|step| step["digest"].as_str()).collect();
        assert_eq!(names.len(), steps.len(), "{line}");
        assert!(
            steps.iter().all(|step| step["completed"].is_null() || time(step, "started") <= time(step, "completed"))
        );
    }
    // A failure is reported in the same form.
    scene.write("Dockerfile", "FROM busybox\nRUN exit 7\n");
    let failed = scene.pbuild().args(words).env("TOKEN", token.text()).run();
    failed.expect_code(1).expect_stderr("\"label\":\"error\"");
    assert!(failed.stderr().lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{failed:?}");
}

#[test]
fn variables_and_what_runs_follow_their_schemas() {
    let engine = Engine::get(Flavour::Modern);
    let app = App::new(&engine, "contract");
    let key = app.scene.oracle().token("APP_KEY");
    app.manifest(&format!("[env]\nMODE = \"production\"\n[secrets]\nAPP_KEY = {{}}\n{}", VALKEY.table()));
    app.prun(&["start"]).env("APP_KEY", key.text()).run().expect_code(0);
    let injected = app.prun(&["injected", "--format", "json"]).run();
    injected.expect_code(0);
    follows("injected", injected.stdout_bytes());
    assert!(injected.json()["variables"].as_array().is_some_and(|variables| variables.len() > 2), "{injected:?}");
    let ps = app.prun(&["ps", "--json"]).run();
    ps.expect_code(0);
    follows("ps", ps.stdout_bytes());
    assert_eq!(ps.json()["instances"][0]["process"], "app", "{ps:?}");

    let list = |words: &[&str]| {
        let outcome = app.prun(&[words, &["--json"]].concat()).run();
        outcome.expect_code(0);
        outcome
    };
    let all = list(&["ps", "--all"]);
    follows("ps-all", all.stdout_bytes());
    let projects = all.json()["projects"].as_array().cloned().unwrap_or_default();
    let own = projects.iter().find(|project| project["name"] == app.project.as_str()).expect("the project");
    assert_eq!(
        (&own["standing"], &own["instances"], &own["services"]),
        (&json!("operated"), &json!(1), &json!(["cache"]))
    );
    let services = list(&["services", "list"]);
    follows("services", services.stdout_bytes());
    let service = &services.json()["services"][0];
    assert_eq!((&service["state"], &service["credential"]), (&json!("running"), &json!("proven")), "{service}");
    let operators = list(&["operators", "list"]);
    follows("operators", operators.stdout_bytes());
    assert_eq!(operators.json()["id"], own["id"]);
    app.manifest(&format!("[env]\nMODE = \"test\"\nNEW = \"1\"\n[secrets]\nAPP_KEY = {{}}\n{}", VALKEY.table()));
    app.prun(&["start"]).env("APP_KEY", key.text()).run().expect_code(0);
    let generations = list(&["generations"]);
    follows("generations", generations.stdout_bytes());
    let newest = &generations.json()["generations"][0];
    assert_eq!((&newest["number"], &newest["changed"]), (&json!(2), &json!(["MODE", "+NEW"])), "{newest}");
    let by = operators.json()["operators"][0]["name"].clone();
    assert_eq!(newest["by"], by, "who made it stands there by name");
}
