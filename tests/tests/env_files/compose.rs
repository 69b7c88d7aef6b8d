//! Compares the dialect `dotenv` with Docker Compose.

use std::fmt::Write as _;
use std::fs;

use psecret::{Dialect, EnvFileFault};

use super::cases::{self, Random};
use super::{Variables, ask, ours};

/// Returns the variables that Compose reads from these files, with one service for each file. Returns `None` if
/// Compose refuses one of them.
fn composed(texts: &[&[u8]]) -> Option<Vec<Variables>> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut file = String::from("name: test\nservices:\n");
    for (number, text) in texts.iter().enumerate() {
        fs::write(folder.path().join(format!("{number}.env")), text).expect("a file");
        let _ = writeln!(file, "  s{number}: {{ image: none, env_file: ./{number}.env }}");
    }
    fs::write(folder.path().join("compose.yaml"), file).expect("a file");
    let output = ptest::program("PBUILD_TEST_COMPOSE")
        .args(["config", "--format", "json"])
        .current_dir(folder.path())
        .env("DOCKER_CONFIG", folder.path())
        .env_remove("INHERITED")
        .output()
        .expect("compose runs");
    if !output.status.success() {
        return None;
    }
    let model: serde_json::Value = serde_json::from_slice(&output.stdout).expect("compose prints JSON");
    let of = |number: usize| -> Variables {
        let environment = model["services"][format!("s{number}")]["environment"].as_object();
        let pairs = environment.into_iter().flatten().map(|(name, value)| {
            // Compose prints a compose file, in which every `$` is doubled.
            (name.clone(), value.as_str().unwrap_or_default().replace("$$", "$"))
        });
        pairs.collect()
    };
    Some((0..texts.len()).map(of).collect())
}

/// Compares our reading of these files with that of Compose: Compose accepts every file that we accept, and reads the
/// same values. Both refuse a quote that never closes. Another test has the files that only we refuse.
fn compare(texts: &[Vec<u8>]) {
    let (mut taken, mut open) = (Vec::new(), Vec::new());
    for text in texts {
        match ours(text, Dialect::Dotenv, &[]) {
            Ok(variables) => taken.push((text.as_slice(), variables)),
            Err(error) if error.fault == EnvFileFault::OpenQuote => open.push(text.as_slice()),
            Err(_) => {}
        }
    }
    assert!(!taken.is_empty());
    let files: Vec<&[u8]> = taken.iter().map(|(text, _)| *text).collect();
    for ((text, ours), theirs) in taken.iter().zip(ask(&files, &mut composed)) {
        assert_eq!(theirs.as_ref(), Some(ours), "{:?}", String::from_utf8_lossy(text));
    }
    for text in open.iter().take(12) {
        assert!(composed(&[text]).is_none(), "compose closes the quote of {:?}", String::from_utf8_lossy(text));
    }
}

#[test]
fn what_compose_reads_is_what_we_read_d4_d6() {
    let mut random = Random::new(0x5eed_0002);
    compare(&(0..600).map(|_| cases::dotenv(&mut random)).collect::<Vec<_>>());
}

/// D2, D4, D6, D11, D12, D13, D15, and other files that have caused trouble.
#[test]
fn nasty_files_are_read_as_compose_does_d2_d4_d6_d11_d12() {
    let texts = [
        "",
        "\n",
        "A=",
        "A=1\nA=2\nA=\n",
        "export A=b",
        "export  \t A=b",
        "export=1",
        "exportA=1",
        "export export=1",
        " A = 1 ",
        "A: 1\nB:2\nC :3",
        "A=b:c\nB: c=d",
        "A=#1",
        "A= #1",
        "A=1 #",
        "A=1#2 #3",
        "A=1\t#2",
        "A=\"1\"#2",
        "A='1' #2",
        "A=\"1\"\t ",
        "A='1\n2'\nB=3",
        "A=\"1\r\n2\"\r\nB=3\r\n",
        "A=1\r\nB=2\r3\r\n",
        "A='\\'",
        "A='\\\\'",
        "A='\\\'",
        "A='it\\'s'",
        "A=it's",
        "A=\"\\\"\"",
        "A=\"\\\\\"",
        "A=\"\\\\\\\"\"",
        "A=\"a\\\nb\"",
        "A=\"\\e\\x41\\u0041\\c\"",
        "A=\"\\0\\01\\012\\0123\\01234\\08\\0400\\0377\"",
        "\u{feff}A=1",
        "\u{feff}\u{feff}A=1",
        "\u{a0}A=1",
        "A\u{a0}=1",
        "\u{e4}_1=1",
        "A[0]=1\nA.B-C=2",
        "1A=1",
        "A=\u{2003}1\u{2003}",
        "A=\n\n\nB=1",
        "# A='\nB=1",
        "#\n#A=1",
        "A=1\n  # c = \"\nB=2",
        "A={\n}",
        "A=\"\"\nB=''",
        "A=\"'\"\nB='\"'",
        "A=x\"y\"",
        "A==1",
    ];
    compare(&texts.map(|text| text.as_bytes().to_vec()));
}

/// The files that we read differently, or that only we refuse, with the reasons.
#[test]
fn where_we_differ_from_compose_is_known_d3_d5_d9_d10() {
    let one = |text: &[u8]| composed(&[text]).map(|mut files| files.remove(0).into_values().next().unwrap_or_default());
    // `$` is literal, because a password with a `$` must not lose its rest.
    for (text, meant, theirs) in [
        ("A=pa$$word", "pa$$word", "pa$word"),
        ("A=pa$word", "pa$word", "pa"),
        ("A=\"${B:-x}y\"", "${B:-x}y", "xy"),
        ("A='pa$$word'", "pa$$word", "pa$$word"),
        ("A=\"\\$B\"", "$B", "$B"),
    ] {
        let ours = ours(text.as_bytes(), Dialect::Dotenv, &[]).expect("we take it");
        assert_eq!((ours["A"].as_str(), one(text.as_bytes()).as_deref()), (meant, Some(theirs)), "{text}");
    }
    for (text, fault, _why) in [
        (
            &b"A\n"[..],
            EnvFileFault::NoValue,
            "a name without a value is a line that somebody broke; Compose looks it up",
        ),
        (b"export\nA=1", EnvFileFault::NoValue, "the same"),
        (b"A=\"x\"y", EnvFileFault::AfterQuote, "text behind a quote is half a value; Compose makes a name of it"),
        (b"A=\"x\" B=y", EnvFileFault::AfterQuote, "the same"),
        (b"=x", EnvFileFault::NoName, "no environment has a variable without a name"),
        (b"export =x", EnvFileFault::NoName, "the same"),
        (b"A\tB=x", EnvFileFault::BadName, "Compose refuses a space in a name, and no other blank"),
        (b"A=\"x\\0000y\"", EnvFileFault::Nul, "no environment can carry a NUL"),
        (b"A=x\0y", EnvFileFault::Nul, "the same"),
        (b"A=x\xffy", EnvFileFault::NotUtf8, "Compose replaces the byte: the value is another one"),
    ] {
        let refused = ours(text, Dialect::Dotenv, &[]).expect_err("we refuse it");
        assert_eq!(refused.fault, fault, "{:?}", String::from_utf8_lossy(text));
        assert!(one(text).is_some(), "Compose refuses {:?} too: take it off this list", String::from_utf8_lossy(text));
    }
}
