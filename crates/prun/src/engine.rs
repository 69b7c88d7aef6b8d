//! Requests to the engine: containers, volumes and networks of a project, and commands inside containers.

pub(crate) mod archive;
pub(crate) mod attached;
pub(crate) mod containers;
pub(crate) mod images;
pub(crate) mod inside;
pub(crate) mod lines;
pub(crate) mod log;
pub(crate) mod piped;
