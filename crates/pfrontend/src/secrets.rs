//! Finds out which secrets the client brought, and whether the build can continue with them.

use std::collections::BTreeMap;

use pllb::{PlannedSecret, SecretShape};
use plook::wire::{Facts, Key, ProbeAnswer, Variable};
use psecret::{LONGEST_VARIABLE, PartChoice};

use crate::requests::{CACHE_KEY, SecretRequest};

/// A secret that the client brought.
#[derive(Clone, Debug)]
pub struct PresentSecret {
    /// The secret.
    pub request: SecretRequest,
    /// The facts that are known of the value.
    pub facts: Facts,
}

/// A warning that is shown after the search, following the result line. A build that ends with a leak does not show
/// it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The warning in one line.
    pub short: String,
    /// The advice on it.
    pub detail: String,
}

/// The secrets of a build, as the client brought them.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    /// The secrets that the client brought.
    pub brought: Vec<PresentSecret>,
    /// Warnings for the user.
    pub warnings: Vec<Warning>,
    /// The steps whose results once held a secret.
    pub leaked: Vec<String>,
    /// The key of this build's checks; see [`ProbeAnswer::check_key`].
    pub check_key: String,
}

/// The reason why the build cannot continue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretsError {
    /// The scanner's answer does not match the request.
    #[error("the scanner's answer about the secrets is not understood")]
    NotUnderstood,
    /// The client's key is not a valid key.
    #[error(
        "{CACHE_KEY} is not a valid key: it must be 32 random bytes in hex or base64, for example from `openssl rand -hex 32`"
    )]
    Key,
    /// A value has no bytes. buildx sends such a value for a variable that is not set.
    #[error("secret {} is empty: is the variable or file set where docker was called?", .names.join(", "))]
    Empty {
        /// The secrets.
        names: Vec<String>,
    },
    /// A secret that was requested by name was not brought, and the syntax line has `require`.
    #[error("secret {} was not brought, and the syntax line says `require`: docker build {}", .names.join(", "), flags(.names))]
    Missing {
        /// The secrets.
        names: Vec<String>,
    },
    /// A value cannot be a variable.
    #[error("secret {name} cannot be a variable, because {why}; mount it as a file: RUN --mount=type=secret,id={name}")]
    NoVariable {
        /// The secret.
        name: String,
        /// The reason.
        why: String,
    },
}

/// Writes the flags that bring these secrets.
fn flags(names: &[String]) -> String {
    names.iter().map(|name| format!("--secret id={name}")).collect::<Vec<_>>().join(" ")
}

impl Secrets {
    /// Matches the answer of a probe with the secrets of its request.
    ///
    /// # Errors
    ///
    /// Returns a [`SecretsError`].
    pub fn new(requests: Vec<SecretRequest>, probed: ProbeAnswer, require: bool) -> Result<Self, SecretsError> {
        if probed.key == Key::Unusable {
            return Err(SecretsError::Key);
        }
        if probed.secrets.len() != requests.len() {
            return Err(SecretsError::NotUnderstood);
        }
        let mut secrets = Self { leaked: probed.leaked, check_key: probed.check_key, ..Self::default() };
        let mut missing = Vec::new();
        for (request, facts) in requests.into_iter().zip(probed.secrets) {
            match facts {
                Some(facts) => secrets.brought.push(PresentSecret { request, facts }),
                None => missing.push(request),
            }
        }
        let names = |of: &[&SecretRequest]| of.iter().map(|one| one.name.to_string()).collect::<Vec<_>>();
        let empty: Vec<&SecretRequest> =
            secrets.brought.iter().filter(|one| one.facts.bytes == 0).map(|one| &one.request).collect();
        if !empty.is_empty() {
            return Err(SecretsError::Empty { names: names(&empty) });
        }
        let asked_for: Vec<&SecretRequest> = missing.iter().filter(|one| one.asked_for).collect();
        if require && !asked_for.is_empty() {
            return Err(SecretsError::Missing { names: names(&asked_for) });
        }
        for PresentSecret { request, facts } in &secrets.brought {
            check_variable(request, facts)?;
        }
        if !asked_for.is_empty() {
            let names = names(&asked_for);
            let short = format!("not brought, so unset and not searched for: {}", names.join(", "));
            secrets.warnings.push(Warning { short, detail: format!("bring it: docker build {}", flags(&names)) });
        }
        let mounted: Vec<&SecretRequest> =
            missing.iter().filter(|one| !one.asked_for && one.declared.is_none()).collect();
        if !mounted.is_empty() {
            let names = names(&mounted);
            let short = format!("mounted by the Dockerfile, not brought, so not searched for: {}", names.join(", "));
            secrets.warnings.push(Warning { short, detail: format!("bring it: docker build {}", flags(&names)) });
        }
        for PresentSecret { request, facts } in &secrets.brought {
            if let Some(why) = &facts.unprotected {
                secrets.warnings.push(Warning {
                    short: format!("{} is not searched for: {why}", request.name),
                    detail: "a value that is no secret belongs in ENV or ARG".to_owned(),
                });
            }
        }
        if probed.key == Key::Passing && secrets.brought.iter().any(|one| one.request.bound) {
            secrets.warnings.push(Warning {
                short: "this builder keeps no key, so steps with secrets run again every time".to_owned(),
                detail: format!("bring one that your builds share: --secret id={CACHE_KEY}"),
            });
        }
        Ok(secrets)
    }

