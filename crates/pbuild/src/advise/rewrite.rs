//! The advice as lines of `app.toml`, shown or written. Comments, order and everything else stay as they are.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use papp::Manifest;
use pcli::FoundManifest;
use pscreen::{Diagnostic, Exit};
use toml_edit::{Array, DocumentMut, InlineTable, Item, TableLike, Value};

use super::{Advice, Verdict};
use crate::edge::Failure;

/// The line that gives a secret these steps.
pub(super) fn line(name: &str, entry: Option<&papp::Secret>, steps: &[String]) -> String {
    let mut table = InlineTable::new();
    match entry.map(|entry| entry.scope) {
        Some(papp::Scope::Build) | None => drop(table.insert("scope", "build".into())),
        Some(papp::Scope::Run | papp::Scope::Both) => {}
    }
    table.insert("steps", Value::Array(steps.iter().map(String::as_str).collect::<Array>()));
    let key = toml_edit::Key::new(name);
    let rest = match entry {
        Some(entry) if has_more(entry) => "   # and what else stands there",
        _ => "",
    };
    format!("{key} = {table}{rest}")
}

fn has_more(entry: &papp::Secret) -> bool {
    entry.from.is_some()
        || entry.rebuild
        || entry.value.is_some()
        || entry.delivery != papp::Delivery::Variable
        || entry.replaces_injected
}

/// Writes the advice into the manifest, and names the secrets that changed.
pub(super) fn write(found: &FoundManifest, advice: &[Advice]) -> Result<Vec<String>, Failure> {
    let failed = |error: std::io::Error| {
        Diagnostic::from_error(&error, Exit::Failed).note(format!("while changing {}", found.path.display()))
    };
    let before = fs::read_to_string(&found.path).map_err(failed)?;
    let Some((after, changed)) = changed(&before, advice) else {
        return Err(Diagnostic::error(format!("{} cannot be changed", found.path.display()), Exit::Failed)
            .help("write the lines above by hand")
            .into());
    };
    if changed.is_empty() {
        return Ok(changed);
    }
    // What is written must be a manifest that says what was meant; anything else is our mistake and is not written.
    Manifest::parse(&found.path, after.as_bytes())
        .map_err(|error| Diagnostic::error(format!("the changed manifest would be broken: {error}"), Exit::Failed))?;
    let path = fs::canonicalize(&found.path).map_err(failed)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mode = fs::metadata(&path).map_err(failed)?.permissions();
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(after.as_bytes()).map_err(failed)?;
    file.as_file().set_permissions(mode).map_err(failed)?;
    file.persist(&path).map_err(|error| failed(error.error))?;
    Ok(changed)
}

/// The manifest's text with the advice in it, and the names that changed. `None` when the text is not what was read.
fn changed(text: &str, advice: &[Advice]) -> Option<(String, Vec<String>)> {
    let mut document: DocumentMut = text.parse().ok()?;
    let mut changed = Vec::new();
    for one in advice.iter().filter(|one| one.verdict == Verdict::Narrow) {
        // A secret of a flag alone has no entry, and gets none.
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
            verdict: Verdict::Narrow,
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

    #[test]
    fn a_line_has_the_scope_and_the_steps() {
        let manifest =
            Manifest::parse(Path::new("app.toml"), b"[secrets]\nA = { scope = \"build\" }\nB = { rebuild = true }\n")
                .unwrap();
        let steps = ["npm *".to_owned()];
        assert_eq!(line("A", manifest.secret("A"), &steps), "A = { scope = \"build\", steps = [\"npm *\"] }");
        assert_eq!(
            line("B", manifest.secret("B"), &steps),
            "B = { steps = [\"npm *\"] }   # and what else stands there"
        );
        assert_eq!(line("npm-x", None, &steps), "npm-x = { scope = \"build\", steps = [\"npm *\"] }");
    }
}
