//! Typed access to TOML tables whose keys are all known.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::{Located, ManifestFault, nearest};

/// A value with the range of bytes at which it was written.
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) span: Range<usize>,
}

/// A table with its name in messages.
pub(crate) struct Table<'t> {
    place: String,
    table: &'t DeTable<'t>,
    span: Range<usize>,
}

impl<'t> Table<'t> {
    /// Opens a table. An unknown key in it is an error.
    pub(crate) fn open(
        place: &str,
        table: &'t DeTable<'t>,
        span: Range<usize>,
        known: &'static [&'static str],
    ) -> Result<Self, Located> {
        let opened = Self { place: place.to_owned(), table, span };
        match opened.entries().into_iter().find(|(key, _)| !known.contains(&key.value)) {
            None => Ok(opened),
            Some((key, _)) => Err(Located {
                span: key.span,
                fault: ManifestFault::UnknownKey {
                    nearest: nearest(key.value, known),
                    key: key.value.to_owned(),
                    table: opened.place,
                    known,
                },
            }),
        }
    }

    /// Opens a table whose keys are names that the user chose.
    pub(crate) fn of_names(place: &str, table: &'t DeTable<'t>, span: Range<usize>) -> Self {
        Self { place: place.to_owned(), table, span }
    }

    /// Returns the key with its table, as messages show it.
    pub(crate) fn path(&self, key: &str) -> String {
        if self.place.is_empty() { key.to_owned() } else { format!("{}.{key}", self.place) }
    }

    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    pub(crate) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Returns all keys and values, in the order of the text.
    pub(crate) fn entries(&self) -> Vec<(At<&'t str>, &'t Spanned<DeValue<'t>>)> {
        let mut entries: Vec<_> = self
            .table
            .iter()
            .map(|(key, value)| (At { value: key.get_ref().as_ref(), span: key.span() }, value))
            .collect();
        entries.sort_by_key(|(key, _)| key.span.start);
        entries
    }

    pub(crate) fn get(&self, key: &str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.table.get(key)
    }

    pub(crate) fn string(&self, key: &str) -> Result<Option<At<String>>, Located> {
        self.get(key).map(|value| string(&self.path(key), value)).transpose()
    }

    pub(crate) fn boolean(&self, key: &str) -> Result<Option<At<bool>>, Located> {
        self.get(key)
            .map(|value| match value.get_ref() {
                DeValue::Boolean(boolean) => Ok(At { value: *boolean, span: value.span() }),
                _ => Err(wrong_type(&self.path(key), "true or false", value)),
            })
            .transpose()
    }

    /// Reads a whole number within the range. The error for another number states the rule.
    pub(crate) fn number(
        &self,
        key: &str,
        range: std::ops::RangeInclusive<u32>,
        rule: &'static str,
    ) -> Result<Option<u32>, Located> {
        self.get(key)
            .map(|value| match value.get_ref() {
                DeValue::Integer(number) => {
                    let parsed = u32::from_str_radix(number.as_str(), number.radix()).ok();
                    parsed
                        .filter(|number| range.contains(number))
                        .ok_or_else(|| broken(&self.path(key), rule, value.span()))
                }
                _ => Err(wrong_type(&self.path(key), "a whole number", value)),
            })
            .transpose()
    }

    /// Reads a list of strings. A missing list is `None`, not an empty list.
    pub(crate) fn strings(&self, key: &str) -> Result<Option<Vec<At<String>>>, Located> {
        self.get(key)
            .map(|value| match value.get_ref() {
                DeValue::Array(array) => array.iter().map(|item| string(&self.path(key), item)).collect(),
                _ => Err(wrong_type(&self.path(key), "a list of strings", value)),
            })
            .transpose()
    }

    /// Reads a command, which is a list of words that begins with a program.
    pub(crate) fn command(&self, key: &str) -> Result<Option<Vec<String>>, Located> {
        let Some(words) = self.strings(key)? else {
            return Ok(None);
        };
        let span = self.get(key).map_or(self.span.clone(), Spanned::span);
        let words: Vec<String> = words.into_iter().map(|word| word.value).collect();
        if words.first().is_none_or(String::is_empty) || words.iter().any(|word| word.contains('\0')) {
            return Err(broken(&self.path(key), "be a list of words that begins with a program", span));
        }
        Ok(Some(words))
    }

    /// Reads a string that must be one of the choices.
    pub(crate) fn choice<T: Copy>(
        &self,
        key: &str,
        names: &'static [&'static str],
        choices: &[T],
    ) -> Result<Option<T>, Located> {
        let Some(written) = self.string(key)? else {
            return Ok(None);
        };
        match names.iter().position(|name| *name == written.value).and_then(|at| choices.get(at)) {
            Some(choice) => Ok(Some(*choice)),
            None => Err(Located {
                span: written.span,
                fault: ManifestFault::NoSuchChoice {
                    key: self.path(key),
                    choices: names,
                    nearest: crate::error::nearest(&written.value, names),
                },
            }),
        }
    }

    /// Reads a table within this table.
    pub(crate) fn table(&self, key: &str) -> Result<Option<(&'t DeTable<'t>, Range<usize>)>, Located> {
        self.get(key).map(|value| as_table(&self.path(key), value)).transpose()
    }

    /// Reads a string that must satisfy the rule.
    pub(crate) fn checked(
        &self,
        key: &str,
        rule: &'static str,
        accepts: impl Fn(&str) -> bool,
    ) -> Result<Option<String>, Located> {
        match self.string(key)? {
            Some(written) if !accepts(&written.value) => Err(broken(&self.path(key), rule, written.span)),
            written => Ok(written.map(|written| written.value)),
        }
    }

    pub(crate) fn missing(&self, key: &'static str) -> Located {
        let fault = ManifestFault::MissingKey { key, table: self.place.clone() };
        Located { span: self.span.clone(), fault }
    }

    /// Names a key of this table and a key of the top that exclude each other.
    pub(crate) fn conflict_with(&self, one: &str, other: &str, why: &'static str) -> Located {
        let span = self.get(one).map_or(self.span.clone(), Spanned::span);
        Located { span, fault: ManifestFault::Conflict { one: self.path(one), other: other.to_owned(), why } }
    }

    pub(crate) fn conflict(&self, one: &str, other: &str, why: &'static str) -> Located {
        let span = self.get(one).map_or(self.span.clone(), Spanned::span);
        Located { span, fault: ManifestFault::Conflict { one: self.path(one), other: self.path(other), why } }
    }
}

