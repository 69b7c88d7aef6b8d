//! Runs builds: opens a session, sends the solve, and passes the build's updates on. A caller may change the build
//! graph before it runs.

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
use crate::history::{self, Provenance};
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

/// After a build has ended, its last updates may still be on their way. This is the time to wait for the next one.
const NEWS_PATIENCE: Duration = Duration::from_secs(5);
/// The time that the engine has to end a build that we failed or gave up.
const FAIL_PATIENCE: Duration = Duration::from_secs(5);

/// A connection to one BuildKit, which clones share.
#[derive(Clone)]
pub struct Builder {
    transport: Transport,
    channel: Channel,
    control: Control,
}

/// A finished build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildResult {
    /// The id of the build in the engine, which names its updates and its record.
    pub reference: String,
    /// The answers of the exporter: `containerimage.digest`, `containerimage.config.digest`, …
    pub exporter_response: BTreeMap<String, String>,
    /// Every secret that the engine requested.
    pub asked_secrets: Vec<AskedSecret>,
    /// The amount of data that was sent from the locals.
    pub sent: TransferCount,
}

impl BuildResult {
    /// Returns the identity of the image in the engine. In docker's own store this is the digest of the
    /// configuration; in containerd's store it is the digest of the manifest or index.
    #[must_use]
    pub fn image_digest(&self) -> Option<&str> {
        self.exporter_response.get("containerimage.digest").map(String::as_str)
    }
}

/// A task that is aborted when this value is dropped, so that no task outlives a build that was given up.
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
    /// Returns an error if the engine is Podman, which has no BuildKit, if the connection fails, or if the other side
    /// does not speak BuildKit's protocol.
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
            // An engine has already identified itself. With a plain builder, only the first request shows a refused
            // certificate, or a service that is not BuildKit.
            control.clone().workers().await.map_err(&explained)?;
        }
        Ok(Self { transport, channel, control })
    }

    /// Asks for the abilities of the engine's BuildKit. BuildKit answers this only during a build, so an empty build
    /// is started for it; the empty build leaves no record.
    ///
    /// # Errors
    ///
    /// Returns an error if the connection fails or BuildKit refuses the request.
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

    /// Returns the workers of the engine's BuildKit. The first one is the default.
    ///
    /// # Errors
    ///
    /// Returns an error if the connection fails or BuildKit refuses the request.
    pub async fn workers(&self) -> Result<Vec<Worker>, BuildkitError> {
        self.control.clone().workers().await
    }

    /// Lists the records of the build cache that match any of the filters (`id==…`). Without filters, it lists all
    /// records.
    ///
    /// # Errors
    ///
    /// Returns an error if the connection fails or BuildKit refuses the request.
    pub async fn cache_records(&self, filters: &[String]) -> Result<Vec<CacheRecord>, BuildkitError> {
        self.control.clone().cache_records(filters).await
    }

    /// Removes the records that match any of the filters, and returns the removed records. Records that are in use,
    /// or that other records build on, stay. Without filters, nothing is removed.
    ///
    /// # Errors
    ///
    /// Returns an error if the connection fails or BuildKit refuses the request.
    pub async fn prune(&self, filters: &[String]) -> Result<Vec<CacheRecord>, BuildkitError> {
        if filters.is_empty() {
            return Ok(Vec::new());
        }
        self.control.clone().prune(filters).await
    }

    /// Makes the engine delete its record of a build, including the raw log.
    ///
    /// # Errors
    ///
    /// Returns an error if the connection fails or BuildKit refuses the request. An engine that keeps no records is
    /// not an error.
    pub async fn forget(&self, reference: &str) -> Result<(), BuildkitError> {
        self.control.clone().forget(reference).await
    }

    /// Reads the provenance of a build from the engine's record of it, one document for each platform. Without a
    /// record there is none.
    ///
    /// # Errors
    ///
    /// Returns an error if the connection fails, BuildKit refuses the request, or a document is damaged.
    pub async fn provenance(&self, reference: &str) -> Result<Vec<Provenance>, BuildkitError> {
        match self.control.clone().record(reference).await? {
            Some(record) => history::provenance(record, &self.channel).await,
            None => Ok(Vec::new()),
        }
    }

    /// Builds as docker itself would: the frontend runs in the engine, and its result is exported unchanged.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`Builder::build`].
    pub async fn build_plain(
        &self,
        request: BuildRequest,
        updates: mpsc::Sender<StatusUpdate>,
    ) -> Result<BuildResult, BuildError> {
        self.build(request, None::<&mut NoTransform>, updates).await
    }

    /// Builds. A transformation changes the frontend's graph before any of it runs. With a transformation, only
    /// secrets that the changed graph mounts are served.
    ///
    /// Updates are sent to `updates` until the build ends; the receiver must take them, or the build waits. Dropping
    /// the future cancels the build in the engine.
    ///
    /// # Errors
    ///
    /// Returns a [`BuildError`] whose variant names the person who must act: the author of the Dockerfile, the owner
    /// of a file, the caller, or the operator of the engine. After [`BuildError::Buildkit`], the state of the build
    /// is unknown.
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
            // The mode `local` takes images from an engine's store, and this builder has no engine.
            request.attributes.retain(|name, mode| name != "image-resolve-mode" || mode != "local");
        }
        let id = request.id.clone();
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
            // The steps of all targets use the services of the build's own session.
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
            // An error on our side causes the error that the engine will report, so it is checked first.
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
        // An engine may report success after it has sent only a part of a result. Such a result is an error.
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

