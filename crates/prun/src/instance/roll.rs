//! Carries out the steps from one generation of instances to the next. [`pstage`] decides which step is next: the new
//! instances start first, and the old ones are removed when the new ones are healthy.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use bollard::models::{ContainerUpdateBody, ImageInspect, RestartPolicy, RestartPolicyNameEnum};
use pcredential::Ledger;
use pengine::Engine;
use pstage::{Instance, InstanceStep, Standing};

use crate::edge::Edge;
use crate::engine::containers;
use crate::error::{RunError, engine};
use crate::fault;
use crate::instance::failed;
use crate::instance::forwarder::{self, Target};
use crate::instance::health::{self, Candidate, HttpCheck};
use crate::instance::holder::{self, Holder};
use crate::instance::shim;
use crate::instance::{self, Recipe};
use crate::names::{self, InstanceName, Project, Role, number, role};
use crate::plan::Plan;
use crate::plan::container::PlannedVolume;
use crate::plan::process::PlannedProcess;
use crate::plan::record::Record;
use crate::plan::route::{Route, routes};
use crate::state::LockedState;
use crate::values::generation::{Generation, Variable};

/// How long an instance may take to end.
const GRACE: Duration = Duration::from_secs(10);

/// The change that a roll made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Replacement {
    /// Everything ran as planned, so nothing changed.
    #[default]
    None,
    /// The instances stayed, and succeeded in a new health check.
    Checked,
    /// Instances were started, of a new generation or missing ones of the same.
    Rolled,
}

/// Everything that the steps of a roll need.
#[derive(Clone, Copy)]
pub(crate) struct Parts<'a> {
    /// The engine.
    pub(crate) host: &'a Engine,
    /// The project.
    pub(crate) project: &'a Project,
    /// The plan.
    pub(crate) plan: &'a Plan,
    /// The app's image.
    pub(crate) image: &'a ImageInspect,
    /// The order and the manifest of the start.
    pub(crate) record: &'a Record,
    /// The printers and the cancellation.
    pub(crate) edge: &'a Edge,
}

/// A roll in progress.
pub(crate) struct Roll<'a> {
    parts: Parts<'a>,
    /// The sealed generation.
    current: Option<Generation>,
    /// The generation that is sealed next, if instances cannot stay as they are.
    next: Option<Generation>,
    /// The digest of everything that the instances are made of.
    digest: String,
    /// The plan of the generation that ran before.
    plan_before: Option<Plan>,
    /// How long an instance without a health check must run.
    steady: Duration,
    /// The change so far.
    replacement: Replacement,
    /// The processes whose instances were healthy, and were not reported yet.
    healthy: BTreeSet<String>,
    /// How many instances were retired, and were not reported yet.
    retired: usize,
}

/// Whether instances that are as planned are replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Instances {
    /// The instances stay.
    Keep,
    /// The instances are replaced.
    Replace,
}

/// Computes the digest of everything that instances are made of. Two starts with the same digest make the same
/// instances.
#[must_use]
pub(crate) fn digest(ledger: &Ledger, plan: &Plan, image: &ImageInspect, variables: &[Variable]) -> String {
    let sealed = Generation::seal_variables(variables);
    let processes: Vec<String> = plan.processes().iter().map(PlannedProcess::description).collect();
    let rest = format!("{:?} {:?} {processes:?} {:?} {}", image.id, plan.init(), plan.deliver(), shim::digest());
    ledger.digest([&sealed[..], rest.as_bytes()])
}

impl<'a> Roll<'a> {
    /// Prepares the steps. `current` is the sealed generation, and `next` is the one after it.
    pub(crate) fn new(parts: Parts<'a>, current: Option<Generation>, next: Generation) -> Self {
        let plan_before = current.as_ref().and_then(|current| current.record.plan().ok());
        Self {
            parts,
            current,
            digest: next.digest.clone(),
            next: Some(next),
            plan_before,
            steady: Duration::ZERO,
            replacement: Replacement::default(),
            healthy: BTreeSet::new(),
            retired: 0,
        }
    }

    /// Returns the sealed generation.
    pub(crate) fn current(&self) -> Option<&Generation> {
        self.current.as_ref()
    }

    /// Returns the digest of everything that the instances are made of.
    pub(crate) fn digest(&self) -> &str {
        &self.digest
    }

    /// Returns whether a generation was sealed with the order and the manifest of this start.
    pub(crate) fn is_recorded(&self, generation: &Generation) -> bool {
        generation.record == *self.parts.record
    }

