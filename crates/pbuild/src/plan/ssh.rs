//! `--ssh`: the SSH agents that steps may use.
//!
//! For a key file, pbuild starts a separate agent: OpenSSH's, which knows every kind of key and asks for a
//! passphrase. A step can then have data signed, and never sees the key.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use pbuildkit::{Agents, DEFAULT_AGENT};
use psecret::{Delivery, LONGEST_SECRET, PartChoice, Parts, Place, Scope, Secret, SecretName, Source, UserSecret};

use crate::files;

/// The beginning of the name of a secret that is an agent's key.
const KEY: &str = "ssh:";

/// Returns whether a secret is the key of an agent. Steps can use such a key, but they never get it.
pub(crate) fn is_key(secret: &Secret) -> bool {
    secret.name().as_str().starts_with(KEY) && matches!(secret.source(), Source::Flag(_)) && !secret.scope().in_build()
}

/// The reasons why `--ssh` names no usable agent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SshError {
    /// The flag names no socket, and `SSH_AUTH_SOCK` is not set.
    #[error("--ssh {id}: no agent: SSH_AUTH_SOCK is not set")]
    NoAgent {
        /// The agent's ID.
        id: String,
    },
    /// The path is neither the socket of an agent nor a file.
    #[error("--ssh {id}: {} is neither the socket of an agent nor a file with a key", path.display())]
    Neither {
        /// The agent's ID.
        id: String,
        /// The path as the user wrote it.
        path: PathBuf,
    },
    /// The agent for keys did not start.
    #[error("--ssh {id}: ssh-agent cannot be started")]
    Start {
        /// The agent's ID.
        id: String,
        /// The cause.
        source: io::Error,
    },
    /// `ssh-add` refused a key.
    #[error("--ssh {id}: ssh-add does not take {}", paths(keys))]
    Key {
        /// The agent's ID.
        id: String,
        /// The files as the user wrote them.
        keys: Vec<PathBuf>,
        /// One line of the error output of `ssh-add`.
        said: String,
    },
    /// A key cannot be read, so it could not be searched for.
    #[error("--ssh {id}: failed to read {}", path.display())]
    Unreadable {
        /// The agent's ID.
        id: String,
        /// The file as the user wrote it.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Two agents have the same ID.
    #[error("--ssh {id} is given twice")]
    Twice {
        /// The ID.
        id: String,
    },
}

