//! The checked form of a build command: flags over manifest over defaults. Nothing here talks to an engine.

pub mod attestation;
pub mod cache;
pub mod comma_separated;
pub mod image_name;
pub mod ssh;
pub mod stdin;
pub mod step_options;
pub mod syntax;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use papp::Manifest;
use pbuildkit::{Archive, BuildRequest, ContentStore, Local, Registries, shared_key};
use pengine::Environment;

use crate::command::build::BuildArguments;
use crate::plan::image_name::{ImageName, ImageNameError};
use crate::plan::stdin::{DOCKERFILE_LIMIT, Input};
use crate::plan::step_options::{StepAttributes, StepOptionError, is_remote};

/// Why a build command cannot be carried out as given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The context is not a directory of this machine.
    #[error("unable to prepare context: path {path:?} not found")]
    ContextMissing {
        /// The path as given.
        path: String,
    },
    /// The context is a file.
    #[error("unable to prepare context: {path:?} is not a directory")]
    ContextNotDirectory {
        /// The path as given.
        path: String,
    },
    /// Standard input is asked for twice: as the context, and as the Dockerfile.
    #[error("standard input cannot be both the context and the Dockerfile")]
    InputTwice,
    /// Standard input is a Dockerfile, and `-f` names another.
    #[error("standard input is a Dockerfile, and -f {file} names another")]
    DockerfileTwice {
        /// The flag's value.
        file: String,
    },
    /// Standard input should be a Dockerfile or an archive, and is nothing.
    #[error("failed to read dockerfile: standard input is empty")]
    InputEmpty,
    /// Standard input cannot be read.
    #[error("failed to read standard input")]
    Input {
        /// Why.
        source: std::io::Error,
    },
    /// A flag about steps or further contexts.
    #[error(transparent)]
    Step(#[from] StepOptionError),
    /// The Dockerfile does not exist; docker's wording.
    #[error("failed to read dockerfile: open {}: no such file or directory", path.display())]
    DockerfileMissing {
        /// The path that was tried.
        path: PathBuf,
    },
    /// The Dockerfile cannot be read.
    #[error("failed to read dockerfile {}", path.display())]
    DockerfileUnreadable {
        /// The path that was tried.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A name after `-t` is not one.
    #[error(transparent)]
    Tag(#[from] ImageNameError),
    /// `--build-arg` without a name.
    #[error("invalid --build-arg: there is no name before `=`")]
    BuildArgument,
    /// `--label` without `=` or name.
    #[error("invalid --label: write NAME=VALUE")]
    Label,
    /// `--add-host` that is not `NAME:IP`.
    #[error("invalid --add-host {text:?}: write NAME:IP")]
    ExtraHost {
        /// The flag's value.
        text: String,
    },
    /// `--network` with a mode that BuildKit does not have.
    #[error("invalid --network {mode:?}: BuildKit knows `default`, `none` and `host`")]
    Network {
        /// The flag's value.
        mode: String,
    },
}

/// Where the Dockerfile is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dockerfile {
    /// A file of this machine.
    Disk {
        /// The directory that holds it; also where `NAME.dockerignore` is looked for.
        directory: PathBuf,
        /// Its name in that directory.
        name: String,
    },
    /// Read from standard input, once.
    Memory(Vec<u8>),
    /// In the context, which the engine alone sees.
    InContext {
        /// Its path there.
        name: String,
    },
}

/// What COPY and ADD read from.
#[derive(Clone)]
pub enum Context {
    /// A directory of this machine, absolute.
    Directory(PathBuf),
    /// A git repository or an archive elsewhere, which the engine fetches.
    Remote(String),
    /// An archive on standard input.
    Archive(Archive),
    /// No files: the Dockerfile came on standard input.
    Empty,
}

impl Context {
    /// The directory, where there is one on this machine.
    #[must_use]
    pub fn directory(&self) -> Option<&Path> {
        match self {
            Self::Directory(path) => Some(path),
            Self::Remote(_) | Self::Archive(_) | Self::Empty => None,
        }
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Directory(path) => write!(formatter, "Directory({})", path.display()),
            // A URL may hold a password.
            Self::Remote(_) => formatter.write_str("Remote"),
            Self::Archive(_) => formatter.write_str("Archive"),
            Self::Empty => formatter.write_str("Empty"),
        }
    }
}

impl Dockerfile {
    /// The name that the frontend asks for.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Disk { name, .. } | Self::InContext { name } => name,
            Self::Memory(_) => "Dockerfile",
        }
    }
}

