//! `prun start`: from a plan to a healthy app.

use std::cell::RefCell;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use bollard::models::ImageInspect;
use papp::Manifest;
use pcli::arguments::SecretArguments;
use pcli::resolve::Purpose;
use pcli::{Exit, FoundManifest};
use pcredential::{Ledger, NewService, Phase, ServiceRecord};
use pengine::{Endpoint, Engine, Environment, Flags, Safety};
use psecret::{Inputs, RedactorBuilder, Secret};

use crate::command::StartArguments;
use crate::compose;
use crate::containers;
use crate::edge::{Edge, Failure};
use crate::error::RunError;
use crate::fault;
use crate::forwarder;
use crate::generation::{self, Generation, Origin, Variable};
use crate::names::Project;
use crate::one_off;
use crate::plan::Plan;
use crate::roll::{self, Change, Instances, Roll};
use crate::rotation::Rotation;
use crate::service::{self, Started};
use crate::state::{Locked, State};
use crate::told::Told;

/// Starts the app, or brings what runs to what is wanted.
///
/// # Errors
///
/// Everything that can go wrong on the way, already told as people need it. What ran before still runs then.
pub async fn run(arguments: &StartArguments, edge: &Edge) -> Result<Exit, Failure> {
    let (mut start, state) = told(arguments, edge, What::Instances).await?;
    let outcome = async {
        if arguments.dry_run {
            return start.tell(state.generation()?.as_ref()).await;
        }
        let locked = state.lock(edge).await?;
        // What another run changed while this one waited.
        if let Some(ledger) = locked.ledger()? {
            start.project = Project::new(&start.plan.project, ledger.owner());
            start.ledger = ledger;
        }
        let current = state.generation()?;
        start.run(&locked, current).await
    };
    let outcome = outcome.await;
    outcome.map_err(|failure| failure.behind(&start.edge))
}

/// What a plan is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// Instances of the app.
    Instances,
    /// A command in a container of its own.
    Command,
}

