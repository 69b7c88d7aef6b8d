//! The acts that the user allows a manifest.
//!
//! A manifest acts like code of the people who wrote the repository. Its entries run commands, read files, read
//! variables of the process environment, and mount paths of the host on the machine of the user who runs the tool. An
//! act happens only after the user allowed it with `pbuild trust`, for exactly this entry of this file. A private
//! file in the user's state folder keeps one digest for each allowed act. A new or changed entry needs trust again;
//! unchanged entries keep it.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use papp::{Check, Health, Init, Manifest, Mount, Origin, Process, VolumeSource};
use pvault::{Environment, VaultError, state_folder};
use sha2::{Digest as _, Sha256};

use crate::FoundManifest;
use pscreen::{Diagnostic, Exit};

/// The file in the state folder. It has a line for each act: the digest of the manifest's path, and the digest of the
/// act.
const FILE: &str = "trusted";

/// The reason why trust cannot be recorded.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// There is no state folder.
    #[error("no place to remember trust: neither HOME nor XDG_STATE_HOME is an absolute path")]
    NoHome,
    /// The manifest can be changed by other users.
    #[error("{} cannot be trusted: {danger}", path.display())]
    Danger {
        /// The manifest.
        path: PathBuf,
        /// The reason.
        danger: Danger,
    },
    /// The state folder belongs to another user or is open to others, or its file cannot be written.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The path of the manifest cannot be resolved.
    #[error("failed to use {}", path.display())]
    Io {
        /// The manifest.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl TrustError {
    /// Explains the error to people.
    #[must_use]
    pub fn diagnostic(&self) -> Diagnostic {
        let diagnostic = Diagnostic::from_error(self, Exit::Usage);
        match self {
            Self::Danger { path, danger } => diagnostic.help(danger.help(path)),
            Self::Vault(error) => error.help().into_iter().fold(diagnostic, Diagnostic::help),
            Self::NoHome | Self::Io { .. } => diagnostic,
        }
    }
}

/// The reason why the trust in a manifest does not count: another user may change the file (C11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Danger {
    /// Every user may write to the file.
    Writable {
        /// The file's mode.
        mode: u32,
    },
    /// The file belongs to another user, who is not root.
    Foreign {
        /// The user who owns the file.
        owner: u32,
        /// The user who runs the tool.
        user: u32,
    },
}

impl std::fmt::Display for Danger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Writable { mode } => write!(f, "every user may write to it (mode {mode:04o})"),
            Self::Foreign { owner, user } => {
                write!(f, "it belongs to user {owner}, not to user {user} who runs this")
            }
        }
    }
}

impl Danger {
    /// Returns the danger of a file, if there is one.
    fn of(path: &Path) -> Option<Self> {
        // A missing file cannot act.
        let metadata = fs::metadata(path).ok()?;
        let (owner, user) = (metadata.uid(), rustix::process::geteuid().as_raw());
        if metadata.mode() & 0o002 != 0 {
            return Some(Self::Writable { mode: metadata.mode() & 0o7777 });
        }
        (owner != user && owner != 0).then_some(Self::Foreign { owner, user })
    }

    /// Returns advice against the danger.
    pub(crate) fn help(self, path: &Path) -> String {
        match self {
            Self::Writable { .. } => format!("chmod o-w {}, or --trust-config for this once", path.display()),
            Self::Foreign { .. } => "run this as the file's owner, or with --trust-config".to_owned(),
        }
    }
}

/// Computes SHA-256 over the parts, each preceded by its length. The result is in hex.
pub(crate) fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    base16ct::lower::encode_string(&hash.finalize())
}

/// An act of one entry of a manifest, which needs the user's trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// The line of the entry in the manifest, from 1.
    pub line: usize,
    /// The description of the act, for people and for the digest.
    pub told: String,
    /// The argument of `--secret` that gives the value without this act, if there is one.
    pub flag: Option<String>,
}

