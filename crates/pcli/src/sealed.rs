//! The sealed store of a project, `secrets.age` beside `app.toml`, and the identity that opens it.
//!
//! The store is meant to be committed, so anybody may read the file. The backup with the store's earlier content is
//! sealed too, and lies in the user's state folder, outside of the repository.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use psecret::{DigestKey, Store};
use pvault::{
    Environment, Identity, LockedFile, Recipient, SealedFile, VaultError, configuration_folder, state_folder,
};
use zeroize::Zeroizing;

use crate::FoundManifest;
use crate::git::has_conflict_marks;
use pscreen::{Diagnostic, Exit};

mod passphrase;

/// The store's file name.
pub const STORE_NAME: &str = "secrets.age";

/// The variable that holds an identity if there is no file for it, as in CI.
pub const IDENTITY_VARIABLE: &str = "PBUILD_IDENTITY";

/// The variable that holds the passphrase of a wrapped identity if nobody can be asked.
pub const PASSPHRASE_VARIABLE: &str = "PBUILD_PASSPHRASE";

/// The variable that holds the new passphrase when a passphrase is replaced.
pub(crate) const NEW_PASSPHRASE_VARIABLE: &str = "PBUILD_NEW_PASSPHRASE";

/// The variables that no child process inherits, because each of them holds a key or a passphrase of the tools.
pub const OWN_VARIABLES: [&str; 5] =
    [IDENTITY_VARIABLE, OPERATOR_VARIABLE, PASSPHRASE_VARIABLE, NEW_PASSPHRASE_VARIABLE, CACHE_KEY_VARIABLE];

/// The variable that holds the key of an operator of prun's projects if there is no file for it.
pub const OPERATOR_VARIABLE: &str = "PRUN_IDENTITY";

/// The variable that holds the key of digests if there is no store for it.
pub const CACHE_KEY_VARIABLE: &str = "PBUILD_CACHE_KEY";

/// The name of the folder below the user's configuration folder and state folder.
const TOOL: &str = "pbuild";

