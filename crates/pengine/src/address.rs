//! Engine addresses, in the form of `DOCKER_HOST` and docker contexts.

use std::fmt;
use std::path::PathBuf;

use crate::error::EngineError;

/// An engine's address, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// `unix:///var/run/docker.sock`
    Unix(PathBuf),
    /// `tcp://host:port`, with TLS or without
    Tcp {
        /// A host name, an IPv4 address, or an IPv6 address without brackets.
        host: String,
        /// The port; `None` stands for docker's default port, which depends on TLS.
        port: Option<u16>,
    },
    /// `ssh://[user@]host[:port][/path of the socket on the remote machine]`
    Ssh {
        /// The remote user.
        user: Option<String>,
        /// The host.
        host: String,
        /// The port.
        port: Option<u16>,
        /// The path of the remote socket; `None` stands for docker's default.
        socket: Option<String>,
    },
}

impl Address {
    pub(crate) fn parse(text: &str) -> Result<Self, EngineError> {
        let wrong = |problem| EngineError::Address { address: without_user(text), problem };
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(wrong("write unix://PATH, tcp://HOST:PORT or ssh://USER@HOST"));
        };
        match scheme {
            "unix" => {
                let path = if rest.is_empty() { "/var/run/docker.sock" } else { rest };
                if path.starts_with('/') {
                    Ok(Self::Unix(path.into()))
                } else {
                    Err(wrong("the path must begin with /"))
                }
            }
            "tcp" | "http" | "https" => {
                let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
                if authority.contains('@') {
                    return Err(wrong("a user name has no meaning here"));
                }
                if !path.is_empty() {
                    return Err(wrong("a path after the host is not supported"));
                }
                let (host, port) =
                    host_and_port(authority).ok_or_else(|| wrong("the host or the port is not valid"))?;
                Ok(Self::Tcp { host, port })
            }
            "ssh" => {
                let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
                let (user, authority) = match authority.rsplit_once('@') {
                    Some((user, _)) if user.contains(':') => {
                        return Err(wrong("a password does not belong here; use an ssh key"));
                    }
                    Some((user, host)) => (Some(user.to_owned()), host),
                    None => (None, authority),
                };
                let (host, port) =
                    host_and_port(authority).ok_or_else(|| wrong("the host or the port is not valid"))?;
                // ssh would read a host that begins with a dash as an option.
                if host.starts_with('-') || user.as_deref().is_some_and(|user| user.starts_with('-') || user.is_empty())
                {
                    return Err(wrong("the host or the user is not valid"));
                }
                Ok(Self::Ssh { user, host, port, socket: (!path.is_empty()).then(|| format!("/{path}")) })
            }
            "npipe" => Err(wrong("named pipes exist on Windows only")),
            "fd" => Err(wrong("fd:// is an address for the engine, not for its clients")),
            _ => Err(wrong("write unix://PATH, tcp://HOST:PORT or ssh://USER@HOST")),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host_text = |host: &str| if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let port_text = |port: &Option<u16>| port.map(|port| format!(":{port}")).unwrap_or_default();
        match self {
            Self::Unix(path) => write!(formatter, "unix://{}", path.display()),
            Self::Tcp { host, port } => write!(formatter, "tcp://{}{}", host_text(host), port_text(port)),
            Self::Ssh { user, host, port, socket } => {
                let user = user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
                let socket = socket.as_deref().unwrap_or_default();
                write!(formatter, "ssh://{user}{}{}{socket}", host_text(host), port_text(port))
            }
        }
    }
}

fn host_and_port(authority: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            (host, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let bad = |character: char| character.is_whitespace() || character.is_control();
    if host.is_empty() || host.contains(bad) || (host.contains(':') && !authority.starts_with('[')) {
        return None;
    }
    let port = match port {
        None | Some("") => None,
        Some(port) => Some(port.parse::<u16>().ok().filter(|port| *port != 0)?),
    };
    Some((host.to_owned(), port))
}

/// Hides everything before the last `@` of an address, because a user may have put a password into the address.
fn without_user(text: &str) -> String {
    match text.rsplit_once('@') {
        None => text.to_owned(),
        Some((before, host)) => match before.split_once("://") {
            Some((scheme, _)) => format!("{scheme}://…@{host}"),
            None => format!("…@{host}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_an_address_as_it_was_written() {
        for text in [
            "unix:///var/run/docker.sock",
            "tcp://10.0.0.7:2375",
            "tcp://[::1]:2376",
            "tcp://build.example",
            "ssh://me@build.example",
            "ssh://me@build.example:2222/run/user/1000/docker.sock",
            "ssh://build",
        ] {
            assert_eq!(Address::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn c16_refuses_nonsense_and_says_what_to_write() {
        for text in [
            "",
            "docker",
            "unix://relative.sock",
            "tcp://",
            "tcp://:2375",
            "tcp://host:port",
            "tcp://host:0",
            "tcp://host:65536",
            "tcp://a:b:c",
            "tcp://host/path",
            "tcp://[::1",
            "fd://",
            "npipe:////./pipe/docker_engine",
            "ssh://",
            "ssh://-oProxyCommand=x",
            "ssh://-l@host",
            "ssh://@host",
            "gopher://host",
        ] {
            let error = Address::parse(text).unwrap_err();
            assert!(matches!(error, EngineError::Address { .. }), "{text}: {error}");
        }
    }

    #[test]
    fn never_repeats_a_password_in_an_address() {
        for text in ["ssh://me:hunter22@host", "tcp://me:hunter22@host:2375", "me:hunter22@host"] {
            let message = Address::parse(text).unwrap_err().to_string();
            assert!(!message.contains("hunter22"), "{message}");
        }
    }
}