impl Act {
    /// Describes how this secret gets its value: from the source of its `from`, or else from the process environment.
    /// Returns `None` for a composed secret.
    #[must_use]
    pub fn of(secret: &papp::Secret) -> Option<Self> {
        let name = &secret.name;
        let variable = |variable: &str| format!("reads the environment variable {variable:?}");
        let (what, flag) = match &secret.from {
            Some(Origin::Variable(other)) => (variable(other), format!("id={name},env={other}")),
            Some(Origin::File(path)) => {
                (format!("reads the file {path:?}"), format!("id={name},src={}", path.display()))
            }
            Some(Origin::Command { words, .. }) => (format!("runs {words:?}"), format!("id={name},src=FILE")),
            None if secret.value.is_some() => return None,
            None => (variable(name), format!("id={name}")),
        };
        Some(Self { line: secret.line, told: format!("`{name}` {what}"), flag: Some(flag) })
    }

    /// Describes how this secret gets its value from an env file that the manifest names.
    #[must_use]
    pub fn of_file(file: &papp::EnvFile, secret: &papp::Secret) -> Self {
        let name = &secret.name;
        let told = format!("`{name}` reads the env file {:?}", file.path);
        Self { line: file.line, told, flag: Some(format!("id={name}")) }
    }

    /// Describes the mount of a folder, a file or a socket of the host. Returns `None` for a volume of the project.
    #[must_use]
    pub fn of_mount(mount: &Mount) -> Option<Self> {
        let VolumeSource::Host(path) = &mount.volume.source else { return None };
        let extent = if mount.volume.read_only { "reads" } else { "reads and writes" };
        let told = format!("the container {extent} {path:?} of the host, at {:?}", mount.volume.target);
        Some(Self { line: mount.line, told, flag: None })
    }

    fn of_init(init: &Init) -> Self {
        let told = format!("`{}` runs {:?} beside what is mounted of the host", init.name, init.command);
        Self { line: init.line, told, flag: None }
    }

    fn of_process(process: &Process) -> Option<Self> {
        let command = process.command.as_ref()?;
        let told = format!("process `{}` runs {command:?} beside what is mounted of the host", process.name);
        Some(Self { line: process.line, told, flag: None })
    }

    fn of_health(health: &Health) -> Option<Self> {
        let Check::Command(command) = &health.check else { return None };
        let told = format!("the health check runs {command:?} beside what is mounted of the host");
        Some(Self { line: health.line, told, flag: None })
    }

    fn digest(&self) -> String {
        digest(&[b"act 1", self.told.as_bytes()])
    }
}

/// Lists all acts of a manifest.
#[must_use]
pub fn acts(manifest: &Manifest) -> Vec<Act> {
    let of_files = |secret: &papp::Secret| -> Vec<Act> {
        let files = manifest.env_files.iter().filter(|_| secret.from.is_none());
        files.map(|file| Act::of_file(file, secret)).collect()
    };
    let of_secrets = manifest.acting_secrets().flat_map(|secret| Act::of(secret).into_iter().chain(of_files(secret)));
    of_secrets.chain(acts_on_host(manifest)).collect()
}

/// Lists the acts of a start on the host: the mounts of folders, files and sockets, and the commands of the manifest
/// that run beside these mounts. A manifest cannot request devices, capabilities or networks of the host.
///
/// If nothing of the host is mounted, a command can reach no more than the image itself can, and needs no trust.
#[must_use]
pub fn acts_on_host(manifest: &Manifest) -> Vec<Act> {
    let mut acts: Vec<Act> = manifest.run.volumes.iter().filter_map(Act::of_mount).collect();
    if !acts.is_empty() {
        acts.extend(manifest.init.iter().map(Act::of_init));
        acts.extend(manifest.processes.iter().filter_map(Act::of_process));
        acts.extend(manifest.processes.iter().filter_map(|process| Act::of_health(process.health.as_ref()?)));
    }
    acts
}

/// The acts that the user allows one manifest to do.
#[derive(Clone, Debug)]
pub struct Trusted(Extent);

#[derive(Clone, Debug)]
enum Extent {
    Everything,
    Acts(BTreeSet<String>),
    Nothing(Option<Danger>),
}

