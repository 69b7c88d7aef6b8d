//! One service of the ledger.

use serde::{Deserialize, Serialize};

use super::Phase;
use crate::credential::ServiceCredential;
use crate::kind::{Family, ServiceKind};
use crate::rotation::{Pending, Slot, Stage, Which};

/// The rights of the app in its service, and the databases and extensions that are made for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// The rights.
    pub rights: Rights,
    /// Extensions of PostgreSQL.
    pub extensions: Vec<String>,
    /// Further databases, besides the app's first one.
    pub databases: Vec<String>,
}

/// The rights of an app in a SQL server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rights {
    /// The app owns its databases and everything in them, and nothing else.
    #[default]
    Owner,
    /// The app has all rights of the server's administrator.
    Admin,
}

/// The address of an external server, which others run, and how prun may deal with the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct External {
    /// The host at which the app and prun reach the server.
    pub host: String,
    /// The port.
    pub port: u16,
    /// If prun has an administrator's login, the role that owns the data of the app's logins. Otherwise the name of
    /// the app's own login.
    pub username: Option<String>,
    /// Whether prun makes the app's logins itself, as the server's administrator.
    pub administered: bool,
}

/// One service, and the credentials that were generated for it.
#[derive(Debug)]
pub struct ServiceRecord {
    pub(super) name: String,
    pub(super) kind: ServiceKind,
    pub(super) image: String,
    pub(super) volume: String,
    pub(super) created: u64,
    pub(super) identifier: String,
    pub(super) database: String,
    pub(super) slot: Slot,
    pub(super) phase: Phase,
    pub(super) administrator: ServiceCredential,
    pub(super) credential: ServiceCredential,
    pub(super) pending: Option<Pending>,
    pub(super) superuser: Option<String>,
    pub(super) adopted: bool,
    pub(super) terms: Terms,
    pub(super) disagreed: bool,
    pub(super) external: Option<External>,
}

impl ServiceRecord {
    pub(super) fn renew(&mut self, phase: Phase, now: u64) {
        self.credential = ServiceCredential::generate();
        self.pending = None;
        self.phase = phase;
        self.created = now;
    }

    /// Returns the name of the service's administrator.
    pub(crate) fn superuser(&self) -> &str {
        self.superuser.as_deref().unwrap_or(match self.kind {
            ServiceKind::Postgres => "postgres",
            ServiceKind::Redis | ServiceKind::Valkey => "default",
            ServiceKind::Mysql | ServiceKind::Mariadb | ServiceKind::Mongodb => "root",
        })
    }

    /// Returns the service's name, which is also its host name on the project's network.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns whether others made the service's volume. Such a volume is used, but never removed.
    #[must_use]
    pub fn is_adopted(&self) -> bool {
        self.adopted
    }

    /// Returns the service's kind.
    #[must_use]
    pub fn kind(&self) -> ServiceKind {
        self.kind
    }

    /// Returns the image that made the service's data.
    #[must_use]
    pub fn image(&self) -> &str {
        &self.image
    }

    /// Returns the volume that holds the service's data. The credential belongs to that data.
    #[must_use]
    pub fn volume(&self) -> &str {
        &self.volume
    }

    /// Returns the time when the credential was generated, in seconds since 1970.
    #[must_use]
    pub fn created(&self) -> u64 {
        self.created
    }

    /// Returns the phase of the service's setup.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Returns the database that the app uses. Redis and Valkey do not have one.
    #[must_use]
    pub fn database(&self) -> Option<&str> {
        match self.kind.family() {
            Family::Sql | Family::Mongo => Some(&self.database),
            Family::Redis => None,
        }
    }

    /// Returns the login name of the app.
    ///
    /// PostgreSQL and MongoDB have one password for each name, so a rotation there changes the name, too.
    #[must_use]
    pub fn username(&self) -> String {
        self.username_of(self.published())
    }

