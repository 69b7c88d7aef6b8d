//! Build, audit, tag.

pub mod chunks;
pub mod cleanup;
pub mod command;
pub mod edge;
pub mod explain;
pub mod guard;
pub mod injection;
pub mod leftovers;
pub mod manifest;
pub mod plan;
pub mod provider;
pub mod reference;
pub mod syntax;
pub mod watch;
