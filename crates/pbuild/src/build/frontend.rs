//! The choice of the frontend that may read the Dockerfile of a build with secrets.

use crate::plan::{BuildPlan, Choices, Frontend, syntax};
use crate::secrets::Secrets;

/// The error about an unknown frontend image. A frontend decides which commands the graph holds, so an unknown one
/// could use the secrets for its own ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UnknownFrontend {
    /// The image.
    pub(super) image: String,
}

/// Chooses the frontend. An unknown image gets no secrets.
///
/// # Errors
/// Returns an error if the Dockerfile or the command line names an unknown image, and the build has secrets for its
/// steps.
pub(super) fn choose(
    plan: &BuildPlan,
    dockerfile: Option<&[u8]>,
    choices: &Choices,
    secrets: &Secrets,
) -> Result<Frontend, UnknownFrontend> {
    if !secrets.offered_to_builds() {
        return Ok(Frontend::Named);
    }
    let chosen = plan.chosen_frontend().map(str::to_owned);
    if chosen.is_none() && dockerfile.is_none() {
        return Ok(Frontend::EngineOwn);
    }
    let image = chosen.or_else(|| syntax::frontend_image(dockerfile?));
    match image.filter(|image| !syntax::is_known(image)) {
        Some(image) if choices.allows_frontend(&image) => Ok(Frontend::Allowed),
        Some(image) => Err(UnknownFrontend { image }),
        None => Ok(Frontend::Named),
    }
}
