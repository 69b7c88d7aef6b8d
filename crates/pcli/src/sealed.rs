//! The sealed store of a project, `secrets.age` beside `app.toml`, and the identity that opens it.
//!
//! The file is meant to be committed, so anybody may read it; what it held before the last change lies sealed in the
//! user's state folder, out of the repository.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use psecret::{DigestKey, Store};
use pvault::{
    Environment, Identity, LockedFile, Recipient, SealedFile, VaultError, configuration_folder, state_folder,
};
use zeroize::Zeroizing;

use crate::{Diagnostic, Exit, FoundManifest};

/// The store's name.
pub const STORE_NAME: &str = "secrets.age";

/// The variable that holds an identity where there is no file for it, as in CI.
pub const IDENTITY_VARIABLE: &str = "PBUILD_IDENTITY";

/// The variable that holds the key of digests where there is no store for it.
pub const CACHE_KEY_VARIABLE: &str = "PBUILD_CACHE_KEY";

/// The folder below the user's configuration and state.
const TOOL: &str = "pbuild";

/// Why the store cannot be used. No message holds a value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealedError {
    /// The file or the identity is not as it should be.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The file opens and holds no store.
    #[error("{} opens, but holds no store", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, by line.
        source: psecret::StoreError,
    },
    /// There is no store.
    #[error("there is no sealed store at {}", path.display())]
    Absent {
        /// Where it would be.
        path: PathBuf,
    },
    /// Neither a configuration folder nor a variable can hold the identity.
    #[error("no place for the identity: neither HOME nor XDG_CONFIG_HOME is an absolute path")]
    NoHome,
    /// The variable holds something else.
    #[error("{IDENTITY_VARIABLE} is not text")]
    NotText,
    /// The text of the variable could be guessed.
    #[error("{CACHE_KEY_VARIABLE} has less than {} characters", psecret::SHORTEST_KEY_TEXT)]
    ShortKey,
    /// The kernel gave no random numbers.
    #[error("failed to get random numbers")]
    Random(#[source] std::io::Error),
    /// The store does not list the identity that would write it: whoever wrote would lock themselves out.
    #[error("{} does not list your identity as a recipient", path.display())]
    NotListed {
        /// The store.
        path: PathBuf,
    },
}

impl SealedError {
    /// For people: what is wrong and what to do.
    #[must_use]
    pub fn diagnostic(&self) -> Diagnostic {
        let diagnostic = Diagnostic::from_error(self, Exit::Store);
        match self {
            Self::Vault(VaultError::NoIdentity { .. }) | Self::NoHome => diagnostic.help(format!(
                "`pbuild secrets init` makes an identity; in CI set {IDENTITY_VARIABLE}; --env-file and --secret need none"
            )),
            Self::Vault(VaultError::NotForThisIdentity { .. }) => diagnostic.help(
                "ask a reader of the store to run `pbuild secrets recipients add` with what `pbuild secrets recipients mine` prints",
            ),
            Self::Vault(error) => error.help().into_iter().fold(diagnostic, Diagnostic::help),
            Self::Absent { .. } => diagnostic.help("pbuild secrets init"),
            Self::ShortKey => Diagnostic::from_error(self, Exit::Usage).help("openssl rand -hex 32 makes a good one"),
            Self::Content { .. } | Self::NotText | Self::Random(_) | Self::NotListed { .. } => diagnostic,
        }
    }

    /// Whether the store is simply not for whoever runs this.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(
            self,
            Self::NoHome | Self::Vault(VaultError::NoIdentity { .. } | VaultError::NotForThisIdentity { .. })
        )
    }
}

/// The store of one project.
#[derive(Debug)]
pub struct ProjectStore {
    file: SealedFile,
}

impl ProjectStore {
    /// The store in the directory of a manifest.
    ///
    /// # Errors
    ///
    /// [`VaultError::NotAFile`] when another user's symbolic link stands there.
    pub fn beside(directory: &Path, environment: &Environment<'_>) -> Result<Self, SealedError> {
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        let file = SealedFile::open_shared(&directory.join(STORE_NAME))?;
        // Projects must not share a backup, so its folder is named by where the project lies.
        let place = fs::canonicalize(directory).unwrap_or_else(|_| directory.to_owned());
        let file = match state_folder(environment, TOOL) {
            Some(folder) => file.with_state_in(&folder.join("stores").join(folder_name(&place))),
            None => file,
        };
        Ok(Self { file })
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Whether there is one.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.path().symlink_metadata().is_ok()
    }

    /// Opens it and reads all of it.
    ///
    /// # Errors
    ///
    /// [`SealedError::Absent`]; those of the file and its content.
    pub fn read(&self, identity: &Identity) -> Result<Store, SealedError> {
        // Absent is absent: another branch of the repository may have none.
        if !self.exists() {
            return Err(SealedError::Absent { path: self.path().to_owned() });
        }
        self.parse(self.file.read(identity)?)
    }

    /// Makes a store that only this identity opens.
    ///
    /// # Errors
    ///
    /// Those of the file; `None` means that there is one already.
    pub fn create(&self, identity: &Identity) -> Result<Option<()>, SealedError> {
        let locked = self.file.lock()?;
        if self.exists() {
            return Ok(None);
        }
        let mut store = Store::default();
        store.add_recipient(&identity.recipient().to_string());
        store.set_digest_key(fresh_key()?);
        locked.write(&store.to_bytes(), identity, &[identity.recipient()])?;
        Ok(Some(()))
    }

