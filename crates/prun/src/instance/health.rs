//! The conditions for a new instance: its init commands have finished, and its health check has succeeded.

use std::time::{Duration, Instant};

use bollard::models::{ContainerInspectResponse, HealthStatusEnum, ImageInspect};
use bollard::query_parameters::LogsOptionsBuilder;
use futures::StreamExt;
use papp::Check;
use pengine::Engine;
use psecret::Redactor;

use crate::engine::containers;
use crate::engine::inside::{self, bytes_of};
use crate::engine::log::{LONG_TAIL, Log, TAIL};
use crate::error::RunError;
use crate::error::answer::Answer;
use crate::instance;
use crate::instance::holder;
use crate::names::{InstanceName, Project};
use crate::plan::Plan;
use crate::plan::error::PlanError;
use crate::plan::process::PlannedProcess;

/// How long an app without any health check must run before it replaces another generation.
pub(crate) const STEADY: Duration = Duration::from_secs(3);

/// An init command that finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InitReport {
    /// The command's name.
    pub(crate) name: String,
    /// How long the command took, in the entrypoint's words.
    pub(crate) took: String,
}

/// A new instance that is expected to become healthy.
pub(crate) struct Candidate<'a> {
    /// The engine.
    pub(crate) host: &'a Engine,
    /// The project.
    pub(crate) project: &'a Project,
    /// The plan.
    pub(crate) plan: &'a Plan,
    /// The process that the instance runs.
    pub(crate) process: &'a PlannedProcess,
    /// The app's image.
    pub(crate) image: &'a ImageInspect,
    /// The number of the instance's generation.
    pub(crate) generation: u64,
    /// The instance's name.
    pub(crate) name: &'a InstanceName,
    /// The redactor that masks the instance's log.
    pub(crate) redactor: &'a Redactor,
}

