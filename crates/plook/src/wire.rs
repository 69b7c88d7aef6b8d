//! The frames between the scanner and its caller: each is a length of four bytes, little end first, and so many bytes.
//!
//! The task is one frame of JSON, then a frame for each secret's value, then one for each document. Each answer is one
//! frame of JSON. Without an answer [`Answer::End`] nothing was proven, whatever came before it.
//!
//! Where values are mounted, the task is followed by one frame of JSON instead ([`MountedValues`]), then by the
//! documents. What else the scanner does then, a [`Probe`] or a [`Note`], is one frame each way. So is the question for
//! the builder's key: the one that the caller remembers, or nothing, and the one that the builder keeps, or nothing.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use psecret::UserSecret;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

/// The version of both directions. Caller and scanner are built together, so there is no other.
pub const VERSION: u32 = 1;

/// The longest frame.
const LONGEST: usize = 64 << 20;

/// Why a stream of frames is none.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The stream failed or ended in a frame.
    #[error("failed to read a frame")]
    Read(#[from] io::Error),
    /// A frame is longer than any that is sent.
    #[error("a frame of {length} bytes is too long")]
    TooLong {
        /// The length that the frame claims.
        length: usize,
    },
    /// A frame is not what the protocol says.
    #[error("a frame is not what version {VERSION} of the protocol says")]
    NotUnderstood(#[from] serde_json::Error),
    /// A key has another length.
    #[error("a key of {length} bytes is none")]
    Key {
        /// The frame's length.
        length: usize,
    },
    /// The other side speaks another version.
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
    /// The secrets' names; a frame with the value of each follows. A secret whose text others read otherwise stands
    /// once for each reading.
    pub secrets: Vec<String>,
    /// By name, the parts that count of a secret that not all count of; none when the list is empty. The scanner takes
    /// values apart itself, as whoever reads its report does.
    #[serde(default)]
    pub parts: BTreeMap<String, Vec<String>>,
    /// The image's documents by name; a frame with the bytes of each follows. The first is the configuration.
    pub documents: Vec<String>,
    /// The base image, if there is one.
    pub base: Option<Base>,
    /// The layers that the build adds, in their order.
    pub layers: Vec<Layer>,
}

impl Task {
    /// How many states it names: one more than the highest number.
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
    /// The layers of a base that was found clean with these needles before: if this one is made of them, its files are
    /// not searched again.
    pub known: Option<Vec<String>>,
}

/// One step's change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// The number of the state before it; `None` when it began with nothing.
    pub before: Option<usize>,
    /// The number of the state after it.
    pub after: usize,
    /// Set when the state before is no part of the state after: both are layers upon another state, and what the first
    /// one holds is expected in the second one as well.
    pub covering: Option<Covering>,
}

/// The state below two layers that were built independently of each other and then stacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Covering {
    /// The number of the state; `None` for nothing.
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
    /// The search goes on.
    Progress {
        /// How many bytes were searched.
        bytes: u64,
    },
    /// The layers of which the kernel says that each state is made, the newest first; `None` for a state that is no
    /// overlay.
    States {
        /// One entry for each state.
        layers: Vec<Option<Vec<String>>>,
    },
    /// The findings, in the words of [`pscan::Report::to_json`].
    Report {
        /// The report.
        report: Value,
        /// Whether the base's files were left out, because they are those of [`Base::known`].
        base_known: bool,
    },
    /// Everything was said.
    End {
        /// How many answers came before.
        answers: u64,
    },
}

/// How the values of a task are told that are mounted, instead of written behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountedValues {
    /// [`ProbeAnswer::check_key`].
    pub check_key: String,
    /// For each secret of the task its value's [`Facts::check`]. A value that is another one by now is not the one that
    /// the steps got, so that a search for it proves nothing.
    pub checks: Vec<String>,
}

/// Which secrets are there? Nothing but facts is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// [`VERSION`].
    pub version: u32,
    /// The secrets' names; the value of each is mounted as a file that bears its number, if it is there.
    pub secrets: Vec<String>,
    /// [`Task::parts`], as the search will have them.
    #[serde(default)]
    pub parts: BTreeMap<String, Vec<String>>,
    /// The base images of the build, by the identifiers of their sources and the digests of the operations.
    #[serde(default)]
    pub bases: Vec<String>,
}

/// The answer to a [`Probe`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeAnswer {
    /// The facts that are known of each secret's value; `None` for a value that is not there.
    pub secrets: Vec<Option<Facts>>,
    /// The owner of the key that the digests are made under.
    pub key: Key,
    /// The key of this one build that the checks are made under. The builder's own key is no help there: BuildKit may give
    /// two containers two instances of a cache mount.
    pub check_key: String,
    /// The steps whose results once held a secret, by their digests.
    pub leaked: Vec<String>,
    /// For each base of the question the layers that it had when it was found clean for these secrets; `None` for one that
    /// is not known.
    #[serde(default)]
    pub bases: Vec<Option<Vec<String>>>,
}

