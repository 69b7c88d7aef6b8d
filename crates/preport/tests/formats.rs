//! Every format stays valid, whatever an image calls its files.

use std::ops::ControlFlow;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use preport::Paper;
use proptest::prelude::*;
use pscan::{LayerState, NeedleSet, NeedleSetBuilder, Options, Report, Verdict};
use psecret::{SecretName, UserSecret};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Two secrets with the same value, one that is not found, and one that is too short to be searched for.
static NEEDLES: LazyLock<NeedleSet> = LazyLock::new(|| {
    let secrets = [
        ("TOKEN", "t0ken-of-the-report"),
        ("OTHER", "t0ken-of-the-report"),
        ("FINE", "another-one-8"),
        ("SHORT", "ab"),
    ];
    let add = |builder: NeedleSetBuilder, (name, value): (&str, &str)| {
        let name = SecretName::parse(name).expect("a name");
        builder.secret(&name, &UserSecret::new(value.as_bytes().to_vec()))
    };
    secrets.into_iter().fold(NeedleSetBuilder::new(), add).build().expect("needles")
});

/// Makes a report in which every text that can come from an image or a command line is `text`.
fn data(text: &str) -> Value {
    let finding = |part: &str, path: Option<&str>, document: Option<&str>| {
        json!({
            "secret": "TOKEN", "same_value": ["OTHER"], "form": "raw", "container": null, "weak": false, "platform": text,
            "layer": if document.is_some() { None } else { Some(1) }, "diff_id": text, "part": part, "path": path,
            "document": document, "pointer": document, "offset": 4, "instruction": text, "deleted_in": 2, "times": 3,
            "dockerfile": {"file": text, "line": 7},
        })
    };
    let layer = |number: usize, state: LayerState, findings: usize| {
        json!({
            "platform": text, "layer": number, "diff_id": text, "bytes": 1000, "instruction": text,
            "state": state.machine_name(), "findings": findings,
        })
    };
    json!({
        "version": 1,
        "result": "leak",
        "image": text,
        "source": text,
        "platforms": [text, "linux/arm64"],
        "image_ids": [text],
        "date": text,
        "absent_platforms": [text],
        "findings": [
            finding("content", Some(text), None),
            finding("header", Some(text), None),
            finding("bytes", Some(text), None),
            finding("gzip-header", None, None),
            finding("packed", None, None),
            finding("document", None, Some(text)),
        ],
        "accepted": [finding("content", Some(text), None)],
        "stale": [text],
        "not_listed": 5,
        "not_searched": [{"layer": 2, "member": text, "why": text}],
        "damaged": [],
        "layers": [layer(1, LayerState::Leak, 5), layer(2, LayerState::NotSearched, 0)],
        "stats": {
            "layers": 2, "bytes": 2000, "secrets": NEEDLES.secrets(), "forms": NEEDLES.forms(), "milliseconds": 1234,
        },
    })
}

fn read(data: &Value) -> Report {
    Report::from_json(data, &NEEDLES).expect("a report of the contract")
}

fn report(text: &str) -> Report {
    read(&data(text))
}

/// Returns a path as reports show it. The path is taken from a report on a file that was not searched.
fn shown(path: &[u8]) -> String {
    let mut report = pscan::audit(&b""[..], &NEEDLES, &Options::default(), &mut |_| ControlFlow::Continue(()))
        .expect("a report on nothing");
    report.add_unsearched(&NEEDLES, path, "");
    report.not_searched().last().and_then(pscan::NotSearched::member).expect("the path").to_owned()
}

/// Makes text that could break a format, and any other text.
fn hostile() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "\"",
        "'",
        "<script>alert(1)</script>",
        "&amp;",
        "]]>",
        "-->",
        "</style>",
        "\u{1b}[31m",
        "\r\n",
        "\n::error::x",
        "%0A",
        "::",
        ",",
        "//host/",
        "\\",
        "\0",
        "\u{202e}",
        "\u{fffe}",
        "../",
        "é",
        "😀",
        " ",
    ]);
    let any = prop_oneof![4 => pieces.prop_map(str::to_owned), 1 => any::<char>().prop_map(String::from)];
    prop::collection::vec(any, 0..12).prop_map(|pieces| pieces.concat())
}

/// Lists the names of all tags, in order, as a parser reads them that knows quoted attributes.
fn tags(html: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = html;
    while let Some((_, tag)) = rest.split_once('<') {
        let name: String = tag.chars().take_while(|c| !c.is_whitespace() && *c != '>').collect();
        let mut quote = None;
        let end = tag.char_indices().find(|(_, c)| {
            match (quote, c) {
                (None, '"' | '\'') => quote = Some(*c),
                (Some(open), c) if open == *c => quote = None,
                _ => {}
            }
            quote.is_none() && *c == '>'
        });
        rest = end.map_or("", |(at, _)| &tag[at..]);
        // The script's own text is not markup.
        if name == "script" {
            rest = rest.split_once("</script").map_or("", |(_, after)| after);
        }
        names.push(name);
    }
    names
}

