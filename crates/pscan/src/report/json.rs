//! The report for programs, contract version 1.

use serde::Serialize;
use serde_json::{Value, json};

use super::Report;
use crate::finding::{Finding, Place};

/// One finding of the contract. Fields may be added; those that are here stay.
#[derive(Serialize)]
struct Line<'a> {
    secret: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    same_value: Vec<&'a str>,
    form: &'a str,
    weak: bool,
    platform: Option<&'a str>,
    layer: Option<usize>,
    diff_id: Option<&'a str>,
    part: &'a str,
    path: Option<&'a str>,
    offset: u64,
    document: Option<&'a str>,
    pointer: Option<&'a str>,
    instruction: Option<&'a str>,
    deleted_in: Option<usize>,
    times: u64,
}

impl<'a> Line<'a> {
    fn new(finding: &'a Finding) -> Self {
        let (part, path, offset, document, pointer) = match finding.place() {
            Place::File { path, offset } => ("content", Some(path.as_str()), *offset, None, None),
            Place::Header { path, offset } => ("header", Some(path.as_str()), *offset, None, None),
            Place::Bytes { after, offset } => ("bytes", after.as_deref(), *offset, None, None),
            Place::GzipHeader { offset } => ("gzip-header", None, *offset, None, None),
            Place::Packed { offset } => ("packed", None, *offset, None, None),
            Place::Document { name, pointer, offset } => {
                ("document", None, *offset, Some(name.as_str()), pointer.as_deref())
            }
        };
        Self {
            secret: finding.secret().as_str(),
            same_value: finding.same_value().iter().map(|name| name.as_str()).collect(),
            form: finding.form().machine_name(),
            weak: finding.is_weak(),
            platform: finding.image(),
            layer: finding.layer(),
            diff_id: finding.diff_id(),
            part,
            path,
            offset,
            document,
            pointer,
            instruction: finding.instruction(),
            deleted_in: finding.deleted_in(),
            times: finding.times(),
        }
    }
}

impl Report {
    /// The report as JSON, contract version 1: `result` is `clean`, `leak` or `incomplete`. Layers count from 1.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let not_searched = |one: &super::NotSearched| json!({"layer": one.layer, "member": one.member, "why": one.why});
        let unprotected = |one: &crate::Unsearched| json!({"secret": one.name().as_str(), "why": one.why()});
        json!({
            "version": 1,
            "result": self.verdict().machine_name(),
            "image": self.subject,
            "platforms": self.platforms,
            "absent_platforms": self.absent,
            "findings": self.findings.iter().map(Line::new).collect::<Vec<_>>(),
            "not_listed": self.not_listed,
            "not_searched": self.not_searched.iter().map(not_searched).collect::<Vec<_>>(),
            "unprotected": self.unprotected.iter().map(unprotected).collect::<Vec<_>>(),
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
