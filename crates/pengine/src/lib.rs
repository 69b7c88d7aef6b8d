//! Connections to the engine or builder that the user chose: contexts, TLS, ssh, API versions, hijacked connections.
//!
//! Where bytes enter: the settings come from the environment, the command line and `~/.docker`
//! ([`Endpoint::resolve`]). What happens: [`Endpoint::dial`] opens a connection over any transport, and
//! [`Engine::connect`] asks the engine for its version. Where bytes leave: REST calls go through [`Engine::docker`],
//! raw connections through [`Engine::hijack`]. A builder is the BuildKit of an engine, or a BuildKit that runs on its
//! own ([`BuilderChoice`]). All of them share one transport, so that a connection that works for one of them works
//! for all.
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
pub mod platform;
mod refusal;
mod registries;
mod ssh;
mod store;
mod tls;
mod version;

pub use builder::{BuilderChoice, BuilderNode, PlainBuilder};
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
