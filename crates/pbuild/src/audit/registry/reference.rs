//! The names of images in registries.

use std::fmt;
use std::net::IpAddr;

use pimage::Digest;

use crate::plan::{ImageName, ImageNameError};

/// The host that serves Docker Hub's images.
const HUB_HOST: &str = "registry-1.docker.io";

/// `HOST/NAME[:TAG][@DIGEST]`, with docker's defaults for missing parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImageReference {
    text: String,
    host: String,
    repository: String,
    tag: String,
    digest: Option<Digest>,
}

/// The reasons why a text is not a reference.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReferenceError {
    /// The part before the digest is not the name of an image.
    #[error(transparent)]
    Name(#[from] ImageNameError),
    /// The digest is not valid.
    #[error("the digest is not sha256: and 64 hex digits")]
    Digest,
}

impl ImageReference {
    /// Parses a reference as docker does.
    ///
    /// # Errors
    /// Returns a [`ReferenceError`].
    pub(crate) fn parse(text: &str) -> Result<Self, ReferenceError> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(Digest::parse(digest).ok_or(ReferenceError::Digest)?)),
            None => (text, None),
        };
        let name = ImageName::parse(name)?;
        let host = match name.registry() {
            "docker.io" | "index.docker.io" => HUB_HOST,
            host => host,
        };
        let (host, repository, tag) = (host.to_owned(), name.path(), name.tag().to_owned());
        Ok(Self { text: text.to_owned(), host, repository, tag, digest })
    }

    /// Returns the host and the port. Docker keeps credentials and certificates under this name.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Returns the image's name in the registry.
    pub(crate) fn repository(&self) -> &str {
        &self.repository
    }

    /// Returns the version to request from the registry: the digest, or else the tag.
    pub(crate) fn version(&self) -> &str {
        self.digest.as_ref().map_or(&self.tag, Digest::as_str)
    }

    /// Returns the digest that the name demands, if any.
    pub(crate) fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Returns whether the registry is on this machine. As in docker, such a registry may be used without TLS.
    pub(crate) fn is_loopback(&self) -> bool {
        let end = if self.host.ends_with(']') { None } else { self.host.rfind(':') };
        let host = &self.host[..end.unwrap_or(self.host.len())];
        let host = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_docker_reads_them() {
        for (text, host, repository, version) in [
            ("debian", HUB_HOST, "library/debian", "latest"),
            ("me/shop:1", HUB_HOST, "me/shop", "1"),
            ("docker.io/debian:12", HUB_HOST, "library/debian", "12"),
            ("localhost:5000/shop", "localhost:5000", "shop", "latest"),
            ("r.example/a/b:2", "r.example", "a/b", "2"),
            ("127.0.0.1:5000/shop:1", "127.0.0.1:5000", "shop", "1"),
        ] {
            let reference = ImageReference::parse(text).unwrap();
            assert_eq!(
                (reference.host(), reference.repository(), reference.version()),
                (host, repository, version),
                "{text}"
            );
        }
        let digest = format!("sha256:{}", "a".repeat(64));
        assert_eq!(ImageReference::parse(&format!("r.example/a:1@{digest}")).unwrap().version(), digest);
        for wrong in
            ["", "r.example/UPPER", "UPPER/case", "r.example/a@sha256:00", "r.example/a:", "http://r.example/a"]
        {
            assert!(ImageReference::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_this_machine_may_speak_without_tls() {
        for (text, loopback) in [
            ("localhost:5000/a", true),
            ("127.0.0.1:5000/a", true),
            ("127.8.8.8:5000/a", true),
            ("[::1]:5000/a", true),
            ("[::1]/a", true),
            ("localhost.example:5000/a", false),
            ("10.0.0.1:5000/a", false),
            ("r.example/a", false),
        ] {
            assert_eq!(ImageReference::parse(text).unwrap().is_loopback(), loopback, "{text}");
        }
    }
}
