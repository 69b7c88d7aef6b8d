//! Chooses the app among the services of a compose file that are built from the project's files.

use std::path::{Path, PathBuf};

use super::names::kind_of;
use super::yaml::Yaml;

/// The user's choice of the app, for a project with several apps.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Choice<'a> {
    /// The name of the app's service.
    pub(super) service: Option<&'a str>,
    /// The app's Dockerfile, below the project's folder.
    pub(super) dockerfile: Option<&'a Path>,
}

/// A service that is built from a folder of the project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct App<'y> {
    pub(super) name: &'y str,
    /// The context, below the project's folder. It is empty for the folder itself.
    pub(super) context: PathBuf,
    /// The Dockerfile, also below the project's folder; `None` if its path is not known.
    dockerfile: Option<PathBuf>,
    has_ports: bool,
    has_database: bool,
}

/// Lists the services that are built from folders of the project. `plain` returns a text if no value of a variable
/// takes part in it.
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

/// Finds the app: the one that the user chose; or else one that is built from the project's own folder; or else one
/// that uses a database. Among equal candidates, an app that publishes ports comes first, and then the first one in
/// the file.
pub(super) fn choose<'a, 'y>(apps: &'a [App<'y>], choice: Choice<'_>) -> Option<&'a App<'y>> {
    if let Some(name) = choice.service {
        return apps.iter().find(|app| app.name == name);
    }
    let named = choice.dockerfile.map(|file| apps.iter().find(|app| app.dockerfile.as_deref() == Some(file)));
    match named {
        Some(Some(app)) => Some(app),
        // A Dockerfile that belongs to no service is taken for the app in the project's own folder.
        Some(None) => best(apps.iter().filter(|app| app.is_here())),
        None => best(apps.iter()),
    }
}

fn best<'a, 'y: 'a>(apps: impl Iterator<Item = &'a App<'y>>) -> Option<&'a App<'y>> {
    let rank = |app: &App<'_>| match app.is_here() {
        true => (true, app.has_ports, app.has_database),
        false => (false, app.has_database, app.has_ports),
    };
    // Among equal elements, `max_by_key` returns the last one, so the list is reversed.
    let mut apps: Vec<&App<'y>> = apps.collect();
    apps.reverse();
    apps.into_iter().max_by_key(|app| rank(app))
}

impl App<'_> {
    /// Whether it is built from the same folder with the same Dockerfile as another one.
    pub(super) fn is_built_as(&self, other: &App<'_>) -> bool {
        self.context == other.context && self.dockerfile == other.dockerfile
    }

    /// Returns whether the app is built from the project's own folder.
    pub(super) fn is_here(&self) -> bool {
        self.context.as_os_str().is_empty()
    }
}

/// Lists the services that a service depends on, in either of Compose's spellings.
fn depends_on(service: &Yaml) -> Vec<String> {
    match service.get("depends_on") {
        Some(Yaml::Map(entries)) => entries.iter().map(|(name, _)| name.clone()).collect(),
        Some(list) => list.items().iter().filter_map(Yaml::text).collect(),
        None => Vec::new(),
    }
}

/// Normalises a path below the project's folder. Returns `None` for a path that leads out of it, and for an address.
fn inside(path: &Path) -> Option<PathBuf> {
    if path.to_str().is_some_and(|text| text.contains("://") || text.starts_with("git@")) {
        return None;
    }
    super::below_or_at(path)
}
