//! Decides what a first manifest says about each name, from the project's files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::arguments::Argument;
use super::compose::{Composition, InitDraft, ProcessDraft, SecretSource, ServiceDraft, VariableSource};
use super::names::{Family, alias, is_injected, is_of_the_service, is_predefined_argument, looks_secret};
use super::variables::Variables;
use crate::files::mention::{holds_word, is_read_by_a_program_of};

/// The word in `--public` for all variables that do not look secret.
const ALL: &str = "all";

/// The facts that the project's files hold.
pub(super) struct ProjectFiles<'a> {
    /// The name of the project's folder. It is used if no file gives the project a name.
    pub(super) folder_name: String,
    /// The build's context below the folder, if it is not the folder itself.
    pub(super) context: Option<String>,
    /// The Dockerfile's text. It is empty if there is no Dockerfile.
    pub(super) dockerfile: &'a str,
    /// The Dockerfile's path, if it is not the default one.
    pub(super) dockerfile_path: Option<String>,
    pub(super) arguments: Vec<Argument>,
    /// A port mapping such as `127.0.0.1:3000:3000` for each port that the Dockerfile exposes. The address keeps the
    /// port on this machine.
    pub(super) exposed: Vec<String>,
    /// The IDs of the secrets that the Dockerfile mounts, with the lines.
    pub(super) mounted: Vec<(String, usize)>,
    /// The text of `.npmrc` and similar files, which name variables for programs.
    pub(super) tool_files: String,
    pub(super) variables: &'a Variables,
    pub(super) composition: Option<Composition>,
    /// The names that the user declares public.
    pub(super) public: &'a BTreeSet<String>,
    /// Returns whether a variable has a value in the process environment.
    pub(super) in_environment: &'a dyn Fn(&str) -> bool,
    /// Returns whether a path leads to a file in the project's folder. Other paths are not read, because the compose
    /// file may come from a stranger.
    pub(super) is_file: &'a dyn Fn(&Path) -> bool,
}

/// A secret of the new manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SecretDraft {
    pub(super) name: String,
    /// The entry's value in TOML, such as `{ scope = "build" }`.
    pub(super) entry: String,
    /// The reason for the entry, for a comment.
    pub(super) why: String,
    /// Whether the entry is in force. Otherwise it is written as a comment that says what to do.
    pub(super) active: bool,
}

/// A public variable or argument. If it has no value, it is written as a comment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PublicDraft {
    pub(super) name: String,
    pub(super) value: Option<String>,
    pub(super) why: String,
}

/// The whole new manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Draft {
    pub(super) name: String,
    pub(super) image: String,
    pub(super) context: Option<String>,
    pub(super) dockerfile: Option<String>,
    pub(super) target: Option<String>,
    pub(super) arguments: Vec<PublicDraft>,
    pub(super) env_files: Vec<PathBuf>,
    pub(super) environment: Vec<PublicDraft>,
    pub(super) secrets: Vec<SecretDraft>,
    pub(super) services: Vec<ServiceDraft>,
    pub(super) init: Vec<InitDraft>,
    /// The processes, of which there is at least one.
    pub(super) processes: Vec<ProcessDraft>,
    pub(super) volumes: Vec<String>,
    /// What was left out on purpose, with the reasons.
    pub(super) left_out: Vec<String>,
}

