//! The parsers of text that strangers write, for the fuzz targets of `pfuzz` only.
//!
//! The parsers' modules are private, so that the compiler reports unused functions. Each function of this module
//! passes bytes to the code that a build, an audit or `pbuild new` runs, and returns plain values.

use std::collections::BTreeMap;

use crate::audit::registry::client::Challenge;
use crate::command::build::{AttestationOptions, CacheOptions};
use crate::files::dockerfile::Dockerfile;
use crate::new;
use crate::new::interpolation::Interpolated;
use crate::plan::{Attestations, Caches, comma_separated};

/// Reads a Dockerfile. Returns the character that continues its lines, and its instructions, each with the number of
/// its first line.
#[must_use]
pub fn dockerfile(bytes: &[u8]) -> (char, Vec<(usize, String)>) {
    let Dockerfile { escape, instructions } = Dockerfile::read(bytes);
    (escape, instructions.into_iter().map(|instruction| (instruction.line, instruction.text)).collect())
}

/// Writes the manifest that `pbuild new` would write for a project of these files.
///
/// # Errors
/// Returns the name of the file that cannot be read.
pub fn manifest(dockerfile: &str, env_file: &[u8], compose: &str) -> Result<String, &'static str> {
    new::draft_of(dockerfile, env_file, compose)
}

/// Fills in the defaults of the variables in a text of a compose file. Returns `None` if a variable has no default,
/// or if `has_value` reports a value for it.
#[must_use]
pub fn interpolated(text: &str, has_value: &dyn Fn(&str) -> bool) -> Option<String> {
    Interpolated::read(text).plain(has_value)
}

/// Splits comma-separated values into fields. Returns `None` if a quote is in a place where it is not allowed.
#[must_use]
pub fn fields(text: &str) -> Option<Vec<String>> {
    comma_separated::fields(text)
}

/// Writes a field with the quotes that it needs in a comma-separated list.
#[must_use]
pub fn field(text: &str) -> String {
    comma_separated::field(text)
}

/// Reads these values as `--attest`, `--provenance`, `--sbom` and `--cache-to`, and returns the attributes that
/// BuildKit gets for the valid ones.
#[must_use]
pub fn attributes(text: &str) -> Vec<BTreeMap<String, String>> {
    let attest = AttestationOptions { attestations: vec![text.to_owned()], ..Default::default() };
    let short =
        AttestationOptions { provenance: Some(text.to_owned()), sbom: Some(text.to_owned()), ..Default::default() };
    let cache = CacheOptions { cache_to: vec![text.to_owned()], ..Default::default() };
    let attestations = [attest, short].into_iter().filter_map(|options| Attestations::parse(&options).ok());
    let caches = Caches::parse(&cache, &BTreeMap::new(), |_| None).ok();
    let caches = caches.map(|caches| caches.attributes().map(|(name, value)| (name.clone(), value.clone())).collect());
    attestations.map(|attestations| attestations.attributes().clone()).chain(caches).collect()
}

/// Parses the challenges of one `WWW-Authenticate` header of a registry. Returns the scheme and the parameters of
/// each.
#[must_use]
pub fn challenges(header: &str) -> Vec<(String, Vec<(String, String)>)> {
    Challenge::parse(header).into_iter().map(|challenge| (challenge.scheme, challenge.parameters)).collect()
}
