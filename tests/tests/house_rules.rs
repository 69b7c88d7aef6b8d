//! The three locks and the rules of the workspace, as tests. They read the sources, so they need no engine.

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

/// Reads the cells of all rows of the Markdown table after a heading.
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

/// Returns the words in backticks of one cell.
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

/// Lists everything that a crate links, directly or indirectly, except for dependencies of build scripts and tests.
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
    for forbidden in ["pbuild", "pscan", "pimage", "pbuildkit", "pgateway", "pllb", "pfrontend"] {
        assert!(!start.contains(forbidden), "`prun` links `{forbidden}` by some path");
    }
    assert!(start.contains("pcredential"), "the list of what prun links is real");
}

/// The frontend has no client, no engine and no value: it only names secrets, and the engine mounts them for the
/// scanner.
#[test]
fn the_frontend_has_no_way_to_a_value() {
    let frontend = linked("pfrontend");
    for forbidden in ["pbuild", "pbuildkit", "pengine", "pcli", "pvault", "pcredential", "prun", "pshim"] {
        assert!(!frontend.contains(forbidden), "`pfrontend` links `{forbidden}` by some path");
    }
    assert!(frontend.contains("pproof"), "the list of what pfrontend links is real");
    for path in rust_sources("crates/pfrontend") {
        let text = read(&path);
        for way in ["expose", "UserSecret", "disallowed_methods"] {
            assert!(!text.contains(way), "{} holds `{way}`", shown(&path));
        }
    }
}

#[test]
fn only_the_two_tools_link_the_edge() {
    // The fuzz targets are not a part of the product: they link the crates that they test, and no crate links them.
    for name in rooms().into_keys().filter(|name| !["pbuild", "prun", "pfuzz"].contains(&name.as_str())) {
        assert!(!linked(&name).contains("pcli"), "`{name}` links `pcli`");
    }
    for tool in ["pbuild", "prun"] {
        assert!(!linked(tool).contains("pfuzz"), "`{tool}` links `pfuzz`");
    }
}

#[test]
fn the_dry_middle_knows_no_runtime_no_engine_and_no_command_line() {
    for name in ["psecret", "pcredential", "pimage", "pscan", "pvault", "papp", "pllb", "pstage"] {
        let linked = linked(name);
        for forbidden in ["tokio", "bollard", "clap"] {
            assert!(!linked.contains(forbidden), "`{name}` links `{forbidden}`");
        }
    }
}

/// A door in the code: its number, its reason and its file.
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

/// Every type with an `expose` is on the list of disallowed methods, so that a new way to plaintext cannot go
/// unnoticed.
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

/// Attributes that would silence a check. They are written in two halves, so that this file does not contain them.
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

/// Each tool reads its flags in one place, and converts them to checked types there: no later code names clap or a
/// struct that clap fills. `pbuild` converts them in `plan`, `prun` in `command` itself. The root modules pass the
/// struct from one to the other.
#[test]
fn nothing_behind_the_command_line_knows_its_flags() {
    let mut found = Vec::new();
    for (tool, turned_in) in [("pbuild", "plan"), ("prun", "command")] {
        for (module, source) in modules(&format!("crates/{tool}")) {
            let code = source.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            let code: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            let code = code.join("\n");
            let is_below = |folder: &str| format!("{module}::").starts_with(&format!("{folder}::"));
            if is_below("command") {
                continue;
            }
            let words = |c: char| c != '_' && !c.is_alphanumeric();
            if code.split(words).any(|word| word == "clap") {
                found.push(format!("{tool}::{module} names clap"));
            }
            let names_flags = code.split(words).any(|word| word.ends_with("Arguments"));
            // The module `fuzzing` passes single flags on, as the command line does.
            if names_flags && !is_below(turned_in) && module != "fuzzing" {
                found.push(format!("{tool}::{module} names a struct of flags"));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Lists the sources of a crate by module, such as `output::destination`. The root modules and modules of tests are
/// left out.
fn modules(folder: &str) -> BTreeMap<String, String> {
    let source = root().join(folder).join("src");
    let mut modules = BTreeMap::new();
    for path in rust_sources(&format!("{folder}/src")) {
        let name = path.strip_prefix(&source).expect("below src").with_extension("").display().to_string();
        let name = name.strip_suffix("/mod").unwrap_or(&name).replace('/', "::");
        if !["lib", "main"].contains(&name.as_str()) {
            modules.insert(name, read(&path));
        }
    }
    let only_tests: Vec<String> = rust_sources(&format!("{folder}/src"))
        .iter()
        .flat_map(|path| read(path).split("#[cfg(test)]\nmod ").skip(1).map(str::to_owned).collect::<Vec<_>>())
        .filter_map(|rest| Some(rest.split_once(';')?.0.to_owned()))
        .collect();
    modules.retain(|name, _| !name.split("::").any(|part| only_tests.iter().any(|test| test == part)));
    modules
}

/// Reads a path or a tree of paths, such as `a::{b, c::D}`, adds each path after `before` to `paths`, and returns the
/// rest of the text.
fn spell_out<'a>(text: &'a str, before: &[&'a str], paths: &mut Vec<Vec<&'a str>>) -> &'a str {
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = spell_out(rest.trim_start(), before, paths).trim_start_matches(|c| c != ',' && c != '}');
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None => return rest.strip_prefix('}').unwrap_or(rest),
            }
        }
    }
    let word = |c: char| c == '_' || c.is_alphanumeric();
    let (name, rest) = text.split_at(text.find(|c| !word(c)).unwrap_or(text.len()));
    let path = [before, &[name]].concat();
    match rest.strip_prefix("::") {
        Some(deeper) if deeper.starts_with(|c| word(c) || c == '{') => spell_out(deeper, &path, paths),
        _ => {
            paths.push(path);
            rest
        }
    }
}

