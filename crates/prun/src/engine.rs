//! The engine's half of a project: containers, volumes and networks, and commands in them.

pub mod archive;
pub mod attached;
pub mod containers;
pub mod inside;
pub mod lines;
