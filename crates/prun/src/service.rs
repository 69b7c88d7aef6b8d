//! Starts a service with its credential, and proves with a login that the service accepts the credential.

use std::time::{Duration, Instant};

use bollard::models::{
    ContainerCreateBody, EndpointSettings, HealthConfig, HostConfig, ImageInspect, NetworkingConfig,
};
use pcredential::probe::{self, Login, Probe};
use pcredential::setup::{self, SecretFile};
use pcredential::{Ledger, Phase, ServiceRecord, Which};
use pengine::Engine;
use psecret::Redactor;

use crate::engine::archive::File;
use crate::engine::containers::{self, Access};
use crate::engine::inside;
use crate::engine::log::{Log, TAIL};
use crate::error::RunError;
use crate::instance::holder::Holder;
use crate::names::{self, Project, Role};

/// The pause between two checks of a service that is not ready.
const PAUSE: Duration = Duration::from_millis(150);
/// How many times in a row a service must refuse a login before prun takes the password for wrong.
const REFUSALS: u32 = 4;
/// How long a service may take to end, for example to write its data.
pub(crate) const GRACE: Duration = Duration::from_secs(30);

/// The effect of a start on a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The container was running, so nothing was done.
    Running,
    /// The container was started, or created anew because its configuration changed.
    Created,
}

/// Makes sure that a service's container runs as the ledger says. The ledger with its credential must be sealed
/// before.
///
/// # Errors
///
/// Returns [`RunError::Foreign`] or [`RunError::Engine`].
pub(crate) async fn start(
    host: &Engine,
    project: &Project,
    ledger: &Ledger,
    service: &ServiceRecord,
    image: &ImageInspect,
) -> Result<Effect, RunError> {
    if service.external().is_some() {
        return start_client(host, project, ledger, service, image).await;
    }
    let name = project.service(service.name());
    let labels = vec![(names::SERVICE, service.name().to_owned())];
    let holder = holder(project, service);
    let setup = setup::setup(service, pshim::DELIVERY);
    let data = data_directory(service, image);
    let digest = configuration(ledger, service, image, &setup, &data);
    holder.start(host, project).await?;
    // The files are written each time, because a restart of the engine removes them.
    fill(host, project, service).await?;

    let existing = containers::inspect(host, project, &name).await?;
    if let Some(container) = &existing
        && names::label(container.config.as_ref().and_then(|config| config.labels.as_ref()), names::CONFIGURATION)
            == Some(&digest)
    {
        if containers::is_running(container) {
            return Ok(Effect::Running);
        }
        // If the engine is about to restart the container, it may wait for up to a minute. A stop and a start are
        // faster.
        containers::stop(host, &name, GRACE).await?;
        containers::start(host, &name).await?;
        return Ok(Effect::Created);
    }
    if existing.is_some() {
        containers::remove(host, &name, GRACE).await?;
    }
    let volume = project.labels(Role::Service, &labels);
    if !service.is_adopted() {
        containers::ensure_volume(host, project, service.volume(), volume, &[]).await?;
    }
    let labels = project.labels(Role::Service, &[labels[0].clone(), (names::CONFIGURATION, digest)]);
    let environment = setup.environment().iter().map(|(name, value)| format!("{name}={value}")).collect();
    let endpoint = EndpointSettings { aliases: Some(vec![service.name().to_owned()]), ..EndpointSettings::default() };
    let body = ContainerCreateBody {
        image: Some(service.image().to_owned()),
        env: Some(environment),
        cmd: setup.command().map(<[String]>::to_vec),
        labels: Some(labels),
        host_config: Some(HostConfig {
            mounts: Some(vec![
                // A service needs the image's own files at that path when it starts for the first time.
                with_copy(containers::mount(service.volume(), &data, Access::Write)),
                containers::mount(&holder.name, pshim::DELIVERY, Access::Read),
            ]),
            network_mode: Some(project.network()),
            restart_policy: Some(containers::restarting()),
            ..HostConfig::default()
        }),
        networking_config: Some(NetworkingConfig { endpoints_config: Some([(project.network(), endpoint)].into()) }),
        ..ContainerCreateBody::default()
    };
    containers::create(host, project, &name, body).await?;
    containers::start(host, &name).await?;
    Ok(Effect::Created)
}

