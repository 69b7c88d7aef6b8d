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

use crate::FoundManifest;
use crate::git::has_conflict_marks;
use pscreen::{Diagnostic, Exit};

mod passphrase;

/// The store's name.
pub const STORE_NAME: &str = "secrets.age";

/// The variable that holds an identity where there is no file for it, as in CI.
pub const IDENTITY_VARIABLE: &str = "PBUILD_IDENTITY";

/// The variable that holds the passphrase of a wrapped identity where nobody can be asked.
pub const PASSPHRASE_VARIABLE: &str = "PBUILD_PASSPHRASE";

/// The variable that holds the passphrase which is to take the old passphrase's place.
pub(crate) const NEW_PASSPHRASE_VARIABLE: &str = "PBUILD_NEW_PASSPHRASE";

/// The variables that no child process inherits: each of them opens or stands for something that is ours alone.
pub const OWN_VARIABLES: [&str; 5] =
    [IDENTITY_VARIABLE, OPERATOR_VARIABLE, PASSPHRASE_VARIABLE, NEW_PASSPHRASE_VARIABLE, CACHE_KEY_VARIABLE];

/// The variable that holds the key of an operator of prun's projects where there is no file for it.
pub const OPERATOR_VARIABLE: &str = "PRUN_IDENTITY";

/// The variable that holds the key of digests where there is no store for it.
pub const CACHE_KEY_VARIABLE: &str = "PBUILD_CACHE_KEY";

/// The folder below the user's configuration and state.
const TOOL: &str = "pbuild";

/// Why the store cannot be used. No message holds a value.
#[derive(Debug, thiserror::Error)]
pub enum SealedError {
    /// The file or the identity is not as it should be.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The file opens and holds no store.
    #[error("{} opens, but holds no store", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The problem of the content, by line.
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
        /// Where it would be.
        path: PathBuf,
    },
    /// Neither a configuration folder nor a variable can hold the identity.
    #[error("no place for the identity: neither HOME nor XDG_CONFIG_HOME is an absolute path")]
    NoHome,
    /// The variable holds something else.
    #[error("{variable} is not text")]
    NotText {
        /// Which variable.
        variable: &'static str,
    },
    /// A passphrase that could be guessed.
    #[error("a passphrase has {} characters or more", pvault::SHORTEST_PASSPHRASE)]
    ShortPassphrase,
    /// The two passphrases that were typed differ.
    #[error("the two passphrases differ; nothing was changed")]
    TwoPassphrases,
    /// There is nobody to ask for a passphrase.
    #[error("there is no terminal to ask for a new passphrase")]
    NoTerminal,
    /// The terminal gave no answer.
    #[error("failed to ask for a passphrase")]
    Prompt(#[source] std::io::Error),
    /// The text of the variable could be guessed.
    #[error("{CACHE_KEY_VARIABLE} is no key: 32 random bytes, as hex or base64")]
    WeakKey,
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
    /// Explains the error to people, and says what to do.
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

    /// Whether the store is simply not for whoever runs this.
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
    /// Takes the store in the folder of a manifest, whether there is one yet or not.
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

    /// Whether the project has a store.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.path().symlink_metadata().is_ok()
    }

    /// Opens the store and reads all of it.
    ///
    /// # Errors
    ///
    /// [`SealedError::Absent`]; those of the file and its content.
    pub fn read(&self, identity: &Identity) -> Result<Store, SealedError> {
        // Absent is absent: another branch of the repository may have none.
        if !self.exists() {
            return Err(SealedError::Absent { path: self.path().to_owned() });
        }
        let content = self.file.read(identity).map_err(|error| match error {
            VaultError::Damaged { path, .. } if has_conflict_marks(&path) => SealedError::Unmerged { path },
            error => error.into(),
        })?;
        self.parse(content)
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

/// Makes a new key for digests of values.
fn fresh_key() -> Result<DigestKey, SealedError> {
    random_bytes().map(|bytes| DigestKey::new(*bytes))
}

/// Makes a new key, as text for the variable.
pub(crate) fn cache_key_text() -> Result<Zeroizing<String>, SealedError> {
    let bytes = random_bytes()?;
    Ok(Zeroizing::new(base16ct::lower::encode_string(bytes.as_slice())))
}

/// Takes as many bytes as a key has from the system's random numbers.
fn random_bytes() -> Result<Zeroizing<[u8; 32]>, SealedError> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(bytes.as_mut_slice()).map_err(|error| SealedError::Random(error.into()))?;
    Ok(bytes)
}

