//! Lets a wrapper, a program from an image, run the commands of steps.
//!
//! The wrapper is mounted read-only into each step that has one of the given secrets. The wrapper and its arguments
//! precede the step's command. Everything else of the step stays unchanged, byte for byte.

use std::collections::BTreeSet;

use bollard_buildkit_proto::pb;
use prost::Message as _;

use crate::exec::{EXEC_META, EXEC_MOUNTS, META_ARGUMENTS, OP_EXEC};
use crate::graph::{self, GraphError, OP_INPUTS};
use crate::inject::{InjectError, Injection, MountedSecret, exec_of, mounted};
use crate::wire::{self, Edit, WireError};

/// The path of the wrapper in steps. `/dev` is in memory in every step, so the mount point does not stay in the
/// image.
pub const WRAPPER: &str = "/dev/pbuild-mask";

/// The capabilities that an engine must have for the mount (solver/pb/caps.go).
const CAPABILITIES: [&str; 2] = ["exec.mount.bind", "exec.mount.selector"];

/// A program that runs the commands of steps.
#[derive(Clone, Debug)]
pub struct Wrapper {
    /// The image that contains the program.
    pub image: pb::Definition,
    /// The program's path in the image.
    pub program: String,
    /// The ids of the secrets for which the wrapper is needed. A step without any of them is not changed.
    pub ids: BTreeSet<String>,
    /// Returns the arguments between the program and the command, for a step that has these secrets.
    pub words: fn(&[MountedSecret]) -> Vec<String>,
}

/// Lets a wrapper run the commands of the steps that have one of its secrets.
///
/// Steps that a wrapper already runs are not changed.
///
/// # Errors
///
/// Returns the same errors as [`inject`](crate::inject()). Also returns [`InjectError::Wrapper`] if the wrapper's
/// image is empty, or if a step mounts something else at the wrapper's path.
pub fn wrap(injected: Injection, wrapper: &Wrapper) -> Result<Injection, InjectError> {
    let Injection { mut definition, mut steps } = injected;
    let mut operations = wrapper.image.def.clone();
    let end = operations.pop().map(|end| pb::Op::decode(end.as_slice())).transpose();
    let unread = |source| InjectError::Exec { digest: "of the wrapper's image".to_owned(), source };
    let input = end.map_err(unread)?.and_then(|end| end.inputs.into_iter().next()).ok_or(InjectError::Wrapper)?;
    let known: BTreeSet<String> = definition.def.iter().map(|operation| graph::digest(operation)).collect();
    operations.retain(|operation| !known.contains(&graph::digest(operation)));
    let mut wrapped = BTreeSet::new();
    // The last operation is the result, so the image's operations are put before all others.
    definition.def.splice(0..0, operations);
    for (digest, about) in &wrapper.image.metadata {
        definition.metadata.entry(digest.clone()).or_insert_with(|| about.clone());
    }
    let mut relinked = graph::relink(definition, |old, operation| {
        let wire_error = |source| GraphError::Wire { digest: old.to_owned(), source };
        let Some(bytes) = exec_of(operation).map_err(wire_error)? else { return Ok(None) };
        let exec = pb::ExecOp::decode(bytes).map_err(|source| InjectError::Exec { digest: old.to_owned(), source })?;
        let held: Vec<MountedSecret> = mounted(&exec).into_iter().filter(|one| wrapper.ids.contains(&one.id)).collect();
        let first = exec.meta.iter().flat_map(|meta| &meta.args).next();
        match exec.mounts.iter().any(|mount| mount.dest == WRAPPER) {
            _ if held.is_empty() => return Ok(None),
            true if first.is_some_and(|word| word == WRAPPER) => return Ok(None),
            true => return Err(InjectError::Wrapper),
            false => {}
        }
        let edited = add(operation, &input, wrapper, &held).map_err(wire_error)?;
        wrapped.insert(old.to_owned());
        Ok::<_, InjectError>(Some(edited))
    })?;
    for step in &mut steps {
        let is_wrapped = wrapped.contains(&step.digest);
        if let Some(new) = relinked.digests.get(&step.digest) {
            step.digest.clone_from(new);
        }
        if is_wrapped {
            let caps = &mut relinked.definition.metadata.entry(step.digest.clone()).or_default().caps;
            caps.extend(CAPABILITIES.map(|capability| (capability.to_owned(), true)));
        }
    }
    if wrapped.is_empty() {
        // No step is wrapped, so the image is removed again.
        let own: BTreeSet<String> = wrapper.image.def.iter().map(|operation| graph::digest(operation)).collect();
        relinked.definition.def.retain(|operation| {
            let digest = graph::digest(operation);
            known.contains(&digest) || !own.contains(&digest)
        });
        relinked.definition.metadata.retain(|digest, _| known.contains(digest) || !own.contains(digest));
    }
    Ok(Injection { definition: relinked.definition, steps })
}

