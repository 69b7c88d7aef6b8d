//! What is searched for.

use std::collections::BTreeMap;
use std::fmt;

use psecret::{Form, Redactor, RedactorBuilder, Searchability, SecretName, Shape, UserSecret, forms};
use zeroize::Zeroizing;

use crate::ScanError;
use crate::automaton::Automaton;
use crate::filter::Filter;
use crate::search::Searcher;

/// The searches know this many bytes of a needle; the rest is compared as it arrives.
pub(crate) const LONGEST_HEAD: usize = 512;

/// Collects the secrets of a [`NeedleSet`].
#[derive(Default)]
pub struct NeedleSetBuilder {
    names: Vec<SecretName>,
    shapes: Vec<(usize, bool, Vec<Shape>)>,
    unsearched: Vec<Unsearched>,
    redactor: RedactorBuilder,
}

impl NeedleSetBuilder {
    /// Begins with nothing to search for.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a secret. One that cannot be searched for is remembered as such and told in every report.
    #[must_use]
    pub fn secret(mut self, name: &SecretName, value: &UserSecret) -> Self {
        match Searchability::of(value) {
            Searchability::Empty => self.unsearched.push(Unsearched { name: name.clone(), why: Why::Empty }),
            Searchability::Unprotected(why) => {
                self.unsearched.push(Unsearched { name: name.clone(), why: Why::Unprotected(why) });
            }
            policy @ (Searchability::Weak | Searchability::Full) => {
                let owner = self.names.iter().position(|known| known == name).unwrap_or_else(|| {
                    self.names.push(name.clone());
                    self.names.len() - 1
                });
                self.shapes.push((owner, policy == Searchability::Weak, forms(value)));
                self.redactor = self.redactor.secret(name, value);
            }
        }
        self
    }

    /// Compiles everything into one search.
    ///
    /// # Errors
    ///
    /// [`ScanError::TooManyForms`].
    pub fn build(self) -> Result<NeedleSet, ScanError> {
        self.build_with(Engines::All)
    }

    fn build_with(self, engines: Engines) -> Result<NeedleSet, ScanError> {
        let Self { names, shapes, unsearched, redactor } = self;
        let all = || shapes.iter().flat_map(|(_, _, shapes)| shapes);
        let (forms, bytes) = (all().count(), all().map(Shape::len).sum());
        let too_many = || ScanError::TooManyForms { forms, bytes };
        let redactor = redactor.build().map_err(|_| too_many())?;

        let mut set = NeedleSet {
            names,
            owners: Vec::new(),
            longest: Vec::new(),
            needles: Vec::new(),
            wide: Filter::new(),
            narrow: Filter::new(),
            automaton: None,
            unsearched,
            redactor,
        };
        let merged = merged(&shapes);
        let mut for_automaton = Vec::new();
        for (bytes, wanted) in &merged {
            let (head, tail) = bytes.split_at(bytes.len().min(LONGEST_HEAD));
            let owner = set.owner_of(&wanted.names);
            set.longest[owner] = set.longest[owner].max(bytes.len() as u64);
            let index = set.needles.len();
            let filtered = engines == Engines::All && (set.wide.add(index, head) || set.narrow.add(index, head));
            if !filtered {
                for_automaton.push((index, head));
            }
            set.needles.push(Needle {
                form: wanted.form,
                owner,
                whole_token: wanted.weak,
                length: bytes.len(),
                head: Zeroizing::new(head.to_vec()),
                tail: Zeroizing::new(tail.to_vec()),
            });
        }
        set.wide.finish();
        set.narrow.finish();
        if !for_automaton.is_empty() {
            set.automaton = Some(Automaton::new(&for_automaton).ok_or_else(too_many)?);
        }
        Ok(set)
    }

    /// The same search without its filters, to compare them with.
    #[cfg(test)]
    pub(crate) fn build_without_filters(self) -> Result<NeedleSet, ScanError> {
        self.build_with(Engines::Automaton)
    }
}

/// What searches.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Engines {
    /// Filters for the needles they take, the automaton for the rest.
    All,
    /// The automaton for everything.
    #[cfg(test)]
    Automaton,
}

/// One byte string to look for, and for whom.
struct Wanted {
    form: Form,
    weak: bool,
    names: Vec<usize>,
}

