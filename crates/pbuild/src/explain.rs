//! From what went wrong in a library to what a person can do about it: one match for each kind of error.

use pbuildkit::BuildkitError;
use pengine::EngineError;
use pscreen::{Diagnostic, Exit};

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
