//! Build, audit, tag.

pub mod advise;
pub mod audit;
pub mod build;
pub mod command;
pub mod doctor;
pub mod edge;
pub mod explain;
pub mod files;
pub mod gate;
pub mod memory;
pub mod new;
pub mod oci_layout;
pub mod output;
pub mod plan;
pub mod secrets;
pub mod site;