impl Candidate<'_> {
    /// Returns the name of the instance's container.
    #[must_use]
    pub(crate) fn container(&self) -> String {
        self.project.instance(self.generation, self.name)
    }

    /// Reads the instance's log, masked.
    pub(crate) async fn log(&self) -> Log {
        Log::read(self.host, &self.container(), self.redactor).await
    }

    /// Reads the end of the instance's log, masked.
    async fn tail(&self) -> Vec<String> {
        self.log().await.tail(if self.generation == 1 { LONG_TAIL } else { TAIL })
    }

    /// Waits until the instance's init commands have finished, and calls `say` for each.
    ///
    /// The entrypoint reports the commands in the container's log. The container may have a read-only root and no
    /// shell, so the log is the only way. With an engine that does not keep logs, the health check alone decides.
    ///
    /// # Errors
    ///
    /// Returns [`RunError::Init`] with the end of the log if a command failed, or [`RunError::Ended`] if the instance
    /// ended.
    pub(crate) async fn init(&self, mut say: impl FnMut(&InitReport)) -> Result<(), RunError> {
        let mut waiting = if self.process.has_init() { self.plan.init().len() } else { 0 };
        if waiting == 0 {
            return Ok(());
        }
        let container = self.container();
        let options = LogsOptionsBuilder::new().follow(true).stdout(false).stderr(true).build();
        let mut log = self.host.docker().logs(&container, Some(options));
        let mut line = Vec::new();
        let mut failed = None;
        while let Some(Ok(piece)) = log.next().await {
            for byte in bytes_of(&piece) {
                if *byte != b'\n' {
                    line.push(*byte);
                    continue;
                }
                match report(&String::from_utf8_lossy(&line)) {
                    Some(Report::InitReport(finished)) => {
                        say(&finished);
                        waiting = waiting.saturating_sub(1);
                    }
                    Some(Report::Failed(name)) => failed = Some(name),
                    None => {}
                }
                line.clear();
            }
            if waiting == 0 {
                return Ok(());
            }
        }
        // The log has ended. Either the container has ended too, or the engine does not keep logs.
        let Some(state) = containers::inspect(self.host, self.project, &container).await? else { return Ok(()) };
        let Some(code) = containers::exit_code(&state) else { return Ok(()) };
        let tail = self.tail().await;
        match failed {
            Some(name) => Err(RunError::Init { name, code, tail }),
            None => Err(RunError::Ended { instance: self.name.to_string(), code, tail }),
        }
    }

    /// Waits until the instance is healthy.
    ///
    /// The health check of its process decides, or else the image's own. Without either, the app must keep running
    /// for `steady`. The caller sets `steady` to zero if the instance does not replace another generation.
    ///
    /// # Errors
    ///
    /// Returns [`RunError::Ended`], [`RunError::Unhealthy`] or [`RunError::Engine`].
    pub(crate) async fn healthy(&self, steady: Duration) -> Result<(), RunError> {
        let (container, patience) = (self.container(), self.process.patience());
        let began = Instant::now();
        let mut answer = Answer::Nothing;
        while began.elapsed() < patience {
            let Some(state) = containers::inspect(self.host, self.project, &container).await? else {
                return Err(RunError::ContainerRemoved { container });
            };
            if let Some(code) = containers::exit_code(&state) {
                let tail = self.tail().await;
                return Err(RunError::Ended { instance: self.name.to_string(), code, tail });
            }
            let left = patience.saturating_sub(began.elapsed());
            let look = self.look(&state, left, began + steady);
            match tokio::time::timeout(left, look).await {
                Ok(Ok(Look::Healthy)) => return Ok(()),
                Ok(Ok(Look::NotYet(said))) => answer = said,
                // The instance ended during the check. The next iteration reads its state and reports the end.
                Ok(Err(RunError::Engine { .. })) => {}
                Ok(Err(other)) => return Err(other),
                Err(_) if answer == Answer::Nothing => answer = endless(),
                Err(_) => {}
            }
            tokio::time::sleep(self.process.pause().min(patience.saturating_sub(began.elapsed()))).await;
        }
        let (instance, tail) = (self.name.to_string(), self.tail().await);
        Err(RunError::Unhealthy { instance, seconds: patience.as_secs(), answer, tail })
    }

    async fn look(&self, state: &ContainerInspectResponse, left: Duration, steady: Instant) -> Result<Look, RunError> {
        match self.process.check() {
            Some(Check::Http { .. }) => {
                let container = self.container();
                let request = HttpCheck::of(self.process, self.image, &container).ok_or(PlanError::HealthPort)?;
                let HttpCheck { port, path, patience, host, headers } = &request;
                let patience = patience.min(&left).as_millis().max(1).to_string();
                let first = if self.process.has_proxy_protocol() { &["http", "--proxy"][..] } else { &["http"] };
                let port_word = port.to_string();
                let place = [container.as_str(), &port_word, path, &patience, host];
                let words = [holder::PROGRAM].iter().chain(first).chain(&place).map(|word| (*word).to_owned());
                let words: Vec<String> = words.chain(headers.iter().cloned()).collect();
                // The holder makes the request over the network, as the forwarder does. An app that listens only on
                // localhost is not healthy, because the forwarder could not reach it.
                let holder = self.project.values(self.generation);
                Ok(judge_http(&inside::run(self.host, &holder, &words, &[]).await?, path, *port))
            }
            Some(Check::Command(command)) => {
                let mut words =
                    if instance::has_entrypoint(state) { instance::entrypoint(&["exec", "--"]) } else { Vec::new() };
                words.extend(command.iter().cloned());
                let container = self.container();
                let run = inside::run(self.host, &container, &words, &[]);
                match tokio::time::timeout(self.process.check_timeout(), run).await {
                    Ok(done) => Ok(judge_command(&done?, command)),
                    Err(_) => Ok(Look::NotYet(endless())),
                }
            }
            None => {
                let health = state.state.as_ref().and_then(|state| state.health.as_ref());
                Ok(match health.and_then(|health| health.status) {
                    Some(HealthStatusEnum::HEALTHY) => Look::Healthy,
                    Some(HealthStatusEnum::STARTING | HealthStatusEnum::UNHEALTHY) => {
                        Look::NotYet(Answer::Words("the image's own health check does not succeed".to_owned()))
                    }
                    None | Some(HealthStatusEnum::NONE | HealthStatusEnum::EMPTY) if Instant::now() >= steady => {
                        Look::Healthy
                    }
                    None | Some(HealthStatusEnum::NONE | HealthStatusEnum::EMPTY) => Look::NotYet(Answer::Nothing),
                })
            }
        }
    }
}

/// The HTTP request with which the health of an instance is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HttpCheck {
    /// The instance's port.
    pub(crate) port: u16,
    /// The path, with its leading slash.
    pub(crate) path: String,
    /// How long the whole exchange may take.
    pub(crate) patience: Duration,
    /// The name in the `Host` header.
    pub(crate) host: String,
    /// Further headers, each a line without its end.
    pub(crate) headers: Vec<String>,
}

impl HttpCheck {
    /// Makes the request for the instance in this container. Returns `None` if the process has no such check, or if no
    /// port is known.
    #[must_use]
    pub(crate) fn of(process: &PlannedProcess, image: &ImageInspect, container: &str) -> Option<Self> {
        let Some(Check::Http { path, port, host, headers }) = process.check() else { return None };
        let published = || process.ports().iter().find(|port| !port.udp).map(|port| port.container);
        Some(Self {
            port: port.or_else(published).or_else(|| exposed(image))?,
            path: path.clone(),
            patience: process.check_timeout(),
            host: host.clone().unwrap_or_else(|| container.to_owned()),
            headers: headers.iter().map(|(name, value)| format!("{name}: {value}")).collect(),
        })
    }
}

/// A line of the entrypoint about an init command.
pub(crate) enum Report {
    /// The command finished.
    InitReport(InitReport),
    /// The command of this name failed.
    Failed(String),
}

