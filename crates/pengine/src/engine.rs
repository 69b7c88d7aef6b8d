//! An engine that answered the first requests.

use std::fmt;
use std::time::Duration;

use bollard::{BollardRequest, ClientVersion, Docker};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use serde::Deserialize;

use crate::endpoint::Endpoint;
use crate::error::EngineError;
use crate::hijack::{self, Hijacked, Upgrade};
use crate::version::ApiVersion;

/// The time that an engine has for its first answers.
const PATIENCE: Duration = Duration::from_secs(10);
/// The time that a REST call may take until its answer begins, in seconds. Committing or loading an image is slow.
const REST_PATIENCE_SECONDS: u64 = 600;
/// The newest version of the API that this client speaks.
const NEWEST: ApiVersion = ApiVersion { major: 1, minor: 53 };
/// The limit on the bytes of a `/version` answer, larger than any real one.
const VERSION_LIMIT: usize = 1 << 20;

/// An engine that answered and is new enough.
#[derive(Clone)]
pub struct Engine {
    endpoint: Endpoint,
    docker: Docker,
    version: String,
    is_podman: bool,
    api: ApiVersion,
    patience: Duration,
}

/// The way in which an engine stores images. It decides what `docker save` writes and what an image ID is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageStore {
    /// Docker's own store: an image ID is the digest of the image's configuration.
    Layers,
    /// The store of containerd: an image ID is the digest of a manifest or an index.
    Containerd,
}

#[derive(Deserialize)]
struct VersionAnswer {
    #[serde(default, rename = "Version")]
    version: String,
    #[serde(default, rename = "Components")]
    components: Vec<Component>,
}

#[derive(Deserialize)]
struct Component {
    #[serde(default, rename = "Name")]
    name: String,
}

/// The name that Podman gives itself among the components of its `/version` answer.
const PODMAN: &str = "Podman Engine";

impl Engine {
    /// Connects to the engine and asks for its version, within ten seconds.
    ///
    /// # Errors
    ///
    /// Returns an [`EngineError`]; every reason why an engine cannot be used has a variant of its own.
    pub async fn connect(endpoint: &Endpoint) -> Result<Self, EngineError> {
        Self::connect_within(endpoint, PATIENCE).await
    }

    /// Connects to the engine and asks for its version, within `patience`.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`Engine::connect`].
    pub async fn connect_within(endpoint: &Endpoint, patience: Duration) -> Result<Self, EngineError> {
        let work = async {
            let api = ping(endpoint, patience).await?;
            let version = version(endpoint, patience).await?;
            Ok((api, version))
        };
        let (offered, (version, is_podman)) = match tokio::time::timeout(patience, work).await {
            Ok(outcome) => outcome?,
            Err(_) => return Err(EngineError::Silent { endpoint: endpoint.to_string(), waited: patience }),
        };
        if offered < ApiVersion::OLDEST {
            let endpoint = endpoint.to_string();
            return Err(EngineError::TooOld { endpoint, found: offered, needed: ApiVersion::OLDEST });
        }
        let api = offered.min(NEWEST);
        let docker = rest_client(endpoint, api)?;
        Ok(Self { endpoint: endpoint.clone(), docker, version, is_podman, api, patience })
    }

    /// Returns a client for the engine's REST API. It connects to the engine in the same way as [`Engine::hijack`].
    #[must_use]
    pub fn docker(&self) -> &Docker {
        &self.docker
    }

    /// Returns the endpoint of the engine.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Returns the engine's own version, to be shown to people. Code asks the engine for its abilities instead, and
    /// never guesses them from the version.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Returns true if the engine is Podman, which speaks docker's REST API and has no BuildKit.
    #[must_use]
    pub fn is_podman(&self) -> bool {
        self.is_podman
    }

    /// Returns the version of the REST API in use.
    #[must_use]
    pub fn api_version(&self) -> ApiVersion {
        self.api
    }

    /// Describes the engine in one line for people: `28.5.2 at unix:///var/run/docker.sock (default context)`.
    #[must_use]
    pub fn describe(&self) -> String {
        let name = if self.is_podman { "Podman " } else { "" };
        format!("{name}{} at {} ({})", self.version, self.endpoint, self.endpoint.origin())
    }

