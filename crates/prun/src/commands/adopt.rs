//! `prun adopt`: records that this user operates a project from this folder.

use pscreen::Exit;

use crate::edge::{Edge, Failure};
use crate::engine::containers;
use crate::error::RunError;
use crate::names::Role;
use crate::plan;
use crate::plan::record::whole;
use crate::plan::request::{AdoptRequest, Choice};
use crate::project::{KnownProject, manifest};

/// Remembers that this user operates a project. If the manifest names the project, the user operates it from the
/// manifest's folder.
///
/// # Errors
///
/// Returns an error if the project does not exist, or if this user is not an operator of it.
pub(crate) async fn run(request: &AdoptRequest, edge: &Edge) -> Result<Exit, Failure> {
    let named = Choice { name: request.name.clone(), config: request.config.clone() };
    let known = KnownProject::find(&named, edge).await?;
    let caller = known.state.caller();
    if request.again {
        let owner = known.project().await?.owner().to_owned();
        caller.memory.forget(&owner)?;
    }
    let document = known.read().await?;
    let folder = match &caller.folder {
        Some(folder) => Some(folder.clone()),
        None => folder_of(&known.name, &named)?,
    };
    caller.memory.remember(&document, folder.as_deref())?;
    let project = known.project().await?;
    let instances = containers::running(&known.host, &project, Role::App).await?.len();
    let operators = pscreen::words::counted(document.operators.len(), "operator");
    let instances = pscreen::words::counted(instances, "instance");
    edge.stderr.fact("project", &format!("{} (id {}), {operators}, {instances}", known.name, document.owner));
    let from = folder.map_or("any folder without a manifest".to_owned(), |folder| folder.display().to_string());
    edge.stderr.fact("adopted", &format!("this user operates it from {from}"));
    Ok(Exit::Done)
}

/// Returns the folder of the manifest, if the manifest names the project.
fn folder_of(project: &str, choice: &Choice) -> Result<Option<std::path::PathBuf>, RunError> {
    let Some(found) = manifest(choice.config.as_deref())? else { return Ok(None) };
    let (name, image) = (found.manifest.name.as_deref(), found.manifest.image.as_deref().unwrap_or_default());
    let names_it = plan::project(None, name, image).is_ok_and(|(name, _)| name == project);
    Ok(names_it.then(|| whole(found.directory())))
}
