//! The lock of a project: a container with a fixed name, which ends together with the connection of its client.
//!
//! Only this container writes to the state's volume, so a command that has lost the lock cannot change the state any
//! more. The container runs `keep` of the entrypoint; [`pshim::keep`] defines the lines that it exchanges with its
//! client.

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

/// How long a command waits for the lock before it reports the wait.
const SILENCE: Duration = Duration::from_millis(500);
/// The pause between two attempts to take the lock.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a lock's container may exist without being started. After that, its client is taken for killed.
const UNSTARTED: Duration = Duration::from_secs(10);
/// How long the keeper may take to answer.
const ANSWER: Duration = Duration::from_secs(30);
/// How often the client shows the keeper that it is still connected.
const HEARTBEAT: Duration = Duration::from_secs(15);

type Input = Arc<Mutex<Pin<Box<dyn AsyncWrite + Send>>>>;
type Output = Pin<Box<dyn Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send>>;

/// The holder of the lock, as it is shown to those who wait.
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
    /// Reads the next line. Returns `None` if the keeper has ended, or does not answer within [`ANSWER`].
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

/// The result of one attempt to take the lock.
enum Attempt {
    Taken(Box<Lock>),
    Held(Box<ContainerInspectResponse>),
    /// The lock's container disappeared during the attempt, so the attempt is repeated.
    Again,
}

impl Lock {
    /// Waits for the lock of a project and takes it. The state's volume must exist, with this owner's mark.
    ///
    /// # Errors
    ///
    /// Returns [`StateError::Busy`] if the lock is still held after `patience`, [`RunError::Stopped`] if the user
    /// ends the command, and [`RunError::Engine`].
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

    /// Writes a version. When this returns, the version is on the engine's disk, and the version before it is kept.
    ///
    /// # Errors
    ///
    /// Returns [`StateError::LockLost`], [`StateError::Changed`], [`StateError::NotWritten`] or [`RunError::Engine`].
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

    /// Removes a file of the state's folder. A failure is ignored.
    pub(crate) async fn forget(&self, name: &str) {
        let _ = self.order(&format!("forget {name}")).await;
    }

    /// Sends the keeper an order, and returns its answer. Returns `None` if the keeper does not answer.
    async fn order(&self, line: &str) -> Option<Vec<u8>> {
        let mut answers = self.answers.lock().await;
        {
            let mut input = self.input.lock().await;
            input.write_all(format!("{line}\n").as_bytes()).await.ok()?;
            input.flush().await.ok()?;
        }
        answers.line().await
    }

    /// Releases the lock, and waits until it is free.
    pub(crate) async fn release(self, place: Place<'_>) {
        self.heartbeat.abort();
        let _ = self.input.lock().await.shutdown().await;
        // The engine removes the container by itself, too, but the next command should not have to wait for that.
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
        // Another command has removed the container, because it took this client for killed.
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

/// Shows the keeper again and again that its client is still connected.
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
        // The engine closes the input when the client is gone, and the keeper exits at the end of its input.
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

/// Removes the lock's container if its client is gone: the container has exited, or it has existed for [`UNSTARTED`]
/// without being started.
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

/// Returns the holder of a lock, the holder's command, and how long the lock has been held.
fn holding(other: &ContainerInspectResponse) -> (String, String, String) {
    let labels = other.config.as_ref().and_then(|config| config.labels.as_ref());
    let text = |name| names::label(labels, name).map(pscreen::one_line);
    let since = text(names::SINCE).and_then(|since| since.parse::<u64>().ok()).unwrap_or_else(now);
    let since = pscreen::words::seconds(Duration::from_secs(now().saturating_sub(since)));
    (text(names::HOLDER).unwrap_or_else(|| "somebody".to_owned()), text(names::COMMAND).unwrap_or_default(), since)
}
