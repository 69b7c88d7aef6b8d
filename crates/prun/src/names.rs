//! The names of everything that a project has in the engine, and the labels that say to which project it belongs.

use std::collections::HashMap;
use std::fmt;

use bollard::models::ContainerSummary;

/// The label with the project's name.
pub(crate) const PROJECT: &str = "io.prun.project";
/// The label with the mark of the state that owns the thing.
pub(crate) const OWNER: &str = "io.prun.owner";
/// The label with the role of the thing.
pub(crate) const ROLE: &str = "io.prun.role";
/// The label with a service's name.
pub(crate) const SERVICE: &str = "io.prun.service";
/// The label with a generation's number.
pub(crate) const GENERATION: &str = "io.prun.generation";
/// The label with an instance's process.
pub(crate) const PROCESS: &str = "io.prun.process";
/// The label with an instance's number among those of its process, from 1.
pub(crate) const INSTANCE: &str = "io.prun.instance";
/// The label with the schedule of an instance's process, in the words of the manifest.
pub(crate) const SCHEDULE: &str = "io.prun.schedule";
/// The beginning of a forwarder's labels: the port that it listens on follows, and the value is the process behind it.
pub(crate) const LISTENS: &str = "io.prun.listens.";
/// The label with the digest of the configuration that the thing was made from.
pub(crate) const CONFIGURATION: &str = "io.prun.configuration";
/// The label with the operator who holds the lock.
pub(crate) const HOLDER: &str = "io.prun.holder";
/// The label with the command for which the lock is held.
pub(crate) const COMMAND: &str = "io.prun.command";
/// The label with the moment since when the lock is held, in seconds since 1970.
pub(crate) const SINCE: &str = "io.prun.since";

/// The role of a container, a volume or a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// An instance of the app.
    App,
    /// A service's container, or the volume with its data.
    Service,
    /// A volume of values in memory, or the holder that keeps it alive.
    Values,
    /// The forwarder of the published ports.
    Ports,
    /// The entrypoint's volume.
    Home,
    /// The project's network.
    Network,
    /// A volume of the app's own.
    Data,
    /// A container of `prun run` or `prun init`.
    Run,
    /// The volume of the sealed state, or a container that reads or changes it.
    State,
    /// A container that never ran: it keeps the log of the instance that failed last.
    Failed,
}

/// The name of an instance among those of its generation: its process and its number, `worker.2`. The process that an app
/// without a table of processes has goes without saying: its second instance is `2`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct InstanceName {
    /// The process.
    pub(crate) process: String,
    /// The number, from 1.
    pub(crate) number: u32,
}

impl InstanceName {
    /// Names an instance of a process.
    #[must_use]
    pub(crate) fn new(process: &str, number: u32) -> Self {
        Self { process: process.to_owned(), number }
    }

    /// Reads the name of an instance from the labels of its container.
    #[must_use]
    pub(crate) fn of(container: &ContainerSummary) -> Option<Self> {
        let labels = container.labels.as_ref();
        let number = label(labels, INSTANCE)?.parse().ok()?;
        // An older prun knew one process, and gave it no label.
        Some(Self::new(label(labels, PROCESS).unwrap_or(papp::APP), number))
    }
}

impl fmt::Display for InstanceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.process == papp::APP {
            write!(f, "{}", self.number)
        } else {
            write!(f, "{}.{}", self.process, self.number)
        }
    }
}

impl Role {
    /// The label's value.
    #[must_use]
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Service => "service",
            Self::Values => "values",
            Self::Ports => "ports",
            Self::Home => "home",
            Self::Network => "network",
            Self::Data => "data",
            Self::Run => "run",
            Self::State => "state",
            Self::Failed => "failed",
        }
    }
}

/// A project's name and owner, from which all its names in the engine follow. Services have names without dots, so
/// names with dots are never those of a service.
#[derive(Clone, Debug)]
pub(crate) struct Project {
    name: String,
    owner: String,
}

impl Project {
    /// Makes the names of a project with this name and this mark of its state.
    #[must_use]
    pub(crate) fn new(name: &str, owner: &str) -> Self {
        Self { name: name.to_owned(), owner: owner.to_owned() }
    }

    /// The project's name.
    #[must_use]
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The mark of its state.
    #[must_use]
    pub(crate) fn owner(&self) -> &str {
        &self.owner
    }

    /// The network of its services and instances.
    #[must_use]
    pub(crate) fn network(&self) -> String {
        self.name.clone()
    }

    /// The volume with the entrypoint, which is also the lock of the init commands.
    #[must_use]
    pub(crate) fn home(&self) -> String {
        format!("{}.prun", self.name)
    }

    /// The volume with the sealed state, and the container that is the project's lock.
    #[must_use]
    pub(crate) fn state(&self) -> String {
        format!("{}.state", self.name)
    }

