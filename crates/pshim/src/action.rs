//! The task that the program's arguments ask for.

use crate::number::{number, port};
use crate::schedule::Schedule;
use crate::target;

/// One of the program's tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<'a, 'b> {
    /// Waits for the values, runs the init commands, and becomes the app.
    Run {
        /// How long to wait for the values, in seconds.
        patience: u32,
        /// Whether the init commands run.
        init: bool,
        /// The name and the schedule of the command. Without a schedule, the program becomes the command.
        job: Option<Job<'a>>,
        /// The app's command.
        command: &'b [&'a [u8]],
    },
    /// Becomes a command with the app's environment, for health checks and `prun exec`.
    Exec {
        /// The command.
        command: &'b [&'a [u8]],
    },
    /// Keeps a tmpfs alive until a signal asks the program to end.
    Hold,
    /// Holds the lock of a project's state for as long as standard input is open, and changes the state on request.
    Keep {
        /// The folder with the state.
        folder: &'a [u8],
    },
    /// Exits at once. This takes the place of the app in a container that only runs init commands.
    Done,
    /// Forwards connections on these ports to the app's instances.
    Forward {
        /// The ports, as decimal numbers. Those of packets end in `/udp`.
        ports: &'b [&'a [u8]],
    },
    /// Waits until the forwarder has no connection to these instances any more. Runs beside the forwarder, in its
    /// container.
    Drained {
        /// How long to wait at most, in milliseconds.
        patience: u32,
        /// The names of the instances.
        instances: &'b [&'a [u8]],
    },
    /// Checks whether an instance is healthy. The exit code is 0 if the instance answers an HTTP request with a
    /// status from 200 to 399.
    Http(Request<'a, 'b>),
    /// Checks whether something listens on a port. The exit code is 0 if something does.
    Tcp {
        /// The host's name.
        host: &'a [u8],
        /// The port.
        port: u16,
    },
}

/// A command that runs by a schedule. Only one container of the project runs it at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job<'a> {
    /// The process's name. The name of its lock contains it.
    pub name: &'a [u8],
    /// The times at which the command runs.
    pub schedule: Schedule,
}

/// The request of a health check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a, 'b> {
    /// The instance's name on the network.
    pub instance: &'a [u8],
    /// The port.
    pub port: u16,
    /// The path and query.
    pub path: &'a [u8],
    /// How long the whole exchange may take, in milliseconds.
    pub patience: u32,
    /// The bytes before the request: a line of the PROXY protocol, or nothing.
    pub first: &'a [u8],
    /// The name in the `Host` header.
    pub host: &'a [u8],
    /// Further headers, each a line without its end.
    pub headers: &'b [&'a [u8]],
}

/// The arguments are not of the kind that `prun` passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsageError;

impl<'a, 'b> Action<'a, 'b> {
    /// Reads the arguments that follow the program's name.
    ///
    /// # Errors
    ///
    /// Returns [`UsageError`] for arguments that do not match one of the tasks exactly.
    pub fn parse(arguments: &'b [&'a [u8]]) -> Result<Self, UsageError> {
        match arguments {
            [b"run", b"--wait", seconds, rest @ ..] => {
                let patience = number(seconds).ok_or(UsageError)?;
                let (init, rest) = match rest {
                    [b"--no-init", rest @ ..] => (false, rest),
                    rest => (true, rest),
                };
                let (job, rest) = match rest {
                    [b"--job", name, rest @ ..] if is_name(name) => {
                        let (schedule, rest) = Schedule::parse(rest).ok_or(UsageError)?;
                        (Some(Job { name, schedule }), rest)
                    }
                    rest => (None, rest),
                };
                match rest {
                    [b"--", command @ ..] if !command.is_empty() => Ok(Self::Run { patience, init, job, command }),
                    _ => Err(UsageError),
                }
            }
            [b"exec", b"--", command @ ..] if !command.is_empty() => Ok(Self::Exec { command }),
            [b"hold"] => Ok(Self::Hold),
            [b"keep", folder] if folder.starts_with(b"/") => Ok(Self::Keep { folder }),
            [b"done"] => Ok(Self::Done),
            [b"drained", patience, instances @ ..] if !instances.is_empty() => {
                Ok(Self::Drained { patience: number(patience).ok_or(UsageError)?, instances })
            }
            [b"forward", ports @ ..]
                if !ports.is_empty() && ports.iter().all(|text| target::listened(text).is_some()) =>
            {
                Ok(Self::Forward { ports })
            }
            [b"http", rest @ ..] => {
                let (first, rest): (&'static [u8], _) = match rest {
                    [b"--proxy", rest @ ..] => (crate::target::UNKNOWN_CLIENT, rest),
                    rest => (b"", rest),
                };
                let [instance, at, path @ [b'/', ..], patience, host, headers @ ..] = rest else {
                    return Err(UsageError);
                };
                let (port, patience) = (port(at).ok_or(UsageError)?, number(patience).ok_or(UsageError)?);
                Ok(Self::Http(Request { instance, port, path, patience, first, host, headers }))
            }
            [b"tcp", host, number] => Ok(Self::Tcp { host, port: port(number).ok_or(UsageError)? }),
            _ => Err(UsageError),
        }
    }
}

