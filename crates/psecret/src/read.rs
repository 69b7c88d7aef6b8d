//! Reads a value once, from its source.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::bounded::{self, NotReadable, PATIENCE, read_all};
use crate::value::LONGEST_SECRET;
use crate::{Dialect, EnvFile, EnvFileWarning, Place, SecretError, SecretName, UserSecret};

/// The length of the longest accepted env file, in bytes.
const LONGEST_ENV_FILE: usize = 1024 * 1024;

/// The inputs that a caller lends for reading: the process environment and standard input.
pub struct Inputs<'a> {
    environment: &'a dyn Fn(&str) -> Option<OsString>,
    stdin: &'a mut dyn Read,
    patience: Duration,
}

impl<'a> Inputs<'a> {
    /// Makes the inputs: `environment` returns the variables, `stdin` is standard input.
    pub fn new(environment: &'a dyn Fn(&str) -> Option<OsString>, stdin: &'a mut dyn Read) -> Self {
        Self { environment, stdin, patience: PATIENCE }
    }

    /// Sets how long to wait for a silent pipe, instead of 30 seconds.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Returns the reader of variables, for variables that are not secrets, such as paths of folders and of the
    /// identity.
    pub fn environment(&self) -> &'a dyn Fn(&str) -> Option<OsString> {
        self.environment
    }

    /// Returns a variable's value, if it is set.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<UserSecret> {
        (self.environment)(name).map(|value| UserSecret::new(value.into_vec()))
    }
}

impl Place {
    /// Reads the value once, and unchanged: a line end at the value's end stays.
    ///
    /// A pipe is read to its end, so process substitution works. Directories, sockets and block devices are refused.
    ///
    /// # Errors
    ///
    /// Returns [`SecretError::Unset`], [`SecretError::Read`], [`SecretError::NotReadable`],
    /// [`SecretError::SilentPipe`] if no program writes to the pipe, [`SecretError::Stdin`], [`SecretError::Empty`], or
    /// [`SecretError::TooLong`] for a variable or standard input of more than 500 KiB.
    pub fn read(&self, name: &SecretName, inputs: &mut Inputs<'_>) -> Result<UserSecret, SecretError> {
        let value = match self {
            Self::Variable(variable) => inputs
                .variable(variable)
                .ok_or_else(|| SecretError::Unset { name: name.clone(), variable: variable.clone() })?,
            Self::File(path) => UserSecret::new(read_file(path, name, inputs.patience)?),
            Self::Stdin => {
                let bytes = read_all(&mut inputs.stdin, LONGEST_SECRET).map_err(|source| match source.kind() {
                    io::ErrorKind::FileTooLarge => SecretError::TooLong { name: name.clone() },
                    _ => SecretError::Stdin { name: name.clone(), source },
                })?;
                UserSecret::new(bytes)
            }
        };
        if value.is_empty() {
            return Err(SecretError::Empty { name: name.clone() });
        }
        if value.len() > LONGEST_SECRET {
            return Err(SecretError::TooLong { name: name.clone() });
        }
        Ok(value)
    }
}

impl EnvFile {
    /// Reads and parses an env file of the given dialect, of at most 1 MiB.
    ///
    /// # Errors
    ///
    /// Returns [`SecretError::ReadEnvFile`] or [`SecretError::EnvFile`]. Neither contains text from the right of a
    /// `=`.
    pub fn read(path: &Path, dialect: Dialect, inputs: &mut Inputs<'_>) -> Result<Self, SecretError> {
        let failed = |source| SecretError::ReadEnvFile { path: path.to_owned(), source };
        let mut open_to_others = false;
        let bytes = if path == Path::new("-") {
            read_all(&mut inputs.stdin, LONGEST_ENV_FILE).map_err(failed)?
        } else {
            let opened = bounded::open(path).map_err(failed)?;
            open_to_others = opened.metadata.is_file() && opened.metadata.mode() & 0o044 != 0;
            opened.read(LONGEST_ENV_FILE, inputs.patience).map_err(failed)?
        };
        let bytes = Zeroizing::new(bytes);
        let mut parsed =
            Self::parse(&bytes, dialect).map_err(|error| SecretError::EnvFile { path: path.to_owned(), error })?;
        if open_to_others {
            parsed.warn(EnvFileWarning::ReadableByOthers);
        }
        Ok(parsed)
    }
}

/// Reads the file, with an error that tells people what to do about it.
fn read_file(path: &Path, name: &SecretName, patience: Duration) -> Result<Vec<u8>, SecretError> {
    let (name, path) = (name.clone(), path.to_owned());
    let read = bounded::open(&path).and_then(|opened| opened.read(LONGEST_SECRET, patience));
    read.map_err(|source| match (source.kind(), not_readable(&source)) {
        (io::ErrorKind::TimedOut, _) => SecretError::SilentPipe { name, path, seconds: patience.as_secs() },
        (_, Some(kind)) => SecretError::NotReadable { name, path, kind },
        (_, None) => SecretError::Read { name, path, source },
    })
}

