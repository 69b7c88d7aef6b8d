//! `prun stop`: removes everything but the data of services and the credentials that open it.

use std::time::Duration;

use pengine::Engine;
use pscreen::Exit;

use crate::edge::{Edge, Failure, confirm};
use crate::engine::containers;
use crate::error::RunError;
use crate::instance::holder;
use crate::names::{self, Project, Role, role};
use crate::plan::request::{Data, StopRequest};
use crate::project::{connect, folder_of_states, name_of};
use crate::service;
use crate::state::State;

const GRACE: Duration = Duration::from_secs(10);

/// Stops the app and its services.
///
/// # Errors
///
/// When the project does not exist, or the engine refuses a request.
pub(crate) async fn run(request: &StopRequest, edge: &Edge) -> Result<Exit, Failure> {
    let name = name_of(&request.project)?;
    if request.data == Data::RemovedOnConfirmation {
        confirm(&name, &format!("all data of project {name} and its credentials will be removed forever"))?;
    }
    let host = edge.cancellation.unless_cancelled(connect()).await??;
    let state = State::of(folder_of_states(), &name)?;
    if state.ledger()?.is_none() {
        return Err(RunError::UnknownProject { project: name }.into());
    }
    let locked = state.lock(edge).await?;
    let Some(ledger) = locked.ledger()? else { return Ok(Exit::Done) };
    let project = Project::new(&name, ledger.owner());
    let stopped = edge.cancellation.unless_cancelled(stop(&host, &project)).await??;
    if stopped > 0 {
        edge.stderr.fact("stopped", &format!("{stopped} containers of {name}"));
    } else {
        edge.stderr.line(&format!("no container of {name} runs"));
    }
    if request.data != Data::Kept {
        let volumes = containers::volumes(&host, &project).await?;
        for (volume, _) in &volumes {
            containers::remove_volume(&host, volume).await?;
            edge.stderr.fact("removed", &format!("volume {volume}"));
        }
        holder::remove_image(&host).await;
        locked.forget()?;
        edge.stderr.fact("removed", "the credentials of its services");
    } else {
        for service in ledger.services() {
            edge.stderr.fact("kept", &format!("{:<7} volume {}, credential", service.name(), service.volume()));
        }
    }
    Ok(Exit::Done)
}

/// Stops and removes all containers, the values in memory, the entrypoint's volume and the network. The app goes before
/// the services that it uses.
async fn stop(host: &Engine, project: &Project) -> Result<usize, RunError> {
    let all = containers::list(host, project).await?;
    let with = |kind: Role| {
        all.iter().filter(move |container| role(container) == Some(kind.as_str())).map(containers::name_of)
    };
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
