//! The places of a report: several formats at once, each on standard output or in a file.

use std::io;
use std::path::{Path, PathBuf};

use preport::Paper;
use pscan::Report;
use pscreen::Terminal;

use crate::edge::Edge;
use crate::files::replace::{beside, is_special, replace};

/// The shapes of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
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
    pub(crate) const ALL: [(&str, Self); 5] = [
        ("text", Self::Text),
        ("json", Self::Json),
        ("sarif", Self::Sarif),
        ("junit", Self::Junit),
        ("html", Self::Html),
    ];

    fn write(self, report: &Report, paper: Paper) -> String {
        match self {
            Self::Text => preport::text(report, paper),
            Self::Json => format!("{}\n", preport::json(report)),
            Self::Sarif => format!("{}\n", preport::sarif(report)),
            Self::Junit => preport::junit(report),
            Self::Html => preport::html(report),
        }
    }
}

/// Why a report cannot be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReportError {
    /// A `--format` that cannot be followed.
    #[error("--format {spec}: {problem}")]
    Format {
        /// The flag's value.
        spec: String,
        /// The problem of the format.
        problem: FormatProblem,
    },
    /// A file cannot be written.
    #[error("failed to write the report {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A reason for which a `--format` is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FormatProblem {
    /// There is no such format.
    #[error("no such format")]
    Unknown,
    /// There is nothing behind the `=`.
    #[error("names no file")]
    NoFile,
    /// Two formats for standard output.
    #[error("standard output has a format already")]
    StandardOutputTwice,
    /// Two formats for one file.
    #[error("this file has a format already")]
    FileTwice,
}

/// Everything that a report is written to.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    stdout: Option<Format>,
    files: Vec<(Format, PathBuf)>,
    annotations: bool,
}

impl Reports {
    /// Reads any number of `--format FORMAT[=FILE]`. Without one for standard output people get text there, unless they
    /// want nothing.
    ///
    /// # Errors
    /// An unknown format, two for standard output, two for one file.
    pub(crate) fn parse(formats: &[String], quiet: bool, annotations: bool) -> Result<Self, ReportError> {
        let mut outputs = Self { annotations, ..Self::default() };
        for spec in formats {
            let wrong = |problem| ReportError::Format { spec: spec.clone(), problem };
            let (name, file) = spec.split_once('=').map_or((spec.as_str(), None), |(name, file)| (name, Some(file)));
            let Some((_, format)) = Format::ALL.iter().find(|(known, _)| *known == name) else {
                return Err(wrong(FormatProblem::Unknown));
            };
            match file {
                Some("") => return Err(wrong(FormatProblem::NoFile)),
                None | Some("-") if outputs.stdout.is_some() => {
                    return Err(wrong(FormatProblem::StandardOutputTwice));
                }
                None | Some("-") => outputs.stdout = Some(*format),
                Some(file) if outputs.files.iter().any(|(_, known)| known == Path::new(file)) => {
                    return Err(wrong(FormatProblem::FileTwice));
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
    pub(crate) fn check(&self) -> Result<(), ReportError> {
        for (_, path) in &self.files {
            if path.is_dir() {
                return Err(unwritable(path, io::ErrorKind::IsADirectory.into()));
            }
            if !is_special(path) {
                beside(path).map_err(|error| unwritable(path, error))?;
            }
        }
        Ok(())
    }

    /// Writes the report everywhere. A file that cannot be written does not keep the others.
    ///
    /// # Errors
    /// The first file that could not be written; its old content is still there, whole.
    pub(crate) fn write(&self, report: &Report, edge: &Edge) -> Result<(), ReportError> {
        let mut failure = None;
        for (format, path) in &self.files {
            // No report holds a value; the redactor is the second lock on the same door.
            let bytes = edge.stdout.redactor().redact_bytes(format.write(report, Paper::PLAIN).as_bytes());
            if let Err(error) = replace(path, &bytes) {
                failure.get_or_insert(unwritable(path, error));
            }
        }
        if let Some(format) = self.stdout {
            let columns = Terminal::size_of_stdout().map(|(columns, _)| columns);
            let paper = Paper::terminal(columns, edge.stdout.colour());
            edge.stdout.bytes(format.write(report, paper).as_bytes());
        }
        if self.annotations {
            edge.stdout.bytes(preport::annotations(report).as_bytes());
        }
        failure.map_or(Ok(()), Err)
    }
}

fn unwritable(path: &Path, source: io::Error) -> ReportError {
    ReportError::Write { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(formats: &[&str]) -> Result<Reports, ReportError> {
        let formats: Vec<String> = formats.iter().map(|format| (*format).to_owned()).collect();
        Reports::parse(&formats, false, false)
    }

    #[test]
    fn each_format_has_its_place_and_people_get_text() {
        assert_eq!(parse(&[]).unwrap().stdout, Some(Format::Text));
        assert_eq!(parse(&["json"]).unwrap().stdout, Some(Format::Json));
        let several = parse(&["sarif=a.sarif", "html=a.html", "json=-"]).unwrap();
        assert_eq!((several.stdout, several.files.len()), (Some(Format::Json), 2));
        assert_eq!(parse(&["sarif=a"]).unwrap().stdout, Some(Format::Text));
        assert_eq!(Reports::parse(&["sarif=a".to_owned()], true, false).unwrap().stdout, None);
        for wrong in [&["xml"][..], &["json", "text"], &["json=a", "html=a"], &["json="]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
