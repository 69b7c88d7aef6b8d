//! Registries to which a builder pushes an image by itself.

use std::collections::BTreeMap;

use pbuildkit::Exporter;

use crate::plan::ImageName;

/// Registries as a place: BuildKit pushes there when the build's result is returned to it, and not before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RegistryOutput {
    attributes: BTreeMap<String, String>,
}

impl RegistryOutput {
    /// Makes a push by the builder with these attributes.
    pub(super) fn new(attributes: BTreeMap<String, String>) -> Self {
        Self { attributes }
    }

    /// The attributes of the exporter, without names.
    pub(super) fn attributes(&self) -> &BTreeMap<String, String> {
        &self.attributes
    }

    /// Makes the exporter that pushes under these names.
    pub(crate) fn exporter(&self, names: &[ImageName]) -> Exporter {
        let mut attributes = self.attributes.clone();
        let names: Vec<String> = names.iter().map(ImageName::whole).collect();
        attributes.insert("name".to_owned(), names.join(","));
        attributes.insert("push".to_owned(), "true".to_owned());
        Exporter { kind: "image".to_owned(), attributes, receiver: None }
    }
}
