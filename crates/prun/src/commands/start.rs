//! `prun start`: brings the services and the instances of an app to a plan.

use std::cell::RefCell;
use std::path::Path;

use bollard::models::ImageInspect;
use papp::Manifest;
use pcli::FoundManifest;
use pcli::resolve::{Purpose, Resolution, SecretSources};
use pcredential::{Ledger, NewService, Phase, ServiceRecord};
use pengine::Engine;
use pscreen::Exit;
use psecret::{Inputs, RedactorBuilder};

use crate::edge::{Edge, Failure, now};
use crate::engine::containers;
use crate::error::RunError;
use crate::error::command::CommandError;
use crate::fault;
use crate::instance::forwarder;
use crate::instance::roll::{self, Instances, Replacement, Roll};
use crate::instance::sweep::sweep;
use crate::names::Project;
use crate::plan::error::PlanError;
use crate::plan::process::PlannedProcess;
use crate::plan::record::Record;
use crate::plan::request::StartRequest;
use crate::plan::{Goal, Plan};
use crate::project::{connect_to_deliver, manifest};
use crate::rotation::Rotation;
use crate::service::{self, Effect};
use crate::state::caller::Caller;
use crate::state::document::Document;
use crate::state::{Closed, LockedState, State};
use crate::values::composition;
use crate::values::generation::{Generation, Origin, Variable};
use crate::values::masks;

/// Starts the app, or updates the one that runs.
///
/// # Errors
///
/// Everything that can go wrong on the way. The old instances still run then.
pub(crate) async fn run(request: &StartRequest, edge: &Edge) -> Result<Exit, Failure> {
    let (mut start, state, current) = Start::read(request, edge, Goal::Instances).await?;
    let outcome = async {
        if request.preview {
            return start.preview(current.as_ref()).await;
        }
        let work = async |locked: &LockedState<'_>| {
            start.take(locked)?;
            let current = locked.generation()?;
            start.run(locked, current).await
        };
        state.locked(edge, Closed::Refuse, work).await
    };
    let outcome = outcome.await;
    outcome.map_err(|failure| failure.behind(&start.edge))
}

/// Reads the user's secrets, each once, and returns them with an edge whose output is redacted.
fn secrets(
    sources: &SecretSources,
    manifest: Option<&FoundManifest>,
    plan: &mut Plan,
    edge: &Edge,
) -> Result<(Resolution, Edge), Failure> {
    let environment = |name: &str| std::env::var_os(name);
    let mut stdin = std::io::stdin();
    let mut inputs = Inputs::new(&environment, &mut stdin);
    let resolution = tokio::task::block_in_place(|| {
        pcli::resolve::resolve(sources, manifest, Purpose::Run, &mut inputs, &edge.cancellation)
    })
    .map_err(RunError::from)?;
    plan.compose_only(&resolution.deferred);
    plan.set_empty(&resolution.empty);
    let redactor = resolution
        .secrets
        .iter()
        .fold(RedactorBuilder::new(), |builder, secret| {
            builder.taken_apart(secret.name(), secret.value(), secret.parts())
        })
        .build()
        .map_err(RunError::from)?;
    if let Some((name, _)) = plan.environment().iter().find(|(_, value)| redactor.redact(value) != *value) {
        return Err(PlanError::SecretInValue { name: name.clone() }.into());
    }
    let edge = edge.redacting(&redactor);
    resolution.warnings.iter().for_each(|warning| edge.stderr.warning(warning));
    Ok((resolution, edge))
}

/// Copies the user's secrets that a generation has, without those that are made of others.
fn kept(current: &Generation, plan: &Plan) -> Vec<Variable> {
    let is_composed = |name: &str| plan.composed().iter().any(|secret| secret.name == name);
    let user = current.variables.iter().filter(|variable| matches!(variable.origin, Origin::User(_)));
    user.filter(|variable| !is_composed(&variable.name)).map(Variable::again).collect()
}

