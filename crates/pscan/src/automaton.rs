//! The automaton for the needles that the filters cannot find: the shortest ones, and those with too few different
//! bytes.

use aho_corasick::automaton::{Automaton as _, StateID};
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Anchored, MatchKind};

use crate::anchor::Piece;
use crate::filter::Anchor;

/// An automaton that finds pieces of needles byte by byte, also pieces that overlap.
pub(crate) struct Automaton {
    nfa: NFA,
    start: StateID,
    /// The anchor of each piece in its needle.
    anchors: Vec<Anchor>,
    lengths: Vec<usize>,
}

/// The automaton's state between two chunks.
#[derive(Clone, Copy)]
pub(crate) struct State(StateID);

impl Automaton {
    /// Builds the automaton. Returns `None` if the pieces need more states than an automaton can have.
    pub(crate) fn new(pieces: &[(usize, Piece)]) -> Option<Self> {
        let bytes = pieces.iter().map(|(_, piece)| piece.bytes.as_slice());
        let nfa = NFA::builder().match_kind(MatchKind::Standard).prefilter(false).build(bytes).ok()?;
        let start = nfa.start_state(Anchored::No).ok()?;
        let anchor = |(needle, piece): &(usize, Piece)| Anchor { needle: *needle, character: piece.character, at: 0 };
        let anchors = pieces.iter().map(anchor).collect();
        Some(Self { nfa, start, anchors, lengths: pieces.iter().map(|(_, piece)| piece.bytes.len()).collect() })
    }

    pub(crate) fn start(&self) -> State {
        State(self.start)
    }

    /// Runs over a chunk. For each piece, calls `found` with its anchor, its length, and the index after its last
    /// byte.
    pub(crate) fn run(&self, state: State, bytes: &[u8], mut found: impl FnMut(Anchor, usize, usize)) -> State {
        let mut at = state.0;
        for (index, byte) in bytes.iter().enumerate() {
            at = self.nfa.next_state(Anchored::No, at, *byte);
            if self.nfa.is_special(at) && self.nfa.is_match(at) {
                for nth in 0..self.nfa.match_len(at) {
                    let piece = self.nfa.match_pattern(at, nth).as_usize();
                    found(self.anchors[piece], self.lengths[piece], index + 1);
                }
            }
        }
        State(at)
    }
}
