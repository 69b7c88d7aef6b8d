//! The flags of `pbuild bake`, unchecked, as clap reads them.

use std::path::PathBuf;

use clap::Args;
use pcli::arguments::SecretArguments;

use super::build::{ProgressMode, SearchOptions};

/// `pbuild bake`: bake's flags keep bake's spelling and meaning.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct BakeArguments {
    /// The targets and groups to build [default: the target or group `default`]
    #[arg(value_name = "TARGET")]
    pub(crate) targets: Vec<String>,

    /// Where secrets come from, beside those that the targets name.
    #[command(flatten)]
    pub(crate) secrets: SecretArguments,

    /// Show the log of buildx, where buildx itself answers
    #[arg(short = 'D', long, hide = true)]
    pub(crate) debug: bool,

    /// A bake or compose file, or `-` (repeatable)
    ///
    /// `-` is standard input. [default: the files that docker looks for]
    #[arg(short, long = "file", value_name = "FILE", help_heading = "Targets")]
    pub(crate) files: Vec<String>,

    /// Change a value of targets, `PATTERN.KEY=VALUE` (repeatable)
    #[arg(long = "set", value_name = "CHANGE", help_heading = "Targets")]
    pub(crate) changes: Vec<String>,

    /// Set a variable of the files, `NAME=VALUE` (repeatable)
    #[arg(long = "var", value_name = "NAME=VALUE", help_heading = "Targets")]
    pub(crate) variables: Vec<String>,

    /// Print what would be built, and build nothing
    #[arg(long, help_heading = "Look")]
    pub(crate) print: bool,

    /// List targets or variables, and build nothing
    #[arg(long, value_name = "WHAT", help_heading = "Look")]
    pub(crate) list: Option<String>,

    /// Ask about the Dockerfiles instead of building them: `check`, `outline` or `targets`
    #[arg(long, value_name = "METHOD", help_heading = "Look", hide_short_help = true)]
    pub(crate) call: Option<String>,

    /// Check the Dockerfiles and build nothing; short for `--call check`
    #[arg(long, help_heading = "Look")]
    pub(crate) check: bool,

    /// Run every step again
    #[arg(long, help_heading = "Targets")]
    pub(crate) no_cache: bool,

    /// Always ask the registry for newer base images
    #[arg(long, help_heading = "Targets")]
    pub(crate) pull: bool,

    /// Push the images under their names when all of them are clean
    #[arg(long, help_heading = "Result")]
    pub(crate) push: bool,

    /// Put the images into the engine's store
    #[arg(long, help_heading = "Result")]
    pub(crate) load: bool,

    /// Attach provenance to every image: `true`, `false`, `mode=min` or `mode=max`
    #[arg(long, value_name = "OPTIONS", help_heading = "Result", hide_short_help = true)]
    pub(crate) provenance: Option<String>,

    /// Attach a list of its parts to every image: `true`, `false` or `generator=IMAGE`
    #[arg(long, value_name = "OPTIONS", help_heading = "Result", hide_short_help = true)]
    pub(crate) sbom: Option<String>,

    /// Allow the files more than usual: `network.host`, `security.insecure`, `ssh`, `fs.read=PATH`, `fs.write=PATH`,
    /// `fs=PATH` (repeatable)
    #[arg(long = "allow", value_name = "ENTITLEMENT", help_heading = "Result", hide_short_help = true)]
    pub(crate) allowed: Vec<String>,

    /// The builder, as for `pbuild build`
    #[arg(long, value_name = "NAME", help_heading = "Result")]
    pub(crate) builder: Option<String>,

    /// The node of the builder, as for `pbuild build`
    #[arg(long, value_name = "NAME", help_heading = "Result")]
    pub(crate) builder_node: Option<String>,

    /// How to show progress: auto, plain, tty, rawjson, quiet
    ///
    /// [default: BUILDKIT_PROGRESS, else auto]
    #[arg(long, value_enum, value_name = "MODE", hide_possible_values = true, help_heading = "Result")]
    pub(crate) progress: Option<ProgressMode>,

    /// Write what the engine says of each image to this file, as JSON
    #[arg(long, value_name = "FILE", help_heading = "Result", hide_short_help = true)]
    pub(crate) metadata_file: Option<PathBuf>,

    /// How the search goes.
    #[command(flatten)]
    pub(crate) search: SearchOptions,
}