/// The reason why the store cannot be used. No message holds a value.
#[derive(Debug, thiserror::Error)]
pub enum SealedError {
    /// The store or the identity cannot be used.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The file opens, but its content is not a store.
    #[error("{} opens, but holds no store", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The problem of the content, with its line.
        source: psecret::StoreError,
    },
    /// A merge of git left two versions in the file.
    #[error("{} holds two versions: git could not merge it and left its conflict marks", path.display())]
    Unmerged {
        /// The file.
        path: PathBuf,
    },
    /// There is no store.
    #[error("there is no sealed store at {}", path.display())]
    Absent {
        /// The path at which the store would be.
        path: PathBuf,
    },
    /// Neither a configuration folder nor a variable can hold the identity.
    #[error("no place for the identity: neither HOME nor XDG_CONFIG_HOME is an absolute path")]
    NoHome,
    /// The variable holds bytes that are not text.
    #[error("{variable} is not text")]
    NotText {
        /// The variable.
        variable: &'static str,
    },
    /// The passphrase is so short that it could be guessed.
    #[error("a passphrase has {} characters or more", pvault::SHORTEST_PASSPHRASE)]
    ShortPassphrase,
    /// The two passphrases that were typed differ.
    #[error("the two passphrases differ; nothing was changed")]
    TwoPassphrases,
    /// There is no terminal on which to ask for a passphrase.
    #[error("there is no terminal to ask for a new passphrase")]
    NoTerminal,
    /// The terminal gave no answer.
    #[error("failed to ask for a passphrase")]
    Prompt(#[source] std::io::Error),
    /// The key in the variable could be guessed.
    #[error("{CACHE_KEY_VARIABLE} is no key: 32 random bytes, as hex or base64")]
    WeakKey,
    /// The kernel provides no random numbers.
    #[error("failed to get random numbers")]
    Random(#[source] std::io::Error),
    /// The store does not list the identity that would write it, so the user would lose access to it.
    #[error("{} does not list your identity as a recipient", path.display())]
    NotListed {
        /// The store.
        path: PathBuf,
    },
}

impl SealedError {
    /// Explains the error to people, with advice.
    #[must_use]
    pub fn diagnostic(&self) -> Diagnostic {
        let diagnostic = Diagnostic::from_error(self, self.exit());
        match self {
            Self::Vault(VaultError::NoIdentity { .. }) | Self::NoHome => diagnostic.help(format!(
                "`pbuild secrets init` makes an identity; in CI set {IDENTITY_VARIABLE}; --env-file and --secret need none"
            )),
            Self::Vault(VaultError::NotForThisIdentity { .. }) => diagnostic.help(
                "ask a reader of the store to run `pbuild secrets recipients add` with what `pbuild secrets recipients mine` prints",
            ),
            Self::Vault(VaultError::NeedsPassphrase { .. }) => diagnostic.help(format!(
                "run this on a terminal, or set {PASSPHRASE_VARIABLE}; in CI set {IDENTITY_VARIABLE} to an identity of its own"
            )),
            Self::Vault(error @ VaultError::OpenToOthers { .. }) => error
                .help()
                .into_iter()
                .fold(diagnostic, Diagnostic::help)
                .help("or pbuild secrets --fix-permissions list; a key that others could read is renewed with rotate-key"),
            Self::NoTerminal => diagnostic.help(format!("set {NEW_PASSPHRASE_VARIABLE}")),
            Self::Vault(error) => error.help().into_iter().fold(diagnostic, Diagnostic::help),
            Self::Absent { .. } => diagnostic.help("pbuild secrets init"),
            Self::Unmerged { path } => {
                diagnostic
                    .note("nothing is lost: both versions are in git")
                    .help(format!(
                        "`pbuild secrets init` gives this clone the merge driver, then `git checkout --merge {path}` merges again",
                        path = path.display()
                    ))
                    .help(format!("then `pbuild secrets list`, and `git add {}`", path.display()))
            }
            Self::WeakKey => diagnostic.help("`pbuild secrets cache-key` makes one"),
            Self::ShortPassphrase => diagnostic.help("several words are easier to keep than one word with signs in it"),
            Self::Content { .. }
            | Self::NotText { .. }
            | Self::TwoPassphrases
            | Self::Prompt(_)
            | Self::Random(_)
            | Self::NotListed { .. } => diagnostic,
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::WeakKey | Self::ShortPassphrase | Self::TwoPassphrases | Self::NoTerminal => Exit::Usage,
            Self::Vault(_)
            | Self::Content { .. }
            | Self::Unmerged { .. }
            | Self::Absent { .. }
            | Self::NoHome
            | Self::NotText { .. }
            | Self::Prompt(_)
            | Self::Random(_)
            | Self::NotListed { .. } => Exit::Store,
        }
    }

    /// Returns true if the user who runs the command has no access to the store.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(
            self,
            Self::NoHome
                | Self::Vault(
                    VaultError::NoIdentity { .. }
                        | VaultError::NotForThisIdentity { .. }
                        | VaultError::NeedsPassphrase { .. }
                )
        )
    }
}

/// The store of one project.
#[derive(Debug)]
pub struct ProjectStore {
    file: SealedFile,
}

impl ProjectStore {
    /// Finds the store beside a manifest. The store need not exist yet.
    ///
    /// # Errors
    ///
    /// Returns [`VaultError::NotAFile`] if the path is a symbolic link of another user.
    pub fn beside(directory: &Path, environment: &Environment<'_>) -> Result<Self, SealedError> {
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        let file = SealedFile::open_shared(&directory.join(STORE_NAME))?;
        // Each project needs a backup of its own, so the backup's folder is named after the path of the project.
        let place = fs::canonicalize(directory).unwrap_or_else(|_| directory.to_owned());
        let file = match state_folder(environment, TOOL) {
            Some(folder) => file.with_state_in(&folder.join("stores").join(folder_name(&place))),
            None => file,
        };
        Ok(Self { file })
    }

