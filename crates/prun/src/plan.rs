//! The plan of a start: an order and a manifest, joined and checked. Code that works with a plan does not read flags.

pub(crate) mod container;
pub(crate) mod error;
pub(crate) mod order;
pub(crate) mod process;
pub(crate) mod record;
pub(crate) mod request;
pub(crate) mod route;
pub(crate) mod service;

use std::path::{Path, PathBuf};
use std::time::Duration;

use papp::{Check, Deliver, Init, Manifest, Port};
use pcredential::VariableSet;

use container::PlannedVolume;
use error::PlanError;
use order::Order;
use process::{PATIENCE, PlannedProcess, ProcessOrder};
pub(crate) use service::{PlannedExternal, PlannedService, full_name};

/// The purpose of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// Instances of the app's processes.
    Instances,
    /// A command in a container of its own.
    Command,
}

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
    /// The names of the user's secrets that may take the place of an injected variable.
    overriding: Vec<String>,
    /// The commands that run before the app.
    init: Vec<Init>,
    /// The processes, of which there is at least one.
    processes: Vec<PlannedProcess>,
    /// The folder against which the relative host paths of the manifest's volumes are resolved.
    folder: PathBuf,
    /// How values reach the app.
    deliver: Deliver,
    /// How long a service may take to become ready. The health check of the app has its own limit, because the first
    /// start of a database takes longer.
    service_patience: Duration,
}

