//! The lock of a project: a container whose name is taken, and that ends with the connection of its client.
//!
//! Only this container writes to the state's volume, so whoever has lost the lock cannot change the state any more. Its
//! program is `keep` of the entrypoint; [`pshim::keep`] has the words that they exchange.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bollard::container::LogOutput;
use bollard::models::{ContainerCreateBody, ContainerInspectResponse, ContainerStateStatusEnum, HostConfig};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, InspectContainerOptions, StartContainerOptions,
};
use futures::{Stream, StreamExt as _};
use pcredential::Ledger;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::edge::{Edge, now};
use crate::engine::archive::File;
use crate::engine::containers::{self, Access};
use crate::engine::inside::bytes_of;
use crate::error::{RunError, engine, is_conflict, is_missing};
use crate::instance::holder;
use crate::names::{self, Project, Role};
use crate::state::error::StateError;
use crate::state::place::{self, Place};

/// How long a command waits before it says so.
const SILENCE: Duration = Duration::from_millis(500);
/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a lock that was never started may lie there: its client was killed in between.
const UNSTARTED: Duration = Duration::from_secs(10);
/// How long the keeper may take for an answer.
const ANSWER: Duration = Duration::from_secs(30);
/// How often the keeper is told that its client is there.
const HEARTBEAT: Duration = Duration::from_secs(15);

type Input = Arc<Mutex<Pin<Box<dyn AsyncWrite + Send>>>>;
type Output = Pin<Box<dyn Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send>>;

/// Who takes the lock, for those who wait.
#[derive(Clone, Debug)]
pub(crate) struct Holder {
    /// The user and the machine.
    pub(crate) name: String,
    /// The command, without its arguments.
    pub(crate) command: String,
}

/// A lock that is held.
pub(crate) struct Lock {
    id: String,
    project: String,
    input: Input,
    answers: Mutex<Answers>,
    heartbeat: JoinHandle<()>,
}

struct Answers {
    output: Output,
    text: Vec<u8>,
}

impl Answers {
    /// Reads the next line; `None` when the keeper has ended, or takes too long.
    async fn line(&mut self) -> Option<Vec<u8>> {
        let read = async {
            loop {
                if let Some(end) = self.text.iter().position(|byte| *byte == b'\n') {
                    return Some(self.text.drain(..=end).collect());
                }
                let piece = self.output.next().await?.ok()?;
                self.text.extend_from_slice(bytes_of(&piece));
            }
        };
        tokio::time::timeout(ANSWER, read).await.ok().flatten()
    }
}

/// What an attempt to take the lock found.
enum Attempt {
    Taken(Box<Lock>),
    Held(Box<ContainerInspectResponse>),
    /// The name was given back in between.
    Again,
}

impl Lock {
    /// Waits for the lock of a project. The volume must be there, with this owner's mark.
    ///
    /// # Errors
    ///
    /// [`StateError::Busy`] after so many seconds; [`RunError::Stopped`]; [`RunError::Engine`].
    pub(crate) async fn take(
        place: Place<'_>,
        owner: &str,
        holder: &Holder,
        patience: Duration,
        edge: &Edge,
    ) -> Result<Self, RunError> {
        let project = Project::new(place.project, owner);
        let began = Instant::now();
        let (mut announced, mut unstarted) = (false, HashMap::new());
        loop {
            let attempt = edge.cancellation.unless_cancelled(attempt(place, &project, holder)).await??;
            let other = match attempt {
                Attempt::Taken(lock) => return Ok(*lock),
                Attempt::Again => continue,
                Attempt::Held(other) => other,
            };
            clear(place, &other, &mut unstarted).await?;
            if began.elapsed() >= patience {
                let ((who, command, since), project) = (holding(&other), place.project.to_owned());
                return Err(StateError::Busy { project, who, command, since, seconds: patience.as_secs() }.into());
            }
            if !announced && began.elapsed() >= SILENCE {
                let (who, command, since) = holding(&other);
                let seconds = patience.as_secs();
                let text = format!("{who} works on {} since {since} ({command}); at most {seconds}s", place.project);
                edge.stderr.fact("waiting", &text);
                announced = true;
            }
            edge.cancellation.unless_cancelled(tokio::time::sleep(PAUSE)).await?;
        }
    }

