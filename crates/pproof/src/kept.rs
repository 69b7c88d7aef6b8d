//! The data that the builder keeps after a build, for everybody who builds there.

use std::collections::BTreeSet;

use pgateway::{Bridge, CacheMount, Mount};
use plook::kept::KeyBytes;
use plook::program::Work;
use plook::wire::{self, BasesNote, Note};
use zeroize::Zeroizing;

use crate::gate::scanner::{Scanner, ScannerFailure, exchange};

/// The id of the builder's folder. BuildKit adds a slash to every id in a Dockerfile (`convert_runmount.go`), so no
/// Dockerfile can use an id without one. But every client of the builder can use it, and the builder's garbage
/// collection removes folders that were not used for two days. So nothing in the folder may make a search count as
/// clean, except for notes that are sealed with the values themselves ([`plook::bases`]).
const ID: &str = "pbuild";

/// Makes the mount of the folder for the scanner's container.
#[must_use]
pub fn kept() -> Mount {
    Mount::Cache(CacheMount { id: ID.to_owned(), at: plook::KEPT.to_owned() })
}

/// Requests the builder's key, under which everybody who builds there makes digests of values. A builder without a
/// key keeps the offered one, or a new one. Returns `None` if the builder cannot keep a key.
///
/// # Errors
///
/// Returns an error if the scanner is missing or does not answer.
pub async fn builder_key(
    bridge: &Bridge,
    scanner: &Scanner,
    offered: Option<KeyBytes>,
) -> Result<Option<KeyBytes>, ScannerFailure> {
    let mut input = Zeroizing::new(Vec::new());
    let offered = offered.as_ref().map_or(&[][..], |key| key.as_slice());
    wire::write_frame(&mut *input, offered).map_err(|_| ScannerFailure::NotUnderstood)?;
    let answer = exchange(bridge, scanner, Work::Key, vec![kept()], input).await?;
    Ok(wire::read_key(&mut answer.as_slice())?)
}

/// Requests the digests of the steps whose results once contained a secret.
///
/// # Errors
///
/// Returns an error if the scanner is missing or does not answer.
pub async fn leaked_steps(bridge: &Bridge, scanner: &Scanner) -> Result<BTreeSet<String>, ScannerFailure> {
    let answer = exchange(bridge, scanner, Work::Leaked, vec![kept()], Zeroizing::default()).await?;
    let frame = wire::read_frame(&mut answer.as_slice())?;
    serde_json::from_slice(&frame).map_err(|_| ScannerFailure::NotUnderstood)
}

/// Notes the steps whose results contained a secret, so that they run again in the next build, even if their results
/// could not be removed. Also removes the notes of steps that are clean now.
///
/// # Errors
///
/// Returns an error if the scanner is missing, or the builder cannot keep notes.
pub async fn note_steps(
    bridge: &Bridge,
    scanner: &Scanner,
    leaked: Vec<String>,
    clean: Vec<String>,
) -> Result<(), ScannerFailure> {
    if leaked.is_empty() && clean.is_empty() {
        return Ok(());
    }
    let note = Note { version: wire::VERSION, leaked, clean };
    let note = serde_json::to_vec(&note).map_err(|_| ScannerFailure::NotUnderstood)?;
    let mut input = Zeroizing::new(Vec::new());
    wire::write_frame(&mut *input, &note).map_err(|_| ScannerFailure::NotUnderstood)?;
    exchange(bridge, scanner, Work::Note, vec![kept()], input).await.map(drop)
}

/// Notes bases that were found clean, so that they are not searched again for the same secrets. `values` are the
/// mounts of the values that the probe saw.
///
/// # Errors
///
/// Returns an error if the scanner is missing, a value has changed, or the builder cannot keep notes.
pub async fn note_bases(
    bridge: &Bridge,
    scanner: &Scanner,
    mut values: Vec<Mount>,
    note: &BasesNote,
) -> Result<(), ScannerFailure> {
    let note = serde_json::to_vec(note).map_err(|_| ScannerFailure::NotUnderstood)?;
    let mut input = Zeroizing::new(Vec::new());
    wire::write_frame(&mut *input, &note).map_err(|_| ScannerFailure::NotUnderstood)?;
    values.push(kept());
    exchange(bridge, scanner, Work::NoteBases, values, input).await.map(drop)
}
