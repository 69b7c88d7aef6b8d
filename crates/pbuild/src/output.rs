//! The places of a build's result: `--output`, `--load`, `--push`.
//!
//! A result first lands where nobody finds it: an archive in a file without a name, a tree in a folder of its own
//! beside its destination. It is written to where the user wants it by [`CleanOutputs::commit`], and the ways to a
//! [`CleanOutputs`] are a proof or a search of exactly the bytes that were received. Whatever is dropped before leaves
//! nothing behind.

mod destination;
mod elsewhere;
mod error;
mod extent;
mod registry;
mod spec;

use std::sync::Arc;

use pscan::{NeedleSet, Report, Verdict};
use serde_json::Value;

use crate::edge::{Edge, Failure};
use crate::plan::AttestationReach;
pub(crate) use destination::Destination;
pub(crate) use error::OutputError;
pub(crate) use extent::Extent;
use pproof::Proof;
pub(crate) use spec::{Outputs, Shorthand};

/// Results on their way here, which nobody has looked at.
#[derive(Debug)]
pub(crate) struct Pending(Vec<Destination>);

/// Results that were received and hold no secret.
#[derive(Debug, Default)]
pub(crate) struct CleanOutputs(Vec<Destination>);

/// The outcome of a look at results.
#[derive(Debug)]
pub(crate) enum OutputVerdict {
    /// The files are clean; with the report of each search.
    Clean(CleanOutputs, Vec<Report>),
    /// The files hold a secret.
    Leak(Box<Report>),
    /// Something could not be searched.
    Incomplete(Box<Report>),
}

impl Pending {
    /// Takes the places that will receive results.
    pub(crate) fn new(places: Vec<Destination>) -> Self {
        Self(places)
    }

    /// A build without secrets has nothing to search for.
    pub(crate) fn without_secrets(self) -> CleanOutputs {
        CleanOutputs(self.0)
    }

    /// Searches the results. Those that the proof covers are not searched again.
    ///
    /// # Errors
    /// When the work should stop, or a result cannot be read.
    pub(crate) async fn examine(
        self,
        proof: Option<&Proof>,
        attested: AttestationReach,
        needles: &Arc<NeedleSet>,
        edge: &Edge,
    ) -> Result<OutputVerdict, Failure> {
        let mut reports = Vec::new();
        for place in &self.0 {
            // The exporter attaches its documents after the proof.
            let is_whole = match attested {
                AttestationReach::Nothing => true,
                AttestationReach::Images => !place.is_image(),
                AttestationReach::Everything => false,
            };
            if proof.is_some() && is_whole {
                continue;
            }
            let report = place.search(Arc::clone(needles), edge).await?;
            match report.verdict() {
                Verdict::Clean => reports.push(report),
                Verdict::Leak => return Ok(OutputVerdict::Leak(Box::new(report))),
                Verdict::Incomplete => return Ok(OutputVerdict::Incomplete(Box::new(report))),
            }
        }
        Ok(OutputVerdict::Clean(CleanOutputs(self.0), reports))
    }
}

impl CleanOutputs {
    /// Whether standard output belongs to a result, so that nothing else may be written there.
    pub(crate) fn takes_standard_output(&self) -> bool {
        self.0.iter().any(Destination::is_standard_output)
    }

    /// Joins the results of several nodes of a builder, which were received for the same places, in one order.
    ///
    /// Returns the descriptor of the joined image too, if one of the places receives it.
    ///
    /// # Errors
    /// Returns an error if a part cannot be read, or if there is no room for the whole.
    pub(crate) fn join(parts: Vec<Self>) -> Result<(Self, Option<Value>), OutputError> {
        let mut columns: Vec<Vec<Destination>> = Vec::new();
        for part in parts {
            for (at, place) in part.0.into_iter().enumerate() {
                match columns.get_mut(at) {
                    Some(column) => column.push(place),
                    None => columns.push(vec![place]),
                }
            }
        }
        let (mut joined, mut image) = (Vec::new(), None);
        for column in columns {
            let place = column.first().map(ToString::to_string).unwrap_or_default();
            let (places, described) =
                Destination::join(column).map_err(|source| OutputError::Write { place, source })?;
            joined.extend(places);
            image = image.or(described);
        }
        Ok((Self(joined), image))
    }

    /// Puts everything where the user wants it.
    ///
    /// # Errors
    /// The first result that cannot be written; those before it are written.
    pub(crate) async fn commit(self, edge: &Edge) -> Result<(), Failure> {
        for place in self.0 {
            let name = place.to_string();
            let announcement = place.announcement();
            let written = edge.cancellation.unless_cancelled(place.commit()).await?;
            written.map_err(|source| OutputError::Write { place: name, source })?;
            if let Some(announcement) = announcement {
                edge.fact("output", &announcement);
            }
        }
        Ok(())
    }
}
