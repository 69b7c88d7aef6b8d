//! Image names, as docker accepts them after `-t`.

use std::fmt;
use std::sync::LazyLock;

use pengine::named_host;
use regex::Regex;

/// A name that an image can be tagged with: a repository and a tag, without a digest.
///
/// The grammar comes from the `reference` package of the distribution project: an optional registry host, path
/// components in lower case, and a tag of at most 128 characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImageName {
    repository: String,
    tag: String,
}

/// The reasons why a text is not an image name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum ImageNameError {
    /// The text does not follow the grammar.
    #[error("invalid tag {0:?}: invalid reference format")]
    Format(String),
    /// The repository has a capital letter, which is the most common mistake.
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

/// The host of Docker Hub in image names.
const HUB: &str = "docker.io";
/// All host names of Docker Hub.
const IS_HUB: [&str; 3] = [HUB, "index.docker.io", "registry-1.docker.io"];

impl ImageName {
    /// Parses `REPOSITORY[:TAG]`. The tag is `latest` if there is none.
    ///
    /// # Errors
    /// Returns an error if the text does not follow the grammar. The messages are docker's.
    pub(crate) fn parse(text: &str) -> Result<Self, ImageNameError> {
        let wrong = || ImageNameError::Format(text.to_owned());
        let Some(parts) = NAME.captures(text) else {
            let lower = text.to_lowercase();
            return Err(if NAME.is_match(&lower) { ImageNameError::Uppercase(text.to_owned()) } else { wrong() });
        };
        let repository = parts.get(1).ok_or_else(wrong)?.as_str();
        // Every engine takes a name of 64 hex digits for an image ID.
        if repository.len() > 255 || (repository.len() == 64 && repository.bytes().all(|b| b.is_ascii_hexdigit())) {
            return Err(wrong());
        }
        // The pattern accepts capital letters in the first part, as in a host. If that part is not a host, capital
        // letters are not allowed in it.
        let path = named_host(repository).map_or(repository, |host| &repository[host.len()..]);
        if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(ImageNameError::Uppercase(text.to_owned()));
        }
        let tag = parts.get(2).map_or("latest", |tag| tag.as_str());
        Ok(Self { repository: repository.to_owned(), tag: tag.to_owned() })
    }

    /// Returns the host of the image's registry: the first part of the name if that part is a host, or else Docker
    /// Hub.
    pub(crate) fn registry(&self) -> &str {
        self.host().unwrap_or(HUB)
    }

    /// Returns the image's path in its registry. Images of Docker Hub without an owner are in `library`.
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

    /// Returns the host at the beginning of the name. The first part is a host if it has a dot or a port, or if it is
    /// `localhost`.
    fn host(&self) -> Option<&str> {
        named_host(&self.repository)
    }

    /// Returns the part before the tag, as the user wrote it.
    pub(crate) fn repository(&self) -> &str {
        &self.repository
    }

    /// Returns the complete name, with everything that docker adds: the host of Docker Hub, and `library` for images
    /// without an owner.
    pub(crate) fn whole(&self) -> String {
        if self.host().is_some() { self.to_string() } else { format!("{HUB}/{}:{}", self.path(), self.tag) }
    }

    /// The name with everything that docker adds in thought, but without the tag.
    pub(crate) fn whole_repository(&self) -> String {
        if self.host().is_some() { self.repository.clone() } else { format!("{HUB}/{}", self.path()) }
    }

    /// Returns the tag.
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
