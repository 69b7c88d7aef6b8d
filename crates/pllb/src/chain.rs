//! Finds the chain of the final image: its layers in order, and the operation that made each.
//!
//! BuildKit's exporters write one layer for each snapshot between the base image and the result. These snapshots are
//! found by following the result downwards: an exec by the mount that its output index refers to, a file operation by
//! its actions, a merge by all its inputs. They are in the order of the layers, so the n-th operation from the end
//! made the n-th layer from the end.

use std::collections::HashMap;

use bollard_buildkit_proto::pb;
use prost::Message;

use crate::graph::digest;

/// The states that a result is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// The result itself; `None` for an empty result.
    pub result: Option<Output>,
    /// The state below the first step, which is a base image; `None` if the first step begins with nothing.
    pub base: Option<Base>,
    /// The operations that made the layers above the base, first layer first.
    pub steps: Vec<ChainStep>,
    /// Whether the graph has a shape that this chain does not describe completely.
    pub unusual: bool,
}

/// The base image of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// The base's state.
    pub output: Output,
    /// The base's name, for example `docker-image://docker.io/library/debian:stable@sha256:…`.
    pub identifier: String,
}

/// One operation whose snapshot is a layer of the final image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainStep {
    /// The digest of the vertex, which is the key of metadata and source map.
    pub digest: String,
    /// The name that the frontend gave to the step, for example `[2/4] RUN pip install …`.
    pub name: String,
    /// The state that the step began with; `None` if it began with nothing.
    pub before: Option<Output>,
    /// The state that the step made.
    pub after: Output,
    /// Whether the step is a linked copy (`COPY --link`), which is stacked on the state before it. If there are
    /// several linked copies in a row, BuildKit merges each of them with the state before the first.
    pub linked: bool,
}

/// The reason why a definition has no readable chain.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// An operation is not protobuf.
    #[error("failed to decode an op of the build graph")]
    Decode(#[from] prost::DecodeError),
    /// An input or output index refers to nothing.
    #[error("failed to follow the build graph at {digest}")]
    Broken {
        /// The vertex where the graph ends.
        digest: String,
    },
}

/// An output of an operation, which is a state.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Output {
    /// The operation's digest.
    pub digest: String,
    /// The index of the output.
    pub index: i64,
}

/// Finds the operations that made the layers above the base image, and the states between them. The chain is empty
/// for `FROM scratch` without steps.
///
/// # Errors
///
/// Returns an error if the definition is not a graph that BuildKit could have made.
pub fn chain(definition: &pb::Definition) -> Result<Chain, ChainError> {
    let mut ops = HashMap::new();
    let mut terminal = None;
    for bytes in &definition.def {
        let op = pb::Op::decode(bytes.as_slice())?;
        terminal = Some(op.clone());
        ops.insert(digest(bytes), op);
    }
    let Some(result) = terminal.as_ref().and_then(|op| op.inputs.first()) else {
        return Ok(Chain::default());
    };
    let result = Output { digest: result.digest.clone(), index: result.index };
    let name = |digest: &String| {
        let metadata = definition.metadata.get(digest);
        metadata.and_then(|metadata| metadata.description.get("llb.customname")).cloned().unwrap_or_default()
    };
    let mut chain = Chain { result: Some(result.clone()), ..Chain::default() };
    // The outputs that are still to be followed, the newest last. With this stack, a thousand steps do not need a
    // thousand calls.
    let mut open = vec![result];
    while let Some(output) = open.pop() {
        let find = |digest: &String| ops.get(digest).ok_or_else(|| ChainError::Broken { digest: digest.clone() });
        let op = find(&output.digest)?;
        let mut below = below(op, &output)?;
        let step = |digest: &String, before, after| ChainStep {
            name: name(digest),
            digest: digest.clone(),
            before,
            after,
            linked: false,
        };
        match &op.op {
            Some(pb::op::Op::Source(source)) => {
                chain.unusual |= chain.base.is_some();
                chain.base = Some(Base { output, identifier: source.identifier.clone() });
            }
            Some(pb::op::Op::Exec(_) | pb::op::Op::File(_)) => {
                chain.steps.push(step(&output.digest, below.first().cloned(), output.clone()));
            }
            // `COPY --link` begins with nothing and is merged with the state before it. The two operations are one
            // step.
            Some(pb::op::Op::Merge(_)) if linked_step(&below, &ops).is_some() => {
                if let Some(linked) = below.pop() {
                    let copied = step(&linked.digest, below.first().cloned(), output.clone());
                    chain.steps.push(ChainStep { linked: true, ..copied });
                }
            }
            Some(pb::op::Op::Diff(_)) => {
                chain.unusual = true;
                chain.steps.push(step(&output.digest, below.first().cloned(), output.clone()));
            }
            Some(pb::op::Op::Merge(_) | pb::op::Op::Build(_)) | None => chain.unusual = true,
        }
        open.extend(below);
    }
    chain.steps.reverse();
    Ok(chain)
}

