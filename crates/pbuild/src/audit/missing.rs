//! The secrets that a manifest declares and for which an audit has no value. An image that was not searched for them
//! is not clean.

use std::collections::{HashMap, HashSet};

use pcli::FoundManifest;
use pcli::resolve::Untrusted;
use pscan::Report;
use psecret::{Secret, SecretName};

use crate::edge::Edge;

/// A declared secret without a value.
#[derive(Debug)]
pub(crate) struct MissingSecret {
    name: SecretName,
    reach: Reach,
    why: String,
}

/// The places that a declared secret reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// Steps of a build get the secret, so an image can hold it.
    Build,
    /// Only the running app gets the secret.
    Run,
}

/// The rules of an audit for secrets without a value.
#[derive(Debug)]
pub(crate) struct MissingRules<'a> {
    /// The names that may be missing (`--allow-missing`).
    pub(crate) allowed: &'a [String],
    /// Which of the other missing secrets make the result incomplete.
    pub(crate) demand: Demand,
}

/// The secrets that must have a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Demand {
    /// The secrets of the build.
    Build,
    /// All secrets (`--strict`).
    All,
}

/// Lists the secrets that a manifest declares and that are not among `secrets`.
pub(crate) fn of(manifest: Option<&FoundManifest>, secrets: &[Secret], untrusted: &[Untrusted]) -> Vec<MissingSecret> {
    let Some(found) = manifest else { return Vec::new() };
    let given: HashSet<&str> = secrets.iter().map(|secret| secret.name().as_str()).collect();
    let refused: HashMap<&str, &Untrusted> = untrusted.iter().map(|entry| (entry.name.as_str(), entry)).collect();
    let missing = |declared: &papp::Secret| {
        let name = SecretName::parse(&declared.name).ok().filter(|name| !given.contains(name.as_str()))?;
        let refused = refused.get(declared.name.as_str());
        let line = refused.map_or(declared.line, |entry| entry.act.line);
        let place = format!("{}:{line}", found.path.display());
        let why = match refused {
            Some(_) => format!("{place} may not get its value here"),
            None => format!("{place} declares it, and it has no value here"),
        };
        let reach = match declared.scope {
            papp::Scope::Build | papp::Scope::Both => Reach::Build,
            papp::Scope::Run => Reach::Run,
        };
        Some(MissingSecret { name, reach, why })
    };
    found.manifest.secrets.iter().filter_map(missing).collect()
}

/// Adds the missing secrets to a report. Some of them make the report incomplete; the others are listed as
/// unprotected.
pub(crate) fn tell(missing: &[MissingSecret], rules: &MissingRules<'_>, report: &mut Report, edge: &Edge) {
    for MissingSecret { name, reach, why } in missing {
        let is_allowed = rules.allowed.iter().any(|allowed| allowed == name.as_str());
        match (reach, rules.demand) {
            _ if is_allowed => report.add_unprotected(name.clone(), &format!("{why}, which --allow-missing accepts")),
            (Reach::Run, Demand::Build) => report.add_unprotected(name.clone(), &format!("{why}; no build gets it")),
            (Reach::Build, Demand::Build | Demand::All) | (Reach::Run, Demand::All) => report.add_missing(name, why),
        }
    }
    for name in rules.allowed.iter().filter(|name| !missing.iter().any(|one| one.name.as_str() == *name)) {
        edge.stderr.warning(&format!("--allow-missing {name}: no declared secret of that name is without a value"));
    }
}