    /// Changes the store under its lock, sealed for the recipients that it lists afterwards. When one of them left, the
    /// backup is sealed anew too.
    ///
    /// # Errors
    ///
    /// The closure's own, after which nothing is written; those of the file; [`SealedError::NotListed`].
    pub fn change<T, E: From<SealedError>>(
        &self,
        identity: &Identity,
        work: impl FnOnce(&mut Store) -> Result<T, E>,
    ) -> Result<T, E> {
        let locked = self.file.lock().map_err(SealedError::from)?;
        let mut store = self.read(identity)?;
        if store.recipients().next().is_none() {
            // Sealed by plain `age`, which lists nobody.
            store.add_recipient(&identity.recipient().to_string());
        }
        if store.digest_key().is_none() {
            store.set_digest_key(fresh_key()?);
        }
        let (before, readers) = (store.to_bytes(), recipients(&store));
        let result = work(&mut store)?;
        let after = store.to_bytes();
        if *before != *after {
            self.write(&locked, &store, &after, identity, &readers)?;
        }
        Ok(result)
    }

    fn write(
        &self,
        locked: &LockedFile<'_>,
        store: &Store,
        content: &Zeroizing<Vec<u8>>,
        identity: &Identity,
        before: &[String],
    ) -> Result<(), SealedError> {
        let now = recipients(store);
        let parsed = now.iter().map(|recipient| recipient.parse()).collect::<Result<Vec<Recipient>, _>>()?;
        if !identity.recipients().any(|own| parsed.contains(&own)) {
            return Err(SealedError::NotListed { path: self.path().to_owned() });
        }
        locked.write(content, identity, &parsed)?;
        if before.iter().any(|earlier| !now.contains(earlier)) {
            locked.reseal(identity, &parsed)?;
        }
        Ok(())
    }

    fn parse(&self, content: Option<Zeroizing<Vec<u8>>>) -> Result<Store, SealedError> {
        let path = || self.path().to_owned();
        let content = content.ok_or_else(|| SealedError::Absent { path: path() })?;
        Store::parse(&content).map_err(|source| SealedError::Content { path: path(), source })
    }
}

/// A key for digests of values, from the kernel's random numbers.
fn fresh_key() -> Result<DigestKey, SealedError> {
    let mut bytes = Zeroizing::new([0; 32]);
    let filled = rustix::rand::getrandom(bytes.as_mut_slice(), rustix::rand::GetRandomFlags::empty())
        .map_err(|error| SealedError::Random(error.into()))?;
    // The kernel gives up to 256 bytes whole.
    if filled == bytes.len() {
        Ok(DigestKey::new(*bytes))
    } else {
        Err(SealedError::Random(std::io::ErrorKind::UnexpectedEof.into()))
    }
}

fn recipients(store: &Store) -> Vec<String> {
    store.recipients().map(str::to_owned).collect()
}

/// A name for a project's folder of state: its own name, and a digest of the whole path.
fn folder_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(OsStr::new("root")).to_string_lossy();
    let name: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).take(32).collect();
    let digest = crate::trust::digest(&[path.as_os_str().as_encoded_bytes()]);
    format!("{name}-{}", &digest[..16])
}

/// The key under which the project's values have digests: that of the variable, else that of the sealed store, so that
/// all who share either share the digests. `None` when there is neither.
///
/// # Errors
///
/// [`SealedError::ShortKey`]; those of the identity and the store.
pub fn digest_key(
    manifest: Option<&FoundManifest>,
    environment: &Environment<'_>,
) -> Result<Option<DigestKey>, SealedError> {
    if let Some(text) = environment(CACHE_KEY_VARIABLE).filter(|text| !text.is_empty()) {
        let text = Zeroizing::new(text.into_encoded_bytes());
        return DigestKey::from_text(&text).map(Some).ok_or(SealedError::ShortKey);
    }
    let Some(manifest) = manifest else { return Ok(None) };
    let store = ProjectStore::beside(manifest.directory(), environment)?;
    if !store.exists() {
        return Ok(None);
    }
    Ok(store.read(&identity(environment)?)?.into_digest_key())
}

/// Where the user's identity lies.
///
/// # Errors
///
/// [`SealedError::NoHome`].
pub fn identity_path(environment: &Environment<'_>) -> Result<PathBuf, SealedError> {
    configuration_folder(environment, TOOL).map(|folder| folder.join("identity.txt")).ok_or(SealedError::NoHome)
}

/// The identity of whoever runs this: that of the variable, else that of the file.
///
/// # Errors
///
/// Those of the file and of the variable's text.
pub fn identity(environment: &Environment<'_>) -> Result<Identity, SealedError> {
    match identity_of_environment(environment)? {
        Some(identity) => Ok(identity),
        None => Ok(Identity::load(&identity_path(environment)?)?),
    }
}

/// The same; makes one if there is none.
///
/// # Errors
///
/// As [`identity`], and when the file cannot be made.
pub fn identity_or_new(environment: &Environment<'_>) -> Result<Identity, SealedError> {
    match identity_of_environment(environment)? {
        Some(identity) => Ok(identity),
        None => Ok(Identity::load_or_create(&identity_path(environment)?)?),
    }
}

fn identity_of_environment(environment: &Environment<'_>) -> Result<Option<Identity>, SealedError> {
    let Some(text) = environment(IDENTITY_VARIABLE).filter(|text| !text.is_empty()) else { return Ok(None) };
    let text = Zeroizing::new(text.into_string().map_err(|_| SealedError::NotText)?);
    Ok(Some(Identity::parse(&text, IDENTITY_VARIABLE)?))
}

#[cfg(test)]
mod tests;
