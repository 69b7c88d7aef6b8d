//! `prun restart` and `prun resume`: both repeat the last start from the sealed state, and read neither flags nor the
//! manifest nor secrets.

use pengine::Engine;
use pscreen::Exit;

use crate::commands::start::Start;
use crate::commands::unit::Unit;
use crate::edge::{Edge, Failure};
use crate::engine::containers;
use crate::error::RunError;
use crate::instance::roll::Instances;
use crate::names::{Project, Role, role};
use crate::plan::request::{Choice, ResumeRequest};
use crate::project::{KnownProject, connect};
use crate::state::caller::Caller;
use crate::state::{self, Closed, LockedState};

/// Replaces all instances. The new ones start first, with the same values and the same configuration.
///
/// # Errors
///
/// Returns the errors of a start. The old instances then keep running.
pub(crate) async fn restart(project: &Choice, edge: &Edge) -> Result<Exit, Failure> {
    let known = KnownProject::find(project, edge).await?;
    let work = async |locked: &LockedState<'_>| {
        let (ledger, current) = known.open(locked)?;
        let mut start = Start::again(known.host.clone(), ledger, &current, edge)?;
        start.instances = Instances::Replace;
        start.run(locked, Some(current)).await.map_err(|failure| failure.behind(&start.edge))
    };
    known.locked(edge, Closed::Refuse, work).await
}

/// Brings back the values that a restart of the engine took from one project, or from every project that this user
/// operates and that was running.
///
/// # Errors
///
/// Returns the errors of a start. With several projects, each is tried, and the first failure is returned at the end.
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
    let host = edge.cancellation.unless_cancelled(connect()).await??;
    for name in own(&host).await? {
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

/// Lists the projects of this engine that this user operates.
pub(crate) async fn own(host: &Engine) -> Result<Vec<String>, RunError> {
    let caller = Caller::of_process(None);
    let known = |project: &Project| caller.operates(project.name(), project.owner()).unwrap_or(false);
    let all = state::projects(host).await?;
    let own = all.iter().filter(|project| known(project)).map(|project| project.name().to_owned());
    let mut names: Vec<String> = own.chain(caller.earlier_projects()).collect();
    names.sort();
    names.dedup();
    Ok(names)
}

async fn one(name: &str, edge: &Edge) -> Result<Exit, Failure> {
    let known = KnownProject::find(&Choice { name: Some(name.to_owned()), config: None }, edge).await?;
    let Some(project) = known.state.project().await? else { return Ok(Exit::Done) };
    // A stopped project has no containers, and it stays stopped.
    let all = containers::list(&known.host, &project).await?;
    if !all.iter().any(|container| role(container) == Some(Role::App.as_str())) {
        return Ok(Exit::Done);
    }
    let work = async |locked: &LockedState<'_>| {
        let (ledger, current) = known.open(locked)?;
        let mut start = Start::again(known.host.clone(), ledger, &current, edge)?;
        start.edge.stderr.fact("app", &format!("{name} ({})", start.plan.image()));
        start.run(locked, Some(current)).await.map_err(|failure| failure.behind(&start.edge))
    };
    known.locked(edge, Closed::Refuse, work).await
}
