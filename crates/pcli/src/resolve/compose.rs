//! `value = "…"`: secrets that are composed of other secrets and plain configuration.

use std::collections::HashMap;
use std::path::Path;

use papp::{Composed, Composition, Deferred};
use psecret::{LONGEST_SECRET, LONGEST_VARIABLE, SecretName, Source, UserSecret};
use zeroize::Zeroizing;

use super::index::SecretIndex;
use super::{Purpose, ResolveError, Search};

impl Search<'_> {
    /// Composes every secret whose parts are known. Returns the names of the other composed secrets, which need
    /// variables that exist only at run time.
    pub(super) fn compose(&mut self, manifest: &Path) -> Result<Vec<String>, ResolveError> {
        let declared = self.declared;
        let public: HashMap<&str, &str> =
            declared.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let known = |name: &str| {
            let secret = self.found.get(name).map(|secret| secret.value().len());
            secret.or_else(|| Some(public.get(name)?.len()))
        };
        let composition = Composition::of(&declared.secrets, known, longest)
            .map_err(|fault| ResolveError::Composition { path: manifest.to_owned(), fault })?;
        let never = |deferred: &&Deferred<'_>| !deferred.secret.in_run();
        if let Some(deferred) = composition.deferred.iter().find(never).filter(|_| self.purpose == Purpose::Build) {
            return Err(ResolveError::NeverComposed {
                path: manifest.to_owned(),
                line: deferred.secret.line,
                name: deferred.secret.name.clone(),
                needs: deferred.needs.to_owned(),
            });
        }
        for composed in &composition.ready {
            let value = fill(composed, &self.found, &public);
            self.take(SecretName::parse(&composed.secret.name)?, value, Source::Composed)?;
        }
        Ok(composition.deferred.iter().map(|deferred| deferred.secret.name.clone()).collect())
    }
}

/// Returns the most bytes that the value of a declared secret may have. The limit depends on its delivery.
#[must_use]
pub fn longest(secret: &papp::Secret) -> usize {
    match secret.delivery {
        // The variable `NAME=VALUE` also has an equals sign and a final zero byte.
        papp::Delivery::Variable => LONGEST_VARIABLE - secret.name.len() - 2,
        papp::Delivery::File => LONGEST_SECRET,
    }
}

/// Composes a value: replaces each name in the text by its value.
#[expect(clippy::disallowed_methods, reason = "door 30: a composed value is made of the values that it names")]
fn fill(composed: &Composed<'_>, secrets: &SecretIndex, public: &HashMap<&str, &str>) -> UserSecret {
    let mut value = Zeroizing::new(Vec::new());
    composed.fill(&mut value, |name, text| {
        if let Some(secret) = secrets.get(name) {
            text.extend_from_slice(secret.value().expose());
        } else if let Some(public) = public.get(name) {
            text.extend_from_slice(public.as_bytes());
        }
    });
    UserSecret::new(std::mem::take(&mut *value))
}
