//! A sealed file on disk: encrypted with age, locked, replaced atomically.
//!
//! Plaintext enters through [`SealedFile::update`] or [`LockedFile::write`] and leaves through [`SealedFile::read`],
//! always in memory that is wiped; the crate does not interpret it. The disk only holds ciphertext, which this crate
//! or plain `age -d` can open. An [`Identity`] opens files, and a [`Recipient`] is a key that files are sealed for.
//! The file of the identity itself may be wrapped with a [`Passphrase`], also in age's format.
//!
//! Files are checked as ssh checks its keys: a file that others may read or change is refused, with the `chmod` to
//! run. A file is replaced in one step, and its last good content is kept as a backup. A damaged file is an error
//! that names the backup; nothing is ever reset.
//!
//! Not covered: a user who can write to the file can restore older content, because the age format has no counter.
//! The crate cannot wipe the buffers inside of the age library.
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
