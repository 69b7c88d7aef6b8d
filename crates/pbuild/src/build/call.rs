//! `--call` and `--check`: questions to the frontend about a Dockerfile. Nothing is built, and no secret is read.
//!
//! BuildKit's Dockerfile frontend answers them in the metadata of an empty result: `result.json`, `result.txt`, and
//! `result.statuscode` where the answer is a failure (`frontend/subrequests`).

use std::collections::BTreeMap;

use pbuildkit::{BuildError, BuildRequest, Capabilities, Definition, History, Transform};
use pcli::arguments::SecretArguments;
use pscreen::{Diagnostic, Exit};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::command::build::CallOptions;
use crate::edge::{Edge, Failure};
use crate::plan::BuildPlan;
use crate::plan::comma_separated;
use crate::site::Site;
use crate::{build, explain};

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    request: &'static str,
    json: bool,
}

/// A method that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid --call {text:?}: write check, outline or targets, with ,format=json for JSON")]
pub struct CallError {
    text: String,
}

/// The question for findings about style and mistakes.
const LINT: &str = "frontend.lint";

impl Call {
    /// The question of the flags; `None` to build.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn parse(options: &CallOptions) -> Result<Option<Self>, CallError> {
        if options.check {
            return Ok(Some(Self { request: LINT, json: false }));
        }
        let Some(text) = &options.call else { return Ok(None) };
        let wrong = || CallError { text: text.clone() };
        let mut fields = comma_separated::fields(text).ok_or_else(wrong)?.into_iter();
        let request = match fields.next().unwrap_or_default().as_str() {
            "build" | "" => None,
            "check" | "lint" => Some(LINT),
            "outline" => Some("frontend.outline"),
            "targets" => Some("frontend.targets"),
            _ => return Err(wrong()),
        };
        let mut json = false;
        for field in fields {
            json = match field.as_str() {
                "format=json" => true,
                "format=text" => false,
                _ => return Err(wrong()),
            };
        }
        Ok(request.map(|request| Self { request, json }))
    }

    /// Asks, and prints the answer on standard output.
    ///
    /// # Errors
    /// When there is no answer: the engine cannot be reached, the Dockerfile is none, or its frontend is older than the question.
    pub async fn run(&self, plan: &BuildPlan, builder: Option<&str>, edge: &Edge) -> Result<Exit, Failure> {
        let Site { builder: buildkit, .. } = Site::reach(edge, builder, false, &SecretArguments::default()).await?;
        let mut request = BuildRequest { history: History::Nothing, ..plan.request() };
        request.attributes.insert("requestid".to_owned(), self.request.to_owned());
        // A frontend that knows no questions refuses, where it would build else.
        request.attributes.insert("frontend.caps".to_owned(), "moby.buildkit.frontend.subrequests".to_owned());
        let mut answer = Answer::default();
        let (updates, mut news) = mpsc::channel(64);
        let ignore = tokio::spawn(async move { while news.recv().await.is_some() {} });
        let asking = buildkit.build(request, Some(&mut answer), updates);
        let asked = edge.cancellation.unless_cancelled(asking).await;
        ignore.abort();
        match asked? {
            Ok(_) => self.tell(&answer, edge),
            Err(BuildError::Failed(failure)) if is_refusal(&failure.to_string()) => Err(Unanswered.diagnostic().into()),
            Err(BuildError::Transform(unanswered)) => Err(unanswered.diagnostic().into()),
            Err(BuildError::Failed(failure)) => {
                Err(build::explain::build(&BuildError::Failed(failure), None, None).into())
            }
            Err(BuildError::Buildkit(error)) => Err(explain::buildkit(&error).into()),
            Err(error) => Err(Diagnostic::from_error(&error, Exit::Failed).into()),
        }
    }

    fn tell(&self, answer: &Answer, edge: &Edge) -> Result<Exit, Failure> {
        let text = |key: &str| answer.0.get(key).map(|text| String::from_utf8_lossy(text).trim_end().to_owned());
        let wanted = if self.json { text("result.json") } else { text("result.txt").or_else(|| text("result.json")) };
        let Some(wanted) = wanted else {
            return Err(Unanswered.diagnostic().into());
        };
        if !wanted.is_empty() {
            edge.stdout.line(&wanted);
        }
        let failed = text("result.statuscode").is_some_and(|code| code != "0");
        if self.request == LINT && !self.json {
            let document: Value = serde_json::from_str(&text("result.json").unwrap_or_default()).unwrap_or_default();
            edge.stderr.fact("check", &findings(&document));
            if let Some(broken) = broken(&document) {
                return Err(broken.into());
            }
        }
        Ok(if failed { Exit::Failed } else { Exit::Done })
    }
}

