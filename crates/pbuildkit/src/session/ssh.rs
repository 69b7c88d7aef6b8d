//! SSH agents of this machine, for steps that mount one (BuildKit `session/sshforward`). The keys stay in the agent:
//! a step can only request signatures while it runs, so no key can get into a layer.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bollard_buildkit_proto::moby::sshforward::v1::ssh_server::Ssh;
use bollard_buildkit_proto::moby::sshforward::v1::{BytesMessage, CheckAgentRequest, CheckAgentResponse};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// The id of a mount that gives no id.
pub const DEFAULT_AGENT: &str = "default";

/// The sockets of the agents, by the ids that steps mount.
#[derive(Clone, Debug, Default)]
pub struct Agents(pub BTreeMap<String, PathBuf>);

impl Agents {
    fn socket(&self, id: &str) -> Result<&PathBuf, Status> {
        if self.0.is_empty() {
            // A client without agents gives this status; BuildKit then reports that no key was forwarded.
            return Err(Status::unimplemented("no agent is forwarded"));
        }
        let id = if id.is_empty() { DEFAULT_AGENT } else { id };
        self.0.get(id).ok_or_else(|| Status::not_found(format!("unset ssh forward key {id}")))
    }
}

#[tonic::async_trait]
impl Ssh for Agents {
    async fn check_agent(&self, request: Request<CheckAgentRequest>) -> Result<Response<CheckAgentResponse>, Status> {
        self.socket(&request.into_inner().id)?;
        Ok(Response::new(CheckAgentResponse {}))
    }

    type ForwardAgentStream = ReceiverStream<Result<BytesMessage, Status>>;

    async fn forward_agent(
        &self,
        request: Request<Streaming<BytesMessage>>,
    ) -> Result<Response<Self::ForwardAgentStream>, Status> {
        let id = request.metadata().get("buildkit.ssh.id").and_then(|id| id.to_str().ok()).unwrap_or_default();
        let socket = self.socket(id)?;
        let agent = UnixStream::connect(socket).await;
        let agent = agent.map_err(|error| Status::unavailable(format!("ssh agent {}: {error}", socket.display())))?;
        let (mut from_agent, mut to_agent) = agent.into_split();
        let mut from_step = request.into_inner();
        tokio::spawn(async move {
            while let Ok(Some(message)) = from_step.message().await {
                if to_agent.write_all(&message.data).await.is_err() {
                    break;
                }
            }
        });
        let (sender, receiver) = mpsc::channel(4);
        tokio::spawn(async move {
            let mut buffer = vec![0; 16 << 10];
            while let Ok(count @ 1..) = from_agent.read(&mut buffer).await {
                if sender.send(Ok(BytesMessage { data: buffer[..count].to_vec() })).await.is_err() {
                    break;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_agent_is_known_by_its_id_and_default_needs_none() {
        let agents = Agents(BTreeMap::from([("default".to_owned(), "/a".into()), ("github".to_owned(), "/b".into())]));
        let check = |id: &str| agents.check_agent(Request::new(CheckAgentRequest { id: id.to_owned() }));
        assert!(check("").await.is_ok() && check("default").await.is_ok() && check("github").await.is_ok());
        assert_eq!(check("other").await.unwrap_err().code(), tonic::Code::NotFound);
        let none = Agents::default().check_agent(Request::new(CheckAgentRequest { id: "default".into() })).await;
        assert_eq!(none.unwrap_err().code(), tonic::Code::Unimplemented);
    }
}
