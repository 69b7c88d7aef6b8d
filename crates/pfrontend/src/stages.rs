//! The stages of a build that are no part of its image: a cache export with `mode=max` carries them all the same.

use pgateway::{Bridge, PreparedResult, Status};
use pllb::Chain;

/// A stage of one platform's graph, with its steps.
pub(crate) struct Stage {
    pub(crate) result: PreparedResult,
    pub(crate) chain: Chain,
}

impl Stage {
    /// Whether it is a here-document and no stage of the Dockerfile's: a file that a COPY takes, which BuildKit's frontend makes in
    /// a state of its own (`dockerfile2llb`, by this name). It is searched like a stage, and not counted as one.
    pub(crate) fn is_document(&self) -> bool {
        self.chain.base.is_none()
            && self.chain.steps.iter().all(|step| step.name.ends_with("preparing inline document"))
    }
}

/// Finds the stages of these results beside their images, each once.
///
/// They are lazy: whoever looks at them makes the engine run what its cache does not hold.
pub(crate) async fn beside(bridge: &Bridge, results: &[PreparedResult]) -> Result<Vec<Stage>, Status> {
    let mut stages: Vec<Stage> = Vec::new();
    for result in results {
        let unread = |_| crate::refused("the build graph cannot be read");
        for output in pllb::stages(&result.definition).map_err(unread)? {
            if stages.iter().any(|known| known.chain.result.as_ref() == Some(&output)) {
                // Platforms share stages that are for the builder's own.
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