    /// The forwarder.
    #[must_use]
    pub(crate) fn forwarder(&self) -> String {
        format!("{}.ports", self.name)
    }

    /// Names a service's container, and the volume with its data.
    #[must_use]
    pub(crate) fn service(&self, service: &str) -> String {
        format!("{}-{service}", self.name)
    }

    /// Names the volume with the values of a service, and its holder.
    #[must_use]
    pub(crate) fn service_values(&self, service: &str) -> String {
        format!("{}-{service}.values", self.name)
    }

    /// Names the volume with the values of a generation, and its holder.
    #[must_use]
    pub(crate) fn values(&self, generation: u64) -> String {
        format!("{}.{generation}.values", self.name)
    }

    /// Names an instance; the name is also its host name on the project's network.
    #[must_use]
    pub(crate) fn instance(&self, generation: u64, instance: &InstanceName) -> String {
        format!("{}.{generation}.{instance}", self.name)
    }

    /// The container that keeps the log of the instance that failed last.
    #[must_use]
    pub(crate) fn failed(&self) -> String {
        format!("{}.failed", self.name)
    }

    /// Names a container of `prun run` or `prun init`.
    #[must_use]
    pub(crate) fn one_off(&self, number: u32) -> String {
        format!("{}.run.{number}", self.name)
    }

    /// Whether this is the name of such a container.
    #[must_use]
    pub(crate) fn is_one_off(&self, name: &str) -> bool {
        name.strip_prefix(&self.name).is_some_and(|rest| rest.starts_with(".run."))
    }

    /// Names a volume of the app's own.
    #[must_use]
    pub(crate) fn data(&self, volume: &str) -> String {
        format!("{}_{volume}", self.name)
    }

    /// Returns the labels of something that belongs to this project.
    #[must_use]
    pub(crate) fn labels(&self, role: Role, more: &[(&str, String)]) -> HashMap<String, String> {
        [(PROJECT, self.name.clone()), (OWNER, self.owner.clone()), (ROLE, role.as_str().to_owned())]
            .into_iter()
            .chain(more.iter().map(|(name, value)| (*name, value.clone())))
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}

/// Returns a label's value.
#[must_use]
pub(crate) fn label<'a>(labels: Option<&'a HashMap<String, String>>, name: &str) -> Option<&'a str> {
    labels?.get(name).map(String::as_str)
}

/// Reads the role of a container.
#[must_use]
pub(crate) fn role(container: &ContainerSummary) -> Option<&str> {
    label(container.labels.as_ref(), ROLE)
}

/// Reads the number of the generation that a container belongs to.
#[must_use]
pub(crate) fn number(container: &ContainerSummary) -> Option<u64> {
    label(container.labels.as_ref(), GENERATION)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_service_can_be_called_like_something_of_ours() {
        let project = Project::new("shop", "mark");
        let instance = |process| project.instance(3, &InstanceName::new(process, 1));
        let (home, values) = (project.home(), project.values(3));
        let ours =
            [home, values, project.state(), project.forwarder(), project.failed(), instance("app"), instance("web")];
        for name in ["prun", "state", "ports", "3", "3-values", "3-1", "3-web-1", "values", "failed"] {
            assert!(!ours.contains(&project.service(name)), "{name}");
        }
        // Nor can a process: its instances have a number in the end.
        for process in ["values", "run", "state", "ports"] {
            let name = instance(process);
            assert!(!ours.contains(&name) && !project.is_one_off(&name), "{process}");
        }
    }

    #[test]
    fn an_instance_is_named_by_its_process_unless_that_goes_without_saying() {
        let project = Project::new("shop", "mark");
        let name = |process| InstanceName::new(process, 2);
        assert_eq!((name("app").to_string(), name("worker").to_string()), ("2".to_owned(), "worker.2".to_owned()));
        assert_eq!(project.instance(3, &name("app")), "shop.3.2");
        assert_eq!(project.instance(3, &name("worker")), "shop.3.worker.2");
        let labels = project.labels(Role::App, &[(INSTANCE, "2".to_owned())]);
        let of_older = ContainerSummary { labels: Some(labels), ..ContainerSummary::default() };
        assert_eq!(InstanceName::of(&of_older), Some(name("app")));
    }

    #[test]
    fn everything_says_whose_it_is() {
        let labels = Project::new("shop", "mark").labels(Role::App, &[(GENERATION, "3".to_owned())]);
        assert_eq!(label(Some(&labels), PROJECT), Some("shop"));
        assert_eq!(label(Some(&labels), OWNER), Some("mark"));
        assert_eq!(label(Some(&labels), ROLE), Some("app"));
        assert_eq!(label(Some(&labels), GENERATION), Some("3"));
        assert_eq!(label(None, PROJECT), None);
    }
}
