//! `pbuild new`: writes a first `app.toml`, from the Dockerfile, the env files and the compose file of a project.
//!
//! The manifest gets names and no values: the values stay in the env files that the manifest names. Where the files
//! leave something open, the manifest has a comment that says what to do, so that the first build works without a
//! change.

mod apps;
mod arguments;
mod compose;
pub(crate) mod interpolation;
pub(crate) mod names;
mod page;
mod plan;
mod variables;
mod yaml;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use papp::{Manifest, ManifestError};
use pcli::{MANIFEST_NAME, find_manifest, trust};
use pscreen::Exit;
use psecret::{Dialect, EnvFile, SecretError};

use crate::edge::{Edge, Explain as _, Failure};
use crate::files;
use crate::files::coverage;
use crate::files::coverage::Coverage;
use crate::plan::{DraftOrder, DraftTarget, OpenEnvFileCare};
use apps::Choice;
use compose::{Composition, Known};
use plan::{Draft, ProjectFiles};
use variables::Variables;

/// The largest file that is read, in bytes.
const LARGEST: usize = 4 << 20;

/// Files of the project that name variables for the programs of a build.
const TOOL_FILES: [&str; 5] = [".npmrc", ".yarnrc.yml", "bunfig.toml", "pip.conf", ".pypirc"];

