//! Runs a build: a session, a solve, its news and, if the caller asks for it, a change of the graph before it runs.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bollard_buildkit_proto::moby::buildkit::v1 as control;
use pgateway::channel::{self, Probe};
use pgateway::{Bridge, BuildId, CacheEntry, Capabilities, PreparedResult, Solved};
use pllb::secret_ids;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tonic::transport::Channel;

use crate::control::{CacheRecord, Control, Worker};
use crate::error::{BuildError, BuildkitError, cause};
use crate::failure::BuildFailure;
use crate::filesync::{Counters, FileSync, TransferCount};
use crate::request::{BuildRequest, Exporter, History, TargetContext};
use crate::session::receive::Results;
use crate::session::secrets::{AskedSecret, SecretGate};
use crate::session::upload::Uploads;
use crate::session::{Services, Session};
use crate::status::StatusUpdate;
use crate::target::{self, DriveError};
use crate::transform::{NoTransform, Prepared, Refusal, Transform};
use crate::transport::Transport;
use crate::trouble::{Cause, Trouble};

/// After a build's end the last news may still be on their way; this long after the newest we stop waiting.
const NEWS_PATIENCE: Duration = Duration::from_secs(5);
/// How long a build that we failed may take to report that.
const FAIL_PATIENCE: Duration = Duration::from_secs(5);

/// One BuildKit. Clones share the connection.
#[derive(Clone)]
pub struct Builder {
    transport: Transport,
    channel: Channel,
    control: Control,
}

/// A finished build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildResult {
    /// The build's own name in the engine.
    pub reference: String,
    /// The exporter's answers: `containerimage.digest`, `containerimage.config.digest`, …
    pub exporter_response: BTreeMap<String, String>,
    /// Every secret that the engine asked for.
    pub asked_secrets: Vec<AskedSecret>,
    /// The counts of what was sent of the locals.
    pub sent: TransferCount,
}

impl BuildResult {
    /// The image's identity in the engine: for docker's own store the digest of the configuration, for containerd's
    /// that of the manifest or index.
    #[must_use]
    pub fn image_digest(&self) -> Option<&str> {
        self.exporter_response.get("containerimage.digest").map(String::as_str)
    }
}