/// A build, checked: every field is what the engine can be told.
#[derive(Debug)]
pub struct BuildPlan {
    /// What COPY and ADD read from.
    pub context: Context,
    /// The Dockerfile.
    pub dockerfile: Dockerfile,
    /// The names that the image gets when it is clean; may be empty.
    pub tags: Vec<ImageName>,
    /// BuildKit's frontend attributes for everything that the flags set.
    pub attributes: BTreeMap<String, String>,
    /// Build arguments as given, for the guard that compares them with the secrets.
    pub build_arguments: BTreeMap<String, String>,
    /// Labels as given, likewise.
    pub labels: BTreeMap<String, String>,
    /// Further directories of this machine, by the name under which the frontend asks for them.
    pub locals: BTreeMap<String, PathBuf>,
    /// OCI layouts for `--build-context`, by the name under which the frontend asks for them.
    pub layouts: BTreeMap<String, PathBuf>,
    /// What the build may do beyond the usual, which BuildKit wants to be told separately.
    pub entitlements: Vec<String>,
}

/// Whether a context is read from standard input or fetched by the engine, and so holds no manifest that we could read.
#[must_use]
pub fn is_elsewhere(context: &str) -> bool {
    context == "-" || is_remote(context)
}

/// Looks at a context of this machine before anything else, because the manifest lies in it.
///
/// # Errors
/// When it is not a directory of this machine.
pub fn context_directory(context: &str) -> Result<PathBuf, PlanError> {
    let path = Path::new(context);
    let Ok(metadata) = fs::metadata(path) else {
        return Err(PlanError::ContextMissing { path: context.to_owned() });
    };
    if !metadata.is_dir() {
        return Err(PlanError::ContextNotDirectory { path: context.to_owned() });
    }
    std::path::absolute(path).map_err(|_| PlanError::ContextMissing { path: context.to_owned() })
}

impl BuildPlan {
    /// Puts flags over the manifest.
    ///
    /// `directory` is the context where it is one of this machine, see [`context_directory`]; `environment` answers for
    /// build arguments that are given by name alone; `stdin` is read for `-f -` and for the context `-`.
    ///
    /// # Errors
    /// [`PlanError`] names the flag or the file to change.
    pub fn new(
        arguments: &BuildArguments,
        directory: Option<PathBuf>,
        manifest: Option<&Manifest>,
        environment: impl Fn(&str) -> Option<String>,
        stdin: impl Read + Send + 'static,
    ) -> Result<Self, PlanError> {
        let defaults = manifest.map(|manifest| &manifest.build);
        let manifest_dockerfile = defaults.and_then(|build| build.dockerfile.as_deref());
        let (context, dockerfile) = match directory {
            Some(directory) => {
                let dockerfile = dockerfile(arguments, &directory, manifest_dockerfile, stdin)?;
                (Context::Directory(directory), dockerfile)
            }
            None => elsewhere(arguments, stdin)?,
        };
        let mut tags = Vec::new();
        for tag in &arguments.tags {
            tags.push(ImageName::parse(tag)?);
        }
        if let (true, Some(image)) = (tags.is_empty(), manifest.and_then(|manifest| manifest.image.as_deref())) {
            tags.push(ImageName::parse(image)?);
        }
        let mut build_arguments: BTreeMap<String, String> =
            defaults.map(|build| build.args.iter().cloned().collect()).unwrap_or_default();
        for argument in &arguments.recipe.build_arguments {
            let (name, value) = match argument.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                // As docker: a name alone takes the value from the environment, and vanishes when there is none.
                None => (argument.as_str(), environment(argument)),
            };
            if name.is_empty() {
                return Err(PlanError::BuildArgument);
            }
            match value {
                Some(value) => drop(build_arguments.insert(name.to_owned(), value)),
                None => drop(build_arguments.remove(name)),
            }
        }
        // As docker: who builds reproducibly sets the date once, for every tool.
        if let Some(date) = environment(SOURCE_DATE_EPOCH).filter(|date| !date.is_empty()) {
            build_arguments.entry(SOURCE_DATE_EPOCH.to_owned()).or_insert(date);
        }
        let mut labels = BTreeMap::new();
        for label in &arguments.labels {
            // As docker: a label without value is an empty label.
            let (name, value) = label.split_once('=').unwrap_or((label, ""));
            if name.is_empty() {
                return Err(PlanError::Label);
            }
            labels.insert(name.to_owned(), value.to_owned());
        }
        let target = arguments.recipe.target.as_deref().or(defaults.and_then(|build| build.target.as_deref()));
        let (network, host_network) = network(arguments.network.as_deref())?;
        let StepAttributes { attributes: step_attributes, locals, layouts, mut entitlements } =
            StepAttributes::parse(&arguments.steps)?;
        if host_network && !entitlements.iter().any(|entitlement| entitlement == HOST_NETWORK) {
            entitlements.push(HOST_NETWORK.to_owned());
        }

