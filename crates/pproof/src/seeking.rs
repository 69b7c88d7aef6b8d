//! The secrets that a build is searched for, and the way in which their values reach the scanner.

use std::collections::BTreeMap;

use pgateway::Mount;
use plook::wire::MountedValues;
use pscan::{Report, ReportError};
use serde_json::Value;
use zeroize::Zeroizing;

/// The way in which the values reach the scanner.
pub enum Values {
    /// The values are on the scanner's standard input, after the task, in the order of [`Seeking::secrets`].
    HandedOver(Vec<Zeroizing<Vec<u8>>>),
    /// The engine mounts the values as files into the scanner's container, so this process never has them.
    Mounted {
        /// One file for each of [`Seeking::secrets`], named by its number below [`plook::SECRETS`], and the other
        /// files that the scanner needs.
        mounts: Vec<Mount>,
        /// The facts that are known about the values.
        told: MountedValues,
    },
}

/// The secrets that a build is searched for.
pub trait Seeking: Send + Sync {
    /// Returns the names of the secrets. A secret with several readings is listed once for each reading.
    fn secrets(&self) -> Vec<String>;

    /// Returns the parts that count, for each secret of which only some parts count; the list may be empty.
    fn parts(&self) -> BTreeMap<String, Vec<String>>;

    /// Returns the values for one search.
    fn values(&self) -> Values;

    /// Reads the report that the scanner sent.
    ///
    /// # Errors
    ///
    /// Returns an error if this is not a complete report of a search for these secrets.
    fn read(&self, report: &Value) -> Result<Report, ReportError>;

    /// Masks the values in a text of the scanner or the engine, if this process knows them.
    fn redact(&self, text: &str) -> String;
}
