//! `--call` and `--check`: questions to the frontend about a Dockerfile. Nothing is built, and no secret is read.
//!
//! BuildKit's Dockerfile frontend answers a question in the metadata of an empty result: in `result.json` and
//! `result.txt`, and in `result.statuscode` if the answer is a failure (`frontend/subrequests`).

use std::collections::BTreeMap;

use pbuildkit::{BuildError, BuildRequest, History, Transform};
use pengine::Environment;
use pgateway::Capabilities;
use pllb::Definition;
use pscreen::Exit;
use serde_json::Value;
use tokio::sync::mpsc;

use super::failure::of_look;
use crate::edge::{Edge, Failure};
use crate::plan::{AnswerFormat, LateFacts, Question, QuestionOrder};
use crate::site::{self, Site};

/// Asks the frontend, and prints the answer on standard output.
///
/// # Errors
/// Returns an error if there is no answer: the engine cannot be reached, the Dockerfile is not valid, or its frontend
/// is too old for the question.
pub(super) async fn run(order: QuestionOrder, edge: &Edge) -> Result<Exit, Failure> {
    let QuestionOrder { question, plan, builder, tls } = order;
    let Site { builder, .. } = Site::reach_any(edge, &site::choose(&builder)?, tls).await?;
    let plan = plan.settle(&LateFacts::default());
    let request = plan.request(Environment::of_process().docker_folder(), None);
    let mut request = BuildRequest { history: History::Nothing, ..request };
    request.attributes.insert("requestid".to_owned(), question.request().to_owned());
    // With this attribute, a frontend that answers no questions returns an error; otherwise it would build.
    request.attributes.insert("frontend.caps".to_owned(), "moby.buildkit.frontend.subrequests".to_owned());
    let mut answer = Answer::default();
    let (updates, mut news) = mpsc::channel(64);
    let ignore = tokio::spawn(async move { while news.recv().await.is_some() {} });
    let asking = builder.build(request, Some(&mut answer), updates);
    let asked = edge.cancellation.unless_cancelled(asking).await;
    ignore.abort();
    match asked? {
        Ok(_) => tell(&question, &answer, edge),
        Err(BuildError::Failed(failure)) if is_refusal(&failure.to_string()) => Err(Unanswered.into()),
        Err(error) => Err(of_look(error)?.into()),
    }
}

fn tell(question: &Question, answer: &Answer, edge: &Edge) -> Result<Exit, Failure> {
    let text = |key: &str| answer.0.get(key).map(|text| String::from_utf8_lossy(text).trim_end().to_owned());
    let shown = match question.answer() {
        AnswerFormat::Json => text("result.json"),
        AnswerFormat::Text => text("result.txt").or_else(|| text("result.json")),
    };
    let shown = shown.ok_or(Unanswered)?;
    let check = (question.is_check() && question.answer() == AnswerFormat::Text)
        .then(|| serde_json::from_str::<Value>(&text("result.json").unwrap_or_default()).unwrap_or_default());
    let broken = check.as_ref().and_then(BrokenDockerfile::of);
    if let Some(document) = check.filter(|_| broken.is_none()) {
        edge.stdout.line(&findings(&document));
    }
    if !shown.is_empty() {
        edge.stdout.line(&shown);
    }
    if let Some(broken) = broken {
        return Err(broken.into());
    }
    let failed = text("result.statuscode").is_some_and(|code| code != "0");
    Ok(if failed { Exit::Failed } else { Exit::Done })
}

/// Says how many findings a check has, in buildx's words, because scripts look for those words.
fn findings(document: &Value) -> String {
    match document["warnings"].as_array().map_or(0, Vec::len) {
        0 => "Check complete, no warnings found.".to_owned(),
        1 => "Check complete, 1 warning has been found!".to_owned(),
        several => format!("Check complete, {several} warnings have been found!"),
    }
}

/// A Dockerfile that cannot be built at all, according to a check.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BrokenDockerfile {
    /// The frontend's message.
    pub(super) message: String,
    /// The file and the line, if the frontend names them.
    pub(super) place: Option<(String, u64)>,
}

impl BrokenDockerfile {
    fn of(document: &Value) -> Option<Self> {
        let error = document.get("buildError").filter(|error| error.is_object())?;
        let message = error["message"].as_str().unwrap_or("the Dockerfile is not valid").to_owned();
        let location = &error["location"];
        let source = location["sourceIndex"].as_u64().unwrap_or_default() as usize;
        let file = document["sources"][source]["filename"].as_str().unwrap_or("Dockerfile");
        let line = location["ranges"][0]["start"]["line"].as_u64();
        Some(Self { message, place: line.map(|line| (file.to_owned(), line)) })
    }
}

/// The frontend does not know the question.
#[derive(Debug, thiserror::Error)]
#[error("the frontend that reads this Dockerfile does not know the question")]
pub(super) struct Unanswered;

/// Returns whether the frontend refused the question itself. These are BuildKit's messages about the request and
/// about the capability.
fn is_refusal(message: &str) -> bool {
    message.contains("unsupported request") || message.contains("unsupported frontend capability")
}

/// The metadata of the frontend's answer. There are no operations in it.
#[derive(Debug, Default)]
struct Answer(BTreeMap<String, Vec<u8>>);

impl Transform for Answer {
    type Error = Unanswered;

    fn inspect(&mut self, metadata: &BTreeMap<String, Vec<u8>>) -> Result<(), Self::Error> {
        self.0.clone_from(metadata);
        Ok(())
    }

    fn transform(&mut self, _: &Capabilities, _: Option<&str>, _: Definition) -> Result<Definition, Self::Error> {
        // The frontend has returned a build graph, so it took the question for a build.
        Err(Unanswered)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn findings_are_counted() {
        assert_eq!(findings(&json!({"warnings": [{}, {}]})), "Check complete, 2 warnings have been found!");
        assert_eq!(findings(&json!({"warnings": [{}]})), "Check complete, 1 warning has been found!");
        assert_eq!(findings(&json!({})), "Check complete, no warnings found.");
    }
}
