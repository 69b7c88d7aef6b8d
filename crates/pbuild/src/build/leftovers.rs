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

/// The records in the builder's cache before a build, or the reason why they are not known. The reason matters only
/// after a leak.
#[derive(Debug)]
pub(crate) struct CacheBefore(Result<BTreeSet<String>, BuildkitError>);

/// The reasons why the leftovers of a build stay.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LeftoverError {
    /// There is no list from before the build, so it is not known which records this build has made.
    #[error("the builder did not list its cache before the build: {0}")]
    NothingKnownBefore(String),
    /// The builder does not answer.
    #[error("{0}")]
    NoAnswer(String),
}

/// Returns the builder's own message in one line, or that of the error if the builder gave no message.
fn words_of(error: &BuildkitError) -> String {
    quoted(&error.source().map_or_else(|| error.to_string(), ToString::to_string))
}

/// The longest wait for records that hold a value. After a build has ended, the engine stops using its records at its
/// own pace: within milliseconds on an idle machine, within seconds on a busy one.
const HOLDING: Duration = Duration::from_secs(30);

/// The longest wait for the build's other records. Another build may share them and use them for as long as it runs.
const SHARED: Duration = Duration::from_secs(2);

/// The pause between two looks at the records that are in use.
const PAUSE: Duration = Duration::from_millis(50);

/// What was removed, for the report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Removed {
    /// The number of removed cache records.
    pub(crate) records: usize,
    /// The number of cache records that hold a value and stay, because something still uses them.
    pub(crate) kept: usize,
    /// The number of known cache records that hold a value, both removed and kept.
    pub(crate) holding: usize,
    /// The number of cache records from the time of the build that the builder cannot measure. One of them may hold a
    /// value.
    pub(crate) unknown: usize,
    /// The number of removed images without a name.
    pub(crate) images: usize,
}

impl CacheBefore {
    /// Lists the cache records that exist before the build. If the builder gives no answer, the build goes on without
    /// the list.
    pub(crate) async fn look(builder: &Builder) -> Self {
        let ids = |Listing { records, mut left_out }: Listing| {
            left_out.extend(records.into_iter().map(|record| record.id));
            left_out
        };
        Self(Listing::ask(builder).await.map(ids))
    }

    /// Drops the records that one build has added, and begins with those on which no other record builds. Waits for
    /// records in use: up to half a minute for those that hold a value, and two seconds for the others.
    ///
    /// # Errors
    /// Returns an error if the builder does not answer, or if it did not answer before the build. Records that were
    /// dropped before the error stay dropped.
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
        // Dropping one record can free another one that it used, so the list is read again until no record is
        // dropped.
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

/// Removes an image by its ID, unless it has a name.
///
/// The same content may have been built and named before, for example by docker. Then the image belongs to that
/// earlier build.
pub(crate) async fn remove_unnamed_image(engine: &Engine, id: &str) -> bool {
    let Ok(image) = engine.docker().inspect_image(id).await else { return false };
    if image.repo_tags.is_some_and(|tags| !tags.is_empty()) {
        return false;
    }
    engine.docker().remove_image(id, None::<RemoveImageOptions>, None).await.is_ok()
}
