//! The binding of cached steps to the values that they got.
//!
//! BuildKit's cache does not look at values. So each step that gets secrets carries a digest of their values in the
//! graph. The digest is made under a key, because provenance shows it. If a value changes, the digest changes, so
//! BuildKit does not use the result that was made with the old value. A new key never changes a verdict; it only
//! makes the steps run again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use pcli::{FoundManifest, SealedError};
use pgateway::Bridge;
use pproof::{Scanner, passing_key};
use psecret::{DigestKey, Rebuild, Secret};

use crate::own_key::{RememberedKey, own_key};

/// How many builds share the key of the digests, and with it the cached steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyReach {
    /// The builder keeps the key, so everybody who builds on this builder shares it.
    Builder,
    /// The builder keeps no key, so this user's builds on this machine share one.
    User,
    /// There is no place to keep a key, so only this build uses it.
    Build,
}

/// The secrets whose steps run again after their value changes, and the key of the digests if it is at hand.
#[derive(Debug, Default)]
pub(crate) struct Binding {
    bound: BTreeSet<String>,
    shared: Option<DigestKey>,
}

impl Binding {
    /// Finds the secrets that bind steps, and the key that is at hand for their digests.
    ///
    /// # Errors
    /// Returns an error if the key of the variable or of the sealed store cannot be used.
    pub(crate) fn of(
        secrets: &[Secret],
        manifest: Option<&FoundManifest>,
        environment: &dyn Fn(&str) -> Option<std::ffi::OsString>,
    ) -> Result<Self, SealedError> {
        let is_bound = |secret: &&Secret| secret.scope().in_build() && secret.rebuild() == Rebuild::WithValue;
        let bound: BTreeSet<String> = secrets.iter().filter(is_bound).map(|secret| secret.name().to_string()).collect();
        if bound.is_empty() {
            return Ok(Self::default());
        }
        Ok(Self { bound, shared: pcli::digest_key_at_hand(manifest, environment)? })
    }

    /// Returns the names of the secrets that bind steps.
    pub(crate) fn bound(&self) -> &BTreeSet<String> {
        &self.bound
    }

    /// Returns whether the key comes from the variable or from the sealed store, or no key is needed.
    pub(crate) fn is_shared(&self) -> bool {
        self.shared.is_some() || self.bound.is_empty()
    }

    /// Computes the digests of these values under the shared key, by name. Without a shared key, the map is empty.
    pub(crate) fn shared_digests<'a>(&self, secrets: impl Iterator<Item = &'a Secret>) -> BTreeMap<String, String> {
        self.shared.as_ref().map(|key| digests(&self.bound, secrets, key)).unwrap_or_default()
    }

    /// Returns the binding whose key the builder must be asked for. Returns `None` if the key is at hand, or if no
    /// key is needed.
    pub(crate) fn pending(&self, secrets: [Arc<Vec<Secret>>; 2], builder: Option<&str>) -> Option<PendingBinding> {
        if self.is_shared() {
            return None;
        }
        let state = pvault::state_folder(&|name: &str| std::env::var_os(name), "pbuild");
        Some(PendingBinding {
            bound: self.bound.clone(),
            secrets,
            builder: state.as_deref().zip(builder).and_then(|(state, builder)| RememberedKey::of(state, builder)),
            state,
        })
    }
}

/// A binding whose key is kept by the builder.
#[derive(Debug)]
pub(crate) struct PendingBinding {
    bound: BTreeSet<String>,
    secrets: [Arc<Vec<Secret>>; 2],
    builder: Option<RememberedKey>,
    state: Option<PathBuf>,
}

impl PendingBinding {
    /// Returns the digests under the key that this user remembers, if the builder gave the key not long ago.
    pub(crate) fn remembered(&self) -> Option<BTreeMap<String, String>> {
        let key = self.builder.as_ref()?.recall_fresh()?;
        Some(self.digests(&DigestKey::new(*key)))
    }

