//! The bridge: the calls that BuildKit answers for a frontend (`LLBBridge`).
//!
//! A frontend that BuildKit started makes these calls over its own standard input and output. A client may make them,
//! too, for a build that waits for its result (BuildKit `control/gateway`); its calls carry the build's id. In both
//! cases, no step runs until the result is returned, a state is evaluated, or a file of a state is read.

use std::collections::BTreeMap;

use bollard_buildkit_proto::google::rpc;
use bollard_buildkit_proto::moby::buildkit::v1::frontend;
use bollard_buildkit_proto::moby::buildkit::v1::frontend::llb_bridge_client::LlbBridgeClient;
use bytes::Bytes;
use http::HeaderValue;
use pllb::Definition;
use prost::Message as _;
use tonic::body::Body;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Service, ServiceExt as _};

use crate::capability::Capabilities;
use crate::channel::MESSAGE_LIMIT;
use crate::solved::{CacheEntry, Files, Reference, Solved};

/// The header with the id of the build that a client's call belongs to (BuildKit `control/gateway`).
const BUILD_ID: &str = "buildkit-controlapi-buildid";

/// The service that carries the calls. It is boxed, so that code with a bridge does not depend on whether the service
/// is a client's connection or a frontend's standard input.
pub(crate) type Carrier = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, CarrierError>;

/// The error that a call was not carried. It is a type of its own, because the compiler cannot prove that futures
/// over a boxed error are `Send`.
#[derive(Debug)]
pub(crate) struct CarrierError(BoxError);

impl std::fmt::Display for CarrierError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

impl std::error::Error for CarrierError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}

/// A client of the bridge for one build. Clones share the connection.
#[derive(Clone)]
pub struct Bridge(LlbBridgeClient<Carrier>);

/// The id of a build that a client starts: 32 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildId(String);