/// How much a check found, in words.
fn findings(document: &Value) -> String {
    match document["warnings"].as_array().map_or(0, Vec::len) {
        0 => "no warnings".to_owned(),
        1 => "1 warning".to_owned(),
        several => format!("{several} warnings"),
    }
}

/// Why the Dockerfile cannot be built at all, if the check came upon that; with the file and the line.
fn broken(document: &Value) -> Option<Diagnostic> {
    let error = document.get("buildError").filter(|error| error.is_object())?;
    let diagnostic =
        Diagnostic::error(error["message"].as_str().unwrap_or("the Dockerfile is not valid"), Exit::Failed);
    let location = &error["location"];
    let source = location["sourceIndex"].as_u64().unwrap_or_default() as usize;
    let file = document["sources"][source]["filename"].as_str().unwrap_or("Dockerfile");
    Some(match location["ranges"][0]["start"]["line"].as_u64() {
        Some(line) => diagnostic.note(format!("--> {file}:{line}")),
        None => diagnostic,
    })
}

/// The frontend does not know the question.
#[derive(Debug, thiserror::Error)]
#[error("the frontend that reads this Dockerfile does not know the question")]
struct Unanswered;

impl Unanswered {
    fn diagnostic(&self) -> Diagnostic {
        Diagnostic::from_error(self, Exit::Failed).help("a newer engine, or a newer `# syntax=` image, can answer it")
    }
}

/// Whether the frontend refused the question itself (BuildKit's words, for the request and for the capability).
fn is_refusal(message: &str) -> bool {
    message.contains("unsupported request") || message.contains("unsupported frontend capability")
}

/// What the frontend answers, in place of operations.
#[derive(Debug, Default)]
struct Answer(BTreeMap<String, Vec<u8>>);

impl Transform for Answer {
    type Error = Unanswered;

    fn inspect(&mut self, metadata: &BTreeMap<String, Vec<u8>>) -> Result<(), Self::Error> {
        self.0.clone_from(metadata);
        Ok(())
    }

    fn transform(&mut self, _: &Capabilities, _: Option<&str>, _: Definition) -> Result<Definition, Self::Error> {
        // It has taken the question for a build, which nobody asked for.
        Err(Unanswered)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(call: &str) -> Result<Option<Call>, CallError> {
        Call::parse(&CallOptions { call: Some(call.to_owned()), check: false })
    }

    #[test]
    fn methods_are_docker_s() {
        assert_eq!(Call::parse(&CallOptions::default()), Ok(None));
        assert_eq!(parse("build"), Ok(None));
        let check = Call::parse(&CallOptions { call: None, check: true });
        assert_eq!((parse("check"), parse("lint")), (check.clone(), check));
        assert_eq!(parse("outline,format=json"), Ok(Some(Call { request: "frontend.outline", json: true })));
        assert_eq!(parse("targets,format=text"), Ok(Some(Call { request: "frontend.targets", json: false })));
        for wrong in ["scan", "check,format=xml", "check,json", "\"check"] {
            assert_eq!(parse(wrong), Err(CallError { text: wrong.to_owned() }));
        }
    }

    #[test]
    fn findings_are_counted() {
        assert_eq!(findings(&json!({"warnings": [{}, {}]})), "2 warnings");
        assert_eq!(findings(&json!({"warnings": [{}]})), "1 warning");
        assert_eq!(findings(&json!({})), "no warnings");
    }
}
