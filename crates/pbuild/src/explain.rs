//! From what went wrong in a library to what a person can do about it: one match for each kind of error.

use pbuildkit::{BuildError, BuildFailure, BuildkitError, FailureKind};
use pengine::EngineError;
use pllb::SourceLines;
use pscreen::progress::FailedStep;
use pscreen::{Diagnostic, Excerpt, Exit, Mark};

use crate::build::guard::GuardError;
use crate::build::injection::{Injection, InjectionError};
use crate::plan::PlanError;
use crate::plan::cache::CacheError;
use crate::plan::ssh::SshError;
use crate::plan::step_options::StepOptionError;

/// A command that cannot be carried out as given.
#[must_use]
pub fn plan(error: &PlanError) -> Diagnostic {
    let diagnostic = Diagnostic::from_error(error, Exit::Usage);
    match error {
        PlanError::ContextMissing { .. } | PlanError::ContextNotDirectory { .. } => {
            diagnostic.help("name the directory that holds the files to copy, for example `pbuild build .`")
        }
        PlanError::InputTwice => {
            diagnostic.help("put the Dockerfile into the archive, or name a directory as the context")
        }
        PlanError::InputEmpty => diagnostic
            .help("write a Dockerfile to it, or an archive, or build a directory, for example `pbuild build .`"),
        PlanError::DockerfileTwice { .. } => {
            diagnostic.help("leave -f out, or name a context that is no standard input")
        }
        PlanError::Step(StepOptionError::ContextKind { .. }) => {
            diagnostic.help("a target of a bake file is known to `docker buildx bake` alone")
        }
        PlanError::DockerfileMissing { .. } => diagnostic.help("name the Dockerfile with -f FILE"),
        PlanError::Network { .. } => diagnostic.help("use --add-host to reach a service by name"),
        PlanError::DockerfileUnreadable { .. }
        | PlanError::Tag(_)
        | PlanError::BuildArgument
        | PlanError::Input { .. }
        | PlanError::Step(_)
        | PlanError::Label
        | PlanError::ExtraHost { .. } => diagnostic,
    }
}

/// An agent that is none.
#[must_use]
pub fn ssh(error: &SshError) -> Diagnostic {
    let diagnostic = Diagnostic::from_error(error, Exit::Usage);
    match error {
        SshError::NoAgent { .. } => {
            diagnostic.help("start one: `eval $(ssh-agent) && ssh-add`, or name its socket or a key: --ssh ID=PATH")
        }
        SshError::Start { .. } => diagnostic.help("keys need OpenSSH's ssh-agent and ssh-add on this machine"),
        SshError::Key { id, said, .. } => diagnostic.note(said.clone()).help(format!(
            "a key with a passphrase is asked for at a terminal; elsewhere put it into an agent first: `ssh-add KEY`, then --ssh {id}"
        )),
        SshError::Neither { .. } | SshError::Twice { .. } => diagnostic,
    }
}

/// An engine that could not be reached.
#[must_use]
pub fn engine(error: &EngineError) -> Diagnostic {
    let exit = match error {
        EngineError::ReadConfiguration { .. }
        | EngineError::BrokenConfiguration { .. }
        | EngineError::ContextMissing { .. }
        | EngineError::Address { .. }
        | EngineError::Certificate { .. }
        | EngineError::UncheckedTls { .. }
        | EngineError::BuilderMissing { .. }
        | EngineError::BuilderUnsupported { .. }
        | EngineError::Plaintext { .. } => Exit::Usage,
        _ => Exit::EngineUnreachable,
    };
    let diagnostic = Diagnostic::from_error(error, exit);
    match error {
        EngineError::Unreachable { .. } => {
            diagnostic.help("start Docker, or name another engine with DOCKER_HOST or `docker context use`")
        }
        EngineError::NoBuilder { .. } => {
            diagnostic.help("start the builder, or choose another with --builder or `docker buildx use`")
        }
        EngineError::BuilderMissing { .. } => diagnostic.help("`docker buildx ls` lists the builders that exist"),
        EngineError::BuilderUnsupported { .. } => diagnostic.help(
            "choose another with --builder: one of the drivers docker, docker-container or remote, or an address",
        ),
        EngineError::BuilderStopped { name, .. } => {
            diagnostic.help(format!("`docker buildx inspect --bootstrap {name}` starts it"))
        }
        EngineError::Permission { .. } => diagnostic
            .help("add yourself to the group that owns the socket (usually `docker`) and log in again, or use sudo"),
        EngineError::Silent { .. } | EngineError::NotAnEngine { .. } => {
            diagnostic.help("check DOCKER_HOST and the docker context, or restart the engine")
        }
        EngineError::Tls { .. } => diagnostic.help(
            "the engine's certificate must be of the authority in `ca`, and the engine must trust that of `cert` \
             (docker context, or DOCKER_CERT_PATH)",
        ),
        EngineError::Ssh { .. } => diagnostic.help("see what `ssh HOST docker version` says"),
        EngineError::TooOld { .. } => diagnostic.help("Docker 20.10 or newer has what pbuild needs"),
        EngineError::Address { .. } => diagnostic.help("write unix:///path, tcp://host:port or ssh://user@host"),
        EngineError::ContextMissing { .. } => diagnostic.help("`docker context ls` lists the contexts that exist"),
        _ => diagnostic,
    }
}

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

/// A cache that cannot be read or written.
#[must_use]
pub fn cache(error: &CacheError) -> Diagnostic {
    let diagnostic = Diagnostic::from_error(error, Exit::Usage);
    match error {
        CacheError::Unsearched { .. } => diagnostic
            .note("BuildKit writes there what it knows under the keys of the steps, and not what the search looked at")
            .help("--cache-to type=inline goes with the image: push that, and read it with --cache-from"),
        _ => diagnostic,
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
    }
}

/// BuildKit could not be spoken with.
#[must_use]
pub fn buildkit(error: &BuildkitError) -> Diagnostic {
    match error {
        BuildkitError::Engine(EngineError::UpgradeRefused { .. }) => Diagnostic::from_error(error, Exit::Failed)
            .note("the engine has no BuildKit, or does not let clients reach it")
            .help("Docker 20.10 or newer has it"),
        BuildkitError::Podman { .. } => Diagnostic::from_error(error, Exit::Failed)
            .note("Podman builds with Buildah, which gives no step a secret as a variable and lets nobody search before the tag")
            .help("name a Docker Engine with DOCKER_HOST or `docker context use`; `pbuild audit` works with Podman's images"),
        BuildkitError::Engine(error) => engine(error),
        BuildkitError::NoAnswer { .. } => Diagnostic::from_error(error, Exit::EngineUnreachable)
            .help("check its address and its certificates; `docker buildx inspect` shows them"),
        BuildkitError::Lost { .. } => Diagnostic::from_error(error, Exit::Failed)
            .note("the state of the build is unknown; no image was tagged, and none is proven"),
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
