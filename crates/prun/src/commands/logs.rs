//! `prun logs` and `prun exec`: what containers write, redacted as it comes.

use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use bollard::query_parameters::{LogsOptionsBuilder, ResizeExecOptionsBuilder};
use futures::StreamExt;
use futures::stream::SelectAll;
use pcli::{Ending, Exit, Printer};
use pengine::Engine;
use psecret::{Redactor, RedactorStream};

use crate::command::{ExecArguments, LogsArguments};
use crate::commands::show::known;
use crate::commands::start::connect;
use crate::commands::stop::project_of;
use crate::edge::{Edge, Failure, Outcome};
use crate::engine::attached::{self, Ends, Raw};
use crate::engine::containers;
use crate::error::{RunError, engine};
use crate::instance;
use crate::instance::roll::{number, role};
use crate::names::{self, Project, Role};
use crate::values::generation;

/// The word that means the app among services.
const APP: &str = "app";

/// Shows what instances and services wrote.
///
/// Each container and each of its two streams has a redactor of its own, so that a value is found however it was cut.
///
/// # Errors
///
/// When there is no such project or service, or the engine keeps no log.
pub async fn logs(arguments: &LogsArguments, edge: &Edge) -> Result<Exit, Failure> {
    let name = project_of(&arguments.project)?;
    let (ledger, generation) = known(&name)?;
    let variables = generation.as_ref().map(|generation| &generation.variables[..]).unwrap_or_default();
    let redactor = generation::redactor(Some(&ledger), variables).map_err(RunError::from)?;
    let host = edge.cancellation.unless_cancelled(connect()).await??;
    let project = Project::new(&name, ledger.owner());
    let wanted = wanted(&host, &project, &arguments.of).await?;
    let prefixed = wanted.len() > 1;
    let width = wanted.iter().map(|(label, _)| label.len()).max().unwrap_or(0);

    let mut all = SelectAll::new();
    for (label, container) in &wanted {
        let options = LogsOptionsBuilder::new().follow(arguments.follow).stdout(true).stderr(true);
        let options = match arguments.tail {
            Some(count) => options.tail(&count.to_string()),
            None => options,
        };
        let prefix = if prefixed { format!("{label:<width$} | ") } else { String::new() };
        let lines = Lines::new(&redactor, prefix, edge);
        let stream =
            host.docker().logs(container, Some(options.build())).map(Some).chain(futures::stream::iter([None]));
        all.push(Box::pin(stream.scan(lines, |lines, piece| {
            let result = match piece {
                Some(Ok(piece)) => {
                    lines.push(&piece);
                    Ok(())
                }
                Some(Err(error)) => Err(error),
                None => {
                    lines.finish();
                    Ok(())
                }
            };
            std::future::ready(Some(result))
        })));
    }
    let work = async {
        while let Some(result) = all.next().await {
            result.map_err(engine(|| "read the logs"))?;
            if edge.stdout.is_closed() {
                return Ok(Exit::Ended(Ending::ReaderGone));
            }
        }
        Ok::<_, RunError>(Exit::Done)
    };
    match edge.cancellation.unless_cancelled(work).await {
        Ok(done) => Ok(done?),
        // Ending what was followed is how one stops looking.
        Err(ending) if arguments.follow => Ok(Exit::Ended(ending)),
        Err(ending) => Err(ending.into()),
    }
}

/// The containers that are meant, with what to call them.
async fn wanted(host: &Engine, project: &Project, of: &[String]) -> Result<Vec<(String, String)>, RunError> {
    let all = containers::list(host, project).await?;
    let newest = all.iter().filter(|container| role(container) == Some(Role::App.as_str())).filter_map(number).max();
    let mut wanted = Vec::new();
    let default = [APP.to_owned()];
    for name in if of.is_empty() { &default[..] } else { of } {
        let before = wanted.len();
        for container in &all {
            let labels = container.labels.as_ref();
            let label = match role(container) {
                Some("app") if name == APP && number(container) == newest => {
                    format!("{APP} {}", names::label(labels, names::INSTANCE).unwrap_or("?"))
                }
                Some("service") if names::label(labels, names::SERVICE) == Some(name) => name.clone(),
                _ => continue,
            };
            wanted.push((label, containers::name_of(container)));
        }
        if wanted.len() == before {
            return Err(RunError::Nothing {
                what: format!("nothing called `{name}` runs in project {}", project.name()),
            });
        }
    }
    wanted.sort();
    Ok(wanted)
}

/// The two streams of one container on their way to people.
pub(crate) struct Lines {
    out: Side,
    error: Side,
}

