//! `--metadata-file`: the exporter's answer about the result, in the form in which docker writes it.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value};

use crate::files::replace::replace;

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
    replace(path, serde_json::to_string_pretty(document)?.as_bytes())
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
    use std::fs;

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
    fn the_file_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.json");
        std::fs::write(&path, "old and longer than the new one").unwrap();
        write(&path, &serde_json::json!({ "a": 1 })).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&std::fs::read(&path).unwrap()).unwrap()["a"], 1);
        assert!(write(&folder.path().join("none/m.json"), &Value::Null).is_err());
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/dev/null", &link).unwrap();
        write(&link, &Value::Null).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink(), "no file takes the place of what is none");
    }
}
