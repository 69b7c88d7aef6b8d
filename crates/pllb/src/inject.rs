//! Gives secrets and plain configuration to the steps of a build graph.

use std::collections::{BTreeMap, BTreeSet};

use bollard_buildkit_proto::pb;
use prost::Message as _;

use crate::binding;
use crate::exec::{self, Addition, Mode};
use crate::graph::{self, GraphError};
use crate::pattern::{StepPattern, command_text};
use crate::source::{SourceLines, SourceMap};
use crate::wire::{self, Edit, WireError};

/// The folder in which Docker mounts secrets.
const SECRETS_DIRECTORY: &str = "/run/secrets";

/// The secrets and the configuration for the steps. It contains names and digests, but never a secret's value.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The secrets, in the order in which steps get them.
    pub secrets: Vec<PlannedSecret>,
    /// The public variables for every step, by name and value. They are written into the graph, so they are part of
    /// cache keys. A variable that the step already has (ENV, ARG) stays as it is, and a variable with a secret's
    /// name is left out.
    pub configuration: Vec<(String, String)>,
    /// For each secret that is bound, a digest of its value, which becomes part of the cache keys of all steps that
    /// get the secret, from this plan or by a mount of the Dockerfile. The digest must be made with a key, because
    /// provenance shows an id that is derived from it.
    pub bindings: BTreeMap<String, String>,
}

/// One secret of a plan.
#[derive(Clone, Debug)]
pub struct PlannedSecret {
    /// The secret's name. BuildKit asks the session for the secret by this id, and the variable or the file has this
    /// name.
    pub name: String,
    /// The shape in which steps get the secret.
    pub shape: SecretShape,
    /// The steps that get the secret. Without a pattern, every step gets it.
    pub steps: Vec<StepPattern>,
}

impl PlannedSecret {
    /// Plans a secret as a variable for every step.
    #[must_use]
    pub fn variable(name: &str) -> Self {
        Self { name: name.to_owned(), shape: SecretShape::Variable, steps: Vec::new() }
    }

    fn is_for(&self, command: &str) -> bool {
        self.steps.is_empty() || self.steps.iter().any(|pattern| pattern.matches(command))
    }

    /// Whether a mount or variable of the Dockerfile replaces this secret in a step.
    fn is_replaced_by(&self, own: &MountedSecret) -> bool {
        let same_variable = matches!(&own.target, MountTarget::Variable(name) if *name == self.name);
        same_variable || own.id == self.name
    }

    /// Whether a shell can read a variable with the secret's name. Another name gets a file, without a variable that
    /// has its path (F16).
    fn is_variable(&self) -> bool {
        let mut bytes = self.name.bytes();
        bytes.next().is_some_and(|byte| byte == b'_' || byte.is_ascii_alphabetic())
            && bytes.all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
    }

    /// Returns the path of the secret's file. As in docker, it is the last part of the id, in `/run/secrets`.
    fn path(&self) -> Result<String, InjectError> {
        match self.name.rsplit('/').next() {
            None | Some("" | "." | "..") => Err(InjectError::FileName { name: self.name.clone() }),
            Some(file) => Ok(format!("{SECRETS_DIRECTORY}/{file}")),
        }
    }
}

/// The shape in which a step gets a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretShape {
    /// A variable that holds the value.
    Variable,
    /// A file in memory, `/run/secrets/NAME`, and a variable that holds its path.
    File,
}

/// The graph that [`inject`] made.
#[derive(Clone, Debug)]
pub struct Injection {
    /// The graph that is to be solved. It is unchanged, byte for byte, if the plan selects no step.
    pub definition: pb::Definition,
    /// Every exec step of the graph, in the graph's order, also those that get no secret.
    pub steps: Vec<Step>,
}

/// One exec step, for the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The digest of the vertex in the new graph, which status events and errors use.
    pub digest: String,
    /// The name that the frontend gave to the step, for example `[2/4] RUN npm ci`. If it gave no name, this is the
    /// command.
    pub name: String,
    /// The text of the command, with which patterns are compared.
    pub command: String,
    /// The lines of the Dockerfile that made the step, if known.
    pub source: Option<SourceLines>,
    /// The names of the plan's secrets that the step gets.
    pub offered: Vec<String>,
    /// The secrets that the Dockerfile itself mounts, whose ids the session must serve, too. A binding is not listed.
    pub mounted: Vec<MountedSecret>,
}

