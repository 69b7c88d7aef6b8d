//! One service: started with its credential, and proven by a login.

pub(crate) mod rotation;

use std::time::{Duration, Instant};

use bollard::models::{ContainerCreateBody, EndpointSettings, HostConfig, ImageInspect, NetworkingConfig};
use pcredential::probe::{self, Probe, Verdict};
use pcredential::setup::{self, SecretFile};
use pcredential::{Ledger, Phase, ServiceRecord, Which};
use pengine::Engine;

use crate::engine::archive::File;
use crate::engine::containers::{self, Access};
use crate::engine::inside;
use crate::error::RunError;
use crate::instance::holder::Holder;
use crate::names::{self, Project, Role};

/// Between two looks at a service that is not ready.
const PAUSE: Duration = Duration::from_millis(150);
/// How often a service that answers may refuse a login before it is believed.
const REFUSALS: u32 = 4;
/// How long a service may take to end, for example to write its data.
pub(crate) const GRACE: Duration = Duration::from_secs(30);

/// What was done about a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Started {
    /// Nothing: it ran.
    Running,
    /// It was created, or created anew because something about it changed.
    Created,
}

/// Makes sure that a service's container runs as the ledger says. Its credential is sealed by now.
///
/// # Errors
///
/// [`RunError::Foreign`], [`RunError::Engine`].
pub(crate) async fn start(
    host: &Engine,
    project: &Project,
    ledger: &Ledger,
    service: &ServiceRecord,
    image: &ImageInspect,
) -> Result<Started, RunError> {
    let name = project.service(service.name());
    let labels = vec![(names::SERVICE, service.name().to_owned())];
    let holder = holder(project, service);
    let setup = setup::setup(service, pshim::DELIVERY);
    let data = data_directory(service, image);
    let digest = configuration(ledger, service, image, &setup, &data);
    holder.start(host, project).await?;
    // Always: after a restart of the engine the files are gone.
    fill(host, project, service).await?;

    let existing = containers::inspect(host, project, &name).await?;
    if let Some(container) = &existing
        && names::label(container.config.as_ref().and_then(|config| config.labels.as_ref()), names::CONFIGURATION)
            == Some(&digest)
    {
        if containers::is_running(container) {
            return Ok(Started::Running);
        }
        // One that the engine is about to start again would wait up to a minute, although its files are back now.
        containers::stop(host, &name, GRACE).await?;
        containers::start(host, &name).await?;
        return Ok(Started::Created);
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
                // What the image has there is wanted in the volume of a service that starts for the first time.
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
    Ok(Started::Created)
}

fn holder(project: &Project, service: &ServiceRecord) -> Holder {
    let labels = vec![(names::SERVICE, service.name().to_owned())];
    Holder { name: project.service_values(service.name()), labels, network: None, home: None }
}

/// Writes the files that a service reads when it starts, as they are right now.
///
/// # Errors
///
/// [`RunError::Engine`].
pub(crate) async fn fill(host: &Engine, project: &Project, service: &ServiceRecord) -> Result<(), RunError> {
    let setup = setup::setup(service, pshim::DELIVERY);
    let files: Vec<File<'_>> = setup.files().iter().map(file).collect();
    holder(project, service).fill(host, &files).await
}

/// Tells a service something about its credentials.
///
/// # Errors
///
/// [`RunError::Rotation`] with what it said when it does not do that.
pub(crate) async fn tell(
    host: &Engine,
    project: &Project,
    service: &ServiceRecord,
    script: &Probe,
) -> Result<(), RunError> {
    let mut said = Vec::new();
    if ask(host, &project.service(service.name()), script, &mut said).await? == Verdict::Done {
        return Ok(());
    }
    let tail = String::from_utf8_lossy(&said).lines().rev().take(3).map(str::to_owned).collect();
    Err(RunError::Rotation { service: service.name().to_owned(), otherwise: "does not change its credentials", tail })
}

fn with_copy(mut mount: bollard::models::Mount) -> bollard::models::Mount {
    mount.volume_options = None;
    mount
}

/// Readable by everybody in this one container: the server's own user is known to its image alone.
fn file(file: &SecretFile) -> File<'_> {
    File { name: file.name().to_owned(), content: file.content(), mode: 0o444, owner: 0 }
}

/// Where the image keeps its data: its one volume if it declares exactly one.
fn data_directory(service: &ServiceRecord, image: &ImageInspect) -> String {
    let declared: Vec<&String> =
        image.config.as_ref().and_then(|config| config.volumes.as_ref()).into_iter().flatten().collect();
    match declared.as_slice() {
        [only] => (*only).clone(),
        _ => service.kind().data_directory().to_owned(),
    }
}

/// What the container is made of; the credential is not part of it, because the files are filled anew each time.
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

