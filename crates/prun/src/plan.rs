//! The plan of a start: an order and a manifest, joined and checked. Code that works with a plan reads no flags.

pub(crate) mod container;
pub(crate) mod error;
pub(crate) mod order;
pub(crate) mod record;
pub(crate) mod request;
pub(crate) mod service;

use std::path::{Path, PathBuf};
use std::time::Duration;

use papp::{Check, Deliver, Init, Manifest, Port};
use pcredential::VariableSet;

use container::{ContainerFlags, PlannedVolume};
use error::PlanError;
use order::Order;
pub(crate) use service::{PlannedExternal, PlannedService, full_name};

/// How long a service or an instance may take to become ready, by default.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A checked plan. Every name, port, volume and size in it can be used as it is.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The project's name.
    project: String,
    /// Where the project's name comes from, for people.
    project_from: &'static str,
    /// The app's image.
    image: String,
    /// The services, in the order in which they are added.
    services: Vec<PlannedService>,
    /// Public configuration.
    environment: Vec<(String, String)>,
    /// The secrets that are composed of other variables.
    composed: Vec<papp::Secret>,
    /// The user's secrets that may take the place of an injected variable.
    overriding: Vec<String>,
    /// The commands that run before the app.
    init: Vec<Init>,
    /// How many instances run.
    replicas: u32,
    /// The published ports.
    ports: Vec<Port>,
    /// The container's settings by docker's own flags.
    container: ContainerFlags,
    /// The folder in which the host paths of the manifest's volumes begin.
    folder: PathBuf,
    /// How values reach the app.
    deliver: Deliver,
    /// The app's health check, if the manifest has one.
    health: Option<Check>,
    /// How long an instance may take to become ready.
    patience: Duration,
    /// How long a service may take to become ready. The manifest's time limit is not used here, because it is the
    /// app's.
    service_patience: Duration,
}

impl Plan {
    /// Joins the order and the manifest; the order wins. `folder` is the manifest's, else the current one.
    ///
    /// # Errors
    ///
    /// [`PlanError`] if the two cannot be followed.
    pub(crate) fn new(order: &Order, manifest: &Manifest, folder: &Path) -> Result<Self, PlanError> {
        let Some(image) = order.image.clone().or_else(|| manifest.image.clone()) else {
            return Err(PlanError::NoImage);
        };
        let (project, project_from) = project(order.project.as_deref(), manifest.name.as_deref(), &image)?;
        let mut services: Vec<PlannedService> =
            manifest.services.iter().map(PlannedService::of_manifest).collect::<Result<_, _>>()?;
        for text in &order.services {
            let service = PlannedService::of_flag(text)?;
            match services.iter().find(|other| other.name == service.name) {
                None => services.push(service),
                Some(other) if other.kind == service.kind => {}
                Some(other) => {
                    return Err(PlanError::TwoKinds {
                        service: service.name,
                        declared: other.kind,
                        ordered: service.kind,
                    });
                }
            }
        }
        let ports = if order.ports.is_empty() {
            manifest.run.ports.clone()
        } else {
            order.ports.iter().map(|text| port(text)).collect::<Result<_, _>>()?
        };
        check_ports(&ports)?;
        let mut environment = manifest.environment.clone();
        for (name, value) in order.container.configuration()? {
            if manifest.secrets.iter().any(|secret| secret.name == name) {
                return Err(PlanError::SecretInEnvironment { name });
            }
            environment.retain(|(other, _)| *other != name);
            environment.push((name, value));
        }
        // Relative paths in flags begin where the flags were typed.
        let here = order.directory.as_deref().unwrap_or(folder);
        let mut container = order.container.check(here, &order.command)?;
        container.mount_first(manifest.run.volumes.iter().map(|mount| mount.volume.clone()));
        let (health, timeout) = match &manifest.run.health {
            Some(health) => (Some(health.check.clone()), health.timeout),
            None => (None, None),
        };
        Ok(Self {
            project,
            project_from,
            image,
            services,
            environment,
            composed: manifest.run_secrets().filter(|secret| secret.value.is_some()).cloned().collect(),
            overriding: manifest
                .secrets
                .iter()
                .filter(|secret| secret.replaces_injected)
                .map(|secret| secret.name.clone())
                .collect(),
            init: manifest.init.clone(),
            replicas: order.replicas.unwrap_or(manifest.run.replicas),
            ports,
            container,
            folder: folder.to_owned(),
            deliver: manifest.run.deliver,
            health,
            patience: order.wait.map(Duration::from_secs).or(timeout).unwrap_or(PATIENCE),
            service_patience: order.wait.map(Duration::from_secs).unwrap_or(PATIENCE),
        })
    }

