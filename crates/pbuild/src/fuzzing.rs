//! The readers of text that strangers write, for the fuzz targets of `pfuzz` and for nobody else.
//!
//! Their modules are private, so that the compiler finds what nobody calls. Each function here hands bytes to the code
//! that a build, an audit or a first hour runs, and returns plain values; none does work of its own.

use std::collections::BTreeMap;

use crate::audit::registry::client::Challenge;
use crate::command::build::{AttestationOptions, CacheOptions};
use crate::files::dockerfile::Dockerfile;
use crate::new;
use crate::new::interpolation::Interpolated;
use crate::plan::{Attestations, Caches, comma_separated};

/// Reads a Dockerfile: the character that continues its lines, and its instructions, each with the line that it begins
/// in.
#[must_use]
pub fn dockerfile(bytes: &[u8]) -> (char, Vec<(usize, String)>) {
    let Dockerfile { escape, instructions } = Dockerfile::read(bytes);
    (escape, instructions.into_iter().map(|instruction| (instruction.line, instruction.text)).collect())
}

/// Writes the manifest that `pbuild new` would for a project of these files.
///
/// # Errors
/// The name of the file that cannot be read.
pub fn manifest(dockerfile: &str, env_file: &[u8], compose: &str) -> Result<String, &'static str> {
    new::draft_of(dockerfile, env_file, compose)
}

/// Fills in the defaults of the variables in a text of a compose file; `None` where a variable has no default, or a
/// value by `has_value`.
#[must_use]
pub fn interpolated(text: &str, has_value: &dyn Fn(&str) -> bool) -> Option<String> {
    Interpolated::read(text).plain(has_value)
}

/// Splits comma-separated values into fields; `None` where a quote stands where none may.
#[must_use]
pub fn fields(text: &str) -> Option<Vec<String>> {
    comma_separated::fields(text)
}

/// Writes a field as it stands among others.
#[must_use]
pub fn field(text: &str) -> String {
    comma_separated::field(text)
}

/// Reads these values of `--attest`, `--provenance`, `--sbom` and `--cache-to`, and returns the attributes that
/// BuildKit gets for those that are valid.
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

/// Parses the challenges of one `WWW-Authenticate` header of a registry: scheme and parameters.
#[must_use]
pub fn challenges(header: &str) -> Vec<(String, Vec<(String, String)>)> {
    Challenge::parse(header).into_iter().map(|challenge| (challenge.scheme, challenge.parameters)).collect()
}
