//! The files of a project that several commands read: its Dockerfile, what its ignore file covers, and the secrets that
//! a step mentions.

pub(crate) mod coverage;
pub(crate) mod dockerfile;
pub(crate) mod mention;
pub(crate) mod replace;
