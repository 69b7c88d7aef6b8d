//! `prun run` and `prun init`: both run one container in the foreground with the app's image and values, and remove
//! it when it ends.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{ContainerCreateBody, HostConfig, PortBinding};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, KillContainerOptionsBuilder, ResizeContainerTTYOptionsBuilder,
};
use papp::{Init, Port};
use pscreen::Ending;

use crate::commands::start::Start;
use crate::edge::{CommandEnd, Edge, Failure, now};
use crate::engine::attached::{self, Ends, Raw};
use crate::engine::containers;
use crate::engine::lines::Lines;
use crate::error::command::CommandError;
use crate::error::{RunError, engine};
use crate::instance::holder::Holder;
use crate::instance::sweep::{GRACE, sweep};
use crate::instance::{self, Recipe};
use crate::names::Role;
use crate::plan::Goal;
use crate::plan::request::{Attachment, InitRequest, RunRequest};
use crate::project::KnownProject;
use crate::state::{Closed, LockedState};
use crate::values::generation::Generation;

/// The pause between two checks whether a container has ended.
const PAUSE: Duration = Duration::from_millis(30);

/// Runs a command in a container of its own and passes on its exit code.
///
/// # Errors
///
/// Returns an error if anything fails before the command runs.
pub(crate) async fn run(request: &RunRequest, edge: &Edge) -> Result<CommandEnd, Failure> {
    let attachment = request.attachment;
    attached::check_terminal(attachment)?;
    let (mut start, state, _) = Start::read(&request.start, edge, Goal::Command).await?;
    let outcome = async {
        let ports = start.plan.first().ports().to_vec();
        let work = async |locked: &LockedState<'_>| {
            start.take(locked)?;
            let (image, variables) = start.prepare(locked).await?;
            foreground(&start, &image, variables, &ports, attachment, locked).await
        };
        state.locked(edge, Closed::Refuse, work).await
    };
    let outcome = outcome.await;
    outcome.map_err(|failure: Failure| failure.behind(&start.edge))
}

/// Runs the init commands of a project in a container of their own. The container takes the same lock as the
/// instances, so that no two of them run init commands at the same time.
///
/// # Errors
///
/// Returns an error if the project or the init command does not exist, or if the engine refuses a request.
pub(crate) async fn init(request: &InitRequest, edge: &Edge) -> Result<CommandEnd, Failure> {
    let known = KnownProject::find(&request.project, edge).await?;
    let work = async |locked: &LockedState<'_>| {
        let (ledger, current) = known.open(locked)?;
        let mut start = Start::again(known.host.clone(), ledger, &current, edge)?;
        let outcome = async {
            let init = chosen(&request.names, start.plan.init())?;
            start.plan.run_init(init, vec![crate::instance::shim::path(), "done".to_owned()]);
            let (image, variables) = start.prepare(locked).await?;
            let attachment = Attachment { interactive: false, tty: false };
            foreground(&start, &image, variables, &[], attachment, locked).await
        };
        let outcome = outcome.await;
        outcome.map_err(|failure: Failure| failure.behind(&start.edge))
    };
    known.locked(edge, Closed::Refuse, work).await
}

/// Chooses the init commands of these names, in the order of the manifest. Without names, all are chosen.
fn chosen(names: &[String], all: &[Init]) -> Result<Vec<Init>, CommandError> {
    let known = || all.iter().map(|init| init.name.clone());
    if all.is_empty() {
        return Err(CommandError::NoInit);
    }
    if let Some(unknown) = names.iter().find(|name| !known().any(|known| known == **name)) {
        return Err(CommandError::UnknownInit { name: unknown.clone(), known: known().collect() });
    }
    Ok(all.iter().filter(|init| names.is_empty() || names.contains(&init.name)).cloned().collect())
}

