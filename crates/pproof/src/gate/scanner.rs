//! Runs the scanner in the builder, and reads its answers.

use std::time::Duration;

use pgateway::{Bridge, Container, Mount, ProcessNews, Reference, StateMount, Status};
use pllb::single_file;
use plook::program::Work;
use plook::wire::{self, Answer, Answers, Task, WireError};
use serde_json::Value;
use zeroize::Zeroizing;

use super::Unproven;
use crate::seeking::{Seeking, Values};
use crate::watch::Watch;

/// The longest silence of the scanner, which normally reports twice a second that it continues. After a longer
/// silence, it counts as failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// The reason why the scanner's answer does not count.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ScannerFailure {
    /// The builder has no scanner.
    #[error("the builder has no scanner")]
    Missing,
    /// The builder has another program under the scanner's name. That program received no values.
    #[error("the builder's cache answered with another program for the scanner")]
    Replaced,
    /// The engine refused a request of the scanner, or the connection broke.
    #[error("the engine did not run the search: {message}")]
    Engine {
        /// The engine's message, redacted.
        message: String,
    },
    /// The scanner exited with an error.
    #[error("the scanner ended with code {code}: {message}")]
    Ended {
        /// The scanner's exit code.
        code: u32,
        /// The scanner's message, redacted.
        message: String,
    },
    /// The scanner exited before its answer was complete.
    #[error("the scanner ended before its answer did")]
    Unfinished,
    /// The scanner was silent for too long.
    #[error("the scanner said nothing for {} s", PATIENCE.as_secs())]
    Silent,
    /// The answer does not follow the scanner's protocol.
    #[error("the scanner's answer is not understood")]
    NotUnderstood,
}

impl From<Status> for ScannerFailure {
    fn from(status: Status) -> Self {
        Self::Engine { message: status.message().lines().next().unwrap_or_default().to_owned() }
    }
}

impl From<WireError> for ScannerFailure {
    fn from(_: WireError) -> Self {
        Self::NotUnderstood
    }
}

/// The scanner's program: a static file that runs in an empty container.
#[derive(Clone, Copy)]
pub struct Program {
    /// The program's name among the steps of a build.
    pub name: &'static str,
    /// The program's bytes.
    pub bytes: &'static [u8],
    /// The platform that it runs on: `linux/amd64`.
    pub platform: &'static str,
}

/// The scanner in the builder, which is known to be ours, or the reason why it is missing.
#[derive(Debug)]
pub struct Scanner(Result<Installed, Unproven>);

/// A scanner in the builder: an image, and the path of the program in it.
#[derive(Debug)]
pub(super) struct Installed {
    image: Reference,
    program: String,
}

impl Scanner {
    /// Makes a scanner that the builder already has, as a program of an image.
    #[must_use]
    pub fn of_image(image: Reference, program: &str) -> Self {
        Self(Ok(Installed { image, program: program.to_owned() }))
    }

    pub(super) fn brought(scanner: Result<Reference, Unproven>) -> Self {
        Self(scanner.map(|image| Installed { image, program: plook::PROGRAM.to_owned() }))
    }

    pub(super) fn installed(&self) -> Result<&Installed, &Unproven> {
        self.0.as_ref()
    }
}

/// The complete answer of the scanner.
#[derive(Debug)]
pub(super) struct ScannerAnswer {
    /// The layers of each state.
    pub(super) layers: Vec<Option<Vec<String>>>,
    /// The report in the format in which it was sent.
    pub(super) report: Value,
    /// Whether the base was left out because it is known.
    pub(super) base_known: bool,
}

/// The input of the scanner.
pub(super) struct Inquiry<'a> {
    /// The task.
    pub(super) task: &'a Task,
    /// The secrets of the task.
    pub(super) seeking: &'a dyn Seeking,
    /// The documents of the task.
    pub(super) documents: &'a [Vec<u8>],
}

/// Puts the scanner into the builder, and checks that it is ours.
pub(super) async fn bring(bridge: &Bridge, program: &Program) -> Result<Reference, ScannerFailure> {
    let mut bridge = bridge.clone();
    let definition = single_file(program.name, plook::PROGRAM, 0o755, program.bytes);
    // No imported cache is used for the scanner, but an earlier build may have imported one, so the program's bytes
    // are compared.
    let reference = bridge.solve_definition(definition, &[]).await?;
    if !bridge.file_is(&reference, plook::PROGRAM, program.bytes).await? {
        return Err(ScannerFailure::Replaced);
    }
    Ok(reference)
}

