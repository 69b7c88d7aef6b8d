//! `prun ui`: serves a local page of a project, and carries out the errands of the page. Each errand is the command
//! of the same name, with a line in the terminal.
//!
//! The server only hands questions over. This module does all of the work, so the page has the same locks and the
//! same refusals as the commands.

mod facts;
mod tee;

use std::cell::Cell;
use std::net::Ipv4Addr;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use pscreen::Exit;
use psecret::Secret;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use crate::commands::{resume, services, show};
use crate::edge::{Codes, Edge, Failure};
use crate::error::RunError;
use crate::error::command::CommandError;
use crate::page::overview::Overview;
use crate::page::server::Page;
use crate::page::{Asked, End, Errand, News, Question, Reason, Request};
use crate::plan::request::{Choice, Rotated, ServicesRequest, UiRequest};
use crate::project::{connect, name_of};
use crate::tell;
use crate::values::generation::{Value, Variable};

/// How many questions are answered at the same time. Further ones wait.
const MOST: usize = 8;

/// Opens the page, and answers its questions until the user ends the command.
///
/// # Errors
///
/// Returns an error if there is no project to show, or if the port is taken.
pub(crate) async fn run(request: &UiRequest, edge: &Edge) -> Result<Exit, Failure> {
    let desk = Desk::find(&request.project, edge).await?;
    let taken = |source| CommandError::PagePort { port: request.port, source };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, request.port)).await.map_err(taken)?;
    let address = listener.local_addr().map_err(taken)?;
    let (requests, mut questions) = mpsc::channel(MOST);
    let page = Page::new(address.to_string(), requests);
    let mut opened = page.opened();
    edge.stderr.fact("page", &format!("{}; Ctrl-C ends it", desk.names().join(", ")));
    edge.stdout.line(&page.link());
    let server = tokio::spawn(page.clone().serve(listener));
    let mut answers = FuturesUnordered::new();
    let ending = loop {
        tokio::select! {
            biased;
            ending = edge.cancellation.cancelled() => break ending,
            Some(()) = answers.next() => {}
            Ok(()) = opened.changed() => {
                edge.stderr.fact("opened", "the page; this address opens it again, and closes the one before");
                edge.stdout.line(&page.link());
            }
            Some(request) = questions.recv(), if answers.len() < MOST => answers.push(desk.answer(request, edge)),
        }
    };
    server.abort();
    // A running errand ends as its command would, because the same signal has reached it.
    while answers.next().await.is_some() {}
    // The user ends this command with an interrupt, so the interrupt is not a failure.
    Ok(Exit::Ended(ending))
}

/// The projects that the page shows, each with the choice that selects it.
struct Desk {
    projects: Vec<(String, Choice)>,
    /// Whether an errand is running.
    busy: Cell<bool>,
}

impl Desk {
    /// Finds the project that the command line names. Without one, finds the projects of the engine that this user
    /// operates.
    async fn find(choice: &Choice, edge: &Edge) -> Result<Self, Failure> {
        let projects = match name_of(choice) {
            Ok(named) => vec![(named.name, choice.clone())],
            Err(RunError::NoProject) => {
                let host = edge.cancellation.unless_cancelled(connect()).await??;
                let names = resume::own(&host).await?.into_iter();
                names.map(|name| (name.clone(), Choice { name: Some(name), config: None })).collect()
            }
            Err(error) => return Err(error.into()),
        };
        if projects.is_empty() {
            return Err(RunError::NoProject.into());
        }
        Ok(Self { projects, busy: Cell::new(false) })
    }

    fn names(&self) -> Vec<String> {
        self.projects.iter().map(|(name, _)| name.clone()).collect()
    }

    /// Chooses a project by its name, or the first project if the page names none.
    fn choose(&self, name: Option<&str>) -> Result<&(String, Choice), CommandError> {
        let is_meant = |known: &&(String, Choice)| name.is_none_or(|name| known.0 == name);
        let found = self.projects.iter().find(is_meant);
        found.ok_or_else(|| CommandError::NotOnPage { project: name.unwrap_or_default().to_owned() })
    }