    /// Returns what was done so far.
    pub(crate) fn replacement(&self) -> Replacement {
        self.replacement
    }

    /// Returns whether a process has a health check that the sealed generation was not started with.
    pub(crate) fn has_new_check(&self, process: &PlannedProcess) -> bool {
        let before = self.current.as_ref().and_then(|current| current.record.plan().ok());
        let same = before.as_ref().and_then(|plan| plan.process(process.name()));
        process.check().is_some() && !same.is_some_and(|same| same.asks_as(process))
    }

    /// Returns whether the sealed generation has the values of all its instances. Values are missing after a restart
    /// of the engine.
    pub(crate) async fn has_values(&self) -> Result<bool, RunError> {
        let Parts { host, project, plan, .. } = self.parts;
        let Some(current) = &self.current else { return Ok(false) };
        if !instance::is_delivered(plan, &current.variables) {
            return Ok(true);
        }
        let name = project.values(current.number);
        let holder = containers::inspect(host, project, &name).await?;
        Ok(holder.is_some_and(|holder| containers::is_running(&holder)) && holder::is_filled(host, &name).await)
    }

    /// Looks how a running instance of the sealed generation stands. The engine restarts an instance only if it was
    /// healthy once.
    pub(crate) async fn standing(&self, instance: &Instance) -> Result<Standing, RunError> {
        let Parts { host, project, plan, .. } = self.parts;
        let (Some(current), Some(process)) = (&self.current, plan.process(&instance.process)) else {
            return Ok(Standing::Started);
        };
        let container = project.instance(current.number, &name(instance));
        let Some(container) = containers::inspect(host, project, &container).await? else { return Ok(Standing::Down) };
        let restarts = |policy: Option<&RestartPolicy>| match policy.and_then(|policy| policy.name) {
            None | Some(RestartPolicyNameEnum::EMPTY | RestartPolicyNameEnum::NO) => None,
            name => name,
        };
        let policy = container.host_config.as_ref().and_then(|config| config.restart_policy.as_ref());
        let was_healthy = restarts(policy) == restarts(Some(&process.container().restart_policy()));
        Ok(match (containers::is_running(&container), was_healthy) {
            (false, _) => Standing::Down,
            (true, false) => Standing::Started,
            (true, true) => Standing::Healthy,
        })
    }

    /// Looks where the connections to published ports go.
    pub(crate) async fn edge(&self, ledger: &Ledger) -> Result<pstage::Edge, RunError> {
        let number = self.current.as_ref().map_or(0, |current| current.number);
        let routes = routes(self.parts.plan);
        let targets = self.targets(&routes, number);
        forwarder::look(self.parts.host, self.parts.project, ledger, &routes, number, &targets).await
    }

    /// Carries out a step that is about instances.
    ///
    /// # Errors
    ///
    /// Returns the errors of the health check, the forwarder and the engine.
    pub(crate) async fn carry_out(
        &mut self,
        step: &InstanceStep,
        ledger: &Ledger,
        locked: &LockedState<'_>,
    ) -> Result<(), RunError> {
        let Parts { host, project, plan, .. } = self.parts;
        match step {
            InstanceStep::OpenEdge(number) => self.open(*number, ledger).await,
            InstanceStep::Hold(number) => self.hold(*number).await,
            InstanceStep::CreateInstance(number, instance) => self.create(*number, &name(instance)).await,
            InstanceStep::Deliver(number) => self.deliver(*number).await,
            InstanceStep::StartInstance(number, instance) => {
                let instance = name(instance);
                let started = containers::start(host, &project.instance(*number, &instance)).await;
                self.or_keep_log(*number, &instance, started).await
            }
            InstanceStep::AwaitHealthy(number, instance) => {
                let instance = name(instance);
                let healthy = self.await_healthy(*number, &instance).await;
                self.or_keep_log(*number, &instance, healthy).await?;
                if self.replacement != Replacement::Rolled {
                    fault::point("roll.first");
                }
                self.replacement = Replacement::Rolled;
                self.healthy.insert(instance.process);
                Ok(())
            }
            InstanceStep::CheckProcess(number, process) => {
                for instance in plan.process(process).into_iter().flat_map(PlannedProcess::instances) {
                    self.candidate(*number, &instance).healthy(Duration::ZERO).await?;
                }
                self.replacement = Replacement::Checked;
                self.healthy.insert(process.clone());
                Ok(())
            }
            InstanceStep::Seal(number) => self.seal(*number, locked).await,
            InstanceStep::TurnEdge(number) => {
                let targets = self.targets(&routes(plan), *number);
                forwarder::point(host, project, &targets).await
            }
            InstanceStep::CloseEdge => forwarder::ensure(host, project, ledger, &[]).await,
            InstanceStep::Retire(number) => {
                self.retired += self.remove(*number).await?;
                Ok(())
            }
        }
    }

