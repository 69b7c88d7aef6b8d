//! What is searched for.

use std::collections::HashMap;
use std::fmt;

use psecret::{
    Form, LONGEST_IN_EVERY_FORM, Layout, Redactor, RedactorBuilder, Searchability, SecretName, Shape, UserSecret, forms,
};

use crate::ScanError;
use crate::anchor::{self, Anchors, NARROW, Piece, WIDE};
use crate::automaton::Automaton;
use crate::filter::{Engine, Filter};
use crate::pattern::Pattern;
use crate::text::LONGEST_GAP;

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
        self.build_with(Engines::Filters(Engine::best()))
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
            told: 0,
            wide: Filter::new(),
            narrow: Filter::new(),
            automaton: None,
            unsearched,
            redactor,
        };
        let mut for_automaton: Vec<(usize, Piece)> = Vec::new();
        let mut owners = HashMap::new();
        let texts: Vec<Vec<Pattern>> = shapes.iter().map(|(_, weak, shapes)| spellings(*weak, shapes)).collect();
        for wanted in merged(&shapes) {
            let owner = *owners.entry(wanted.names).or_insert_with_key(|names| set.new_owner(names));
            let Wanted { form, weak, spelled_by, pattern, .. } = wanted;
            let index = set.needles.len();
            set.longest[owner] = set.longest[owner].max(longest(&pattern));
            let Anchors { find_plain, wide, narrow } = if engines == Engines::Automaton {
                Anchors::default()
            } else {
                anchor::of(&pattern, &texts[spelled_by])
            };
            if !find_plain {
                for_automaton.push((index, anchor::run(&pattern)));
            }
            set.wide.add(index, &wide);
            set.narrow.add(index, &narrow);
            set.needles.push(Needle { form, owner, whole_token: weak, pattern });
        }
        // What is seen in a form that no pattern has is told by a needle that nothing seeks.
        set.told = set.needles.len();
        for owner in 0..set.owners.len() {
            let whole_token =
                set.needles[..set.told].iter().filter(|needle| needle.owner == owner).all(|needle| needle.whole_token);
            for form in TOLD {
                set.needles.push(Needle { form, owner, whole_token, pattern: Pattern::nothing() });
            }
        }
        if let Engines::Filters(engine) = engines {
            set.wide.finish(engine);
            set.narrow.finish(engine);
        }
        if !for_automaton.is_empty() {
            set.automaton = Some(Automaton::new(&for_automaton).ok_or_else(too_many)?);
        }
        Ok(set)
    }

    /// The same on a certain engine of those that are [available](Engine::available), to compare them.
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build).
    pub fn build_on(self, engine: Engine) -> Result<NeedleSet, ScanError> {
        self.build_with(Engines::Filters(engine))
    }

    /// The same search by other means, to compare them.
    #[cfg(test)]
    pub(crate) fn build_by(self, engines: Engines) -> Result<NeedleSet, ScanError> {
        self.build_with(engines)
    }
}

/// What searches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engines {
    /// Filters for the needles they take, the automaton for the rest.
    Filters(Engine),
    /// The automaton for everything. It knows no wrapped text.
    Automaton,
}

/// The forms that no pattern has: how a value was escaped or packed is seen when it is found.
const TOLD: [Form; 10] = [
    Form::Base64OfGzip,
    Form::HexEscaped,
    Form::Percent,
    Form::Json,
    Form::JsonTwice,
    Form::Shell,
    Form::Literal,
    Form::Doubled,
    Form::Xml,
    Form::QuotedPrintable,
];

/// What the usual writers make of a value that is read under any escape: to find where to read.
fn spellings(weak: bool, shapes: &[Shape]) -> Vec<Pattern> {
    let spelled = shapes.iter().filter(|shape| !weak && shape.spells_another());
    spelled.map(|shape| Pattern::new(shape, true)).collect()
}

/// How long a pattern may get in a text.
fn longest(pattern: &Pattern) -> u64 {
    let length = pattern.bytes().len();
    let times = match pattern.layout() {
        Layout::Spelled if length <= LONGEST_IN_EVERY_FORM => 12,
        Layout::Spelled => 2,
        Layout::Exact | Layout::Wrapped | Layout::Lines => 1,
    };
    (length * times) as u64
}

/// One pattern to look for, and for whom.
struct Wanted {
    form: Form,
    weak: bool,
    names: Vec<usize>,
    /// The index of the secret whose spellings are the pattern's.
    spelled_by: usize,
    pattern: Pattern,
}

