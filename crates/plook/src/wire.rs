//! The frames between the scanner and its caller. A frame is a length of four bytes, little-endian, followed by that
//! many bytes.
//!
//! A task is one frame of JSON, then a frame for each secret's value, then one for each document. Each answer is one
//! frame of JSON. Without the answer [`Answer::End`], nothing is proven, whatever came before it.
//!
//! If the values are mounted, one frame of JSON ([`MountedValues`]) takes the place of the values' frames. The other
//! requests, such as a [`Probe`] or a [`Note`], are one frame each, and so are their answers. The request for the
//! builder's key has the key that the caller remembers, or no bytes; the answer has the key that the builder keeps,
//! or no bytes.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use psecret::UserSecret;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

/// The version of the protocol. The caller and the scanner are built together, so there are no other versions.
pub const VERSION: u32 = 1;

/// The maximal length of a frame.
const LONGEST: usize = 64 << 20;

/// The reason why a stream of frames is not valid.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The stream failed, or ended within a frame.
    #[error("failed to read a frame")]
    Read(#[from] io::Error),
    /// A frame is longer than the maximal length.
    #[error("a frame of {length} bytes is too long")]
    TooLong {
        /// The length that the frame claims.
        length: usize,
    },
    /// A frame does not follow the protocol.
    #[error("a frame is not what version {VERSION} of the protocol says")]
    NotUnderstood(#[from] serde_json::Error),
    /// A key has the wrong length.
    #[error("a key of {length} bytes is none")]
    Key {
        /// The frame's length.
        length: usize,
    },
    /// The other side uses another version.
    #[error("the task is of version {version}, not {VERSION}")]
    Version {
        /// The message's version.
        version: u32,
    },
}

/// The states and documents to be searched, and the secrets to be searched for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// [`VERSION`].
    pub version: u32,
    /// The secrets' names. A frame with the value of each follows. A secret with several readings is listed once for
    /// each reading.
    pub secrets: Vec<String>,
    /// For each secret of which only some parts count, the names of these parts; the list may be empty. The scanner
    /// takes values apart itself, and so does the reader of its report.
    #[serde(default)]
    pub parts: BTreeMap<String, Vec<String>>,
    /// The names of the image's documents. A frame with the bytes of each follows. The first document is the
    /// configuration.
    pub documents: Vec<String>,
    /// The base image, if there is one.
    pub base: Option<Base>,
    /// The layers that the build adds, in order.
    pub layers: Vec<Layer>,
}

impl Task {
    /// Returns the number of states in the task: one more than the highest number of a state.
    #[must_use]
    pub fn states(&self) -> usize {
        let base = self.base.iter().map(|base| base.state);
        let layers = self.layers.iter().flat_map(|layer| {
            let onto = layer.covering.and_then(|covering| covering.onto);
            layer.before.into_iter().chain([layer.after]).chain(onto)
        });
        base.chain(layers).max().map_or(0, |highest| highest.saturating_add(1))
    }
}

/// The state below the first step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// The number of the base's state.
    pub state: usize,
    /// The layers of this base when it was found clean for the same secrets. If the base still has these layers, its
    /// files are not searched again.
    pub known: Option<Vec<String>>,
}

/// One step's change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// The number of the state before the step; `None` if the step began with nothing.
    pub before: Option<usize>,
    /// The number of the state after the step.
    pub after: usize,
    /// Set if the state before is not part of the state after, because both are stacked on another state. The second
    /// layer must not cover any file of the first one.
    pub covering: Option<Covering>,
}

/// The state below two layers that were built independently of each other and then stacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Covering {
    /// The number of the state; `None` if there is no state below.
    pub onto: Option<usize>,
}

/// A task with everything that belongs to it.
#[derive(Debug)]
pub struct WholeTask {
    /// The task.
    pub task: Task,
    /// The secrets' values.
    pub values: Vec<UserSecret>,
    /// The documents' bytes.
    pub documents: Vec<Vec<u8>>,
}