    /// Returns the path of the store.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Returns true if the project has a store.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.path().symlink_metadata().is_ok()
    }

    /// Opens the store and reads all of it.
    ///
    /// # Errors
    ///
    /// Returns [`SealedError::Absent`] if the project has no store, and an error if the file or its content cannot be
    /// read.
    pub fn read(&self, identity: &Identity) -> Result<Store, SealedError> {
        // A missing store is reported as absent even if a backup exists, because another branch of the repository may
        // have no store.
        if !self.exists() {
            return Err(SealedError::Absent { path: self.path().to_owned() });
        }
        let content = self.file.read(identity).map_err(|error| match error {
            VaultError::Damaged { path, .. } if has_conflict_marks(&path) => SealedError::Unmerged { path },
            error => error.into(),
        })?;
        self.parse(content)
    }

    /// Makes a store that only this identity opens. Returns `None` if a store exists already.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be written.
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

    /// Changes the store under its lock, and seals it for the recipients that it lists after the change. If a
    /// recipient was removed, the backup is sealed anew, too.
    ///
    /// # Errors
    ///
    /// Returns the error of the closure, in which case nothing is written; an error if the file cannot be read or
    /// written; and [`SealedError::NotListed`] if the changed store does not list the identity.
    pub fn change<T, E: From<SealedError>>(
        &self,
        identity: &Identity,
        work: impl FnOnce(&mut Store) -> Result<T, E>,
    ) -> Result<T, E> {
        let locked = self.file.lock().map_err(SealedError::from)?;
        let mut store = self.read(identity)?;
        if store.recipients().next().is_none() {
            // A store that plain `age` sealed lists no recipients.
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

/// Makes a new key for digests of values.
fn fresh_key() -> Result<DigestKey, SealedError> {
    random_bytes().map(|bytes| DigestKey::new(*bytes))
}

/// Makes a new key, as text for [`CACHE_KEY_VARIABLE`].
pub(crate) fn cache_key_text() -> Result<Zeroizing<String>, SealedError> {
    let bytes = random_bytes()?;
    Ok(Zeroizing::new(base16ct::lower::encode_string(bytes.as_slice())))
}

/// Reads the bytes of a key from the system's random numbers.
fn random_bytes() -> Result<Zeroizing<[u8; 32]>, SealedError> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(bytes.as_mut_slice()).map_err(|error| SealedError::Random(error.into()))?;
    Ok(bytes)
}

fn recipients(store: &Store) -> Vec<String> {
    store.recipients().map(str::to_owned).collect()
}

/// Returns the name of a project's folder of state: the project's own name, and a digest of the whole path.
pub(crate) fn folder_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(OsStr::new("root")).to_string_lossy();
    let name: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).take(32).collect();
    let digest = crate::trust::digest(&[path.as_os_str().as_encoded_bytes()]);
    format!("{name}-{}", &digest[..16])
}

/// Finds the key for the digests of the project's values: first in [`CACHE_KEY_VARIABLE`], then in the sealed store.
/// People who share this key get the same digests. Returns `None` if there is neither.
///
/// # Errors
///
/// Returns [`SealedError::WeakKey`] if the variable holds a key that could be guessed, and an error if the identity
/// or the store cannot be read.
pub fn digest_key(
    manifest: Option<&FoundManifest>,
    environment: &Environment<'_>,
) -> Result<Option<DigestKey>, SealedError> {
    if let Some(key) = key_of_environment(environment)? {
        return Ok(Some(key));
    }
    let Some(store) = existing_store(manifest, environment)? else { return Ok(None) };
    Ok(store.read(&identity(environment)?)?.into_digest_key())
}

/// Finds the same key as [`digest_key`], unless that would ask for a passphrase. Also returns `None` if the store is
/// not sealed for the user who runs this, because a command that calls this function can do without the key.
///
/// # Errors
///
/// Returns [`SealedError::WeakKey`] if the variable holds a key that could be guessed, and an error if the identity
/// or the store is damaged.
pub fn digest_key_at_hand(
    manifest: Option<&FoundManifest>,
    environment: &Environment<'_>,
) -> Result<Option<DigestKey>, SealedError> {
    if let Some(key) = key_of_environment(environment)? {
        return Ok(Some(key));
    }
    let Some(store) = existing_store(manifest, environment)? else { return Ok(None) };
    if environment(IDENTITY_VARIABLE).is_none_or(|text| text.is_empty()) {
        let at_hand = identity_path(environment).is_ok_and(|path| passphrase::is_at_hand(&path, environment));
        if !at_hand {
            return Ok(None);
        }
    }
    match identity(environment).and_then(|identity| store.read(&identity)) {
        Ok(store) => Ok(store.into_digest_key()),
        Err(error) if error.is_closed() => Ok(None),
        Err(error) => Err(error),
    }
}

fn key_of_environment(environment: &Environment<'_>) -> Result<Option<DigestKey>, SealedError> {
    let Some(text) = environment(CACHE_KEY_VARIABLE).filter(|text| !text.is_empty()) else { return Ok(None) };
    let text = Zeroizing::new(text.into_encoded_bytes());
    DigestKey::from_text(&text).map(Some).ok_or(SealedError::WeakKey)
}

