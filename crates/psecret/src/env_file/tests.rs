use proptest::prelude::*;

use super::*;

fn parsed(text: &[u8], dialect: Dialect) -> EnvFile {
    EnvFile::parse(text, dialect).unwrap_or_else(|error| panic!("{error} in {:?}", String::from_utf8_lossy(text)))
}

/// Whether the only value of the text is the expected one.
fn gives(text: &str, dialect: Dialect, expected: &str) -> bool {
    let file = parsed(text.as_bytes(), dialect);
    assert_eq!(file.entries().len(), 1, "{text:?}");
    match &file.entries()[0].value {
        EnvValue::Literal(value) => value.is(expected.as_bytes()),
        EnvValue::FromEnvironment => false,
    }
}

fn fault(text: &[u8], dialect: Dialect) -> (usize, usize, EnvFileFault) {
    let error = EnvFile::parse(text, dialect).expect_err("the text has a fault");
    (error.line, error.column, error.fault)
}

impl EnvEntry {
    fn value_is(&self, expected: &str) -> bool {
        matches!(&self.value, EnvValue::Literal(value) if value.is(expected.as_bytes()))
    }
}

const BOTH: [Dialect; 2] = [Dialect::Docker, Dialect::Dotenv];

#[test]
fn docker_takes_values_as_they_are_d5_d6() {
    for value in ["pa$$word", "\"x y\" # c", "'x'", "x # c", "x   ", "${X}", "C:\\x", "it's", "a=b", "", "\\n"] {
        assert!(gives(&format!("A={value}\n"), Dialect::Docker, value), "{value:?}");
    }
    assert!(gives("   A=x", Dialect::Docker, "x"));
    assert!(gives("A=x\r\n", Dialect::Docker, "x"));
    assert!(gives("A=x\ry\r\n", Dialect::Docker, "x\ry"), "D13: a lone CR stays");
    assert!(gives("# B=y\n \t# B=z\n\nA=x", Dialect::Docker, "x"));
}

#[test]
fn dotenv_follows_composes_quoting_d5_d6() {
    for (written, meant) in [
        ("pa$$word", "pa$$word"),
        ("${X}", "${X}"),
        ("x # c", "x"),
        ("x\t# c", "x\t# c"),
        ("x#c", "x#c"),
        ("#c", "#c"),
        (" # c", "# c"),
        (" #", "#"),
        ("\"x # c\"", "x # c"),
        ("\"x\" # c", "x"),
        ("'x' # c", "x"),
        ("x   ", "x"),
        ("   x y  ", "x y"),
        ("it's", "it's"),
        ("C:\\x", "C:\\x"),
        ("{\"a\":\"b\"}", "{\"a\":\"b\"}"),
        ("a\\nb", "a\\nb"),
        ("\"a\\nb\"", "a\nb"),
        ("\"a\\\"b\\\\c\\$d\\q\"", "a\"b\\c$d\\q"),
        ("\"\\0101\\0377\\0\\08\\0400\"", "A\u{ff}\\\\8\\400"),
        ("'a\\\\'", "a\\\\"),
        ("\u{a0}x\u{2003}", "x"),
        ("'a\\nb'", "a\\nb"),
        ("'it\\'s'", "it's"),
        ("'$X \"y\"'", "$X \"y\""),
        ("\"a\nb\r\nc\"", "a\nb\r\nc"),
        ("'a\nb'", "a\nb"),
        ("''", ""),
        ("", ""),
        ("x\r", "x"),
        ("\"x\"\r", "x"),
    ] {
        assert!(gives(&format!("A={written}\n"), Dialect::Dotenv, meant), "{written:?}");
    }
    for text in ["export A=x", "export   A = x", "A =x", "\n\n  A=x"] {
        assert!(gives(text, Dialect::Dotenv, "x"), "{text:?}");
    }
    assert!(gives("export=x", Dialect::Dotenv, "x"));
}

#[test]
fn export_is_refused_by_docker_without_showing_the_line_d2() {
    assert_eq!(fault(b"X=1\nexport A=hunter2", Dialect::Docker), (2, 1, EnvFileFault::Export));
    assert_eq!(fault(b"X=1\nexport A B=hunter2", Dialect::Docker), (2, 7, EnvFileFault::BadName));
    assert_eq!(fault(b"A = 1", Dialect::Docker), (1, 2, EnvFileFault::BadName));
}

#[test]
fn a_bare_name_is_inherited_by_docker_and_refused_by_dotenv_d3() {
    let file = parsed(b"A\n", Dialect::Docker);
    assert!(matches!(file.entries()[0].value, EnvValue::FromEnvironment));
    assert_eq!(fault(b"X=1\n A\n", Dialect::Dotenv), (2, 2, EnvFileFault::NoValue));
}

