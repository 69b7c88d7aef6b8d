//! Where reports go: several formats at once, each to standard output or to a file.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use pscan::Report;
use pscreen::{Diagnostic, Exit};

use crate::edge::{Edge, Failure};

/// The shapes of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// For programs: one object, contract version 1.
    Json,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    /// JUnit XML, for test pages.
    Junit,
    /// One page for a browser.
    Html,
}

impl Format {
    const ALL: [(&str, Self); 5] = [
        ("text", Self::Text),
        ("json", Self::Json),
        ("sarif", Self::Sarif),
        ("junit", Self::Junit),
        ("html", Self::Html),
    ];

    fn write(self, report: &Report) -> String {
        match self {
            Self::Text => preport::text(report),
            Self::Json => format!("{}\n", preport::json(report)),
            Self::Sarif => format!("{}\n", preport::sarif(report)),
            Self::Junit => preport::junit(report),
            Self::Html => preport::html(report),
        }
    }
}

/// Everything that a report is written to.
#[derive(Debug, Default)]
pub struct Outputs {
    stdout: Option<Format>,
    files: Vec<(Format, PathBuf)>,
    annotations: bool,
}

impl Outputs {
    /// Reads `--format FORMAT[=FILE]`, any number of them. Without one for standard output people get text there, unless
    /// nobody wants it.
    ///
    /// # Errors
    /// An unknown format, two for standard output, two for one file.
    pub fn parse(formats: &[String], quiet: bool, annotations: bool) -> Result<Self, Diagnostic> {
        let mut outputs = Self { annotations, ..Self::default() };
        for spec in formats {
            let wrong = |problem: &str| Diagnostic::error(format!("--format {spec}: {problem}"), Exit::Usage);
            let (name, file) = spec.split_once('=').map_or((spec.as_str(), None), |(name, file)| (name, Some(file)));
            let Some((_, format)) = Format::ALL.iter().find(|(known, _)| *known == name) else {
                let known: Vec<&str> = Format::ALL.iter().map(|(name, _)| *name).collect();
                return Err(wrong("no such format").help(format!("use one of {}", known.join(", "))));
            };
            match file {
                Some("") => return Err(wrong("names no file")),
                None | Some("-") if outputs.stdout.is_some() => {
                    return Err(wrong("standard output has a format already")
                        .help("give all but one a file, as in --format sarif=leaks.sarif"));
                }
                None | Some("-") => outputs.stdout = Some(*format),
                Some(file) if outputs.files.iter().any(|(_, known)| known == Path::new(file)) => {
                    return Err(wrong("this file has a format already"));
                }
                Some(file) => outputs.files.push((*format, file.into())),
            }
        }
        if outputs.stdout.is_none() && !quiet {
            outputs.stdout = Some(Format::Text);
        }
        Ok(outputs)
    }

    /// Finds out before the search whether the files can be written: an audit may take long.
    ///
    /// # Errors
    /// A folder that is not there or not ours to write to.
    pub fn check(&self) -> Result<(), Diagnostic> {
        for (_, path) in &self.files {
            if path.is_dir() {
                return Err(unwritable(path, &io::Error::from(io::ErrorKind::IsADirectory)));
            }
            if !is_special(path) {
                temporary(path).map_err(|error| unwritable(path, &error))?;
            }
        }
        Ok(())
    }

    /// Writes the report everywhere. What one file lacks does not keep the others.
    ///
    /// # Errors
    /// The first file that could not be written; what stood there before is still there, whole.
    pub fn write(&self, report: &Report, edge: &Edge) -> Result<(), Failure> {
        let mut failure = None;
        for (format, path) in &self.files {
            // No report holds a value; the redactor is the second lock on the same door.
            let bytes = edge.stdout.redactor().redact_bytes(format.write(report).as_bytes());
            if let Err(error) = replace(path, &bytes) {
                failure.get_or_insert(unwritable(path, &error));
            }
        }
        if let Some(format) = self.stdout {
            edge.stdout.bytes(format.write(report).as_bytes());
        }
        if self.annotations {
            edge.stdout.bytes(preport::annotations(report).as_bytes());
        }
        failure.map_or(Ok(()), |diagnostic| Err(diagnostic.into()))
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Diagnostic {
    let problem = format!("failed to write the report {}: {error}", path.display());
    Diagnostic::error(problem, Exit::Failed).help("--format FORMAT=FILE names it")
}

/// Replaces a file in one step: whoever looks sees the old report or the new one, whole (B8).
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if is_special(path) {
        return File::options().write(true).open(path)?.write_all(bytes);
    }
    let mut file = temporary(path)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// A device or a pipe, such as `/dev/stderr`, which is written to and not replaced.
fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
}

fn temporary(path: &Path) -> io::Result<tempfile::NamedTempFile> {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // As readable as any file that a tool writes; the user's umask has the last word.
    tempfile::Builder::new()
        .prefix(".pbuild-report-")
        .permissions(fs::Permissions::from_mode(0o666))
        .tempfile_in(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(formats: &[&str]) -> Result<Outputs, Diagnostic> {
        let formats: Vec<String> = formats.iter().map(|format| (*format).to_owned()).collect();
        Outputs::parse(&formats, false, false)
    }

    #[test]
    fn each_format_has_its_place_and_people_get_text() {
        assert_eq!(parse(&[]).unwrap().stdout, Some(Format::Text));
        assert_eq!(parse(&["json"]).unwrap().stdout, Some(Format::Json));
        let several = parse(&["sarif=a.sarif", "html=a.html", "json=-"]).unwrap();
        assert_eq!((several.stdout, several.files.len()), (Some(Format::Json), 2));
        assert_eq!(parse(&["sarif=a"]).unwrap().stdout, Some(Format::Text));
        assert_eq!(Outputs::parse(&["sarif=a".to_owned()], true, false).unwrap().stdout, None);
        for wrong in [&["xml"][..], &["json", "text"], &["json=a", "html=a"], &["json="]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_file_is_replaced_whole_and_a_failure_leaves_the_old_one_b8() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        replace(&path, b"old").unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert!(replace(&folder.path().join("absent/report.json"), b"x").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }
}