/// Makes sure that the client container of an external service runs. It holds the image's clients, and does nothing
/// by itself.
async fn start_client(
    host: &Engine,
    project: &Project,
    ledger: &Ledger,
    service: &ServiceRecord,
    image: &ImageInspect,
) -> Result<Effect, RunError> {
    let name = project.service(service.name());
    let digest = ledger.digest([service.image(), image.id.as_deref().unwrap_or_default()].map(str::as_bytes));
    let existing = containers::inspect(host, project, &name).await?;
    let is_ours = existing.as_ref().is_some_and(|container| {
        let labels = container.config.as_ref().and_then(|config| config.labels.as_ref());
        names::label(labels, names::CONFIGURATION) == Some(&digest) && containers::is_running(container)
    });
    if is_ours {
        return Ok(Effect::Running);
    }
    let labels = [(names::SERVICE, service.name().to_owned()), (names::CONFIGURATION, digest)];
    let body = ContainerCreateBody {
        image: Some(service.image().to_owned()),
        entrypoint: Some(["sh", "-c", "while :; do sleep 3600; done"].map(str::to_owned).to_vec()),
        cmd: Some(Vec::new()),
        labels: Some(project.labels(Role::Service, &labels)),
        stop_signal: Some("SIGKILL".to_owned()),
        healthcheck: Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..HealthConfig::default() }),
        host_config: Some(HostConfig {
            network_mode: Some(project.network()),
            restart_policy: Some(containers::restarting()),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    };
    containers::create(host, project, &name, body).await?;
    containers::start(host, &name).await?;
    Ok(Effect::Created)
}

fn holder(project: &Project, service: &ServiceRecord) -> Holder {
    let labels = vec![(names::SERVICE, service.name().to_owned())];
    Holder { name: project.service_values(service.name()), labels, network: None, home: None }
}

/// Writes the files that a service reads when it starts, with the service's current credentials.
///
/// # Errors
///
/// Returns [`RunError::Engine`].
pub(crate) async fn fill(host: &Engine, project: &Project, service: &ServiceRecord) -> Result<(), RunError> {
    if service.external().is_some() {
        return Ok(());
    }
    let setup = setup::setup(service, pshim::DELIVERY);
    let files: Vec<File<'_>> = setup.files().iter().map(file).collect();
    holder(project, service).fill(host, &files).await
}

/// Changes the credentials of a service with a script.
///
/// # Errors
///
/// Returns [`RunError::Rotation`] with the end of the service's answer if the service refuses.
pub(crate) async fn apply(
    host: &Engine,
    project: &Project,
    service: &ServiceRecord,
    script: &Probe,
) -> Result<(), RunError> {
    let mut answer = Vec::new();
    if ask(host, &project.service(service.name()), script, &mut answer).await? == Login::Done {
        return Ok(());
    }
    let tail = String::from_utf8_lossy(&answer).lines().rev().take(3).map(str::to_owned).collect();
    Err(RunError::Rotation { service: service.name().to_owned(), otherwise: "does not change its credentials", tail })
}

fn with_copy(mut mount: bollard::models::Mount) -> bollard::models::Mount {
    mount.volume_options = None;
    mount
}

/// Makes a file that every user in the container can read, because only the image knows the server's user.
fn file(file: &SecretFile) -> File<'_> {
    File { name: file.name().to_owned(), content: file.content(), mode: 0o444, owner: 0 }
}

