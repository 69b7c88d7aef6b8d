//! The part of a caller in a build that is being prepared: it changes the build before anything runs, and looks at the
//! result before anything is exported.

use std::collections::BTreeMap;
use std::future::Future;

use bollard_buildkit_proto::pb;
use pgateway::{Bridge, Capabilities, PreparedResult};

use crate::request::TargetContext;
use crate::session::secrets::{AskedSecret, SecretGate};

/// A change of the frontend's graph before anything of it runs, and a search of the results before anything of them
/// leaves the builder.
pub trait Transform: Send {
    /// The error of a change or a search.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Makes itself ready, while the frontend makes the graph.
    fn begin(&mut self, bridge: &Bridge, capabilities: &Capabilities) -> impl Future<Output = ()> + Send {
        let _ = (bridge, capabilities);
        std::future::ready(())
    }

    /// Looks at the result's metadata, for example at the image configuration in `containerimage.config`.
    ///
    /// # Errors
    ///
    /// An error ends the build before anything runs.
    fn inspect(&mut self, metadata: &BTreeMap<String, Vec<u8>>) -> Result<(), Self::Error> {
        let _ = metadata;
        Ok(())
    }

    /// Changes the operations of one platform; `None` when the build is for one platform only.
    ///
    /// # Errors
    ///
    /// An error ends the build before anything runs.
    fn transform(
        &mut self,
        capabilities: &Capabilities,
        platform: Option<&str>,
        definition: pb::Definition,
    ) -> Result<pb::Definition, Self::Error>;

    /// Changes the operations of a target that the build has for a named context, by its key. The targets that it builds
    /// on come before it, and all of them before [`Self::transform`].
    ///
    /// # Errors
    ///
    /// An error ends the build before anything runs.
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

    /// Looks at the build before its result is returned: nothing is exported yet, and after a refusal nothing will be.
    ///
    /// # Errors
    ///
    /// A refusal ends the build.
    fn prove(&mut self, prepared: Prepared<'_>) -> impl Future<Output = Result<(), Refusal<Self::Error>>> + Send {
        let _ = prepared;
        std::future::ready(Ok(()))
    }
}

/// A build that is about to be returned.
pub struct Prepared<'a> {
    /// The bridge to the build, for questions about the graph.
    pub bridge: Bridge,
    /// The engine's abilities.
    pub capabilities: &'a Capabilities,
    /// The facts that the exporter needs beside the files: `containerimage.config`, …
    pub metadata: &'a BTreeMap<String, Vec<u8>>,
    /// The results, one for each platform.
    pub results: Vec<PreparedResult>,
    pub(crate) gate: &'a SecretGate,
}

impl Prepared<'_> {
    /// Every secret that the engine asked for until now.
    #[must_use]
    pub fn asked_secrets(&self) -> Vec<AskedSecret> {
        self.gate.asked()
    }
}

/// Why a prepared build is not returned.
#[derive(Debug)]
pub enum Refusal<E> {
    /// The graph failed when it ran.
    Failed(tonic::Status),
    /// The caller does not want it.
    Refused(E),
}

impl<E> From<tonic::Status> for Refusal<E> {
    fn from(status: tonic::Status) -> Self {
        Self::Failed(status)
    }
}

/// The type of a transformation that does not exist, for builds without one.
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
