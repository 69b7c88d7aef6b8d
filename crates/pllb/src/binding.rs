//! Binds a step to the values that it gets.
//!
//! A value is not part of BuildKit's cache key, but the id of a secret mount is. This is also true for an optional
//! mount whose secret the session does not have, and such a mount leaves no trace in the step. So each step that gets
//! secrets has one more mount: its id is a digest of the keyed digests of all values, so another value makes another
//! step.

use std::collections::{BTreeMap, BTreeSet};

use bollard_buildkit_proto::pb;

use crate::graph;

/// The path of the mount. No session has the mount's secret, so no file ever exists at this path.
const PATH: &str = "/run/pbuild-binding";

/// The prefix of the id.
const PREFIX: &str = "pbuild.";

/// Makes the id of the binding for a step that gets these secrets. Returns `None` if there is no digest for any of
/// them.
pub(crate) fn id<'a>(got: impl Iterator<Item = &'a str>, digests: &BTreeMap<String, String>) -> Option<String> {
    let bound: BTreeSet<(&str, &str)> = got.filter_map(|name| Some((name, digests.get(name)?.as_str()))).collect();
    if bound.is_empty() {
        return None;
    }
    let mut text = Vec::new();
    for part in bound.iter().flat_map(|(name, digest)| [name, digest]) {
        text.extend((part.len() as u64).to_le_bytes());
        text.extend(part.as_bytes());
    }
    Some(format!("{PREFIX}{}", graph::digest(&text).trim_start_matches("sha256:")))
}

/// Whether a mount is a binding.
pub(crate) fn is_binding(mount: &pb::Mount) -> bool {
    let secret = mount.secret_opt.as_ref().filter(|_| mount.mount_type == pb::MountType::Secret as i32);
    mount.dest == PATH && secret.is_some_and(|secret| secret.optional && secret.id.starts_with(PREFIX))
}

/// Makes the mount with this id.
pub(crate) fn mount(id: &str) -> pb::Mount {
    pb::Mount {
        input: -1,
        output: -1,
        dest: PATH.to_owned(),
        mount_type: pb::MountType::Secret as i32,
        secret_opt: Some(pb::SecretOpt { id: id.to_owned(), mode: 0o444, optional: true, ..Default::default() }),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, digest)| ((*name).to_owned(), (*digest).to_owned())).collect()
    }

    #[test]
    fn the_id_follows_names_and_values_and_no_order() {
        let known = digests(&[("A", "1"), ("B", "2")]);
        let of = |got: &[&str], known: &BTreeMap<String, String>| id(got.iter().copied(), known);
        let both = of(&["A", "B"], &known).unwrap();
        assert_eq!(of(&["B", "A", "A", "unbound"], &known).unwrap(), both);
        assert!(both.starts_with("pbuild.") && both.len() == "pbuild.".len() + 64);
        let others = [
            of(&["A"], &known),
            of(&["A", "B"], &digests(&[("A", "1"), ("B", "3")])),
            of(&["A", "B"], &digests(&[("A", "2"), ("B", "1")])),
            of(&["A1", "B"], &digests(&[("A1", ""), ("B", "2")])),
        ];
        assert!(others.iter().all(|other| other.as_ref().is_some_and(|other| *other != both)));
        assert_eq!(of(&["unbound"], &known), None);
        assert_eq!(of(&[], &known), None);
    }

    #[test]
    fn a_binding_is_known_by_its_place_and_its_id() {
        assert!(is_binding(&mount("pbuild.1")));
        assert!(!is_binding(&mount("TOKEN")), "a secret of the Dockerfile's at the same place is its own");
        assert!(!is_binding(&pb::Mount { dest: "/run/secrets/x".to_owned(), ..mount("pbuild.1") }));
    }
}
