//! The scanner's program. Its first argument names a task, standard input has the request, and the answer goes to
//! standard output.

use std::io::{self, Read, Write};
use std::path::Path;

use crate::search::{self, SearchError};
use crate::wire::{self, BasesNote, Note, Probe, WholeTask, WireError};
use crate::{KEPT, SECRETS, STATES, kept, probe};

/// The task of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Searches for the values that follow the request.
    Search,
    /// Searches for the values that are mounted.
    SearchMounted,
    /// Reports which secrets are mounted.
    Probe,
    /// Notes steps as leaked or clean.
    Note,
    /// Notes bases as clean.
    NoteBases,
    /// Reports which steps are noted as leaked.
    Leaked,
    /// Returns the key that the builder keeps.
    Key,
}

impl Work {
    const ALL: [Self; 7] =
        [Self::Search, Self::SearchMounted, Self::Probe, Self::Note, Self::NoteBases, Self::Leaked, Self::Key];

    /// Returns the argument that names the task.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::SearchMounted => "search-mounted",
            Self::Probe => "probe",
            Self::Note => "note",
            Self::NoteBases => "note-bases",
            Self::Leaked => "leaked",
            Self::Key => "key",
        }
    }

    /// Finds the task that an argument names.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|work| work.word() == word)
    }
}

/// The reason why a run failed. The messages contain nothing of the input.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// No task has this name.
    #[error("the scanner does one of search, search-mounted, probe, note, note-bases, leaked and key")]
    Work,
    /// The search failed.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// The request is not valid.
    #[error("failed to read the request")]
    Request(#[from] WireError),
    /// The secrets could not be probed.
    #[error(transparent)]
    Probe(#[from] probe::ProbeError),
    /// The builder cannot keep notes, or the answer cannot be written.
    #[error("failed to write")]
    Write(#[from] io::Error),
}

/// Does one task of the scanner that a client sends into the builder, with the values on standard input. Without an
/// argument, this is a search. This scanner must stay small, because an old BuildKit accepts no file of more than 4
/// MiB in a graph.
///
/// # Errors
///
/// Returns a [`ProgramError`]. The output is then incomplete.
pub fn run(
    arguments: impl IntoIterator<Item = String>,
    input: &mut impl Read,
    out: &mut impl Write,
) -> Result<(), ProgramError> {
    carry_out(work(arguments)?, input, out)
}

/// Does one task of the scanner in the frontend image: any task of [`run`], and the tasks that read the secrets from
/// mounted files.
///
/// # Errors
///
/// Returns a [`ProgramError`]. The output is then incomplete.
pub fn run_of_image(
    arguments: impl IntoIterator<Item = String>,
    input: &mut impl Read,
    out: &mut impl Write,
) -> Result<(), ProgramError> {
    let (states, secrets, kept_folder) = (Path::new(STATES), Path::new(SECRETS), Path::new(KEPT));
    match work(arguments)? {
        Work::SearchMounted => {
            let (task, mounted, documents) = wire::read_mounted_task(input).map_err(SearchError::from)?;
            let values = search::mounted_values(&task, &mounted, secrets)?;
            search::run(WholeTask { task, values, documents }, states, &mounts(), out)?;
        }
        Work::Probe => {
            let asked: Probe = wire::read_request(input)?;
            answer(out, &probe::probe(&asked, secrets, kept_folder)?)?;
        }
        Work::NoteBases => {
            let note: BasesNote = wire::read_request(input)?;
            probe::note_bases(&note, secrets, kept_folder)?;
        }
        other => carry_out(other, input, out)?,
    }
    Ok(())
}

fn work(arguments: impl IntoIterator<Item = String>) -> Result<Work, ProgramError> {
    match arguments.into_iter().next() {
        None => Ok(Work::Search),
        Some(word) => Work::parse(&word).ok_or(ProgramError::Work),
    }
}

fn carry_out(work: Work, input: &mut impl Read, out: &mut impl Write) -> Result<(), ProgramError> {
    let (states, kept_folder) = (Path::new(STATES), Path::new(KEPT));
    match work {
        Work::Search => {
            let task = wire::read_task(input).map_err(SearchError::from)?;
            search::run(task, states, &mounts(), out)?;
        }
        Work::Note => {
            let note: Note = wire::read_request(input)?;
            kept::note(kept_folder, &note)?;
        }
        Work::Leaked => answer(out, &kept::leaked(kept_folder))?,
        Work::Key => {
            let key = kept::own_key_or(kept_folder, wire::read_key(input)?);
            wire::write_frame(out, key.as_ref().map_or(&[][..], |key| key.as_slice()))?;
            out.flush()?;
        }
        Work::SearchMounted | Work::Probe | Work::NoteBases => return Err(ProgramError::Work),
    }
    Ok(())
}

fn answer(out: &mut impl Write, answer: &impl serde::Serialize) -> io::Result<()> {
    wire::write_frame(out, &serde_json::to_vec(answer)?)?;
    out.flush()
}

fn mounts() -> String {
    let mounts = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
    String::from_utf8_lossy(&mounts).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_work_has_a_word_of_its_own() {
        for work in Work::ALL {
            assert_eq!(Work::parse(work.word()), Some(work));
        }
        for work in [Work::SearchMounted, Work::Probe, Work::NoteBases] {
            let outcome = run([work.word().to_owned()], &mut io::empty(), &mut io::sink());
            assert!(matches!(outcome, Err(ProgramError::Work)), "a client's scanner has no mounted values");
        }
        assert_eq!(Work::parse("serach"), None);
        let nothing = run(["serach".to_owned()], &mut io::empty(), &mut io::sink());
        assert!(matches!(nothing, Err(ProgramError::Work)));
    }

    #[test]
    fn a_request_that_is_none_is_refused_by_all() {
        // The task `leaked` has no request.
        for work in Work::ALL.into_iter().filter(|work| *work != Work::Leaked) {
            let outcome = run_of_image([work.word().to_owned()], &mut &b"\x02\0\0\0{}"[..], &mut io::sink());
            assert!(outcome.is_err(), "{work:?}");
        }
    }
}
