//! Canaries, hand-made images and engines for tests.
//!
//! A test plants values that exist nowhere else, runs a tool, and ends by searching everything that the tool touched
//! for them: an [`Oracle`] makes the canaries and knows their encoded shapes. A [`Scene`] is a home of its own with an
//! oracle, in which [`Tool`]s run; it checks each run's output and process table, and its folders when it is dropped.
//! [`Image`] and [`Layer`] write image archives by hand, honest or not. [`Engine`] names the engines that the test
//! script started, and [`sweep()`] searches their data for every canary that any test planted.
//!
//! [`pack`] packs bytes into every archive that an image may hold, damaged and hostile ones too.
//!
//! No crate of the house is linked here: the encoders are written a second time, so that a mistake in the product's
//! is found rather than repeated.
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
