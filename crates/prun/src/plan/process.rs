//! The processes of the plan: what each of them runs, how it is reached, and how its health is checked.

use std::time::Duration;

use papp::{Check, Health, Port, Process, Schedule};

use super::container::ContainerFlags;
use crate::names::InstanceName;

/// How long a service or an instance may take to become ready, by default.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// How long one request to an instance may take, by default.
const REQUEST: Duration = Duration::from_secs(5);
/// How long a command that checks an instance may take, by default, as with docker.
const COMMAND: Duration = Duration::from_secs(30);
/// The pause between two checks of an instance that is not healthy yet, by default.
const PAUSE: Duration = Duration::from_millis(200);

/// A process of the plan. Everything in it is checked.
#[derive(Clone, Debug)]
pub(crate) struct PlannedProcess {
    /// The process's name.
    name: String,
    /// How many instances run it.
    replicas: u32,
    /// The ports that are published for the process.
    ports: Vec<Port>,
    /// Whether each connection begins with the client's address.
    proxy_protocol: bool,
    /// The container's settings, with its command.
    container: ContainerFlags,
    /// Whether the init commands run before the process.
    init: bool,
    /// The times at which the command runs. Without a schedule it runs all the time.
    schedule: Option<Schedule>,
    /// The health check of the manifest.
    health: Option<Health>,
    /// Whether the image's own health check is about this process.
    of_image: bool,
    /// How long an instance may take to become healthy.
    patience: Duration,
}

/// What the flags say about the processes.
pub(crate) struct ProcessOrder<'a> {
    /// The container's settings, which all processes share.
    pub(crate) container: &'a ContainerFlags,
    /// How long an instance may take to become healthy, if a flag sets a limit.
    pub(crate) wait: Option<Duration>,
}

impl PlannedProcess {
    /// Plans a process of the manifest.
    #[must_use]
    pub(crate) fn of_manifest(process: &Process, order: &ProcessOrder<'_>) -> Self {
        let start = process.health.as_ref().and_then(|health| health.start);
        Self {
            name: process.name.clone(),
            replicas: process.replicas,
            ports: process.ports.clone(),
            proxy_protocol: process.proxy_protocol,
            container: order.container.of_process(process),
            init: process.init,
            schedule: process.schedule.clone(),
            health: process.health.clone(),
            // The image's check is meant for the image's command. A worker with another command would not answer its
            // requests.
            of_image: process.schedule.is_none() && (process.command.is_none() || !process.ports.is_empty()),
            patience: order.wait.or(start).unwrap_or(PATIENCE),
        }
    }

    /// Plans the process of a single command in a container of its own.
    #[must_use]
    pub(crate) fn of_command(ports: Vec<Port>, container: ContainerFlags) -> Self {
        let order = ProcessOrder { container: &container, wait: None };
        Self { ports, ..Self::of_manifest(&Process::default(), &order) }
    }

    /// Sets the number of instances and the published ports. A `None` changes nothing.
    pub(crate) fn set(&mut self, replicas: Option<u32>, ports: Option<Vec<Port>>) {
        self.replicas = replicas.unwrap_or(self.replicas);
        self.ports = ports.unwrap_or_else(|| std::mem::take(&mut self.ports));
    }

    /// Runs the command of the flags instead of the manifest's, if the flags have one.
    pub(crate) fn override_command(&mut self, command: &[String]) {
        self.container.override_command(command);
    }

    /// Runs the init commands, and then `words` instead of the process's command.
    pub(crate) fn run_init(&mut self, words: Vec<String>) {
        self.init = true;
        self.schedule = None;
        self.container.run_instead(words);
    }

    /// Returns the process's name.
    #[must_use]
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the names of the process's instances, in order.
    pub(crate) fn instances(&self) -> impl Iterator<Item = InstanceName> + '_ {
        (1..=self.replicas).map(|number| InstanceName::new(&self.name, number))
    }

    /// Returns how many instances run the process.
    #[must_use]
    pub(crate) fn replicas(&self) -> u32 {
        self.replicas
    }

    /// Returns the ports that are published for the process.
    #[must_use]
    pub(crate) fn ports(&self) -> &[Port] {
        &self.ports
    }

    /// Returns whether each connection to a published port begins with the client's address, in the PROXY protocol.
    #[must_use]
    pub(crate) fn has_proxy_protocol(&self) -> bool {
        self.proxy_protocol
    }

    /// Returns the container's settings.
    #[must_use]
    pub(crate) fn container(&self) -> &ContainerFlags {
        &self.container
    }

    /// Returns whether the init commands run before the process.
    #[must_use]
    pub(crate) fn has_init(&self) -> bool {
        self.init
    }

    /// Returns when the command runs, or `None` if it runs all the time.
    #[must_use]
    pub(crate) fn schedule(&self) -> Option<&Schedule> {
        self.schedule.as_ref()
    }

    /// Returns the health check of the manifest, if there is one.
    #[must_use]
    pub(crate) fn check(&self) -> Option<&Check> {
        self.health.as_ref().map(|health| &health.check)
    }

    /// Returns whether the image's own health check is about this process.
    #[must_use]
    pub(crate) fn keeps_check_of_image(&self) -> bool {
        self.of_image
    }

    /// Returns how long an instance may take to become healthy.
    #[must_use]
    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    /// Returns how long one check may take.
    #[must_use]
    pub(crate) fn check_timeout(&self) -> Duration {
        let usual = match self.check() {
            Some(Check::Command(_)) => COMMAND,
            Some(Check::Http { .. }) | None => REQUEST,
        };
        self.health.as_ref().and_then(|health| health.timeout).unwrap_or(usual)
    }

    /// Returns the pause between two checks of an instance that is not healthy yet.
    #[must_use]
    pub(crate) fn pause(&self) -> Duration {
        self.interval().unwrap_or(PAUSE)
    }

    /// Returns the pause between two checks, if the manifest sets one.
    #[must_use]
    pub(crate) fn interval(&self) -> Option<Duration> {
        self.health.as_ref().and_then(|health| health.interval)
    }

    /// Returns whether the health check is the same in another plan of the process.
    #[must_use]
    pub(crate) fn asks_as(&self, other: &Self) -> bool {
        let asks = |process: &Self| {
            let proxy = process.proxy_protocol;
            process.health.as_ref().map(|health| (health.check.clone(), health.timeout, proxy))
        };
        asks(self) == asks(other)
    }

    /// Describes everything that instances are made of, for a digest. The health check and the ports are not parts of
    /// it, so a new check does not replace instances.
    #[must_use]
    pub(crate) fn description(&self) -> String {
        let Self {
            name,
            replicas,
            container,
            init,
            schedule,
            of_image,
            ports: _,
            proxy_protocol: _,
            health: _,
            patience: _,
        } = self;
        format!("{name} {replicas} {container:?} {init} {schedule:?} {of_image}")
    }
}
