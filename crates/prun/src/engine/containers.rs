//! The containers, volumes and networks of a project. They are found by their labels, made under the project's names,
//! and removed only if they belong to the project.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, ContainerSummary, ContainerSummaryStateEnum, Mount, MountType,
    MountVolumeOptions, NetworkConnectRequest, NetworkCreateRequest, RestartPolicy, RestartPolicyNameEnum,
    VolumeCreateRequest,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, DownloadFromContainerOptionsBuilder, InspectContainerOptions, InspectNetworkOptions,
    ListContainersOptionsBuilder, ListVolumesOptionsBuilder, RemoveContainerOptionsBuilder, StartContainerOptions,
    StopContainerOptionsBuilder,
};
use futures::TryStreamExt;
use pengine::{ApiVersion, Engine};

use crate::engine::archive;
use crate::error::{RunError, engine, is_conflict, is_missing};
use crate::names::{self, Project, Role};

/// The first API version whose engine can stop several containers of one network at the same time. Docker 20.10 can
/// then deadlock (`getSvcRecords` against `getNetworksFromStore`), and only the version tells which engine is safe.
const SAFE_TOGETHER: ApiVersion = ApiVersion { major: 1, minor: 44 };

/// Lists the containers of a project, running or not. Containers of another project with the same name are left out.
///
/// # Errors
///
/// Returns an error if the engine does not list its containers.
pub(crate) async fn list(host: &Engine, project: &Project) -> Result<Vec<ContainerSummary>, RunError> {
    let filters = HashMap::from([(
        "label".to_owned(),
        vec![format!("{}={}", names::PROJECT, project.name()), format!("{}={}", names::OWNER, project.owner())],
    )]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    host.docker().list_containers(Some(options)).await.map_err(engine(|| "list containers"))
}

/// Lists the containers of all projects, running or not.
///
/// # Errors
///
/// Returns an error if the engine does not list its containers.
pub(crate) async fn of_all_projects(host: &Engine) -> Result<Vec<ContainerSummary>, RunError> {
    let filters = HashMap::from([("label".to_owned(), vec![names::OWNER.to_owned()])]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    host.docker().list_containers(Some(options)).await.map_err(engine(|| "list containers"))
}

/// Lists the names of the project's running containers in a role.
pub(crate) async fn running(host: &Engine, project: &Project, role: Role) -> Result<Vec<String>, RunError> {
    let all = list(host, project).await?;
    let running = all.iter().filter(|container| {
        names::role(container) == Some(role.as_str()) && container.state == Some(ContainerSummaryStateEnum::RUNNING)
    });
    Ok(running.map(name_of).collect())
}

/// Lists the names of a project's volumes, each with its labels.
///
/// # Errors
///
/// Returns an error if the engine does not list its volumes.
pub(crate) async fn volumes(
    host: &Engine,
    project: &Project,
) -> Result<Vec<(String, HashMap<String, String>)>, RunError> {
    let marks = [(names::PROJECT, project.name()), (names::OWNER, project.owner())];
    labelled_volumes(host, &marks).await
}

/// Lists the names of the volumes in a role, of all projects, each with its labels.
///
/// # Errors
///
/// Returns an error if the engine does not list its volumes.
pub(crate) async fn volumes_in_role(
    host: &Engine,
    role: Role,
) -> Result<Vec<(String, HashMap<String, String>)>, RunError> {
    labelled_volumes(host, &[(names::ROLE, role.as_str())]).await
}

async fn labelled_volumes(
    host: &Engine,
    labels: &[(&str, &str)],
) -> Result<Vec<(String, HashMap<String, String>)>, RunError> {
    let labels = labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
    let filters = HashMap::from([("label".to_owned(), labels)]);
    let options = ListVolumesOptionsBuilder::new().filters(&filters).build();
    let answer = host.docker().list_volumes(Some(options)).await.map_err(engine(|| "list volumes"))?;
    Ok(answer.volumes.unwrap_or_default().into_iter().map(|volume| (volume.name, volume.labels)).collect())
}

/// Returns a container's name, without the slash that the engine puts before it.
#[must_use]
pub(crate) fn name_of(container: &ContainerSummary) -> String {
    let name = container.names.as_ref().and_then(|names| names.first()).map(String::as_str).unwrap_or_default();
    name.trim_start_matches('/').to_owned()
}

/// Inspects a container. Returns `None` if it does not exist.
///
/// # Errors
///
/// Returns an error if the engine does not answer, and [`RunError::Foreign`] if the container does not belong to this
/// project.
pub(crate) async fn inspect(
    host: &Engine,
    project: &Project,
    name: &str,
) -> Result<Option<ContainerInspectResponse>, RunError> {
    match host.docker().inspect_container(name, None::<InspectContainerOptions>).await {
        Ok(container) => {
            let labels = container.config.as_ref().and_then(|config| config.labels.as_ref());
            check_owner(labels, project, "container", name)?;
            Ok(Some(container))
        }
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(engine(|| format!("look at container {name}"))(error)),
    }
}

fn check_owner(
    labels: Option<&HashMap<String, String>>,
    project: &Project,
    kind: &'static str,
    name: &str,
) -> Result<(), RunError> {
    let ours = names::label(labels, names::PROJECT) == Some(project.name())
        && names::label(labels, names::OWNER) == Some(project.owner());
    if ours { Ok(()) } else { Err(RunError::Foreign { kind, name: name.to_owned() }) }
}

/// Creates a container. A container of this project with the same name is removed first.
///
/// # Errors
///
/// Returns [`RunError::Foreign`] if the name belongs to somebody else's container, and [`RunError::Engine`] if the
/// engine refuses a request.
pub(crate) async fn create(
    host: &Engine,
    project: &Project,
    name: &str,
    body: ContainerCreateBody,
) -> Result<String, RunError> {
    if inspect(host, project, name).await?.is_some() {
        remove(host, name, Duration::from_secs(1)).await?;
    }
    let options = CreateContainerOptionsBuilder::new().name(name).build();
    let created = host.docker().create_container(Some(options), body).await;
    Ok(created.map_err(engine(|| format!("create container {name}")))?.id)
}

/// Starts a container. A container that runs already stays as it is.
///
/// # Errors
///
/// Returns [`RunError::Engine`] if the engine refuses.
pub(crate) async fn start(host: &Engine, name: &str) -> Result<(), RunError> {
    match host.docker().start_container(name, None::<StartContainerOptions>).await {
        Err(error) if !is_conflict(&error) => Err(engine(|| format!("start container {name}"))(error)),
        _ => Ok(()),
    }
}

/// Stops a container with the container's own stop signal. A container that is stopped or gone is not an error.
///
/// # Errors
///
/// Returns [`RunError::Engine`] if the engine refuses.
pub(crate) async fn stop(host: &Engine, name: &str, grace: Duration) -> Result<(), RunError> {
    let seconds = i32::try_from(grace.as_secs()).unwrap_or(i32::MAX);
    let options = StopContainerOptionsBuilder::new().t(seconds).build();
    match host.docker().stop_container(name, Some(options)).await {
        Err(error) if !is_missing(&error) && !is_conflict(&error) => {
            Err(engine(|| format!("stop container {name}"))(error))
        }
        _ => Ok(()),
    }
}

/// Stops a container, and removes it with its anonymous volumes. If the container is gone, that is not an error.
///
/// # Errors
///
/// Returns [`RunError::Engine`] if the engine refuses.
pub(crate) async fn remove(host: &Engine, name: &str, grace: Duration) -> Result<(), RunError> {
    stop(host, name, grace).await?;
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    match host.docker().remove_container(name, Some(options)).await {
        Err(error) if !is_missing(&error) && !is_conflict(&error) => {
            Err(engine(|| format!("remove container {name}"))(error))
        }
        _ => Ok(()),
    }
}

/// Stops and removes several containers, at the same time if the engine's version allows it ([`SAFE_TOGETHER`]).
///
/// # Errors
///
/// Returns the errors of [`remove`].
pub(crate) async fn remove_all(host: &Engine, names: &[String], grace: Duration) -> Result<(), RunError> {
    if host.api_version() < SAFE_TOGETHER {
        for name in names {
            remove(host, name, grace).await?;
        }
        return Ok(());
    }
    futures::future::try_join_all(names.iter().map(|name| remove(host, name, grace))).await?;
    Ok(())
}

/// Removes a volume. A volume that is gone is not an error.
///
/// # Errors
///
/// Returns [`RunError::Engine`] if the engine refuses, for example because something still uses the volume.
pub(crate) async fn remove_volume(host: &Engine, name: &str) -> Result<(), RunError> {
    let options = None::<bollard::query_parameters::RemoveVolumeOptions>;
    // The engine releases a volume a moment after the container that used it is gone.
    for _ in 0..20 {
        match host.docker().remove_volume(name, options.clone()).await {
            Ok(()) => return Ok(()),
            Err(error) if is_missing(&error) => return Ok(()),
            Err(error) if is_conflict(&error) => tokio::time::sleep(Duration::from_millis(100)).await,
            Err(error) => return Err(engine(|| format!("remove volume {name}"))(error)),
        }
    }
    host.docker().remove_volume(name, options).await.map_err(engine(|| format!("remove volume {name}")))
}

/// Returns whether a volume of this name exists, whichever project it belongs to.
///
/// # Errors
///
/// Returns an error if the engine does not answer.
pub(crate) async fn volume_exists(host: &Engine, name: &str) -> Result<bool, RunError> {
    match host.docker().inspect_volume(name).await {
        Ok(_) => Ok(true),
        Err(error) if is_missing(&error) => Ok(false),
        Err(error) => Err(engine(|| format!("look at volume {name}"))(error)),
    }
}

/// Makes sure that a volume of the project exists.
///
/// # Errors
///
/// Returns [`RunError::Foreign`] if a volume of this name does not belong to the project, and [`RunError::Engine`] if
/// the engine refuses a request.
pub(crate) async fn ensure_volume(
    host: &Engine,
    project: &Project,
    name: &str,
    labels: HashMap<String, String>,
    options: &[(&str, &str)],
) -> Result<(), RunError> {
    match host.docker().inspect_volume(name).await {
        Ok(volume) => return check_owner(Some(&volume.labels), project, "volume", name),
        Err(error) if !is_missing(&error) => return Err(engine(|| format!("look at volume {name}"))(error)),
        Err(_) => {}
    }
    let options = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let request = VolumeCreateRequest {
        name: Some(name.to_owned()),
        driver: Some("local".to_owned()),
        driver_opts: Some(options),
        labels: Some(labels),
        ..VolumeCreateRequest::default()
    };
    host.docker().create_volume(request).await.map_err(engine(|| format!("create volume {name}")))?;
    Ok(())
}

/// Makes sure that the project's network exists.
///
/// # Errors
///
/// Returns [`RunError::Foreign`] if a network of this name does not belong to the project, and [`RunError::Engine`]
/// if the engine refuses a request.
pub(crate) async fn ensure_network(host: &Engine, project: &Project) -> Result<(), RunError> {
    let name = project.network();
    match host.docker().inspect_network(&name, None::<InspectNetworkOptions>).await {
        Ok(network) => return check_owner(network.labels.as_ref(), project, "network", &name),
        Err(error) if !is_missing(&error) => return Err(engine(|| format!("look at network {name}"))(error)),
        Err(_) => {}
    }
    let request = NetworkCreateRequest {
        name: name.clone(),
        driver: Some("bridge".to_owned()),
        labels: Some(project.labels(Role::Network, &[])),
        ..NetworkCreateRequest::default()
    };
    host.docker().create_network(request).await.map_err(engine(|| format!("create network {name}")))?;
    Ok(())
}

/// Connects a container to a network of the user's, in addition to the project's own.
///
/// # Errors
///
/// Returns [`RunError::Engine`] if there is no such network.
pub(crate) async fn join(host: &Engine, network: &str, container: &str) -> Result<(), RunError> {
    let request = NetworkConnectRequest { container: container.to_owned(), ..NetworkConnectRequest::default() };
    host.docker().connect_network(network, request).await.map_err(engine(|| format!("join network {network}")))
}

/// Removes the project's network. A network that is gone is not an error, and another project's network stays.
///
/// # Errors
///
/// Returns [`RunError::Engine`] if the engine refuses.
pub(crate) async fn remove_network(host: &Engine, project: &Project) -> Result<(), RunError> {
    let name = project.network();
    match host.docker().inspect_network(&name, None::<InspectNetworkOptions>).await {
        Ok(network) if check_owner(network.labels.as_ref(), project, "network", &name).is_err() => return Ok(()),
        _ => {}
    }
    match host.docker().remove_network(&name).await {
        Err(error) if !is_missing(&error) => Err(engine(|| format!("remove network {name}"))(error)),
        _ => Ok(()),
    }
}

/// Reads a file in a container, whether the container runs or not. Returns `None` if it cannot be read.
pub(crate) async fn file(host: &Engine, container: &str, path: &str) -> Option<Vec<u8>> {
    files(host, container, path).await.ok()?.into_iter().next().map(|(_, content)| content)
}

/// Reads a file, or all files of a folder, in a container that runs or not. Each file comes with its path.
///
/// # Errors
///
/// Returns the engine's own error, for example if there is no such container or path.
pub(crate) async fn files(
    host: &Engine,
    container: &str,
    path: &str,
) -> Result<Vec<(String, Vec<u8>)>, bollard::errors::Error> {
    let options = DownloadFromContainerOptionsBuilder::new().path(path).build();
    let pieces = host.docker().download_from_container(container, Some(options));
    let archive: Vec<u8> = pieces
        .try_fold(Vec::new(), |mut all, piece| async move {
            all.extend_from_slice(&piece);
            Ok(all)
        })
        .await?;
    Ok(archive::files(&archive))
}

/// Finds a running container of the project that has this role and mounts a volume. Returns its id.
///
/// # Errors
///
/// Returns an error if the engine does not list its containers.
pub(crate) async fn mounting(
    host: &Engine,
    project: &Project,
    volume: &str,
    role: Role,
) -> Result<Option<String>, RunError> {
    let all = list(host, project).await?;
    let mounts = |container: &&ContainerSummary| {
        container.mounts.iter().flatten().any(|mount| mount.name.as_deref() == Some(volume))
    };
    let running = |container: &&ContainerSummary| container.state == Some(ContainerSummaryStateEnum::RUNNING);
    let mut found = all.iter().filter(|container| names::role(container) == Some(role.as_str()));
    Ok(found.find(|container| running(container) && mounts(container)).and_then(|container| container.id.clone()))
}

/// Finds a running container that mounts a volume and does not belong to this project.
///
/// # Errors
///
/// Returns an error if the engine does not list containers.
pub(crate) async fn stranger_with(host: &Engine, project: &Project, volume: &str) -> Result<Option<String>, RunError> {
    let filters = HashMap::from([("volume".to_owned(), vec![volume.to_owned()])]);
    let options = ListContainersOptionsBuilder::new().filters(&filters).build();
    let all = host.docker().list_containers(Some(options)).await.map_err(engine(|| "list containers"))?;
    let is_ours = |container: &&ContainerSummary| {
        let label = |name| names::label(container.labels.as_ref(), name);
        label(names::PROJECT) == Some(project.name()) && label(names::OWNER) == Some(project.owner())
    };
    // The engine's filter also finds volumes whose name only contains this name.
    let mounts = |container: &&ContainerSummary| {
        container.mounts.iter().flatten().any(|mount| mount.name.as_deref() == Some(volume))
    };
    Ok(all.iter().filter(mounts).find(|container| !is_ours(container)).map(name_of))
}

/// Removes a container at once, without stopping it first. If the container is gone, or about to go, that is not an
/// error.
///
/// # Errors
///
/// Returns [`RunError::Engine`] if the engine refuses.
pub(crate) async fn discard(host: &Engine, id: &str) -> Result<(), RunError> {
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    match host.docker().remove_container(id, Some(options)).await {
        Err(error) if !is_missing(&error) && !is_conflict(&error) => {
            Err(engine(|| format!("remove container {id}"))(error))
        }
        _ => Ok(()),
    }
}

/// Makes a mount of an engine's volume at a path of a container.
#[must_use]
pub(crate) fn mount(volume: &str, target: &str, access: Access) -> Mount {
    Mount {
        source: Some(volume.to_owned()),
        target: Some(target.to_owned()),
        typ: Some(MountType::VOLUME),
        read_only: Some(access == Access::Read),
        // Without this option the engine would copy the image's files at that path into the volume.
        volume_options: Some(MountVolumeOptions { no_copy: Some(true), ..MountVolumeOptions::default() }),
        ..Mount::default()
    }
}

/// What a container may do with a volume that it mounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// The container may read the volume.
    Read,
    /// The container may read and write the volume.
    Write,
}

/// Returns the restart policy of a container that the engine restarts until somebody stops it.
#[must_use]
pub(crate) fn restarting() -> RestartPolicy {
    RestartPolicy { name: Some(RestartPolicyNameEnum::UNLESS_STOPPED), maximum_retry_count: None }
}

/// Returns whether a container runs, and is not waiting for a restart after it has ended.
#[must_use]
pub(crate) fn is_running(container: &ContainerInspectResponse) -> bool {
    let state = container.state.as_ref();
    let is = |field: fn(&bollard::models::ContainerState) -> Option<bool>| state.and_then(field).unwrap_or(false);
    is(|state| state.running) && !is(|state| state.restarting)
}

/// Returns the exit code of a container that has ended, or `None` if it runs or never ran.
#[must_use]
pub(crate) fn exit_code(container: &ContainerInspectResponse) -> Option<i64> {
    let state = container.state.as_ref()?;
    let ended = matches!(
        state.status,
        Some(bollard::models::ContainerStateStatusEnum::EXITED | bollard::models::ContainerStateStatusEnum::DEAD)
    );
    ended.then_some(state.exit_code.unwrap_or(-1))
}
