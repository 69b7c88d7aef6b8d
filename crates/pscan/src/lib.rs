//! Searches bytes for secrets, and returns the report as data.
//!
//! Secrets enter as [`psecret::UserSecret`]s into a [`NeedleSet`], which holds every form of each. Bytes enter
//! through [`audit()`], from an image archive, or through a [`Searcher`], from any stream, in chunks of any size. The
//! result is a [`Report`]: it has the place, the form and the layer of each secret that was seen, the instruction
//! that wrote it, and everything that was not searched. No report contains a value, or the bytes around a value;
//! paths and instructions are redacted. The scanner in the builder sends a report as JSON ([`Report::to_json`]), and
//! its caller reads the JSON ([`Report::from_json`]). The crate `preport` shows reports to people.
//!
//! ```
//! use std::ops::ControlFlow;
//! use pscan::{NeedleSetBuilder, Options, Verdict};
//! use psecret::{SecretName, UserSecret};
//!
//! let name = SecretName::parse("TOKEN")?;
//! let needles = NeedleSetBuilder::new().secret(&name, &UserSecret::new(b"hunter2-hunter2".to_vec())).build()?;
//! let mut go_on = |_| ControlFlow::Continue(());
//! let report = pscan::audit(&b"not an image"[..], &needles, &Options::default(), &mut go_on)?;
//! assert_eq!(report.verdict(), Verdict::Incomplete);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod anchor;
mod audit;
mod automaton;
mod collect;
mod document;
mod encoded;
mod error;
mod filter;
mod finding;
mod needle;
mod packed;
mod pattern;
mod places;
mod report;
mod search;
mod show;
mod text;

pub use audit::{Memory, Options, Progress, audit, audit_file, audit_loose};
pub use error::ScanError;
pub use filter::Engine;
pub use finding::{Finding, Place, SourceLine};
pub use needle::{NeedleSet, NeedleSetBuilder, Unsearched};
pub use places::{CONTAINERS, PLACES};
pub use report::{LayerState, LayerSummary, NotSearched, Report, ReportError, Stats, Verdict};
pub use search::{Hit, Searcher};