/// Finds the folder of the server's data: the volume that the image declares, if there is exactly one, or else the
/// default of the service's kind.
fn data_directory(service: &ServiceRecord, image: &ImageInspect) -> String {
    let declared: Vec<&String> =
        image.config.as_ref().and_then(|config| config.volumes.as_ref()).into_iter().flatten().collect();
    match declared.as_slice() {
        [only] => (*only).clone(),
        _ => service.kind().data_directory().to_owned(),
    }
}

/// Computes the digest of the container's configuration. The credential is not a part of it, because the files with
/// the credential are written anew each time.
fn configuration(
    ledger: &Ledger,
    service: &ServiceRecord,
    image: &ImageInspect,
    setup: &setup::Setup,
    data: &str,
) -> String {
    let mut parts: Vec<String> = vec![
        service.image().to_owned(),
        image.id.clone().unwrap_or_default(),
        data.to_owned(),
        service.volume().to_owned(),
    ];
    parts.extend(setup.environment().iter().map(|(name, value)| format!("{name}={value}")));
    parts.extend(setup.command().into_iter().flatten().cloned());
    ledger.digest(parts.iter().map(String::as_bytes))
}

/// Stops and removes a service's container and its values. Its volume stays.
///
/// # Errors
///
/// Returns [`RunError::Engine`].
pub(crate) async fn stop(host: &Engine, project: &Project, service: &str) -> Result<(), RunError> {
    containers::remove(host, &project.service(service), GRACE).await?;
    crate::instance::holder::remove(host, &project.service_values(service)).await
}

/// Waits until a login with the service's credential works over the network.
///
/// The first time, the app's role is created. Data that accepted a credential once never gets another one from here:
/// if it refuses the credential later, that is an error. `redactor` masks the log in an error.
///
/// # Errors
///
/// Returns [`RunError::WrongPassword`], [`RunError::WrongAdministrator`] or [`RunError::WrongExternalLogin`] if the
/// login is refused, [`RunError::Impossible`] if the service cannot do what is asked, [`RunError::NotReady`] after
/// the patience, [`RunError::ServiceEnded`] if the container exits, and [`RunError::Engine`].
pub(crate) async fn wait(
    host: &Engine,
    project: &Project,
    service: &ServiceRecord,
    patience: Duration,
    redactor: &Redactor,
) -> Result<Duration, RunError> {
    let began = Instant::now();
    let container = project.service(service.name());
    let mut provisioned = service.is_settled();
    let mut asked = Asked::App;
    let mut refusals = 0;
    let mut answer = Vec::new();
    let mut before = None;
    while began.elapsed() < patience {
        look(host, project, service, &mut before, redactor).await?;
        let left = patience.saturating_sub(began.elapsed());
        let step = async {
            if !provisioned {
                // A service whose credential was proven before needs only the login that follows.
                if ask(host, &container, &probe::reach(service), &mut answer).await? != Login::Done {
                    return Ok::<_, RunError>(Login::NotYet);
                }
                asked = Asked::Administrator;
                match probe::provision(service) {
                    None => provisioned = true,
                    Some(script) => match ask(host, &container, &script, &mut answer).await? {
                        Login::Done => provisioned = true,
                        other => return Ok(other),
                    },
                }
            }
            asked = Asked::App;
            login(host, &container, service, &mut answer).await
        };
        match tokio::time::timeout(left, step).await {
            Ok(Ok(Login::Done)) => return Ok(began.elapsed()),
            Ok(Ok(Login::Refused)) => {
                refusals += 1;
                if refusals >= REFUSALS {
                    return Err(refusal(service, asked));
                }
            }
            // Waiting does not help, because the answer would stay the same.
            Ok(Ok(Login::Impossible)) => {
                let of_others = service.phase() != Phase::Sealed && service.external().is_none();
                let (service, tail) = (service.name().to_owned(), last_lines(&answer));
                return Err(RunError::Impossible { service, tail, of_others });
            }
            Ok(Ok(Login::NotYet)) | Err(_) => refusals = 0,
            // The engine cannot run commands in a container that it is restarting. `look` finds out more.
            Ok(Err(RunError::Engine { .. })) => refusals = 0,
            Ok(Err(other)) => return Err(other),
        }
        tokio::time::sleep(PAUSE).await;
    }
    let mut tail = Log::read(host, &container, redactor).await.tail(TAIL);
    tail.extend(String::from_utf8_lossy(&answer).lines().rev().take(2).map(str::to_owned));
    let seconds = began.elapsed().min(patience).as_secs();
    Err(RunError::NotReady { service: service.name().to_owned(), seconds, tail })
}

