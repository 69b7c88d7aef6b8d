//! The stages of a build that are no part of its image: a cache export with `mode=max` carries them all the same.

use pgateway::{Bridge, PreparedResult, Status};
use pllb::Chain;

/// A stage of one platform's graph, with its steps.
pub(crate) struct Stage {
    pub(crate) result: PreparedResult,
    pub(crate) chain: Chain,
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