/// A secret that the Dockerfile mounts with `RUN --mount=type=secret`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountedSecret {
    /// The id by which BuildKit will ask the session for the secret.
    pub id: String,
    /// Whether the step also runs without the secret.
    pub optional: bool,
    /// The place of the secret in the step.
    pub target: MountTarget,
}

/// The place in a step of a secret that the Dockerfile mounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountTarget {
    /// A variable with this name.
    Variable(String),
    /// A file with this path.
    File(String),
}

/// The reason why nothing was injected. The graph must then not be solved with secrets at all.
#[derive(Debug, thiserror::Error)]
pub enum InjectError {
    /// The definition is not a valid graph.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// An exec operation cannot be read.
    #[error("failed to read the exec operation {digest}")]
    Exec {
        /// The operation's digest before the injection.
        digest: String,
        /// The cause.
        source: prost::DecodeError,
    },
    /// An exec operation has no command.
    #[error("step `{step}` has no command")]
    NoCommand {
        /// The step's name.
        step: String,
    },
    /// The path of a secret is in use by another mount (F10).
    #[error("step `{step}` already mounts something at {path}, where secret `{name}` belongs")]
    Target {
        /// The secret.
        name: String,
        /// The path that both would use.
        path: String,
        /// The step's name.
        step: String,
        /// The lines of the Dockerfile that made the step, if known.
        source_lines: Option<Box<SourceLines>>,
    },
    /// The wrapper cannot be added to a step: its image is empty, or its path is in use by another mount.
    #[error("the program that masks a step's output cannot be mounted into it")]
    Wrapper,
    /// A secret's name cannot be a file's name.
    #[error("secret `{name}` cannot be a file: its name ends in no file name")]
    FileName {
        /// The secret.
        name: String,
    },
}

/// Gives the plan's secrets and configuration to the exec steps of a graph.
///
/// A secret that the Dockerfile already gives to a step, as a mount or a secret variable, stays as it is. All digests
/// that change are updated in inputs, metadata and source map. A second injection of the same plan changes nothing.
///
/// The graph inside a build operation (`BuildOp`) is not covered; a Dockerfile never makes one.
///
/// # Errors
///
/// Returns an error if the definition is malformed, or a secret's path is in use. The graph must then not be solved,
/// because a step without its secret would run with an empty value.
pub fn inject(definition: pb::Definition, plan: &Plan, mode: Mode) -> Result<Injection, InjectError> {
    inject_beyond(definition, plan, mode, &BTreeSet::new())
}

