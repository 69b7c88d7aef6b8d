//! Finds the stages of a graph that are not part of its result. Their files are not in the image, but may be in a
//! cache export.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use bollard_buildkit_proto::pb;
use prost::Message as _;

use crate::chain::{ChainError, Output, chain};
use crate::graph::digest;
use crate::state::state;

/// Finds the last state of every stage other than the result's own, the last stage first.
///
/// A stage is represented by its last step. If a branch starts at an earlier step of a stage, it is a stage of its
/// own.
///
/// # Errors
///
/// Returns an error if the definition is not a graph that BuildKit could have made.
pub fn stages(definition: &pb::Definition) -> Result<Vec<Output>, ChainError> {
    let mut steps = Vec::new();
    let mut used: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
    for bytes in &definition.def {
        let op = pb::Op::decode(bytes.as_slice())?;
        for input in &op.inputs {
            used.entry(input.digest.clone()).or_default().insert(input.index);
        }
        if matches!(op.op, Some(pb::op::Op::Exec(_) | pb::op::Op::File(_) | pb::op::Op::Merge(_))) {
            steps.push(digest(bytes));
        }
    }
    let mut seen = HashSet::new();
    look(definition, &mut seen)?;
    let mut stages = Vec::new();
    // The inputs of an operation precede it, so the last operations come first here.
    for step in steps.iter().rev() {
        for index in used.get(step).into_iter().flatten() {
            let output = Output { digest: step.clone(), index: *index };
            if !seen.contains(&output) {
                look(&state(definition, &output), &mut seen)?;
                stages.push(output);
            }
        }
    }
    Ok(stages)
}

/// Adds the states that a result consists of.
fn look(definition: &pb::Definition, seen: &mut HashSet<Output>) -> Result<(), ChainError> {
    let chain = chain(definition)?;
    for step in chain.steps {
        // The operation of a linked copy belongs to the step that merges it with the state before.
        if step.digest != step.after.digest {
            seen.insert(Output { digest: step.digest, index: 0 });
        }
        seen.extend(step.before);
        seen.insert(step.after);
    }
    seen.extend(chain.result);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A graph to which steps can be added; each call returns the step's digest.
    #[derive(Default)]
    struct Graph(pb::Definition);

    impl Graph {
        fn add(&mut self, inputs: &[&str], op: Option<pb::op::Op>) -> String {
            let inputs = inputs.iter().map(|digest| pb::Input { digest: (*digest).to_owned(), index: 0 }).collect();
            let bytes = pb::Op { inputs, op, ..Default::default() }.encode_to_vec();
            let digest = digest(&bytes);
            self.0.def.push(bytes);
            digest
        }

        fn base(&mut self) -> String {
            let source = pb::SourceOp { identifier: "docker-image://base".into(), ..Default::default() };
            self.add(&[], Some(pb::op::Op::Source(source)))
        }

        /// Adds a step that builds on the first input, and mounts or copies from the others.
        fn run(&mut self, command: &str, inputs: &[&str]) -> String {
            let mount = |(input, _)| pb::Mount {
                input,
                output: if input == 0 { 0 } else { -1 },
                dest: format!("/{input}"),
                ..Default::default()
            };
            let mounts = (0..).zip(inputs).map(mount).collect();
            let meta = pb::Meta { args: vec![command.to_owned()], ..Default::default() };
            self.add(inputs, Some(pb::op::Op::Exec(pb::ExecOp { meta: Some(meta), mounts, ..Default::default() })))
        }

        fn stages(mut self, result: &str) -> Vec<String> {
            self.add(&[result], None);
            stages(&self.0).unwrap().into_iter().map(|output| output.digest).collect()
        }
    }

    #[test]
    fn an_image_of_one_stage_has_no_other() {
        let mut graph = Graph::default();
        let base = graph.base();
        let one = graph.run("one", &[&base]);
        let two = graph.run("two", &[&one]);
        assert!(graph.stages(&two).is_empty());
    }

    #[test]
    fn every_stage_that_something_is_taken_from_is_listed_once() {
        let mut graph = Graph::default();
        let base = graph.base();
        let tools = graph.run("tools", &[&base]);
        let compile = graph.run("compile", &[&base, &tools]);
        let test = graph.run("test", &[&compile]);
        let one = graph.run("one", &[&base, &test]);
        let two = graph.run("two", &[&one, &test]);
        assert_eq!(graph.stages(&two), [test, tools]);
    }

    #[test]
    fn a_branch_of_a_stage_s_middle_is_its_own() {
        let mut graph = Graph::default();
        let base = graph.base();
        let common = graph.run("common", &[&base]);
        let left = graph.run("left", &[&common]);
        let right = graph.run("right", &[&common]);
        let image = graph.run("image", &[&base, &left, &right]);
        assert_eq!(graph.stages(&image), [right, left]);
    }
}
