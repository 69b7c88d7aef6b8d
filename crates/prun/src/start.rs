//! `prun start`: from a plan to a healthy app.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use papp::Manifest;
use pcli::arguments::SecretArguments;
use pcli::resolve::Purpose;
use pcli::{Exit, FoundManifest};
use pcredential::{Ledger, NewService, Phase, ServiceRecord};
use pengine::{Endpoint, Engine, Environment, Flags};
use psecret::{Inputs, RedactorBuilder, Secret};

use crate::command::StartArguments;
use crate::compose;
use crate::containers;
use crate::edge::{Edge, Failure};
use crate::error::RunError;
use crate::forwarder;
use crate::generation::{self, Generation};
use crate::names::Project;
use crate::plan::Plan;
use crate::roll::{Change, Roll};
use crate::service::{self, Started};
use crate::state::{Locked, State};

/// Starts the app, or brings what runs to what is wanted.
///
/// # Errors
///
/// Everything that can go wrong on the way, already told as people need it. What ran before still runs then.
pub async fn run(arguments: &StartArguments, edge: &Edge) -> Result<Exit, Failure> {
    let found = manifest(arguments.secrets.config.as_deref())?;
    let nothing = Manifest::default();
    let declared = found.as_ref().map_or(&nothing, |found| &found.manifest);
    let folder = found.as_ref().map_or(Path::new("."), FoundManifest::directory);
    let mut plan = Plan::new(arguments, declared, folder)?;
    let (secrets, edge) = secrets(&arguments.secrets, found.as_ref(), &mut plan, edge)?;
    let origin = found.as_ref().map_or(plan.project_from, |_| "from app.toml");
    let instances = if plan.replicas == 1 { "instance" } else { "instances" };
    edge.stderr.fact("app", &format!("{} ({}, {} {instances})  {origin}", plan.project, plan.image, plan.replicas));

    let host = edge.cancellation.unless_cancelled(connect()).await??;
    let state = State::of(folder_of_states(), &plan.project)?;
    let locked = tokio::task::block_in_place(|| state.lock())?;
    let ledger = locked.ledger()?.unwrap_or_else(|| Ledger::new(&plan.project));
    let mut start = Start { project: Project::new(&plan.project, ledger.owner()), host, plan, secrets, ledger, edge };
    let current = state.generation()?;
    let outcome =
        if arguments.dry_run { start.tell(current.as_ref()).await } else { start.run(&locked, current).await };
    outcome.map_err(|failure| failure.behind(&start.edge))
}

/// Reads the manifest.
///
/// # Errors
///
/// When it is broken, or the named one is not there.
pub fn manifest(given: Option<&Path>) -> Result<Option<FoundManifest>, Failure> {
    pcli::find_manifest(given, &[Path::new("")]).map_err(|error| error.diagnostic().into())
}

/// Where prun keeps the state of projects.
#[must_use]
pub fn folder_of_states() -> Option<std::path::PathBuf> {
    pvault::state_folder(&|name| std::env::var_os(name), "prun")
}

/// Connects to the engine that docker would use.
///
/// # Errors
///
/// [`RunError::Connect`].
pub async fn connect() -> Result<Engine, RunError> {
    let endpoint = Endpoint::resolve(&Environment::of_process(), &Flags::default())?;
    Ok(Engine::connect(&endpoint).await?)
}

/// Reads the user's secrets, each once; from now on everything that people see is redacted.
fn secrets(
    arguments: &SecretArguments,
    manifest: Option<&FoundManifest>,
    plan: &mut Plan,
    edge: &Edge,
) -> Result<(Vec<Secret>, Edge), Failure> {
    let environment = |name: &str| std::env::var_os(name);
    let mut stdin = std::io::stdin();
    let mut inputs = Inputs::new(&environment, &mut stdin);
    let resolution = tokio::task::block_in_place(|| {
        pcli::resolve::resolve(&arguments.sources(), manifest, Purpose::Run, &mut inputs, &edge.cancellation)
    })
    .map_err(|error| Failure::from(error.diagnostic()))?;
    plan.composed.retain(|(name, _)| resolution.deferred.contains(name));
    let redactor = resolution
        .secrets
        .iter()
        .fold(RedactorBuilder::new(), |builder, secret| builder.secret(secret.name(), secret.value()))
        .build()
        .map_err(RunError::from)?;
    let edge = edge.redacting(&redactor);
    resolution.warnings.iter().for_each(|warning| edge.stderr.warning(warning));
    Ok((resolution.secrets, edge))
}

/// Seconds since 1970.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A start under way.
struct Start {
    host: Engine,
    project: Project,
    plan: Plan,
    secrets: Vec<Secret>,
    ledger: Ledger,
    edge: Edge,
}

impl Start {
    async fn run(&mut self, locked: &Locked<'_>, current: Option<Generation>) -> Result<Exit, Failure> {
        let cancellation = self.edge.cancellation.clone();
        // All that can be wrong with the plan is found before anything is started.
        let changed = cancellation.unless_cancelled(self.add_services()).await??;
        let variables = compose::variables(&self.ledger, &self.plan, &self.secrets)?;
        let redactor = generation::redactor(Some(&self.ledger), &variables).map_err(RunError::from)?;
        self.edge = self.edge.redacting(&redactor);
        let image = containers::image(&self.host, &self.plan.image, || self.edge.stderr.fact("pull", &self.plan.image));
        let image = cancellation.unless_cancelled(image).await??;
        if changed {
            locked.seal_ledger(&self.ledger)?;
        }
        let stopped = cancellation.unless_cancelled(self.services(locked)).await;
        stopped.map_err(Failure::from)??;

        let roll = Roll {
            host: &self.host,
            project: &self.project,
            plan: &self.plan,
            ledger: &self.ledger,
            image: &image,
            edge: &self.edge,
        };
        let change = roll.run(locked, current, variables).await?;
        self.retire_services().await?;
        match change {
            Change::None => self.edge.stderr.line("nothing to change: the app runs as it should"),
            Change::Restored | Change::Replaced => {}
        }
        for address in forwarder::addresses(&self.host, &self.project).await? {
            self.edge.stderr.fact("open", &address);
        }
        Ok(Exit::Done)
    }