/// Makes the request for the control service. With a transformation, the request names no frontend, because the
/// bridge calls the frontend.
fn solve_request(request: &BuildRequest, reference: &str, session: &str, over_bridge: bool) -> control::SolveRequest {
    let mut attributes: HashMap<String, String> =
        request.attributes.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    if over_bridge {
        // These attributes are used when the result is exported: attestations are made then, and dates are set.
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
    // A single exporter goes into the older of the two fields, which every engine knows.
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

/// Writes the list of cache imports as the frontend reads it; the frontend resolves images with these caches, too
/// (BuildKit `client/solve.go`).
fn cache_imports_attribute(entries: &[CacheEntry]) -> String {
    let entry = |entry: &CacheEntry| serde_json::json!({ "Type": entry.kind, "Attrs": entry.attributes });
    serde_json::Value::Array(entries.iter().map(entry).collect()).to_string()
}

/// Runs the frontend, changes its graph, and returns the changed result to the waiting solve.
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
        // The engine only learns that the client gave up, and not the reason, which may describe the build.
        Err(DriveError::Transform(_)) => tonic::Status::cancelled("the client gave the build up"),
    };
    // An error of `fail` means that the solve has ended already, and the solve reports the reason.
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
        // The targets are changed before the frontend uses them as inputs.
        transform.begin(&beside, &capabilities).await;
        let inputs = target::inputs(bridge, &request.frontend, &request.targets, transform, &capabilities).await?;
        attributes.extend(inputs.attributes);
        bridge.solve_frontend(&request.frontend, &attributes, inputs.definitions).await?
    };
    transform.inspect(&solved.metadata).map_err(DriveError::Transform)?;
    // All platforms are changed before any is solved, so that nothing runs if one of them fails.
    let mut changed = Vec::new();
    for (platform, reference) in solved.references_mut() {
        // A Dockerfile with nothing but `FROM scratch` has no operations.
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

/// Runs the solve and the drive of the bridge at the same time.
async fn supervise<S, D, E>(solve: S, drive: D) -> Result<BTreeMap<String, String>, BuildError<E>>
where
    S: Future<Output = Result<BTreeMap<String, String>, tonic::Status>>,
    D: Future<Output = Result<(), DriveError<E>>>,
    E: std::error::Error + 'static,
{
    let mut solve = pin!(solve);
    let mut drive = pin!(drive);
    let driven = tokio::select! {
        // A solve that succeeds ends after the drive. If the solve ends first, it failed, perhaps because the drive
        // has just made it fail. In that case the drive is about to end too, and its error has the reason.
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
    // The drive has made the solve fail. After the solve has ended, nothing of the build is left in the engine.
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
                // The sender was dropped, so the follower is about to end.
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

/// BuildKit's explanation of a failed build.
impl<E: std::error::Error + 'static> BuildError<E> {
    /// Returns BuildKit's explanation of the failure, if there is one.
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

    /// The engine may answer to our refusal before the drive has ended.
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
