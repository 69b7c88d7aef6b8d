//! A sealed file, which anyone with access may read, and which one process at a time may change.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use crate::error::io_error;
use crate::guard::{self, Access};
use crate::lock::{Lock, PATIENCE};
use crate::seal::{self, Unopened};
use crate::{Identity, Recipient, VaultError, replace};

/// The largest sealed file that is read. Sealed state is small, so a larger file is not one of ours.
const LONGEST: usize = 16 * 1024 * 1024;

/// The effect of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The file has new content, and the backup has the previous content.
    Written,
    /// The content is the same as before, so no file was written.
    Unchanged,
}

/// A file whose content is sealed with age, with a backup and a lock.
///
/// - The file is replaced in one step: after a crash, it has either the old or the new content as a whole.
/// - Before the file is replaced, its content goes to the backup (`FILE.bak`), which is sealed too.
/// - A file that is damaged, sealed for others, or missing while its backup exists is an error; nothing is ever
///   reset.
/// - Writers take a lock (`.FILE.lock`), which the kernel frees when its holder dies.
/// - `age -d -i identity.txt FILE` opens the file without our tools.
///
/// ```
/// use pvault::{Identity, SealedFile};
/// use zeroize::Zeroizing;
///
/// let folder = tempfile::tempdir()?;
/// let identity = Identity::load_or_create(&folder.path().join("identity.txt"))?;
/// let file = SealedFile::open(&folder.path().join("state.age"))?;
/// assert!(file.read(&identity)?.is_none());
///
/// file.update(&identity, |_| Ok::<_, pvault::VaultError>(Zeroizing::new(b"state".to_vec())))?;
/// assert_eq!(file.read(&identity)?.as_deref(), Some(&b"state".to_vec()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SealedFile {
    path: PathBuf,
    backup: PathBuf,
    lock: PathBuf,
    access: Access,
    patience: Duration,
}

impl SealedFile {
    /// Names a private file: it has mode 0600, is ours, and lies in a folder that is ours and that nobody else may
    /// write to. File and folder need not exist yet.
    ///
    /// # Errors
    ///
    /// Returns [`VaultError::NotAFile`] if the path is a symbolic link of another user.
    pub fn open(path: &Path) -> Result<Self, VaultError> {
        Self::with_access(path, Access::Private)
    }

    /// Names a file in a repository, which anybody may read.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`SealedFile::open`].
    pub fn open_shared(path: &Path) -> Result<Self, VaultError> {
        Self::with_access(path, Access::Shared)
    }

    fn with_access(path: &Path, access: Access) -> Result<Self, VaultError> {
        let path = guard::resolve(path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (backup, lock) = (path.with_file_name(format!("{name}.bak")), path.with_file_name(format!(".{name}.lock")));
        Ok(Self { path, backup, lock, access, patience: PATIENCE })
    }

    /// Keeps the backup and the lock in another, private folder.
    #[must_use]
    pub fn with_state_in(mut self, folder: &Path) -> Self {
        for beside in [&mut self.backup, &mut self.lock] {
            *beside = folder.join(beside.file_name().unwrap_or_default());
        }
        self
    }

    /// Sets the time to wait for other writers; the default is ten seconds.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Returns the path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of the backup, which holds the content before the last change.
    #[must_use]
    pub fn backup(&self) -> &Path {
        &self.backup
    }

    /// Reads the whole content, or returns `None` if the file was never written. No lock is needed, because every
    /// reader sees the complete work of one writer.
    ///
    /// # Errors
    ///
    /// Returns an error if the mode or the owner of the file is wrong, and [`VaultError::Damaged`],
    /// [`VaultError::NotForThisIdentity`], [`VaultError::Newer`], [`VaultError::Gone`], [`VaultError::TooLarge`] or
    /// [`VaultError::Io`] if the content cannot be read.
    pub fn read(&self, identity: &Identity) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
        match self.sealed()? {
            Some(sealed) => self.unseal(&sealed, identity).map(Some),
            None => Ok(None),
        }
    }

    /// Changes the content under the lock. The new content is sealed for the identity itself.
    ///
    /// # Errors
    ///
    /// Returns the error of the closure, or one of [`SealedFile::lock`], [`SealedFile::read`] and
    /// [`LockedFile::write`]. After an error, the file has its old content.
    pub fn update<E: From<VaultError>>(
        &self,
        identity: &Identity,
        change: impl FnOnce(Option<&[u8]>) -> Result<Zeroizing<Vec<u8>>, E>,
    ) -> Result<Effect, E> {
        let locked = self.lock()?;
        let old = locked.read(identity)?;
        let new = change(old.as_ref().map(|old| old.as_slice()))?;
        if old.is_some_and(|old| old == new) {
            return Ok(Effect::Unchanged);
        }
        locked.write(&new, identity, &[identity.recipient()])?;
        Ok(Effect::Written)
    }

