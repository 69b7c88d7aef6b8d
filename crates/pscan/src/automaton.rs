//! The automaton over the needles that no filter takes: the shortest, and those that are everywhere the same.

use aho_corasick::automaton::{Automaton as _, StateID};
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Anchored, MatchKind};

/// Finds heads of needles, overlapping ones too, byte by byte.
pub(crate) struct Automaton {
    nfa: NFA,
    start: StateID,
    /// The needle of each pattern.
    needles: Vec<usize>,
}

/// Where an automaton stands between two chunks.
#[derive(Clone, Copy)]
pub(crate) struct State(StateID);

impl Automaton {
    /// `None` when the heads need more states than there can be.
    pub(crate) fn new(heads: &[(usize, &[u8])]) -> Option<Self> {
        let (needles, heads): (Vec<usize>, Vec<&[u8]>) = heads.iter().copied().unzip();
        let nfa = NFA::builder().match_kind(MatchKind::Standard).prefilter(false).build(heads).ok()?;
        let start = nfa.start_state(Anchored::No).ok()?;
        Some(Self { nfa, start, needles })
    }

    pub(crate) fn start(&self) -> State {
        State(self.start)
    }

    /// Runs over a chunk and calls `found` with a needle and the index behind its head's last byte.
    pub(crate) fn run(&self, state: State, bytes: &[u8], mut found: impl FnMut(usize, usize)) -> State {
        let mut at = state.0;
        for (index, byte) in bytes.iter().enumerate() {
            at = self.nfa.next_state(Anchored::No, at, *byte);
            if self.nfa.is_special(at) && self.nfa.is_match(at) {
                for nth in 0..self.nfa.match_len(at) {
                    found(self.needles[self.nfa.match_pattern(at, nth).as_usize()], index + 1);
                }
            }
        }
        State(at)
    }
}
