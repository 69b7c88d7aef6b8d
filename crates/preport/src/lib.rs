//! Writes reports for people and programs: text, JSON, SARIF, JUnit, HTML, annotations.
//!
//! The input is a [`pscan::Report`]. All text in it is redacted and printable, and it contains no secret's value.
//! Each format has one function, which escapes the text for its own syntax. In every format, a finding is one
//! [`sentence`], and the [`advice`] on it is another. The output is a [`String`] or a JSON value; the caller writes
//! it to the user's destination.
//!
//! ```
//! use std::ops::ControlFlow;
//! use pscan::{NeedleSetBuilder, Options};
//! use psecret::{SecretName, UserSecret};
//!
//! let name = SecretName::parse("TOKEN")?;
//! let needles = NeedleSetBuilder::new().secret(&name, &UserSecret::new(b"hunter2-hunter2".to_vec())).build()?;
//! let report = pscan::audit(&b"not an image"[..], &needles, &Options::default(), &mut |_| ControlFlow::Continue(()))?;
//!
//! assert!(preport::text(&report, preport::Paper::PLAIN).starts_with("incomplete: 1 thing could not be searched or verified"));
//! assert_eq!(preport::json(&report)["result"], "incomplete");
//! assert!(preport::html(&report).contains("<h1>image</h1>"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod advice;
mod annotation;
mod group;
mod html;
mod json;
mod junit;
mod paper;
mod revoke;
mod sarif;
mod text;

pub use advice::{advice, sentence};
pub use annotation::annotations;
pub use html::html;
pub use json::json;
pub use junit::junit;
pub use paper::Paper;
pub use revoke::revocation;
pub use sarif::sarif;
pub use text::text;
