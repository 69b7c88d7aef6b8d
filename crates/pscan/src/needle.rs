//! The needles that are searched for: the forms of the secrets.

use std::collections::HashMap;
use std::fmt;

use psecret::{
    Form, LONGEST_IN_EVERY_FORM, Layout, PartChoice, Parts, Redactor, RedactorBuilder, Searchability, SecretName,
    Shape, UserSecret,
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
    subjects: Subjects,
    shapes: Vec<(usize, bool, Vec<Shape>)>,
    unsearched: Vec<Unsearched>,
    /// Messages about secrets and parts that should be searched for but are not.
    incomplete: Vec<String>,
    redactor: RedactorBuilder,
}

/// The secrets and parts that are searched for.
#[derive(Default)]
struct Subjects {
    names: Vec<SecretName>,
    owners: HashMap<SecretName, usize>,
    /// The subjects: indexes into `names`, each with the part's name. A whole secret precedes its parts, and a part
    /// precedes the parts inside of it.
    all: Vec<(usize, Option<String>)>,
    places: HashMap<(usize, Option<String>), usize>,
}

impl Subjects {
    fn add(&mut self, name: &SecretName, part: Option<&str>) -> usize {
        let owner = *self.owners.entry(name.clone()).or_insert_with(|| {
            self.names.push(name.clone());
            self.names.len() - 1
        });
        let subject = (owner, part.map(str::to_owned));
        *self.places.entry(subject.clone()).or_insert_with(|| {
            self.all.push(subject);
            self.all.len() - 1
        })
    }
}

impl NeedleSetBuilder {
    /// Makes a builder with nothing to search for.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a secret with all its parts. If the secret or a part cannot be searched for, every report says so.
    #[must_use]
    pub fn secret(self, name: &SecretName, value: &UserSecret) -> Self {
        self.taken_apart(name, value, &Parts::of(value, &PartChoice::All))
    }

    /// Adds a secret with the given parts and its further readings.
    #[must_use]
    pub fn taken_apart(mut self, name: &SecretName, value: &UserSecret, parts: &Parts) -> Self {
        self.search(name, value, parts);
        for (reading, parts) in parts.readings() {
            self.search(name, reading, parts);
        }
        self.redactor = self.redactor.taken_apart(name, value, parts);
        self
    }

    fn search(&mut self, name: &SecretName, value: &UserSecret, parts: &Parts) {
        let unsearched =
            |part: Option<&str>, why| Unsearched { name: name.clone(), part: part.map(str::to_owned), why };
        match Searchability::of(value) {
            Searchability::Empty => self.unsearched.push(unsearched(None, "empty".to_owned())),
            Searchability::Unprotected(why) => self.unsearched.push(unsearched(None, why.to_string())),
            policy @ (Searchability::Weak | Searchability::Full) => {
                let subject = self.subjects.add(name, None);
                self.shapes.push((subject, policy == Searchability::Weak, parts.forms_of_whole(value)));
            }
        }
        for part in parts.iter() {
            let subject = self.subjects.add(name, Some(part.name()));
            self.shapes.push((subject, false, part.forms()));
        }
        self.unsearched.extend(parts.unsearched().iter().map(|part| unsearched(Some(part.name()), part.to_string())));
        match parts.left_out() {
            0 => {}
            1 => self.incomplete.push(format!("{name} has one more part than are searched for")),
            more => self.incomplete.push(format!("{name} has {more} more parts than are searched for")),
        }
        if parts.is_cut() {
            self.incomplete.push(format!("{name} was not taken apart to its end"));
        }
    }

    /// Compiles all needles into one search.
    ///
    /// # Errors
    ///
    /// Returns [`ScanError::TooManyForms`].
    pub fn build(self) -> Result<NeedleSet, ScanError> {
        self.build_with(Engines::Filters(Engine::best()))
    }

