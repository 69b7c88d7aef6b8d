//! `prun services shell`, `dump` and `load`: run a service's own client with an administrator's rights.

use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use bollard::query_parameters::ResizeExecOptionsBuilder;
use pcredential::probe::{Login, Probe};
use pcredential::tool::{self, Load, Reader, Tool};
use pcredential::{Family, Ledger, ServiceRecord};
use pengine::Engine;
use pscreen::{Ending, Exit, words};
use tokio::io::Stdin;

use crate::edge::{CommandEnd, Edge, Failure};
use crate::engine::attached::{self, Ends, Raw};
use crate::engine::lines::Lines;
use crate::engine::piped::{self, Input, PipedEnd};
use crate::engine::{containers, inside};
use crate::error::command::CommandError;
use crate::error::{RunError, engine};
use crate::names::Project;
use crate::plan::process::PATIENCE;
use crate::plan::record::Record;
use crate::plan::request::ToolRequest;
use crate::project::KnownProject;
use crate::service;
use crate::state::{Closed, LockedState};
use crate::values::masks;

/// How long a service may take to remove what an interrupted load left.
const UNDO: Duration = Duration::from_secs(30);

/// A running service, with everything that its client needs.
struct Site<'a> {
    host: &'a Engine,
    project: Project,
    service: &'a ServiceRecord,
    container: String,
    database: Option<&'a str>,
}

impl<'a> Site<'a> {
    async fn of(
        host: &'a Engine,
        project: &str,
        ledger: &'a Ledger,
        request: &'a ToolRequest,
    ) -> Result<Self, RunError> {
        let Some(service) = ledger.service(&request.service) else {
            let (project, service) = (project.to_owned(), request.service.clone());
            return Err(CommandError::NoService { project, service }.into());
        };
        let database = request.database.as_deref();
        if let Some(name) = database.filter(|name| !service.databases().any(|known| known == *name)) {
            let known = service.databases().map(str::to_owned).collect();
            let (service, database) = (request.service.clone(), name.to_owned());
            return Err(CommandError::NoDatabase { service, database, known }.into());
        }
        let names = Project::new(project, ledger.owner());
        let container = names.service(service.name());
        let running = containers::inspect(host, &names, &container).await?;
        if !running.is_some_and(|container| containers::is_running(&container)) {
            let (service, project) = (request.service.clone(), project.to_owned());
            return Err(CommandError::ServiceStopped { service, project }.into());
        }
        Ok(Self { host, project: names, service, container, database })
    }

    /// Makes the path of a file in memory for a login. The command that reads the file removes it.
    fn file() -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        format!("/dev/shm/prun-{}-{count}", std::process::id())
    }

    /// Writes the login of a tool to its file. It goes over the standard input of a command, as every password does.
    async fn lay(&self, tool: &Tool, file: &str) -> Result<(), RunError> {
        let Some(login) = tool.login() else { return Ok(()) };
        let store = ["sh", "-c", "umask 077; cat >\"$0\"", file].map(str::to_owned);
        let stored = inside::run(self.host, &self.container, &store, login).await?;
        match stored.code {
            0 => Ok(()),
            code => Err(self.failed("the login", code, &stored.output, "nothing was changed")),
        }
    }

    fn failed(&self, work: &str, code: i64, said: &[u8], state: &'static str) -> RunError {
        let text = String::from_utf8_lossy(said);
        let lines: Vec<String> = text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect();
        let tail = lines[lines.len().saturating_sub(8)..].to_vec();
        RunError::Tool { doing: format!("{work} of service `{}`", self.service.name()), code, tail, state }
    }

    /// Returns the names of the database and the service, as messages write them.
    fn place(&self) -> String {
        match self.database.or(self.service.database()) {
            Some(database) => format!("{} of {}", database, self.service.name()),
            None => self.service.name().to_owned(),
        }
    }

    /// Counts the tables or keys in the database.
    async fn count(&self, probe: &Probe) -> Result<u64, RunError> {
        let answer = inside::run(self.host, &self.container, probe.command(), probe.input()).await?;
        tool::counted(&answer.output)
            .ok_or_else(|| self.failed("the look into the data", answer.code, &answer.output, "nothing was changed"))
    }

    /// Puts a count into words.
    fn held(&self, count: u64) -> String {
        let noun = if self.service.kind().family() == Family::Redis { "key" } else { "table" };
        format!("{} in {}", words::counted(count, noun), self.place())
    }

    fn unsupported(&self) -> RunError {
        CommandError::DumpOfMongodb { service: self.service.name().to_owned() }.into()
    }
}

