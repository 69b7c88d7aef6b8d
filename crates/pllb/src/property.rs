//! Tests properties of the injection with random graphs, which have unknown fields at every level.

use std::collections::{BTreeMap, BTreeSet};

use bollard_buildkit_proto::pb;
use proptest::prelude::*;
use prost::Message as _;

use crate::binding;
use crate::wire::{self, Value};
use crate::{Mode, Plan, PlannedSecret, SecretShape, StepPattern, digest, inject};

/// The number from which on fields are unknown to every type.
const UNKNOWN: u32 = 1000;

/// One operation before it is encoded. Its inputs are indexes of earlier operations, modulo their number.
#[derive(Clone, Debug)]
struct Node {
    inputs: Vec<usize>,
    command: Option<String>,
    environment: Vec<String>,
    own_secret: Option<String>,
    own_variable: Option<String>,
    unknown: [Vec<u8>; 5],
}

/// Makes an unknown field of any wire type, including groups and varints that are longer than needed.
fn unknown_field() -> impl Strategy<Value = Vec<u8>> {
    let tag = |kind: u64| move |number: u32| varint(u64::from(number + UNKNOWN) << 3 | kind);
    let number = 0..5000_u32;
    prop_oneof![
        (number.clone(), any::<u64>()).prop_map(move |(n, value)| [tag(0)(n), varint(value)].concat()),
        (number.clone(), any::<u8>()).prop_map(move |(n, value)| [tag(0)(n), vec![value | 0x80, 0x80, 0]].concat()),
        (number.clone(), any::<[u8; 8]>()).prop_map(move |(n, value)| [tag(1)(n), value.to_vec()].concat()),
        (number.clone(), prop::collection::vec(any::<u8>(), 0..40)).prop_map(move |(n, value)| [
            tag(2)(n),
            varint(value.len() as u64),
            value
        ]
        .concat()),
        (number.clone(), any::<[u8; 4]>()).prop_map(move |(n, value)| [
            tag(3)(n),
            vec![0x0d],
            value.to_vec(),
            tag(4)(n)
        ]
        .concat()),
        (number, any::<[u8; 4]>()).prop_map(move |(n, value)| [tag(5)(n), value.to_vec()].concat()),
    ]
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn unknown() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(unknown_field(), 0..3).prop_map(|fields| fields.concat())
}

fn node() -> impl Strategy<Value = Node> {
    (
        prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        prop::option::of(prop::sample::select(vec!["npm ci", "npm test", "pip install", "true"])),
        prop::collection::vec(prop::sample::select(vec!["PATH=/bin", "MODE=old", "KEY=old", "BARE"]), 0..3),
        prop::option::of(prop::sample::select(vec!["TOKEN", "KEY", "other"])),
        prop::option::of(prop::sample::select(vec!["TOKEN", "MODE", "OTHER"])),
        [unknown(), unknown(), unknown(), unknown(), unknown()],
    )
        .prop_map(|(inputs, command, environment, own_secret, own_variable, unknown)| Node {
            inputs: inputs.iter().map(|index| index.index(1 << 16)).collect(),
            command: command.map(str::to_owned),
            environment: environment.into_iter().map(str::to_owned).collect(),
            own_secret: own_secret.map(str::to_owned),
            own_variable: own_variable.map(str::to_owned),
            unknown,
        })
}

