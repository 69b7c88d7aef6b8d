//! The change from one generation of instances to the next: new ones start first, and old ones go when the new are
//! healthy.

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
use crate::instance::forwarder;
use crate::instance::health;
use crate::instance::holder::{self, Holder};
use crate::instance::shim;
use crate::instance::{self, Recipe};
use crate::names::{self, Project, Role, number, role};
use crate::plan::Plan;
use crate::plan::container::PlannedVolume;
use crate::plan::record::Record;
use crate::state::LockedState;
use crate::values::generation::{Generation, Variable};

/// How long an instance may take to end.
const GRACE: Duration = Duration::from_secs(10);

/// The change that a roll made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replacement {
    /// No change: everything ran as planned.
    None,
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
    let rest = format!(
        "{:?} {:?} {:?} {:?} {} {}",
        image.id,
        plan.init(),
        plan.container(),
        plan.deliver(),
        plan.replicas(),
        shim::digest()
    );
    ledger.digest([&sealed[..], rest.as_bytes()])
}

impl Roll<'_> {
    /// Brings the instances to the plan. If that fails or is cancelled, the old instances still run.
    ///
    /// # Errors
    ///
    /// Those of the health check, the forwarder and the engine; [`RunError::Stopped`].
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
        // After a lost state began anew, the old instances serve until the new ones are healthy.
        let newest = locked.newest_number()?;
        self.remove_others((newest > 0).then_some(newest)).await?;
        if let (Some(number), Some(generation)) = (same, &current)
            && self.runs(number, instance::is_delivered(self.plan, &generation.variables)).await?
        {
            forwarder::ensure(self.host, self.project, self.ledger, self.plan.ports()).await?;
            forwarder::point(self.host, self.project, self.plan.ports(), &self.names(generation.number)).await?;
            if let Some(current) = current.filter(|current| current.record != *self.record) {
                locked.seal_generation(&Generation { record: self.record.clone(), ..current }).await?;
            }
            return Ok(Replacement::None);
        }
        let record = self.record.clone();
        let (generation, change) = match (same, current) {
            (Some(_), Some(current)) => (Generation { record, ..current }, Replacement::Restored),
            _ => {
                let number = newest + 1;
                let image = self.image.id.clone();
                (Generation { number, created: now(), digest, image, variables, record }, Replacement::Replaced)
            }
        };
        // Whether the new generation must be removed if the roll fails.
        let fresh = Cell::new(change == Replacement::Replaced);
        let work = async {
            let before = self.names_of_others(generation.number).await?;
            forwarder::ensure(self.host, self.project, self.ledger, self.plan.ports()).await?;
            if !before.is_empty() {
                forwarder::point(self.host, self.project, self.plan.ports(), &before).await?;
            }
            // Without a health check there is no need to wait, unless the new instances take the place of others.
            let steady = if before.is_empty() { Duration::ZERO } else { health::STEADY };
            self.bring_up(&generation, steady).await?;
            // The new generation is sealed before the old instances go. If prun is killed here, the next start finds
            // it.
            fault::point("roll.up");
            locked.seal_generation(&generation).await?;
            fresh.set(false);
            fault::point("roll.sealed");
            if instance::is_delivered(self.plan, &generation.variables) {
                self.holder(generation.number).note(self.host, generation.number).await?;
            }
            forwarder::point(self.host, self.project, self.plan.ports(), &self.names(generation.number)).await?;
            self.remove_others(Some(generation.number)).await
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

    fn names(&self, generation: u64) -> Vec<String> {
        (1..=self.plan.replicas()).map(|instance| self.project.instance(generation, instance)).collect()
    }

    /// Whether all instances of a generation run and have their values, which are gone after a restart of the engine.
    async fn runs(&self, generation: u64, delivered: bool) -> Result<bool, RunError> {
        let holder = delivered.then(|| self.project.values(generation));
        for name in self.names(generation).into_iter().chain(holder) {
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
        let recipe = Recipe { project: self.project, plan: self.plan, image: self.image, generation, values };
        if let Some(holder) = &holder {
            let (home, labels) = (self.project.home(), self.project.labels(Role::Home, &[]));
            containers::ensure_volume(self.host, self.project, &home, labels, &[]).await?;
            holder.start(self.host, self.project).await?;
            holder.furnish(self.host).await?;
        }
        self.ensure_data().await?;
        for instance in 1..=self.plan.replicas() {
            let name = self.project.instance(number, instance);
            let existing = containers::inspect(self.host, self.project, &name).await?;
            if !existing.is_some_and(|container| containers::is_running(&container)) {
                containers::create(self.host, self.project, &name, recipe.body(self.labels(generation, instance))?)
                    .await?;
                for network in self.plan.container().networks() {
                    containers::join(self.host, network, &name).await?;
                }
            }
        }
        if let Some(holder) = &holder {
            // The owner is known only now, because the list of users is read from the container.
            let owner = instance::owner(self.host, self.plan, self.image, &self.project.instance(number, 1)).await;
            holder.fill(self.host, &recipe.files(owner).in_order()).await?;
        }
        for instance in 1..=self.plan.replicas() {
            let name = self.project.instance(number, instance);
            containers::start(self.host, &name).await?;
            let say = |finished: &health::InitReport| {
                self.edge.stderr.fact("init", &format!("{:<9} instance {instance}   {}", finished.name, finished.took));
            };
            let init = health::init(self.host, self.project, self.plan, &name, instance, say);
            self.edge.patiently(|| format!("instance {instance} until its init commands have finished"), init).await?;
            let healthy = health::healthy(self.host, self.project, self.plan, self.image, number, instance, steady);
            let what =
                || format!("instance {instance} until it is healthy, at most {}s", self.plan.patience().as_secs());
            self.edge.patiently(what, healthy).await?;
            // The policy is set only now: the engine must not restart an instance again and again that was never
            // healthy.
            let update = ContainerUpdateBody {
                restart_policy: Some(self.plan.container().restart_policy()),
                ..ContainerUpdateBody::default()
            };
            let updated = self.host.docker().update_container(&name, update).await;
            updated.map_err(engine(|| format!("set the restart policy of {name}")))?;
            if instance == 1 {
                fault::point("roll.first");
            }
        }
        let (all, instances) = (self.plan.replicas(), pscreen::words::counted(self.plan.replicas(), "instance"));
        if health::has_check(self.plan, self.image) {
            self.edge.stderr.fact("healthy", &format!("{all} of {instances}"));
        } else {
            self.edge.stderr.fact("running", &format!("{all} of {instances} (no health check configured)"));
        }
        Ok(())
    }

    fn labels(&self, generation: &Generation, instance: u32) -> HashMap<String, String> {
        let more = [
            (names::GENERATION, generation.number.to_string()),
            (names::INSTANCE, instance.to_string()),
            (names::CONFIGURATION, generation.digest.clone()),
        ];
        self.project.labels(Role::App, &more)
    }

    /// Makes sure that the volumes which the app declares exist.
    async fn ensure_data(&self) -> Result<(), RunError> {
        for volume in self.plan.container().volumes() {
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

    /// Lists the running instances of other generations.
    async fn names_of_others(&self, generation: u64) -> Result<Vec<String>, RunError> {
        let all = containers::list(self.host, self.project).await?;
        let others = all.iter().filter(|container| {
            role(container) == Some(Role::App.as_str())
                && number(container).is_some_and(|number| number != generation)
                && container.state == Some(bollard::models::ContainerSummaryStateEnum::RUNNING)
        });
        Ok(others.map(containers::name_of).collect())
    }

    /// Removes the containers of all generations except `keep`, including what killed commands have left.
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

/// Refuses a state that is older than the instances that run, such as a restored backup. With it, the instances of the
/// newer generation would be taken for leftovers, and revoked credentials would be handed out.
///
/// # Errors
///
/// [`RunError::OlderState`].
pub(crate) async fn check_age(host: &Engine, project: &Project, sealed: u64) -> Result<(), RunError> {
    let all = containers::list(host, project).await?;
    let newer = all.iter().find(|container| {
        role(container) == Some(Role::Values.as_str()) && number(container).is_some_and(|number| number > sealed)
    });
    // A killed command may have left a newer generation that was never sealed. Its number was not noted, so it does
    // not show that the state is old.
    let Some(newer) = newer else { return Ok(()) };
    match holder::noted(host, &containers::name_of(newer)).await {
        Some(noted) if noted > sealed => {
            Err(RunError::OlderState { project: project.name().to_owned(), sealed, noted })
        }
        _ => Ok(()),
    }
}
