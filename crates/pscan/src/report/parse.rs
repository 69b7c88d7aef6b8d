//! Reads a report from its JSON. The search may have run elsewhere, so the reader needs the same needles, or at least
//! the names of the secrets.

use pimage::Container;
use psecret::{Form, SecretName};
use serde_json::Value;

use super::{LayerState, LayerSummary, NotSearched, Report, Stats};
use crate::finding::{Finding, Place, SourceLine};
use crate::needle::{NeedleSet, Unsearched};

/// The error that some JSON is not the report of a search for these needles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the report lacks `{field}`, or it is not what the contract says")]
pub struct ReportError {
    field: &'static str,
}

/// The knowledge of what was searched for, and so of the names that a report may contain.
trait Searcher {
    fn name(&self, name: &str) -> Option<SecretName>;
    fn has_part(&self, secret: &SecretName, part: &str) -> bool;
    fn form(&self, name: &str) -> Option<Form>;
}

impl Searcher for NeedleSet {
    fn name(&self, name: &str) -> Option<SecretName> {
        self.known_name(name).cloned()
    }

    fn has_part(&self, secret: &SecretName, part: &str) -> bool {
        self.has_part(secret, part)
    }

    fn form(&self, name: &str) -> Option<Form> {
        self.known_form(name)
    }
}

/// A reader that only knows the names of the secrets.
impl Searcher for [SecretName] {
    fn name(&self, name: &str) -> Option<SecretName> {
        self.iter().find(|known| known.as_str() == name).cloned()
    }

    fn has_part(&self, _: &SecretName, _: &str) -> bool {
        true
    }

    fn form(&self, name: &str) -> Option<Form> {
        Form::parse(name)
    }
}

impl Report {
    /// Reads a report of contract version 1 that a search for the same needles wrote.
    ///
    /// # Errors
    ///
    /// Returns a [`ReportError`] if a field is missing, or names something that the needles do not have. An
    /// incomplete report would prove nothing.
    pub fn from_json(report: &Value, needles: &NeedleSet) -> Result<Self, ReportError> {
        let searched = needles.secret_names().map(ToString::to_string).collect();
        let told = read(report, needles, searched, needles.unsearched().to_vec())?;
        // A search for other needles proves nothing about these.
        if (told.stats.secrets, told.stats.forms) != (needles.secrets(), needles.forms()) {
            return Err(ReportError { field: "stats" });
        }
        Ok(told)
    }

    /// Reads a report of a search for secrets of which the caller knows only the names.
    ///
    /// # Errors
    ///
    /// Returns a [`ReportError`] if a field is missing, names another secret, or does not say whether one of the
    /// secrets was searched for.
    pub fn from_json_by_names(report: &Value, names: &[SecretName]) -> Result<Self, ReportError> {
        let unsearched = Fields(report).list("unprotected")?.iter().map(|one| unsearched(one, names));
        let unsearched = unsearched.collect::<Result<Vec<_>, _>>()?;
        let told_of = |name: &&SecretName| unsearched.iter().any(|one| one.name() == *name && one.part().is_none());
        let (without, searched): (Vec<&SecretName>, Vec<&SecretName>) = names.iter().partition(|name| told_of(name));
        let (without, searched): (usize, Vec<String>) =
            (without.len(), searched.iter().map(ToString::to_string).collect());
        let (least, most) = (searched.len(), searched.len() + without);
        let told = read(report, names, searched, unsearched)?;
        if !(least..=most).contains(&told.stats.secrets) || told.stats.forms == 0 {
            return Err(ReportError { field: "stats" });
        }
        Ok(told)
    }
}

fn read<S: Searcher + ?Sized>(
    report: &Value,
    searcher: &S,
    searched: Vec<String>,
    unprotected: Vec<Unsearched>,
) -> Result<Report, ReportError> {
    let fields = Fields(report);
    if fields.number("version")? != 1 {
        return Err(ReportError { field: "version" });
    }
    let stats = Fields(report.get("stats").ok_or(ReportError { field: "stats" })?);
    let findings = |field| fields.list(field)?.iter().map(|each| finding(each, searcher)).collect::<Result<_, _>>();
    let told = Report {
        subject: fields.optional_text("image")?,
        way: fields.optional_text("source")?,
        layers: fields.list("layers")?.iter().map(layer).collect::<Result<_, _>>()?,
        searched,
        platforms: fields.texts("platforms")?,
        image_ids: match report.get("image_ids") {
            None => Vec::new(),
            Some(_) => fields.texts("image_ids")?,
        },
        date: fields.optional_text("date")?,
        absent: fields.texts("absent_platforms")?,
        findings: findings("findings")?,
        accepted: findings("accepted")?,
        stale: fields.texts("stale")?,
        not_listed: fields.number("not_listed")?,
        not_searched: fields.list("not_searched")?.iter().map(not_searched).collect::<Result<_, _>>()?,
        damaged: fields.list("damaged")?.iter().map(not_searched).collect::<Result<_, _>>()?,
        unprotected,
        stats: Stats {
            layers: stats.count("layers")?,
            bytes: stats.number("bytes")?,
            secrets: stats.count("secrets")?,
            forms: stats.count("forms")?,
            milliseconds: stats.number("milliseconds")?,
        },
    };
    // The result must agree with the other fields.
    match fields.text("result")? == told.verdict().machine_name() {
        true => Ok(told),
        false => Err(ReportError { field: "result" }),
    }
}

