//! The order of an audit: turns the flags of `pbuild audit` into checked types.

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
    /// The formats and the files of the report.
    pub(crate) reports: Reports,
    /// The Dockerfile in which the report looks up lines.
    pub(crate) dockerfile: Option<PathBuf>,
    /// The file with accepted findings.
    pub(crate) baseline: Option<PathBuf>,
    /// The file that is written to accept the findings of this audit.
    pub(crate) new_baseline: Option<PathBuf>,
    /// Whether the audit leaves out layers that an earlier audit found clean.
    pub(crate) memory: LayerMemoryUse,
    /// The names of declared secrets that need no value.
    pub(crate) allowed_missing: Vec<String>,
    /// The manifest, if there is one.
    pub(crate) manifest: Option<FoundManifest>,
    /// The sources of the secrets' values.
    pub(crate) sources: SecretSources,
    /// Whether the connection to the engine must be encrypted.
    pub(crate) tls: Tls,
}

/// Whether an audit leaves out layers that an earlier audit found clean for the same secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LayerMemoryUse {
    /// Layers that are known as clean are left out.
    Used,
    /// Every layer is searched (`--no-cache`).
    Ignored,
}

/// The reasons why the flags are not a valid order.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuditOrderError {
    /// The manifest cannot be found or read.
    #[error(transparent)]
    Manifest(#[from] FindError),
    /// The source is wrong.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The format of a report is wrong.
    #[error(transparent)]
    Report(#[from] ReportError),
}

/// Turns the flags into the order of an audit.
///
/// # Errors
/// Returns an [`AuditOrderError`] that names the flag or the file to change.
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

    /// Returns whether every secret must be searched for in every form and place.
    pub(crate) fn is_strict(&self) -> bool {
        self.sources.strictness == Strictness::Strict
    }
}
