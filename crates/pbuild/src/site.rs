//! The place where a build runs and images are kept: an engine does both, a builder by itself only builds.

use pbuildkit::Builder;
use pengine::{BuilderChoice, Endpoint, Engine, EngineError, Environment, Flags, PlainBuilder, Safety};

use crate::edge::{Edge, Failure};
use crate::plan::Tls;

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
    /// A builder by itself, which keeps no images.
    Plain(PlainBuilder),
}

impl Site {
    /// Reaches the builder of a choice, and says which one that is.
    ///
    /// # Errors
    /// When it does not answer.
    pub(crate) async fn reach(
        edge: &Edge,
        choice: BuilderChoice,
        with_secrets: bool,
        tls: Tls,
    ) -> Result<Self, Failure> {
        match choice {
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

    /// The engine that keeps the images, where the builder belongs to one.
    pub(crate) fn engine(&self) -> Option<&Engine> {
        match &self.kind {
            SiteKind::Engine(engine) => Some(engine),
            SiteKind::Plain(_) => None,
        }
    }

    /// The builder by itself, where there is no engine.
    pub(crate) fn plain(&self) -> Option<&PlainBuilder> {
        match &self.kind {
            SiteKind::Engine(_) => None,
            SiteKind::Plain(plain) => Some(plain),
        }
    }

    /// The identity of the builder, which no other one has; `None` when it does not say.
    pub(crate) async fn identity(&self) -> Option<String> {
        match &self.kind {
            SiteKind::Engine(engine) => engine.docker().info().await.ok()?.id,
            SiteKind::Plain(_) => Some(self.builder.workers().await.ok()?.into_iter().next()?.id),
        }
    }
}

/// The site of builds that run together: it is reached once.
#[derive(Debug)]
pub(crate) struct CommonSite<'a> {
    edge: &'a Edge,
    site: Option<Site>,
}

impl<'a> CommonSite<'a> {
    /// Makes a site that nobody has reached; this edge says which one it is.
    pub(crate) fn new(edge: &'a Edge) -> Self {
        Self { edge, site: None }
    }

    /// Reaches the builder of a choice, or returns the site if it was reached before.
    ///
    /// # Errors
    /// When it does not answer.
    pub(crate) async fn reach(&mut self, choice: BuilderChoice, with_secrets: bool, tls: Tls) -> Result<Site, Failure> {
        let site = match self.site.take() {
            Some(site) => site,
            None => Site::reach(self.edge, choice, with_secrets, tls).await?,
        };
        self.site = Some(site.clone());
        Ok(site)
    }
}

/// Chooses the builder that the flag, the variables and docker's files mean. Nothing is asked yet.
///
/// # Errors
/// When there is no such builder, or docker's files are not valid.
pub(crate) fn choose(builder: Option<&str>) -> Result<BuilderChoice, EngineError> {
    let flags = Flags { builder: builder.map(str::to_owned), ..Flags::default() };
    BuilderChoice::resolve(&Environment::of_process(), &flags)
}

/// Returns the address that docker's settings for builds are kept under: that of the engine of the docker context.
pub(crate) fn docker_address(choice: &BuilderChoice) -> String {
    match choice {
        BuilderChoice::Engine(endpoint) => endpoint.to_string(),
        BuilderChoice::Plain(_) => Endpoint::resolve(&Environment::of_process(), &Flags::default())
            .map(|endpoint| endpoint.to_string())
            .unwrap_or_default(),
    }
}

/// Reaches the engine of the docker context, and says which one that is.
///
/// # Errors
/// When there is no engine, or it does not answer.
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
