//! Removes what killed runs of `prun run` and `prun init` leave: containers and values.

use std::time::Duration;

use bollard::models::{ContainerSummary, ContainerSummaryStateEnum};
use pengine::Engine;

use crate::engine::containers;
use crate::error::RunError;
use crate::instance::holder;
use crate::names::{Project, Role, role};

/// How long a container may take to end.
pub(crate) const GRACE: Duration = Duration::from_secs(2);

/// Removes the leftovers of killed runs: containers that have ended, and values that no running container reads.
pub(crate) async fn sweep(host: &Engine, project: &Project) -> Result<(), RunError> {
    let all = containers::list(host, project).await?;
    let of_runs: Vec<_> = all.iter().filter(|container| role(container) == Some(Role::Run.as_str())).collect();
    let is_running = |container: &ContainerSummary| container.state == Some(ContainerSummaryStateEnum::RUNNING);
    let alive: Vec<String> = of_runs.iter().filter(|one| is_running(one)).map(|one| containers::name_of(one)).collect();
    for container in of_runs.iter().filter(|container| !is_running(container)) {
        containers::remove(host, &containers::name_of(container), GRACE).await?;
    }
    for name in all.iter().map(containers::name_of) {
        if let Some(of) = name.strip_suffix(".values")
            && project.is_one_off(of)
            && !alive.contains(&of.to_owned())
        {
            holder::remove(host, &name).await?;
        }
    }
    Ok(())
}