/// A task that ends when this is dropped, so that a build that is given up leaves nothing behind.
struct Owned<T>(JoinHandle<T>);

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Builder {
    /// Opens a connection to BuildKit.
    ///
    /// # Errors
    ///
    /// An engine refuses (it has no BuildKit), the connection fails, or what answers is not BuildKit.
    pub async fn connect(transport: impl Into<Transport>) -> Result<Self, BuildkitError> {
        let transport = transport.into();
        if let Transport::Engine(engine) = &transport
            && engine.is_podman()
        {
            return Err(BuildkitError::Podman { engine: engine.describe() });
        }
        let (connection, said) = transport.grpc().await?;
        let plain = matches!(transport, Transport::Plain(_));
        let explained = |error| match error {
            BuildkitError::Lost { source } if plain => {
                let said = said.text();
                let why = if said.is_empty() { cause(&source) } else { said };
                BuildkitError::NoAnswer { builder: transport.describe(), why }
            }
            other => other,
        };
        let channel =
            channel::open(connection, Some(Probe::default())).await.map_err(|status| explained(status.into()))?;
        let control = Control::new(channel.clone());
        if plain {
            // An engine has said who it is. Of a builder, a wrong certificate, or another service, shows with the first
            // answer.
            control.clone().workers().await.map_err(&explained)?;
        }
        Ok(Self { transport, channel, control })
    }

    /// Asks what the engine's BuildKit can do. It answers only while a build runs, so an empty one is started; it
    /// leaves no record.
    ///
    /// # Errors
    ///
    /// The connection fails, or BuildKit refuses.
    pub async fn capabilities(&self) -> Result<Capabilities, BuildkitError> {
        let build = BuildId::random();
        let services = Services::nothing(Arc::default());
        let session = Session::open(&self.transport, &self.control, "", services).await?;
        let request = control::SolveRequest {
            r#ref: build.as_str().to_owned(),
            session: session.id.clone(),
            internal: true,
            cache: Some(control::CacheOptions::default()),
            ..control::SolveRequest::default()
        };
        let mut solver = self.control.clone();
        let solve = solver.solve(request);
        let mut bridge = Bridge::of_build(self.channel.clone(), &build);
        let ask = async {
            let capabilities = bridge.capabilities().await?;
            bridge.finish(Solved::default()).await?;
            Ok::<_, tonic::Status>(capabilities)
        };
        let (_, capabilities) = futures::join!(solve, ask);
        Ok(capabilities?)
    }

    /// The engine's workers, the default one first.
    ///
    /// # Errors
    ///
    /// The connection fails, or BuildKit refuses.
    pub async fn workers(&self) -> Result<Vec<Worker>, BuildkitError> {
        self.control.clone().workers().await
    }

    /// Lists the records of the build cache that fit any of the filters (`id==…`); without filters all records.
    ///
    /// # Errors
    ///
    /// The connection fails, or BuildKit refuses.
    pub async fn cache_records(&self, filters: &[String]) -> Result<Vec<CacheRecord>, BuildkitError> {
        self.control.clone().cache_records(filters).await
    }

    /// Removes the records that any of the filters means, unless they are in use, and returns them. Records that build
    /// on them must go first. Without filters nothing is removed.
    ///
    /// # Errors
    ///
    /// The connection fails, or BuildKit refuses.
    pub async fn prune(&self, filters: &[String]) -> Result<Vec<CacheRecord>, BuildkitError> {
        if filters.is_empty() {
            return Ok(Vec::new());
        }
        self.control.clone().prune(filters).await
    }

    /// Makes the engine forget its record of a build, and with it the raw log.
    ///
    /// # Errors
    ///
    /// The connection fails, or BuildKit refuses. An engine without history has nothing to forget.
    pub async fn forget(&self, reference: &str) -> Result<(), BuildkitError> {
        self.control.clone().forget(reference).await
    }

    /// Builds as docker itself would: the frontend runs in the engine, and its result is exported as it is.
    ///
    /// # Errors
    ///
    /// [`BuildError`]; see [`Builder::build`].
    pub async fn build_plain(
        &self,
        request: BuildRequest,
        updates: mpsc::Sender<StatusUpdate>,
    ) -> Result<BuildResult, BuildError> {
        self.build(request, None::<&mut NoTransform>, updates).await
    }

    /// Builds. With a transformation, what the frontend made is changed before anything of it runs, and only secrets
    /// that the changed build mounts are served.
    ///
    /// News go to `updates` until the end; they must be received, or the build waits. Dropping the future cancels the
    /// build in the engine.
    ///
    /// # Errors
    ///
    /// [`BuildError`] says who must act: the Dockerfile's author, the owner of a file, the caller, or whoever runs the
    /// engine. After [`BuildError::Buildkit`] the state of the build is unknown.
    pub async fn build<T: Transform>(
        &self,
        request: BuildRequest,
        transform: Option<&mut T>,
        updates: mpsc::Sender<StatusUpdate>,
    ) -> Result<BuildResult, BuildError<T::Error>> {
        if request.source_policy.is_some() && !self.capabilities().await?.operation(Capabilities::SOURCE_POLICY) {
            return Err(BuildkitError::TooOld { what: "a source policy" }.into());
        }
        if !request.targets.is_empty() && !self.capabilities().await?.frontend(target::NAMED_CONTEXTS) {
            return Err(BuildkitError::TooOld { what: "a context that another target makes" }.into());
        }
        let mut request = request;
        if matches!(self.transport, Transport::Plain(_)) {
            // There is no engine whose images could be meant.
            request.attributes.retain(|name, mode| name != "image-resolve-mode" || mode != "local");
        }
        let id = BuildId::random();
        let reference = id.as_str().to_owned();
        let trouble = Arc::new(Trouble::default());
        let sent = Arc::new(Counters::default());
        let gate = Arc::new(match transform {
            None => SecretGate::open(Arc::clone(&request.secrets)),
            Some(_) => SecretGate::only(Arc::clone(&request.secrets), request.frontend_secrets.iter().cloned()),
        });
        let services = Services {
            files: FileSync::new(
                request.locals.clone(),
                request.observer.clone(),
                Arc::clone(&trouble),
                Arc::clone(&sent),
            ),
            secrets: Arc::clone(&gate),
            registries: request.registries.clone(),
            agents: request.agents.clone(),
            uploads: Uploads {
                archive: request.archive.clone(),
                observer: request.observer.clone(),
                trouble: Arc::clone(&trouble),
            },
            results: Results {
                receivers: Arc::new(request.exporters.iter().map(|exporter| exporter.receiver.clone()).collect()),
                trouble: Arc::clone(&trouble),
            },
            content: request.content.clone(),
        };
        let session = Session::open(&self.transport, &self.control, &request.shared_key, services).await?;
        let mut targets = std::mem::take(&mut request.targets);
        let of_target = |target: &TargetContext| Services {
            files: FileSync::new(
                target.locals.clone(),
                request.observer.clone(),
                Arc::clone(&trouble),
                Arc::clone(&sent),
            ),
            // The steps of all targets ask the build's own session.
            ..Services::nothing(Arc::clone(&trouble))
        };
        let _sessions = target::open(&self.transport, &self.control, &mut targets, of_target).await?;
        request.targets = targets;
        let (alive, mut news) = watch::channel(());
        let mut follower = Owned(tokio::spawn(self.control.clone().follow(reference.clone(), updates, alive)));

        let solve_request = solve_request(&request, &reference, &session.id, transform.is_some());
        let mut solver = self.control.clone();
        let solve = solver.solve(solve_request);
        let work = async {
            match transform {
                None => solve.await.map_err(|status| failed(&status)),
                Some(transform) => {
                    let mut bridge = Bridge::of_build(self.channel.clone(), &id);
                    let drive = drive(&mut bridge, &request, transform, &gate);
                    supervise(solve, drive).await
                }
            }
        };
        let outcome = tokio::select! {
            // An error on our side is the cause of the error that the engine will report.
            biased;
            cause = trouble.wait() => Err(cause.into()),
            outcome = work => outcome,
        };
        let ours = |error: &BuildError<T::Error>| {
            matches!(error, BuildError::Stopped { .. } | BuildError::Source { .. } | BuildError::Destination { .. })
        };
        if !matches!(&outcome, Err(error) if ours(error) || matches!(error, BuildError::Buildkit(_))) {
            wait_for_news(&mut follower, &mut news).await;
        }
        let exporter_response = match (outcome, trouble.take()) {
            (Err(_), Some(cause)) => return Err(cause.into()),
            (outcome, _) => outcome?,
        };
        // An engine that says that all is well and has sent a half has sent nothing.
        let unsent = request.exporters.iter().filter_map(|exporter| exporter.receiver.as_ref());
        if unsent.into_iter().any(|receiver| !receiver.is_complete()) {
            let problem = "it says that the build is done, and did not send the result";
            return Err(BuildkitError::Unexpected { problem }.into());
        }
        Ok(BuildResult { reference, exporter_response, asked_secrets: gate.asked(), sent: sent.read() })
    }
}

