//! `prun start`: makes the services and the instances of an app run as the plan says.

use std::path::Path;

use bollard::models::ImageInspect;
use papp::Manifest;
use pcli::FoundManifest;
use pcli::resolve::{Purpose, Resolution, SecretSources};
use pcredential::Ledger;
use pengine::Engine;
use pscreen::Exit;
use psecret::{Inputs, RedactorBuilder};

use crate::commands::unit::Unit;
use crate::edge::{Edge, Failure, now};
use crate::engine::{containers, images};
use crate::error::RunError;
use crate::instance::roll::{self, Instances, Parts, Replacement, Roll};
use crate::instance::sweep::sweep;
use crate::instance::{self, forwarder};
use crate::names::Project;
use crate::plan::error::PlanError;
use crate::plan::process::PlannedProcess;
use crate::plan::record::Record;
use crate::plan::request::StartRequest;
use crate::plan::{Goal, Plan};
use crate::project::{connect_to_deliver, manifest};
use crate::services::Services;
use crate::state::caller::Caller;
use crate::state::document::Document;
use crate::state::{Closed, LockedState, State};
use crate::values::composition;
use crate::values::external::{self, Logins};
use crate::values::generation::{Generation, Origin, Variable};
use crate::values::masks;
use crate::walk::{App, Seen, Walk};

/// Starts the app, or updates the running app.
///
/// # Errors
///
/// Returns the first error of any step. If the new instances do not become healthy, the old instances keep running.
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

/// Reads the user's secrets, each source once, and returns them with an edge whose output is redacted.
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

/// Copies a generation's user secrets, except composed ones.
fn kept(current: &Generation, plan: &Plan) -> Vec<Variable> {
    let is_composed = |name: &str| plan.composed().iter().any(|secret| secret.name == name);
    let user = current.variables.iter().filter(|variable| matches!(variable.origin, Origin::User(_)));
    user.filter(|variable| !is_composed(&variable.name)).map(Variable::again).collect()
}

/// A start in progress: its plan, and everything that the steps need.
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
    /// The logins for external services. Only a start from the manifest has them.
    pub(crate) logins: Logins,
    /// What this command has seen of the services and instances.
    pub(crate) seen: Seen,
}

