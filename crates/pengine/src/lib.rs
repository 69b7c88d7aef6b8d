//! The engine or builder the user means: contexts, TLS, ssh, capabilities, hijacked connections.
//!
//! Where bytes enter: the environment, the command line and `~/.docker` ([`Endpoint::resolve`]). What happens: one
//! kind of connection is opened, whatever the transport ([`Endpoint::dial`]), and the engine is asked who it is
//! ([`Engine::connect`]). Where bytes leave: REST calls through [`Engine::docker`], raw connections through
//! [`Engine::hijack`]. A builder may be BuildKit of an engine or one by itself ([`BuilderChoice`]). Everything uses the
//! same transport, so that what works for one works for all.
//!
//! ```no_run
//! use pengine::{Endpoint, Engine, Environment, Flags};
//!
//! # async fn example() -> Result<(), pengine::EngineError> {
//! let endpoint = Endpoint::resolve(&Environment::of_process(), &Flags::default())?;
//! let engine = Engine::connect(&endpoint).await?;
//! assert!(engine.describe().contains(" at "));
//! # Ok(())
//! # }
//! ```

mod address;
mod builder;
mod configuration;
mod connection;
mod endpoint;
mod engine;
mod environment;
mod error;
mod exec;
mod hijack;
mod inherited;
mod last_words;
mod local;
#[cfg(feature = "mock")]
pub mod mock;
mod refusal;
mod registries;
mod ssh;
mod store;
mod tls;
mod version;

pub use builder::{BuilderChoice, PlainBuilder};
pub use configuration::{DockerConfiguration, RegistryEntry};
pub use connection::{ByteStream, Connection};
pub use endpoint::{Endpoint, Origin, Safety};
pub use engine::{Engine, ImageStore};
pub use environment::{Environment, Flags};
pub use error::EngineError;
pub use hijack::Hijacked;
pub use inherited::scrub;
pub use last_words::LastWords;
pub use local::DataFolder;
pub use registries::{Registries, RegistryLogin, RegistryLoginError, named_host, registry_of};
pub use version::ApiVersion;