impl Trusted {
    /// Allows every act of the manifest, as `--trust-config` does.
    #[must_use]
    pub fn everything() -> Self {
        Self(Extent::Everything)
    }

    /// Reads the acts that the user has allowed earlier. If the list cannot be read, nothing is allowed.
    #[must_use]
    pub fn remembered(found: &FoundManifest, environment: &Environment<'_>) -> Self {
        if let Some(danger) = Danger::of(&found.path) {
            return Self(Extent::Nothing(Some(danger)));
        }
        let known = || {
            // A file that others may write to does not show what its owner allowed (C11).
            let text = pvault::read_list(&file(environment)?)?;
            let place = place_of(found).ok()?;
            Some(text.lines().filter_map(|line| act_at(line, &place)).map(str::to_owned).collect())
        };
        Self(known().map_or(Extent::Nothing(None), Extent::Acts))
    }

    /// Returns true if the user allows this act.
    #[must_use]
    pub fn covers(&self, act: &Act) -> bool {
        match &self.0 {
            Extent::Everything => true,
            Extent::Acts(known) => known.contains(&act.digest()),
            Extent::Nothing(_) => false,
        }
    }

    /// Returns the danger because of which nothing is allowed, if there is one.
    #[must_use]
    pub fn danger(&self) -> Option<Danger> {
        match self.0 {
            Extent::Nothing(danger) => danger,
            Extent::Everything | Extent::Acts(_) => None,
        }
    }
}

/// Returns the act in a line of the file, if the line belongs to this manifest.
fn act_at<'line>(line: &'line str, place: &str) -> Option<&'line str> {
    line.strip_prefix(place)?.strip_prefix(' ')
}

fn place_of(found: &FoundManifest) -> io::Result<String> {
    Ok(digest(&[b"place 1", fs::canonicalize(&found.path)?.as_os_str().as_encoded_bytes()]))
}

/// Records that the user trusts what this manifest does now. Earlier acts of the manifest are forgotten.
///
/// # Errors
///
/// Returns an error if there is no state folder or it cannot be written, and [`TrustError::Danger`] if other users
/// can change the manifest.
pub fn remember(found: &FoundManifest, environment: &Environment<'_>) -> Result<(), TrustError> {
    if let Some(danger) = Danger::of(&found.path) {
        return Err(TrustError::Danger { path: found.path.clone(), danger });
    }
    change(found, environment, acts(&found.manifest).iter().map(Act::digest).collect())
}

/// Forgets all acts that the user allowed this manifest.
///
/// # Errors
///
/// Returns an error if there is no state folder or it cannot be written.
pub fn forget(found: &FoundManifest, environment: &Environment<'_>) -> Result<(), TrustError> {
    change(found, environment, BTreeSet::new())
}

/// Replaces all recorded acts of the manifest.
fn change(found: &FoundManifest, environment: &Environment<'_>, acts: BTreeSet<String>) -> Result<(), TrustError> {
    let path = file(environment).ok_or(TrustError::NoHome)?;
    let place = place_of(found).map_err(|source| TrustError::Io { path: found.path.clone(), source })?;
    pvault::change_list(&path, |known| {
        let others = known.lines().filter(|line| act_at(line, &place).is_none()).map(|line| format!("{line}\n"));
        others.chain(acts.iter().map(|act| format!("{place} {act}\n"))).collect()
    })?;
    Ok(())
}

