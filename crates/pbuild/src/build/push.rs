//! Pushes a clean image to its registries: the engine sends it, as `docker push` does, with docker's credentials.

use std::collections::HashMap;

use bollard::auth::DockerCredentials;
use bollard::errors::Error;
use bollard::query_parameters::PushImageOptions;
use futures::StreamExt as _;
use pengine::{Engine, Environment, Registries};

use crate::audit::Audited;
use crate::edge::{Edge, Failure};
use crate::plan::ImageName;

/// The number of attempts at a push whose connection breaks. Parts that have arrived are not sent again.
const ATTEMPTS: usize = 2;

/// The push of a clean image to the registries of its names. The credentials of each registry are read once.
#[derive(Debug)]
pub(crate) struct Push<'a> {
    engine: &'a Engine,
    edge: &'a Edge,
    image: &'a Audited,
    registries: Registries,
    logins: HashMap<String, DockerCredentials>,
}

impl<'a> Push<'a> {
    /// Prepares a push by the engine that has the image. Nothing is read or sent yet.
    pub(crate) fn new(engine: &'a Engine, image: &'a Audited, edge: &'a Edge) -> Self {
        let folder = Environment::of_process().docker_folder();
        let registries = Registries::of_docker(folder);
        Self { engine, image, edge, registries, logins: HashMap::new() }
    }

    /// Pushes the image under a name that it has in the engine, and returns the digest of the image in the registry,
    /// if the engine reports it.
    ///
    /// The registry writes the name last, after it has received everything.
    ///
    /// # Errors
    /// Returns an error if the registry or the engine fails or refuses the push. Also returns an error if the engine
    /// sent another image because the name was given to that image in the meantime: an engine pushes names, not
    /// images.
    pub(crate) async fn send(&mut self, name: &ImageName) -> Result<Option<String>, Failure> {
        let host = name.registry().to_owned();
        let credentials = self.login(&host).await?;
        let mut attempt = 1;
        loop {
            let sending = send(self.engine, name, credentials.clone());
            match self.edge.cancellation.unless_cancelled(sending).await? {
                Ok(Some(digest)) if !self.is_ours(&digest).await? => {
                    return Err(PushError::AnotherImage(name.clone()).into());
                }
                Ok(digest) => return Ok(digest),
                Err(problem) if attempt < ATTEMPTS && is_broken_connection(&problem) => {
                    self.edge.stderr.warning(&format!("the push of {name} broke off, and is begun again"));
                    attempt += 1;
                }
                Err(problem) => return Err(refused(name, host, &credentials, problem).into()),
            }
        }
    }

    /// Returns whether a registry's digest belongs to the image that was searched. With the containerd image store,
    /// the digest is the image's ID. With other stores, the engine notes the digest at the image that it pushed
    /// (`RepoDigests`).
    async fn is_ours(&self, digest: &str) -> Result<bool, Failure> {
        if digest == self.image.id() {
            return Ok(true);
        }
        let asking = self.engine.docker().inspect_image(self.image.id());
        let noted = self.edge.cancellation.unless_cancelled(asking).await?;
        let noted = noted.ok().and_then(|image| image.repo_digests).unwrap_or_default();
        Ok(noted.iter().any(|known| known.rsplit_once('@').is_some_and(|(_, known)| known == digest)))
    }

    async fn login(&mut self, host: &str) -> Result<DockerCredentials, Failure> {
        if let Some(known) = self.logins.get(host) {
            return Ok(known.clone());
        }
        let asking = self.registries.login(host);
        let login = self.edge.cancellation.unless_cancelled(asking).await?.map_err(|problem| {
            let problem = problem.to_string();
            PushError::Credentials { host: host.to_owned(), problem }
        })?;
        let credentials = login.into_docker(host);
        self.logins.insert(host.to_owned(), credentials.clone());
        Ok(credentials)
    }
}

fn is_known(credentials: &DockerCredentials) -> bool {
    credentials.identitytoken.is_some() || credentials.password.is_some()
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
        // The last message of a push is `1: digest: sha256:… size: 527`.
        let named = said.status.as_deref().and_then(|status| status.split_once("digest: "));
        let named = named.and_then(|(_, rest)| rest.split(' ').next()).filter(|digest| digest.starts_with("sha256:"));
        digest = named.map(str::to_owned).or(digest);
    }
    Ok(digest)
}

/// Returns whether a second attempt may succeed. If the registry itself decided, it does not.
fn is_broken_connection(problem: &str) -> bool {
    // Go's network library uses these words for a connection that broke or that the other side closed.
    let words = [
        "EOF",
        "connection reset",
        "broken pipe",
        "use of closed network connection",
        "server closed idle connection",
        "connection refused",
        "i/o timeout",
        "TLS handshake timeout",
    ];
    words.iter().any(|word| problem.contains(word))
}

