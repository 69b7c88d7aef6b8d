//! The state as one document. Each version is sealed for the operators as a whole.
//!
//! A document begins with a line of JSON that gives the lengths of the parts that follow it: the ledger, and the
//! generations, the newest first. Each part keeps its own sealed form and version, which are older than the document.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize as _, Zeroizing};

use pcredential::Ledger;

use crate::edge::now;
use crate::error::RunError;
use crate::values::generation::Generation;

/// The version of the document's format; the ledger and the generations have versions of their own.
const VERSION: u32 = 1;
/// How many generations a document keeps.
const KEPT: usize = 5;
/// How many bytes of a key's digest a fingerprint has.
const FINGERPRINT: usize = 16;

/// An operator: a person or a CI runner who may open and change the state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Operator {
    /// The name under which others know the operator; no two operators have the same name.
    pub(crate) name: String,
    /// The public half of the operator's key (`age1…`).
    pub(crate) recipient: String,
    /// When the operator was added, in seconds since 1970.
    pub(crate) added: u64,
    /// The operator who added this one. The first operator added itself.
    pub(crate) by: String,
}

/// One version of a project's state.
///
/// Age encrypts, but it does not authenticate: anybody who knows the operators' public keys can seal a document for
/// them. So each version repeats the random key of the version before it, which only a reader of that version knows.
/// When an operator is removed, a new key is put before the old ones.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    /// The version's number, from 1. No two versions have the same number.
    pub(crate) number: u64,
    /// The project's name.
    pub(crate) project: String,
    /// The mark that every container, volume and network of the project carries. It is the project's id, and not a
    /// secret.
    pub(crate) owner: String,
    /// The operators, in the order in which they were added.
    pub(crate) operators: Vec<Operator>,
    /// The number of the newest generation that was on the engine when a lost state began anew; otherwise 0.
    pub(crate) floor: u64,
    keys: Vec<Zeroizing<String>>,
    ledger: Zeroizing<Vec<u8>>,
    generations: Vec<Zeroizing<Vec<u8>>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    version: u32,
    number: u64,
    project: String,
    owner: String,
    operators: Vec<Operator>,
    #[serde(default)]
    floor: u64,
    keys: Vec<String>,
    ledger: usize,
    generations: Vec<usize>,
}

impl Drop for Header {
    fn drop(&mut self) {
        self.keys.iter_mut().for_each(zeroize::Zeroize::zeroize);
    }
}

#[derive(Deserialize)]
struct VersionOnly {
    version: u32,
}

impl Document {
    /// Makes a document from a ledger, with one operator and a fresh key. Its number is 0 until it is written.
    #[must_use]
    pub(crate) fn new(ledger: &Ledger, name: &str, recipient: &str) -> Self {
        let (name, recipient) = (name.to_owned(), recipient.to_owned());
        Self {
            number: 0,
            project: ledger.project().to_owned(),
            owner: ledger.owner().to_owned(),
            operators: vec![Operator { by: name.clone(), name, recipient, added: now() }],
            floor: 0,
            keys: vec![fresh_key()],
            ledger: ledger.seal(),
            generations: Vec::new(),
        }
    }

    /// Reads the ledger.
    ///
    /// # Errors
    ///
    /// Returns an error if the ledger is damaged, or newer than this program.
    pub(crate) fn ledger(&self) -> Result<Ledger, RunError> {
        Ok(Ledger::open(&self.ledger)?)
    }

    /// Reads the newest generation.
    ///
    /// # Errors
    ///
    /// Returns an error if the generation is damaged, or newer than this program.
    pub(crate) fn generation(&self) -> Result<Option<Generation>, RunError> {
        self.generations.first().map(|sealed| Generation::open(sealed)).transpose()
    }

    /// Reads all generations that are kept, the newest first.
    ///
    /// # Errors
    ///
    /// Returns an error if one of them is damaged, or newer than this program.
    pub(crate) fn generations(&self) -> Result<Vec<Generation>, RunError> {
        self.generations.iter().map(|sealed| Generation::open(sealed)).collect()
    }

