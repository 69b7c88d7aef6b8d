//! A secret with everything that the tools must know about it.

use std::fmt;
use std::path::PathBuf;

use crate::value::{LONGEST_SECRET, LONGEST_VARIABLE};
use crate::{PartChoice, Parts, Place, SecretError, SecretName, UserSecret};

/// The half of the work that gets the secret: the build, the run, or both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// The build alone.
    Build,
    /// The running app alone.
    Run,
    /// Both; the default.
    #[default]
    Both,
}

impl Scope {
    /// Whether a build offers the secret to its steps.
    #[must_use]
    pub fn in_build(self) -> bool {
        matches!(self, Self::Build | Self::Both)
    }

    /// Whether a running app gets the secret.
    #[must_use]
    pub fn in_run(self) -> bool {
        matches!(self, Self::Run | Self::Both)
    }
}

/// The shape in which a program gets the secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// An environment variable that holds the value; the default.
    #[default]
    Variable,
    /// A file in memory that holds the value; the variable holds its path.
    File,
}

/// Whether the steps that get the secret run again if its value is new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rebuild {
    /// The steps run again: their cached results count only for the same value. This is the default.
    #[default]
    WithValue,
    /// The steps do not run again: their cached results count for any value. This is meant for tokens that change
    /// with every run.
    Never,
}

/// The configuration that the value came from, for `secrets list` to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A `--secret` flag.
    Flag(Place),
    /// A line of an env file.
    EnvFile {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// A line of an env file that the manifest names.
    ProjectFile {
        /// The file, as a path below the manifest's folder.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// The key `from` of the manifest, with a file or a variable.
    Manifest(Place),
    /// The key `from` of the manifest, with a command. Only the program's name is kept.
    Command {
        /// The program.
        program: String,
    },
    /// The key `value` of the manifest, which is put together from other names.
    Composed,
    /// The sealed store.
    Store,
    /// The process environment.
    Environment,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(place) => write!(f, "--secret ({place})"),
            Self::EnvFile { path, line } => write!(f, "--env-file ({}:{line})", path.display()),
            Self::ProjectFile { path, line } => write!(f, "app.toml ({}:{line})", path.display()),
            Self::Manifest(place) => write!(f, "app.toml ({place})"),
            Self::Command { program } => write!(f, "app.toml (command {program})"),
            Self::Composed => f.write_str("app.toml (composed)"),
            Self::Store => f.write_str("secrets.age"),
            Self::Environment => f.write_str("environment"),
        }
    }
}

/// A secret that can be delivered: its value is not empty, and not longer than its delivery can carry.
#[derive(Debug)]
pub struct Secret {
    name: SecretName,
    value: UserSecret,
    scope: Scope,
    delivery: Delivery,
    source: Source,
    parts: Parts,
    choice: PartChoice,
    rebuild: Rebuild,
}

impl Secret {
    /// Checks that the value can be delivered in this shape, and takes it apart.
    ///
    /// # Errors
    ///
    /// Returns [`SecretError::Empty`], or [`SecretError::TooLong`] for more than 500 KiB. For a variable, also
    /// returns [`SecretError::Nul`], and [`SecretError::LongVariable`] if `NAME=VALUE` and its NUL exceed 128 KiB.
    pub fn new(
        name: SecretName,
        value: UserSecret,
        scope: Scope,
        delivery: Delivery,
        source: Source,
    ) -> Result<Self, SecretError> {
        if value.is_empty() {
            return Err(SecretError::Empty { name });
        }
        if value.len() > LONGEST_SECRET {
            return Err(SecretError::TooLong { name });
        }
        Self::fits(&name, &value, delivery)?;
        let mut parts = Parts::of(&value, &PartChoice::All);
        if let Some(bare) = value.without_byte_order_mark() {
            parts.add_reading(bare, &PartChoice::All);
        }
        let (choice, rebuild) = (PartChoice::All, Rebuild::default());
        Ok(Self { name, value, scope, delivery, source, parts, choice, rebuild })
    }

    /// Checks whether programs can get a value in this shape.
    ///
    /// # Errors
    ///
    /// Returns [`SecretError::Nul`] or [`SecretError::LongVariable`].
    pub fn fits(name: &SecretName, value: &UserSecret, delivery: Delivery) -> Result<(), SecretError> {
        if delivery == Delivery::Variable && value.has_nul() {
            return Err(SecretError::Nul { name: name.clone() });
        }
        if delivery == Delivery::Variable && name.as_str().len() + value.len() + 2 > LONGEST_VARIABLE {
            return Err(SecretError::LongVariable { name: name.clone(), length: value.len() });
        }
        Ok(())
    }