/// Returns the second of two merged states, if it is one step that begins with nothing.
fn linked_step<'a>(merged: &'a [Output], ops: &HashMap<String, pb::Op>) -> Option<&'a Output> {
    let [_, linked] = merged else { return None };
    let op = ops.get(&linked.digest)?;
    let is_step = matches!(op.op, Some(pb::op::Op::Exec(_) | pb::op::Op::File(_)));
    (is_step && below(op, linked).ok()?.is_empty()).then_some(linked)
}

/// Returns the outputs directly below this output, lowest first.
fn below(op: &pb::Op, output: &Output) -> Result<Vec<Output>, ChainError> {
    let broken = || ChainError::Broken { digest: output.digest.clone() };
    let input = |index: i64| -> Result<Option<Output>, ChainError> {
        if index < 0 {
            return Ok(None);
        }
        let input = usize::try_from(index).ok().and_then(|index| op.inputs.get(index)).ok_or_else(broken)?;
        Ok(Some(Output { digest: input.digest.clone(), index: input.index }))
    };
    let found = match &op.op {
        Some(pb::op::Op::Exec(exec)) => {
            let mount = exec.mounts.iter().find(|mount| mount.output == output.index).ok_or_else(broken)?;
            vec![input(mount.input)?]
        }
        Some(pb::op::Op::File(file)) => {
            vec![input(file_root(file, op.inputs.len(), output.index).ok_or_else(broken)?)?]
        }
        Some(pb::op::Op::Merge(merge)) => {
            merge.inputs.iter().map(|merged| input(merged.input)).collect::<Result<Vec<_>, _>>()?
        }
        Some(pb::op::Op::Diff(diff)) => vec![diff.lower.as_ref().map_or(Ok(None), |lower| input(lower.input))?],
        Some(pb::op::Op::Source(_) | pb::op::Op::Build(_)) | None => Vec::new(),
    };
    Ok(found.into_iter().flatten().collect())
}