async fn foreground(
    start: &Start,
    image: &bollard::models::ImageInspect,
    variables: Vec<crate::values::generation::Variable>,
    ports: &[Port],
    attachment: Attachment,
    locked: &LockedState<'_>,
) -> Result<CommandEnd, Failure> {
    let (host, project) = (&start.host, &start.project);
    let name = project.one_off(std::process::id());
    let holder = Holder {
        name: format!("{name}.values"),
        labels: Vec::new(),
        network: Some(project.network()),
        home: Some(project.home()),
    };
    sweep(host, project).await?;
    let record = start.record.clone();
    let generation =
        Generation { number: 0, created: now(), by: None, digest: String::new(), image: None, variables, record };
    let process = start.plan.first();
    let recipe = Recipe {
        project,
        plan: &start.plan,
        process,
        image,
        generation: &generation,
        values: Some(holder.name.clone()),
    };
    let work = async {
        let home = project.labels(Role::Home, &[]);
        containers::ensure_volume(host, project, &project.home(), home, &[]).await?;
        holder.start(host, project).await?;
        holder.furnish(host, &[]).await?;
        let body = attach_to(recipe.body(project.labels(Role::Run, &[]))?, ports, attachment);
        containers::create(host, project, &name, body).await?;
        for network in process.container().networks() {
            containers::join(host, network, &name).await?;
        }
        let owner = instance::owner(host, &start.plan, image, &name).await;
        holder.fill(host, &recipe.files(owner).in_order()).await
    };
    let prepared = start.edge.cancellation.unless_cancelled(work).await.map_err(RunError::from).and_then(|done| done);
    let outcome = match prepared {
        Ok(()) => watch(start, &name, attachment, locked).await,
        Err(error) => Err(error),
    };
    containers::remove(host, &name, GRACE).await?;
    holder.remove(host).await?;
    Ok(CommandEnd::Command(u8::try_from(outcome?).unwrap_or(pshim::FAILED)))
}

fn attach_to(body: ContainerCreateBody, ports: &[Port], attachment: Attachment) -> ContainerCreateBody {
    let mut bindings: HashMap<String, Option<Vec<PortBinding>>> = HashMap::new();
    for port in ports {
        let binding = PortBinding {
            host_ip: port.address.map(|address| address.to_string()),
            host_port: port.host.map(|port| port.to_string()),
        };
        bindings
            .entry(format!("{}/{}", port.container, port.protocol()))
            .or_default()
            .get_or_insert_default()
            .push(binding);
    }
    ContainerCreateBody {
        attach_stdin: Some(attachment.interactive),
        open_stdin: Some(attachment.interactive),
        stdin_once: Some(attachment.interactive),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(attachment.tty),
        exposed_ports: (!bindings.is_empty()).then(|| bindings.keys().cloned().collect()),
        host_config: Some(HostConfig {
            port_bindings: (!bindings.is_empty()).then_some(bindings),
            ..body.host_config.unwrap_or_default()
        }),
        ..body
    }
}

/// Starts the container, shows its output until it ends, and returns its exit code.
async fn watch(start: &Start, name: &str, attachment: Attachment, locked: &LockedState<'_>) -> Result<i64, RunError> {
    let docker = start.host.docker();
    let doing = format!("run {name}");
    let options = AttachContainerOptionsBuilder::new()
        .stdin(attachment.interactive)
        .stdout(true)
        .stderr(true)
        .stream(true)
        .build();
    let attached = docker.attach_container(name, Some(options)).await.map_err(engine(|| doing.clone()))?;
    let mut lines = Lines::plain(&start.edge);
    containers::start(&start.host, name).await?;
    // The command may take hours, and other commands may change the project meanwhile.
    locked.release().await;
    let raw = (attachment.tty && attachment.interactive).then(Raw::enter);
    let ends = Ends { output: attached.output, input: attached.input };
    let resize = attached::follow_size(|rows, columns| async move {
        let options = ResizeContainerTTYOptionsBuilder::new().h(i32::from(rows)).w(i32::from(columns)).build();
        let _ = docker.resize_container_tty(name, options).await;
    });
    let work = async {
        let pump = attached::pump(ends, attachment.interactive, &mut lines, &doing);
        if attachment.tty {
            tokio::select! {
                result = pump => result,
                () = resize => Ok(()),
            }
        } else {
            pump.await
        }
    };
    // The command itself decides how it reacts to a signal, as with docker. The signal is passed on once.
    let pass_on = async {
        let signal = match start.edge.cancellation.cancelled().await {
            Ending::Interrupt => "SIGINT",
            Ending::Terminate | Ending::ReaderGone => "SIGTERM",
        };
        let options = KillContainerOptionsBuilder::new().signal(signal).build();
        let _ = docker.kill_container(name, Some(options)).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        result = work => result?,
        () = pass_on => {}
    }
    drop(raw);
    // The output may end a moment before the engine knows the exit code. The engine's own `wait` is not used, because
    // it would miss a container that ended before the request arrived.
    loop {
        let Some(state) = containers::inspect(&start.host, &start.project, name).await? else {
            return Err(RunError::ContainerRemoved { container: name.to_owned() });
        };
        if let Some(code) = containers::exit_code(&state) {
            return Ok(code);
        }
        tokio::time::sleep(PAUSE).await;
    }
}