    /// Asks the builder for its key, and makes the digests. If the builder keeps no key, the digests are made under a
    /// key of this user, or else under a key that is used once.
    pub(crate) async fn ask(&self, bridge: &Bridge, scanner: &Scanner) -> (BTreeMap<String, String>, KeyReach) {
        let offered = self.builder.as_ref().and_then(RememberedKey::recall);
        if let Ok(Some(key)) = pproof::builder_key(bridge, scanner, offered).await {
            if let Some(builder) = &self.builder {
                builder.remember(&key);
            }
            return (self.digests(&DigestKey::new(*key)), KeyReach::Builder);
        }
        if let Some(key) = self.state.as_deref().and_then(|state| own_key(state, "steps.key")) {
            return (self.digests(&key), KeyReach::User);
        }
        // Without random bytes there is no key: no step is bound, and every cached step is doubted.
        (passing_key().map(|key| self.digests(&key)).unwrap_or_default(), KeyReach::Build)
    }

    fn digests(&self, key: &DigestKey) -> BTreeMap<String, String> {
        digests(&self.bound, self.secrets.iter().flat_map(|secrets| secrets.iter()), key)
    }
}

fn digests<'a>(
    bound: &BTreeSet<String>,
    secrets: impl Iterator<Item = &'a Secret>,
    key: &DigestKey,
) -> BTreeMap<String, String> {
    let bound = secrets.filter(|secret| bound.contains(secret.name().as_str()));
    bound.map(|secret| (secret.name().to_string(), key.digest("binding", secret.name(), secret.value()))).collect()
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

    fn secrets(value: &str) -> [Arc<Vec<Secret>>; 2] {
        let secrets = vec![
            secret("A", value, Scope::Both, Rebuild::WithValue),
            secret("EVERY_RUN", value, Scope::Both, Rebuild::Never),
            secret("APP", value, Scope::Run, Rebuild::WithValue),
        ];
        [Arc::new(secrets), Arc::default()]
    }

    fn binding(secrets: &[Secret], environment: &dyn Fn(&str) -> Option<OsString>) -> Binding {
        let binding = Binding::of(secrets, None, environment).unwrap();
        assert_eq!(binding.bound().iter().collect::<Vec<_>>(), ["A"]);
        binding
    }

    #[test]
    fn a_shared_key_binds_at_once() {
        let shared = |name: &str| (name == pcli::CACHE_KEY_VARIABLE).then(|| OsString::from("0a".repeat(32)));
        let digests = |value: &str| binding(&secrets(value)[0], &shared).shared_digests(secrets(value)[0].iter());
        assert_eq!(digests("value one").keys().collect::<Vec<_>>(), ["A"]);
        assert_eq!(digests("value one"), digests("value one"));
        assert_ne!(digests("value one"), digests("value two"));
        assert!(binding(&secrets("value one")[0], &shared).pending(secrets("value one"), Some("builder")).is_none());
    }

    #[test]
    fn without_one_the_builder_is_asked_unless_it_told_its_key_not_long_ago() {
        let state = tempfile::tempdir().unwrap();
        let pending = |value: &str| PendingBinding {
            bound: ["A".to_owned()].into(),
            secrets: secrets(value),
            builder: RememberedKey::of(state.path(), "builder"),
            state: None,
        };
        assert!(pending("value one").remembered().is_none());
        pending("value one").builder.unwrap().remember(&pproof::KeyBytes::new([7; 32]));
        let digests = pending("value one").remembered().unwrap();
        assert_eq!(digests.keys().collect::<Vec<_>>(), ["A"]);
        assert_eq!(pending("value one").remembered().unwrap(), digests);
        assert_ne!(pending("value two").remembered().unwrap(), digests);

        let nobody = |_: &str| None;
        let unbound = binding(&secrets("value one")[0], &nobody);
        assert!(!unbound.is_shared() && unbound.shared_digests(secrets("value one")[0].iter()).is_empty());
    }

    #[test]
    fn without_bound_secrets_there_is_no_key() {
        let secrets = [Arc::new(vec![secret("EVERY_RUN", "value one", Scope::Build, Rebuild::Never)]), Arc::default()];
        let asked = |name: &str| -> Option<OsString> { panic!("{name} is of no use") };
        let binding = Binding::of(&secrets[0], None, &asked).unwrap();
        assert!(binding.is_shared() && binding.pending(secrets, Some("builder")).is_none());
    }
}