    /// Asks the engine how it stores images.
    ///
    /// # Errors
    ///
    /// Returns the error that the REST client reports for `/info`.
    pub async fn image_store(&self) -> Result<ImageStore, bollard::errors::Error> {
        let status = self.docker.info().await?.driver_status.unwrap_or_default();
        // Docker's own client recognises containerd by the same pair, `driver-type` and
        // `io.containerd.snapshotter.v1`.
        let containerd = status.iter().any(|pair| match pair.as_slice() {
            [name, value] => name == "driver-type" && value.starts_with("io.containerd.snapshotter"),
            _ => false,
        });
        Ok(if containerd { ImageStore::Containerd } else { ImageStore::Layers })
    }

    /// Asks the engine to hand over a connection: sends `POST path` with these headers and an upgrade to h2c.
    ///
    /// # Errors
    ///
    /// Returns [`EngineError::UpgradeRefused`] if the engine answers anything but 101, and the errors of
    /// [`Engine::connect`] if there is no answer.
    pub async fn hijack(&self, path: &str, headers: &[(&str, &str)]) -> Result<Hijacked, EngineError> {
        let asked = Upgrade { path, protocol: "h2c", body: "" };
        hijack::hijack(&self.endpoint, asked, headers, self.patience).await
    }

    /// Starts a prepared program in a container, and opens its streams.
    pub(crate) async fn start_exec(&self, id: &str) -> Result<Hijacked, EngineError> {
        let path = format!("/v{}/exec/{id}/start", self.api);
        let asked = Upgrade { path: &path, protocol: "tcp", body: r#"{"Detach":false,"Tty":false}"# };
        hijack::hijack(&self.endpoint, asked, &[], self.patience).await
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Engine({})", self.describe())
    }
}

async fn ping(endpoint: &Endpoint, patience: Duration) -> Result<ApiVersion, EngineError> {
    let response = hijack::request(endpoint, get("/_ping"), patience).await?;
    let not_an_engine = |problem: String| EngineError::NotAnEngine { endpoint: endpoint.to_string(), problem };
    if response.status() != StatusCode::OK {
        return Err(not_an_engine(format!("it answers a ping with HTTP {}", response.status().as_u16())));
    }
    let version = response.headers().get("Api-Version").and_then(|value| value.to_str().ok());
    version.and_then(ApiVersion::parse).ok_or_else(|| not_an_engine("its ping has no API version".to_owned()))
}

/// Asks for the engine's version, and for whether the engine is Podman.
async fn version(endpoint: &Endpoint, patience: Duration) -> Result<(String, bool), EngineError> {
    let response = hijack::request(endpoint, get("/version"), patience).await?;
    let not_an_engine =
        |problem: &str| EngineError::NotAnEngine { endpoint: endpoint.to_string(), problem: problem.into() };
    let body = Limited::new(response.into_body(), VERSION_LIMIT).collect().await;
    let body = body.map_err(|_| not_an_engine("its version answer cannot be read"))?.to_bytes();
    let answer: VersionAnswer =
        serde_json::from_slice(&body).map_err(|_| not_an_engine("its version answer is not JSON"))?;
    // The version is shown on a terminal, so control characters are removed.
    let text: String = answer.version.chars().filter(|character| character.is_ascii_graphic()).take(64).collect();
    let is_podman = answer.components.iter().any(|component| component.name == PODMAN);
    Ok((if text.is_empty() { "unknown version".to_owned() } else { text }, is_podman))
}

fn get(path: &'static str) -> Request<Empty<bytes::Bytes>> {
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = http::Uri::from_static(path);
    request
}

fn rest_client(endpoint: &Endpoint, api: ApiVersion) -> Result<Docker, EngineError> {
    let version = ClientVersion { major_version: api.major.into(), minor_version: api.minor.into() };
    let target = endpoint.clone();
    let transport = move |mut request: BollardRequest| {
        let endpoint = target.clone();
        // bollard 0.21 joins paths in a way that loses its version prefix, so every call would reach the engine's
        // newest API.
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        if let Ok(versioned) = format!("/v{api}{path}").parse() {
            *request.uri_mut() = versioned;
        }
        async move {
            hijack::request(&endpoint, request, PATIENCE)
                .await
                .map_err(|error| bollard::errors::Error::IOError { err: std::io::Error::other(error) })
        }
    };
    Docker::connect_with_custom_transport(transport, Some("http://docker"), REST_PATIENCE_SECONDS, &version)
        .map_err(|_| EngineError::Address { address: endpoint.to_string(), problem: "the REST client refused it" })
}
