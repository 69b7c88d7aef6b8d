//! A sealed file on disk: age-encrypted, locked, replaced atomically.
//!
//! Plaintext enters through [`SealedFile::update`] or [`LockedFile::write`] and leaves through [`SealedFile::read`],
//! always as wiped bytes; what they mean is the caller's business. On disk there is only ciphertext, opened by this
//! crate or by plain `age -d`. An [`Identity`] opens files, a [`Recipient`] is somebody they are sealed for. The
//! identity's own file may be wrapped with a [`Passphrase`], in age's format too.
//!
//! Files are checked as ssh checks its keys: whatever others may read or change is refused, with the `chmod` to run. A
//! file is replaced in one step and its last good state kept beside it; a damaged one is an error that names the
//! backup, and nothing is ever reset.
//!
//! Not covered: whoever can write to the file can put an older state back; the age format has no counter.
//! Buffers inside the age library are not ours to wipe.
//!
//! ```
//! use pvault::{Identity, SealedFile};
//! use zeroize::Zeroizing;
//!
//! let folder = tempfile::tempdir()?;
//! let identity = Identity::load_or_create(&folder.path().join("identity.txt"))?;
//! let file = SealedFile::open(&folder.path().join("state.age"))?;
//! file.update(&identity, |old| {
//!     assert!(old.is_none());
//!     Ok::<_, pvault::VaultError>(Zeroizing::new(b"first state".to_vec()))
//! })?;
//! assert_eq!(file.read(&identity)?.expect("it was written").as_slice(), b"first state");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod file;
mod folder;
mod guard;
mod identity;
mod list;
mod lock;
mod passphrase;
mod replace;
mod seal;

pub use error::VaultError;
pub use file::{Effect, LockedFile, SealedFile};
pub use folder::{Environment, configuration_folder, state_folder};
pub use guard::{Access, close_to_others, private_folder};
pub use identity::{Identity, Recipient};
pub use list::{change_list, read_list};
pub use passphrase::{Passphrase, SHORTEST_PASSPHRASE};
pub use seal::{Unopened, open, seal};
