//! The leftovers of a refused build in the engine, and their removal: an image without a name, and cache records.

mod listing;
pub(crate) mod order;

use std::collections::BTreeSet;
use std::error::Error as _;
use std::time::{Duration, Instant};

use bollard::query_parameters::RemoveImageOptions;
use pbuildkit::{Builder, BuildkitError};
use pengine::Engine;

use super::message::quoted;
use listing::Listing;
use order::Marks;

/// The records of the builder's cache before a build; or why they are not known, which matters after a leak alone.
#[derive(Debug)]
pub(crate) struct CacheBefore(Result<BTreeSet<String>, BuildkitError>);

/// Why the leftovers of a build stay.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LeftoverError {
    /// Without the list from before the build nobody knows which records are its own.
    #[error("the builder did not list its cache before the build: {0}")]
    NothingKnownBefore(String),
    /// The builder does not answer.
    #[error("{0}")]
    NoAnswer(String),
}

/// Returns the builder's own words in one line, or those of the error where the builder has none.
fn words_of(error: &BuildkitError) -> String {
    quoted(&error.source().map_or_else(|| error.to_string(), ToString::to_string))
}

/// The longest wait for records that hold a value. The engine lets go of them in its own time after a build has
/// ended: in milliseconds on an idle machine, in seconds on a busy one.
const HOLDING: Duration = Duration::from_secs(30);

/// The longest wait for the build's other records: another build may share them, and keep them for as long as it runs.
const SHARED: Duration = Duration::from_secs(2);

/// The pause between two looks at records that are in use.
const PAUSE: Duration = Duration::from_millis(50);

/// The things that were removed, for the report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Removed {
    /// Cache records.
    pub(crate) records: usize,
    /// Cache records that hold a value and stay, because something still uses them.
    pub(crate) kept: usize,
    /// Cache records that hold a value, as far as they are known: those that were removed and those that stay.
    pub(crate) holding: usize,
    /// Cache records from the time of the build that the builder cannot look at: one of them may hold a value.
    pub(crate) unknown: usize,
    /// Images without a name.
    pub(crate) images: usize,
}

impl CacheBefore {
    /// Lists the cache records that are there before the build. A build does without the list, so a builder that gives
    /// no answer does not end the build.
    pub(crate) async fn look(builder: &Builder) -> Self {
        let ids = |Listing { records, mut left_out }: Listing| {
            left_out.extend(records.into_iter().map(|record| record.id));
            left_out
        };
        Self(Listing::ask(builder).await.map(ids))
    }

    /// Drops the records that one build has added since, leaves first. It waits for records in use: up to half a minute
    /// for those that hold a value, and two seconds for the others.
    ///
    /// # Errors
    /// When the builder does not answer, or did not before the build; the records that were dropped until then stay
    /// dropped.
    pub(crate) async fn restore(
        &self,
        builder: &Builder,
        marks: &Marks,
        holding: &Marks,
    ) -> Result<Removed, LeftoverError> {
        let before = self.0.as_ref().map_err(|error| LeftoverError::NothingKnownBefore(words_of(error)))?;
        let no_answer = |error: BuildkitError| LeftoverError::NoAnswer(words_of(&error));
        let began = Instant::now();
        let mut removed = Removed::default();
        let mut seen = BTreeSet::new();
        // Dropping one record can free another that it used, so look again until nothing moves.
        loop {
            let Listing { records, left_out } = Listing::ask(builder).await.map_err(no_answer)?;
            seen.extend(order::made(before, &records, holding));
            removed.holding = seen.len();
            let mut moved = 0;
            for id in order::removal_order(before, &records, marks) {
                moved += builder.prune(&[format!("id=={id}")]).await.map_err(no_answer)?.len();
            }
            removed.records += moved;
            if moved > 0 {
                continue;
            }
            removed.kept = order::remaining(before, &records, holding);
            removed.unknown = left_out.difference(before).count();
            let waited = began.elapsed();
            let wait = (removed.kept > 0 && waited < HOLDING)
                || (order::remaining(before, &records, marks) > 0 && waited < SHARED);
            if !wait {
                return Ok(removed);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Removes an image by its ID, unless somebody gave it a name.
///
/// The same content may have been built and named before, by docker for example: then the image is somebody else's.
pub(crate) async fn remove_unnamed_image(engine: &Engine, id: &str) -> bool {
    let Ok(image) = engine.docker().inspect_image(id).await else { return false };
    if image.repo_tags.is_some_and(|tags| !tags.is_empty()) {
        return false;
    }
    engine.docker().remove_image(id, None::<RemoveImageOptions>, None).await.is_ok()
}