/// Returns the module that a path in the module `from` leads to, which is the longest beginning of the path that is a
/// module. A name that a module re-exports from a child leads to the child.
fn resolved(path: &[&str], from: &str, modules: &BTreeMap<String, String>) -> String {
    let mut at: Vec<&str> = if path[0] == "crate" { Vec::new() } else { from.split("::").collect() };
    for name in path.iter().filter(|name| !["crate", "self"].contains(name)) {
        if *name == "super" {
            at.pop();
        } else if modules.contains_key(&[at.as_slice(), &[name]].concat().join("::")) {
            at.push(name);
        } else {
            let module = at.join("::");
            return handed_on(name, &module, modules).unwrap_or(module);
        }
    }
    at.join("::")
}

/// Returns the child from which a module re-exports a name, as in `pub(crate) use child::Name;`.
fn handed_on(name: &str, module: &str, modules: &BTreeMap<String, String>) -> Option<String> {
    let uses = modules.get(module)?.split("\npub").skip(1).filter_map(|rest| {
        rest.strip_prefix(" use ")
            .or_else(|| rest.strip_prefix("(crate) use "))
            .or_else(|| rest.strip_prefix("(super) use "))
    });
    uses.flat_map(|tree| {
        let mut paths = Vec::new();
        spell_out(tree, &[], &mut paths);
        paths
    })
    .filter(|path| path.last() == Some(&name))
    .map(|path| resolved(&[&["self"], path.as_slice()].concat(), module, modules))
    .find(|target| target != module)
}

/// Returns the modules that each module names. A parent may name its children, and a child may use the modules that
/// contain it. Names from the crate's root are ignored, because the root only re-exports them.
fn named(modules: &BTreeMap<String, String>) -> BTreeMap<String, BTreeSet<String>> {
    let mut named = BTreeMap::new();
    for (from, source) in modules {
        let code = source.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let code: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let code = code.join("\n");
        let mut paths = Vec::new();
        for start in ["crate::", "self::", "super::"].into_iter().flat_map(|start| code.match_indices(start)) {
            if !code[..start.0].ends_with(|c: char| c == '_' || c == ':' || c == '$' || c.is_alphanumeric()) {
                spell_out(&code[start.0..], &[], &mut paths);
            }
        }
        let mut targets: BTreeSet<String> = paths.iter().map(|path| resolved(path, from, modules)).collect();
        let children = modules.keys().filter(|name| name.rsplit_once("::").is_some_and(|(parent, _)| parent == from));
        targets.extend(children.cloned());
        targets.retain(|target| !target.is_empty() && !format!("{from}::").starts_with(&format!("{target}::")));
        named.insert(from.clone(), targets);
    }
    named
}

/// Finds the sets of modules in which each module leads to every other one.
fn circles(modules: &BTreeMap<String, String>) -> BTreeSet<BTreeSet<String>> {
    let named = named(modules);
    let reached = |from: &String| {
        let mut reached = BTreeSet::new();
        let mut open = vec![from];
        while let Some(module) = open.pop() {
            open.extend(named[module].iter().filter(|next| reached.insert((*next).clone())));
        }
        reached
    };
    let reached: BTreeMap<&String, BTreeSet<String>> = named.keys().map(|from| (from, reached(from))).collect();
    let circle = |from: &&String| {
        let back = |other: &&String| reached[*other].contains(*from);
        reached[*from].iter().filter(back).cloned().collect::<BTreeSet<String>>()
    };
    reached.keys().map(circle).filter(|circle| !circle.is_empty()).collect()
}

/// A packed stream is searched by a searcher, and a searcher opens packed streams, so this recursion is necessary.
const TRUE_RECURSION: (&str, [&str; 2]) = ("pscan", ["packed", "search"]);

#[test]
fn no_two_files_of_a_crate_import_each_other_in_a_circle() {
    let mut found = Vec::new();
    for name in rooms().into_keys() {
        for circle in circles(&modules(&format!("crates/{name}"))) {
            let true_recursion = name == TRUE_RECURSION.0 && circle.iter().eq(TRUE_RECURSION.1);
            if !true_recursion {
                found.push(format!("{name}: {}", circle.into_iter().collect::<Vec<_>>().join(", ")));
            }
        }
    }
    assert!(found.is_empty(), "circles of files:\n{}", found.join("\n"));
}

#[test]
fn a_circle_is_seen_however_the_files_name_each_other() {
    let circles = |files: &[(&str, &str)]| {
        let files = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        circles(&files).into_iter().map(|circle| circle.into_iter().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    let tree =
        [("a", "use crate::{Root, b::{self, B as Other}};"), ("b", "fn f() -> crate::a::A { todo() }"), ("c", "")];
    assert_eq!(circles(&tree), ["a b"]);
    let through_a_third =
        [("a", "use crate::b::C;"), ("b", "mod c;\npub use c::C;"), ("b::c", "use super::super::a::A;")];
    assert_eq!(circles(&through_a_third), ["a b::c"]);
    let siblings =
        [("a", ""), ("a::b", "use super::c;"), ("a::c", "use crate::a::b::*;"), ("d", "use crate::a::b::B;")];
    assert_eq!(circles(&siblings), ["a::b a::c"]);
    let harmless = [
        ("a", "mod b;\nuse crate::Root;\n// crate::c::C\n#[cfg(test)]\nmod tests {\n    use crate::c::C;\n}"),
        ("a::b", "use super::A;\nuse crate::a::{self, A};"),
        ("c", "use crate::a::b::B;"),
    ];
    assert_eq!(circles(&harmless), Vec::<String>::new());
}
