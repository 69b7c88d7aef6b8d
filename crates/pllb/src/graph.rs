//! Rewrites the operations of a graph one by one, and updates everything that refers to them by digest.

use std::collections::BTreeMap;

use bollard_buildkit_proto::pb;
use sha2::{Digest as _, Sha256};

use crate::wire::{self, Edit, WireError};

/// The field number of an Op's inputs.
pub(crate) const OP_INPUTS: u32 = 1;
/// The field number of an Input's digest.
const INPUT_DIGEST: u32 = 1;

/// The reason why a definition is not a valid graph.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// An operation is not protobuf.
    #[error("failed to read operation {digest}")]
    Wire {
        /// The operation.
        digest: String,
        /// The cause.
        source: WireError,
    },
    /// An operation has an input that is not in the definition.
    #[error("operation {digest} has an input that is not in the build graph: {input}")]
    UnknownInput {
        /// The operation.
        digest: String,
        /// The digest that the operation names as its input.
        input: String,
    },
}

/// Returns the name of an operation: `sha256:` and the SHA-256 of its bytes in lower-case hex.
#[must_use]
pub fn digest(operation: &[u8]) -> String {
    format!("sha256:{}", base16ct::lower::encode_string(&Sha256::digest(operation)))
}

/// A definition whose operations were rewritten.
pub(crate) struct Rewrite {
    pub(crate) definition: pb::Definition,
    /// The new digest of each operation by its old one; the two may be equal.
    pub(crate) digests: BTreeMap<String, String>,
}

/// Rewrites every operation, each after its inputs, and updates the digests in inputs, metadata and source map.
///
/// `edit` gets an operation's old digest, and its bytes with updated inputs. If it returns `None`, the bytes stay.
/// Operations keep their places, because BuildKit treats the last one as the result.
pub(crate) fn relink<E: From<GraphError>>(
    definition: pb::Definition,
    mut edit: impl FnMut(&str, &[u8]) -> Result<Option<Vec<u8>>, E>,
) -> Result<Rewrite, E> {
    let pb::Definition { mut def, metadata, source } = definition;
    let names: Vec<String> = def.iter().map(|operation| digest(operation)).collect();
    let mut digests = BTreeMap::new();
    for index in inputs_first(&def, &names)? {
        let old = &names[index];
        if let Some(linked) = link_inputs(&def[index], &digests).map_err(|source| wire_error(old, source))? {
            def[index] = linked;
        }
        if let Some(edited) = edit(old, &def[index])? {
            def[index] = edited;
        }
        digests.insert(old.clone(), digest(&def[index]));
    }
    let follow = |old: String| digests.get(&old).cloned().unwrap_or(old);
    // Two operations can become equal if the first gets what the second already had. Then the metadata and locations
    // of both are kept.
    let mut new_metadata: BTreeMap<String, pb::OpMetadata> = BTreeMap::new();
    for (old, described) in metadata {
        let ignore_cache = described.ignore_cache;
        new_metadata.entry(follow(old)).or_insert(described).ignore_cache |= ignore_cache;
    }
    let source = source.map(|mut source| {
        let mut locations: BTreeMap<String, pb::Locations> = BTreeMap::new();
        for (old, mut found) in source.locations {
            locations.entry(follow(old)).or_default().locations.append(&mut found.locations);
        }
        source.locations = locations;
        source
    });
    Ok(Rewrite { definition: pb::Definition { def, metadata: new_metadata, source }, digests })
}

fn wire_error(digest: &str, source: WireError) -> GraphError {
    GraphError::Wire { digest: digest.to_owned(), source }
}

/// Lists the digests that an operation names as its inputs.
fn inputs(operation: &[u8]) -> Result<Vec<&str>, WireError> {
    let mut inputs = Vec::new();
    for field in wire::fields(operation) {
        let field = field?;
        if field.number == OP_INPUTS {
            inputs.push(input_digest(field.bytes()?)?);
        }
    }
    Ok(inputs)
}

fn input_digest(input: &[u8]) -> Result<&str, WireError> {
    wire::single(input, INPUT_DIGEST)?.map_or(Ok(""), |digest| digest.text())
}

