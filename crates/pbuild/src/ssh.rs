//! `--ssh`: which agents steps may use.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use pbuildkit::{Agents, DEFAULT_AGENT};

/// A word after `--ssh` that names no agent.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SshError {
    /// No socket is given, and none is in the environment.
    #[error("--ssh {id}: no agent: SSH_AUTH_SOCK is not set")]
    NoAgent {
        /// The agent's id.
        id: String,
    },
    /// What is given is a key, or anything else that is no socket.
    #[error("--ssh {id}: {} is not the socket of an agent", path.display())]
    NotASocket {
        /// The agent's id.
        id: String,
        /// The path as given.
        path: PathBuf,
    },
    /// Two agents of one id.
    #[error("--ssh {id} is given twice")]
    Twice {
        /// The id.
        id: String,
    },
}

/// Reads `default`, `ID` or `ID=SOCKET`.
///
/// # Errors
/// [`SshError`] names the id.
pub fn agents(given: &[String], socket_of_environment: Option<OsString>) -> Result<Agents, SshError> {
    let mut agents = BTreeMap::new();
    for word in given {
        let (id, path) = word.split_once('=').map_or((word.as_str(), None), |(id, path)| (id, Some(path)));
        let id = if id.is_empty() { DEFAULT_AGENT } else { id }.to_owned();
        let path = match path.filter(|path| !path.is_empty()) {
            Some(path) => PathBuf::from(path),
            None => socket_of_environment
                .as_ref()
                .filter(|path| !path.is_empty())
                .map(PathBuf::from)
                .ok_or_else(|| SshError::NoAgent { id: id.clone() })?,
        };
        if !is_socket(&path) {
            return Err(SshError::NotASocket { id, path });
        }
        if agents.insert(id.clone(), path).is_some() {
            return Err(SshError::Twice { id });
        }
    }
    Ok(Agents(agents))
}

fn is_socket(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn agents_are_sockets_by_id() {
        let folder = tempfile::tempdir().unwrap();
        let (socket, key) = (folder.path().join("agent"), folder.path().join("id_ed25519"));
        let _listener = UnixListener::bind(&socket).unwrap();
        std::fs::write(&key, "key").unwrap();
        let read = |words: &[&str], environment: Option<&Path>| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            agents(&words, environment.map(|path| path.as_os_str().to_owned())).map(|agents| agents.0)
        };
        let named = format!("git={}", socket.display());
        let found = read(&["default", &named], Some(&socket)).unwrap();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [("default".into(), socket.clone()), ("git".into(), socket)]);
        assert_eq!(read(&["default"], None), Err(SshError::NoAgent { id: "default".into() }));
        assert_eq!(read(&[&named, &named], None), Err(SshError::Twice { id: "git".into() }));
        let word = format!("default={}", key.display());
        assert_eq!(read(&[&word], None), Err(SshError::NotASocket { id: "default".into(), path: key }));
    }
}
