//! `prun services`: manages the credentials and the data of a project's services.

use std::time::Instant;

use pcredential::{Administrator, Ledger, NewService, Phase, ServiceCredential, ServiceKind, ServiceRecord};
use pscreen::Exit;
use zeroize::Zeroizing;

use crate::commands::show;
use crate::commands::start::Start;
use crate::edge::{Edge, Failure, confirm, now};
use crate::engine::containers;
use crate::error::RunError;
use crate::error::command::CommandError;
use crate::fault;
use crate::instance::roll;
use crate::names::{Project, Role};
use crate::plan::record::{Record, ServiceOrigin};
use crate::plan::request::{Choice, Data, ImportRequest, Rotated, ServicesRequest};
use crate::plan::{self, PlannedService};
use crate::project::{KnownProject, manifest};
use crate::service;
use crate::state::{Closed, LockedState};
use crate::values::generation::Generation;

/// Carries out a request.
///
/// # Errors
///
/// Everything that can go wrong on the way.
pub(crate) async fn run(request: &ServicesRequest, edge: &Edge) -> Result<Exit, Failure> {
    match request {
        ServicesRequest::Rotate { project, services } => rotate(project, services, edge).await,
        ServicesRequest::Add { project, service } => add(project, service, edge).await,
        ServicesRequest::Remove { project, service, data } => remove(project, service, *data, edge).await,
        ServicesRequest::List(project) => list(project, edge).await,
        ServicesRequest::Import(request) => import(request, edge).await,
        ServicesRequest::Reset { project, service, administrator } => {
            reset(project, service, administrator.clone(), edge).await
        }
    }
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
    // This must fail before anything is sealed.
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

/// Chooses the services of these names; all of them must be in use.
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
    if data != Data::Kept && service.is_adopted() {
        return Err(CommandError::AdoptedVolume { volume: service.volume().to_owned() }.into());
    }
    if data == Data::RemovedOnConfirmation {
        confirm(
            name,
            &format!("the data in volume {} and the credential of {name} will be removed for ever", service.volume()),
        )?;
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
        edge.stderr.fact("kept", &format!("volume {} and the credential of {name}", service.volume()));
        return Ok(Exit::Done);
    }
    let work = async |locked: &LockedState<'_>| {
        let Some(mut ledger) = locked.ledger()? else { return Ok(Exit::Done) };
        let project = Project::new(&known.name, ledger.owner());
        service::stop(&known.host, &project, name).await?;
        if containers::volume_exists(&known.host, service.volume()).await? {
            // This fails for a volume that is not of this project.
            let labels = project.labels(Role::Service, &[]);
            containers::ensure_volume(&known.host, &project, service.volume(), labels, &[]).await?;
            containers::remove_volume(&known.host, service.volume()).await?;
        }
        ledger.forget(name);
        locked.seal_ledger(&ledger).await?;
        edge.stderr.fact("removed", &format!("volume {} and the credential of {name}", service.volume()));
        Ok(Exit::Done)
    };
    known.locked(edge, Closed::Refuse, work).await
}

async fn list(choice: &Choice, edge: &Edge) -> Result<Exit, Failure> {
    let known = KnownProject::find(choice, edge).await?;
    let ledger = known.read().await?.ledger()?;
    let project = Project::new(&known.name, ledger.owner());
    let running = containers::running(&known.host, &project, Role::Service).await?;
    let mut rows = vec![["NAME", "KIND", "IMAGE", "STATE", "VOLUME", "CREDENTIAL"].map(str::to_owned)];
    for service in ledger.services() {
        let state = if running.contains(&project.service(service.name())) { "running" } else { "stopped" };
        let credential = standing(service);
        let texts = [service.name(), service.kind().as_str(), service.image(), state, service.volume(), &credential];
        rows.push(texts.map(str::to_owned));
    }
    edge.stdout.bytes(show::table(&rows).as_bytes());
    Ok(Exit::Done)
}

/// Says how old a service's credential is, or what is to be done about it.
#[must_use]
pub(crate) fn standing(service: &ServiceRecord) -> String {
    match (service.phase(), service.stage()) {
        (_, Some(_)) => "rotation under way: prun start finishes it".to_owned(),
        (Phase::Proven, None) => show::age(now().saturating_sub(service.created())),
        (Phase::Sealed | Phase::Imported | Phase::Resetting, None) => "not proven yet: prun start".to_owned(),
    }
}

/// Finds a service by its name in the manifest or in the state, or reads `KIND=NAME`.
fn find_service(text: &str, choice: &Choice, ledger: &Ledger) -> Result<PlannedService, Failure> {
    if let Some(found) = manifest(choice.config.as_deref())?
        && let Some(service) = found.manifest.services.iter().find(|service| service.name == text)
    {
        return Ok(PlannedService::of_manifest(service)?);
    }
    if let Some(service) = ledger.service(text) {
        let flag = format!("{}={}", service.kind(), service.name());
        return Ok(PlannedService { image: Some(service.image().to_owned()), ..PlannedService::of_flag(&flag)? });
    }
    Ok(PlannedService::of_flag(text)?)
}

