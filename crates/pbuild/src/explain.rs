//! Turns each error into the words, the help and the exit code for a person, with one match for each enum.

use pbuildkit::BuildkitError;
use pcli::FindError;
use pengine::EngineError;
use pimage::LayoutError;
use pscreen::{Diagnostic, Exit};

use crate::advise::{LookEnd, RewriteError};
use crate::audit::AuditError;
use crate::audit::baseline::{BaselineError, BaselineProblem};
use crate::audit::dockerfile::DockerfileError;
use crate::audit::output::{Format, FormatProblem, ReportError};
use crate::audit::registry::{RegistryError, RegistryFailure};
use crate::audit::source::SourceReadError;
use crate::build::quoted;
use crate::buildx::BuildxError;
use crate::doctor::DoctorError;
use crate::edge::Explain;
use crate::files::coverage::IgnoreFileError;
use crate::install::{ConfigError, InstallError};
use crate::new::{NewError, OpenEnvFiles};
use crate::output::OutputError;
use crate::plan::ssh::SshError;
use crate::plan::{
    AdviseOrderError, AuditOrderError, BakeError, CacheError, DefinitionError, EntitlementError, ExtrasError,
    OrderError, PlanError, StepOptionError,
};
use crate::secrets::SecretsError;

/// Other crates of the workspace have already explained some of their errors.
impl Explain for Diagnostic {
    fn explain(&self) -> Diagnostic {
        self.clone()
    }
}

impl Explain for FindError {
    fn explain(&self) -> Diagnostic {
        self.diagnostic()
    }
}

impl Explain for InstallError {
    fn explain(&self) -> Diagnostic {
        let usage = Diagnostic::from_error(self, Exit::Usage);
        match self {
            Self::NoFolder => usage.help("set HOME, or DOCKER_CONFIG"),
            Self::Before { .. } => usage
                .note("docker looks into `cliPluginsExtraDirs` of its config.json first")
                .help("take it out of that folder"),
            Self::Config(error) => error.explain(),
            Self::File { .. } => Diagnostic::from_error(self, Exit::Failed),
        }
    }
}

impl Explain for ConfigError {
    fn explain(&self) -> Diagnostic {
        match self {
            Self::Form { .. } => Diagnostic::from_error(self, Exit::Usage)
                .help("repair the file or move it away; docker works without it"),
            Self::File { .. } => Diagnostic::from_error(self, Exit::Failed),
        }
    }
}

impl Explain for OrderError {
    fn explain(&self) -> Diagnostic {
        match self {
            Self::Plan(error) => error.explain(),
            Self::Manifest(error) => error.explain(),
            Self::Output(error) => error.explain(),
            Self::Ssh(error) => error.explain(),
            Self::Progress(_) | Self::Question(_) | Self::Name(_) => Diagnostic::from_error(self, Exit::Usage),
        }
    }
}

impl Explain for BuildxError {
    fn explain(&self) -> Diagnostic {
        match self {
            Self::Absent { folders } => {
                let folders: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
                Diagnostic::from_error(self, Exit::Usage)
                    .note(format!("looked in {}", folders.join(", ")))
                    .help("install docker's buildx plugin: pbuild uses it to read bake files and to run every command other than a build")
            }
            Self::Circle => Diagnostic::from_error(self, Exit::Usage)
                .help("run `pbuild install --buildx` again, with the pbuild that is to stay"),
            Self::Start { .. } => Diagnostic::from_error(self, Exit::Failed),
            Self::Failed { said } => Diagnostic::from_error(self, Exit::Usage).note(quoted(said)),
        }
    }
}

impl Explain for BakeError {
    fn explain(&self) -> Diagnostic {
        match self {
            Self::Progress(_) => Diagnostic::from_error(self, Exit::Usage),
            Self::Definition(error) => error.explain(),
            Self::Permission(error) => error.explain(),
            Self::Target { target, source } => source.explain().note(format!("in target {target} of the bake file")),
        }
    }
}

impl Explain for DefinitionError {
    fn explain(&self) -> Diagnostic {
        let diagnostic = Diagnostic::from_error(self, Exit::Usage);
        match self {
            Self::Json(_) => diagnostic.help("`docker buildx bake --print` shows it"),
            Self::Unknown { .. } => diagnostic.help("leave it out: ignoring it would build something else"),
            Self::RemoteFolder { .. } => diagnostic.help(
                "folders can be taken from a git repository, as in `pbuild bake https://host/repository.git#branch`; `cwd://FOLDER` \
                 is a folder here",
            ),
            Self::RemoteDockerfile { .. } => diagnostic.help("name a file of the context"),
            Self::Nothing | Self::Kind { .. } | Self::Absent { .. } | Self::Circle { .. } => diagnostic,
        }
    }
}

