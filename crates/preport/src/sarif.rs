//! The report as SARIF 2.1.0 (OASIS standard), for code scanning pages.

use std::fmt::Write as _;

use pscan::{Finding, Place, Report, Verdict};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::{advice, sentence};

/// The kinds of findings: the identifier, a short sentence, a long one.
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

/// Writes the report as SARIF 2.1.0. A finding's place is the Dockerfile's line where it is known, and the path in the
/// image.
#[must_use]
pub fn sarif(report: &Report) -> Value {
    let rules: Vec<Value> = RULES
        .iter()
        .map(|(id, short, long)| {
            json!({
                "id": id,
                "shortDescription": {"text": short},
                "fullDescription": {"text": long},
                "defaultConfiguration": {"level": "error"},
                "properties": {"tags": ["security", "secret"], "security-severity": "8.0"},
            })
        })
        .collect();
    let new = report.findings().iter().map(|finding| result(finding, Standing::New));
    let accepted = report.accepted().iter().map(|finding| result(finding, Standing::Accepted));
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
            "invocations": [{
                // SARIF asks whether the tool ran well, not what its verdict was.
                "executionSuccessful": report.not_searched().is_empty(),
                "toolExecutionNotifications": notifications(report),
            }],
            "properties": {
                "result": report.verdict().machine_name(),
                "image": report.subject(),
                "platforms": report.platforms(),
                "notListed": report.not_listed(),
            },
        }],
    })
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

/// Whether a finding is a leak, or one that the baseline accepts.
#[derive(Clone, Copy)]
enum Standing {
    New,
    Accepted,
}

fn result(finding: &Finding, standing: Standing) -> Value {
    let (index, (rule, ..)) = match (finding.place(), finding.deleted_in()) {
        (Place::Document { .. }, _) => (2, RULES[2]),
        (_, Some(_)) => (1, RULES[1]),
        (_, None) => (0, RULES[0]),
    };
    let mut result = json!({
        "ruleId": rule,
        "ruleIndex": index,
        "level": "error",
        "message": {"text": format!("{}. {}", sentence(finding), advice(finding))},
        "locations": [location(finding)],
        "partialFingerprints": {"pbuildPlace/v1": place_fingerprint(finding)},
        "occurrenceCount": finding.times().max(1),
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
        "region": {"byteOffset": place.offset(), "byteLength": 0},
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

/// Makes a digest by which the same finding is known again in another run. Nothing of the value goes into it.
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

/// Writes a path as a relative URI reference (RFC 3986): everything but unreserved characters and slashes is escaped.
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
    // `//host` would be another machine.
    while out.contains("//") {
        out = out.replace("//", "/");
    }
    if out.is_empty() { ".".to_owned() } else { out }
}
