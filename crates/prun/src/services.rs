//! Brings the services of a project to the plan: adds them to the ledger, and carries out the steps that start them,
//! prove their credentials, and stop those that the plan does not have. [`pstage`] decides which step is next.

use std::cell::RefCell;
use std::time::Duration;

use bollard::models::ImageInspect;
use pcredential::{Ledger, NewService, Phase, ServiceRecord};
use pengine::Engine;

use crate::edge::{Edge, now};
use crate::engine::{containers, images};
use crate::error::RunError;
use crate::error::command::CommandError;
use crate::names::Project;
use crate::plan::{Plan, PlannedService};
use crate::service::{self, Effect};
use crate::values::external::Logins;

/// The services of a project, and everything that is needed to bring them to the plan.
pub(crate) struct Services<'a> {
    pub(crate) host: &'a Engine,
    pub(crate) project: &'a Project,
    pub(crate) plan: &'a Plan,
    pub(crate) ledger: &'a mut Ledger,
    pub(crate) edge: &'a Edge,
    pub(crate) logins: &'a mut Logins,
}

impl Services<'_> {
    /// Brings the ledger to the plan, and returns whether it changed. Data that prun did not make never gets a fresh
    /// credential.
    ///
    /// # Errors
    ///
    /// Returns [`RunError::ExistingVolume`] if there is data whose password is unknown, and a [`CommandError`] if the
    /// plan does not fit the data.
    pub(crate) async fn add(&mut self) -> Result<bool, RunError> {
        let mut changed = self.ledger.services().is_empty();
        for planned in self.plan.services() {
            match self.ledger.service(&planned.name) {
                Some(known) => check(planned, known)?,
                None if planned.external.is_none() => {
                    let volume = self.project.service(&planned.name);
                    if containers::volume_exists(self.host, &volume).await? {
                        return Err(RunError::ExistingVolume { service: planned.name.clone(), volume });
                    }
                    self.ledger.add(NewService { volume: &volume, ..new_service(planned, &image(planned)) });
                    changed = true;
                }
                None => {}
            }
            changed |= self.connect(planned)?;
            // Unless the plan names an image, the service keeps the image that made its data.
            let other =
                |image: &&String| self.ledger.service(&planned.name).is_some_and(|known| known.image() != **image);
            if let Some(image) = planned.image.as_ref().filter(other) {
                self.ledger.set_image(&planned.name, image);
                changed = true;
            }
            changed |= self.ledger.agree(&planned.name, &planned.terms);
        }
        Ok(changed)
    }

    /// Copies into the ledger what the plan says of an external service, and returns whether the ledger changed.
    fn connect(&mut self, planned: &PlannedService) -> Result<bool, RunError> {
        let Some(external) = &planned.external else { return Ok(false) };
        if let Some(login) = self.logins.take(&planned.name) {
            let image = image(planned);
            return Ok(self.ledger.connect(new_service(planned, &image), external.server.clone(), login));
        }
        let known = self.ledger.service(&planned.name);
        let as_known = known.is_some_and(|known| {
            known.external() == Some(&external.server) && known.database().map(str::to_owned) == planned.database
        });
        match as_known {
            true => Ok(false),
            false => {
                let (service, secret) = (planned.name.clone(), external.login.secret().to_owned());
                Err(CommandError::ExternalWithoutLogin { service, secret }.into())
            }
        }
    }

    /// Finds the image of a service, and checks that nobody else uses its volume.
    ///
    /// # Errors
    ///
    /// Returns an error if the image is missing, and [`CommandError::VolumeInUse`].
    pub(crate) async fn check(&self, service: &ServiceRecord) -> Result<ImageInspect, RunError> {
        let image = images::find(self.host, service.image(), &self.edge.stderr).await;
        let image = image.map_err(|error| error.of_service(service.name()))?;
        check_volume(self.host, self.project, service.volume()).await?;
        Ok(image)
    }

    /// Makes sure that the project's network is there.
    ///
    /// # Errors
    ///
    /// Returns the errors of the engine.
    pub(crate) async fn ensure_network(&self) -> Result<(), RunError> {
        containers::ensure_network(self.host, self.project).await
    }

    /// Makes sure that a service runs. The ledger with its credential must be sealed before.
    ///
    /// # Errors
    ///
    /// Returns the errors of the engine.
    pub(crate) async fn start(&self, service: &ServiceRecord, image: &ImageInspect) -> Result<(), RunError> {
        let started = service::start(self.host, self.project, self.ledger, service, image).await?;
        self.report(service, started);
        Ok(())
    }

    /// Waits until a login works in each of these services.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`service::wait`].
    pub(crate) async fn await_logins(&self, names: &[String]) -> Result<(), RunError> {
        let waited_for: RefCell<Vec<&String>> = RefCell::new(names.iter().collect());
        let waits = names.iter().filter_map(|name| self.ledger.service(name)).map(|service| async {
            let took = self.wait(service).await?;
            waited_for.borrow_mut().retain(|name| *name != service.name());
            Ok::<_, RunError>(format!("{} {}", service.name(), pscreen::words::seconds(took)))
        });
        let seconds = self.plan.service_patience().as_secs();
        let what = || {
            let names: Vec<&str> = waited_for.borrow().iter().map(|name| name.as_str()).collect();
            format!("{} until a login works, at most {seconds}s", names.join(", "))
        };
        let ready = self.edge.patiently(what, futures::future::try_join_all(waits)).await?;
        self.edge.stderr.fact("ready", &ready.join(" · "));
        Ok(())
    }

    /// Starts a service again in the normal way. While it set new passwords, it was started in a special way.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`service::wait`] and of the engine.
    pub(crate) async fn restart(&self, service: &ServiceRecord, image: &ImageInspect) -> Result<(), RunError> {
        service::start(self.host, self.project, self.ledger, service, image).await?;
        self.wait(service).await.map(drop)
    }

    async fn wait(&self, service: &ServiceRecord) -> Result<Duration, RunError> {
        let (patience, redactor) = (self.plan.service_patience(), self.edge.stderr.redactor());
        service::wait(self.host, self.project, service, patience, redactor).await
    }

    fn report(&self, service: &ServiceRecord, started: Effect) {
        let credential = match (service.phase(), started, service.external()) {
            (Phase::Sealed, _, Some(_)) => "others run it: the login of your secret is tried",
            (Phase::Imported, _, Some(_)) => "others run it: the app gets a login of its own",
            (Phase::Proven, _, Some(_)) => "others run it",
            (Phase::Sealed, _, None) => "credential created, sealed",
            (Phase::Imported, _, None) => "imported: the app gets a login of its own",
            (Phase::Resetting, _, _) => "gets new passwords",
            (Phase::Proven, Effect::Created, None) => "started with its own credential",
            (Phase::Proven, Effect::Running, None) => "runs",
        };
        let version = service.image().rsplit_once(':').map_or("", |(_, tag)| tag);
        let (server, place) = match service.external() {
            None => (format!("{} {version}", service.kind()), format!("volume {:<15}", service.volume())),
            Some(_) => (service.kind().to_string(), format!("{}:{}", service.host(), service.port())),
        };
        let text = format!("{:<7} {server:<13} {place} {credential}", service.name());
        self.edge.stderr.fact("service", &text);
    }

    /// Stops a service that is no longer part of the plan. Its data and its credential stay.
    ///
    /// # Errors
    ///
    /// Returns [`RunError::Engine`].
    pub(crate) async fn remove(&self, service: &ServiceRecord) -> Result<(), RunError> {
        service::stop(self.host, self.project, service.name()).await?;
        let what = match service.external() {
            None => format!("stopped; its volume {} and its credential stay", service.volume()),
            Some(_) => "left alone; its credential stays".to_owned(),
        };
        self.edge.stderr.fact("service", &format!("{:<7} {what}", service.name()));
        Ok(())
    }
}

