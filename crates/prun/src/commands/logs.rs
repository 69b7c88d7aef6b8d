//! `prun logs`: shows the output of containers, redacted as it arrives.

use bollard::query_parameters::LogsOptionsBuilder;
use futures::StreamExt;
use futures::stream::SelectAll;
use pengine::Engine;
use pscreen::{Ending, Exit};

use crate::edge::{Edge, Failure};
use crate::engine::containers;
use crate::engine::lines::Lines;
use crate::error::command::CommandError;
use crate::error::{RunError, engine};
use crate::names::{self, Project, Role, number, role};
use crate::plan::record::Record;
use crate::plan::request::LogsRequest;
use crate::project::KnownProject;
use crate::values::masks;

/// The name that stands for the app among the names of services.
const APP: &str = "app";

/// Shows the logs of instances and services.
///
/// Each stream of each container has a redactor of its own, so that a value is found even if it arrives in pieces.
///
/// # Errors
///
/// When there is no such project or service, or the engine keeps no log.
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
    let chosen = chosen(&host, &project, &request.services).await?;
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
        // An interrupt is the usual way to stop following a log.
        Err(ending) if request.follow => Ok(Exit::Ended(ending)),
        Err(ending) => Err(ending.into()),
    }
}

/// Finds the containers to show, and a label for each.
async fn chosen(host: &Engine, project: &Project, of: &[String]) -> Result<Vec<(String, String)>, RunError> {
    let all = containers::list(host, project).await?;
    let newest = all.iter().filter(|container| role(container) == Some(Role::App.as_str())).filter_map(number).max();
    let mut chosen = Vec::new();
    let default = [APP.to_owned()];
    for name in if of.is_empty() { &default[..] } else { of } {
        let before = chosen.len();
        for container in &all {
            let labels = container.labels.as_ref();
            let label = match role(container) {
                Some("app") if name == APP && number(container) == newest => {
                    format!("{APP} {}", names::label(labels, names::INSTANCE).unwrap_or("?"))
                }
                Some("service") if names::label(labels, names::SERVICE) == Some(name) => name.clone(),
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
