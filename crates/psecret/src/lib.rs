//! A user's secret, read once and never shown: its name, value, sources and forms, and the redactor.
//!
//! Bytes enter once, through [`Place::read`], [`EnvFile::read`] or [`UserSecret::new`]. They live in a
//! [`UserSecret`], which cannot be printed, cloned, compared or serialized, and is wiped when dropped. They leave
//! only through [`UserSecret::expose`] and [`Shape::expose`]; a lint makes each call of these two a numbered door.
//!
//! [`Searchability`] says whether a value can be searched for, [`forms`] makes every byte string by which a value can
//! be recognized, and a [`Redactor`] masks these byte strings in output for people.
//!
//! The crate does not read the process environment or standard input on its own: [`Inputs`] lends it both.
//!
//! ```
//! use psecret::{Delivery, Inputs, RedactorBuilder, Scope, Secret, SecretFlag, Source};
//!
//! let environment = |name: &str| (name == "CI_TOKEN").then(|| "hunter2-hunter2".into());
//! let mut stdin = std::io::empty();
//! let mut inputs = Inputs::new(&environment, &mut stdin);
//!
//! let flag = SecretFlag::parse("id=TOKEN,env=CI_TOKEN")?;
//! let place = flag.place(&inputs);
//! let value = place.read(flag.name(), &mut inputs)?;
//! let secret = Secret::new(flag.name().clone(), value, Scope::Build, Delivery::Variable, Source::Flag(place))?;
//!
//! let redactor = RedactorBuilder::new().secret(secret.name(), secret.value()).build()?;
//! assert_eq!(redactor.redact("token aHVudGVyMi1odW50ZXIy"), "token ***TOKEN***");
//! # Ok::<(), psecret::SecretError>(())
//! ```

mod bounded;
mod digest;
mod env_file;
mod error;
mod flag;
mod form;
mod name;
mod part;
mod public;
mod read;
mod redactor;
mod searchability;
mod secret;
pub mod spelling;
mod store;
mod value;

pub use bounded::read_bounded;
pub use digest::DigestKey;
pub use env_file::{Dialect, EnvEntry, EnvFile, EnvFileError, EnvFileFault, EnvFileWarning, EnvValue, UnknownDialect};
pub use error::SecretError;
pub use flag::{Place, SecretFlag};
pub use form::{Edge, Form, LONGEST_IN_EVERY_FORM, Layout, Shape, forms};
pub use name::SecretName;
pub use part::{Part, PartChoice, Parts, UnsearchedPart};
pub use public::looks_public;
pub use read::Inputs;
pub use redactor::{Redactor, RedactorBuilder, RedactorStream};
pub use searchability::{Searchability, Unprotected};
pub use secret::{Delivery, Rebuild, Scope, Secret, Source};
pub use store::{Change, Store, StoreError};
pub use value::{LONGEST_SECRET, LONGEST_VARIABLE, UserSecret};
