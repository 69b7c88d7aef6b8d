//! The names of an audit's source.

use std::path::{Path, PathBuf};

use crate::command::audit::AuditArguments;

/// The source of an audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// An image of the engine, by name or ID.
    Engine(String),
    /// An archive; `-` is standard input.
    Archive(PathBuf),
    /// A folder with an OCI layout, and the name of one of its images.
    Layout(PathBuf, Option<String>),
    /// An image of a registry.
    Registry(String),
    /// A folder with files.
    Directory(PathBuf),
}

/// The reasons why the flags and the argument name no source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SourceError {
    /// There is neither an image nor another source.
    #[error("name an image, or an archive with --archive FILE")]
    Nothing,
    /// The prefix is not followed by a path.
    #[error("{0}: names no file")]
    NoFile(String),
    /// The prefix is not followed by the name of an image.
    #[error("{0}: names no image")]
    NoImage(String),
}

/// The prefixes of archives, as skopeo spells them.
const ARCHIVES: [&str; 2] = ["docker-archive:", "oci-archive:"];

impl Source {
    /// Reads the flags and the argument.
    ///
    /// # Errors
    /// Returns a [`SourceError`].
    pub(super) fn parse(arguments: &AuditArguments) -> Result<Self, SourceError> {
        let AuditArguments { image, archive, layout, registry, directory, .. } = arguments;
        if let Some(path) = archive {
            return Ok(Self::Archive(path.clone()));
        }
        if let Some(layout) = layout {
            return Ok(Self::layout(layout));
        }
        if let Some(reference) = registry {
            return Ok(Self::Registry(reference.strip_prefix("docker://").unwrap_or(reference).to_owned()));
        }
        if let Some(path) = directory {
            return Ok(Self::Directory(path.clone()));
        }
        let Some(image) = image else {
            return Err(SourceError::Nothing);
        };
        let source = Self::of_name(image);
        match &source {
            Self::Archive(path) | Self::Directory(path) | Self::Layout(path, _) if path.as_os_str().is_empty() => {
                Err(SourceError::NoFile(image.clone()))
            }
            Self::Engine(name) | Self::Registry(name) if name.is_empty() => Err(SourceError::NoImage(image.clone())),
            Self::Engine(_) | Self::Archive(_) | Self::Layout(..) | Self::Registry(_) | Self::Directory(_) => {
                Ok(source)
            }
        }
    }

    fn of_name(name: &str) -> Self {
        if let Some(reference) = name.strip_prefix("docker://") {
            return Self::Registry(reference.to_owned());
        }
        // `registry:2` is a common image of engines. A tag holds no slash, so a slash makes the text an image of a
        // registry.
        if let Some(reference) = name.strip_prefix("registry:").filter(|rest| rest.contains('/')) {
            return Self::Registry(reference.to_owned());
        }
        if let Some(file) = ARCHIVES.iter().find_map(|prefix| name.strip_prefix(prefix)) {
            return Self::Archive(file.into());
        }
        if let Some(layout) = name.strip_prefix("oci:") {
            return Self::layout(layout);
        }
        if let Some(path) = name.strip_prefix("dir:") {
            return Self::Directory(path.into());
        }
        Self::Engine(name.strip_prefix("docker-daemon:").unwrap_or(name).to_owned())
    }

    /// Reads `DIR[:NAME]`. A folder's name may hold a colon, so a folder that exists is taken whole.
    fn layout(text: &str) -> Self {
        if Path::new(text).is_dir() {
            return Self::Layout(text.into(), None);
        }
        // A digest has its own colon.
        let at = text.find("@sha256:").or_else(|| text.find(':'));
        match at.map(|at| text.split_at(at)) {
            Some((folder, name)) => Self::Layout(folder.into(), Some(name[1..].to_owned())),
            None => Self::Layout(text.into(), None),
        }
    }

    /// Returns the name of the source for a report.
    pub(crate) fn subject(&self) -> String {
        match self {
            Self::Engine(name) | Self::Registry(name) => name.clone(),
            Self::Archive(path) if path == Path::new("-") => "standard input".to_owned(),
            Self::Archive(path) | Self::Directory(path) | Self::Layout(path, None) => path.display().to_string(),
            Self::Layout(path, Some(name)) => format!("{}:{name}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_named_as_skopeo_s_users_know_it() {
        for (name, source) in [
            ("shop:1", Source::Engine("shop:1".into())),
            ("registry:2", Source::Engine("registry:2".into())),
            ("docker-daemon:oci:1", Source::Engine("oci:1".into())),
            ("docker-archive:a.tar", Source::Archive("a.tar".into())),
            ("oci-archive:-", Source::Archive("-".into())),
            ("docker://r.example/shop:1", Source::Registry("r.example/shop:1".into())),
            ("registry:r.example/shop:1", Source::Registry("r.example/shop:1".into())),
            ("oci:absent", Source::Layout("absent".into(), None)),
            ("oci:absent:shop:1", Source::Layout("absent".into(), Some("shop:1".into()))),
            ("oci:absent@sha256:00", Source::Layout("absent".into(), Some("sha256:00".into()))),
            ("dir:/srv", Source::Directory("/srv".into())),
        ] {
            assert_eq!(Source::of_name(name), source, "{name}");
        }
    }

    #[test]
    fn a_folder_s_own_colon_is_no_separator() {
        let folder = tempfile::tempdir().unwrap();
        let odd = folder.path().join("a:b");
        std::fs::create_dir(&odd).unwrap();
        let text = odd.to_str().unwrap();
        assert_eq!(Source::layout(text), Source::Layout(odd.clone(), None));
    }
}
