//! An error or a warning in the form in which people see it: the problem, its place, and the advice.

use std::error::Error;

use anstyle::Style;
use psecret::Redactor;

use crate::printer::{DIMMED, ERROR, HELP, WARNING, indented};
use crate::visible::visible;
use crate::{Excerpt, Exit};

/// The severity of a diagnostic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Severity {
    Error,
    Warning,
}

/// A message about one error or warning. Its texts are given unredacted; rendering redacts them.
///
/// ```
/// use pscreen::{Diagnostic, Exit};
///
/// let diagnostic = Diagnostic::error("no engine answers at unix:///var/run/docker.sock", Exit::EngineUnreachable)
///     .help("start Docker, or name another engine with DOCKER_HOST");
/// assert_eq!(
///     diagnostic.to_string(),
///     "error: no engine answers at unix:///var/run/docker.sock\n  \
///      help: start Docker, or name another engine with DOCKER_HOST\nexit code 30\n"
/// );
/// ```
#[derive(Clone, Debug)]
pub struct Diagnostic {
    severity: Severity,
    title: String,
    parts: Vec<Part>,
    exit: Option<Exit>,
    code: Option<u8>,
}

#[derive(Clone, Debug)]
enum Part {
    Note(String),
    Excerpt(Excerpt),
    Help(String),
    Tail { title: String, lines: Vec<String> },
}

impl Diagnostic {
    /// Returns the word before the title.
    pub(crate) fn label(&self) -> &'static str {
        match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }

    /// Makes an error that ends the tool.
    #[must_use]
    pub fn error(title: impl Into<String>, exit: Exit) -> Self {
        Self { severity: Severity::Error, title: title.into(), parts: Vec::new(), exit: Some(exit), code: None }
    }

    /// Makes a warning, after which the tool continues.
    #[must_use]
    pub fn warning(title: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, title: title.into(), parts: Vec::new(), exit: None, code: None }
    }

    /// Makes an error from a Rust error. Each of its causes becomes a line.
    #[must_use]
    pub fn from_error(error: &dyn Error, exit: Exit) -> Self {
        let mut diagnostic = Self::error(error.to_string(), exit);
        let mut said = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // A transparent error has the same text as its cause.
            if !said.contains(&text) {
                diagnostic = diagnostic.note(text.clone());
                said = text;
            }
            cause = error.source();
        }
        diagnostic
    }

    /// Adds a line about the problem, such as its place or an attempt that failed.
    #[must_use]
    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.parts.push(Part::Note(text.into()));
        self
    }

    /// Adds an excerpt of a file.
    #[must_use]
    pub fn excerpt(mut self, excerpt: Excerpt) -> Self {
        self.parts.push(Part::Excerpt(excerpt));
        self
    }

    /// Adds advice.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.parts.push(Part::Help(text.into()));
        self
    }

    /// Adds the last lines of a log.
    #[must_use]
    pub fn tail(mut self, title: impl Into<String>, lines: Vec<String>) -> Self {
        self.parts.push(Part::Tail { title: title.into(), lines });
        self
    }

    /// Sets the code that the end of the message names. A tool that passes on the exit codes of other commands uses
    /// one code for all of its own failures.
    #[must_use]
    pub fn ending_with(mut self, code: u8) -> Self {
        self.code = Some(code);
        self
    }

    /// Returns the exit code of the tool, or `None` for a warning.
    #[must_use]
    pub fn exit(&self) -> Option<Exit> {
        self.exit
    }

    /// Returns the title and the advice without the other parts, for a report with one line for each thing.
    #[must_use]
    pub fn title_and_help(&self) -> (&str, Vec<&str>) {
        let help = self.parts.iter().filter_map(|part| match part {
            Part::Help(text) => Some(text.as_str()),
            Part::Note(_) | Part::Excerpt(_) | Part::Tail { .. } => None,
        });
        (&self.title, help.collect())
    }

    /// Returns the title, the first note, and the place of the first excerpt in one line.
    pub(crate) fn in_one_line(&self) -> String {
        let title = self.title.lines().next().unwrap_or_default();
        let note = self.parts.iter().find_map(|part| match part {
            Part::Note(text) => Some(format!(": {}", text.lines().next().unwrap_or_default().trim())),
            Part::Excerpt(_) | Part::Help(_) | Part::Tail { .. } => None,
        });
        let place = self.parts.iter().find_map(|part| match part {
            Part::Excerpt(excerpt) => Some(format!(" ({}:{})", excerpt.file, excerpt.first)),
            Part::Note(_) | Part::Help(_) | Part::Tail { .. } => None,
        });
        format!("{title}{}{}", note.unwrap_or_default(), place.unwrap_or_default())
    }

    /// Renders the text with ANSI styles. Every part passes the redactor before it is styled.
    #[must_use]
    pub fn render(&self, redactor: &Redactor) -> String {
        self.render_about("", redactor)
    }

    /// Renders the diagnostic with the name of its subject before the title.
    pub(crate) fn render_about(&self, subject: &str, redactor: &Redactor) -> String {
        let clean = |text: &str| visible(&redactor.redact(text));
        let (word, style) = match self.severity {
            Severity::Error => (self.label(), ERROR),
            Severity::Warning => (self.label(), WARNING),
        };
        let mut out = String::new();
        let title = clean(&format!("{subject}{}", self.title));
        let (first, more) = title.split_once('\n').unwrap_or((&title, ""));
        push_labelled(&mut out, "", word, style, first);
        indented(&mut out, "  ", more);
        for part in &self.parts {
            match part {
                Part::Note(text) => indented(&mut out, "  ", &clean(text)),
                Part::Excerpt(excerpt) => indented(&mut out, "  ", &excerpt.render(clean)),
                Part::Help(text) => push_labelled(&mut out, "  ", "help", HELP, &clean(text)),
                Part::Tail { title, lines } => {
                    indented(&mut out, "  ", &clean(title));
                    indented(&mut out, "  | ", &clean(&lines.join("\n")));
                }
            }
        }
        match (self.code, self.exit) {
            (Some(code), _) => out.push_str(&format!("{DIMMED}exit code {code}{DIMMED:#}\n")),
            (None, Some(exit)) => out.push_str(&format!("{DIMMED}exit code {exit}{DIMMED:#}\n")),
            (None, None) => {}
        }
        out
    }
}

