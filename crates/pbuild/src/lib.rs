//! Build, audit, tag.

pub mod audit;
pub mod build;
pub mod chunks;
pub mod cleanup;
pub mod command;
pub mod context;
pub mod edge;
pub mod explain;
pub mod guard;
pub mod injection;
pub mod leftovers;
pub mod plan;
pub mod provider;
pub mod reference;
pub mod report;
pub mod secrets;
pub mod syntax;
pub mod watch;
