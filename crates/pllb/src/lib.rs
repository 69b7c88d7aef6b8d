//! Reads a BuildKit graph, changes it, and updates its digests, on the level of protobuf bytes.
//!
//! Bytes enter as a [`Definition`], the format in which a frontend passes its build graph (LLB) to BuildKit:
//! operations as opaque bytes, each referred to by the SHA-256 of these bytes. [`inject`] gives the secrets of a
//! [`Plan`] to the steps (exec operations) that the plan selects, binds the steps' cache keys to the values that they
//! get, and updates every digest that changes. [`wire`] edits the bytes in place, so that fields that our types do
//! not know survive, and so that BuildKit, which encodes each operation again, computes the same digests.
//! [`SourceMap`] finds the line of the Dockerfile that a step came from. [`chain`] returns which step made which
//! layer from which state, [`wrap`] lets a program run the commands of steps, [`secret_ids`] returns the secrets that
//! the graph may request, and [`images`] the images that it begins with. Bytes leave as a definition: the changed
//! graph, one of its states ([`state`]), or a file that we add ([`single_file`]).
//!
//! Nothing in this crate talks to an engine or has a secret's value, because a graph contains only names and ids.
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
