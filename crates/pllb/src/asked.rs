//! Lists the secrets and base images that a build may request, from its operations.

use std::collections::BTreeSet;

use bollard_buildkit_proto::pb;
use prost::Message as _;

use crate::graph::digest;

/// The attributes of sources whose value is a secret's id (BuildKit `solver/pb/attr.go`).
const SOURCE_ATTRIBUTES: [&str; 3] = ["git.authtokensecret", "git.authheadersecret", "http.authheadersecret"];

/// The kinds of sources that are images.
const IMAGE_SCHEMES: [&str; 2] = ["docker-image://", "oci-layout://"];

/// Lists the ids of all secrets that the steps and sources of this build may request.
///
/// Operations that cannot be parsed are left out, because the engine will not run them either.
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

/// Lists the images that the graph begins with, by their names from [`base_name`].
#[must_use]
pub fn images(definition: &pb::Definition) -> BTreeSet<String> {
    let source = |bytes: &Vec<u8>| match pb::Op::decode(bytes.as_slice()).ok()?.op? {
        pb::op::Op::Source(source) if IMAGE_SCHEMES.iter().any(|scheme| source.identifier.starts_with(scheme)) => {
            Some(base_name(&source.identifier, &digest(bytes)))
        }
        _ => None,
    };
    definition.def.iter().filter_map(source).collect()
}

/// Makes a unique name for a base image: the identifier of its source, followed by the digest of the operation, which
/// includes the platform. The identifier alone is not unique, because an index of images has the same one for all
/// platforms.
#[must_use]
pub fn base_name(identifier: &str, operation: &str) -> String {
    format!("{identifier} {operation}")
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

    #[test]
    fn finds_the_images_and_no_other_source() {
        let source = |identifier: &str| {
            let source = pb::SourceOp { identifier: identifier.to_owned(), ..Default::default() };
            pb::Op { op: Some(pb::op::Op::Source(source)), ..Default::default() }.encode_to_vec()
        };
        let names = ["docker-image://docker.io/library/debian:12", "local://context", "oci-layout://a/b@sha256:c"];
        let definition = pb::Definition { def: names.iter().map(|name| source(name)).collect(), ..Default::default() };
        let named = |at: usize| base_name(names[at], &digest(&definition.def[at]));
        assert_eq!(images(&definition), [named(0), named(2)].into());
        let mut other = pb::Op::decode(definition.def[0].as_slice()).unwrap();
        other.platform = Some(pb::Platform { architecture: "arm64".to_owned(), ..Default::default() });
        assert_ne!(
            images(&pb::Definition { def: vec![other.encode_to_vec()], ..Default::default() }),
            [named(0)].into()
        );
    }
}