    /// Publishes the ports. Connections go to the running instances of other generations, if there are any.
    async fn open(&self, number: u64, ledger: &Ledger) -> Result<(), RunError> {
        let Parts { host, project, plan, .. } = self.parts;
        let routes = routes(plan);
        forwarder::ensure(host, project, ledger, &routes).await?;
        let before = self.others(number).await?;
        if before.is_empty() {
            return Ok(());
        }
        forwarder::point(host, project, &self.targets_before(&routes, &before)).await
    }

    /// Starts the holder of the values, and makes the volumes that the app declares.
    async fn hold(&mut self, number: u64) -> Result<(), RunError> {
        let Parts { host, project, plan, .. } = self.parts;
        // An app without a health check must run for a while only if it replaces other instances.
        self.steady = if self.others(number).await?.is_empty() { Duration::ZERO } else { health::STEADY };
        if let Some(holder) = self.holder(number) {
            let (home, labels) = (project.home(), project.labels(Role::Home, &[]));
            containers::ensure_volume(host, project, &home, labels, &[]).await?;
            holder.start(host, project).await?;
            holder.furnish(host, &instance::locks(plan)).await?;
        }
        self.ensure_data().await
    }

    async fn create(&self, number: u64, instance: &InstanceName) -> Result<(), RunError> {
        let Parts { host, project, .. } = self.parts;
        let process = self.process(instance);
        let container = project.instance(number, instance);
        let body = self.recipe(number, process).body(self.labels(number, process, instance))?;
        containers::create(host, project, &container, body).await?;
        for network in process.container().networks() {
            containers::join(host, network, &container).await?;
        }
        Ok(())
    }

    async fn deliver(&self, number: u64) -> Result<(), RunError> {
        let Parts { host, project, plan, image, .. } = self.parts;
        let Some(holder) = self.holder(number) else { return Ok(()) };
        // The owner is known only now, because the list of users is read from the container that was created just
        // before.
        let first = plan.first();
        let container = project.instance(number, &InstanceName::new(first.name(), 1));
        let owner = instance::owner(host, plan, image, &container).await;
        holder.fill(host, &self.recipe(number, first).files(owner).in_order()).await
    }

    /// Waits until an instance is healthy. From then on, the engine restarts it.
    async fn await_healthy(&self, number: u64, instance: &InstanceName) -> Result<(), RunError> {
        let Parts { host, edge, .. } = self.parts;
        let (candidate, process) = (self.candidate(number, instance), self.process(instance));
        let say = |finished: &health::InitReport| {
            edge.stderr.fact("init", &format!("{:<9} instance {instance}   {}", finished.name, finished.took));
        };
        let init = candidate.init(say);
        edge.patiently(|| format!("instance {instance} until its init commands have finished"), init).await?;
        let seconds = process.patience().as_secs();
        let what = || format!("instance {instance} until it is healthy, at most {seconds}s");
        edge.patiently(what, candidate.healthy(self.steady)).await?;
        // The policy is set only now, because the engine must not keep restarting an instance that was never healthy.
        let update = ContainerUpdateBody {
            restart_policy: Some(process.container().restart_policy()),
            ..ContainerUpdateBody::default()
        };
        let container = candidate.container();
        let updated = host.docker().update_container(&container, update).await;
        updated.map_err(engine(|| format!("set the restart policy of {container}")))?;
        Ok(())
    }

    /// Keeps the log of an instance that failed, because the instance is removed.
    async fn or_keep_log(
        &self,
        number: u64,
        instance: &InstanceName,
        outcome: Result<(), RunError>,
    ) -> Result<(), RunError> {
        if outcome.is_err() {
            let Parts { host, project, .. } = self.parts;
            let log = self.candidate(number, instance).log().await;
            // The user needs the health check's error, even if the log cannot be kept.
            let _ = failed::keep(host, project, number, instance, &log).await;
        }
        outcome
    }