/// The facts that may be known of a value outside of the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The value's size in bytes.
    pub bytes: u64,
    /// Whether the value can be an environment variable.
    pub variable: Variable,
    /// Why it is not searched for, in words; `None` when it is.
    pub unprotected: Option<String>,
    /// The value's keyed digest: another value has another.
    pub digest: String,
    /// The value's digest under this build's own key. A search uses it to recognise the value.
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
    /// The value is longer than Linux takes, together with the secret's name.
    TooLong,
}

/// A key of digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Key {
    /// The client's key, so that digests are the same on all builders that the client uses.
    Client,
    /// The client's is none.
    Unusable,
    /// The builder's own.
    Builder,
    /// A passing one: the builder keeps nothing.
    Passing,
}

/// A note about steps that the builder is to remember, by their digests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// [`VERSION`].
    pub version: u32,
    /// The steps whose results held a secret.
    pub leaked: Vec<String>,
    /// The steps whose results hold no secret any more.
    pub clean: Vec<String>,
}

/// A base image that was found clean.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CleanBase {
    /// The identifier of its source, and the digest of the operation.
    pub identifier: String,
    /// The layers that the kernel named for it, the newest first.
    pub layers: Vec<String>,
}

/// A note about bases that the builder is to remember as clean for the secrets of a probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BasesNote {
    /// [`VERSION`].
    pub version: u32,
    /// The question that the probe answered.
    pub probe: Probe,
    /// [`ProbeAnswer::check_key`].
    pub check_key: String,
    /// For each secret of the question its value's [`Facts::check`]; `None` for one that was not there. Another value is
    /// not the one that was searched for.
    pub checks: Vec<Option<String>>,
    /// The bases.
    pub bases: Vec<CleanBase>,
}

/// Reads a frame with a key, 32 bytes, or with none.
///
/// # Errors
/// [`WireError`].
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

/// Reads a request that is one frame.
///
/// # Errors
/// [`WireError`].
pub fn read_request<T: serde::de::DeserializeOwned + Request>(source: &mut impl Read) -> Result<T, WireError> {
    let request: T = serde_json::from_slice(&read_frame(source)?)?;
    match request.version() {
        VERSION => Ok(request),
        version => Err(WireError::Version { version }),
    }
}

/// A message that begins with its version.
pub trait Request {
    /// The version that it is of.
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
/// The writer's own, and a frame that no reader takes.
pub fn write_frame(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).ok().filter(|_| bytes.len() <= LONGEST);
    let length = length.ok_or_else(|| io::Error::from(io::ErrorKind::FileTooLarge))?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(bytes)
}

/// Reads one frame.
///
/// # Errors
/// The stream ends, or the frame is too long.
pub fn read_frame(source: &mut impl Read) -> Result<Vec<u8>, WireError> {
    let mut length = [0; 4];
    source.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > LONGEST {
        return Err(WireError::TooLong { length });
    }
    // No room is made for bytes that the stream may not hold.
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
/// [`WireError`].
pub fn read_task(source: &mut impl Read) -> Result<WholeTask, WireError> {
    let task: Task = read_request(source)?;
    let values = task.secrets.iter().map(|_| read_frame(source).map(UserSecret::new)).collect::<Result<_, _>>()?;
    let documents = task.documents.iter().map(|_| read_frame(source)).collect::<Result<_, _>>()?;
    Ok(WholeTask { task, values, documents })
}

/// Reads a task whose values are mounted, with its documents.
///
/// # Errors
/// [`WireError`].
pub fn read_mounted_task(source: &mut impl Read) -> Result<(Task, MountedValues, Vec<Vec<u8>>), WireError> {
    let task: Task = read_request(source)?;
    let mounted = serde_json::from_slice(&read_frame(source)?)?;
    let documents = task.documents.iter().map(|_| read_frame(source)).collect::<Result<_, _>>()?;
    Ok((task, mounted, documents))
}

/// Takes the answers apart as they arrive.
#[derive(Debug, Default)]
pub struct Answers {
    buffer: Vec<u8>,
}

impl Answers {
    /// Adds what arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Takes the next whole answer, if it has arrived.
    ///
    /// # Errors
    /// [`WireError`]: what comes after it means nothing.
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

    /// Whether nothing is left over.
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
        /// However the stream is cut, the answers are the same.
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