/// Returns whether a text can be part of a file's name.
fn is_name(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_work_is_understood() {
        let command: [&[u8]; 2] = [b"python3", b"--version"];
        assert_eq!(
            Action::parse(&[b"run", b"--wait", b"60", b"--", b"python3", b"--version"]),
            Ok(Action::Run { patience: 60, init: true, job: None, command: &command })
        );
        let job = Job { name: b"clean-up", schedule: Schedule::Every(3600) };
        let words: [&[u8]; 11] = [
            b"run",
            b"--wait",
            b"60",
            b"--no-init",
            b"--job",
            b"clean-up",
            b"every",
            b"3600",
            b"--",
            b"python3",
            b"--version",
        ];
        assert_eq!(
            Action::parse(&words),
            Ok(Action::Run { patience: 60, init: false, job: Some(job), command: &command })
        );
        assert_eq!(Action::parse(&[b"exec", b"--", b"python3", b"--version"]), Ok(Action::Exec { command: &command }));
        assert_eq!(Action::parse(&[b"hold"]), Ok(Action::Hold));
        assert_eq!(Action::parse(&[b"keep", b"/state"]), Ok(Action::Keep { folder: b"/state" }));
        assert_eq!(Action::parse(&[b"done"]), Ok(Action::Done));
        assert_eq!(
            Action::parse(&[b"forward", b"80", b"53/udp"]),
            Ok(Action::Forward { ports: &[&b"80"[..], b"53/udp"] })
        );
        assert_eq!(
            Action::parse(&[b"drained", b"5000", b"shop-1"]),
            Ok(Action::Drained { patience: 5000, instances: &[&b"shop-1"[..]] })
        );
        assert_eq!(
            Action::parse(&[b"http", b"shop-1", b"8080", b"/healthz", b"5000", b"shop.example", b"A: b"]),
            Ok(Action::Http(Request {
                instance: b"shop-1",
                port: 8080,
                path: b"/healthz",
                patience: 5000,
                first: b"",
                host: b"shop.example",
                headers: &[b"A: b"],
            }))
        );
        assert_eq!(Action::parse(&[b"tcp", b"db", b"5432"]), Ok(Action::Tcp { host: b"db", port: 5432 }));
    }

    #[test]
    fn everything_else_is_refused() {
        let wrong: &[&[&[u8]]] = &[
            &[],
            &[b"run"],
            &[b"run", b"--wait", b"60", b"--"],
            &[b"run", b"--wait", b"soon", b"--", b"true"],
            &[b"run", b"--wait", b"60", b"--job", b"../a", b"every", b"1", b"--", b"true"],
            &[b"run", b"--wait", b"60", b"--job", b"a", b"every", b"0", b"--", b"true"],
            &[b"run", b"--wait", b"60", b"--job", b"a", b"cron", b"1", b"1", b"1", b"1", b"--", b"true"],
            &[b"exec", b"true"],
            &[b"hold", b"on"],
            &[b"keep"],
            &[b"keep", b"state"],
            &[b"forward"],
            &[b"forward", b"0"],
            &[b"forward", b"80", b"65536"],
            &[b"forward", b"80/tcp"],
            &[b"drained", b"5000"],
            &[b"http", b"host", b"80", b"healthz", b"5000", b"host"],
            &[b"http", b"host", b"80", b"/healthz"],
            &[b"tcp", b"host", b"99999999999999"],
        ];
        for arguments in wrong {
            assert_eq!(Action::parse(arguments), Err(UsageError));
        }
    }
}