    /// Lists the secrets that are searched for.
    pub fn sought(&self) -> impl Iterator<Item = &PresentSecret> {
        self.brought.iter().filter(|one| one.facts.unprotected.is_none())
    }

    /// Returns the plan by which steps get the secrets.
    #[must_use]
    pub fn planned(&self) -> Vec<PlannedSecret> {
        self.brought.iter().filter_map(|one| one.request.planned.clone()).collect()
    }

    /// Returns the digests that bind steps to values, by the secrets' names.
    #[must_use]
    pub fn bindings(&self) -> BTreeMap<String, String> {
        let bound = self.brought.iter().filter(|one| one.request.bound);
        bound.map(|one| (one.request.name.to_string(), one.facts.digest.clone())).collect()
    }

    /// Returns the names of the secrets that steps get but whose values are not part of cache keys.
    #[must_use]
    pub fn unbound(&self) -> Vec<String> {
        self.brought.iter().filter(|one| !one.request.bound).map(|one| one.request.name.to_string()).collect()
    }

    /// Lists, for each secret of which only some parts count, the names of these parts.
    #[must_use]
    pub fn parts(&self) -> BTreeMap<String, Vec<String>> {
        let chosen = |one: &PresentSecret| match &one.request.parts {
            PartChoice::All => None,
            PartChoice::None => Some((one.request.name.to_string(), Vec::new())),
            PartChoice::Named(names) => Some((one.request.name.to_string(), names.clone())),
        };
        self.sought().filter_map(chosen).collect()
    }
}

