//! `prun logs`: shows the output of containers, redacted as it arrives.

use bollard::query_parameters::LogsOptionsBuilder;
use futures::StreamExt;
use futures::stream::SelectAll;
use pengine::Engine;
use pscreen::{Ending, Exit};
use psecret::Redactor;

use crate::edge::{Edge, Failure};
use crate::engine::containers;
use crate::engine::lines::Lines;
use crate::error::command::CommandError;
use crate::error::{RunError, engine};
use crate::instance::failed;
use crate::names::{self, InstanceName, Project, Role, number, role};
use crate::plan::record::Record;
use crate::plan::request::LogsRequest;
use crate::project::KnownProject;
use crate::values::masks;

/// The name that stands for all processes of the app.
const APP: &str = papp::APP;

/// Shows the logs of instances and services.
///
/// Each stream of each container has its own redactor, so a value is masked even if it arrives in pieces.
///
/// # Errors
///
/// Returns an error if the project or a service does not exist, or if the engine does not keep logs.
pub(crate) async fn logs(request: &LogsRequest, edge: &Edge) -> Result<Exit, Failure> {
    let known = KnownProject::find(&request.project, edge).await?;
    let document = edge.cancellation.unless_cancelled(known.read()).await??;
    let (name, host) = (known.name, known.host);
    let ledger = document.ledger()?;
    let (variables, record) = match document.generation()? {
        Some(generation) => (generation.variables, generation.record),
        None => (Vec::new(), Record::default()),
    };
    let redactor = masks::redactor(Some(&ledger), &variables, &record).map_err(RunError::from)?;
    let project = Project::new(&name, ledger.owner());
    if request.failed {
        return failed_log(&host, &project, request.tail, &redactor, edge).await;
    }
    let chosen = chosen(&host, &project, &request.of).await?;
    let prefixed = chosen.len() > 1;
    let width = chosen.iter().map(|(label, _)| label.len()).max().unwrap_or(0);

    let mut all = SelectAll::new();
    for (label, container) in &chosen {
        let options = LogsOptionsBuilder::new().follow(request.follow).stdout(true).stderr(true);
        let options = match request.tail {
            Some(count) => options.tail(&count.to_string()),
            None => options,
        };
        let prefix = if prefixed { format!("{label:<width$} | ") } else { String::new() };
        let lines = Lines::new(&redactor, prefix, edge);
        let stream =
            host.docker().logs(container, Some(options.build())).map(Some).chain(futures::stream::iter([None]));
        all.push(Box::pin(stream.scan(lines, |lines, piece| {
            let result = match piece {
                Some(Ok(piece)) => {
                    lines.push(&piece);
                    Ok(())
                }
                Some(Err(error)) => Err(error),
                None => {
                    lines.finish();
                    Ok(())
                }
            };
            std::future::ready(Some(result))
        })));
    }
    let work = async {
        while let Some(result) = all.next().await {
            result.map_err(engine(|| "read the logs"))?;
            if edge.stdout.is_closed() {
                return Ok(Exit::Ended(Ending::ReaderGone));
            }
        }
        Ok::<_, RunError>(Exit::Done)
    };
    match edge.cancellation.unless_cancelled(work).await {
        Ok(done) => Ok(done?),
        // The user ends a followed log with an interrupt, so the interrupt is not a failure.
        Err(ending) if request.follow => Ok(Exit::Ended(ending)),
        Err(ending) => Err(ending.into()),
    }
}

/// Shows the log of the instance that failed last. It was masked before it was kept. It is masked again with the
/// values that are known now.
async fn failed_log(
    host: &Engine,
    project: &Project,
    tail: Option<u32>,
    redactor: &Redactor,
    edge: &Edge,
) -> Result<Exit, Failure> {
    let kept = edge.cancellation.unless_cancelled(failed::read(host, project)).await??;
    let Some((title, log)) = kept else {
        return Err(CommandError::NothingFailed { project: project.name().to_owned() }.into());
    };
    edge.stderr.fact("log", &format!("{title}, which failed"));
    let log = redactor.redact(&String::from_utf8_lossy(&log));
    let lines: Vec<&str> = log.split_inclusive('\n').collect();
    let count = tail.and_then(|tail| usize::try_from(tail).ok()).unwrap_or(lines.len());
    edge.stdout.bytes(lines[lines.len().saturating_sub(count)..].concat().as_bytes());
    Ok(Exit::Done)
}

/// Finds the containers to show, and a label for each. A name is that of a service, a process or an instance, or
/// `app`.
async fn chosen(host: &Engine, project: &Project, of: &[String]) -> Result<Vec<(String, String)>, RunError> {
    let all = containers::list(host, project).await?;
    let newest = all.iter().filter(|container| role(container) == Some(Role::App.as_str())).filter_map(number).max();
    let mut chosen = Vec::new();
    let default = [APP.to_owned()];
    for name in if of.is_empty() { &default[..] } else { of } {
        let before = chosen.len();
        for container in &all {
            let labels = container.labels.as_ref();
            let instance = InstanceName::of(container).filter(|_| number(container) == newest);
            let label = match (role(container), instance) {
                (Some("app"), Some(instance))
                    if name == APP || *name == instance.process || *name == instance.to_string() =>
                {
                    format!("{} {}", instance.process, instance.number)
                }
                (Some("service"), _) if names::label(labels, names::SERVICE) == Some(name) => name.clone(),
                _ => continue,
            };
            chosen.push((label, containers::name_of(container)));
        }
        if chosen.len() == before {
            return Err(CommandError::NothingRuns { name: name.clone(), project: project.name().to_owned() }.into());
        }
    }
    chosen.sort();
    Ok(chosen)
}