fn push_labelled(out: &mut String, indent: &str, label: &str, style: Style, text: &str) {
    let mut lines = text.lines();
    out.push_str(&format!("{indent}{style}{label}{style:#}: {}\n", lines.next().unwrap_or_default()));
    lines.for_each(|line| out.push_str(&format!("{indent}  {line}\n")));
}

/// Renders the diagnostic as plain text, without redaction. Use this only in tests, and before any secret has been
/// read.
impl std::fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", anstream::adapter::strip_str(&self.render(&Redactor::none())))
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::printer::tests::{VALUE, redactor};
    use crate::{Ending, Mark};

    #[derive(Debug, thiserror::Error)]
    #[error("failed to read secret `KEY` from /run/key")]
    struct Failure {
        source: io::Error,
    }

    #[test]
    fn an_error_says_what_where_and_what_to_do() {
        let diagnostic = Diagnostic::error("secret `NPM_TOKEN` has no value", Exit::SecretMissing)
            .note("declared in app.toml:9, needed by this build")
            .note("looked in: --secret, --env-file, environment")
            .help("scope = \"run\" if the build does not need it");
        insta::assert_snapshot!(diagnostic, @r#"
        error: secret `NPM_TOKEN` has no value
          declared in app.toml:9, needed by this build
          looked in: --secret, --env-file, environment
          help: scope = "run" if the build does not need it
        exit code 40
        "#);
    }

    #[test]
    fn a_failing_step_shows_its_line_and_the_end_of_its_log() {
        let diagnostic = Diagnostic::error("step `[2/4] RUN make` failed with exit code 2", Exit::Failed)
            .excerpt(Excerpt {
                file: "Dockerfile".into(),
                first: 3,
                lines: vec!["RUN make".into()],
                mark: Mark::default(),
                column: None,
                label: "this step failed".into(),
            })
            .tail("the last lines of its log", vec!["make: *** No targets.  Stop.".into()]);
        insta::assert_snapshot!(diagnostic, @"
        error: step `[2/4] RUN make` failed with exit code 2
           --> Dockerfile:3:1
            |
          3 | RUN make
            | ^^^ this step failed
          the last lines of its log
          | make: *** No targets.  Stop.
        exit code 1
        ");
    }

    #[test]
    fn causes_follow_one_a_line() {
        let error = Failure { source: io::ErrorKind::PermissionDenied.into() };
        let diagnostic = Diagnostic::from_error(&error, Exit::SecretMissing);
        assert_eq!(
            diagnostic.to_string(),
            "error: failed to read secret `KEY` from /run/key\n  permission denied\nexit code 40\n"
        );
        assert_eq!(diagnostic.exit(), Some(Exit::SecretMissing));
    }

    #[test]
    fn no_part_shows_a_value_l8() {
        let lines = vec![format!("RUN curl -u {VALUE}")];
        let excerpt = Excerpt {
            file: VALUE.into(),
            first: 1,
            lines: lines.clone(),
            mark: Mark::default(),
            column: None,
            label: VALUE.into(),
        };
        let diagnostic = Diagnostic::error(format!("a {VALUE}"), Ending::Interrupt.into())
            .note(VALUE)
            .excerpt(excerpt)
            .help(VALUE)
            .tail(VALUE, lines);
        let text = diagnostic.render(&redactor());
        assert!(!text.contains(VALUE) && text.contains("***TOKEN***"), "{text}");
    }

    #[test]
    fn a_title_of_several_lines_stays_together() {
        assert_eq!(Diagnostic::warning("one\ntwo").to_string(), "warning: one\n  two\n");
    }
}
