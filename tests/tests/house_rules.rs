//! The three locks and the habits of the house, as tests. They read the sources, so they need no engine.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the root").to_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The cells of every row of the Markdown table that follows the heading.
fn table(document: &str, heading: &str) -> Vec<Vec<String>> {
    let (_, section) = document.split_once(heading).unwrap_or_else(|| panic!("no section {heading:?}"));
    section
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect())
        .collect()
}

/// The words in backticks of one cell.
fn words(cell: &str) -> BTreeSet<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn rooms() -> BTreeMap<String, BTreeSet<String>> {
    let document = read(&root().join("docs/architecture.md"));
    table(&document, "## Rooms")
        .into_iter()
        .map(|row| (words(&row[0]).into_iter().next().expect("a crate's name in backticks"), words(&row[2])))
        .collect()
}

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(root())
        .output()
        .expect("cargo runs, since it runs this test");
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cargo prints UTF-8")
}

/// Everything that a crate links in the end, build scripts' own needs and tests left out.
fn linked(package: &str) -> BTreeSet<String> {
    cargo(&["tree", "--offline", "--package", package, "--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != package)
        .map(str::to_owned)
        .collect()
}

fn rust_sources(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().join(folder)];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).expect("a folder of the house") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() && path.file_name().is_none_or(|name| name != "target") {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).expect("a path of the house").display().to_string()
}

#[test]
fn every_crate_links_only_what_the_table_of_rooms_allows() {
    let rooms = rooms();
    let on_disk: BTreeSet<String> = fs::read_dir(root().join("crates"))
        .expect("crates/")
        .map(|entry| entry.expect("a readable entry").file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(on_disk, rooms.keys().cloned().collect(), "docs/architecture.md lists the crates that exist");

    let metadata: serde_json::Value =
        serde_json::from_str(&cargo(&["metadata", "--offline", "--no-deps", "--format-version", "1"]))
            .expect("cargo metadata prints JSON");
    for package in metadata["packages"].as_array().expect("packages") {
        let name = package["name"].as_str().expect("a name");
        let Some(allowed) = rooms.get(name) else {
            assert_eq!(name, "acceptance", "every package has a row");
            continue;
        };
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let target = dependency["name"].as_str().expect("a name");
            let development = dependency["kind"].as_str() == Some("dev");
            if rooms.contains_key(target) && !development {
                assert!(allowed.contains(target), "`{name}` links `{target}`, which the table does not allow");
            }
        }
    }
}

#[test]
fn no_path_leads_from_the_build_to_a_service_credential() {
    let build = linked("pbuild");
    for forbidden in ["pcredential", "prun", "pshim"] {
        assert!(!build.contains(forbidden), "`pbuild` links `{forbidden}` by some path");
    }
    assert!(build.contains("psecret"), "the list of what pbuild links is real");
}

#[test]
fn no_path_leads_from_the_start_to_the_scanner() {
    let start = linked("prun");
    for forbidden in ["pbuild", "pscan", "pimage", "pbuildkit"] {
        assert!(!start.contains(forbidden), "`prun` links `{forbidden}` by some path");
    }
    assert!(start.contains("pcredential"), "the list of what prun links is real");
}

#[test]
fn only_the_two_tools_link_the_edge() {
    // The fuzz targets are no part of the product: they link what they try, and nothing links them.
    for name in rooms().into_keys().filter(|name| !["pbuild", "prun", "pfuzz"].contains(&name.as_str())) {
        assert!(!linked(&name).contains("pcli"), "`{name}` links `pcli`");
    }
    for tool in ["pbuild", "prun"] {
        assert!(!linked(tool).contains("pfuzz"), "`{tool}` links `pfuzz`");
    }
}

#[test]
fn the_dry_middle_knows_no_runtime_no_engine_and_no_command_line() {
    for name in ["psecret", "pcredential", "pimage", "pscan", "pvault", "papp"] {
        let linked = linked(name);
        for forbidden in ["tokio", "bollard", "clap"] {
            assert!(!linked.contains(forbidden), "`{name}` links `{forbidden}`");
        }
    }
}

/// A door in the code: its number, its reason, its file.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Door {
    number: u32,
    reason: String,
    file: String,
}

