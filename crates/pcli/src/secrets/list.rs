//! `secrets list`: names, scopes, sources, states and rough lengths of secrets, never a value.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use psecret::{Dialect, Inputs, Searchability, Secret, Source};
use serde::Serialize;

use super::{Desk, ListArguments, environment};
use crate::resolve::{Purpose, Resolution, SecretSources, resolve};
use crate::{FoundManifest, ProjectStore, find_manifest, foreign_manifest, identity};
use pscreen::{Diagnostic, Exit};

/// A row of the list.
#[derive(Debug, Serialize)]
pub struct ListedSecret {
    /// The secret's name.
    pub name: String,
    /// Who gets it.
    pub scope: &'static str,
    /// Where the value comes from; empty if there is none.
    pub source: String,
    /// Whether there is a value.
    pub state: State,
    /// Roughly how many bytes the value has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    search: Option<String>,
    /// The names of the parts that are searched for beside the whole value.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parts: Vec<String>,
}

/// The state of a secret's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The secret has a value.
    Set,
    /// The secret has no value.
    Missing,
    /// The value is composed or fetched only when a command needs it, and a list does not.
    WhenNeeded,
    /// The source has a value, but the user has not trusted the manifest to read it yet.
    NotTrusted,
    /// The store has a value, but the manifest declares no such secret.
    Undeclared,
}

impl State {
    /// Puts it into words.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Missing => "missing",
            Self::WhenNeeded => "when needed",
            Self::NotTrusted => "not trusted",
            Self::Undeclared => "not declared",
        }
    }
}

/// The whole list, contract version 1.
#[derive(Debug, Serialize)]
struct List {
    version: u32,
    secrets: Vec<ListedSecret>,
}

pub(super) fn run(arguments: &ListArguments, dialect: Dialect, desk: &Desk) -> Result<Exit, Diagnostic> {
    let given = arguments.secrets.config.as_deref();
    foreign_manifest(given, &[Path::new("")]).iter().for_each(|said| desk.stderr.warning(said));
    let rows = all(given, &arguments.secrets.sources(dialect), desk)?;
    if arguments.json {
        let list = List { version: 1, secrets: rows };
        let json = serde_json::to_string(&list).map_err(|error| Diagnostic::from_error(&error, Exit::Failed))?;
        desk.stdout.line(&json);
    } else {
        text(&rows).iter().for_each(|line| desk.stdout.line(line));
    }
    Ok(Exit::Done)
}

/// Makes the whole list of a project.
///
/// # Errors
/// When the manifest, an env file or the store cannot be read.
pub(super) fn all(
    config: Option<&Path>,
    sources: &SecretSources,
    desk: &Desk,
) -> Result<Vec<ListedSecret>, Diagnostic> {
    let (found, resolution) = at_hand(config, sources, desk)?;
    let mut rows = rows(found.as_ref(), &resolution);
    rows.extend(undeclared(found.as_ref(), &rows)?);
    Ok(rows)
}

/// Finds one secret that has a value at hand, from where the project declares it.
///
/// # Errors
/// When it has none, or something cannot be read.
pub(super) fn one(
    config: Option<&Path>,
    sources: &SecretSources,
    name: &str,
    desk: &Desk,
) -> Result<Secret, Diagnostic> {
    let (_, resolution) = at_hand(config, sources, desk)?;
    let found = resolution.secrets.into_iter().find(|secret| secret.name().as_str() == name);
    found.ok_or_else(|| {
        Diagnostic::error(format!("secret `{name}` has no value at hand"), Exit::SecretMissing)
            .help("`pbuild secrets list` says where each value comes from, and which need more")
    })
}

/// Reads the values at hand. No command of the manifest runs for a look.
fn at_hand(
    config: Option<&Path>,
    sources: &SecretSources,
    desk: &Desk,
) -> Result<(Option<FoundManifest>, Resolution), Diagnostic> {
    let found = find_manifest(config, &[Path::new("")]).map_err(|error| error.diagnostic())?;
    let mut stdin = std::io::stdin();
    let mut inputs = Inputs::new(&environment, &mut stdin);
    let resolution = resolve(sources, found.as_ref(), Purpose::List, &mut inputs, &desk.cancellation)
        .map_err(|error| error.diagnostic())?;
    resolution.warnings.iter().for_each(|warning| desk.stderr.warning(warning));
    Ok((found, resolution))
}

