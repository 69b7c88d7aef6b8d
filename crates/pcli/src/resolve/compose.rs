//! `value = "…"`: secrets made of other secrets and plain configuration.

use std::collections::BTreeSet;

use papp::{Part, Template};
use psecret::{Secret, SecretName, Source, UserSecret};
use zeroize::Zeroizing;

use super::{ResolveError, Search};

impl Search<'_> {
    /// Makes every composed secret that can be made of what is known. Gives back the names of the others: they need
    /// variables that exist at run time alone.
    pub(super) fn compose(&mut self) -> Result<Vec<String>, ResolveError> {
        let mut deferred = Vec::new();
        for secret in self.declared.secrets.iter().filter(|secret| secret.value.is_some()) {
            if !self.make(&secret.name, &mut Vec::new())? && !deferred.contains(&secret.name) {
                deferred.push(secret.name.clone());
            }
        }
        Ok(deferred)
    }

    /// Makes one, and those that it is made of. `false` when it has to wait for the start.
    fn make(&mut self, name: &str, under_way: &mut Vec<String>) -> Result<bool, ResolveError> {
        let parsed = SecretName::parse(name)?;
        if self.has(&parsed) {
            return Ok(true);
        }
        let Some(secret) = self.declared.secret(name) else { return Ok(false) };
        let Some(template) = &secret.value else {
            // Declared, and absent because this work does not need it.
            return Ok(false);
        };
        if let Some(start) = under_way.iter().position(|earlier| earlier == name) {
            let names = under_way[start..].iter().cloned().chain([name.to_owned()]).collect();
            return Err(ResolveError::Cycle { names });
        }
        under_way.push(name.to_owned());
        let mut complete = true;
        for needed in template.names().collect::<BTreeSet<_>>() {
            if !self.is_public(needed) && !self.make(needed, under_way)? {
                complete = false;
            }
        }
        under_way.pop();
        if complete {
            let value = fill(template, &self.found, &self.declared.environment);
            self.take(parsed, value, Source::Composed)?;
        }
        Ok(complete)
    }

    fn is_public(&self, name: &str) -> bool {
        self.declared.environment.iter().any(|(public, _)| public == name)
    }
}

/// The text with every name's value in place; all names are known.
#[expect(clippy::disallowed_methods, reason = "door 30: a composed value is made of the values that it names")]
fn fill(template: &Template, secrets: &[Secret], public: &[(String, String)]) -> UserSecret {
    let mut value = Zeroizing::new(Vec::new());
    for part in template.parts() {
        match part {
            Part::Literal(text) => value.extend_from_slice(text.as_bytes()),
            Part::Name(name) => {
                for secret in secrets.iter().filter(|secret| secret.name().as_str() == name) {
                    value.extend_from_slice(secret.value().expose());
                }
                for (_, text) in public.iter().filter(|(known, _)| known == name) {
                    value.extend_from_slice(text.as_bytes());
                }
            }
        }
    }
    UserSecret::new(std::mem::take(&mut *value))
}