    /// Returns the login name that goes with one of the two credentials.
    #[must_use]
    pub fn username_of(&self, which: Which) -> String {
        let slot = match (which, &self.pending) {
            (Which::Next, Some(pending)) => pending.slot,
            (Which::Next, None) | (Which::Current, _) => self.slot,
        };
        if let Some(External { username, administered: false, .. }) = &self.external {
            return username.clone().unwrap_or_else(|| "default".to_owned());
        }
        match self.kind {
            ServiceKind::Postgres | ServiceKind::Mongodb => match slot {
                Slot::A => format!("{}_a", self.identifier),
                Slot::B => format!("{}_b", self.identifier),
            },
            ServiceKind::Mysql | ServiceKind::Mariadb => self.identifier.clone(),
            ServiceKind::Redis | ServiceKind::Valkey => "default".to_owned(),
        }
    }

    /// Returns the role that owns everything that the app creates, under either login name.
    pub(crate) fn owner(&self) -> &str {
        self.external.as_ref().and_then(|external| external.username.as_deref()).unwrap_or(&self.identifier)
    }

    /// Returns the external server, if others run the service.
    #[must_use]
    pub fn external(&self) -> Option<&External> {
        self.external.as_ref()
    }

    /// Returns whether prun can rotate the credential. It cannot if others made the app's login.
    #[must_use]
    pub fn rotates(&self) -> bool {
        self.external.as_ref().is_none_or(|external| external.administered)
    }

    /// Returns the host at which the app reaches the service.
    #[must_use]
    pub fn host(&self) -> &str {
        self.external.as_ref().map_or(&self.name, |external| &external.host)
    }

    /// Returns the port on which the service listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.external.as_ref().map_or(self.kind.port(), |external| external.port)
    }

    /// Returns the rights of the app, and the databases and extensions that are made for it.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Returns whether a login is all that the next start has to check: the credential was proven, and the service
    /// has the rights, databases and extensions that are recorded.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.phase == Phase::Proven && !self.disagreed
    }

    /// Returns all databases of the app, beginning with the first one. Redis and Valkey do not have any.
    pub fn databases(&self) -> impl Iterator<Item = &str> {
        self.database().into_iter().chain(self.terms.databases.iter().map(String::as_str))
    }

    /// Returns the credential with which the app logs in.
    #[must_use]
    pub fn credential(&self) -> &ServiceCredential {
        self.credential_of(self.published())
    }

    /// Returns one of the two credentials. Without a rotation in progress, there is only the current one.
    #[must_use]
    pub fn credential_of(&self, which: Which) -> &ServiceCredential {
        match (which, &self.pending) {
            (Which::Next, Some(pending)) => &pending.credential,
            (Which::Next, None) | (Which::Current, _) => &self.credential,
        }
    }

    /// Returns which of the two credentials the instances get.
    fn published(&self) -> Which {
        match &self.pending {
            Some(Pending { step: Stage::Publishing | Stage::Revoking, .. }) => Which::Next,
            Some(Pending { step: Stage::Enabling, .. }) | None => Which::Current,
        }
    }

    /// Returns all credentials of the service: one, or two during a rotation.
    pub fn credentials(&self) -> impl Iterator<Item = &ServiceCredential> {
        std::iter::once(&self.credential).chain(self.pending.as_ref().map(|pending| &pending.credential))
    }

    /// Returns the credentials that the service accepts now. They are both credentials until the current one is about
    /// to be revoked.
    pub(crate) fn valid(&self) -> impl Iterator<Item = &ServiceCredential> {
        let revoking = self.stage() == Some(Stage::Revoking);
        self.credentials().skip(usize::from(revoking))
    }

    /// Returns the stage of a rotation, if one is in progress.
    #[must_use]
    pub fn stage(&self) -> Option<Stage> {
        self.pending.as_ref().map(|pending| pending.step)
    }

    /// Returns the credential of the service's administrator. No app ever gets it.
    #[must_use]
    pub fn administrator(&self) -> &ServiceCredential {
        &self.administrator
    }
}
