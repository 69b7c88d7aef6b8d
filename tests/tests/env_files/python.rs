//! Compares the dialect `dotenv` with python-dotenv.

use std::io::Write as _;
use std::process::Stdio;

use psecret::Dialect;

use super::cases::{self, Random};
use super::{Variables, ours};

/// Reads a JSON array of texts, and prints the values of each. Names without a value are left out.
const PROGRAM: &str = "
import io, json, logging, sys
from dotenv import dotenv_values
logging.disable()
values = lambda text: dotenv_values(stream=io.StringIO(text, newline=''), interpolate=False)
kept = lambda found: {name: value for name, value in found.items() if value is not None}
json.dump([kept(values(text)) for text in json.load(sys.stdin)], sys.stdout)
";

fn read_by_python(texts: &[&str]) -> Vec<Variables> {
    let mut child = ptest::program("PBUILD_TEST_PYTHON_DOTENV")
        .args(["-c", PROGRAM])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python runs");
    let input = serde_json::to_vec(texts).expect("texts are JSON");
    child.stdin.take().expect("a pipe").write_all(&input).expect("python reads it");
    let output = child.wait_with_output().expect("python ends");
    assert!(output.status.success());
    let read: Vec<serde_json::Map<String, serde_json::Value>> = serde_json::from_slice(&output.stdout).expect("JSON");
    let variables = |file: serde_json::Map<String, serde_json::Value>| {
        file.into_iter().map(|(name, value)| (name, value.as_str().expect("a text").to_owned())).collect()
    };
    read.into_iter().map(variables).collect()
}

#[test]
fn files_as_people_write_them_mean_to_python_what_they_mean_to_us_d4_d5_d6() {
    let mut random = Random::new(0x5eed_0003);
    let texts: Vec<String> =
        (0..1000).map(|_| String::from_utf8(cases::tidy(&mut random)).expect("they are text")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    for (text, theirs) in texts.iter().zip(read_by_python(&texts)) {
        assert_eq!(ours(text.as_bytes(), Dialect::Dotenv, &[]).as_ref(), Ok(&theirs), "{text:?}");
    }
}

/// If python-dotenv differs from Compose, we follow Compose. These are the differences.
#[test]
fn where_we_differ_from_python_is_known_d6() {
    let cases = [
        ("A=x\t# c", Some("x\t# c"), "x", "a comment begins behind a space alone"),
        ("A=x\u{a0}# c", Some("x\u{a0}# c"), "x", "the same"),
        ("A= # c", Some("# c"), "", "a value may begin with `#`, blanks before it or not"),
        ("A: x", Some("x"), "", "`:` ends a name as well"),
        ("A=x\ry", Some("x\ry"), "x", "a lone carriage return ends no line"),
        ("A='x\\\\y'", Some("x\\\\y"), "x\\y", "single quotes know one escape"),
        ("A=\"x\\'y\"", Some("x\\'y"), "x'y", "double quotes need none for the other quote"),
        ("A=\"\\0101\"", Some("A"), "\\0101", "octal numbers are escapes"),
        ("A=\"\\$x\"", Some("$x"), "\\$x", "a dollar sign has one, for Compose expands names"),
        ("A=\"x\"y", None, "", "text behind a quote: Compose makes a name of it, we refuse it, python skips the line"),
        ("A=\"x", None, "", "an open quote: Compose and we refuse the file, python skips the line"),
        ("A", None, "", "a name alone: Compose looks it up, we refuse it, python gives it no value"),
    ];
    let texts: Vec<&str> = cases.iter().map(|(text, ..)| *text).collect();
    for ((text, meant, theirs, why), python) in cases.iter().zip(read_by_python(&texts)) {
        let ours =
            ours(text.as_bytes(), Dialect::Dotenv, &[]).ok().map(|mut file| file.remove("A").unwrap_or_default());
        assert_eq!(ours.as_deref(), *meant, "{text:?}");
        assert_eq!(python.get("A").map_or("", String::as_str), *theirs, "{text:?}");
        let alike = ours.is_some() && ours.as_ref() == python.get("A");
        assert!(!alike, "{text:?} means the same, but {why}");
    }
}
