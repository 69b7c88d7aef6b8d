//! The place where a build runs and images are kept. An engine does both, and a builder without an engine only
//! builds.

use std::collections::BTreeMap;

use pbuildkit::Builder;
use pengine::{BuilderChoice, BuilderNode, Endpoint, Engine, EngineError, Environment, Flags, PlainBuilder, Safety};

use crate::edge::{Edge, Failure};
use crate::plan::{BuilderName, Tls};

/// A builder that answers. Clones share the connection.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    /// BuildKit, at the other end of a connection.
    pub(crate) builder: Builder,
    /// The kind of the place.
    pub(crate) kind: SiteKind,
}

/// The kind of a site.
#[derive(Clone, Debug)]
pub(crate) enum SiteKind {
    /// An engine, which keeps images.
    Engine(Engine),
    /// A builder without an engine. It does not keep images.
    Plain(PlainBuilder),
}

impl Site {
    /// Reaches the first of these nodes that answers, and reports which one it is. It serves for questions about a
    /// Dockerfile, because the answers are the same on every node.
    ///
    /// # Errors
    /// Returns the error of the last node if none answers.
    pub(crate) async fn reach_any(edge: &Edge, nodes: &[BuilderNode], tls: Tls) -> Result<Self, Failure> {
        let Some((last, others)) = nodes.split_last() else { unreachable!("a builder has a node") };
        for node in others {
            match Self::reach(edge, node, false, tls).await {
                Err(failure) if failure.is_silence() => warn_of_silence(edge, node, &failure),
                reached => return reached,
            }
        }
        Self::reach(edge, last, false, tls).await
    }

    /// Reaches the builder of a node, and reports which one it is.
    ///
    /// # Errors
    /// Returns an error if the builder does not answer.
    pub(crate) async fn reach(edge: &Edge, node: &BuilderNode, with_secrets: bool, tls: Tls) -> Result<Self, Failure> {
        match node.choice.clone() {
            BuilderChoice::Engine(endpoint) => {
                let engine = engine_at(&endpoint, edge, with_secrets, tls).await?;
                let connecting = edge.cancellation.unless_cancelled(Builder::connect(&engine));
                let builder = connecting.await??;
                Ok(Self { builder, kind: SiteKind::Engine(engine) })
            }
            BuilderChoice::Plain(plain) => {
                if tls == Tls::Required {
                    plain.require_private()?;
                }
                let connecting = edge.cancellation.unless_cancelled(Builder::connect(&plain));
                let builder = connecting.await??;
                edge.fact("builder", &plain.to_string());
                if with_secrets && plain.safety() == Safety::Plaintext {
                    edge.stderr
                        .warning("the builder is reached over plain TCP: everybody on the way can read the secrets");
                }
                Ok(Self { builder, kind: SiteKind::Plain(plain) })
            }
        }
    }

    /// Returns the engine that keeps the images, if the builder belongs to one.
    pub(crate) fn engine(&self) -> Option<&Engine> {
        match &self.kind {
            SiteKind::Engine(engine) => Some(engine),
            SiteKind::Plain(_) => None,
        }
    }

    /// Returns the builder, if it does not belong to an engine.
    pub(crate) fn plain(&self) -> Option<&PlainBuilder> {
        match &self.kind {
            SiteKind::Engine(_) => None,
            SiteKind::Plain(plain) => Some(plain),
        }
    }

    /// Returns an identity that no other builder has, or `None` if the builder does not tell one.
    pub(crate) async fn identity(&self) -> Option<String> {
        match &self.kind {
            SiteKind::Engine(engine) => engine.docker().info().await.ok()?.id,
            SiteKind::Plain(_) => Some(self.builder.workers().await.ok()?.into_iter().next()?.id),
        }
    }
}

/// The sites of builds that run together. Each node is reached only once.
#[derive(Debug)]
pub(crate) struct CommonSites<'a> {
    edge: &'a Edge,
    /// The nodes that were reached, by their names.
    sites: BTreeMap<String, Site>,
}