    /// Writes a version. It is on the engine's disk when this returns, and the one before is kept.
    ///
    /// # Errors
    ///
    /// [`StateError::LockLost`], [`StateError::Changed`], [`StateError::NotWritten`]; [`RunError::Engine`].
    pub(crate) async fn commit(
        &self,
        place: Place<'_>,
        number: u64,
        sealed: &[u8],
        operators: &str,
    ) -> Result<(), RunError> {
        let upload = format!("{}{}", place::UPLOAD, Ledger::fresh_owner().to_lowercase());
        let file = |name: &str, content, mode| File { name: name.to_owned(), content, mode, owner: 0 };
        let files = [file(&upload, sealed, 0o600), file(place::OPERATORS, operators.as_bytes(), 0o644)];
        let lost = || StateError::LockLost { project: self.project.clone() };
        match holder::upload(place.host, &self.id, pshim::STATE, &files).await {
            Err(RunError::Engine { source, .. }) if is_missing(&source) || is_conflict(&source) => {
                return Err(lost().into());
            }
            other => other?,
        }
        let answer = self.order(&format!("commit {upload} {}", place::file_of(number))).await.ok_or_else(lost)?;
        match answer.as_slice() {
            pshim::keep::DONE => {}
            pshim::keep::TAKEN => return Err(StateError::Changed { project: self.project.clone() }.into()),
            _ => return Err(StateError::NotWritten { project: self.project.clone() }.into()),
        }
        if let Some(old) = number.checked_sub(2).filter(|old| *old > 0) {
            self.forget(&place::file_of(old)).await;
        }
        Ok(())
    }

    /// Removes a file of the folder. One that is not there is no error.
    pub(crate) async fn forget(&self, name: &str) {
        let _ = self.order(&format!("forget {name}")).await;
    }

    /// Gives the keeper an order, and returns its answer.
    async fn order(&self, line: &str) -> Option<Vec<u8>> {
        let mut answers = self.answers.lock().await;
        {
            let mut input = self.input.lock().await;
            input.write_all(format!("{line}\n").as_bytes()).await.ok()?;
            input.flush().await.ok()?;
        }
        answers.line().await
    }

    /// Gives the lock back, and waits until it is free.
    pub(crate) async fn release(self, place: Place<'_>) {
        self.heartbeat.abort();
        let _ = self.input.lock().await.shutdown().await;
        // The engine removes it by itself too; whoever comes next should not have to wait for that.
        let _ = containers::discard(place.host, &self.id).await;
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.heartbeat.abort();
    }
}

async fn attempt(place: Place<'_>, project: &Project, holder: &Holder) -> Result<Attempt, RunError> {
    let docker = place.host.docker();
    let name = place.name();
    let taking = || format!("take the lock of {}", place.project);
    let options = CreateContainerOptionsBuilder::new().name(&name).build();
    let id = match docker.create_container(Some(options), body(place, project, holder).await?).await {
        Ok(created) => created.id,
        Err(error) if is_conflict(&error) => {
            return match docker.inspect_container(&name, None::<InspectContainerOptions>).await {
                Ok(other) => held(other, &name),
                Err(error) if is_missing(&error) => Ok(Attempt::Again),
                Err(error) => Err(engine(taking)(error)),
            };
        }
        Err(error) => return Err(engine(taking)(error)),
    };
    let options = AttachContainerOptionsBuilder::new().stdin(true).stdout(true).stderr(true).stream(true).build();
    let attached = match docker.attach_container(&id, Some(options)).await {
        Ok(attached) => attached,
        Err(error) => {
            let _ = containers::discard(place.host, &id).await;
            return Err(engine(taking)(error));
        }
    };
    match docker.start_container(&id, None::<StartContainerOptions>).await {
        Ok(()) => {}
        // Another command thought that its client was gone.
        Err(error) if is_missing(&error) => return Ok(Attempt::Again),
        Err(error) => {
            let _ = containers::discard(place.host, &id).await;
            return Err(engine(taking)(error));
        }
    }
    let mut answers = Answers { output: attached.output, text: Vec::new() };
    let input: Input = Arc::new(Mutex::new(attached.input));
    if answers.line().await.as_deref() != Some(pshim::keep::READY) {
        let _ = containers::discard(place.host, &id).await;
        return Err(StateError::LockLost { project: place.project.to_owned() }.into());
    }
    let heartbeat = tokio::spawn(beat(Arc::clone(&input)));
    let project = place.project.to_owned();
    Ok(Attempt::Taken(Box::new(Lock { id, project, input, answers: Mutex::new(answers), heartbeat })))
}

