//! The change from one generation of instances to the next: the new instances start first, and the old ones are
//! removed when the new ones are healthy.

use std::cell::Cell;
use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{ContainerUpdateBody, ImageInspect};
use pcredential::Ledger;
use pengine::Engine;

use crate::edge::{Edge, now};
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replacement {
    /// Everything ran as planned, so nothing changed.
    None,
    /// The instances stayed, and succeeded in a new health check.
    Checked,
    /// Missing instances of the same generation were started.
    Restored,
    /// A new generation took the place of the old one.
    Replaced,
}

/// Everything that a roll needs.
pub(crate) struct Roll<'a> {
    /// The engine.
    pub(crate) host: &'a Engine,
    /// The project.
    pub(crate) project: &'a Project,
    /// The plan.
    pub(crate) plan: &'a Plan,
    /// The services and their credentials.
    pub(crate) ledger: &'a Ledger,
    /// The app's image.
    pub(crate) image: &'a ImageInspect,
    /// The order and the manifest of the start.
    pub(crate) record: &'a Record,
    /// Whether instances that are as planned are replaced too.
    pub(crate) instances: Instances,
    /// The printers and the cancellation.
    pub(crate) edge: &'a Edge,
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

impl Roll<'_> {
    /// Makes the instances run as the plan says. If that fails or is cancelled, the old instances still run.
    ///
    /// # Errors
    ///
    /// Returns the errors of the health check, the forwarder and the engine, or [`RunError::Stopped`] after a
    /// cancellation.
    pub(crate) async fn run(
        &self,
        locked: &LockedState<'_>,
        current: Option<Generation>,
        variables: Vec<Variable>,
    ) -> Result<Replacement, RunError> {
        let digest = digest(self.ledger, self.plan, self.image, &variables);
        let same = current
            .as_ref()
            .filter(|current| current.digest == digest && self.instances == Instances::Keep)
            .map(|current| current.number);
        // If a new state replaced a lost one, the old instances serve until the new ones are healthy.
        let newest = locked.newest_number()?;
        self.remove_others((newest > 0).then_some(newest)).await?;
        if let (Some(number), Some(generation)) = (same, &current)
            && self.runs(number, instance::is_delivered(self.plan, &generation.variables)).await?
        {
            let change = self.check_anew(generation).await?;
            let routes = routes(self.plan);
            forwarder::ensure(self.host, self.project, self.ledger, &routes).await?;
            self.point(&routes, &self.targets(&routes, generation.number)).await?;
            if let Some(current) = current.filter(|current| current.record != *self.record) {
                locked.seal_generation(&Generation { record: self.record.clone(), ..current }).await?;
            }
            return Ok(change);
        }
        let record = self.record.clone();
        let plan_before = current.as_ref().and_then(|current| current.record.plan().ok());
        let (generation, change) = match (same, current) {
            (Some(_), Some(current)) => (Generation { record, ..current }, Replacement::Restored),
            _ => {
                let number = newest + 1;
                let image = self.image.id.clone();
                (
                    Generation { number, created: now(), by: Some(locked.by()), digest, image, variables, record },
                    Replacement::Replaced,
                )
            }
        };
        // Whether the new generation must be removed if the roll fails.
        let fresh = Cell::new(change == Replacement::Replaced);
        let work = async {
            let before = self.others(generation.number).await?;
            let routes = routes(self.plan);
            forwarder::ensure(self.host, self.project, self.ledger, &routes).await?;
            if !before.is_empty() {
                self.point(&routes, &self.targets_before(&routes, plan_before.as_ref(), &before)).await?;
            }
            // An app without a health check must run for a while only if it replaces other instances.
            let steady = if before.is_empty() { Duration::ZERO } else { health::STEADY };
            self.bring_up(&generation, steady).await?;
            // The new generation is sealed before the old instances are removed. If prun is killed here, the next
            // start finds the new generation.
            fault::point("roll.up");
            locked.seal_generation(&generation).await?;
            fresh.set(false);
            fault::point("roll.sealed");
            if instance::is_delivered(self.plan, &generation.variables) {
                self.holder(generation.number).note(self.host, generation.number).await?;
            }
            self.point(&routes, &self.targets(&routes, generation.number)).await?;
            if !routes.is_empty() && !before.is_empty() {
                let containers: Vec<String> = before.into_iter().map(|(_, container)| container).collect();
                let draining = forwarder::drained(self.host, self.project, &containers);
                self.edge.patiently(|| "open requests to the instances of before".to_owned(), draining).await;
            }
            self.remove_others(Some(generation.number)).await?;
            failed::forget(self.host, self.project).await
        };
        let outcome = self.edge.cancellation.unless_cancelled(work).await.map_err(RunError::from).and_then(|done| done);
        if outcome.is_err() && fresh.get() {
            self.remove(generation.number).await?;
            if generation.number == 1 {
                forwarder::ensure(self.host, self.project, self.ledger, &[]).await?;
            }
        }
        outcome.map(|()| change)
    }

    /// Returns the instances of the plan, each with its process.
    fn instances(&self) -> impl Iterator<Item = (&PlannedProcess, InstanceName)> {
        self.plan.processes().iter().flat_map(|process| process.instances().map(move |name| (process, name)))
    }

    /// Returns the instances of a generation that take the connections of these routes.
    fn targets(&self, routes: &[Route], generation: u64) -> Vec<Target> {
        let of_route = |route: &Route| {
            let process = self.plan.process(&route.process);
            let names = process.into_iter().flat_map(PlannedProcess::instances);
            let containers = names.map(|name| self.project.instance(generation, &name));
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
            check: process.and_then(|process| HttpCheck::of(process, self.image, &container)),
            interval: process.and_then(PlannedProcess::interval),
            container,
        }
    }

    /// Returns the running instances of the previous generation that take the connections of these routes until the new
    /// instances are healthy.
    fn targets_before(&self, routes: &[Route], plan: Option<&Plan>, running: &[(InstanceName, String)]) -> Vec<Target> {
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

    async fn point(&self, routes: &[Route], targets: &[Target]) -> Result<(), RunError> {
        if routes.is_empty() {
            return Ok(());
        }
        forwarder::point(self.host, self.project, targets).await
    }

    /// Tries health checks that the manifest did not have at the last start on the running instances. The instances
    /// stay as they are in any case. A check that fails is not recorded, so the next start tries it again.
    async fn check_anew(&self, running: &Generation) -> Result<Replacement, RunError> {
        let before = running.record.plan().ok();
        let is_new = |process: &&PlannedProcess| {
            let same = before.as_ref().and_then(|plan| plan.process(process.name()));
            process.check().is_some() && !same.is_some_and(|same| same.asks_as(process))
        };
        let new: Vec<&PlannedProcess> = self.plan.processes().iter().filter(is_new).collect();
        for process in &new {
            for name in process.instances() {
                self.candidate(process, running.number, &name).healthy(Duration::ZERO).await?;
            }
        }
        if new.is_empty() {
            return Ok(Replacement::None);
        }
        self.report(&new);
        Ok(Replacement::Checked)
    }

    fn candidate<'a>(&'a self, process: &'a PlannedProcess, generation: u64, name: &'a InstanceName) -> Candidate<'a> {
        Candidate {
            host: self.host,
            project: self.project,
            plan: self.plan,
            process,
            image: self.image,
            generation,
            name,
            redactor: self.edge.stderr.redactor(),
        }
    }

    /// Returns whether all instances of a generation run and have their values. Values are missing after a restart of
    /// the engine.
    async fn runs(&self, generation: u64, delivered: bool) -> Result<bool, RunError> {
        let holder = delivered.then(|| self.project.values(generation));
        let instances = self.instances().map(|(_, name)| self.project.instance(generation, &name));
        for name in instances.chain(holder) {
            let container = containers::inspect(self.host, self.project, &name).await?;
            if !container.is_some_and(|container| containers::is_running(&container)) {
                return Ok(false);
            }
        }
        Ok(!delivered || holder::is_filled(self.host, &self.project.values(generation)).await)
    }

    fn holder(&self, generation: u64) -> Holder {
        Holder {
            name: self.project.values(generation),
            labels: vec![(names::GENERATION, generation.to_string())],
            network: Some(self.project.network()),
            home: Some(self.project.home()),
        }
    }

    async fn bring_up(&self, generation: &Generation, steady: Duration) -> Result<(), RunError> {
        let number = generation.number;
        let holder = instance::is_delivered(self.plan, &generation.variables).then(|| self.holder(number));
        let values = holder.as_ref().map(|holder| holder.name.clone());
        let recipe = |process| {
            let values = values.clone();
            Recipe { project: self.project, plan: self.plan, process, image: self.image, generation, values }
        };
        if let Some(holder) = &holder {
            let (home, labels) = (self.project.home(), self.project.labels(Role::Home, &[]));
            containers::ensure_volume(self.host, self.project, &home, labels, &[]).await?;
            holder.start(self.host, self.project).await?;
            holder.furnish(self.host, &instance::locks(self.plan)).await?;
        }
        self.ensure_data().await?;
        for (process, instance) in self.instances() {
            let name = self.project.instance(number, &instance);
            let existing = containers::inspect(self.host, self.project, &name).await?;
            if !existing.is_some_and(|container| containers::is_running(&container)) {
                let body = recipe(process).body(self.labels(generation, process, &instance))?;
                containers::create(self.host, self.project, &name, body).await?;
                for network in process.container().networks() {
                    containers::join(self.host, network, &name).await?;
                }
            }
        }
        if let Some(holder) = &holder {
            // The owner is known only now, because the list of users is read from the container that was created just
            // before.
            let first = self.plan.first();
            let container = self.project.instance(number, &InstanceName::new(first.name(), 1));
            let owner = instance::owner(self.host, self.plan, self.image, &container).await;
            holder.fill(self.host, &recipe(first).files(owner).in_order()).await?;
        }
        for (at, (process, instance)) in self.instances().enumerate() {
            let candidate = self.candidate(process, number, &instance);
            if let Err(error) = self.bring_up_one(&candidate, steady).await {
                // The user needs the health check's error, even if the log cannot be kept.
                let _ = failed::keep(self.host, self.project, number, &instance, &candidate.log().await).await;
                return Err(error);
            }
            if at == 0 {
                fault::point("roll.first");
            }
        }
        self.report(&self.plan.processes().iter().collect::<Vec<_>>());
        Ok(())
    }

    /// Starts one instance, and waits until it is healthy.
    async fn bring_up_one(&self, candidate: &Candidate<'_>, steady: Duration) -> Result<(), RunError> {
        let (name, instance, process) = (candidate.container(), candidate.name, candidate.process);
        containers::start(self.host, &name).await?;
        let say = |finished: &health::InitReport| {
            self.edge.stderr.fact("init", &format!("{:<9} instance {instance}   {}", finished.name, finished.took));
        };
        let init = candidate.init(say);
        self.edge.patiently(|| format!("instance {instance} until its init commands have finished"), init).await?;
        let seconds = process.patience().as_secs();
        let what = || format!("instance {instance} until it is healthy, at most {seconds}s");
        self.edge.patiently(what, candidate.healthy(steady)).await?;
        // The policy is set only now, because the engine must not keep restarting an instance that was never healthy.
        let update = ContainerUpdateBody {
            restart_policy: Some(process.container().restart_policy()),
            ..ContainerUpdateBody::default()
        };
        let updated = self.host.docker().update_container(&name, update).await;
        updated.map_err(engine(|| format!("set the restart policy of {name}")))?;
        Ok(())
    }

    /// Reports how many instances are healthy, and how many run without a check.
    fn report(&self, processes: &[&PlannedProcess]) {
        let (checked, unchecked): (Vec<&PlannedProcess>, Vec<&PlannedProcess>) =
            processes.iter().partition(|process| health::has_check(process, self.image));
        for (word, group, more) in [("healthy", checked, ""), ("running", unchecked, " (no health check configured)")] {
            let count: u32 = group.iter().map(|process| process.replicas()).sum();
            if count == 0 {
                continue;
            }
            let names: Vec<&str> = group.iter().map(|process| process.name()).collect();
            let of = if self.plan.processes().len() > 1 { format!(": {}", names.join(", ")) } else { String::new() };
            let instances = pscreen::words::counted(count, "instance");
            self.edge.stderr.fact(word, &format!("{count} of {instances}{of}{more}"));
        }
    }

    fn labels(
        &self,
        generation: &Generation,
        process: &PlannedProcess,
        instance: &InstanceName,
    ) -> HashMap<String, String> {
        let more = [
            (names::GENERATION, generation.number.to_string()),
            (names::PROCESS, instance.process.clone()),
            (names::INSTANCE, instance.number.to_string()),
            (names::CONFIGURATION, generation.digest.clone()),
        ];
        let schedule = process.schedule().map(|schedule| (names::SCHEDULE, schedule.to_string()));
        self.project.labels(Role::App, &more.into_iter().chain(schedule).collect::<Vec<_>>())
    }

    /// Makes sure that the volumes exist which the app declares.
    async fn ensure_data(&self) -> Result<(), RunError> {
        for volume in self.plan.volumes() {
            if let PlannedVolume::Project(volume) = volume
                && let papp::VolumeSource::Named(name) = &volume.source
            {
                let name = self.project.data(name);
                let labels = self.project.labels(Role::Data, &[]);
                containers::ensure_volume(self.host, self.project, &name, labels, &[]).await?;
            }
        }
        Ok(())
    }

    /// Lists the running instances of other generations, each with the name of its container.
    async fn others(&self, generation: u64) -> Result<Vec<(InstanceName, String)>, RunError> {
        let all = containers::list(self.host, self.project).await?;
        let others = all.iter().filter(|container| {
            role(container) == Some(Role::App.as_str())
                && number(container).is_some_and(|number| number != generation)
                && container.state == Some(bollard::models::ContainerSummaryStateEnum::RUNNING)
        });
        Ok(others
            .filter_map(|container| Some((InstanceName::of(container)?, containers::name_of(container))))
            .collect())
    }

    /// Removes the containers of all generations except `keep`, also those that a killed prun left.
    async fn remove_others(&self, keep: Option<u64>) -> Result<(), RunError> {
        let all = containers::list(self.host, self.project).await?;
        let mut numbers: Vec<u64> = all.iter().filter_map(number).filter(|number| Some(*number) != keep).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let replaced = self.remove_all(&numbers).await?;
        if keep.is_some() && replaced > 0 {
            self.edge.stderr.fact("retired", &format!("{replaced} of the generation before"));
        }
        Ok(())
    }

    async fn remove(&self, generation: u64) -> Result<(), RunError> {
        self.remove_all(&[generation]).await.map(drop)
    }

    async fn remove_all(&self, generations: &[u64]) -> Result<usize, RunError> {
        let all = containers::list(self.host, self.project).await?;
        let theirs = |role_wanted: Role| {
            all.iter().filter(move |container| {
                role(container) == Some(role_wanted.as_str())
                    && number(container).is_some_and(|number| generations.contains(&number))
            })
        };
        let instances: Vec<String> = theirs(Role::App).map(containers::name_of).collect();
        containers::remove_all(self.host, &instances, GRACE).await?;
        for container in theirs(Role::Values) {
            holder::remove(self.host, &containers::name_of(container)).await?;
        }
        Ok(instances.len())
    }
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
