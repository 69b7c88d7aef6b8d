//! The report as JSON, contract version 1, without the advice that `preport` adds for readers.

use serde::Serialize;
use serde_json::{Value, json};

use super::{LayerSummary, NotSearched, Report};
use crate::finding::Finding;
use crate::needle::Unsearched;

/// One finding of the contract. Fields may be added, but no field is removed.
#[derive(Serialize)]
struct Line<'a> {
    secret: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_part: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    same_value: Vec<&'a str>,
    form: &'a str,
    weak: bool,
    platform: Option<&'a str>,
    layer: Option<usize>,
    diff_id: Option<&'a str>,
    part: &'a str,
    path: Option<&'a str>,
    container: Option<&'a str>,
    offset: u64,
    document: Option<&'a str>,
    pointer: Option<&'a str>,
    instruction: Option<&'a str>,
    dockerfile: Option<Value>,
    deleted_in: Option<usize>,
    times: u64,
}

impl<'a> Line<'a> {
    fn new(finding: &'a Finding) -> Self {
        let place = finding.place();
        Self {
            secret: finding.secret().as_str(),
            secret_part: finding.part(),
            same_value: finding.same_value().iter().map(|name| name.as_str()).collect(),
            form: finding.form().machine_name(),
            weak: finding.is_weak(),
            platform: finding.image(),
            layer: finding.layer(),
            diff_id: finding.diff_id(),
            part: place.machine_name(),
            path: place.path(),
            container: finding.container().map(pimage::Container::name),
            offset: place.offset(),
            document: place.document(),
            pointer: place.pointer(),
            instruction: finding.instruction(),
            dockerfile: finding.line().map(|line| json!({"file": line.file, "line": line.line})),
            deleted_in: finding.deleted_in(),
            times: finding.times(),
        }
    }
}

impl Report {
    /// Returns the report as JSON, contract version 1: `result` is `clean`, `leak` or `incomplete`. Layers count from
    /// 1.
    ///
    /// This is the data that one of our programs sends to another; users get the JSON of `preport::json`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "version": 1,
            "result": self.verdict().machine_name(),
            "image": self.subject,
            "source": self.way,
            "platforms": self.platforms,
            "image_ids": self.image_ids,
            "date": self.date,
            "absent_platforms": self.absent,
            "findings": self.findings.iter().map(Line::new).collect::<Vec<_>>(),
            "not_listed": self.not_listed,
            "accepted": self.accepted.iter().map(Line::new).collect::<Vec<_>>(),
            "stale": self.stale,
            "not_searched": self.not_searched.iter().map(not_searched).collect::<Vec<_>>(),
            "damaged": self.damaged.iter().map(not_searched).collect::<Vec<_>>(),
            "unprotected": self.unprotected.iter().map(unprotected).collect::<Vec<_>>(),
            "layers": self.layers.iter().map(layer).collect::<Vec<_>>(),
            "stats": {
                "layers": self.stats.layers,
                "bytes": self.stats.bytes,
                "secrets": self.stats.secrets,
                "forms": self.stats.forms,
                "milliseconds": self.stats.milliseconds,
            },
        })
    }
}

fn not_searched(one: &NotSearched) -> Value {
    json!({"layer": one.layer, "member": one.member, "why": one.why})
}

fn unprotected(one: &Unsearched) -> Value {
    match one.part() {
        Some(part) => json!({"secret": one.name().as_str(), "secret_part": part, "why": one.why()}),
        None => json!({"secret": one.name().as_str(), "why": one.why()}),
    }
}

fn layer(layer: &LayerSummary) -> Value {
    json!({
        "platform": layer.platform(),
        "layer": layer.number(),
        "diff_id": layer.diff_id(),
        "bytes": layer.bytes(),
        "instruction": layer.instruction(),
        "state": layer.state().machine_name(),
        "findings": layer.leaks(),
    })
}