/// Opens the client's shell, on the terminal if there is one, and passes on its exit code.
///
/// # Errors
///
/// Returns an error if the service does not run, or the engine cannot run its client.
pub(crate) async fn shell(request: &ToolRequest, arguments: &[String], edge: &Edge) -> Result<CommandEnd, Failure> {
    let known = KnownProject::find(&request.project, edge).await?;
    let document = edge.cancellation.unless_cancelled(known.read_own()).await??;
    let ledger = document.ledger()?;
    let generation = document.generation()?;
    let empty = Record::default();
    let (variables, record) =
        generation.as_ref().map_or((&[][..], &empty), |generation| (&generation.variables[..], &generation.record));
    let redactor = masks::redactor(Some(&ledger), variables, record).map_err(RunError::from)?;
    let site = Site::of(&known.host, &known.name, &ledger, request).await?;
    let is_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let reader = if is_terminal { Reader::Person } else { Reader::Script };
    let file = Site::file();
    let tool = tool::shell(site.service, site.database, arguments, reader, &file);
    let mut lines = Lines::new(&redactor, String::new(), edge);
    let work = async {
        site.lay(&tool, &file).await?;
        attach(&site, &tool, is_terminal, &mut lines).await
    };
    let code = edge.cancellation.unless_cancelled(work).await??;
    Ok(CommandEnd::Command(u8::try_from(code).unwrap_or(pshim::FAILED)))
}

async fn attach(site: &Site<'_>, tool: &Tool, tty: bool, lines: &mut Lines) -> Result<i64, RunError> {
    let doing = format!("run a command in {}", site.container);
    let terminal = std::env::var("TERM").ok().filter(|name| tty && !name.is_empty());
    let options = CreateExecOptions {
        cmd: Some(tool.command().to_vec()),
        env: terminal.map(|name| vec![format!("TERM={name}")]),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(tty),
        ..CreateExecOptions::default()
    };
    let docker = site.host.docker();
    let id = docker.create_exec(&site.container, options).await.map_err(engine(|| doing.clone()))?.id;
    let started = docker.start_exec(&id, None::<StartExecOptions>).await.map_err(engine(|| doing.clone()))?;
    if let StartExecResults::Attached { output, input } = started {
        let raw = tty.then(Raw::enter);
        let exec = &id;
        let resize = attached::follow_size(|rows, columns| async move {
            let options = ResizeExecOptionsBuilder::new().h(i32::from(rows)).w(i32::from(columns)).build();
            let _ = docker.resize_exec(exec, options).await;
        });
        let pump = attached::pump(Ends { output, input }, true, lines, &doing);
        match tty {
            true => tokio::select! {
                result = pump => result?,
                () = resize => {}
            },
            false => pump.await?,
        }
        drop(raw);
    }
    inside::code_of(site.host, &id, &site.container).await
}

