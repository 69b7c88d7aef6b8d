//! The schema of `app.toml`, which editors use, describes exactly the keys that the tools accept.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use ptest::Scene;
use serde_json::Value;

/// Every table: the path of its keys in the schema, and a manifest with an unknown key in the table.
const TABLES: [(&str, &str); 13] = [
    ("", "zzzzzzzzzz = 1\nsecrets = {}\n"),
    ("/properties/build", "[build]\nzzzzzzzzzz = 1\n"),
    ("/properties/env_files/items", "env_files = [{ zzzzzzzzzz = 1 }]\n"),
    ("/properties/secrets/additionalProperties", "[secrets.A]\nzzzzzzzzzz = 1\n"),
    ("/properties/secrets/additionalProperties/properties/from", "[secrets.A.from]\nzzzzzzzzzz = 1\n"),
    ("/properties/services/additionalProperties", "[services.a]\nzzzzzzzzzz = 1\n"),
    (
        "/properties/services/additionalProperties/properties/external",
        "[services.a]\nkind = \"postgres\"\nexternal = { zzzzzzzzzz = 1 }\n",
    ),
    ("/properties/init/items", "[[init]]\nzzzzzzzzzz = 1\n"),
    ("/properties/processes/additionalProperties", "[processes.a]\nzzzzzzzzzz = 1\n"),
    ("/properties/processes/additionalProperties/properties/health", "[processes.a.health]\nzzzzzzzzzz = 1\n"),
    ("/properties/processes/additionalProperties/properties/schedule", "[processes.a.schedule]\nzzzzzzzzzz = 1\n"),
    ("/properties/run", "[run]\nzzzzzzzzzz = 1\n"),
    ("/properties/run/properties/health", "[run.health]\nzzzzzzzzzz = 1\n"),
];

fn schema() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/app.schema.json");
    serde_json::from_str(&fs::read_to_string(path).expect("the schema")).expect("JSON")
}

#[test]
fn the_schema_knows_the_keys_that_the_tools_know() {
    let (schema, scene) = (schema(), Scene::new());
    for (pointer, manifest) in TABLES {
        let table = schema.pointer(pointer).unwrap_or_else(|| panic!("{pointer} is in the schema"));
        assert_eq!(table["additionalProperties"], Value::Bool(false), "{pointer}");
        let keys: BTreeSet<&str> = table["properties"].as_object().expect("keys").keys().map(String::as_str).collect();
        scene.write("app.toml", manifest);
        let list = scene.pbuild().args(["secrets", "list"]).run();
        list.expect_code(2);
        let said = list.stderr();
        let known = said.lines().find_map(|line| line.split_once("known here: ")).map(|(_, known)| known);
        let known: BTreeSet<&str> = known.unwrap_or_else(|| panic!("{manifest}{said}")).trim().split(", ").collect();
        assert_eq!(keys, known, "{pointer}");
    }
}

#[test]
fn the_choices_of_the_schema_are_those_of_the_tools() {
    let (schema, scene) = (schema(), Scene::new());
    for (pointer, manifest) in [
        ("/properties/build/properties/inject", "[build]\ninject = \"z\"\n"),
        ("/properties/env_files/items/properties/dialect", "env_files = [{ path = \"a\", dialect = \"z\" }]\n"),
        ("/properties/secrets/additionalProperties/properties/scope", "[secrets.A]\nscope = \"z\"\n"),
        ("/properties/secrets/additionalProperties/properties/as", "[secrets.A]\nas = \"z\"\n"),
        ("/properties/services/additionalProperties/properties/kind", "[services.a]\nkind = \"z\"\n"),
        (
            "/properties/services/additionalProperties/properties/rights",
            "[services.a]\nkind = \"postgres\"\nrights = \"z\"\n",
        ),
        ("/properties/run/properties/deliver", "[run]\ndeliver = \"z\"\n"),
    ] {
        let choices = schema.pointer(pointer).and_then(|key| key["enum"].as_array()).expect("choices");
        let choices: Vec<&str> = choices.iter().filter_map(Value::as_str).collect();
        scene.write("app.toml", manifest);
        scene
            .pbuild()
            .args(["secrets", "list"])
            .run()
            .expect_code(2)
            .expect_stderr(&format!("one of {}", choices.join(", ")));
    }
}