fn check_variable(request: &SecretRequest, facts: &Facts) -> Result<(), SecretsError> {
    let is_variable = |planned: &PlannedSecret| planned.shape == SecretShape::Variable && request.name.is_variable();
    if !request.planned.as_ref().is_some_and(is_variable) {
        return Ok(());
    }
    let why = match facts.variable {
        Variable::Fits => return Ok(()),
        Variable::Nul => "it holds a NUL byte".to_owned(),
        Variable::TooLong => {
            format!(
                "its {} bytes and its name are more than the {} KiB that Linux takes",
                facts.bytes,
                LONGEST_VARIABLE >> 10
            )
        }
    };
    Err(SecretsError::NoVariable { name: request.name.to_string(), why })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::SyntaxLine;

    fn requests(line: &str, mounted: &[&str]) -> Vec<SecretRequest> {
        let line = SyntaxLine::parse(&format!("image {line}")).unwrap();
        crate::requests::requests(&line, None, &mounted.iter().map(|id| (*id).to_owned()).collect()).unwrap()
    }

    fn facts(bytes: u64) -> Option<Facts> {
        let digest = format!("digest of {bytes}");
        Some(Facts { bytes, variable: Variable::Fits, unprotected: None, digest, check: String::new() })
    }

    fn probed(secrets: Vec<Option<Facts>>) -> ProbeAnswer {
        ProbeAnswer { secrets, key: Key::Builder, check_key: String::new(), leaked: Vec::new(), bases: Vec::new() }
    }

    fn shorts(secrets: &Secrets) -> Vec<&str> {
        secrets.warnings.iter().map(|warning| warning.short.as_str()).collect()
    }

    #[test]
    fn what_was_brought_is_injected_bound_and_sought() {
        let secrets =
            Secrets::new(requests("A,B", &["c"]), probed(vec![facts(20), facts(30), facts(40)]), true).unwrap();
        assert_eq!(secrets.planned().len(), 2);
        assert_eq!(secrets.bindings().keys().collect::<Vec<_>>(), ["A", "B", "c"]);
        assert_eq!(secrets.sought().count(), 3);
        assert!(secrets.warnings.is_empty() && secrets.unbound().is_empty());
        let secrets = Secrets::new(requests("A no-rebuild parts=off:A", &[]), probed(vec![facts(20)]), false).unwrap();
        assert_eq!((secrets.unbound(), secrets.bindings().len()), (vec!["A".to_owned()], 0));
        assert_eq!(secrets.parts()["A"], Vec::<String>::new());
    }

    #[test]
    fn what_was_not_brought_is_told_and_with_require_an_error() {
        let secrets = Secrets::new(requests("A,B", &["c"]), probed(vec![None, facts(30), None]), false).unwrap();
        assert_eq!(
            shorts(&secrets),
            [
                "not brought, so unset and not searched for: A",
                "mounted by the Dockerfile, not brought, so not searched for: c"
            ]
        );
        assert_eq!(secrets.planned().len(), 1);
        let error = Secrets::new(requests("A,B", &["c"]), probed(vec![None, None, None]), true).unwrap_err();
        assert_eq!(
            error.to_string(),
            "secret A, B was not brought, and the syntax line says `require`: docker build --secret id=A --secret id=B"
        );
        assert!(Secrets::new(requests("A", &["c"]), probed(vec![facts(9), None]), true).is_ok(), "nobody named c");
    }

    #[test]
    fn an_empty_value_and_one_that_is_no_variable_end_the_build() {
        let empty = Secrets::new(requests("A", &["c"]), probed(vec![facts(9), facts(0)]), false).unwrap_err();
        assert_eq!(empty, SecretsError::Empty { names: vec!["c".to_owned()] });
        let of = |variable| facts(200_000).map(|facts| Facts { variable, ..facts });
        for variable in [Variable::Nul, Variable::TooLong] {
            let error = Secrets::new(requests("A", &[]), probed(vec![of(variable)]), false).unwrap_err();
            assert!(matches!(error, SecretsError::NoVariable { .. }), "{error}");
            assert!(Secrets::new(requests("", &["a"]), probed(vec![of(variable)]), false).is_ok(), "it is a file");
            assert!(Secrets::new(requests("team/a,", &[]), probed(vec![of(variable)]), false).is_ok(), "so is this");
        }
    }

    #[test]
    fn keys_and_values_that_are_none_are_told() {
        let with = |key| ProbeAnswer { key, ..probed(vec![facts(20)]) };
        assert_eq!(Secrets::new(requests("A", &[]), with(Key::Unusable), false).unwrap_err(), SecretsError::Key);
        assert_eq!(Secrets::new(requests("A", &[]), with(Key::Passing), false).unwrap().warnings.len(), 1);
        assert!(Secrets::new(requests("A no-rebuild", &[]), with(Key::Passing), false).unwrap().warnings.is_empty());
        let short = facts(3).map(|facts| Facts { unprotected: Some("3 bytes".to_owned()), ..facts });
        let secrets = Secrets::new(requests("A", &[]), probed(vec![short]), false).unwrap();
        assert_eq!((shorts(&secrets), secrets.sought().count()), (vec!["A is not searched for: 3 bytes"], 0));
        assert_eq!(
            Secrets::new(requests("A", &[]), probed(Vec::new()), false).unwrap_err(),
            SecretsError::NotUnderstood
        );
    }
}
