//! Replaces a service's credential with its next one, while instances keep logging in.
//!
//! Each step is sealed before it takes effect ([`pcredential::Stage`]). `prun start` and `prun services rotate` both
//! continue from the sealed step. Every step can be repeated. The old credential is revoked only when every instance
//! has the next one.

use std::time::Duration;

use pcredential::probe::Login;
use pcredential::{Ledger, ServiceRecord, Stage, Which, change, probe};
use pengine::Engine;

use crate::edge::{Edge, now};
use crate::error::RunError;
use crate::fault;
use crate::names::Project;
use crate::service;
use crate::state::LockedState;

/// The pause between two checks whether a service has applied a change.
const PAUSE: Duration = Duration::from_millis(200);
/// How often a change is checked before the rotation fails.
const LOOKS: u32 = 10;

/// Everything that the steps of a rotation need.
pub(crate) struct Rotation<'a> {
    pub(crate) host: &'a Engine,
    pub(crate) project: &'a Project,
    pub(crate) locked: &'a LockedState<'a>,
    pub(crate) edge: &'a Edge,
}

impl Rotation<'_> {
    /// Makes every service that has a next credential accept both credentials, and seals that the next ones may be
    /// published.
    pub(crate) async fn enable(&self, ledger: &mut Ledger) -> Result<(), RunError> {
        let under_way = |service: &&ServiceRecord| matches!(service.stage(), Some(Stage::Enabling | Stage::Publishing));
        let names: Vec<String> =
            ledger.services().iter().filter(under_way).map(|service| service.name().to_owned()).collect();
        for service in ledger.services().iter().filter(under_way) {
            // If a service accepts the next credential, a command that was killed has already changed it.
            let changed = self.login(service, Which::Next).await? == Login::Done;
            if !changed || !self.both(service).await? {
                service::apply(self.host, self.project, service, &change::enable(service)).await?;
                fault::point("rotation.enabled");
                self.until(service, "does not take the new credential beside the old one", || self.both(service))
                    .await?;
            }
            fault::point("rotation.verified");
            self.edge.stderr.fact(service.name(), "new credential enabled, login verified");
        }
        if !names.is_empty() {
            names.iter().for_each(|name| ledger.advance(name, Stage::Publishing));
            self.locked.seal_ledger(ledger).await?;
            fault::point("rotation.published");
        }
        Ok(())
    }

    /// Makes every service refuse its old credential. All instances must have the next credential by then.
    pub(crate) async fn revoke(&self, ledger: &mut Ledger) -> Result<(), RunError> {
        let names: Vec<String> = ledger
            .services()
            .iter()
            .filter(|service| service.stage().is_some())
            .map(|service| service.name().to_owned())
            .collect();
        if names.is_empty() {
            return Ok(());
        }
        names.iter().for_each(|name| ledger.advance(name, Stage::Revoking));
        self.locked.seal_ledger(ledger).await?;
        fault::point("rotation.revoking");
        for name in &names {
            let Some(service) = ledger.service(name) else { continue };
            // The files that the service reads at its next start are written first, so that no restart brings the old
            // credential back.
            service::fill(self.host, self.project, service).await?;
            service::apply(self.host, self.project, service, &change::revoke(service)).await?;
            fault::point("rotation.revoked");
            self.until(service, "does not refuse the old credential", || self.next_alone(service)).await?;
            self.edge.stderr.fact(name, "old credential revoked, login refused");
        }
        names.iter().for_each(|name| ledger.finish_rotation(name, now()));
        self.locked.seal_ledger(ledger).await?;
        fault::point("rotation.finished");
        Ok(())
    }

    async fn both(&self, service: &ServiceRecord) -> Result<bool, RunError> {
        Ok(self.logins(service).await? == (Login::Done, Login::Done))
    }

    async fn next_alone(&self, service: &ServiceRecord) -> Result<bool, RunError> {
        Ok(self.logins(service).await? == (Login::Done, Login::Refused))
    }

    /// Logs in with the next credential and with the current one.
    async fn logins(&self, service: &ServiceRecord) -> Result<(Login, Login), RunError> {
        futures::try_join!(self.login(service, Which::Next), self.login(service, Which::Current))
    }

    async fn login(&self, service: &ServiceRecord, which: Which) -> Result<Login, RunError> {
        let container = self.project.service(service.name());
        service::ask(self.host, &container, &probe::login(service, which), &mut Vec::new()).await
    }

    async fn until<F: Future<Output = Result<bool, RunError>>>(
        &self,
        service: &ServiceRecord,
        otherwise: &'static str,
        look: impl Fn() -> F,
    ) -> Result<(), RunError> {
        for _ in 0..LOOKS {
            if look().await? {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(RunError::Rotation { service: service.name().to_owned(), otherwise, tail: Vec::new() })
    }
}
