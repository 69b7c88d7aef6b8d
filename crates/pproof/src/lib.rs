//! Which steps of a build are handed which secrets, and the proof that none of them stayed.
//!
//! A build passes through here twice. On its way to the engine, [`Graph`] hands the secrets to the steps of the
//! frontend's graph and remembers what the graph is made of. When its results are ready and nothing has left the
//! builder, [`Gate`] searches the states of each image's chain in a container beside the build; what it proves is a
//! [`Proof`], which nothing else makes.
//!
//! Two programs do this, and they differ in one thing. The client, `pbuild`, has the values and sends them to the
//! scanner. The frontend image never has them: the engine mounts them into the scanner's container. [`Seeking`] is that
//! difference.
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
