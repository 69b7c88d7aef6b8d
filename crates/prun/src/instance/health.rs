//! The conditions that a new instance must meet: its init commands have finished, and its health check succeeds.

use std::time::{Duration, Instant};

use bollard::models::{ContainerInspectResponse, HealthStatusEnum, ImageInspect};
use bollard::query_parameters::LogsOptionsBuilder;
use futures::StreamExt;
use papp::Check;
use pengine::Engine;

use crate::engine::containers;
use crate::engine::inside::{self, bytes_of};
use crate::error::RunError;
use crate::instance;
use crate::instance::holder;
use crate::names::Project;
use crate::plan::Plan;
use crate::plan::error::PlanError;

/// The pause between two checks.
const PAUSE: Duration = Duration::from_millis(200);
/// How long an app without any health check must run before it takes the place of another.
pub(crate) const STEADY: Duration = Duration::from_secs(3);

/// An init command that finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InitReport {
    /// Its name.
    pub(crate) name: String,
    /// How long it took, in the entrypoint's words.
    pub(crate) took: String,
}

/// Waits until the instance's init commands have finished, and calls `say` for each.
///
/// The entrypoint reports them in the container's log, because a container may have a read-only root and no shell,
/// and a report then has no other way out. If the engine keeps no log, the health check alone decides.
///
/// # Errors
///
/// [`RunError::Init`] with the end of the log, not yet redacted; [`RunError::Ended`].
pub(crate) async fn init(
    host: &Engine,
    project: &Project,
    plan: &Plan,
    container: &str,
    instance: u32,
    mut say: impl FnMut(&InitReport),
) -> Result<(), RunError> {
    let mut waiting = plan.init().len();
    if waiting == 0 {
        return Ok(());
    }
    let options = LogsOptionsBuilder::new().follow(true).stdout(false).stderr(true).build();
    let mut log = host.docker().logs(container, Some(options));
    let mut line = Vec::new();
    let mut failed = None;
    while let Some(Ok(piece)) = log.next().await {
        for byte in bytes_of(&piece) {
            if *byte != b'\n' {
                line.push(*byte);
                continue;
            }
            match report(&String::from_utf8_lossy(&line)) {
                Some(Report::InitReport(finished)) => {
                    say(&finished);
                    waiting = waiting.saturating_sub(1);
                }
                Some(Report::Failed(name)) => failed = Some(name),
                None => {}
            }
            line.clear();
        }
        if waiting == 0 {
            return Ok(());
        }
    }
    // The log has ended. Either the container has ended too, or the engine keeps no log.
    let Some(state) = containers::inspect(host, project, container).await? else { return Ok(()) };
    let Some(code) = containers::exit_code(&state) else { return Ok(()) };
    let tail = containers::tail(host, container).await;
    match failed {
        Some(name) => Err(RunError::Init { name, code, tail }),
        None => Err(RunError::Ended { instance, code, tail }),
    }
}

/// What the entrypoint says of an init command.
pub(crate) enum Report {
    /// It finished.
    InitReport(InitReport),
    /// It failed; this is its name.
    Failed(String),
}

/// Reads a line of the entrypoint. An app that imitates such a line deceives only itself.
pub(crate) fn report(line: &str) -> Option<Report> {
    let rest = line.trim_end().strip_prefix("prun: init ")?;
    let (name, what) = rest.split_once(' ')?;
    if let Some(took) = what.strip_prefix("finished in ") {
        return Some(Report::InitReport(InitReport { name: name.to_owned(), took: took.replace(' ', "") }));
    }
    what.starts_with("failed").then(|| Report::Failed(name.to_owned()))
}

/// Waits until an instance is healthy.
///
/// The plan's health check decides, or else the image's own. Without either, the app must keep running for `steady`,
/// which matters only if it takes the place of another generation.
///
/// # Errors
///
/// [`RunError::Ended`], [`RunError::Unhealthy`], [`RunError::Engine`].
pub(crate) async fn healthy(
    host: &Engine,
    project: &Project,
    plan: &Plan,
    image: &ImageInspect,
    generation: u64,
    instance: u32,
    steady: Duration,
) -> Result<(), RunError> {
    let container = project.instance(generation, instance);
    let began = Instant::now();
    let mut answer = String::new();
    while began.elapsed() < plan.patience() {
        let Some(state) = containers::inspect(host, project, &container).await? else {
            return Err(RunError::ContainerRemoved { container });
        };
        if let Some(code) = containers::exit_code(&state) {
            return Err(RunError::Ended { instance, code, tail: containers::tail(host, &container).await });
        }
        let left = plan.patience().saturating_sub(began.elapsed());
        let look = look(host, project, plan, image, &state, generation, instance, began + steady);
        match tokio::time::timeout(left, look).await {
            Ok(Ok(Look::Healthy)) => return Ok(()),
            Ok(Ok(Look::NotYet(said))) => answer = said,
            // The instance ended during the check. The next inspection of its state finds that out.
            Ok(Err(RunError::Engine { .. })) => {}
            Ok(Err(other)) => return Err(other),
            Err(_) if answer.is_empty() => answer = "the health check does not end".to_owned(),
            Err(_) => {}
        }
        tokio::time::sleep(PAUSE).await;
    }
    let tail = containers::tail(host, &container).await;
    Err(RunError::Unhealthy { instance, seconds: plan.patience().as_secs(), answer, tail })
}

