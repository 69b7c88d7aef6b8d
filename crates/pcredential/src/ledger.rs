//! What was generated for which service: the part of a project's state that is worth sealing.

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

use crate::credential::{self, ServiceCredential};
use crate::error::LedgerError;
use crate::identifier;
use crate::kind::{Family, ServiceKind};

/// The newest version of the sealed ledger that we read, and the one that we write.
const VERSION: u32 = 1;
/// How many characters an owner's mark has.
const OWNER_LENGTH: usize = 16;

/// Which of a service's two login names is in use; a rotation goes from one to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Slot {
    /// The first.
    A,
    /// The second.
    B,
}

/// How far a service has come with its credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The credential is sealed; the service may know it or not. Whatever makes the service know it may be repeated.
    Sealed,
    /// A login with the credential has worked. From now on the service's data is never met with another one.
    Proven,
}

/// All services of one project and their credentials.
#[derive(Debug)]
pub struct Ledger {
    project: String,
    owner: String,
    key: ServiceCredential,
    services: Vec<ServiceRecord>,
}

/// A service that is to be added.
#[derive(Clone, Copy, Debug)]
pub struct NewService<'a> {
    /// Its name: also its host name on the project's network.
    pub name: &'a str,
    /// Its kind.
    pub kind: ServiceKind,
    /// The image that its data will be made with.
    pub image: &'a str,
    /// The volume that its data will lie in.
    pub volume: &'a str,
    /// The database's name; made from the project's name if absent.
    pub database: Option<&'a str>,
    /// Now, in seconds since 1970.
    pub created: u64,
}

/// One service and what was generated for it.
#[derive(Debug)]
pub struct ServiceRecord {
    name: String,
    kind: ServiceKind,
    image: String,
    volume: String,
    created: u64,
    identifier: String,
    database: String,
    slot: Slot,
    phase: Phase,
    administrator: ServiceCredential,
    credential: ServiceCredential,
}

impl Ledger {
    /// A ledger without services, with a fresh owner's mark and a fresh key.
    #[must_use]
    pub fn new(project: &str) -> Self {
        Self {
            project: project.to_owned(),
            owner: credential::letters(OWNER_LENGTH),
            key: ServiceCredential::generate(),
            services: Vec::new(),
        }
    }

    /// The mark that this ledger's containers, volumes and networks carry; no secret.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// A digest that changes with what it is made of, and that tells nothing about it without the ledger.
    ///
    /// It is HMAC-SHA-256 under the ledger's own key, shortened to 128 bits, because a plain hash of a short value could
    /// be guessed. Lengths are part of it, so that parts cannot run into each other.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "door 38: the digest of a generation is made under the ledger's key")]
    pub fn digest<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> String {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.key.expose().as_bytes()).expect("HMAC takes keys of every length");
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The project's name.
    #[must_use]
    pub fn project(&self) -> &str {
        &self.project
    }

    /// The services, in the order in which they were added.
    #[must_use]
    pub fn services(&self) -> &[ServiceRecord] {
        &self.services
    }

    /// Finds a service.
    #[must_use]
    pub fn service(&self, name: &str) -> Option<&ServiceRecord> {
        self.services.iter().find(|service| service.name == name)
    }

    /// Adds a service and generates its credentials; a service that is there already stays as it is.
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
        });
    }

    /// Forgets a service with its credentials; whether there was one.
    ///
    /// Only for a service whose data is gone: what it guards cannot be opened afterwards.
    pub fn forget(&mut self, name: &str) -> bool {
        let before = self.services.len();
        self.services.retain(|service| service.name != name);
        self.services.len() < before
    }

    /// Notes that a login with the service's credential has worked.
    pub fn prove(&mut self, name: &str) {
        if let Some(service) = self.services.iter_mut().find(|service| service.name == name) {
            service.phase = Phase::Proven;
        }
    }

    /// Notes the image that a service runs with from now on.
    pub fn set_image(&mut self, name: &str, image: &str) {
        if let Some(service) = self.services.iter_mut().find(|service| service.name == name) {
            image.clone_into(&mut service.image);
        }
    }

    /// Writes the ledger as it goes into a sealed file: JSON, in memory that is wiped.
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
        });
        let sealed = Sealed {
            version: VERSION,
            project: &self.project,
            owner: &self.owner,
            key: self.key.expose(),
            services: services.collect(),
        };
        // Large enough from the start, so that no part of it is left behind in a buffer that was outgrown.
        let mut bytes = Zeroizing::new(Vec::with_capacity(1024 + 2048 * self.services.len()));
        serde_json::to_writer(&mut *bytes, &sealed).expect("a ledger of texts and numbers is JSON");
        bytes
    }

    /// Reads what [`Ledger::seal`] wrote.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Damaged`] with a place and nothing else; [`LedgerError::Newer`].
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

