//! Decides what the flags mean: flags take precedence over the manifest, and the manifest over defaults. All of them
//! are checked. Nothing in this module talks to an engine.
//!
//! The structs of [`crate::command`] are not used beyond this module. [`build()`](build::parse) and the other parsers
//! turn them, with the environment, into types that can only hold what pbuild can carry out; all later code knows
//! only those types. What only the engine can answer is added later, by [`BuildPlan::settle`], which makes a type of
//! its own.

mod advise;
mod attestation;
mod audit;
mod bake;
mod build;
mod build_plan;
mod cache;
mod checkout;
mod choices;
pub(crate) mod comma_separated;
mod context;
mod draft;
mod entrances;
mod error;
mod image_name;
mod question;
mod settled;
mod source;
mod source_policy;
pub(crate) mod ssh;
mod stdin;
mod step_options;
pub(crate) mod syntax;

pub(crate) use advise::{AdviceFormat, AdviseOrder, AdviseOrderError, Effect, parse as advise};
pub(crate) use attestation::{AttestationReach, Attestations};
pub(crate) use audit::{AuditOrder, AuditOrderError, LayerMemoryUse, parse as audit};
pub(crate) use bake::{
    BakeError, BakeOrder, DefinitionError, EntitlementError, InnerOrder, TargetOrder, Worker, parse as bake,
};
pub(crate) use build::{BuildOrder, Extras, ExtrasError, Order, OrderError, QuestionOrder, parse as build};
pub(crate) use build_plan::{BuildPlan, Extent};
pub(crate) use cache::{CacheError, Caches};
pub(crate) use choices::{BaseSearch, BuilderName, Choices, LeakedCache, ResultFiles, Tls};
pub(crate) use draft::{DraftOrder, DraftTarget, OpenEnvFileCare, parse as draft};
pub(crate) use entrances::parse as entrances;
pub(crate) use error::PlanError;
pub(crate) use image_name::{ImageName, ImageNameError};
pub(crate) use question::{AnswerFormat, Question};
pub(crate) use settled::{Frontend, LateFacts, SettledPlan};
pub(crate) use source::Source;
pub(crate) use step_options::StepOptionError;
