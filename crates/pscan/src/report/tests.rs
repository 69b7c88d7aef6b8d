use proptest::prelude::*;
use psecret::{Form, Redactor, SecretName, UserSecret};
use serde_json::Value;

use super::*;
use crate::finding::Place;
use crate::{NeedleSetBuilder, show};

/// A report in which every text that can come from an image or from a command line is this one.
fn report(text: &str) -> Report {
    let name = |name: &str| SecretName::parse(name).unwrap();
    let finding = |place: Place| Finding {
        part: None,
        secret: name("TOKEN"),
        same_value: vec![name("OTHER")],
        form: Form::Raw,
        container: None,
        weak: false,
        image: Some(text.to_owned()),
        layer: if matches!(place, Place::Document { .. }) { None } else { Some(1) },
        diff_id: Some(text.to_owned()),
        place,
        instruction: Some(text.to_owned()),
        deleted_in: Some(2),
        times: 3,
        line: Some(SourceLine { file: text.to_owned(), line: 7 }),
    };
    let path = || text.to_owned();
    let places = vec![
        Place::File { path: path(), offset: 4 },
        Place::Header { path: path(), offset: 4 },
        Place::Bytes { after: Some(path()), offset: 4 },
        Place::GzipHeader { offset: 4 },
        Place::Packed { offset: 4 },
        Place::Document { name: path(), pointer: Some(path()), offset: 4 },
    ];
    let short = NeedleSetBuilder::new().secret(&name("SHORT"), &UserSecret::new(b"ab".to_vec())).build().unwrap();
    let layer = |number, state, leaks| LayerSummary {
        platform: Some(text.to_owned()),
        number,
        diff_id: Some(text.to_owned()),
        bytes: 1000,
        instruction: Some(text.to_owned()),
        state,
        leaks,
    };
    Report {
        subject: Some(text.to_owned()),
        way: Some(text.to_owned()),
        layers: vec![layer(1, LayerState::Leak, 5), layer(2, LayerState::NotSearched, 0)],
        searched: vec!["TOKEN".to_owned(), "OTHER".to_owned(), "FINE".to_owned()],
        platforms: vec![text.to_owned(), "linux/arm64".to_owned()],
        absent: vec![text.to_owned()],
        findings: places.into_iter().map(finding).collect(),
        accepted: vec![finding(Place::File { path: path(), offset: 4 })],
        stale: vec![text.to_owned()],
        not_listed: 5,
        not_searched: vec![NotSearched { layer: Some(2), member: Some(text.to_owned()), why: text.to_owned() }],
        damaged: Vec::new(),
        unprotected: short.unsearched().to_vec(),
        stats: Stats { layers: 2, bytes: 2000, secrets: 3, forms: 50, milliseconds: 1234 },
    }
}

/// What makes a format lose its way, and any other text.
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

/// The names of all tags, in order, as a parser that knows quoted attributes sees them.
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
        // The script's own text is no markup.
        if name == "script" {
            rest = rest.split_once("</script").map_or("", |(_, after)| after);
        }
        names.push(name);
    }
    names
}

proptest! {
    /// A18: what an image calls its files is text in every format, never structure.
    #[test]
    fn no_name_breaks_out_of_a_format_a18(text in hostile()) {
        // As long, so that what fits into the map is the same.
        let (harmless, report) = (report(&"x".repeat(text.chars().count())), report(&text));

        prop_assert_eq!(tags(&report.to_html()), tags(&harmless.to_html()));

        let xml = report.to_junit();
        let document = roxmltree::Document::parse(&xml).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let plain = harmless.to_junit();
        let expected = roxmltree::Document::parse(&plain).unwrap();
        let elements = |document: &roxmltree::Document<'_>| document.descendants().filter(roxmltree::Node::is_element).count();
        prop_assert_eq!(elements(&document), elements(&expected));

        let annotations = report.to_annotations();
        prop_assert_eq!(annotations.lines().count(), harmless.to_annotations().lines().count());
        prop_assert!(annotations.split('\n').filter(|line| !line.is_empty()).all(|line| line.starts_with("::")));

        let json: Value = serde_json::from_str(&report.to_json().to_string()).unwrap();
        prop_assert_eq!(json["findings"][0]["path"].as_str(), Some(text.as_str()));

        let sarif: Value = serde_json::from_str(&report.to_sarif().to_string()).unwrap();
        let uri = &sarif["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
        let uri = uri.as_str().unwrap();
        prop_assert!(uri.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~/%".contains(&byte)), "{uri}");
        prop_assert!(!uri.starts_with('/'), "{uri}");
    }

    /// A18: on a terminal, bytes from an image move no cursor and start no line.
    #[test]
    fn the_text_for_people_has_one_line_for_each_fact_a18(text in hostile(), bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let shown = show::path(&Redactor::none(), &[text.as_bytes(), &bytes].concat());
        let written = report(&shown).to_string();
        prop_assert_eq!(written.lines().count(), report("/x").to_string().lines().count());
        prop_assert!(written.chars().all(|c| c == '\n' || !c.is_control()));
    }
}

/// A18: 4 kB of name.
#[test]
fn a_name_of_four_kilobytes_fits_every_format_a18() {
    let long = show::path(&Redactor::none(), &vec![b'n'; 9000]);
    let report = report(&long);
    for written in [report.to_html(), report.to_junit(), report.to_json().to_string(), report.to_sarif().to_string()] {
        assert!(written.contains(&"n".repeat(4096)) && !written.contains(&"n".repeat(4097)));
    }
}

#[test]
fn junit_counts_what_it_lists() {
    let report = report("x");
    let xml = report.to_junit();
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
    let first = report("a,b:c%").to_annotations().lines().next().unwrap().to_owned();
    assert!(
        first
            .starts_with("::error file=a%2Cb%3Ac%25,line=7,title=TOKEN is in the image::TOKEN (= OTHER) is in layer 1"),
        "{first}"
    );
}

#[test]
fn what_a_baseline_accepts_is_no_leak_any_more() {
    let mut report = report("x");
    report.not_listed = 0;
    report.not_searched.clear();
    report.accept(|_| true, vec!["TOKEN in /gone".to_owned()]);
    assert_eq!((report.verdict(), report.findings().len(), report.accepted().len()), (Verdict::Clean, 0, 6));
    assert!(report.layers().iter().all(|layer| layer.leaks() == 0 && layer.state() != LayerState::Leak));
    let sarif = report.to_sarif();
    assert_eq!(sarif["runs"][0]["results"][0]["suppressions"][0]["kind"], "external");
    assert!(report.to_string().contains("stale        TOKEN in /gone"));
}

/// The policy of the page names the digests of exactly what is in it.
#[test]
fn the_page_allows_its_own_style_and_script_and_nothing_else() {
    let page = report("x").to_html();
    assert_eq!(page.matches("<script").count(), 1);
    assert_eq!(page.matches("<style").count(), 1);
    let policy = page.split_once("Content-Security-Policy\" content=\"").unwrap().1.split_once("\">").unwrap().0;
    assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"), "{policy}");
    for word in ["http://", "https://", "src=", "@import", "url(h"] {
        assert!(!page.contains(word), "{word}");
    }
}
