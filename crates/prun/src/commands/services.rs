//! `prun services`: manages the credentials and the data of a project's services.

use std::time::Instant;

use pcredential::{Phase, ServiceRecord};
use pscreen::Exit;

use crate::commands::start::Start;
use crate::commands::{import, show, tools};
use crate::edge::{CommandEnd, Edge, Failure, confirm, now};
use crate::engine::containers;
use crate::error::RunError;
use crate::error::command::CommandError;
use crate::fault;
use crate::instance::roll;
use crate::names::{Project, Role};
use crate::plan::record::{Record, ServiceOrigin};
use crate::plan::request::{Choice, Data, ListForm, ListRequest, Rotated, ServicesRequest};
use crate::plan::{self, PlannedService};
use crate::project::KnownProject;
use crate::service;
use crate::state::{Closed, LockedState};
use crate::values::generation::Generation;

/// Carries out a request.
///
/// # Errors
///
/// Returns the first error of the request's steps.
pub(crate) async fn run(request: &ServicesRequest, edge: &Edge) -> Result<CommandEnd, Failure> {
    let exit = match request {
        ServicesRequest::Rotate { project, services } => rotate(project, services, edge).await,
        ServicesRequest::Add { project, service } => add(project, service, edge).await,
        ServicesRequest::Remove { project, service, data } => remove(project, service, *data, edge).await,
        ServicesRequest::List(project) => list(project, edge).await,
        ServicesRequest::Import(request) => import::import(request, edge).await,
        ServicesRequest::Reset(request) => import::reset(request, edge).await,
        ServicesRequest::Shell(request, arguments) => return tools::shell(request, arguments, edge).await,
        ServicesRequest::Dump(request) => tools::dump(request, edge).await,
        ServicesRequest::Load { tool, replace } => tools::load(tool, *replace, edge).await,
    };
    Ok(exit?.into())
}

async fn rotate(project: &Choice, services: &Rotated, edge: &Edge) -> Result<Exit, Failure> {
    let began = Instant::now();
    let known = KnownProject::find(project, edge).await?;
    let work = async |locked: &LockedState<'_>| {
        let (ledger, current) = known.open(locked)?;
        let mut start = Start::again(known.host.clone(), ledger, &current, edge)?;
        let outcome =
            rotate_in(services, &mut start, locked, current).await.map_err(|failure| failure.behind(&start.edge));
        if outcome? == Exit::Done {
            let took = pscreen::words::seconds(began.elapsed());
            start.edge.stderr.fact("done", &format!("no image was rebuilt; {took}"));
        }
        Ok(Exit::Done)
    };
    known.locked(edge, Closed::Refuse, work).await
}

async fn rotate_in(
    services: &Rotated,
    start: &mut Start,
    locked: &LockedState<'_>,
    current: Generation,
) -> Result<Exit, Failure> {
    let names = chosen(services, start)?;
    let (names, given): (Vec<String>, Vec<String>) =
        names.into_iter().partition(|name| start.ledger.service(name).is_some_and(|service| service.rotates()));
    match (services, given.into_iter().next()) {
        (Rotated::Named(_), Some(service)) => return Err(CommandError::NotRotated { service }.into()),
        (Rotated::All, Some(service)) => {
            let text = format!("{:<7} stays: others made its login", service);
            start.edge.stderr.fact("service", &text);
        }
        (_, None) => {}
    }
    // A state that is too old must be refused before anything is sealed.
    roll::check_age(&start.host, &start.project, locked.newest_number()?).await?;
    for name in &names {
        start.ledger.begin_rotation(name);
    }
    locked.seal_ledger(&start.ledger).await?;
    fault::point("rotation.sealed");
    if containers::running(&start.host, &start.project, Role::App).await?.is_empty() {
        let before = containers::running(&start.host, &start.project, Role::Service).await?;
        start.rotate_services(locked, current).await?;
        for name in containers::running(&start.host, &start.project, Role::Service).await? {
            if !before.contains(&name) {
                containers::stop(&start.host, &name, service::GRACE).await?;
            }
        }
        return Ok(Exit::Done);
    }
    start.run(locked, Some(current)).await
}