fn paths(keys: &[PathBuf]) -> String {
    keys.iter().map(|key| key.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// The agents that a build will lend to its steps, as the user's flags name them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Forwarding(BTreeMap<String, Agent>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Agent {
    /// The socket of an agent that is already running.
    Running(PathBuf),
    /// The keys for an agent that is started for the build.
    OfKeys(Vec<PathBuf>),
}

/// The agents that a build lends to its steps. Agents that were started for keys end with the build.
#[derive(Debug, Default)]
pub(crate) struct LentAgents {
    agents: Agents,
    _started: Vec<KeyAgent>,
}

impl Forwarding {
    /// Reads `default`, `ID`, `ID=SOCKET` or `ID=KEY[,KEY…]`. `socket` is the agent of the environment.
    ///
    /// # Errors
    /// Returns an [`SshError`] that names the ID.
    pub(super) fn parse(words: &[String], socket: Option<String>) -> Result<Self, SshError> {
        let socket = socket.filter(|path| !path.is_empty()).map(PathBuf::from);
        let mut agents = BTreeMap::new();
        for word in words {
            let (id, path) = word.split_once('=').map_or((word.as_str(), None), |(id, path)| (id, Some(path)));
            let id = if id.is_empty() { DEFAULT_AGENT } else { id }.to_owned();
            if agents.contains_key(&id) {
                return Err(SshError::Twice { id });
            }
            let paths: Vec<PathBuf> = match path.filter(|path| !path.is_empty()) {
                Some(path) => path.split(',').map(PathBuf::from).collect(),
                None => vec![socket.clone().ok_or_else(|| SshError::NoAgent { id: id.clone() })?],
            };
            let agent = match paths.as_slice() {
                [socket] if is_socket(socket) => Agent::Running(socket.clone()),
                keys => match keys.iter().find(|key| !key.is_file()) {
                    Some(path) => return Err(SshError::Neither { id, path: path.clone() }),
                    None => Agent::OfKeys(paths),
                },
            };
            agents.insert(id, agent);
        }
        Ok(Self(agents))
    }

    /// Adds the agents of another build, except those whose ID is already in use.
    pub(crate) fn add(&mut self, other: &Self) {
        for (id, agent) in &other.0 {
            self.0.entry(id.clone()).or_insert_with(|| agent.clone());
        }
    }

    /// Makes secrets of the keys in files, so that they are searched for; no step gets them. Their names are
    /// `ssh:ID`, and `ssh:ID:2` for a second key. The keys of an agent that is already running cannot be read.
    ///
    /// # Errors
    /// Returns an error if a file cannot be read.
    pub(crate) fn keys(&self) -> Result<Vec<Secret>, SshError> {
        let mut keys = Vec::new();
        for (id, agent) in &self.0 {
            let Agent::OfKeys(paths) = agent else { continue };
            for (path, number) in paths.iter().zip(1..) {
                let failed = |source| SshError::Unreadable { id: id.clone(), path: path.clone(), source };
                let unfit = |_| failed(io::ErrorKind::InvalidData.into());
                let file = UserSecret::new(files::read(path, LONGEST_SECRET).map_err(failed)?);
                // A file without a private number is left to `ssh-add`, which reports that it is not a key.
                let Some((value, others)) = private_numbers(&file) else { continue };
                let name = if number == 1 { format!("{KEY}{id}") } else { format!("{KEY}{id}:{number}") };
                let name = SecretName::parse(&name).map_err(unfit)?;
                let source = Source::Flag(Place::File(path.clone()));
                let key = Secret::new(name, value, Scope::Run, Delivery::File, source).map_err(unfit)?;
                keys.push(others.into_iter().fold(key, |key, other| key.with_reading(Some(other))));
            }
        }
        Ok(keys)
    }

    /// Starts the agents for keys.
    ///
    /// # Errors
    /// Returns an error if an agent does not start, or if `ssh-add` refuses a key.
    pub(crate) fn lend(&self) -> Result<LentAgents, SshError> {
        let (mut sockets, mut started) = (BTreeMap::new(), Vec::new());
        for (id, agent) in &self.0 {
            let socket = match agent {
                Agent::Running(socket) => socket.clone(),
                Agent::OfKeys(keys) => {
                    let agent = KeyAgent::start(id, keys)?;
                    let socket = agent.socket();
                    started.push(agent);
                    socket
                }
            };
            sockets.insert(id.clone(), socket);
        }
        Ok(LentAgents { agents: Agents(sockets), _started: started })
    }
}

/// Reads the private numbers of a key. The whole file is not a secret, because it also holds the public key, which
/// may be public anywhere. Returns `None` for a file without private numbers.
#[expect(clippy::disallowed_methods, reason = "door 67: of a key's file the private numbers are searched for")]
fn private_numbers(file: &UserSecret) -> Option<(UserSecret, Vec<UserSecret>)> {
    let parts = Parts::of(file, &PartChoice::All);
    let mut numbers = parts.iter().map(|part| UserSecret::new(part.value().expose().to_vec()));
    Some((numbers.next()?, numbers.collect()))
}

impl LentAgents {
    /// Returns the sockets of the agents, by ID.
    pub(crate) fn agents(&self) -> &Agents {
        &self.agents
    }
}

fn is_socket(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}

/// A running agent that holds keys for one build.
#[derive(Debug)]
struct KeyAgent {
    folder: tempfile::TempDir,
    keeper: Child,
}

/// The script that `ssh-agent` starts. It ends when this process closes its end of the script's standard input, which
/// also happens when this process is killed, and it then ends the agent.
const KEEPER: &str = "echo; cat >/dev/null; kill \"$SSH_AGENT_PID\"";

impl KeyAgent {
    fn start(id: &str, keys: &[PathBuf]) -> Result<Self, SshError> {
        let failed = |source: io::Error| SshError::Start { id: id.to_owned(), source };
        // `tempdir` makes a folder that only this user may read.
        let folder = tempfile::Builder::new().prefix("pbuild-ssh-").tempdir().map_err(failed)?;
        let mut command = Command::new("ssh-agent");
        command.arg("-a").arg(folder.path().join(SOCKET)).args(["sh", "-c", KEEPER]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        // In a process group of its own, the keeper does not receive Ctrl-C; this process ends it.
        let keeper = command.process_group(0).spawn().map_err(failed)?;
        let mut agent = Self { folder, keeper };
        // The keeper prints a line when it starts, and it starts only after the agent's socket exists.
        let mut ready = [0];
        let stdout = agent.keeper.stdout.take();
        stdout.map_or(Ok(()), |mut stdout| stdout.read_exact(&mut ready)).map_err(failed)?;
        agent.add(id, keys)?;
        Ok(agent)
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join(SOCKET)
    }

    fn add(&self, id: &str, keys: &[PathBuf]) -> Result<(), SshError> {
        // If there is a terminal, `ssh-add` asks for a passphrase on it.
        let mut command = Command::new("ssh-add");
        command.arg("-q").arg("--").args(keys).env("SSH_AUTH_SOCK", self.socket());
        let added = command.env("SSH_ASKPASS_REQUIRE", "never").stdin(Stdio::null()).output();
        let added = added.map_err(|source| SshError::Start { id: id.to_owned(), source })?;
        if added.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&added.stderr);
        let said = said.lines().map(str::trim).find(|line| line.chars().any(char::is_alphanumeric)).unwrap_or_default();
        let said = match said.strip_prefix("Enter passphrase") {
            Some(_) => "the key has a passphrase, and there is no terminal to ask for it".to_owned(),
            None => said.chars().filter(|character| !character.is_control()).collect(),
        };
        Err(SshError::Key { id: id.to_owned(), keys: keys.to_vec(), said })
    }
}

/// The name of the socket in the agent's folder.
const SOCKET: &str = "agent";

impl Drop for KeyAgent {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    fn lend_words(words: &[&str], environment: Option<&Path>) -> Result<LentAgents, SshError> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        Forwarding::parse(&words, environment.map(|path| path.display().to_string()))?.lend()
    }

    #[test]
    fn agents_are_sockets_by_id() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("agent");
        let _listener = UnixListener::bind(&socket).unwrap();
        let named = format!("git={}", socket.display());
        let found = lend_words(&["default", &named], Some(&socket)).unwrap().agents.0;
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [("default".into(), socket.clone()), ("git".into(), socket)]);
        assert!(matches!(lend_words(&["default"], None), Err(SshError::NoAgent { id }) if id == "default"));
        assert!(matches!(lend_words(&[&named, &named], None), Err(SshError::Twice { id }) if id == "git"));
        for nothing in [folder.path().join("none"), folder.path().to_owned()] {
            let word = format!("default={}", nothing.display());
            assert!(matches!(lend_words(&[&word], None), Err(SshError::Neither { path, .. }) if path == nothing));
        }
    }
}