fn unsearched(one: &Value, names: &[SecretName]) -> Result<Unsearched, ReportError> {
    let fields = Fields(one);
    let name = names.name(fields.text("secret")?).ok_or(ReportError { field: "unprotected" })?;
    Ok(Unsearched::new(name, fields.text("why")?.to_owned()).of_part(fields.optional_text("secret_part")?))
}

fn not_searched(one: &Value) -> Result<NotSearched, ReportError> {
    let fields = Fields(one);
    Ok(NotSearched {
        layer: fields.optional_count("layer")?,
        member: fields.optional_text("member")?,
        why: fields.text("why")?.to_owned(),
    })
}

fn finding<S: Searcher + ?Sized>(one: &Value, searcher: &S) -> Result<Finding, ReportError> {
    let fields = Fields(one);
    let name = |text: &str| searcher.name(text).ok_or(ReportError { field: "secret" });
    let same_value: Vec<SecretName> = match one.get("same_value") {
        None => Vec::new(),
        Some(_) => fields.texts("same_value")?.iter().map(|text| name(text)).collect::<Result<_, _>>()?,
    };
    let secret = name(fields.text("secret")?)?;
    let part = fields.optional_text("secret_part")?;
    if part.as_ref().is_some_and(|part| !searcher.has_part(&secret, part)) {
        return Err(ReportError { field: "secret_part" });
    }
    Ok(Finding {
        secret,
        part,
        same_value,
        form: searcher.form(fields.text("form")?).ok_or(ReportError { field: "form" })?,
        container: match fields.optional_text("container")? {
            None => None,
            Some(name) => Some(Container::parse(&name).ok_or(ReportError { field: "container" })?),
        },
        weak: one.get("weak").and_then(Value::as_bool).ok_or(ReportError { field: "weak" })?,
        image: fields.optional_text("platform")?,
        layer: fields.optional_count("layer")?,
        diff_id: fields.optional_text("diff_id")?,
        place: place(&fields)?,
        instruction: fields.optional_text("instruction")?,
        deleted_in: fields.optional_count("deleted_in")?,
        times: fields.number("times")?,
        line: line(one)?,
    })
}

fn line(finding: &Value) -> Result<Option<SourceLine>, ReportError> {
    let Some(dockerfile) = finding.get("dockerfile").filter(|line| !line.is_null()) else { return Ok(None) };
    let fields = Fields(dockerfile);
    let line = u32::try_from(fields.number("line")?).map_err(|_| ReportError { field: "line" })?;
    Ok(Some(SourceLine { file: fields.text("file")?.to_owned(), line }))
}

fn layer(one: &Value) -> Result<LayerSummary, ReportError> {
    let fields = Fields(one);
    let state = fields.text("state")?;
    Ok(LayerSummary {
        platform: fields.optional_text("platform")?,
        number: fields.count("layer")?,
        diff_id: fields.optional_text("diff_id")?,
        bytes: fields.number("bytes")?,
        instruction: fields.optional_text("instruction")?,
        state: LayerState::ALL
            .into_iter()
            .find(|known| known.machine_name() == state)
            .ok_or(ReportError { field: "state" })?,
        leaks: fields.count("findings")?,
    })
}

fn place(fields: &Fields<'_>) -> Result<Place, ReportError> {
    let offset = fields.number("offset")?;
    let path = || fields.text("path").map(str::to_owned);
    Ok(match fields.text("part")? {
        "content" => Place::File { path: path()?, offset },
        "header" => Place::Header { path: path()?, offset },
        "bytes" => Place::Bytes { after: fields.optional_text("path")?, offset },
        "gzip-header" => Place::GzipHeader { offset },
        "packed" => Place::Packed { offset },
        "document" => Place::Document {
            name: fields.text("document")?.to_owned(),
            pointer: fields.optional_text("pointer")?,
            offset,
        },
        _ => return Err(ReportError { field: "part" }),
    })
}

/// A reader of an object's fields by their types.
struct Fields<'a>(&'a Value);

impl<'a> Fields<'a> {
    fn text(&self, field: &'static str) -> Result<&'a str, ReportError> {
        self.0.get(field).and_then(Value::as_str).ok_or(ReportError { field })
    }

    fn optional_text(&self, field: &'static str) -> Result<Option<String>, ReportError> {
        match self.0.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(_) => self.text(field).map(|text| Some(text.to_owned())),
        }
    }

    fn number(&self, field: &'static str) -> Result<u64, ReportError> {
        self.0.get(field).and_then(Value::as_u64).ok_or(ReportError { field })
    }

    fn count(&self, field: &'static str) -> Result<usize, ReportError> {
        usize::try_from(self.number(field)?).map_err(|_| ReportError { field })
    }

