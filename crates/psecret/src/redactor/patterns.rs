//! All forms in order, and the marks that replace them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use zeroize::Zeroizing;

use super::skim::{PREFIX, Skim};
use super::spelled::{LONGEST_VALUE, Spelled};
use crate::SecretError;
use crate::form::{Form, Layout, Shape};

/// The length of a pattern's head. A pattern is found by its head; of the rest, as much as follows in the text is
/// masked.
pub(super) const LONGEST_HEAD: usize = 512;

/// The data that all streams of a redactor share.
#[derive(Default)]
pub(super) struct Patterns {
    /// The patterns' bytes, joined in the order of the patterns.
    bytes: Zeroizing<Vec<u8>>,
    /// The patterns, sorted by their bytes.
    patterns: Vec<Pattern>,
    /// The first eight bytes of each pattern, as a number that sorts in the same order.
    keys: Vec<u64>,
    /// For each byte, the number of keys before those that begin with it; the last entry counts all keys.
    firsts: Vec<usize>,
    skim: Skim,
    marks: Vec<Mark>,
    spelled: Spelled,
}

/// What it proves that a byte string was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Evidence {
    /// It proves nothing, because the byte string may occur in innocent text as well. A log need not show it, so it
    /// is masked.
    #[default]
    None,
    /// It proves that the text has the secret, if the byte string is a whole token.
    Token,
    /// It proves that the text has the secret.
    Anywhere,
}

/// The values and forms that are masked under one label.
pub(super) struct Masked {
    pub(super) label: String,
    pub(super) shapes: Vec<(Shape, Evidence)>,
}

/// One byte string that is masked.
struct Pattern {
    /// The pattern's bytes are `from..to` of `Patterns::bytes`.
    from: usize,
    to: usize,
    /// The longest other pattern whose head is a prefix of this pattern's bytes.
    within: Option<usize>,
    mark: usize,
    evidence: Evidence,
}

/// What the patterns know about the beginning of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Beginning {
    /// The pattern with the longest head that the text begins with; [`Patterns::heads`] names the others.
    pub(super) longest: Option<usize>,
    /// Whether the whole text is a prefix of a longer head, so that the match depends on the bytes that follow.
    pub(super) goes_on: bool,
}

struct Mark {
    labels: Vec<String>,
    text: Vec<u8>,
}

impl Mark {
    fn of(labels: &[&str]) -> Self {
        Self {
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            text: format!("***{}***", labels.join(",")).into_bytes(),
        }
    }
}

impl Patterns {
    /// Compiles patterns. `most_bytes` is the limit for the total length of the heads.
    #[expect(clippy::disallowed_methods, reason = "door 5: the redactor's search is built from the forms")]
    pub(super) fn new(masked: Vec<Masked>, most_bytes: usize) -> Result<Self, SecretError> {
        // If two secrets have the same value, its pattern has both names (S8).
        let mut owners: BTreeMap<&[u8], (Vec<&str>, Evidence)> = BTreeMap::new();
        for Masked { label, shapes } in &masked {
            for (shape, shape_evidence) in shapes {
                let (labels, evidence) = owners.entry(shape.expose()).or_default();
                *evidence = (*evidence).max(*shape_evidence);
                // One label's shapes follow each other, so this keeps the lists short; they are made unique below.
                if labels.last() != Some(&label.as_str()) {
                    labels.push(label);
                }
            }
        }
        // Thousands of variables may have the same value, so a list is not searched for each label.
        for (labels, _) in owners.values_mut().filter(|(labels, _)| labels.len() > 1) {
            let mut known = HashSet::new();
            labels.retain(|label| known.insert(*label));
        }
        let heads: Vec<&[u8]> = owners.keys().map(|bytes| head_of(bytes)).collect();
        let most: usize = heads.iter().map(|head| head.len()).sum();
        if most > most_bytes {
            return Err(SecretError::TooManyForms { forms: heads.len(), bytes: most });
        }
        // The buffer has its final size, because a buffer that grows would leave copies in memory that are
        // never wiped.
        let all = Zeroizing::new(Vec::with_capacity(owners.keys().map(|bytes| bytes.len()).sum()));
        let mut patterns = Self { bytes: all, skim: Skim::new(&heads), ..Self::default() };
        let mut marks = HashMap::new();
        for (bytes, (labels, evidence)) in &owners {
            let mark = *marks.entry(labels).or_insert_with(|| {
                patterns.marks.push(Mark::of(labels));
                patterns.marks.len() - 1
            });
            patterns.add(bytes, mark, *evidence);
        }
        patterns.firsts =
            (0..=256_u128).map(|byte| patterns.keys.partition_point(|key| u128::from(*key) < byte << 56)).collect();
        // An escaped value has the mark of its unescaped pattern.
        let sorted: Vec<&&[u8]> = owners.keys().collect();
        let mut spelled = BTreeMap::new();
        for (shape, evidence) in masked.iter().flat_map(|masked| &masked.shapes) {
            let is_whole = shape.layout() == Layout::Spelled && shape.form() != Form::Line;
            if is_whole && *evidence == Evidence::Anywhere && shape.len() <= LONGEST_VALUE {
                let bytes = shape.expose();
                let pattern = sorted.binary_search(&&bytes).expect("every shape has its pattern");
                spelled.entry(pattern).or_insert_with(|| Zeroizing::new(bytes.to_vec()));
            }
        }
        patterns.spelled = Spelled::new(spelled.into_iter().map(|(pattern, bytes)| (bytes, pattern)).collect());
        for at in 0..patterns.marks.len() {
            if patterns.finds_any(&patterns.marks[at].text) {
                patterns.marks[at].text = b"***".to_vec();
            }
        }
        Ok(patterns)
    }

