//! The choice of docker's commands that should build with pbuild.

use crate::command::InstallArguments;
use crate::install::Entrances;

/// Reads the flags of `pbuild install`.
pub(crate) fn parse(arguments: &InstallArguments) -> Entrances {
    if arguments.buildx { Entrances::WithBuildx } else { Entrances::Usual }
}