/// A start in progress: what was planned, and everything that the steps need.
pub(crate) struct Start {
    pub(crate) host: Engine,
    pub(crate) project: Project,
    pub(crate) plan: Plan,
    pub(crate) record: Record,
    /// The user's secrets, as variables.
    pub(crate) user: Vec<Variable>,
    pub(crate) ledger: Ledger,
    pub(crate) edge: Edge,
    pub(crate) instances: Instances,
}

impl Start {
    /// Reads the manifest and the user's secrets, and plans a start; nothing is started yet.
    pub(crate) async fn read(
        request: &StartRequest,
        edge: &Edge,
        goal: Goal,
    ) -> Result<(Self, State, Option<Generation>), Failure> {
        let found = manifest(request.config.as_deref())?;
        let nothing = Manifest::default();
        let declared = found.as_ref().map_or(&nothing, |found| &found.manifest);
        let folder = found.as_ref().map_or(Path::new("."), FoundManifest::directory);
        let mut plan = Plan::new(&request.order, declared, folder, goal)?;
        let caller = Caller::of_process(found.as_ref().map(FoundManifest::directory));
        let connected = match Self::connect(request, &plan, caller, edge).await {
            // These are told first: nothing is read, and no command is run, for a project that is not the user's.
            Err(failure @ (Failure::Ended(_) | Failure::Shared(_))) => return Err(failure),
            Err(Failure::Error { error, printer }) if matches!(*error, RunError::State(_)) => {
                return Err(Failure::Error { error, printer });
            }
            connected => connected,
        };
        let document = connected.as_ref().ok().and_then(|(_, _, document)| document.as_ref());
        let current = document.map_or(Ok(None), Document::generation)?;
        let (before, kept) = match (goal, &current) {
            (_, None) => (None, Vec::new()),
            // A command of its own gets what the app has, also what came by the flags of its start.
            (Goal::Command, Some(current)) => {
                let before = current.record.plan()?;
                let kept = kept(current, &before);
                (Some(before), kept)
            }
            // Instances get what is declared for them and must have a value; what only a flag gave goes with the flag.
            (Goal::Instances, Some(current)) => {
                let mut kept = kept(current, &plan);
                let is_needed = |name: &str| {
                    declared.secrets.iter().any(|secret| secret.name == name && secret.in_run() && !secret.optional)
                };
                kept.retain(|variable| is_needed(&variable.name));
                (None, kept)
            }
        };
        let names = kept.iter().map(|variable| variable.name.clone()).collect();
        let sources = SecretSources { kept: names, ..request.sources.clone() };
        let (resolution, edge) = secrets(&sources, found.as_ref(), &mut plan, edge)?;
        let (host, state, document) = connected?;
        let secrets = resolution.secrets;
        let deferred = plan.composed().iter().map(|secret| secret.name.clone()).collect();
        let text = found.as_ref().map(|found| found.text.clone());
        let origin = found.as_ref().map_or(plan.project_from(), |_| "from app.toml");
        let extent = match (goal, plan.processes()) {
            (Goal::Command, _) => "one command".to_owned(),
            (Goal::Instances, [_]) => pscreen::words::counted(plan.instances(), "instance"),
            (Goal::Instances, several) => {
                let of = |process: &PlannedProcess| format!("{} {}", process.replicas(), process.name());
                several.iter().map(of).collect::<Vec<_>>().join(", ")
            }
        };
        edge.stderr.fact("app", &format!("{} ({}, {extent})  {origin}", plan.project(), plan.image()));

        let ledger = document.as_ref().map(Document::ledger).transpose()?;
        let ledger = ledger.unwrap_or_else(|| Ledger::new(plan.project()));
        let added = current.as_ref().map(|current| current.record.added().to_vec()).unwrap_or_default();
        plan.add(&added)?;
        let mut user = composition::of_user(&secrets);
        if let Some(before) = &before {
            plan.inherit(before);
        }
        if !kept.is_empty() {
            let is_set = |name: &String| {
                user.iter().any(|variable| variable.name == *name)
                    || plan.composed().iter().any(|secret| secret.name == *name)
                    || plan.environment().iter().any(|(known, _)| known == name)
            };
            let besides: Vec<Variable> = kept.into_iter().filter(|variable| !is_set(&variable.name)).collect();
            if goal == Goal::Instances && !besides.is_empty() {
                let names: Vec<String> = besides.iter().map(|variable| variable.name.clone()).collect();
                edge.stderr.fact("kept", &format!("{}, as the last start had it", names.join(", ")));
            }
            user.extend(besides);
        }
        let record = Record::new(request.order.clone(), text, folder, deferred);
        let record = record.with_added(&added).with_empty(&resolution.empty);
        let project = Project::new(plan.project(), ledger.owner());
        let start = Self { project, host, plan, record, user, ledger, edge, instances: Instances::Keep };
        Ok((start, state, current))
    }