fn file(environment: &Environment<'_>) -> Option<PathBuf> {
    state_folder(environment, "pbuild").map(|folder| folder.join(FILE))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn manifest(folder: &Path, text: &str) -> FoundManifest {
        let path = folder.join("app.toml");
        fs::write(&path, text).unwrap();
        FoundManifest { manifest: Manifest::parse(&path, text.as_bytes()).unwrap(), path, text: text.to_owned() }
    }

    const TWO: &str = "[secrets]\nA = { from = { env = \"AA\" } }\nB = { from = { command = [\"op\", \"read\"] } }\n";

    /// Returns true if the user trusts all acts of the manifest.
    fn is_trusted(found: &FoundManifest, environment: &Environment<'_>) -> bool {
        let trusted = Trusted::remembered(found, environment);
        acts(&found.manifest).iter().all(|act| trusted.covers(act))
    }

    #[test]
    fn exactly_what_was_trusted_acts_and_nothing_else() {
        let (home, one, other) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let environment = |name: &str| (name == "HOME").then(|| OsString::from(home.path()));
        let found = manifest(one.path(), TWO);
        assert!(!is_trusted(&found, &environment));
        remember(&found, &environment).unwrap();
        assert!(is_trusted(&found, &environment));
        // An entry that does not act may be added, and the trusted entries stay trusted.
        assert!(is_trusted(
            &manifest(one.path(), &format!("name = \"shop\"\n{TWO}C = {{ value = \"x${{A}}\" }}\n")),
            &environment
        ));
        for changed in [
            TWO.replace("AA", "AWS_SECRET_ACCESS_KEY"),
            TWO.replace("\"read\"", "\"read\", \"more\""),
            TWO.replace("\"op\", \"read\"", "\"op read\""),
            format!("{TWO}C = {{ from = {{ file = \"/etc/passwd\" }} }}\n"),
            TWO.replace("A =", "AB ="),
            format!("{TWO}AWS_SECRET_ACCESS_KEY = {{}}\n"),
        ] {
            assert!(!is_trusted(&manifest(one.path(), &changed), &environment), "{changed}");
        }
        // The same text in another folder is another manifest.
        assert!(!is_trusted(&manifest(other.path(), TWO), &environment));
        let found = manifest(one.path(), TWO);
        remember(&manifest(other.path(), TWO), &environment).unwrap();
        forget(&found, &environment).unwrap();
        assert!(!is_trusted(&found, &environment));
        assert!(is_trusted(&manifest(other.path(), TWO), &environment), "another manifest's trust stays");
    }

    const HOST: &str = concat!(
        "[run]\nvolumes = [\n  \"uploads:/srv\",\n  \"/:/host\",\n  \"./etc:/etc/app:ro\",\n]\n",
        "health = { command = [\"true\"] }\n[[init]]\nname = \"migrate\"\ncommand = [\"sh\", \"-c\", \"true\"]\n",
    );

    #[test]
    fn what_is_mounted_of_the_host_acts_and_so_does_what_runs_beside_it() {
        let (home, one) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let environment = |name: &str| (name == "HOME").then(|| OsString::from(home.path()));
        let found = manifest(one.path(), HOST);
        let told: Vec<_> = acts(&found.manifest).into_iter().map(|act| (act.line, act.told)).collect();
        let expected = [
            (4, "the container reads and writes \"/\" of the host, at \"/host\""),
            (5, "the container reads \"./etc\" of the host, at \"/etc/app\""),
            (10, "`migrate` runs [\"sh\", \"-c\", \"true\"] beside what is mounted of the host"),
            (7, "the health check runs [\"true\"] beside what is mounted of the host"),
        ];
        assert_eq!(told, expected.map(|(line, told)| (line, told.to_owned())));
        remember(&found, &environment).unwrap();
        assert!(is_trusted(&found, &environment));
        for (old, new) in [("/:/host", "/:/srv"), (":ro", ""), ("./etc", "./etc/.."), ("[\"sh\"", "[\"ash\"")] {
            assert!(!is_trusted(&manifest(one.path(), &HOST.replace(old, new)), &environment), "{old} is {new}");
        }
        let worker = "[processes.worker]\ncommand = [\"work\"]\nhealth = { command = [\"true\"] }\n[run]\nvolumes = [\"/:/host\"]\n";
        let told: Vec<_> =
            acts(&manifest(one.path(), worker).manifest).into_iter().map(|act| (act.line, act.told)).collect();
        let expected = [
            (5, "the container reads and writes \"/\" of the host, at \"/host\""),
            (2, "process `worker` runs [\"work\"] beside what is mounted of the host"),
            (3, "the health check runs [\"true\"] beside what is mounted of the host"),
        ];
        assert_eq!(told, expected.map(|(line, told)| (line, told.to_owned())));
        // Beside the project's own volumes alone, a command can reach no more than the image itself can.
        let own = manifest(one.path(), &HOST.replace("/:/host", "a:/host").replace("./etc", "b"));
        assert!(acts(&own.manifest).is_empty());
    }

    #[test]
    fn an_entry_that_did_not_change_is_not_asked_about_again() {
        let (home, one) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let environment = |name: &str| (name == "HOME").then(|| OsString::from(home.path()));
        remember(&manifest(one.path(), TWO), &environment).unwrap();
        let found = manifest(one.path(), &format!("# a line\n{}C = {{}}\n", TWO.replace("AA", "AB")));
        let trusted = Trusted::remembered(&found, &environment);
        let covered: Vec<bool> = acts(&found.manifest).iter().map(|act| trusted.covers(act)).collect();
        assert_eq!(covered, [false, true, false]);
        // The next `trust` forgets an act that the manifest no longer has.
        remember(&found, &environment).unwrap();
        assert!(!is_trusted(&manifest(one.path(), TWO), &environment));
    }

    #[test]
    fn manifests_that_are_trusted_at_the_same_time_are_all_remembered() {
        let home = tempfile::tempdir().unwrap();
        let environment = |name: &str| (name == "HOME").then(|| OsString::from(home.path()));
        let folders: Vec<_> = (0..8).map(|_| tempfile::tempdir().unwrap()).collect();
        let manifests: Vec<_> = folders.iter().map(|folder| manifest(folder.path(), TWO)).collect();
        let start = std::sync::Barrier::new(manifests.len());
        std::thread::scope(|scope| {
            for found in &manifests {
                let (start, environment) = (&start, &environment);
                scope.spawn(move || {
                    start.wait();
                    remember(found, environment).unwrap();
                });
            }
        });
        assert!(manifests.iter().all(|found| is_trusted(found, &environment)));
        let state = file(&environment).unwrap();
        let names = fs::read_dir(state.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, [".trusted.lock", "trusted"], "no litter");
    }

    #[test]
    fn a_manifest_that_anybody_may_change_is_not_trusted_c11() {
        use std::os::unix::fs::PermissionsExt as _;
        let (home, one) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let environment = |name: &str| (name == "HOME").then(|| OsString::from(home.path()));
        let found = manifest(one.path(), TWO);
        remember(&found, &environment).unwrap();
        fs::set_permissions(&found.path, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(!is_trusted(&found, &environment));
        assert_eq!(Trusted::remembered(&found, &environment).danger(), Some(Danger::Writable { mode: 0o666 }));
        let error = remember(&found, &environment).unwrap_err().diagnostic().to_string();
        assert!(error.contains("every user may write to it") && error.contains("chmod o-w "), "{error}");
        fs::set_permissions(&found.path, fs::Permissions::from_mode(0o664)).unwrap();
        assert!(is_trusted(&found, &environment));
        // Only root can give a file to another user.
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&found.path, Some(12_345), None).unwrap();
            let danger = Trusted::remembered(&found, &environment).danger();
            assert_eq!(danger, Some(Danger::Foreign { owner: 12_345, user: 0 }));
        }
    }

    #[test]
    fn a_list_that_others_may_write_is_not_believed_c11() {
        use std::os::unix::fs::PermissionsExt as _;
        let (home, one) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let environment = |name: &str| (name == "HOME").then(|| OsString::from(home.path()));
        let found = manifest(one.path(), TWO);
        remember(&found, &environment).unwrap();
        let path = file(&environment).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(!is_trusted(&found, &environment));
    }

    #[test]
    fn without_a_home_nothing_is_trusted_k10() {
        let one = tempfile::tempdir().unwrap();
        let found = manifest(one.path(), TWO);
        assert!(matches!(remember(&found, &|_| None), Err(TrustError::NoHome)));
        assert!(!is_trusted(&found, &|_| None));
    }
}
