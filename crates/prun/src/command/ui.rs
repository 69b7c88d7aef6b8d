//! The command line of `prun ui`.

use clap::Args;

use super::ProjectArguments;
use crate::plan::request::UiRequest;

/// `prun ui`.
#[derive(Debug, Args)]
pub(crate) struct UiArguments {
    /// The port of 127.0.0.1 [default: one that is free]
    #[arg(long, value_name = "PORT")]
    pub(crate) port: Option<u16>,

    /// The project.
    #[command(flatten)]
    pub(crate) project: ProjectArguments,
}

impl UiArguments {
    pub(crate) fn request(&self) -> UiRequest {
        UiRequest { project: self.project.choice(), port: self.port.unwrap_or(0) }
    }
}