/// Returns the error for a login that a service refuses.
fn refusal(service: &ServiceRecord, asked: Asked) -> RunError {
    let name = service.name().to_owned();
    match (asked, service.external()) {
        (Asked::Administrator, external) => {
            RunError::WrongAdministrator { service: name, external: external.map(|external| external.host.clone()) }
        }
        (Asked::App, Some(external)) => RunError::WrongExternalLogin {
            service: name,
            host: external.host.clone(),
            administered: external.administered,
        },
        (Asked::App, None) => RunError::WrongPassword { service: name, volume: service.volume().to_owned() },
    }
}

/// The user that logs in.
#[derive(Clone, Copy)]
enum Asked {
    /// The service's administrator.
    Administrator,
    /// The app.
    App,
}

/// Returns the last three lines of an answer.
fn last_lines(answer: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(answer);
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines[lines.len().saturating_sub(3)..].to_vec()
}

/// Returns an error if the container keeps exiting. That is assumed after its second restart since the first call.
async fn look(
    host: &Engine,
    project: &Project,
    service: &ServiceRecord,
    before: &mut Option<i64>,
    redactor: &Redactor,
) -> Result<(), RunError> {
    let container = &project.service(service.name());
    let Some(state) = containers::inspect(host, project, container).await? else { return Ok(()) };
    let restarts = state.restart_count.unwrap_or(0);
    // While the container runs, the engine reports the code 0. The container's own code is known once it has ended
    // again.
    if restarts - *before.get_or_insert(restarts) >= 2 && !containers::is_running(&state) {
        let code = state.state.as_ref().and_then(|state| state.exit_code).unwrap_or(-1);
        let tail = Log::read(host, container, redactor).await.tail(TAIL);
        return Err(RunError::ServiceEnded { service: service.name().to_owned(), code, tail });
    }
    Ok(())
}

/// Returns whether a running service refuses the credential in its record.
///
/// # Errors
///
/// Returns [`RunError::Engine`].
pub(crate) async fn refuses(host: &Engine, project: &Project, service: &ServiceRecord) -> Result<bool, RunError> {
    let container = project.service(service.name());
    Ok(login(host, &container, service, &mut Vec::new()).await? == Login::Refused)
}

/// Logs in with the credential. During a rotation, either of the two credentials is enough.
async fn login(
    host: &Engine,
    container: &str,
    service: &ServiceRecord,
    answer: &mut Vec<u8>,
) -> Result<Login, RunError> {
    let current = ask(host, container, &probe::login(service, Which::Current), answer).await?;
    if current != Login::Refused || service.stage().is_none() {
        return Ok(current);
    }
    ask(host, container, &probe::login(service, Which::Next), answer).await
}

/// Runs a probe in the service's container. If the probe fails, `answer` becomes its output.
///
/// # Errors
///
/// Returns [`RunError::Engine`].
pub(crate) async fn ask(
    host: &Engine,
    container: &str,
    probe: &Probe,
    answer: &mut Vec<u8>,
) -> Result<Login, RunError> {
    let done = inside::run(host, container, probe.command(), probe.input()).await?;
    let verdict = probe.judge(done.code, &done.output);
    if verdict != Login::Done && !done.output.is_empty() {
        *answer = done.output;
    }
    Ok(verdict)
}
