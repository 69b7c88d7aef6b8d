//! Tests the whole report of a real search, in the formats for people and programs.

use std::ops::ControlFlow;

use preport::Paper;
use pscan::{NeedleSetBuilder, Options, Report, audit};
use pscreen::Colour;
use psecret::{SecretName, UserSecret};
use ptest::{Image, Layer, Oracle};

/// Makes the report on an image with a deleted file and a variable that contain a value, and the oracle that knows
/// which bytes no report may contain.
fn leaking() -> (Report, Oracle) {
    let oracle = Oracle::new();
    let token = oracle.token("API_TOKEN");
    let encoded: String = token.value().iter().map(|byte| format!("%{byte:02X}")).collect();
    let archive = Image::new()
        .layer(
            Layer::new().file("root/.composer/auth.json", token.value()),
            "RUN /bin/sh -c composer install # buildkit",
        )
        .layer(Layer::new().whiteout("root/.composer"), "RUN /bin/sh -c rm -r /root/.composer # buildkit")
        .configured(|config| {
            config["config"]["Env"] = serde_json::json!(["A=b", format!("API_URL=http://{encoded}@h")])
        })
        .oci();
    let name = SecretName::parse(token.name()).expect("a name");
    let needles = NeedleSetBuilder::new().secret(&name, &UserSecret::new(token.value().to_vec())).build();
    let needles = needles.expect("needles");
    let options = Options { subject: Some("shop:1".to_owned()), ..Options::default() };
    let report = audit(archive.tar().as_slice(), &needles, &options, &mut |_| ControlFlow::Continue(()));
    let mut data = report.expect("a report").to_json();
    data["stats"]["milliseconds"] = 1140.into();
    data["date"] = "2026-11-30T19:05:17Z".into();
    (Report::from_json(&data, &needles).expect("the same report"), oracle)
}

#[test]
fn the_text_reads_well() {
    let (report, _) = leaking();
    let (size, forms) = (pscreen::words::size(report.stats().bytes), report.stats().forms);
    let id = &report.image_ids()[0];
    let expected = format!(
        "\
LEAK  shop:1  1 secret in 2 places
      linux/amd64 · 2 layers · {size} searched · 1 secret in {forms} forms · 1.1s
      image {id} · searched 2026-11-30 19:05 UTC

API_TOKEN   change this value: whoever can pull the image has it
            revoke it where it was made, and make a new one
  layer 1   /root/.composer/auth.json, byte 0   as written · deleted in layer 2, still readable
            RUN composer install
            help: pass it for one command: COMPOSER_AUTH=…$API_TOKEN… composer install
  config    /config/Env/1   percent-encoded
            help: ENV, LABEL and CMD are public; use $API_TOKEN in RUN alone

"
    );
    assert_eq!(preport::text(&report, Paper::PLAIN), expected);
}

/// Half a screen has about sixty columns.
#[test]
fn on_a_narrow_terminal_nothing_is_wider_and_nothing_is_missing() {
    let (report, _) = leaking();
    let narrow = preport::text(&report, Paper::terminal(Some(60), Colour::Never));
    assert!(narrow.lines().all(|line| line.chars().count() <= 60), "{narrow}");
    // Docker also shows the first twelve digits of an ID.
    let id = &report.image_ids()[0];
    let short = format!("{}…", &id[.."sha256:".len() + 12]);
    let words =
        |text: &str| text.replace(id, &short).split_whitespace().filter(|word| *word != "·").collect::<String>();
    assert_eq!(words(&narrow), words(&preport::text(&report, Paper::PLAIN)));
    let coloured = preport::text(&report, Paper::terminal(Some(60), Colour::Ansi));
    assert!(coloured.starts_with("\u{1b}[1m\u{1b}[31mLEAK\u{1b}[0m"), "{coloured}");
}

#[test]
fn json_is_the_data_with_advice_on_each_finding() {
    let (report, _) = leaking();
    let mut json = preport::json(&report);
    let advice = "pass it for one command: COMPOSER_AUTH=…$API_TOKEN… composer install";
    assert_eq!(json["findings"][0]["advice"], advice);
    for finding in json["findings"].as_array_mut().expect("findings") {
        finding.as_object_mut().expect("an object").remove("advice").expect("advice on each");
    }
    assert_eq!(json, report.to_json());
}

/// More people read the report than the image, so no format contains a value.
#[test]
fn no_format_holds_a_value() {
    let (report, oracle) = leaking();
    for (format, written) in [
        ("text", preport::text(&report, Paper::PLAIN)),
        ("JSON", preport::json(&report).to_string()),
        ("SARIF", preport::sarif(&report).to_string()),
        ("JUnit", preport::junit(&report)),
        ("HTML", preport::html(&report)),
        ("annotations", preport::annotations(&report)),
    ] {
        assert!(written.contains("API_TOKEN"), "{format}");
        oracle.check_bytes(format, written.as_bytes());
    }
}
