//! The pages of reference in the book: they are made of the tools' own words and schemas, or held equal to the sources.
//!
//! A page that is stale is written anew with
//! `INSTA_UPDATE=always cargo nextest run -p acceptance --test reference`, in the environment of `scripts/test`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use ptest::{Scene, Tool};
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the root").to_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Compares a page with what it must be, or writes it anew.
#[track_caller]
fn hold(name: &str, page: &str) {
    let path = root().join("docs").join(name);
    if std::env::var_os("INSTA_UPDATE").is_some_and(|update| update == "always") {
        fs::write(&path, page).expect("a page of the book");
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    let differs = there.lines().zip(page.lines()).position(|(one, other)| one != other);
    let line = differs.unwrap_or_else(|| there.lines().count().min(page.lines().count())) + 1;
    assert!(
        there == page,
        "docs/{name} is stale from line {line} on; this writes it anew: \
         INSTA_UPDATE=always cargo nextest run -p acceptance --test reference"
    );
}

/// A text as a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// What a schema says that a value is.
fn kind(schema: &Value) -> String {
    let code = |value: &Value| format!("`{}`", value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    if let Some(value) = schema.get("const") {
        return code(value);
    }
    if let Some(values) = schema["enum"].as_array() {
        return values.iter().map(code).collect::<Vec<_>>().join(", ");
    }
    if let Some(kinds) = schema.get("anyOf").or(schema.get("oneOf")).and_then(Value::as_array) {
        return kinds.iter().map(kind).collect::<Vec<_>>().join(" or ");
    }
    let word = |word: &str| match word {
        "array" if schema["items"].is_object() && !schema["items"]["properties"].is_object() => {
            match schema["items"]["type"].as_str() {
                Some(word) if schema["items"]["enum"].is_null() => format!("list of {word}s"),
                _ => format!("list of {}", kind(&schema["items"])),
            }
        }
        "array" => "list".to_owned(),
        "object" if schema["properties"].is_object() => "object".to_owned(),
        "object" => "names and values".to_owned(),
        "boolean" => "true or false".to_owned(),
        other => other.to_owned(),
    };
    match &schema["type"] {
        Value::String(text) => word(text),
        Value::Array(words) => words.iter().filter_map(Value::as_str).map(word).collect::<Vec<_>>().join(" or "),
        _ => "object".to_owned(),
    }
}

/// The anchor of a heading that is the path of a table.
fn anchor(path: &str) -> String {
    path.replace('.', "").to_lowercase()
}

/// Writes one table of `app.toml` and, behind it, those that lie in it.
fn table(page: &mut String, heading: &str, path: &str, schema: &Value) {
    let _ =
        write!(page, "\n## {heading}\n\n{}\n", schema["description"].as_str().expect("every table says what it is"));
    let Some(keys) = schema["properties"].as_object() else { return };
    page.push_str("\n| key | | meaning |\n|---|---|---|\n");
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut below = Vec::new();
    for (key, about) in keys {
        let mut meaning = about["description"].as_str().expect("every key says what it is").to_owned();
        if let Some(usual) = about.get("default") {
            let _ = write!(meaning, " Default: `{}`.", usual.as_str().map_or_else(|| usual.to_string(), str::to_owned));
        }
        if required.contains(&key.as_str()) {
            meaning.push_str(" Required.");
        }
        let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let of_names = &about["additionalProperties"];
        let shown = if about["properties"].is_object() {
            below.push((format!("`[{inner}]`"), inner.clone(), about));
            format!("[table](#{})", anchor(&inner))
        } else if of_names["properties"].is_object() {
            below.push((format!("`[{inner}.NAME]`"), format!("{inner}.NAME"), of_names));
            format!("[tables](#{}name)", anchor(&inner))
        } else if about["items"]["properties"].is_object() {
            below.push((format!("`[[{inner}]]`"), inner.clone(), &about["items"]));
            format!("[list of tables](#{})", anchor(&inner))
        } else {
            kind(about)
        };
        let _ = writeln!(page, "| `{key}` | {} | {} |", cell(&shown), cell(&meaning));
    }
    for (heading, path, schema) in below {
        table(page, &heading, &path, schema);
    }
}

#[test]
fn the_page_about_the_manifest_is_that_of_its_schema() {
    let schema: Value = serde_json::from_str(&read(&root().join("docs/app.schema.json"))).expect("JSON");
    let mut page = "# app.toml\n\nThe manifest of both tools: names, never values. Editors with support for TOML complete keys and mark mistakes\n\
                    by its [schema](app.schema.json). A key that is in no table here is an error that names the nearest one.\n\nThis page is made from the schema, and a test compares the schema with the tools.\n"
        .to_owned();
    table(&mut page, "The file", "", &schema);
    hold("reference-app-toml.md", &page);
}

/// Lists the fields of an object and of what lies in it, such as `findings[].secret`.
fn fields(schema: &Value, whole: &Value, path: &str, rows: &mut Vec<(String, String, String)>) {
    let schema = match schema["$ref"].as_str().and_then(|place| place.strip_prefix('#')) {
        Some(place) => whole.pointer(place).expect("a definition that is there"),
        None => schema,
    };
    for (name, about) in schema["properties"].as_object().into_iter().flatten() {
        let inner = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let meaning = about["description"].as_str().unwrap_or_default();
        let row = (inner.clone(), kind(about), meaning.to_owned());
        if !rows.contains(&row) {
            rows.push(row);
        }
        fields(about, whole, &inner, rows);
    }
    fields_of_parts(schema, whole, path, rows);
}

fn fields_of_parts(schema: &Value, whole: &Value, path: &str, rows: &mut Vec<(String, String, String)>) {
    if schema["items"].is_object() {
        fields(&schema["items"], whole, &format!("{path}[]"), rows);
    }
    if schema["additionalProperties"].is_object() {
        fields(&schema["additionalProperties"], whole, &format!("{path}.NAME"), rows);
    }
    for word in ["oneOf", "anyOf", "allOf"] {
        schema[word].as_array().into_iter().flatten().for_each(|one| fields(one, whole, path, rows));
    }
}

#[test]
fn the_page_about_json_is_that_of_the_schemas() {
    let folder = root().join("docs/schemas");
    let mut names: Vec<PathBuf> =
        fs::read_dir(&folder).expect("docs/schemas").map(|entry| entry.expect("an entry").path()).collect();
    names.sort();
    let mut page = "# JSON for programs\n\nEach of these is a contract with a `version`: fields may be added under it; none changes its\nmeaning or goes. \
                    Text for people is no contract. No value of a secret is in any of them.\n\nThis page is made from the schemas, and a test compares what \
                    the tools print with these.\n"
        .to_owned();
    for path in names {
        let schema: Value = serde_json::from_str(&read(&path)).expect("JSON");
        let text = |key: &str| schema[key].as_str().expect("every schema has it");
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let commands: Vec<String> = text("title").split(", ").map(|command| format!("`{command}`")).collect();
        let _ = write!(page, "\n## {}\n\n{} [Schema](schemas/{name}).\n\n", commands.join(", "), text("description"));
        page.push_str("| field | | meaning |\n|---|---|---|\n");
        let mut rows = Vec::new();
        fields(&schema, &schema, "", &mut rows);
        for (field, kind, meaning) in rows {
            let _ = writeln!(page, "| `{field}` | {} | {} |", cell(&kind), cell(&meaning));
        }
    }
    hold("reference-json.md", &page);
}

/// Finds the commands of a tool by its manual pages: each names its command in the synopsis.
fn commands(scene: &Scene, tool: fn(&Scene) -> Tool<'_>) -> BTreeSet<String> {
    let folder = scene.temporary().join("man");
    tool(scene).arg("man").arg(&folder).run().expect_code(0);
    let pages = fs::read_dir(&folder).expect("manual pages").map(|entry| entry.expect("an entry").path());
    let synopsis = |page: &str| {
        let line = page.lines().skip_while(|line| *line != ".SH SYNOPSIS").nth(1)?;
        Some(line.strip_prefix("\\fB")?.split("\\fR").next()?.replace("\\-", "-"))
    };
    let found = pages.map(|page| synopsis(&read(&page)).unwrap_or_else(|| panic!("{} has a synopsis", page.display())));
    let found = found.collect();
    fs::remove_dir_all(&folder).expect("a folder of the test");
    found
}

fn page_of_commands(name: &str, tool: fn(&Scene) -> Tool<'_>) {
    let scene = Scene::new();
    let mut page = format!(
        "# Commands of {name}\n\nWhat `--help` prints, command by command; `-h` fits on one screen. `man {name}` has the same.\n\nThis page is made from the \
         program.\n"
    );
    let commands = commands(&scene, tool);
    assert!(commands.len() > 10, "{commands:?}");
    for command in commands {
        let words = command.split(' ').skip(1);
        let help = tool(&scene).args(words).arg("--help").run();
        help.expect_code(0);
        let text: Vec<String> = help.stdout().lines().map(|line| line.trim_end().to_owned()).collect();
        let _ = write!(page, "\n## {command}\n\n```text\n{}\n```\n", text.join("\n").trim_end());
    }
    hold(&format!("reference-{name}.md"), &page);
}

#[test]
fn the_page_about_pbuild_is_its_help() {
    page_of_commands("pbuild", Scene::pbuild);
}

#[test]
fn the_page_about_prun_is_its_help() {
    page_of_commands("prun", Scene::prun);
}

/// Takes the codes and their meaning from the comments of the one file that has them.
#[test]
fn the_page_about_exit_codes_is_that_of_the_file_that_has_them() {
    let source = include_str!("../../crates/pscreen/src/exit.rs");
    let codes = source.split("pub enum Ending").next().unwrap_or_default();
    let mut rows = String::new();
    for line in codes.lines().filter_map(|line| line.trim().strip_prefix("/// ")) {
        if let Some((code, meaning)) = line.split_once(": ").filter(|(code, _)| code.parse::<u8>().is_ok()) {
            let _ = writeln!(rows, "| {code} | {} |", cell(meaning.trim_end_matches('.')));
        }
    }
    assert!(rows.lines().count() >= 8, "{rows}");
    let page = format!(
        "# Exit codes\n\nThe codes of both tools; none ever changes its meaning.\n\n| code | meaning |\n|---|---|\n{rows}\
         | 130 | interrupted: SIGINT, Ctrl-C |\n| 141 | nobody reads the output any more, as after `\\| head` |\n\
         | 143 | asked to end: SIGTERM, or SIGHUP |\n\n\
         `prun exec` and `prun run` end with the code of the command that they ran, and with 125 where they could not run it.\n\
         A script that asks for more than success asks for 10 and 11:\n\n\
         ```sh\n\
         pbuild audit shop:1 --env-file .env && echo proven\n\
         case $? in 10) echo leak ;; 11) echo \"not everything was searched\" ;; esac\n\
         ```\n"
    );
    hold("reference-exit-codes.md", &page);
    let readme = read(&root().join("README.md"));
    for row in ["| 10 |", "| 11 |", "| 30 |", "| 40 |", "| 41 |"] {
        assert!(page.contains(row) && readme.contains(row), "{row}");
    }
}

/// Beginnings of names that are variables of the environment wherever the tools' sources have them as a text.
const BEGINNINGS: [&str; 10] =
    ["PBUILD_", "PRUN_", "DOCKER_", "BUILDX_", "BUILDKIT_", "XDG_", "ACTIONS_", "AWS_", "GIT_AUTH_", "EXPERIMENTAL_"];
/// Names in the sources that no user sets: what build scripts hand over, what docker and pbuild tell their own children, and
/// beginnings of names.
const INTERNAL: [&str; 12] = [
    "PBUILD_",
    "PBUILD_VERSION",
    "PBUILD_SEARCH",
    "PBUILD_HANDED_ON",
    "PBUILD_IN_PLACE_OF_BUILDX",
    "PRUN_VERSION",
    "PRUN_FAULT",
    "DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND",
    "DOCKER_CLI_PLUGIN_SOCKET",
    "BUILDKIT_",
    "BUILDKIT_FRONTEND_OPT_",
    "AWS_",
];
/// Variables that crates of others read, or that are read when the tools are compiled.
const OF_OTHERS: [&str; 4] = ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "PBUILD_EMBED"];
/// The crates whose sources read the environment.
const READERS: [&str; 7] = ["pbuild", "prun", "pcli", "pscreen", "pengine", "pbuildkit", "pvault"];

fn is_name(text: &str) -> bool {
    text.len() > 1
        && text.starts_with(|c: char| c.is_ascii_uppercase())
        && text.chars().all(|c| c == '_' || c.is_ascii_uppercase() || c.is_ascii_digit())
}

/// Lists the texts in capitals of the sources that users run.
fn names_of_the_sources() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut open: Vec<PathBuf> = READERS.iter().map(|name| root().join("crates").join(name).join("src")).collect();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).expect("sources").map(|entry| entry.expect("an entry").path()));
        } else if path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with("tests.rs") {
            let source = read(&path);
            let code = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            let code = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
            names.extend(code.split('"').filter(|text| is_name(text)).map(str::to_owned));
        }
    }
    names
}

