//! Env files that a build sends to the builder.

use crate::edge::Edge;
use crate::files::coverage::{Coverage, IgnoreFileError, SentEnvFile};
use crate::plan::BuildPlan;

/// Warns of env files that a rule of the ignore file sends. The guard of the context knows only the secrets of this
/// build, and an env file may hold others.
pub(super) fn warn(plan: &BuildPlan, edge: &Edge) -> Result<(), IgnoreFileError> {
    let Some(folder) = plan.context_folder() else { return Ok(()) };
    let coverage = Coverage::of(folder, &plan.dockerfile_path())?;
    for SentEnvFile { path, line, pattern } in coverage.sent_by_a_rule(folder) {
        let rules = coverage.file.strip_prefix(folder).unwrap_or(&coverage.file);
        edge.stderr.warning(&format!(
            "{}:{line}: `!{pattern}` sends {} to the builder, where a COPY can take it into the image",
            rules.display(),
            path.display()
        ));
    }
    Ok(())
}