/// Returns the index of the input that a file operation's output is built on, or -1 for scratch.
///
/// The input index of an action counts the operation's inputs first, and then its earlier actions.
fn file_root(file: &pb::FileOp, inputs: usize, output: i64) -> Option<i64> {
    let inputs = i64::try_from(inputs).ok()?;
    let mut action = file.actions.iter().find(|action| action.output == output)?;
    for _ in 0..=file.actions.len() {
        if action.input < inputs {
            return Some(action.input);
        }
        action = file.actions.get(usize::try_from(action.input - inputs).ok()?)?;
    }
    // The actions refer to each other in a circle.
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Graph(pb::Definition);

    impl Graph {
        fn add(&mut self, name: &str, inputs: &[&str], op: Option<pb::op::Op>) -> String {
            let inputs = inputs.iter().map(|digest| pb::Input { digest: (*digest).to_owned(), index: 0 }).collect();
            let bytes = pb::Op { inputs, op, ..Default::default() }.encode_to_vec();
            let digest = digest(&bytes);
            self.0.def.push(bytes);
            let description = [("llb.customname".to_owned(), name.to_owned())].into();
            self.0.metadata.insert(digest.clone(), pb::OpMetadata { description, ..Default::default() });
            digest
        }

        fn base(&mut self) -> String {
            let identifier = "docker-image://busybox".to_owned();
            self.add("base", &[], Some(pb::op::Op::Source(pb::SourceOp { identifier, ..Default::default() })))
        }

        fn run(&mut self, name: &str, on: &str) -> String {
            let meta = Some(pb::Meta { args: vec![name.to_owned()], ..Default::default() });
            let mounts = vec![pb::Mount { input: 0, output: 0, dest: "/".to_owned(), ..Default::default() }];
            self.add(name, &[on], Some(pb::op::Op::Exec(pb::ExecOp { meta, mounts, ..Default::default() })))
        }

        /// Adds a COPY of two actions, of which the second builds on the first.
        fn copy(&mut self, name: &str, inputs: &[&str], root: i64) -> String {
            let action = |input, output, path: &str| pb::FileAction {
                input,
                secondary_input: -1,
                output,
                action: Some(pb::file_action::Action::Mkdir(pb::FileActionMkDir {
                    path: path.to_owned(),
                    ..Default::default()
                })),
            };
            let first_action = i64::try_from(inputs.len()).expect("few inputs");
            let actions = vec![action(root, -1, "/a"), action(first_action, 0, name)];
            self.add(name, inputs, Some(pb::op::Op::File(pb::FileOp { actions })))
        }

        fn end(mut self, result: &str) -> Chain {
            self.add("", &[result], None);
            chain(&self.0).expect("a chain")
        }
    }

    #[test]
    fn steps_come_in_the_order_of_the_layers_and_other_stages_are_left_out() {
        let mut graph = Graph::default();
        let base = graph.base();
        let builder = graph.run("RUN make", &base);
        let first = graph.run("RUN one", &base);
        let copied = graph.copy("COPY --from=builder", &[&first, &builder], 0);
        let last = graph.run("RUN two", &copied);
        let end = graph.end(&last);
        let names: Vec<_> = end.steps.iter().map(|step| step.name.as_str()).collect();
        assert_eq!(names, ["RUN one", "COPY --from=builder", "RUN two"]);
        assert_eq!(end.steps[0].before, end.base.map(|base| base.output));
        assert!(end.steps.windows(2).all(|two| two[1].before.as_ref() == Some(&two[0].after)));
        assert_eq!(end.result.as_ref(), end.steps.last().map(|step| &step.after));
        assert!(!end.unusual);
    }

    #[test]
    fn a_linked_copy_stands_above_what_it_was_merged_onto() {
        let mut graph = Graph::default();
        let base = graph.base();
        let first = graph.run("RUN one", &base);
        let linked = graph.copy("COPY --link", &[], -1);
        let inputs = vec![pb::MergeInput { input: 0 }, pb::MergeInput { input: 1 }];
        let merged = graph.add("merge", &[&first, &linked], Some(pb::op::Op::Merge(pb::MergeOp { inputs })));
        let last = graph.run("RUN two", &merged);
        let end = graph.end(&last);
        assert_eq!(
            end.steps.iter().map(|step| step.name.as_str()).collect::<Vec<_>>(),
            ["RUN one", "COPY --link", "RUN two"]
        );
        let state = |digest: &str| Some(Output { digest: digest.to_owned(), index: 0 });
        assert_eq!((end.steps[1].before.clone(), Some(end.steps[1].after.clone())), (state(&first), state(&merged)));
        assert_eq!(end.steps[2].before, state(&merged));
        assert_eq!(end.steps.iter().map(|step| step.linked).collect::<Vec<_>>(), [false, true, false]);
        assert_eq!(end.base.map(|base| base.output), state(&base));
        assert!(!end.unusual);
    }

    #[test]
    fn a_graph_of_another_shape_is_unusual() {
        let merge = |graph: &mut Graph, parts: &[&str]| {
            let inputs = (0..).take(parts.len()).map(|input| pb::MergeInput { input }).collect();
            graph.add("merge", parts, Some(pb::op::Op::Merge(pb::MergeOp { inputs })))
        };
        let mut three = Graph::default();
        let (base, one) = (three.base(), three.copy("one", &[], -1));
        let two = three.copy("two", &[], -1);
        let merged = merge(&mut three, &[&base, &one, &two]);
        assert!(three.end(&merged).unusual);
        let mut upon_a_base = Graph::default();
        let base = upon_a_base.base();
        let run = upon_a_base.run("run", &base);
        let merged = merge(&mut upon_a_base, &[&base, &run]);
        assert!(upon_a_base.end(&merged).unusual);
        let mut diff = Graph::default();
        let base = diff.base();
        let run = diff.run("run", &base);
        let (lower, upper) = (Some(pb::LowerDiffInput { input: 0 }), Some(pb::UpperDiffInput { input: 1 }));
        let changed = diff.add("diff", &[&base, &run], Some(pb::op::Op::Diff(pb::DiffOp { lower, upper })));
        assert!(diff.end(&changed).unusual);
    }

    #[test]
    fn a_graph_that_points_nowhere_is_an_error() {
        let mut graph = Graph::default();
        let on_nothing = graph.run("RUN one", "sha256:none");
        graph.add("", &[&on_nothing], None);
        assert!(matches!(chain(&graph.0), Err(ChainError::Broken { .. })));
    }

    #[test]
    fn actions_in_a_circle_end() {
        let action = |input| pb::FileAction { input, secondary_input: -1, output: 0, action: None };
        assert_eq!(file_root(&pb::FileOp { actions: vec![action(2), action(1)] }, 1, 0), None);
    }
}
