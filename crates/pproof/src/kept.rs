//! What the builder keeps for everybody who builds there, beyond the end of a build.

use pgateway::{Bridge, CacheMount, Mount};
use plook::kept::KeyBytes;
use plook::program::Work;
use plook::wire;
use zeroize::Zeroizing;

use crate::gate::scanner::{Scanner, ScannerFailure, exchange};

/// The folder's name in the builder. Without a slash no Dockerfile reaches it: BuildKit puts one into every id of a
/// Dockerfile's (`convert_runmount.go`). Every client of the builder reaches it, and the builder's garbage collection takes
/// what was not used for two days, so that nothing there may ever make a finding clean.
const ID: &str = "pbuild";

/// The folder, as a mount of the scanner's container.
#[must_use]
pub fn kept() -> Mount {
    Mount::Cache(CacheMount { id: ID.to_owned(), at: plook::KEPT.to_owned() })
}

/// The key under which everybody who builds there makes digests of values. Where the builder has none, it keeps the one that is
/// offered, else a new one. `None` when it keeps nothing.
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
