//! The services of a compose file that are built from the project's files: which of them is the app.

use std::path::{Path, PathBuf};

use super::names::kind_of;
use super::yaml::Yaml;

/// What the user said about the app, where there are several.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Choice<'a> {
    /// The name of its service.
    pub(super) service: Option<&'a str>,
    /// Its Dockerfile, below the project's folder.
    pub(super) dockerfile: Option<&'a Path>,
}

/// A service that is built from a folder of the project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct App<'y> {
    pub(super) name: &'y str,
    /// The context, below the project's folder; empty for the folder itself.
    pub(super) context: PathBuf,
    /// The Dockerfile, below the project's folder too, where it can be known.
    dockerfile: Option<PathBuf>,
    has_ports: bool,
    has_database: bool,
}

/// Lists the services that are built from folders of the project. `plain` reads a text without values of variables.
pub(super) fn apps<'y>(services: &'y [(String, Yaml)], plain: &dyn Fn(&Yaml) -> Option<String>) -> Vec<App<'y>> {
    let is_database = |name: &String| {
        let service = services.iter().find(|(known, _)| known == name).map(|(_, service)| service);
        service.and_then(|service| service.get("image")?.text()).is_some_and(|image| kind_of(&image).is_some())
    };
    let app = |(name, service): &'y (String, Yaml)| {
        let build = service.get("build")?;
        let context = match build {
            Yaml::Text(_) => plain(build)?,
            _ => build.get("context").map_or_else(|| Some(".".to_owned()), plain)?,
        };
        let context = inside(Path::new(&context))?;
        let file = build.get("dockerfile").map_or_else(|| Some("Dockerfile".to_owned()), plain);
        Some(App {
            name,
            dockerfile: file.and_then(|file| inside(&context.join(file))),
            context,
            has_ports: service.get("ports").is_some(),
            has_database: depends_on(service).iter().any(is_database),
        })
    };
    services.iter().filter_map(app).collect()
}

/// Finds the app: the one that was chosen; else one that is built from the project's own folder; else one that uses a
/// database; of those that are alike in this, one that people can reach. The first in the file counts.
pub(super) fn choose<'a, 'y>(apps: &'a [App<'y>], choice: Choice<'_>) -> Option<&'a App<'y>> {
    if let Some(name) = choice.service {
        return apps.iter().find(|app| app.name == name);
    }
    let named = choice.dockerfile.map(|file| apps.iter().find(|app| app.dockerfile.as_deref() == Some(file)));
    match named {
        Some(Some(app)) => Some(app),
        // A Dockerfile that no service has belongs to the project's own folder.
        Some(None) => best(apps.iter().filter(|app| app.is_here())),
        None => best(apps.iter()),
    }
}

fn best<'a, 'y: 'a>(apps: impl Iterator<Item = &'a App<'y>>) -> Option<&'a App<'y>> {
    let rank = |app: &App<'_>| match app.is_here() {
        true => (true, app.has_ports, app.has_database),
        false => (false, app.has_database, app.has_ports),
    };
    // Of equals `max_by_key` takes the last.
    let mut apps: Vec<&App<'y>> = apps.collect();
    apps.reverse();
    apps.into_iter().max_by_key(|app| rank(app))
}

impl App<'_> {
    /// Whether it is built from the same folder with the same Dockerfile as another one.
    pub(super) fn is_built_as(&self, other: &App<'_>) -> bool {
        self.context == other.context && self.dockerfile == other.dockerfile
    }

    /// Whether it is built from the project's folder itself.
    pub(super) fn is_here(&self) -> bool {
        self.context.as_os_str().is_empty()
    }
}

/// Lists the services that one waits for, in both spellings.
fn depends_on(service: &Yaml) -> Vec<String> {
    match service.get("depends_on") {
        Some(Yaml::Map(entries)) => entries.iter().map(|(name, _)| name.clone()).collect(),
        Some(list) => list.items().iter().filter_map(Yaml::text).collect(),
        None => Vec::new(),
    }
}

/// Shortens a path below the project's folder, without `.`; `None` for one that leads out of it, and for an address.
fn inside(path: &Path) -> Option<PathBuf> {
    if path.to_str().is_some_and(|text| text.contains("://") || text.starts_with("git@")) {
        return None;
    }
    super::below_or_at(path)
}
