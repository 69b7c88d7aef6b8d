//! The chain of the final image: which ops made which of its layers, in order.
//!
//! BuildKit's exporters write one layer for each snapshot between the base image and the result. Following the result
//! downwards (an exec by the mount that its output index names, a file op by its actions, a merge by all its inputs)
//! gives these snapshots in the order of the layers, so the n-th op from the end made the n-th layer from the end.

use std::collections::HashMap;

use bollard_buildkit_proto::pb;
use prost::Message;
use sha2::{Digest, Sha256};

/// One op whose snapshot is a layer of the final image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainStep {
    /// The vertex digest, the key of metadata and source map.
    pub digest: String,
    /// The name that the frontend gave it, for example `[2/4] RUN pip install …`.
    pub name: String,
}

/// Why a definition has no readable chain.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// An op is not protobuf.
    #[error("failed to decode an op of the build graph")]
    Decode(#[from] prost::DecodeError),
    /// An input or output index points at nothing.
    #[error("failed to follow the build graph at {digest}")]
    Broken {
        /// The vertex where the graph ends.
        digest: String,
    },
}

/// An output of an op: its digest and the output's index.
#[derive(Clone, Debug)]
struct Output {
    digest: String,
    index: i64,
}

/// The ops that made the layers above the base image, first layer first. Empty for `FROM scratch` without steps.
///
/// # Errors
/// When the definition is not a graph that BuildKit could have made.
pub fn chain(definition: &pb::Definition) -> Result<Vec<ChainStep>, ChainError> {
    let mut ops = HashMap::new();
    let mut terminal = None;
    for bytes in &definition.def {
        let digest = format!("sha256:{}", hex(&Sha256::digest(bytes)));
        let op = pb::Op::decode(bytes.as_slice())?;
        terminal = Some(op.clone());
        ops.insert(digest, op);
    }
    let Some(result) = terminal.as_ref().and_then(|op| op.inputs.first()) else {
        return Ok(Vec::new());
    };
    let result = Output { digest: result.digest.clone(), index: result.index };
    let mut digests = Vec::new();
    // Newest first: a stack of outputs still to follow, so that a thousand steps need no thousand frames.
    let mut open = vec![result];
    while let Some(output) = open.pop() {
        let op = ops.get(&output.digest).ok_or_else(|| ChainError::Broken { digest: output.digest.clone() })?;
        open.extend(below(op, &output)?);
        if !matches!(op.op, Some(pb::op::Op::Source(_) | pb::op::Op::Merge(_) | pb::op::Op::Build(_)) | None) {
            digests.push(output.digest);
        }
    }
    digests.reverse();
    let name = |digest: &String| {
        let metadata = definition.metadata.get(digest);
        metadata.and_then(|metadata| metadata.description.get("llb.customname")).cloned().unwrap_or_default()
    };
    Ok(digests.into_iter().map(|digest| ChainStep { name: name(&digest), digest }).collect())
}

/// The outputs that lie directly below one, lowest first.
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

/// The op input on which a file op's output is built, or -1 for scratch.
///
/// An action's input counts the op's inputs first and the earlier actions after them.
fn file_root(file: &pb::FileOp, inputs: usize, output: i64) -> Option<i64> {
    let inputs = i64::try_from(inputs).ok()?;
    let mut action = file.actions.iter().find(|action| action.output == output)?;
    for _ in 0..=file.actions.len() {
        if action.input < inputs {
            return Some(action.input);
        }
        action = file.actions.get(usize::try_from(action.input - inputs).ok()?)?;
    }
    // Actions that name each other in a circle.
    None
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
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
            let digest = format!("sha256:{}", hex(&Sha256::digest(&bytes)));
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

        /// A COPY of two actions: the second builds on the first.
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

        fn end(mut self, result: &str) -> Vec<String> {
            self.add("", &[result], None);
            chain(&self.0).expect("a chain").into_iter().map(|step| step.name).collect()
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
        assert_eq!(graph.end(&last), ["RUN one", "COPY --from=builder", "RUN two"]);
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
        assert_eq!(graph.end(&last), ["RUN one", "COPY --link", "RUN two"]);
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