        let mut attributes = BTreeMap::from([("filename".to_owned(), dockerfile.name().to_owned())]);
        let mut set = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                attributes.insert(name.to_owned(), value.to_owned());
            }
        };
        set("target", target);
        let platforms = arguments.platforms.join(",");
        set("platform", Some(platforms.as_str()).filter(|platforms| !platforms.is_empty()));
        set("no-cache", arguments.no_cache.then_some(""));
        set("image-resolve-mode", Some(if arguments.pull { "pull" } else { "local" }));
        set("force-network-mode", network);
        let hosts = extra_hosts(&arguments.extra_hosts)?;
        set("add-hosts", (!hosts.is_empty()).then_some(hosts.as_str()));
        match &context {
            Context::Remote(url) => set("context", Some(url)),
            Context::Archive(archive) => set("context", Some(&archive.url())),
            Context::Directory(_) | Context::Empty => {}
        }
        if matches!((&context, &dockerfile), (Context::Remote(_), Dockerfile::Memory(_))) {
            // Else the frontend looks for it in the context.
            set("dockerfilekey", Some("dockerfile"));
        }
        attributes.extend(step_attributes);
        for (name, value) in &build_arguments {
            attributes.insert(format!("build-arg:{name}"), value.clone());
        }
        for (name, value) in &labels {
            attributes.insert(format!("label:{name}"), value.clone());
        }
        Ok(Self { context, dockerfile, tags, attributes, build_arguments, labels, locals, layouts, entitlements })
    }

    /// Adds a build argument that nobody gave otherwise.
    pub fn default_build_argument(&mut self, name: &str, value: &str) {
        if !self.build_arguments.contains_key(name) {
            self.build_arguments.insert(name.to_owned(), value.to_owned());
            self.attributes.insert(format!("build-arg:{name}"), value.to_owned());
        }
    }

    /// The Dockerfile's text, where it is on this machine.
    ///
    /// # Errors
    /// When the file cannot be read any more.
    pub fn dockerfile_text(&self) -> Result<Option<Vec<u8>>, PlanError> {
        match &self.dockerfile {
            Dockerfile::Memory(text) => Ok(Some(text.clone())),
            Dockerfile::Disk { directory, name } => {
                let path = directory.join(name);
                fs::read(&path).map(Some).map_err(|source| PlanError::DockerfileUnreadable { path, source })
            }
            Dockerfile::InContext { .. } => Ok(None),
        }
    }

    /// What BuildKit is asked for: a build without an exporter, without secrets.
    #[must_use]
    pub fn request(&self) -> BuildRequest {
        let folder = Environment::of_process().docker_folder();
        let mut request = BuildRequest::dockerfile();
        request.attributes.extend(self.attributes.clone());
        request.exporters = Vec::new();
        request.entitlements.clone_from(&self.entitlements);
        match &self.context {
            Context::Directory(path) => {
                request.locals.insert("context".to_owned(), Local::Directory(path.clone()));
                request.shared_key = shared_key(path, folder.as_deref());
            }
            Context::Empty => drop(request.locals.insert("context".to_owned(), Local::Files(BTreeMap::new()))),
            Context::Archive(archive) => request.archive = Some(archive.clone()),
            Context::Remote(_) => {}
        }
        let dockerfile = match &self.dockerfile {
            Dockerfile::Disk { directory, .. } => Some(Local::Directory(directory.clone())),
            Dockerfile::Memory(text) => Some(Local::Files(BTreeMap::from([("Dockerfile".into(), text.clone())]))),
            Dockerfile::InContext { .. } => None,
        };
        request.locals.extend(dockerfile.map(|dockerfile| ("dockerfile".to_owned(), dockerfile)));
        for (name, path) in &self.locals {
            request.locals.insert(name.clone(), Local::Directory(path.clone()));
        }
        for (name, folder) in &self.layouts {
            let store = ContentStore { folder: folder.clone(), writable: false };
            request.content.0.insert(format!("oci:{name}"), store);
        }
        request.registries = folder.map_or_else(Registries::anonymous, Registries::of_docker);
        request
    }

    /// Has the engine's own frontend read the Dockerfile, whatever frontend image that names: nobody here has seen which.
    pub fn use_own_frontend(&mut self) {
        // The frontend looks for `# syntax=` only where nobody has said that it was called for it (BuildKit's
        // `frontend/dockerfile/builder`).
        self.attributes.insert("cmdline".to_owned(), String::new());
    }

    /// The line that a person is shown for the Dockerfile, relative to where the command runs when possible.
    #[must_use]
    pub fn dockerfile_path(&self) -> PathBuf {
        match &self.dockerfile {
            Dockerfile::Disk { directory, name } => directory.join(name),
            Dockerfile::Memory(_) => PathBuf::from("standard input"),
            Dockerfile::InContext { name } => PathBuf::from(name),
        }
    }
}