impl Node {
    /// Encodes the operation, with unknown fields before, between and after the known ones.
    fn encode(&self, position: usize, digests: &[String]) -> Vec<u8> {
        let [of_op, of_input, of_exec, of_meta, of_mount] = &self.unknown;
        let mut op = of_op.clone();
        if !digests.is_empty() {
            for input in &self.inputs {
                let input = pb::Input { digest: digests[input % digests.len()].clone(), index: (input % 3) as i64 };
                let bytes = [of_input.clone(), input.encode_to_vec(), of_input.clone()].concat();
                wire::append_bytes(&mut op, 1, &bytes);
            }
        }
        let Some(command) = &self.command else {
            let source = pb::SourceOp { identifier: format!("docker-image://base{position}"), ..Default::default() };
            wire::append_bytes(&mut op, 3, &[source.encode_to_vec(), of_exec.clone()].concat());
            return [op, of_op.clone()].concat();
        };
        let meta = pb::Meta {
            args: vec!["/bin/sh".into(), "-c".into(), command.clone()],
            env: self.environment.clone(),
            cwd: format!("/{position}"),
            ..Default::default()
        };
        let mut exec = of_exec.clone();
        wire::append_bytes(&mut exec, 1, &[of_meta.clone(), meta.encode_to_vec(), of_meta.clone()].concat());
        let root = pb::Mount { dest: "/".into(), ..Default::default() };
        wire::append_bytes(&mut exec, 2, &[root.encode_to_vec(), of_mount.clone()].concat());
        if let Some(id) = &self.own_secret {
            let mount = pb::Mount {
                dest: format!("/own/{id}"),
                mount_type: pb::MountType::Secret as i32,
                secret_opt: Some(pb::SecretOpt { id: id.clone(), optional: true, ..Default::default() }),
                ..Default::default()
            };
            wire::append_bytes(&mut exec, 2, &[of_mount.clone(), mount.encode_to_vec()].concat());
        }
        if let Some(name) = &self.own_variable {
            let entry = pb::SecretEnv { id: "theirs".into(), name: name.clone(), optional: true };
            wire::append_bytes(&mut exec, 5, &[entry.encode_to_vec(), of_mount.clone()].concat());
        }
        wire::append_bytes(&mut op, 2, &[exec, of_exec.clone()].concat());
        [op, of_op.clone()].concat()
    }
}

fn definition(nodes: &[Node], reversed: bool) -> pb::Definition {
    let mut result = pb::Definition { source: Some(pb::Source::default()), ..Default::default() };
    let mut digests = Vec::new();
    for (position, node) in nodes.iter().enumerate() {
        let bytes = node.encode(position, &digests);
        let name = digest(&bytes);
        let description = [("llb.customname".to_owned(), format!("step {position}"))].into();
        let metadata = pb::OpMetadata { ignore_cache: position % 2 == 0, description, ..Default::default() };
        result.metadata.insert(name.clone(), metadata);
        let line = Some(pb::Position { line: position as i32 + 1, character: 0 });
        let range = pb::Range { start: line, end: line };
        let locations = vec![pb::Location { source_index: 0, ranges: vec![range] }];
        if let Some(source) = &mut result.source {
            source.locations.insert(name.clone(), pb::Locations { locations });
        }
        digests.push(name);
        result.def.push(bytes);
    }
    if reversed {
        result.def.reverse();
    }
    result
}

fn plan() -> Plan {
    Plan {
        secrets: vec![
            PlannedSecret::variable("TOKEN"),
            PlannedSecret { steps: vec![StepPattern::new("npm *")], ..PlannedSecret::variable("NPM") },
            PlannedSecret { shape: SecretShape::File, ..PlannedSecret::variable("KEY") },
            PlannedSecret::variable("not-a-variable"),
        ],
        configuration: vec![("MODE".into(), "production".into()), ("TOKEN".into(), "shadowed".into())],
        bindings: ["TOKEN", "NPM", "other"].map(|name| (name.to_owned(), format!("digest of {name}"))).into(),
    }
}

/// Collects all unknown fields of an operation, in order, each with the path of known fields that leads to it.
fn unknown_fields(message: &[u8], path: &[u32], found: &mut Vec<(Vec<u32>, Vec<u8>)>) {
    for field in wire::fields(message) {
        let field = field.expect("a message");
        let inside = [path, &[field.number]].concat();
        if field.number >= UNKNOWN {
            found.push((inside, field.raw.to_vec()));
        } else if let (Value::Bytes(bytes), [1] | [2] | [3] | [2, 1] | [2, 2] | [2, 5]) =
            (field.value, inside.as_slice())
        {
            unknown_fields(bytes, &inside, found);
        }
    }
}

fn unknown_of(operation: &[u8]) -> Vec<(Vec<u32>, Vec<u8>)> {
    let mut found = Vec::new();
    unknown_fields(operation, &[], &mut found);
    found
}