    /// Makes sure that every service runs and takes its credential, which is sealed by now.
    async fn services(&mut self, locked: &Locked<'_>) -> Result<(), RunError> {
        containers::ensure_network(&self.host, &self.project).await?;
        let wanted: Vec<&ServiceRecord> =
            self.ledger.services().iter().filter(|service| self.plan.wants(service.name())).collect();
        for service in &wanted {
            let image =
                containers::image(&self.host, service.image(), || self.edge.stderr.fact("pull", service.image()))
                    .await?;
            let started = service::start(&self.host, &self.project, &self.ledger, service, &image).await?;
            self.tell_service(service, started);
        }
        let waits = wanted.iter().map(|service| async {
            let took = service::wait(&self.host, &self.project, service, self.plan.patience).await?;
            Ok::<_, RunError>(format!("{} {:.1}s", service.name(), took.as_secs_f64()))
        });
        let ready = futures::future::try_join_all(waits).await?;
        if !ready.is_empty() {
            self.edge.stderr.fact("ready", &ready.join(" · "));
        }
        let proven: Vec<String> = wanted
            .iter()
            .filter(|service| service.phase() != Phase::Proven)
            .map(|service| service.name().to_owned())
            .collect();
        if !proven.is_empty() {
            proven.iter().for_each(|name| self.ledger.prove(name));
            locked.seal_ledger(&self.ledger)?;
        }
        Ok(())
    }

    /// Adds what is new to the ledger; whether there was anything. Data that somebody else made is never met with a fresh
    /// credential.
    async fn add_services(&mut self) -> Result<bool, RunError> {
        let mut changed = self.ledger.services().is_empty();
        for wanted in &self.plan.services {
            match self.ledger.service(&wanted.name) {
                Some(known) if known.kind() != wanted.kind => {
                    let what = format!(
                        "service `{}` is {} and its data too; the plan says {}",
                        wanted.name,
                        known.kind(),
                        wanted.kind
                    );
                    return Err(crate::plan::wrong(what, "give the new one another name"));
                }
                Some(known) => {
                    // Without a choice the image stays the one that the data was made with.
                    if let Some(image) = wanted.image.clone().filter(|image| image != known.image()) {
                        self.ledger.set_image(&wanted.name, &image);
                        changed = true;
                    }
                }
                None => {
                    let volume = self.project.service(&wanted.name);
                    if containers::volume_exists(&self.host, &volume).await? {
                        return Err(RunError::ExistingVolume { service: wanted.name.clone(), volume });
                    }
                    self.ledger.add(NewService {
                        name: &wanted.name,
                        kind: wanted.kind,
                        image: &wanted.image.clone().unwrap_or_else(|| wanted.kind.image(None)),
                        volume: &volume,
                        database: wanted.database.as_deref(),
                        created: now(),
                    });
                    changed = true;
                }
            }
        }
        Ok(changed)
    }

    fn tell_service(&self, service: &ServiceRecord, started: Started) {
        let credential = match (service.phase(), started) {
            (Phase::Sealed, _) => "credential created, sealed",
            (Phase::Proven, Started::Created) => "started with its own credential",
            (Phase::Proven, Started::Running) => "runs",
        };
        let version = service.image().rsplit_once(':').map_or("", |(_, tag)| tag);
        let server = format!("{} {version}", service.kind());
        let text = format!("{:<7} {server:<13} volume {:<15} {credential}", service.name(), service.volume());
        self.edge.stderr.fact("service", &text);
    }

    /// Stops services that are no longer part of the plan; their data and credentials stay.
    async fn retire_services(&self) -> Result<(), RunError> {
        for service in self.ledger.services().iter().filter(|service| !self.plan.wants(service.name())) {
            let container = self.project.service(service.name());
            if containers::inspect(&self.host, &self.project, &container).await?.is_some() {
                service::stop(&self.host, &self.project, service.name()).await?;
                let text =
                    format!("{:<7} stopped; its volume {} and its credential stay", service.name(), service.volume());
                self.edge.stderr.fact("service", &text);
            }
        }
        Ok(())
    }

    /// Says what a start would do.
    async fn tell(&mut self, current: Option<&Generation>) -> Result<Exit, Failure> {
        let mut fresh = false;
        for wanted in &self.plan.services {
            let container = self.project.service(&wanted.name);
            let what = match self.ledger.service(&wanted.name) {
                None => "would be created, with a new credential",
                Some(_) if containers::inspect(&self.host, &self.project, &container).await?.is_some() => "is there",
                Some(_) => "would be started with its data",
            };
            fresh |= self.ledger.service(&wanted.name).is_none();
            self.edge.stderr.fact("service", &format!("{:<7} {} {what}", wanted.name, wanted.kind));
        }
        let what = match current {
            None => "would be started".to_owned(),
            Some(_) if fresh => "would be replaced: it gets other values".to_owned(),
            Some(current) => {
                let variables = compose::variables(&self.ledger, &self.plan, &self.secrets)?;
                let image = containers::image(&self.host, &self.plan.image, || {}).await?;
                let digest = crate::roll::digest(&self.ledger, &self.plan, &image, &variables);
                if digest == current.digest { "would stay as it is".to_owned() } else { "would be replaced".to_owned() }
            }
        };
        self.edge.stderr.fact("instances", &what);
        Ok(Exit::Done)
    }
}