impl Explain for EntitlementError {
    fn explain(&self) -> Diagnostic {
        let diagnostic = Diagnostic::from_error(self, Exit::Usage);
        match self {
            Self::Missing { flags } => {
                diagnostic.help(format!("if you trust the file, allow it: pbuild bake {}", flags.join(" ")))
            }
            Self::Unknown(_) => diagnostic,
        }
    }
}

impl Explain for PlanError {
    fn explain(&self) -> Diagnostic {
        let diagnostic = Diagnostic::from_error(self, Exit::Usage);
        match self {
            Self::ContextMissing { .. } | Self::ContextNotDirectory { .. } => {
                diagnostic.help("name the directory that holds the files to copy, for example `pbuild build .`")
            }
            Self::ContextOfManifest { manifest, .. } => diagnostic.help(format!(
                "change `context` below [build] of {}, or name the folder: `pbuild build FOLDER --config {}`",
                manifest.display(),
                manifest.display()
            )),
            Self::InputTwice => {
                diagnostic.help("put the Dockerfile into the archive, or name a directory as the context")
            }
            Self::InputEmpty => diagnostic
                .help("write a Dockerfile to it, or an archive, or build a directory, for example `pbuild build .`"),
            Self::DockerfileTwice { .. } => {
                diagnostic.help("leave -f out, or name a context that is no standard input")
            }
            Self::Step(StepOptionError::ContextKind { .. }) => {
                diagnostic.help("a target of a bake file is known to `pbuild bake` alone")
            }
            Self::DockerfileMissing { .. } => diagnostic.help("name the Dockerfile with -f FILE"),
            Self::Network { .. } => diagnostic.help("use --add-host to reach a service by name"),
            Self::Tag(_) => {
                diagnostic.help("a name is [HOST/]NAME[:TAG], in lower case, such as registry.example/shop:1.4")
            }
            Self::DockerfileUnreadable { .. }
            | Self::BuildArgument
            | Self::Input { .. }
            | Self::Step(_)
            | Self::SourcePolicy(_)
            | Self::Label
            | Self::ExtraHost { .. } => diagnostic,
        }
    }
}

impl Explain for IgnoreFileError {
    fn explain(&self) -> Diagnostic {
        Diagnostic::from_error(self, Exit::Usage)
    }
}

impl Explain for ExtrasError {
    fn explain(&self) -> Diagnostic {
        match self {
            Self::Attestation(error) => Diagnostic::from_error(error, Exit::Usage),
            Self::Cache(error) => error.explain(),
        }
    }
}

impl Explain for CacheError {
    fn explain(&self) -> Diagnostic {
        let diagnostic = Diagnostic::from_error(self, Exit::Usage);
        match self {
            Self::Unsearched { .. } => diagnostic
                .note("only BuildKit can write this type of cache, and it writes it before pbuild has searched it")
                .help("use type=registry, type=local or type=s3, which pbuild searches first, or type=inline, which is searched as part of the image"),
            Self::Attribute { .. } => {
                diagnostic.help("leave it out: this tool itself writes the cache, when it has been searched")
            }
            Self::Reference { .. } => {
                diagnostic.help("write the name of an image, such as registry.example/shop:cache")
            }
            Self::Format { .. } | Self::NoFolder { .. } | Self::NoReference | Self::Bucket { .. } => diagnostic,
        }
    }
}

impl Explain for SshError {
    fn explain(&self) -> Diagnostic {
        let diagnostic = Diagnostic::from_error(self, Exit::Usage);
        match self {
            Self::NoAgent { .. } => {
                diagnostic.help("start one: `eval $(ssh-agent) && ssh-add`, or name its socket or a key: --ssh ID=PATH")
            }
            Self::Start { .. } => diagnostic.help("keys need OpenSSH's ssh-agent and ssh-add on this machine"),
            Self::Key { id, said, .. } => diagnostic.note(said.clone()).help(format!(
                "a key with a passphrase is asked for at a terminal; elsewhere put it into an agent first: `ssh-add KEY`, then --ssh {id}"
            )),
            Self::Neither { .. } | Self::Unreadable { .. } | Self::Twice { .. } => diagnostic,
        }
    }
}

