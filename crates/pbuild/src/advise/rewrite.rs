//! Writes the advice into `app.toml`. Comments, the order and all other text stay unchanged.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use papp::{Manifest, ManifestError};
use pcli::FoundManifest;
use toml_edit::{Array, DocumentMut, Item, TableLike, Value};

use super::advice::{Advice, AdviceConclusion};
use crate::files;

/// The largest manifest that is read, in bytes.
const LONGEST: usize = 1 << 20;

/// The reasons why the manifest was not changed.
#[derive(Debug)]
pub(crate) enum RewriteError {
    /// The manifest cannot be read or written.
    Write {
        /// The manifest.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file has changed and no longer has the entries that were read from it.
    NoEntry {
        /// The manifest.
        path: PathBuf,
    },
    /// The new text would not be a valid manifest.
    Broken(ManifestError),
}

/// Writes the advice into the manifest, and returns the names of the secrets whose entries changed.
pub(super) fn write(found: &FoundManifest, advice: &[Advice]) -> Result<Vec<String>, RewriteError> {
    let failed = |source| RewriteError::Write { path: found.path.clone(), source };
    let before = files::read(&found.path, LONGEST).map_err(failed)?;
    let before = String::from_utf8(before).map_err(|_| failed(io::ErrorKind::InvalidData.into()))?;
    let Some((after, changed)) = changed(&before, advice) else {
        return Err(RewriteError::NoEntry { path: found.path.clone() });
    };
    if changed.is_empty() {
        return Ok(changed);
    }
    // If the new text is not a manifest, that is a mistake of pbuild, so the text is not written.
    Manifest::parse(&found.path, after.as_bytes()).map_err(RewriteError::Broken)?;
    let path = fs::canonicalize(&found.path).map_err(failed)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mode = fs::metadata(&path).map_err(failed)?.permissions();
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(after.as_bytes()).map_err(failed)?;
    file.as_file().set_permissions(mode).map_err(failed)?;
    file.persist(&path).map_err(|error| failed(error.error))?;
    Ok(changed)
}

/// Writes the advice into the manifest's text, and lists the names whose entries changed. Returns `None` if the text
/// is not the manifest that was read.
fn changed(text: &str, advice: &[Advice]) -> Option<(String, Vec<String>)> {
    let mut document: DocumentMut = text.parse().ok()?;
    let mut changed = Vec::new();
    for one in advice.iter().filter(|one| one.verdict == AdviceConclusion::Narrow) {
        // A secret that only a flag names has no entry, and does not get one.
        let Some(entry) =
            document.get_mut("secrets").and_then(|secrets| secrets.as_table_like_mut()?.get_mut(&one.name))
        else {
            continue;
        };
        let steps: Array = one.steps.iter().map(String::as_str).collect();
        let table: &mut dyn TableLike = entry.as_table_like_mut()?;
        let mut value = Value::Array(steps);
        if let Some(old) = table.get("steps").and_then(Item::as_value) {
            *value.decor_mut() = old.decor().clone();
        }
        let is_empty = table.is_empty();
        table.insert("steps", Item::Value(value));
        if is_empty && let Some(inline) = entry.as_inline_table_mut() {
            inline.fmt();
        }
        changed.push(one.name.clone());
    }
    Some((document.to_string(), changed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice(name: &str, steps: &[&str]) -> Advice {
        Advice {
            name: name.to_owned(),
            steps: steps.iter().map(|text| (*text).to_owned()).collect(),
            now: Vec::new(),
            read_by: Vec::new(),
            mounted_by: Vec::new(),
            verdict: AdviceConclusion::Narrow,
            line: None,
        }
    }

    #[test]
    fn comments_order_and_other_keys_stay() {
        let text = "# the shop\nname = \"shop\"\n\n[secrets]   # ours\nB = {}   # two\nA = { scope = \"build\", steps = [\"x *\"], rebuild = true }\n\n[secrets.C]\n# three\nscope = \"build\"\n";
        let (after, changed) = changed(
            text,
            &[advice("A", &["npm *", "say \"x\""]), advice("B", &["b"]), advice("C", &["c"]), advice("D", &["d"])],
        )
        .unwrap();
        assert_eq!(changed, ["A", "B", "C"]);
        insta::assert_snapshot!(after, @r#"
    # the shop
    name = "shop"

    [secrets]   # ours
    B = { steps = ["b"] }   # two
    A = { scope = "build", steps = ["npm *", 'say "x"'], rebuild = true }

    [secrets.C]
    # three
    scope = "build"
    steps = ["c"]
    "#);
        let manifest = Manifest::parse(Path::new("app.toml"), after.as_bytes()).unwrap();
        assert_eq!(manifest.secret("A").unwrap().steps, ["npm *", "say \"x\""]);
    }
}