/// Tells the keeper again and again that its client is there.
async fn beat(input: Input) {
    loop {
        tokio::time::sleep(HEARTBEAT).await;
        let mut input = input.lock().await;
        if input.write_all(b"\n").await.is_err() || input.flush().await.is_err() {
            return;
        }
    }
}

async fn body(place: Place<'_>, project: &Project, holder: &Holder) -> Result<ContainerCreateBody, RunError> {
    let labels = [
        (names::HOLDER, holder.name.clone()),
        (names::COMMAND, holder.command.clone()),
        (names::SINCE, now().to_string()),
    ];
    Ok(ContainerCreateBody {
        image: Some(holder::image(place.host).await?),
        cmd: Some(vec![holder::PROGRAM.to_owned(), "keep".to_owned(), pshim::STATE.to_owned()]),
        labels: Some(project.labels(Role::State, &labels)),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        open_stdin: Some(true),
        // The engine closes the input when its client is gone, and the keeper ends with its input.
        stdin_once: Some(true),
        host_config: Some(HostConfig {
            mounts: Some(vec![containers::mount(&place.name(), pshim::STATE, Access::Write)]),
            auto_remove: Some(true),
            restart_policy: None,
            ..holder::bare("none")
        }),
        ..ContainerCreateBody::default()
    })
}

fn held(other: ContainerInspectResponse, name: &str) -> Result<Attempt, RunError> {
    let labels = other.config.as_ref().and_then(|config| config.labels.as_ref());
    if names::label(labels, names::ROLE) != Some(Role::State.as_str()) {
        return Err(RunError::Foreign { kind: "container", name: name.to_owned() });
    }
    Ok(Attempt::Held(Box::new(other)))
}

/// Takes away a lock whose client is gone: one that has ended, and one that was never started.
async fn clear(
    place: Place<'_>,
    other: &ContainerInspectResponse,
    unstarted: &mut HashMap<String, Instant>,
) -> Result<(), RunError> {
    let Some(id) = other.id.clone() else { return Ok(()) };
    let gone = match other.state.as_ref().and_then(|state| state.status) {
        Some(ContainerStateStatusEnum::EXITED | ContainerStateStatusEnum::DEAD) => true,
        Some(ContainerStateStatusEnum::CREATED) => {
            unstarted.entry(id.clone()).or_insert_with(Instant::now).elapsed() >= UNSTARTED
        }
        _ => false,
    };
    if gone { containers::discard(place.host, &id).await } else { Ok(()) }
}

/// Reads who holds a lock, with which command, and for how long.
fn holding(other: &ContainerInspectResponse) -> (String, String, String) {
    let labels = other.config.as_ref().and_then(|config| config.labels.as_ref());
    let text = |name| names::label(labels, name).map(pscreen::one_line);
    let since = text(names::SINCE).and_then(|since| since.parse::<u64>().ok()).unwrap_or_else(now);
    let since = pscreen::words::seconds(Duration::from_secs(now().saturating_sub(since)));
    (text(names::HOLDER).unwrap_or_else(|| "somebody".to_owned()), text(names::COMMAND).unwrap_or_default(), since)
}
