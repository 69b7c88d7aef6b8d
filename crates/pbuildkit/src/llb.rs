//! LLB, BuildKit's build graph: reading it and adding secrets to it.
//!
//! A [`pb::Definition`](bollard_buildkit_proto::pb::Definition) holds the graph's operations as opaque bytes, each named
//! by the SHA-256 of those bytes. [`inject`] gives a plan's secrets to the steps (exec operations) that the plan selects;
//! [`wire`] edits the bytes in place, so that fields which our types do not know survive; [`SourceMap`] finds the line of
//! the Dockerfile that a step came from; [`chain`] tells which step made which layer
//! from which state, and [`state`] asks for one of them.
//!
//! Nothing here talks to an engine, and nothing here holds a secret's value: a graph carries names and ids alone.
//!
//! ```
//! use bollard_buildkit_proto::pb;
//! use pbuildkit::llb::{Mode, Plan, PlannedSecret, inject};
//!
//! let plan = Plan { secrets: vec![PlannedSecret::variable("NPM_TOKEN")], ..Plan::default() };
//! let injected = inject(pb::Definition::default(), &plan, Mode::Environment)?;
//! assert!(injected.steps.is_empty());
//! # Ok::<(), pbuildkit::llb::InjectError>(())
//! ```

mod chain;
mod exec;
mod graph;
mod inject;
mod pattern;
#[cfg(test)]
mod property;
mod source;
mod state;
pub mod wire;

pub use chain::{Base, Chain, ChainError, ChainStep, Output, chain};
pub use exec::Mode;
pub use graph::{GraphError, digest};
pub use inject::{InjectError, Injected, MountTarget, MountedSecret, Plan, PlannedSecret, SecretShape, Step, inject};
pub use pattern::StepPattern;
pub use source::{SourceLines, SourceMap};
pub use state::{single_file, state};