impl BuildId {
    /// Makes an id that no other build has.
    #[must_use]
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().simple().to_string())
    }

    /// Returns the id as BuildKit gets it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Bridge {
    /// Makes the bridge of the frontend that this process is. [`open`](crate::channel::open) makes a channel of
    /// standard input and output; any other carrier of gRPC works, too.
    pub fn of_frontend<S, B>(carrier: S) -> Self
    where
        S: Service<http::Request<Body>, Response = http::Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let carrier = carrier
            .map_response(|response: http::Response<B>| response.map(Body::new))
            .map_err(|error: S::Error| CarrierError(error.into()));
        let client = LlbBridgeClient::new(BoxCloneSyncService::new(carrier));
        Self(client.max_decoding_message_size(MESSAGE_LIMIT).max_encoding_message_size(MESSAGE_LIMIT))
    }

    /// Makes the bridge of a build that this client started. The build waits until [`finish`](Self::finish) gives it
    /// a result. Each call carries the build's id.
    pub fn of_build<S, B>(carrier: S, build: &BuildId) -> Self
    where
        S: Service<http::Request<Body>, Response = http::Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let id = HeaderValue::from_str(build.as_str()).expect("hexadecimal digits are a header's value");
        Self::of_frontend(carrier.map_request(move |mut request: http::Request<Body>| {
            request.headers_mut().insert(BUILD_ID, id.clone());
            request
        }))
    }

    /// Requests the engine's capabilities.
    ///
    /// # Errors
    ///
    /// Returns the engine's error, for example if the build is over.
    pub async fn capabilities(&mut self) -> Result<Capabilities, tonic::Status> {
        Ok(Capabilities::from(self.0.ping(frontend::PingRequest {}).await?.into_inner()))
    }

    /// Requests the graphs that this frontend was called with in addition to its options: the named contexts that
    /// another target of the same build makes, by name.
    ///
    /// # Errors
    ///
    /// Returns the engine's error, for example if the build is over.
    pub async fn inputs(&mut self) -> Result<BTreeMap<String, Definition>, tonic::Status> {
        let inputs = self.0.inputs(frontend::InputsRequest {}).await?.into_inner();
        Ok(inputs.definitions.into_iter().collect())
    }

    /// Lets a frontend turn its input into operations. Only the frontend runs.
    ///
    /// # Errors
    ///
    /// Returns the engine's error unchanged. For a syntax error in the Dockerfile, its details contain the place.
    pub async fn solve_frontend(
        &mut self,
        name: &str,
        attributes: &BTreeMap<String, String>,
        inputs: BTreeMap<String, Definition>,
    ) -> Result<Solved, tonic::Status> {
        let request = frontend::SolveRequest {
            frontend: name.to_owned(),
            frontend_opt: attributes.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            frontend_inputs: inputs.into_iter().collect(),
            ..solve_request()
        };
        Solved::from_response(self.0.solve(request).await?.into_inner())
    }

    /// Registers operations as a lazy state, which may use these caches.
    ///
    /// # Errors
    ///
    /// Returns the engine's error, for example if an operation is not valid.
    pub async fn solve_definition(
        &mut self,
        definition: Definition,
        caches: &[CacheEntry],
    ) -> Result<Reference, tonic::Status> {
        let request = frontend::SolveRequest {
            definition: Some(definition),
            cache_imports: caches.iter().map(CacheEntry::to_option).collect(),
            ..solve_request()
        };
        match Solved::from_response(self.0.solve(request).await?.into_inner())?.files {
            Files::Single(reference) => Ok(reference),
            Files::Nothing | Files::Platforms(_) => {
                Err(tonic::Status::internal("a definition was solved to something that is not one state"))
            }
        }
    }

    /// Gives the build its result. The solve that waits for it then continues, runs all steps that have not run yet,
    /// and exports.
    ///
    /// # Errors
    ///
    /// Returns the engine's error, for example if the build is over.
    pub async fn finish(&mut self, solved: Solved) -> Result<(), tonic::Status> {
        self.0.r#return(frontend::ReturnRequest { result: Some(solved.into_result()), error: None }).await?;
        Ok(())
    }

    /// Ends the build with an error, including its details. The solve that waits for the result reports the error.
    /// [`error_at`](crate::error_at) makes an error that names a line of the Dockerfile.
    ///
    /// # Errors
    ///
    /// Returns the engine's error, for example if the build is over.
    pub async fn fail(&mut self, status: &tonic::Status) -> Result<(), tonic::Status> {
        let error = rpc::Status::decode(status.details()).ok().filter(|error| error.code != 0);
        let error = error.unwrap_or_else(|| rpc::Status {
            code: status.code().into(),
            message: status.message().to_owned(),
            details: Vec::new(),
        });
        self.0.r#return(frontend::ReturnRequest { result: None, error: Some(error) }).await?;
        Ok(())
    }

    /// Warns the user, in one line and optional further lines. Clients show a warning only if they know the step that
    /// it belongs to, which is given by the vertex's digest.
    ///
    /// # Errors
    ///
    /// Returns the engine's error. BuildKit before 0.10 does not support warnings.
    pub async fn warn(&mut self, step: &str, short: &str, detail: &[&str]) -> Result<(), tonic::Status> {
        let request = frontend::WarnRequest {
            digest: step.to_owned(),
            level: 1,
            short: short.as_bytes().to_vec(),
            detail: detail.iter().map(|line| line.as_bytes().to_vec()).collect(),
            ..frontend::WarnRequest::default()
        };
        self.0.warn(request).await.map(drop)
    }

    /// Runs all steps of a state that have not run yet.
    ///
    /// # Errors
    ///
    /// Returns the engine's error unchanged: which step failed, and how.
    pub async fn evaluate(&mut self, reference: &Reference) -> Result<(), tonic::Status> {
        if reference.id.is_empty() {
            return Ok(());
        }
        let request = frontend::EvaluateRequest { r#ref: reference.id.clone() };
        match self.0.evaluate(request).await {
            Ok(_) => Ok(()),
            // BuildKit before 2022 does not have this call, but runs a lazy state if a file of it is read.
            Err(status) if status.code() == tonic::Code::Unimplemented => {
                self.stat_file(reference, "/").await.map(drop)
            }
            Err(status) => Err(status),
        }
    }

    /// Whether a file of a state has exactly this content. The file is read piece by piece.
    ///
    /// # Errors
    ///
    /// Returns the engine's error if the file does not exist, or if a step of the state failed.
    pub async fn file_is(&mut self, reference: &Reference, path: &str, expected: &[u8]) -> Result<bool, tonic::Status> {
        const PIECE: usize = 1 << 20;
        let mut at = 0;
        loop {
            let left = &expected[at..];
            // The last piece is read with one byte more than expected, to see whether the file is longer.
            let read = self.read_range(reference, path, at, left.len().min(PIECE) + 1).await?;
            if !left.starts_with(&read) || (read.is_empty() && !left.is_empty()) {
                return Ok(false);
            }
            at += read.len();
            if read.is_empty() {
                return Ok(true);
            }
        }
    }

    /// Reads up to 16 MiB of a file of a state. Runs the steps that make the state.
    ///
    /// # Errors
    ///
    /// Returns the engine's error if the file does not exist, or if a step of the state failed.
    pub async fn read_file(&mut self, reference: &Reference, path: &str) -> Result<Vec<u8>, tonic::Status> {
        self.read_range(reference, path, 0, 16 << 20).await
    }

    async fn read_range(
        &mut self,
        reference: &Reference,
        path: &str,
        offset: usize,
        length: usize,
    ) -> Result<Vec<u8>, tonic::Status> {
        let number = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let request = frontend::ReadFileRequest {
            r#ref: reference.id.clone(),
            file_path: path.to_owned(),
            range: Some(frontend::FileRange { offset: number(offset), length: number(length) }),
            ..frontend::ReadFileRequest::default()
        };
        Ok(self.0.read_file(request).await?.into_inner().data)
    }

    /// Returns the size in bytes of a file of a state, and its mode in Go's encoding. Runs the steps that make the
    /// state.
    ///
    /// # Errors
    ///
    /// Returns the engine's error if the file does not exist, or if a step of the state failed.
    pub async fn stat_file(&mut self, reference: &Reference, path: &str) -> Result<(i64, u32), tonic::Status> {
        let request = frontend::StatFileRequest {
            r#ref: reference.id.clone(),
            path: path.to_owned(),
            ..frontend::StatFileRequest::default()
        };
        let stat = self.0.stat_file(request).await?.into_inner().stat.unwrap_or_default();
        Ok((stat.size, stat.mode))
    }

    /// Returns the client, for the calls of [`Container`](crate::Container).
    pub(crate) fn client(&self) -> LlbBridgeClient<Carrier> {
        self.0.clone()
    }
}

/// Makes the part that all solve requests have in common: results are references, and there may be several.
fn solve_request() -> frontend::SolveRequest {
    frontend::SolveRequest {
        allow_result_return: true,
        allow_result_array_ref: true,
        ..frontend::SolveRequest::default()
    }
}