/// The reasons why no manifest can be written.
#[derive(Debug)]
pub(crate) enum NewError {
    /// There is a manifest already.
    Exists(PathBuf),
    /// There is no Dockerfile.
    NoDockerfile(PathBuf),
    /// The compose file has no app of that name.
    NoService {
        /// The name that the user gave.
        name: String,
        /// The names of the apps in the compose file.
        known: Vec<String>,
    },
    /// An env file cannot be read.
    EnvFile(SecretError),
    /// The compose file cannot be read.
    Compose {
        /// The file's name.
        name: &'static str,
        /// The place of the mistake, without the file's text.
        problem: String,
    },
    /// Another file cannot be read.
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The new text is not a valid manifest.
    Draft(ManifestError),
    /// The manifest cannot be written.
    Write {
        /// The manifest.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Lines cannot be added to the ignore file.
    Ignore {
        /// The ignore file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// Env files that a COPY could put into the image, for a warning.
#[derive(Debug)]
pub(crate) struct OpenEnvFiles {
    /// The env files.
    pub(crate) files: String,
    /// The name of the ignore file.
    pub(crate) ignore_file: String,
}

/// Runs `pbuild new`.
///
/// # Errors
/// Returns an error if there is no Dockerfile, if a file cannot be read or written, or if a manifest exists already.
pub(crate) fn run(order: &DraftOrder, edge: &Edge) -> Result<Exit, Failure> {
    let target = Path::new(&order.path).join(MANIFEST_NAME);
    if order.target == DraftTarget::NewFile && fs::symlink_metadata(&target).is_ok() {
        return Err(NewError::Exists(target).into());
    }
    let project = Project::read(order, edge)?;
    let draft = project.draft(&order.public);
    let text = page::text(&draft);
    // The text is parsed as a manifest, so that a name that breaks a rule is reported now and not by the first build.
    let manifest = Manifest::parse(&target, text.as_bytes()).map_err(NewError::Draft)?;
    if order.target == DraftTarget::StandardOutput {
        edge.stdout.line(text.trim_end());
    } else {
        write(&target, &text, order.target)?;
        edge.fact("written", &target.display().to_string());
        trust_what_was_written(&target, edge)?;
    }
    tell(&manifest, edge);
    draft.left_out.iter().for_each(|what| edge.fact("left out", what));
    project.guard_env_files(order, edge)?;
    if order.target != DraftTarget::StandardOutput {
        edge.fact("next", &format!("pbuild build {}", order.path));
    }
    Ok(Exit::Done)
}

/// The files of a project that the command reads.
struct Project {
    folder: PathBuf,
    /// The build's context, as a path below the folder. It is empty for the folder itself.
    context: PathBuf,
    dockerfile: PathBuf,
    dockerfile_text: String,
    tool_files: String,
    variables: Variables,
    composition: Option<Composition>,
}

impl Project {
    fn read(order: &DraftOrder, edge: &Edge) -> Result<Self, Failure> {
        let folder = order.folder.as_path();
        let mut variables = Variables::default();
        let mut seen = BTreeSet::new();
        let mut add = |variables: &mut Variables, file: &Path| -> Result<(), Failure> {
            if !seen.insert(file.to_owned()) || !folder.join(file).is_file() {
                return Ok(());
            }
            Ok(variables.add(folder, file).map_err(NewError::EnvFile)?)
        };
        add(&mut variables, Path::new(".env"))?;
        let compose = compose::FILES.iter().find(|name| folder.join(name).is_file());
        let mut composition = None;
        let given = order.dockerfile.clone();
        let given_below = given.as_ref().and_then(|file| {
            let absolute = std::path::absolute(file).ok()?;
            absolute.strip_prefix(folder).ok().and_then(below)
        });
        let choice = Choice { service: order.service.as_deref(), dockerfile: given_below.as_deref() };
        if let Some(name) = compose {
            let text = text(&folder.join(name))?.unwrap_or_default();
            let read = |variables: &Variables| {
                let known =
                    Known { has_value: &|name| variables.has_value(name), address: &|name| variables.address(name) };
                let read = Composition::read(&text, choice, known);
                read.map_err(|error| NewError::Compose { name, problem: error.to_string() })
            };
            // Only this first reading tells which env files the app has, and Compose interpolates from `.env` alone.
            let found = read(&variables)?;
            for file in &found.env_files {
                match below(Path::new(file)) {
                    Some(file) => add(&mut variables, &file)?,
                    None => edge
                        .stderr
                        .warning(&format!("{name}: env_file {file:?} is not in this folder, so it is not used")),
                }
            }
            composition = Some(found);
        }
        let apps = composition.as_ref().map(|found| found.apps.clone()).unwrap_or_default();
        if let Some(name) = order.service.clone().filter(|name| !apps.contains(name)) {
            return Err(NewError::NoService { name, known: apps }.into());
        }
        let context = composition.as_ref().map(|found| found.context.clone()).unwrap_or_default();
        let root = folder.join(&context);
        let named = composition.as_ref().and_then(|found| found.dockerfile.as_ref()).map(|file| root.join(file));
        let usual = || ["Dockerfile", "dockerfile"].map(|name| root.join(name)).into_iter().find(|path| path.is_file());
        let dockerfile = given.or(named).or_else(usual).unwrap_or_else(|| root.join("Dockerfile"));
        let Some(dockerfile_text) = text(&dockerfile)? else {
            return Err(NewError::NoDockerfile(dockerfile).into());
        };
        let mut tool_files = String::new();
        for name in TOOL_FILES {
            tool_files.push_str(&text(&root.join(name))?.unwrap_or_default());
        }
        Ok(Self { folder: folder.to_owned(), context, dockerfile, dockerfile_text, tool_files, variables, composition })
    }

    fn draft(&self, public: &[String]) -> Draft {
        let folder_name =
            self.folder.components().next_back().map(|part| part.as_os_str().to_string_lossy().into_owned());
        let absolute = std::path::absolute(&self.dockerfile).unwrap_or_else(|_| self.dockerfile.clone());
        let inside = absolute.strip_prefix(self.folder.join(&self.context)).ok().and_then(Path::to_str);
        Draft::new(ProjectFiles {
            folder_name: folder_name.unwrap_or_default(),
            context: self.context.to_str().filter(|context| !context.is_empty()).map(str::to_owned),
            dockerfile: &self.dockerfile_text,
            dockerfile_path: inside.filter(|path| !matches!(*path, "Dockerfile" | "dockerfile")).map(str::to_owned),
            arguments: arguments::arguments(self.dockerfile_text.as_bytes()),
            exposed: arguments::exposed(self.dockerfile_text.as_bytes())
                .into_iter()
                .map(|port| format!("127.0.0.1:{port}:{port}"))
                .collect(),
            mounted: arguments::mounted(self.dockerfile_text.as_bytes()),
            tool_files: self.tool_files.clone(),
            variables: &self.variables,
            composition: self.composition.clone(),
            public: &public.iter().cloned().collect(),
            in_environment: &|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()),
            is_file: &|file| below(file).is_some_and(|file| self.folder.join(file).is_file()),
        })
    }

    /// Finds the env files that a `COPY . .` would put into the image. Adds them to the ignore file if the user asked
    /// for that; otherwise prints a warning that names them.
    fn guard_env_files(&self, order: &DraftOrder, edge: &Edge) -> Result<(), Failure> {
        let context = self.folder.join(&self.context);
        let coverage = Coverage::of(&context, &self.dockerfile)?;
        let open: Vec<String> = coverage::env_files(&context)
            .iter()
            .filter(|file| !coverage.covers(file))
            .map(|file| file.display().to_string())
            .collect();
        if open.is_empty() {
            return Ok(());
        }
        let name = coverage.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if order.open_env_files == OpenEnvFileCare::Ignore {
            let adding = coverage.add(&open);
            adding.map_err(|source| NewError::Ignore { path: coverage.file.clone(), source })?;
            edge.fact("ignored", &format!("{} in {name}", open.join(", ")));
        } else {
            let files = open.join(", ");
            edge.stderr.diagnostic(&OpenEnvFiles { files, ignore_file: name }.explain());
        }
        Ok(())
    }
}

/// Reads a file's text. Returns `None` if there is no such file. Bytes that are not UTF-8 are replaced, because only
/// names matter.
fn text(path: &Path) -> Result<Option<String>, NewError> {
    match files::read(path, LARGEST) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(NewError::Read { path: path.to_owned(), source }),
    }
}

/// Normalises a path relative to the folder. Returns `None` for the folder itself and for a path that leads out of
/// it.
fn below(path: &Path) -> Option<PathBuf> {
    below_or_at(path).filter(|path| !path.as_os_str().is_empty())
}

/// Normalises a path relative to the folder. Returns `None` for a path that leads out of the folder.
fn below_or_at(path: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::Normal(name) => clean.push(name),
            Component::ParentDir if clean.pop() => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(clean)
}

/// Writes the whole file or nothing, with the mode that a new file of the user would have.
fn write(path: &Path, text: &str, target: DraftTarget) -> Result<(), NewError> {
    let failed = |source| NewError::Write { path: path.to_owned(), source };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file =
        tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o666)).tempfile_in(folder).map_err(failed)?;
    io::Write::write_all(&mut file, text.as_bytes()).map_err(failed)?;
    let written = match target {
        DraftTarget::AnyFile => file.persist(path),
        DraftTarget::NewFile | DraftTarget::StandardOutput => file.persist_noclobber(path),
    };
    written.map_err(|error| failed(error.error))?;
    Ok(())
}

