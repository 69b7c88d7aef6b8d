//! The automaton over all forms, and the marks that replace them.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use aho_corasick::automaton::{Automaton as _, StateID};
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Anchored, MatchKind};
use zeroize::Zeroizing;

use super::skim::Windows;
use crate::SecretError;
use crate::form::Shape;

/// The automaton knows this many bytes of a pattern; the rest is compared byte by byte.
pub(super) const LONGEST_HEAD: usize = 512;

/// Everything a stream needs to know, shared by all streams.
#[derive(Default)]
pub(super) struct Patterns {
    search: Option<Search>,
    patterns: Vec<Pattern>,
    marks: Vec<Mark>,
}

struct Search {
    automaton: NFA,
    start: StateID,
    /// How many of the bytes just read may begin a match, for each state.
    depth: Vec<u32>,
    /// The windows with which heads begin; absent if some head is too short.
    windows: Option<Windows>,
}

/// How much it says that a byte string was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Evidence {
    /// Nothing: it may stand in innocent text as well, but a log need not show it.
    #[default]
    None,
    /// That the secret is there, if the byte string is a whole token.
    Token,
    /// That the secret is there.
    Anywhere,
}

/// What is to be masked under one label.
pub(super) struct Masked {
    pub(super) label: String,
    pub(super) shapes: Vec<(Shape, Evidence)>,
}

/// One byte string to mask.
struct Pattern {
    mark: usize,
    evidence: Evidence,
    /// What follows the head; empty for most.
    tail: Zeroizing<Vec<u8>>,
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
    /// `most_bytes` bounds the heads together.
    #[expect(clippy::disallowed_methods, reason = "door 5: the redactor's automaton is built from the forms")]
    pub(super) fn new(masked: Vec<Masked>, most_bytes: usize) -> Result<Self, SecretError> {
        // Two names may have one value: such a pattern carries both (S8).
        let mut owners: BTreeMap<&[u8], (Vec<&str>, Evidence)> = BTreeMap::new();
        for Masked { label, shapes } in &masked {
            for (shape, shape_evidence) in shapes {
                let (labels, evidence) = owners.entry(shape.expose()).or_default();
                *evidence = (*evidence).max(*shape_evidence);
                if !labels.contains(&label.as_str()) {
                    labels.push(label);
                }
            }
        }
        if owners.is_empty() {
            return Ok(Self::default());
        }
        let mut patterns = Self::default();
        let mut heads = Vec::with_capacity(owners.len());
        let mut marks = HashMap::new();
        for (bytes, (labels, evidence)) in &owners {
            let (head, tail) = bytes.split_at(bytes.len().min(LONGEST_HEAD));
            heads.push(head);
            let mark = *marks.entry(labels).or_insert_with(|| {
                patterns.marks.push(Mark::of(labels));
                patterns.marks.len() - 1
            });
            patterns.patterns.push(Pattern { mark, evidence: *evidence, tail: Zeroizing::new(tail.to_vec()) });
        }
        let search = Search::new(&heads, most_bytes)?;
        for mark in &mut patterns.marks {
            if search.finds_any(&mark.text) {
                mark.text = b"***".to_vec();
            }
        }
        patterns.search = Some(search);
        Ok(patterns)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.search.is_none()
    }

    /// What stands in a pattern's place.
    pub(super) fn mark(&self, pattern: usize) -> &[u8] {
        &self.marks[self.patterns[pattern].mark].text
    }

    /// Whose pattern it is.
    pub(super) fn labels(&self, pattern: usize) -> &[String] {
        &self.marks[self.patterns[pattern].mark].labels
    }

    pub(super) fn evidence(&self, pattern: usize) -> Evidence {
        self.patterns[pattern].evidence
    }

    pub(super) fn start(&self) -> StateID {
        self.search.as_ref().map_or(StateID::ZERO, |search| search.start)
    }

