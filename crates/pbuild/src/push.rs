//! An image that is clean goes to its registries: the engine sends it, as `docker push` does, with docker's credentials.

use bollard::auth::DockerCredentials;
use bollard::errors::Error;
use bollard::query_parameters::PushImageOptions;
use futures::StreamExt as _;
use pbuildkit::Registries;
use pcli::{Diagnostic, Exit};
use pengine::{Engine, Environment};

use crate::audit::Audited;
use crate::edge::{Edge, Failure};
use crate::reference::ImageName;

/// How often a push is begun whose connection breaks. What arrived of it is not sent again.
const ATTEMPTS: usize = 2;

/// Docker Hub, as credentials know it.
const HUB: &str = "registry-1.docker.io";

/// Pushes the image under a name that it has in the engine, and returns the digest of what the registry has now, where the
/// engine tells it.
///
/// The registry writes the name last, when it has everything.
///
/// # Errors
/// Why the registry has it not: what it said, or what keeps the engine from it.
pub async fn push(engine: &Engine, _: &Audited, name: &ImageName, edge: &Edge) -> Result<Option<String>, Failure> {
    let host = registry_of(name);
    let folder = Environment::of_process().docker_folder();
    let registries = folder.map_or_else(Registries::anonymous, Registries::of_docker);
    let asking = edge.cancellation.unless_cancelled(registries.login(if host == "docker.io" { HUB } else { &host }));
    let (user, secret) = asking.await?.map_err(|problem| {
        Diagnostic::error(format!("docker's credentials for {host} cannot be read: {problem}"), Exit::Usage)
    })?;
    let known = !secret.is_empty();
    // A secret without a user is a token that the registry's token service takes.
    let credentials = if user.is_empty() {
        DockerCredentials { identitytoken: known.then_some(secret), ..DockerCredentials::default() }
    } else {
        DockerCredentials { username: Some(user), password: Some(secret), ..DockerCredentials::default() }
    };
    let credentials = DockerCredentials { serveraddress: Some(host.clone()), ..credentials };
    let mut attempt = 1;
    loop {
        match edge.cancellation.unless_cancelled(send(engine, name, credentials.clone())).await? {
            Ok(digest) => return Ok(digest),
            Err(problem) if attempt < ATTEMPTS && is_broken_connection(&problem) => {
                edge.stderr.warning(&format!("the push of {name} broke off, and is begun again"));
                attempt += 1;
            }
            Err(problem) => return Err(refused(name, &host, known, &problem).into()),
        }
    }
}

async fn send(engine: &Engine, name: &ImageName, credentials: DockerCredentials) -> Result<Option<String>, String> {
    let options = PushImageOptions { tag: Some(name.tag().to_owned()), ..PushImageOptions::default() };
    let mut news = Box::pin(engine.docker().push_image(name.repository(), Some(options), Some(credentials)));
    let mut digest = None;
    while let Some(said) = news.next().await {
        let said = said.map_err(|error| match error {
            Error::DockerStreamError { error } => error,
            Error::DockerResponseServerError { message, .. } => message,
            error => error.to_string(),
        })?;
        // `1: digest: sha256:… size: 527` is the last word.
        let told = said.status.as_deref().and_then(|status| status.split_once("digest: "));
        let told = told.and_then(|(_, rest)| rest.split(' ').next()).filter(|digest| digest.starts_with("sha256:"));
        digest = told.map(str::to_owned).or(digest);
    }
    Ok(digest)
}

/// The host that a name is pushed to.
fn registry_of(name: &ImageName) -> String {
    let whole = name.whole();
    whole.split_once('/').map_or_else(|| whole.clone(), |(host, _)| host.to_owned())
}

/// Whether it may go well when it is tried again. What a registry decided stays as it is.
fn is_broken_connection(problem: &str) -> bool {
    let words =
        ["EOF", "connection reset", "broken pipe", "connection refused", "i/o timeout", "TLS handshake timeout"];
    words.iter().any(|word| problem.contains(word))
}

fn refused(name: &ImageName, host: &str, known: bool, problem: &str) -> Diagnostic {
    let diagnostic = Diagnostic::error(format!("failed to push {name}"), Exit::Failed)
        .note(problem.lines().next().unwrap_or_default().to_owned())
        .note("the image is clean and in the engine's store; the registry has no such name from this build");
    let says = |words: &[&str]| words.iter().any(|word| problem.contains(word));
    if says(&["unauthorized", "authentication required", "no basic auth", "denied", "401", "403"]) {
        let what = if known {
            "renews docker's credentials, which are not accepted"
        } else {
            "keeps credentials where pbuild finds them"
        };
        return diagnostic.help(format!("`docker login {host}` {what}"));
    }
    if says(&["x509", "certificate"]) {
        return diagnostic.help(format!(
            "put the registry's own authority into /etc/docker/certs.d/{host}/ca.crt on the engine's machine"
        ));
    }
    if says(&["no space left", "500", "insufficient storage", "507", "blob upload invalid"]) {
        return diagnostic
            .help("the registry failed, perhaps for want of space; what arrived of the image is not sent again");
    }
    diagnostic
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_its_registry() {
        for (name, host) in [
            ("shop", "docker.io"),
            ("team/shop:1", "docker.io"),
            ("r.example:5000/a/b:2", "r.example:5000"),
            ("localhost/shop", "localhost"),
        ] {
            assert_eq!(registry_of(&ImageName::parse(name).unwrap()), host);
        }
    }

    #[test]
    fn what_a_registry_decided_is_not_asked_again() {
        assert!(is_broken_connection("Put \"https://r/v2/a\": unexpected EOF"));
        assert!(is_broken_connection("write tcp 1->2: write: connection reset by peer"));
        assert!(!is_broken_connection("unauthorized: authentication required"));
    }
}
