//! `prun stop`: removes everything but the data of services and the credentials that open it.

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
/// When the project does not exist, or the engine refuses a request.
pub(crate) async fn run(request: &StopRequest, edge: &Edge) -> Result<Exit, Failure> {
    let known = KnownProject::find(&request.project, edge).await?;
    known.project().await?;
    if request.data == Data::RemovedOnConfirmation {
        let name = &known.name;
        confirm(name, &format!("all data of project {name} and its credentials will be removed forever"))?;
    }
    // Whoever may use the engine can stop what runs there. What is removed for good wants its operator.
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
        // What would open the data goes after the data, and only if that is gone.
        if let Some(name) = data(host, &project).await?.into_iter().next() {
            return Err(CommandError::NotRemoved { name }.into());
        }
        locked.forget().await?;
        holder::remove_image(host).await;
        edge.stderr.fact("removed", "the credentials of its services");
    } else {
        let ledger = locked.ledger()?;
        for service in ledger.iter().flat_map(Ledger::services) {
            edge.stderr.fact("kept", &format!("{:<7} volume {}, credential", service.name(), service.volume()));
        }
    }
    Ok(Exit::Done)
}

/// Lists the volumes of a project but the one with its state.
async fn data(host: &Engine, project: &Project) -> Result<Vec<String>, RunError> {
    let volumes = containers::volumes(host, project).await?;
    Ok(volumes.into_iter().map(|(name, _)| name).filter(|name| *name != project.state()).collect())
}

/// Stops and removes all containers, the values in memory, the entrypoint's volume and the network. The app goes before
/// the services that it uses.
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
        // Values may have lost their holder already. The next start brings the entrypoint again.
        let role = names::label(Some(labels), names::ROLE);
        if role == Some(Role::Values.as_str()) || role == Some(Role::Home.as_str()) {
            containers::remove_volume(host, volume).await?;
        }
    }
    Ok(apps.len() + services.len())
}