/// Whether the plan or the image has a health check.
#[must_use]
pub(crate) fn has_check(plan: &Plan, image: &ImageInspect) -> bool {
    let test =
        image.config.as_ref().and_then(|config| config.healthcheck.as_ref()).and_then(|check| check.test.as_ref());
    plan.health().is_some() || test.and_then(|test| test.first()).is_some_and(|kind| kind.starts_with("CMD"))
}

enum Look {
    Healthy,
    NotYet(String),
}

#[expect(clippy::too_many_arguments, reason = "all of it is what one look needs, and nobody else calls it")]
async fn look(
    host: &Engine,
    project: &Project,
    plan: &Plan,
    image: &ImageInspect,
    state: &ContainerInspectResponse,
    generation: u64,
    instance: u32,
    steady: Instant,
) -> Result<Look, RunError> {
    let container = project.instance(generation, instance);
    match plan.health() {
        Some(Check::Http { path, port }) => {
            let port = port.or_else(|| plan.ports().first().map(|port| port.container)).or_else(|| exposed(image));
            let Some(port) = port else {
                return Err(PlanError::HealthPort.into());
            };
            let words = [holder::PROGRAM, "http", &container, &port.to_string(), path].map(str::to_owned);
            // The request comes over the network, like those of the forwarder, because the forwarder cannot reach an
            // app that listens on localhost alone.
            judge(&inside::run(host, &project.values(generation), &words, &[]).await?)
        }
        Some(Check::Command(command)) => {
            let mut words =
                if instance::has_entrypoint(state) { instance::entrypoint(&["exec", "--"]) } else { Vec::new() };
            words.extend(command.iter().cloned());
            judge(&inside::run(host, &container, &words, &[]).await?)
        }
        None => {
            Ok(match state.state.as_ref().and_then(|state| state.health.as_ref()).and_then(|health| health.status) {
                Some(HealthStatusEnum::HEALTHY) => Look::Healthy,
                Some(HealthStatusEnum::STARTING | HealthStatusEnum::UNHEALTHY) => {
                    Look::NotYet("the image's own health check does not succeed".to_owned())
                }
                None | Some(HealthStatusEnum::NONE | HealthStatusEnum::EMPTY) if Instant::now() >= steady => {
                    Look::Healthy
                }
                None | Some(HealthStatusEnum::NONE | HealthStatusEnum::EMPTY) => Look::NotYet(String::new()),
            })
        }
    }
}

fn judge(done: &inside::CommandResult) -> Result<Look, RunError> {
    if done.code == 0 {
        return Ok(Look::Healthy);
    }
    let text = String::from_utf8_lossy(&done.output);
    let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it failed without any output");
    Ok(Look::NotYet(last.trim_start_matches("prun: ").to_owned()))
}

/// Returns the port that the image exposes, if there is exactly one.
fn exposed(image: &ImageInspect) -> Option<u16> {
    let ports = image.config.as_ref()?.exposed_ports.as_ref()?;
    let [only] = ports.as_slice() else { return None };
    only.strip_suffix("/tcp").unwrap_or(only).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entrypoints_own_lines_are_read_and_no_others() {
        match report("prun: init migrate finished in 1.4 s\r") {
            Some(Report::InitReport(finished)) => {
                assert_eq!((finished.name.as_str(), finished.took.as_str()), ("migrate", "1.4s"));
            }
            _ => panic!("a finished command"),
        }
        assert!(
            matches!(report("prun: init migrate failed with exit code 3 after 0.1 s"), Some(Report::Failed(name)) if name == "migrate")
        );
        for line in [
            "[migrate] finished in 1 s",
            "prun: init waits until another instance is through with it",
            "x prun: init a finished in 1 s",
            "",
        ] {
            assert!(report(line).is_none(), "{line}");
        }
    }
}
