//! The recipe of a build, made from the flags and the manifest.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use papp::Manifest;
use pbuildkit::SourcePolicy;

use super::checkout;
use super::comma_separated::truth;
use super::context::{Context, Dockerfile, dockerfile, elsewhere};
use super::error::PlanError;
use super::image_name::ImageName;
use super::source_policy::source_policy;
use super::stdin::DOCKERFILE_LIMIT;
use super::step_options::StepAttributes;
use crate::command::build::BuildArguments;
use crate::files;

/// The recipe of a build, checked as far as possible without an engine.
#[derive(Clone, Debug)]
pub(crate) struct BuildPlan {
    /// The files that COPY and ADD read.
    pub(super) context: Context,
    /// The Dockerfile.
    pub(super) dockerfile: Dockerfile,
    /// The names that the image gets when it is found clean. The list may be empty.
    pub(super) tags: Vec<ImageName>,
    /// BuildKit's frontend attributes for everything that the flags set.
    pub(super) attributes: BTreeMap<String, String>,
    /// The build arguments, which the guard compares with the secrets.
    pub(super) build_arguments: BTreeMap<String, String>,
    /// The labels, which the guard compares with the secrets, too.
    pub(super) labels: BTreeMap<String, String>,
    /// The extra lines of `/etc/hosts`: a name and its address.
    pub(super) hosts: Vec<(String, HostAddress)>,
    /// More directories of this machine, by the name under which the frontend asks for them.
    pub(super) locals: BTreeMap<String, PathBuf>,
    /// OCI layouts for `--build-context`, by the name under which the frontend asks for them.
    pub(super) layouts: BTreeMap<String, PathBuf>,
    /// The permissions beyond the default ones, which BuildKit expects outside of the attributes.
    pub(super) entitlements: Vec<String>,
    /// The policy for the sources of the build.
    pub(super) source_policy: Option<SourcePolicy>,
    /// How much of the Dockerfile is built.
    pub(super) extent: Extent,
}

/// The error about a part of a git context that is not in its repository.
#[derive(Debug, thiserror::Error)]
#[error("{0} is not in the repository")]
pub(crate) struct OutsideOfClone(&'static str);

/// The address that a name of `--add-host` gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HostAddress {
    /// An IP address.
    Ip(String),
    /// `host-gateway`, an address that only the engine knows.
    Gateway,
}

/// How much of a Dockerfile is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All stages that lead to the last one.
    Whole,
    /// Only the stages up to the one that `--target` names. A secret whose step is in another stage is then not a
    /// mistake.
    Part,
}

