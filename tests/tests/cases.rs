//! Every case of bad input and of faults that the product answers for has a test that names it, or a line in
//! `docs/limits.md` that says why not. A test names a case in its own name (`…_d4`) or in a comment beside it (`D4`).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The families of cases: letter, what they are about, how many there are. Numbers that were never given are left out.
const FAMILIES: &[(char, &str, u32, &[u32])] = &[
    ('A', "archives and layers", 18, &[]),
    ('B', "builds and engines", 25, &[]),
    ('C', "command line and configuration", 20, &[]),
    ('D', "env files", 19, &[]),
    ('F', "Dockerfiles", 20, &[]),
    ('S', "secrets as needles", 21, &[3]),
    ('L', "masking of logs", 12, &[]),
    ('K', "the sealed store", 14, &[]),
    ('R', "services, rotation and delivery", 17, &[]),
    ('P', "what always holds, of these the two of the runtime", 6, &[1, 2, 3, 4]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the root").to_owned()
}

fn rust_sources() -> Vec<PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![root().join("crates"), root().join("tests")]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the house") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() && path.file_name().is_none_or(|name| name != "target") {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found
}

/// The part of a source that is tests.
fn tests_of(path: &Path, text: &str) -> String {
    let relative = path.strip_prefix(root()).expect("a path of the house");
    let inside =
        relative.iter().any(|part| part == "tests") || path.ends_with("tests.rs") || path.ends_with("property.rs");
    if inside {
        return text.to_owned();
    }
    text.split_once("#[cfg(test)]").map(|(_, tests)| tests.to_owned()).unwrap_or_default()
}

/// The cases that one line names: words of a comment, or the parts of a function's name.
fn named(line: &str) -> Vec<String> {
    let line = line.trim_start();
    let is_case = |word: &str| {
        let mut characters = word.chars();
        let letter = characters.next();
        letter.is_some_and(|letter| letter.is_ascii_uppercase())
            && (1..3).contains(&characters.as_str().len())
            && characters.all(|digit| digit.is_ascii_digit())
    };
    let comment = line.split_once("//").map(|(_, comment)| comment).unwrap_or_default();
    let words = comment.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| is_case(word)).map(str::to_owned);
    let name = line
        .split_once("fn ")
        .and_then(|(_, rest)| rest.split_once('('))
        .map(|(name, _)| name.to_uppercase())
        .unwrap_or_default();
    words.chain(name.split('_').filter(|part| is_case(part)).map(str::to_owned)).collect()
}

#[test]
fn every_case_has_a_test_that_names_it_or_a_limit_that_says_why_not() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let own = root().join("tests/tests/cases.rs");
    for path in rust_sources().into_iter().filter(|path| *path != own) {
        let text = fs::read_to_string(&path).expect("a source of the house");
        for case in tests_of(&path, &text).lines().flat_map(named) {
            places.entry(case).or_default().push(path.display().to_string());
        }
    }
    let limits = fs::read_to_string(root().join("docs/limits.md")).expect("docs/limits.md");
    let limited = limits
        .split('[')
        .skip(1)
        .filter_map(|rest| rest.split_once(']'))
        .flat_map(|(inside, _)| inside.split(',').map(|case| case.trim().to_owned()).collect::<Vec<_>>());
    for case in limited {
        places.entry(case).or_default().push("docs/limits.md".to_owned());
    }
    let cases = FAMILIES.iter().flat_map(|(letter, about, last, never)| {
        (1..=*last).filter(|number| !never.contains(number)).map(move |number| (format!("{letter}{number}"), *about))
    });
    let missing: Vec<String> =
        cases.filter(|(case, _)| !places.contains_key(case)).map(|(case, about)| format!("{case} ({about})")).collect();
    assert!(missing.is_empty(), "neither a test nor docs/limits.md names {missing:#?}");
}

#[test]
fn a_case_is_read_from_a_name_and_from_a_comment_and_from_nothing_else() {
    assert_eq!(named("    fn an_error_shows_no_value_d19() {"), ["D19"]);
    assert_eq!(named("fn both_c2_c3() {"), ["C2", "C3"]);
    assert_eq!(named("/// K4, K5: a damaged store."), ["K4", "K5"]);
    assert!(named("let x = \"C2\"; fn c() {").is_empty());
    assert!(named("/// SHA256 and X509 are none").is_empty());
}