    /// Connects to the engine, and reads the state of a project that this user may start from here.
    async fn connect(
        request: &StartRequest,
        plan: &Plan,
        caller: Caller,
        edge: &Edge,
    ) -> Result<(Engine, State, Option<Document>), Failure> {
        let work = async {
            let host = connect_to_deliver(request.transport, edge).await?;
            let state = State::of(&host, plan.project(), caller).with_patience(request.order.wait);
            let document = state.read_own().await?;
            Ok::<_, RunError>((host, state, document))
        };
        Ok(edge.cancellation.unless_cancelled(work).await??)
    }

    /// Takes the ledger of the locked state: another command may have changed it while this one waited for the lock.
    pub(crate) fn take(&mut self, locked: &LockedState<'_>) -> Result<(), RunError> {
        self.ledger = locked.ledger_or_new()?;
        self.project = Project::new(self.plan.project(), locked.owner());
        Ok(())
    }

    /// Makes the last start again from its sealed record.
    pub(crate) fn again(host: Engine, ledger: Ledger, current: &Generation, edge: &Edge) -> Result<Self, RunError> {
        let plan = current.record.plan()?;
        let user = kept(current, &plan);
        let redactor = masks::redactor(Some(&ledger), &current.variables, &current.record)?;
        let (edge, project) = (edge.redacting(&redactor), Project::new(plan.project(), ledger.owner()));
        Ok(Self { host, project, plan, record: current.record.clone(), user, ledger, edge, instances: Instances::Keep })
    }

    fn variables(&self) -> Result<Vec<Variable>, RunError> {
        let user = self.user.iter().map(Variable::again).collect();
        Ok(composition::variables(&self.ledger, &self.plan, user)?)
    }

    /// Composes the variables, and redacts their values from all output from now on.
    fn masked_variables(&mut self) -> Result<Vec<Variable>, RunError> {
        let variables = self.variables()?;
        self.edge = self.edge.redacting(&masks::redactor(Some(&self.ledger), &variables, &self.record)?);
        Ok(variables)
    }

    /// Brings the services to the plan, and returns the app's image and variables.
    pub(crate) async fn prepare(&mut self, locked: &LockedState<'_>) -> Result<(ImageInspect, Vec<Variable>), Failure> {
        let cancellation = self.edge.cancellation.clone();
        // Every error of the plan is found here, before anything is started.
        self.plan.check_folders()?;
        let changed = cancellation.unless_cancelled(self.add_services()).await??;
        self.masked_variables()?;
        let image =
            containers::image(&self.host, self.plan.image(), || self.edge.stderr.fact("pull", self.plan.image()));
        let image = cancellation.unless_cancelled(image).await??;
        if changed {
            locked.seal_ledger(&self.ledger).await?;
        }
        cancellation.unless_cancelled(self.services(locked)).await??;
        cancellation.unless_cancelled(self.enable(locked)).await??;
        let variables = self.masked_variables()?;
        Ok((image, variables))
    }

