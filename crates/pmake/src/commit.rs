//! The origin of a program, for `--version`.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A commit, with its whole digest and the day on which it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The digest in hex digits.
    pub digest: String,
    /// The day in UTC, such as `2026-11-30`.
    pub day: String,
    /// True if files that git tracks have changed since the commit.
    pub changed: bool,
}

impl Commit {
    /// Asks git for the commit of a checkout. Returns `None` if there is no git or no repository, or if the folder is
    /// not the root of the repository, because it then lies inside of another project.
    #[must_use]
    pub fn of(root: &Path) -> Option<Self> {
        let top = PathBuf::from(git(root, &["rev-parse", "--show-toplevel"])?);
        if top.canonicalize().ok()? != root.canonicalize().ok()? {
            return None;
        }
        let said = git(root, &["show", "--no-patch", "--no-show-signature", "--format=%H %ct", "HEAD"])?;
        let (digest, seconds) = said.split_once(' ')?;
        let changed = !git(root, &["status", "--porcelain", "--untracked-files=no"])?.is_empty();
        Some(Self { digest: digest.to_owned(), day: day(seconds.parse().ok()?), changed })
    }

    /// Lists the files that git changes at every checkout of another commit, for `cargo::rerun-if-changed`.
    #[must_use]
    pub fn traces(root: &Path) -> Vec<PathBuf> {
        let path = |name: &str| git(root, &["rev-parse", "--git-path", name]).map(|path| root.join(path));
        ["HEAD", "logs/HEAD"].into_iter().filter_map(path).filter(|path| path.exists()).collect()
    }
}

/// The known origin of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A release build of this commit.
    Commit(Commit),
    /// A release build without git, for example from an unpacked archive. It has the seconds of `SOURCE_DATE_EPOCH`,
    /// if that is set.
    Unknown(Option<u64>),
    /// A build with `debug` settings. It does not name its commit, because the tool would then be compiled again at
    /// each new commit.
    Development,
}

impl Origin {
    /// Returns the version of a program of this origin, as `--version` shows it.
    #[must_use]
    pub fn version(&self, number: &str) -> String {
        match self {
            Self::Commit(Commit { digest, day, changed }) => {
                let short = digest.get(..12).unwrap_or(digest);
                let with = if *changed { ", with changes" } else { "" };
                format!("{number} (commit {short} of {day}{with})")
            }
            Self::Unknown(Some(seconds)) => format!("{number} (commit not known, {})", day(*seconds)),
            Self::Unknown(None) => format!("{number} (commit not known)"),
            Self::Development => format!("{number} (development build)"),
        }
    }
}

fn git(root: &Path, words: &[&str]) -> Option<String> {
    // These variables are removed because a git hook sets them to its own repository.
    let mut git = Command::new("git");
    git.current_dir(root).args(words).env_remove("GIT_DIR").env_remove("GIT_WORK_TREE").env_remove("GIT_INDEX_FILE");
    let output = git.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

/// Returns the day of a time, which is given in seconds since 1970, in UTC.
fn day(seconds: u64) -> String {
    let mut days = seconds / 86_400;
    let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    format!("{year:04}-{:02}-{:02}", month + 1, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_the_day_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01"),
            (86_399, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_735_689_599, "2024-12-31"),
            (4_107_542_400, "2100-03-01"),
        ] {
            assert_eq!(day(seconds), expected);
        }
    }

    #[test]
    fn a_version_names_the_commit_or_says_that_there_is_none() {
        let commit = Commit { digest: "0123456789abcdef".repeat(2), day: "2026-11-30".to_owned(), changed: false };
        let changed = Commit { changed: true, ..commit.clone() };
        for (origin, expected) in [
            (Origin::Commit(commit), "1.2.3 (commit 0123456789ab of 2026-11-30)"),
            (Origin::Commit(changed), "1.2.3 (commit 0123456789ab of 2026-11-30, with changes)"),
            (Origin::Unknown(None), "1.2.3 (commit not known)"),
            (Origin::Unknown(Some(951_782_400)), "1.2.3 (commit not known, 2000-02-29)"),
            (Origin::Development, "1.2.3 (development build)"),
        ] {
            assert_eq!(origin.version("1.2.3"), expected);
        }
    }

    #[test]
    fn a_folder_below_somebody_elses_repository_has_no_commit() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert_eq!(Commit::of(&here.join("src")), None);
    }
}