#[test]
fn an_open_quote_is_reported_where_it_opens_d4() {
    assert_eq!(fault(b"X=1\nA=\"b\nC=2\nD=3\n", Dialect::Dotenv), (2, 3, EnvFileFault::OpenQuote));
    assert_eq!(fault(b"A='b\\'", Dialect::Dotenv), (1, 3, EnvFileFault::OpenQuote));
    assert_eq!(fault(b"A=\"b\\\"", Dialect::Dotenv), (1, 3, EnvFileFault::OpenQuote));
    assert_eq!(fault(b"A=\"b\"c", Dialect::Dotenv), (1, 6, EnvFileFault::AfterQuote));
}

#[test]
fn docker_says_where_a_value_of_several_lines_opens_d4() {
    let key = b"X=1\nKEY=\"-----BEGIN KEY-----\nMIIE\n-----END KEY-----\"\n";
    assert_eq!(fault(key, Dialect::Docker), (2, 5, EnvFileFault::SeveralLines));
    assert!(EnvFile::parse(key, Dialect::Docker).unwrap_err().help().unwrap().contains("dotenv"));
    // A quote that its own line closes is not reported for a fault of a later line.
    assert_eq!(fault(b"A=\"x\"\nB C=1\n", Dialect::Docker), (2, 2, EnvFileFault::BadName));
    assert_eq!(fault(b"A=\"x\nB=y\"\nB C=1\n", Dialect::Docker), (3, 2, EnvFileFault::BadName));
}

/// Returns the value that the other dialect reads from the text, if it is another value.
fn other(text: &str, dialect: Dialect) -> Option<String> {
    let file = parsed(text.as_bytes(), dialect);
    let other = file.entries()[0].other.as_ref();
    other.map(|value| String::from_utf8_lossy(value.bytes_for_tests()).into_owned())
}

#[test]
fn what_the_two_dialects_read_otherwise_has_both_readings_d1_d6() {
    for (written, docker, dotenv) in [
        ("\"abc def\"", "\"abc def\"", "abc def"),
        ("'abc'", "'abc'", "abc"),
        ("abc # said", "abc # said", "abc"),
        ("abc  ", "abc  ", "abc"),
        ("\"a\\nb\" # said", "\"a\\nb\" # said", "a\nb"),
    ] {
        let text = format!("  A={written}\r\nB=x\n");
        assert!(parsed(text.as_bytes(), Dialect::Docker).entries()[0].value_is(docker), "{text:?}");
        assert_eq!(other(&text, Dialect::Docker).as_deref(), Some(dotenv), "{text:?}");
        assert!(parsed(text.as_bytes(), Dialect::Dotenv).entries()[0].value_is(dotenv), "{text:?}");
        assert_eq!(other(&text, Dialect::Dotenv).as_deref(), Some(docker), "{text:?}");
    }
    for same in ["A=abc\n", "A=\n", "A=a=b#c\n", "A=pa$$\n"] {
        assert_eq!((other(same, Dialect::Docker), other(same, Dialect::Dotenv)), (None, None), "{same:?}");
    }
    // Docker refuses such a line, or reads each line of the value as an entry of its own.
    for text in ["export A=\"x\"\n", "A: \"x\"\n", "A=\"x\ny\"\n", "A=\"\"\n"] {
        assert_eq!(other(text, Dialect::Dotenv).filter(|other| other != "\"\""), None, "{text:?}");
    }
    // Only this line must be readable in the other dialect, not the whole file.
    assert_eq!(other("A=\"x\"\nINHERITED\n", Dialect::Docker).as_deref(), Some("x"));
}

#[test]
fn a_hundred_thousand_names_take_no_minutes() {
    for dialect in BOTH {
        let lines = |value: &str| (0..100_000).map(|n| format!("N{n}={value}\n")).collect::<String>();
        for text in [lines(""), lines("\""), lines("\"x\""), "A=x\n".repeat(100_000), "A='x\n".repeat(100_000)] {
            let began = std::time::Instant::now();
            let _ = EnvFile::parse(text.as_bytes(), dialect);
            assert!(began.elapsed() < std::time::Duration::from_secs(20), "{dialect}: {:?}", &text[..20]);
        }
    }
}

#[test]
fn several_lines_in_quotes_keep_the_line_numbers_right_d4() {
    let file = parsed(b"A=\"1\n2\n3\"\nB=x\n", Dialect::Dotenv);
    let lines: Vec<usize> = file.entries().iter().map(|entry| entry.line).collect();
    assert_eq!(lines, [1, 4]);
}