    /// Brings services and instances to the plan, and finishes a rotation that an earlier command began.
    pub(crate) async fn run(&mut self, locked: &LockedState<'_>, current: Option<Generation>) -> Result<Exit, Failure> {
        let cancellation = self.edge.cancellation.clone();
        roll::check_age(&self.host, &self.project, locked.newest_number()?).await?;
        let (image, variables) = self.prepare(locked).await?;
        sweep(&self.host, &self.project).await?;
        let roll = Roll {
            host: &self.host,
            project: &self.project,
            plan: &self.plan,
            ledger: &self.ledger,
            image: &image,
            record: &self.record,
            instances: self.instances,
            edge: &self.edge,
        };
        let change = roll.run(locked, current, variables).await?;
        fault::point("rotation.rolled");
        cancellation.unless_cancelled(self.revoke(locked)).await??;
        self.retire_services().await?;
        match change {
            Replacement::None => self.edge.stderr.line("nothing to change: the app runs as it should"),
            Replacement::Checked | Replacement::Restored | Replacement::Replaced => {}
        }
        for address in forwarder::addresses(&self.host, &self.project).await? {
            let of = match (&address.process, self.plan.processes()) {
                (Some(process), [_, _, ..]) => format!("  {process}"),
                (Some(_) | None, _) => String::new(),
            };
            self.edge.stderr.fact("open", &format!("{}{of}", address.url));
        }
        Ok(Exit::Done)
    }

    async fn enable(&mut self, locked: &LockedState<'_>) -> Result<(), RunError> {
        let rotation = Rotation { host: &self.host, project: &self.project, locked, edge: &self.edge };
        rotation.enable(&mut self.ledger).await
    }

    async fn revoke(&mut self, locked: &LockedState<'_>) -> Result<(), RunError> {
        let rotation = Rotation { host: &self.host, project: &self.project, locked, edge: &self.edge };
        rotation.revoke(&mut self.ledger).await
    }

    /// Rotates credentials while the app does not run. The services are started for the rotation, and a generation with
    /// the next credentials is sealed for the next start.
    pub(crate) async fn rotate_services(
        &mut self,
        locked: &LockedState<'_>,
        current: Generation,
    ) -> Result<(), Failure> {
        let cancellation = self.edge.cancellation.clone();
        self.masked_variables()?;
        cancellation.unless_cancelled(self.services(locked)).await??;
        cancellation.unless_cancelled(self.enable(locked)).await??;
        let variables = self.masked_variables()?;
        let number = current.number + 1;
        // An empty digest equals none, so the next start makes a generation of its own.
        let next = Generation { number, digest: String::new(), variables, created: now(), ..current };
        locked.seal_generation(&next).await?;
        cancellation.unless_cancelled(self.revoke(locked)).await??;
        Ok(())
    }

    /// Makes sure that every service runs and accepts its credential, which must be sealed by now.
    async fn services(&mut self, locked: &LockedState<'_>) -> Result<(), RunError> {
        containers::ensure_network(&self.host, &self.project).await?;
        let planned: Vec<&ServiceRecord> =
            self.ledger.services().iter().filter(|service| self.plan.wants(service.name())).collect();
        for service in &planned {
            let image =
                containers::image(&self.host, service.image(), || self.edge.stderr.fact("pull", service.image()))
                    .await?;
            let started = service::start(&self.host, &self.project, &self.ledger, service, &image).await?;
            self.report_service(service, started);
        }
        let waited_for: RefCell<Vec<&str>> = RefCell::new(planned.iter().map(|service| service.name()).collect());
        let waits = planned.iter().map(|service| async {
            let (patience, redactor) = (self.plan.service_patience(), self.edge.stderr.redactor());
            let took = service::wait(&self.host, &self.project, service, patience, redactor).await?;
            waited_for.borrow_mut().retain(|name| *name != service.name());
            Ok::<_, RunError>(format!("{} {}", service.name(), pscreen::words::seconds(took)))
        });
        let seconds = self.plan.service_patience().as_secs();
        let what = || format!("{} until a login works, at most {seconds}s", waited_for.borrow().join(", "));
        let ready = self.edge.patiently(what, futures::future::try_join_all(waits)).await?;
        if !ready.is_empty() {
            self.edge.stderr.fact("ready", &ready.join(" · "));
        }
        let proven: Vec<String> = planned
            .iter()
            .filter(|service| service.phase() != Phase::Proven)
            .map(|service| service.name().to_owned())
            .collect();
        if proven.is_empty() {
            return Ok(());
        }
        let reset: Vec<String> = planned
            .iter()
            .filter(|service| service.phase() == Phase::Resetting)
            .map(|service| service.name().to_owned())
            .collect();
        proven.iter().for_each(|name| self.ledger.prove(name));
        locked.seal_ledger(&self.ledger).await?;
        // A service that set new passwords was started in a special way for that; it is started again in the usual way.
        for service in self.ledger.services().iter().filter(|service| reset.contains(&service.name().to_owned())) {
            let image = containers::image(&self.host, service.image(), || {}).await?;
            service::start(&self.host, &self.project, &self.ledger, service, &image).await?;
            let (patience, redactor) = (self.plan.service_patience(), self.edge.stderr.redactor());
            service::wait(&self.host, &self.project, service, patience, redactor).await?;
        }
        Ok(())
    }

