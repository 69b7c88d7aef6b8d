//! Start, rotate, show.
//!
//! Where bytes enter: the user's secrets, read once at the edge, and the sealed state of the project ([`state`]). What
//! happens: services are started and proven by a login ([`service`]), the values of a generation are composed
//! ([`values::compose`]), sealed and delivered into memory ([`instance::holder`]), instances are started through the entrypoint, looked at
//! until they are healthy, and the old ones retired ([`commands::start`]). Where bytes leave: the tmpfs volumes of services and
//! instances, the sealed state, and, when somebody asks, one value on standard output ([`commands::show`]); each is a numbered
//! door. No value reaches the engine's API in any other way.

pub mod command;
pub mod commands;
pub mod edge;
pub mod engine;
pub mod error;
pub mod fault;
pub mod instance;
pub mod names;
pub mod plan;
pub mod project;
pub mod service;
pub mod state;
pub mod values;