    fn build_with(self, engines: Engines) -> Result<NeedleSet, ScanError> {
        let Self { subjects, shapes, unsearched, incomplete, redactor } = self;
        let all = || shapes.iter().flat_map(|(_, _, shapes)| shapes);
        let (forms, bytes) = (all().count(), all().map(Shape::len).sum());
        let too_many = || ScanError::TooManyForms { forms, bytes };
        let redactor = redactor.build().map_err(|_| too_many())?;

        let mut set = NeedleSet {
            subjects,
            owners: Vec::new(),
            longest: Vec::new(),
            needles: Vec::new(),
            told: 0,
            wide: Filter::new(),
            narrow: Filter::new(),
            automaton: None,
            unsearched,
            incomplete,
            redactor,
        };
        let mut for_automaton: Vec<(usize, Piece)> = Vec::new();
        let mut owners = HashMap::new();
        let texts: Vec<Vec<Pattern>> = shapes.iter().map(|(_, weak, shapes)| spellings(*weak, shapes)).collect();
        for wanted in merged(&shapes) {
            let owner = *owners.entry(wanted.subjects).or_insert_with_key(|subjects| set.new_owner(subjects));
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
        // A hit in a form without a pattern is reported with a needle that is never searched for.
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

    /// Builds the set for one of the [available](Engine::available) engines, so that tests can compare them.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`build`](Self::build).
    pub fn build_on(self, engine: Engine) -> Result<NeedleSet, ScanError> {
        self.build_with(Engines::Filters(engine))
    }

    /// Builds the set for other means of search, so that tests can compare them.
    #[cfg(test)]
    pub(crate) fn build_by(self, engines: Engines) -> Result<NeedleSet, ScanError> {
        self.build_with(engines)
    }
}

/// The means of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engines {
    /// The filters for all needles that they can find, and the automaton for the rest.
    Filters(Engine),
    /// The automaton for all needles. It does not find wrapped text.
    Automaton,
}

/// The forms without patterns of their own: how a value was escaped or packed is known only when the value is found.
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

/// Makes the usual writers' spellings of a value that is read in any escape, so that the search finds the places to
/// read.
fn spellings(weak: bool, shapes: &[Shape]) -> Vec<Pattern> {
    let spelled = shapes.iter().filter(|shape| !weak && shape.spells_another());
    spelled.map(|shape| Pattern::new(shape, true)).collect()
}

/// Returns the most bytes of a text that one match of the pattern can cover. Escapes make a match longer than the
/// pattern.
fn longest(pattern: &Pattern) -> u64 {
    let length = pattern.bytes().len();
    let times = match pattern.layout() {
        Layout::Spelled if length <= LONGEST_IN_EVERY_FORM => 12,
        Layout::Spelled => 2,
        Layout::Exact | Layout::Wrapped | Layout::Lines => 1,
    };
    (length * times) as u64
}

/// One pattern to search for, with its owners.
struct Wanted {
    form: Form,
    weak: bool,
    subjects: Vec<usize>,
    /// The index, in the list of spellings, of the value that this pattern belongs to.
    spelled_by: usize,
    pattern: Pattern,
}

/// Merges equal patterns into one needle with all their owners: two secrets may have the same value (S8), and so may
/// two parts.
fn merged(shapes: &[(usize, bool, Vec<Shape>)]) -> Vec<Wanted> {
    let mut all: Vec<Wanted> = Vec::new();
    for (spelled_by, (subject, weak, shapes)) in shapes.iter().enumerate() {
        let (weak, subjects) = (*weak, vec![*subject]);
        for shape in shapes.iter().filter(|shape| weak || !shape.spells_another()) {
            let pattern = Pattern::new(shape, weak);
            if shape.form() != Form::Line {
                all.extend(pattern.encoded().into_iter().map(|pattern| {
                    let subjects = subjects.clone();
                    Wanted { form: Form::Base64, weak, subjects, spelled_by, pattern }
                }));
            }
            all.push(Wanted { form: shape.form(), weak, subjects: subjects.clone(), spelled_by, pattern });
        }
    }
    all.sort_by(|one, other| one.pattern.key().cmp(&other.pattern.key()));
    let mut merged: Vec<Wanted> = Vec::new();
    for wanted in all {
        match merged.last_mut().filter(|last| last.pattern.key() == wanted.pattern.key()) {
            Some(last) => {
                last.form = last.form.min(wanted.form);
                last.weak &= wanted.weak;
                last.subjects.extend(wanted.subjects);
            }
            None => merged.push(wanted),
        }
    }
    for wanted in &mut merged {
        wanted.subjects.sort_unstable();
        wanted.subjects.dedup();
    }
    merged
}

/// Every form of every secret, compiled; immutable, shared by all searches.
pub struct NeedleSet {
    subjects: Subjects,
    /// Each group lists the subjects that share a needle, whole secrets before parts. A subject is a secret or a
    /// part, as an index into `Subjects::all`. `Needle::owner` is the index of a group.
    owners: Vec<Vec<usize>>,
    longest: Vec<u64>,
    needles: Vec<Needle>,
    /// The index of the first needle that stands for a [`TOLD`] form. Each owner has one such needle for each of
    /// these forms.
    told: usize,
    wide: Filter<WIDE>,
    narrow: Filter<NARROW>,
    automaton: Option<Automaton>,
    unsearched: Vec<Unsearched>,
    incomplete: Vec<String>,
    redactor: Redactor,
}

pub(crate) struct Needle {
    pub(crate) form: Form,
    pub(crate) owner: usize,
    /// Whether a hit counts only if no letter, digit or underscore is beside it.
    pub(crate) whole_token: bool,
    pub(crate) pattern: Pattern,
}

impl NeedleSet {
    fn new_owner(&mut self, subjects: &[usize]) -> usize {
        let mut subjects = subjects.to_vec();
        subjects.sort_by_key(|subject| (self.subjects.all[*subject].1.is_some(), *subject));
        self.owners.push(subjects);
        self.longest.push(0);
        self.owners.len() - 1
    }

