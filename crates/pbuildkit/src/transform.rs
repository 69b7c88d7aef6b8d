//! The caller's part in a build: the caller changes the build graph before anything runs, and examines the result
//! before anything is exported.

use std::collections::BTreeMap;
use std::future::Future;

use bollard_buildkit_proto::pb;
use pgateway::{Bridge, Capabilities, PreparedResult};

use crate::request::TargetContext;
use crate::session::secrets::{AskedSecret, SecretGate};

/// A change of the frontend's graph before it runs, and an examination of the results before they leave the builder.
pub trait Transform: Send {
    /// The error of the change or of the examination.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Prepares the transformation while the frontend makes the graph.
    fn begin(&mut self, bridge: &Bridge, capabilities: &Capabilities) -> impl Future<Output = ()> + Send {
        let _ = (bridge, capabilities);
        std::future::ready(())
    }

    /// Examines the metadata of the result, such as the image configuration in `containerimage.config`.
    ///
    /// # Errors
    ///
    /// Returns an error to end the build before anything runs.
    fn inspect(&mut self, metadata: &BTreeMap<String, Vec<u8>>) -> Result<(), Self::Error> {
        let _ = metadata;
        Ok(())
    }

    /// Changes the operations of one platform. `platform` is `None` if the build has one platform only.
    ///
    /// # Errors
    ///
    /// Returns an error to end the build before anything runs.
    fn transform(
        &mut self,
        capabilities: &Capabilities,
        platform: Option<&str>,
        definition: pb::Definition,
    ) -> Result<pb::Definition, Self::Error>;

    /// Changes the operations of a target that is a named context of the build. The targets that a target builds on
    /// are changed before it, and all targets are changed before [`Self::transform`].
    ///
    /// # Errors
    ///
    /// Returns an error to end the build before anything runs.
    fn transform_target(
        &mut self,
        target: &TargetContext,
        capabilities: &Capabilities,
        platform: Option<&str>,
        definition: pb::Definition,
    ) -> Result<pb::Definition, Self::Error> {
        let _ = (target, capabilities, platform);
        Ok(definition)
    }

    /// Examines the build before its result is exported. After a refusal, nothing is exported.
    ///
    /// # Errors
    ///
    /// Returns a [`Refusal`] to end the build.
    fn prove(&mut self, prepared: Prepared<'_>) -> impl Future<Output = Result<(), Refusal<Self::Error>>> + Send {
        let _ = prepared;
        std::future::ready(Ok(()))
    }
}

/// A build whose graph has been solved and whose result is not exported yet.
pub struct Prepared<'a> {
    /// The bridge to the build, which answers questions about the graph.
    pub bridge: Bridge,
    /// The engine's abilities.
    pub capabilities: &'a Capabilities,
    /// The metadata that the exporter needs beside the files: `containerimage.config`, …
    pub metadata: &'a BTreeMap<String, Vec<u8>>,
    /// The results of the build, one for each platform.
    pub results: Vec<PreparedResult>,
    pub(crate) gate: &'a SecretGate,
}

impl Prepared<'_> {
    /// Returns every secret that the engine has requested so far.
    #[must_use]
    pub fn asked_secrets(&self) -> Vec<AskedSecret> {
        self.gate.asked()
    }
}

/// The reason why a prepared build is not exported.
#[derive(Debug)]
pub enum Refusal<E> {
    /// A step of the graph failed.
    Failed(tonic::Status),
    /// The caller refused the result.
    Refused(E),
}

impl<E> From<tonic::Status> for Refusal<E> {
    fn from(status: tonic::Status) -> Self {
        Self::Failed(status)
    }
}

/// The type of the missing transformation in builds without one.
#[derive(Debug)]
pub enum NoTransform {}

impl Transform for NoTransform {
    type Error = std::convert::Infallible;

    fn transform(
        &mut self,
        _: &Capabilities,
        _: Option<&str>,
        _: pb::Definition,
    ) -> Result<pb::Definition, Self::Error> {
        match *self {}
    }
}
