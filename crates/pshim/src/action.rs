//! The task that the program's arguments ask for.

/// One of the program's tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<'a, 'b> {
    /// Waits for the values, runs the init commands, and becomes the app.
    Run {
        /// How long to wait for the values, in seconds.
        patience: u32,
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
        /// The ports, as decimal numbers.
        ports: &'b [&'a [u8]],
    },
    /// Checks whether an instance is healthy. The exit code is 0 if the instance answers an HTTP request with a
    /// status from 200 to 399.
    Http {
        /// The host's name.
        host: &'a [u8],
        /// The port.
        port: u16,
        /// The path and query.
        path: &'a [u8],
    },
    /// Checks whether something listens on a port. The exit code is 0 if something does.
    Tcp {
        /// The host's name.
        host: &'a [u8],
        /// The port.
        port: u16,
    },
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
            [b"run", b"--wait", seconds, b"--", command @ ..] if !command.is_empty() => {
                Ok(Self::Run { patience: number(seconds).ok_or(UsageError)?, command })
            }
            [b"exec", b"--", command @ ..] if !command.is_empty() => Ok(Self::Exec { command }),
            [b"hold"] => Ok(Self::Hold),
            [b"keep", folder] if folder.starts_with(b"/") => Ok(Self::Keep { folder }),
            [b"done"] => Ok(Self::Done),
            [b"forward", ports @ ..] if !ports.is_empty() && ports.iter().all(|text| port(text).is_some()) => {
                Ok(Self::Forward { ports })
            }
            [b"http", host, number, path] if path.starts_with(b"/") => {
                Ok(Self::Http { host, port: port(number).ok_or(UsageError)?, path })
            }
            [b"tcp", host, number] => Ok(Self::Tcp { host, port: port(number).ok_or(UsageError)? }),
            _ => Err(UsageError),
        }
    }
}

/// Reads a decimal number of at most nine digits. Returns `None` for any other text.
pub(crate) fn number(text: &[u8]) -> Option<u32> {
    if text.is_empty() || text.len() > 9 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0')))
}

/// Reads a port from 1 to 65535.
pub(crate) fn port(text: &[u8]) -> Option<u16> {
    number(text).and_then(|number| u16::try_from(number).ok()).filter(|port| *port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_work_is_understood() {
        let command: [&[u8]; 2] = [b"python3", b"--version"];
        assert_eq!(
            Action::parse(&[b"run", b"--wait", b"60", b"--", b"python3", b"--version"]),
            Ok(Action::Run { patience: 60, command: &command })
        );
        assert_eq!(Action::parse(&[b"exec", b"--", b"python3", b"--version"]), Ok(Action::Exec { command: &command }));
        assert_eq!(Action::parse(&[b"hold"]), Ok(Action::Hold));
        assert_eq!(Action::parse(&[b"keep", b"/state"]), Ok(Action::Keep { folder: b"/state" }));
        assert_eq!(Action::parse(&[b"done"]), Ok(Action::Done));
        assert_eq!(Action::parse(&[b"forward", b"80", b"8443"]), Ok(Action::Forward { ports: &[&b"80"[..], b"8443"] }));
        assert_eq!(
            Action::parse(&[b"http", b"shop-1", b"8080", b"/healthz"]),
            Ok(Action::Http { host: b"shop-1", port: 8080, path: b"/healthz" })
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
            &[b"exec", b"true"],
            &[b"hold", b"on"],
            &[b"keep"],
            &[b"keep", b"state"],
            &[b"forward"],
            &[b"forward", b"0"],
            &[b"forward", b"80", b"65536"],
            &[b"http", b"host", b"80", b"healthz"],
            &[b"tcp", b"host", b"99999999999999"],
        ];
        for arguments in wrong {
            assert_eq!(Action::parse(arguments), Err(UsageError));
        }
    }
}
