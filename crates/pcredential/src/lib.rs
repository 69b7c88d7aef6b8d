//! The credentials of services: a catalogue of services, generation, rotation, injected variables.
//!
//! Bytes enter as the kernel's random numbers ([`ServiceCredential::generate`]) and as a sealed ledger
//! ([`Ledger::open`]). The catalogue ([`ServiceKind`]) says what a service of a kind needs, the ledger keeps the
//! credentials that were generated for it, and [`injected`] names the variables that an app gets. Bytes leave in the
//! files that a service reads at its start ([`setup`]), on the standard input of clients that log in ([`probe`]) or
//! change a login ([`change`]), in files in memory for the clients that people use ([`tool`]), in the sealed ledger
//! ([`Ledger::seal`]), and through [`ServiceCredential::expose`] for everyone else; each is a numbered door.
//!
//! The crate does not talk to an engine: it returns the commands to run, and judges their results.
//!
//! ```
//! use pcredential::{Ledger, NewService, ServiceKind, injected};
//!
//! let mut ledger = Ledger::new("shop");
//! ledger.add(NewService {
//!     name: "db",
//!     kind: ServiceKind::Postgres,
//!     image: "postgres:17",
//!     volume: "shop-db",
//!     database: None,
//!     created: 1_790_000_000,
//! });
//! let variables = injected(ledger.services(), None, &[])?;
//! let names: Vec<&str> = variables.iter().map(|variable| variable.name()).collect();
//! assert!(names.starts_with(&["DB_HOST", "DB_PORT", "DB_DATABASE", "DB_USERNAME", "DB_PASSWORD"]));
//! # Ok::<(), pcredential::InjectedError>(())
//! ```

pub mod change;
mod client;
mod credential;
mod error;
mod identifier;
mod injected;
mod kind;
mod ledger;
pub mod probe;
mod quote;
mod rotation;
mod scram;
pub mod setup;
pub mod tool;
mod variable_set;

pub use credential::ServiceCredential;
pub use error::{InjectedError, LedgerError};
pub use injected::{InjectedValue, InjectedVariable, Shape, injected};
pub use kind::{Family, ServiceKind};
pub use ledger::{Administrator, External, ExternalLogin, Ledger, NewService, Phase, Rights, ServiceRecord, Terms};
pub use rotation::{Slot, Stage, Which};
pub use variable_set::VariableSet;