impl BuildPlan {
    /// Combines the flags with the manifest; flags take precedence.
    ///
    /// `directory` is the context if it is a directory of this machine, see [`super::context::context_directory`].
    /// `environment` returns the values of build arguments that are given only by name. `stdin` is read for `-f -`
    /// and for the context `-`.
    ///
    /// # Errors
    /// Returns a [`PlanError`] that names the flag or the file to change.
    pub(super) fn new(
        arguments: &BuildArguments,
        directory: Option<PathBuf>,
        manifest: Option<&Manifest>,
        environment: impl Fn(&str) -> Option<String>,
        stdin: impl Read + Send + 'static,
    ) -> Result<Self, PlanError> {
        let defaults = manifest.map(|manifest| &manifest.build);
        let (context, dockerfile) = match directory {
            Some(directory) => {
                let of_manifest = defaults.and_then(|build| build.dockerfile.as_deref());
                let dockerfile = dockerfile(arguments, &directory, of_manifest, stdin)?;
                (Context::Directory(directory), dockerfile)
            }
            None => elsewhere(arguments, stdin)?,
        };
        let steps = StepAttributes::parse(&arguments.steps)?;
        let (network, entitlement) = network(arguments.network.as_deref())?;
        let mut entitlements = steps.entitlements;
        if let Some(name) = entitlement.filter(|name| !entitlements.contains(name)) {
            entitlements.push(name);
        }
        let mut plan = Self {
            context,
            dockerfile,
            tags: tags(&arguments.tags, manifest)?,
            attributes: BTreeMap::new(),
            build_arguments: build_arguments(arguments, manifest, &environment)?,
            labels: labels(&arguments.labels)?,
            hosts: extra_hosts(&arguments.extra_hosts)?,
            locals: steps.locals,
            layouts: steps.layouts,
            entitlements,
            source_policy: source_policy(&environment)?,
            extent: if arguments.recipe.target.is_some() { Extent::Part } else { Extent::Whole },
        };
        // As in docker's client, the variable is used only if no flag is given.
        let of_environment = || environment("DOCKER_DEFAULT_PLATFORM").unwrap_or_default();
        let platforms = if arguments.platforms.is_empty() { of_environment() } else { arguments.platforms.join(",") };
        let platforms = platforms_in_full(&platforms);
        let target = arguments.recipe.target.as_deref().or(defaults.and_then(|build| build.target.as_deref()));
        plan.set("target", target);
        plan.set("platform", Some(platforms.as_str()).filter(|platforms| !platforms.is_empty()));
        plan.set("no-cache", arguments.no_cache.then_some(""));
        plan.set("image-resolve-mode", Some(if arguments.pull { "pull" } else { "local" }));
        plan.set("force-network-mode", network);
        plan.name_context();
        plan.attributes.extend(steps.attributes);
        plan.describe_checkout(&environment);
        let arguments = plan.build_arguments.iter().map(|(name, value)| (format!("build-arg:{name}"), value.clone()));
        let labels = plan.labels.iter().map(|(name, value)| (format!("label:{name}"), value.clone()));
        plan.attributes.extend(arguments.chain(labels).collect::<Vec<_>>());
        Ok(plan)
    }

