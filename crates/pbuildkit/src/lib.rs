//! A BuildKit client: session services, control, status.
//!
//! Bytes enter over a connection to an engine, or to a BuildKit without one ([`Transport`], [`Builder::connect`]). A
//! session serves files, secrets and registry credentials ([`session`]) while a build runs ([`Builder::build`]). A
//! caller may change the build graph before anything runs ([`Transform`], [`pllb`]); such a build is driven through
//! [`pgateway`]. Bytes leave in two directions: files and secrets go to the engine, updates and failures go to the
//! caller ([`status`], [`BuildFailure`]), who redacts them before people see them.
//!
//! The client asks each engine for its abilities ([`Capabilities`](pgateway::Capabilities)), and never decides by its
//! version.
//!
//! ```no_run
//! use pbuildkit::{Builder, BuildRequest, Local};
//! use pengine::{Endpoint, Engine, Environment, Flags};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let engine = Engine::connect(&Endpoint::resolve(&Environment::of_process(), &Flags::default())?).await?;
//! let builder = Builder::connect(&engine).await?;
//! let mut request = BuildRequest::dockerfile();
//! request.locals.insert("context".into(), Local::Directory(".".into()));
//! request.locals.insert("dockerfile".into(), Local::Directory(".".into()));
//! let (updates, mut news) = tokio::sync::mpsc::channel(64);
//! let watch = tokio::spawn(async move { while news.recv().await.is_some() {} });
//! let result = builder.build_plain(request, updates).await?;
//! watch.await?;
//! assert!(result.image_digest().is_some());
//! # Ok(())
//! # }
//! ```

mod builder;
mod control;
mod error;
mod failure;
mod filesync;
mod history;
pub mod ignore;
mod policy;
mod request;
pub mod session;
pub mod status;
mod target;
mod transform;
mod transport;
mod trouble;

pub use builder::{BuildResult, Builder};
pub use control::{CacheRecord, Worker};
pub use error::{BuildError, BuildkitError};
pub use failure::{BuildFailure, FailureKind, FailureSource};
pub use filesync::{Local, TransferCount};
pub use history::Provenance;
pub use policy::{PolicyError, SourcePolicy};
pub use request::{BuildRequest, Exporter, History, TargetContext, shared_key};
pub use session::content::{ContentStore, ContentStores, WrittenBlobs};
pub use session::observer::{ContextObserver, FileObserver, Permission};
pub use session::receive::Receiver;
pub use session::secrets::{AskedSecret, SECRET_LIMIT, SecretAnswer, SecretProvider};
pub use session::ssh::{Agents, DEFAULT_AGENT};
pub use session::upload::Archive;
pub use transform::{NoTransform, Prepared, Refusal, Transform};
pub use transport::Transport;
