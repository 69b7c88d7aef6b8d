//! `prun state`: backs up and restores the sealed state, and makes a new one if it is lost.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use pscreen::Exit;
use pvault::VaultError;

use crate::edge::{Edge, Failure, confirm};
use crate::error::RunError;
use crate::plan::request::{Choice, StateRequest};
use crate::project::KnownProject;
use crate::state::error::StateError;
use crate::state::{Closed, LockedState};

/// The largest size of a backup, in bytes.
const LARGEST: u64 = 64 * 1024 * 1024;

/// Carries out a request.
///
/// # Errors
///
/// Returns an error if the state cannot be opened, if a file cannot be read or written, or if the engine refuses a
/// request.
pub(crate) async fn run(request: &StateRequest, edge: &Edge) -> Result<Exit, Failure> {
    match request {
        StateRequest::Backup { project, file } => backup(project, file, edge).await,
        StateRequest::Restore { project, file } => restore(project, file, edge).await,
        StateRequest::New { project, confirmed } => begin_anew(project, *confirmed, edge).await,
    }
}

async fn backup(project: &Choice, file: &Path, edge: &Edge) -> Result<Exit, Failure> {
    let known = KnownProject::find(project, edge).await?;
    known.project().await?;
    let Some(sealed) = known.state.read_sealed().await? else {
        return Err(RunError::NotStarted { project: known.name }.into());
    };
    if file == Path::new("-") {
        edge.stdout.bytes(&sealed);
        return Ok(Exit::Done);
    }
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .and_then(|mut output| output.write_all(&sealed).and_then(|()| output.sync_all()));
    written.map_err(|source| failed("write", file, source))?;
    edge.stderr.fact("backup", &format!("{}, sealed for the operators of today", file.display()));
    Ok(Exit::Done)
}

async fn restore(project: &Choice, file: &Path, edge: &Edge) -> Result<Exit, Failure> {
    let mut sealed = Vec::new();
    let read = std::fs::File::open(file).and_then(|input| input.take(LARGEST).read_to_end(&mut sealed));
    read.map_err(|source| failed("read", file, source))?;
    let known = KnownProject::find(project, edge).await?;
    let document = known.state.open_backup(&sealed)?;
    let other = || RunError::from(StateError::OtherBackup { path: file.display().to_string() });
    if document.project != known.name {
        return Err(other().into());
    }
    known.state.make_place_for(&document).await?;
    let work = async |locked: &LockedState<'_>| {
        if document.owner != locked.owner() {
            return Err(other().into());
        }
        let restored = document.number;
        locked.write(document).await?;
        let text = format!("version {restored} is the newest again; prun start brings what runs to it");
        edge.stderr.fact("restored", &text);
        Ok(Exit::Done)
    };
    known.state.locked(edge, Closed::BeginAnew, work).await
}

async fn begin_anew(project: &Choice, confirmed: bool, edge: &Edge) -> Result<Exit, Failure> {
    let known = KnownProject::find(project, edge).await?;
    known.project().await?;
    if !confirmed {
        let name = &known.name;
        confirm(name, &format!("what the state of {name} holds, the credentials of its services too, is given up"))?;
    }
    let work = async |locked: &LockedState<'_>| {
        locked.begin_anew().await?;
        locked.seal_ledger(&locked.ledger_or_new()?).await?;
        let text = "of this user alone; what runs goes on, and prun services reset NAME gives services new passwords";
        edge.stderr.fact("state", text);
        Ok(Exit::Done)
    };
    known.state.locked(edge, Closed::BeginAnew, work).await
}

fn failed(doing: &'static str, path: &Path, source: std::io::Error) -> RunError {
    VaultError::Io { doing, path: path.to_owned(), source }.into()
}
