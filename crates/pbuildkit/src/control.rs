//! BuildKit's control service: solving, status, workers, and the records of cache and history.

use std::collections::BTreeMap;

use bollard_buildkit_proto::moby::buildkit::v1 as control;
use bollard_buildkit_proto::moby::buildkit::v1::control_client::ControlClient;
use pgateway::channel::MESSAGE_LIMIT;
use pllb::platform_text;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use crate::error::BuildkitError;
use crate::status::StatusUpdate;

/// A client of the control service. Clones share the connection.
#[derive(Clone)]
pub(crate) struct Control(ControlClient<Channel>);

/// A worker of the engine's BuildKit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    /// The worker's identity.
    pub id: String,
    /// The worker's labels.
    pub labels: BTreeMap<String, String>,
    /// The platforms that the worker can build for, such as `linux/amd64`. The first one is its native platform.
    pub platforms: Vec<String>,
}

/// A record of the build cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheRecord {
    /// The record's identity.
    pub id: String,
    /// BuildKit's description of the operation that made the record. It may quote a command, so redact it before
    /// people see it.
    pub description: String,
    /// The kind of the record: `regular`, `source.local`, `exec.cachemount`, …
    pub kind: String,
    /// The record's size in bytes.
    pub size: i64,
    /// True if a build uses the record now.
    pub in_use: bool,
    /// True if an image of the engine uses the record, too.
    pub shared: bool,
    /// The identities of the records that this record builds on.
    pub parents: Vec<String>,
}

impl Control {
    pub(crate) fn new(channel: Channel) -> Self {
        let client = ControlClient::new(channel);
        Self(client.max_decoding_message_size(MESSAGE_LIMIT).max_encoding_message_size(MESSAGE_LIMIT))
    }

    /// Runs a build until it ends. Dropping the future cancels the build.
    pub(crate) async fn solve(
        &mut self,
        request: control::SolveRequest,
    ) -> Result<BTreeMap<String, String>, tonic::Status> {
        let response = self.0.solve(request).await?;
        Ok(response.into_inner().exporter_response.into_iter().collect())
    }

    /// Opens the stream of a session.
    pub(crate) async fn session(
        mut self,
        request: tonic::Request<ReceiverStream<control::BytesMessage>>,
    ) -> Result<tonic::Streaming<control::BytesMessage>, tonic::Status> {
        Ok(self.0.session(request).await?.into_inner())
    }

    /// Passes the updates of a build on until the build ends. Each update also touches `alive`.
    pub(crate) async fn follow(
        mut self,
        reference: String,
        updates: mpsc::Sender<StatusUpdate>,
        alive: tokio::sync::watch::Sender<()>,
    ) -> Result<(), tonic::Status> {
        let mut stream = self.0.status(control::StatusRequest { r#ref: reference }).await?.into_inner();
        while let Some(response) = stream.message().await? {
            alive.send_replace(());
            // The stream is read even if nobody receives the updates, so that the engine need not wait.
            let _ = updates.send(StatusUpdate::from(response)).await;
        }
        Ok(())
    }

    pub(crate) async fn workers(&mut self) -> Result<Vec<Worker>, BuildkitError> {
        let response = self.0.list_workers(control::ListWorkersRequest::default()).await?;
        let workers = response.into_inner().record.into_iter().map(|record| Worker {
            id: record.id,
            labels: record.labels.into_iter().collect(),
            platforms: record.platforms.iter().map(platform_text).collect(),
        });
        Ok(workers.collect())
    }

    pub(crate) async fn cache_records(&mut self, filters: &[String]) -> Result<Vec<CacheRecord>, BuildkitError> {
        let request = control::DiskUsageRequest { filter: filters.to_vec(), age_limit: 0 };
        let response = self.0.disk_usage(request).await?;
        Ok(response.into_inner().record.into_iter().map(CacheRecord::from).collect())
    }

    pub(crate) async fn prune(&mut self, filters: &[String]) -> Result<Vec<CacheRecord>, BuildkitError> {
        let request = control::PruneRequest { filter: filters.to_vec(), all: true, ..Default::default() };
        let mut stream = self.0.prune(request).await?.into_inner();
        let mut removed = Vec::new();
        while let Some(record) = stream.message().await? {
            removed.push(CacheRecord::from(record));
        }
        Ok(removed)
    }

    /// Returns the engine's record of a build, or `None` if the engine keeps no records or has no record of this build.
    pub(crate) async fn record(
        &mut self,
        reference: &str,
    ) -> Result<Option<control::BuildHistoryRecord>, BuildkitError> {
        let request = control::BuildHistoryRequest {
            r#ref: reference.to_owned(),
            early_exit: true,
            ..control::BuildHistoryRequest::default()
        };
        let mut events = match self.0.listen_build_history(request).await {
            Ok(events) => events.into_inner(),
            Err(status) if status.code() == tonic::Code::Unimplemented => return Ok(None),
            Err(status) => return Err(status.into()),
        };
        let mut record = None;
        loop {
            match events.message().await {
                Ok(Some(event)) => record = event.record.or(record),
                Ok(None) => return Ok(record),
                Err(status) if status.code() == tonic::Code::Unimplemented => return Ok(None),
                Err(status) => return Err(status.into()),
            }
        }
    }

    pub(crate) async fn forget(&mut self, reference: &str) -> Result<(), BuildkitError> {
        let request = control::UpdateBuildHistoryRequest {
            r#ref: reference.to_owned(),
            delete: true,
            ..control::UpdateBuildHistoryRequest::default()
        };
        match self.0.update_build_history(request).await {
            Ok(_) => Ok(()),
            // The engine keeps no history, or has no record of this build.
            Err(status) if matches!(status.code(), tonic::Code::Unimplemented | tonic::Code::NotFound) => Ok(()),
            // Docker 28 reports a missing record only in its message: `lease "ref_…": not found`.
            Err(status) if status.code() == tonic::Code::Unknown && status.message().ends_with(": not found") => Ok(()),
            Err(status) => Err(status.into()),
        }
    }
}

impl From<control::UsageRecord> for CacheRecord {
    fn from(record: control::UsageRecord) -> Self {
        Self {
            id: record.id,
            description: record.description,
            kind: record.record_type,
            size: record.size,
            in_use: record.in_use,
            shared: record.shared,
            parents: record.parents,
        }
    }
}
