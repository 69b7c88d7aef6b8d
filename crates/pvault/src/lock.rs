//! A lock that the kernel frees when its holder dies. The file of the lock holds the number of the holder's process.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::VaultError;
use crate::error::io_error;

/// The time that a writer waits for another writer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The time between two attempts to take the lock.
const PAUSE: Duration = Duration::from_millis(50);

/// A held lock, which is freed when it is dropped.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "it is held and not used")] File);

impl Lock {
    /// Waits for the lock at the path `lock`, which protects the file at `path`.
    ///
    /// # Errors
    ///
    /// Returns [`VaultError::Locked`] with the holder's process if the lock is not free after `patience`, and
    /// [`VaultError::Io`] if the file system has no locks.
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
        // The number only tells waiting processes who holds the lock; the lock itself is the kernel's.
        let noted = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
        noted.map_err(io_error("write the lock", lock))?;
        Ok(Self(file))
    }
}

/// Reads the number of the holder's process from the lock.
fn holder(lock: &mut File) -> Option<u32> {
    let mut noted = String::new();
    lock.rewind().ok()?;
    lock.take(16).read_to_string(&mut noted).ok()?;
    noted.trim().parse().ok()
}
