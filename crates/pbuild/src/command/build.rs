//! The flags of `pbuild build`, unchecked, as clap reads them.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use pcli::arguments::SecretArguments;

use super::ignored::IgnoredOptions;

/// `pbuild build`: docker's flags keep docker's spelling and meaning.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct BuildArguments {
    /// What COPY and ADD read from: a folder, a URL, or `-`
    ///
    /// A git or http URL; `-` is a Dockerfile or a tar archive on standard input.
    #[arg(value_name = "PATH | URL | -")]
    pub(crate) context: String,

    /// Where secrets come from.
    #[command(flatten)]
    pub(crate) secrets: SecretArguments,

    /// Name the image, `NAME[:TAG]` (repeatable)
    ///
    /// [default: `image` of the manifest]
    #[arg(short, long = "tag", value_name = "NAME", help_heading = "Image")]
    pub(crate) tags: Vec<String>,

    /// Which build is meant.
    #[command(flatten)]
    pub(crate) recipe: RecipeArguments,

    /// Set a label on the image (repeatable)
    #[arg(long = "label", value_name = "NAME=VALUE", help_heading = "Image", hide_short_help = true)]
    pub(crate) labels: Vec<String>,

    /// Build for this platform, such as linux/arm64
    ///
    /// Repeatable, or between commas. [default: DOCKER_DEFAULT_PLATFORM, else the builder's own]
    #[arg(long = "platform", value_name = "PLATFORM", value_delimiter = ',', help_heading = "Image")]
    pub(crate) platforms: Vec<String>,

    /// Run every step again
    #[arg(long, help_heading = "Image")]
    pub(crate) no_cache: bool,

    /// Ask the registry for newer base images
    #[arg(long, help_heading = "Image")]
    pub(crate) pull: bool,

    /// The network of RUN steps: `default`, `none` or `host`
    #[arg(long, value_name = "MODE", help_heading = "Steps", hide_short_help = true)]
    pub(crate) network: Option<String>,

    /// A line for /etc/hosts of RUN steps, `NAME:IP` or `NAME=IP` (repeatable, or between commas)
    #[arg(
        long = "add-host",
        value_name = "NAME:IP",
        value_delimiter = ',',
        help_heading = "Steps",
        hide_short_help = true
    )]
    pub(crate) extra_hosts: Vec<String>,

    /// How steps run, and what else they can read.
    #[command(flatten)]
    pub(crate) steps: StepOptions,

    /// An SSH agent for steps that mount one
    ///
    /// `default`, which is the one of SSH_AUTH_SOCK, `ID=SOCKET`, or `ID=KEY[,KEY…]` for an agent of the build's own with these keys
    /// (repeatable).
    #[arg(long, value_name = "ID[=SOCKET|KEY]", help_heading = "Secrets")]
    pub(crate) ssh: Vec<String>,

    /// The builder [default: the one of `docker buildx use`]
    ///
    /// One of `docker buildx create`, a docker context, or an address (tcp://, unix://, docker-container://). BUILDX_BUILDER names
    /// another default.
    #[arg(long, value_name = "NAME", help_heading = "Result")]
    pub(crate) builder: Option<String>,

    /// The one node of the builder that builds everything [default: for each platform a node that has it]
    #[arg(long, value_name = "NAME", help_heading = "Result")]
    pub(crate) builder_node: Option<String>,

    /// How to show progress: auto, plain, tty, rawjson, quiet
    ///
    /// `auto` is `tty` on a terminal, which redraws the running part, and `plain` elsewhere, one line for each fact. `rawjson` prints the
    /// events of BuildKit, one object on a line, with secrets masked; `quiet` the image ID alone. [default: BUILDKIT_PROGRESS, else auto]
    #[arg(long, value_enum, value_name = "MODE", help_heading = "Result", hide_possible_values = true)]
    pub(crate) progress: Option<ProgressMode>,

    /// Print the image ID and nothing else
    #[arg(short, long, help_heading = "Result")]
    pub(crate) quiet: bool,

    /// Write the image ID to this file
    #[arg(long, value_name = "FILE", help_heading = "Result", hide_short_help = true)]
    pub(crate) iidfile: Option<PathBuf>,

    /// Write what the engine says of the image to this file, as JSON
    #[arg(long, value_name = "FILE", help_heading = "Result", hide_short_help = true)]
    pub(crate) metadata_file: Option<PathBuf>,

    /// Where the result goes.
    #[command(flatten)]
    pub(crate) output: OutputOptions,

    /// The documents that are attached to the image.
    #[command(flatten)]
    pub(crate) attestations: AttestationOptions,

    /// Caches beside the engine's own.
    #[command(flatten)]
    pub(crate) caches: CacheOptions,

    /// Questions about the Dockerfile.
    #[command(flatten)]
    pub(crate) call: CallOptions,

    /// Flags of docker that BuildKit has no use for.
    #[command(flatten)]
    pub(crate) ignored: IgnoredOptions,

    /// How the search goes.
    #[command(flatten)]
    pub(crate) search: SearchOptions,
}