/// A rule, as the end of "`key` must …", and whether a text keeps it.
pub(crate) type Rule = (&'static str, fn(&str) -> bool);

/// Reads a table of names and texts within a table, in the order of the text; an absent one is empty.
pub(crate) fn pairs_of(
    parent: &Table<'_>,
    key: &str,
    (name_rule, is_name): Rule,
    (value_rule, is_value): Rule,
) -> Result<Vec<(String, String)>, Located> {
    let Some((table, span)) = parent.table(key)? else {
        return Ok(Vec::new());
    };
    let table = Table::of_names(&parent.path(key), table, span);
    let mut pairs = Vec::new();
    for (name, value) in table.entries() {
        let path = table.path(name.value);
        if !is_name(name.value) {
            return Err(broken(&path, name_rule, name.span));
        }
        let value = string(&path, value)?;
        if !is_value(&value.value) {
            return Err(broken(&path, value_rule, value.span));
        }
        pairs.push((name.value.to_owned(), value.value));
    }
    Ok(pairs)
}

pub(crate) fn as_table<'t>(
    path: &str,
    value: &'t Spanned<DeValue<'t>>,
) -> Result<(&'t DeTable<'t>, Range<usize>), Located> {
    match value.get_ref() {
        DeValue::Table(table) => Ok((table, value.span())),
        _ => Err(wrong_type(path, "a table", value)),
    }
}

pub(crate) fn string(path: &str, value: &Spanned<DeValue<'_>>) -> Result<At<String>, Located> {
    match value.get_ref() {
        DeValue::String(text) => Ok(At { value: text.clone().into_owned(), span: value.span() }),
        _ => Err(wrong_type(path, "a string in quotes", value)),
    }
}

pub(crate) fn wrong_type(path: &str, expected: &'static str, value: &Spanned<DeValue<'_>>) -> Located {
    let found = match value.get_ref() {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    Located { span: value.span(), fault: ManifestFault::WrongType { key: path.to_owned(), expected, found } }
}

pub(crate) fn broken(path: &str, rule: &'static str, span: Range<usize>) -> Located {
    Located { span, fault: ManifestFault::Rule { key: path.to_owned(), rule } }
}
