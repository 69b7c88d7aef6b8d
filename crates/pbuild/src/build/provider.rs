//! Gives the values of the secrets to the BuildKit session when a step asks for them.

use std::collections::BTreeSet;
use std::sync::Arc;

use pbuildkit::SecretProvider;
use psecret::Secret;

/// The user's secrets, by their names. The IDs that bind steps to values are not names of secrets and get no answer.
#[derive(Debug)]
pub(crate) struct BuildSecrets {
    secrets: [Arc<Vec<Secret>>; 2],
    ids: BTreeSet<String>,
}

impl BuildSecrets {
    /// Serves the secrets with these IDs. The session decides which of them a step may ask for.
    pub(crate) fn new(secrets: [Arc<Vec<Secret>>; 2], ids: BTreeSet<String>) -> Self {
        Self { secrets, ids }
    }
}

impl SecretProvider for BuildSecrets {
    #[expect(
        clippy::disallowed_methods,
        reason = "door 20: BuildKit's session hands the value to the step that mounts it"
    )]
    fn secret(&self, id: &str) -> Option<Vec<u8>> {
        if !self.ids.contains(id) {
            return None;
        }
        let mut all = self.secrets.iter().flat_map(|secrets| secrets.iter());
        let secret = all.find(|secret| secret.scope().in_build() && secret.name().as_str() == id)?;
        Some(secret.value().expose().to_vec())
    }
}