/// Makes the rows: first the declared secrets in the manifest's order, then the secrets that only flags and env files
/// have.
fn rows(found: Option<&FoundManifest>, resolution: &Resolution) -> Vec<ListedSecret> {
    let declared = found.map(|found| found.manifest.secrets.as_slice()).unwrap_or_default();
    let untrusted: HashSet<&str> = resolution.untrusted.iter().map(|entry| entry.name.as_str()).collect();
    let deferred: HashSet<&str> = resolution.deferred.iter().map(String::as_str).collect();
    let absent = |secret: &papp::Secret| ListedSecret {
        name: secret.name.clone(),
        scope: scope(secret.scope),
        source: String::new(),
        state: match (&secret.from, &secret.value) {
            _ if untrusted.contains(secret.name.as_str()) => State::NotTrusted,
            (Some(papp::Origin::Command { .. }), _) => State::WhenNeeded,
            (None, Some(_)) if deferred.contains(secret.name.as_str()) => State::WhenNeeded,
            _ => State::Missing,
        },
        length: None,
        search: None,
        parts: Vec::new(),
    };
    let values: HashMap<&str, &Secret> =
        resolution.secrets.iter().map(|secret| (secret.name().as_str(), secret)).collect();
    let names: HashSet<&str> = declared.iter().map(|known| known.name.as_str()).collect();
    let extra = resolution.secrets.iter().filter(|secret| !names.contains(secret.name().as_str()));
    declared
        .iter()
        .map(|known| values.get(known.name.as_str()).map_or_else(|| absent(known), |secret| present(secret)))
        .chain(extra.map(present))
        .collect()
}

fn present(secret: &Secret) -> ListedSecret {
    let scope = match secret.scope() {
        psecret::Scope::Build => papp::Scope::Build,
        psecret::Scope::Run => papp::Scope::Run,
        psecret::Scope::Both => papp::Scope::Both,
    };
    ListedSecret {
        name: secret.name().to_string(),
        scope: self::scope(scope),
        source: secret.source().to_string(),
        state: State::Set,
        length: Some(length_class(secret.value().len())),
        search: Some(Searchability::of(secret.value()).to_string()),
        parts: secret.parts().names().into_iter().map(str::to_owned).collect(),
    }
}

/// Makes the rows of names that are in the store and that no manifest declares.
///
/// # Errors
/// Returns an error if the store cannot be opened and there is no manifest.
fn undeclared(found: Option<&FoundManifest>, rows: &[ListedSecret]) -> Result<Vec<ListedSecret>, Diagnostic> {
    let directory = found.map(FoundManifest::directory).unwrap_or(Path::new(""));
    let Ok(store) = ProjectStore::beside(directory, &environment) else { return Ok(Vec::new()) };
    let content = match identity(&environment).and_then(|identity| store.read(&identity)) {
        Ok(content) => content,
        Err(error) if found.is_none() && store.exists() => return Err(error.diagnostic()),
        // If there is no store, there are no rows. With a manifest, `resolve` has already warned about the closed
        // store.
        Err(_) => return Ok(Vec::new()),
    };
    let row = |name: &psecret::SecretName| ListedSecret {
        name: name.to_string(),
        scope: "none",
        source: Source::Store.to_string(),
        state: State::Undeclared,
        length: content.get(name).map(|value| length_class(value.len())),
        search: None,
        parts: Vec::new(),
    };
    let known: HashSet<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    Ok(content.names().filter(|name| !known.contains(name.as_str())).map(row).collect())
}

fn scope(scope: papp::Scope) -> &'static str {
    match scope {
        papp::Scope::Build => "build",
        papp::Scope::Run => "run",
        papp::Scope::Both => "both",
    }
}

/// Returns the rough length of a value, in bytes: exact enough to notice a truncated paste, too inexact to help
/// guessing.
fn length_class(length: usize) -> &'static str {
    match length {
        0 => "empty",
        1..=3 => "1-3",
        4..=7 => "4-7",
        8..=15 => "8-15",
        16..=31 => "16-31",
        32..=63 => "32-63",
        64..=127 => "64-127",
        128..=1023 => "128-1023",
        _ => "1024 or more",
    }
}