    /// Puts another ledger into the document.
    pub(crate) fn set_ledger(&mut self, ledger: &Ledger) {
        self.ledger = ledger.seal();
    }

    /// Puts a generation into the document. It replaces the newest generation if both have the same number; otherwise
    /// it becomes the newest one, and only the newest [`KEPT`] generations stay.
    ///
    /// # Errors
    ///
    /// Returns an error if the newest generation in the document cannot be read.
    pub(crate) fn set_generation(&mut self, generation: &Generation) -> Result<(), RunError> {
        if self.generation()?.is_some_and(|newest| newest.number == generation.number) {
            self.generations.remove(0);
        }
        self.generations.insert(0, generation.seal());
        self.generations.truncate(KEPT);
        Ok(())
    }

    /// Removes an operator, and returns whether there was an operator of this name. The document gets a new key, so
    /// that the remaining operators notice a later version which the removed operator has written.
    pub(crate) fn remove_operator(&mut self, name: &str) -> bool {
        let before = self.operators.len();
        self.operators.retain(|operator| operator.name != name);
        let removed = self.operators.len() < before;
        if removed {
            self.keys.insert(0, fresh_key());
        }
        removed
    }

    /// Returns the fingerprint of the newest key, which readers remember. Nobody can compute the key from it.
    #[must_use]
    pub(crate) fn fingerprint(&self) -> String {
        self.keys.first().map(|key| fingerprint(key)).unwrap_or_default()
    }

    /// Returns whether the author of this document knew the key with this fingerprint.
    #[must_use]
    pub(crate) fn follows(&self, remembered: &str) -> bool {
        self.keys.iter().any(|key| fingerprint(key) == remembered)
    }

    /// Encodes the document. The buffer has its final size from the start, because a buffer that grows leaves a copy
    /// of its content in freed memory.
    #[must_use]
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let header = Header {
            version: VERSION,
            number: self.number,
            project: self.project.clone(),
            owner: self.owner.clone(),
            operators: self.operators.clone(),
            floor: self.floor,
            keys: self.keys.iter().map(|key| key.as_str().to_owned()).collect(),
            ledger: self.ledger.len(),
            generations: self.generations.iter().map(|sealed| sealed.len()).collect(),
        };
        let parts: usize = self.generations.iter().map(|sealed| sealed.len()).sum();
        let operators: usize = self.operators.iter().map(|one| 256 + 6 * (one.name.len() + one.by.len())).sum();
        let size = 1024 + operators + 64 * (self.keys.len() + KEPT) + self.ledger.len() + parts;
        let mut bytes = Zeroizing::new(Vec::with_capacity(size));
        serde_json::to_writer(&mut *bytes, &header).expect("texts and numbers are JSON");
        bytes.push(b'\n');
        bytes.extend_from_slice(&self.ledger);
        self.generations.iter().for_each(|sealed| bytes.extend_from_slice(sealed));
        bytes
    }

    /// Decodes what [`Document::encode`] wrote.
    ///
    /// # Errors
    ///
    /// Returns [`RunError::DamagedState`], which quotes nothing of the text, or [`RunError::NewerState`].
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, RunError> {
        let end = bytes.iter().position(|byte| *byte == b'\n').ok_or(RunError::DamagedState)?;
        let (line, mut rest) = (&bytes[..end], &bytes[end + 1..]);
        let version: VersionOnly = serde_json::from_slice(line).map_err(|_| RunError::DamagedState)?;
        if version.version > VERSION {
            return Err(RunError::NewerState { found: version.version, known: VERSION });
        }
        let mut header: Header = serde_json::from_slice(line).map_err(|_| RunError::DamagedState)?;
        let mut part = |length: usize| {
            let (part, behind) = rest.split_at_checked(length).ok_or(RunError::DamagedState)?;
            rest = behind;
            Ok::<_, RunError>(Zeroizing::new(part.to_vec()))
        };
        let ledger = part(header.ledger)?;
        let generations = header.generations.iter().map(|length| part(*length)).collect::<Result<_, _>>()?;
        if !rest.is_empty() || header.keys.is_empty() {
            return Err(RunError::DamagedState);
        }
        Ok(Self {
            number: header.number,
            project: std::mem::take(&mut header.project),
            owner: std::mem::take(&mut header.owner),
            operators: std::mem::take(&mut header.operators),
            floor: header.floor,
            keys: std::mem::take(&mut header.keys).into_iter().map(Zeroizing::new).collect(),
            ledger,
            generations,
        })
    }
}