impl Start {
    /// Reads the manifest and the user's secrets, and plans a start. It does not start anything yet.
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
            // These failures end the start before any secret is read and any command is run, because the project does
            // not belong to the user.
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
            // A single command gets every value that the app has, also values that came from flags of the app's
            // start.
            (Goal::Command, Some(current)) => {
                let before = current.record.plan()?;
                let kept = kept(current, &before);
                (Some(before), kept)
            }
            // Instances keep a required secret that the manifest declares for them, even without a new value. A
            // secret that only a flag gave is dropped together with the flag.
            (Goal::Instances, Some(current)) => {
                let mut kept = kept(current, &plan);
                let is_needed = |name: &str| {
                    declared.secrets.iter().any(|secret| secret.name == name && secret.in_run() && !secret.optional)
                };
                kept.retain(|variable| is_needed(&variable.name));
                (None, kept)
            }
        };
        let ledger = document.map(Document::ledger).transpose()?;
        let names = kept.iter().map(|variable| variable.name.clone());
        let names = names.chain(external::known(&plan, ledger.as_ref())).collect();
        let sources = SecretSources { kept: names, ..request.sources.clone() };
        let (resolution, edge) = secrets(&sources, found.as_ref(), &mut plan, edge)?;
        let (host, state, _) = connected?;
        let secrets = resolution.secrets;
        let logins = Logins::of(&plan, &secrets).map_err(RunError::from)?;
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

        let ledger = ledger.unwrap_or_else(|| Ledger::new(plan.project()));
        let added = current.as_ref().map(|current| current.record.added().to_vec()).unwrap_or_default();
        plan.add(&added)?;
        let mut user = composition::of_user(&secrets);
        // These secrets open external servers for prun. The app gets only the logins that prun makes with them.
        user.retain(|variable| !plan.externals().any(|(_, external)| external.login.secret() == variable.name));
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
        let instances = Instances::Keep;
        let seen = Seen::default();
        let start = Self { project, host, plan, record, user, ledger, edge, instances, logins, seen };
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

    /// Takes the ledger of the locked state, because another command may have changed it while this one waited for
    /// the lock.
    pub(crate) fn take(&mut self, locked: &LockedState<'_>) -> Result<(), RunError> {
        self.ledger = locked.ledger_or_new()?;
        self.project = Project::new(self.plan.project(), locked.owner());
        Ok(())
    }

    /// Prepares the last start again from its sealed record.
    pub(crate) fn again(host: Engine, ledger: Ledger, current: &Generation, edge: &Edge) -> Result<Self, RunError> {
        let plan = current.record.plan()?;
        let user = kept(current, &plan);
        let redactor = masks::redactor(Some(&ledger), &current.variables, &current.record)?;
        let (edge, project) = (edge.redacting(&redactor), Project::new(plan.project(), ledger.owner()));
        let (record, instances, logins) = (current.record.clone(), Instances::Keep, Logins::default());
        let seen = Seen::default();
        Ok(Self { host, project, plan, record, user, ledger, edge, instances, logins, seen })
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

    /// Makes the services run as the plan says, and returns the app's image and variables.
    pub(crate) async fn prepare(&mut self, locked: &LockedState<'_>) -> Result<(ImageInspect, Vec<Variable>), Failure> {
        let cancellation = self.edge.cancellation.clone();
        // All errors of the plan are found here, before anything is started.
        self.plan.check_folders()?;
        let changed = cancellation.unless_cancelled(self.services().add()).await??;
        self.masked_variables()?;
        let image = images::find(&self.host, self.plan.image(), &self.edge.stderr);
        let image = cancellation.unless_cancelled(image).await??;
        if changed {
            locked.seal_ledger(&self.ledger).await?;
        }
        self.walk(locked).prepare().await?;
        let variables = self.masked_variables()?;
        Ok((image, variables))
    }

    /// Makes services and instances run as the plan says, and finishes a rotation that an earlier command began.
    pub(crate) async fn run(&mut self, locked: &LockedState<'_>, current: Option<Generation>) -> Result<Exit, Failure> {
        let newest = locked.newest_number()?;
        roll::check_age(&self.host, &self.project, newest).await?;
        let (image, variables) = self.prepare(locked).await?;
        // Only a project's first start says so, once.
        let is_unit_advised = current.is_none()
            && instance::is_delivered(&self.plan, &variables)
            && self.host.endpoint().is_local()
            && Unit::of_process().is_advised();
        sweep(&self.host, &self.project).await?;
        let next = Generation {
            number: newest + 1,
            created: now(),
            by: Some(locked.by()),
            digest: roll::digest(&self.ledger, &self.plan, &image, &variables),
            image: image.id.clone(),
            variables,
            record: self.record.clone(),
        };
        let after = match (self.instances, &current) {
            (Instances::Replace, Some(current)) => current.number,
            (Instances::Replace | Instances::Keep, _) => 0,
        };
        let change = self.settle(locked, App::Runs, &image, after, current, next).await?;
        match change {
            Replacement::None => self.edge.stderr.line("nothing to change: the app runs as it should"),
            Replacement::Checked | Replacement::Rolled => {}
        }
        for address in forwarder::addresses(&self.host, &self.project).await? {
            let of = match (&address.process, self.plan.processes()) {
                (Some(process), [_, _, ..]) => format!("  {process}"),
                (Some(_) | None, _) => String::new(),
            };
            self.edge.stderr.fact("open", &format!("{}{of}", address.url));
        }
        if is_unit_advised {
            self.edge.stderr.fact("tip", "prun resume --install: values come back after a restart of the engine");
        }
        Ok(Exit::Done)
    }

    /// Rotates credentials while the app does not run. It starts the services for the rotation, and seals a
    /// generation with the next credentials for the next start.
    pub(crate) async fn rotate_services(
        &mut self,
        locked: &LockedState<'_>,
        current: Generation,
    ) -> Result<(), Failure> {
        self.masked_variables()?;
        self.walk(locked).prepare().await?;
        let variables = self.masked_variables()?;
        let next = Generation {
            number: locked.newest_number()? + 1,
            created: now(),
            by: Some(locked.by()),
            // An empty digest differs from every other one, so the next start makes a new generation.
            digest: String::new(),
            image: current.image.clone(),
            variables,
            record: current.record.clone(),
        };
        let (image, after) = (ImageInspect::default(), current.number);
        self.settle(locked, App::Stopped, &image, after, Some(current), next).await?;
        Ok(())
    }

    /// Makes everything run as needed, with the generation `current` or with `next`, and not with the one of the number
    /// `after`.
    async fn settle(
        &mut self,
        locked: &LockedState<'_>,
        app: App,
        image: &ImageInspect,
        after: u64,
        current: Option<Generation>,
        next: Generation,
    ) -> Result<Replacement, RunError> {
        let Self { host, project, plan, record, ledger, edge, logins, seen, .. } = self;
        let mut roll = Roll::new(Parts { host, project, plan, image, record, edge }, current, next);
        let services = Services { host, project, plan, ledger, edge, logins };
        Walk { services, locked, seen }.settle(&mut roll, app, after).await
    }

    fn walk<'a>(&'a mut self, locked: &'a LockedState<'_>) -> Walk<'a> {
        let Self { host, project, plan, ledger, edge, logins, seen, .. } = self;
        Walk { services: Services { host, project, plan, ledger, edge, logins }, locked, seen }
    }

    /// Returns the services, with everything that is needed to bring them to the plan.
    fn services(&mut self) -> Services<'_> {
        let Self { host, project, plan, ledger, edge, logins, .. } = self;
        Services { host, project, plan, ledger, edge, logins }
    }

    /// Prints what a start would do.
    async fn preview(&mut self, current: Option<&Generation>) -> Result<Exit, Failure> {
        let mut fresh = false;
        for planned in self.plan.services() {
            let container = self.project.service(&planned.name);
            let what = match self.ledger.service(&planned.name) {
                _ if planned.external.is_some() => "would be used; others run it",
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
                let image = images::find(&self.host, self.plan.image(), &self.edge.stderr).await?;
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
