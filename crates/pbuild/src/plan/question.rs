//! `--call` and `--check`: questions about a Dockerfile, in docker's spelling.

use super::comma_separated;
use crate::command::build::CallOptions;

/// A question to the frontend about a Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    request: &'static str,
    answer: AnswerFormat,
}

/// The format of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnswerFormat {
    /// Text for people.
    Text,
    /// JSON for programs.
    Json,
}

/// The error about a value of `--call` that names no question.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid --call {text:?}: write check, outline or targets, with ,format=json for JSON")]
pub(crate) struct QuestionError {
    text: String,
}

/// The name of the question for mistakes and bad style in a Dockerfile.
const LINT: &str = "frontend.lint";

impl Question {
    /// Reads the question from the flags. Returns `None` if the flags ask for a build.
    ///
    /// # Errors
    /// Returns a [`QuestionError`].
    pub(super) fn parse(options: &CallOptions) -> Result<Option<Self>, QuestionError> {
        if options.check {
            return Ok(Some(Self { request: LINT, answer: AnswerFormat::Text }));
        }
        let Some(text) = &options.call else { return Ok(None) };
        let wrong = || QuestionError { text: text.clone() };
        let mut fields = comma_separated::fields(text).ok_or_else(wrong)?.into_iter();
        let request = match fields.next().unwrap_or_default().as_str() {
            "build" | "" => None,
            "check" | "lint" => Some(LINT),
            "outline" => Some("frontend.outline"),
            "targets" => Some("frontend.targets"),
            "subrequests.describe" => Some("frontend.subrequests.describe"),
            _ => return Err(wrong()),
        };
        let mut answer = AnswerFormat::Text;
        for field in fields {
            answer = match field.as_str() {
                "format=json" => AnswerFormat::Json,
                "format=text" => AnswerFormat::Text,
                _ => return Err(wrong()),
            };
        }
        Ok(request.map(|request| Self { request, answer }))
    }

    /// Returns the request, as the frontend names it.
    pub(crate) fn request(&self) -> &'static str {
        self.request
    }

    /// Returns the format of the answer.
    pub(crate) fn answer(&self) -> AnswerFormat {
        self.answer
    }

    /// Returns whether the question asks for mistakes.
    pub(crate) fn is_check(&self) -> bool {
        self.request == LINT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(call: &str) -> Result<Option<Question>, QuestionError> {
        Question::parse(&CallOptions { call: Some(call.to_owned()), check: false })
    }

    #[test]
    fn methods_are_docker_s() {
        assert_eq!(Question::parse(&CallOptions::default()), Ok(None));
        assert_eq!(parse("build"), Ok(None));
        let check = Question::parse(&CallOptions { call: None, check: true });
        assert_eq!((parse("check"), parse("lint")), (check.clone(), check));
        assert_eq!(
            parse("outline,format=json"),
            Ok(Some(Question { request: "frontend.outline", answer: AnswerFormat::Json }))
        );
        assert_eq!(
            parse("targets,format=text"),
            Ok(Some(Question { request: "frontend.targets", answer: AnswerFormat::Text }))
        );
        for wrong in ["scan", "check,format=xml", "check,json", "\"check"] {
            assert_eq!(parse(wrong), Err(QuestionError { text: wrong.to_owned() }));
        }
    }
}
