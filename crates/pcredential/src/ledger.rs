//! The ledger: the services of a project, and the credentials that were generated for them. It is the part of a
//! project's state that must be sealed.

mod record;
mod sealed;

use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::credential::{self, ServiceCredential};
use crate::error::LedgerError;
use crate::identifier;
use crate::kind::ServiceKind;
use crate::rotation::{Pending, SealedPending, Slot, Stage};
pub use record::{External, Rights, ServiceRecord, Terms};
use sealed::{Header, Opened, Sealed, SealedService};

/// The newest version of the sealed ledger that this program reads, and the only one that it writes. Version 1 had no
/// rotation, and version 2 had neither terms nor external servers.
const VERSION: u32 = 3;
/// How many characters of the project's name the names of its logins in an external server contain.
const SHARED_NAME: usize = 20;
/// How many characters of the owner's mark follow them, so that two projects of the same name never share a login.
const SHARED_MARK: usize = 6;
/// The number of characters of an owner's mark.
const OWNER_LENGTH: usize = 16;

impl Administrator {
    /// Reads the login from a URL such as `postgres://boss:password@db.example/`, and decodes its percent escapes.
    #[must_use]
    pub fn of_url(text: &str) -> Option<Self> {
        let (_, rest) = text.trim().split_once("://")?;
        let authority = rest.split(['/', '?', '#']).next()?;
        let (login, _) = authority.rsplit_once('@')?;
        let (name, password) = login.split_once(':')?;
        let decoded = |text: &str| percent_decode_str(text).decode_utf8().ok().map(|text| text.into_owned());
        let credential = ServiceCredential::given(Zeroizing::new(decoded(password)?))?;
        Some(Self { name: Some(decoded(name)?).filter(|name| !name.is_empty()), credential })
    }
}

/// The relation between a service and its sealed credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The credential is sealed, but the service may not know it yet. The commands that set it in the service may be
    /// repeated.
    Sealed,
    /// A login with the credential has worked. From now on, no other credential is used with the service's data.
    Proven,
    /// The data was imported. The user gave its administrator's credential, with which the app's login is created.
    Imported,
    /// The passwords of the data are unknown. New ones are set in the way in which the server accepts its machine's
    /// administrator without a password.
    Resetting,
}

/// All services of one project and their credentials.
#[derive(Debug)]
pub struct Ledger {
    project: String,
    owner: String,
    key: ServiceCredential,
    services: Vec<ServiceRecord>,
}

/// A service that a ledger should add.
#[derive(Clone, Copy, Debug)]
pub struct NewService<'a> {
    /// The service's name, which is also its host name on the project's network.
    pub name: &'a str,
    /// The service's kind.
    pub kind: ServiceKind,
    /// The image with which the service's data will be made.
    pub image: &'a str,
    /// The volume that will hold its data.
    pub volume: &'a str,
    /// The name of the database. If it is `None`, the name is derived from the project's name.
    pub database: Option<&'a str>,
    /// The current time, in seconds since 1970.
    pub created: u64,
}

/// The login with which prun uses an external server.
#[derive(Debug)]
pub enum ExternalLogin {
    /// The login of the server's administrator: prun makes the app's logins with it, and rotates them.
    Administrator(Administrator),
    /// The app's own login, which others made.
    App(ServiceCredential),
}

/// The administrator of imported data.
#[derive(Debug)]
pub struct Administrator {
    /// The administrator's name. If it is `None`, it is the default name of the kind's image.
    pub name: Option<String>,
    /// The administrator's credential.
    pub credential: ServiceCredential,
}

impl Ledger {
    /// Makes a ledger without services, with a fresh owner's mark and a fresh key.
    #[must_use]
    pub fn new(project: &str) -> Self {
        Self::owned_by(project, &Self::fresh_owner())
    }

    /// Makes a ledger without services, with a fresh key and the owner's mark that the project's containers, volumes
    /// and networks already carry.
    #[must_use]
    pub fn owned_by(project: &str, owner: &str) -> Self {
        Self {
            project: project.to_owned(),
            owner: owner.to_owned(),
            key: ServiceCredential::generate(),
            services: Vec::new(),
        }
    }

    /// Makes a fresh owner's mark of 16 letters and digits.
    #[must_use]
    pub fn fresh_owner() -> String {
        credential::letters(OWNER_LENGTH)
    }