impl<E: std::error::Error + 'static> From<Cause> for BuildError<E> {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Source { path, source } => Self::Source { path, source },
            Cause::Destination { path, source } => Self::Destination { path, source },
            Cause::Stopped { local, path } => Self::Stopped { local, path },
        }
    }
}

fn failed<E: std::error::Error + 'static>(status: &tonic::Status) -> BuildError<E> {
    match BuildkitError::from(status.clone()) {
        BuildkitError::Refused { source } => BuildError::Failed(source),
        other => BuildError::Buildkit(other),
    }
}

/// Makes the request for the control service. With a transformation it names no frontend: that one is called over the
/// bridge.
fn solve_request(request: &BuildRequest, reference: &str, session: &str, over_bridge: bool) -> control::SolveRequest {
    let mut attributes: HashMap<String, String> =
        request.attributes.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    if over_bridge {
        // Attestations are made, and dates are set, when the result is exported.
        attributes.retain(|name, _| name.starts_with("attest:") || name == "build-arg:SOURCE_DATE_EPOCH");
    } else if !request.cache_imports.is_empty() {
        attributes.insert("cache-imports".to_owned(), cache_imports_attribute(&request.cache_imports));
    }
    let entries = |entries: &[CacheEntry]| -> Vec<control::CacheOptionsEntry> {
        let entry = |entry: &CacheEntry| control::CacheOptionsEntry {
            r#type: entry.kind.clone(),
            attrs: entry.attributes.clone().into_iter().collect(),
        };
        entries.iter().map(entry).collect()
    };
    let exporter_of = |exporter: &Exporter| control::Exporter {
        r#type: exporter.kind.clone(),
        attrs: exporter.attributes.clone().into_iter().collect(),
    };
    // A single one goes into the older of two fields, which every engine knows.
    let (single, several) = match request.exporters.as_slice() {
        [one] => (exporter_of(one), Vec::new()),
        several => (control::Exporter::default(), several.iter().map(exporter_of).collect()),
    };
    control::SolveRequest {
        r#ref: reference.to_owned(),
        session: session.to_owned(),
        frontend: if over_bridge { String::new() } else { request.frontend.clone() },
        frontend_attrs: attributes,
        exporter_deprecated: single.r#type,
        exporter_attrs_deprecated: single.attrs,
        exporters: several,
        cache: Some(control::CacheOptions {
            exports: entries(&request.cache_exports),
            imports: entries(&request.cache_imports),
            ..control::CacheOptions::default()
        }),
        entitlements: request.entitlements.clone(),
        source_policy: request.source_policy.clone().map(|policy| policy.0),
        internal: request.history == History::Nothing,
        ..control::SolveRequest::default()
    }
}

