//! Canaries, hand-made images and engines for tests.
//!
//! A test plants values that exist nowhere else, runs a tool, and then searches everything that the tool touched for
//! these values. An [`Oracle`] makes the values, called canaries, and knows their encoded forms. A [`Scene`] is a
//! separate home folder with an oracle, in which [`Tool`]s run; it checks the output and the process table of each
//! run, and its own folders when it is dropped. [`Image`] and [`Layer`] write image archives by hand, valid or not.
//! [`Engine`] names the engines that `scripts/test` started, and [`sweep()`] searches their data for the canaries of
//! all tests.
//!
//! [`pack`] packs bytes into every kind of archive that an image may contain, including damaged and hostile ones.
//!
//! The crate links no other crate of the workspace. Its encoders are written independently, so that they do not
//! repeat a mistake of the product's encoders.
//!
//! ```
//! let oracle = ptest::Oracle::new();
//! let token = oracle.token("INDEX_TOKEN");
//! assert!(oracle.search("a log", b"nothing to see").is_empty());
//! assert_eq!(oracle.search("a log", token.value()).len(), 1);
//! ```

mod canary;
mod encode;
mod engine;
mod image;
mod needles;
mod oracle;
pub mod pack;
mod process;
mod run;
mod sample;
mod scene;
mod screen;
mod sweep;
mod trace;

pub use canary::Canary;
pub use engine::{Engine, Flavour, OwnEngine, program};
pub use image::{Archive, Compression, Image, Index, Layer, sha256};
pub use oracle::Oracle;
pub use process::Process;
pub use run::{Outcome, Running, Tool};
pub use scene::{Scene, binaries};
pub use sweep::{Swept, sweep};
pub use trace::Trace;
