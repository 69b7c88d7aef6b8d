//! The log of the instance that failed last. A failed instance is removed with its generation. Its masked log is kept
//! in a container that never runs, until a later roll succeeds.

use bollard::models::{ContainerCreateBody, ContainerInspectResponse};
use pengine::Engine;

use crate::engine::archive::File;
use crate::engine::containers;
use crate::engine::log::Log;
use crate::error::RunError;
use crate::instance::holder;
use crate::names::{self, InstanceName, Project, Role};

/// The file with the log in the container.
const LOG: &str = "log";

/// Keeps the log of an instance that failed. It replaces a log that was kept before.
///
/// # Errors
///
/// Returns [`RunError::Engine`].
pub(crate) async fn keep(
    host: &Engine,
    project: &Project,
    generation: u64,
    instance: &InstanceName,
    log: &Log,
) -> Result<(), RunError> {
    let name = project.failed();
    forget(host, project).await?;
    let labels = [
        (names::GENERATION, generation.to_string()),
        (names::PROCESS, instance.process.clone()),
        (names::INSTANCE, instance.number.to_string()),
    ];
    let body = ContainerCreateBody {
        image: Some(holder::image(host).await?),
        cmd: Some(vec![holder::PROGRAM.to_owned(), "done".to_owned()]),
        labels: Some(project.labels(Role::Failed, &labels)),
        host_config: Some(holder::bare("none")),
        ..ContainerCreateBody::default()
    };
    containers::create(host, project, &name, body).await?;
    let text = log.text();
    let file = File { name: LOG.to_owned(), content: text.as_bytes(), mode: 0o444, owner: 0 };
    holder::upload(host, &name, "/", &[file]).await
}

/// Reads the kept log, together with a title that names its instance.
///
/// # Errors
///
/// Returns [`RunError::Engine`].
pub(crate) async fn read(host: &Engine, project: &Project) -> Result<Option<(String, Vec<u8>)>, RunError> {
    let name = project.failed();
    let Some(container) = containers::inspect(host, project, &name).await? else { return Ok(None) };
    let log = containers::file(host, &name, &format!("/{LOG}")).await;
    Ok(log.map(|log| (title(&container), log)))
}

fn title(container: &ContainerInspectResponse) -> String {
    let labels = container.config.as_ref().and_then(|config| config.labels.as_ref());
    let label = |name| names::label(labels, name).unwrap_or("?");
    let number = label(names::INSTANCE).parse().unwrap_or_default();
    format!("instance {} of generation {}", InstanceName::new(label(names::PROCESS), number), label(names::GENERATION))
}

/// Removes the kept log.
///
/// # Errors
///
/// Returns [`RunError::Engine`].
pub(crate) async fn forget(host: &Engine, project: &Project) -> Result<(), RunError> {
    let name = project.failed();
    match containers::inspect(host, project, &name).await? {
        Some(_) => containers::discard(host, &name).await,
        None => Ok(()),
    }
}