    /// Answers a question. The page may be gone by then, so a failure to send the answer does not matter.
    async fn answer(&self, request: Request, edge: &Edge) {
        let project = request.project.as_deref();
        match request.question {
            // A question that only reads is dropped when the user ends the command, so an engine that does not answer
            // cannot delay the end.
            Question::Look(answer) => {
                if let Ok(overview) = edge.cancellation.unless_cancelled(self.look(project, edge)).await {
                    let _ = answer.send(overview);
                }
            }
            Question::Value { of, reason, answer } => {
                let value = self.value(project, &of, reason, edge);
                if let Ok(value) = edge.cancellation.unless_cancelled(value).await {
                    let _ = answer.send(value.map_err(|failure| facts::words(&failure).join("; ")));
                }
            }
            Question::Errand(errand, news) => {
                let printer = tee::to_both(&edge.stderr, news.clone());
                let edge = Edge { stderr: printer.clone(), stdout: printer, cancellation: edge.cancellation.clone() };
                let end = match self.run_errand(project, errand, &edge).await {
                    Ok(()) => End::Done,
                    Err(failure) => {
                        let _ = tell::report(&failure, &edge.stderr, Codes::Own);
                        End::Failed
                    }
                };
                let _ = news.send(News::End(end));
            }
        }
    }

    async fn look(&self, project: Option<&str>, edge: &Edge) -> Overview {
        match self.choose(project) {
            Ok((name, choice)) => Overview { projects: self.names(), ..facts::overview(name, choice, edge).await },
            Err(error) => {
                Overview { projects: self.names(), remarks: facts::words(&error.into()), ..Overview::default() }
            }
        }
    }

    async fn value(
        &self,
        project: Option<&str>,
        of: &Asked,
        reason: Reason,
        edge: &Edge,
    ) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let (_, choice) = self.choose(project)?;
        let (name, value) = match of {
            Asked::Injected(name) => (name, of_variable(&show::variable(choice, name, edge).await?)),
            Asked::Environment(name) => {
                let config = choice.config.as_deref();
                let secret = tokio::task::block_in_place(|| pcli::secrets::value(config, name, &edge.desk()))?;
                (name, of_secret(&secret))
            }
        };
        let how = match reason {
            Reason::Reveal => "revealed",
            Reason::Copy => "copied",
        };
        edge.stderr.fact(how, &format!("{name}, by the page"));
        Ok(value)
    }

    /// Runs an errand. Only one runs at a time, because the terminal shows errands one after the other.
    async fn run_errand(&self, project: Option<&str>, errand: Errand, edge: &Edge) -> Result<(), Failure> {
        if self.busy.replace(true) {
            return Err(CommandError::ErrandUnderWay.into());
        }
        let outcome = self.run_alone(project, errand, edge).await;
        self.busy.set(false);
        outcome
    }

    async fn run_alone(&self, project: Option<&str>, errand: Errand, edge: &Edge) -> Result<(), Failure> {
        let (name, choice) = self.choose(project)?;
        let say = |what: &str| edge.stderr.fact("page", what);
        match errand {
            Errand::Rotate(service) => {
                say(&format!("rotates {service} of {name}"));
                let services = Rotated::Named(vec![service]);
                services::run(&ServicesRequest::Rotate { project: choice.clone(), services }, edge).await?;
            }
            Errand::Restart => {
                say(&format!("restarts {name}"));
                resume::restart(choice, edge).await?;
            }
            Errand::Set(secret, value) => {
                say("sets a secret");
                let config = choice.config.as_deref();
                tokio::task::block_in_place(|| pcli::secrets::put(config, &secret, value, &edge.desk()))?;
            }
        }
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "door 81: the page's reader asked to see this one variable")]
fn of_variable(variable: &Variable) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(match &variable.value {
        Value::Public(text) => text.clone().into_bytes(),
        Value::Confidential(value) => value.expose().to_vec(),
    })
}

#[expect(clippy::disallowed_methods, reason = "door 82: the page's reader asked to see this one secret")]
fn of_secret(secret: &Secret) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(secret.value().expose().to_vec())
}