#[test]
fn the_last_of_two_counts_and_is_said_d7() {
    for dialect in BOTH {
        let file = parsed(b"A=1\nB=2\nA=3\n", dialect);
        assert_eq!(file.entries().len(), 2);
        assert!(matches!(&file.entries()[1].value, EnvValue::Literal(value) if value.is(b"3")));
        assert!(matches!(file.warnings(), [EnvFileWarning::Duplicate { line: 3, dropped: 1, .. }]));
    }
}

#[test]
fn an_empty_value_is_kept_d8() {
    for dialect in BOTH {
        assert!(gives("A=\n", dialect, ""));
    }
}

#[test]
fn bytes_no_environment_can_carry_are_refused_d9_d10() {
    for dialect in BOTH {
        assert_eq!(fault(b"X=1\nA=b\0c", dialect), (2, 4, EnvFileFault::Nul));
        assert_eq!(fault(b"A=x\xffy", dialect), (1, 4, EnvFileFault::NotUtf8));
    }
}

#[test]
fn the_byte_order_mark_is_dropped_d11() {
    for dialect in BOTH {
        assert!(gives("\u{feff}A=x\r\n", dialect, "x"), "D12: CRLF too");
    }
}

#[test]
fn docker_refuses_lines_its_scanner_refuses_d14() {
    let line = |length: usize| format!("A={}\n", "x".repeat(length - 2));
    assert_eq!(parsed(line(LONGEST - 1).as_bytes(), Dialect::Docker).entries().len(), 1);
    assert_eq!(fault(line(LONGEST).as_bytes(), Dialect::Docker), (1, 1, EnvFileFault::LongLine));
}

const LONGEST: usize = 64 * 1024;

#[test]
fn odd_names_pass_with_a_warning_d15() {
    for dialect in BOTH {
        let file = parsed(b"1A=x\nA-B=y\n", dialect);
        assert_eq!(file.entries().len(), 2);
        assert!(file.warnings().iter().all(|warning| matches!(warning, EnvFileWarning::NotAVariable { .. })));
        assert_eq!(file.warnings().len(), 2);
        assert_eq!(fault(b"=x", dialect).2, EnvFileFault::NoName);
        assert_eq!(fault(b"A B=x", dialect).2, EnvFileFault::BadName);
    }
}

#[test]
fn names_that_steer_programs_are_said_d16() {
    for dialect in BOTH {
        let file = parsed(b"LD_PRELOAD=x\n", dialect);
        assert!(matches!(file.warnings(), [EnvFileWarning::SteersPrograms { line: 1, .. }]));
    }
}

#[test]
fn quotes_kept_by_docker_are_said_without_the_value_d1() {
    let file = parsed(b"A=\"hunter2\"\n", Dialect::Docker);
    assert!(matches!(file.warnings(), [EnvFileWarning::QuotesKept { line: 1, .. }]));
    assert!(!file.warnings()[0].to_string().contains("hunter2"));
    assert!(parsed(b"A=\"hunter2\"\n", Dialect::Dotenv).warnings().is_empty());
}

#[test]
fn no_error_shows_text_right_of_the_equals_sign_d19() {
    let faulty: [&[u8]; 9] = [
        b"A=hunter2\0",
        b"A=hunter2\xff",
        b"=hunter2",
        b"A B=hunter2",
        b"export A B=hunter2",
        b"A=\"hunter2",
        b"A='hunter2",
        b"A=\"x\"hunter2",
        b"A=\"x\nhunter2",
    ];
    for dialect in BOTH {
        for text in faulty {
            if let Err(error) = EnvFile::parse(text, dialect) {
                let shown = format!("{error} {error:?}");
                assert!(!shown.contains("hunter2") && !shown.contains("104"), "{shown}");
            }
        }
    }
}

proptest! {
    /// However an env file is damaged, no text from the right of a `=` is shown, and nothing panics.
    #[test]
    fn a_damaged_file_shows_no_value_d19(
        pieces in prop::collection::vec(
            prop::sample::select(vec!["A=", "B=", "\"", "'", "\n", "\r", " ", "#", "\\", "export ", "\0", "\u{feff}", "$", "="]),
            0..20,
        ),
        invalid in any::<bool>(),
    ) {
        let mut text = vec![b'A', b'='];
        for piece in pieces {
            text.extend_from_slice(piece.as_bytes());
            text.extend_from_slice(b"canary");
        }
        if invalid {
            text.push(0xff);
        }
        for dialect in BOTH {
            let shown = match EnvFile::parse(&text, dialect) {
                Ok(file) => file.entries().iter().map(|entry| format!("{:?}", entry.value)).collect(),
                Err(error) => format!("{error} {error:?}"),
            };
            prop_assert!(!shown.contains("canary"));
        }
    }
}
