//! The archive that `docker save` writes, as a list of members.

use sha2::{Digest as _, Sha256};

use super::layer::Layer;

/// Returns the digest of the bytes: `sha256:` and the hex digits.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", base16ct::lower::encode_string(&Sha256::digest(bytes)))
}

/// An image archive that a test can change. Its members are in the order in which they will be written.
#[derive(Clone, Debug, Default)]
pub struct Archive {
    members: Vec<(String, Vec<u8>)>,
}

impl Archive {
    /// Makes an archive without members.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a member. Its name may already exist.
    pub fn add(&mut self, name: &str, bytes: impl Into<Vec<u8>>) {
        self.members.push((name.to_owned(), bytes.into()));
    }

    /// Adds a blob under its digest, unless it exists already, and returns the digest.
    pub fn add_blob(&mut self, bytes: impl Into<Vec<u8>>) -> String {
        let bytes = bytes.into();
        let digest = sha256(&bytes);
        let name = blob_name(&digest);
        if self.get(&name).is_none() {
            self.add(&name, bytes);
        }
        digest
    }

    /// Returns the bytes of a member.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.members.iter().find(|(each, _)| each == name).map(|(_, bytes)| bytes.as_slice())
    }

    /// Returns the names of all members.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|(name, _)| name.as_str())
    }

    /// Replaces the bytes of a member.
    ///
    /// # Panics
    ///
    /// Panics if there is no such member.
    pub fn replace(&mut self, name: &str, bytes: impl Into<Vec<u8>>) {
        let member = self.members.iter_mut().find(|(each, _)| each == name);
        member.unwrap_or_else(|| panic!("no member {name}")).1 = bytes.into();
    }

    /// Removes a member.
    ///
    /// # Panics
    ///
    /// Panics if there is no such member.
    pub fn remove(&mut self, name: &str) {
        let before = self.members.len();
        self.members.retain(|(each, _)| each != name);
        assert!(self.members.len() < before, "no member {name}");
    }

    /// Reverses the order of the members, so that the blobs come after the members that name them, or before.
    pub fn reverse(&mut self) {
        self.members.reverse();
    }

    /// Returns the archive as a tar.
    #[must_use]
    pub fn tar(&self) -> Vec<u8> {
        let entry = |layer: Layer, (name, bytes): &(String, Vec<u8>)| layer.file(name, bytes);
        self.members.iter().fold(Layer::new(), entry).tar()
    }
}

/// Returns the path at which an OCI layout keeps a blob.
pub(super) fn blob_name(digest: &str) -> String {
    format!("blobs/{}", digest.replacen(':', "/", 1))
}
