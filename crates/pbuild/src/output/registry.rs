//! Registries to which a builder itself pushes an image.

use std::collections::{BTreeMap, BTreeSet};

use pbuildkit::Exporter;

use super::extent::Extent;
use crate::plan::ImageName;

/// Registries as a destination. BuildKit pushes the image after the build's result was returned to it, and not
/// before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RegistryOutput {
    attributes: BTreeMap<String, String>,
    extent: Extent,
}

impl RegistryOutput {
    /// Makes a push by the builder, with these attributes of the exporter.
    pub(super) fn new(attributes: BTreeMap<String, String>, extent: Extent) -> Self {
        Self { attributes, extent }
    }

    /// Returns the attributes of the exporter, without names.
    pub(super) fn attributes(&self) -> &BTreeMap<String, String> {
        &self.attributes
    }

    /// Makes the exporter for these names. It pushes a whole image under the names, and a part of an image by digest
    /// to the repositories of the names.
    pub(crate) fn exporter(&self, names: &[ImageName]) -> Exporter {
        let mut attributes = self.attributes.clone();
        let names: BTreeSet<String> = match self.extent {
            Extent::Whole => names.iter().map(ImageName::whole).collect(),
            Extent::Part => {
                attributes.insert("push-by-digest".to_owned(), "true".to_owned());
                names.iter().map(ImageName::whole_repository).collect()
            }
        };
        let names: Vec<String> = names.into_iter().collect();
        attributes.insert("name".to_owned(), names.join(","));
        attributes.insert("push".to_owned(), "true".to_owned());
        Exporter { kind: "image".to_owned(), attributes, receiver: None }
    }
}
