//! The manifest as a whole.

use std::collections::HashSet;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::env_file::{ENV_FILE, is_below};
use crate::error::{Lines, Located, ManifestError, ManifestFault, nearest};
use crate::process::PROCESS;
use crate::run::{INIT, OF_ONE_PROCESS, RUN};
use crate::table::{At, Table, as_table, broken, pairs_of, wrong_type};
use crate::{Delivery, EnvFile, Family, Init, Process, Processes, Run, Scope, Secret, Service, names};

/// The steps that get the build's secrets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Inject {
    /// Every RUN gets them as environment variables. This is the default.
    #[default]
    All,
    /// Only steps with their own secret mounts in the Dockerfile get them.
    Mounted,
}

/// `[build]`. Flags of the command line take precedence over these settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Build {
    /// The folder that COPY and ADD read from, relative to the manifest's folder. `None` stands for the manifest's
    /// folder itself. The setting applies to a build of the manifest's folder.
    pub context: Option<String>,
    /// The Dockerfile, relative to the context.
    pub dockerfile: Option<String>,
    /// The stage to build.
    pub target: Option<String>,
    /// Build arguments, in the order of the text.
    pub args: Vec<(String, String)>,
    /// The steps that get the build's secrets.
    pub inject: Inject,
}

/// A manifest that keeps every rule of `app.toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The project's name.
    pub name: Option<String>,
    /// The image's name. The image is built under this name, and started by it.
    pub image: Option<String>,
    /// The settings of its build.
    pub build: Build,
    /// Files that give declared secrets their values. A later file takes precedence over an earlier one.
    pub env_files: Vec<EnvFile>,
    /// Public configuration, in the order of the text.
    pub environment: Vec<(String, String)>,
    /// The user secrets, in the order of the text.
    pub secrets: Vec<Secret>,
    /// The services, in the order of the text.
    pub services: Vec<Service>,
    /// The commands that run before the main process, in order.
    pub init: Vec<Init>,
    /// The processes, in the order of the text.
    pub processes: Processes,
    /// The settings that all processes share.
    pub run: Run,
}

pub(crate) const TOP: &[&str] =
    &["name", "image", "build", "env_files", "env", "secrets", "services", "init", "processes", "run"];
pub(crate) const BUILD: &[&str] = &["context", "dockerfile", "target", "args", "inject"];

/// Keys that only manifests have.
const OURS: &[&str] = &["secrets", "env_files", "init", "processes"];

/// Finds a key that shows that a file belongs to another program: a key that manifests do not have, in a file without
/// misspelled keys of a manifest and without the keys that only manifests have. Returns `None` for a manifest, even
/// with mistakes in it.
#[must_use]
pub fn foreign_key(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let document = DeTable::parse(text).ok()?;
    let keys = || document.get_ref().keys().map(|key| key.get_ref().as_ref());
    if keys().any(|key: &str| OURS.contains(&key)) {
        return None;
    }
    let mut unknown: Vec<&str> = keys().filter(|key| !TOP.contains(key)).collect();
    unknown.sort_unstable();
    match unknown.iter().any(|key| nearest(key, TOP).is_some()) {
        true => None,
        false => unknown.first().map(|key| (*key).to_owned()),
    }
}

