//! One service of the ledger.

use serde::{Deserialize, Serialize};

use super::Phase;
use crate::credential::ServiceCredential;
use crate::kind::{Family, ServiceKind};
use crate::rotation::{Pending, Slot, Stage, Which};

/// The rights of the app in its service, and what is made for it there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// The rights.
    pub rights: Rights,
    /// Extensions of PostgreSQL.
    pub extensions: Vec<String>,
    /// Databases beside the app's first one.
    pub databases: Vec<String>,
}

/// The rights of an app in a SQL server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rights {
    /// It owns its databases and everything in them, and nothing else.
    #[default]
    Owner,
    /// It may do whatever the server's administrator may.
    Admin,
}

/// The address of a server that others run, and how prun may deal with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct External {
    /// The host that the app and prun reach it by.
    pub host: String,
    /// The port.
    pub port: u16,
    /// With an administrator the role that the app's logins act for, else the app's own login.
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

    /// The administrator's name.
    pub(crate) fn superuser(&self) -> &str {
        self.superuser.as_deref().unwrap_or(match self.kind {
            ServiceKind::Postgres => "postgres",
            ServiceKind::Redis | ServiceKind::Valkey => "default",
            ServiceKind::Mysql | ServiceKind::Mariadb | ServiceKind::Mongodb => "root",
        })
    }

    /// The service's name: also its host name on the project's network.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether its volume was made by others; such a volume is used and never removed.
    #[must_use]
    pub fn is_adopted(&self) -> bool {
        self.adopted
    }

    /// The service's kind.
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

    /// The role that owns what the app creates, whichever name it logs in with.
    pub(crate) fn owner(&self) -> &str {
        self.external.as_ref().and_then(|external| external.username.as_deref()).unwrap_or(&self.identifier)
    }

    /// The server that others run, if it is one.
    #[must_use]
    pub fn external(&self) -> Option<&External> {
        self.external.as_ref()
    }

    /// Whether prun can give it another credential: not where others made the app's login.
    #[must_use]
    pub fn rotates(&self) -> bool {
        self.external.as_ref().is_none_or(|external| external.administered)
    }

    /// The host that the app reaches it by.
    #[must_use]
    pub fn host(&self) -> &str {
        self.external.as_ref().map_or(&self.name, |external| &external.host)
    }

    /// The port that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.external.as_ref().map_or(self.kind.port(), |external| external.port)
    }

    /// The rights of the app, and what is made for it.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Whether the service has been told everything that it must know before a login.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.phase == Phase::Proven && !self.disagreed
    }

    /// All databases of the app, its first one at the beginning; none for Redis and Valkey.
    pub fn databases(&self) -> impl Iterator<Item = &str> {
        self.database().into_iter().chain(self.terms.databases.iter().map(String::as_str))
    }

    /// The credential that the app logs in with.
    #[must_use]
    pub fn credential(&self) -> &ServiceCredential {
        self.credential_of(self.published())
    }

    /// Returns one of the two credentials; without a rotation under way there is only the current one.
    #[must_use]
    pub fn credential_of(&self, which: Which) -> &ServiceCredential {
        match (which, &self.pending) {
            (Which::Next, Some(pending)) => &pending.credential,
            (Which::Next, None) | (Which::Current, _) => &self.credential,
        }
    }

    /// Which of the two instances are given.
    fn published(&self) -> Which {
        match &self.pending {
            Some(Pending { step: Stage::Publishing | Stage::Revoking, .. }) => Which::Next,
            Some(Pending { step: Stage::Enabling, .. }) | None => Which::Current,
        }
    }

    /// The credentials that there are: one, or two while a rotation is under way.
    pub fn credentials(&self) -> impl Iterator<Item = &ServiceCredential> {
        std::iter::once(&self.credential).chain(self.pending.as_ref().map(|pending| &pending.credential))
    }

    /// The credentials that the service takes now: both, until the current one is about to be revoked.
    pub(crate) fn valid(&self) -> impl Iterator<Item = &ServiceCredential> {
        let revoking = self.stage() == Some(Stage::Revoking);
        self.credentials().skip(usize::from(revoking))
    }

    /// How far a rotation has come, if one is under way.
    #[must_use]
    pub fn stage(&self) -> Option<Stage> {
        self.pending.as_ref().map(|pending| pending.step)
    }

    /// The credential of the service's administrator, which no app ever gets.
    #[must_use]
    pub fn administrator(&self) -> &ServiceCredential {
        &self.administrator
    }
}
