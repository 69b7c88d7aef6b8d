//! One file for each subcommand.

pub mod doctor;
pub mod exec;
pub mod logs;
pub mod resume;
pub mod run;
pub mod services;
pub mod show;
pub mod start;
pub mod stop;
pub mod unit;