/// Stops and removes a service's container and its values; its volume stays.
///
/// # Errors
///
/// [`RunError::Engine`].
pub(crate) async fn stop(host: &Engine, project: &Project, service: &str) -> Result<(), RunError> {
    containers::remove(host, &project.service(service), GRACE).await?;
    crate::instance::holder::remove(host, &project.service_values(service)).await
}

/// Waits until a login with the service's credential works, over the network.
///
/// On the first way there the app's role is made. Data that was proven once is never given another credential: when it
/// refuses the one that belongs to it, that is an error.
///
/// # Errors
///
/// [`RunError::WrongPassword`], [`RunError::NotReady`], [`RunError::ServiceEnded`], [`RunError::Engine`].
pub(crate) async fn wait(
    host: &Engine,
    project: &Project,
    service: &ServiceRecord,
    patience: Duration,
) -> Result<Duration, RunError> {
    let began = Instant::now();
    let container = project.service(service.name());
    let mut provisioned = service.phase() == Phase::Proven;
    let mut refusals = 0;
    let mut said = Vec::new();
    let mut before = None;
    while began.elapsed() < patience {
        look(host, project, service, &container, &mut before).await?;
        let left = patience.saturating_sub(began.elapsed());
        let step = async {
            if !provisioned {
                // A login alone tells the same of a service that was proven once.
                if ask(host, &container, &probe::reach(service), &mut said).await? != Verdict::Done {
                    return Ok::<_, RunError>(Verdict::NotYet);
                }
                match probe::provision(service) {
                    None => provisioned = true,
                    Some(script) => match ask(host, &container, &script, &mut said).await? {
                        Verdict::Done => provisioned = true,
                        other => return Ok(other),
                    },
                }
            }
            login(host, &container, service, &mut said).await
        };
        match tokio::time::timeout(left, step).await {
            Ok(Ok(Verdict::Done)) => return Ok(began.elapsed()),
            Ok(Ok(Verdict::Refused)) => {
                refusals += 1;
                if refusals >= REFUSALS {
                    return Err(RunError::WrongPassword {
                        service: service.name().to_owned(),
                        volume: service.volume().to_owned(),
                    });
                }
            }
            Ok(Ok(Verdict::NotYet)) | Err(_) => refusals = 0,
            // A container that is being started again by the engine cannot run commands; `look` tells more.
            Ok(Err(RunError::Engine { .. })) => refusals = 0,
            Ok(Err(other)) => return Err(other),
        }
        tokio::time::sleep(PAUSE).await;
    }
    let mut tail = containers::tail(host, &container).await;
    tail.extend(String::from_utf8_lossy(&said).lines().rev().take(2).map(str::to_owned));
    Err(RunError::NotReady { service: service.name().to_owned(), seconds: patience.as_secs(), tail })
}

/// Whether the container is still one to wait for: the engine starts it again and again, and after the second time
/// since we began to look there is no hope.
async fn look(
    host: &Engine,
    project: &Project,
    service: &ServiceRecord,
    container: &str,
    before: &mut Option<i64>,
) -> Result<(), RunError> {
    let Some(state) = containers::inspect(host, project, container).await? else { return Ok(()) };
    let restarts = state.restart_count.unwrap_or(0);
    // While it runs, the engine says 0; its own code is there when it has ended again.
    if restarts - *before.get_or_insert(restarts) >= 2 && !containers::is_running(&state) {
        let code = state.state.as_ref().and_then(|state| state.exit_code).unwrap_or(-1);
        let tail = containers::tail(host, container).await;
        return Err(RunError::ServiceEnded { service: service.name().to_owned(), code, tail });
    }
    Ok(())
}

/// Logs in with the credential; in the middle of a rotation either of the two will do.
async fn login(
    host: &Engine,
    container: &str,
    service: &ServiceRecord,
    said: &mut Vec<u8>,
) -> Result<Verdict, RunError> {
    let current = ask(host, container, &probe::login(service, Which::Current), said).await?;
    if current != Verdict::Refused || service.step().is_none() {
        return Ok(current);
    }
    ask(host, container, &probe::login(service, Which::Next), said).await
}

/// Runs a probe in the service's container; `said` is what it wrote when it did not work.
///
/// # Errors
///
/// [`RunError::Engine`].
pub(crate) async fn ask(
    host: &Engine,
    container: &str,
    probe: &Probe,
    said: &mut Vec<u8>,
) -> Result<Verdict, RunError> {
    let done = inside::run(host, container, probe.command(), probe.input()).await?;
    let verdict = probe.judge(done.code, &done.output);
    if verdict != Verdict::Done && !done.output.is_empty() {
        *said = done.output;
    }
    Ok(verdict)
}