/// Adds the image to the inputs, its program to the mounts, and the wrapper's arguments to the command.
fn add(operation: &[u8], input: &pb::Input, wrapper: &Wrapper, held: &[MountedSecret]) -> Result<Vec<u8>, WireError> {
    let inputs = wire::fields(operation).filter(|field| field.as_ref().is_ok_and(|field| field.number == OP_INPUTS));
    let mount = pb::Mount {
        input: i64::try_from(inputs.count()).unwrap_or(i64::MAX),
        selector: wrapper.program.clone(),
        dest: WRAPPER.to_owned(),
        output: -1,
        readonly: true,
        ..pb::Mount::default()
    };
    let mut words = vec![WRAPPER.to_owned()];
    words.extend((wrapper.words)(held));
    let with_input = wire::insert_bytes(operation, OP_INPUTS, &[input.encode_to_vec()])?;
    wire::rewrite(&with_input, |field| {
        if field.number != OP_EXEC {
            return Ok(Edit::Keep);
        }
        let exec = wire::rewrite(field.bytes()?, |field| {
            if field.number != EXEC_META {
                return Ok(Edit::Keep);
            }
            let mut meta = Vec::new();
            words.iter().for_each(|word| wire::append_bytes(&mut meta, META_ARGUMENTS, word.as_bytes()));
            meta.extend_from_slice(field.bytes()?);
            Ok::<_, WireError>(Edit::Replace(meta))
        })?;
        wire::insert_bytes(&exec, EXEC_MOUNTS, &[mount.encode_to_vec()]).map(Edit::Replace)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Mode, MountTarget, Plan, PlannedSecret, inject, single_file};

    fn wrapper(ids: &[&str]) -> Wrapper {
        Wrapper {
            image: single_file("the image", "/program", 0o755, b"program"),
            program: "/program".to_owned(),
            ids: ids.iter().map(|id| (*id).to_owned()).collect(),
            words: |held| {
                let word = |one: &MountedSecret| match &one.target {
                    MountTarget::Variable(name) => format!("{}:{name}", one.id),
                    MountTarget::File(path) => format!("{}:{path}", one.id),
                };
                vec![held.iter().map(word).collect::<Vec<_>>().join(","), "--".to_owned()]
            },
        }
    }

    /// Makes a graph with names and lines: a file, a step on it that mounts a secret, and a step on this one without
    /// a secret.
    fn graph() -> pb::Definition {
        let base = single_file("base", "/base", 0o644, b"base");
        let mut def = vec![base.def[0].clone()];
        let mut metadata = base.metadata;
        let mut source = pb::Source::default();
        for (number, mounts) in [vec!["theirs"], Vec::new()].into_iter().enumerate() {
            let root = pb::Mount { dest: "/".into(), ..Default::default() };
            let secret = |id: &str| pb::Mount {
                input: -1,
                output: -1,
                dest: format!("/run/secrets/{id}"),
                mount_type: pb::MountType::Secret as i32,
                secret_opt: Some(pb::SecretOpt { id: id.to_owned(), ..Default::default() }),
                ..Default::default()
            };
            let meta = pb::Meta {
                args: vec!["/bin/sh".into(), "-c".into(), format!("step {number}")],
                env: vec!["PATH=/bin".into()],
                cwd: "/srv".into(),
                user: "1000".into(),
                ..Default::default()
            };
            let mounts = [root].into_iter().chain(mounts.into_iter().map(secret)).collect();
            let exec = pb::ExecOp { meta: Some(meta), mounts, network: 2, security: 1, ..Default::default() };
            let input = pb::Input { digest: graph::digest(&def[number]), index: 0 };
            let platform =
                Some(pb::Platform { os: "linux".into(), architecture: "amd64".into(), ..Default::default() });
            let op = pb::Op { inputs: vec![input], op: Some(pb::op::Op::Exec(exec)), platform, ..Default::default() };
            def.push(op.encode_to_vec());
            let digest = graph::digest(&def[number + 1]);
            metadata.insert(digest.clone(), pb::OpMetadata::default());
            source.locations.insert(digest, pb::Locations::default());
        }
        let end = pb::Input { digest: graph::digest(&def[2]), index: 0 };
        def.push(pb::Op { inputs: vec![end], ..Default::default() }.encode_to_vec());
        pb::Definition { def, metadata, source: Some(source) }
    }

    fn injected(plan: &Plan, mode: Mode) -> Injection {
        inject(graph(), plan, mode).unwrap()
    }

    fn execs(definition: &pb::Definition) -> Vec<(pb::Op, pb::ExecOp)> {
        let ops = definition.def.iter().map(|bytes| pb::Op::decode(bytes.as_slice()).unwrap());
        let exec = |op: pb::Op| match op.op.clone() {
            Some(pb::op::Op::Exec(exec)) => Some((op, exec)),
            _ => None,
        };
        ops.filter_map(exec).collect()
    }

    #[test]
    fn only_the_steps_that_hold_a_secret_are_wrapped_and_nothing_else_of_them_changes() {
        let before = injected(&Plan::default(), Mode::Environment);
        let after = wrap(before.clone(), &wrapper(&["theirs"])).unwrap();
        let (old, new) = (execs(&before.definition), execs(&after.definition));
        let mut expected = old[0].1.clone();
        let words = [WRAPPER, "theirs:/run/secrets/theirs", "--"].map(str::to_owned);
        expected.meta.as_mut().unwrap().args.splice(0..0, words);
        expected.mounts.push(pb::Mount {
            input: 1,
            selector: "/program".into(),
            dest: WRAPPER.into(),
            output: -1,
            readonly: true,
            ..Default::default()
        });
        assert_eq!(new[0].1, expected);
        assert_eq!((&new[0].0.platform, new[0].0.inputs.len()), (&old[0].0.platform, 2));
        assert_eq!(new[1].1, old[1].1);
        assert_eq!(new[1].0.inputs[0].digest, after.steps[0].digest);
        assert_eq!(after.definition.def.len(), before.definition.def.len() + 1);
        // Errors and findings refer to steps by the new digests.
        for step in &after.steps {
            assert!(after.definition.source.as_ref().unwrap().locations.contains_key(&step.digest));
        }
        let caps = &after.definition.metadata[&after.steps[0].digest].caps;
        assert!(CAPABILITIES.iter().all(|capability| caps.contains_key(*capability)));
        crate::chain(&after.definition).unwrap();
    }

    /// The engine encodes operations again, and refers to them by the digest of the new bytes.
    #[test]
    fn an_ordered_operation_stays_ordered() {
        for mode in [Mode::Environment, Mode::Mounts] {
            let plan = Plan { secrets: vec![PlannedSecret::variable("TOKEN")], ..Plan::default() };
            let after = wrap(injected(&plan, mode), &wrapper(&["theirs", "TOKEN"])).unwrap();
            let again = |bytes: &Vec<u8>| pb::Op::decode(bytes.as_slice()).unwrap().encode_to_vec() == *bytes;
            assert!(after.definition.def.iter().all(again), "{mode:?}");
            let words: Vec<String> =
                execs(&after.definition).iter().map(|(_, exec)| exec.meta.as_ref().unwrap().args[1].clone()).collect();
            let expected = match mode {
                Mode::Environment => ["TOKEN:TOKEN,theirs:/run/secrets/theirs", "TOKEN:TOKEN"],
                Mode::Mounts => ["theirs:/run/secrets/theirs,TOKEN:/run/pbuild/TOKEN", "TOKEN:/run/pbuild/TOKEN"],
            };
            assert_eq!(words, expected);
        }
    }

    #[test]
    fn wrapping_again_changes_nothing_and_without_a_secret_nothing_changes_at_all() {
        let before = injected(&Plan::default(), Mode::Environment);
        let once = wrap(before.clone(), &wrapper(&["theirs"])).unwrap();
        let twice = wrap(once.clone(), &wrapper(&["theirs"])).unwrap();
        assert_eq!(twice.definition, once.definition);
        let never = wrap(before.clone(), &wrapper(&["other"])).unwrap();
        assert_eq!(never.definition, before.definition);
    }

    #[test]
    fn an_image_that_is_none_and_a_place_that_is_taken_are_refused() {
        let empty = Wrapper { image: pb::Definition::default(), ..wrapper(&["theirs"]) };
        let before = injected(&Plan::default(), Mode::Environment);
        assert!(matches!(wrap(before, &empty), Err(InjectError::Wrapper)));
        let elsewhere = |text: &str| text.replace("/run/secrets/theirs", WRAPPER);
        let mut graph = graph();
        let mut op = pb::Op::decode(graph.def[1].as_slice()).unwrap();
        if let Some(pb::op::Op::Exec(exec)) = &mut op.op {
            exec.mounts[1].dest = elsewhere(&exec.mounts[1].dest);
        }
        graph.def = vec![graph.def[0].clone(), op.encode_to_vec()];
        let end = pb::Input { digest: graph::digest(&graph.def[1]), index: 0 };
        graph.def.push(pb::Op { inputs: vec![end], ..Default::default() }.encode_to_vec());
        let taken = inject(graph, &Plan::default(), Mode::Environment).unwrap();
        assert!(matches!(wrap(taken, &wrapper(&["theirs"])), Err(InjectError::Wrapper)));
    }
}