/// Returns the kind of a file that is never read, if this is the error's cause.
fn not_readable(error: &io::Error) -> Option<&'static str> {
    error.get_ref()?.downcast_ref::<NotReadable>().map(|kind| kind.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_with(place: Place, stdin: &mut dyn Read) -> Result<UserSecret, SecretError> {
        let environment = |name: &str| (name == "SET").then(|| OsString::from("from-the-environment"));
        let mut inputs = Inputs::new(&environment, stdin).with_patience(Duration::from_millis(200));
        place.read(&SecretName::parse("KEY").unwrap(), &mut inputs)
    }

    fn read(place: Place) -> Result<UserSecret, SecretError> {
        read_with(place, &mut io::empty())
    }

    #[test]
    fn reads_a_variable_or_says_that_it_is_unset() {
        assert!(read(Place::Variable("SET".into())).unwrap().is(b"from-the-environment"));
        assert!(
            matches!(read(Place::Variable("GONE".into())), Err(SecretError::Unset { variable, .. }) if variable == "GONE")
        );
    }

    #[test]
    fn reads_a_file_as_it_is_and_refuses_missing_empty_and_long_ones_c4_c5() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let write = |bytes: &[u8]| std::fs::write(&path, bytes).unwrap();
        assert!(matches!(read(Place::File(path.clone())), Err(SecretError::Read { .. })));
        write(b"");
        assert!(matches!(read(Place::File(path.clone())), Err(SecretError::Empty { .. })));
        write(b"with line end\n");
        assert!(read(Place::File(path.clone())).unwrap().is(b"with line end\n"));
        write(&vec![b'x'; LONGEST_SECRET]);
        assert_eq!(read(Place::File(path.clone())).unwrap().len(), LONGEST_SECRET);
        write(&vec![b'x'; LONGEST_SECRET + 1]);
        for path in [path, "/dev/zero".into()] {
            let Err(SecretError::Read { path: named, source, .. }) = read(Place::File(path.clone())) else {
                panic!("it is too long")
            };
            assert_eq!((named, source.to_string().as_str()), (path, "it is longer than 500 KiB"));
        }
    }

    #[test]
    fn refuses_directories_and_sockets_c6() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(matches!(
            read(Place::File(folder.path().into())),
            Err(SecretError::NotReadable { kind: "a directory", .. })
        ));
        assert!(matches!(read(Place::File(socket)), Err(SecretError::NotReadable { kind: "a socket", .. })));
    }

    fn pipe(folder: &tempfile::TempDir) -> std::path::PathBuf {
        let path = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
        path
    }

    #[test]
    fn a_pipe_without_a_writer_does_not_hang_c6() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(read(Place::File(pipe(&folder))), Err(SecretError::SilentPipe { .. })));
    }

    #[test]
    fn reads_a_pipe_once_to_its_end_d18() {
        let folder = tempfile::tempdir().unwrap();
        let path = pipe(&folder);
        let writer = std::thread::spawn({
            let path = path.clone();
            move || {
                use std::io::Write as _;
                let mut end = std::fs::OpenOptions::new().write(true).open(path).unwrap();
                for part in ["first-", "second-", "third"] {
                    end.write_all(part.as_bytes()).unwrap();
                    std::thread::sleep(Duration::from_millis(30));
                }
            }
        });
        assert!(read(Place::File(path)).unwrap().is(b"first-second-third"));
        writer.join().unwrap();
    }

    #[test]
    fn closed_or_empty_standard_input_is_an_error_c7() {
        struct Closed;
        impl Read for Closed {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::from_raw_os_error(9))
            }
        }
        assert!(matches!(read_with(Place::Stdin, &mut Closed), Err(SecretError::Stdin { .. })));
        assert!(matches!(read(Place::Stdin), Err(SecretError::Empty { .. })));
        assert!(read_with(Place::Stdin, &mut &b"typed"[..]).unwrap().is(b"typed"));
    }

    #[test]
    fn an_env_file_open_to_others_is_said_d17() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env");
        std::fs::write(&path, "A=1\n").unwrap();
        let warned = |mode| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let mut stdin = io::empty();
            let parsed = EnvFile::read(&path, Dialect::Docker, &mut Inputs::new(&|_| None, &mut stdin)).unwrap();
            parsed.warnings().contains(&EnvFileWarning::ReadableByOthers)
        };
        assert!(warned(0o644) && warned(0o604) && !warned(0o600));
    }

    #[test]
    fn an_env_file_over_1_mib_is_refused_d14() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env");
        std::fs::write(&path, "A=1\n".repeat(300_000)).unwrap();
        let mut stdin = io::empty();
        let error = EnvFile::read(&path, Dialect::Docker, &mut Inputs::new(&|_| None, &mut stdin)).unwrap_err();
        assert!(matches!(error, SecretError::ReadEnvFile { .. }));
    }
}