    /// Seals the generation that instances run with from now on. It is sealed before the old instances are removed. If
    /// prun is killed here, the next start finds the new generation.
    async fn seal(&mut self, number: u64, locked: &LockedState<'_>) -> Result<(), RunError> {
        let Parts { host, project, record, .. } = self.parts;
        let is_roll = self.replacement == Replacement::Rolled;
        self.report_healthy();
        if is_roll {
            fault::point("roll.up");
        }
        let current = match self.current.take() {
            Some(current) if current.number == number => Some(Generation { record: record.clone(), ..current }),
            _ => self.next.take(),
        };
        self.current = current;
        if let Some(current) = &self.current {
            locked.seal_generation(current).await?;
        }
        if is_roll {
            fault::point("roll.sealed");
            if let Some(holder) = self.holder(number) {
                holder.note(host, number).await?;
            }
            failed::forget(host, project).await?;
        }
        Ok(())
    }

    /// Reports what was not reported yet. `newest` is the number of the newest sealed generation.
    pub(crate) fn report(&mut self, newest: u64) {
        self.report_healthy();
        let retired = std::mem::take(&mut self.retired);
        if newest > 0 && retired > 0 {
            self.parts.edge.stderr.fact("retired", &format!("{retired} of the generation before"));
        }
    }

    fn generation(&self, number: u64) -> &Generation {
        let known = [&self.current, &self.next].into_iter().flatten().find(|known| known.number == number);
        known.expect("a step is about the sealed generation or the one after it")
    }