/// The course of the search, and what it accepts.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct SearchOptions {
    /// Accept that a file of the context holds this secret; the layers are searched all the same (repeatable)
    #[arg(long, value_name = "NAME", help_heading = "Secrets", hide_short_help = true)]
    pub(crate) allow_context_leak: Vec<String>,

    /// Let this frontend image (`# syntax=`) have the secrets (repeatable)
    #[arg(long, value_name = "IMAGE", help_heading = "Secrets", hide_short_help = true)]
    pub(crate) allow_frontend: Vec<String>,

    /// How the base image is searched: `merged` or `full`
    ///
    /// `merged`: the files that a container of the base would see, inside the builder, once for each base and set of secrets. `full`: with
    /// the files that its upper layers hide, by exporting the whole image without a name.
    #[arg(
        long,
        value_enum,
        value_name = "MODE",
        default_value_t = AuditBase::Merged,
        help_heading = "Secrets",
        hide_possible_values = true,
        hide_short_help = true
    )]
    pub(crate) audit_base: AuditBase,

    /// Keep the cache records of a leaking build, to look into them
    #[arg(long, help_heading = "Secrets", hide_short_help = true)]
    pub(crate) keep_leaked_cache: bool,
}

/// The flags that choose a build: the Dockerfile, its stage and its arguments.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct RecipeArguments {
    /// The Dockerfile; `-` is standard input [default: PATH/Dockerfile]
    #[arg(short, long, value_name = "FILE", help_heading = "Image")]
    pub(crate) file: Option<String>,

    /// Build up to this stage
    #[arg(long, value_name = "STAGE", help_heading = "Image")]
    pub(crate) target: Option<String>,

    /// Set a build argument, which is public
    ///
    /// Without a value it comes from the environment (repeatable). A value of a secret is refused: build arguments end up in the history.
    #[arg(long = "build-arg", value_name = "NAME[=VALUE]", help_heading = "Image")]
    pub(crate) build_arguments: Vec<String>,
}

/// Flags that become frontend attributes, and say nothing about secrets.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct StepOptions {
    /// Run the steps of these stages again (repeatable, or between commas)
    #[arg(
        long = "no-cache-filter",
        value_name = "STAGE",
        value_delimiter = ',',
        conflicts_with = "no_cache",
        help_heading = "Steps",
        hide_short_help = true
    )]
    pub(crate) no_cache_filters: Vec<String>,

    /// A further context for FROM, COPY --from and mounts: a directory, a git or http URL, `docker-image://NAME`, or
    /// `oci-layout://FOLDER[:TAG][@DIGEST]`
    /// (repeatable)
    #[arg(long = "build-context", value_name = "NAME=SOURCE", help_heading = "Steps", hide_short_help = true)]
    pub(crate) contexts: Vec<String>,

    /// The size of /dev/shm in RUN steps: bytes, or with b, k, m, g
    #[arg(long, value_name = "SIZE", help_heading = "Steps", hide_short_help = true)]
    pub(crate) shm_size: Option<String>,

    /// A limit of RUN steps, `NAME=SOFT[:HARD]` (repeatable)
    #[arg(long = "ulimit", value_name = "LIMIT", help_heading = "Steps", hide_short_help = true)]
    pub(crate) ulimits: Vec<String>,

    /// The parent cgroup of RUN steps
    #[arg(long, value_name = "PATH", help_heading = "Steps", hide_short_help = true)]
    pub(crate) cgroup_parent: Option<String>,

    /// Allow the build more than usual: `network.host`, `security.insecure`, `device` (repeatable)
    #[arg(long = "allow", value_name = "ENTITLEMENT", help_heading = "Steps", hide_short_help = true)]
    pub(crate) entitlements: Vec<String>,
}

