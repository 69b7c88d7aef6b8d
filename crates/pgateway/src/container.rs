//! A container beside the steps of a build, over states that the build made (BuildKit's gateway containers).
//!
//! It has no vertex, no cache record, no place in provenance and no network. Each state is mounted below a throw-away
//! layer, so that nothing which the container writes reaches the build. A container ends with its build at the latest.

use bollard_buildkit_proto::moby::buildkit::v1::frontend;
use bollard_buildkit_proto::moby::buildkit::v1::frontend::exec_message::Input;
use bollard_buildkit_proto::pb;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::bridge::Bridge;
use crate::solved::Reference;

/// How much of the standard input goes into one message.
const PIECE: usize = 64 << 10;

/// The only process of a container.
const PROCESS: &str = "main";

/// A state and the folder where a container sees it.
#[derive(Clone, Debug)]
pub struct StateMount {
    /// The state.
    pub reference: Reference,
    /// The folder.
    pub at: String,
}

/// A secret of the client's session, and the file where a container sees it. The value goes from the session into the
/// container; the process that makes the container never has it.
#[derive(Clone, Debug)]
pub struct SecretMount {
    /// The id by which BuildKit asks the session for the secret.
    pub id: String,
    /// The file. It is not there when the session has no such secret.
    pub at: String,
}

/// A folder that the builder keeps from build to build.
#[derive(Clone, Debug)]
pub struct CacheMount {
    /// The folder's name in the builder. The ids of a Dockerfile always hold a slash there, so that no `RUN` reaches a
    /// name without one (BuildKit `convert_runmount.go`).
    pub id: String,
    /// The folder.
    pub at: String,
}

/// Something that a container sees at a path.
#[derive(Clone, Debug)]
pub enum Mount {
    /// A state.
    State(StateMount),
    /// A secret.
    Secret(SecretMount),
    /// A folder of the builder's own.
    Cache(CacheMount),
}

impl From<&StateMount> for Mount {
    fn from(mount: &StateMount) -> Self {
        Self::State(mount.clone())
    }
}

impl Mount {
    fn into_message(self) -> pb::Mount {
        // Neither built on an input nor an output of a step.
        let nothing = pb::Mount { input: -1, output: -1, ..pb::Mount::default() };
        match self {
            // A read-only mount of a single layer is no overlay on every engine.
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
                // BuildKit makes a second folder when one container asks while another gives the mount back. `Locked` would
                // not, and would let one client that waits stop everybody else's builds.
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

/// One piece of news about a process.
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
    /// Makes a container. Lazy states of its mounts run first.
    ///
    /// # Errors
    ///
    /// The engine's error: a step on the way failed, or it can make no such container.
    pub async fn new<M>(bridge: &Bridge, mounts: impl IntoIterator<Item = M>) -> Result<Self, tonic::Status>
    where
        M: Into<Mount>,
    {
        // BuildKit takes letters and digits alone.
        let id = format!("pbuild{}", uuid::Uuid::new_v4().simple());
        let request = frontend::NewContainerRequest {
            container_id: id.clone(),
            mounts: mounts.into_iter().map(|mount| mount.into().into_message()).collect(),
            network: pb::NetMode::None.into(),
            ..frontend::NewContainerRequest::default()
        };
        // From here on there may be a container to release, whether or not we hear of it.
        let container = Self { bridge: bridge.clone(), id, released: false };
        container.bridge.client().new_container(request).await?;
        Ok(container)
    }

    /// Starts a program as root, with `input` as its whole standard input.
    ///
    /// # Errors
    ///
    /// The engine's error. A program that cannot be started is told by [`Process::next`].
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
        // Room for everything that will ever be sent, so that sending never waits.
        let (to_engine, messages) = mpsc::channel(input.len() / PIECE + 4);
        send(&to_engine, Input::Init(init))?;
        let news = self.bridge.client().exec_process(ReceiverStream::new(messages)).await?.into_inner();
        Ok(Process { news, to_engine, input })
    }

    /// Ends the container, with all processes in it.
    ///
    /// # Errors
    ///
    /// The engine's error; it ends with the build then.
    pub async fn release(mut self) -> Result<(), tonic::Status> {
        self.released = true;
        self.bridge.client().release_container(self.request()).await?;
        Ok(())
    }

    fn request(&self) -> frontend::ReleaseContainerRequest {
        frontend::ReleaseContainerRequest { container_id: self.id.clone() }
    }
}

/// A container that nobody waits for any more is released in the background. If that does not happen in time, the end
/// of the build releases it.
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
    /// Waits for the next news; `None` when nothing follows any more.
    ///
    /// # Errors
    ///
    /// The engine's error: the program could not be started, or the connection broke.
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

    /// Sends the input that waits. An engine takes input only for a process that has started.
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
