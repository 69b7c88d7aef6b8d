//! The names of everything that a project has in the engine, and the labels that show which project a thing belongs
//! to.

use std::collections::HashMap;
use std::fmt;

use bollard::models::ContainerSummary;

/// The label with the project's name.
pub(crate) const PROJECT: &str = "io.prun.project";
/// The label with the project's id, the mark that its state gives to everything of the project.
pub(crate) const OWNER: &str = "io.prun.owner";
/// The label with the thing's [`Role`].
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
/// The beginning of the labels that describe a forwarder's ports. The port on which it listens follows, and the value
/// is the process that takes the connections.
pub(crate) const LISTENS: &str = "io.prun.listens.";
/// The label with the digest of the configuration from which a container was made.
pub(crate) const CONFIGURATION: &str = "io.prun.configuration";
/// The label with the operator who holds the lock.
pub(crate) const HOLDER: &str = "io.prun.holder";
/// The label with the command that the operator runs under the lock.
pub(crate) const COMMAND: &str = "io.prun.command";
/// The label with the time at which the lock was taken, in seconds since 1970.
pub(crate) const SINCE: &str = "io.prun.since";

/// The role of a container, a volume or a network in its project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// An instance of the app.
    App,
    /// A service's container, or the volume with its data.
    Service,
    /// A volume that holds values in memory, or the container that keeps the volume alive (its holder).
    Values,
    /// The container that forwards the published ports.
    Ports,
    /// The volume with the entrypoint.
    Home,
    /// The project's network.
    Network,
    /// A volume that the app declares.
    Data,
    /// A container of `prun run` or `prun init`.
    Run,
    /// The volume of the sealed state, or a container that reads or changes it.
    State,
    /// A container that never ran: it keeps the log of the instance that failed last.
    Failed,
}

/// The name of an instance among the instances of its generation, made of its process and its number: `worker.2`. For
/// the process of an app that has no table of processes, the name is only the number: `2`.
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
        // An older prun had only one process, and its containers have no label for the process.
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
    /// Returns the role as the value of the label [`ROLE`].
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

/// A project's name and owner, from which all its names in the engine follow. The name of a service has no dot, so a
/// name with a dot is never a service's.
#[derive(Clone, Debug)]
pub(crate) struct Project {
    name: String,
    owner: String,
}

impl Project {
    /// Makes the names of a project from its name and its owner's mark.
    #[must_use]
    pub(crate) fn new(name: &str, owner: &str) -> Self {
        Self { name: name.to_owned(), owner: owner.to_owned() }
    }

    /// Returns the project's name.
    #[must_use]
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the owner's mark, which is the project's id.
    #[must_use]
    pub(crate) fn owner(&self) -> &str {
        &self.owner
    }

    /// Returns the name of the network that connects the project's services and instances.
    #[must_use]
    pub(crate) fn network(&self) -> String {
        self.name.clone()
    }

    /// Returns the name of the volume with the entrypoint. A lock on this volume lets only one container at a time run
    /// the init commands.
    #[must_use]
    pub(crate) fn home(&self) -> String {
        format!("{}.prun", self.name)
    }

    /// Returns the name of the volume with the sealed state. The container that is the project's lock has the same
    /// name.
    #[must_use]
    pub(crate) fn state(&self) -> String {
        format!("{}.state", self.name)
    }

    /// Returns the name of the container that forwards the published ports.
    #[must_use]
    pub(crate) fn forwarder(&self) -> String {
        format!("{}.ports", self.name)
    }

    /// Returns the name of a service's container, which is also the name of the volume with its data.
    #[must_use]
    pub(crate) fn service(&self, service: &str) -> String {
        format!("{}-{service}", self.name)
    }

    /// Returns the name of the volume with a service's values, which is also the name of its holder.
    #[must_use]
    pub(crate) fn service_values(&self, service: &str) -> String {
        format!("{}-{service}.values", self.name)
    }

    /// Returns the name of the volume with a generation's values, which is also the name of its holder.
    #[must_use]
    pub(crate) fn values(&self, generation: u64) -> String {
        format!("{}.{generation}.values", self.name)
    }

    /// Returns the name of an instance, which is also its host name on the project's network.
    #[must_use]
    pub(crate) fn instance(&self, generation: u64, instance: &InstanceName) -> String {
        format!("{}.{generation}.{instance}", self.name)
    }

    /// Returns the name of the container that keeps the log of the instance that failed last.
    #[must_use]
    pub(crate) fn failed(&self) -> String {
        format!("{}.failed", self.name)
    }

    /// Returns the name of a container of `prun run` or `prun init`.
    #[must_use]
    pub(crate) fn one_off(&self, number: u32) -> String {
        format!("{}.run.{number}", self.name)
    }

    /// Returns whether this is a name that [`Project::one_off`] makes.
    #[must_use]
    pub(crate) fn is_one_off(&self, name: &str) -> bool {
        name.strip_prefix(&self.name).is_some_and(|rest| rest.starts_with(".run."))
    }

    /// Returns the engine's name of a volume that the app declares.
    #[must_use]
    pub(crate) fn data(&self, volume: &str) -> String {
        format!("{}_{volume}", self.name)
    }

    /// Returns the labels of a container, volume or network of this project.
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
