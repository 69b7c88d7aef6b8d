//! The parts of a secret. What a secret contains is secret, too, so a value that is a file, a structure or an
//! encoding is taken apart.
//!
//! A value enters once, through [`Parts::of`]. Wrappings are undone: quotes, `Bearer`, base64, hex, gzip. Known
//! formats are read: JSON, YAML, TOML, XML, lines of names and values, addresses, keys. Of the values found inside,
//! those are parts whose name says that they are confidential, and those that nobody could guess. A value in no known
//! format has no parts.

mod address;
mod judge;
mod key;
mod lines;
pub(crate) mod private;
mod program;
mod structure;
mod taker;
mod tree;
mod wrapping;

use std::fmt;

use crate::form::{self, Form, Shape};
use crate::{Searchability, UserSecret};
use taker::{Content, Taker};

/// Which parts of a value count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PartChoice {
    /// All parts that are found; the default.
    #[default]
    All,
    /// No part: the value is searched for as a whole.
    None,
    /// The parts of these names. A name is a whole name as reports show it, or its last piece.
    Named(Vec<String>),
}

impl PartChoice {
    /// Parses the value of the flag's `parts`: `false` for no part, `true` for all parts, else names with a blank or
    /// `+` between them.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim() {
            "" => None,
            "false" => Some(Self::None),
            "true" => Some(Self::All),
            names => {
                Some(Self::Named(names.split([' ', '+']).filter(|name| !name.is_empty()).map(str::to_owned).collect()))
            }
        }
    }
}

/// A value that a secret contains.
#[derive(Debug)]
pub struct Part {
    name: String,
    value: UserSecret,
    lines_tell: bool,
}

impl Part {
    /// Returns the place of the part in the secret: a name, or the path to it. It never contains the value or a piece
    /// of it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the value, still closed.
    #[must_use]
    pub fn value(&self) -> &UserSecret {
        &self.value
    }

    /// Whether each line of the part identifies the part.
    pub(crate) fn lines_tell(&self) -> bool {
        self.lines_tell
    }

    /// Makes every byte string by which the part can be recognized.
    #[must_use]
    pub fn forms(&self) -> Vec<Shape> {
        told_by(form::forms(&self.value), self.lines_tell)
    }
}

/// A part that is not searched for, and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsearchedPart {
    name: String,
    why: Why,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Why {
    Judged(Searchability),
    Guessable,
    Absent,
}

impl UnsearchedPart {
    /// Returns the part's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Writes the reason why the part is not searched for.
impl fmt::Display for UnsearchedPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            Why::Judged(Searchability::Unprotected(why)) => write!(f, "{why}"),
            Why::Judged(_) => f.write_str("shorter than 8 bytes"),
            Why::Guessable => f.write_str("the same as something public beside it"),
            Why::Absent => f.write_str("the value has no such part"),
        }
    }
}

/// The parts of a value.
///
/// - At most 64 parts of 8 bytes or more are kept, outer parts before those inside of them;
///   [`left_out`](Self::left_out) counts the others.
/// - Wrappings and texts within texts are read at most six deep, and only so many bytes; [`is_cut`](Self::is_cut)
///   tells whether such a limit was reached.
/// - The same value always has the same parts, on every machine.
///
/// ```
/// use psecret::{PartChoice, Parts, UserSecret};
///
/// let value = UserSecret::new(b"[default]\naws_access_key_id = AKIAQ7XZ1K9VB2M4N6P8\naws_secret_access_key = 9fKq2LmZr8Kc1\n".to_vec());
/// let parts = Parts::of(&value, &PartChoice::All);
/// assert_eq!(parts.iter().map(psecret::Part::name).collect::<Vec<_>>(), ["aws_secret_access_key"]);
/// ```
#[derive(Debug, Default)]
pub struct Parts {
    parts: Vec<Part>,
    unsearched: Vec<UnsearchedPart>,
    left_out: usize,
    cut: bool,
    structured: bool,
    readings: Vec<(UserSecret, Parts)>,
}

