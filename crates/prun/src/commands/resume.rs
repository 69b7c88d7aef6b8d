//! `prun restart` and `prun resume`: repeat the last start from the sealed state, without flags, manifest and secrets.

use std::path::Path;

use pscreen::Exit;

use crate::commands::start::Start;
use crate::commands::unit::Unit;
use crate::edge::{Edge, Failure};
use crate::engine::containers;
use crate::instance::roll::Instances;
use crate::names::{Project, Role, role};
use crate::plan::request::{Choice, ResumeRequest};
use crate::project::{KnownProject, folder_of_states};

/// Replaces all instances, new ones first, with the same values and the same configuration.
///
/// # Errors
///
/// As for a start. The old instances still run then.
pub(crate) async fn restart(project: &Choice, edge: &Edge) -> Result<Exit, Failure> {
    let known = KnownProject::find(project, edge).await?;
    let locked = known.state.lock(edge).await?;
    let (ledger, current) = known.open(&locked)?;
    let mut start = Start::again(known.host.clone(), ledger, &current, edge)?;
    start.instances = Instances::Replace;
    start.run(&locked, Some(current)).await.map_err(|failure| failure.behind(&start.edge))
}

/// Brings back the values that a restart of the engine took from one project, or from every project that was running.
///
/// # Errors
///
/// As for a start. With several projects each is tried, and the first failure is returned at the end.
pub(crate) async fn resume(request: &ResumeRequest, edge: &Edge) -> Result<Exit, Failure> {
    match request {
        ResumeRequest::All => all(edge).await,
        ResumeRequest::Project(name) => one(name, edge).await,
        ResumeRequest::PrintUnit => {
            edge.stdout.bytes(Unit::of_process().text().as_bytes());
            Ok(Exit::Done)
        }
        ResumeRequest::InstallUnit(folder) => {
            Unit::of_process().install(folder.as_deref(), &edge.stderr)?;
            Ok(Exit::Done)
        }
    }
}

async fn all(edge: &Edge) -> Result<Exit, Failure> {
    let mut failed = None;
    for name in folder_of_states().map(|folder| names_in(&folder)).unwrap_or_default() {
        match one(&name, edge).await {
            Ok(_) => {}
            Err(Failure::Ended(ending)) => return Err(Failure::Ended(ending)),
            Err(failure) => {
                edge.stderr.fact("failed", &name);
                failed.get_or_insert(failure);
            }
        }
    }
    failed.map_or(Ok(Exit::Done), Err)
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

async fn one(name: &str, edge: &Edge) -> Result<Exit, Failure> {
    let known = KnownProject::find(&Choice { name: Some(name.to_owned()), config: None }, edge).await?;
    let locked = known.state.lock(edge).await?;
    let Ok((ledger, current)) = known.open(&locked) else { return Ok(Exit::Done) };
    // A stopped project has no containers, and stays stopped.
    let all = containers::list(&known.host, &Project::new(name, ledger.owner())).await?;
    if !all.iter().any(|container| role(container) == Some(Role::App.as_str())) {
        return Ok(Exit::Done);
    }
    let mut start = Start::again(known.host.clone(), ledger, &current, edge)?;
    start.edge.stderr.fact("app", &format!("{name} ({})", start.plan.image()));
    start.run(&locked, Some(current)).await.map_err(|failure| failure.behind(&start.edge))
}