/// Equal patterns become one needle of all who want them: two names may have one value (S8).
fn merged(shapes: &[(usize, bool, Vec<Shape>)]) -> Vec<Wanted> {
    let mut all: Vec<Wanted> = Vec::new();
    for (spelled_by, (name, weak, shapes)) in shapes.iter().enumerate() {
        let (weak, names) = (*weak, vec![*name]);
        for shape in shapes.iter().filter(|shape| weak || !shape.spells_another()) {
            let pattern = Pattern::new(shape, weak);
            if shape.form() != Form::Line {
                all.extend(pattern.encoded().into_iter().map(|pattern| {
                    let names = names.clone();
                    Wanted { form: Form::Base64, weak, names, spelled_by, pattern }
                }));
            }
            all.push(Wanted { form: shape.form(), weak, names: names.clone(), spelled_by, pattern });
        }
    }
    all.sort_by(|one, other| one.pattern.key().cmp(&other.pattern.key()));
    let mut merged: Vec<Wanted> = Vec::new();
    for wanted in all {
        match merged.last_mut().filter(|last| last.pattern.key() == wanted.pattern.key()) {
            Some(last) => {
                last.form = last.form.min(wanted.form);
                last.weak &= wanted.weak;
                if !last.names.contains(&wanted.names[0]) {
                    last.names.extend(wanted.names);
                }
            }
            None => merged.push(wanted),
        }
    }
    for wanted in &mut merged {
        wanted.names.sort_unstable();
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
    /// The first of the needles that stand for [`TOLD`] forms, each of them for each owner.
    told: usize,
    wide: Filter<WIDE>,
    narrow: Filter<NARROW>,
    automaton: Option<Automaton>,
    unsearched: Vec<Unsearched>,
    redactor: Redactor,
}

pub(crate) struct Needle {
    pub(crate) form: Form,
    pub(crate) owner: usize,
    /// Counts only where no letter, digit or underscore stands beside it.
    pub(crate) whole_token: bool,
    pub(crate) pattern: Pattern,
}

impl NeedleSet {
    fn new_owner(&mut self, names: &[usize]) -> usize {
        self.owners.push(names.to_vec());
        self.longest.push(0);
        self.owners.len() - 1
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

    /// How many bytes must be kept of a stream to see a needle that two pieces cut, line breaks within it included.
    #[must_use]
    pub fn longest(&self) -> usize {
        2 * self.longest.iter().max().map_or(0, |longest| usize::try_from(*longest).unwrap_or(usize::MAX / 4))
            + LONGEST_GAP
    }

    /// The secrets that are not searched for.
    #[must_use]
    pub fn unsearched(&self) -> &[Unsearched] {
        &self.unsearched
    }

    /// The names of the secrets that are searched for.
    pub(crate) fn secret_names(&self) -> impl Iterator<Item = &SecretName> {
        self.names.iter()
    }

    /// The names of the secrets that a hit stands for: several when they have one value.
    pub(crate) fn names(&self, owner: usize) -> impl Iterator<Item = &SecretName> {
        self.owners[owner].iter().map(|name| &self.names[*name])
    }

    /// The secret of this name, if it is searched for.
    pub(crate) fn known_name(&self, name: &str) -> Option<&SecretName> {
        self.names.iter().find(|known| known.as_str() == name)
    }

    /// The form of this machine name, if a needle has it.
    pub(crate) fn known_form(&self, name: &str) -> Option<Form> {
        self.needles.iter().map(|needle| needle.form).find(|form| form.machine_name() == name)
    }

    /// The length of the longest needle of an owner.
    pub(crate) fn longest_of(&self, owner: usize) -> u64 {
        self.longest[owner]
    }

    pub(crate) fn needle(&self, index: usize) -> &Needle {
        &self.needles[index]
    }

    /// The needle that tells of this one's owner in another form.
    pub(crate) fn told_by(&self, needle: usize, form: Form) -> usize {
        let nth = TOLD.iter().position(|told| *told == form);
        nth.map_or(needle, |nth| self.told + self.needles[needle].owner * TOLD.len() + nth)
    }

    pub(crate) fn wide(&self) -> &Filter<WIDE> {
        &self.wide
    }

    pub(crate) fn narrow(&self) -> &Filter<NARROW> {
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
