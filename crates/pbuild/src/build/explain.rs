//! What a person reads of a build that the guard, the injection or the engine ended.

use pbuildkit::llb::SourceLines;
use pbuildkit::{BuildError, BuildFailure, FailureKind};
use pscreen::progress::FailedStep;
use pscreen::{Diagnostic, Excerpt, Exit, Mark};

use super::guard::GuardError;
use super::injection::{Injection, InjectionError};
use crate::explain::buildkit;

/// A value found before anything ran.
#[must_use]
pub fn guard(error: &GuardError) -> Diagnostic {
    let diagnostic = Diagnostic::error(error.to_string(), Exit::Usage);
    match error {
        GuardError::BuildArgument { .. } => diagnostic
            .note("build arguments stand in the image's history")
            .help("leave the flag out: every RUN has the secret as an environment variable"),
        GuardError::Address { .. } => diagnostic
            .note("the engine shows addresses, and keeps them in its cache and in provenance")
            .help("leave the value out of the address; for git, give the secret the name GIT_AUTH_TOKEN"),
        GuardError::Attribute { .. } => {
            diagnostic.note("what such a flag says stands in images, caches and provenance").help("leave the value out")
        }
        GuardError::Label { .. } => diagnostic.help("a label is public; leave the value out"),
        GuardError::Instruction { .. } | GuardError::Configuration { .. } => diagnostic
            .note("what the Dockerfile says stands in the image's history")
            .help("use the variable of that name in RUN; if the value is public, declare it in [env] of app.toml"),
    }
}

/// A build that ended before anything ran, by our own decision.
#[must_use]
pub fn injection(error: &InjectionError) -> Diagnostic {
    match error {
        InjectionError::Guard(error) => guard(error),
        InjectionError::Inject(_) | InjectionError::Chain(_) => Diagnostic::from_error(error, Exit::Failed),
        InjectionError::Leak(_) => Diagnostic::from_error(error, Exit::Leak),
        InjectionError::Unproven(_) => Diagnostic::from_error(error, Exit::Incomplete)
            .note("nothing was exported or pushed")
            .help("--load or --output type=oci,dest=FILE brings the image here, where all of it is searched"),
        InjectionError::Unable => Diagnostic::from_error(error, Exit::Failed)
            .help("Docker 20.10 or newer, with BuildKit enabled, has what pbuild needs"),
        InjectionError::Required { id, place, .. } => {
            let diagnostic = Diagnostic::from_error(error, Exit::SecretMissing);
            let diagnostic = match place {
                Some((file, line)) => diagnostic.note(format!("mounted at {file}:{line}")),
                None => diagnostic,
            };
            diagnostic.help(format!("give it with --secret id={id},src=FILE, or declare it in app.toml"))
        }
        InjectionError::NoStep { unmatched } => {
            let told = unmatched.iter().fold(Diagnostic::from_error(error, Exit::Usage), |diagnostic, one| {
                let place = one.place.as_deref().unwrap_or("the manifest");
                let diagnostic =
                    diagnostic.note(format!("{place}: {} has steps = [… \"{}\" …]", one.name, one.pattern));
                match one.nearest.as_slice() {
                    [] => diagnostic.note("this build has no RUN"),
                    nearest => diagnostic.note(format!("the nearest commands: {}", nearest.join(" · "))),
                }
            });
            told.help("change the pattern, or leave `steps` out to give every step the secret; `pbuild secrets advise` proposes patterns")
        }
    }
}

/// A build that failed in the engine. `step` is the one that failed, as the screen saw it, with the end of its log.
#[must_use]
pub fn build(
    error: &BuildError<InjectionError>,
    injection_of_build: Option<&Injection>,
    step: Option<FailedStep>,
) -> Diagnostic {
    match error {
        BuildError::Failed(failure) => failed(failure, injection_of_build, step),
        BuildError::Transform(error) => injection(error),
        BuildError::Source { .. } => Diagnostic::from_error(error, Exit::Failed)
            .help("make the file readable, or leave it out with .dockerignore"),
        BuildError::Destination { .. } => Diagnostic::from_error(error, Exit::Failed)
            .note("nothing of the result was kept")
            .help("make room for it, or name another place with --output"),
        BuildError::Stopped { .. } => Diagnostic::from_error(error, Exit::Leak),
        BuildError::Buildkit(error) => buildkit(error),
        _ => Diagnostic::from_error(error, Exit::Failed),
    }
}