impl Manifest {
    /// Parses the bytes of a manifest. A byte order mark and CRLF line ends are accepted (C10).
    ///
    /// The path is used only in errors.
    ///
    /// # Errors
    ///
    /// Returns the first [`ManifestError`] in the order of the rules, with its place and a masked excerpt.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, ManifestError> {
        let mark = b"\xef\xbb\xbf";
        let bytes = bytes.strip_prefix(mark).unwrap_or(bytes);
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::read(text).map_err(|located| located.in_file(path.to_owned(), text)),
            Err(error) => {
                let offset = error.valid_up_to();
                // The valid part is enough to count lines. The rest is not text.
                let text = std::str::from_utf8(&bytes[..offset]).unwrap_or_default();
                let located = Located { span: offset..offset, fault: ManifestFault::NotUtf8 { offset } };
                Err(located.in_file(path.to_owned(), text))
            }
        }
    }

    fn read(text: &str) -> Result<Self, Located> {
        let document = DeTable::parse(text).map_err(|error| Located {
            span: error.span().unwrap_or(0..0),
            fault: ManifestFault::Syntax { message: error.message().to_owned() },
        })?;
        let top = Table::open("", document.get_ref(), 0..0, TOP)?;
        let lines = Lines::of(text);
        let manifest = Self {
            name: top.checked("name", names::PROJECT, names::is_project)?,
            image: top.checked("image", names::REFERENCE, names::is_reference)?,
            build: build(&top)?,
            env_files: env_files(&top, &lines)?,
            environment: pairs(&top, "env")?,
            secrets: named(&top, "secrets", &lines, Secret::read)?,
            services: named(&top, "services", &lines, Service::read)?,
            init: init(&top, &lines)?,
            processes: processes(&top, &lines)?,
            run: run(&top, &lines)?,
        };
        manifest.check(&top)?;
        Ok(manifest)
    }

    /// Checks the rules that concern several tables.
    fn check(&self, top: &Table<'_>) -> Result<(), Located> {
        let public: HashSet<&str> = self.environment.iter().map(|(name, _)| name.as_str()).collect();
        for secret in &self.secrets {
            if public.contains(secret.name.as_str()) {
                let why = "cannot both be: one is secret, the other public";
                return Err(conflict(top, ("secrets", &secret.name), ("env", &secret.name), why));
            }
        }
        for service in &self.services {
            let Some(external) = &service.external else { continue };
            let (key, name) = (external.login.key(), external.login.secret());
            let fits = |secret: &Secret| {
                secret.scope == Scope::Run && secret.value.is_none() && secret.delivery == Delivery::Variable
            };
            if !self.secret(name).is_some_and(fits) {
                let path = ["services", &service.name, "external", key];
                let rule = "name a secret of [secrets] that is declared as { scope = \"run\" }";
                return Err(broken(&path.join("."), rule, span_of(top, &path)));
            }
        }
        for (at, service) in self.services.iter().enumerate().filter(|(_, service)| service.primary) {
            let rival =
                self.services[..at].iter().find(|earlier| earlier.primary && earlier.family() == service.family());
            if let Some(rival) = rival {
                let why = "are both primary; one service owns the standard names";
                return Err(conflict(top, ("services", &service.name), ("services", &rival.name), why));
            }
        }
        let twin = |process: &&Process| self.service(&process.name).is_some();
        if let Some(process) = self.processes.iter().find(twin) {
            let why = "have one name, by which `prun logs` chooses";
            return Err(conflict(top, ("processes", &process.name), ("services", &process.name), why));
        }
        Ok(())
    }

    /// Returns the secrets that a build offers to its steps.
    pub fn build_secrets(&self) -> impl Iterator<Item = &Secret> {
        self.secrets.iter().filter(|secret| secret.in_build())
    }

    /// Returns the secrets that the running app gets.
    pub fn run_secrets(&self) -> impl Iterator<Item = &Secret> {
        self.secrets.iter().filter(|secret| secret.in_run())
    }

    /// Returns the declared secret of this name.
    #[must_use]
    pub fn secret(&self, name: &str) -> Option<&Secret> {
        self.secrets.iter().find(|secret| secret.name == name)
    }

    /// Returns the declared service of this name.
    #[must_use]
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name == name)
    }

    /// Returns the service that is marked as the owner of a family's standard names.
    #[must_use]
    pub fn primary(&self, family: Family) -> Option<&Service> {
        self.services.iter().find(|service| service.primary && service.family() == family)
    }

    /// Returns the secrets that may make the tools read a file, a command's output or a variable of the process
    /// environment, by `from` or by their own names. A stranger's manifest may not do so before the user trusts it.
    pub fn acting_secrets(&self) -> impl Iterator<Item = &Secret> {
        self.secrets.iter().filter(|secret| secret.value.is_none())
    }
}

impl Service {
    /// Returns the family of names that the service injects.
    #[must_use]
    pub fn family(&self) -> Family {
        self.kind.family()
    }
}

/// Finds the position of a value within tables.
fn span_of(top: &Table<'_>, path: &[&str]) -> std::ops::Range<usize> {
    let (first, rest) = path.split_first().expect("a path has a key");
    let mut value = top.get(first);
    for key in rest {
        value = value.and_then(|value| value.get_ref().as_table()).and_then(|table| table.get(*key));
    }
    value.map_or(0..0, Spanned::span)
}

fn conflict(top: &Table<'_>, one: (&str, &str), other: (&str, &str), why: &'static str) -> Located {
    let span = top
        .get(one.0)
        .and_then(|value| value.get_ref().as_table())
        .and_then(|table| table.keys().find(|key| key.get_ref() == one.1))
        .map_or(0..0, Spanned::span);
    let path = |(table, name): (&str, &str)| format!("{table}.{name}");
    Located { span, fault: ManifestFault::Conflict { one: path(one), other: path(other), why } }
}

