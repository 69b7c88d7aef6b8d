//! The subcommands: one file for each of them, or for a few similar ones. Each takes a request of
//! [`crate::plan::request`] and performs its steps in order.

pub(crate) mod adopt;
pub(crate) mod doctor;
pub(crate) mod exec;
pub(crate) mod import;
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
pub(crate) mod tools;
pub(crate) mod ui;
pub(crate) mod unit;