/// Trusts the entries that were just written. The user asked for exactly these entries, so the first build need not
/// ask again.
fn trust_what_was_written(path: &Path, edge: &Edge) -> Result<(), Failure> {
    let Some(found) = find_manifest(Some(path), &[])? else { return Ok(()) };
    if let Err(error) = trust::remember(&found, &|name| std::env::var_os(name)) {
        edge.stderr.warning(&format!("{error}; the build needs --trust-config"));
    }
    Ok(())
}

/// Writes the manifest of a project with these files. The fuzz target calls this function, because it has no folder
/// for the files.
///
/// # Errors
/// Returns the name of the file that cannot be read.
pub(crate) fn draft_of(dockerfile: &str, env_file: &[u8], compose: &str) -> Result<String, &'static str> {
    let mut variables = Variables::default();
    variables.take(EnvFile::parse(env_file, Dialect::Dotenv).map_err(|_| ".env")?, Path::new(".env"));
    let has_value = |name: &str| variables.has_value(name);
    let known = Known { has_value: &has_value, address: &|name| variables.address(name) };
    let composition = Composition::read(compose, Choice::default(), known).map_err(|_| compose::FILES[0])?;
    let project = Project {
        folder: "/shop".into(),
        context: composition.context.clone(),
        dockerfile: "/shop/Dockerfile".into(),
        dockerfile_text: dockerfile.to_owned(),
        tool_files: String::new(),
        variables,
        composition: Some(composition),
    };
    Ok(page::text(&project.draft(&[])))
}

/// Prints a summary of the manifest in a few lines.
fn tell(manifest: &Manifest, edge: &Edge) {
    let names = |scope: papp::Scope| {
        let of_scope = manifest.secrets.iter().filter(|secret| secret.scope == scope && secret.value.is_none());
        of_scope.map(|secret| secret.name.clone()).collect::<Vec<_>>()
    };
    let kinds =
        [(papp::Scope::Build, "for the build"), (papp::Scope::Run, "for the app"), (papp::Scope::Both, "for both")];
    let groups: Vec<String> = kinds
        .into_iter()
        .map(|(scope, what)| (names(scope), what))
        .filter(|(names, _)| !names.is_empty())
        .map(|(names, what)| format!("{} {what}", names.join(", ")))
        .collect();
    if !groups.is_empty() {
        edge.fact("secrets", &groups.join(" · "));
    }
    if !manifest.services.is_empty() {
        let services = manifest.services.iter().map(|service| match &service.version {
            Some(version) => format!("{} ({} {version})", service.name, service.kind),
            None => format!("{} ({})", service.name, service.kind),
        });
        edge.fact("services", &services.collect::<Vec<_>>().join(" · "));
    }
}

#[cfg(test)]
mod tests;
