//! The flag `--secret`, in docker's spellings.

use std::fmt;
use std::path::PathBuf;

use crate::{Inputs, PartChoice, Rebuild, SecretError, SecretName};

/// The source of one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A variable of the process environment.
    Variable(String),
    /// A file or a pipe.
    File(PathBuf),
    /// Standard input, read to its end.
    Stdin,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Stdin => f.write_str("standard input"),
        }
    }
}

/// A parsed `--secret` flag.
///
/// The rules are those of buildx (`util/buildflags/secrets.go`, `session/secrets/secretsprovider`): the flag is a
/// list of `key=value` fields, separated by commas and quoted as in CSV. `id` names the secret, `src` or `source` a
/// file, `env` a variable; `type` is `file` or `env`, and `type=env` makes `src` a variable. If the flag names no
/// source, the source is the variable with the name of the id if it is set, else the file with this name.
///
/// pbuild adds to docker's rules: `src=-` and `src=/dev/stdin` read standard input; `id=NAME?` is a secret that may
/// have no value; `parts` says which parts of the value count: `false`, `true`, or names with `+` between them; and
/// `rebuild` says whether a new value runs steps again: `true` or `false`.
///
/// ```
/// let flag = psecret::SecretFlag::parse("id=NPM_TOKEN,env=CI_NPM_TOKEN")?;
/// assert_eq!(flag.name().as_str(), "NPM_TOKEN");
/// # Ok::<(), psecret::SecretError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFlag {
    name: SecretName,
    place: Option<Place>,
    parts: Option<PartChoice>,
    rebuild: Option<Rebuild>,
    optional: bool,
}

impl SecretFlag {
    /// Parses the flag's text.
    ///
    /// # Errors
    ///
    /// Returns a [`SecretError`] that names the field by its number. It never contains the field's text, because
    /// people paste values into flags.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let (mut name, mut file, mut variable, mut is_variable) = (None, None, None, false);
        let (mut parts, mut rebuild, mut optional) = (None, None, false);
        for (number, field) in fields(text)?.into_iter().enumerate() {
            let field_number = number + 1;
            let Some((key, value)) = field.split_once('=') else {
                return Err(SecretError::FlagField { field: field_number });
            };
            match key.trim().to_ascii_lowercase().as_str() {
                "id" => {
                    optional = value.ends_with('?');
                    name = Some(SecretName::parse(value.strip_suffix('?').unwrap_or(value))?);
                }
                "src" | "source" => file = Some(value.to_owned()),
                "env" => variable = Some(value.to_owned()),
                "type" => match value {
                    "file" => is_variable = false,
                    "env" => is_variable = true,
                    _ => return Err(SecretError::FlagType),
                },
                "parts" => parts = Some(PartChoice::parse(value).ok_or(SecretError::FlagParts)?),
                "rebuild" => {
                    rebuild = Some(match value {
                        "true" => Rebuild::WithValue,
                        "false" => Rebuild::Never,
                        _ => return Err(SecretError::FlagRebuild),
                    });
                }
                _ => return Err(SecretError::FlagKey { field: field_number }),
            }
        }
        let name = name.ok_or(SecretError::FlagId)?;
        if is_variable && variable.is_none() {
            variable = file.take();
        }
        let place = match (file.filter(|f| !f.is_empty()), variable.filter(|v| !v.is_empty())) {
            (Some(_), Some(_)) => return Err(SecretError::FlagBoth { name }),
            (Some(path), None) if path == "-" || path == "/dev/stdin" => Some(Place::Stdin),
            (Some(path), None) => Some(Place::File(PathBuf::from(path))),
            (None, Some(variable)) => Some(Place::Variable(variable)),
            (None, None) => None,
        };
        Ok(Self { name, place, parts, rebuild, optional })
    }

    /// Returns the name of the secret.
    #[must_use]
    pub fn name(&self) -> &SecretName {
        &self.name
    }

    /// Returns which parts of the value count, if the flag names them.
    #[must_use]
    pub fn parts(&self) -> Option<&PartChoice> {
        self.parts.as_ref()
    }

    /// Whether the secret may have no value.
    #[must_use]
    pub fn is_optional(&self) -> bool {
        self.optional
    }

    /// Returns whether a new value runs steps again, if the flag says it.
    #[must_use]
    pub fn rebuild(&self) -> Option<Rebuild> {
        self.rebuild
    }

    /// Returns the source of the value. For a bare `id=NAME`, this depends on whether the environment has a variable
    /// of this name.
    #[must_use]
    pub fn place(&self, inputs: &Inputs<'_>) -> Place {
        self.place.clone().unwrap_or_else(|| {
            let name = self.name.as_str();
            if inputs.variable(name).is_some() {
                Place::Variable(name.to_owned())
            } else {
                Place::File(PathBuf::from(name))
            }
        })
    }
}