fn exec_of(operation: &[u8]) -> Option<pb::ExecOp> {
    match pb::Op::decode(operation).expect("an operation").op {
        Some(pb::op::Op::Exec(exec)) => Some(exec),
        _ => None,
    }
}

fn modes() -> impl Strategy<Value = Mode> {
    prop::sample::select(vec![Mode::Environment, Mode::Mounts])
}

proptest! {
    #[test]
    fn the_graph_stays_whole_and_unknown_fields_survive(
        nodes in prop::collection::vec(node(), 0..12), reversed in any::<bool>(), mode in modes(),
    ) {
        let before = definition(&nodes, reversed);
        let after = inject(before.clone(), &plan(), mode).unwrap();
        let old: Vec<String> = before.def.iter().map(|bytes| digest(bytes)).collect();
        let new: Vec<String> = after.definition.def.iter().map(|bytes| digest(bytes)).collect();
        prop_assert_eq!(old.len(), new.len());
        let moved: BTreeMap<&String, &String> = old.iter().zip(&new).collect();

        for (was, is) in before.def.iter().zip(&after.definition.def) {
            prop_assert_eq!(unknown_of(was), unknown_of(is));
            let (was, is) = (pb::Op::decode(was.as_slice()).unwrap(), pb::Op::decode(is.as_slice()).unwrap());
            let followed: Vec<pb::Input> = was
                .inputs
                .iter()
                .map(|input| pb::Input { digest: moved[&input.digest].clone(), index: input.index })
                .collect();
            prop_assert_eq!(followed, is.inputs);
            prop_assert_eq!((was.platform, was.constraints), (is.platform, is.constraints));
        }

        let keys = |names: Vec<&String>| names.into_iter().map(|name| moved[name].clone()).collect::<BTreeSet<_>>();
        let metadata = &after.definition.metadata;
        prop_assert_eq!(keys(before.metadata.keys().collect()), metadata.keys().cloned().collect());
        let (old_source, new_source) = (before.source.unwrap(), after.definition.source.clone().unwrap());
        prop_assert_eq!(keys(old_source.locations.keys().collect()), new_source.locations.keys().cloned().collect());
        for (name, described) in &before.metadata {
            let mut without_capabilities = metadata[moved[name]].clone();
            without_capabilities.caps.clear();
            prop_assert_eq!(described, &without_capabilities);
        }
        for (name, locations) in &old_source.locations {
            prop_assert_eq!(locations, &new_source.locations[moved[name]]);
        }

        // Every exec operation is reported once, with a digest that exists.
        let execs = after.definition.def.iter().filter(|bytes| exec_of(bytes).is_some());
        let reported: BTreeSet<String> = after.steps.iter().map(|step| step.digest.clone()).collect();
        prop_assert_eq!(execs.map(|bytes| digest(bytes)).collect::<BTreeSet<_>>(), reported);
        prop_assert_eq!(after.steps.len(), nodes.iter().filter(|node| node.command.is_some()).count());
    }

    #[test]
    fn each_step_gets_what_the_plan_says_and_keeps_what_it_had(nodes in prop::collection::vec(node(), 1..8), mode in modes()) {
        let before = definition(&nodes, false);
        let after = inject(before.clone(), &plan(), mode).unwrap();
        for (position, node) in nodes.iter().enumerate() {
            let (Some(mut was), Some(is)) = (exec_of(&before.def[position]), exec_of(&after.definition.def[position])) else {
                continue;
            };
            let has = |name: &str| node.own_secret.as_deref() == Some(name) || node.own_variable.as_deref() == Some(name);
            let command = node.command.as_deref().unwrap();
            let token = !has("TOKEN");
            let npm = command.starts_with("npm");
            let key = !has("KEY");

            let meta = was.meta.as_mut().unwrap();
            if key {
                meta.env.retain(|entry| !entry.starts_with("KEY="));
                meta.env.push("KEY=/run/secrets/KEY".into());
            }
            if node.own_variable.as_deref() != Some("MODE") && !node.environment.contains(&"MODE=old".to_owned()) {
                meta.env.push("MODE=production".into());
            }
            let mut got = is.meta.clone().unwrap();
            if mode == Mode::Mounts && (token || npm) {
                prop_assert_eq!((got.args[0].as_str(), got.args[1].as_str(), got.args[3].as_str()), ("/bin/sh", "-c", "sh"));
                got.args.drain(..4);
            }
            prop_assert_eq!(&got, was.meta.as_ref().unwrap());

            let mut variables = BTreeSet::new();
            if token { variables.insert(("TOKEN", "TOKEN")); }
            if npm { variables.insert(("NPM", "NPM")); }
            let entries: BTreeSet<(&str, &str)> = is.secretenv[was.secretenv.len()..].iter().map(|entry| (entry.id.as_str(), entry.name.as_str())).collect();
            let (bindings, added): (Vec<&pb::Mount>, Vec<&pb::Mount>) =
                is.mounts[was.mounts.len()..].iter().partition(|mount| binding::is_binding(mount));
            let gets_bound = token || npm || matches!(node.own_secret.as_deref(), Some("TOKEN" | "other"));
            prop_assert_eq!(bindings.len(), usize::from(gets_bound));
            let mounted: BTreeSet<(&str, &str)> = added.into_iter()
                .map(|mount| (mount.secret_opt.as_ref().unwrap().id.as_str(), mount.dest.as_str())).collect();
            let mut files: BTreeSet<(&str, &str)> = [("not-a-variable", "/run/secrets/not-a-variable")].into();
            if key { files.insert(("KEY", "/run/secrets/KEY")); }
            match mode {
                Mode::Environment => prop_assert_eq!(entries, variables),
                Mode::Mounts => {
                    prop_assert!(entries.is_empty());
                    if token { files.insert(("TOKEN", "/run/pbuild/TOKEN")); }
                    if npm { files.insert(("NPM", "/run/pbuild/NPM")); }
                }
            }
            prop_assert_eq!(mounted, files);
            prop_assert_eq!(&is.secretenv[..was.secretenv.len()], &was.secretenv[..]);
            prop_assert_eq!(&is.mounts[..was.mounts.len()], &was.mounts[..]);
            prop_assert!(is.secretenv[was.secretenv.len()..].iter().all(|entry| !entry.optional));
        }
    }

    #[test]
    fn injecting_again_changes_nothing_f20(nodes in prop::collection::vec(node(), 0..8), reversed in any::<bool>(), mode in modes()) {
        // A pattern no longer matches the command of a step that got a prelude, so this plan is for all steps.
        let mut plan = plan();
        plan.secrets.iter_mut().for_each(|secret| secret.steps.clear());
        let once = inject(definition(&nodes, reversed), &plan, mode).unwrap().definition;
        let twice = inject(once.clone(), &plan, mode).unwrap().definition;
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn a_plan_that_selects_nothing_leaves_every_byte(nodes in prop::collection::vec(node(), 0..8), reversed in any::<bool>(), mode in modes()) {
        let before = definition(&nodes, reversed);
        let unmatched = PlannedSecret { steps: vec![StepPattern::new("cargo *")], ..PlannedSecret::variable("TOKEN") };
        for plan in [Plan::default(), Plan { secrets: vec![unmatched], ..Plan::default() }] {
            prop_assert_eq!(&before, &inject(before.clone(), &plan, mode).unwrap().definition);
        }
    }

    #[test]
    fn malformed_operations_are_an_error_or_a_graph(
        nodes in prop::collection::vec(node(), 1..4), cut in any::<prop::sample::Index>(), flip in any::<(prop::sample::Index, u8)>(), mode in modes(),
    ) {
        let mut broken = definition(&nodes, false);
        let last = broken.def.last_mut().unwrap();
        if !last.is_empty() {
            let position = flip.0.index(last.len());
            last[position] ^= flip.1;
            last.truncate(cut.index(last.len()) + 1);
        }
        // The test proves that there is no panic. If there is a result, its digests must be right.
        if let Ok(after) = inject(broken, &plan(), mode) {
            let names: BTreeSet<String> = after.definition.def.iter().map(|bytes| digest(bytes)).collect();
            for operation in &after.definition.def {
                for input in pb::Op::decode(operation.as_slice()).into_iter().flat_map(|op| op.inputs) {
                    prop_assert!(names.contains(&input.digest));
                }
            }
        }
    }
}
