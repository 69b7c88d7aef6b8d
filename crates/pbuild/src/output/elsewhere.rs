//! Outputs of a builder that stands by itself: there is no store in which an image lies until it was searched.
//!
//! Docker does the same: `--load` brings the image here as an archive, and the engine of the docker context loads exactly what was
//! searched; `--push` is the builder's own work; without an output the result stays in the builder's cache.

use pengine::{Engine, PlainBuilder};

use super::destination::{Destination, Format, Target};
use super::error::OutputError;
use super::extent::Extent;
use super::registry::RegistryOutput;
use super::spec::{Outputs, Store};

impl Outputs {
    /// Replaces the engine's store by something that a builder without one can do.
    ///
    /// # Errors
    /// [`OutputError::NoStore`].
    pub(crate) fn leave_store(&mut self, builder: &PlainBuilder) -> Result<(), OutputError> {
        match self.store.take() {
            Some(Store { attributes, push: true, .. }) => {
                self.registry = Some(RegistryOutput::new(attributes, self.extent));
            }
            Some(Store { of_builder: true, .. }) => return Err(OutputError::NoStore(builder.name().to_owned())),
            Some(Store { attributes, .. }) => {
                self.loads = self.asked || builder.loads();
                self.load_attributes = attributes;
            }
            None => {}
        }
        Ok(())
    }

    /// Gives the image an engine that loads it.
    ///
    /// # Errors
    /// When there is no room for the archive.
    pub(crate) fn load_into(&mut self, engine: Engine) -> Result<(), OutputError> {
        let attributes = std::mem::take(&mut self.load_attributes);
        let format = match self.extent {
            Extent::Whole => Format::Docker,
            Extent::Part => Format::Oci,
        };
        self.places.push(Destination::new(format, Target::Engine(Box::new(engine)), attributes)?);
        Ok(())
    }

    /// How many exporters run.
    pub(crate) fn count(&self) -> usize {
        self.places.len() + usize::from(self.store.is_some()) + usize::from(self.registry.is_some())
    }

    /// Whether the result goes nowhere.
    pub(crate) fn is_nothing(&self) -> bool {
        self.count() == 0 && !self.loads && !self.asked
    }

    /// Whether some result never comes here, because it leaves the builder or stays in it. Then only the search in the
    /// builder can show what it holds.
    pub(crate) fn needs_proof(&self) -> bool {
        self.registry.is_some() || self.count() == 0
    }
}