    pub(super) fn windows(&self) -> Option<&Windows> {
        self.search.as_ref().and_then(|search| search.windows.as_ref())
    }

    pub(super) fn next(&self, state: StateID, byte: u8) -> StateID {
        self.search.as_ref().map_or(state, |search| search.automaton.next_state(Anchored::No, state, byte))
    }

    /// How many bytes before this state may still be the beginning of a match.
    pub(super) fn depth(&self, state: StateID) -> usize {
        self.search.as_ref().map_or(0, |search| search.depth[state.as_usize()] as usize)
    }

    /// The heads that end here: pattern and length.
    pub(super) fn heads_at(&self, state: StateID) -> impl Iterator<Item = (usize, usize)> {
        self.search.iter().filter(move |search| search.automaton.is_match(state)).flat_map(move |search| {
            (0..search.automaton.match_len(state)).map(move |index| {
                let pattern = search.automaton.match_pattern(state, index);
                (pattern.as_usize(), search.automaton.pattern_len(pattern))
            })
        })
    }

    pub(super) fn tail(&self, pattern: usize) -> &[u8] {
        &self.patterns[pattern].tail
    }
}

impl Search {
    fn new(heads: &[&[u8]], most_bytes: usize) -> Result<Self, SecretError> {
        let too_many =
            || SecretError::TooManyForms { forms: heads.len(), bytes: heads.iter().map(|head| head.len()).sum() };
        if heads.iter().map(|head| head.len()).sum::<usize>() > most_bytes {
            return Err(too_many());
        }
        let automaton =
            NFA::builder().match_kind(MatchKind::Standard).prefilter(false).build(heads).map_err(|_| too_many())?;
        let start = automaton.start_state(Anchored::No).map_err(|_| too_many())?;
        let depth = depths(&automaton, start, heads).ok_or_else(too_many)?;
        Ok(Self { automaton, start, depth, windows: Windows::new(heads) })
    }

    fn finds_any(&self, text: &[u8]) -> bool {
        let mut state = self.start;
        text.iter().any(|byte| {
            state = self.automaton.next_state(Anchored::No, state, *byte);
            self.automaton.is_match(state)
        })
    }
}

/// For each state, how many of the bytes just read may still begin a match.
fn depths(automaton: &NFA, start: StateID, heads: &[&[u8]]) -> Option<Vec<u32>> {
    let (mut depth, mut goes_on) = (Vec::new(), Vec::new());
    let mut set = |state: StateID, value: u32, inner: bool| {
        let at = state.as_usize();
        if depth.len() <= at {
            depth.resize(at + 1, 0);
            goes_on.resize(at + 1, false);
        }
        depth[at] = value;
        goes_on[at] |= inner;
    };
    set(start, 0, true);
    // Walking a pattern from the start visits its own nodes of the trie, since each prefix of it is its own longest
    // suffix there; so the number of bytes walked is the node's depth.
    let mut ends = Vec::with_capacity(heads.len());
    for head in heads {
        let mut state = start;
        for (walked, byte) in head.iter().enumerate() {
            state = automaton.next_state(Anchored::No, state, *byte);
            set(state, u32::try_from(walked + 1).ok()?, walked + 1 < head.len());
        }
        ends.push((*head, state));
    }
    // A whole pattern that begins no longer one is decided: what may go on is only its longest suffix that begins
    // another. Shorter patterns first, for such a suffix may be a whole pattern itself.
    ends.sort_by_key(|(head, _)| head.len());
    for (head, end) in ends {
        if !goes_on[end.as_usize()] {
            let rest = head.iter().skip(1);
            let suffix = rest.fold(start, |state, byte| automaton.next_state(Anchored::No, state, *byte));
            depth[end.as_usize()] = depth[suffix.as_usize()];
        }
    }
    Some(depth)
}

/// Counts alone: an automaton's own `Debug` would print its patterns.
impl fmt::Debug for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Patterns({} forms)", self.patterns.len())
    }
}
