//! Reads the bytes of one exec operation, and adds secrets and plain configuration to them.

use bollard_buildkit_proto::pb;
use prost::Message as _;

use crate::binding;
use crate::wire::{self, Edit, WireError};

/// The field numbers of an Op that determine its kind; an Op has one of them.
pub(crate) const OP_KINDS: std::ops::RangeInclusive<u32> = 2..=7;
/// The field number of an Op's exec operation.
pub(crate) const OP_EXEC: u32 = 2;
pub(crate) const EXEC_META: u32 = 1;
pub(crate) const EXEC_MOUNTS: u32 = 2;
const EXEC_SECRET_ENVIRONMENT: u32 = 5;
pub(crate) const META_ARGUMENTS: u32 = 1;
const META_ENVIRONMENT: u32 = 2;

/// The folder of the mounts that the prelude reads.
const PRELUDE_DIRECTORY: &str = "/run/pbuild";

/// The way in which a step gets a secret as a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// BuildKit itself sets the variable (`ExecOp.secretenv`, capability `exec.secretenv`). An engine without the
    /// capability silently ignores the field, so the caller must check the capability first.
    Environment,
    /// A secret mount, with a prelude that the `/bin/sh` of the step's own image runs before the step's command. This
    /// is for engines that only have `exec.mount.secret`. It also works for commands in exec form, if the image has a
    /// `/bin/sh`.
    Mounts,
}

/// The additions to one exec operation.
#[derive(Debug, Default)]
pub(crate) struct Addition {
    /// The variables with secrets, by id and name.
    pub(crate) variables: Vec<(String, String)>,
    /// The files with secrets, by id and path.
    pub(crate) files: Vec<(String, String)>,
    /// The variables that are not secret and replace variables of the same name.
    pub(crate) paths: Vec<(String, String)>,
    /// The variables that are not secret; the caller has left out those that exist.
    pub(crate) configuration: Vec<(String, String)>,
    /// The id of the mount that binds the step to its values.
    pub(crate) binding: Option<String>,
}

impl Addition {
    pub(crate) fn is_empty(&self) -> bool {
        let Self { variables, files, paths, configuration, binding } = self;
        [variables, files, paths, configuration].iter().all(|added| added.is_empty()) && binding.is_none()
    }

    /// Lists the capabilities that an engine must have to solve an operation with this addition (solver/pb/caps.go).
    pub(crate) fn capabilities(&self, mode: Mode) -> Vec<&'static str> {
        let mut capabilities = Vec::new();
        if mode == Mode::Environment && !self.variables.is_empty() {
            capabilities.push("exec.secretenv");
        }
        let has_mounts = !self.files.is_empty() || self.binding.is_some();
        if has_mounts || (mode == Mode::Mounts && !self.variables.is_empty()) {
            capabilities.push("exec.mount.secret");
        }
        capabilities
    }

    /// Lists the paths where secrets will be mounted.
    pub(crate) fn targets(&self, mode: Mode) -> Vec<String> {
        let private = self.variables.iter().filter(|_| mode == Mode::Mounts).map(|(_, name)| prelude_path(name));
        self.files.iter().map(|(_, path)| path.clone()).chain(private).collect()
    }

    /// Adds the additions to the bytes of an ExecOp.
    ///
    /// New entries of repeated fields follow the existing ones; only the prelude precedes the arguments.
    pub(crate) fn apply(&self, exec: &[u8], mode: Mode) -> Result<Vec<u8>, WireError> {
        let prelude = (mode == Mode::Mounts && !self.variables.is_empty()).then(|| prelude(&self.variables));
        let with_meta = wire::rewrite(exec, |field| {
            if field.number == EXEC_META {
                self.meta(field.bytes()?, prelude.as_deref()).map(Edit::Replace)
            } else {
                Ok(Edit::Keep)
            }
        })?;
        let mut mounts: Vec<Vec<u8>> = self.files.iter().map(|(id, path)| secret_mount(id, path)).collect();
        let mut entries = Vec::new();
        for (id, name) in &self.variables {
            match mode {
                Mode::Environment => {
                    let entry = pb::SecretEnv { id: id.clone(), name: name.clone(), optional: false };
                    entries.push(entry.encode_to_vec());
                }
                Mode::Mounts => mounts.push(secret_mount(id, &prelude_path(name))),
            }
        }
        mounts.extend(self.binding.iter().map(|id| binding::mount(id).encode_to_vec()));
        let with_mounts = wire::insert_bytes(&with_meta, EXEC_MOUNTS, &mounts)?;
        wire::insert_bytes(&with_mounts, EXEC_SECRET_ENVIRONMENT, &entries)
    }

    fn meta(&self, meta: &[u8], prelude: Option<&str>) -> Result<Vec<u8>, WireError> {
        let mut out = Vec::new();
        // These words precede the step's own. `sh` is the name that the prelude's shell uses in its messages.
        for word in prelude.iter().flat_map(|prelude| ["/bin/sh", "-c", prelude, "sh"]) {
            wire::append_bytes(&mut out, META_ARGUMENTS, word.as_bytes());
        }
        let replaced = |entry: &str| self.paths.iter().any(|(name, _)| variable_name(entry) == name);
        out.extend(wire::rewrite(meta, |field| {
            let goes = field.number == META_ENVIRONMENT && replaced(field.text()?);
            Ok::<_, WireError>(if goes { Edit::Remove } else { Edit::Keep })
        })?);
        let added = self.paths.iter().chain(&self.configuration);
        let entries: Vec<Vec<u8>> = added.map(|(name, value)| format!("{name}={value}").into_bytes()).collect();
        wire::insert_bytes(&out, META_ENVIRONMENT, &entries)
    }
}