/// Reads a line of the entrypoint. An app can imitate such a line, but deceives only itself.
pub(crate) fn report(line: &str) -> Option<Report> {
    let rest = line.trim_end().strip_prefix("prun: init ")?;
    let (name, what) = rest.split_once(' ')?;
    if let Some(took) = what.strip_prefix("finished in ") {
        return Some(Report::InitReport(InitReport { name: name.to_owned(), took: took.replace(' ', "") }));
    }
    what.starts_with("failed").then(|| Report::Failed(name.to_owned()))
}

/// Returns whether the manifest or the image has a health check for a process.
#[must_use]
pub(crate) fn has_check(process: &PlannedProcess, image: &ImageInspect) -> bool {
    let test =
        image.config.as_ref().and_then(|config| config.healthcheck.as_ref()).and_then(|check| check.test.as_ref());
    let of_image = test.and_then(|test| test.first()).is_some_and(|kind| kind.starts_with("CMD"));
    process.check().is_some() || (of_image && process.keeps_check_of_image())
}

#[derive(Debug, PartialEq, Eq)]
enum Look {
    Healthy,
    NotYet(Answer),
}

fn endless() -> Answer {
    Answer::Words("the health check does not end".to_owned())
}

/// Judges the answer of the entrypoint, which made the HTTP request.
fn judge_http(done: &inside::CommandResult, path: &str, port: u16) -> Look {
    if done.code == 0 {
        return Look::Healthy;
    }
    let line = last_line(&done.output);
    let status = line.strip_prefix(pshim::http::STATUS).and_then(|status| status.parse().ok());
    Look::NotYet(match status {
        Some(status) => Answer::Status { status, path: path.to_owned() },
        None if line == pshim::http::NOTHING_LISTENS => Answer::NobodyListens { port },
        None => Answer::Words(line),
    })
}

/// Judges how a command ended. Without the entrypoint, the engine itself reports a missing program.
fn judge_command(done: &inside::CommandResult, command: &[String]) -> Look {
    if done.code == 0 {
        return Look::Healthy;
    }
    let line = last_line(&done.output);
    let of_engine = line.contains("OCI runtime exec failed")
        && ["executable file not found", "no such file or directory"].iter().any(|words| line.contains(words));
    // A shell ends with the same code if a command within the script is missing. The text tells which program is
    // missing.
    let of_entrypoint = done.code == i64::from(pshim::NOT_FOUND) && line.ends_with(": not found") && {
        command.first().is_some_and(|program| line == format!("{program}: not found"))
    };
    Look::NotYet(match command.first() {
        Some(program) if of_engine || of_entrypoint => Answer::NoProgram { program: program.clone() },
        _ => Answer::Words(line),
    })
}

fn last_line(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it failed without any output");
    last.trim_end().trim_start_matches("prun: ").to_owned()
}

/// Returns the port that the image exposes, if there is exactly one.
fn exposed(image: &ImageInspect) -> Option<u16> {
    let ports = image.config.as_ref()?.exposed_ports.as_ref()?;
    let [only] = ports.as_slice() else { return None };
    only.strip_suffix("/tcp").unwrap_or(only).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_of_an_answer_is_known() {
        let done = |code, output: &str| inside::CommandResult { code, output: output.as_bytes().to_vec() };
        let http = |output: &str| judge_http(&done(1, output), "/up", 80);
        assert_eq!(
            http("prun: HTTP status 404\n"),
            Look::NotYet(Answer::Status { status: 404, path: "/up".to_owned() })
        );
        assert_eq!(http("prun: nothing listens on the port\n"), Look::NotYet(Answer::NobodyListens { port: 80 }));
        assert_eq!(
            http("prun: no answer within 5.0 s\n"),
            Look::NotYet(Answer::Words("no answer within 5.0 s".to_owned()))
        );
        let command = |code, output: &str| judge_command(&done(code, output), &["curl".to_owned(), "-f".to_owned()]);
        let missing = Look::NotYet(Answer::NoProgram { program: "curl".to_owned() });
        assert_eq!(command(127, "prun: curl: not found\n"), missing);
        let engine = "OCI runtime exec failed: exec failed: unable to start container process: exec: \"curl\": executable \
                      file not found in $PATH: unknown\r\n";
        assert_eq!(command(127, engine), missing);
        assert_eq!(command(126, engine), missing);
        assert_eq!(
            command(127, "sh: grep: not found\n"),
            Look::NotYet(Answer::Words("sh: grep: not found".to_owned()))
        );
        assert_eq!(command(0, ""), Look::Healthy);
    }

    #[test]
    fn the_entrypoints_own_lines_are_read_and_no_others() {
        match report("prun: init migrate finished in 1.4 s\r") {
            Some(Report::InitReport(finished)) => {
                assert_eq!((finished.name.as_str(), finished.took.as_str()), ("migrate", "1.4s"));
            }
            _ => panic!("a finished command"),
        }
        assert!(
            matches!(report("prun: init migrate failed with exit code 3 after 0.1 s"), Some(Report::Failed(name)) if name == "migrate")
        );
        for line in [
            "[migrate] finished in 1 s",
            "prun: init waits until another instance is through with it",
            "x prun: init a finished in 1 s",
            "",
        ] {
            assert!(report(line).is_none(), "{line}");
        }
    }
}