/// Splits one CSV record at its commas. A field in double quotes may contain commas, and `""` for a quote.
fn fields(text: &str) -> Result<Vec<String>, SecretError> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let mut field = String::new();
        if let Some(mut quoted) = rest.strip_prefix('"') {
            loop {
                let (part, after) = quoted.split_once('"').ok_or(SecretError::FlagQuote)?;
                field.push_str(part);
                if let Some(more) = after.strip_prefix('"') {
                    field.push('"');
                    quoted = more;
                } else {
                    rest = after;
                    break;
                }
            }
            if !(rest.is_empty() || rest.starts_with(',')) {
                return Err(SecretError::FlagQuote);
            }
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            let (plain, after) = rest.split_at(end);
            if plain.contains('"') {
                return Err(SecretError::FlagQuote);
            }
            field.push_str(plain);
            rest = after;
        }
        fields.push(field);
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => return Ok(fields),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Place {
        let environment = |name: &str| (name == "SET").then(|| "value".into());
        let mut stdin = std::io::empty();
        SecretFlag::parse(text).unwrap().place(&Inputs::new(&environment, &mut stdin))
    }

    #[test]
    fn takes_every_spelling_of_docker() {
        assert_eq!(place("id=A,src=/run/a"), Place::File("/run/a".into()));
        assert_eq!(place("id=A,source=a b.txt"), Place::File("a b.txt".into()));
        assert_eq!(place("type=file,id=A,src=a"), Place::File("a".into()));
        assert_eq!(place("id=A,env=B"), Place::Variable("B".into()));
        assert_eq!(place("type=env,id=A,src=B"), Place::Variable("B".into()));
        assert_eq!(place("ID=A,Env=B"), Place::Variable("B".into()));
        assert_eq!(place("\"id=A\",\"src=a,\"\"b\"\"\""), Place::File("a,\"b\"".into()));
        assert_eq!(place("id=A,src=-"), Place::Stdin);
        assert_eq!(place("id=A,src=/dev/stdin"), Place::Stdin);
        assert_eq!(place("id=npm-token,src=a=b"), Place::File("a=b".into()));
    }

    #[test]
    fn a_flag_says_which_parts_count() {
        let parts = |text: &str| SecretFlag::parse(text).unwrap().parts().cloned();
        assert_eq!(parts("id=A,src=a"), None);
        assert_eq!(parts("id=A,parts=false"), Some(PartChoice::None));
        assert_eq!(parts("id=A,parts=true"), Some(PartChoice::All));
        assert_eq!(
            parts("id=A,parts=one+/two/three"),
            Some(PartChoice::Named(vec!["one".into(), "/two/three".into()]))
        );
        assert!(matches!(SecretFlag::parse("id=A,parts="), Err(SecretError::FlagParts)));
    }

    #[test]
    fn a_flag_says_whether_a_new_value_runs_steps_again() {
        let rebuild = |text: &str| SecretFlag::parse(text).map(|flag| flag.rebuild());
        assert!(matches!(rebuild("id=A,src=a"), Ok(None)));
        assert!(matches!(rebuild("id=A,rebuild=false"), Ok(Some(Rebuild::Never))));
        assert!(matches!(rebuild("id=A,rebuild=true"), Ok(Some(Rebuild::WithValue))));
        assert!(matches!(rebuild("id=A,rebuild=no"), Err(SecretError::FlagRebuild)));
    }

    #[test]
    fn a_question_mark_behind_the_id_makes_it_optional() {
        let flag = |text: &str| SecretFlag::parse(text).map(|flag| (flag.name().to_string(), flag.is_optional()));
        assert_eq!(flag("id=A?,env=B").unwrap(), ("A".to_owned(), true));
        assert_eq!(flag("id=A,env=B").unwrap(), ("A".to_owned(), false));
        assert!(flag("id=?").is_err());
    }

    #[test]
    fn a_bare_id_is_the_variable_if_set_else_the_file() {
        assert_eq!(place("id=SET"), Place::Variable("SET".into()));
        assert_eq!(place("id=UNSET"), Place::File("UNSET".into()));
    }

    #[test]
    fn errors_name_the_field_and_never_its_text_d19() {
        for (text, field) in [("id=A,hunter2secret", 2), ("hunter2secret", 1), ("id=A,hunter2secret=x", 2), ("", 1)] {
            let message = SecretFlag::parse(text).unwrap_err().to_string();
            assert!(message.contains(&format!("field {field}")) && !message.contains("hunter2"), "{message}");
        }
        for text in [
            "id=hunter2 secret",
            "id=A,type=hunter2secret",
            "id=A,src=\"hunter2secret",
            "src=hunter2secret",
            "\"id=A\"x",
        ] {
            let message = SecretFlag::parse(text).unwrap_err().to_string();
            assert!(!message.contains("hunter2"), "{message}");
        }
        assert!(matches!(SecretFlag::parse("id=A,src=a,env=B"), Err(SecretError::FlagBoth { .. })));
    }
}
