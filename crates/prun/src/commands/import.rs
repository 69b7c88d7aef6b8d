//! `prun services import` and `prun services reset`: take over data whose passwords prun does not know.

use pcredential::{Administrator, Ledger, NewService, ServiceCredential, ServiceKind};
use pscreen::Exit;
use zeroize::Zeroizing;

use crate::edge::{Edge, Failure, now};
use crate::engine::containers;
use crate::error::command::CommandError;
use crate::names::Project;
use crate::plan::PlannedService;
use crate::plan::request::{Choice, ImportRequest};
use crate::project::{KnownProject, manifest};
use crate::services;
use crate::state::{Closed, LockedState};

/// Finds a service by its name in the manifest or in the state, or reads the text as `KIND=NAME`.
fn find_service(text: &str, choice: &Choice, ledger: &Ledger) -> Result<PlannedService, Failure> {
    if let Some(found) = manifest(choice.config.as_deref())?
        && let Some(service) = found.manifest.services.iter().find(|service| service.name == text)
    {
        let planned = PlannedService::of_manifest(service)?;
        return match planned.external {
            Some(_) => Err(CommandError::OwnAndExternal { service: planned.name, is_own: false }.into()),
            None => Ok(planned),
        };
    }
    if let Some(service) = ledger.service(text) {
        let flag = format!("{}={}", service.kind(), service.name());
        return Ok(PlannedService { image: Some(service.image().to_owned()), ..PlannedService::of_flag(&flag)? });
    }
    Ok(PlannedService::of_flag(text)?)
}

/// Takes over data that prun did not make. The next start makes the app's login in it.
///
/// # Errors
///
/// Returns an error if the data does not exist, if another container uses it, or if no password is given.
pub(crate) async fn import(request: &ImportRequest, edge: &Edge) -> Result<Exit, Failure> {
    let known = KnownProject::find(&request.project, edge).await?;
    let work = async |locked: &LockedState<'_>| import_locked(request, &known, locked, edge).await;
    known.state.locked(edge, Closed::BeginAnewIfAlone, work).await
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
    let volume = volume_of(request, &planned, &ledger, &project);
    if !containers::volume_exists(&known.host, &volume).await? {
        return Err(CommandError::NoVolumeToImport { volume }.into());
    }
    services::check_volume(&known.host, &project, &volume).await?;
    let credential = match planned.kind {
        // PostgreSQL does not ask its administrator for a password on its own machine, and the data of Redis and
        // Valkey holds no passwords. So a new password is enough.
        ServiceKind::Postgres | ServiceKind::Redis | ServiceKind::Valkey => ServiceCredential::generate(),
        ServiceKind::Mysql | ServiceKind::Mariadb | ServiceKind::Mongodb => administrator_password(&planned.name)?,
    };
    let image = image_of(&planned, &ledger);
    let new = NewService { image: &image, volume: &volume, ..new_service(request, &planned) };
    ledger.import(new, Administrator { name: request.administrator.clone(), credential });
    locked.seal_ledger(&ledger).await?;
    edge.stderr.fact(
        "imported",
        &format!("{} with volume {volume}; prun start makes the app's login and proves it", planned.name),
    );
    Ok(Exit::Done)
}

/// Reads the administrator's password from a prompt that does not show it, or from standard input.
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

/// Lets the next start set new passwords in data whose passwords nobody knows. Running instances are not touched
/// until then.
///
/// # Errors
///
/// Returns an error if the data does not exist, or if its server cannot be opened without a password.
pub(crate) async fn reset(request: &ImportRequest, edge: &Edge) -> Result<Exit, Failure> {
    let known = KnownProject::find(&request.project, edge).await?;
    let work = async |locked: &LockedState<'_>| reset_locked(request, &known, locked, edge).await;
    known.state.locked(edge, Closed::BeginAnewIfAlone, work).await
}

async fn reset_locked(
    request: &ImportRequest,
    known: &KnownProject,
    locked: &LockedState<'_>,
    edge: &Edge,
) -> Result<Exit, Failure> {
    let mut ledger = locked.ledger_or_new()?;
    let planned = find_service(&request.service, &request.project, &ledger)?;
    if planned.kind == ServiceKind::Mongodb {
        return Err(CommandError::ResetOfMongodb { service: planned.name }.into());
    }
    let project = Project::new(&known.name, ledger.owner());
    let volume = volume_of(request, &planned, &ledger, &project);
    if !containers::volume_exists(&known.host, &volume).await? {
        return Err(CommandError::NoVolumeToReset { volume }.into());
    }
    services::check_volume(&known.host, &project, &volume).await?;
    let image = image_of(&planned, &ledger);
    let new = NewService { image: &image, volume: &volume, ..new_service(request, &planned) };
    let is_known = ledger.service(&planned.name).is_some_and(|service| service.volume() == volume);
    match is_known {
        true => ledger.rename(&planned.name, new.database),
        false => ledger.import(new, Administrator { name: None, credential: ServiceCredential::generate() }),
    }
    ledger.reset(&planned.name, request.administrator.clone(), now());
    locked.seal_ledger(&ledger).await?;
    edge.stderr
        .fact("reset", &format!("{}: prun start lets the server set new passwords; its data stays", planned.name));
    Ok(Exit::Done)
}

/// Chooses the volume with the data: the one that the user named, or the service's own, or the one that prun would
/// make.
fn volume_of(request: &ImportRequest, planned: &PlannedService, ledger: &Ledger, project: &Project) -> String {
    match (&request.volume, ledger.service(&planned.name)) {
        (Some(volume), _) => volume.clone(),
        (None, Some(service)) => service.volume().to_owned(),
        (None, None) => project.service(&planned.name),
    }
}

fn image_of(planned: &PlannedService, ledger: &Ledger) -> String {
    let known = ledger.service(&planned.name).map(|service| service.image().to_owned());
    planned.image.clone().or(known).unwrap_or_else(|| planned.kind.image(None))
}

fn new_service<'a>(request: &'a ImportRequest, planned: &'a PlannedService) -> NewService<'a> {
    NewService {
        name: &planned.name,
        kind: planned.kind,
        image: "",
        volume: "",
        database: request.database.as_deref().or(planned.database.as_deref()),
        created: now(),
    }
}