fn build(top: &Table<'_>) -> Result<Build, Located> {
    let Some((table, span)) = top.table("build")? else {
        return Ok(Build::default());
    };
    let table = Table::open("build", table, span, BUILD)?;
    Ok(Build {
        context: table.checked("context", "be a folder below the manifest's, without `..`", is_below)?,
        dockerfile: table.checked("dockerfile", "be a path", |path| !path.is_empty() && !path.contains('\0'))?,
        target: table.checked("target", "be a stage's name", |stage| !stage.is_empty())?,
        args: pairs(&table, "args")?,
        inject: table.choice("inject", &["all", "mounted"], &[Inject::All, Inject::Mounted])?.unwrap_or_default(),
    })
}

/// Reads the processes. Without their table there is a single process, which runs the image's own command with the
/// settings of `[run]`.
fn processes(top: &Table<'_>, lines: &Lines) -> Result<Processes, Located> {
    let run = top.table("run")?.map(|(table, span)| Table::open("run", table, span, RUN)).transpose()?;
    let Some((table, span)) = top.table("processes")? else {
        return Ok(Processes::one(run.map_or_else(|| Ok(Process::default()), |run| Process::of_run(&run, lines))?));
    };
    if let Some((run, key)) =
        run.and_then(|run| OF_ONE_PROCESS.iter().find(|key| run.get(key).is_some()).map(|key| (run, key)))
    {
        return Err(run.conflict_with(
            key,
            "processes",
            "exclude each other: with processes it stands below one of them",
        ));
    }
    let names = Table::of_names("processes", table, span.clone());
    let read = |(name, value): (At<&str>, &Spanned<DeValue<'_>>)| {
        let path = names.path(name.value);
        if !names::is_label(name.value) {
            return Err(broken(&path, names::LABEL, name.span));
        }
        let (table, span) = as_table(&path, value)?;
        Process::read(name.value, &Table::open(&path, table, span, PROCESS)?, lines)
    };
    let all: Vec<Process> = names.entries().into_iter().map(read).collect::<Result<_, _>>()?;
    Processes::new(all).ok_or_else(|| broken("processes", "name at least one process", span))
}

fn run(top: &Table<'_>, lines: &Lines) -> Result<Run, Located> {
    match top.table("run")? {
        Some((table, span)) => Run::read(&Table::open("run", table, span, RUN)?, lines),
        None => Ok(Run::default()),
    }
}

fn env_files(top: &Table<'_>, lines: &Lines) -> Result<Vec<EnvFile>, Located> {
    let mut files = Vec::new();
    for (table, span) in tables(top, "env_files", "a list of tables such as { path = \".env\" }")? {
        let file = EnvFile::read(&Table::open("env_files", table, span, ENV_FILE)?, lines, &files)?;
        files.push(file);
    }
    Ok(files)
}

/// Reads a table of variables, `NAME = "value"`.
fn pairs(parent: &Table<'_>, key: &str) -> Result<Vec<(String, String)>, Located> {
    let name = ("be a variable's name: letters, digits and `_`", names::is_variable as fn(&str) -> bool);
    let value = ("hold no NUL character", (|value: &str| !value.contains('\0')) as fn(&str) -> bool);
    pairs_of(parent, key, name, value)
}

/// Reads a table of tables whose keys are names.
fn named<T>(
    top: &Table<'_>,
    key: &str,
    lines: &Lines,
    read: impl Fn(&Table<'_>, &str, std::ops::Range<usize>, &Spanned<DeValue<'_>>, &Lines) -> Result<T, Located>,
) -> Result<Vec<T>, Located> {
    let Some((table, span)) = top.table(key)? else {
        return Ok(Vec::new());
    };
    let table = Table::of_names(key, table, span);
    table.entries().into_iter().map(|(name, value)| read(&table, name.value, name.span, value, lines)).collect()
}

fn init(top: &Table<'_>, lines: &Lines) -> Result<Vec<Init>, Located> {
    let mut commands = Vec::new();
    for (table, span) in tables(top, "init", "a list of tables, each headed [[init]]")? {
        let command = Init::read(&Table::open("init", table, span, INIT)?, lines, &commands)?;
        commands.push(command);
    }
    Ok(commands)
}

/// Reads a list of tables. An absent list counts as empty.
fn tables<'t>(
    top: &Table<'t>,
    key: &str,
    expected: &'static str,
) -> Result<Vec<(&'t DeTable<'t>, std::ops::Range<usize>)>, Located> {
    let Some(value) = top.get(key) else {
        return Ok(Vec::new());
    };
    let DeValue::Array(items) = value.get_ref() else {
        return Err(wrong_type(key, expected, value));
    };
    items.iter().map(|item| as_table(key, item)).collect()
}

#[cfg(test)]
mod tests;
