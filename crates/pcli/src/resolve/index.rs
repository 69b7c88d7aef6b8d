//! The secrets that have a value so far, indexed by name, because a manifest or an env file may have a hundred
//! thousand of them.

use std::collections::HashMap;
use std::ops::Deref;

use psecret::{Secret, SecretName};

/// The found secrets, each name once. They keep the order in which they were found, except after a removal.
#[derive(Debug, Default)]
pub(super) struct SecretIndex {
    secrets: Vec<Secret>,
    /// The index of each name in `secrets`.
    places: HashMap<String, usize>,
}

impl SecretIndex {
    pub(super) fn has(&self, name: &SecretName) -> bool {
        self.places.contains_key(name.as_str())
    }

    pub(super) fn get(&self, name: &str) -> Option<&Secret> {
        self.places.get(name).and_then(|place| self.secrets.get(*place))
    }

    /// Adds a secret, or replaces the earlier secret of the same name.
    pub(super) fn put(&mut self, secret: Secret) {
        match self.places.get(secret.name().as_str()) {
            Some(place) => self.secrets[*place] = secret,
            None => {
                self.places.insert(secret.name().as_str().to_owned(), self.secrets.len());
                self.secrets.push(secret);
            }
        }
    }

    /// Removes and returns the secret of this name. The last secret moves to its index.
    pub(super) fn remove(&mut self, name: &SecretName) -> Option<Secret> {
        let place = self.places.remove(name.as_str())?;
        let removed = self.secrets.swap_remove(place);
        if let Some(moved) = self.secrets.get(place) {
            self.places.insert(moved.name().as_str().to_owned(), place);
        }
        Some(removed)
    }

    /// Returns all secrets that have a value.
    pub(super) fn into_vec(self) -> Vec<Secret> {
        self.secrets
    }
}

impl Deref for SecretIndex {
    type Target = [Secret];

    fn deref(&self) -> &[Secret] {
        &self.secrets
    }
}

#[cfg(test)]
mod tests {
    use psecret::{Delivery, Scope, Source, UserSecret};

    use super::*;

    fn secret(name: &str, length: usize) -> Secret {
        let value = UserSecret::new(vec![b'x'; length]);
        let name = SecretName::parse(name).unwrap();
        Secret::new(name, value, Scope::Both, Delivery::Variable, Source::Environment).unwrap()
    }

    #[test]
    fn each_name_stands_once_whatever_is_put_and_removed() {
        let mut found = SecretIndex::default();
        for (name, length) in [("A", 1), ("B", 2), ("C", 3), ("A", 4)] {
            found.put(secret(name, length));
        }
        let shown = |found: &SecretIndex| -> Vec<_> {
            found.iter().map(|secret| (secret.name().to_string(), secret.value().len())).collect()
        };
        assert_eq!(shown(&found), [("A".to_owned(), 4), ("B".to_owned(), 2), ("C".to_owned(), 3)]);
        let name = |name| SecretName::parse(name).unwrap();
        assert_eq!(found.remove(&name("A")).map(|secret| secret.value().len()), Some(4));
        assert!(found.remove(&name("A")).is_none() && !found.has(&name("A")) && found.has(&name("C")));
        assert_eq!(found.get("C").map(|secret| secret.value().len()), Some(3));
        found.put(secret("C", 9));
        assert_eq!(shown(&found), [("C".to_owned(), 9), ("B".to_owned(), 2)]);
    }
}