/// Equal byte strings become one needle of all who want them: two names may have one value (S8).
#[expect(clippy::disallowed_methods, reason = "door 10: the search must know what to seek")]
fn merged(shapes: &[(usize, bool, Vec<Shape>)]) -> BTreeMap<&[u8], Wanted> {
    let mut merged: BTreeMap<&[u8], Wanted> = BTreeMap::new();
    for (owner, weak, shapes) in shapes {
        for shape in shapes {
            let new = || Wanted { form: shape.form(), weak: *weak, names: Vec::new() };
            let wanted = merged.entry(shape.expose()).or_insert_with(new);
            wanted.form = wanted.form.min(shape.form());
            wanted.weak &= weak;
            if !wanted.names.contains(owner) {
                wanted.names.push(*owner);
            }
        }
    }
    merged
}

/// Every form of every secret, compiled; immutable, shared by all searches.
pub struct NeedleSet {
    names: Vec<SecretName>,
    /// Groups of indexes into `names`: those who share a needle.
    owners: Vec<Vec<usize>>,
    longest: Vec<u64>,
    needles: Vec<Needle>,
    wide: Filter<8>,
    narrow: Filter<4>,
    automaton: Option<Automaton>,
    unsearched: Vec<Unsearched>,
    redactor: Redactor,
}

pub(crate) struct Needle {
    pub(crate) form: Form,
    pub(crate) owner: usize,
    /// Counts only where no letter, digit or underscore stands beside it.
    pub(crate) whole_token: bool,
    pub(crate) length: usize,
    /// The first bytes.
    pub(crate) head: Zeroizing<Vec<u8>>,
    /// What follows the head; empty for most.
    pub(crate) tail: Zeroizing<Vec<u8>>,
}

impl NeedleSet {
    fn owner_of(&mut self, names: &[usize]) -> usize {
        self.owners.iter().position(|owner| owner == names).unwrap_or_else(|| {
            self.owners.push(names.to_vec());
            self.longest.push(0);
            self.owners.len() - 1
        })
    }

    /// Whether there is nothing to search for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.needles.is_empty()
    }

    /// How many secrets are searched for.
    #[must_use]
    pub fn secrets(&self) -> usize {
        self.names.len()
    }

    /// In how many forms altogether.
    #[must_use]
    pub fn forms(&self) -> usize {
        self.needles.len()
    }

    /// The length of the longest needle, in bytes: what must be kept of a stream to see one that two pieces cut.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.needles.iter().map(|needle| needle.length).max().unwrap_or_default()
    }

    /// The secrets that are not searched for.
    #[must_use]
    pub fn unsearched(&self) -> &[Unsearched] {
        &self.unsearched
    }

    /// A search over one stream of bytes.
    #[must_use]
    pub fn searcher(&self) -> Searcher<'_> {
        Searcher::new(self)
    }

    /// The names of the secrets that a hit stands for: several when they have one value.
    pub(crate) fn names(&self, owner: usize) -> impl Iterator<Item = &SecretName> {
        self.owners[owner].iter().map(|name| &self.names[*name])
    }

    /// The length of the longest needle of an owner.
    pub(crate) fn longest_of(&self, owner: usize) -> u64 {
        self.longest[owner]
    }

    pub(crate) fn needle(&self, index: usize) -> &Needle {
        &self.needles[index]
    }

    pub(crate) fn wide(&self) -> &Filter<8> {
        &self.wide
    }

    pub(crate) fn narrow(&self) -> &Filter<4> {
        &self.narrow
    }

    pub(crate) fn automaton(&self) -> Option<&Automaton> {
        self.automaton.as_ref()
    }

    pub(crate) fn redactor(&self) -> &Redactor {
        &self.redactor
    }
}

/// Counts alone.
impl fmt::Debug for NeedleSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NeedleSet({} secrets in {} forms)", self.secrets(), self.forms())
    }
}

/// A secret that is not searched for, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsearched {
    name: SecretName,
    why: Why,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Empty,
    Unprotected(psecret::Unprotected),
}

impl Unsearched {
    /// The secret's name.
    #[must_use]
    pub fn name(&self) -> &SecretName {
        &self.name
    }

    /// Why it is not searched for, for people.
    #[must_use]
    pub fn why(&self) -> String {
        match self.why {
            Why::Empty => "empty".to_owned(),
            Why::Unprotected(why) => why.to_string(),
        }
    }
}
