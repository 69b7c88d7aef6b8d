//! The secrets that a build may ask for, read from its operations.

use std::collections::BTreeSet;

use bollard_buildkit_proto::pb;
use prost::Message as _;

/// Attributes of sources whose value is a secret's id (BuildKit `solver/pb/attr.go`).
const SOURCE_ATTRIBUTES: [&str; 3] = ["git.authtokensecret", "git.authheadersecret", "http.authheadersecret"];

/// Lists the ids of all secrets that steps and sources of this build may ask for.
///
/// Operations that do not parse ask for nothing: the engine will not run them either.
#[must_use]
pub fn secret_ids(definition: &pb::Definition) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for bytes in &definition.def {
        match pb::Op::decode(bytes.as_slice()).ok().and_then(|operation| operation.op) {
            Some(pb::op::Op::Exec(exec)) => {
                ids.extend(exec.secretenv.into_iter().map(|secret| secret.id));
                ids.extend(exec.mounts.into_iter().filter_map(|mount| mount.secret_opt).map(|secret| secret.id));
            }
            Some(pb::op::Op::Source(source)) => {
                ids.extend(SOURCE_ATTRIBUTES.iter().filter_map(|name| source.attrs.get(*name).cloned()));
            }
            _ => {}
        }
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_environment_mounts_and_sources_and_survives_garbage() {
        let exec = pb::ExecOp {
            secretenv: vec![pb::SecretEnv { id: "A".into(), ..Default::default() }],
            mounts: vec![pb::Mount {
                secret_opt: Some(pb::SecretOpt { id: "B".into(), ..Default::default() }),
                ..Default::default()
            }],
            ..Default::default()
        };
        let source =
            pb::SourceOp { attrs: [("git.authtokensecret".to_owned(), "C".to_owned())].into(), ..Default::default() };
        let operation = |op| pb::Op { op: Some(op), ..Default::default() }.encode_to_vec();
        let definition = pb::Definition {
            def: vec![operation(pb::op::Op::Exec(exec)), vec![0xff; 7], operation(pb::op::Op::Source(source))],
            ..Default::default()
        };
        assert_eq!(secret_ids(&definition), ["A", "B", "C"].map(str::to_owned).into());
    }
}
