//! Finds the line of a Dockerfile that made a layer, by the words of the image's history.
//!
//! The history holds instructions as BuildKit or the classic builder wrote them: continuation lines are joined, flags
//! are left out, and variables of `ENV`, `COPY` and some others are replaced. So an instruction is found by its
//! words. The search begins at the last line, because the layers of the final stage come last. If an instruction is
//! not found, it gets no line.

use std::io;
use std::path::{Path, PathBuf};

use pscan::{Finding, Report, SourceLine};
use psecret::Redactor;

use crate::files;
use crate::files::dockerfile::{Dockerfile, Instruction};

/// The longest Dockerfile, in bytes. BuildKit's frontend reads no more of the file.
const LONGEST: usize = 16 << 20;

/// The error about a file of `--dockerfile` that cannot be read.
#[derive(Debug)]
pub(crate) struct DockerfileError {
    /// The file.
    pub(crate) path: PathBuf,
    /// The cause.
    pub(crate) source: io::Error,
}

/// Adds the lines of this Dockerfile to the report. The history in a report is masked, so the Dockerfile's text is
/// masked, too, before the two are compared: the Dockerfile itself may hold a value.
///
/// # Errors
/// Returns an error if the file cannot be read.
pub(crate) fn locate(report: &mut Report, path: &Path, redactor: &Redactor) -> Result<(), DockerfileError> {
    let text = files::read(path, LONGEST).map_err(|source| DockerfileError { path: path.to_owned(), source })?;
    let mut instructions = Dockerfile::read(&text).instructions;
    instructions.iter_mut().for_each(|instruction| instruction.text = redactor.redact(&instruction.text));
    let file = path.display().to_string();
    let line = |finding: &Finding| find(&instructions, finding.instruction()?);
    report.locate(|finding| line(finding).map(|line| SourceLine { file: file.clone(), line }));
    Ok(())
}

/// Finds the line of the last instruction that has the same words as an entry of the history.
fn find(instructions: &[Instruction], history: &str) -> Option<u32> {
    let wanted = words(history);
    let found = instructions.iter().rev().find(|instruction| words(&instruction.text) == wanted)?;
    u32::try_from(found.line).ok()
}

/// Reduces an instruction to its keyword in capitals and its words. Flags, build arguments and the additions of
/// builders are removed.
fn words(instruction: &str) -> String {
    let mut words = instruction.split_whitespace();
    let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
    let mut rest: Vec<&str> = words.collect();
    // The history writes the values of build arguments as `|2 A=1 B=2 /bin/sh -c …`.
    if let Some(count) = rest.first().and_then(|word| word.strip_prefix('|')?.parse::<usize>().ok()) {
        rest.drain(..(count + 1).min(rest.len()));
    }
    if rest.starts_with(&["/bin/sh", "-c"]) {
        rest.drain(..2);
    }
    if keyword == "ARG" {
        // The history has the values that the build was given, and the file has at most a default.
        rest.iter_mut().for_each(|word| *word = word.split('=').next().unwrap_or_default());
    }
    let flags = rest.iter().take_while(|word| word.starts_with("--")).count();
    rest.drain(..flags);
    format!("{keyword} {}", rest.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCKERFILE: &str = "\
# syntax=docker/dockerfile:1
FROM debian AS base
RUN make
from base

RUN --mount=type=cache,target=/c apt-get update && \\
    # a comment within
    apt-get install -y \\
      curl
RUN <<EOF
make
# no comment
EOF
COPY --chown=1:1 a /b
RUN make
ENV A=1
ARG TOKEN
";

    #[test]
    fn what_history_says_is_found_by_its_words_from_the_end() {
        let instructions = Dockerfile::read(DOCKERFILE.as_bytes()).instructions;
        let lines: Vec<usize> = instructions.iter().map(|instruction| instruction.line).collect();
        assert_eq!(lines, [2, 3, 4, 6, 10, 14, 15, 16, 17]);
        for (history, line) in [
            ("RUN apt-get update &&     apt-get install -y       curl", Some(6)),
            ("RUN make", Some(15)),
            ("RUN |1 VERSION=2 /bin/sh -c make", Some(15)),
            ("COPY a /b", Some(14)),
            ("ENV A=1", Some(16)),
            ("ARG TOKEN=***TOKEN***", Some(17)),
            ("RUN other", None),
        ] {
            assert_eq!(find(&instructions, history), line, "{history}");
        }
    }
}
