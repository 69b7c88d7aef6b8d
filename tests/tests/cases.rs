//! `docs/cases.md` describes each case of bad input and of faults. Every case on that page has a test that names it,
//! in the test's name (`…_d4`) or in a comment beside it (`D4`), or has a line in `docs/limits.md` with the reason
//! why it has no test. Every case that the sources cite is on the page.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The cases that no single test names, because every test covers them: the oracle searches every run, and masking
/// has property tests.
const EVERYWHERE: [&str; 2] = ["P1", "P2"];

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

/// Returns the part of a source file that consists of tests.
fn tests_of(path: &Path, text: &str) -> String {
    let relative = path.strip_prefix(root()).expect("a path of the house");
    let inside =
        relative.iter().any(|part| part == "tests") || path.ends_with("tests.rs") || path.ends_with("property.rs");
    if inside {
        return text.to_owned();
    }
    text.split_once("#[cfg(test)]").map(|(_, tests)| tests.to_owned()).unwrap_or_default()
}

/// Returns true if a word is a case: a letter, and a number of one or two digits.
fn is_case(word: &str) -> bool {
    let mut characters = word.chars();
    let letter = characters.next();
    letter.is_some_and(|letter| letter.is_ascii_uppercase())
        && (1..3).contains(&characters.as_str().len())
        && characters.all(|digit| digit.is_ascii_digit())
}

/// Returns the cases that a line names, as words of a comment or as parts of a function's name.
fn named(line: &str) -> Vec<String> {
    let line = line.trim_start();
    let comment = line.split_once("//").map(|(_, comment)| comment).unwrap_or_default();
    let words = comment.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| is_case(word)).map(str::to_owned);
    let name = line
        .split_once("fn ")
        .and_then(|(_, rest)| rest.split_once('('))
        .map(|(name, _)| name.to_uppercase())
        .unwrap_or_default();
    words.chain(name.split('_').filter(|part| is_case(part)).map(str::to_owned)).collect()
}

/// Reads the cases of the page with their descriptions.
fn catalogue() -> BTreeMap<String, String> {
    let page = fs::read_to_string(root().join("docs/cases.md")).expect("docs/cases.md");
    let row = |line: &str| {
        let (case, about) = line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | ")?;
        is_case(case).then(|| (case.to_owned(), about.to_owned()))
    };
    let rows: Vec<(String, String)> = page.lines().filter_map(row).collect();
    let cases: BTreeMap<String, String> = rows.iter().cloned().collect();
    assert_eq!(cases.len(), rows.len(), "each case has one line");
    cases
}

/// Finds the cases that sources cite, with the files. `part` selects all of a file's text, or only its tests.
fn cited(part: impl Fn(&Path, &str) -> String) -> BTreeMap<String, BTreeSet<String>> {
    let mut places: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in rust_sources().into_iter().filter(|path| !path.ends_with("tests/tests/cases.rs")) {
        let text = fs::read_to_string(&path).expect("a source of the house");
        for case in part(&path, &text).lines().flat_map(named) {
            places.entry(case).or_default().insert(path.display().to_string());
        }
    }
    places
}

/// Reads the cases that `docs/limits.md` has in square brackets.
fn limited() -> BTreeSet<String> {
    let limits = fs::read_to_string(root().join("docs/limits.md")).expect("docs/limits.md");
    let brackets = limits.split('[').skip(1).filter_map(|rest| rest.split_once(']')).map(|(inside, _)| inside);
    brackets
        .flat_map(|inside| inside.split(',').map(str::trim))
        .filter(|word| is_case(word))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_case_has_a_test_that_names_it_or_a_limit_that_says_why_not() {
    let (tests, limits) = (cited(tests_of), limited());
    let held = |case: &str| tests.contains_key(case) || limits.contains(case) || EVERYWHERE.contains(&case);
    let missing: Vec<_> = catalogue().into_iter().filter(|(case, _)| !held(case)).collect();
    assert!(missing.is_empty(), "neither a test nor docs/limits.md names {missing:#?}");
}

#[test]
fn every_case_that_is_cited_is_on_the_page() {
    let catalogue = catalogue();
    // Words with other meanings, such as the type `U32`, begin with letters that no family of cases has.
    let letters: BTreeSet<char> = catalogue.keys().filter_map(|case| case.chars().next()).collect();
    let of_a_family = |case: &str| case.chars().next().is_some_and(|letter| letters.contains(&letter));
    let unknown: Vec<_> = cited(|_, text| text.to_owned())
        .into_iter()
        .filter(|(case, _)| of_a_family(case) && !catalogue.contains_key(case))
        .collect();
    assert!(unknown.is_empty(), "docs/cases.md does not say what these are: {unknown:#?}");
    let limits: Vec<String> = limited().into_iter().filter(|case| !catalogue.contains_key(case)).collect();
    assert!(limits.is_empty(), "docs/limits.md cites what docs/cases.md does not have: {limits:?}");
}

#[test]
fn a_case_is_read_from_a_name_and_from_a_comment_and_from_nothing_else() {
    assert_eq!(named("    fn an_error_shows_no_value_d19() {"), ["D19"]);
    assert_eq!(named("fn both_c2_c3() {"), ["C2", "C3"]);
    assert_eq!(named("/// K4, K5: a damaged store."), ["K4", "K5"]);
    assert!(named("let x = \"C2\"; fn c() {").is_empty());
    assert!(named("/// SHA256 and X509 are none").is_empty());
}
