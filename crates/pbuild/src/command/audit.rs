//! The flags of `pbuild audit`, unchecked, as clap reads them.

use std::path::PathBuf;

use clap::Args;
use pcli::arguments::SecretArguments;

/// `pbuild audit`.
#[derive(Debug, Args)]
#[command(after_help = SOURCES_HELP, override_usage = "pbuild audit [OPTIONS] <IMAGE>")]
#[command(group(clap::ArgGroup::new("source").required(true).args(["image", "archive", "layout", "registry", "directory"])))]
pub(crate) struct AuditArguments {
    /// An image of the engine, or anything of the list below
    #[arg(value_name = "IMAGE")]
    pub(crate) image: Option<String>,

    /// Where secrets come from.
    #[command(flatten)]
    pub(crate) secrets: SecretArguments,

    /// An archive as `docker save` writes it, or an OCI archive, packed or not; `-` reads standard input
    #[arg(long, value_name = "FILE", help_heading = "Sources", hide_short_help = true)]
    pub(crate) archive: Option<PathBuf>,

    /// A folder with an OCI layout; `DIR:NAME` for one image of it
    #[arg(long, value_name = "DIR[:NAME]", help_heading = "Sources", hide_short_help = true)]
    pub(crate) layout: Option<String>,

    /// An image of a registry, without an engine; credentials are docker's own
    #[arg(long, value_name = "REFERENCE", help_heading = "Sources", hide_short_help = true)]
    pub(crate) registry: Option<String>,

    /// A folder with files, such as an unpacked image
    #[arg(long, value_name = "DIR", help_heading = "Sources", hide_short_help = true)]
    pub(crate) directory: Option<PathBuf>,

    /// text, json, sarif, junit or html (repeatable)
    ///
    /// How to report, and where to; without a FILE to standard output. [default: text]
    #[arg(long = "format", value_name = "FORMAT[=FILE]", help_heading = "Reports")]
    pub(crate) formats: Vec<String>,

    /// Also print annotations for GitHub Actions
    #[arg(long, help_heading = "Reports")]
    pub(crate) github: bool,

    /// Print no report for people
    ///
    /// Files of --format are written, and errors shown.
    #[arg(short, long, help_heading = "Reports")]
    pub(crate) quiet: bool,

    /// The Dockerfile of the image, to name its lines
    #[arg(long, value_name = "FILE", help_heading = "Reports")]
    pub(crate) dockerfile: Option<PathBuf>,

    /// Accept the findings that this file knows
    #[arg(long, value_name = "FILE", help_heading = "Baselines")]
    pub(crate) baseline: Option<PathBuf>,

    /// Write a file that accepts today's findings
    #[arg(long, value_name = "FILE", help_heading = "Baselines", hide_short_help = true)]
    pub(crate) write_baseline: Option<PathBuf>,

    /// Accept that this secret of the manifest has no value here, so that nothing searches for it (repeatable)
    #[arg(long, value_name = "NAME", help_heading = "Secrets", hide_short_help = true)]
    pub(crate) allow_missing: Vec<String>,

    /// Search every layer, also those that an earlier audit searched for the same secrets
    #[arg(long, help_heading = "Reports", hide_short_help = true)]
    pub(crate) no_cache: bool,
}

/// The help text about the spellings of sources.
const SOURCES_HELP: &str = "\
IMAGE is one of:
  NAME[:TAG], ID        an image of the engine
  docker-archive:FILE   what `docker save` wrote; `-` is a pipe
  oci-archive:FILE      an OCI archive
  oci:DIR[:NAME]        a folder with an OCI layout
  docker://REFERENCE    an image of a registry
  dir:PATH              a folder with files

Exit codes: 0 clean, 10 leak, 11 not searched whole, 2 usage";