    /// Takes the writers' lock. It is held until the result is dropped.
    ///
    /// # Errors
    ///
    /// Returns [`VaultError::Locked`] with the holder's process if the lock is not free within ten seconds, or within
    /// the time of [`SealedFile::with_patience`]. Returns [`VaultError::Io`] if the file system has no locks.
    pub fn lock(&self) -> Result<LockedFile<'_>, VaultError> {
        self.wait_for_lock(self.patience)
    }

    /// Takes the writers' lock without waiting, for callers that wait in their own way.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`SealedFile::lock`].
    pub fn try_lock(&self) -> Result<LockedFile<'_>, VaultError> {
        self.wait_for_lock(Duration::ZERO)
    }

    fn wait_for_lock(&self, patience: Duration) -> Result<LockedFile<'_>, VaultError> {
        guard::prepare_folder(&self.path, self.access)?;
        guard::prepare_folder(&self.lock, if self.is_beside(&self.lock) { self.access } else { Access::Private })?;
        let lock = Lock::wait(&self.lock, &self.path, patience)?;
        replace::remove_leftovers(&self.path);
        replace::remove_leftovers(&self.backup);
        Ok(LockedFile { file: self, _lock: lock })
    }

    fn is_beside(&self, other: &Path) -> bool {
        guard::folder_of(other) == guard::folder_of(&self.path)
    }

    /// Reads the sealed bytes of the file.
    fn sealed(&self) -> Result<Option<Vec<u8>>, VaultError> {
        let Some(file) = guard::open(&self.path, self.access)? else {
            if self.has_backup() {
                return Err(VaultError::Gone { path: self.path.clone(), backup: self.backup.clone() });
            }
            return Ok(None);
        };
        let mut sealed = Vec::new();
        file.take(LONGEST as u64 + 1).read_to_end(&mut sealed).map_err(io_error("read", &self.path))?;
        if sealed.len() > LONGEST {
            return Err(VaultError::TooLarge { path: self.path.clone(), limit: LONGEST });
        }
        Ok(Some(sealed))
    }

    fn has_backup(&self) -> bool {
        self.backup.symlink_metadata().is_ok()
    }

    fn unseal(&self, sealed: &[u8], identity: &Identity) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let path = self.path.clone();
        seal::open(sealed, identity).map_err(|unopened| match unopened {
            Unopened::Damaged => VaultError::Damaged { path, backup: self.has_backup().then(|| self.backup.clone()) },
            Unopened::NotForThisIdentity => VaultError::NotForThisIdentity { path },
            Unopened::Newer => VaultError::Newer { path },
        })
    }
}

/// A sealed file whose lock is held.
#[derive(Debug)]
pub struct LockedFile<'a> {
    file: &'a SealedFile,
    _lock: Lock,
}

impl LockedFile<'_> {
    /// Reads the content as [`SealedFile::read`] does.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`SealedFile::read`].
    pub fn read(&self, identity: &Identity) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
        self.file.read(identity)
    }

    /// Replaces the content, sealed for the recipients. The old content becomes the backup.
    ///
    /// # Errors
    ///
    /// Returns an error of [`SealedFile::read`] if the identity cannot open the old content, which is never replaced
    /// in that case. Returns [`VaultError::TooLarge`] for more than 8 MiB, and [`VaultError::Io`] if a file cannot be
    /// written; the file then has its old content.
    pub fn write(&self, content: &[u8], identity: &Identity, recipients: &[Recipient]) -> Result<(), VaultError> {
        let file = self.file;
        if content.len() > LONGEST / 2 {
            return Err(VaultError::TooLarge { path: file.path.clone(), limit: LONGEST / 2 });
        }
        let old = file.sealed()?;
        let sealed = seal::seal(content, recipients).map_err(io_error("seal", &file.path))?;
        if let Some(old) = old {
            file.unseal(&old, identity)?;
            let access = if file.is_beside(&file.backup) { file.access } else { Access::Private };
            replace::replace(&file.backup, &old, access)?;
        }
        replace::replace(&file.path, &sealed, file.access)
    }

    /// Seals the content and the backup anew for other recipients, so that a former recipient can open neither of
    /// them.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`LockedFile::write`]. After a failure between the two files, the backup is the
    /// newer file, and both have the same content.
    pub fn reseal(&self, identity: &Identity, recipients: &[Recipient]) -> Result<Effect, VaultError> {
        let file = self.file;
        let Some(content) = self.read(identity)? else {
            return Ok(Effect::Unchanged);
        };
        let sealed = seal::seal(&content, recipients).map_err(io_error("seal", &file.path))?;
        let access = if file.is_beside(&file.backup) { file.access } else { Access::Private };
        replace::replace(&file.backup, &sealed, access)?;
        replace::replace(&file.path, &sealed, file.access)?;
        Ok(Effect::Written)
    }
}

#[cfg(test)]
mod tests;
