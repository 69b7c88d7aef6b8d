//! Decides by docker's ignore rules whether a file of the context is sent.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use pbuildkit::ignore::Matcher;

/// The longest ignore file, in bytes. BuildKit's frontend reads no more of the file.
const LONGEST: usize = 16 << 20;

/// The error about an ignore file that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("failed to read {}", path.display())]
pub(crate) struct IgnoreFileError {
    /// The file.
    path: PathBuf,
    /// The cause.
    source: io::Error,
}

/// The ignore file of a context.
#[derive(Debug)]
pub(crate) struct Coverage {
    /// The ignore file that docker uses: the Dockerfile's own, or else the context's.
    pub(crate) file: PathBuf,
    matcher: Option<Matcher>,
    /// The patterns that start with `!`, which means that their files are sent after all. Each pattern is stored
    /// without the `!`, together with its line.
    exceptions: Vec<(usize, String)>,
}

/// An env file that is sent because of a rule with `!`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SentEnvFile {
    /// The env file.
    pub(crate) path: PathBuf,
    /// The rule's line in the ignore file, from 1.
    pub(crate) line: usize,
    /// The rule's pattern, without its `!`.
    pub(crate) pattern: String,
}

impl Coverage {
    /// Reads the ignore file that docker would use. If there is no such file, nothing is covered. Nothing is covered
    /// either if a pattern is not valid, because docker would refuse the build.
    ///
    /// # Errors
    ///
    /// Returns an error if the ignore file exists and cannot be read.
    pub(crate) fn of(context: &Path, dockerfile: &Path) -> Result<Self, IgnoreFileError> {
        let mut own = dockerfile.as_os_str().to_owned();
        own.push(".dockerignore");
        let file = Some(PathBuf::from(own)).filter(|file| file.exists());
        let file = file.unwrap_or_else(|| context.join(".dockerignore"));
        let text = match super::read(&file, LONGEST) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(IgnoreFileError { path: file, source }),
        };
        let patterns = patterns(&text);
        let exceptions = patterns
            .iter()
            .filter_map(|(line, pattern)| Some((*line, pattern.strip_prefix('!')?.to_owned())))
            .collect();
        let patterns: Vec<String> = patterns.into_iter().map(|(_, pattern)| pattern).collect();
        let matcher = Matcher::new(&patterns).ok().filter(|_| !patterns.is_empty());
        Ok(Self { file, matcher, exceptions })
    }

    /// Lists the env files of a folder that are sent because of a rule with `!`.
    pub(crate) fn sent_by_a_rule(&self, folder: &Path) -> Vec<SentEnvFile> {
        let sent = env_files(folder).into_iter().filter(|path| !self.covers(path));
        sent.filter_map(|path| {
            let name = path.as_os_str().as_encoded_bytes().to_owned();
            let names = |pattern: &String| {
                Matcher::new(std::slice::from_ref(pattern)).is_ok_and(|matcher| matcher.matches(&name))
            };
            let (line, pattern) = self.exceptions.iter().rev().find(|(_, pattern)| names(pattern))?.clone();
            Some(SentEnvFile { path, line, pattern })
        })
        .collect()
    }

    /// Returns whether a path, relative to the context, is not sent.
    pub(crate) fn covers(&self, path: &Path) -> bool {
        self.matcher.as_ref().is_some_and(|matcher| matcher.matches(path.as_os_str().as_encoded_bytes()))
    }

    /// Adds lines to the end of the ignore file.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read or written.
    pub(crate) fn add(&self, lines: &[String]) -> io::Result<()> {
        let mut text = match super::read(&self.file, LONGEST) {
            Ok(bytes) => String::from_utf8(bytes).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        for line in lines {
            text.push_str(line);
            text.push('\n');
        }
        fs::write(&self.file, text)
    }
}

/// Reads the patterns of an ignore file (moby `patternmatcher/ignorefile`). Comments begin in the first column, a
/// byte order mark may come first, and a leading `/` is dropped.
fn patterns(text: &str) -> Vec<(usize, String)> {
    let lines = text.strip_prefix('\u{feff}').unwrap_or(text).lines().zip(1..);
    let lines = lines.filter(|(line, _)| !line.starts_with('#')).map(|(line, number)| (number, line.trim()));
    lines
        .filter(|(_, line)| !line.is_empty())
        .map(|(number, line)| match line.strip_prefix('!') {
            Some(rest) => (number, format!("!{}", rest.trim().trim_start_matches('/'))),
            None => (number, line.trim_start_matches('/').to_owned()),
        })
        .filter(|(_, line)| !line.is_empty())
        .collect()
}