fn image(planned: &PlannedService) -> String {
    planned.image.clone().unwrap_or_else(|| planned.kind.image(None))
}

fn new_service<'a>(planned: &'a PlannedService, image: &'a str) -> NewService<'a> {
    NewService {
        name: &planned.name,
        kind: planned.kind,
        image,
        volume: "",
        database: planned.database.as_deref(),
        created: now(),
    }
}

/// Checks that a service of the plan fits the data that the ledger has under its name.
fn check(planned: &PlannedService, known: &ServiceRecord) -> Result<(), CommandError> {
    let service = planned.name.clone();
    if known.kind() != planned.kind {
        return Err(CommandError::KindOfData { service, sealed: known.kind(), planned: planned.kind });
    }
    if known.external().is_some() != planned.external.is_some() {
        return Err(CommandError::OwnAndExternal { service, is_own: known.external().is_none() });
    }
    match (known.database(), &planned.database) {
        (Some(sealed), Some(other)) if sealed != other && planned.external.is_none() => {
            Err(CommandError::DatabaseOfData { service, sealed: sealed.to_owned(), planned: other.clone() })
        }
        _ => Ok(()),
    }
}

/// Checks that no running container of others uses a volume, because two servers on one folder destroy the data in
/// it.
///
/// # Errors
///
/// Returns [`CommandError::VolumeInUse`] or [`RunError::Engine`].
pub(crate) async fn check_volume(host: &Engine, project: &Project, volume: &str) -> Result<(), RunError> {
    if volume.is_empty() {
        return Ok(());
    }
    match containers::stranger_with(host, project, volume).await? {
        None => Ok(()),
        Some(container) => Err(CommandError::VolumeInUse { volume: volume.to_owned(), container }.into()),
    }
}