impl Explain for OutputError {
    fn explain(&self) -> Diagnostic {
        match self {
            Self::Search { place, source } => {
                Diagnostic::from_error(source, Exit::Failed).note(format!("while searching --output {place}"))
            }
            Self::Write { place, source } => {
                Diagnostic::from_error(source, Exit::Failed).note(format!("while writing --output {place}"))
            }
            Self::Format(_)
            | Self::Kind(_)
            | Self::NoKind(_)
            | Self::NoDestination(_)
            | Self::NotToOutput(_)
            | Self::Terminal(_)
            | Self::OutputTwice
            | Self::Destination { .. }
            | Self::NoName
            | Self::NoStore(_)
            | Self::NotJoined(_)
            | Self::ByDigest => Diagnostic::from_error(self, Exit::Usage),
        }
    }
}

impl Explain for EngineError {
    fn explain(&self) -> Diagnostic {
        let exit = if self.is_usage() { Exit::Usage } else { Exit::EngineUnreachable };
        let diagnostic = Diagnostic::from_error(self, exit);
        match self.help() {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        }
    }
}

impl Explain for BuildkitError {
    fn explain(&self) -> Diagnostic {
        match self {
            Self::Engine(EngineError::UpgradeRefused { .. }) => Diagnostic::from_error(self, Exit::Failed)
                .note("the engine has no BuildKit, or does not let clients reach it")
                .help("Docker 20.10 or newer has it"),
            Self::Podman { .. } => Diagnostic::from_error(self, Exit::Failed)
                .note("Podman builds with Buildah, which gives no step a secret as a variable and lets nobody search before the tag")
                .help("name a Docker Engine with DOCKER_HOST or `docker context use`; `pbuild audit` works with Podman's images"),
            Self::Engine(error) => error.explain(),
            Self::NoAnswer { .. } => Diagnostic::from_error(self, Exit::EngineUnreachable)
                .help("check its address and its certificates; `docker buildx inspect` shows them"),
            Self::Lost { .. } => Diagnostic::from_error(self, Exit::Failed)
                .note("the state of the build is unknown; no image was tagged, and none is proven"),
            Self::Refused { source } => {
                Diagnostic::error(self.to_string(), Exit::Failed).note(quoted(&source.to_string()))
            }
            Self::TooOld { .. } => Diagnostic::from_error(self, Exit::Failed)
                .note("it would build without it, so nothing was built")
                .help("Docker 23 or newer has it"),
            Self::Unexpected { .. } => Diagnostic::from_error(self, Exit::Failed),
        }
    }
}

impl Explain for SecretsError {
    fn explain(&self) -> Diagnostic {
        match self {
            Self::Resolve(error) => error.diagnostic(),
            Self::Key(error) => error.diagnostic(),
            Self::Masks(error) => Diagnostic::from_error(error, Exit::Usage),
            Self::Needles(error) => Diagnostic::from_error(error, Exit::Usage),
            Self::NotSearchable(names) => {
                Diagnostic::error("none of the secrets can be searched for, so nothing could be proven", Exit::Usage)
                    .note(names.join(", "))
                    .help("use values of 8 characters or more, or declare public values in [env] of app.toml")
            }
        }
    }
}

impl Explain for AuditOrderError {
    fn explain(&self) -> Diagnostic {
        match self {
            Self::Manifest(error) => error.explain(),
            Self::Source(_) => Diagnostic::from_error(self, Exit::Usage),
            Self::Report(error) => error.explain(),
        }
    }
}

impl Explain for ReportError {
    fn explain(&self) -> Diagnostic {
        match self {
            Self::Format { problem, .. } => {
                let diagnostic = Diagnostic::from_error(self, Exit::Usage);
                match problem {
                    FormatProblem::Unknown => {
                        let known: Vec<&str> = Format::ALL.iter().map(|(name, _)| *name).collect();
                        diagnostic.help(format!("use one of {}", known.join(", ")))
                    }
                    FormatProblem::StandardOutputTwice => {
                        diagnostic.help("give all but one a file, as in --format sarif=leaks.sarif")
                    }
                    FormatProblem::NoFile | FormatProblem::FileTwice => diagnostic,
                }
            }
            Self::Write { .. } => {
                Diagnostic::error(self.to_string(), Exit::Failed).help("--format FORMAT=FILE names it")
            }
        }
    }
}