/// Flags of where the result goes.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct OutputOptions {
    /// Where the result goes [default: the engine's store]
    ///
    /// A folder, `-` for a tar on standard output, or `type=TYPE[,dest=PATH][,NAME=VALUE…]` with `image`, `docker`, `oci`, `tar`,
    /// `local`, `registry` or `cacheonly` (repeatable).
    #[arg(short, long = "output", value_name = "DEST", help_heading = "Result")]
    pub(crate) outputs: Vec<String>,

    /// Push the image under its names if it is clean
    ///
    /// Short for `--output type=registry`.
    #[arg(long, help_heading = "Result")]
    pub(crate) push: bool,

    /// Put the image into the engine's store
    ///
    /// That is what happens without --output. Short for `--output type=docker`.
    #[arg(long, help_heading = "Result")]
    pub(crate) load: bool,
}

/// Flags of attestations and annotations.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct AttestationOptions {
    /// Attach an attestation, `type=sbom` or `type=provenance` with `NAME=VALUE` pairs (repeatable)
    #[arg(long = "attest", value_name = "ATTESTATION", help_heading = "Attestations", hide_short_help = true)]
    pub(crate) attestations: Vec<String>,

    /// Attach provenance: `true`, `false`, `mode=min` or `mode=max`; short for `--attest type=provenance`
    #[arg(long, value_name = "OPTIONS", help_heading = "Attestations", hide_short_help = true)]
    pub(crate) provenance: Option<String>,

    /// Attach a list of the image's parts: `true`, `false` or `generator=IMAGE`; short for `--attest type=sbom`
    #[arg(long, value_name = "OPTIONS", help_heading = "Attestations", hide_short_help = true)]
    pub(crate) sbom: Option<String>,

    /// Annotate the image, `[TYPE[,TYPE]:]NAME=VALUE` with `manifest`, `index`, `manifest-descriptor` or
    /// `index-descriptor` (repeatable)
    #[arg(long = "annotation", value_name = "ANNOTATION", help_heading = "Attestations", hide_short_help = true)]
    pub(crate) annotations: Vec<String>,
}

/// Flags of caches.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct CacheOptions {
    /// A cache to read (repeatable)
    ///
    /// The name of an image, or `type=TYPE` with NAME=VALUE pairs: `registry`, `local`, `gha`, `s3`, `azblob`.
    #[arg(long, value_name = "SOURCE", help_heading = "Caches")]
    pub(crate) cache_from: Vec<String>,

    /// Where to write the build's cache (repeatable)
    ///
    /// The name of an image, or `type=TYPE` with NAME=VALUE pairs: `inline`, `registry`, `local`, `s3`, and without secrets `gha`,
    /// `azblob`.
    #[arg(long, value_name = "DEST", help_heading = "Caches")]
    pub(crate) cache_to: Vec<String>,
}

/// Flags of questions.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct CallOptions {
    /// Ask about the Dockerfile instead of building it: `check`, `outline` or `targets`, with `,format=json` for JSON
    #[arg(long, alias = "print", value_name = "METHOD", help_heading = "Result", hide_short_help = true)]
    pub(crate) call: Option<String>,

    /// Check the Dockerfile and build nothing; short for `--call check`
    #[arg(long, help_heading = "Result")]
    pub(crate) check: bool,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressMode {
    /// `tty` on a terminal, `plain` elsewhere
    #[default]
    Auto,
    /// One line for each fact, in order
    Plain,
    /// Redraws the running part
    Tty,
    /// One JSON object for each event, as BuildKit sends them, with secrets masked
    Rawjson,
    /// Nothing but the image ID
    Quiet,
    /// Nothing
    #[value(hide = true)]
    None,
}

impl ProgressMode {
    /// Finds the mode with this name, in the spelling of the flag.
    pub(crate) fn of_word(word: &str) -> Option<Self> {
        Self::from_str(word, true).ok()
    }

    /// Returns the mode's name, in the spelling of docker's client.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Plain => "plain",
            Self::Tty => "tty",
            Self::Rawjson => "rawjson",
            Self::Quiet => "quiet",
            Self::None => "none",
        }
    }
}

/// How much of the base image is searched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum AuditBase {
    /// The files that a container of the base would see; searched inside the builder
    #[default]
    Merged,
    /// Every layer of the base; the built image is exported and searched whole
    Full,
}
