//! Finds out which secrets a build uses. A frontend cannot list the secrets of the session, so they must be named, or
//! be mounted in the graph.

use std::collections::BTreeSet;

use papp::{Delivery, Inject, Manifest};
use pllb::{PlannedSecret, SecretShape, StepPattern};
use psecret::{PartChoice, SecretName};

use crate::syntax::SyntaxLine;

/// The name of the client's key for digests. It is not a secret of the build, and no step gets it.
pub const CACHE_KEY: &str = "PBUILD_CACHE_KEY";

/// One secret of a build.
#[derive(Clone, Debug)]
pub struct SecretRequest {
    /// The secret's name, which is also its id in the session.
    pub name: SecretName,
    /// The plan by which steps get the secret; `None` if only mounts of the Dockerfile use it, or no step does.
    pub planned: Option<PlannedSecret>,
    /// Whether the secret was requested by name. If it is missing, the build then lacks something that the user
    /// wanted.
    pub asked_for: bool,
    /// Whether steps run again if the secret's value is new.
    pub bound: bool,
    /// The choice of the secret's parts that count.
    pub parts: PartChoice,
    /// The line of the manifest that declares the secret.
    pub declared: Option<usize>,
}

/// The reason why the secrets of a build cannot be determined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// `parts=off` names a secret that the build does not have.
    #[error("parts=off:{name} names no secret of this build")]
    Undivided {
        /// The name.
        name: String,
    },
    /// The key of digests is named as a secret.
    #[error(
        "{CACHE_KEY} is the key that cached steps are bound to values with, and no secret for steps; bring it with --secret and do not name it"
    )]
    Key,
    /// An id in the Dockerfile cannot be a secret's name.
    #[error("the Dockerfile mounts a secret whose id cannot be a secret's name, so a report could not name it")]
    Id,
}

/// Collects the secrets of the syntax line, of the manifest, and of the Dockerfile's own mounts, each once.
///
/// If both the manifest and the line name a secret, it is used as the manifest declares it.
///
/// # Errors
///
/// Returns a [`RequestError`].
pub fn requests(
    line: &SyntaxLine,
    manifest: Option<&Manifest>,
    mounted: &BTreeSet<String>,
) -> Result<Vec<SecretRequest>, RequestError> {
    let mut all: Vec<SecretRequest> = Vec::new();
    if line.names.iter().any(|name| name.as_str() == CACHE_KEY) {
        return Err(RequestError::Key);
    }
    let new = |name: SecretName| SecretRequest {
        planned: None,
        asked_for: false,
        bound: !line.no_rebuild,
        parts: PartChoice::All,
        declared: None,
        name,
    };
    for secret in manifest.into_iter().flat_map(|manifest| &manifest.secrets) {
        let name = SecretName::parse(&secret.name).map_err(|_| RequestError::Id)?;
        let injected = secret.in_build() && manifest.is_some_and(|manifest| manifest.build.inject == Inject::All);
        all.push(SecretRequest {
            planned: injected.then(|| planned(secret)),
            asked_for: secret.in_build(),
            bound: !line.no_rebuild && secret.rebuild != Some(false),
            parts: parts(&secret.parts),
            declared: Some(secret.line),
            name,
        });
    }
    for name in &line.names {
        let known = all.iter().position(|known| known.name == *name);
        let at = known.unwrap_or_else(|| {
            all.push(new(name.clone()));
            all.len() - 1
        });
        all[at].asked_for = true;
        all[at].planned.get_or_insert_with(|| PlannedSecret::variable(name.as_str()));
    }
    for id in mounted.iter().filter(|id| *id != CACHE_KEY) {
        let name = SecretName::parse(id).map_err(|_| RequestError::Id)?;
        if !all.iter().any(|known| known.name == name) {
            all.push(new(name));
        }
    }
    for name in &line.undivided {
        let Some(secret) = all.iter_mut().find(|known| known.name.as_str() == name) else {
            return Err(RequestError::Undivided { name: name.clone() });
        };
        secret.parts = PartChoice::None;
    }
    Ok(all)
}

