//! The things that the builder keeps for everybody who builds there, beyond the end of a build.

use std::collections::BTreeSet;

use pgateway::{Bridge, CacheMount, Mount};
use plook::kept::KeyBytes;
use plook::program::Work;
use plook::wire::{self, BasesNote, Note};
use zeroize::Zeroizing;

use crate::gate::scanner::{Scanner, ScannerFailure, exchange};

/// The folder's name in the builder. Without a slash no Dockerfile reaches it: BuildKit puts one into every id of a
/// Dockerfile's (`convert_runmount.go`). Every client of the builder reaches it, and the builder's garbage collection
/// takes what was not used for two days, so that nothing there may ever make a finding clean, but for what is sealed with the
/// values themselves ([`plook::bases`]).
const ID: &str = "pbuild";

/// Makes the mount of the folder for the scanner's container.
#[must_use]
pub fn kept() -> Mount {
    Mount::Cache(CacheMount { id: ID.to_owned(), at: plook::KEPT.to_owned() })
}

/// Asks the builder for the key under which everybody who builds there makes digests of values. A builder without a key
/// keeps the one that is offered, else a new one. `None` when it keeps nothing.
///
/// # Errors
/// When the scanner is not there or does not answer.
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

/// Asks the builder for the steps whose results once held a secret, by their digests.
///
/// # Errors
/// When the scanner is not there or does not answer.
pub async fn leaked_steps(bridge: &Bridge, scanner: &Scanner) -> Result<BTreeSet<String>, ScannerFailure> {
    let answer = exchange(bridge, scanner, Work::Leaked, vec![kept()], Zeroizing::default()).await?;
    let frame = wire::read_frame(&mut answer.as_slice())?;
    serde_json::from_slice(&frame).map_err(|_| ScannerFailure::NotUnderstood)
}

/// Notes steps whose results held a secret, so that they run again next time, also where their results could not be
/// removed; and takes back the notes of those that are clean by now.
///
/// # Errors
/// When the scanner is not there, or the builder keeps nothing.
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

/// Notes bases that were found clean, so that they are not searched again for the same secrets. `values` are the mounts of
/// the values that the probe saw.
///
/// # Errors
/// When the scanner is not there, a value is another one by now, or the builder keeps nothing.
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
