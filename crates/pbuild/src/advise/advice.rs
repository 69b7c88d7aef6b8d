//! The advice for a secret, and the line of `app.toml` that puts the advice into effect.

use serde::Serialize;
use toml_edit::{Array, InlineTable, Value};

/// The advice for one secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Advice {
    /// The name of the secret.
    pub(super) name: String,
    /// The patterns that match exactly the steps that read the secret. The list is empty if no step reads it, or if
    /// the Dockerfile mounts it.
    pub(super) steps: Vec<String>,
    /// The patterns that the manifest has now.
    pub(super) now: Vec<String>,
    /// The names of the steps that read the secret.
    pub(super) read_by: Vec<String>,
    /// The names of the steps that mount the secret themselves.
    pub(super) mounted_by: Vec<String>,
    /// The conclusion.
    pub(super) verdict: AdviceConclusion,
    /// The line of `app.toml` to write.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) line: Option<String>,
}

/// The conclusion about a secret's steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum AdviceConclusion {
    /// No step gets the secret that could do without it.
    Good,
    /// Only the proposed steps should get the secret.
    Narrow,
    /// The Dockerfile mounts the secret where it is read, so `steps` would change nothing.
    Mounted,
    /// No step mentions the secret.
    Unmentioned,
}

/// Writes the manifest's line that gives a secret to these steps.
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
        || entry.rebuild.is_some()
        || entry.value.is_some()
        || entry.delivery != papp::Delivery::Variable
        || entry.replaces_injected
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use papp::Manifest;

    use super::*;

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
