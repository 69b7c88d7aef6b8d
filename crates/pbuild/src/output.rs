//! The destinations of a build's result: `--output`, `--load`, `--push`.
//!
//! A result first goes to a place where no other program finds it: an archive to a file without a name, a tree to a
//! folder of its own beside its destination. [`CleanOutputs::commit`] writes it to the destination that the user wants. A
//! [`CleanOutputs`] is made only from a proof, from a search of exactly the bytes that were received, or from the results
//! of a build without secrets. A result that is dropped before leaves no files.

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

/// Results that arrive from the builder and were not searched yet.
#[derive(Debug)]
pub(crate) struct Pending(Vec<Destination>);

/// Results that were received and hold no secret.
#[derive(Debug, Default)]
pub(crate) struct CleanOutputs(Vec<Destination>);

/// The outcome of a search of results.
#[derive(Debug)]
pub(crate) enum OutputVerdict {
    /// The files are clean. The list holds the report of each search.
    Clean(CleanOutputs, Vec<Report>),
    /// The files hold a secret.
    Leak(Box<Report>),
    /// Something could not be searched.
    Incomplete(Box<Report>),
}

impl Pending {
    /// Takes the destinations that will receive results.
    pub(crate) fn new(places: Vec<Destination>) -> Self {
        Self(places)
    }

    /// Accepts the results of a build without secrets, in which there is nothing to search for.
    pub(crate) fn without_secrets(self) -> CleanOutputs {
        CleanOutputs(self.0)
    }

    /// Searches the results. A result that the proof covers completely is not searched again.
    ///
    /// # Errors
    /// Returns an error if the command is cancelled, or if a result cannot be read.
    pub(crate) async fn examine(
        self,
        proof: Option<&Proof>,
        attested: AttestationReach,
        needles: &Arc<NeedleSet>,
        edge: &Edge,
    ) -> Result<OutputVerdict, Failure> {
        let mut reports = Vec::new();
        for place in &self.0 {
            // The exporter attaches its documents after the gate has made the proof, so the proof does not cover
            // them.
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
    /// Returns whether a result goes to standard output, so that nothing else may be written there.
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

    /// Writes every result to the destination that the user wants.
    ///
    /// # Errors
    /// Returns the error of the first result that cannot be written; the results before it stay written.
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
