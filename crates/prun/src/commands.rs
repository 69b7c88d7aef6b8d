//! The subcommands, one file for each or for a few that are alike. They take the requests of
//! [`crate::plan::request`], and call the steps of a start in their order.

pub(crate) mod adopt;
pub(crate) mod doctor;
pub(crate) mod exec;
pub(crate) mod logs;
pub(crate) mod operators;
pub(crate) mod ps;
pub(crate) mod resume;
pub(crate) mod rollback;
pub(crate) mod run;
pub(crate) mod services;
pub(crate) mod show;
pub(crate) mod start;
pub(crate) mod state;
pub(crate) mod stop;
pub(crate) mod unit;