/// Checks that an exec operation has at most one meta.
pub(crate) fn check(exec: &[u8]) -> Result<(), WireError> {
    wire::single(exec, EXEC_META).map(drop)
}

/// Returns the name in `NAME=VALUE`.
pub(crate) fn variable_name(entry: &str) -> &str {
    entry.split_once('=').map_or(entry, |(name, _)| name)
}

fn prelude_path(name: &str) -> String {
    format!("{PRELUDE_DIRECTORY}/{name}")
}

/// Makes the mount of a secret. Everybody in the step may read it, because the step may run as any user, and the
/// mount exists only in this step.
fn secret_mount(id: &str, path: &str) -> Vec<u8> {
    let secret = pb::SecretOpt { id: id.to_owned(), mode: 0o444, ..Default::default() };
    let mount = pb::Mount {
        // The mount is not built on an input, and is not an output of the step.
        input: -1,
        output: -1,
        dest: path.to_owned(),
        mount_type: pb::MountType::Secret as i32,
        secret_opt: Some(secret),
        ..Default::default()
    };
    mount.encode_to_vec()
}

/// Writes a POSIX script that exports every variable from its file, and then executes the step's command.
///
/// The script uses only the shell: `$(cat …)` would need a `cat` in the image, and would lose line ends at a value's
/// end. If a file is missing, the step fails instead of running without the value. The names are shell names; the
/// caller has checked this.
fn prelude(variables: &[(String, String)]) -> String {
    let mut script = String::new();
    for (_, name) in variables {
        let path = prelude_path(name);
        script.push_str(&format!(
            "{name}=\nwhile IFS= read -r pbuild_line; do {name}=\"${{{name}}}${{pbuild_line}}\n\"; done <{path} || exit 125\n\
             {name}=\"${{{name}}}${{pbuild_line}}\"\nexport {name}\n"
        ));
    }
    script.push_str("unset pbuild_line\nexec \"$@\"");
    script
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;

    fn exec(environment: &[&str]) -> Vec<u8> {
        let meta = pb::Meta {
            args: vec!["npm".into(), "ci".into()],
            env: environment.iter().map(|entry| (*entry).to_owned()).collect(),
            ..Default::default()
        };
        pb::ExecOp { meta: Some(meta), ..Default::default() }.encode_to_vec()
    }

    fn pair(first: &str, second: &str) -> Vec<(String, String)> {
        vec![(first.to_owned(), second.to_owned())]
    }

    fn applied(addition: &Addition, mode: Mode, environment: &[&str]) -> pb::ExecOp {
        pb::ExecOp::decode(addition.apply(&exec(environment), mode).unwrap().as_slice()).unwrap()
    }

    /// The engine encodes operations again, and refers to them by the digest of the new bytes.
    #[test]
    fn an_ordered_operation_stays_ordered() {
        let meta = pb::Meta {
            args: vec!["npm".into(), "ci".into()],
            env: vec!["PATH=/bin".into()],
            cwd: "/".into(),
            user: "1234".into(),
            hostname: "build".into(),
            valid_exit_codes: vec![0, 3],
            ..Default::default()
        };
        let exec = pb::ExecOp {
            meta: Some(meta),
            mounts: vec![pb::Mount { dest: "/".into(), ..Default::default() }],
            network: 1,
            security: 1,
            secretenv: vec![pb::SecretEnv { id: "theirs".into(), ..Default::default() }],
            cdi_devices: vec![pb::CdiDevice { name: "gpu".into(), ..Default::default() }],
        };
        let addition = Addition {
            variables: pair("TOKEN", "TOKEN"),
            files: pair("KEY", "/run/secrets/KEY"),
            paths: pair("KEY", "/run/secrets/KEY"),
            configuration: pair("MODE", "production"),
            binding: Some("pbuild.1".to_owned()),
        };
        for mode in [Mode::Environment, Mode::Mounts] {
            let edited = addition.apply(&exec.encode_to_vec(), mode).unwrap();
            assert_eq!(edited, pb::ExecOp::decode(edited.as_slice()).unwrap().encode_to_vec(), "{mode:?}");
        }
    }

    #[test]
    fn a_variable_is_a_required_secret_environment_entry() {
        let addition = Addition { variables: pair("theirs", "TOKEN"), ..Default::default() };
        let op = applied(&addition, Mode::Environment, &["TOKEN=old"]);
        assert_eq!(op.secretenv, [pb::SecretEnv { id: "theirs".into(), name: "TOKEN".into(), optional: false }]);
        assert_eq!(op.mounts, []);
        assert_eq!(op.meta.unwrap().args, ["npm", "ci"]);
        assert_eq!(addition.capabilities(Mode::Environment), ["exec.secretenv"]);
        assert!(addition.targets(Mode::Environment).is_empty());
    }

    #[test]
    fn without_the_capability_a_variable_is_a_mount_and_a_prelude() {
        let addition = Addition { variables: pair("TOKEN", "TOKEN"), ..Default::default() };
        let op = applied(&addition, Mode::Mounts, &[]);
        assert_eq!(op.secretenv, []);
        assert_eq!(
            (op.mounts[0].dest.as_str(), op.mounts[0].input, op.mounts[0].output),
            ("/run/pbuild/TOKEN", -1, -1)
        );
        let secret = op.mounts[0].secret_opt.as_ref().unwrap();
        assert_eq!((secret.id.as_str(), secret.mode, secret.optional), ("TOKEN", 0o444, false));
        let arguments = op.meta.unwrap().args;
        assert_eq!(
            (&arguments[..2], &arguments[3..]),
            (&["/bin/sh".into(), "-c".into()][..], &["sh".into(), "npm".into(), "ci".into()][..])
        );
        assert_eq!(addition.capabilities(Mode::Mounts), ["exec.mount.secret"]);
        assert_eq!(addition.targets(Mode::Mounts), ["/run/pbuild/TOKEN"]);
    }

    #[test]
    fn a_binding_is_an_optional_mount_in_both_modes() {
        let addition = Addition { binding: Some("pbuild.1".to_owned()), ..Default::default() };
        assert!(!addition.is_empty());
        for mode in [Mode::Environment, Mode::Mounts] {
            let op = applied(&addition, mode, &[]);
            assert_eq!(op.meta.unwrap().args, ["npm", "ci"]);
            let secret = op.mounts[0].secret_opt.as_ref().unwrap();
            assert_eq!((secret.id.as_str(), secret.optional), ("pbuild.1", true));
            assert_eq!(addition.capabilities(mode), ["exec.mount.secret"]);
            assert!(addition.targets(mode).is_empty(), "it takes no place");
        }
    }

    #[test]
    fn a_file_is_a_mount_and_its_path_a_variable_that_wins() {
        let addition = Addition {
            files: pair("KEY", "/run/secrets/KEY"),
            paths: pair("KEY", "/run/secrets/KEY"),
            configuration: pair("MODE", "production"),
            ..Default::default()
        };
        let op = applied(&addition, Mode::Environment, &["PATH=/bin", "KEY=old", "KEYS=kept", "KEY"]);
        assert_eq!(op.meta.unwrap().env, ["PATH=/bin", "KEYS=kept", "KEY=/run/secrets/KEY", "MODE=production"]);
        assert_eq!(op.mounts[0].dest, "/run/secrets/KEY");
    }

    /// Runs the script in this machine's own shells, with the files in another folder.
    #[test]
    fn the_prelude_carries_every_value_byte_for_byte() {
        let directory = std::env::temp_dir().join(format!("prelude-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let script = prelude(&pair("TOKEN", "TOKEN")).replace(PRELUDE_DIRECTORY, directory.to_str().unwrap());
        let values: [&[u8]; 8] = [
            b"plain",
            b"two\nlines\n\n",
            b"\n",
            b"  blanks \t ",
            b"back\\slash \\n \\",
            b"$HOME `id` \"'*",
            b"\r\n",
            b"\xff\xfe x",
        ];
        let shells = [&["/bin/sh"][..], &["/bin/bash"], &["/bin/busybox", "sh"]];
        let mut tried = 0;
        for shell in shells.into_iter().filter(|shell| fs::exists(shell[0]).unwrap()) {
            for value in values {
                fs::write(directory.join("TOKEN"), value).unwrap();
                let output = Command::new(shell[0])
                    .args(&shell[1..])
                    .args([
                        "-c",
                        &script,
                        "sh",
                        "/bin/sh",
                        "-c",
                        "printf %s \"$TOKEN${pbuild_line-}\"; printf '|%s' \"$@\"",
                        "x",
                        "a b",
                        "c",
                    ])
                    .env("TOKEN", "from before")
                    .output()
                    .unwrap();
                assert_eq!(output.stdout, [value, b"|a b|c"].concat(), "{shell:?}");
                tried += 1;
            }
            fs::remove_file(directory.join("TOKEN")).unwrap();
            let status =
                Command::new(shell[0]).args(&shell[1..]).args(["-c", &script, "sh", "true"]).output().unwrap().status;
            assert!(!status.success(), "{shell:?} ran the step without its secret");
        }
        assert!(tried >= values.len());
        fs::remove_dir_all(directory).unwrap();
    }
}
