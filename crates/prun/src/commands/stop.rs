//! `prun stop`: removes the app and its services. The data of the services stays, and so do the credentials that open
//! it, unless `--purge` removes both.

use std::time::Duration;

use pcredential::Ledger;
use pengine::Engine;
use pscreen::Exit;

use crate::edge::{Edge, Failure, confirm};
use crate::engine::containers;
use crate::error::RunError;
use crate::error::command::CommandError;
use crate::instance::{failed, holder};
use crate::names::{self, Project, Role, role};
use crate::plan::request::{Data, StopRequest};
use crate::project::KnownProject;
use crate::service;
use crate::state::{Closed, LockedState};

const GRACE: Duration = Duration::from_secs(10);

/// Stops the app and its services.
///
/// # Errors
///
/// Returns an error if the project does not exist, or if the engine refuses a request.
pub(crate) async fn run(request: &StopRequest, edge: &Edge) -> Result<Exit, Failure> {
    let known = KnownProject::find(&request.project, edge).await?;
    known.project().await?;
    if request.data == Data::RemovedOnConfirmation {
        let name = &known.name;
        confirm(name, &format!("all data of project {name} and its credentials will be removed forever"))?;
    }
    // Anybody who may use the engine can stop containers there. But only an operator of the project may remove its
    // data.
    let closed = if request.data == Data::Kept { Closed::GoOn } else { Closed::Refuse };
    let work = async |locked: &LockedState<'_>| stop_locked(request, &known, locked, edge).await;
    known.state.locked(edge, closed, work).await
}

async fn stop_locked(
    request: &StopRequest,
    known: &KnownProject,
    locked: &LockedState<'_>,
    edge: &Edge,
) -> Result<Exit, Failure> {
    let (name, host) = (&known.name, &known.host);
    let project = Project::new(name, locked.owner());
    let stopped = edge.cancellation.unless_cancelled(stop(host, &project)).await??;
    if stopped > 0 {
        edge.stderr.fact("stopped", &format!("{stopped} containers of {name}"));
    } else {
        edge.stderr.line(&format!("no container of {name} runs"));
    }
    if request.data != Data::Kept {
        for volume in data(host, &project).await? {
            containers::remove_volume(host, &volume).await?;
            edge.stderr.fact("removed", &format!("volume {volume}"));
        }
        // The credentials are removed after the data that they open, and only if that data is gone.
        if let Some(name) = data(host, &project).await?.into_iter().next() {
            return Err(CommandError::NotRemoved { name }.into());
        }
        locked.forget().await?;
        holder::remove_image(host).await;
        edge.stderr.fact("removed", "the credentials of its services");
    } else {
        let ledger = locked.ledger()?;
        for service in ledger.iter().flat_map(Ledger::services) {
            let place = match service.external() {
                None => format!("volume {}", service.volume()),
                Some(_) => format!("the server at {}:{}", service.host(), service.port()),
            };
            edge.stderr.fact("kept", &format!("{:<7} {place}, credential", service.name()));
        }
    }
    Ok(Exit::Done)
}

/// Lists the volumes of a project, except the volume with its state.
async fn data(host: &Engine, project: &Project) -> Result<Vec<String>, RunError> {
    let volumes = containers::volumes(host, project).await?;
    Ok(volumes.into_iter().map(|(name, _)| name).filter(|name| *name != project.state()).collect())
}

/// Stops and removes all containers, the values in memory, the entrypoint's volume and the network. The app is
/// removed before the services that it uses. Returns how many containers of the app and of services there were.
async fn stop(host: &Engine, project: &Project) -> Result<usize, RunError> {
    let all = containers::list(host, project).await?;
    let with = |kind: Role| {
        all.iter().filter(move |container| role(container) == Some(kind.as_str())).map(containers::name_of)
    };
    failed::forget(host, project).await?;
    let apps: Vec<String> = with(Role::Ports).chain(with(Role::App)).chain(with(Role::Run)).collect();
    containers::remove_all(host, &apps, GRACE).await?;
    let services: Vec<String> = with(Role::Service).collect();
    containers::remove_all(host, &services, service::GRACE).await?;
    for name in with(Role::Values) {
        holder::remove(host, &name).await?;
    }
    containers::remove_network(host, project).await?;
    let volumes = containers::volumes(host, project).await?;
    for (volume, labels) in &volumes {
        // A volume of values may have lost its holder before. The entrypoint's volume can go, because the next start
        // fills a new one.
        let role = names::label(Some(labels), names::ROLE);
        if role == Some(Role::Values.as_str()) || role == Some(Role::Home.as_str()) {
            containers::remove_volume(host, volume).await?;
        }
    }
    Ok(apps.len() + services.len())
}
