//! Start, rotate, show.
//!
//! Where bytes enter: the user's secrets, read once at the edge, and the sealed state of the project ([`state`]). What
//! happens: services are started and proven by a login ([`service`]), the values of a generation are composed
//! ([`values::compose`]), sealed and delivered into memory ([`instance::holder`]), instances are started through the entrypoint, looked at
//! until they are healthy, and the old ones retired ([`start`]). Where bytes leave: the tmpfs volumes of services and
//! instances, the sealed state, and, when somebody asks, one value on standard output ([`show`]); each is a numbered
//! door. No value reaches the engine's API in any other way.

pub mod command;
pub mod doctor;
pub mod edge;
pub mod engine;
pub mod error;
pub mod fault;
pub mod instance;
pub mod logs;
pub mod names;
pub mod one_off;
pub mod plan;
pub mod resume;
pub mod service;
pub mod services;
pub mod show;
pub mod start;
pub mod state;
pub mod stop;
pub mod unit;
pub mod values;
