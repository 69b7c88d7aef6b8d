//! What a build is searched for, and how the values of it reach the scanner.

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
    /// As files that the engine mounts into its container: whoever asks for the search never has them.
    Mounted {
        /// One file for each of [`Seeking::secrets`], by its number below [`plook::SECRETS`], and what the scanner needs besides.
        mounts: Vec<Mount>,
        /// What is known of the values.
        told: MountedValues,
    },
}

/// What a build is searched for.
pub trait Seeking: Send + Sync {
    /// The names of the secrets. One whose text others read otherwise stands there once for each reading.
    fn secrets(&self) -> Vec<String>;

    /// By name, the parts that count of a secret of which not all count; an empty list for none of them.
    fn parts(&self) -> BTreeMap<String, Vec<String>>;

    /// The values, for one search.
    fn values(&self) -> Values;

    /// Reads the report that the scanner sent.
    ///
    /// # Errors
    /// What is no whole report of a search for these secrets.
    fn read(&self, report: &Value) -> Result<Report, ReportError>;

    /// A text of the scanner's or the engine's without the values, as far as they are known here.
    fn redact(&self, text: &str) -> String;
}
