//! The manifest `app.toml`: names, services, processes, steps; never a value.
//!
//! Bytes enter through [`Manifest::parse`], which checks every rule that can be checked with the file alone. They
//! leave as plain types, which no other code has to check again. An error has the file, the line, the column and the
//! nearest known key. It shows the line with everything to the right of its `=` masked, because a user may have
//! pasted a value there.
//!
//! The crate reads no file and runs no program. A manifest acts like code of the people who wrote the repository:
//! [`Manifest::acting_secrets`] lists what it may make the tools do, and the user decides whether it may.
//!
//! ```
//! use std::path::Path;
//!
//! let text = r#"
//! image = "shop:latest"
//! [secrets]
//! NPM_TOKEN = { scope = "build", steps = ["npm *"] }
//! [services.db]
//! kind = "postgres"
//! "#;
//! let manifest = papp::Manifest::parse(Path::new("app.toml"), text.as_bytes())?;
//! assert_eq!(manifest.build_secrets().count(), 1);
//! assert_eq!(manifest.services[0].kind, papp::Kind::Postgres);
//!
//! let error = papp::Manifest::parse(Path::new("app.toml"), b"[secrets]\nKEY = { scpoe = \"build\" }").unwrap_err();
//! assert_eq!(error.to_string(), "app.toml:2:9: unknown key `scpoe` in secrets.KEY");
//! assert_eq!(error.excerpt, "KEY = …");
//! # Ok::<(), papp::ManifestError>(())
//! ```

mod composition;
mod duration;
mod env_file;
mod error;
mod excerpt;
mod health;
mod manifest;
mod names;
mod process;
mod run;
mod schedule;
mod secret;
mod service;
mod table;
mod template;

pub use composition::{Composed, Composition, CompositionError, Deferred};
pub use env_file::{EnvFile, EnvFileDialect};
pub use error::{ManifestError, ManifestFault, nearest};
pub use health::{Check, Health};
pub use manifest::{Build, Inject, Manifest, foreign_key};
pub use names::is_reference;
pub use process::{APP, Process, Processes, memory, processors};
pub use run::{Deliver, Init, Mount, Port, Run, Volume, VolumeSource};
pub use schedule::{Cron, Schedule};
pub use secret::{Delivery, Origin, Parts, Scope, Secret};
pub use service::{External, ExternalLogin, Family, Kind, Rights, Service, is_tag};
pub use template::{Part, Template};