/// One answer of the scanner.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Answer {
    /// The search continues.
    Progress {
        /// The number of bytes that were searched.
        bytes: u64,
    },
    /// The layers of each state, as the kernel lists them, the newest first; `None` for a state that is not an
    /// overlay.
    States {
        /// One entry for each state.
        layers: Vec<Option<Vec<String>>>,
    },
    /// The findings, in the format of [`pscan::Report::to_json`].
    Report {
        /// The report.
        report: Value,
        /// Whether the base's files were left out, because the base has the layers in [`Base::known`].
        base_known: bool,
    },
    /// The last answer.
    End {
        /// The number of answers before this one.
        answers: u64,
    },
}

/// The frame that takes the place of the values' frames if the values are mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountedValues {
    /// The key of the checks: [`ProbeAnswer::check_key`].
    pub check_key: String,
    /// For each secret of the task, the [`Facts::check`] of its value. If a value has changed, the steps got another
    /// one, and a search for it would prove nothing.
    pub checks: Vec<String>,
}

/// The request to report which secrets are mounted. The answer contains only facts, no values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The version: [`VERSION`].
    pub version: u32,
    /// The secrets' names. The value of each is mounted as a file with its number, if the session has it.
    pub secrets: Vec<String>,
    /// The parts that the search will look for, as in [`Task::parts`].
    #[serde(default)]
    pub parts: BTreeMap<String, Vec<String>>,
    /// The base images of the build, by the identifiers of their sources and the digests of the operations.
    #[serde(default)]
    pub bases: Vec<String>,
}

/// The answer to a [`Probe`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeAnswer {
    /// The facts of each secret's value; `None` for a secret that is not mounted.
    pub secrets: Vec<Option<Facts>>,
    /// Whose key the digests were made with.
    pub key: Key,
    /// The key of the checks, for this build only. The builder's own key cannot be used for them, because BuildKit
    /// may give two containers two instances of a cache mount.
    pub check_key: String,
    /// The digests of the steps whose results once contained a secret.
    pub leaked: Vec<String>,
    /// For each base of the request, the layers that it had when it was found clean for these secrets; `None` if
    /// there is no valid note.
    #[serde(default)]
    pub bases: Vec<Option<Vec<String>>>,
}

/// The facts about a value that may be known outside of the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The value's size in bytes.
    pub bytes: u64,
    /// Whether the value can be an environment variable.
    pub variable: Variable,
    /// The reason why the value is not searched for; `None` if it is searched for.
    pub unprotected: Option<String>,
    /// The value's keyed digest, which differs from those of other values.
    pub digest: String,
    /// The value's digest under this build's own key, by which a search recognizes the value.
    pub check: String,
}

/// Whether a value can be an environment variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Variable {
    /// The value fits.
    Fits,
    /// The value holds a NUL byte.
    Nul,
    /// The value and the secret's name are together longer than Linux accepts.
    TooLong,
}

/// The key that digests were made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Key {
    /// The client's key, so that digests are the same on all builders that the client uses.
    Client,
    /// The client's key cannot be used, because it is not a valid key.
    Unusable,
    /// The builder's own key.
    Builder,
    /// A key for this build only, because the builder cannot keep one.
    Passing,
}

/// The request to note steps, by their digests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The version: [`VERSION`].
    pub version: u32,
    /// The steps whose results held a secret.
    pub leaked: Vec<String>,
    /// The steps whose results no longer contain a secret.
    pub clean: Vec<String>,
}

/// A base image that was found clean.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CleanBase {
    /// The identifier of the base's source, and the digest of the operation.
    pub identifier: String,
    /// The base's layers, as the kernel listed them, the newest first.
    pub layers: Vec<String>,
}

/// The request to note bases as clean for the secrets of a probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BasesNote {
    /// The version: [`VERSION`].
    pub version: u32,
    /// The request of the probe.
    pub probe: Probe,
    /// The key of the checks: [`ProbeAnswer::check_key`].
    pub check_key: String,
    /// For each secret of the request, the [`Facts::check`] of its value; `None` if it was not mounted. If a value
    /// has changed, it is not the one that was searched for, and nothing is noted.
    pub checks: Vec<Option<String>>,
    /// The bases.
    pub bases: Vec<CleanBase>,
}

