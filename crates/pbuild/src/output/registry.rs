//! Registries to which a builder pushes an image by itself.

use std::collections::{BTreeMap, BTreeSet};

use pbuildkit::Exporter;

use super::extent::Extent;
use crate::plan::ImageName;

/// Registries as a place: BuildKit pushes there when the build's result is returned to it, and not before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RegistryOutput {
    attributes: BTreeMap<String, String>,
    extent: Extent,
}

impl RegistryOutput {
    /// Makes a push by the builder with these attributes.
    pub(super) fn new(attributes: BTreeMap<String, String>, extent: Extent) -> Self {
        Self { attributes, extent }
    }

    /// The attributes of the exporter, without names.
    pub(super) fn attributes(&self) -> &BTreeMap<String, String> {
        &self.attributes
    }

    /// Makes the exporter that pushes under these names, or a part of the image by digest to their repositories.
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