impl Draft {
    /// Decides which entries the new manifest has.
    pub(super) fn new(found: ProjectFiles<'_>) -> Self {
        let composition = found.composition.clone().unwrap_or_default();
        let families: Vec<Family> = composition.services.iter().map(ServiceDraft::family).collect();
        let name = project_name(composition.name.as_deref().unwrap_or(&found.folder_name));
        let plain_image = composition.image.filter(|image| papp::is_reference(image));
        let mut processes = composition.processes;
        if processes.is_empty() {
            processes.push(ProcessDraft::default());
        }
        if let [app, ..] = processes.as_mut_slice()
            && app.ports.is_empty()
        {
            app.ports.clone_from(&found.exposed);
        }
        let mut planner = Planner {
            found: &found,
            families,
            app: composition.environment,
            draft: Self {
                image: plain_image.unwrap_or_else(|| format!("{name}:latest")),
                name,
                context: found.context.clone(),
                dockerfile: found
                    .dockerfile_path
                    .clone()
                    .or(composition.dockerfile.filter(|file| file != "Dockerfile")),
                target: composition.target,
                services: composition.services,
                init: composition.init,
                processes,
                volumes: composition.volumes,
                left_out: composition.left_out,
                ..Self::default()
            },
        };
        for (id, source) in &composition.secrets {
            planner.compose_secret(id, source);
        }
        for (id, line) in &found.mounted {
            planner.mounted(id, *line);
        }
        for (name, given) in &composition.arguments {
            planner.compose_argument(name, given);
        }
        for argument in &found.arguments {
            planner.argument(argument);
        }
        let app: Vec<String> = planner.app.iter().map(|(name, _)| name.clone()).collect();
        let in_files = found.variables.iter().map(|variable| variable.name.to_string());
        for name in app.into_iter().chain(in_files) {
            planner.variable(&name);
        }
        planner.finish()
    }
}

struct Planner<'a> {
    found: &'a ProjectFiles<'a>,
    families: Vec<Family>,
    app: Vec<(String, VariableSource)>,
    draft: Draft,
}

