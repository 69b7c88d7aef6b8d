//! The destinations of a report: several formats at once, each on standard output or in a file.

use std::io;
use std::path::{Path, PathBuf};

use preport::Paper;
use pscan::Report;
use pscreen::Terminal;

use crate::edge::Edge;
use crate::files::replace::{beside, is_special, replace};

/// The formats of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Text for people.
    Text,
    /// JSON for programs: one object, contract version 1.
    Json,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    /// JUnit XML, for test pages.
    Junit,
    /// One HTML page for a browser.
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

/// The reasons why a report cannot be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReportError {
    /// The value of `--format` is not valid.
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
        /// The cause.
        source: io::Error,
    },
}

/// The reasons why a `--format` is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FormatProblem {
    /// There is no such format.
    #[error("no such format")]
    Unknown,
    /// No file name follows the `=`.
    #[error("names no file")]
    NoFile,
    /// Two formats are for standard output.
    #[error("standard output has a format already")]
    StandardOutputTwice,
    /// Two formats are for the same file.
    #[error("this file has a format already")]
    FileTwice,
}

/// All destinations of a report.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    stdout: Option<Format>,
    files: Vec<(Format, PathBuf)>,
    annotations: bool,
}

impl Reports {
    /// Reads any number of `--format FORMAT[=FILE]`. If no format is for standard output, text for people is written
    /// to it, unless `quiet` is set.
    ///
    /// # Errors
    /// Returns an error about an unknown format, about two formats for standard output, or about two formats for one
    /// file.
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

    /// Checks before the search whether the files can be written, because an audit may take long.
    ///
    /// # Errors
    /// Returns an error about the first file that is a folder, or whose folder this process cannot write to.
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

    /// Writes the report to all destinations. If one file cannot be written, the others still are.
    ///
    /// # Errors
    /// Returns an error about the first file that could not be written; its old content stays complete.
    pub(crate) fn write(&self, report: &Report, edge: &Edge) -> Result<(), ReportError> {
        let mut failure = None;
        for (format, path) in &self.files {
            // A report holds no values. It is redacted only as a second protection.
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