impl Plan {
    /// Joins the order and the manifest. The order wins over the manifest, except that the limits of a process in the
    /// manifest win over the flags, and that the volumes of both are mounted. `folder` is the manifest's folder, or
    /// else the current one.
    ///
    /// The plan of a single command has one process, without init commands. It publishes only the ports of the flags:
    /// the manifest's ports belong to the app, which may be running.
    ///
    /// # Errors
    ///
    /// Returns [`PlanError`] if the order and the manifest do not make a plan.
    pub(crate) fn new(order: &Order, manifest: &Manifest, folder: &Path, goal: Goal) -> Result<Self, PlanError> {
        let Some(image) = order.image.clone().or_else(|| manifest.image.clone()) else {
            return Err(PlanError::NoImage);
        };
        let (project, project_from) = project(order.project.as_deref(), manifest.name.as_deref(), &image)?;
        let mut services: Vec<PlannedService> =
            manifest.services.iter().map(PlannedService::of_manifest).collect::<Result<_, _>>()?;
        for text in &order.services {
            let service = PlannedService::of_flag(text)?;
            match services.iter_mut().find(|other| other.name == service.name) {
                None => services.push(service),
                // A flag without a version leaves the manifest's.
                Some(other) if other.kind == service.kind => other.image = service.image.or(other.image.take()),
                Some(other) => {
                    return Err(PlanError::TwoKinds {
                        service: service.name,
                        declared: other.kind,
                        ordered: service.kind,
                    });
                }
            }
        }
        let mut environment = manifest.environment.clone();
        for (name, value) in order.container.configuration()? {
            if manifest.secrets.iter().any(|secret| secret.name == name) {
                return Err(PlanError::SecretInEnvironment { name });
            }
            environment.retain(|(other, _)| *other != name);
            environment.push((name, value));
        }
        // Relative paths in flags are resolved against the directory in which the flags were typed.
        let here = order.directory.as_deref().unwrap_or(folder);
        let mut container = order.container.check(here, &order.command)?;
        container.mount_first(manifest.run.volumes.iter().map(|mount| mount.volume.clone()));
        let wait = order.wait.map(Duration::from_secs);
        let ports = order.ports.iter().map(|text| port(text)).collect::<Result<_, _>>()?;
        let processes = match goal {
            Goal::Instances => processes(order, manifest, ports, &ProcessOrder { container: &container, wait })?,
            Goal::Command => vec![PlannedProcess::of_command(ports, container)],
        };
        check_ports(&processes)?;
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
            init: if goal == Goal::Instances { manifest.init.clone() } else { Vec::new() },
            processes,
            folder: folder.to_owned(),
            deliver: manifest.run.deliver,
            service_patience: wait.unwrap_or(PATIENCE),
        })
    }

    /// Adds the services and the public configuration of another plan of the project that this plan lacks.
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

    /// Returns the path of a host folder that is mounted. A relative path is resolved against the manifest's folder.
    /// A missing folder is an error, because docker would create it with root as its owner.
    ///
    /// # Errors
    ///
    /// Returns [`PlanError::VolumeFolder`] if the folder does not exist.
    pub(crate) fn folder_of_host(&self, path: &str) -> Result<PathBuf, PlanError> {
        let path = self.folder.join(path);
        path.canonicalize().map_err(|_| PlanError::VolumeFolder { path })
    }

    /// Checks that all folders of the host exist, before anything is made for the start.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Plan::folder_of_host`].
    pub(crate) fn check_folders(&self) -> Result<(), PlanError> {
        for volume in self.volumes() {
            if let PlannedVolume::Project(volume) | PlannedVolume::Engine(volume) = volume
                && let papp::VolumeSource::Host(path) = &volume.source
            {
                self.folder_of_host(path)?;
            }
        }
        Ok(())
    }

    /// Sets variables to the empty text, unless they have a value.
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
    /// Returns [`PlanError`] for a text that does not name a service.
    pub(crate) fn add(&mut self, services: &[String]) -> Result<(), PlanError> {
        for text in services {
            let service = PlannedService::of_flag(text)?;
            if !self.wants(&service.name) {
                self.services.push(service);
            }
        }
        Ok(())
    }

    /// Drops the composed secrets that `names` does not list.
    pub(crate) fn compose_only(&mut self, names: &[String]) {
        self.composed.retain(|secret| names.contains(&secret.name));
    }

    /// Runs the init commands `init`, and then `program` in the place of the first process. The other processes are
    /// dropped.
    pub(crate) fn run_init(&mut self, init: Vec<Init>, program: Vec<String>) {
        self.init = init;
        self.processes.truncate(1);
        self.processes.iter_mut().for_each(|process| process.run_init(program.clone()));
    }

    /// Returns the project's name.
    #[must_use]
    pub(crate) fn project(&self) -> &str {
        &self.project
    }

    /// Returns where the project's name comes from, for people.
    #[must_use]
    pub(crate) fn project_from(&self) -> &'static str {
        self.project_from
    }

    /// Returns the app's image.
    #[must_use]
    pub(crate) fn image(&self) -> &str {
        &self.image
    }

    /// Returns the services, in the order in which they are added.
    #[must_use]
    pub(crate) fn services(&self) -> &[PlannedService] {
        &self.services
    }

    /// Returns the public configuration.
    #[must_use]
    pub(crate) fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    /// Returns the secrets that are composed of other variables.
    #[must_use]
    pub(crate) fn composed(&self) -> &[papp::Secret] {
        &self.composed
    }

    /// Returns whether a secret of this name may take the place of an injected variable.
    #[must_use]
    pub(crate) fn overrides(&self, name: &str) -> bool {
        self.overriding.iter().any(|other| other == name)
    }

    /// Returns the commands that run before the app.
    #[must_use]
    pub(crate) fn init(&self) -> &[Init] {
        &self.init
    }

    /// Returns the processes, in the order of the manifest. There is at least one.
    #[must_use]
    pub(crate) fn processes(&self) -> &[PlannedProcess] {
        &self.processes
    }

    /// Returns the process for a command that does not name one.
    ///
    /// # Panics
    ///
    /// Never, because a plan has at least one process.
    #[must_use]
    pub(crate) fn first(&self) -> &PlannedProcess {
        self.processes.first().expect("a plan has a process")
    }

    /// Finds a process.
    #[must_use]
    pub(crate) fn process(&self, name: &str) -> Option<&PlannedProcess> {
        self.processes.iter().find(|process| process.name() == name)
    }

    /// Returns the volumes, which all processes share.
    #[must_use]
    pub(crate) fn volumes(&self) -> &[PlannedVolume] {
        self.first().container().volumes()
    }

    /// Returns whether a health check is made from outside of an instance.
    #[must_use]
    pub(crate) fn asks_over_the_network(&self) -> bool {
        self.processes.iter().any(|process| matches!(process.check(), Some(Check::Http { .. })))
    }

    /// Returns the number of instances of all processes.
    #[must_use]
    pub(crate) fn instances(&self) -> u32 {
        self.processes.iter().map(PlannedProcess::replicas).sum()
    }

    /// Returns how values reach the app.
    #[must_use]
    pub(crate) fn deliver(&self) -> Deliver {
        self.deliver
    }

    /// Returns how long a service may take to become ready.
    #[must_use]
    pub(crate) fn service_patience(&self) -> Duration {
        self.service_patience
    }

    /// Returns the external services, each with its name.
    pub(crate) fn externals(&self) -> impl Iterator<Item = (&str, &PlannedExternal)> {
        self.services.iter().filter_map(|service| Some((service.name.as_str(), service.external.as_ref()?)))
    }

    /// Returns whether a service is part of the plan.
    #[must_use]
    pub(crate) fn wants(&self, service: &str) -> bool {
        self.services.iter().any(|planned| planned.name == service)
    }

    /// Returns the further sets of variables, each with the name of the service that fills it.
    #[must_use]
    pub(crate) fn sets(&self) -> Vec<(&str, VariableSet)> {
        let of = |service: &'_ PlannedService| service.sets.clone();
        self.services
            .iter()
            .flat_map(|service| of(service).into_iter().map(|set| (service.name.as_str(), set)))
            .collect()
    }

    /// Returns the services that the manifest marks as the primary ones of their kind.
    pub(crate) fn primaries(&self) -> impl Iterator<Item = &str> {
        self.services.iter().filter(|service| service.primary).map(|service| service.name.as_str())
    }
}