/// Replaces the digests of inputs that have changed. Returns `None` if none has.
fn link_inputs(operation: &[u8], digests: &BTreeMap<String, String>) -> Result<Option<Vec<u8>>, WireError> {
    let mut changed = false;
    let linked = wire::rewrite(operation, |field| {
        if field.number != OP_INPUTS {
            return Ok(Edit::Keep);
        }
        let input = field.bytes()?;
        let old = input_digest(input)?;
        let Some(new) = digests.get(old).filter(|new| *new != old) else { return Ok(Edit::Keep) };
        changed = true;
        let replace = |field: &wire::Field<'_>| {
            Ok::<_, WireError>(if field.number == INPUT_DIGEST {
                Edit::Replace(new.clone().into_bytes())
            } else {
                Edit::Keep
            })
        };
        Ok::<_, WireError>(Edit::Replace(wire::rewrite(input, replace)?))
    })?;
    Ok(changed.then_some(linked))
}

/// Orders the indexes of all operations so that each comes after its inputs, in whatever order the definition has
/// them.
///
/// There can be no circle, because an operation would have to contain its own digest.
fn inputs_first(operations: &[Vec<u8>], names: &[String]) -> Result<Vec<usize>, GraphError> {
    let places: BTreeMap<&str, usize> = names.iter().enumerate().map(|(place, name)| (name.as_str(), place)).collect();
    let mut waiting: Vec<usize> = vec![0; operations.len()];
    let mut waited_for: Vec<Vec<usize>> = vec![Vec::new(); operations.len()];
    for (place, operation) in operations.iter().enumerate() {
        for input in inputs(operation).map_err(|source| wire_error(&names[place], source))? {
            let unknown = || GraphError::UnknownInput { digest: names[place].clone(), input: input.to_owned() };
            waited_for[*places.get(input).ok_or_else(unknown)?].push(place);
            waiting[place] += 1;
        }
    }
    let mut order: Vec<usize> = (0..operations.len()).filter(|place| waiting[*place] == 0).collect();
    let mut done = 0;
    while let Some(place) = order.get(done).copied() {
        done += 1;
        for follower in &waited_for[place] {
            waiting[*follower] -= 1;
            if waiting[*follower] == 0 {
                order.push(*follower);
            }
        }
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    fn operation(inputs: &[&str]) -> Vec<u8> {
        let inputs = inputs.iter().map(|digest| pb::Input { digest: (*digest).to_owned(), index: 1 }).collect();
        pb::Op { inputs, ..Default::default() }.encode_to_vec()
    }

    #[test]
    fn a_digest_is_the_sha256_of_the_bytes() {
        assert_eq!(digest(b""), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    #[test]
    fn operations_that_come_before_their_inputs_are_linked_all_the_same() {
        let base =
            pb::Op { op: Some(pb::op::Op::Source(pb::SourceOp::default())), ..Default::default() }.encode_to_vec();
        let middle = operation(&[&digest(&base)]);
        let last = operation(&[&digest(&middle), &digest(&base)]);
        let definition = pb::Definition { def: vec![last, middle, base.clone()], ..Default::default() };
        let relinked = relink(definition, |_, operation| {
            Ok::<_, GraphError>((operation == base).then(|| [operation, &[0xf8, 0x07, 1]].concat()))
        })
        .unwrap();
        let [last, middle, base] = &relinked.definition.def[..] else { panic!("three operations") };
        assert_eq!(inputs(middle).unwrap(), [digest(base)]);
        assert_eq!(inputs(last).unwrap(), [digest(middle), digest(base)]);
        assert_eq!(pb::Op::decode(last.as_slice()).unwrap().inputs[0].index, 1);
    }

    #[test]
    fn an_input_that_is_nowhere_is_an_error() {
        let definition = pb::Definition { def: vec![operation(&["sha256:none"])], ..Default::default() };
        let error = relink(definition, |_, _| Ok::<_, GraphError>(None)).err().unwrap();
        assert!(matches!(error, GraphError::UnknownInput { input, .. } if input == "sha256:none"));
    }

    #[test]
    fn operations_that_become_one_keep_both_their_metadata() {
        let one = vec![0xf8, 0x07, 1];
        let two = vec![0xf8, 0x07, 2];
        let described = |ignore_cache| pb::OpMetadata { ignore_cache, ..Default::default() };
        let located = || pb::Locations { locations: vec![pb::Location::default()] };
        let definition = pb::Definition {
            metadata: [(digest(&one), described(true)), (digest(&two), described(false))].into(),
            source: Some(pb::Source {
                locations: [(digest(&one), located()), (digest(&two), located())].into(),
                ..Default::default()
            }),
            def: vec![one, two.clone()],
        };
        let relinked = relink(definition, |_, _| Ok::<_, GraphError>(Some(two.clone()))).unwrap().definition;
        assert!(relinked.metadata[&digest(&two)].ignore_cache);
        assert_eq!(relinked.source.unwrap().locations[&digest(&two)].locations.len(), 2);
    }
}