    /// Adds a pattern that sorts after all others.
    fn add(&mut self, bytes: &[u8], mark: usize, evidence: Evidence) {
        let mut within = self.patterns.len().checked_sub(1);
        while let Some(pattern) = within
            && !bytes.starts_with(self.head(pattern))
        {
            within = self.patterns[pattern].within;
        }
        let from = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.patterns.push(Pattern { from, to: self.bytes.len(), within, mark, evidence });
        self.keys.push(key(bytes));
    }

    fn finds_any(&self, text: &[u8]) -> bool {
        (0..text.len()).any(|at| self.beginning(&text[at..]).longest.is_some())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Returns the text that replaces a pattern.
    pub(super) fn mark(&self, pattern: usize) -> &[u8] {
        &self.marks[self.patterns[pattern].mark].text
    }

    /// Returns the labels of the secrets that have the pattern.
    pub(super) fn labels(&self, pattern: usize) -> &[String] {
        &self.marks[self.patterns[pattern].mark].labels
    }

    pub(super) fn evidence(&self, pattern: usize) -> Evidence {
        self.patterns[pattern].evidence
    }

    pub(super) fn spelled(&self) -> &Spelled {
        &self.spelled
    }

    pub(super) fn skim(&self) -> &Skim {
        &self.skim
    }

    fn bytes(&self, pattern: usize) -> &[u8] {
        let Pattern { from, to, .. } = self.patterns[pattern];
        &self.bytes[from..to]
    }

    pub(super) fn head(&self, pattern: usize) -> &[u8] {
        head_of(self.bytes(pattern))
    }

    /// Returns the bytes of a pattern after its head; most patterns have none.
    pub(super) fn tail(&self, pattern: usize) -> &[u8] {
        self.bytes(pattern).get(LONGEST_HEAD..).unwrap_or_default()
    }

    /// Finds the heads that a text begins with.
    pub(super) fn beginning(&self, text: &[u8]) -> Beginning {
        let text = head_of(text);
        let key = key(text);
        let first = usize::from(key.to_be_bytes()[0]);
        let [from, to] = [first, first + 1].map(|first| self.firsts.get(first).copied().unwrap_or_default());
        let mut next = from + self.keys[from..to].partition_point(|known| *known < key);
        if self.keys.get(next) == Some(&key) {
            // Most keys are unique, but some hundred tokens may have the same beginning.
            let alike = next + self.keys[next..].partition_point(|known| *known == key);
            let (mut low, mut high) = (next, alike);
            while low < high {
                let middle = usize::midpoint(low, high);
                if self.head(middle) <= text { low = middle + 1 } else { high = middle }
            }
            next = low;
        }
        // A head that is a prefix of the text sorts before it, and every pattern between the two begins with this
        // head.
        let goes_on = next < self.patterns.len() && {
            let head = self.head(next);
            head.len() > text.len() && head.starts_with(text)
        };
        let mut longest = next.checked_sub(1);
        if let Some(last) = longest {
            let alike = common(self.head(last), text);
            while let Some(pattern) = longest
                && self.head(pattern).len() > alike
            {
                longest = self.patterns[pattern].within;
            }
        }
        Beginning { longest, goes_on }
    }

    /// Lists a pattern and all others whose heads are a prefix of it.
    pub(super) fn heads(&self, longest: Option<usize>) -> impl Iterator<Item = usize> {
        std::iter::successors(longest, |pattern| self.patterns[*pattern].within)
    }
}

fn head_of(bytes: &[u8]) -> &[u8] {
    bytes.get(..LONGEST_HEAD).unwrap_or(bytes)
}

/// Reads the first eight bytes as a number that sorts in the same order.
fn key(bytes: &[u8]) -> u64 {
    let mut key = [0; PREFIX];
    let length = bytes.len().min(PREFIX);
    key[..length].copy_from_slice(&bytes[..length]);
    u64::from_be_bytes(key)
}

/// Returns the length of the common prefix of two byte strings.
pub(super) fn common(one: &[u8], other: &[u8]) -> usize {
    let length = one.len().min(other.len());
    let ((ones, _), (others, _)) = (one[..length].as_chunks::<16>(), other[..length].as_chunks::<16>());
    let blocks = ones.iter().zip(others).take_while(|(one, other)| one == other).count() * 16;
    let rest = one[blocks..length].iter().zip(&other[blocks..length]);
    blocks + rest.take_while(|(one, other)| one == other).count()
}

/// Shows only the number of forms, because the bytes are plaintext.
impl fmt::Debug for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Patterns({} forms)", self.patterns.len())
    }
}