impl Explain for AuditError {
    fn explain(&self) -> Diagnostic {
        match self {
            Self::NoSecrets => {
                Diagnostic::error("there is no secret to search for, so nothing could be proven", Exit::Usage).help(
                    "give the values with --secret, --env-file or app.toml; values of 8 characters or more are searched for",
                )
            }
            Self::NoImage(name) => Diagnostic::error(format!("the engine has no image {name}"), Exit::Failed)
                .help("`docker images` lists what it has; docker://NAME searches a registry's, docker-archive:FILE a file"),
            Self::Engine { name, source } => {
                Diagnostic::from_error(source, Exit::Failed).note(format!("while asking the engine for image {name}"))
            }
            Self::Scan(error) => Diagnostic::from_error(error, Exit::Usage),
            Self::EndedEarly => {
                Diagnostic::error("the search ended early, so nothing is proven", Exit::Incomplete)
            }
        }
    }
}

impl Explain for SourceReadError {
    fn explain(&self) -> Diagnostic {
        match self {
            Self::Archive { path, source } => Diagnostic::error(
                format!("failed to read the archive {}", path.display()),
                Exit::Usage,
            )
            .note(source.to_string())
            .help(
                "`docker save IMAGE -o FILE` writes one; an image of the engine is named as it is: pbuild audit IMAGE",
            ),
            Self::NotAnArchive { path } => {
                Diagnostic::error(format!("{}: a directory, not an archive", path.display()), Exit::Usage)
                    .help(format!("oci:{0} searches it as an OCI layout, dir:{0} as files", path.display()))
            }
            Self::Folder { path, source } => {
                Diagnostic::from_error(source, Exit::Usage).note(format!("while reading the folder {}", path.display()))
            }
            Self::Layout { path, error } => {
                let diagnostic = Diagnostic::error(format!("{}: {error}", path.display()), Exit::Usage);
                match error {
                    LayoutError::NotALayout => {
                        diagnostic.help(format!("dir:{} searches it as a folder with files", path.display()))
                    }
                    LayoutError::Io(_) | LayoutError::NoSuchImage(_) => diagnostic,
                }
            }
        }
    }
}

impl Explain for DockerfileError {
    fn explain(&self) -> Diagnostic {
        let Self { path, source } = self;
        Diagnostic::from_error(source, Exit::Usage).note(format!("while reading --dockerfile {}", path.display()))
    }
}

impl Explain for BaselineError {
    fn explain(&self) -> Diagnostic {
        match self {
            Self::Key(error) => error.diagnostic(),
            Self::NoKey => {
                Diagnostic::error("a baseline needs a key for its fingerprints, and there is none", Exit::Usage).help(
                    format!("`pbuild secrets init` makes a store that has one; in CI set {}", pcli::CACHE_KEY_VARIABLE),
                )
            }
            Self::Read { path, problem } => {
                let title = format!("--baseline {}: {problem}", path.display());
                let diagnostic = Diagnostic::error(title, Exit::Usage);
                match problem {
                    BaselineProblem::NotABaseline { .. } => diagnostic.help("--write-baseline FILE writes one"),
                    BaselineProblem::OtherKey => diagnostic.help(format!(
                        "use the project's own store, or the same {}; --write-baseline writes it anew",
                        pcli::CACHE_KEY_VARIABLE
                    )),
                    BaselineProblem::Unreadable(_) | BaselineProblem::TooLong | BaselineProblem::Version(_) => {
                        diagnostic
                    }
                }
            }
            Self::Write { path, source } => Diagnostic::from_error(source, Exit::Failed)
                .note(format!("while writing --write-baseline {}", path.display())),
        }
    }
}

impl Explain for RegistryFailure {
    fn explain(&self) -> Diagnostic {
        let (reference, error) = match self {
            Self::Name { name, problem } => {
                return Diagnostic::error(format!("{name}: {problem}"), Exit::Usage)
                    .help("a registry's image is HOST/NAME[:TAG] or HOST/NAME@DIGEST");
            }
            Self::Documents(error) => return Diagnostic::from_error(error, Exit::Failed),
            Self::Unread => return Diagnostic::error("the registry's documents could not be read", Exit::Failed),
            Self::Registry { reference, error } => (reference, error),
        };
        let host = reference.host();
        let diagnostic = |exit| Diagnostic::error(format!("{reference}: {error}"), exit);
        match error {
            RegistryError::Credentials(_) | RegistryError::Certificate { .. } => diagnostic(Exit::Usage),
            RegistryError::Denied { known: true } => diagnostic(Exit::Failed)
                .help(format!("docker's credentials for {host} are not accepted; `docker login {host}` renews them")),
            RegistryError::Denied { known: false } => diagnostic(Exit::Failed)
                .help(format!("`docker login {host}` stores credentials where this tool looks for them")),
            RegistryError::NotFound => diagnostic(Exit::Failed)
                .help("check the name and the tag; some registries say the same about images that you may not see"),
            RegistryError::Tls(_) => diagnostic(Exit::Failed).help(format!(
                "put the registry's own authority into /etc/docker/certs.d/{host}/ca.crt, or name a file in SSL_CERT_FILE"
            )),
            RegistryError::Unreachable(_) | RegistryError::Silent => diagnostic(Exit::Failed)
                .help(format!("check the name {host}, and that this machine reaches it: curl https://{host}/v2/")),
            RegistryError::Status(_)
            | RegistryError::Protocol(_)
            | RegistryError::SchemaOne
            | RegistryError::WrongDigest
            | RegistryError::NoSize
            | RegistryError::Blob(_) => diagnostic(Exit::Failed),
        }
    }
}

