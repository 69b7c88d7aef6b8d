//! BuildKit's LLB bridge: what a frontend sees of a build, used from outside.
//!
//! The calls carry `buildkit-controlapi-buildid`, the reference of a build that waits for its result (BuildKit
//! `control/gateway`). Nothing runs until the result is returned, or a file of it is read.

use std::collections::BTreeMap;

use bollard_buildkit_proto::google::rpc;
use bollard_buildkit_proto::moby::buildkit::v1::frontend;
use bollard_buildkit_proto::moby::buildkit::v1::frontend::llb_bridge_client::LlbBridgeClient;
use bollard_buildkit_proto::moby::buildkit::v1::frontend::result;
use bollard_buildkit_proto::pb;
use prost::Message as _;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;

use crate::capability::Capabilities;
use crate::channel::MESSAGE_LIMIT;
use crate::error::BuildkitError;
use crate::request::CacheEntry;

/// A client of the bridge for one build. Clones share the connection.
#[derive(Clone)]
pub struct Bridge(LlbBridgeClient<InterceptedService<Channel, BuildId>>);

/// Puts the build's reference on every call.
#[derive(Clone)]
pub(crate) struct BuildId(MetadataValue<Ascii>);

impl tonic::service::Interceptor for BuildId {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, tonic::Status> {
        request.metadata_mut().insert("buildkit-controlapi-buildid", self.0.clone());
        Ok(request)
    }
}

/// What a frontend made of its input.
#[derive(Clone, Debug, Default)]
pub struct Solved {
    /// What the exporter needs beside the files: `containerimage.config`, `refs.platforms`, …
    pub metadata: BTreeMap<String, Vec<u8>>,
    /// The files.
    pub outcome: Outcome,
    attestations: std::collections::HashMap<String, frontend::Attestations>,
}

/// The files that a frontend made.
#[derive(Clone, Debug, Default)]
pub enum Outcome {
    /// None, for example for a check.
    #[default]
    Nothing,
    /// One state.
    Single(Reference),
    /// One state for each platform, such as `linux/arm64`.
    Platforms(BTreeMap<String, Reference>),
}

/// A state of files, known to the engine by its identity.
#[derive(Clone, Debug)]
pub struct Reference {
    /// Its identity; empty for an empty state (`FROM scratch` and nothing more).
    pub id: String,
    /// How it is made, while it is lazy.
    pub definition: Option<pb::Definition>,
}

impl Bridge {
    pub(crate) fn new(channel: Channel, reference: &str) -> Result<Self, BuildkitError> {
        let id = reference.parse().map_err(|_| BuildkitError::Unexpected { problem: "a reference is not ASCII" })?;
        let client = LlbBridgeClient::with_interceptor(channel, BuildId(id));
        Ok(Self(client.max_decoding_message_size(MESSAGE_LIMIT).max_encoding_message_size(MESSAGE_LIMIT)))
    }

    /// Asks what the engine can do.
    ///
    /// # Errors
    ///
    /// The engine's error, for example when the build is over.
    pub async fn capabilities(&mut self) -> Result<Capabilities, BuildkitError> {
        Ok(Capabilities::from(self.0.ping(frontend::PingRequest {}).await?.into_inner()))
    }

    /// Lets a frontend turn its input into operations. Nothing but the frontend runs.
    ///
    /// # Errors
    ///
    /// The engine's error as it came: a syntax error in the Dockerfile has its place in the details.
    pub async fn solve_frontend(
        &mut self,
        name: &str,
        attributes: &BTreeMap<String, String>,
    ) -> Result<Solved, tonic::Status> {
        let request = frontend::SolveRequest {
            frontend: name.to_owned(),
            frontend_opt: attributes.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            allow_result_return: true,
            allow_result_array_ref: true,
            ..frontend::SolveRequest::default()
        };
        solved(self.0.solve(request).await?.into_inner())
    }

    /// Registers operations as a lazy state that may use these caches.
    ///
    /// # Errors
    ///
    /// The engine's error, for example when an operation is not valid.
    pub async fn solve_definition(
        &mut self,
        definition: pb::Definition,
        caches: &[CacheEntry],
    ) -> Result<Reference, tonic::Status> {
        let cache = |cache: &CacheEntry| frontend::CacheOptionsEntry {
            r#type: cache.kind.clone(),
            attrs: cache.attributes.clone().into_iter().collect(),
        };
        let request = frontend::SolveRequest {
            definition: Some(definition),
            cache_imports: caches.iter().map(cache).collect(),
            allow_result_return: true,
            allow_result_array_ref: true,
            ..frontend::SolveRequest::default()
        };
        match solved(self.0.solve(request).await?.into_inner())?.outcome {
            Outcome::Single(reference) => Ok(reference),
            Outcome::Nothing | Outcome::Platforms(_) => {
                Err(tonic::Status::internal("a definition was solved to something that is not one state"))
            }
        }
    }

