//! A lock that the kernel frees when its holder dies, with the holder's process noted in it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::VaultError;
use crate::error::io_error;

/// How long a writer waits for another.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// How often it looks.
const PAUSE: Duration = Duration::from_millis(50);

/// The right to change a file, until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "it is held and not used")] File);

impl Lock {
    /// Waits for the lock at `lock`, which guards `path`.
    ///
    /// # Errors
    ///
    /// [`VaultError::Locked`] with the holder's process when it was waited for in vain; [`VaultError::Io`] when the
    /// file system has no locks.
    pub(crate) fn wait(lock: &Path, path: &Path, patience: Duration) -> Result<Self, VaultError> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default())
            .open(lock)
            .map_err(io_error("open the lock", lock))?;
        let deadline = Instant::now() + patience;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(PAUSE),
                Err(TryLockError::WouldBlock) => {
                    let (path, holder) = (path.to_owned(), holder(&mut file));
                    return Err(VaultError::Locked { path, holder, seconds: patience.as_secs() });
                }
                Err(TryLockError::Error(error)) => return Err(io_error("lock", lock)(error)),
            }
        }
        // The number only names us to processes that wait; the lock itself is the kernel's.
        let noted = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
        noted.map_err(io_error("write the lock", lock))?;
        Ok(Self(file))
    }
}

/// Reads which process noted itself in the lock.
fn holder(lock: &mut File) -> Option<u32> {
    let mut noted = String::new();
    lock.rewind().ok()?;
    lock.take(16).read_to_string(&mut noted).ok()?;
    noted.trim().parse().ok()
}