/// Chooses the services of these names, and checks that all of them are in use.
fn chosen(services: &Rotated, start: &Start) -> Result<Vec<String>, CommandError> {
    let in_use = |name: &str| {
        start.plan.wants(name) && start.ledger.service(name).is_some_and(|service| service.phase() == Phase::Proven)
    };
    let all = || start.ledger.services().iter().map(|service| service.name().to_owned()).filter(|name| in_use(name));
    let Rotated::Named(names) = services else { return Ok(all().collect()) };
    if let Some(unknown) = names.iter().find(|name| !in_use(name)) {
        let (project, used) = (start.project.name().to_owned(), all().collect());
        return Err(CommandError::UnusedService { project, service: unknown.clone(), used });
    }
    Ok(names.clone())
}

/// Changes the record of the last start, and applies the change if the app runs.
async fn change(
    edge: &Edge,
    known: &KnownProject,
    next: impl FnOnce(Record) -> Result<Record, RunError>,
) -> Result<Exit, Failure> {
    let work = async |locked: &LockedState<'_>| {
        let (ledger, mut current) = known.open(locked)?;
        let record = next(current.record.clone())?;
        let before = std::mem::replace(&mut current.record, record);
        let mut start = Start::again(known.host.clone(), ledger, &current, edge)?;
        if containers::running(&start.host, &start.project, Role::App).await?.is_empty() {
            locked.seal_generation(&Generation { digest: String::new(), ..current }).await?;
            edge.stderr.line("the app does not run; the next prun start applies the change");
            return Ok(Exit::Done);
        }
        current.record = before;
        start.run(locked, Some(current)).await.map_err(|failure| failure.behind(&start.edge))
    };
    known.locked(edge, Closed::Refuse, work).await
}

async fn add(project: &Choice, planned: &PlannedService, edge: &Edge) -> Result<Exit, Failure> {
    let known = KnownProject::find(project, edge).await?;
    change(edge, &known, |record| {
        if record.plan()?.wants(&planned.name) {
            let (project, service) = (known.name.clone(), planned.name.clone());
            return Err(CommandError::ServiceExists { project, service }.into());
        }
        let added = [record.added(), &[plan::full_name(planned)]].concat();
        Ok(record.with_added(&added))
    })
    .await
}

async fn remove(choice: &Choice, name: &str, data: Data, edge: &Edge) -> Result<Exit, Failure> {
    let known = KnownProject::find(choice, edge).await?;
    let document = known.read_own().await?;
    let ledger = document.ledger()?;
    let Some(service) = ledger.service(name) else {
        return Err(CommandError::NoService { project: known.name, service: name.to_owned() }.into());
    };
    if data != Data::Kept && service.is_adopted() && service.external().is_none() {
        return Err(CommandError::AdoptedVolume { volume: service.volume().to_owned() }.into());
    }
    if data == Data::RemovedOnConfirmation {
        let loss = match service.external() {
            None => {
                format!("the data in volume {} and the credential of {name} will be removed forever", service.volume())
            }
            Some(_) => format!("the credential of {name} will be forgotten"),
        };
        confirm(name, &loss)?;
    }
    let record = document.generation()?.map(|generation| generation.record);
    match record.as_ref().and_then(|record| record.origin(name)) {
        Some(ServiceOrigin::Manifest(line)) => {
            return Err(CommandError::ServiceDeclared { service: name.to_owned(), line }.into());
        }
        Some(ServiceOrigin::Flags) => {
            change(edge, &known, |record| Ok(record.without(name))).await?;
        }
        None => {}
    }
    if data == Data::Kept {
        let kept = match service.external() {
            None => format!("volume {} and the credential of {name}", service.volume()),
            Some(_) => format!("the credential of {name}"),
        };
        edge.stderr.fact("kept", &kept);
        return Ok(Exit::Done);
    }
    let work = async |locked: &LockedState<'_>| {
        let Some(mut ledger) = locked.ledger()? else { return Ok(Exit::Done) };
        let project = Project::new(&known.name, ledger.owner());
        service::stop(&known.host, &project, name).await?;
        if service.external().is_none() && containers::volume_exists(&known.host, service.volume()).await? {
            // This call returns an error if the volume does not belong to this project.
            let labels = project.labels(Role::Service, &[]);
            containers::ensure_volume(&known.host, &project, service.volume(), labels, &[]).await?;
            containers::remove_volume(&known.host, service.volume()).await?;
        }
        ledger.forget(name);
        locked.seal_ledger(&ledger).await?;
        let removed = match service.external() {
            None => format!("volume {} and the credential of {name}", service.volume()),
            Some(_) => format!("the credential of {name}; its server keeps data and logins"),
        };
        edge.stderr.fact("removed", &removed);
        Ok(Exit::Done)
    };
    known.locked(edge, Closed::Refuse, work).await
}

