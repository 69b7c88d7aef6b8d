//! Where a build runs, and where images are kept: an engine does both, a builder by itself does the first alone.

use pbuildkit::Builder;
use pcli::arguments::SecretArguments;
use pengine::{BuilderChoice, Endpoint, Engine, Environment, Flags, PlainBuilder, Safety};

use crate::edge::{Edge, Failure};
use crate::explain;

/// A builder that answered.
#[derive(Debug)]
pub struct Site {
    /// BuildKit.
    pub builder: Builder,
    /// The place.
    pub kind: SiteKind,
}

/// What kind of place it is.
#[derive(Debug)]
pub enum SiteKind {
    /// An engine, which keeps images.
    Engine(Engine),
    /// A builder by itself, which keeps none.
    Plain(PlainBuilder),
}

impl Site {
    /// Reaches the builder that the flag, the variables and docker's files mean, and says which one it is.
    ///
    /// # Errors
    /// When there is none, or it does not answer.
    pub async fn reach(
        edge: &Edge,
        builder: Option<&str>,
        with_secrets: bool,
        arguments: &SecretArguments,
    ) -> Result<Self, Failure> {
        let flags = Flags { builder: builder.map(str::to_owned), ..Flags::default() };
        let choice = BuilderChoice::resolve(&Environment::of_process(), &flags);
        match choice.map_err(|error| explain::engine(&error))? {
            BuilderChoice::Engine(endpoint) => {
                let engine = engine_at(&endpoint, edge, with_secrets, arguments).await?;
                let connecting = edge.cancellation.unless_cancelled(Builder::connect(&engine));
                let builder = connecting.await?.map_err(|error| explain::buildkit(&error))?;
                Ok(Self { builder, kind: SiteKind::Engine(engine) })
            }
            BuilderChoice::Plain(plain) => {
                if arguments.require_tls {
                    plain.require_private().map_err(|error| explain::engine(&error))?;
                }
                let connecting = edge.cancellation.unless_cancelled(Builder::connect(&plain));
                let builder = connecting.await?.map_err(|error| explain::buildkit(&error))?;
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
    #[must_use]
    pub fn engine(&self) -> Option<&Engine> {
        match &self.kind {
            SiteKind::Engine(engine) => Some(engine),
            SiteKind::Plain(_) => None,
        }
    }

    /// The builder by itself, where it is one.
    #[must_use]
    pub fn plain(&self) -> Option<&PlainBuilder> {
        match &self.kind {
            SiteKind::Engine(_) => None,
            SiteKind::Plain(plain) => Some(plain),
        }
    }

    /// The address that docker's settings for builds are kept under: that of the engine of the docker context.
    #[must_use]
    pub fn docker_address(&self) -> String {
        match &self.kind {
            SiteKind::Engine(engine) => engine.endpoint().to_string(),
            SiteKind::Plain(_) => Endpoint::resolve(&Environment::of_process(), &Flags::default())
                .map(|endpoint| endpoint.to_string())
                .unwrap_or_default(),
        }
    }

    /// What tells this builder from all others; `None` when it does not say.
    pub async fn identity(&self) -> Option<String> {
        match &self.kind {
            SiteKind::Engine(engine) => engine.docker().info().await.ok()?.id,
            SiteKind::Plain(_) => Some(self.builder.workers().await.ok()?.into_iter().next()?.id),
        }
    }
}

/// Reaches the engine of the docker context, and says which one it is.
///
/// # Errors
/// When there is none, or it does not answer.
pub async fn engine(edge: &Edge, with_secrets: bool, arguments: &SecretArguments) -> Result<Engine, Failure> {
    let endpoint =
        Endpoint::resolve(&Environment::of_process(), &Flags::default()).map_err(|error| explain::engine(&error))?;
    engine_at(&endpoint, edge, with_secrets, arguments).await
}

async fn engine_at(
    endpoint: &Endpoint,
    edge: &Edge,
    with_secrets: bool,
    arguments: &SecretArguments,
) -> Result<Engine, Failure> {
    if arguments.require_tls {
        endpoint.require_private().map_err(|error| explain::engine(&error))?;
    }
    let engine = edge
        .cancellation
        .unless_cancelled(Engine::connect(endpoint))
        .await?
        .map_err(|error| explain::engine(&error))?;
    edge.fact("engine", &engine.describe());
    if with_secrets && engine.endpoint().safety() == Safety::Plaintext {
        edge.stderr.warning("the engine is reached over plain TCP: everybody on the way can read the secrets");
    }
    Ok(engine)
}