    /// Returns the mark that this ledger's containers, volumes and networks carry. The mark is not secret.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Computes a digest of the parts, which reveals nothing about them to anybody without the ledger.
    ///
    /// The digest is HMAC-SHA-256 under the ledger's own key, cut to 128 bits; a plain hash of a short value could be
    /// guessed. The lengths of the parts are hashed too, so that different divisions into parts give different
    /// digests.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "door 38: the digest of a generation is made under the ledger's key")]
    pub fn digest<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> String {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.key.expose().as_bytes()).expect("HMAC takes keys of every length");
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        base16ct::lower::encode_string(&mac.finalize().into_bytes()[..16])
    }

    /// Returns the name of the project.
    #[must_use]
    pub fn project(&self) -> &str {
        &self.project
    }

    /// Returns the services, in the order in which they were added.
    #[must_use]
    pub fn services(&self) -> &[ServiceRecord] {
        &self.services
    }

    /// Finds a service.
    #[must_use]
    pub fn service(&self, name: &str) -> Option<&ServiceRecord> {
        self.services.iter().find(|service| service.name == name)
    }

    /// Adds a service and generates its credentials. A service that exists already stays as it is.
    ///
    /// Seal the ledger before the service's volume is created.
    pub fn add(&mut self, new: NewService<'_>) {
        if self.service(new.name).is_some() {
            return;
        }
        let identifier = identifier::of_project(&self.project);
        self.services.push(ServiceRecord {
            name: new.name.to_owned(),
            kind: new.kind,
            image: new.image.to_owned(),
            volume: new.volume.to_owned(),
            created: new.created,
            database: new.database.map_or_else(|| identifier.clone(), str::to_owned),
            identifier,
            slot: Slot::A,
            phase: Phase::Sealed,
            administrator: ServiceCredential::generate(),
            credential: ServiceCredential::generate(),
            pending: None,
            superuser: None,
            adopted: false,
            terms: Terms::default(),
            disagreed: false,
            external: None,
        });
    }

    /// Sets the rights of the app, and the databases and extensions that are made for it. Returns whether anything
    /// changed, in which case the service has to be changed, too.
    pub fn agree(&mut self, name: &str, terms: &Terms) -> bool {
        let service = self.services.iter_mut().find(|service| service.name == name && service.terms != *terms);
        let Some(service) = service else { return false };
        service.terms = terms.clone();
        service.disagreed = true;
        true
    }

    /// Adds an external server, or updates the description of a known one. Returns whether anything changed.
    ///
    /// With an administrator's login, the app's credential is generated. Otherwise `login` holds the app's
    /// credential.
    pub fn connect(&mut self, new: NewService<'_>, external: External, login: ExternalLogin) -> bool {
        let owner = self.owner.clone();
        let is_new = self.service(new.name).is_none();
        self.add(new);
        let Some(service) = self.services.iter_mut().find(|service| service.name == new.name) else { return false };
        if is_new {
            let name: String = service.identifier.chars().take(SHARED_NAME).collect();
            let mark: String = owner.chars().take(SHARED_MARK).collect();
            service.identifier = format!("{name}_{}", mark.to_lowercase());
            service.adopted = true;
        }
        let moved = service.external.as_ref() != Some(&external)
            || new.database.is_some_and(|database| database != service.database);
        let (phase, changed) = match login {
            ExternalLogin::Administrator(administrator) => {
                // prun does not use a login that others made when it makes the app's logins itself, so it generates a
                // new credential.
                if service.external.as_ref().is_some_and(|known| !known.administered) {
                    service.renew(Phase::Imported, new.created);
                }
                let same =
                    service.superuser == administrator.name && service.administrator.is_same(&administrator.credential);
                service.superuser = administrator.name;
                service.administrator = administrator.credential;
                (Phase::Imported, !same)
            }
            ExternalLogin::App(credential) => {
                let same = service.credential.is_same(&credential);
                if !same {
                    service.created = new.created;
                }
                service.credential = credential;
                service.pending = None;
                (Phase::Sealed, !same)
            }
        };
        if let Some(database) = new.database {
            database.clone_into(&mut service.database);
        }
        service.external = Some(external);
        if moved || is_new {
            service.phase = phase;
        }
        moved || changed || is_new
    }

    /// Adds a service with imported data, or sets the administrator's credential of an existing service again. The
    /// app's credential is generated.
    pub fn import(&mut self, new: NewService<'_>, administrator: Administrator) {
        self.add(new);
        if let Some(service) = self.services.iter_mut().find(|service| service.name == new.name) {
            new.volume.clone_into(&mut service.volume);
            // A repetition of the command corrects the values of the first one.
            if let Some(database) = new.database {
                database.clone_into(&mut service.database);
            }
            service.superuser = administrator.name;
            service.adopted = true;
            service.administrator = administrator.credential;
            service.renew(Phase::Imported, new.created);
        }
    }

    /// Corrects the name of a service's database, if `database` has a name.
    pub fn rename(&mut self, name: &str, database: Option<&str>) {
        let service = self.services.iter_mut().find(|service| service.name == name);
        if let (Some(service), Some(database)) = (service, database) {
            database.clone_into(&mut service.database);
        }
    }

    /// Generates new credentials for a service whose passwords are unknown. Seal the ledger before the service gets
    /// the credentials. `superuser` is the administrator's name, if it differs from the name in the ledger.
    pub fn reset(&mut self, name: &str, superuser: Option<String>, now: u64) {
        if let Some(service) = self.services.iter_mut().find(|service| service.name == name) {
            service.superuser = superuser.or(service.superuser.take());
            service.administrator = ServiceCredential::generate();
            service.renew(Phase::Resetting, now);
        }
    }

    /// Removes a service with its credentials. Returns true if the service existed.
    ///
    /// Use this only for a service whose data is gone, because the data cannot be opened without the credentials.
    pub fn forget(&mut self, name: &str) -> bool {
        let before = self.services.len();
        self.services.retain(|service| service.name != name);
        self.services.len() < before
    }

    /// Records that a login with the service's credential has worked.
    pub fn prove(&mut self, name: &str) {
        if let Some(service) = self.services.iter_mut().find(|service| service.name == name) {
            service.phase = Phase::Proven;
            service.disagreed = false;
        }
    }

    /// Generates a service's next credential. If the service has one already, it stays.
    ///
    /// Seal the ledger before the service gets the credential.
    pub fn begin_rotation(&mut self, name: &str) {
        if let Some(service) = self.services.iter_mut().find(|service| service.name == name)
            && service.pending.is_none()
        {
            let (step, slot) = (Stage::Enabling, service.slot.other());
            service.pending = Some(Pending { step, slot, credential: ServiceCredential::generate() });
        }
    }

    /// Records the next stage of a rotation. A rotation never goes back to an earlier stage.
    ///
    /// Seal the ledger before the actions of the stage.
    pub fn advance(&mut self, name: &str, step: Stage) {
        let service = self.services.iter_mut().find(|service| service.name == name);
        if let Some(pending) = service.and_then(|service| service.pending.as_mut()) {
            pending.step = pending.step.max(step);
        }
    }

    /// Records that the service refuses the credential from before the rotation, so that only the next one remains.
    pub fn finish_rotation(&mut self, name: &str, now: u64) {
        if let Some(service) = self.services.iter_mut().find(|service| service.name == name)
            && let Some(pending) = service.pending.take()
        {
            service.slot = pending.slot;
            service.credential = pending.credential;
            service.created = now;
        }
    }

    /// Records the image that a service runs with from now on.
    pub fn set_image(&mut self, name: &str, image: &str) {
        if let Some(service) = self.services.iter_mut().find(|service| service.name == name) {
            image.clone_into(&mut service.image);
        }
    }

    /// Returns the content of the sealed file: JSON, in memory that is wiped.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "door 31: the sealed ledger must hold what it is to remember")]
    pub fn seal(&self) -> Zeroizing<Vec<u8>> {
        let services = self.services.iter().map(|service| SealedService {
            name: &service.name,
            kind: service.kind,
            image: &service.image,
            volume: &service.volume,
            created: service.created,
            identifier: &service.identifier,
            database: &service.database,
            slot: service.slot,
            phase: service.phase,
            administrator: service.administrator.expose(),
            credential: service.credential.expose(),
            pending: service.pending.as_ref().map(|pending| SealedPending {
                step: pending.step,
                slot: pending.slot,
                credential: pending.credential.expose(),
            }),
            superuser: service.superuser.as_deref(),
            adopted: service.adopted,
            terms: Some(&service.terms).filter(|terms| **terms != Terms::default()),
            disagreed: service.disagreed,
            external: service.external.as_ref(),
        });
        let sealed = Sealed {
            version: VERSION,
            project: &self.project,
            owner: &self.owner,
            key: self.key.expose(),
            services: services.collect(),
        };
        // The buffer is large enough from the start, because a buffer that grows leaves copies of the credentials in
        // memory.
        let mut bytes = Zeroizing::new(Vec::with_capacity(1024 + 2048 * self.services.len()));
        serde_json::to_writer(&mut *bytes, &sealed).expect("a ledger of texts and numbers is JSON");
        bytes
    }

    /// Reads the bytes that [`Ledger::seal`] wrote.
    ///
    /// # Errors
    ///
    /// Returns [`LedgerError::Damaged`] with only the place of the problem, or [`LedgerError::Newer`] if a newer
    /// version wrote the bytes.
    pub fn open(bytes: &[u8]) -> Result<Self, LedgerError> {
        let damaged = |error: serde_json::Error| LedgerError::Damaged { line: error.line(), column: error.column() };
        let header: Header = serde_json::from_slice(bytes).map_err(damaged)?;
        if header.version > VERSION {
            return Err(LedgerError::Newer { found: header.version, known: VERSION });
        }
        let mut opened: Opened = serde_json::from_slice(bytes).map_err(damaged)?;
        let services = std::mem::take(&mut opened.services);
        Ok(Self {
            project: std::mem::take(&mut opened.project),
            owner: std::mem::take(&mut opened.owner),
            key: ServiceCredential::from_text(std::mem::take(&mut opened.key)),
            services: services.into_iter().map(ServiceRecord::from).collect(),
        })
    }
}

#[cfg(test)]
mod tests;
