//! Image names as docker accepts them after `-t`.

use std::fmt;
use std::sync::LazyLock;

use pengine::named_host;
use regex::Regex;

/// A name that an image can be tagged with: repository and tag, never a digest.
///
/// The grammar is that of the distribution project's `reference` package: an optional registry host, lower-case path
/// components, and a tag of at most 128 characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImageName {
    repository: String,
    tag: String,
}

/// Why a text is not an image name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum ImageNameError {
    /// The text does not follow the grammar.
    #[error("invalid tag {0:?}: invalid reference format")]
    Format(String),
    /// The repository has a capital letter, the commonest slip.
    #[error("invalid tag {0:?}: repository name must be lowercase")]
    Uppercase(String),
}

static NAME: LazyLock<Regex> = LazyLock::new(|| {
    let alphanumeric = "[a-z0-9]+";
    let component = format!(r"{alphanumeric}(?:(?:\.|_|__|-+){alphanumeric})*");
    let label = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])";
    let host = format!(r"(?:{label}(?:\.{label})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?");
    let pattern = format!(r"^((?:{host}/)?{component}(?:/{component})*)(?::([A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}}))?$");
    Regex::new(&pattern).expect("the pattern is a constant")
});

/// Docker Hub, as names of images call it.
const HUB: &str = "docker.io";
/// All the names of Docker Hub.
const IS_HUB: [&str; 3] = [HUB, "index.docker.io", "registry-1.docker.io"];

impl ImageName {
    /// Parses `REPOSITORY[:TAG]`; the tag is `latest` when there is none.
    ///
    /// # Errors
    /// When the text does not follow the grammar; the wording is docker's.
    pub(crate) fn parse(text: &str) -> Result<Self, ImageNameError> {
        let wrong = || ImageNameError::Format(text.to_owned());
        let Some(parts) = NAME.captures(text) else {
            let lower = text.to_lowercase();
            return Err(if NAME.is_match(&lower) { ImageNameError::Uppercase(text.to_owned()) } else { wrong() });
        };
        let repository = parts.get(1).ok_or_else(wrong)?.as_str();
        // 64 hex digits alone are an image ID to every engine.
        if repository.len() > 255 || (repository.len() == 64 && repository.bytes().all(|b| b.is_ascii_hexdigit())) {
            return Err(wrong());
        }
        // Without a dot the first part is no host, and the grammar of hosts was too kind to it.
        let path = named_host(repository).map_or(repository, |host| &repository[host.len()..]);
        if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(ImageNameError::Uppercase(text.to_owned()));
        }
        let tag = parts.get(2).map_or("latest", |tag| tag.as_str());
        Ok(Self { repository: repository.to_owned(), tag: tag.to_owned() })
    }

    /// The registry that the image belongs to: the first part of the name where that is a host, else Docker's own.
    pub(crate) fn registry(&self) -> &str {
        self.host().unwrap_or(HUB)
    }

    /// The image's path in its registry; Docker's own images without an owner are in `library`.
    pub(crate) fn path(&self) -> String {
        let path = match self.host() {
            Some(host) => &self.repository[host.len() + 1..],
            None => self.repository.as_str(),
        };
        if IS_HUB.contains(&self.registry()) && !path.contains('/') {
            format!("library/{path}")
        } else {
            path.to_owned()
        }
    }

    /// The host in front of the path. Without a dot or a port it is no host, unless it is this machine.
    fn host(&self) -> Option<&str> {
        named_host(&self.repository)
    }

    /// The part before the tag, as the user wrote it.
    pub(crate) fn repository(&self) -> &str {
        &self.repository
    }

    /// The name with everything that docker adds in thought: the registry, and for its own images `library`.
    pub(crate) fn whole(&self) -> String {
        if self.host().is_some() { self.to_string() } else { format!("{HUB}/{}:{}", self.path(), self.tag) }
    }

    /// The tag.
    pub(crate) fn tag(&self) -> &str {
        &self.tag
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.repository, self.tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_tag_is_latest() {
        for (text, repository, tag) in [
            ("shop", "shop", "latest"),
            ("shop:1.4", "shop", "1.4"),
            ("team/shop:1.4_x-y", "team/shop", "1.4_x-y"),
            ("localhost:5000/team/shop", "localhost:5000/team/shop", "latest"),
            ("registry.example/a__b/c-d:v1", "registry.example/a__b/c-d", "v1"),
        ] {
            let name = ImageName::parse(text).expect(text);
            assert_eq!((name.repository(), name.tag()), (repository, tag));
        }
    }

    #[test]
    fn a_whole_name_has_its_registry() {
        for (text, whole) in [
            ("shop", "docker.io/library/shop:latest"),
            ("team/shop:1", "docker.io/team/shop:1"),
            ("localhost/shop", "localhost/shop:latest"),
            ("registry.example:5000/a/b:2", "registry.example:5000/a/b:2"),
        ] {
            assert_eq!(ImageName::parse(text).expect(text).whole(), whole);
        }
    }

    #[test]
    fn a_name_says_its_registry() {
        for (name, host) in [
            ("shop", "docker.io"),
            ("team/shop:1", "docker.io"),
            ("r.example:5000/a/b:2", "r.example:5000"),
            ("localhost/shop", "localhost"),
        ] {
            assert_eq!(ImageName::parse(name).unwrap().registry(), host);
        }
    }

    #[test]
    fn what_docker_refuses_is_refused_in_its_words() {
        for text in
            ["", ":1", "a b", "shop:", "shop:1:2", "a//b", "-a", "shop@sha256:00", &"f".repeat(64), "shop:x/y z"]
        {
            assert_eq!(ImageName::parse(text), Err(ImageNameError::Format(text.to_owned())), "{text:?}");
        }
        for text in ["team/Shop:1", "Team/shop:1"] {
            assert_eq!(ImageName::parse(text), Err(ImageNameError::Uppercase(text.into())));
        }
        assert!(ImageName::parse("Registry.example/shop").is_ok(), "a host may have capital letters");
    }
}