    /// Adds new services to the ledger, and returns whether it changed. Data that prun did not make never gets a fresh
    /// credential.
    async fn add_services(&mut self) -> Result<bool, RunError> {
        let mut changed = self.ledger.services().is_empty();
        for planned in self.plan.services() {
            match self.ledger.service(&planned.name) {
                Some(known) if known.kind() != planned.kind => {
                    let (service, sealed, kind) = (planned.name.clone(), known.kind(), planned.kind);
                    return Err(CommandError::KindOfData { service, sealed, planned: kind }.into());
                }
                Some(known) => {
                    // Unless the plan names an image, the one that made the data stays.
                    if let Some(image) = planned.image.clone().filter(|image| image != known.image()) {
                        self.ledger.set_image(&planned.name, &image);
                        changed = true;
                    }
                }
                None => {
                    let volume = self.project.service(&planned.name);
                    if containers::volume_exists(&self.host, &volume).await? {
                        return Err(RunError::ExistingVolume { service: planned.name.clone(), volume });
                    }
                    self.ledger.add(NewService {
                        name: &planned.name,
                        kind: planned.kind,
                        image: &planned.image.clone().unwrap_or_else(|| planned.kind.image(None)),
                        volume: &volume,
                        database: planned.database.as_deref(),
                        created: now(),
                    });
                    changed = true;
                }
            }
        }
        Ok(changed)
    }

    fn report_service(&self, service: &ServiceRecord, started: Effect) {
        let credential = match (service.phase(), started) {
            (Phase::Sealed, _) => "credential created, sealed",
            (Phase::Imported, _) => "imported: the app gets a login of its own",
            (Phase::Resetting, _) => "gets new passwords",
            (Phase::Proven, Effect::Created) => "started with its own credential",
            (Phase::Proven, Effect::Running) => "runs",
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

    /// Shows what a start would do.
    async fn preview(&mut self, current: Option<&Generation>) -> Result<Exit, Failure> {
        let mut fresh = false;
        for planned in self.plan.services() {
            let container = self.project.service(&planned.name);
            let what = match self.ledger.service(&planned.name) {
                None => "would be created, with a new credential",
                Some(_) if containers::inspect(&self.host, &self.project, &container).await?.is_some() => "is there",
                Some(_) => "would be started with its data",
            };
            fresh |= self.ledger.service(&planned.name).is_none();
            self.edge.stderr.fact("service", &format!("{:<7} {} {what}", planned.name, planned.kind));
        }
        let what = match current {
            None => "would be started".to_owned(),
            Some(_) if fresh => "would be replaced: they get other values".to_owned(),
            Some(current) => {
                let variables = self.variables()?;
                let image = containers::image(&self.host, self.plan.image(), || {}).await?;
                let digest = crate::instance::roll::digest(&self.ledger, &self.plan, &image, &variables);
                if digest == current.digest {
                    "would stay as they are".to_owned()
                } else {
                    "would be replaced".to_owned()
                }
            }
        };
        self.edge.stderr.fact("instances", &what);
        Ok(Exit::Done)
    }
}