    /// Gives the build its result; the waiting solve goes on, runs what is lazy, and exports.
    ///
    /// # Errors
    ///
    /// The engine's error, for example when the build is over.
    pub async fn finish(&mut self, solved: Solved) -> Result<(), tonic::Status> {
        let single = |reference: Reference| frontend::Ref { id: reference.id, def: None };
        let outcome = match solved.outcome {
            Outcome::Nothing => None,
            Outcome::Single(reference) => Some(result::Result::Ref(single(reference))),
            Outcome::Platforms(platforms) => Some(result::Result::Refs(frontend::RefMap {
                refs: platforms.into_iter().map(|(platform, reference)| (platform, single(reference))).collect(),
            })),
        };
        let result = frontend::Result {
            metadata: solved.metadata.into_iter().collect(),
            attestations: solved.attestations,
            result: outcome,
        };
        self.0.r#return(frontend::ReturnRequest { result: Some(result), error: None }).await?;
        Ok(())
    }

    /// Ends the build with an error; the waiting solve reports it.
    ///
    /// # Errors
    ///
    /// The engine's error, for example when the build is over.
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

    /// The client itself, for the calls of [`crate::Container`].
    pub(crate) fn client(&self) -> LlbBridgeClient<InterceptedService<Channel, BuildId>> {
        self.0.clone()
    }

    /// Runs what is lazy of a state.
    ///
    /// # Errors
    ///
    /// The engine's error as it came: which step failed, and how.
    pub async fn evaluate(&mut self, reference: &Reference) -> Result<(), tonic::Status> {
        if reference.id.is_empty() {
            return Ok(());
        }
        let request = frontend::EvaluateRequest { r#ref: reference.id.clone() };
        match self.0.evaluate(request).await {
            Ok(_) => Ok(()),
            // BuildKit before 2022 has no such call, and runs what is lazy for anybody who looks at it.
            Err(status) if status.code() == tonic::Code::Unimplemented => {
                self.stat_file(reference, "/").await.map(drop)
            }
            Err(status) => Err(status),
        }
    }

    /// Whether a file of a state is exactly this, read piece by piece.
    ///
    /// # Errors
    ///
    /// The engine's error: the file does not exist, or a step on the way failed.
    pub async fn file_is(&mut self, reference: &Reference, path: &str, expected: &[u8]) -> Result<bool, tonic::Status> {
        const PIECE: usize = 1 << 20;
        // One byte more than there should be.
        let length = |left: usize| i64::try_from(left.min(PIECE) + 1).unwrap_or(i64::MAX);
        let mut at = 0;
        loop {
            let left = &expected[at..];
            let request = frontend::ReadFileRequest {
                r#ref: reference.id.clone(),
                file_path: path.to_owned(),
                range: Some(frontend::FileRange {
                    offset: i64::try_from(at).unwrap_or(i64::MAX),
                    length: length(left.len()),
                }),
                ..frontend::ReadFileRequest::default()
            };
            let read = self.0.read_file(request).await?.into_inner().data;
            if !left.starts_with(&read) || (read.is_empty() && !left.is_empty()) {
                return Ok(false);
            }
            at += read.len();
            if read.is_empty() {
                return Ok(true);
            }
        }
    }

    /// Reads a file of a state, at most 16 MiB of it; runs what is needed to have it.
    ///
    /// # Errors
    ///
    /// The engine's error: the file does not exist, or a step on the way failed.
    pub async fn read_file(&mut self, reference: &Reference, path: &str) -> Result<Vec<u8>, tonic::Status> {
        let request = frontend::ReadFileRequest {
            r#ref: reference.id.clone(),
            file_path: path.to_owned(),
            range: Some(frontend::FileRange { offset: 0, length: 16 << 20 }),
            ..frontend::ReadFileRequest::default()
        };
        Ok(self.0.read_file(request).await?.into_inner().data)
    }

    /// The size of a file of a state, in bytes, and its mode as Go counts it; runs what is needed to have it.
    ///
    /// # Errors
    ///
    /// The engine's error: the file does not exist, or a step on the way failed.
    pub async fn stat_file(&mut self, reference: &Reference, path: &str) -> Result<(i64, u32), tonic::Status> {
        let request = frontend::StatFileRequest {
            r#ref: reference.id.clone(),
            path: path.to_owned(),
            ..frontend::StatFileRequest::default()
        };
        let stat = self.0.stat_file(request).await?.into_inner().stat.unwrap_or_default();
        Ok((stat.size, stat.mode))
    }
}

fn solved(response: frontend::SolveResponse) -> Result<Solved, tonic::Status> {
    let result = response.result.ok_or_else(|| tonic::Status::internal("a solve has no result"))?;
    let single = |reference: frontend::Ref| Reference { id: reference.id, definition: reference.def };
    let outcome = match result.result {
        None => Outcome::Nothing,
        Some(result::Result::Ref(reference)) => Outcome::Single(single(reference)),
        Some(result::Result::Refs(map)) => Outcome::Platforms(
            map.refs.into_iter().map(|(platform, reference)| (platform, single(reference))).collect(),
        ),
        Some(result::Result::RefDeprecated(_) | result::Result::RefsDeprecated(_)) => {
            return Err(tonic::Status::unimplemented("the engine's BuildKit returns results in a form of before 2019"));
        }
    };
    Ok(Solved { metadata: result.metadata.into_iter().collect(), outcome, attestations: result.attestations })
}
