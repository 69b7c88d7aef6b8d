//! The order of an audit: the one way from the flags of `pbuild audit` to checked types.

use std::path::{Path, PathBuf};

use pcli::resolve::{SecretSources, Strictness};
use pcli::{FindError, FoundManifest, find_manifest};

use super::choices::Tls;
use super::source::{Source, SourceError};
use crate::audit::missing::{Demand, MissingRules};
use crate::audit::output::{ReportError, Reports};
use crate::command::audit::AuditArguments;

/// The order of an audit.
#[derive(Debug)]
pub(crate) struct AuditOrder {
    /// The source of the bytes.
    pub(crate) source: Source,
    /// Where the report goes.
    pub(crate) reports: Reports,
    /// The Dockerfile whose lines the report names.
    pub(crate) dockerfile: Option<PathBuf>,
    /// The file with accepted findings.
    pub(crate) baseline: Option<PathBuf>,
    /// The file that will accept today's findings.
    pub(crate) new_baseline: Option<PathBuf>,
    /// Whether layers are left out that an earlier audit searched.
    pub(crate) memory: LayerMemoryUse,
    /// The names of declared secrets that need no value.
    pub(crate) allowed_missing: Vec<String>,
    /// The manifest, where there is one.
    pub(crate) manifest: Option<FoundManifest>,
    /// Where the values of the secrets come from.
    pub(crate) sources: SecretSources,
    /// Whether the way to the engine must be encrypted.
    pub(crate) tls: Tls,
}

/// Whether an audit leaves out layers that an earlier one searched for the same secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LayerMemoryUse {
    /// The memory is used.
    Used,
    /// Every layer is searched (`--no-cache`).
    Ignored,
}

/// Why an audit cannot be ordered like this.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuditOrderError {
    /// The manifest.
    #[error(transparent)]
    Manifest(#[from] FindError),
    /// The source.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A report.
    #[error(transparent)]
    Report(#[from] ReportError),
}

/// Turns the flags into an audit.
///
/// # Errors
/// [`AuditOrderError`] names the flag or the file to change.
pub(crate) fn parse(arguments: &AuditArguments) -> Result<AuditOrder, AuditOrderError> {
    Ok(AuditOrder {
        manifest: find_manifest(arguments.secrets.config.as_deref(), &[Path::new(".")])?,
        reports: Reports::parse(&arguments.formats, arguments.quiet, arguments.github)?,
        source: Source::parse(arguments)?,
        dockerfile: arguments.dockerfile.clone(),
        baseline: arguments.baseline.clone(),
        new_baseline: arguments.write_baseline.clone(),
        memory: if arguments.no_cache { LayerMemoryUse::Ignored } else { LayerMemoryUse::Used },
        allowed_missing: arguments.allow_missing.clone(),
        sources: arguments.secrets.sources(psecret::Dialect::Dotenv),
        tls: Tls::of_flag(arguments.secrets.require_tls),
    })
}

impl AuditOrder {
    /// Returns the rules of this audit for declared secrets without a value.
    pub(crate) fn missing_rules(&self) -> MissingRules<'_> {
        let demand = match self.sources.strictness {
            Strictness::Strict => Demand::All,
            Strictness::Lenient => Demand::Build,
        };
        MissingRules { allowed: &self.allowed_missing, demand }
    }

    /// Whether every secret must be searched for in every form and place.
    pub(crate) fn is_strict(&self) -> bool {
        self.sources.strictness == Strictness::Strict
    }
}