fn planned(secret: &papp::Secret) -> PlannedSecret {
    PlannedSecret {
        shape: match secret.delivery {
            Delivery::Variable => SecretShape::Variable,
            Delivery::File => SecretShape::File,
        },
        steps: secret.steps.iter().map(|pattern| StepPattern::new(pattern)).collect(),
        ..PlannedSecret::variable(&secret.name)
    }
}

fn parts(parts: &papp::Parts) -> PartChoice {
    match parts {
        papp::Parts::All => PartChoice::All,
        papp::Parts::None => PartChoice::None,
        papp::Parts::Named(names) => PartChoice::Named(names.clone()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn of(line: &str, manifest: Option<&str>, mounted: &[&str]) -> Result<Vec<SecretRequest>, RequestError> {
        let line = SyntaxLine::parse(&format!("image {line}")).unwrap();
        let manifest = manifest.map(|text| Manifest::parse(Path::new("app.toml"), text.as_bytes()).unwrap());
        requests(&line, manifest.as_ref(), &mounted.iter().map(|id| (*id).to_owned()).collect())
    }

    /// Lists for each request its name, whether steps get it, whether it was requested by name, and whether it is
    /// bound.
    fn told(requests: &[SecretRequest]) -> Vec<(&str, bool, bool, bool)> {
        requests.iter().map(|one| (one.name.as_str(), one.planned.is_some(), one.asked_for, one.bound)).collect()
    }

    #[test]
    fn what_the_dockerfile_mounts_is_searched_for_and_what_the_line_names_is_injected() {
        let all = of("TOKEN,KEY", None, &["KEY", "netrc", CACHE_KEY]).unwrap();
        assert_eq!(told(&all), [("TOKEN", true, true, true), ("KEY", true, true, true), ("netrc", false, false, true)]);
        assert_eq!(told(&of("", None, &["netrc"]).unwrap()), [("netrc", false, false, true)]);
        assert!(of("require", None, &[]).unwrap().is_empty());
        assert_eq!(told(&of("TOKEN no-rebuild", None, &["a"]).unwrap())[1], ("a", false, false, false));
    }

    #[test]
    fn the_manifest_says_which_steps_get_a_secret_and_in_what_shape() {
        let manifest = r#"
            [secrets]
            NPM_TOKEN = { scope = "build", steps = ["npm *"] }
            STRIPE_KEY = { scope = "run" }
            CI_TOKEN = { rebuild = false, parts = ["token"] }
            GOOGLE = { as = "file", parts = false }
        "#;
        let all = of("OTHER,NPM_TOKEN", Some(manifest), &[]).unwrap();
        assert_eq!(
            told(&all),
            [
                ("NPM_TOKEN", true, true, true),
                ("STRIPE_KEY", false, false, true),
                ("CI_TOKEN", true, true, false),
                ("GOOGLE", true, true, true),
                ("OTHER", true, true, true),
            ]
        );
        let planned = |name: &str| all.iter().find(|one| one.name.as_str() == name).unwrap();
        assert_eq!(planned("NPM_TOKEN").planned.as_ref().unwrap().steps.len(), 1, "also where the line names it");
        assert_eq!(planned("GOOGLE").planned.as_ref().unwrap().shape, SecretShape::File);
        assert_eq!(planned("CI_TOKEN").parts, PartChoice::Named(vec!["token".to_owned()]));
        assert_eq!(planned("GOOGLE").declared, Some(6));

        let mounted = format!("[build]\ninject = \"mounted\"\n{manifest}");
        assert!(of("", Some(&mounted), &[]).unwrap().iter().all(|one| one.planned.is_none()));
    }

    #[test]
    fn parts_are_given_up_for_secrets_of_the_build_alone() {
        assert_eq!(of("A parts=off:A,b", None, &["b"]).unwrap()[1].parts, PartChoice::None);
        assert_eq!(of("A parts=off:B", None, &[]).unwrap_err(), RequestError::Undivided { name: "B".to_owned() });
    }

    #[test]
    fn the_key_is_no_secret_of_a_step() {
        assert_eq!(of(CACHE_KEY, None, &[]).unwrap_err(), RequestError::Key);
        assert_eq!(of("A", None, &["a=b"]).unwrap_err(), RequestError::Id);
    }
}