/// Makes a plan of what a command was told, with the user's secrets at hand and nothing started yet.
pub(crate) async fn told(arguments: &StartArguments, edge: &Edge, what: What) -> Result<(Start, State), Failure> {
    let found = manifest(arguments.secrets.config.as_deref())?;
    let nothing = Manifest::default();
    let declared = found.as_ref().map_or(&nothing, |found| &found.manifest);
    let folder = found.as_ref().map_or(Path::new("."), FoundManifest::directory);
    let mut plan = Plan::new(arguments, declared, folder)?;
    let (secrets, edge) = secrets(&arguments.secrets, found.as_ref(), &mut plan, edge)?;
    let deferred = plan.composed.iter().map(|secret| secret.name.clone()).collect();
    let text = found.as_ref().and_then(|found| std::fs::read_to_string(&found.path).ok());
    let told = Told::new(arguments, text, folder, deferred);
    let origin = found.as_ref().map_or(plan.project_from, |_| "from app.toml");
    let what = match (what, plan.replicas) {
        (What::Command, _) => "one command".to_owned(),
        (What::Instances, 1) => "1 instance".to_owned(),
        (What::Instances, count) => format!("{count} instances"),
    };
    edge.stderr.fact("app", &format!("{} ({}, {what})  {origin}", plan.project, plan.image));

    let host = edge.cancellation.unless_cancelled(connect_to_deliver(&arguments.secrets, &edge)).await??;
    let state = State::of(folder_of_states(), &plan.project)?;
    let ledger = state.ledger()?.unwrap_or_else(|| Ledger::new(&plan.project));
    let current = state.generation()?;
    let added = current.as_ref().map(|current| current.told.added().to_vec()).unwrap_or_default();
    plan.add(&added)?;
    let project = Project::new(&plan.project, ledger.owner());
    let (told, user) = (told.with_added(&added), compose::of_user(&secrets));
    Ok((Start { project, host, plan, told, user, ledger, edge, instances: Instances::Keep }, state))
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

/// Connects to hand over secrets: says when everybody on the way could read them, or refuses to.
async fn connect_to_deliver(arguments: &SecretArguments, edge: &Edge) -> Result<Engine, RunError> {
    let endpoint = Endpoint::resolve(&Environment::of_process(), &Flags::default())?;
    if arguments.require_tls {
        endpoint.require_private()?;
    }
    if endpoint.safety() == Safety::Plaintext {
        edge.stderr.warning("the engine is reached over plain TCP: everybody on the way can read the secrets");
    }
    Ok(Engine::connect(&endpoint).await?)
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
    plan.composed.retain(|secret| resolution.deferred.contains(&secret.name));
    let redactor = resolution
        .secrets
        .iter()
        .fold(RedactorBuilder::new(), |builder, secret| {
            builder.taken_apart(secret.name(), secret.value(), secret.parts())
        })
        .build()
        .map_err(RunError::from)?;
    if let Some((name, _)) = plan.environment.iter().find(|(_, value)| redactor.redact(value) != *value) {
        let what = format!("--env {name}=…: its value holds a secret, and would be visible in ps and docker inspect");
        return Err(crate::plan::wrong(
            what,
            "--secret id=NAME,src=FILE, or compose it in app.toml: value = \"…${NAME}…\"",
        )
        .into());
    }
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
pub(crate) struct Start {
    pub(crate) host: Engine,
    pub(crate) project: Project,
    pub(crate) plan: Plan,
    pub(crate) told: Told,
    /// The user's secrets.
    pub(crate) user: Vec<Variable>,
    pub(crate) ledger: Ledger,
    pub(crate) edge: Edge,
    pub(crate) instances: Instances,
}

impl Start {
    /// The same start again, from what was sealed when it was done.
    pub(crate) fn again(host: Engine, ledger: Ledger, current: &Generation, edge: &Edge) -> Result<Self, RunError> {
        let plan = current.told.plan()?;
        let composed = |variable: &&Variable| plan.composed.iter().any(|secret| secret.name == variable.name);
        let user = current.variables.iter().filter(|variable| matches!(variable.origin, Origin::User(_)));
        let user = user.filter(|variable| !composed(variable)).map(Variable::again).collect();
        let redactor = generation::redactor(Some(&ledger), &current.variables)?;
        let (edge, project) = (edge.redacting(&redactor), Project::new(&plan.project, ledger.owner()));
        Ok(Self { host, project, plan, told: current.told.clone(), user, ledger, edge, instances: Instances::Keep })
    }

    fn variables(&self) -> Result<Vec<Variable>, RunError> {
        compose::variables(&self.ledger, &self.plan, self.user.iter().map(Variable::again).collect())
    }

    /// The variables, and from now on everything that people see is redacted of them.
    fn masked_variables(&mut self) -> Result<Vec<Variable>, RunError> {
        let variables = self.variables()?;
        self.edge = self.edge.redacting(&generation::redactor(Some(&self.ledger), &variables)?);
        Ok(variables)
    }

    /// Brings the services to what is wanted; what an app gets, and its image.
    pub(crate) async fn prepare(&mut self, locked: &Locked<'_>) -> Result<(ImageInspect, Vec<Variable>), Failure> {
        let cancellation = self.edge.cancellation.clone();
        // All that can be wrong with the plan is found before anything is started.
        let changed = cancellation.unless_cancelled(self.add_services()).await??;
        self.masked_variables()?;
        let image = containers::image(&self.host, &self.plan.image, || self.edge.stderr.fact("pull", &self.plan.image));
        let image = cancellation.unless_cancelled(image).await??;
        if changed {
            locked.seal_ledger(&self.ledger)?;
        }
        cancellation.unless_cancelled(self.services(locked)).await??;
        cancellation.unless_cancelled(self.enable(locked)).await??;
        let variables = self.masked_variables()?;
        Ok((image, variables))
    }

    /// Brings everything to what is wanted, and finishes what an earlier run began.
    pub(crate) async fn run(&mut self, locked: &Locked<'_>, current: Option<Generation>) -> Result<Exit, Failure> {
        let cancellation = self.edge.cancellation.clone();
        roll::check_age(&self.host, &self.project, current.as_ref()).await?;
        let (image, variables) = self.prepare(locked).await?;
        one_off::sweep(&self.host, &self.project).await?;
        let roll = Roll {
            host: &self.host,
            project: &self.project,
            plan: &self.plan,
            ledger: &self.ledger,
            image: &image,
            told: &self.told,
            instances: self.instances,
            edge: &self.edge,
        };
        let change = roll.run(locked, current, variables).await?;
        fault::point("rotation.rolled");
        cancellation.unless_cancelled(self.revoke(locked)).await??;
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

    async fn enable(&mut self, locked: &Locked<'_>) -> Result<(), RunError> {
        let rotation = Rotation { host: &self.host, project: &self.project, locked, edge: &self.edge };
        rotation.enable(&mut self.ledger).await
    }

    async fn revoke(&mut self, locked: &Locked<'_>) -> Result<(), RunError> {
        let rotation = Rotation { host: &self.host, project: &self.project, locked, edge: &self.edge };
        rotation.revoke(&mut self.ledger).await
    }

    /// Rotates while the app does not run: services come up for it, and the generation that the next start will bring up
    /// is sealed with the next credentials.
    pub(crate) async fn rotate_services(&mut self, locked: &Locked<'_>, current: Generation) -> Result<(), Failure> {
        let cancellation = self.edge.cancellation.clone();
        self.masked_variables()?;
        cancellation.unless_cancelled(self.services(locked)).await??;
        cancellation.unless_cancelled(self.enable(locked)).await??;
        let variables = self.masked_variables()?;
        let number = current.number + 1;
        // No digest of a plan: the next start makes a generation of its own.
        locked.seal_generation(&Generation { number, digest: String::new(), variables, created: now(), ..current })?;
        cancellation.unless_cancelled(self.revoke(locked)).await??;
        Ok(())
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
        let waited_for: RefCell<Vec<&str>> = RefCell::new(wanted.iter().map(|service| service.name()).collect());
        let waits = wanted.iter().map(|service| async {
            let took = service::wait(&self.host, &self.project, service, self.plan.patience).await?;
            waited_for.borrow_mut().retain(|name| *name != service.name());
            Ok::<_, RunError>(format!("{} {:.1}s", service.name(), took.as_secs_f64()))
        });
        let seconds = self.plan.patience.as_secs();
        let what = || format!("{} until a login works, at most {seconds}s", waited_for.borrow().join(", "));
        let ready = self.edge.patiently(what, futures::future::try_join_all(waits)).await?;
        if !ready.is_empty() {
            self.edge.stderr.fact("ready", &ready.join(" · "));
        }
        let proven: Vec<String> = wanted
            .iter()
            .filter(|service| service.phase() != Phase::Proven)
            .map(|service| service.name().to_owned())
            .collect();
        if proven.is_empty() {
            return Ok(());
        }
        let reset: Vec<String> = wanted
            .iter()
            .filter(|service| service.phase() == Phase::Resetting)
            .map(|service| service.name().to_owned())
            .collect();
        proven.iter().for_each(|name| self.ledger.prove(name));
        locked.seal_ledger(&self.ledger)?;
        // Without what it was started with to set its passwords anew.
        for service in self.ledger.services().iter().filter(|service| reset.contains(&service.name().to_owned())) {
            let image = containers::image(&self.host, service.image(), || {}).await?;
            service::start(&self.host, &self.project, &self.ledger, service, &image).await?;
            service::wait(&self.host, &self.project, service, self.plan.patience).await?;
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
            (Phase::Imported, _) => "imported: the app gets a login of its own",
            (Phase::Resetting, _) => "gets new passwords",
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
                let variables = self.variables()?;
                let image = containers::image(&self.host, &self.plan.image, || {}).await?;
                let digest = crate::roll::digest(&self.ledger, &self.plan, &image, &variables);
                if digest == current.digest { "would stay as it is".to_owned() } else { "would be replaced".to_owned() }
            }
        };
        self.edge.stderr.fact("instances", &what);
        Ok(Exit::Done)
    }
}