proptest! {
    /// A18: names from an image are text in every format, never structure.
    #[test]
    fn no_name_breaks_out_of_a_format_a18(text in hostile()) {
        // The harmless text is as long, so that the same rows fit.
        let (harmless, report) = (report(&"x".repeat(text.chars().count())), report(&text));

        prop_assert_eq!(tags(&preport::html(&report)), tags(&preport::html(&harmless)));

        let xml = preport::junit(&report);
        let document = roxmltree::Document::parse(&xml).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let plain = preport::junit(&harmless);
        let expected = roxmltree::Document::parse(&plain).unwrap();
        let elements = |document: &roxmltree::Document<'_>| document.descendants().filter(roxmltree::Node::is_element).count();
        prop_assert_eq!(elements(&document), elements(&expected));

        let annotations = preport::annotations(&report);
        prop_assert_eq!(annotations.lines().count(), preport::annotations(&harmless).lines().count());
        prop_assert!(annotations.split('\n').filter(|line| !line.is_empty()).all(|line| line.starts_with("::")));

        let json: Value = serde_json::from_str(&preport::json(&report).to_string()).unwrap();
        prop_assert_eq!(json["findings"][0]["path"].as_str(), Some(text.as_str()));
        prop_assert!(json["accepted"][0]["advice"].as_str().is_some_and(|advice| !advice.is_empty()));

        let sarif: Value = serde_json::from_str(&preport::sarif(&report).to_string()).unwrap();
        let uri = &sarif["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
        let uri = uri.as_str().unwrap();
        prop_assert!(uri.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~/%".contains(&byte)), "{uri}");
        prop_assert!(!uri.starts_with('/'), "{uri}");
    }

    /// A18: on a terminal, bytes from an image never move the cursor or begin a line.
    #[test]
    fn the_text_for_people_has_one_line_for_each_fact_a18(name in hostile(), bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let written = preport::text(&report(&shown(&[name.as_bytes(), &bytes].concat())), Paper::PLAIN);
        prop_assert_eq!(written.lines().count(), preport::text(&report("/x"), Paper::PLAIN).lines().count());
        prop_assert!(written.chars().all(|c| c == '\n' || !c.is_control()));
    }
}

/// A18: a name may have four kilobytes.
#[test]
fn a_name_of_four_kilobytes_fits_every_format_a18() {
    let long = shown(&[b'n'; 9000]);
    let report = report(&long);
    for written in [
        preport::html(&report),
        preport::junit(&report),
        preport::json(&report).to_string(),
        preport::sarif(&report).to_string(),
    ] {
        assert!(written.contains(&"n".repeat(4096)) && !written.contains(&"n".repeat(4097)));
    }
}

#[test]
fn junit_counts_what_it_lists() {
    let report = report("x");
    let xml = preport::junit(&report);
    let document = roxmltree::Document::parse(&xml).unwrap();
    let suite = document.descendants().find(|node| node.has_tag_name("testsuite")).unwrap();
    let count = |tag: &str| document.descendants().filter(|node| node.has_tag_name(tag)).count().to_string();
    for (attribute, tag) in
        [("tests", "testcase"), ("failures", "failure"), ("errors", "error"), ("skipped", "skipped")]
    {
        assert_eq!(suite.attribute(attribute), Some(count(tag).as_str()), "{attribute}");
    }
    assert_eq!(count("failure"), "2", "two secrets of one value are two failed tests");
}

#[test]
fn annotations_point_at_the_dockerfile() {
    let first = preport::annotations(&report("a,b:c%")).lines().next().unwrap().to_owned();
    assert!(
        first
            .starts_with("::error file=a%2Cb%3Ac%25,line=7,title=TOKEN is in the image::TOKEN (= OTHER) is in layer 1"),
        "{first}"
    );
}

#[test]
fn annotations_are_one_for_a_secret_and_line_and_ten_at_most() {
    let mut data = data("x");
    let finding = data["findings"][0].clone();
    let at = |line: usize| {
        let mut finding = finding.clone();
        finding["dockerfile"]["line"] = json!(line);
        finding
    };
    data["findings"] = (0..30).map(|number| at(1 + number % 15)).collect();
    let annotations = preport::annotations(&read(&data));
    let errors: Vec<&str> = annotations.lines().filter(|line| line.starts_with("::error file=")).collect();
    assert_eq!(errors.len(), 10);
    assert!(errors.iter().all(|line| line.contains(", and in 1 place more. ")), "{annotations}");
    assert!(annotations.contains("::error title=More leaks::and 15 more places"), "{annotations}");
}

#[test]
fn what_a_baseline_accepts_is_no_leak_any_more() {
    let mut data = data("x");
    (data["not_listed"], data["not_searched"]) = (json!(0), json!([]));
    let mut report = read(&data);
    report.accept(|_| true, vec!["TOKEN in /gone".to_owned()]);
    assert_eq!((report.verdict(), report.findings().len(), report.accepted().len()), (Verdict::Clean, 0, 6));
    assert!(report.layers().iter().all(|layer| layer.leaks() == 0 && layer.state() != LayerState::Leak));
    let sarif = preport::sarif(&report);
    assert_eq!(sarif["runs"][0]["results"][0]["suppressions"][0]["kind"], "external");
    assert!(preport::text(&report, Paper::PLAIN).contains("stale        TOKEN in /gone"));
}

/// The page's policy has the digests of exactly the style and script on the page.
#[test]
fn the_page_allows_its_own_style_and_script_and_nothing_else() {
    let page = preport::html(&report("x"));
    assert_eq!(page.matches("<script").count(), 1);
    assert_eq!(page.matches("<style").count(), 1);
    let policy = page.split_once("Content-Security-Policy\" content=\"").unwrap().1.split_once("\">").unwrap().0;
    assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"), "{policy}");
    for element in ["style", "script"] {
        let (_, rest) = page.split_once(&format!("<{element}>")).unwrap();
        let (content, _) = rest.split_once(&format!("</{element}>")).unwrap();
        let digest = STANDARD.encode(Sha256::digest(content.as_bytes()));
        assert!(policy.contains(&format!("{element}-src 'sha256-{digest}'")), "{element}: {policy}");
    }
    for word in ["http://", "https://", "src=", "@import", "url(h"] {
        assert!(!page.contains(word), "{word}");
    }
}