    fn set(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.attributes.insert(name.to_owned(), value.to_owned());
        }
    }

    /// Adds the git checkout of the context to the attributes for provenance, and to the labels if the environment
    /// asks for labels.
    fn describe_checkout(&mut self, environment: impl Fn(&str) -> Option<String>) {
        let Context::Directory(context) = &self.context else { return };
        let dockerfile = match &self.dockerfile {
            Dockerfile::Disk { directory, .. } => Some(("dockerfile", directory.as_path())),
            Dockerfile::Memory(_) | Dockerfile::InContext { .. } => None,
        };
        let named = self.locals.iter().map(|(name, folder)| (name.as_str(), folder.as_path()));
        let folders = [("context", context.as_path())].into_iter().chain(dockerfile).chain(named);
        let told = checkout::describe(context, &self.dockerfile_path(), folders, environment);
        self.attributes.extend(told.attributes);
        self.labels.extend(told.labels);
    }

    /// Sets the attributes that tell the frontend where the context and the Dockerfile are.
    fn name_context(&mut self) {
        let name = self.dockerfile.name().to_owned();
        self.set("filename", Some(&name));
        let address = match &self.context {
            Context::Remote(url) => Some(url.clone()),
            Context::Archive(archive) => Some(archive.url()),
            Context::Directory(_) | Context::Empty => None,
        };
        self.set("context", address.as_deref());
        if matches!((&self.context, &self.dockerfile), (Context::Remote(_), Dockerfile::Memory(_))) {
            // Without this attribute, the frontend would look for the Dockerfile in the context.
            self.set("dockerfilekey", Some("dockerfile"));
        }
    }

    /// Returns the address of the context, if the engine fetches the context.
    pub(crate) fn context_address(&self) -> Option<&str> {
        match &self.context {
            Context::Remote(address) => Some(address),
            Context::Directory(_) | Context::Archive(_) | Context::Empty => None,
        }
    }

    /// Returns whether a build argument of this name has a value that BuildKit reads as true.
    pub(crate) fn has_switch(&self, name: &str) -> bool {
        self.build_arguments.get(name).and_then(|value| truth(value)) == Some(true)
    }

    /// Replaces the address of the context by a clone: by `folder` in the clone, and by the Dockerfile in that
    /// folder.
    ///
    /// # Errors
    /// Returns an error if the folder or the Dockerfile is not in the clone; in this case the plan is unchanged.
    pub(crate) fn adopt(&mut self, clone: &Path, folder: Option<&str>) -> Result<(), OutsideOfClone> {
        let inside = |path: &Path| {
            // The real path is compared, because a link may lead out of the clone.
            let whole = path.canonicalize().ok()?;
            whole.starts_with(clone.canonicalize().ok()?).then_some(whole)
        };
        let context = folder.map_or_else(|| clone.to_owned(), |folder| clone.join(folder));
        let context = inside(&context).filter(|context| context.is_dir()).ok_or(OutsideOfClone("its folder"))?;
        let mut dockerfile = None;
        if let Dockerfile::InContext { name } = &self.dockerfile {
            let wrong = || OutsideOfClone("its Dockerfile");
            let path = context.join(name);
            inside(&path).ok_or_else(wrong)?;
            let directory = path.parent().ok_or_else(wrong)?.to_owned();
            let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(wrong)?.to_owned();
            dockerfile = Some(Dockerfile::Disk { directory, name });
        }
        self.dockerfile =
            dockerfile.unwrap_or_else(|| std::mem::replace(&mut self.dockerfile, Dockerfile::Memory(Vec::new())));
        self.context = Context::Directory(context);
        for name in ["context", "dockerfilekey"] {
            self.attributes.remove(name);
        }
        self.name_context();
        self.describe_checkout(|name| std::env::var(name).ok());
        let labels = self.labels.iter().map(|(name, value)| (format!("label:{name}"), value.clone()));
        self.attributes.extend(labels.collect::<Vec<_>>());
        Ok(())
    }

    /// The platforms that are built, as the flags name them; none for the builder's own.
    pub(crate) fn platforms(&self) -> Vec<String> {
        let list = self.attributes.get("platform").map(String::as_str).unwrap_or_default();
        list.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }

    /// Makes the recipe of a part that one of several nodes carries out: these platforms alone, as an index that can be
    /// joined with others.
    pub(super) fn part(&self, platforms: &[String]) -> Self {
        let mut part = self.clone();
        part.attributes.insert("platform".to_owned(), platforms.join(","));
        // The frontend makes an index for a single platform too (BuildKit's `frontend/dockerui`), as buildx asks it to.
        part.attributes.insert("multi-platform".to_owned(), "true".to_owned());
        part
    }

    /// Returns a text that is the same for builds of the same context folder and the same Dockerfile.
    pub(crate) fn identity(&self) -> String {
        let folder = self.context_folder().unwrap_or(Path::new("")).display();
        format!("{folder}\n{}", self.dockerfile_path().display())
    }

    /// Whether the files come on standard input, which can be sent once.
    pub(crate) fn is_sent_once(&self) -> bool {
        matches!(self.context, Context::Archive(_))
    }

    /// Returns the frontend image that a build argument chooses. It takes precedence over the Dockerfile's.
    pub(crate) fn chosen_frontend(&self) -> Option<&str> {
        self.build_arguments.get("BUILDKIT_SYNTAX").map(String::as_str)
    }

    /// Returns the folder whose files are sent, if the context is on this machine.
    pub(crate) fn context_folder(&self) -> Option<&Path> {
        self.context.directory()
    }

    /// Adds the names that the outputs give to the image.
    pub(super) fn add_tags(&mut self, tags: impl IntoIterator<Item = ImageName>) {
        self.tags.extend(tags);
    }

    /// Returns the Dockerfile's text, if the Dockerfile is on this machine.
    ///
    /// # Errors
    /// Returns an error if the file can no longer be read.
    pub(crate) fn dockerfile_text(&self) -> Result<Option<Vec<u8>>, PlanError> {
        match &self.dockerfile {
            Dockerfile::Memory(text) => Ok(Some(text.clone())),
            Dockerfile::Disk { directory, name } => {
                let path = directory.join(name);
                let text = files::read(&path, DOCKERFILE_LIMIT);
                text.map(Some).map_err(|source| PlanError::DockerfileUnreadable { path, source })
            }
            Dockerfile::InContext { .. } => Ok(None),
        }
    }

    /// Returns the path under which errors name the Dockerfile.
    pub(crate) fn dockerfile_path(&self) -> PathBuf {
        match &self.dockerfile {
            Dockerfile::Disk { directory, name } => directory.join(name),
            Dockerfile::Memory(_) => PathBuf::from("standard input"),
            Dockerfile::InContext { name } => PathBuf::from(name),
        }
    }
}

