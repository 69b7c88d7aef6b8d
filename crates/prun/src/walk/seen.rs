//! What a command has seen: by its own steps, and by a look at the engine.

use std::collections::{BTreeMap, BTreeSet};

use bollard::models::{ContainerSummaryStateEnum, ImageInspect};
use pcredential::Ledger;
use pengine::Engine;
use pstage::{Edge, Instance, InstanceStep, Inventory, Logins, ServiceStep, Standing};

use crate::engine::containers;
use crate::error::RunError;
use crate::instance::roll::Roll;
use crate::names::{self, InstanceName, Project, Role, number, role};

/// Whether the app runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum App {
    /// Its instances are part of the walk.
    Runs,
    /// Nothing of it is looked at or changed.
    Stopped,
}

/// What the steps of one command have done or seen. A look does not take it back: an app that ends after it was
/// healthy is not started again and again.
#[derive(Default)]
pub(crate) struct Seen {
    /// The images of the services.
    pub(crate) images: BTreeMap<String, ImageInspect>,
    /// The credentials that services accept.
    pub(crate) logins: BTreeMap<String, Logins>,
    has_network: bool,
    ready: BTreeSet<String>,
    removed: BTreeSet<String>,
    delivered: BTreeSet<u64>,
    healthy: BTreeSet<(u64, Instance)>,
    checked: BTreeSet<String>,
    retired: BTreeSet<u64>,
    edge: Option<Edge>,
}

impl Seen {
    /// Returns the image of a service, which its first step has found.
    pub(crate) fn image(&self, service: &str) -> &ImageInspect {
        self.images.get(service).expect("a service is checked before it is started")
    }

    /// Notes that a step about services was carried out.
    pub(crate) fn note_of_services(&mut self, step: &ServiceStep) {
        match step {
            ServiceStep::EnsureNetwork => self.has_network = true,
            ServiceStep::AwaitLogins(names) => self.ready.extend(names.iter().cloned()),
            ServiceStep::VerifyEnabled(name) => {
                self.logins.insert(name.clone(), Logins { current: true, next: true });
            }
            ServiceStep::VerifyRefused(name) => {
                self.logins.insert(name.clone(), Logins { current: false, next: true });
            }
            ServiceStep::FinishRotation(names) => self.logins.retain(|name, _| !names.contains(name)),
            ServiceStep::RemoveService(name) => drop(self.removed.insert(name.clone())),
            ServiceStep::CheckService(_)
            | ServiceStep::StartService(_)
            | ServiceStep::Prove(_)
            | ServiceStep::RestartService(_)
            | ServiceStep::ProbeLogins(_)
            | ServiceStep::EnableCredential(_)
            | ServiceStep::Advance(..)
            | ServiceStep::RevokeCredential(_) => {}
        }
    }

    /// Notes that a step about instances was carried out.
    pub(crate) fn note_of_instances(&mut self, step: &InstanceStep) {
        match step {
            InstanceStep::Hold(number) => drop(self.retired.remove(number)),
            InstanceStep::Deliver(number) => drop(self.delivered.insert(*number)),
            InstanceStep::AwaitHealthy(number, instance) => drop(self.healthy.insert((*number, instance.clone()))),
            InstanceStep::CheckProcess(_, process) => drop(self.checked.insert(process.clone())),
            InstanceStep::TurnEdge(number) => self.edge = Some(Edge::At(*number)),
            InstanceStep::CloseEdge => self.edge = Some(Edge::Closed),
            InstanceStep::Retire(number) => drop(self.retired.insert(*number)),
            InstanceStep::OpenEdge(_)
            | InstanceStep::CreateInstance(..)
            | InstanceStep::StartInstance(..)
            | InstanceStep::Seal(_) => {}
        }
    }

    /// Returns what the steps have done or seen.
    pub(crate) fn inventory(&self) -> Inventory {
        let mut inventory =
            Inventory { has_network: self.has_network, checked: self.checked.clone(), ..Inventory::default() };
        for name in &self.ready {
            inventory.services.entry(name.clone()).or_default().is_ready = true;
        }
        for (name, logins) in &self.logins {
            inventory.services.entry(name.clone()).or_default().logins = Some(*logins);
        }
        inventory
    }

    /// Looks at the services and instances, and returns everything that is seen.
    ///
    /// # Errors
    ///
    /// Returns [`RunError::Engine`] or [`RunError::Foreign`].
    pub(crate) async fn look(
        &self,
        host: &Engine,
        project: &Project,
        ledger: &Ledger,
        roll: &Roll<'_>,
        app: App,
    ) -> Result<Inventory, RunError> {
        let mut inventory = self.inventory();
        let all = containers::list(host, project).await?;
        let in_role = |wanted: Role| all.iter().filter(move |one| role(one) == Some(wanted.as_str()));
        for container in in_role(Role::Service) {
            let Some(name) = names::label(container.labels.as_ref(), names::SERVICE) else { continue };
            let exists = !self.removed.contains(name);
            inventory.services.entry(name.to_owned()).or_default().exists = exists;
        }
        if app == App::Stopped {
            return Ok(inventory);
        }
        let current = roll.current().map(|current| current.number);
        for (number, instance, state) in in_role(Role::App)
            .filter_map(|container| Some((number(container)?, InstanceName::of(container)?, container.state)))
        {
            let instance = Instance { process: instance.process, number: instance.number };
            let standing = if self.healthy.contains(&(number, instance.clone())) {
                Standing::Healthy
            } else if state != Some(ContainerSummaryStateEnum::RUNNING) {
                Standing::Down
            } else if current == Some(number) {
                roll.standing(&instance).await?
            } else {
                Standing::Started
            };
            inventory.generations.entry(number).or_default().instances.insert(instance, standing);
        }
        for number in in_role(Role::Values).filter_map(number) {
            inventory.generations.entry(number).or_default();
        }
        inventory.generations.retain(|number, _| !self.retired.contains(number));
        if let Some(current) = current
            && let Some(seen) = inventory.generations.get_mut(&current)
        {
            seen.has_values = self.delivered.contains(&current) || roll.has_values().await?;
        }
        inventory.edge = match self.edge {
            Some(edge) => edge,
            None => roll.edge(ledger).await?,
        };
        Ok(inventory)
    }
}