/// Chooses the project's name, and returns it together with a description of where it comes from.
///
/// # Errors
///
/// Returns [`PlanError`] if the name cannot be the name of a project.
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

/// Derives a project's name from an image's: `registry:5000/team/shop:1.4` becomes `shop`.
fn of_image(image: &str) -> String {
    let name = image.split('@').next().unwrap_or(image).rsplit('/').next().unwrap_or(image);
    let name = name.split(':').next().unwrap_or(name);
    name.chars().map(|c| if c == '.' { '-' } else { c.to_ascii_lowercase() }).collect()
}

fn port(text: &str) -> Result<Port, PlanError> {
    Port::parse(text).ok_or_else(|| PlanError::Port { flag: text.to_owned() })
}

/// Plans the processes of the manifest.
///
/// # Errors
///
/// Returns [`PlanError::SeveralProcesses`] if a flag is about a single process, and the manifest has several.
fn processes(
    order: &Order,
    manifest: &Manifest,
    ports: Vec<Port>,
    shared: &ProcessOrder<'_>,
) -> Result<Vec<PlannedProcess>, PlanError> {
    let planned = manifest.processes.iter().map(|process| PlannedProcess::of_manifest(process, shared));
    let mut planned: Vec<PlannedProcess> = planned.collect();
    let flags = [
        ("a command behind the image", !order.command.is_empty()),
        ("--entrypoint", order.container.entrypoint.is_some()),
        ("--publish", !ports.is_empty()),
        ("--replicas", order.replicas.is_some()),
    ];
    let ordered = flags.iter().find(|(_, is_there)| *is_there).map(|(flag, _)| *flag);
    match (planned.as_mut_slice(), ordered) {
        (_, None) => {}
        ([only], Some(_)) => {
            only.set(order.replicas, (!ports.is_empty()).then_some(ports));
            only.override_command(&order.command);
        }
        (several, Some(flag)) => {
            let processes = several.iter().map(|process| process.name().to_owned()).collect();
            return Err(PlanError::SeveralProcesses { flag, processes });
        }
    }
    Ok(planned)
}

