//! `--metadata-file`: the exporter's answer about the result, in the form in which docker writes it.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::{fs, io};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use pbuildkit::status::{LineRange, Warning};
use psecret::Redactor;
use serde_json::{Map, Value, json};

use crate::files::replace::replace;
use crate::plan::comma_separated::truth;

/// Makes the document of the file. BuildKit sends some answers as JSON in base64; the function decodes them, as
/// docker does.
pub(crate) fn document(exporter_response: &BTreeMap<String, String>, names: &[String]) -> Value {
    let mut document = Map::new();
    for (key, text) in exporter_response {
        document.insert(key.clone(), structured(text).unwrap_or_else(|| Value::String(text.clone())));
    }
    // The engine did not know the names when it answered, so the function adds them. Docker writes the complete
    // names.
    if !names.is_empty() {
        document.insert("image.name".to_owned(), Value::String(names.join(",")));
    }
    Value::Object(document)
}

/// Adds the warnings of a build, or of all builds of a group, if the environment asks for them.
pub(super) fn add_warnings(document: &mut Value, warnings: &[Warning], redactor: &Redactor) {
    let asked = std::env::var("BUILDX_METADATA_WARNINGS").ok();
    if asked.as_deref().and_then(truth) == Some(true) && !warnings.is_empty() {
        document["buildx.build.warnings"] = warnings_told(warnings, redactor);
    }
}

/// Returns the warnings as buildx writes them: each once, whatever step it is about, and texts in base64. The texts are
/// redacted before that.
fn warnings_told(warnings: &[Warning], redactor: &Redactor) -> Value {
    let text = |bytes: &[u8]| BASE64_STANDARD.encode(redactor.redact_bytes(bytes));
    let mut told: Vec<(Map<String, Value>, &str)> = Vec::new();
    for warning in warnings {
        let mut fields = Map::new();
        let mut add = |key: &str, value: Value| {
            // Go leaves out what is empty.
            let empty =
                value.as_str() == Some("") || value.as_i64() == Some(0) || value.as_array().is_some_and(Vec::is_empty);
            if !empty {
                fields.insert(key.to_owned(), value);
            }
        };
        add("level", warning.level.into());
        add("short", text(warning.short.as_bytes()).into());
        add("detail", warning.detail.iter().map(|line| text(line.as_bytes())).collect());
        add("url", redactor.redact(&warning.url).into());
        if let Some(file) = &warning.file {
            let mut source = Map::new();
            for (key, value) in [
                ("filename", redactor.redact(&file.name)),
                ("data", text(&file.text)),
                ("language", redactor.redact(&file.language)),
            ] {
                if !value.is_empty() {
                    source.insert(key.to_owned(), value.into());
                }
            }
            add("sourceInfo", source.into());
        }
        let range = |range: &LineRange| json!({ "start": { "line": range.first }, "end": { "line": range.last } });
        add("range", warning.ranges.iter().map(range).collect());
        if told.iter().all(|(known, _)| known != &fields) {
            told.push((fields, &warning.vertex));
        }
    }
    let whole = |(mut fields, vertex): (Map<String, Value>, &str)| {
        if !vertex.is_empty() {
            fields.insert("vertex".to_owned(), vertex.into());
        }
        Value::Object(fields)
    };
    told.into_iter().map(whole).collect()
}

fn structured(text: &str) -> Option<Value> {
    let value: Value = serde_json::from_slice(&BASE64_STANDARD.decode(text).ok()?).ok()?;
    let filled = value.as_object().is_some_and(|object| !object.is_empty())
        || value.as_array().is_some_and(|array| array.first().is_some_and(Value::is_object));
    filled.then_some(value)
}

/// Writes the whole file or nothing. If the path is not a regular file, such as `/dev/stdout`, writes into it.
///
/// # Errors
/// Returns an error if the folder or the file cannot be written.
pub(super) fn write(path: &Path, document: &Value) -> io::Result<()> {
    replace(path, serde_json::to_string_pretty(document)?.as_bytes())?;
    // Whatever the umask is, docker's file can be read by everybody.
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => fs::set_permissions(path, fs::Permissions::from_mode(0o644)),
        _ => Ok(()),
    }
}

/// Removes the file of an earlier build, so that nobody takes it for the file of this build. A path that is not a
/// regular file, such as `/dev/stdout`, stays.
///
/// # Errors
/// Returns an error if the file exists and cannot be removed.
pub(super) fn remove(file: &Path) -> io::Result<()> {
    if !std::fs::symlink_metadata(file).is_ok_and(|metadata| metadata.is_file()) {
        return Ok(());
    }
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use pbuildkit::status::WarningFile;

    use super::*;

    #[test]
    fn answers_in_base64_are_unpacked_and_names_are_added() {
        let response = BTreeMap::from([
            ("containerimage.digest".to_owned(), "sha256:12".to_owned()),
            ("containerimage.descriptor".to_owned(), BASE64_STANDARD.encode(r#"{"size":7}"#)),
            // A word that happens to be valid base64 stays as it is.
            ("word".to_owned(), "abcd".to_owned()),
        ]);
        let document = document(&response, &["docker.io/library/a:1".to_owned(), "b.example/c:2".to_owned()]);
        assert_eq!(
            document,
            serde_json::json!({
                "containerimage.digest": "sha256:12",
                "containerimage.descriptor": { "size": 7 },
                "word": "abcd",
                "image.name": "docker.io/library/a:1,b.example/c:2",
            })
        );
    }

    #[test]
    fn warnings_are_told_once_and_without_values() {
        let redactor = psecret::RedactorBuilder::new().mask("TOKEN", b"canary-of-a-warning").build().unwrap();
        let warning = |vertex: &str| Warning {
            vertex: vertex.to_owned(),
            level: 1,
            short: "short".to_owned(),
            detail: vec!["holds canary-of-a-warning".to_owned()],
            url: String::new(),
            file: Some(WarningFile {
                name: "Dockerfile".to_owned(),
                language: "Dockerfile".to_owned(),
                text: b"RUN canary-of-a-warning".to_vec(),
            }),
            ranges: vec![LineRange { first: 1, last: 2 }],
        };
        let told = warnings_told(&[warning("sha256:1"), warning("sha256:2")], &redactor);
        let coded = |text: &str| BASE64_STANDARD.encode(redactor.redact(text));
        assert_eq!(
            told,
            json!([{
                "vertex": "sha256:1",
                "level": 1,
                "short": BASE64_STANDARD.encode("short"),
                "detail": [coded("holds canary-of-a-warning")],
                "sourceInfo":
                    { "filename": "Dockerfile", "language": "Dockerfile", "data": coded("RUN canary-of-a-warning") },
                "range": [{ "start": { "line": 1 }, "end": { "line": 2 } }],
            }])
        );
        assert!(!told.to_string().contains(&BASE64_STANDARD.encode("RUN canary-of-a-warning")));
    }

    #[test]
    fn the_file_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.json");
        std::fs::write(&path, "old and longer than the new one").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        write(&path, &serde_json::json!({ "a": 1 })).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&std::fs::read(&path).unwrap()).unwrap()["a"], 1);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        assert!(write(&folder.path().join("none/m.json"), &Value::Null).is_err());
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/dev/null", &link).unwrap();
        write(&link, &Value::Null).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink(), "no file takes the place of what is none");
    }
}
