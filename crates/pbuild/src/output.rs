//! Where a build's result goes: `--output`, `--load`, `--push`.
//!
//! A result is received first, where nobody finds it: an archive in a file without a name, a tree in a folder of our own
//! beside its destination. It is written to where the user wants it by [`Cleared::commit`], and the ways to a [`Cleared`]
//! are a proof or a search of exactly the bytes that were received. Whatever is dropped before leaves nothing behind.

mod elsewhere;
mod error;
mod place;
mod registry;
mod spec;

use std::sync::Arc;

use pscan::{NeedleSet, Report, Verdict};
use pscreen::{Diagnostic, Exit};

use crate::edge::{Edge, Failure};
use crate::gate::Proof;
use crate::plan::attestation::Attested;
pub use error::OutputError;
pub use place::Place;
pub use registry::RegistryOutput;
pub use spec::{Outputs, Store};

/// What is being received, and nobody has seen yet.
#[derive(Debug)]
pub struct Pending(Vec<Place>);

/// What was received and holds no secret.
#[derive(Debug)]
pub struct Cleared(Vec<Place>);

/// What the look at what was received came to.
#[derive(Debug)]
pub enum Examined {
    /// Clean; with the reports of what was searched for it.
    Clean(Cleared, Vec<Report>),
    /// A secret is in it.
    Leak(Box<Report>),
    /// Something could not be searched.
    Incomplete(Box<Report>),
}

impl Pending {
    /// What these places will receive.
    #[must_use]
    pub fn new(places: Vec<Place>) -> Self {
        Self(places)
    }

    /// A build without secrets has nothing to search for.
    #[must_use]
    pub fn without_secrets(self) -> Cleared {
        Cleared(self.0)
    }

    /// Looks at what was received. What the proof covers is not searched again.
    ///
    /// # Errors
    /// When the work should stop, or a file cannot be read.
    pub async fn examine(
        self,
        proof: Option<&Proof>,
        attested: Attested,
        needles: &Arc<NeedleSet>,
        edge: &Edge,
    ) -> Result<Examined, Failure> {
        let mut reports = Vec::new();
        for place in &self.0 {
            // What the exporter attaches came into being after the proof.
            let is_whole = match attested {
                Attested::Nothing => true,
                Attested::Images => !place.is_image(),
                Attested::Everything => false,
            };
            if proof.is_some() && is_whole {
                continue;
            }
            let report = place.search(Arc::clone(needles), edge).await?;
            match report.verdict() {
                Verdict::Clean => reports.push(report),
                Verdict::Leak => return Ok(Examined::Leak(Box::new(report))),
                Verdict::Incomplete => return Ok(Examined::Incomplete(Box::new(report))),
            }
        }
        Ok(Examined::Clean(Cleared(self.0), reports))
    }
}

impl Cleared {
    /// Puts everything where the user wants it.
    ///
    /// # Errors
    /// What could not be written; what was before it is written.
    pub async fn commit(self, edge: &Edge) -> Result<(), Failure> {
        for place in self.0 {
            let name = place.to_string();
            let told = place.told();
            let written = edge.cancellation.unless_cancelled(place.commit()).await?;
            written.map_err(|error| {
                Diagnostic::from_error(&error, Exit::Failed).note(format!("while writing --output {name}"))
            })?;
            if let Some(told) = told {
                edge.fact("output", &told);
            }
        }
        Ok(())
    }
}
