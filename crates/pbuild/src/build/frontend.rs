//! Which frontend may read a Dockerfile of a build with secrets.

use crate::plan::{BuildPlan, Choices, Frontend, syntax};
use crate::secrets::Secrets;

/// A frontend image decides which commands the graph holds, and nobody knows this one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UnknownFrontend {
    /// The image.
    pub(super) image: String,
}

/// Chooses the frontend. An unknown image gets no secrets.
///
/// # Errors
/// When the Dockerfile names an unknown image, and the build has secrets for its steps.
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
