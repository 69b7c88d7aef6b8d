//! The rotation of a credential: its stages, and the two credentials that exist meanwhile.
//!
//! Every stage is sealed before its actions, and every action may be repeated. If the program is killed, the next run
//! reads the stage and continues from it. Until the last stage begins, the service accepts both credentials; in the
//! last stage, all instances already have the next one. At no moment do the instances hold a credential that the
//! service refuses.

use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use crate::credential::ServiceCredential;

/// One of a service's two login names. A rotation switches from one to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Slot {
    /// The first login name.
    A,
    /// The second login name.
    B,
}

/// The stage of a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The next credential is sealed, and the service is being made to accept it. Instances have the current one.
    Enabling,
    /// The service accepts both credentials. Instances are being given the next one.
    Publishing,
    /// All instances have the next credential. The service is being made to refuse the current one.
    Revoking,
}

/// One of a service's two credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The credential from before the rotation, or the only one.
    Current,
    /// The credential from after the rotation.
    Next,
}

/// The next credential of a service, during a rotation.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) step: Stage,
    pub(crate) slot: Slot,
    pub(crate) credential: ServiceCredential,
}

impl Slot {
    /// Returns the slot that a rotation switches to.
    #[must_use]
    pub(crate) fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// The pending rotation in the form of the sealed ledger.
#[derive(Serialize)]
pub(crate) struct SealedPending<'a> {
    pub(crate) step: Stage,
    pub(crate) slot: Slot,
    pub(crate) credential: &'a str,
}

/// The pending rotation after the ledger was opened.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OpenedPending {
    step: Stage,
    slot: Slot,
    credential: String,
}

impl Drop for OpenedPending {
    fn drop(&mut self) {
        self.credential.zeroize();
    }
}

impl From<OpenedPending> for Pending {
    fn from(mut opened: OpenedPending) -> Self {
        let credential = ServiceCredential::from_text(std::mem::take(&mut opened.credential));
        Self { step: opened.step, slot: opened.slot, credential }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Ledger, NewService, ServiceKind, Stage, Which};

    fn ledger(kind: ServiceKind) -> Ledger {
        let mut ledger = Ledger::new("shop");
        ledger.add(NewService { name: "db", kind, image: "image", volume: "volume", database: None, created: 0 });
        ledger
    }

    /// Returns the login name of the instances, and whether they get the current credential.
    fn published(ledger: &Ledger) -> (String, bool) {
        let service = &ledger.services()[0];
        (service.username(), std::ptr::eq(service.credential(), service.credential_of(Which::Current)))
    }

    #[test]
    fn instances_get_the_next_credential_from_the_moment_both_are_valid() {
        let mut ledger = ledger(ServiceKind::Postgres);
        assert_eq!(published(&ledger), ("shop_a".to_owned(), true));
        ledger.begin_rotation("db");
        assert_eq!(ledger.services()[0].stage(), Some(Stage::Enabling));
        assert_eq!(published(&ledger), ("shop_a".to_owned(), true));
        ledger.advance("db", Stage::Publishing);
        assert_eq!(published(&ledger), ("shop_b".to_owned(), false));
        ledger.advance("db", Stage::Revoking);
        assert_eq!(published(&ledger), ("shop_b".to_owned(), false));
        ledger.finish_rotation("db", 9);
        assert_eq!(published(&ledger), ("shop_b".to_owned(), true));
        assert_eq!((ledger.services()[0].stage(), ledger.services()[0].created()), (None, 9));
    }

    #[test]
    fn a_rotation_that_is_under_way_is_not_begun_again() {
        let mut ledger = ledger(ServiceKind::Mysql);
        ledger.begin_rotation("db");
        ledger.advance("db", Stage::Publishing);
        let before = ledger.seal();
        ledger.begin_rotation("db");
        ledger.advance("db", Stage::Enabling);
        assert_eq!(*ledger.seal(), *before, "and never goes back");
    }

    #[test]
    fn every_step_survives_the_seal() {
        let mut ledger = ledger(ServiceKind::Redis);
        ledger.begin_rotation("db");
        for step in [Stage::Enabling, Stage::Publishing, Stage::Revoking] {
            ledger.advance("db", step);
            let opened = Ledger::open(&ledger.seal()).unwrap();
            assert_eq!(opened.services()[0].stage(), Some(step));
            assert_eq!(*opened.seal(), *ledger.seal());
        }
        ledger.finish_rotation("db", 1);
        assert_eq!(Ledger::open(&ledger.seal()).unwrap().services()[0].stage(), None);
    }
}
