//! Names of images in registries.

use std::fmt;
use std::net::IpAddr;

use pimage::Digest;

use crate::plan::image_name::ImageName;

const HUB: &str = "docker.io";
const HUB_HOST: &str = "registry-1.docker.io";

/// `HOST/NAME[:TAG][@DIGEST]`, with docker's defaults for what is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    text: String,
    host: String,
    repository: String,
    tag: String,
    digest: Option<Digest>,
}

impl Reference {
    /// Parses a reference as docker does: a first part with a dot, a colon or `localhost` is a host.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => {
                let digest = Digest::parse(digest).ok_or("the digest is not sha256: and 64 hex digits")?;
                (name, Some(digest))
            }
            None => (text, None),
        };
        // The grammar of names is that of `-t`.
        ImageName::parse(name).map_err(|error| error.to_string())?;
        let (host, path) = match name.split_once('/') {
            Some((host, path)) if host == "localhost" || host.contains(['.', ':']) => (host, path),
            _ => (HUB, name),
        };
        // Without a dot it is no host, and the grammar of hosts was too kind to it.
        if path.split(':').next().is_some_and(|repository| repository.bytes().any(|byte| byte.is_ascii_uppercase())) {
            return Err("repository name must be lowercase".to_owned());
        }
        let (repository, tag) = path.rsplit_once(':').unwrap_or((path, "latest"));
        let (host, repository) = match host {
            HUB | "index.docker.io" | HUB_HOST if repository.contains('/') => (HUB_HOST, repository.to_owned()),
            HUB | "index.docker.io" | HUB_HOST => (HUB_HOST, format!("library/{repository}")),
            host => (host, repository.to_owned()),
        };
        Ok(Self { text: text.to_owned(), host: host.to_owned(), repository, tag: tag.to_owned(), digest })
    }

    /// Host and port, as docker keeps credentials and certificates by it.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The image's name in the registry.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// What the registry is asked for: the digest, else the tag.
    #[must_use]
    pub fn version(&self) -> &str {
        self.digest.as_ref().map_or(&self.tag, Digest::as_str)
    }

    /// The digest that the name demands.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Whether the registry is this machine: as for docker, it may then speak without TLS.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let end = if self.host.ends_with(']') { None } else { self.host.rfind(':') };
        let host = &self.host[..end.unwrap_or(self.host.len())];
        let host = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for Reference {
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
            let reference = Reference::parse(text).unwrap();
            assert_eq!(
                (reference.host(), reference.repository(), reference.version()),
                (host, repository, version),
                "{text}"
            );
        }
        let digest = format!("sha256:{}", "a".repeat(64));
        assert_eq!(Reference::parse(&format!("r.example/a:1@{digest}")).unwrap().version(), digest);
        for wrong in
            ["", "r.example/UPPER", "UPPER/case", "r.example/a@sha256:00", "r.example/a:", "http://r.example/a"]
        {
            assert!(Reference::parse(wrong).is_err(), "{wrong}");
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
            assert_eq!(Reference::parse(text).unwrap().is_loopback(), loopback, "{text}");
        }
    }
}
