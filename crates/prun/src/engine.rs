//! The engine's half of a project: containers, volumes and networks, and commands in them.

pub(crate) mod archive;
pub(crate) mod attached;
pub(crate) mod containers;
pub(crate) mod inside;
pub(crate) mod lines;