/// Reads a frame that contains a key of 32 bytes, or no bytes.
///
/// # Errors
///
/// Returns a [`WireError`].
pub fn read_key(source: &mut impl Read) -> Result<Option<Zeroizing<[u8; 32]>>, WireError> {
    let frame = Zeroizing::new(read_frame(source)?);
    if frame.is_empty() {
        return Ok(None);
    }
    match frame.as_slice().try_into() {
        Ok(bytes) => Ok(Some(Zeroizing::new(bytes))),
        Err(_) => Err(WireError::Key { length: frame.len() }),
    }
}

/// Reads a request of one frame.
///
/// # Errors
///
/// Returns a [`WireError`].
pub fn read_request<T: serde::de::DeserializeOwned + Request>(source: &mut impl Read) -> Result<T, WireError> {
    let request: T = serde_json::from_slice(&read_frame(source)?)?;
    match request.version() {
        VERSION => Ok(request),
        version => Err(WireError::Version { version }),
    }
}

/// A message that begins with its version.
pub trait Request {
    /// Returns the message's version.
    fn version(&self) -> u32;
}

impl Request for Task {
    fn version(&self) -> u32 {
        self.version
    }
}

impl Request for Probe {
    fn version(&self) -> u32 {
        self.version
    }
}

impl Request for Note {
    fn version(&self) -> u32 {
        self.version
    }
}

impl Request for BasesNote {
    fn version(&self) -> u32 {
        self.version
    }
}

/// Writes one frame.
///
/// # Errors
///
/// Returns an error of the writer, or an error if the frame is longer than a reader accepts.
pub fn write_frame(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).ok().filter(|_| bytes.len() <= LONGEST);
    let length = length.ok_or_else(|| io::Error::from(io::ErrorKind::FileTooLarge))?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(bytes)
}