/// Writes the list of caches as the frontend takes it, which resolves images with it (BuildKit `client/solve.go`).
fn cache_imports_attribute(entries: &[CacheEntry]) -> String {
    let entry = |entry: &CacheEntry| serde_json::json!({ "Type": entry.kind, "Attrs": entry.attributes });
    serde_json::Value::Array(entries.iter().map(entry).collect()).to_string()
}

/// Runs the frontend, changes what it made, and returns that to the waiting solve.
async fn drive<T: Transform>(
    bridge: &mut Bridge,
    request: &BuildRequest,
    transform: &mut T,
    gate: &SecretGate,
) -> Result<(), DriveError<T::Error>> {
    let result = prepare(bridge, request, transform, gate).await;
    let status = match &result {
        Ok(()) => return Ok(()),
        Err(DriveError::Status(status)) => status.clone(),
        // The engine need not know what we think of the build.
        Err(DriveError::Transform(_)) => tonic::Status::cancelled("the client gave the build up"),
    };
    // If this fails too, the solve has ended already and says why.
    let _ = bridge.fail(&status).await;
    result
}

async fn prepare<T: Transform>(
    bridge: &mut Bridge,
    request: &BuildRequest,
    transform: &mut T,
    gate: &SecretGate,
) -> Result<(), DriveError<T::Error>> {
    let capabilities = bridge.capabilities().await?;
    let mut attributes = request.attributes.clone();
    if !request.cache_imports.is_empty() {
        attributes.insert("cache-imports".to_owned(), cache_imports_attribute(&request.cache_imports));
    }
    let beside = bridge.clone();
    let mut solved = if request.targets.is_empty() {
        let solving = bridge.solve_frontend(&request.frontend, &attributes, BTreeMap::new());
        let (solved, ()) = tokio::join!(solving, transform.begin(&beside, &capabilities));
        solved?
    } else {
        // The targets are changed before the frontend builds on them.
        transform.begin(&beside, &capabilities).await;
        let inputs = target::inputs(bridge, &request.frontend, &request.targets, transform, &capabilities).await?;
        attributes.extend(inputs.attributes);
        bridge.solve_frontend(&request.frontend, &attributes, inputs.definitions).await?
    };
    transform.inspect(&solved.metadata).map_err(DriveError::Transform)?;
    // All platforms are changed before any is registered: an error in one means that none begins.
    let mut changed = Vec::new();
    for (platform, reference) in solved.references_mut() {
        // `FROM scratch` and nothing more has no operations.
        let Some(definition) = reference.definition.take().filter(|definition| !definition.def.is_empty()) else {
            continue;
        };
        let definition =
            transform.transform(&capabilities, platform.as_deref(), definition).map_err(DriveError::Transform)?;
        changed.push((platform, reference, definition));
    }
    let mut results = Vec::new();
    for (platform, reference, definition) in changed {
        gate.allow(secret_ids(&definition));
        *reference = bridge.solve_definition(definition.clone(), &request.cache_imports).await?;
        results.push(PreparedResult { platform, reference: reference.clone(), definition });
    }
    let prepared =
        Prepared { bridge: bridge.clone(), capabilities: &capabilities, metadata: &solved.metadata, results, gate };
    transform.prove(prepared).await.map_err(|refusal| match refusal {
        Refusal::Failed(status) => DriveError::Status(status),
        Refusal::Refused(error) => DriveError::Transform(error),
    })?;
    bridge.finish(solved).await?;
    Ok(())
}