async fn import(request: &ImportRequest, edge: &Edge) -> Result<Exit, Failure> {
    let known = KnownProject::find(&request.project, edge).await?;
    let work = async |locked: &LockedState<'_>| import_locked(request, &known, locked, edge).await;
    known.state.locked(edge, Closed::BeginAnew, work).await
}

async fn import_locked(
    request: &ImportRequest,
    known: &KnownProject,
    locked: &LockedState<'_>,
    edge: &Edge,
) -> Result<Exit, Failure> {
    let mut ledger = locked.ledger_or_new()?;
    let planned = find_service(&request.service, &request.project, &ledger)?;
    let project = Project::new(&known.name, ledger.owner());
    let volume = match (&request.volume, ledger.service(&planned.name)) {
        (Some(volume), _) => volume.clone(),
        (None, Some(service)) => service.volume().to_owned(),
        (None, None) => project.service(&planned.name),
    };
    if !containers::volume_exists(&known.host, &volume).await? {
        return Err(CommandError::NoVolumeToImport { volume }.into());
    }
    let credential = match planned.kind {
        // PostgreSQL lets in an administrator on its own machine; the data of Redis and Valkey holds no password.
        ServiceKind::Postgres | ServiceKind::Redis | ServiceKind::Valkey => ServiceCredential::generate(),
        ServiceKind::Mysql | ServiceKind::Mariadb | ServiceKind::Mongodb => administrator_password(&planned.name)?,
    };
    ledger.import(
        NewService {
            name: &planned.name,
            kind: planned.kind,
            image: &planned.image.clone().unwrap_or_else(|| planned.kind.image(None)),
            volume: &volume,
            database: request.database.as_deref().or(planned.database.as_deref()),
            created: now(),
        },
        Administrator { name: request.administrator.clone(), credential },
    );
    locked.seal_ledger(&ledger).await?;
    edge.stderr.fact(
        "imported",
        &format!("{} with volume {volume}; prun start makes the app's login and proves it", planned.name),
    );
    Ok(Exit::Done)
}

/// Reads the administrator's credential: from a prompt that does not show it, or from standard input.
fn administrator_password(service: &str) -> Result<ServiceCredential, CommandError> {
    use std::io::{BufRead as _, IsTerminal as _};
    let stdin = std::io::stdin();
    let text = tokio::task::block_in_place(|| {
        if stdin.is_terminal() {
            return pscreen::ask(&format!("password of the administrator of {service}: "));
        }
        let mut line = String::with_capacity(4096);
        stdin.lock().read_line(&mut line)?;
        Ok(line)
    });
    let mut text = Zeroizing::new(text.unwrap_or_default());
    let length = text.trim_end_matches(['\n', '\r']).len();
    text.truncate(length);
    ServiceCredential::given(text).ok_or_else(|| CommandError::AdministratorPassword { service: service.to_owned() })
}

async fn reset(choice: &Choice, service: &str, administrator: Option<String>, edge: &Edge) -> Result<Exit, Failure> {
    let known = KnownProject::find(choice, edge).await?;
    let work =
        async |locked: &LockedState<'_>| reset_locked(choice, service, administrator, &known, locked, edge).await;
    known.state.locked(edge, Closed::BeginAnew, work).await
}

async fn reset_locked(
    choice: &Choice,
    service: &str,
    administrator: Option<String>,
    known: &KnownProject,
    locked: &LockedState<'_>,
    edge: &Edge,
) -> Result<Exit, Failure> {
    let mut ledger = locked.ledger_or_new()?;
    let planned = find_service(service, choice, &ledger)?;
    if planned.kind == ServiceKind::Mongodb {
        return Err(CommandError::ResetOfMongodb { service: planned.name }.into());
    }
    let project = Project::new(&known.name, ledger.owner());
    let volume = ledger
        .service(&planned.name)
        .map_or_else(|| project.service(&planned.name), |service| service.volume().to_owned());
    if !containers::volume_exists(&known.host, &volume).await? {
        return Err(CommandError::NoVolumeToReset { volume }.into());
    }
    let (image, foreign) =
        (planned.image.clone().unwrap_or_else(|| planned.kind.image(None)), ledger.service(&planned.name).is_none());
    let new = NewService {
        name: &planned.name,
        kind: planned.kind,
        image: &image,
        volume: &volume,
        database: planned.database.as_deref(),
        created: now(),
    };
    if foreign {
        ledger.import(new, Administrator { name: None, credential: ServiceCredential::generate() });
    }
    ledger.reset(&planned.name, administrator, now());
    locked.seal_ledger(&ledger).await?;
    edge.stderr
        .fact("reset", &format!("{}: prun start lets the server set new passwords; its data stays", planned.name));
    Ok(Exit::Done)
}