    /// Whether there is nothing to search for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.needles.is_empty()
    }

    /// Returns the number of secrets that are searched for.
    #[must_use]
    pub fn secrets(&self) -> usize {
        self.subjects.names.len()
    }

    /// Returns the number of forms of all secrets together.
    #[must_use]
    pub fn forms(&self) -> usize {
        self.needles.len()
    }

    /// Returns the number of bytes of a stream that must be kept to find a needle that is cut into two pieces, even
    /// with line breaks in it.
    #[must_use]
    pub fn longest(&self) -> usize {
        2 * self.longest.iter().max().map_or(0, |longest| usize::try_from(*longest).unwrap_or(usize::MAX / 4))
            + LONGEST_GAP
    }

    /// Returns the secrets and parts that are not searched for.
    #[must_use]
    pub fn unsearched(&self) -> &[Unsearched] {
        &self.unsearched
    }

    /// Returns messages about parts that should be searched for but are not: a secret has too many parts, or was not
    /// read in full.
    pub(crate) fn incomplete(&self) -> &[String] {
        &self.incomplete
    }

    /// Returns the names of the secrets that are searched for.
    pub(crate) fn secret_names(&self) -> impl Iterator<Item = &SecretName> {
        self.subjects.names.iter()
    }

    /// Lists the names of an owner's secrets, each once. There are several if they have the same value.
    pub(crate) fn names(&self, owner: usize) -> impl Iterator<Item = &SecretName> {
        let owners = &self.owners[owner];
        let name = |subject: &usize| self.subjects.all[*subject].0;
        let first = move |at: usize| !owners[..at].iter().any(|earlier| name(earlier) == name(&owners[at]));
        (0..owners.len()).filter(move |at| first(*at)).map(move |at| &self.subjects.names[name(&owners[at])])
    }

    /// Returns the part that an owner's hits are reported with; `None` stands for the whole secret.
    pub(crate) fn part(&self, owner: usize) -> Option<&str> {
        self.owners[owner].first().and_then(|subject| self.subjects.all[*subject].1.as_deref())
    }

    /// Returns the family of an owner's hits: the index of the secret to which the owner's first subject belongs. The
    /// collector merges overlapping hits of the same family.
    pub(crate) fn family(&self, owner: usize) -> usize {
        self.owners[owner].first().map_or(0, |subject| self.subjects.all[*subject].0)
    }

    /// Returns the rank of an owner for hits that overlap: a whole secret ranks before its parts, a part before the
    /// parts inside of it.
    pub(crate) fn rank(&self, owner: usize) -> usize {
        self.owners[owner].first().copied().unwrap_or_default()
    }

    /// Whether a secret that is searched for has this part.
    pub(crate) fn has_part(&self, name: &SecretName, part: &str) -> bool {
        self.subjects
            .all
            .iter()
            .any(|(owner, known)| self.subjects.names[*owner] == *name && known.as_deref() == Some(part))
    }

    /// Finds the secret with this name, if it is searched for.
    pub(crate) fn known_name(&self, name: &str) -> Option<&SecretName> {
        self.subjects.names.iter().find(|known| known.as_str() == name)
    }

    /// Finds the form with this machine name, if a needle has it.
    pub(crate) fn known_form(&self, name: &str) -> Option<Form> {
        self.needles.iter().map(|needle| needle.form).find(|form| form.machine_name() == name)
    }

    /// Returns the length of the longest needle of a family.
    pub(crate) fn longest_of(&self, family: usize) -> u64 {
        let longest =
            (0..self.owners.len()).filter(|owner| self.family(*owner) == family).map(|owner| self.longest[owner]);
        longest.max().unwrap_or_default()
    }

    pub(crate) fn needle(&self, index: usize) -> &Needle {
        &self.needles[index]
    }

    /// Finds the needle by which a hit of this needle is reported in another form.
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

/// Shows only counts, because the needles are plaintext.
impl fmt::Debug for NeedleSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NeedleSet({} secrets in {} forms)", self.secrets(), self.forms())
    }
}

/// A secret or a part that is not searched for, and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsearched {
    name: SecretName,
    part: Option<String>,
    why: String,
}

impl Unsearched {
    pub(crate) fn new(name: SecretName, why: String) -> Self {
        Self { name, part: None, why }
    }

    pub(crate) fn of_part(self, part: Option<String>) -> Self {
        Self { part, ..self }
    }

    /// Returns the secret's name.
    #[must_use]
    pub fn name(&self) -> &SecretName {
        &self.name
    }

    /// Returns the part's name; `None` stands for the whole secret.
    #[must_use]
    pub fn part(&self) -> Option<&str> {
        self.part.as_deref()
    }

    /// Returns the secret's name, and that of the part, for people.
    #[must_use]
    pub fn label(&self) -> String {
        crate::finding::label(&self.name, self.part())
    }

    /// Returns the reason for people.
    #[must_use]
    pub fn why(&self) -> String {
        self.why.clone()
    }
}