/// The variable, and the build argument, of the moment that an image tells as its own.
const SOURCE_DATE_EPOCH: &str = "SOURCE_DATE_EPOCH";
/// What BuildKit calls the host's network for steps.
const HOST_NETWORK: &str = "network.host";

/// A context that is no directory of this machine.
fn elsewhere(
    arguments: &BuildArguments,
    stdin: impl Read + Send + 'static,
) -> Result<(Context, Dockerfile), PlanError> {
    let file = arguments.recipe.file.as_deref();
    let in_context = || Dockerfile::InContext { name: file.unwrap_or("Dockerfile").to_owned() };
    if arguments.context != "-" {
        let dockerfile = if file == Some("-") { dockerfile_of(stdin)? } else { in_context() };
        return Ok((Context::Remote(arguments.context.clone()), dockerfile));
    }
    if file == Some("-") {
        return Err(PlanError::InputTwice);
    }
    match stdin::read(stdin).map_err(|source| PlanError::Input { source })? {
        Input::Archive(archive) => Ok((Context::Archive(archive), in_context())),
        Input::Dockerfile(text) => match file {
            Some(file) => Err(PlanError::DockerfileTwice { file: file.to_owned() }),
            None if text.is_empty() => Err(PlanError::InputEmpty),
            None => Ok((Context::Empty, Dockerfile::Memory(text))),
        },
    }
}

/// The Dockerfile that stands on standard input.
fn dockerfile_of(stdin: impl Read) -> Result<Dockerfile, PlanError> {
    let mut bytes = Vec::new();
    match stdin.take(DOCKERFILE_LIMIT).read_to_end(&mut bytes) {
        Ok(0) => Err(PlanError::InputEmpty),
        Ok(_) => Ok(Dockerfile::Memory(bytes)),
        Err(source) => Err(PlanError::Input { source }),
    }
}

fn dockerfile(
    arguments: &BuildArguments,
    context: &Path,
    manifest: Option<&str>,
    stdin: impl Read,
) -> Result<Dockerfile, PlanError> {
    if arguments.recipe.file.as_deref() == Some("-") {
        return dockerfile_of(stdin);
    }
    // A flag is relative to where the user stands, the manifest's word to the manifest's directory.
    let path = match (&arguments.recipe.file, manifest) {
        (Some(file), _) => PathBuf::from(file),
        (None, Some(file)) => context.join(file),
        (None, None) => ["Dockerfile", "dockerfile"]
            .map(|name| context.join(name))
            .into_iter()
            .find(|path| path.is_file())
            .unwrap_or_else(|| context.join("Dockerfile")),
    };
    match fs::File::open(&path).and_then(|file| file.metadata()) {
        Ok(metadata) if metadata.is_dir() => {
            return Err(PlanError::DockerfileUnreadable { path, source: std::io::ErrorKind::IsADirectory.into() });
        }
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(PlanError::DockerfileMissing { path });
        }
        Err(source) => return Err(PlanError::DockerfileUnreadable { path, source }),
    }
    let missing = || PlanError::DockerfileMissing { path: path.clone() };
    let absolute = std::path::absolute(&path).map_err(|_| missing())?;
    let directory = absolute.parent().ok_or_else(missing)?.to_owned();
    let name = absolute.file_name().and_then(|name| name.to_str()).ok_or_else(missing)?.to_owned();
    Ok(Dockerfile::Disk { directory, name })
}

fn network(mode: Option<&str>) -> Result<(Option<&'static str>, bool), PlanError> {
    match mode {
        None | Some("default") => Ok((None, false)),
        Some("none") => Ok((Some("none"), false)),
        Some("host") => Ok((Some("host"), true)),
        Some(mode) => Err(PlanError::Network { mode: mode.to_owned() }),
    }
}

/// BuildKit's `add-hosts` attribute: `name=address` joined by commas.
fn extra_hosts(given: &[String]) -> Result<String, PlanError> {
    let mut hosts = Vec::new();
    for text in given {
        let wrong = || PlanError::ExtraHost { text: text.clone() };
        let (name, address) = text.split_once(['=', ':']).ok_or_else(wrong)?;
        let bare = address.trim_start_matches('[').trim_end_matches(']');
        // `host-gateway` is an address that only the engine knows; the build asks it.
        if name.is_empty() || (bare != "host-gateway" && bare.parse::<std::net::IpAddr>().is_err()) {
            return Err(wrong());
        }
        hosts.push(format!("{name}={bare}"));
    }
    Ok(hosts.join(","))
}