    fn optional_count(&self, field: &'static str) -> Result<Option<usize>, ReportError> {
        match self.0.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(_) => self.count(field).map(Some),
        }
    }

    fn list(&self, field: &'static str) -> Result<&'a [Value], ReportError> {
        self.0.get(field).and_then(Value::as_array).map(Vec::as_slice).ok_or(ReportError { field })
    }

    fn texts(&self, field: &'static str) -> Result<Vec<String>, ReportError> {
        let text = |each: &Value| each.as_str().map(str::to_owned).ok_or(ReportError { field });
        self.list(field)?.iter().map(text).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use psecret::UserSecret;
    use ptest::{Image, Layer};

    use super::*;
    use crate::{NeedleSetBuilder, Options, audit};

    const VALUE: &str = "t0ken-of-the-report";

    fn needles(name: &str) -> NeedleSet {
        let value = UserSecret::new(VALUE.as_bytes().to_vec());
        NeedleSetBuilder::new().secret(&SecretName::parse(name).unwrap(), &value).build().unwrap()
    }

    /// Makes a report with a finding at every kind of place, and with a part that was not searched.
    fn report(needles: &NeedleSet) -> Report {
        let mut archive = Image::new()
            .layer(Layer::new().file("etc/app", format!("x{VALUE}")).file(&format!("srv/{VALUE}"), "x"), "RUN one")
            .configured(|config| config["config"]["Env"] = serde_json::json!([format!("A={VALUE}")]))
            .docker_oci("shop:1")
            .tar();
        archive.truncate(archive.len() - 1024);
        let options = Options { subject: Some("shop:1".into()), ..Options::default() };
        audit(archive.as_slice(), needles, &options, &mut |_| ControlFlow::Continue(())).unwrap()
    }

    #[test]
    fn a_report_that_is_read_back_is_the_same() {
        let needles = needles("TOKEN");
        let report = report(&needles);
        assert!(report.findings().len() >= 3 && !report.not_searched().is_empty(), "{report:?}");
        let again = Report::from_json(&report.to_json(), &needles).unwrap();
        assert_eq!(format!("{again:?}"), format!("{report:?}"));
    }

    /// A report that lacks any of its fields is refused.
    #[test]
    fn no_field_may_be_missing_and_none_may_lie() {
        let needles = needles("TOKEN");
        let whole = report(&needles).to_json();
        for field in
            ["version", "result", "findings", "not_listed", "not_searched", "stats", "platforms", "layers", "accepted"]
        {
            let mut less = whole.clone();
            less.as_object_mut().unwrap().remove(field);
            assert!(Report::from_json(&less, &needles).is_err(), "without {field}");
        }
        for (pointer, lie) in [
            ("/result", serde_json::json!("clean")),
            ("/version", serde_json::json!(2)),
            ("/findings/0/secret", serde_json::json!("OTHER")),
            ("/findings/0/form", serde_json::json!("rot13")),
            ("/findings/0/part", serde_json::json!("nowhere")),
            ("/findings/0/offset", serde_json::json!(-1)),
            ("/stats/forms", serde_json::json!(1)),
        ] {
            let mut other = whole.clone();
            *other.pointer_mut(pointer).unwrap() = lie;
            assert!(Report::from_json(&other, &needles).is_err(), "{pointer}");
        }
    }

    #[test]
    fn whoever_knows_the_names_alone_reads_the_same() {
        let names = [SecretName::parse("TOKEN").unwrap(), SecretName::parse("SHORT").unwrap()];
        let needles = NeedleSetBuilder::new()
            .secret(&names[0], &UserSecret::new(VALUE.as_bytes().to_vec()))
            .secret(&names[1], &UserSecret::new(b"abc".to_vec()))
            .build()
            .unwrap();
        let report = report(&needles);
        let whole = report.to_json();
        let again = Report::from_json_by_names(&whole, &names).unwrap();
        assert_eq!(format!("{again:?}"), format!("{report:?}"));

        assert!(Report::from_json_by_names(&whole, &names[1..]).is_err(), "it names another secret");
        let mut three = names.to_vec();
        three.push(SecretName::parse("OTHER").unwrap());
        assert!(Report::from_json_by_names(&whole, &three).is_err(), "one was not searched for");
        for (pointer, lie) in [
            ("/result", serde_json::json!("clean")),
            ("/findings/0/secret", serde_json::json!("OTHER")),
            ("/findings/0/form", serde_json::json!("rot13")),
            ("/stats/secrets", serde_json::json!(0)),
            ("/stats/forms", serde_json::json!(0)),
            ("/unprotected", serde_json::json!([])),
        ] {
            let mut other = whole.clone();
            *other.pointer_mut(pointer).unwrap() = lie;
            assert!(Report::from_json_by_names(&other, &names).is_err(), "{pointer}");
        }
    }

    #[test]
    fn a_report_of_other_needles_is_refused() {
        let report = report(&needles("TOKEN")).to_json();
        assert!(Report::from_json(&report, &needles("OTHER")).is_err());
    }
}