impl ListedSecret {
    /// Describes how the value is searched for, and names its searched parts.
    #[must_use]
    pub fn searched(&self) -> String {
        const MOST_NAMED: usize = 4;
        let mut text = self.search.clone().unwrap_or_else(|| "–".to_owned());
        if let Some(named) = self.parts.get(..self.parts.len().min(MOST_NAMED)).filter(|named| !named.is_empty()) {
            text.push_str(&format!("; parts {}", named.join(", ")));
        }
        if let more @ 1.. = self.parts.len().saturating_sub(MOST_NAMED) {
            text.push_str(&format!(" and {more} more"));
        }
        text
    }
}

fn text(rows: &[ListedSecret]) -> Vec<String> {
    let heads = ["NAME", "SCOPE", "SOURCE", "STATE", "BYTES", "SEARCH"].map(str::to_owned);
    let cells = rows.iter().map(|row| {
        [
            row.name.clone(),
            row.scope.to_owned(),
            if row.source.is_empty() { "–".to_owned() } else { row.source.clone() },
            row.state.word().to_owned(),
            row.length.unwrap_or("–").to_owned(),
            row.searched(),
        ]
    });
    let lines: Vec<[String; 6]> = std::iter::once(heads).chain(cells).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..6).map(width).collect();
    let padded = |line: &[String; 6]| {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    lines.iter().map(padded).collect()
}

#[cfg(test)]
mod tests {
    use psecret::{Delivery, Scope, SecretName, UserSecret};

    use super::*;
    use crate::resolve::Untrusted;
    use crate::trust::Act;

    #[test]
    fn the_list_shows_everything_but_the_value() {
        let path = Path::new("app.toml");
        let manifest = concat!(
            "[secrets]\nAPP_KEY = {}\nNPM_TOKEN = { scope = \"build\" }\nOP = { from = { command = [\"op\"] } }\n",
            "URL = { value = \"x${DB_HOST}\" }\n",
        );
        let found = FoundManifest {
            path: path.to_owned(),
            manifest: papp::Manifest::parse(path, manifest.as_bytes()).unwrap(),
            text: manifest.to_owned(),
        };
        let secret = |name: &str, value: &str, source| {
            let (name, value) = (SecretName::parse(name).unwrap(), UserSecret::new(value.as_bytes().to_vec()));
            Secret::new(name, value, Scope::Both, Delivery::Variable, source).unwrap()
        };
        let op = found.manifest.secret("OP").unwrap();
        let mut resolution = Resolution {
            secrets: vec![
                secret("APP_KEY", "c4n4ry-9f3b27e1", Source::Store),
                secret("NETRC", "machine a.example login ci password c4n4ry-9f3b27e2", Source::Environment),
                secret("EXTRA", "q7x", Source::EnvFile { path: ".env".into(), line: 3 }),
            ],
            deferred: vec!["URL".to_owned()],
            empty: Vec::new(),
            untrusted: vec![Untrusted { name: op.name.clone(), act: Act::of(op).unwrap(), needed: false }],
            danger: None,
            warnings: Vec::new(),
        };
        insta::assert_snapshot!(text(&rows(Some(&found), &resolution)).join("\n"), @"
        NAME       SCOPE  SOURCE               STATE        BYTES  SEARCH
        APP_KEY    both   secrets.age          set          8-15   full
        NPM_TOKEN  build  –                    missing      –      –
        OP         both   –                    not trusted  –      –
        URL        both   –                    when needed  –      –
        NETRC      both   environment          set          32-63  full; parts /a.example/password
        EXTRA      both   --env-file (.env:3)  set          1-3    unprotected: too short
        ");
        let json = serde_json::to_string(&List { version: 1, secrets: rows(Some(&found), &resolution) }).unwrap();
        assert!(json.contains(r#""parts":["/a.example/password"]"#), "{json}");
        assert!(
            json.contains(r#""state":"not_trusted""#) && !json.contains("c4n4ry") && !json.contains("q7x"),
            "{json}"
        );
        resolution.untrusted.clear();
        assert_eq!(rows(Some(&found), &resolution)[2].state, State::WhenNeeded);
    }
}
