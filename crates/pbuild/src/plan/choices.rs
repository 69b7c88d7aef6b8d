//! The choices about how a build runs. They change neither its recipe nor its result.

use std::path::PathBuf;

use pscreen::progress::ProgressMode;

use crate::command::build::{self as flags, AuditBase, BuildArguments};

/// Whether an unencrypted connection to an engine is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tls {
    /// The user demands encryption (`--require-tls`).
    Required,
    /// Plain TCP only leads to a warning.
    Optional,
}

impl Tls {
    /// Reads `--require-tls`.
    pub(crate) fn of_flag(required: bool) -> Self {
        if required { Self::Required } else { Self::Optional }
    }
}

/// How much of the base image is searched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum BaseSearch {
    /// The files that a container of the base would see. They are searched in the builder.
    #[default]
    Merged,
    /// Every layer of the base. The built image is exported, and the whole export is searched.
    Full,
}

/// What happens to the cache records of a leaking build.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LeakedCache {
    /// The cache records are removed.
    #[default]
    Removed,
    /// The cache records stay, so that the user can examine them (`--keep-leaked-cache`).
    Kept,
}

/// The files that describe the result of a build.
#[derive(Clone, Debug, Default)]
pub(crate) struct ResultFiles {
    /// The file of `--iidfile`.
    pub(crate) image_id: Option<PathBuf>,
    /// The file of `--metadata-file`.
    pub(crate) metadata: Option<PathBuf>,
}

/// The builder, and the one of its nodes, that the flags name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BuilderName {
    /// The builder; `None` for the one that docker uses.
    pub(crate) builder: Option<String>,
    /// The node; `None` for all of them.
    pub(crate) node: Option<String>,
}

/// All choices about how a build runs.
#[derive(Clone, Debug)]
pub(crate) struct Choices {
    base: BaseSearch,
    leaked_cache: LeakedCache,
    allowed_context_leaks: Vec<String>,
    allowed_frontends: Vec<String>,
    files: ResultFiles,
    show: ProgressMode,
    /// Whether standard output gets the image's ID.
    prints_id: bool,
}

/// The mistakes in the choice of the progress.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProgressError {
    /// `BUILDKIT_PROGRESS` holds an unknown word.
    #[error("invalid BUILDKIT_PROGRESS {0:?}: write auto, plain, tty, rawjson or quiet")]
    Variable(String),
    /// `--quiet` is given with a `--progress` that shows something.
    #[error("--progress shows what --quiet hides: leave one of them out")]
    Quiet,
}

impl Choices {
    /// Reads the flags. As in docker's client, `BUILDKIT_PROGRESS` is used if there is no flag.
    ///
    /// # Errors
    /// Returns a [`ProgressError`].
    pub(super) fn parse(
        arguments: &BuildArguments,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ProgressError> {
        let word = environment("BUILDKIT_PROGRESS").filter(|word| !word.is_empty());
        let mode = match (arguments.progress, word) {
            (Some(mode), _) => mode,
            (None, Some(word)) => flags::ProgressMode::of_word(&word).ok_or(ProgressError::Variable(word))?,
            (None, None) => flags::ProgressMode::Auto,
        };
        let shown = [flags::ProgressMode::Plain, flags::ProgressMode::Tty, flags::ProgressMode::Rawjson];
        if arguments.quiet && arguments.progress.is_some_and(|mode| shown.contains(&mode)) {
            return Err(ProgressError::Quiet);
        }
        let show = match mode {
            _ if arguments.quiet => ProgressMode::Quiet,
            flags::ProgressMode::Auto => ProgressMode::Auto,
            flags::ProgressMode::Plain => ProgressMode::Plain,
            flags::ProgressMode::Tty => ProgressMode::Tty,
            flags::ProgressMode::Rawjson => ProgressMode::RawJson,
            flags::ProgressMode::Quiet | flags::ProgressMode::None => ProgressMode::Quiet,
        };
        Ok(Self {
            base: match arguments.search.audit_base {
                AuditBase::Merged => BaseSearch::Merged,
                AuditBase::Full => BaseSearch::Full,
            },
            leaked_cache: if arguments.search.keep_leaked_cache { LeakedCache::Kept } else { LeakedCache::Removed },
            allowed_context_leaks: arguments.search.allow_context_leak.clone(),
            allowed_frontends: arguments.search.allow_frontend.clone(),
            files: ResultFiles { image_id: arguments.iidfile.clone(), metadata: arguments.metadata_file.clone() },
            show,
            prints_id: arguments.quiet || arguments.progress == Some(flags::ProgressMode::Quiet),
        })
    }

    /// Returns how much of the base image is searched.
    pub(crate) fn base(&self) -> BaseSearch {
        self.base
    }

    /// Returns what happens to the cache records of a leaking build.
    pub(crate) fn leaked_cache(&self) -> LeakedCache {
        self.leaked_cache
    }

    /// Returns the names of the secrets that files of the context may hold.
    pub(crate) fn allowed_context_leaks(&self) -> &[String] {
        &self.allowed_context_leaks
    }

    /// Returns whether the user allows this frontend image to have the secrets.
    pub(crate) fn allows_frontend(&self, image: &str) -> bool {
        self.allowed_frontends.iter().any(|allowed| allowed == image)
    }

    /// Returns the files that describe the result of the build.
    pub(crate) fn files(&self) -> &ResultFiles {
        &self.files
    }

    /// Returns whether standard output gets the image's ID.
    pub(crate) fn prints_id(&self) -> bool {
        self.prints_id
    }

    /// Returns how progress is shown.
    pub(crate) fn show(&self) -> ProgressMode {
        self.show
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_stands_where_no_flag_does() {
        let show = |arguments: &BuildArguments, word: &str| {
            Choices::parse(arguments, |name| (name == "BUILDKIT_PROGRESS").then(|| word.to_owned()))
                .map(|choices| choices.show())
        };
        let none = BuildArguments::default();
        assert_eq!(show(&none, ""), Ok(ProgressMode::Auto));
        assert_eq!(show(&none, "none"), Ok(ProgressMode::Quiet));
        assert_eq!(show(&none, "loud"), Err(ProgressError::Variable("loud".to_owned())));
        let plain = BuildArguments { progress: Some(flags::ProgressMode::Plain), ..BuildArguments::default() };
        assert_eq!(show(&plain, "tty"), Ok(ProgressMode::Plain));
        let quiet = BuildArguments { quiet: true, ..BuildArguments::default() };
        assert_eq!(show(&quiet, "tty"), Ok(ProgressMode::Quiet));
        for (progress, expected) in [
            (flags::ProgressMode::Quiet, Ok(ProgressMode::Quiet)),
            (flags::ProgressMode::Auto, Ok(ProgressMode::Quiet)),
            (flags::ProgressMode::Plain, Err(ProgressError::Quiet)),
        ] {
            assert_eq!(show(&BuildArguments { progress: Some(progress), ..quiet.clone() }, ""), expected);
        }
    }
}
