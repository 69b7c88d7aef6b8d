//! `prun exec`: runs a command in an instance with the app's environment, and redacts its output.

use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use bollard::query_parameters::ResizeExecOptionsBuilder;
use pengine::Engine;

use crate::edge::{CommandEnd, Edge, Failure};
use crate::engine::attached::{self, Ends, Raw};
use crate::engine::containers;
use crate::engine::lines::Lines;
use crate::error::command::CommandError;
use crate::error::{RunError, engine};
use crate::instance::{self, holder};
use crate::names::{InstanceName, Project};
use crate::plan::request::ExecRequest;
use crate::project::KnownProject;
use crate::values::masks;

/// Runs a command in an instance with the app's environment, and passes on its exit code.
///
/// # Errors
///
/// Returns an error if the instance does not run or lacks its values, or if the engine cannot run the command.
pub(crate) async fn run(request: &ExecRequest, edge: &Edge) -> Result<CommandEnd, Failure> {
    attached::check_terminal(request.attachment)?;
    let known = KnownProject::find(&request.project, edge).await?;
    let document = edge.cancellation.unless_cancelled(known.read_own()).await??;
    let (name, host) = (known.name, known.host);
    let ledger = document.ledger()?;
    let Some(generation) = document.generation()? else {
        return Err(RunError::NotStarted { project: name }.into());
    };
    let redactor = masks::redactor(Some(&ledger), &generation.variables, &generation.record).map_err(RunError::from)?;
    let project = Project::new(&name, ledger.owner());
    let plan = generation.record.plan()?;
    let process = request.instance.process.as_deref().unwrap_or(plan.first().name());
    if plan.process(process).is_none() {
        let known = plan.processes().iter().map(|process| process.name().to_owned()).collect();
        return Err(CommandError::NoProcess { process: process.to_owned(), project: name, known }.into());
    }
    let instance = InstanceName::new(process, request.instance.number);
    let container = project.instance(generation.number, &instance);
    let running = containers::inspect(&host, &project, &container).await?;
    let Some(running) = running.filter(containers::is_running) else {
        return Err(CommandError::InstanceStopped { instance: instance.to_string(), project: name }.into());
    };
    if instance::has_entrypoint(&running) && !holder::is_filled(&host, &project.values(generation.number)).await {
        return Err(CommandError::ValuesGone { project: name }.into());
    }
    let mut command =
        if instance::has_entrypoint(&running) { instance::entrypoint(&["exec", "--"]) } else { Vec::new() };
    command.extend(request.command.iter().cloned());
    let mut lines = Lines::new(&redactor, String::new(), edge);
    let work = exec_in(&host, &container, command, request, &mut lines);
    let code = edge.cancellation.unless_cancelled(work).await??;
    Ok(CommandEnd::Command(u8::try_from(code).unwrap_or(pshim::FAILED)))
}

async fn exec_in(
    host: &Engine,
    container: &str,
    command: Vec<String>,
    request: &ExecRequest,
    lines: &mut Lines,
) -> Result<i64, RunError> {
    let doing = || format!("run a command in {container}");
    let options = CreateExecOptions {
        cmd: Some(command),
        attach_stdin: Some(request.attachment.interactive),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(request.attachment.tty),
        user: request.user.clone(),
        ..CreateExecOptions::default()
    };
    let docker = host.docker();
    let id = docker.create_exec(container, options).await.map_err(engine(doing))?.id;
    let started = docker.start_exec(&id, None::<StartExecOptions>).await.map_err(engine(doing))?;
    if let StartExecResults::Attached { output, input } = started {
        let raw = (request.attachment.tty && request.attachment.interactive).then(Raw::enter);
        let exec = &id;
        let resize = attached::follow_size(|rows, columns| async move {
            let options = ResizeExecOptionsBuilder::new().h(i32::from(rows)).w(i32::from(columns)).build();
            let _ = docker.resize_exec(exec, options).await;
        });
        let doing = doing();
        let pump = attached::pump(Ends { output, input }, request.attachment.interactive, lines, &doing);
        if request.attachment.tty {
            tokio::select! {
                result = pump => result?,
                () = resize => {}
            }
        } else {
            pump.await?;
        }
        drop(raw);
    }
    for _ in 0..50 {
        let state = docker.inspect_exec(&id).await.map_err(engine(doing))?;
        if let (Some(false), Some(code)) = (state.running, state.exit_code) {
            return Ok(code);
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    Ok(pshim::FAILED.into())
}
