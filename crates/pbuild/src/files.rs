//! The files of a project that several commands read: its Dockerfile, what its ignore file covers, and the secrets that
//! a step mentions.

pub mod coverage;
pub(crate) mod dockerfile;
pub mod mention;