/// Writes the data of a service to standard output.
///
/// # Errors
///
/// Returns an error if standard output is a terminal, the service does not run, or its client fails.
pub(crate) async fn dump(request: &ToolRequest, edge: &Edge) -> Result<Exit, Failure> {
    if std::io::stdout().is_terminal() {
        return Err(CommandError::DumpToTerminal { service: request.service.clone() }.into());
    }
    let known = KnownProject::find(&request.project, edge).await?;
    let document = edge.cancellation.unless_cancelled(known.read_own()).await??;
    let ledger = document.ledger()?;
    let site = Site::of(&known.host, &known.name, &ledger, request).await?;
    let file = Site::file();
    let tool = tool::dump(site.service, site.database, &file).ok_or_else(|| site.unsupported())?;
    let work = async {
        site.lay(&tool, &file).await?;
        // The dump is the user's data, so it is not masked.
        piped::run(site.host, &site.container, tool.command(), None::<Input<'_, Stdin>>, tokio::io::stdout()).await
    };
    let end = edge.cancellation.unless_cancelled(work).await??;
    if end.is_reader_gone {
        return Err(Failure::Ended(Ending::ReaderGone));
    }
    match end.code {
        0 => Ok(Exit::Done),
        code => Err(site.failed("the dump", code, &end.said, "what was written is not whole").into()),
    }
}

/// Loads data from standard input into a service: all of it, or nothing.
///
/// # Errors
///
/// Returns an error if the service holds data and `replace` is false, or if its client fails.
pub(crate) async fn load(request: &ToolRequest, replace: bool, edge: &Edge) -> Result<Exit, Failure> {
    if std::io::stdin().is_terminal() {
        return Err(CommandError::LoadFromTerminal { service: request.service.clone() }.into());
    }
    let known = KnownProject::find(&request.project, edge).await?;
    // This call returns an error for a user who may not start the app, and who therefore may not change its data.
    known.read_own().await?;
    let work = async |locked: &LockedState<'_>| {
        let ledger = locked.ledger_or_new()?;
        let site = Site::of(&known.host, &known.name, &ledger, request).await?;
        if site.service.external().is_some() {
            return Err(CommandError::LoadIntoExternal { service: request.service.clone() }.into());
        }
        let count = tool::count(site.service, site.database).ok_or_else(|| site.unsupported())?;
        let held = edge.cancellation.unless_cancelled(site.count(&count)).await??;
        match (held, replace) {
            (0, _) => {}
            (held, true) => edge.stderr.fact("replacing", &site.held(held)),
            (held, false) => {
                let (service, held) = (request.service.clone(), site.held(held));
                return Err(CommandError::HoldsData { service, held }.into());
            }
        }
        let files = [Site::file(), Site::file()];
        let load = tool::load(site.service, site.database, [&files[0], &files[1]]).ok_or_else(|| site.unsupported())?;
        let taken = take(&site, &load, &files, edge).await;
        if taken.is_err()
            && let Some(undo) = &load.undo
        {
            let mut answer = Vec::new();
            let undone = service::ask(site.host, &site.container, undo, &mut answer);
            let _ = tokio::time::timeout(UNDO, undone).await;
        }
        taken?;
        finish(&site, &load, &files[1]).await?;
        service::wait(site.host, &site.project, site.service, PATIENCE, edge.stderr.redactor()).await?;
        let loaded = site.count(&count).await?;
        edge.stderr.fact("loaded", &site.held(loaded));
        Ok(Exit::Done)
    };
    known.locked(edge, Closed::Refuse, work).await
}

/// The exit code of a command whose container ended: 128 plus the number of SIGKILL.
const KILLED: i64 = 128 + 9;

/// The note on a load that fails before it has changed anything.
const UNTOUCHED: &str = "what was there before is there still";
/// The note on a load that fails while it replaces data.
const UNFINISHED: &str =
    "the server has all of the new data, beside what may be left of the old; load it again from the file";

/// Makes the server read all of the data, without a change to the data that is there.
async fn take(site: &Site<'_>, load: &Load, files: &[String; 2], edge: &Edge) -> Result<(), Failure> {
    let taking = async {
        if let Some(begin) = &load.begin {
            let mut answer = Vec::new();
            if service::ask(site.host, &site.container, begin, &mut answer).await? != Login::Done {
                return Err(site.failed("the load", 1, &answer, UNTOUCHED));
            }
        }
        site.lay(&load.take, &files[0]).await?;
        let input =
            Input { before: &load.before, stream: tokio::io::stdin(), after: &load.after, agreement: load.agreement };
        piped::run(site.host, &site.container, load.take.command(), Some(input), tokio::io::sink()).await
    };
    let PipedEnd { code, said, has_read_all, .. } = edge.cancellation.unless_cancelled(taking).await??;
    if code != 0 || !has_read_all {
        return Err(site.failed("the load", code, &said, UNTOUCHED).into());
    }
    Ok(())
}

/// Replaces the old data by the new data. The server has all of it by now, and an interruption has to wait.
async fn finish(site: &Site<'_>, load: &Load, file: &str) -> Result<(), RunError> {
    let Some(finish) = &load.finish else { return Ok(()) };
    site.lay(finish, file).await?;
    let done = inside::run(site.host, &site.container, finish.command(), &[]).await?;
    match done.code {
        0 => Ok(()),
        // The command ended with its container, because the server restarted.
        KILLED if load.restarts => Ok(()),
        code => Err(site.failed("the load", code, &done.output, UNFINISHED)),
    }
}