    /// Keeps only the parts of the choice.
    #[must_use]
    pub fn with_parts(self, choice: PartChoice) -> Self {
        Self { parts: self.parts.chosen(&choice), choice, ..self }
    }

    /// Adds the value that another reader of the same text finds. It is searched for and masked like the value
    /// itself.
    #[must_use]
    pub fn with_reading(mut self, reading: Option<UserSecret>) -> Self {
        if let Some(reading) = reading {
            self.parts.add_reading(reading, &self.choice);
        }
        self
    }

    /// Sets whether a new value runs steps again.
    #[must_use]
    pub fn with_rebuild(self, rebuild: Rebuild) -> Self {
        Self { rebuild, ..self }
    }

    /// Returns the secret's name.
    #[must_use]
    pub fn name(&self) -> &SecretName {
        &self.name
    }

    /// Returns the secret's value, still closed.
    #[must_use]
    pub fn value(&self) -> &UserSecret {
        &self.value
    }

    /// Returns the value, and the values that other readers of the same text find. A search for the secret looks for
    /// all of them.
    pub fn readings(&self) -> impl Iterator<Item = &UserSecret> {
        std::iter::once(&self.value).chain(self.parts.readings().map(|(reading, _)| reading))
    }

    /// Returns the parts of the value that are secret, too.
    #[must_use]
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Returns the choice of parts that count.
    #[must_use]
    pub fn part_choice(&self) -> &PartChoice {
        &self.choice
    }

    /// Returns whether the steps that get the secret run again if its value is new.
    #[must_use]
    pub fn rebuild(&self) -> Rebuild {
        self.rebuild
    }

    /// Returns which half of the work gets the secret.
    #[must_use]
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// Returns the shape in which programs get the secret.
    #[must_use]
    pub fn delivery(&self) -> Delivery {
        self.delivery
    }

    /// Returns where the value came from.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(length: usize, delivery: Delivery) -> Result<Secret, SecretError> {
        let name = SecretName::parse("TOKEN").unwrap();
        Secret::new(name, UserSecret::new(vec![b'x'; length]), Scope::Both, delivery, Source::Environment)
    }

    #[test]
    fn an_empty_value_is_an_error_s1() {
        assert!(matches!(secret(0, Delivery::File), Err(SecretError::Empty { .. })));
    }

    #[test]
    fn a_variable_ends_at_128_kib_with_its_name_and_its_nul_k14() {
        let fits = LONGEST_VARIABLE - "TOKEN=".len() - 1;
        assert!(secret(fits, Delivery::Variable).is_ok());
        assert!(
            matches!(secret(fits + 1, Delivery::Variable), Err(SecretError::LongVariable { length, .. }) if length == fits + 1)
        );
        assert!(secret(fits + 1, Delivery::File).is_ok());
    }

    #[test]
    fn buildkits_limit_holds_for_files_c5() {
        assert!(secret(LONGEST_SECRET, Delivery::File).is_ok());
        assert!(matches!(secret(LONGEST_SECRET + 1, Delivery::File), Err(SecretError::TooLong { .. })));
    }

    #[test]
    fn nul_is_refused_for_variables_alone_s11() {
        let make = |delivery| {
            let name = SecretName::parse("KEY").unwrap();
            Secret::new(name, UserSecret::new(b"ab\0cdefgh".to_vec()), Scope::Both, delivery, Source::Store)
        };
        assert!(matches!(make(Delivery::Variable), Err(SecretError::Nul { .. })));
        assert!(make(Delivery::File).is_ok());
    }

    #[test]
    fn a_value_is_also_what_stands_behind_its_byte_order_mark() {
        let make = |value: &str| {
            let name = SecretName::parse("KEY").unwrap();
            let value = UserSecret::new(value.as_bytes().to_vec());
            Secret::new(name, value, Scope::Both, Delivery::Variable, Source::Store).unwrap()
        };
        let secret = make("\u{feff}q7xz1k9v");
        let readings: Vec<&[u8]> = secret.readings().map(UserSecret::bytes_for_tests).collect();
        assert_eq!(readings, ["\u{feff}q7xz1k9v".as_bytes(), b"q7xz1k9v"]);
        assert_eq!(make("q7xz1k9v").readings().count(), 1);
    }

    #[test]
    fn debug_shows_names_and_no_value() {
        let shown = format!("{:?}", secret(9, Delivery::Variable).unwrap());
        assert!(shown.contains("TOKEN") && !shown.contains("xxx"), "{shown}");
    }
}