/// Lists the env files of a folder that may hold values. Examples and templates are left out.
///
/// Only the folder itself is listed. For deeper folders, the guard of the context compares every file that the build
/// sends.
pub(crate) fn env_files(folder: &Path) -> Vec<PathBuf> {
    let is_example = |name: &str| {
        ["example", "sample", "template", "dist", "tmpl"]
            .iter()
            .any(|word| name.split(['.', '-', '_']).any(|part| part == *word))
    };
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().is_file())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| (name == ".env" || name.starts_with(".env.") || name.ends_with(".env")) && !is_example(name))
        .map(PathBuf::from)
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ignore_file_of_the_dockerfile_comes_first_b24() {
        let folder = tempfile::tempdir().unwrap();
        let dockerfile = folder.path().join("Dockerfile");
        let covers = |path: &str| Coverage::of(folder.path(), &dockerfile).unwrap().covers(Path::new(path));
        assert!(!covers(".env"));
        fs::write(folder.path().join(".dockerignore"), "\u{feff}# x\n/.env*\n!.env.example\n").unwrap();
        assert!(covers(".env") && covers(".env.local") && !covers(".env.example") && !covers("web/.env"));
        fs::write(folder.path().join("Dockerfile.dockerignore"), "**/.env\n").unwrap();
        assert!(covers(".env") && covers("web/.env") && !covers(".env.local"));
        Coverage::of(folder.path(), &dockerfile).unwrap().add(&[".env.local".to_owned()]).unwrap();
        assert!(covers(".env.local"));
    }

    #[test]
    fn a_rule_that_sends_an_env_file_is_told_b23() {
        let folder = tempfile::tempdir().unwrap();
        let dockerfile = folder.path().join("Dockerfile");
        let sent_by_a_rule = |rules: &str| {
            fs::write(folder.path().join(".dockerignore"), rules).unwrap();
            Coverage::of(folder.path(), &dockerfile).unwrap().sent_by_a_rule(folder.path())
        };
        fs::write(folder.path().join(".env"), "").unwrap();
        let sent = |line, pattern: &str| SentEnvFile { path: PathBuf::from(".env"), line, pattern: pattern.to_owned() };
        assert_eq!(sent_by_a_rule("# all\n*\n!src\n!.env\n"), [sent(4, ".env")]);
        assert_eq!(sent_by_a_rule(".env*\n\n! /.e*v\n"), [sent(3, ".e*v")]);
        for silent in ["*\n!src\n", "!.env\n.env\n", "!.env.example\n", ""] {
            assert_eq!(sent_by_a_rule(silent), [], "{silent:?}");
        }
    }

    #[test]
    fn a_pattern_that_docker_refuses_covers_nothing() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".dockerignore"), "[\n.env\n").unwrap();
        let coverage = Coverage::of(folder.path(), &folder.path().join("Dockerfile")).unwrap();
        assert!(!coverage.covers(Path::new(".env")));
    }

    #[test]
    fn an_ignore_file_without_an_end_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        for name in [".dockerignore", "Dockerfile.dockerignore"] {
            let path = folder.path().join(name);
            std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
            let error = Coverage::of(folder.path(), &folder.path().join("Dockerfile")).unwrap_err();
            assert_eq!(error.to_string(), format!("failed to read {}", path.display()));
            assert_eq!(error.source.to_string(), "it is longer than 16 MiB");
        }
    }

    #[test]
    fn env_files_are_those_that_may_hold_values() {
        let folder = tempfile::tempdir().unwrap();
        for name in
            [".env", ".env.local", "web.env", ".env.example", ".env.sample.local", ".envrc", "env", "x.environment"]
        {
            fs::write(folder.path().join(name), "").unwrap();
        }
        fs::create_dir(folder.path().join(".env.d")).unwrap();
        let names: Vec<_> = env_files(folder.path()).iter().map(|path| path.display().to_string()).collect();
        assert_eq!(names, [".env", ".env.local", "web.env"]);
    }
}