    fn process(&self, instance: &InstanceName) -> &'a PlannedProcess {
        self.parts.plan.process(&instance.process).expect("a step is about a process of the plan")
    }

    fn recipe<'b>(&'b self, number: u64, process: &'b PlannedProcess) -> Recipe<'b> {
        let Parts { project, plan, image, .. } = self.parts;
        let values = self.holder(number).map(|holder| holder.name);
        Recipe { project, plan, process, image, generation: self.generation(number), values }
    }

    fn candidate<'b>(&'b self, generation: u64, name: &'b InstanceName) -> Candidate<'b> {
        let Parts { host, project, plan, image, edge, .. } = self.parts;
        let (process, redactor) = (self.process(name), edge.stderr.redactor());
        Candidate { host, project, plan, process, image, generation, name, redactor }
    }

    /// Returns the holder of a generation's values; `None` if nothing has to be delivered.
    fn holder(&self, number: u64) -> Option<Holder> {
        let Parts { project, plan, .. } = self.parts;
        instance::is_delivered(plan, &self.generation(number).variables).then(|| Holder {
            name: project.values(number),
            labels: vec![(names::GENERATION, number.to_string())],
            network: Some(project.network()),
            home: Some(project.home()),
        })
    }

    /// Returns the instances of a generation that take the connections of these routes.
    fn targets(&self, routes: &[Route], generation: u64) -> Vec<Target> {
        let Parts { project, plan, .. } = self.parts;
        let of_route = |route: &Route| {
            let process = plan.process(&route.process);
            let names = process.into_iter().flat_map(PlannedProcess::instances);
            let containers = names.map(|name| project.instance(generation, &name));
            containers.map(|container| self.target(route, process, container, route.port.container)).collect::<Vec<_>>()
        };
        routes.iter().flat_map(of_route).collect()
    }

    /// Makes a target of a container that runs `process` on `port`.
    fn target(&self, route: &Route, process: Option<&PlannedProcess>, container: String, port: u16) -> Target {
        Target {
            udp: route.port.udp,
            listen: route.listen,
            port,
            proxy_protocol: process.is_some_and(PlannedProcess::has_proxy_protocol),
            check: process.and_then(|process| HttpCheck::of(process, self.parts.image, &container)),
            interval: process.and_then(PlannedProcess::interval),
            container,
        }
    }

    /// Returns the running instances of the previous generation that take the connections of these routes until the new
    /// instances are healthy.
    fn targets_before(&self, routes: &[Route], running: &[(InstanceName, String)]) -> Vec<Target> {
        let plan = self.plan_before.as_ref();
        let of_route = |route: &Route| {
            let (process, port) =
                plan.map_or_else(|| (route.process.clone(), route.port.container), |plan| route.before(plan));
            // If a new state replaced a lost one, the names of the old processes are unknown. Then all old instances
            // take the connections.
            let is_known = running.iter().any(|(name, _)| name.process == process);
            let planned = plan.and_then(|plan| plan.process(&process));
            let chosen = running.iter().filter(|(name, _)| name.process == process || !is_known);
            chosen.map(|(_, container)| self.target(route, planned, container.clone(), port)).collect::<Vec<_>>()
        };
        routes.iter().flat_map(of_route).collect()
    }

    /// Reports how many instances are healthy, and how many run without a check.
    fn report_healthy(&mut self) {
        let Parts { plan, image, edge, .. } = self.parts;
        let healthy = std::mem::take(&mut self.healthy);
        let processes = plan.processes().iter().filter(|process| healthy.contains(process.name()));
        let (checked, unchecked): (Vec<&PlannedProcess>, Vec<&PlannedProcess>) =
            processes.partition(|process| health::has_check(process, image));
        for (word, group, more) in [("healthy", checked, ""), ("running", unchecked, " (no health check configured)")] {
            let count: u32 = group.iter().map(|process| process.replicas()).sum();
            if count == 0 {
                continue;
            }
            let names: Vec<&str> = group.iter().map(|process| process.name()).collect();
            let of = if plan.processes().len() > 1 { format!(": {}", names.join(", ")) } else { String::new() };
            let instances = pscreen::words::counted(count, "instance");
            edge.stderr.fact(word, &format!("{count} of {instances}{of}{more}"));
        }
    }

    fn labels(&self, number: u64, process: &PlannedProcess, instance: &InstanceName) -> HashMap<String, String> {
        let more = [
            (names::GENERATION, number.to_string()),
            (names::PROCESS, instance.process.clone()),
            (names::INSTANCE, instance.number.to_string()),
            (names::CONFIGURATION, self.generation(number).digest.clone()),
        ];
        let schedule = process.schedule().map(|schedule| (names::SCHEDULE, schedule.to_string()));
        self.parts.project.labels(Role::App, &more.into_iter().chain(schedule).collect::<Vec<_>>())
    }

    /// Makes sure that the volumes exist which the app declares.
    async fn ensure_data(&self) -> Result<(), RunError> {
        let Parts { host, project, plan, .. } = self.parts;
        for volume in plan.volumes() {
            if let PlannedVolume::Project(volume) = volume
                && let papp::VolumeSource::Named(name) = &volume.source
            {
                let name = project.data(name);
                let labels = project.labels(Role::Data, &[]);
                containers::ensure_volume(host, project, &name, labels, &[]).await?;
            }
        }
        Ok(())
    }

    /// Lists the running instances of other generations, each with the name of its container.
    async fn others(&self, generation: u64) -> Result<Vec<(InstanceName, String)>, RunError> {
        let all = containers::list(self.parts.host, self.parts.project).await?;
        let others = all.iter().filter(|container| {
            role(container) == Some(Role::App.as_str())
                && number(container).is_some_and(|number| number != generation)
                && container.state == Some(bollard::models::ContainerSummaryStateEnum::RUNNING)
        });
        Ok(others
            .filter_map(|container| Some((InstanceName::of(container)?, containers::name_of(container))))
            .collect())
    }

    /// Removes the instances of a generation and its values, and returns how many instances there were.
    async fn remove(&self, generation: u64) -> Result<usize, RunError> {
        let Parts { host, project, plan, edge, .. } = self.parts;
        let all = containers::list(host, project).await?;
        let theirs = |wanted: Role| {
            all.iter().filter(move |container| {
                role(container) == Some(wanted.as_str()) && number(container) == Some(generation)
            })
        };
        let instances: Vec<String> = theirs(Role::App).map(containers::name_of).collect();
        if !instances.is_empty() && !routes(plan).is_empty() {
            let draining = forwarder::drained(host, project, &instances);
            edge.patiently(|| "open requests to the instances of before".to_owned(), draining).await;
        }
        containers::remove_all(host, &instances, GRACE).await?;
        for container in theirs(Role::Values) {
            holder::remove(host, &containers::name_of(container)).await?;
        }
        Ok(instances.len())
    }
}

fn name(instance: &Instance) -> InstanceName {
    InstanceName::new(&instance.process, instance.number)
}

/// Refuses a state that is older than the running instances, such as a restored backup. With such a state, prun would
/// take the newer instances for leftovers, and would hand out revoked credentials.
///
/// # Errors
///
/// Returns [`RunError::OlderState`].
pub(crate) async fn check_age(host: &Engine, project: &Project, sealed: u64) -> Result<(), RunError> {
    let all = containers::list(host, project).await?;
    let newer = all.iter().find(|container| {
        role(container) == Some(Role::Values.as_str()) && number(container).is_some_and(|number| number > sealed)
    });
    // A killed prun may have left a newer generation that was never sealed. Such a generation does not show that the
    // state is old, because its number was not noted.
    let Some(newer) = newer else { return Ok(()) };
    match holder::noted(host, &containers::name_of(newer)).await {
        Some(noted) if noted > sealed => {
            Err(RunError::OlderState { project: project.name().to_owned(), sealed, noted })
        }
        _ => Ok(()),
    }
}