impl Planner<'_> {
    fn is_known(&self, name: &str) -> bool {
        self.draft.secrets.iter().any(|secret| secret.name == name)
            || self.draft.environment.iter().chain(&self.draft.arguments).any(|public| public.name == name)
    }

    /// Returns whether the user declares a variable public: by its name, or with `all`, which covers every variable
    /// that does not look secret.
    fn is_public(&self, name: &str) -> bool {
        let is_hidden = || self.found.variables.get(name).is_some_and(|variable| !variable.looks_public());
        self.found.public.contains(name) || (self.found.public.contains(ALL) && !looks_secret(name) && !is_hidden())
    }

    /// Returns whether a variable is secret, by its name or because its value is a URL with a password.
    fn is_secret(&self, name: &str) -> bool {
        let holds_credentials =
            || self.found.variables.get(name).is_some_and(super::variables::Variable::holds_credentials);
        !self.is_public(name) && (looks_secret(name) || holds_credentials())
    }

    fn app_gets(&self, name: &str) -> bool {
        self.app.iter().any(|(known, _)| known == name)
    }

    fn public_value(&self, name: &str, given: Option<&VariableSource>) -> Option<String> {
        match given {
            Some(VariableSource::Text(text)) => Some(text.clone()),
            Some(VariableSource::Variable(other)) => self.found.variables.get(other)?.public_text(),
            Some(VariableSource::Hidden) => None,
            Some(VariableSource::Itself) | None => self.found.variables.get(name)?.public_text(),
        }
    }

    /// Adds a secret that the compose file gives to the build.
    fn compose_secret(&mut self, id: &str, source: &SecretSource) {
        if self.is_known(id) || psecret::SecretName::parse(id).is_err() {
            return;
        }
        let why = "a secret of the build in the compose file";
        match source {
            SecretSource::Variable(variable) if variable == id => self.secret(id, Some(why.to_owned())),
            SecretSource::Variable(variable) => self.secret_from(id, "env", variable, why),
            SecretSource::File(file) => self.secret_from(id, "file", file, why),
            SecretSource::Unknown => self.secret(id, Some(why.to_owned())),
        }
    }

    /// Adds a secret of the build whose value comes from a variable of another name or from a file.
    fn secret_from(&mut self, id: &str, kind: &str, place: &str, why: &str) {
        let entry = format!("{{ scope = \"build\", from = {{ {kind} = {} }} }}", toml_edit::Value::from(place));
        let there = match kind {
            "env" => (self.found.in_environment)(place),
            _ => (self.found.is_file)(Path::new(place)),
        };
        let missing = match (there, kind) {
            (true, _) => String::new(),
            (false, "env") => format!("; {place} has no value here yet, and builds go on without it"),
            (false, _) => format!("; there is no {place} in this folder yet, and builds go on without it"),
        };
        let entry = if there { entry } else { optional(&entry) };
        self.draft.secrets.push(SecretDraft {
            name: id.to_owned(),
            entry,
            why: format!("{why}{missing}"),
            active: true,
        });
    }

    /// Adds a secret that a step of the Dockerfile mounts.
    fn mounted(&mut self, id: &str, line: usize) {
        if !self.is_known(id) && psecret::SecretName::parse(id).is_ok() {
            self.secret(id, Some(format!("line {line} of the Dockerfile mounts it")));
        }
    }

    /// Adds a build argument that the compose file gives: as a secret if its name looks secret, and otherwise as
    /// configuration. Docker writes build arguments into the image's history, so the value of such an argument is
    /// already public.
    fn compose_argument(&mut self, name: &str, given: &VariableSource) {
        if self.is_known(name) || !is_variable(name) {
            return;
        }
        if self.is_secret(name) {
            return self.secret(name, Some("an argument of the build in the compose file".to_owned()));
        }
        let value = match given {
            VariableSource::Text(text) => Some(text.clone()),
            VariableSource::Hidden | VariableSource::Variable(_) | VariableSource::Itself if self.is_public(name) => {
                self.public_value(name, Some(given))
            }
            VariableSource::Hidden | VariableSource::Variable(_) | VariableSource::Itself => None,
        };
        let why = match value {
            Some(_) => "an argument of the build in the compose file".to_owned(),
            None => format!(
                "the compose file takes it from elsewhere; `pbuild new --force --public {name}` writes its value here"
            ),
        };
        self.draft.arguments.push(PublicDraft { name: name.to_owned(), value, why });
    }

    fn argument(&mut self, argument: &Argument) {
        let name = &argument.name;
        if argument.has_default || is_predefined_argument(name) || self.is_known(name) {
            return;
        }
        let place = format!("ARG of line {} of the Dockerfile", argument.line);
        if self.is_secret(name) {
            return self.secret(name, Some(place));
        }
        let value = if self.is_public(name) { self.public_value(name, None) } else { None };
        let why = match &value {
            Some(_) => place,
            None if self.found.variables.has_value(name) => {
                format!("{place}; an env file has it: `pbuild new --force --public {name}` writes its value here")
            }
            None => format!("{place} has no default"),
        };
        self.draft.arguments.push(PublicDraft { name: name.clone(), value, why });
    }

    /// Adds a variable of the app or of an env file.
    fn variable(&mut self, name: &str) {
        if self.is_known(name) {
            return;
        }
        let steers = psecret::SecretName::parse(name).is_ok_and(|name| name.steers_programs());
        if !is_variable(name) || steers {
            self.draft.left_out.push(format!(
                "{name}: {}",
                if steers { "it changes how programs run" } else { "no shell can read a variable of this name" }
            ));
        } else if is_injected(name, &self.families) {
            self.draft.left_out.push(format!("{name}: prun sets it, from the service that it starts"));
        } else if is_of_the_service(name) && !self.families.is_empty() {
            self.draft.left_out.push(format!("{name}: prun makes the credentials of the services itself"));
        } else if let Some(injected) = alias(name, &self.families) {
            self.draft.secrets.push(SecretDraft {
                name: name.to_owned(),
                entry: format!("{{ value = \"${{{injected}}}\" }}"),
                why: "from the service that prun starts".to_owned(),
                active: true,
            });
        } else if self.is_secret(name) {
            self.secret(name, None);
        } else {
            let given = self.app.iter().find(|(known, _)| known == name).map(|(_, given)| given.clone());
            let value = if self.is_public(name) { self.public_value(name, given.as_ref()) } else { None };
            let why = if value.is_some() { "you called it public" } else { "" };
            self.draft.environment.push(PublicDraft { name: name.to_owned(), value, why: why.to_owned() });
        }
    }

    /// Adds a secret: for the build if an argument or a command needs it, and otherwise for the app.
    fn secret(&mut self, name: &str, argument: Option<String>) {
        let dockerfile = self.found.dockerfile;
        let mentioned = holds_word(dockerfile, name) || holds_word(&self.found.tool_files, name);
        let by_program = is_read_by_a_program_of(dockerfile, name);
        let (scope, why) = match argument {
            Some(why) if self.app_gets(name) => ("", format!("{why}; the app gets it too")),
            Some(why) => ("build", why),
            None if by_program && !self.app_gets(name) => {
                ("build", "a program that the Dockerfile runs reads it".to_owned())
            }
            None if mentioned || by_program => ("", "the Dockerfile mentions it".to_owned()),
            None => ("run", "nothing in the Dockerfile mentions it".to_owned()),
        };
        let entry = if scope.is_empty() { "{}".to_owned() } else { format!("{{ scope = \"{scope}\" }}") };
        let at_hand = self.found.variables.has_value(name) || (self.found.in_environment)(name);
        let (entry, why) = match at_hand {
            true => (entry, why),
            false => {
                (optional(&entry), format!("{why}; without a value until `pbuild secrets set {name}` gives it one"))
            }
        };
        self.draft.secrets.push(SecretDraft { name: name.to_owned(), entry, why, active: true });
    }

    fn finish(mut self) -> Draft {
        // A build is refused if none of its secrets can be searched for, so such secrets are written as comments.
        let variables = self.found.variables;
        let counts = |secret: &SecretDraft| {
            secret.active && !secret.entry.contains("value =") && !secret.entry.contains(OPTIONAL)
        };
        let is_searched = |secret: &SecretDraft| {
            counts(secret) && variables.get(&secret.name).is_none_or(|variable| variable.searchability().is_searched())
        };
        if !self.draft.secrets.iter().any(is_searched) {
            for secret in self.draft.secrets.iter_mut().filter(|secret| counts(secret)) {
                secret.active = false;
                secret.why.push_str(
                    "; its value is too short or too common to be searched for: change it, and uncomment the line",
                );
            }
        }
        let used: BTreeSet<&Path> =
            self.draft.secrets.iter().filter_map(|secret| Some(variables.get(&secret.name)?.file.as_path())).collect();
        let mut files: Vec<PathBuf> = variables.iter().map(|variable| variable.file.clone()).collect();
        files.dedup();
        let mut seen = BTreeSet::new();
        self.draft.env_files =
            files.into_iter().filter(|file| used.contains(file.as_path()) && seen.insert(file.clone())).collect();
        self.draft
    }
}

/// The setting of a secret that may lack a value.
const OPTIONAL: &str = "optional = true";

/// Adds [`OPTIONAL`] to an entry, so that its secret may lack a value.
fn optional(entry: &str) -> String {
    match entry.strip_suffix(" }") {
        Some(settings) => format!("{settings}, {OPTIONAL} }}"),
        None => format!("{{ {OPTIONAL} }}"),
    }
}

fn is_variable(name: &str) -> bool {
    psecret::SecretName::parse(name).is_ok_and(|name| name.is_variable())
}

/// Turns a text into a project name that is valid in a manifest.
fn project_name(text: &str) -> String {
    let text: String = text
        .to_ascii_lowercase()
        .chars()
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_') { c } else { '-' })
        .collect();
    let text: String = text.trim_start_matches(['-', '_']).chars().take(48).collect();
    let text = text.trim_end_matches(['-', '_']);
    if text.is_empty() { "app".to_owned() } else { text.to_owned() }
}
