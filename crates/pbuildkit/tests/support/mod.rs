//! Engines, requests and what builds said.

use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;

use pbuildkit::status::StatusUpdate;
use pbuildkit::{BuildError, BuildRequest, BuildResult, Builder, Local, NoTransform, Transform};
use pengine::{Endpoint, Engine};
use tokio::sync::mpsc;

/// The engines that are supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavour {
    Modern,
    Containerd,
    Old,
}

impl Flavour {
    pub(crate) const ALL: [Self; 3] = [Self::Modern, Self::Containerd, Self::Old];
}

/// The engine of a flavour.
pub(crate) async fn engine(flavour: Flavour) -> Engine {
    let variable = match flavour {
        Flavour::Modern => "PBUILD_TEST_MODERN",
        Flavour::Containerd => "PBUILD_TEST_CONTAINERD",
        Flavour::Old => "PBUILD_TEST_OLD",
    };
    let address = env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set: run scripts/test"));
    let endpoint = Endpoint::plain(&address).expect("the address is valid");
    Engine::connect(&endpoint).await.unwrap_or_else(|error| panic!("{variable}: {error}"))
}

/// BuildKit of the engine of a flavour.
pub(crate) async fn builder(flavour: Flavour) -> Builder {
    Builder::connect(&engine(flavour).await).await.expect("BuildKit is there")
}

/// A build of a Dockerfile in memory, with an empty context.
pub(crate) fn dockerfile(text: &str) -> BuildRequest {
    let mut request = BuildRequest::dockerfile();
    let files = BTreeMap::from([(PathBuf::from("Dockerfile"), text.as_bytes().to_vec())]);
    request.locals.insert("dockerfile".into(), Local::Files(files));
    request.locals.insert("context".into(), Local::Files(BTreeMap::new()));
    request
}

/// A build that ended, and what it said.
pub(crate) struct Built<E: std::error::Error + 'static = std::convert::Infallible> {
    pub(crate) outcome: Result<BuildResult, BuildError<E>>,
    pub(crate) updates: Vec<StatusUpdate>,
}

impl<E: std::error::Error> Built<E> {
    /// The names of all steps.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.updates.iter().flat_map(|update| &update.vertices).map(|vertex| vertex.name.as_str()).collect()
    }

    /// Everything that steps printed.
    pub(crate) fn log(&self) -> String {
        let bytes = self.updates.iter().flat_map(|update| &update.logs).flat_map(|log| log.bytes.clone());
        String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()).into_owned()
    }

    /// The digests of the steps whose result was there already, by name.
    pub(crate) fn cached(&self) -> Vec<&str> {
        let vertices = self.updates.iter().flat_map(|update| &update.vertices);
        vertices.filter(|vertex| vertex.cached).map(|vertex| vertex.name.as_str()).collect()
    }
}

/// Builds as docker would.
pub(crate) async fn run(builder: &Builder, request: BuildRequest) -> Built {
    run_with(builder, request, None::<&mut NoTransform>).await
}

/// Builds with a transformation.
pub(crate) async fn run_with<T: Transform>(
    builder: &Builder,
    request: BuildRequest,
    transform: Option<&mut T>,
) -> Built<T::Error> {
    let (sender, mut receiver) = mpsc::channel(64);
    let collect = async {
        let mut updates = Vec::new();
        while let Some(update) = receiver.recv().await {
            updates.push(update);
        }
        updates
    };
    let (outcome, updates) = futures::join!(builder.build(request, transform, sender), collect);
    Built { outcome, updates }
}