fn check_ports(processes: &[PlannedProcess]) -> Result<(), PlanError> {
    let ports: Vec<&Port> = processes.iter().flat_map(PlannedProcess::ports).collect();
    for (at, port) in ports.iter().enumerate() {
        let twice = |other: &&&Port| {
            other.host.is_some() && (other.host, other.address, other.udp) == (port.host, port.address, port.udp)
        };
        if let Some(other) = ports[..at].iter().find(twice) {
            return Err(PlanError::SamePort { first: **other, second: **port });
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
        Plan::new(order, &manifest, Path::new("/srv"), Goal::Instances)
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
        assert_eq!((plan.first().name(), plan.instances()), ("app", 1));
    }

    #[test]
    fn the_command_line_wins_over_the_manifest() {
        let manifest = "name = \"shop\"\nimage = \"shop:latest\"\n[run]\nports = [\"8080:80\"]\nreplicas = 3";
        let plain = plan(&Order::default(), manifest).unwrap();
        assert_eq!((plain.project.as_str(), plain.image.as_str(), plain.instances()), ("shop", "shop:latest", 3));
        let flags = Order { project: Some("other".into()), replicas: Some(1), ..order(&[], &["9090:90"]) };
        let flags = plan(&flags, manifest).unwrap();
        assert_eq!((flags.project.as_str(), flags.instances()), ("other", 1));
        assert_eq!(flags.first().ports()[0].host, Some(9090));
        let manifest = format!("{manifest}\n[services.db]\nkind = \"postgres\"\nversion = \"16\"");
        for (flag, image) in [("postgres:17", "postgres:17"), ("postgres", "postgres:16")] {
            let plan = plan(&order(&[flag], &[]), &manifest).unwrap();
            assert_eq!(plan.services[0].image.as_deref(), Some(image));
        }
    }

    const PROCESSES: &str = "image = \"x\"\n[processes.web]\nports = [\"8080:80\"]\n\
         [processes.worker]\ncommand = [\"work\"]\nreplicas = 2\nmemory = \"64m\"\ninit = false\n\
         [processes.admin]\nports = [\"9090:80\"]\n";

    #[test]
    fn processes_share_the_flags_and_have_their_own_commands_ports_and_resources() {
        let order = Order {
            container: order::ContainerOrder { memory: Some("1g".to_owned()), ..order::ContainerOrder::default() },
            ..Order::default()
        };
        let plan = plan(&order, PROCESSES).unwrap();
        let names: Vec<String> =
            plan.processes().iter().flat_map(|process| process.instances().map(|name| name.to_string())).collect();
        assert_eq!(names, ["web.1", "worker.1", "worker.2", "admin.1"]);
        let image = bollard::models::ImageConfig { cmd: Some(vec!["serve".to_owned()]), ..Default::default() };
        let commands: Vec<_> = plan.processes().iter().map(|process| process.container().command_of(&image)).collect();
        assert_eq!(commands, [["serve"], ["work"], ["serve"]]);
        let memory = |name: &str| format!("{:?}", plan.process(name).unwrap().container());
        assert!(
            memory("web").contains("memory: Some(1073741824)") && memory("worker").contains("memory: Some(67108864)")
        );
        assert_eq!(plan.processes().iter().map(|process| process.has_init()).collect::<Vec<_>>(), [true, false, true]);
        let of_image = plan.processes().iter().map(PlannedProcess::keeps_check_of_image);
        assert_eq!(of_image.collect::<Vec<_>>(), [true, false, true], "a worker answers no request");
    }

    #[test]
    fn a_flag_about_one_process_needs_an_app_with_one() {
        let error = plan(&order(&[], &["80:80"]), PROCESSES).unwrap_err();
        assert!(
            matches!(error, PlanError::SeveralProcesses { flag: "--publish", ref processes } if processes.len() == 3)
        );
        let same = PROCESSES.replace("9090", "8080");
        assert!(matches!(plan(&Order::default(), &same), Err(PlanError::SamePort { .. })), "also of two processes");
        // A command of its own has one process, whatever the manifest has.
        let manifest = Manifest::parse(Path::new("app.toml"), PROCESSES.as_bytes()).unwrap();
        let command = Plan::new(&order(&[], &["80:80"]), &manifest, Path::new("/srv"), Goal::Command).unwrap();
        assert_eq!((command.instances(), command.first().ports().len(), command.init().len()), (1, 1, 0));
    }

    #[test]
    fn what_cannot_be_followed_names_the_flag() {
        for (services, ports, word) in [
            (&["oracle"][..], &[][..], "unknown kind `oracle`"),
            (&["postgres=Db"], &[], "`Db` cannot be the name"),
            (&["postgres", "mysql"], &[], "service `db` is"),
            (&[], &["80:x"], "--publish 80:x"),
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
