//! The stages of a build that are not part of its image. A cache export with `mode=max` contains them anyway.

use pgateway::{Bridge, PreparedResult, Status};
use pllb::Chain;

/// A stage of one platform's graph, with its steps.
pub(crate) struct Stage {
    pub(crate) result: PreparedResult,
    pub(crate) chain: Chain,
}

impl Stage {
    /// Whether the stage is a here-document and not a stage of the Dockerfile: BuildKit's frontend makes a file that
    /// a COPY needs in a state of its own (`dockerfile2llb`, with this name). It is searched like a stage, but not
    /// counted as one.
    pub(crate) fn is_document(&self) -> bool {
        self.chain.base.is_none()
            && self.chain.steps.iter().all(|step| step.name.ends_with("preparing inline document"))
    }
}

/// Finds the stages of these results that are not part of their images, each once.
///
/// The stages are lazy: evaluating them makes the engine run the steps that its cache does not have.
pub(crate) async fn beside(bridge: &Bridge, results: &[PreparedResult]) -> Result<Vec<Stage>, Status> {
    let mut stages: Vec<Stage> = Vec::new();
    for result in results {
        let unread = |_| crate::refused("the build graph cannot be read");
        for output in pllb::stages(&result.definition).map_err(unread)? {
            if stages.iter().any(|known| known.chain.result.as_ref() == Some(&output)) {
                // Platforms share stages that are built for the builder's own platform.
                continue;
            }
            let definition = pllb::state(&result.definition, &output);
            let chain = pllb::chain(&definition).map_err(unread)?;
            let reference = bridge.clone().solve_definition(definition.clone(), &[]).await?;
            let result = PreparedResult { platform: result.platform.clone(), reference, definition };
            stages.push(Stage { result, chain });
        }
    }
    Ok(stages)
}