impl Parts {
    /// Takes a value apart.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "door 64: a value is taken apart into what it contains")]
    pub fn of(value: &UserSecret, choice: &PartChoice) -> Self {
        let mut taker = Taker::new(value.expose());
        let content = taker.run();
        let guessable = taker.guessable();
        let left_out = taker.left_out();
        let Taker { found, unprotected, cut, .. } = taker;
        let of = |part: taker::Found| Part {
            name: part.name,
            value: UserSecret::new(part.value.to_vec()),
            lines_tell: part.lines_tell,
        };
        let judged = unprotected.into_iter().map(|(name, judged)| UnsearchedPart { name, why: Why::Judged(judged) });
        let guessed = guessable.into_iter().map(|name| UnsearchedPart { name, why: Why::Guessable });
        let parts = Self {
            parts: found.into_iter().map(of).collect(),
            unsearched: judged.chain(guessed).collect(),
            left_out,
            cut,
            structured: matches!(content, Content::Public | Content::Mixed),
            readings: Vec::new(),
        };
        parts.chosen(choice)
    }

    /// Keeps only the parts of the choice.
    pub(crate) fn chosen(mut self, choice: &PartChoice) -> Self {
        // Each reading of the value is reduced to the same choice. The readings' own unsearched parts are dropped,
        // because the value's are reported already.
        let of_reading = |(value, parts): (UserSecret, Self)| {
            let parts = Self { unsearched: Vec::new(), ..parts.chosen(choice) };
            (value, parts)
        };
        self.readings = self.readings.into_iter().map(of_reading).collect();
        let names = match choice {
            PartChoice::All => return self,
            PartChoice::None => {
                return Self { structured: self.structured, readings: self.readings, ..Self::default() };
            }
            PartChoice::Named(names) => names,
        };
        let is = |part: &str, name: &String| part == name || part.rsplit('/').next() == Some(name);
        let chosen = |part: &str| names.iter().any(|name| is(part, name));
        let absent = |name: &&String| {
            let known = self.parts.iter().map(Part::name).chain(self.unsearched.iter().map(UnsearchedPart::name));
            !known.into_iter().any(|part| is(part, name))
        };
        let absent: Vec<_> = names.iter().filter(absent).cloned().collect();
        self.parts.retain(|part| chosen(&part.name));
        self.unsearched.retain(|part| chosen(&part.name));
        self.unsearched.extend(absent.into_iter().map(|name| UnsearchedPart { name, why: Why::Absent }));
        self
    }

    /// Adds the value that another reader of the same text finds, unless that value is too short to be searched for.
    pub(crate) fn add_reading(&mut self, value: UserSecret, choice: &PartChoice) {
        match Searchability::of(&value) {
            Searchability::Empty | Searchability::Unprotected(_) => {}
            Searchability::Weak | Searchability::Full => {
                let parts = Self { unsearched: Vec::new(), ..Self::of(&value, choice) };
                self.readings.push((value, parts));
            }
        }
    }

    /// Returns the values that other readers of the same text find, each taken apart. They are as secret as the
    /// value, and are searched for and masked under the secret's own name.
    pub fn readings(&self) -> impl Iterator<Item = (&UserSecret, &Self)> {
        self.readings.iter().map(|(value, parts)| (value, parts))
    }

    /// Returns the parts, outer ones first.
    pub fn iter(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter()
    }

    /// Whether the value has no part.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Returns the parts that are not searched for, because they are too short, too common or guessable, or because
    /// no part has the chosen name.
    #[must_use]
    pub fn unsearched(&self) -> &[UnsearchedPart] {
        &self.unsearched
    }

    /// Returns how many more parts there are than those that are searched for.
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// Whether the value was so large or so deep that it was not read in full.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// Returns the names of all parts, each once.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for part in &self.parts {
            if !names.contains(&part.name()) {
                names.push(part.name());
            }
        }
        names
    }

    /// Makes every byte string by which the whole value can be recognized. If the value contains public text too, a
    /// single line proves nothing, because this line may occur anywhere.
    #[must_use]
    pub fn forms_of_whole(&self, value: &UserSecret) -> Vec<Shape> {
        told_by(form::forms(value), !self.structured)
    }

    /// Whether each line of the whole value identifies it.
    pub(crate) fn lines_tell(&self) -> bool {
        !self.structured
    }
}

fn told_by(mut forms: Vec<Shape>, lines_tell: bool) -> Vec<Shape> {
    forms.retain(|shape| lines_tell || shape.form() != Form::Line);
    forms
}

#[cfg(test)]
mod tests;
