//! Decides which steps of a build get which secrets, and proves that no secret stayed in the image.
//!
//! A build needs this crate twice. Before the steps run, [`Graph`] gives them the secrets by changing the frontend's
//! graph, and remembers the graph. After the steps have run, and before anything leaves the builder, [`Gate`] searches
//! each state that an image is made of. It does so in a container beside the build. If all states are clean, it makes
//! a [`Proof`], which nothing else can make.
//!
//! Two programs use this crate: the client `pbuild` and the frontend image. `pbuild` has the values and sends them to
//! the scanner. The frontend image never has them; the engine mounts them into the scanner's container instead.
//! [`Seeking`] hides this difference.
//!
//! ```
//! use std::collections::BTreeSet;
//!
//! use pllb::{Plan, PlannedSecret, StepPattern};
//! use pproof::Graph;
//! use psecret::Redactor;
//!
//! let secret = PlannedSecret { steps: vec![StepPattern::new("npm *")], ..PlannedSecret::variable("NPM_TOKEN") };
//! let plan = Plan { secrets: vec![secret], ..Plan::default() };
//! let graph = Graph::new(plan, BTreeSet::from(["NPM_TOKEN".to_owned()]), Redactor::none());
//! // No step was added yet, so no step matches.
//! assert_eq!(graph.unmatched()[0].pattern, "npm *");
//! ```

mod bases;
mod gate;
mod graph;
mod kept;
mod seeking;
mod watch;

pub use bases::KnownBases;
pub use gate::lineage::Broken;
pub use gate::scanner::{Program, Scanner, ScannerFailure, exchange};
pub use gate::{Gate, GateOutcome, Leak, Proof, Subject, Unproven};
pub use graph::{Graph, GraphError, Unmatched, holding};
pub use kept::{builder_key, kept, leaked_steps, note_bases, note_steps};
pub use plook::kept::{KeyBytes, passing_key, random_key};
pub use seeking::{Seeking, Values};
pub use watch::{NoWatch, Watch};