impl ServiceRecord {
    /// Its name: also its host name on the project's network.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> ServiceKind {
        self.kind
    }

    /// The image that its data was made with.
    #[must_use]
    pub fn image(&self) -> &str {
        &self.image
    }

    /// The volume that its data lies in, and that the credential belongs to.
    #[must_use]
    pub fn volume(&self) -> &str {
        &self.volume
    }

    /// When the credential was generated, in seconds since 1970.
    #[must_use]
    pub fn created(&self) -> u64 {
        self.created
    }

    /// How far it has come.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The database that the app uses; Redis and Valkey have none.
    #[must_use]
    pub fn database(&self) -> Option<&str> {
        match self.kind.family() {
            Family::Sql | Family::Mongo => Some(&self.database),
            Family::Redis => None,
        }
    }

    /// The name that the app logs in with.
    ///
    /// PostgreSQL and MongoDB have one password per name, so there a rotation changes the name too.
    #[must_use]
    pub fn username(&self) -> String {
        match self.kind {
            ServiceKind::Postgres | ServiceKind::Mongodb => match self.slot {
                Slot::A => format!("{}_a", self.identifier),
                Slot::B => format!("{}_b", self.identifier),
            },
            ServiceKind::Mysql | ServiceKind::Mariadb => self.identifier.clone(),
            ServiceKind::Redis | ServiceKind::Valkey => "default".to_owned(),
        }
    }

    /// The role that owns what the app creates, whichever name it logs in with.
    pub(crate) fn owner(&self) -> &str {
        &self.identifier
    }

    /// The credential that the app logs in with.
    #[must_use]
    pub fn credential(&self) -> &ServiceCredential {
        &self.credential
    }

    /// The credential of the service's administrator, which no app ever gets.
    #[must_use]
    pub fn administrator(&self) -> &ServiceCredential {
        &self.administrator
    }
}

#[derive(Serialize)]
struct Sealed<'a> {
    version: u32,
    project: &'a str,
    owner: &'a str,
    key: &'a str,
    services: Vec<SealedService<'a>>,
}

#[derive(Serialize)]
struct SealedService<'a> {
    name: &'a str,
    kind: ServiceKind,
    image: &'a str,
    volume: &'a str,
    created: u64,
    identifier: &'a str,
    database: &'a str,
    slot: Slot,
    phase: Phase,
    administrator: &'a str,
    credential: &'a str,
}

