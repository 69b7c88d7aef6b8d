//! The files of a project that several commands read: its Dockerfile, its ignore file, and the names in its commands.

pub(crate) mod coverage;
pub(crate) mod dockerfile;
pub(crate) mod mention;
pub(crate) mod replace;