fn existing_store(
    manifest: Option<&FoundManifest>,
    environment: &Environment<'_>,
) -> Result<Option<ProjectStore>, SealedError> {
    let Some(manifest) = manifest else { return Ok(None) };
    let store = ProjectStore::beside(manifest.directory(), environment)?;
    Ok(store.exists().then_some(store))
}

/// Returns the path of the user's identity.
///
/// # Errors
///
/// Returns [`SealedError::NoHome`] if the user has no configuration folder.
pub fn identity_path(environment: &Environment<'_>) -> Result<PathBuf, SealedError> {
    configuration_folder(environment, TOOL).map(|folder| folder.join("identity.txt")).ok_or(SealedError::NoHome)
}

/// Reads the identity of the user who runs this: from [`IDENTITY_VARIABLE`], or else from the file.
///
/// # Errors
///
/// Returns an error if the file or the variable's text cannot be read as an identity.
pub fn identity(environment: &Environment<'_>) -> Result<Identity, SealedError> {
    match identity_of_environment(environment)? {
        Some(identity) => Ok(identity),
        None => passphrase::load(&identity_path(environment)?, environment),
    }
}

/// Reads the identity as [`identity`] does, and makes a new one if there is none.
///
/// # Errors
///
/// Returns the same errors as [`identity`], and an error if the file cannot be made.
pub fn identity_or_new(environment: &Environment<'_>) -> Result<Identity, SealedError> {
    if let Some(identity) = identity_of_environment(environment)? {
        return Ok(identity);
    }
    let path = identity_path(environment)?;
    match Identity::load_or_create(&path) {
        Err(VaultError::NeedsPassphrase { .. }) => passphrase::load(&path, environment),
        other => Ok(other?),
    }
}

/// Makes an identity that is wrapped with a passphrase. Returns false if there is an identity already.
///
/// # Errors
///
/// Returns an error if there is no passphrase, or if the file cannot be made.
pub fn new_wrapped_identity(environment: &Environment<'_>) -> Result<bool, SealedError> {
    let path = identity_path(environment)?;
    if path.symlink_metadata().is_ok() {
        return Ok(false);
    }
    passphrase::create(&path, environment).map(|()| true)
}

/// Adds a fresh key as the first of the identity file. A wrapped file stays wrapped.
///
/// # Errors
///
/// Returns an error if the file cannot be changed, or if there is no passphrase that opens it.
pub fn renew_identity(environment: &Environment<'_>) -> Result<Identity, SealedError> {
    let path = identity_path(environment)?;
    let passphrase = passphrase::current(&path, environment)?;
    Ok(Identity::renew(&path, passphrase.as_ref())?)
}

/// The way in which an identity file is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrapping {
    /// The file is wrapped with a new passphrase.
    Passphrase,
    /// The file is not wrapped; only its mode protects it.
    None,
}

/// Wraps the identity file with a new passphrase, or unwraps it permanently.
///
/// # Errors
///
/// Returns an error if the file cannot be changed, or if the old or the new passphrase is missing or wrong.
pub fn rewrap_identity(wrapping: Wrapping, environment: &Environment<'_>) -> Result<Identity, SealedError> {
    let path = identity_path(environment)?;
    let old = passphrase::current(&path, environment)?;
    let new = match wrapping {
        Wrapping::Passphrase => Some(passphrase::fresh(environment)?),
        Wrapping::None => None,
    };
    Ok(Identity::rewrap(&path, old.as_ref(), new.as_ref())?)
}

/// Closes the identity and the backup of a project's store to other users (K1). Returns the files that were open.
///
/// # Errors
///
/// Returns an error if a file belongs to another user, or if its mode cannot be changed.
pub fn fix_permissions(store: &ProjectStore, environment: &Environment<'_>) -> Result<Vec<PathBuf>, SealedError> {
    let mut fixed = Vec::new();
    for path in [identity_path(environment)?, store.file.backup().to_owned()] {
        if pvault::close_to_others(&path)? {
            fixed.push(path);
        }
    }
    Ok(fixed)
}

fn identity_of_environment(environment: &Environment<'_>) -> Result<Option<Identity>, SealedError> {
    let Some(text) = environment(IDENTITY_VARIABLE).filter(|text| !text.is_empty()) else { return Ok(None) };
    let text = text.into_string().map_err(|_| SealedError::NotText { variable: IDENTITY_VARIABLE })?;
    let text = Zeroizing::new(text);
    Ok(Some(Identity::parse(&text, IDENTITY_VARIABLE)?))
}

#[cfg(test)]
mod tests;