/// The reasons why a registry does not have an image after a push.
#[derive(Debug)]
pub(super) enum PushError {
    /// Docker's credentials for the registry cannot be read.
    Credentials {
        /// The registry.
        host: String,
        /// The problem of the credentials.
        problem: String,
    },
    /// The registry has another image under this name than the one that was searched.
    AnotherImage(ImageName),
    /// The push failed.
    Refused {
        /// The name that was pushed.
        name: ImageName,
        /// The registry.
        host: String,
        /// The first line of the engine's message.
        problem: String,
        /// The kind of the refusal.
        refusal: Refusal,
    },
}

/// The kind of a refusal, read from the engine's message. Depending on its version and on the request that failed,
/// the engine passes on the registry's HTTP status or the registry's own message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Docker has no credentials for this registry, and the registry demands some.
    NoCredentials,
    /// The registry does not accept docker's credentials.
    Access,
    /// The engine does not trust the authority that signed the registry's certificate.
    Certificate,
    /// The registry failed, or has no space left.
    Registry,
    /// Another reason, which only the message itself explains.
    Other,
}

impl Refusal {
    /// Recognises an error by the texts of the registry's errors: distribution specification 1.1, "Error Codes", in
    /// the words of docker's registry (`registry/api/errcode`). That registry reports every failure of its storage as
    /// `unknown error`.
    fn of(problem: &str, has_credentials: bool) -> Self {
        let access = if has_credentials { Self::Access } else { Self::NoCredentials };
        let says = |words: &[&str]| words.iter().any(|word| problem.contains(word));
        if says(&["x509: ", "certificate signed by", "failed to verify certificate"]) {
            return Self::Certificate;
        }
        match http_status(problem) {
            Some(401 | 403) => return access,
            Some(500..) => return Self::Registry,
            _ => {}
        }
        if says(&["unauthorized", "authentication required", "no basic auth", "access to the resource is denied"]) {
            return access;
        }
        let of_its_storage = [
            "unknown error",
            "service unavailable",
            "blob upload invalid",
            "blob upload unknown",
            "blob unknown",
            "provided length did not match",
            "provided digest did not match",
            "no space left",
        ];
        if says(&of_its_storage) {
            return Self::Registry;
        }
        Self::Other
    }
}

/// Finds the HTTP status in an engine's message: `unexpected status code 503`, `HTTP status: 500 Internal …`,
/// `unexpected status from PUT request to https://…: 507 …`.
fn http_status(problem: &str) -> Option<u16> {
    let (_, rest) = problem.split_once("status")?;
    // Only a number that is a whole word counts: a number inside of an address is a port or a part of a name.
    let mut words = rest.split_whitespace().map(|word| word.trim_end_matches([',', ';', '.', ':']));
    words.find_map(|word| word.parse().ok().filter(|status| (400..600).contains(status)))
}

fn refused(name: &ImageName, host: String, credentials: &DockerCredentials, problem: String) -> PushError {
    let problem = problem.lines().next().unwrap_or_default().to_owned();
    let refusal = Refusal::of(&problem, is_known(credentials));
    PushError::Refused { name: name.clone(), host, problem, refusal }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_registry_decided_is_not_asked_again() {
        assert!(is_broken_connection("Put \"https://r/v2/a\": unexpected EOF"));
        assert!(is_broken_connection("write tcp 1->2: write: connection reset by peer"));
        assert!(is_broken_connection("readfrom tcp 1->2: write tcp 1->2: use of closed network connection"));
        assert!(!is_broken_connection("unauthorized: authentication required"));
    }

    #[test]
    fn the_words_of_every_engine_say_what_a_registry_refused() {
        for (problem, refusal) in [
            ("unauthorized: authentication required", Refusal::Access),
            ("no basic auth credentials", Refusal::Access),
            ("denied: requested access to the resource is denied", Refusal::Access),
            (
                "unexpected status from HEAD request to https://r:500/v2/a/blobs/sha256:401: 403 Forbidden",
                Refusal::Access,
            ),
            ("tls: failed to verify certificate: x509: certificate signed by unknown authority", Refusal::Certificate),
            ("error from registry: unknown error", Refusal::Registry),
            ("error from registry: blob upload unknown to registry", Refusal::Registry),
            ("received unexpected HTTP status: 500 Internal Server Error", Refusal::Registry),
            (
                "unexpected status from PUT request to http://127.0.0.1:500/v2/: 507 Insufficient Storage",
                Refusal::Registry,
            ),
            ("blob upload invalid", Refusal::Registry),
            ("tag does not exist: r.example/a500:401", Refusal::Other),
        ] {
            assert_eq!(Refusal::of(problem, true), refusal, "{problem}");
        }
    }
}