fn failed(failure: &BuildFailure, injection: Option<&Injection>, step: Option<FailedStep>) -> Diagnostic {
    let mut diagnostic = Diagnostic::error(without_prelude(&failure.message), Exit::Failed);
    // Engines of before 2021 do not say which step an error is about; the screen saw it fail.
    let vertex = failure.vertex.clone().or_else(|| step.as_ref().map(|step| step.id.clone()));
    if let Some(step) = step.filter(|step| !step.tail.is_empty()) {
        diagnostic = diagnostic.tail("the end of its output:", step.tail);
    }
    let of_vertex = vertex.as_deref().zip(injection).and_then(|(vertex, injection)| injection.lines(vertex));
    if let Some(lines) = of_vertex {
        return diagnostic.excerpt(excerpt(lines, "this step failed"));
    }
    // The same range comes once for every layer of BuildKit that added to the error.
    if let Some(source) = failure.sources.first() {
        let text = String::from_utf8_lossy(&source.text).into_owned();
        if let Some(range) = source.ranges.first().filter(|range| range.first > 0) {
            let lines: Vec<String> =
                text.lines().skip(range.first - 1).take(range.last - range.first + 1).map(str::to_owned).collect();
            let lines = SourceLines { file: source.file.clone(), first: range.first, last: range.last, text: lines };
            diagnostic = diagnostic.excerpt(excerpt(&lines, "here"));
        }
    } else if let Some(line) = parse_error_line(&failure.message) {
        diagnostic = diagnostic.note(format!("Dockerfile:{line}"));
    }
    match failure.kind {
        FailureKind::Denied => diagnostic.help("`docker login` stores credentials that pbuild uses, too"),
        // Git's words when a server asks who it is, of what the engine itself fetches; a step of the user's has ended above.
        _ if failure.message.contains("could not read Username for") => diagnostic
            .help("a private repository needs a token: --secret id=GIT_AUTH_TOKEN; BuildKit gives it to no submodule"),
        _ => diagnostic,
    }
}

/// Takes the prelude that engines without secret environments run before a command out of an error that quotes both.
///
/// People wrote the command alone; the prelude ends in `exec "$@" sh` and the command follows.
#[must_use]
pub fn without_prelude(message: &str) -> String {
    let (start, end) = ("[/bin/sh -c ", "exec \"$@\" sh ");
    match (message.find(start), message.find(end)) {
        (Some(from), Some(to)) if message[from..to.max(from)].contains("/run/pbuild/") => {
            format!("{}[{}", &message[..from], &message[to + end.len()..])
        }
        _ => message.to_owned(),
    }
}

/// Engines without source details put the line into the text: `dockerfile parse error line 3: …`.
fn parse_error_line(message: &str) -> Option<usize> {
    let (_, rest) = message.split_once("parse error ")?;
    let digits = rest.trim_start_matches("on ").strip_prefix("line ")?;
    digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The lines with their first word marked.
#[must_use]
pub fn excerpt(lines: &SourceLines, label: &str) -> Excerpt {
    Excerpt {
        file: lines.file.clone(),
        first: lines.first,
        lines: lines.text.clone(),
        mark: Mark::default(),
        label: label.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_an_old_engine_quotes_the_users_command_alone() {
        let message = "executor failed running [/bin/sh -c A=\nread -r x </run/pbuild/A\nexec \"$@\" sh /bin/sh -c make]: exit code: 2";
        assert_eq!(without_prelude(message), "executor failed running [/bin/sh -c make]: exit code: 2");
        for other in ["executor failed running [/bin/sh -c make]", "exec \"$@\" sh then [/bin/sh -c x", ""] {
            assert_eq!(without_prelude(other), other);
        }
    }

    #[test]
    fn the_line_is_read_from_the_words_of_old_engines() {
        assert_eq!(parse_error_line("dockerfile parse error line 3: unknown instruction: RUNN"), Some(3));
        assert_eq!(parse_error_line("failed to solve: dockerfile parse error on line 12: x"), Some(12));
        assert_eq!(parse_error_line("something else on line 3"), None);
    }
}
