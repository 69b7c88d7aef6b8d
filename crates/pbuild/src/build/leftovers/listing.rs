//! The list of the builder's cache records, without the records that the builder cannot measure.
//!
//! BuildKit measures every record that it lists, and the whole list fails at the first record that cannot be
//! measured. A layer with a path of more than 4,096 bytes is enough, no matter which build made it. The error names
//! the record, and BuildKit does not measure records that a filter leaves out.

use std::collections::BTreeSet;

use pbuildkit::{Builder, BuildkitError, CacheRecord};

/// The words of the error before the name of a record that cannot be measured (`cache/refs.go`).
const NOT_MEASURED: &str = "failed to get usage for ";

/// The folder of the engine's own snapshots, in the path that the error names.
const SNAPSHOTS: &str = "/overlay2/";

/// The largest number of records that are left out. If more records cannot be measured, the list is given up.
const MOST_LEFT_OUT: usize = 32;

/// The cache records of a builder.
#[derive(Debug)]
pub(super) struct Listing {
    /// The records that could be listed.
    pub(super) records: Vec<CacheRecord>,
    /// The IDs of the records that the builder cannot measure.
    pub(super) left_out: BTreeSet<String>,
}

impl Listing {
    /// Asks for the list. If a record makes the list fail, asks again without that record.
    ///
    /// # Errors
    /// Returns an error if the builder does not answer, or if it fails for another reason.
    pub(super) async fn ask(builder: &Builder) -> Result<Self, BuildkitError> {
        let mut left_out = BTreeSet::new();
        loop {
            match builder.cache_records(&without(&left_out)).await {
                Ok(records) => return Ok(Self { records, left_out }),
                Err(error) => {
                    let known = left_out.len();
                    left_out.extend(failing(&error).into_iter().map(str::to_owned));
                    // The builder names the same records once more, so its filter has no effect.
                    if left_out.len() == known || known >= MOST_LEFT_OUT {
                        return Err(error);
                    }
                }
            }
        }
    }
}

/// Makes a filter that leaves out these records. Conditions that are separated by commas must all hold.
fn without(left_out: &BTreeSet<String>) -> Vec<String> {
    let conditions: Vec<String> = left_out.iter().map(|id| format!("id!={id}")).collect();
    if conditions.is_empty() { Vec::new() } else { vec![conditions.join(",")] }
}

/// Finds the records that an error of the list names.
fn failing(error: &BuildkitError) -> Vec<&str> {
    match error {
        BuildkitError::Refused { source } => records_in(&source.message),
        BuildkitError::Engine(_)
        | BuildkitError::Podman { .. }
        | BuildkitError::NoAnswer { .. }
        | BuildkitError::Lost { .. }
        | BuildkitError::TooOld { .. }
        | BuildkitError::Unexpected { .. } => Vec::new(),
    }
}

/// Finds the IDs of records in BuildKit's message: the ID of the record, and the ID of its snapshot, under which the
/// record is listed while it can be written to. The IDs become parts of a filter, so only letters and digits are
/// accepted.
fn records_in(message: &str) -> Vec<&str> {
    let Some((_, rest)) = message.split_once(NOT_MEASURED) else { return Vec::new() };
    let record = rest.split_once(':').map(|(id, _)| id);
    let snapshot = rest.split_once(SNAPSHOTS).and_then(|(_, path)| path.split('/').next());
    let is_id = |id: &&str| !id.is_empty() && id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    record.into_iter().chain(snapshot).filter(is_id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_that_cannot_be_measured_is_read_from_the_error() {
        let measured = "failed to get usage for qjborv1x2: lstat";
        let message = format!("{measured} /var/lib/docker/overlay2/yj1y/diff/aaaa: file name too long");
        assert_eq!(records_in(&message), ["qjborv1x2", "yj1y"]);
        assert_eq!(records_in(&format!("rpc error: {message}")), ["qjborv1x2", "yj1y"]);
        assert_eq!(records_in("failed to get usage for qjb: lstat /snapshots/12/fs/a: too long"), ["qjb"]);
        for other in ["failed to get usage for : x", "failed to get usage for a,id==b: x", "lstat: too long", ""] {
            assert_eq!(records_in(other), Vec::<&str>::new(), "{other}");
        }
    }

    #[test]
    fn all_records_that_fail_are_left_out_together() {
        assert_eq!(without(&BTreeSet::new()), Vec::<String>::new());
        assert_eq!(without(&["a".to_owned(), "b".to_owned()].into()), ["id!=a,id!=b"]);
    }
}