/// Reads one frame.
///
/// # Errors
///
/// Returns a [`WireError`] if the stream ends or the frame is too long.
pub fn read_frame(source: &mut impl Read) -> Result<Vec<u8>, WireError> {
    let mut length = [0; 4];
    source.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > LONGEST {
        return Err(WireError::TooLong { length });
    }
    // Memory is not reserved for the stated length, because the stream may have fewer bytes.
    let mut frame = Vec::with_capacity(length.min(1 << 20));
    source.take(length as u64).read_to_end(&mut frame)?;
    if frame.len() < length {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(frame)
}

/// Reads a task with its values and documents.
///
/// # Errors
///
/// Returns a [`WireError`].
pub fn read_task(source: &mut impl Read) -> Result<WholeTask, WireError> {
    let task: Task = read_request(source)?;
    let values = task.secrets.iter().map(|_| read_frame(source).map(UserSecret::new)).collect::<Result<_, _>>()?;
    let documents = task.documents.iter().map(|_| read_frame(source)).collect::<Result<_, _>>()?;
    Ok(WholeTask { task, values, documents })
}

/// Reads a task whose values are mounted, with its documents.
///
/// # Errors
///
/// Returns a [`WireError`].
pub fn read_mounted_task(source: &mut impl Read) -> Result<(Task, MountedValues, Vec<Vec<u8>>), WireError> {
    let task: Task = read_request(source)?;
    let mounted = serde_json::from_slice(&read_frame(source)?)?;
    let documents = task.documents.iter().map(|_| read_frame(source)).collect::<Result<_, _>>()?;
    Ok((task, mounted, documents))
}

/// Parses the answers as they arrive.
#[derive(Debug, Default)]
pub struct Answers {
    buffer: Vec<u8>,
}

impl Answers {
    /// Adds bytes that arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Takes the next complete answer, if it has arrived.
    ///
    /// # Errors
    ///
    /// Returns a [`WireError`]. The bytes after it can then not be parsed.
    pub fn take(&mut self) -> Result<Option<Answer>, WireError> {
        let Some(length) = self.buffer.first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_le_bytes(*length) as usize;
        if length > LONGEST {
            return Err(WireError::TooLong { length });
        }
        let Some(frame) = self.buffer.get(4..4 + length) else { return Ok(None) };
        let answer = serde_json::from_slice(frame)?;
        self.buffer.drain(..4 + length);
        Ok(Some(answer))
    }

    /// Whether no bytes are left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use psecret::{DigestKey, SecretName};

    use super::*;

    fn task() -> (Task, Vec<u8>) {
        let task = Task {
            version: VERSION,
            secrets: vec!["TOKEN".into(), "KEY".into()],
            parts: BTreeMap::from([("KEY".into(), vec!["d".into()])]),
            documents: vec!["config".into()],
            base: Some(Base { state: 0, known: None }),
            layers: vec![Layer { before: Some(0), after: 1, covering: None }],
        };
        let mut bytes = Vec::new();
        write_frame(&mut bytes, &serde_json::to_vec(&task).unwrap()).unwrap();
        for part in [&b"one\0\n\xff"[..], b"", b"{}"] {
            write_frame(&mut bytes, part).unwrap();
        }
        (task, bytes)
    }

    #[test]
    fn a_task_arrives_as_it_was_sent() {
        let (task, bytes) = task();
        let whole = read_task(&mut bytes.as_slice()).unwrap();
        assert_eq!(whole.task, task);
        let key = DigestKey::new([7; 32]);
        let digest = |value: &UserSecret| key.digest("test", &SecretName::parse("A").unwrap(), value);
        let expected = [&b"one\0\n\xff"[..], b""].map(|value| digest(&UserSecret::new(value.to_vec())));
        assert!(whole.values.iter().map(digest).eq(expected));
        assert_eq!(whole.documents, [b"{}"]);
    }

    #[test]
    fn a_task_that_was_cut_anywhere_is_none() {
        let (_, bytes) = task();
        for end in 0..bytes.len() {
            assert!(read_task(&mut &bytes[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn a_task_whose_values_are_mounted_has_a_frame_for_all_of_them() {
        let (task, _) = task();
        let mounted = MountedValues { check_key: "01".repeat(32), checks: vec!["0a".into(), "0b".into()] };
        let mut bytes = Vec::new();
        let frames = [serde_json::to_vec(&task).unwrap(), serde_json::to_vec(&mounted).unwrap(), b"{}".to_vec()];
        for frame in &frames {
            write_frame(&mut bytes, frame).unwrap();
        }
        let read = read_mounted_task(&mut bytes.as_slice()).unwrap();
        assert_eq!(read, (task, mounted, vec![b"{}".to_vec()]));
        for end in 0..bytes.len() {
            assert!(read_mounted_task(&mut &bytes[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn another_version_is_refused() {
        let (task, _) = task();
        let mut bytes = Vec::new();
        write_frame(&mut bytes, &serde_json::to_vec(&Task { version: 2, ..task }).unwrap()).unwrap();
        assert!(matches!(read_task(&mut bytes.as_slice()), Err(WireError::Version { version: 2 })));
        let mut bytes = Vec::new();
        write_frame(&mut bytes, br#"{"version": 2, "secrets": []}"#).unwrap();
        assert!(matches!(read_request::<Probe>(&mut bytes.as_slice()), Err(WireError::Version { version: 2 })));
    }

    proptest::proptest! {
        /// The answers do not depend on how the stream is cut.
        #[test]
        fn answers_do_not_depend_on_how_they_arrive(cuts in proptest::collection::vec(1_usize..40, 1..40)) {
            let answers = [
                Answer::Progress { bytes: 7 },
                Answer::States { layers: vec![None, Some(vec!["l/A".into()])] },
                Answer::Report { report: serde_json::json!({"version": 1}), base_known: true },
                Answer::End { answers: 3 },
            ];
            let mut bytes = Vec::new();
            for answer in &answers {
                write_frame(&mut bytes, &serde_json::to_vec(answer).unwrap()).unwrap();
            }
            let (mut stream, mut seen, mut rest) = (Answers::default(), Vec::new(), bytes.as_slice());
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                stream.push(now);
                while let Some(answer) = stream.take().unwrap() {
                    seen.push(answer);
                }
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            proptest::prop_assert_eq!(seen.as_slice(), answers.as_slice());
            proptest::prop_assert!(stream.is_empty());
        }

        #[test]
        fn no_bytes_break_the_reader(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let _ = read_task(&mut bytes.as_slice());
            let _ = read_mounted_task(&mut bytes.as_slice());
            let mut stream = Answers::default();
            stream.push(&bytes);
            while let Ok(Some(_)) = stream.take() {}
        }
    }
}