impl Explain for AdviseOrderError {
    fn explain(&self) -> Diagnostic {
        match self {
            Self::Build(error) => error.explain(),
            Self::NoManifest => Diagnostic::from_error(self, Exit::Usage).help("pbuild new makes one"),
            Self::Secret { number, source } => {
                Diagnostic::from_error(source, Exit::Usage).note(format!("in --secret number {number}"))
            }
        }
    }
}

impl Explain for LookEnd {
    fn explain(&self) -> Diagnostic {
        Diagnostic::from_error(self, Exit::Failed)
    }
}

impl Explain for RewriteError {
    fn explain(&self) -> Diagnostic {
        match self {
            Self::Write { path, source } => {
                Diagnostic::from_error(source, Exit::Failed).note(format!("while changing {}", path.display()))
            }
            Self::NoEntry { path } => Diagnostic::error(format!("{} cannot be changed", path.display()), Exit::Failed)
                .help("write the lines above by hand"),
            Self::Broken(error) => {
                Diagnostic::error(format!("the changed manifest would be broken: {error}"), Exit::Failed)
            }
        }
    }
}

impl Explain for DoctorError {
    fn explain(&self) -> Diagnostic {
        match self {
            Self::ImageStore(error) => Diagnostic::from_error(error, Exit::Failed),
            Self::NoSecrets => Diagnostic::error("this BuildKit can hand no secret to a step", Exit::Failed)
                .help("Docker 20.10 or newer, with BuildKit enabled"),
        }
    }
}

impl Explain for NewError {
    fn explain(&self) -> Diagnostic {
        match self {
            Self::Exists(path) => Diagnostic::error(format!("{} is there already", path.display()), Exit::Usage)
                .help("--force replaces it, --stdout prints the new one instead"),
            Self::NoService { name, known } => {
                let error = Diagnostic::error(
                    format!("no service {name:?} of the compose file is built from this folder"),
                    Exit::Usage,
                );
                match known.is_empty() {
                    true => error.help("name the Dockerfile with --file instead"),
                    false => error.help(format!("--service takes one of {}", known.join(", "))),
                }
            }
            Self::NoDockerfile(path) => Diagnostic::error(format!("there is no {}", path.display()), Exit::Usage)
                .help("pbuild new writes app.toml from a Dockerfile: name it with --file"),
            Self::EnvFile(error) => Diagnostic::from_error(error, Exit::Usage)
                .help("mend the line, or move the file away while `pbuild new` runs"),
            Self::Compose { name, problem } => {
                Diagnostic::error(format!("failed to read {name}: {problem}"), Exit::Usage)
                    .help("`docker compose config` says what is wrong with it")
            }
            Self::Read { path, source } => {
                Diagnostic::from_error(source, Exit::Usage).note(format!("while reading {}", path.display()))
            }
            Self::Draft(error) => Diagnostic::error(format!("the draft is no manifest: {error}"), Exit::Failed),
            Self::Write { path, source } => {
                Diagnostic::from_error(source, Exit::Failed).note(format!("while writing {}", path.display()))
            }
            Self::Ignore { path, source } => {
                Diagnostic::from_error(source, Exit::Failed).note(format!("while adding lines to {}", path.display()))
            }
        }
    }
}

impl Explain for OpenEnvFiles {
    fn explain(&self) -> Diagnostic {
        let Self { files, ignore_file } = self;
        Diagnostic::warning(format!("{files} is not in {ignore_file}, so COPY could put it into the image"))
            .help("pbuild new --ignore adds it; a build that sends it is stopped")
    }
}
