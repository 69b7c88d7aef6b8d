//! Talks to BuildKit's gateway, which solves graphs, reads files and runs containers, over a client's session or a
//! frontend's own standard input and output.
//!
//! Bytes enter as a gRPC channel over any carrier. A frontend that BuildKit started has one on its standard input and
//! output ([`channel::open`], [`Bridge::of_frontend`]). A client has one to the control service, and names the build
//! that waits for its result ([`Bridge::of_build`]). Over this channel, a [`Bridge`] lets another frontend make a
//! graph, solves a changed graph ([`pllb`] changes it), reads files of states, and runs a [`Container`] beside the
//! build. Bytes leave as the build's result ([`Bridge::finish`]) or as an error, which may name a line of the
//! Dockerfile ([`Bridge::fail`], [`error_at`]).
//!
//! A frontend finds its options in its environment, and the graph of its own image in a file ([`started`]).
//!
//! What a builder can do is read from its capabilities ([`Capabilities`]), never derived from its version. This crate
//! knows no engine, no session and no secret's value: a [`SecretMount`] goes from the client's session into the
//! container.
//!
//! The example is a frontend that runs another one and returns its result. Its standard input and output are one end
//! of a pipe; BuildKit has already closed the other end.
//!
//! ```
//! use std::collections::BTreeMap;
//! use pgateway::{Bridge, Status, channel};
//!
//! async fn forward(mut bridge: Bridge, options: &BTreeMap<String, String>) -> Result<(), Status> {
//!     let inputs = bridge.inputs().await?;
//!     match bridge.solve_frontend("dockerfile.v0", options, inputs).await {
//!         Ok(solved) => bridge.finish(solved).await,
//!         Err(status) => bridge.fail(&status).await,
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let (stdio, buildkit) = tokio::io::duplex(1 << 16);
//! drop(buildkit);
//! let outcome = match channel::open(stdio, None).await {
//!     Ok(channel) => forward(Bridge::of_frontend(channel), &BTreeMap::new()).await,
//!     Err(status) => Err(status),
//! };
//! assert!(outcome.is_err());
//! # }
//! ```

mod bridge;
mod capability;
pub mod channel;
mod container;
mod place;
mod solved;
pub mod started;

pub use bridge::{Bridge, BuildId};
pub use capability::Capabilities;
pub use container::{CacheMount, Container, Mount, Process, ProcessNews, SecretMount, StateMount};
pub use place::{error_at, reworded};
pub use solved::{CacheEntry, Files, PreparedResult, Reference, Solved};
pub use tonic::Status;
