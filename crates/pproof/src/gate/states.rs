//! Numbers the states of a chain: state 0 is mounted at `/states/0`, and so on.

use std::collections::BTreeMap;

use futures::future::try_join_all;
use pgateway::{Bridge, PreparedResult, StateMount, Status};
use pllb::{Chain, Output};
use plook::wire::{self, Base, Covering, Layer, Task};

use crate::seeking::Seeking;

/// The key of the configuration in a result's metadata. With several platforms, each has its own key, in which the
/// platform follows a `/`.
const CONFIGURATION: &str = "containerimage.config";

/// Every state that must be searched or compared, each once; the result is the last one.
#[derive(Debug)]
pub(super) struct States(Vec<Output>);

impl States {
    pub(super) fn of(chain: &Chain) -> Self {
        let mut states = Vec::new();
        let base = chain.base.iter().map(|base| &base.output);
        let steps = chain.steps.iter().flat_map(|step| step.before.iter().chain([&step.after]));
        for output in base.chain(steps).chain(&chain.result) {
            if !states.contains(output) {
                states.push(output.clone());
            }
        }
        Self(states)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the number of a state.
    pub(super) fn number(&self, output: &Output) -> Option<usize> {
        self.0.iter().position(|state| state == output)
    }

    /// Requests every state from the builder. For the last one, uses the very reference that the build will return.
    pub(super) async fn solve(&self, bridge: &Bridge, result: &PreparedResult) -> Result<Vec<StateMount>, Status> {
        let solving = self.0.iter().enumerate().map(|(number, output)| {
            let mut bridge = bridge.clone();
            async move {
                let reference = if number + 1 == self.len() {
                    result.reference.clone()
                } else {
                    bridge.solve_definition(pllb::state(&result.definition, output), &[]).await?
                };
                Ok(StateMount { reference, at: format!("{}/{number}", plook::STATES) })
            }
        });
        try_join_all(solving).await
    }

    /// Makes the task of the scanner, and the documents that belong to it.
    pub(super) fn task(
        &self,
        chain: &Chain,
        known_base: Option<Vec<String>>,
        seeking: &dyn Seeking,
        documents: &BTreeMap<String, Vec<u8>>,
        platform: Option<&str>,
    ) -> (Task, Vec<Vec<u8>>) {
        let own = platform.map_or_else(|| CONFIGURATION.to_owned(), |platform| format!("{CONFIGURATION}/{platform}"));
        let configuration = documents.get(&own).cloned().unwrap_or_else(|| b"{}".to_vec());
        let others = || documents.iter().filter(|(key, _)| **key != own);
        let names = [CONFIGURATION.to_owned()].into_iter().chain(others().map(|(key, _)| key.clone()));
        let number = |output: &Option<Output>| match output {
            Some(output) => self.number(output).map(Some),
            None => Some(None),
        };
        let mut before_links = None;
        let layer = |(at, step): (usize, &pllb::ChainStep)| {
            let before = number(&step.before)?;
            let follows = follows_a_link(chain, at);
            if !follows {
                before_links = before;
            }
            let covering = follows.then_some(Covering { onto: before_links });
            Some(Layer { before, after: self.number(&step.after)?, covering })
        };
        let task = Task {
            version: wire::VERSION,
            secrets: seeking.secrets(),
            parts: seeking.parts(),
            documents: names.collect(),
            base: chain
                .base
                .as_ref()
                .and_then(|base| Some(Base { state: self.number(&base.output)?, known: known_base })),
            // Every state of a step is in `States`, so no step is left out here.
            layers: chain.steps.iter().enumerate().filter_map(layer).collect(),
        };
        (task, [configuration].into_iter().chain(others().map(|(_, bytes)| bytes.clone())).collect())
    }
}

/// Whether a step is a linked copy directly after another linked copy.
pub(super) fn follows_a_link(chain: &Chain, number: usize) -> bool {
    let linked = |number: usize| chain.steps.get(number).is_some_and(|step| step.linked);
    number > 0 && linked(number) && linked(number - 1)
}