fn recipients(store: &Store) -> Vec<String> {
    store.recipients().map(str::to_owned).collect()
}

/// Names a project's folder of state: the project's own name, and a digest of the whole path.
pub(crate) fn folder_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(OsStr::new("root")).to_string_lossy();
    let name: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).take(32).collect();
    let digest = crate::trust::digest(&[path.as_os_str().as_encoded_bytes()]);
    format!("{name}-{}", &digest[..16])
}

/// Finds the key under which the project's values have digests: that of the variable, else that of the sealed store. So
/// all who share one of these share the digests. `None` when there is neither.
///
/// # Errors
///
/// [`SealedError::WeakKey`]; those of the identity and the store.
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

/// Finds the key that [`digest_key`] would, as far as that asks for no passphrase. `None` for a store that is not
/// sealed for the user who runs this: a command that calls this can do without the key.
///
/// # Errors
///
/// [`SealedError::WeakKey`]; those of an identity and a store that are damaged.
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
/// [`SealedError::NoHome`].
pub fn identity_path(environment: &Environment<'_>) -> Result<PathBuf, SealedError> {
    configuration_folder(environment, TOOL).map(|folder| folder.join("identity.txt")).ok_or(SealedError::NoHome)
}

/// Reads the identity of the user who runs this: that of the variable, else that of the file.
///
/// # Errors
///
/// Those of the file and of the variable's text.
pub fn identity(environment: &Environment<'_>) -> Result<Identity, SealedError> {
    match identity_of_environment(environment)? {
        Some(identity) => Ok(identity),
        None => passphrase::load(&identity_path(environment)?, environment),
    }
}

/// Reads the identity as [`identity`] does, and makes one if there is none.
///
/// # Errors
///
/// As [`identity`], and when the file cannot be made.
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

/// Makes an identity that is wrapped with a passphrase, if there is none yet; `false` when there is one.
///
/// # Errors
///
/// When there is no passphrase to be had; those of the file.
pub fn new_wrapped_identity(environment: &Environment<'_>) -> Result<bool, SealedError> {
    let path = identity_path(environment)?;
    if path.symlink_metadata().is_ok() {
        return Ok(false);
    }
    passphrase::create(&path, environment).map(|()| true)
}

/// Puts a fresh key before those of the identity file, which stays wrapped if it is.
///
/// # Errors
///
/// Those of the file and its passphrase.
pub fn renew_identity(environment: &Environment<'_>) -> Result<Identity, SealedError> {
    let path = identity_path(environment)?;
    let passphrase = passphrase::current(&path, environment)?;
    Ok(Identity::renew(&path, passphrase.as_ref())?)
}

/// How an identity file is to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrapping {
    /// Wrapped with a new passphrase.
    Passphrase,
    /// As it is, by its mode alone.
    None,
}

/// Wraps the identity file with a new passphrase, or unwraps it for good.
///
/// # Errors
///
/// Those of the file and of both passphrases.
pub fn rewrap_identity(wrapping: Wrapping, environment: &Environment<'_>) -> Result<Identity, SealedError> {
    let path = identity_path(environment)?;
    let old = passphrase::current(&path, environment)?;
    let new = match wrapping {
        Wrapping::Passphrase => Some(passphrase::fresh(environment)?),
        Wrapping::None => None,
    };
    Ok(Identity::rewrap(&path, old.as_ref(), new.as_ref())?)
}

/// Closes the identity, and the files that are kept for a project's store, to other users (K1). Returns the files that
/// were open.
///
/// # Errors
///
/// What is not ours, or the kernel refuses.
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
