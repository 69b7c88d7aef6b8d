//! The binding of cached steps to the values that they got.
//!
//! BuildKit's cache does not look at values. So each step that gets secrets carries a digest of them in its graph, made under
//! a key, because provenance shows it; a result that was made with another value is then another step's. A new key makes work
//! and never a verdict: the steps run again.

use std::collections::BTreeMap;

use pcli::{FoundManifest, SealedError};
use psecret::{DigestKey, Rebuild, Secret};

use crate::own_key::{own_key, passing_key};

/// How far the key of the digests reaches, and with it the cached steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyReach {
    /// To everybody who has the key, by the variable or the sealed store.
    Shared,
    /// To this user on this machine.
    User,
    /// To this build alone: there is no place to keep a key.
    Build,
}

/// The digests that bind steps to values.
#[derive(Debug)]
pub(crate) struct Binding {
    /// By name, for the secrets of the build whose new value runs steps again.
    digests: BTreeMap<String, String>,
    /// How far they reach; `None` when there are none.
    reach: Option<KeyReach>,
}

impl Binding {
    /// No digests, for work that builds nothing.
    pub(crate) fn none() -> Self {
        Self { digests: BTreeMap::new(), reach: None }
    }

    /// The digests of these secrets.
    ///
    /// # Errors
    /// When the key of the variable or of the sealed store cannot be used.
    pub(crate) fn of(
        secrets: &[Secret],
        manifest: Option<&FoundManifest>,
        environment: &dyn Fn(&str) -> Option<std::ffi::OsString>,
    ) -> Result<Self, SealedError> {
        let bound = |secret: &&Secret| secret.scope().in_build() && secret.rebuild() == Rebuild::WithValue;
        let bound: Vec<&Secret> = secrets.iter().filter(bound).collect();
        if bound.is_empty() {
            return Ok(Self::none());
        }
        let (key, reach) = key(manifest, environment)?;
        let digest =
            |secret: &&Secret| (secret.name().to_string(), key.digest("binding", secret.name(), secret.value()));
        Ok(Self { digests: bound.iter().map(digest).collect(), reach: Some(reach) })
    }

    /// The digests, by the names of the secrets.
    pub(crate) fn digests(&self) -> &BTreeMap<String, String> {
        &self.digests
    }

    /// How far the digests reach; `None` when there are none.
    pub(crate) fn reach(&self) -> Option<KeyReach> {
        self.reach
    }
}

fn key(
    manifest: Option<&FoundManifest>,
    environment: &dyn Fn(&str) -> Option<std::ffi::OsString>,
) -> Result<(DigestKey, KeyReach), SealedError> {
    if let Some(key) = pcli::digest_key_at_hand(manifest, environment)? {
        return Ok((key, KeyReach::Shared));
    }
    let own = pvault::state_folder(environment, "pbuild").and_then(|state| own_key(&state, "steps.key"));
    if let Some(key) = own {
        return Ok((key, KeyReach::User));
    }
    let random = || SealedError::Random(std::io::ErrorKind::UnexpectedEof.into());
    Ok((passing_key().ok_or_else(random)?, KeyReach::Build))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use psecret::{Delivery, Scope, SecretName, Source, UserSecret};

    use super::*;

    fn secret(name: &str, value: &str, scope: Scope, rebuild: Rebuild) -> Secret {
        let (name, value) = (SecretName::parse(name).unwrap(), UserSecret::new(value.as_bytes().to_vec()));
        Secret::new(name, value, scope, Delivery::Variable, Source::Environment).unwrap().with_rebuild(rebuild)
    }

    fn digest(value: &str, environment: &dyn Fn(&str) -> Option<OsString>) -> (String, Option<KeyReach>) {
        let secrets = [
            secret("A", value, Scope::Both, Rebuild::WithValue),
            secret("EVERY_RUN", value, Scope::Both, Rebuild::Never),
            secret("APP", value, Scope::Run, Rebuild::WithValue),
        ];
        let binding = Binding::of(&secrets, None, environment).unwrap();
        assert_eq!(binding.digests().keys().collect::<Vec<_>>(), ["A"]);
        (binding.digests()["A"].clone(), binding.reach())
    }

    #[test]
    fn a_digest_follows_the_value_as_far_as_its_key_reaches() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().as_os_str().to_owned();
        let user = move |name: &str| (name == "HOME").then(|| path.clone());
        let (one, reach) = digest("value one", &user);
        assert_eq!(reach, Some(KeyReach::User));
        assert_eq!(digest("value one", &user).0, one);
        assert_ne!(digest("value two", &user).0, one);

        let shared = |name: &str| (name == pcli::CACHE_KEY_VARIABLE).then(|| OsString::from("0a".repeat(32)));
        assert_eq!(digest("value one", &shared), digest("value one", &shared));
        assert_eq!(digest("value one", &shared).1, Some(KeyReach::Shared));

        let nobody = |_: &str| None;
        assert_eq!(digest("value one", &nobody).1, Some(KeyReach::Build));
        assert_ne!(digest("value one", &nobody).0, digest("value one", &nobody).0, "nothing keeps it");
    }

    #[test]
    fn without_bound_secrets_there_is_no_key() {
        let secrets = [secret("EVERY_RUN", "value one", Scope::Build, Rebuild::Never)];
        let asked = |name: &str| -> Option<OsString> { panic!("{name} is of no use") };
        let binding = Binding::of(&secrets, None, &asked).unwrap();
        assert!(binding.digests().is_empty() && binding.reach().is_none());
    }
}
