//! The build's side of the session: who has the values when a step asks.

use std::sync::Arc;

use pbuildkit::SecretProvider;
use psecret::Secret;

/// The user's secrets, by name. A step asks for an id, which is the secret's name.
#[derive(Debug)]
pub struct BuildSecrets(Arc<Vec<Secret>>);

impl BuildSecrets {
    /// Serves these secrets; which ids may be asked for is the session's decision.
    #[must_use]
    pub fn new(secrets: Arc<Vec<Secret>>) -> Self {
        Self(secrets)
    }
}

impl SecretProvider for BuildSecrets {
    #[expect(
        clippy::disallowed_methods,
        reason = "door 20: BuildKit's session hands the value to the step that mounts it"
    )]
    fn secret(&self, id: &str) -> Option<Vec<u8>> {
        let secret = self.0.iter().find(|secret| secret.scope().in_build() && secret.name().as_str() == id)?;
        Some(secret.value().expose().to_vec())
    }
}