/// Waits for the solve while the bridge is driven beside it.
async fn supervise<S, D, E>(solve: S, drive: D) -> Result<BTreeMap<String, String>, BuildError<E>>
where
    S: Future<Output = Result<BTreeMap<String, String>, tonic::Status>>,
    D: Future<Output = Result<(), DriveError<E>>>,
    E: std::error::Error + 'static,
{
    let mut solve = pin!(solve);
    let mut drive = pin!(drive);
    let driven = tokio::select! {
        // The solve waits for the drive: if it ends first, it failed, perhaps because the drive just told it to. Then
        // the drive is about to end too, and knows why.
        outcome = &mut solve => {
            let driven = tokio::time::timeout(FAIL_PATIENCE, &mut drive).await;
            return match (outcome, driven) {
                (Err(_), Ok(Err(DriveError::Transform(error)))) => Err(BuildError::Transform(error)),
                (outcome, _) => outcome.map_err(|status| failed(&status)),
            };
        }
        driven = &mut drive => driven,
    };
    let Err(error) = driven else {
        return solve.await.map_err(|status| failed(&status));
    };
    // The solve was told; when it has ended, nothing of the build is left in the engine.
    let _ = tokio::time::timeout(FAIL_PATIENCE, solve).await;
    Err(match error {
        DriveError::Status(status) => failed(&status),
        DriveError::Transform(error) => BuildError::Transform(error),
    })
}

async fn wait_for_news(follower: &mut Owned<Result<(), tonic::Status>>, news: &mut watch::Receiver<()>) {
    loop {
        tokio::select! {
            _ = &mut follower.0 => return,
            changed = tokio::time::timeout(NEWS_PATIENCE, news.changed()) => match changed {
                Ok(Ok(())) => {}
                // The sender is gone: the follower is about to end.
                Ok(Err(_)) => {
                    let _ = (&mut follower.0).await;
                    return;
                }
                Err(_) => return,
            },
        }
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Builder({})", self.transport.describe())
    }
}

/// BuildKit's own explanation of a failed build, from wherever it came.
impl<E: std::error::Error + 'static> BuildError<E> {
    /// The explanation, if BuildKit gave one.
    #[must_use]
    pub fn failure(&self) -> Option<&BuildFailure> {
        match self {
            Self::Failed(failure) | Self::Buildkit(BuildkitError::Refused { source: failure }) => Some(failure),
            Self::Source { .. }
            | Self::Destination { .. }
            | Self::Stopped { .. }
            | Self::Transform(_)
            | Self::Buildkit(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("refused by the caller")]
    struct Refused;

    /// The engine's answer to our own refusal may arrive before the drive has ended.
    #[tokio::test]
    async fn our_own_refusal_is_the_cause_whichever_side_ends_first() {
        for drive_first in [true, false] {
            let solve = async move {
                if drive_first {
                    tokio::task::yield_now().await;
                }
                Err(tonic::Status::cancelled("the client gave the build up"))
            };
            let drive = async move {
                if !drive_first {
                    tokio::task::yield_now().await;
                }
                Err(DriveError::Transform(Refused))
            };
            let error = supervise(solve, drive).await.expect_err("the build was refused");
            assert!(matches!(error, BuildError::Transform(Refused)), "{error:?}");
        }
    }
}