#[test]
fn the_page_about_the_environment_has_what_the_sources_read_and_nothing_else() {
    let page = read(&root().join("docs/reference-environment.md"));
    // The tables' first cells, and the line about build arguments.
    let rows = page.lines().filter(|line| line.starts_with("| `") || line.starts_with("These are build arguments"));
    let first = rows.map(|row| if row.starts_with('|') { row.split(" | ").next().unwrap_or_default() } else { row });
    let listed: BTreeSet<String> = first
        .flat_map(|text| text.split('`').skip(1).step_by(2))
        .filter(|text| is_name(text))
        .map(str::to_owned)
        .collect();
    assert!(listed.len() > 30, "{listed:?}");
    let names = names_of_the_sources();
    let is_variable = |name: &&String| {
        BEGINNINGS.iter().any(|beginning| name.starts_with(beginning)) && !INTERNAL.contains(&name.as_str())
    };
    let missing: Vec<_> = names.iter().filter(is_variable).filter(|name| !listed.contains(*name)).collect();
    let all: String = READERS.iter().map(|name| sources_of(name)).collect();
    let read_nowhere = |name: &&String| !all.contains(name.as_str()) && !OF_OTHERS.contains(&name.as_str());
    let in_vain: Vec<_> = listed.iter().filter(read_nowhere).collect();
    assert!(missing.is_empty() && in_vain.is_empty(), "the page lacks {missing:?} and lists in vain {in_vain:?}");
}

/// The sources of a crate as one text.
fn sources_of(name: &str) -> String {
    let mut open = vec![root().join("crates").join(name).join("src")];
    let mut all = String::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).expect("sources").map(|entry| entry.expect("an entry").path()));
        } else {
            all.push_str(&read(&path));
        }
    }
    all
}
