//! Carries out the steps that replace a service's credential with its next one, while instances keep logging in.
//!
//! [`pstage`] decides which step is next. Each stage is sealed before it takes effect ([`pcredential::Stage`]), and
//! every step can be repeated.

use std::time::Duration;

use pcredential::probe::Login;
use pcredential::{Ledger, ServiceRecord, Stage, Which, change, probe};
use pengine::Engine;
use pstage::Logins;

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
    /// Looks which of its two credentials a service accepts. Both, if a command that was killed has enabled the next
    /// one.
    pub(crate) async fn probe(&self, service: &ServiceRecord) -> Result<Logins, RunError> {
        let (next, current) = self.logins(service).await?;
        if (next, current) == (Login::Done, Login::Done) {
            self.report_enabled(service);
        }
        Ok(Logins { current: current == Login::Done, next: next == Login::Done })
    }

    /// Makes a service accept its next credential beside the current one.
    pub(crate) async fn enable(&self, service: &ServiceRecord) -> Result<(), RunError> {
        service::apply(self.host, self.project, service, &change::enable(service)).await?;
        fault::point("rotation.enabled");
        Ok(())
    }

    /// Waits until a service accepts both credentials.
    pub(crate) async fn verify_enabled(&self, service: &ServiceRecord) -> Result<(), RunError> {
        let both = (Login::Done, Login::Done);
        self.until(service, both, "does not take the new credential beside the old one").await?;
        self.report_enabled(service);
        Ok(())
    }

    /// Seals the next stage of rotations.
    pub(crate) async fn advance(&self, ledger: &mut Ledger, names: &[String], stage: Stage) -> Result<(), RunError> {
        if stage == Stage::Revoking {
            fault::point("rotation.rolled");
        }
        names.iter().for_each(|name| ledger.advance(name, stage));
        self.locked.seal_ledger(ledger).await?;
        match stage {
            Stage::Enabling => {}
            Stage::Publishing => fault::point("rotation.published"),
            Stage::Revoking => fault::point("rotation.revoking"),
        }
        Ok(())
    }

    /// Makes a service refuse its old credential.
    pub(crate) async fn revoke(&self, service: &ServiceRecord) -> Result<(), RunError> {
        // The files that the service reads at its next start are written first, so that no restart brings the old
        // credential back.
        service::fill(self.host, self.project, service).await?;
        service::apply(self.host, self.project, service, &change::revoke(service)).await?;
        fault::point("rotation.revoked");
        Ok(())
    }

    /// Waits until a service accepts its next credential alone.
    pub(crate) async fn verify_refused(&self, service: &ServiceRecord) -> Result<(), RunError> {
        self.until(service, (Login::Done, Login::Refused), "does not refuse the old credential").await?;
        self.edge.stderr.fact(service.name(), "old credential revoked, login refused");
        Ok(())
    }

    /// Seals that the next credentials are the only ones.
    pub(crate) async fn finish(&self, ledger: &mut Ledger, names: &[String]) -> Result<(), RunError> {
        names.iter().for_each(|name| ledger.finish_rotation(name, now()));
        self.locked.seal_ledger(ledger).await?;
        fault::point("rotation.finished");
        Ok(())
    }

    fn report_enabled(&self, service: &ServiceRecord) {
        fault::point("rotation.verified");
        self.edge.stderr.fact(service.name(), "new credential enabled, login verified");
    }

    /// Logs in with the next credential and with the current one.
    async fn logins(&self, service: &ServiceRecord) -> Result<(Login, Login), RunError> {
        futures::try_join!(self.login(service, Which::Next), self.login(service, Which::Current))
    }

    async fn login(&self, service: &ServiceRecord, which: Which) -> Result<Login, RunError> {
        let container = self.project.service(service.name());
        service::ask(self.host, &container, &probe::login(service, which), &mut Vec::new()).await
    }

    async fn until(
        &self,
        service: &ServiceRecord,
        expected: (Login, Login),
        otherwise: &'static str,
    ) -> Result<(), RunError> {
        for _ in 0..LOOKS {
            if self.logins(service).await? == expected {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(RunError::Rotation { service: service.name().to_owned(), otherwise, tail: Vec::new() })
    }
}
