//! A BuildKit graph read, changed and linked anew, on the wire.
//!
//! Bytes enter as a [`Definition`], the form in which a frontend hands its build graph (LLB) to BuildKit: operations as
//! opaque bytes, each named by the SHA-256 of those bytes. [`inject`] gives the secrets of a [`Plan`] to the steps
//! (exec operations) that the plan selects, binds their cache keys to the values that they get, and links every digest
//! that changed anew. [`wire`] edits the bytes in place, so that fields which our types do not know survive, and so that
//! BuildKit, which encodes each operation again, arrives at the same digests. [`SourceMap`] finds the line of the
//! Dockerfile that a step came from. [`chain`] says which step made which layer from which state, [`wrap`] lets a
//! program run the commands of steps, [`secret_ids`] says which secrets the graph may ask for, and [`images`] what it
//! begins with. Bytes leave as a definition again: the changed graph, one of its states ([`state`]), or a file that we
//! bring along ([`single_file`]).
//!
//! Nothing here talks to an engine, and nothing here holds a secret's value: a graph carries names and ids alone.
//!
//! ```
//! use bollard_buildkit_proto::pb;
//! use pllb::{Mode, Plan, PlannedSecret, inject};
//! use prost::Message as _;
//!
//! // A graph of one step, `npm ci`, and the last operation, which names the result.
//! let meta = pb::Meta { args: vec!["npm".into(), "ci".into()], ..pb::Meta::default() };
//! let exec = pb::ExecOp { meta: Some(meta), ..pb::ExecOp::default() };
//! let step = pb::Op { op: Some(pb::op::Op::Exec(exec)), ..pb::Op::default() }.encode_to_vec();
//! let input = pb::Input { digest: pllb::digest(&step), index: 0 };
//! let end = pb::Op { inputs: vec![input], ..pb::Op::default() }.encode_to_vec();
//! let graph = pllb::Definition { def: vec![step, end], ..pllb::Definition::default() };
//!
//! let plan = Plan { secrets: vec![PlannedSecret::variable("NPM_TOKEN")], ..Plan::default() };
//! let injected = inject(graph, &plan, Mode::Environment)?;
//! assert_eq!(injected.steps[0].command, "npm ci");
//! assert_eq!(injected.steps[0].offered, ["NPM_TOKEN"]);
//! assert!(pllb::secret_ids(&injected.definition).contains("NPM_TOKEN"));
//! # Ok::<(), pllb::InjectError>(())
//! ```

mod asked;
mod binding;
mod chain;
mod exec;
mod graph;
mod inject;
mod pattern;
mod platform;
#[cfg(test)]
mod property;
mod source;
mod sources;
mod stages;
mod state;
pub mod wire;
mod wrap;

pub use asked::{base_name, images, secret_ids};
pub use bollard_buildkit_proto::pb::Definition;
pub use chain::{Base, Chain, ChainError, ChainStep, Output, chain};
pub use exec::Mode;
pub use graph::{GraphError, digest};
pub use inject::{
    InjectError, Injection, MountTarget, MountedSecret, Plan, PlannedSecret, SecretShape, Step, inject, inject_beyond,
};
pub use pattern::StepPattern;
pub use platform::platform_text;
pub use source::{SourceLines, SourceMap};
pub use sources::{image, local_file};
pub use stages::stages;
pub use state::{single_file, state};
pub use wrap::{WRAPPER, Wrapper, wrap};
