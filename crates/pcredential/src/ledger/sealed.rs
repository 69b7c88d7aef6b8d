//! The form of the ledger in the sealed file.

use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use super::Phase;
use super::record::{External, ServiceRecord, Terms};
use crate::credential::ServiceCredential;
use crate::kind::ServiceKind;
use crate::rotation::{OpenedPending, Pending, SealedPending, Slot};

#[derive(Serialize)]
pub(super) struct Sealed<'a> {
    pub(super) version: u32,
    pub(super) project: &'a str,
    pub(super) owner: &'a str,
    pub(super) key: &'a str,
    pub(super) services: Vec<SealedService<'a>>,
}

#[derive(Serialize)]
pub(super) struct SealedService<'a> {
    pub(super) name: &'a str,
    pub(super) kind: ServiceKind,
    pub(super) image: &'a str,
    pub(super) volume: &'a str,
    pub(super) created: u64,
    pub(super) identifier: &'a str,
    pub(super) database: &'a str,
    pub(super) slot: Slot,
    pub(super) phase: Phase,
    pub(super) administrator: &'a str,
    pub(super) credential: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pending: Option<SealedPending<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) superuser: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) adopted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) terms: Option<&'a Terms>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) disagreed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) external: Option<&'a External>,
}

#[derive(Deserialize)]
pub(super) struct Header {
    pub(super) version: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Opened {
    #[serde(rename = "version")]
    pub(super) _version: u32,
    pub(super) project: String,
    pub(super) owner: String,
    pub(super) key: String,
    pub(super) services: Vec<OpenedService>,
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OpenedService {
    pub(super) name: String,
    pub(super) kind: ServiceKind,
    pub(super) image: String,
    pub(super) volume: String,
    pub(super) created: u64,
    pub(super) identifier: String,
    pub(super) database: String,
    pub(super) slot: Slot,
    pub(super) phase: Phase,
    pub(super) administrator: String,
    pub(super) credential: String,
    #[serde(default)]
    pub(super) pending: Option<OpenedPending>,
    #[serde(default)]
    pub(super) superuser: Option<String>,
    #[serde(default)]
    pub(super) adopted: bool,
    #[serde(default)]
    pub(super) terms: Terms,
    #[serde(default)]
    pub(super) disagreed: bool,
    #[serde(default)]
    pub(super) external: Option<External>,
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
            pending: opened.pending.take().map(Pending::from),
            superuser: opened.superuser.take(),
            adopted: opened.adopted,
            terms: take(&mut opened.terms),
            disagreed: opened.disagreed,
            external: opened.external.take(),
        }
    }
}