#[derive(Deserialize)]
struct Header {
    version: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Opened {
    #[serde(rename = "version")]
    _version: u32,
    project: String,
    owner: String,
    key: String,
    services: Vec<OpenedService>,
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenedService {
    name: String,
    kind: ServiceKind,
    image: String,
    volume: String,
    created: u64,
    identifier: String,
    database: String,
    slot: Slot,
    phase: Phase,
    administrator: String,
    credential: String,
}

impl Drop for OpenedService {
    fn drop(&mut self) {
        self.administrator.zeroize();
        self.credential.zeroize();
    }
}

impl From<OpenedService> for ServiceRecord {
    fn from(mut opened: OpenedService) -> Self {
        use std::mem::take;
        Self {
            name: take(&mut opened.name),
            kind: opened.kind,
            image: take(&mut opened.image),
            volume: take(&mut opened.volume),
            created: opened.created,
            identifier: take(&mut opened.identifier),
            database: take(&mut opened.database),
            slot: opened.slot,
            phase: opened.phase,
            administrator: ServiceCredential::from_text(take(&mut opened.administrator)),
            credential: ServiceCredential::from_text(take(&mut opened.credential)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service<'a>(name: &'a str, kind: ServiceKind, image: &'a str, volume: &'a str) -> NewService<'a> {
        NewService { name, kind, image, volume, database: None, created: 7 }
    }

    fn ledger() -> Ledger {
        let mut ledger = Ledger::new("shop");
        ledger.add(service("db", ServiceKind::Postgres, "postgres:17", "shop-db"));
        ledger.add(service("cache", ServiceKind::Valkey, "valkey/valkey:8", "shop-cache"));
        ledger
    }

    #[test]
    fn a_digest_depends_on_every_part_and_on_the_ledger() {
        let one = ledger();
        let digest = |ledger: &Ledger, parts: &[&str]| ledger.digest(parts.iter().map(|part| part.as_bytes()));
        assert_eq!(digest(&one, &["a", "bc"]), digest(&Ledger::open(&one.seal()).unwrap(), &["a", "bc"]));
        assert_ne!(digest(&one, &["a", "bc"]), digest(&one, &["ab", "c"]));
        assert_ne!(digest(&one, &["a"]), digest(&ledger(), &["a"]));
        assert_eq!(digest(&one, &[]).len(), 32);
    }

    #[test]
    fn a_database_may_have_a_name_of_its_own() {
        let mut ledger = ledger();
        let new = service("reports", ServiceKind::Mysql, "mysql:8", "shop-reports");
        ledger.add(NewService { database: Some("Figures"), ..new });
        assert_eq!(ledger.service("reports").unwrap().database(), Some("Figures"));
        assert_eq!(ledger.service("reports").unwrap().username(), "shop");
        assert_eq!(ledger.service("db").unwrap().database(), Some("shop"));
    }

    #[test]
    fn what_was_sealed_opens_to_the_same_bytes() {
        let mut ledger = ledger();
        ledger.prove("cache");
        let sealed = ledger.seal();
        let opened = Ledger::open(&sealed).unwrap();
        assert_eq!(*opened.seal(), *sealed);
        assert_eq!(opened.service("cache").unwrap().phase(), Phase::Proven);
        assert_eq!(opened.service("db").unwrap().phase(), Phase::Sealed);
    }

    #[test]
    fn r2_a_service_that_is_there_keeps_its_credential() {
        let mut ledger = ledger();
        let before = ledger.seal();
        ledger.add(service("db", ServiceKind::Postgres, "postgres:18", "elsewhere"));
        assert_eq!(*ledger.seal(), *before);
    }

    #[test]
    fn a_ledger_cut_anywhere_is_damaged_and_says_none_of_its_bytes() {
        let sealed = ledger().seal();
        for end in 0..sealed.len() {
            let error = Ledger::open(&sealed[..end]).unwrap_err();
            assert!(matches!(error, LedgerError::Damaged { .. }), "{error}");
            assert!(error.to_string().len() < 80, "{error}");
        }
    }

    #[test]
    fn a_newer_ledger_is_left_alone() {
        let error = Ledger::open(br#"{"version":2,"future":true}"#).unwrap_err();
        assert_eq!(error, LedgerError::Newer { found: 2, known: 1 });
    }

    #[test]
    fn debug_shows_names_and_no_value() {
        let ledger = ledger();
        let shown = format!("{ledger:?}");
        assert!(shown.contains("shop-db"));
        for service in ledger.services() {
            let sealed = String::from_utf8(ledger.seal().to_vec()).unwrap();
            let record = sealed.split(&format!("\"name\":\"{}\"", service.name())).nth(1).unwrap();
            let value = record.split("\"credential\":\"").nth(1).unwrap().split('"').next().unwrap();
            assert_eq!(value.len(), 32);
            assert!(!shown.contains(value));
        }
    }

    #[test]
    fn forgetting_takes_one_service_only() {
        let mut ledger = ledger();
        assert!(ledger.forget("db"));
        assert!(!ledger.forget("db"));
        assert_eq!(ledger.services().len(), 1);
    }
}
