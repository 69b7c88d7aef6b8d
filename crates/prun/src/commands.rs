//! One file for each subcommand.

pub(crate) mod doctor;
pub(crate) mod exec;
pub(crate) mod logs;
pub(crate) mod resume;
pub(crate) mod run;
pub(crate) mod services;
pub(crate) mod show;
pub(crate) mod start;
pub(crate) mod stop;
pub(crate) mod unit;
