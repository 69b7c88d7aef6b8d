//! The secrets that a build is searched for, and the way in which their values reach the scanner.

use std::collections::BTreeMap;

use pgateway::Mount;
use plook::wire::MountedValues;
use pscan::{Report, ReportError};
use serde_json::Value;
use zeroize::Zeroizing;

/// How the values reach the scanner.
pub enum Values {
    /// On its standard input behind the task, one for each of [`Seeking::secrets`] in that order.
    HandedOver(Vec<Zeroizing<Vec<u8>>>),
    /// The engine mounts the values as files into its container: this process never has them.
    Mounted {
        /// One file for each of [`Seeking::secrets`], by its number below [`plook::SECRETS`], and what the scanner
        /// needs besides.
        mounts: Vec<Mount>,
        /// The facts that are known of the values.
        told: MountedValues,
    },
}

/// The secrets that a build is searched for.
pub trait Seeking: Send + Sync {
    /// The names of the secrets. One whose text others read otherwise stands there once for each reading.
    fn secrets(&self) -> Vec<String>;

    /// Lists by name the parts that count of a secret of which not all count; an empty list for none of them.
    fn parts(&self) -> BTreeMap<String, Vec<String>>;

    /// The values, for one search.
    fn values(&self) -> Values;

    /// Reads the report that the scanner sent.
    ///
    /// # Errors
    /// What is no whole report of a search for these secrets.
    fn read(&self, report: &Value) -> Result<Report, ReportError>;

    /// Masks the values in a text of the scanner's or the engine's, as far as they are known here.
    fn redact(&self, text: &str) -> String;
}
