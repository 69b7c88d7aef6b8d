//! Runs a container beside the steps of a build, with states of the build mounted into it (BuildKit's gateway
//! containers).
//!
//! The container has no vertex, no cache record, no entry in provenance and no network. Each state is mounted below a
//! temporary layer, so nothing that the container writes reaches the build. A container ends with its build at the
//! latest.

use bollard_buildkit_proto::moby::buildkit::v1::frontend;
use bollard_buildkit_proto::moby::buildkit::v1::frontend::exec_message::Input;
use bollard_buildkit_proto::pb;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::bridge::Bridge;
use crate::solved::Reference;

/// The number of bytes of standard input in one message.
const PIECE: usize = 64 << 10;

/// The name of the only process of a container.
const PROCESS: &str = "main";

/// A state that is mounted into a container, and the folder where it is mounted.
#[derive(Clone, Debug)]
pub struct StateMount {
    /// The state.
    pub reference: Reference,
    /// The folder.
    pub at: String,
}

/// A secret of the client's session that is mounted into a container, and the file where it is mounted. The value
/// goes from the session into the container; the process that makes the container never has it.
#[derive(Clone, Debug)]
pub struct SecretMount {
    /// The id by which BuildKit asks the session for the secret.
    pub id: String,
    /// The path of the file. The file does not exist if the session does not have the secret.
    pub at: String,
}

/// A folder that the builder keeps from build to build, and the place where it is mounted into a container.
#[derive(Clone, Debug)]
pub struct CacheMount {
    /// The folder's name in the builder. The ids in a Dockerfile always get a slash, so a `RUN` can never use a name
    /// without one (BuildKit `convert_runmount.go`).
    pub id: String,
    /// The folder where it is mounted.
    pub at: String,
}

/// A mount of a container.
#[derive(Clone, Debug)]
pub enum Mount {
    /// A state.
    State(StateMount),
    /// A secret.
    Secret(SecretMount),
    /// A folder of the builder.
    Cache(CacheMount),
}

impl From<&StateMount> for Mount {
    fn from(mount: &StateMount) -> Self {
        Self::State(mount.clone())
    }
}

impl Mount {
    fn into_message(self) -> pb::Mount {
        // The mount is not built on an input, and is not an output of a step.
        let nothing = pb::Mount { input: -1, output: -1, ..pb::Mount::default() };
        match self {
            // State mounts are not read-only, because a read-only mount of a single layer is not an overlay on every
            // engine.
            Self::State(StateMount { reference, at }) => {
                pb::Mount { dest: at, result_id: reference.id, readonly: false, ..nothing }
            }
            Self::Secret(SecretMount { id, at }) => pb::Mount {
                dest: at,
                mount_type: pb::MountType::Secret.into(),
                secret_opt: Some(pb::SecretOpt { id, mode: 0o400, optional: true, ..pb::SecretOpt::default() }),
                readonly: true,
                ..nothing
            },
            Self::Cache(CacheMount { id, at }) => pb::Mount {
                dest: at,
                mount_type: pb::MountType::Cache.into(),
                // With `Shared`, BuildKit makes a second folder if one container requests it while another one
                // releases it. `Locked` would prevent this, but then one client that waits could stop everybody
                // else's builds.
                cache_opt: Some(pb::CacheOpt { id, sharing: pb::CacheSharingOpt::Shared.into() }),
                ..nothing
            },
        }
    }
}

/// A container that runs until it is released or dropped.
pub struct Container {
    bridge: Bridge,
    id: String,
    released: bool,
}

/// One event of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessNews {
    /// The process wrote to standard output.
    Output(Vec<u8>),
    /// The process wrote to standard error.
    Error(Vec<u8>),
    /// The process ended with this code.
    Exit(u32),
}

/// A process in a container.
pub struct Process {
    news: tonic::Streaming<frontend::ExecMessage>,
    to_engine: mpsc::Sender<frontend::ExecMessage>,
    input: Vec<u8>,
}

