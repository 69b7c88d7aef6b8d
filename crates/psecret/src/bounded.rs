//! Reads the files that a user names to their end, but never past a limit.
//!
//! A manifest, an ignore file or an env file comes with a repository, and may be a link to a device without an end or
//! a pipe to which no program writes. Every reader of such files calls [`read_bounded`].

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use zeroize::Zeroizing;

/// How long a pipe may stay silent.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The first size of the buffer, because the number of bytes is not known.
const FIRST_ROOM: usize = 64 * 1024;

/// Reads a file whole, or a pipe to its end.
///
/// The bytes may be a secret value, so the caller must wipe the result. This function wipes its own buffers.
///
/// # Errors
///
/// Returns the error of the system, such as [`NotFound`](io::ErrorKind::NotFound) for a missing file. Three more
/// errors have a message for people: [`FileTooLarge`](io::ErrorKind::FileTooLarge) for a file longer than the limit,
/// [`TimedOut`](io::ErrorKind::TimedOut) for a pipe to which no program writes for 30 seconds, and
/// [`InvalidInput`](io::ErrorKind::InvalidInput) for a directory, a socket or a block device.
///
/// ```
/// use std::{io::ErrorKind, path::Path};
///
/// let error = psecret::read_bounded(Path::new("/dev/zero"), 1 << 20).unwrap_err();
/// assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::FileTooLarge, "it is longer than 1 MiB"));
/// ```
pub fn read_bounded(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    open(path)?.read(limit, PATIENCE)
}

/// An open file that can be read, and its metadata.
#[derive(Debug)]
pub(crate) struct Opened {
    file: File,
    pub(crate) metadata: Metadata,
}

/// Opens a file, a pipe or a character device, without waiting for a writer.
pub(crate) fn open(path: &Path) -> io::Result<Opened> {
    // A socket cannot be opened at all, so its kind is read from the path first.
    if let Ok(metadata) = std::fs::metadata(path) {
        check(&metadata)?;
    }
    // Opening a pipe to which no program writes would block forever; `NONBLOCK` prevents this.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    check(&metadata)?;
    Ok(Opened { file, metadata })
}

impl Opened {
    /// Reads the whole file.
    pub(crate) fn read(self, limit: usize, patience: Duration) -> io::Result<Vec<u8>> {
        let Self { mut file, metadata } = self;
        match metadata.is_file() {
            true => read_all(&mut file, limit),
            // This is a pipe or a character device, such as `/dev/zero` or a terminal. A read may have to wait for
            // bytes, so the wait has a limit.
            false => read_all(&mut Patient { file, patience }, limit),
        }
    }
}

/// Reads to the end; returns an error if there are more bytes than the limit. A buffer that is replaced by a larger
/// one is wiped.
pub(crate) fn read_all(reader: &mut dyn Read, limit: usize) -> io::Result<Vec<u8>> {
    let mut buffer = Zeroizing::new(vec![0; FIRST_ROOM.min(limit + 1)]);
    let mut length = 0;
    loop {
        if length == buffer.len() {
            if length > limit {
                let words = format!("it is longer than {}", size(limit));
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, words));
            }
            let mut larger = Zeroizing::new(vec![0; (2 * length).min(limit + 1)]);
            larger[..length].copy_from_slice(&buffer);
            buffer = larger;
        }
        match reader.read(&mut buffer[length..]) {
            Ok(0) => return Ok(buffer[..length].to_vec()),
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Writes a limit in MiB, KiB or bytes, the largest unit that divides it.
fn size(bytes: usize) -> String {
    let (mib, kib) = (1 << 20, 1 << 10);
    match bytes {
        _ if bytes >= mib && bytes.is_multiple_of(mib) => format!("{} MiB", bytes / mib),
        _ if bytes >= kib && bytes.is_multiple_of(kib) => format!("{} KiB", bytes / kib),
        _ => format!("{bytes} bytes"),
    }
}

fn check(metadata: &Metadata) -> io::Result<()> {
    let kind = metadata.file_type();
    let what = match () {
        () if kind.is_dir() => "a directory",
        () if kind.is_socket() => "a socket",
        () if kind.is_block_device() => "a block device",
        () => return Ok(()),
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, NotReadable(what)))
}

/// The kind of a file that is never read.
#[derive(Debug, thiserror::Error)]
#[error("it is {0}")]
pub(crate) struct NotReadable(pub(crate) &'static str);

/// A reader of a pipe in non-blocking mode; it gives up if the pipe stays silent for `patience`.
struct Patient {
    file: File,
    patience: Duration,
}

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            wait_until_readable(&self.file, self.patience)?;
            match self.file.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return outcome,
            }
        }
    }
}

/// Waits until the pipe has bytes or has ended. A pipe that no writer has opened yet has neither.
fn wait_until_readable(pipe: &File, patience: Duration) -> io::Result<()> {
    let deadline = Instant::now() + patience;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
        let mut waited = [PollFd::new(pipe, PollFlags::IN)];
        match poll(&mut waited, Some(&timeout)) {
            Ok(0) => {
                let words = format!("nobody writes to this pipe: nothing came within {} seconds", patience.as_secs());
                return Err(io::Error::new(io::ErrorKind::TimedOut, words));
            }
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path, limit: usize) -> Result<Vec<u8>, (io::ErrorKind, String)> {
        let read = open(path).and_then(|opened| opened.read(limit, Duration::from_millis(100)));
        read.map_err(|error| (error.kind(), error.to_string()))
    }

    #[test]
    fn a_file_is_read_up_to_the_limit_and_one_byte_more_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for length in [0, 1, FIRST_ROOM - 1, FIRST_ROOM, FIRST_ROOM + 1, 3 * FIRST_ROOM] {
            std::fs::write(&path, vec![b'x'; length]).unwrap();
            assert_eq!(read(&path, length.max(1)).map(|bytes| bytes.len()), Ok(length));
            if length > 1 {
                assert_eq!(read(&path, length - 1).unwrap_err().0, io::ErrorKind::FileTooLarge, "{length}");
            }
        }
        assert_eq!(read(&folder.path().join("none"), 9).unwrap_err().0, io::ErrorKind::NotFound);
    }

    #[test]
    fn what_has_no_end_ends_at_the_limit_that_the_error_names() {
        for (limit, words) in [(5, "5 bytes"), (500 * 1024, "500 KiB"), (4 << 20, "4 MiB")] {
            let (kind, said) = read(Path::new("/dev/zero"), limit).unwrap_err();
            assert_eq!((kind, said), (io::ErrorKind::FileTooLarge, format!("it is longer than {words}")));
        }
    }

    #[test]
    fn a_pipe_to_which_nobody_writes_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, Mode::from_raw_mode(0o600)).unwrap();
        assert_eq!(read(&path, 9).unwrap_err().0, io::ErrorKind::TimedOut);
        let writer = std::thread::spawn({
            let path = path.clone();
            move || std::fs::write(path, "12345678").unwrap()
        });
        let read = open(&path).and_then(|opened| opened.read(9, PATIENCE)).unwrap();
        assert_eq!(read, b"12345678");
        writer.join().unwrap();
    }

    #[test]
    fn a_directory_and_a_socket_are_told_by_their_kind() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for (path, words) in [(folder.path(), "it is a directory"), (&socket, "it is a socket")] {
            assert_eq!(read(path, 9).unwrap_err(), (io::ErrorKind::InvalidInput, words.to_owned()));
        }
    }
}
