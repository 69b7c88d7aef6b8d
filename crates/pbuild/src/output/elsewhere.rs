//! The outputs of a builder without an engine. It has no store that could keep an image until the image is searched.
//!
//! The outputs are those of docker. With `--load`, the image comes here as an archive, and the engine of the docker
//! context loads the archive after the search. With `--push`, the builder itself pushes the image. Without an output,
//! the result stays in the builder's cache.

use pengine::{Engine, PlainBuilder};

use super::destination::{Destination, Format, Target};
use super::error::OutputError;
use super::extent::Extent;
use super::registry::RegistryOutput;
use super::spec::{Outputs, Store};

impl Outputs {
    /// Replaces the engine's store by an output that a builder without an engine supports.
    ///
    /// # Errors
    /// Returns [`OutputError::NoStore`] if there is no such output.
    pub(crate) fn leave_store(&mut self, builder: &PlainBuilder) -> Result<(), OutputError> {
        match self.store.take() {
            Some(Store { attributes, push: true, load, .. }) => {
                self.loads = load;
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

    /// Adds an engine that loads the image.
    ///
    /// # Errors
    /// Returns an error if there is no space for the archive.
    pub(crate) fn load_into(&mut self, engine: Engine) -> Result<(), OutputError> {
        let attributes = std::mem::take(&mut self.load_attributes);
        let format = match self.extent {
            Extent::Whole => Format::Docker,
            Extent::Part => Format::Oci,
        };
        self.places.push(Destination::new(format, Target::Engine(Box::new(engine)), attributes)?);
        Ok(())
    }

    /// Returns the number of exporters that run.
    pub(crate) fn count(&self) -> usize {
        self.places.len() + usize::from(self.store.is_some()) + usize::from(self.registry.is_some())
    }

    /// Returns whether the result has no destination.
    pub(crate) fn is_nothing(&self) -> bool {
        self.count() == 0 && !self.loads && !self.asked
    }

    /// Returns whether some result never comes to this side of the builder, because it leaves the builder directly or
    /// stays in it. Only the search in the builder can then show what the result holds.
    pub(crate) fn needs_proof(&self) -> bool {
        self.registry.is_some() || self.count() == 0
    }
}
