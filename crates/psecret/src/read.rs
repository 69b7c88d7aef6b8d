//! Reading a value once, from where it lies.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use zeroize::Zeroizing;

use crate::value::LONGEST_SECRET;
use crate::{Dialect, EnvFile, EnvFileWarning, Place, SecretError, SecretName, UserSecret};

/// How long a pipe may stay silent.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest env file taken.
const LONGEST_ENV_FILE: usize = 1024 * 1024;

/// What the edge lends for reading: the process environment and standard input.
pub struct Inputs<'a> {
    environment: &'a dyn Fn(&str) -> Option<OsString>,
    stdin: &'a mut dyn Read,
    patience: Duration,
}

impl<'a> Inputs<'a> {
    /// Reads variables through the closure and standard input through the reader.
    pub fn new(environment: &'a dyn Fn(&str) -> Option<OsString>, stdin: &'a mut dyn Read) -> Self {
        Self { environment, stdin, patience: PATIENCE }
    }

    /// Waits for silent pipes this long instead of 30 seconds.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// What the variables are read through, for places that are no secrets: folders, and the identity.
    pub fn environment(&self) -> &'a dyn Fn(&str) -> Option<OsString> {
        self.environment
    }

    /// A variable's value, if it is set.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<UserSecret> {
        (self.environment)(name).map(|value| UserSecret::new(value.into_vec()))
    }
}

impl Place {
    /// Reads the value, once, as it is: no line end is taken off.
    ///
    /// A pipe is read to its end, so process substitution works; directories, sockets and block devices are refused.
    ///
    /// # Errors
    ///
    /// [`SecretError::Unset`], [`SecretError::Read`], [`SecretError::NotReadable`], [`SecretError::SilentPipe`] when
    /// nobody writes, [`SecretError::Stdin`], [`SecretError::Empty`], and [`SecretError::TooLong`] past 500 KiB.
    pub fn read(&self, name: &SecretName, inputs: &mut Inputs<'_>) -> Result<UserSecret, SecretError> {
        let value = match self {
            Self::Variable(variable) => inputs
                .variable(variable)
                .ok_or_else(|| SecretError::Unset { name: name.clone(), variable: variable.clone() })?,
            Self::File(path) => UserSecret::new(read_file(path, name, inputs.patience)?),
            Self::Stdin => {
                let bytes = read_up_to(&mut inputs.stdin, LONGEST_SECRET + 1)
                    .map_err(|source| SecretError::Stdin { name: name.clone(), source })?;
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
    /// Reads and parses an env file of the given dialect; at most 1 MiB, lines included.
    ///
    /// # Errors
    ///
    /// [`SecretError::ReadEnvFile`] and [`SecretError::EnvFile`]; neither shows text right of a `=`.
    pub fn read(path: &Path, dialect: Dialect, inputs: &mut Inputs<'_>) -> Result<Self, SecretError> {
        let failed = |source| SecretError::ReadEnvFile { path: path.to_owned(), source };
        let mut open_to_others = false;
        let bytes = if path == Path::new("-") {
            read_up_to(&mut inputs.stdin, LONGEST_ENV_FILE + 1).map_err(failed)?
        } else {
            let mut file = open_without_waiting(path).map_err(failed)?;
            let metadata = file.metadata().map_err(failed)?;
            if let Some(kind) = unreadable(&metadata) {
                return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, format!("it is {kind}"))));
            }
            open_to_others = metadata.is_file() && metadata.mode() & 0o044 != 0;
            let read = if metadata.file_type().is_fifo() {
                read_pipe(&mut file, LONGEST_ENV_FILE + 1, inputs.patience)
            } else {
                read_up_to(&mut file, LONGEST_ENV_FILE + 1)
            };
            read.map_err(failed)?
        };
        let bytes = Zeroizing::new(bytes);
        if bytes.len() > LONGEST_ENV_FILE {
            return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, "it is longer than 1 MiB")));
        }
        let mut parsed =
            Self::parse(&bytes, dialect).map_err(|error| SecretError::EnvFile { path: path.to_owned(), error })?;
        if open_to_others {
            parsed.warn(EnvFileWarning::ReadableByOthers);
        }
        Ok(parsed)
    }
}

/// Opening a pipe to which nobody writes would block for ever; this does not.
fn open_without_waiting(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

fn unreadable(metadata: &std::fs::Metadata) -> Option<&'static str> {
    let kind = metadata.file_type();
    match () {
        () if kind.is_dir() => Some("a directory"),
        () if kind.is_socket() => Some("a socket"),
        () if kind.is_block_device() => Some("a block device"),
        () => None,
    }
}

fn read_file(path: &Path, name: &SecretName, patience: Duration) -> Result<Vec<u8>, SecretError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::TimedOut => {
            SecretError::SilentPipe { name: name.clone(), path: path.to_owned(), seconds: patience.as_secs() }
        }
        _ => SecretError::Read { name: name.clone(), path: path.to_owned(), source },
    };
    let not_readable = |kind| SecretError::NotReadable { name: name.clone(), path: path.to_owned(), kind };
    // A socket cannot be opened at all: its kind is asked of the path.
    if let Some(kind) = std::fs::metadata(path).ok().as_ref().and_then(unreadable) {
        return Err(not_readable(kind));
    }
    let mut file = open_without_waiting(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if let Some(kind) = unreadable(&metadata) {
        return Err(not_readable(kind));
    }
    if metadata.file_type().is_fifo() {
        read_pipe(&mut file, LONGEST_SECRET + 1, patience).map_err(failed)
    } else {
        read_up_to(&mut file, LONGEST_SECRET + 1).map_err(failed)
    }
}

/// Reads to the end or to the limit into a buffer that never moves, so that no copy of the value stays behind.
fn read_up_to(reader: &mut dyn Read, limit: usize) -> io::Result<Vec<u8>> {
    let mut buffer = Zeroizing::new(vec![0; limit]);
    let mut length = 0;
    while length < limit {
        match reader.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(buffer[..length].to_vec())
}

/// Like [`read_up_to`], for a pipe in non-blocking mode: gives up when it stays silent.
fn read_pipe(pipe: &mut File, limit: usize, patience: Duration) -> io::Result<Vec<u8>> {
    let mut buffer = Zeroizing::new(vec![0; limit]);
    let mut length = 0;
    while length < limit {
        wait_until_readable(pipe, patience)?;
        match pipe.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(buffer[..length].to_vec())
}

/// Waits for bytes or for the end; until a first writer came, a pipe has neither.
fn wait_until_readable(pipe: &File, patience: Duration) -> io::Result<()> {
    let deadline = Instant::now() + patience;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
        let mut waited = [PollFd::new(pipe, PollFlags::IN)];
        match poll(&mut waited, Some(&timeout)) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
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
        assert!(matches!(read(Place::File(path.clone())), Err(SecretError::TooLong { .. })));
        assert!(matches!(read(Place::File("/dev/zero".into())), Err(SecretError::TooLong { .. })));
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
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, Mode::from_raw_mode(0o600)).unwrap();
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