/// Runs the scanner for the mounted states.
pub(super) async fn run(
    bridge: &Bridge,
    scanner: &Installed,
    states: &[StateMount],
    inquiry: &Inquiry<'_>,
    watch: &impl Watch,
) -> Result<ScannerAnswer, ScannerFailure> {
    let program = Mount::State(StateMount { reference: scanner.image.clone(), at: "/".to_owned() });
    let mut mounts: Vec<Mount> = [program].into_iter().chain(states.iter().map(Mount::from)).collect();
    let (arguments, values) = match inquiry.seeking.values() {
        Values::HandedOver(values) => (vec![scanner.program.as_str()], values),
        Values::Mounted { mounts: files, told } => {
            mounts.extend(files);
            let told = serde_json::to_vec(&told).map_err(|_| ScannerFailure::NotUnderstood)?;
            (vec![scanner.program.as_str(), Work::SearchMounted.word()], vec![Zeroizing::new(told)])
        }
    };
    let input = input(inquiry, &values)?;
    let container = Container::new(bridge, mounts).await?;
    let answer = converse(&container, &arguments, input, inquiry.seeking, watch).await;
    // If this fails, the container is removed at the build's end.
    let _ = container.release().await;
    answer
}

/// Runs a task of the scanner other than a search, and returns its whole output once the scanner has exited.
///
/// # Errors
///
/// Returns an error if the builder has no scanner, or if the scanner fails, stays silent for too long, or ends
/// without an exit code.
pub async fn exchange(
    bridge: &Bridge,
    scanner: &Scanner,
    work: Work,
    mut mounts: Vec<Mount>,
    mut input: Zeroizing<Vec<u8>>,
) -> Result<Zeroizing<Vec<u8>>, ScannerFailure> {
    let Installed { image, program } = scanner.installed().map_err(|_| ScannerFailure::Missing)?;
    mounts.insert(0, Mount::State(StateMount { reference: image.clone(), at: "/".to_owned() }));
    let container = Container::new(bridge, mounts).await?;
    let answer = async {
        let mut process = container.run(&[program, work.word()], std::mem::take(&mut *input)).await?;
        let (mut output, mut errors) = (Zeroizing::new(Vec::new()), Vec::new());
        loop {
            let news = tokio::time::timeout(PATIENCE, process.next()).await.map_err(|_| ScannerFailure::Silent)??;
            match news {
                Some(ProcessNews::Output(bytes)) => output.extend(bytes),
                Some(ProcessNews::Error(bytes)) => errors.extend(bytes.into_iter().take(1000)),
                Some(ProcessNews::Exit(0)) => return Ok(output),
                Some(ProcessNews::Exit(code)) => {
                    let message = String::from_utf8_lossy(&errors).trim().to_owned();
                    return Err(ScannerFailure::Ended { code, message });
                }
                None => return Err(ScannerFailure::Unfinished),
            }
        }
    };
    let answer = answer.await;
    // If this fails, the container is removed at the build's end.
    let _ = container.release().await;
    answer
}

/// Writes the task, followed by the values, or by the facts about mounted values.
fn input(
    Inquiry { task, documents, .. }: &Inquiry<'_>,
    values: &[Zeroizing<Vec<u8>>],
) -> Result<Zeroizing<Vec<u8>>, ScannerFailure> {
    let mut out = Zeroizing::new(Vec::new());
    let task = serde_json::to_vec(task).map_err(|_| ScannerFailure::NotUnderstood)?;
    let values = values.iter().map(|value| value.as_slice());
    for frame in [task.as_slice()].into_iter().chain(values).chain(documents.iter().map(Vec::as_slice)) {
        wire::write_frame(&mut *out, frame).map_err(|_| ScannerFailure::NotUnderstood)?;
    }
    Ok(out)
}