impl<'a> CommonSites<'a> {
    /// Begins without any site. `edge` reports later which nodes are reached.
    pub(crate) fn new(edge: &'a Edge) -> Self {
        Self { edge, sites: BTreeMap::new() }
    }

    /// Reaches the builder of a node, or returns its site if it was reached before.
    ///
    /// # Errors
    /// Returns an error if the builder does not answer.
    pub(crate) async fn reach(&mut self, node: &BuilderNode, with_secrets: bool, tls: Tls) -> Result<Site, Failure> {
        if let Some(site) = self.sites.get(&node.name) {
            return Ok(site.clone());
        }
        let site = Site::reach(self.edge, node, with_secrets, tls).await?;
        self.sites.insert(node.name.clone(), site.clone());
        Ok(site)
    }

    /// Reaches all nodes that answer, and warns of the others.
    ///
    /// # Errors
    /// Returns an error if no node answers, or if a node that answers must not be used.
    pub(crate) async fn reach_all(
        &mut self,
        nodes: Vec<BuilderNode>,
        with_secrets: bool,
        tls: Tls,
    ) -> Result<Vec<(BuilderNode, Site)>, Failure> {
        let (mut reached, mut silent) = (Vec::new(), Vec::new());
        for node in nodes {
            match self.reach(&node, with_secrets, tls).await {
                Ok(site) => reached.push((node, site)),
                Err(failure) if failure.is_silence() => {
                    silent.push((node, failure));
                }
                Err(failure) => return Err(failure),
            }
        }
        if reached.is_empty()
            && let Some((_, failure)) = silent.pop()
        {
            return Err(failure);
        }
        silent.iter().for_each(|(node, failure)| warn_of_silence(self.edge, node, failure));
        Ok(reached)
    }
}

/// Warns of a node that does not answer and is left out.
fn warn_of_silence(edge: &Edge, node: &BuilderNode, failure: &Failure) {
    edge.stderr.warning(&format!("node {} is left out: {}", node.name, failure.title()));
}

/// Chooses the builder that the flags, the variables and docker's files name, and returns its nodes, of which there
/// is at least one. It does not connect to any of them.
///
/// # Errors
/// Returns an error if the builder or the node does not exist, or if docker's files are not valid.
pub(crate) fn choose(name: &BuilderName) -> Result<Vec<BuilderNode>, EngineError> {
    let flags = Flags { builder: name.builder.clone(), node: name.node.clone(), ..Flags::default() };
    BuilderNode::resolve(&Environment::of_process(), &flags)
}

/// Returns the engine address under which docker's `config.json` lists the proxies for builds. For a builder without
/// an engine, this is the engine of the docker context; the address is empty if there is none.
pub(crate) fn docker_address(choice: &BuilderChoice) -> String {
    match choice {
        BuilderChoice::Engine(endpoint) => endpoint.to_string(),
        BuilderChoice::Plain(_) => Endpoint::resolve(&Environment::of_process(), &Flags::default())
            .map(|endpoint| endpoint.to_string())
            .unwrap_or_default(),
    }
}

/// Reaches the engine of the docker context, and reports which one it is.
///
/// # Errors
/// Returns an error if there is no engine, or if the engine does not answer.
pub(crate) async fn engine(edge: &Edge, with_secrets: bool, tls: Tls) -> Result<Engine, Failure> {
    let endpoint = Endpoint::resolve(&Environment::of_process(), &Flags::default())?;
    engine_at(&endpoint, edge, with_secrets, tls).await
}

async fn engine_at(endpoint: &Endpoint, edge: &Edge, with_secrets: bool, tls: Tls) -> Result<Engine, Failure> {
    if tls == Tls::Required {
        endpoint.require_private()?;
    }
    let engine = edge.cancellation.unless_cancelled(Engine::connect(endpoint)).await??;
    edge.fact("engine", &engine.describe());
    if with_secrets && engine.endpoint().safety() == Safety::Plaintext {
        edge.stderr.warning("the engine is reached over plain TCP: everybody on the way can read the secrets");
    }
    Ok(engine)
}