async fn list(request: &ListRequest, edge: &Edge) -> Result<Exit, Failure> {
    let known = KnownProject::find(&request.project, edge).await?;
    let ledger = known.read().await?.ledger()?;
    let project = Project::new(&known.name, ledger.owner());
    let running = containers::running(&known.host, &project, Role::Service).await?;
    // The server of somebody else is not looked at.
    let state = |service: &ServiceRecord| match service.external() {
        Some(_) => "external",
        None if running.contains(&project.service(service.name())) => "running",
        None => "stopped",
    };
    let text = match request.form {
        ListForm::Table => {
            let mut rows = vec![["NAME", "KIND", "IMAGE", "STATE", "VOLUME", "CREDENTIAL"].map(str::to_owned)];
            rows.extend(ledger.services().iter().map(|service| {
                let place = match service.external() {
                    None => service.volume().to_owned(),
                    Some(_) => format!("{}:{}", service.host(), service.port()),
                };
                let (kind, credential) = (service.kind().as_str(), standing(service));
                [service.name(), kind, service.image(), state(service), &place, &credential].map(str::to_owned)
            }));
            show::table(&rows)
        }
        ListForm::Json => {
            let service = |service: &ServiceRecord| {
                let external = service.external().map(|_| format!("{}:{}", service.host(), service.port()));
                let volume = external.is_none().then(|| service.volume());
                serde_json::json!({
                    "name": service.name(), "kind": service.kind().as_str(), "image": service.image(),
                    "state": state(service), "volume": volume, "address": external,
                    "credential": credential_word(service), "made": service.created(),
                })
            };
            let services: Vec<serde_json::Value> = ledger.services().iter().map(service).collect();
            show::document(&serde_json::json!({ "version": 1, "project": known.name, "services": services }))
        }
    };
    edge.stdout.bytes(text.as_bytes());
    Ok(Exit::Done)
}

/// Returns a program's word for what the user has to do about a service's credential.
fn credential_word(service: &ServiceRecord) -> &'static str {
    match (service.phase(), service.stage()) {
        (_, Some(_)) => "rotating",
        (Phase::Proven, None) => "proven",
        (Phase::Sealed | Phase::Imported | Phase::Resetting, None) => "unproven",
    }
}

/// Describes how old a service's credential is, or what the user has to do about it.
#[must_use]
pub(crate) fn standing(service: &ServiceRecord) -> String {
    match (service.phase(), service.stage()) {
        (_, Some(_)) => "rotation under way: prun start finishes it".to_owned(),
        (Phase::Proven, None) => show::age(now().saturating_sub(service.created())),
        (Phase::Sealed | Phase::Imported | Phase::Resetting, None) => "not proven yet: prun start".to_owned(),
    }
}
