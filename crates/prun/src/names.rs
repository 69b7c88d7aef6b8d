//! What everything of a project is called in the engine, and the labels that say whose it is.

use std::collections::HashMap;

use bollard::models::ContainerSummary;

/// The label with the project's name.
pub(crate) const PROJECT: &str = "io.prun.project";
/// The label with the mark of the state that made the thing.
pub(crate) const OWNER: &str = "io.prun.owner";
/// The label with what the thing is for.
pub(crate) const ROLE: &str = "io.prun.role";
/// The label with a service's name.
pub(crate) const SERVICE: &str = "io.prun.service";
/// The label with a generation's number.
pub(crate) const GENERATION: &str = "io.prun.generation";
/// The label with an instance's number, from 1.
pub(crate) const INSTANCE: &str = "io.prun.instance";
/// The label with the digest of what the thing was made of.
pub(crate) const CONFIGURATION: &str = "io.prun.configuration";

/// What a container, volume or network is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// One app container.
    App,
    /// A service, or its data.
    Service,
    /// Values in memory, or what keeps them alive.
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
        }
    }
}

/// A project as the engine knows it. Names of services have no dots, so names with dots are ours alone.
#[derive(Clone, Debug)]
pub(crate) struct Project {
    name: String,
    owner: String,
}

impl Project {
    /// A project and the mark of its state.
    #[must_use]
    pub(crate) fn new(name: &str, owner: &str) -> Self {
        Self { name: name.to_owned(), owner: owner.to_owned() }
    }

    /// Its name.
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

    /// The forwarder.
    #[must_use]
    pub(crate) fn forwarder(&self) -> String {
        format!("{}.ports", self.name)
    }

    /// A service's container, and the volume with its data.
    #[must_use]
    pub(crate) fn service(&self, service: &str) -> String {
        format!("{}-{service}", self.name)
    }

    /// The values of a service, and what keeps them alive.
    #[must_use]
    pub(crate) fn service_values(&self, service: &str) -> String {
        format!("{}-{service}.values", self.name)
    }

    /// The values of a generation, and what keeps them alive.
    #[must_use]
    pub(crate) fn values(&self, generation: u64) -> String {
        format!("{}.{generation}.values", self.name)
    }

    /// An instance; also its host name on the project's network.
    #[must_use]
    pub(crate) fn instance(&self, generation: u64, instance: u32) -> String {
        format!("{}.{generation}.{instance}", self.name)
    }

    /// A container of `prun run` or `prun init`.
    #[must_use]
    pub(crate) fn one_off(&self, number: u32) -> String {
        format!("{}.run.{number}", self.name)
    }

    /// Whether a name is one of those.
    #[must_use]
    pub(crate) fn is_one_off(&self, name: &str) -> bool {
        name.strip_prefix(&self.name).is_some_and(|rest| rest.starts_with(".run."))
    }

    /// A volume of the app's own.
    #[must_use]
    pub(crate) fn data(&self, volume: &str) -> String {
        format!("{}_{volume}", self.name)
    }

    /// The labels of something of this project.
    #[must_use]
    pub(crate) fn labels(&self, role: Role, more: &[(&str, String)]) -> HashMap<String, String> {
        [(PROJECT, self.name.clone()), (OWNER, self.owner.clone()), (ROLE, role.as_str().to_owned())]
            .into_iter()
            .chain(more.iter().map(|(name, value)| (*name, value.clone())))
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}

/// A label's value.
#[must_use]
pub(crate) fn label<'a>(labels: Option<&'a HashMap<String, String>>, name: &str) -> Option<&'a str> {
    labels?.get(name).map(String::as_str)
}

/// What a container is for.
#[must_use]
pub(crate) fn role(container: &ContainerSummary) -> Option<&str> {
    label(container.labels.as_ref(), ROLE)
}

/// The generation that a container belongs to.
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
        let ours = [project.home(), project.forwarder(), project.values(3), project.instance(3, 1)];
        for name in ["prun", "ports", "3", "3-values", "3-1", "values"] {
            assert!(!ours.contains(&project.service(name)), "{name}");
        }
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