fn doors_in_code() -> BTreeSet<Door> {
    let mut doors = BTreeSet::new();
    for path in rust_sources("crates") {
        let text = read(&path).replace("\n", " ");
        for part in text.split("clippy::disallowed_methods").skip(1) {
            let attribute: String = part.chars().take(400).collect();
            let reason = attribute
                .split_once("reason = \"")
                .and_then(|(_, rest)| rest.split_once('"'))
                .map(|(reason, _)| reason)
                .unwrap_or_else(|| panic!("{}: a disallowed method is allowed without a reason", shown(&path)));
            let Some((number, reason)) = reason.strip_prefix("door ").and_then(|rest| rest.split_once(": ")) else {
                panic!("{}: {reason:?} is not of the form `door N: why`", shown(&path));
            };
            let number = number.parse().unwrap_or_else(|_| panic!("{}: door {number:?}", shown(&path)));
            assert!(
                doors.insert(Door { number, reason: reason.to_owned(), file: shown(&path) }),
                "{}: door {number} stands twice",
                shown(&path)
            );
        }
    }
    doors
}

#[test]
fn every_door_is_on_the_list_and_every_listed_door_exists() {
    let document = read(&root().join("docs/doors.md"));
    let listed: BTreeSet<Door> = table(&document, "# Doors")
        .into_iter()
        .map(|row| Door {
            number: row[0].parse().expect("a door's number"),
            file: words(&row[1]).into_iter().next().expect("a file in backticks"),
            reason: row[2].clone(),
        })
        .collect();
    let found = doors_in_code();
    let row = |door: &Door| format!("| {} | `{}` | {} |", door.number, door.file, door.reason);
    let missing: Vec<_> = found.difference(&listed).map(row).collect();
    let stale: Vec<_> = listed.difference(&found).map(row).collect();
    assert!(missing.is_empty() && stale.is_empty(), "docs/doors.md lacks {missing:#?} and lists in vain {stale:#?}");
    let numbers: BTreeSet<u32> = found.iter().map(|door| door.number).collect();
    assert_eq!(numbers.len(), found.len(), "each door has a number of its own");
}

/// Every type that has an `expose` is on the list of disallowed methods, so that nobody opens a new way unseen.
#[test]
fn clippy_disallows_every_way_to_plaintext() {
    let policy = read(&root().join("clippy.toml"));
    for method in ["psecret::UserSecret::expose", "pcredential::ServiceCredential::expose"] {
        assert!(policy.contains(method), "clippy.toml disallows `{method}`");
    }
    let ways: usize = rust_sources("crates").iter().map(|path| read(path).matches("fn expose(").count()).sum();
    assert_eq!(policy.matches("::expose\"").count(), ways, "each `fn expose` has a line in clippy.toml");
    assert!(read(&root().join("Cargo.toml")).contains("disallowed_methods = \"deny\""));
}

#[test]
fn every_package_obeys_the_lints_of_the_root() {
    for manifest in fs::read_dir(root().join("crates"))
        .expect("crates/")
        .map(|entry| entry.expect("a readable entry").path().join("Cargo.toml"))
        .chain([root().join("tests/Cargo.toml")])
    {
        assert!(read(&manifest).contains("[lints]\nworkspace = true"), "{}", shown(&manifest));
    }
}

/// Attributes that would silence a guard. Spelled in halves, so that this file does not hold them itself.
#[test]
fn no_test_is_ignored_and_no_lint_is_silenced_without_a_reason() {
    let forbidden = [concat!("#[", "ignore"), concat!("#[", "allow("), concat!("#![", "allow("), concat!("todo", "!(")];
    for path in rust_sources("crates").into_iter().chain(rust_sources("tests")) {
        let text = read(&path);
        for word in forbidden {
            assert!(!text.contains(word), "{} holds `{word}`", shown(&path));
        }
    }
}

#[test]
fn unsafe_stands_only_where_it_is_named() {
    let keyword = concat!("unsafe", " ");
    for path in rust_sources("crates") {
        let name = shown(&path);
        if name.starts_with("crates/pshim/") || name == "crates/pscan/src/filter/kernel.rs" {
            continue;
        }
        let code = read(&path).lines().any(|line| !line.trim_start().starts_with("//") && line.contains(keyword));
        assert!(!code, "{name} holds `unsafe`");
    }
}

#[test]
fn no_module_hides_a_second_noun() {
    for path in rust_sources("crates").into_iter().chain(rust_sources("tests")) {
        let lines = read(&path).lines().count();
        assert!(lines <= 600, "{} has {lines} lines", shown(&path));
    }
}