impl Container {
    /// Makes a container. The steps of its mounted states run first if they have not run yet.
    ///
    /// # Errors
    ///
    /// Returns the engine's error: a step failed, or the engine cannot make such a container.
    pub async fn new<M>(bridge: &Bridge, mounts: impl IntoIterator<Item = M>) -> Result<Self, tonic::Status>
    where
        M: Into<Mount>,
    {
        // BuildKit accepts only letters and digits.
        let id = format!("pbuild{}", uuid::Uuid::new_v4().simple());
        let request = frontend::NewContainerRequest {
            container_id: id.clone(),
            mounts: mounts.into_iter().map(|mount| mount.into().into_message()).collect(),
            network: pb::NetMode::None.into(),
            ..frontend::NewContainerRequest::default()
        };
        // From now on, there may be a container to release, even if its creation is not confirmed.
        let container = Self { bridge: bridge.clone(), id, released: false };
        container.bridge.client().new_container(request).await?;
        Ok(container)
    }

    /// Starts a program as root, with `input` as its whole standard input.
    ///
    /// # Errors
    ///
    /// Returns the engine's error. If the program cannot be started, [`Process::next`] returns the error.
    pub async fn run(&self, arguments: &[&str], input: Vec<u8>) -> Result<Process, tonic::Status> {
        let init = frontend::InitMessage {
            container_id: self.id.clone(),
            meta: Some(pb::Meta {
                args: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
                cwd: "/".to_owned(),
                user: "0:0".to_owned(),
                ..pb::Meta::default()
            }),
            fds: vec![0, 1, 2],
            ..frontend::InitMessage::default()
        };
        // The channel has room for everything that will be sent, so sending never waits.
        let (to_engine, messages) = mpsc::channel(input.len() / PIECE + 4);
        send(&to_engine, Input::Init(init))?;
        let news = self.bridge.client().exec_process(ReceiverStream::new(messages)).await?.into_inner();
        Ok(Process { news, to_engine, input })
    }

    /// Ends the container, with all processes in it.
    ///
    /// # Errors
    ///
    /// Returns the engine's error. The container then ends with the build.
    pub async fn release(mut self) -> Result<(), tonic::Status> {
        self.released = true;
        self.bridge.client().release_container(self.request()).await?;
        Ok(())
    }

    fn request(&self) -> frontend::ReleaseContainerRequest {
        frontend::ReleaseContainerRequest { container_id: self.id.clone() }
    }
}

/// Releases the container in the background, unless it was released before. If the background task does not run in
/// time, the end of the build releases the container.
impl Drop for Container {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if !self.released {
            let (bridge, request) = (self.bridge.clone(), self.request());
            runtime.spawn(async move { bridge.client().release_container(request).await.map(drop) });
        }
    }
}

impl Process {
    /// Waits for the next event. Returns `None` if no more events follow.
    ///
    /// # Errors
    ///
    /// Returns the engine's error: the program could not be started, or the connection broke.
    pub async fn next(&mut self) -> Result<Option<ProcessNews>, tonic::Status> {
        while let Some(message) = self.news.message().await? {
            match message.input {
                Some(Input::Started(_)) => self.send_input()?,
                Some(Input::File(file)) if file.data.is_empty() => {}
                Some(Input::File(file)) if file.fd == 1 => return Ok(Some(ProcessNews::Output(file.data))),
                Some(Input::File(file)) => return Ok(Some(ProcessNews::Error(file.data))),
                Some(Input::Exit(exit)) => {
                    return match exit.error.filter(|error| error.code != 0 && exit.code == 0) {
                        Some(error) => Err(tonic::Status::new(tonic::Code::from_i32(error.code), error.message)),
                        None => Ok(Some(ProcessNews::Exit(exit.code))),
                    };
                }
                Some(Input::Done(_)) => return Ok(None),
                Some(Input::Init(_) | Input::Resize(_) | Input::Signal(_)) | None => {}
            }
        }
        Ok(None)
    }

    /// Sends the program's input. The engine accepts input only for a process that has started.
    fn send_input(&mut self) -> Result<(), tonic::Status> {
        let input = std::mem::take(&mut self.input);
        let file = |eof, data: &[u8]| Input::File(frontend::FdMessage { fd: 0, eof, data: data.to_vec() });
        for piece in input.chunks(PIECE) {
            send(&self.to_engine, file(false, piece))?;
        }
        send(&self.to_engine, file(true, &[]))
    }
}

fn send(to_engine: &mpsc::Sender<frontend::ExecMessage>, input: Input) -> Result<(), tonic::Status> {
    let message = frontend::ExecMessage { process_id: PROCESS.to_owned(), input: Some(input) };
    to_engine.try_send(message).map_err(|_| tonic::Status::cancelled("the process takes no input any more"))
}

impl std::fmt::Debug for Container {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Container({})", self.id)
    }
}