async fn converse(
    container: &Container,
    arguments: &[&str],
    mut input: Zeroizing<Vec<u8>>,
    seeking: &dyn Seeking,
    watch: &impl Watch,
) -> Result<ScannerAnswer, ScannerFailure> {
    let mut process = container.run(arguments, std::mem::take(&mut *input)).await?;
    let mut transcript = Transcript::default();
    loop {
        let news = tokio::time::timeout(PATIENCE, process.next()).await.map_err(|_| ScannerFailure::Silent)??;
        match news {
            Some(ProcessNews::Output(bytes)) => {
                let before = transcript.bytes;
                transcript.take(&bytes)?;
                if transcript.bytes != before {
                    watch.moved(transcript.bytes).await;
                }
            }
            Some(ProcessNews::Error(bytes)) => transcript.errors.extend(bytes.into_iter().take(1000)),
            Some(ProcessNews::Exit(0)) => return transcript.finish(),
            Some(ProcessNews::Exit(code)) => {
                let message = seeking.redact(String::from_utf8_lossy(&transcript.errors).trim());
                return Err(ScannerFailure::Ended { code, message });
            }
            None => return Err(ScannerFailure::Unfinished),
        }
    }
}

/// The part of the answer that has arrived so far.
#[derive(Default)]
struct Transcript {
    answers: Answers,
    count: u64,
    /// The number of bytes that were searched so far.
    bytes: u64,
    layers: Option<Vec<Option<Vec<String>>>>,
    report: Option<(Value, bool)>,
    ended: bool,
    errors: Vec<u8>,
}

impl Transcript {
    fn take(&mut self, bytes: &[u8]) -> Result<(), ScannerFailure> {
        self.answers.push(bytes);
        while let Some(answer) = self.answers.take()? {
            if self.ended {
                return Err(ScannerFailure::NotUnderstood);
            }
            match answer {
                Answer::Progress { bytes } => self.bytes = bytes,
                Answer::States { layers } if self.layers.is_none() => self.layers = Some(layers),
                Answer::Report { report, base_known } if self.report.is_none() => {
                    self.report = Some((report, base_known));
                }
                Answer::End { answers } if answers == self.count => self.ended = true,
                Answer::States { .. } | Answer::Report { .. } | Answer::End { .. } => {
                    return Err(ScannerFailure::NotUnderstood);
                }
            }
            self.count += 1;
        }
        Ok(())
    }

    fn finish(self) -> Result<ScannerAnswer, ScannerFailure> {
        match (self.layers, self.report) {
            (Some(layers), Some((report, base_known))) if self.ended && self.answers.is_empty() => {
                Ok(ScannerAnswer { layers, report, base_known })
            }
            _ => Err(ScannerFailure::Unfinished),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(answers: &[Answer]) -> Result<ScannerAnswer, ScannerFailure> {
        let mut transcript = Transcript::default();
        for answer in answers {
            let mut bytes = Vec::new();
            wire::write_frame(&mut bytes, &serde_json::to_vec(answer).unwrap()).unwrap();
            transcript.take(&bytes)?;
        }
        transcript.finish()
    }

    fn whole() -> Vec<Answer> {
        vec![
            Answer::States { layers: vec![None] },
            Answer::Progress { bytes: 1 },
            Answer::Report { report: Value::Null, base_known: false },
            Answer::End { answers: 3 },
        ]
    }

    #[test]
    fn an_answer_counts_with_its_end_and_with_nothing_behind_it() {
        assert!(said(&whole()).is_ok());
        for without in 0..whole().len() {
            let mut answers = whole();
            answers.remove(without);
            assert!(said(&answers).is_err(), "without answer {without}");
        }
        for twice in 0..whole().len() {
            let mut answers = whole();
            answers.push(answers[twice].clone());
            assert!(said(&answers).is_err(), "answer {twice} once more");
        }
    }

    #[test]
    fn half_an_answer_behind_the_end_is_no_end() {
        let mut transcript = Transcript::default();
        for answer in whole() {
            let mut bytes = Vec::new();
            wire::write_frame(&mut bytes, &serde_json::to_vec(&answer).unwrap()).unwrap();
            transcript.take(&bytes).unwrap();
        }
        transcript.take(&[7]).unwrap();
        assert!(transcript.finish().is_err());
    }
}
