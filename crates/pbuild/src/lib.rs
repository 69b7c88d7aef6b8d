//! Build, audit, tag.

pub mod chunks;
pub mod cleanup;
pub mod command;
pub mod guard;
pub mod injection;
pub mod plan;
pub mod provider;
pub mod reference;
pub mod syntax;
