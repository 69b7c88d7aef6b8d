//! Writes the report as SARIF 2.1.0 (OASIS standard), for code scanning pages.

use std::fmt::Write as _;

use pscan::{Finding, Place, Report, Verdict};
use pscreen::words::counted;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::annotation::capitalised;
use crate::group::leaks;
use crate::{advice, revocation, sentence};

/// The help on findings of any kind.
const HELP: &str = "Change the value: whoever can pull the image has it. Then mend the place that the result names, build again, and \
                    delete the old image wherever it was pushed. The message of each result says how.";

/// The kinds of findings: the identifier, a short sentence and a long one.
const RULES: [(&str, &str, &str); 3] = [
    (
        "secret-in-layer",
        "A secret's value is in a layer of the image",
        "Whoever can pull the image can read every file of every layer.",
    ),
    (
        "secret-in-deleted-file",
        "A secret's value is in a file that a later layer deletes",
        "Deleting a file in a later step hides it and leaves its bytes in the layer below, for whoever can pull the image.",
    ),
    (
        "secret-in-metadata",
        "A secret's value is in the image's configuration, history or attestations",
        "`docker inspect` and `docker history` show the configuration to whoever can pull the image.",
    ),
];

/// Writes the report as SARIF 2.1.0: one result for each secret and cause, where all lines of the history are one
/// cause. The place is the Dockerfile's line if it is known, otherwise the first line of the path in the image,
/// because code scanning pages show no result without a line.
#[must_use]
pub fn sarif(report: &Report) -> Value {
    let rules: Vec<Value> = RULES
        .iter()
        .map(|(id, short, long)| {
            json!({
                "id": id,
                "shortDescription": {"text": short},
                "fullDescription": {"text": long},
                "help": {"text": HELP, "markdown": HELP},
                "defaultConfiguration": {"level": "error"},
                "properties": {"tags": ["security", "secret"], "security-severity": "8.0"},
            })
        })
        .collect();
    let leaks = leaks(report);
    let spots = leaks.iter().flat_map(|leak| &leak.spots);
    let new = spots.map(|spot| result(spot.first(), spot.count(), spot.times(), Standing::New));
    let accepted = report.accepted().iter().map(|finding| result(finding, 1, finding.times(), Standing::Accepted));
    let invocation = invocation(report);
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "pbuild",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": new.chain(accepted).collect::<Vec<_>>(),
            "invocations": [invocation],
            "properties": {
                "result": report.verdict().machine_name(),
                "image": report.subject(),
                "platforms": report.platforms(),
                "imageIds": report.image_ids(),
                "notListed": report.not_listed(),
            },
        }],
    })
}

fn invocation(report: &Report) -> Value {
    let mut invocation = json!({
        // SARIF asks whether the tool ran well, not for its result.
        "executionSuccessful": report.not_searched().is_empty(),
        "toolExecutionNotifications": notifications(report),
    });
    if let Some(date) = report.date() {
        invocation["endTimeUtc"] = date.into();
    }
    invocation
}

fn notifications(report: &Report) -> Vec<Value> {
    let level = if report.verdict() == Verdict::Incomplete { "error" } else { "warning" };
    let not_searched = report.not_searched().iter().map(|one| {
        let layer = one.layer().map(|layer| format!("layer {layer}: ")).unwrap_or_default();
        json!({"level": level, "message": {"text": format!("not searched: {layer}{}", one.why())}})
    });
    let unprotected = report.unprotected().iter().map(|one| {
        let text = format!("{} is not searched for: {}", one.name(), one.why());
        json!({"level": "warning", "message": {"text": text}})
    });
    not_searched.chain(unprotected).collect()
}

/// Whether a finding is a new leak, or accepted by the baseline.
#[derive(Clone, Copy)]
enum Standing {
    New,
    Accepted,
}

fn result(finding: &Finding, places: usize, times: u64, standing: Standing) -> Value {
    let (index, (rule, ..)) = match (finding.place(), finding.deleted_in()) {
        (Place::Document { .. }, _) => (2, RULES[2]),
        (_, Some(_)) => (1, RULES[1]),
        (_, None) => (0, RULES[0]),
    };
    let others = if places > 1 { format!(", and in {} more", counted(places - 1, "place")) } else { String::new() };
    let message = format!(
        "{}{others}. {}. Change the value: {}.",
        sentence(finding),
        capitalised(&advice(finding)),
        revocation(finding)
    );
    let mut result = json!({
        "ruleId": rule,
        "ruleIndex": index,
        "level": "error",
        "message": {"text": message},
        "locations": [location(finding)],
        "partialFingerprints": {"pbuildPlace/v1": place_fingerprint(finding)},
        "occurrenceCount": times.max(1),
        "properties": properties(finding),
    });
    match standing {
        Standing::New => {}
        Standing::Accepted => {
            result["suppressions"] = json!([{"kind": "external", "justification": "accepted by the baseline"}]);
        }
    }
    result
}

fn location(finding: &Finding) -> Value {
    let place = finding.place();
    let in_image = json!({
        "artifactLocation": {"uri": uri(place.path().or(place.document()).unwrap_or("layer"))},
        "region": {"startLine": 1},
    });
    let physical = match finding.line() {
        Some(line) => json!({
            "artifactLocation": {"uri": uri(&line.file)},
            "region": {"startLine": line.line},
        }),
        None => in_image,
    };
    let name = match (finding.layer(), place.pointer()) {
        (Some(layer), _) => format!("layer {layer}: {place}"),
        (None, _) => place.to_string(),
    };
    json!({"physicalLocation": physical, "logicalLocations": [{"fullyQualifiedName": name, "kind": "resource"}]})
}

fn properties(finding: &Finding) -> Value {
    let mut bag = Map::new();
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            bag.insert(key.to_owned(), value);
        }
    };
    put("secret", Some(json!(finding.secret().as_str())));
    put("part", finding.part().map(|text| json!(text)));
    put("form", Some(json!(finding.form().machine_name())));
    put("platform", finding.image().map(|text| json!(text)));
    put("layer", finding.layer().map(|layer| json!(layer)));
    put("diffId", finding.diff_id().map(|text| json!(text)));
    put("path", finding.place().path().map(|text| json!(text)));
    put("offset", Some(json!(finding.place().offset())));
    put("pointer", finding.place().pointer().map(|text| json!(text)));
    put("instruction", finding.instruction().map(|text| json!(text)));
    put("deletedIn", finding.deleted_in().map(|layer| json!(layer)));
    Value::Object(bag)
}

/// Makes a digest by which the same finding is recognized in another run. It does not depend on the value.
fn place_fingerprint(finding: &Finding) -> String {
    let place = finding.place();
    let secret = finding.label();
    let parts = [
        secret.as_str(),
        finding.form().machine_name(),
        place.machine_name(),
        place.path().unwrap_or_default(),
        place.document().unwrap_or_default(),
        place.pointer().unwrap_or_default(),
    ];
    base16ct::lower::encode_string(&Sha256::digest(parts.join("\0").as_bytes())[..16])
}

/// Writes a path as a relative URI reference (RFC 3986). Everything but unreserved characters and slashes is escaped.
fn uri(path: &str) -> String {
    let mut out = String::new();
    for byte in path.trim_start_matches('/').bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => out.push(char::from(byte)),
            byte => {
                // Writing to a string cannot fail.
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    // A reference that begins with `//` would name another host.
    while out.contains("//") {
        out = out.replace("//", "/");
    }
    if out.is_empty() { ".".to_owned() } else { out }
}
