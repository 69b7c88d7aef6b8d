//! The build's side of the session: the values are here when a step asks.

use std::collections::BTreeMap;
use std::sync::Arc;

use pbuildkit::SecretProvider;
use psecret::Secret;

/// The user's secrets, by id: a secret's name, or for one that rebuilds its name with the digest of its value.
#[derive(Debug)]
pub(crate) struct BuildSecrets {
    secrets: Arc<Vec<Secret>>,
    /// The names by such ids.
    names: BTreeMap<String, String>,
}

impl BuildSecrets {
    /// Serves these secrets; which ids may be asked for is the session's decision.
    pub(crate) fn new(secrets: Arc<Vec<Secret>>) -> Self {
        Self { secrets, names: BTreeMap::new() }
    }

    /// Serves them also by these ids, given by name.
    pub(crate) fn with_ids(mut self, ids: &BTreeMap<String, String>) -> Self {
        self.names = ids.iter().map(|(name, id)| (id.clone(), name.clone())).collect();
        self
    }
}

impl SecretProvider for BuildSecrets {
    #[expect(
        clippy::disallowed_methods,
        reason = "door 20: BuildKit's session hands the value to the step that mounts it"
    )]
    fn secret(&self, id: &str) -> Option<Vec<u8>> {
        let name = self.names.get(id).map_or(id, String::as_str);
        let secret = self.secrets.iter().find(|secret| secret.scope().in_build() && secret.name().as_str() == name)?;
        Some(secret.value().expose().to_vec())
    }
}
