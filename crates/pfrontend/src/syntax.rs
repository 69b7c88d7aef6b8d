//! Parses the words after the image on the syntax line, which name the secrets and have options.
//!
//! The line is `# syntax=IMAGE NPM_TOKEN,APP_KEY require` in the Dockerfile, or the same text in `BUILDKIT_SYNTAX=`.
//! The words are one list of names, and options, in any order.

use std::collections::BTreeSet;

use psecret::SecretName;

/// The options, as they are written, and as they are suggested for misspelled words.
const OPTIONS: [&str; 6] = ["app.toml", "mask", "no-rebuild", "parts=off", "require", "stages=all"];

/// The meaning of the words of a syntax line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyntaxLine {
    /// The secrets that every step gets, each once.
    pub names: Vec<SecretName>,
    /// Whether the manifest `app.toml` of the context names secrets, too.
    pub manifest: bool,
    /// Whether it is an error if a secret that is named was not brought.
    pub require: bool,
    /// Whether the output of steps with secrets is masked.
    pub mask: bool,
    /// Whether steps keep their cached results if a value changes.
    pub no_rebuild: bool,
    /// Whether a leak in a stage that is not part of the image is an error, too.
    pub all_stages: bool,
    /// The secrets that are searched for only as a whole, without their parts.
    pub undivided: BTreeSet<String>,
}

/// The reason why a syntax line is not valid. The messages do not repeat text after a `=`, because it may be a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxError {
    /// A word is neither an option nor a list of names.
    #[error("the syntax line has no word `{word}`{}", help(*.nearest))]
    Unknown {
        /// The word.
        word: String,
        /// The option that is most similar to the word.
        nearest: Option<&'static str>,
    },
    /// A second list of names.
    #[error("the syntax line names secrets twice; write one list, as in `NPM_TOKEN,{name}`")]
    SecondList {
        /// The first name of the second list.
        name: String,
    },
    /// An entry in the list of names cannot be a secret's name.
    #[error("the syntax line's list of secrets has an entry that cannot be a secret's name")]
    Name,
    /// A value is written in the place of a name.
    #[error(
        "the syntax line has something like a value: `{name}=…`; name the secret there, and bring it with --secret id={name}"
    )]
    Value {
        /// The text before the `=`.
        name: String,
    },
}

fn help(nearest: Option<&'static str>) -> String {
    match nearest {
        Some(nearest) => format!("; did you mean `{nearest}`?"),
        None => format!("; it has a list of names and {}", OPTIONS.join(", ")),
    }
}

impl SyntaxLine {
    /// Parses a whole line, which begins with the image.
    ///
    /// # Errors
    ///
    /// Returns the [`SyntaxError`] of the first word that is not valid.
    pub fn parse(line: &str) -> Result<Self, SyntaxError> {
        let mut parsed = Self::default();
        let mut listed = false;
        let mut words = line.split_whitespace().skip(1);
        while let Some(word) = words.next() {
            match word {
                "app.toml" => parsed.manifest = true,
                "mask" => parsed.mask = true,
                "require" => parsed.require = true,
                "no-rebuild" => parsed.no_rebuild = true,
                "stages=all" => parsed.all_stages = true,
                _ => match word.strip_prefix("parts=off:") {
                    Some(names) => parsed.undivided.extend(self::names(names)?.iter().map(ToString::to_string)),
                    None => {
                        let mut list = word.to_owned();
                        // `A, B` is one list, although it has a blank.
                        while list.ends_with(',') {
                            match words.next() {
                                Some(next) => list.push_str(next),
                                None => break,
                            }
                        }
                        parsed.list(&list, &mut listed)?;
                    }
                },
            }
        }
        Ok(parsed)
    }

