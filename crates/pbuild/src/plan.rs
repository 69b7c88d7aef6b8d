//! The checked form of a build command: flags over manifest over defaults. Nothing here talks to an engine.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use papp::Manifest;

use crate::command::BuildArguments;
use crate::reference::{ImageName, ImageNameError};

/// The largest Dockerfile that is read from standard input, in bytes: BuildKit's frontend takes no more of a file.
const DOCKERFILE_LIMIT: u64 = 16 << 20;

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
    /// The context is a URL or standard input.
    #[error("unable to prepare context: {context:?} is not a directory of this machine")]
    ContextKind {
        /// The context as given.
        context: String,
    },
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
}

impl Dockerfile {
    /// The name that the frontend asks for.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Disk { name, .. } => name,
            Self::Memory(_) => "Dockerfile",
        }
    }
}

/// A build, checked: every field is what the engine can be told.
#[derive(Debug)]
pub struct BuildPlan {
    /// The directory that COPY and ADD read from, absolute.
    pub context: PathBuf,
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
    /// Whether RUN steps asked for the host's network, which BuildKit wants to be told separately.
    pub host_network: bool,
}

/// Looks at the context before anything else, because the manifest lies in it.
///
/// # Errors
/// When it is not a directory of this machine.
pub fn context_directory(context: &str) -> Result<PathBuf, PlanError> {
    let url = ["http://", "https://", "git://", "ssh://", "git@", "github.com/"];
    if context == "-" || url.iter().any(|start| context.starts_with(start)) {
        return Err(PlanError::ContextKind { context: context.to_owned() });
    }
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
    /// `environment` answers for build arguments that are given by name alone; `stdin` is read for `-f -`.
    ///
    /// # Errors
    /// [`PlanError`] names the flag or the file to change.
    pub fn new(
        arguments: &BuildArguments,
        context: PathBuf,
        manifest: Option<&Manifest>,
        environment: impl Fn(&str) -> Option<String>,
        stdin: impl Read,
    ) -> Result<Self, PlanError> {
        let defaults = manifest.map(|manifest| &manifest.build);
        let dockerfile =
            dockerfile(arguments, &context, defaults.and_then(|build| build.dockerfile.as_deref()), stdin)?;
        let mut tags = Vec::new();
        for tag in &arguments.tags {
            tags.push(ImageName::parse(tag)?);
        }
        if let (true, Some(image)) = (tags.is_empty(), manifest.and_then(|manifest| manifest.image.as_deref())) {
            tags.push(ImageName::parse(image)?);
        }
        let mut build_arguments: BTreeMap<String, String> =
            defaults.map(|build| build.args.iter().cloned().collect()).unwrap_or_default();
        for argument in &arguments.build_arguments {
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
        let mut labels = BTreeMap::new();
        for label in &arguments.labels {
            // As docker: a label without value is an empty label.
            let (name, value) = label.split_once('=').unwrap_or((label, ""));
            if name.is_empty() {
                return Err(PlanError::Label);
            }
            labels.insert(name.to_owned(), value.to_owned());
        }
        let target = arguments.target.as_deref().or(defaults.and_then(|build| build.target.as_deref()));
        let (network, host_network) = network(arguments.network.as_deref())?;

        let mut attributes = BTreeMap::from([("filename".to_owned(), dockerfile.name().to_owned())]);
        let mut set = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                attributes.insert(name.to_owned(), value.to_owned());
            }
        };
        set("target", target);
        set("platform", arguments.platform.as_deref());
        set("no-cache", arguments.no_cache.then_some(""));
        set("image-resolve-mode", Some(if arguments.pull { "pull" } else { "local" }));
        set("force-network-mode", network);
        let hosts = extra_hosts(&arguments.extra_hosts)?;
        set("add-hosts", (!hosts.is_empty()).then_some(hosts.as_str()));
        for (name, value) in &build_arguments {
            attributes.insert(format!("build-arg:{name}"), value.clone());
        }
        for (name, value) in &labels {
            attributes.insert(format!("label:{name}"), value.clone());
        }
        Ok(Self { context, dockerfile, tags, attributes, build_arguments, labels, host_network })
    }

    /// The Dockerfile's text.
    ///
    /// # Errors
    /// When the file cannot be read any more.
    pub fn dockerfile_text(&self) -> Result<Vec<u8>, PlanError> {
        match &self.dockerfile {
            Dockerfile::Memory(text) => Ok(text.clone()),
            Dockerfile::Disk { directory, name } => {
                let path = directory.join(name);
                fs::read(&path).map_err(|source| PlanError::DockerfileUnreadable { path, source })
            }
        }
    }

    /// The line that a person is shown for the Dockerfile, relative to where the command runs when possible.
    #[must_use]
    pub fn dockerfile_path(&self) -> PathBuf {
        match &self.dockerfile {
            Dockerfile::Disk { directory, name } => directory.join(name),
            Dockerfile::Memory(_) => PathBuf::from("standard input"),
        }
    }
}

fn dockerfile(
    arguments: &BuildArguments,
    context: &Path,
    manifest: Option<&str>,
    stdin: impl Read,
) -> Result<Dockerfile, PlanError> {
    if arguments.file.as_deref() == Some("-") {
        let mut bytes = Vec::new();
        let path = PathBuf::from("-");
        let read = stdin.take(DOCKERFILE_LIMIT).read_to_end(&mut bytes);
        return match read {
            Ok(0) => Err(PlanError::DockerfileMissing { path }),
            Ok(_) => Ok(Dockerfile::Memory(bytes)),
            Err(source) => Err(PlanError::DockerfileUnreadable { path, source }),
        };
    }
    // A flag is relative to where the user stands, the manifest's word to the manifest's directory.
    let path = match (&arguments.file, manifest) {
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