/// Gives the plan's secrets and configuration to the exec steps of a graph that builds on another graph. The steps of
/// the other graph, whose digests are in `settled`, had an injection of their own and stay as they are.
///
/// # Errors
///
/// Returns the same errors as [`inject`].
pub fn inject_beyond(
    definition: pb::Definition,
    plan: &Plan,
    mode: Mode,
    settled: &BTreeSet<String>,
) -> Result<Injection, InjectError> {
    let sources = SourceMap::new(&definition);
    let names = step_names(&definition);
    let mut found: Vec<(String, Step, Vec<&'static str>)> = Vec::new();
    let mut relinked = graph::relink(definition, |old, operation| {
        let Some(exec) = exec_of(operation).map_err(|source| GraphError::Wire { digest: old.to_owned(), source })?
        else {
            return Ok(None);
        };
        let read = pb::ExecOp::decode(exec).map_err(|source| InjectError::Exec { digest: old.to_owned(), source })?;
        let arguments: Vec<&str> = read.meta.iter().flat_map(|meta| &meta.args).map(String::as_str).collect();
        let command = command_text(&arguments);
        let name = names.get(old).cloned().unwrap_or_else(|| command.clone());
        let source = sources.get(old).cloned();
        let mut step =
            Step { digest: String::new(), name, command, source, offered: Vec::new(), mounted: mounted(&read) };
        let addition = match settled.contains(old) {
            true => Addition::default(),
            false => addition(plan, mode, &read, &mut step)?,
        };
        let edited = if addition.is_empty() {
            None
        } else if arguments.is_empty() {
            return Err(InjectError::NoCommand { step: step.name });
        } else {
            let edited = wire::rewrite(operation, |field| {
                if field.number == exec::OP_EXEC {
                    addition.apply(field.bytes()?, mode).map(Edit::Replace)
                } else {
                    Ok(Edit::Keep)
                }
            });
            Some(edited.map_err(|source| GraphError::Wire { digest: old.to_owned(), source })?)
        };
        found.push((old.to_owned(), step, addition.capabilities(mode)));
        Ok::<_, InjectError>(edited)
    })?;
    let mut steps = Vec::with_capacity(found.len());
    for (old, mut step, capabilities) in found {
        step.digest = relinked.digests.get(&old).cloned().unwrap_or(old);
        if !capabilities.is_empty() {
            // An engine without one of these capabilities refuses the graph instead of ignoring the field.
            let caps = &mut relinked.definition.metadata.entry(step.digest.clone()).or_default().caps;
            caps.extend(capabilities.into_iter().map(|capability| (capability.to_owned(), true)));
        }
        steps.push(step);
    }
    Ok(Injection { definition: relinked.definition, steps })
}

/// Lists the names that the frontend gave to operations.
fn step_names(definition: &pb::Definition) -> BTreeMap<String, String> {
    let name = |metadata: &pb::OpMetadata| metadata.description.get("llb.customname").cloned();
    definition.metadata.iter().filter_map(|(digest, metadata)| Some((digest.clone(), name(metadata)?))).collect()
}

/// Returns the bytes of the exec operation, if the operation is one.
///
/// An operation has exactly one kind. Bytes with two kinds are refused, because this reader and the engine could each
/// use another one.
pub(crate) fn exec_of(operation: &[u8]) -> Result<Option<&[u8]>, WireError> {
    let Some(exec) = wire::single(operation, exec::OP_EXEC)? else { return Ok(None) };
    for field in wire::fields(operation) {
        let number = field?.number;
        if number != exec::OP_EXEC && exec::OP_KINDS.contains(&number) {
            return Err(WireError::Repeated { number });
        }
    }
    let exec = exec.bytes()?;
    exec::check(exec)?;
    Ok(Some(exec))
}

pub(crate) fn mounted(exec: &pb::ExecOp) -> Vec<MountedSecret> {
    let variables = exec.secretenv.iter().map(|entry| MountedSecret {
        id: entry.id.clone(),
        optional: entry.optional,
        target: MountTarget::Variable(entry.name.clone()),
    });
    let files = exec.mounts.iter().filter(|mount| !binding::is_binding(mount)).filter_map(|mount| {
        let secret = mount.secret_opt.as_ref().filter(|_| mount.mount_type == pb::MountType::Secret as i32)?;
        let target = MountTarget::File(mount.dest.clone());
        Some(MountedSecret { id: secret.id.clone(), optional: secret.optional, target })
    });
    variables.chain(files).collect()
}

/// Decides what a step gets, and records it in `step`.
fn addition(plan: &Plan, mode: Mode, exec: &pb::ExecOp, step: &mut Step) -> Result<Addition, InjectError> {
    let mut addition = Addition::default();
    let mut taken: BTreeSet<&str> = exec.mounts.iter().map(|mount| mount.dest.trim_end_matches('/')).collect();
    let mut names = BTreeSet::new();
    let wanted = plan.secrets.iter().filter(|secret| secret.is_for(&step.command));
    for secret in wanted.filter(|secret| !step.mounted.iter().any(|own| secret.is_replaced_by(own))) {
        if !names.insert(secret.name.as_str()) {
            continue;
        }
        if secret.is_variable() && secret.shape == SecretShape::Variable {
            addition.variables.push((secret.name.clone(), secret.name.clone()));
        } else {
            let path = secret.path()?;
            if secret.is_variable() {
                addition.paths.push((secret.name.clone(), path.clone()));
            }
            addition.files.push((secret.name.clone(), path));
        }
        step.offered.push(secret.name.clone());
    }
    let got = step.offered.iter().chain(step.mounted.iter().map(|own| &own.id)).map(String::as_str);
    let binding = binding::id(got, &plan.bindings);
    let has = |id: &String| exec.mounts.iter().filter_map(|mount| mount.secret_opt.as_ref()).any(|own| own.id == *id);
    addition.binding = binding.filter(|id| !has(id));
    let targets = addition.targets(mode);
    for path in &targets {
        if !taken.insert(path) {
            return Err(InjectError::Target {
                name: path.rsplit('/').next().unwrap_or_default().to_owned(),
                path: path.clone(),
                step: step.name.clone(),
                source_lines: step.source.clone().map(Box::new),
            });
        }
    }
    names.extend(plan.secrets.iter().map(|secret| secret.name.as_str()));
    names.extend(exec.secretenv.iter().map(|entry| entry.name.as_str()));
    names.extend(exec.meta.iter().flat_map(|meta| &meta.env).map(|entry| exec::variable_name(entry)));
    for (name, value) in &plan.configuration {
        if names.insert(name) {
            addition.configuration.push((name.clone(), value.clone()));
        }
    }
    Ok(addition)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(exec: pb::ExecOp) -> pb::Definition {
        let op = pb::Op { op: Some(pb::op::Op::Exec(exec)), ..Default::default() }.encode_to_vec();
        let digest = graph::digest(&op);
        let description = [("llb.customname".to_owned(), "[2/2] RUN npm ci".to_owned())].into();
        let line = Some(pb::Position { line: 2, character: 0 });
        let ranges = vec![pb::Range { start: line, end: line }];
        let locations = pb::Locations { locations: vec![pb::Location { source_index: 0, ranges }] };
        let info = pb::SourceInfo {
            filename: "Dockerfile".into(),
            data: b"FROM x\nRUN npm ci\n".to_vec(),
            ..Default::default()
        };
        pb::Definition {
            metadata: [(digest.clone(), pb::OpMetadata { description, ..Default::default() })].into(),
            source: Some(pb::Source { locations: [(digest, locations)].into(), infos: vec![info] }),
            def: vec![op],
        }
    }

    fn npm(mounts: Vec<pb::Mount>) -> pb::ExecOp {
        let meta = pb::Meta { args: vec!["/bin/sh".into(), "-c".into(), "npm ci".into()], ..Default::default() };
        pb::ExecOp { meta: Some(meta), mounts, ..Default::default() }
    }

    fn plan(secrets: Vec<PlannedSecret>) -> Plan {
        Plan { secrets, ..Plan::default() }
    }

    #[test]
    fn a_step_is_reported_with_its_new_digest_its_line_and_what_it_got() {
        let injected =
            inject(definition(npm(Vec::new())), &plan(vec![PlannedSecret::variable("TOKEN")]), Mode::Environment)
                .unwrap();
        let [step] = &injected.steps[..] else { panic!("one step") };
        assert_eq!(step.digest, graph::digest(&injected.definition.def[0]));
        assert_eq!((step.name.as_str(), step.command.as_str()), ("[2/2] RUN npm ci", "npm ci"));
        assert_eq!(step.source.as_ref().map(|lines| (lines.first, lines.text[0].as_str())), Some((2, "RUN npm ci")));
        assert_eq!(step.offered, ["TOKEN"]);
        assert!(injected.definition.metadata[&step.digest].caps["exec.secretenv"]);
        assert!(SourceMap::new(&injected.definition).get(&step.digest).is_some());
    }

    #[test]
    fn a_settled_step_keeps_what_its_own_injection_gave_it() {
        let with = |names: &[&str]| plan(names.iter().map(|name| PlannedSecret::variable(name)).collect());
        let before = inject(definition(npm(Vec::new())), &with(&["TOKEN"]), Mode::Environment).unwrap();
        let settled: BTreeSet<String> = before.steps.iter().map(|step| step.digest.clone()).collect();
        let after = inject_beyond(before.definition.clone(), &with(&["OTHER"]), Mode::Environment, &settled).unwrap();
        assert_eq!(after.definition, before.definition);
        assert!(after.steps[0].offered.is_empty());
        let unsettled = inject(before.definition.clone(), &with(&["OTHER"]), Mode::Environment).unwrap();
        assert_ne!(unsettled.definition, before.definition);
    }

    #[test]
    fn a_secret_that_the_dockerfile_mounts_is_left_to_it_f10() {
        let secret = pb::SecretOpt { id: "TOKEN".into(), ..Default::default() };
        let mount = pb::Mount {
            dest: "/root/.npmrc".into(),
            mount_type: pb::MountType::Secret as i32,
            secret_opt: Some(secret),
            ..Default::default()
        };
        let before = definition(npm(vec![mount]));
        let plan = plan(vec![PlannedSecret::variable("TOKEN")]);
        let injected = inject(before.clone(), &plan, Mode::Environment).unwrap();
        assert_eq!(injected.definition, before);
        let own =
            MountedSecret { id: "TOKEN".into(), optional: false, target: MountTarget::File("/root/.npmrc".into()) };
        assert_eq!(injected.steps[0].mounted, [own]);
        assert!(injected.steps[0].offered.is_empty());

        // The value of the mounted secret is bound, too, and a second injection changes nothing.
        let bound = Plan { bindings: [("TOKEN".to_owned(), "1".to_owned())].into(), ..plan };
        let injected = inject(before, &bound, Mode::Environment).unwrap();
        assert_eq!(mount_ids(&injected)[0], "TOKEN");
        assert!(mount_ids(&injected)[1].starts_with("pbuild."));
        assert_eq!(injected.steps[0].mounted.len(), 1, "the binding is no secret of the Dockerfile's");
        let again = inject(injected.definition.clone(), &bound, Mode::Environment).unwrap();
        assert_eq!(again.definition, injected.definition);
    }

    fn mount_ids(injected: &Injection) -> Vec<String> {
        let op = pb::Op::decode(injected.definition.def[0].as_slice()).unwrap().op;
        let Some(pb::op::Op::Exec(exec)) = op else { panic!("an exec") };
        exec.mounts.into_iter().filter_map(|mount| mount.secret_opt).map(|secret| secret.id).collect()
    }

    #[test]
    fn another_value_makes_another_step_where_it_is_bound() {
        let digest_with = |value: &str, bound: &[&str], mode| {
            let bindings = bound.iter().map(|name| ((*name).to_owned(), format!("{name}{value}"))).collect();
            let secrets = vec![PlannedSecret::variable("TOKEN"), PlannedSecret::variable("OTHER")];
            let injected = inject(definition(npm(Vec::new())), &Plan { bindings, ..plan(secrets) }, mode).unwrap();
            assert_eq!(injected.steps[0].offered, ["TOKEN", "OTHER"]);
            injected.steps[0].digest.clone()
        };
        for mode in [Mode::Environment, Mode::Mounts] {
            let digest = |value: &str, bound: &[&str]| digest_with(value, bound, mode);
            assert_eq!(digest("1", &["TOKEN"]), digest("1", &["TOKEN"]));
            assert_ne!(digest("1", &["TOKEN"]), digest("2", &["TOKEN"]));
            assert_ne!(digest("1", &["TOKEN"]), digest("1", &["TOKEN", "OTHER"]));
            assert_eq!(digest("1", &["FOREIGN"]), digest("2", &["FOREIGN"]), "no step gets it");
        }
    }

    #[test]
    fn a_place_that_is_taken_is_an_error_with_the_line_f10() {
        let mount = pb::Mount { dest: "/run/secrets/KEY/".into(), ..Default::default() };
        let key = PlannedSecret { shape: SecretShape::File, ..PlannedSecret::variable("KEY") };
        let error = inject(definition(npm(vec![mount])), &plan(vec![key]), Mode::Environment).unwrap_err();
        assert_eq!(
            error.to_string(),
            "step `[2/2] RUN npm ci` already mounts something at /run/secrets/KEY, where secret `KEY` belongs"
        );
        assert!(matches!(error, InjectError::Target { source_lines: Some(lines), .. } if lines.first == 2));
    }

    #[test]
    fn a_name_that_no_shell_can_read_is_a_file_f16() {
        let injected =
            inject(definition(npm(Vec::new())), &plan(vec![PlannedSecret::variable("team/npm-token")]), Mode::Mounts)
                .unwrap();
        let op = pb::Op::decode(injected.definition.def[0].as_slice()).unwrap().op;
        let Some(pb::op::Op::Exec(exec)) = op else { panic!("an exec") };
        assert_eq!(
            (exec.mounts[0].dest.as_str(), exec.mounts[0].secret_opt.as_ref().unwrap().id.as_str()),
            ("/run/secrets/npm-token", "team/npm-token")
        );
        assert_eq!(exec.meta.unwrap().args, ["/bin/sh", "-c", "npm ci"]);
        for name in ["a/..", "a/"] {
            let error =
                inject(definition(npm(Vec::new())), &plan(vec![PlannedSecret::variable(name)]), Mode::Environment);
            assert!(matches!(error, Err(InjectError::FileName { .. })), "{name}");
        }
    }

    #[test]
    fn bytes_that_are_two_kinds_of_operation_are_refused() {
        let mut both = definition(npm(Vec::new())).def.remove(0);
        wire::append_bytes(&mut both, 3, &[]);
        let definition = pb::Definition { def: vec![both], ..Default::default() };
        let error = inject(definition, &Plan::default(), Mode::Environment).unwrap_err();
        assert!(matches!(
            error,
            InjectError::Graph(GraphError::Wire { source: WireError::Repeated { number: 3 }, .. })
        ));
    }

    #[test]
    fn a_step_without_a_command_gets_no_secret() {
        let empty = definition(pb::ExecOp { meta: Some(pb::Meta::default()), ..Default::default() });
        let error = inject(empty, &plan(vec![PlannedSecret::variable("TOKEN")]), Mode::Environment).unwrap_err();
        assert!(matches!(error, InjectError::NoCommand { .. }));
    }
}