    fn list(&mut self, list: &str, listed: &mut bool) -> Result<(), SyntaxError> {
        // A list of several names is not a misspelled option. A secret whose name looks like an option is written
        // with a comma after it.
        let nearest = if list.contains(',') { None } else { papp::nearest(list, &OPTIONS) };
        if let Some((name, _)) = list.split_once('=') {
            // This is an option with another value, or a secret with its value.
            let known = OPTIONS.iter().copied().find(|option| option.split('=').next() == Some(name));
            return Err(match known.or_else(|| papp::nearest(name, &["parts", "stages"])) {
                Some(nearest) => SyntaxError::Unknown { word: format!("{name}=…"), nearest: Some(nearest) },
                None => SyntaxError::Value { name: name.rsplit(',').next().unwrap_or_default().to_owned() },
            });
        }
        if nearest.is_some() {
            return Err(SyntaxError::Unknown { word: list.to_owned(), nearest });
        }
        let names = names(list)?;
        if std::mem::replace(listed, true) {
            let name = names.first().map(ToString::to_string).unwrap_or_default();
            return Err(SyntaxError::SecondList { name });
        }
        self.names = names;
        Ok(())
    }
}

/// Reads the names of a list, each once.
fn names(list: &str) -> Result<Vec<SecretName>, SyntaxError> {
    let mut names = Vec::new();
    for name in list.split(',').filter(|name| !name.is_empty()) {
        let name = SecretName::parse(name).map_err(|_| SyntaxError::Name)?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() { Err(SyntaxError::Name) } else { Ok(names) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &str) -> Result<SyntaxLine, String> {
        SyntaxLine::parse(&format!("registry.example/pbuild:1 {words}")).map_err(|error| error.to_string())
    }

    fn names(words: &str) -> Vec<String> {
        parsed(words).unwrap().names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_line_is_a_list_of_names_and_options_in_any_order() {
        assert_eq!(SyntaxLine::parse("image").unwrap(), SyntaxLine::default());
        assert_eq!(SyntaxLine::parse("").unwrap(), SyntaxLine::default());
        assert_eq!(names("NPM_TOKEN,APP_KEY"), ["NPM_TOKEN", "APP_KEY"]);
        assert_eq!(names("\tNPM_TOKEN,, npm-token,NPM_TOKEN  "), ["NPM_TOKEN", "npm-token"]);
        let all = parsed("require A,team/b stages=all mask no-rebuild parts=off:A parts=off:C,D app.toml").unwrap();
        assert_eq!(all.names.iter().map(ToString::to_string).collect::<Vec<_>>(), ["A", "team/b"]);
        assert!(all.require && all.mask && all.all_stages && all.no_rebuild && all.manifest);
        assert!(all.undivided.iter().eq(["A", "C", "D"]));
    }

    #[test]
    fn a_word_that_is_none_is_an_error_with_the_nearest() {
        for (word, nearest) in [
            ("requre", "require"),
            ("no-rebuilds", "no-rebuild"),
            ("masked", "mask"),
            ("app.tml", "app.toml"),
            ("stage=all", "stages"),
            ("stages=some", "stages=all"),
            ("parts=none:A", "parts=off"),
            ("A require requird", "require"),
        ] {
            let error = parsed(word).unwrap_err();
            assert!(error.contains(&format!("did you mean `{nearest}`?")), "{word}: {error}");
        }
        // A secret may still have such a name.
        assert_eq!(names("requre,"), ["requre"]);
    }

    #[test]
    fn names_stand_in_one_list() {
        assert_eq!(
            parsed("NPM_TOKEN APP_KEY").unwrap_err(),
            "the syntax line names secrets twice; write one list, as in `NPM_TOKEN,APP_KEY`"
        );
        for words in [",", "parts=off:", ", ,"] {
            assert!(parsed(words).is_err(), "{words}");
        }
    }

    #[test]
    fn a_value_on_the_line_is_not_repeated() {
        let error = parsed("A,NPM_TOKEN=npm_s3cr3t").unwrap_err();
        assert!(error.contains("`NPM_TOKEN=…`") && !error.contains("s3cr3t"), "{error}");
        let error = parsed("parts=s3cr3t").unwrap_err();
        assert!(!error.contains("s3cr3t"), "{error}");
    }

    proptest::proptest! {
        #[test]
        fn any_line_is_read_or_refused(line in "[ a-zA-Z0-9_,.=:/-]{0,60}") {
            if let Ok(parsed) = SyntaxLine::parse(&line) {
                let mut names = parsed.names.clone();
                names.dedup();
                proptest::prop_assert_eq!(names, parsed.names);
            }
        }
    }
}