    /// Adds the services and the public configuration that another plan of the project has and this one lacks.
    pub(crate) fn inherit(&mut self, other: &Self) {
        for service in &other.services {
            if !self.wants(&service.name) {
                self.services.push(service.clone());
            }
        }
        for (name, value) in &other.environment {
            if self.environment.iter().all(|(known, _)| known != name) {
                self.environment.push((name.clone(), value.clone()));
            }
        }
    }

    /// Returns the path of a host folder that is mounted. A relative path begins in the manifest's folder. A missing
    /// folder is an error, because docker would create it with root as its owner.
    ///
    /// # Errors
    ///
    /// [`PlanError::VolumeFolder`] if it is not there.
    pub(crate) fn folder_of_host(&self, path: &str) -> Result<PathBuf, PlanError> {
        let path = self.folder.join(path);
        path.canonicalize().map_err(|_| PlanError::VolumeFolder { path })
    }

    /// Checks that all folders of the host are there, before anything is made for the start.
    ///
    /// # Errors
    ///
    /// As [`Plan::folder_of_host`].
    pub(crate) fn check_folders(&self) -> Result<(), PlanError> {
        for volume in self.container.volumes() {
            if let PlannedVolume::Project(volume) | PlannedVolume::Engine(volume) = volume
                && let papp::VolumeSource::Host(path) = &volume.source
            {
                self.folder_of_host(path)?;
            }
        }
        Ok(())
    }

    /// Sets variables to nothing, unless they have a value.
    pub(crate) fn set_empty(&mut self, names: &[String]) {
        for name in names {
            if self.environment.iter().all(|(known, _)| known != name) {
                self.environment.push((name.clone(), String::new()));
            }
        }
    }

    /// Adds services, each as `KIND[:VERSION]=NAME`. A service that the plan has already stays as it is.
    ///
    /// # Errors
    ///
    /// [`PlanError`] for a text that names no service.
    pub(crate) fn add(&mut self, services: &[String]) -> Result<(), PlanError> {
        for text in services {
            let service = PlannedService::of_flag(text)?;
            if !self.wants(&service.name) {
                self.services.push(service);
            }
        }
        Ok(())
    }

    /// Leaves out every composed secret but these.
    pub(crate) fn compose_only(&mut self, names: &[String]) {
        self.composed.retain(|secret| names.contains(&secret.name));
    }

    /// Makes this the plan of a single command: without init commands and without ports. Returns the ports.
    pub(crate) fn run_command(&mut self) -> Vec<Port> {
        self.init.clear();
        std::mem::take(&mut self.ports)
    }

    /// Runs these init commands, and then this program in the place of the app.
    pub(crate) fn run_init(&mut self, init: Vec<Init>, program: Vec<String>) {
        self.init = init;
        self.container.run_instead(program);
    }

    /// The project's name.
    #[must_use]
    pub(crate) fn project(&self) -> &str {
        &self.project
    }