fn fingerprint(key: &str) -> String {
    let mut digest = Sha256::new();
    digest.update(b"prun state key\0");
    digest.update(key.as_bytes());
    let mut digest = digest.finalize();
    let text = base16ct::lower::encode_string(&digest[..FINGERPRINT]);
    digest.as_mut_slice().zeroize();
    text
}

/// Makes a random key of 190 bits.
fn fresh_key() -> Zeroizing<String> {
    Zeroizing::new([Ledger::fresh_owner(), Ledger::fresh_owner()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::record::Record;

    fn document() -> Document {
        Document::new(&Ledger::new("shop"), "one@host", "age1one")
    }

    fn generation(number: u64) -> Generation {
        let record = Record::default();
        Generation { number, created: 7, by: None, digest: "00".to_owned(), image: None, variables: Vec::new(), record }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut document = document();
        (document.number, document.floor) = (12, 3);
        document.set_generation(&generation(4)).unwrap();
        let read = Document::decode(&document.encode()).unwrap();
        assert_eq!(*read.encode(), *document.encode());
        assert_eq!((read.number, read.floor, read.project.as_str()), (12, 3, "shop"));
        assert_eq!(read.ledger().unwrap().owner(), read.owner);
        assert_eq!(read.generation().unwrap().unwrap().number, 4);
        assert_eq!(read.fingerprint(), document.fingerprint());
    }

    #[test]
    fn a_document_that_is_cut_or_longer_is_damaged() {
        let mut document = document();
        document.set_generation(&generation(1)).unwrap();
        let bytes = document.encode();
        for end in 0..bytes.len() {
            assert!(matches!(Document::decode(&bytes[..end]), Err(RunError::DamagedState)), "{end}");
        }
        assert!(matches!(Document::decode(&[&bytes[..], b"x"].concat()), Err(RunError::DamagedState)));
        let newer = String::from_utf8(bytes.to_vec()).unwrap().replacen("\"version\":1", "\"version\":2", 1);
        assert!(matches!(Document::decode(newer.as_bytes()), Err(RunError::NewerState { found: 2, known: 1 })));
    }

    #[test]
    fn the_newest_generations_are_kept_and_one_that_is_sealed_again_takes_its_own_place() {
        let mut document = document();
        for number in [1, 2, 2, 3, 4, 5, 6, 7] {
            document.set_generation(&generation(number)).unwrap();
        }
        let numbers: Vec<u64> = document.generations().unwrap().iter().map(|one| one.number).collect();
        assert_eq!(numbers, [7, 6, 5, 4, 3]);
    }

    #[test]
    fn who_did_not_know_the_key_before_is_found_out() {
        let mut document = document();
        let remembered = document.fingerprint();
        assert!(document.follows(&remembered));
        document.operators.push(Operator { name: "two".to_owned(), ..document.operators[0].clone() });
        assert_eq!(document.fingerprint(), remembered, "who comes learns the key");
        assert!(document.remove_operator("two") && !document.remove_operator("two"));
        assert_ne!(document.fingerprint(), remembered, "who goes knows only the old one");
        assert!(document.follows(&remembered), "and those who stay know that this follows");
        assert!(!self::document().follows(&remembered), "a document made from nothing does not");
    }
}
