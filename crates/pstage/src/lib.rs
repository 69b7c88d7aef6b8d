//! Plans a start: from what an app needs, what the state's journal says, and what was seen on the platform, to the
//! next steps.
//!
//! **Where facts enter.** A [`Need`] says what should run. A [`Journal`] says what is sealed: the services with the
//! stages of their rotations, and the generation that instances run with. An [`Inventory`] says what was seen on the
//! platform. None of them holds a value: a credential is a stage, and a generation is a number and a digest.
//!
//! **What happens.** [`next`] compares the three, and returns the steps up to the point where something has to be
//! seen before anything else can be decided. Whoever calls it carries the steps out in their order, looks at the
//! platform again, and calls it again, until no step is left. A step that fails ends the walk; [`undo`] then says what
//! must not stay.
//!
//! **Where steps leave.** A [`Step`] is data. It says nothing about containers, so that an engine, a swarm and a
//! cluster can carry it out, each in its own way.
//!
//! Nothing is remembered between two calls. So whoever carries out the steps may be killed after any of them: the next
//! call begins with what is journaled and what is there, and comes to the same end.
//!
//! ```
//! use pstage::{InstanceStep, Inventory, Journal, Need, Process, ServiceStep, Step};
//!
//! let web = Process { name: "web".to_owned(), replicas: 2, has_new_check: false };
//! let need = Need { processes: vec![web], digest: "00ff".to_owned(), ..Need::default() };
//! let steps = pstage::next(&need, &Journal::default(), &Inventory::default());
//! assert_eq!(steps, [Step::Service(ServiceStep::EnsureNetwork)]);
//!
//! let inventory = Inventory { has_network: true, ..Inventory::default() };
//! let steps = pstage::next(&need, &Journal::default(), &inventory);
//! assert_eq!(steps.first(), Some(&Step::Instance(InstanceStep::Hold(1))));
//! assert_eq!(steps.last(), Some(&Step::Instance(InstanceStep::Seal(1))));
//! ```

mod inventory;
mod journal;
mod need;
mod plan;
mod step;

pub use inventory::{Edge, Inventory, Logins, SeenGeneration, SeenService, Standing};
pub use journal::{Journal, SealedGeneration, SealedService, Setup};
pub use need::{Instance, Need, Process};
pub use plan::{next, prepare, undo};
pub use step::{InstanceStep, ServiceStep, Step};