    /// Where the project's name comes from, for people.
    #[must_use]
    pub(crate) fn project_from(&self) -> &'static str {
        self.project_from
    }

    /// The app's image.
    #[must_use]
    pub(crate) fn image(&self) -> &str {
        &self.image
    }

    /// The services, in the order in which they are added.
    #[must_use]
    pub(crate) fn services(&self) -> &[PlannedService] {
        &self.services
    }

    /// Public configuration.
    #[must_use]
    pub(crate) fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    /// The secrets that are composed of other variables.
    #[must_use]
    pub(crate) fn composed(&self) -> &[papp::Secret] {
        &self.composed
    }

    /// Whether a secret of this name may take the place of an injected variable.
    #[must_use]
    pub(crate) fn overrides(&self, name: &str) -> bool {
        self.overriding.iter().any(|other| other == name)
    }

    /// The commands that run before the app.
    #[must_use]
    pub(crate) fn init(&self) -> &[Init] {
        &self.init
    }

    /// How many instances run.
    #[must_use]
    pub(crate) fn replicas(&self) -> u32 {
        self.replicas
    }

    /// The published ports.
    #[must_use]
    pub(crate) fn ports(&self) -> &[Port] {
        &self.ports
    }

    /// The container's settings by docker's own flags.
    #[must_use]
    pub(crate) fn container(&self) -> &ContainerFlags {
        &self.container
    }

    /// How values reach the app.
    #[must_use]
    pub(crate) fn deliver(&self) -> Deliver {
        self.deliver
    }

    /// The app's health check, if the manifest has one.
    #[must_use]
    pub(crate) fn health(&self) -> Option<&Check> {
        self.health.as_ref()
    }

    /// How long an instance may take to become ready.
    #[must_use]
    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    /// How long a service may take to become ready.
    #[must_use]
    pub(crate) fn service_patience(&self) -> Duration {
        self.service_patience
    }

    /// The servers that others run, each with its name.
    pub(crate) fn externals(&self) -> impl Iterator<Item = (&str, &PlannedExternal)> {
        self.services.iter().filter_map(|service| Some((service.name.as_str(), service.external.as_ref()?)))
    }

    /// Whether a service is part of the plan.
    #[must_use]
    pub(crate) fn wants(&self, service: &str) -> bool {
        self.services.iter().any(|planned| planned.name == service)
    }

    /// The further sets of variables, each with the service that fills it.
    #[must_use]
    pub(crate) fn sets(&self) -> Vec<(&str, VariableSet)> {
        let of = |service: &'_ PlannedService| service.sets.clone();
        self.services
            .iter()
            .flat_map(|service| of(service).into_iter().map(|set| (service.name.as_str(), set)))
            .collect()
    }

    /// The services that the manifest marks as the primary ones of their kind.
    pub(crate) fn primaries(&self) -> impl Iterator<Item = &str> {
        self.services.iter().filter(|service| service.primary).map(|service| service.name.as_str())
    }
}

/// Chooses the project's name, and says where it comes from.
///
/// # Errors
///
/// [`PlanError`] if the name cannot be the name of a project.
pub(crate) fn project(
    flag: Option<&str>,
    manifest: Option<&str>,
    image: &str,
) -> Result<(String, &'static str), PlanError> {
    let (name, from) = match (flag, manifest) {
        (Some(name), _) => (name.to_owned(), "from --project"),
        (None, Some(name)) => (name.to_owned(), "from app.toml"),
        (None, None) => (of_image(image), "from the image's name"),
    };
    let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    let begins = name.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit());
    if !begins || name.len() > 60 || !name.chars().all(valid) {
        return Err(PlanError::ProjectName { name });
    }
    Ok((name, from))
}

/// Makes a project's name of an image's: `registry:5000/team/shop:1.4` is `shop`.
fn of_image(image: &str) -> String {
    let name = image.split('@').next().unwrap_or(image).rsplit('/').next().unwrap_or(image);
    let name = name.split(':').next().unwrap_or(name);
    name.chars().map(|c| if c == '.' { '-' } else { c.to_ascii_lowercase() }).collect()
}