/// Returns the platforms of a comma-separated list. docker's word `local` is replaced by the platform of this client.
fn platforms_in_full(list: &str) -> String {
    let words = list.split(',').map(str::trim).filter(|word| !word.is_empty());
    let platforms: Vec<String> =
        words.map(|word| if word == "local" { local_platform() } else { word.into() }).collect();
    platforms.join(",")
}

/// Returns the platform of this program, in the spelling of the OCI image specification.
fn local_platform() -> String {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "x86" => "386",
        "aarch64" => "arm64",
        "arm" => "arm/v7",
        "powerpc64" => "ppc64le",
        other => other,
    };
    format!("linux/{architecture}")
}

/// The variable, and the build argument, that sets the date of a reproducible image.
const SOURCE_DATE_EPOCH: &str = "SOURCE_DATE_EPOCH";

/// Returns the names that the flags give, or the manifest's name if there are none.
fn tags(texts: &[String], manifest: Option<&Manifest>) -> Result<Vec<ImageName>, PlanError> {
    let of_manifest = manifest.and_then(|manifest| manifest.image.as_ref()).filter(|_| texts.is_empty());
    Ok(texts.iter().chain(of_manifest).map(|text| ImageName::parse(text)).collect::<Result<_, _>>()?)
}

/// Merges the build arguments of the manifest with those of the flags, which take precedence, and adds the date of
/// reproducible builds.
fn build_arguments(
    arguments: &BuildArguments,
    manifest: Option<&Manifest>,
    environment: &impl Fn(&str) -> Option<String>,
) -> Result<BTreeMap<String, String>, PlanError> {
    let mut build_arguments: BTreeMap<String, String> =
        manifest.map(|manifest| manifest.build.args.iter().cloned().collect()).unwrap_or_default();
    for argument in &arguments.recipe.build_arguments {
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            // As in docker, a name without a value takes the value from the environment. If there is none, the
            // argument is removed.
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
    // As in docker, the date of a reproducible build comes from the variable that all tools share.
    if let Some(date) = environment(SOURCE_DATE_EPOCH).filter(|date| !date.is_empty()) {
        build_arguments.entry(SOURCE_DATE_EPOCH.to_owned()).or_insert(date);
    }
    Ok(build_arguments)
}

fn labels(texts: &[String]) -> Result<BTreeMap<String, String>, PlanError> {
    let label = |text: &String| {
        // As in docker, a label without a value is an empty label.
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        if name.is_empty() { Err(PlanError::Label) } else { Ok((name.to_owned(), value.to_owned())) }
    };
    texts.iter().map(label).collect()
}

/// Translates the network of steps into BuildKit's word, and returns the permission that the host's network needs.
fn network(mode: Option<&str>) -> Result<(Option<&'static str>, Option<String>), PlanError> {
    match mode {
        None | Some("default") => Ok((None, None)),
        Some("none") => Ok((Some("none"), None)),
        Some("host") => Ok((Some("host"), Some("network.host".to_owned()))),
        Some(mode) => Err(PlanError::Network { mode: mode.to_owned() }),
    }
}

/// Reads `NAME:IP` and `NAME=IP`.
fn extra_hosts(texts: &[String]) -> Result<Vec<(String, HostAddress)>, PlanError> {
    let host = |text: &String| {
        let wrong = || PlanError::ExtraHost { text: text.clone() };
        let (name, address) = text.split_once(['=', ':']).ok_or_else(wrong)?;
        let bare = address.trim_start_matches('[').trim_end_matches(']');
        let address = match bare {
            "host-gateway" => HostAddress::Gateway,
            ip if ip.parse::<std::net::IpAddr>().is_ok() => HostAddress::Ip(ip.to_owned()),
            _ => return Err(wrong()),
        };
        if name.is_empty() { Err(wrong()) } else { Ok((name.to_owned(), address)) }
    };
    texts.iter().map(host).collect()
}
