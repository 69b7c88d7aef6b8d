//! The walk of a start: looks at what is there, asks [`pstage`] for the next steps, carries them out, and looks again,
//! until no step is left.

mod seen;

use pcredential::{Ledger, Phase, ServiceRecord};
use pstage::{
    InstanceStep, Inventory, Journal, Logins, Need, Process, SealedGeneration, SealedService, ServiceStep, Setup, Step,
};

use crate::error::RunError;
use crate::instance::roll::{Replacement, Roll};
use crate::plan::Plan;
use crate::plan::process::PlannedProcess;
use crate::plan::route::routes;
use crate::rotation::Rotation;
use crate::services::Services;
use crate::state::LockedState;
pub(crate) use seen::{App, Seen};

/// A walk in progress.
pub(crate) struct Walk<'a> {
    /// The services and everything that they need.
    pub(crate) services: Services<'a>,
    /// The state that this command has locked.
    pub(crate) locked: &'a LockedState<'a>,
    /// What the steps of this command have done or seen.
    pub(crate) seen: &'a mut Seen,
}

impl Walk<'_> {
    /// Makes the services ready, and makes them accept the credentials that instances get.
    ///
    /// # Errors
    ///
    /// Returns the error of the first step that fails, or [`RunError::Stopped`] after a cancellation.
    pub(crate) async fn prepare(&mut self) -> Result<(), RunError> {
        let need = Need { services: needed(self.services.plan, self.services.ledger), ..Need::default() };
        loop {
            let journal = journal(self.services.ledger, self.locked.newest_number()?, None);
            let steps = pstage::prepare(&need, &journal, &self.seen.inventory());
            if steps.is_empty() {
                return Ok(());
            }
            for step in &steps {
                let cancellation = self.services.edge.cancellation.clone();
                cancellation.unless_cancelled(self.services_step(step)).await??;
            }
        }
    }

    /// Makes everything run as needed, with a generation after the number `after`. If that fails or is cancelled, the
    /// old instances still run.
    ///
    /// # Errors
    ///
    /// Returns the error of the first step that fails, or [`RunError::Stopped`] after a cancellation.
    pub(crate) async fn settle(&mut self, roll: &mut Roll<'_>, app: App, after: u64) -> Result<Replacement, RunError> {
        let outcome = self.steps(roll, app, after).await;
        if outcome.is_err() {
            let (journal, inventory) = (self.journal(roll)?, self.look(roll, app).await?);
            for step in pstage::undo(&journal, &inventory) {
                roll.carry_out(&step, self.services.ledger, self.locked).await?;
            }
        }
        outcome.map(|()| roll.replacement())
    }

    async fn steps(&mut self, roll: &mut Roll<'_>, app: App, after: u64) -> Result<(), RunError> {
        loop {
            let inventory = self.look(roll, app).await?;
            let steps = pstage::next(&self.need(roll, app, after), &self.journal(roll)?, &inventory);
            if steps.is_empty() {
                return Ok(());
            }
            for step in &steps {
                let cancellation = self.services.edge.cancellation.clone();
                cancellation.unless_cancelled(self.carry_out(step, roll)).await??;
                if let Step::Instance(InstanceStep::Retire(_)) = step {
                    roll.report(self.locked.newest_number()?);
                }
            }
            roll.report(self.locked.newest_number()?);
        }
    }

    async fn look(&self, roll: &Roll<'_>, app: App) -> Result<Inventory, RunError> {
        let (host, project) = (self.services.host, self.services.project);
        self.seen.look(host, project, self.services.ledger, roll, app).await
    }

    fn journal(&self, roll: &Roll<'_>) -> Result<Journal, RunError> {
        let current = roll.current().map(|current| SealedGeneration {
            number: current.number,
            digest: current.digest.clone(),
            is_recorded: roll.is_recorded(current),
        });
        Ok(journal(self.services.ledger, self.locked.newest_number()?, current))
    }

    fn need(&self, roll: &Roll<'_>, app: App, after: u64) -> Need {
        let plan = self.services.plan;
        let process = |process: &PlannedProcess| Process {
            name: process.name().to_owned(),
            replicas: process.replicas(),
            has_new_check: roll.has_new_check(process),
        };
        let (processes, is_published) = match app {
            App::Runs => (plan.processes().iter().map(process).collect(), !routes(plan).is_empty()),
            App::Stopped => (Vec::new(), false),
        };
        let services = needed(plan, self.services.ledger);
        Need { services, processes, digest: roll.digest().to_owned(), after, is_published }
    }

    async fn carry_out(&mut self, step: &Step, roll: &mut Roll<'_>) -> Result<(), RunError> {
        match step {
            Step::Service(step) => self.services_step(step).await,
            Step::Instance(step) => {
                roll.carry_out(step, self.services.ledger, self.locked).await?;
                self.seen.note_of_instances(step);
                Ok(())
            }
        }
    }

    async fn services_step(&mut self, step: &ServiceStep) -> Result<(), RunError> {
        let Self { services, locked, seen } = self;
        let rotation = Rotation { host: services.host, project: services.project, locked, edge: services.edge };
        match step {
            ServiceStep::CheckService(name) => {
                let image = services.check(record(services.ledger, name)).await?;
                seen.images.insert(name.clone(), image);
            }
            ServiceStep::EnsureNetwork => services.ensure_network().await?,
            ServiceStep::StartService(name) => services.start(record(services.ledger, name), seen.image(name)).await?,
            ServiceStep::AwaitLogins(names) => services.await_logins(names).await?,
            ServiceStep::Prove(names) => {
                names.iter().for_each(|name| services.ledger.prove(name));
                locked.seal_ledger(services.ledger).await?;
            }
            ServiceStep::RestartService(name) => {
                services.restart(record(services.ledger, name), seen.image(name)).await?
            }
            ServiceStep::RemoveService(name) => services.remove(record(services.ledger, name)).await?,
            ServiceStep::ProbeLogins(name) => {
                let logins: Logins = rotation.probe(record(services.ledger, name)).await?;
                seen.logins.insert(name.clone(), logins);
            }
            ServiceStep::EnableCredential(name) => rotation.enable(record(services.ledger, name)).await?,
            ServiceStep::VerifyEnabled(name) => rotation.verify_enabled(record(services.ledger, name)).await?,
            ServiceStep::Advance(stage, names) => rotation.advance(services.ledger, names, *stage).await?,
            ServiceStep::RevokeCredential(name) => rotation.revoke(record(services.ledger, name)).await?,
            ServiceStep::VerifyRefused(name) => rotation.verify_refused(record(services.ledger, name)).await?,
            ServiceStep::FinishRotation(names) => rotation.finish(services.ledger, names).await?,
        }
        seen.note_of_services(step);
        Ok(())
    }
}

fn record<'a>(ledger: &'a Ledger, name: &str) -> &'a ServiceRecord {
    ledger.service(name).expect("a step is about a service of the ledger")
}

fn needed(plan: &Plan, ledger: &Ledger) -> Vec<String> {
    let names = ledger.services().iter().map(ServiceRecord::name);
    names.filter(|name| plan.wants(name)).map(str::to_owned).collect()
}

/// Tells what is sealed, without the values.
fn journal(ledger: &Ledger, newest: u64, current: Option<SealedGeneration>) -> Journal {
    let service = |service: &ServiceRecord| SealedService {
        name: service.name().to_owned(),
        setup: match service.phase() {
            Phase::Resetting => Setup::Resetting,
            _ if service.is_settled() => Setup::Settled,
            Phase::Sealed | Phase::Proven | Phase::Imported => Setup::Unproven,
        },
        stage: service.stage(),
    };
    Journal { services: ledger.services().iter().map(service).collect(), newest, current }
}
