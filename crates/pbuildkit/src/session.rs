//! The services that the engine may call while a build runs: files, secrets, registry credentials, health.
//!
//! The connection is a stream on which this client is the server of HTTP/2 (see `transport`). Its headers announce
//! every method, because an engine that sees no announcement of the secrets service reads a missing secret as an
//! empty one.

pub mod content;
pub mod observer;
pub mod receive;
pub mod registry;
pub mod secrets;
pub mod ssh;
pub mod upload;

mod health;

use std::collections::BTreeMap;
use std::sync::Arc;

use bollard_buildkit_proto::health::health_server::HealthServer;
use bollard_buildkit_proto::moby::buildkit::secrets::v1::secrets_server::SecretsServer;
use bollard_buildkit_proto::moby::filesync::v1::auth_server::AuthServer;
use bollard_buildkit_proto::moby::sshforward::v1::ssh_server::SshServer;
use bollard_buildkit_proto::moby::upload::v1::upload_server::UploadServer;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use pengine::Registries;
use pgateway::channel::{CONNECTION_WINDOW, STREAM_WINDOW};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;

use crate::control::Control;
use crate::error::BuildkitError;
use crate::filesync::FileSync;
use crate::session::content::{Content, ContentStores};
use crate::session::health::Health;
use crate::session::receive::Results;
use crate::session::registry::RegistryAuth;
use crate::session::secrets::SecretGate;
use crate::session::ssh::Agents;
use crate::session::upload::Uploads;
use crate::transport::Transport;
use crate::trouble::Trouble;

const METHODS: [&str; 16] = [
    "/containerd.services.content.v1.Content/Abort",
    "/containerd.services.content.v1.Content/Info",
    "/containerd.services.content.v1.Content/Read",
    "/containerd.services.content.v1.Content/Status",
    "/containerd.services.content.v1.Content/Write",
    "/grpc.health.v1.Health/Check",
    "/moby.buildkit.secrets.v1.Secrets/GetSecret",
    "/moby.filesync.v1.Auth/Credentials",
    "/moby.filesync.v1.Auth/FetchToken",
    "/moby.filesync.v1.Auth/GetTokenAuthority",
    "/moby.filesync.v1.Auth/VerifyTokenAuthority",
    "/moby.filesync.v1.FileSend/DiffCopy",
    "/moby.filesync.v1.FileSync/DiffCopy",
    "/moby.sshforward.v1.SSH/CheckAgent",
    "/moby.sshforward.v1.SSH/ForwardAgent",
    "/moby.upload.v1.Upload/Pull",
];

/// The services of a session.
pub(crate) struct Services {
    pub(crate) files: FileSync,
    pub(crate) secrets: Arc<SecretGate>,
    pub(crate) registries: Registries,
    pub(crate) agents: Agents,
    pub(crate) uploads: Uploads,
    pub(crate) results: Results,
    pub(crate) content: ContentStores,
}

impl Services {
    /// Makes the services of a session that serves nothing.
    pub(crate) fn nothing(trouble: Arc<Trouble>) -> Self {
        Self {
            files: FileSync::new(BTreeMap::new(), None, Arc::clone(&trouble), Arc::default()),
            secrets: Arc::new(SecretGate::only(Arc::new(secrets::NoSecrets), [])),
            registries: Registries::anonymous(),
            agents: Agents::default(),
            uploads: Uploads { archive: None, observer: None, trouble: Arc::clone(&trouble) },
            results: Results { receivers: Arc::default(), trouble },
            content: ContentStores::default(),
        }
    }
}

/// A running session. Dropping it ends it, and the engine stops its work for it.
pub(crate) struct Session {
    pub(crate) id: String,
    server: JoinHandle<()>,
}

impl Session {
    pub(crate) async fn open(
        transport: &Transport,
        control: &Control,
        shared_key: &str,
        services: Services,
    ) -> Result<Self, BuildkitError> {
        let id = uuid::Uuid::new_v4().simple().to_string();
        // The key becomes a header, and a folder's name may hold any character.
        let shared_key: String = shared_key.chars().map(|c| if c.is_ascii_graphic() { c } else { '_' }).collect();
        let mut headers = vec![
            ("X-Docker-Expose-Session-Uuid", id.as_str()),
            ("X-Docker-Expose-Session-Name", "pbuild"),
            ("X-Docker-Expose-Session-Sharedkey", shared_key.as_str()),
        ];
        headers.extend(METHODS.map(|method| ("X-Docker-Expose-Session-Grpc-Method", method)));
        let connection = transport.session(control, &headers).await?;
        let server = tokio::spawn(serve(connection, services));
        Ok(Self { id, server })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Serves until the other side closes the connection.
pub(crate) async fn serve<C>(connection: C, services: Services)
where
    C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let routes = tonic::service::Routes::new(HealthServer::new(Health))
        .add_service(SecretsServer::from_arc(services.secrets))
        .add_service(AuthServer::new(RegistryAuth(services.registries)))
        .add_service(SshServer::new(services.agents))
        .add_service(UploadServer::new(services.uploads))
        .add_service(services.files)
        .add_service(services.results)
        .add_service(Content::new(services.content))
        .prepare();
    let service = TowerToHyperService::new(routes);
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
    // An error means that the connection ended. The build itself reports the consequence.
    let _ = builder.serve_connection(TokioIo::new(connection), service).await;
}