struct Side {
    redactor: RedactorStream,
    line: Vec<u8>,
    prefix: String,
    printer: Printer,
}

impl Lines {
    fn new(redactor: &Redactor, prefix: String, edge: &Edge) -> Self {
        let side = |printer: &Printer| Side {
            redactor: redactor.stream(),
            line: Vec::new(),
            prefix: prefix.clone(),
            printer: printer.clone(),
        };
        Self { out: side(&edge.stdout), error: side(&edge.stderr) }
    }

    /// Whole bytes as they come, behind the redactor of an edge that knows the values.
    pub(crate) fn plain(edge: &Edge) -> Self {
        Self::new(edge.stdout.redactor(), String::new(), edge)
    }

    pub(crate) fn push(&mut self, piece: &LogOutput) {
        match piece {
            LogOutput::StdErr { message } => self.error.push(message),
            LogOutput::StdOut { message } | LogOutput::StdIn { message } | LogOutput::Console { message } => {
                self.out.push(message);
            }
        }
    }

    pub(crate) fn finish(&mut self) {
        self.out.finish();
        self.error.finish();
    }
}

impl Side {
    fn push(&mut self, bytes: &[u8]) {
        let clean = self.redactor.push(bytes);
        self.show(&clean);
    }

    fn finish(&mut self) {
        let rest = self.redactor.finish();
        self.show(&rest);
        if !self.line.is_empty() {
            self.show(b"\n");
        }
    }

    /// Without a prefix bytes go as they come; with one, whole lines.
    fn show(&mut self, clean: &[u8]) {
        if self.prefix.is_empty() {
            if !clean.is_empty() {
                self.printer.bytes(clean);
            }
            return;
        }
        for byte in clean {
            self.line.push(*byte);
            if *byte == b'\n' {
                let line = [self.prefix.as_bytes(), &self.line[..]].concat();
                self.printer.bytes(&line);
                self.line.clear();
            }
        }
    }
}

/// Runs a command in an instance, with the app's environment, and passes on its exit code.
///
/// # Errors
///
/// When there is no such instance, or the engine cannot run the command.
pub async fn exec(arguments: &ExecArguments, edge: &Edge) -> Result<Outcome, Failure> {
    let name = project_of(&arguments.project)?;
    let (ledger, generation) = known(&name)?;
    let Some(generation) = generation else {
        return Err(RunError::Nothing { what: format!("project `{name}` has not been started yet") }.into());
    };
    let redactor = generation::redactor(Some(&ledger), &generation.variables).map_err(RunError::from)?;
    let host = edge.cancellation.unless_cancelled(connect()).await??;
    let project = Project::new(&name, ledger.owner());
    let container = project.instance(generation.number, arguments.instance);
    let running = containers::inspect(&host, &project, &container).await?;
    let Some(running) = running.filter(containers::is_running) else {
        let what = format!("instance {} of project `{name}` does not run", arguments.instance);
        return Err(RunError::Nothing { what }.into());
    };
    let mut command =
        if instance::has_entrypoint(&running) { instance::entrypoint(&["exec", "--"]) } else { Vec::new() };
    command.extend(arguments.command.iter().cloned());
    let mut lines = Lines::new(&redactor, String::new(), edge);
    let work = exec_in(&host, &container, command, arguments, &mut lines);
    let code = edge.cancellation.unless_cancelled(work).await??;
    Ok(Outcome::Command(u8::try_from(code).unwrap_or(pshim::FAILED)))
}

async fn exec_in(
    host: &Engine,
    container: &str,
    command: Vec<String>,
    arguments: &ExecArguments,
    lines: &mut Lines,
) -> Result<i64, RunError> {
    let doing = || format!("run a command in {container}");
    let options = CreateExecOptions {
        cmd: Some(command),
        attach_stdin: Some(arguments.interactive),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(arguments.tty),
        user: arguments.user.clone(),
        ..CreateExecOptions::default()
    };
    let docker = host.docker();
    let id = docker.create_exec(container, options).await.map_err(engine(doing))?.id;
    let started = docker.start_exec(&id, None::<StartExecOptions>).await.map_err(engine(doing))?;
    if let StartExecResults::Attached { output, input } = started {
        let raw = (arguments.tty && arguments.interactive).then(Raw::enter);
        let exec = &id;
        let resize = attached::follow_size(|rows, columns| async move {
            let options = ResizeExecOptionsBuilder::new().h(i32::from(rows)).w(i32::from(columns)).build();
            let _ = docker.resize_exec(exec, options).await;
        });
        let doing = doing();
        let pump = attached::pump(Ends { output, input }, arguments.interactive, lines, &doing);
        if arguments.tty {
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