fn port(text: &str) -> Result<Port, PlanError> {
    Port::parse(text).ok_or_else(|| PlanError::Port { flag: text.to_owned() })
}

fn check_ports(ports: &[Port]) -> Result<(), PlanError> {
    for (at, port) in ports.iter().enumerate() {
        if port.udp {
            return Err(PlanError::UdpPort { port: *port });
        }
        let twice = |other: &&Port| other.host.is_some() && other.host == port.host && other.address == port.address;
        if let Some(other) = ports[..at].iter().find(twice) {
            return Err(PlanError::SamePort { first: *other, second: *port });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use pcredential::ServiceKind;

    use super::*;

    fn order(services: &[&str], ports: &[&str]) -> Order {
        Order {
            image: Some("registry:5000/team/Shop.Web:1.4".to_owned()),
            services: services.iter().map(|text| (*text).to_owned()).collect(),
            ports: ports.iter().map(|text| (*text).to_owned()).collect(),
            ..Order::default()
        }
    }

    fn plan(order: &Order, manifest: &str) -> Result<Plan, PlanError> {
        let manifest = Manifest::parse(Path::new("app.toml"), manifest.as_bytes()).unwrap();
        Plan::new(order, &manifest, Path::new("/srv"))
    }

    #[test]
    fn everything_works_without_a_manifest() {
        let plan = plan(&order(&["postgres", "valkey:8=sessions"], &["8080:80"]), "").unwrap();
        assert_eq!((plan.project.as_str(), plan.project_from), ("shop-web", "from the image's name"));
        let services: Vec<_> = plan.services.iter().map(|s| (s.name.as_str(), s.kind, s.image.as_deref())).collect();
        assert_eq!(
            services,
            [("db", ServiceKind::Postgres, None), ("sessions", ServiceKind::Valkey, Some("valkey/valkey:8"))]
        );
        assert_eq!(plan.replicas, 1);
    }

    #[test]
    fn the_command_line_wins_over_the_manifest() {
        let manifest = "name = \"shop\"\nimage = \"shop:latest\"\n[run]\nports = [\"8080:80\"]\nreplicas = 3";
        let plain = plan(&Order::default(), manifest).unwrap();
        assert_eq!((plain.project.as_str(), plain.image.as_str(), plain.replicas), ("shop", "shop:latest", 3));
        let flags = Order { project: Some("other".into()), replicas: Some(1), ..order(&[], &["9090:90"]) };
        let flags = plan(&flags, manifest).unwrap();
        assert_eq!((flags.project.as_str(), flags.replicas), ("other", 1));
        assert_eq!(flags.ports[0].host, Some(9090));
    }

    #[test]
    fn what_cannot_be_followed_names_the_flag() {
        for (services, ports, word) in [
            (&["oracle"][..], &[][..], "unknown kind `oracle`"),
            (&["postgres=Db"], &[], "`Db` cannot be the name"),
            (&["postgres", "mysql"], &[], "service `db` is"),
            (&[], &["80:x"], "--publish 80:x"),
            (&[], &["53:53/udp"], "UDP"),
            (&[], &["80:80", "80:81"], "the same host port"),
        ] {
            let error = plan(&order(services, ports), "").unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
        }
        let error = plan(&Order::default(), "").unwrap_err();
        assert!(error.to_string().contains("no image"), "{error}");
    }

    #[test]
    fn a_version_chooses_the_tag_and_an_image_everything() {
        let manifest = "image = \"x\"\n[services.db]\nkind = \"postgres\"\nversion = \"15\"\n[services.cache]\nkind = \"redis\"\nimage = \"mine:1\"";
        let plan = plan(&Order::default(), manifest).unwrap();
        assert_eq!(plan.services[0].image.as_deref(), Some("postgres:15"));
        assert_eq!(plan.services[1].image.as_deref(), Some("mine:1"));
    }
}
