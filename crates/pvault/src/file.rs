//! A sealed file: read by anyone who may, changed by one at a time.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use crate::error::io_error;
use crate::guard::{self, Access};
use crate::lock::{Lock, PATIENCE};
use crate::seal::{self, Unopened};
use crate::{Identity, Recipient, VaultError, replace};

/// Sealed state is small; more than this is not ours.
const LONGEST: usize = 16 * 1024 * 1024;

/// The effect of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The file has a new content, and the backup the one before.
    Written,
    /// The content was the same already; nothing was touched.
    Unchanged,
}

/// A file on disk whose content is sealed with age, and its backup and lock beside it.
///
/// - It is replaced in one step: after a crash there is the old or the new content, whole.
/// - Before it is replaced, what it held goes to the backup (`FILE.bak`), sealed too.
/// - A file that is damaged, gone while its backup is there, or sealed for others is an error; nothing is ever reset.
/// - Writers take a lock (`.FILE.lock`) that the kernel frees when its holder dies.
/// - `age -d -i identity.txt FILE` opens it without us.
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
    /// Names a private file: mode 0600, ours, in a folder that is ours and that nobody else may write to. Neither need
    /// exist yet.
    ///
    /// # Errors
    ///
    /// [`VaultError::NotAFile`] when the path is another user's symbolic link.
    pub fn open(path: &Path) -> Result<Self, VaultError> {
        Self::with_access(path, Access::Private)
    }

    /// Names a file that lies among the files of a repository, readable by anybody.
    ///
    /// # Errors
    ///
    /// As [`SealedFile::open`].
    pub fn open_shared(path: &Path) -> Result<Self, VaultError> {
        Self::with_access(path, Access::Shared)
    }

    fn with_access(path: &Path, access: Access) -> Result<Self, VaultError> {
        let path = guard::resolve(path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (backup, lock) = (path.with_file_name(format!("{name}.bak")), path.with_file_name(format!(".{name}.lock")));
        Ok(Self { path, backup, lock, access, patience: PATIENCE })
    }

    /// Keeps backup and lock in another, private folder, under the file's name.
    #[must_use]
    pub fn with_state_in(mut self, folder: &Path) -> Self {
        for beside in [&mut self.backup, &mut self.lock] {
            *beside = folder.join(beside.file_name().unwrap_or_default());
        }
        self
    }

    /// Waits this long for other writers instead of ten seconds.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Where the file lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the content before the last change lies.
    #[must_use]
    pub fn backup(&self) -> &Path {
        &self.backup
    }

    /// Reads the whole content; `None` if there never was one. Takes no lock: a reader sees one writer's whole work.
    ///
    /// # Errors
    ///
    /// Those of the checks of mode and owner; [`VaultError::Damaged`], [`VaultError::NotForThisIdentity`],
    /// [`VaultError::Newer`], [`VaultError::Gone`], [`VaultError::TooLarge`] and [`VaultError::Io`].
    pub fn read(&self, identity: &Identity) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
        match self.sealed()? {
            Some(sealed) => self.unseal(&sealed, identity).map(Some),
            None => Ok(None),
        }
    }

    /// Changes the content under the lock, sealed for the identity itself.
    ///
    /// # Errors
    ///
    /// The closure's own; those of [`SealedFile::lock`], [`SealedFile::read`] and [`LockedFile::write`]. The file is
    /// then as it was.
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

    /// Takes the writers' lock, for as long as the result lives.
    ///
    /// # Errors
    ///
    /// [`VaultError::Locked`] with the holder's process after ten seconds; [`VaultError::Io`] when the file system has
    /// no locks.
    pub fn lock(&self) -> Result<LockedFile<'_>, VaultError> {
        self.wait_for_lock(self.patience)
    }

    /// Takes the writers' lock if nobody has it, for callers that wait in their own way.
    ///
    /// # Errors
    ///
    /// As [`SealedFile::lock`], at once.
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

    /// The file's bytes as they lie there.
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
    /// As there.
    pub fn read(&self, identity: &Identity) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
        self.file.read(identity)
    }

    /// Replaces the content, sealed for the recipients. What the file held before becomes the backup.
    ///
    /// # Errors
    ///
    /// Those of [`SealedFile::read`], for a file that the identity cannot open is never replaced;
    /// [`VaultError::TooLarge`] past 8 MiB; [`VaultError::Io`], after which the file is as it was.
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

    /// Seals content and backup anew for other recipients, so that one who left cannot open either.
    ///
    /// # Errors
    ///
    /// As [`LockedFile::write`]. When it fails in between, the backup is the newer of the two and holds the same
    /// content.
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
