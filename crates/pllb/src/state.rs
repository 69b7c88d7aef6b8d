//! Makes definitions of single states: an intermediate state of a build, or one file that we add.

use bollard_buildkit_proto::pb;
use prost::Message as _;

use crate::chain::Output;
use crate::graph::digest;

/// Makes a graph of the same operations with another result: the state that one of the operations makes.
#[must_use]
pub fn state(definition: &pb::Definition, output: &Output) -> pb::Definition {
    let mut def = definition.def.clone();
    // The last operation only names the result.
    def.pop();
    def.push(result(&output.digest, output.index));
    pb::Definition { def, metadata: definition.metadata.clone(), source: None }
}

/// Makes a state that contains one file. The progress shows the file as `name`.
#[must_use]
pub fn single_file(name: &str, path: &str, mode: i32, bytes: &[u8]) -> pb::Definition {
    let make = pb::FileActionMkFile {
        path: path.to_owned(),
        mode,
        data: bytes.to_vec(),
        // The time is fixed, so that the same bytes always make the same cache record.
        timestamp: 0,
        ..pb::FileActionMkFile::default()
    };
    let action = pb::FileAction {
        input: -1,
        secondary_input: -1,
        output: 0,
        action: Some(pb::file_action::Action::Mkfile(make)),
    };
    let operation = pb::Op { op: Some(pb::op::Op::File(pb::FileOp { actions: vec![action] })), ..pb::Op::default() }
        .encode_to_vec();
    let described = pb::OpMetadata {
        description: [("llb.customname".to_owned(), name.to_owned())].into(),
        ..pb::OpMetadata::default()
    };
    let made = digest(&operation);
    pb::Definition { def: vec![operation, result(&made, 0)], metadata: [(made, described)].into(), source: None }
}

fn result(digest: &str, index: i64) -> Vec<u8> {
    let input = pb::Input { digest: digest.to_owned(), index };
    pb::Op { inputs: vec![input], ..pb::Op::default() }.encode_to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::chain;

    #[test]
    fn a_state_on_the_way_is_the_graph_with_another_end() {
        let file = single_file("first", "/a", 0o644, b"a");
        let first = digest(&file.def[0]);
        let mut longer = file.clone();
        longer.def.pop();
        let exec = pb::ExecOp {
            mounts: vec![pb::Mount { input: 0, output: 0, dest: "/".into(), ..pb::Mount::default() }],
            ..pb::ExecOp::default()
        };
        let step = pb::Op {
            inputs: vec![pb::Input { digest: first.clone(), index: 0 }],
            op: Some(pb::op::Op::Exec(exec)),
            ..pb::Op::default()
        }
        .encode_to_vec();
        longer.def.push(step.clone());
        longer.def.push(result(&digest(&step), 0));
        let longer_chain = chain(&longer).unwrap();
        assert_eq!(longer_chain.steps.len(), 2);
        let before = longer_chain.steps[1].before.clone().unwrap();
        assert_eq!(before.digest, first);
        let state = state(&longer, &before);
        assert_eq!(chain(&state).unwrap().result, Some(before));
        assert_eq!(state.metadata.len(), 1);
    }

    #[test]
    fn the_same_file_is_the_same_state() {
        assert_eq!(single_file("a", "/plook", 0o755, b"x").def, single_file("b", "/plook", 0o755, b"x").def);
    }
}
