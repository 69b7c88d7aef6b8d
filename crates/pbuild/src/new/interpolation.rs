//! Compose's `$NAME` and `${NAME:-default}`, replaced only as far as possible without secret values.

/// One piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Variable { name: String, default: Option<String> },
}

/// A text of a compose file, split into plain text and variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interpolated(Vec<Piece>);

impl Interpolated {
    /// Reads a text. A piece that Compose would refuse stays as it is.
    pub(crate) fn read(text: &str) -> Self {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            plain.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('$') {
                plain.push('$');
                rest = after;
            } else if let Some((piece, after)) = braced(rest).or_else(|| bare(rest)) {
                if !plain.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                }
                pieces.push(piece);
                rest = after;
            } else {
                plain.push('$');
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() || pieces.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Self(pieces)
    }

    /// Returns the text with the defaults of its variables. Returns `None` if one of the variables has a value, or
    /// has no default.
    pub(crate) fn plain(&self, has_value: &dyn Fn(&str) -> bool) -> Option<String> {
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => Some(text.clone()),
            Piece::Variable { name, .. } if has_value(name) => None,
            Piece::Variable { default, .. } => Self::read(default.as_deref()?).plain(has_value),
        };
        self.0.iter().map(piece).collect()
    }

    /// Returns the text with the values that `value` gives for its variables, and with the defaults of all other
    /// variables. Returns `None` if a variable has neither.
    pub(crate) fn with(&self, value: &dyn Fn(&str) -> Option<String>) -> Option<String> {
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => Some(text.clone()),
            Piece::Variable { name, default } => value(name).or_else(|| Self::read(default.as_deref()?).with(value)),
        };
        self.0.iter().map(piece).collect()
    }

    /// Returns the variable, if the text is only that variable.
    pub(super) fn variable(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Piece::Variable { name, .. }] => Some(name),
            _ => None,
        }
    }
}

fn name_length(text: &str) -> usize {
    let starts = text.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic());
    if starts { text.find(|c: char| c != '_' && !c.is_ascii_alphanumeric()).unwrap_or(text.len()) } else { 0 }
}

fn bare(text: &str) -> Option<(Piece, &str)> {
    let length = name_length(text);
    let (name, rest) = text.split_at(length);
    (length > 0).then(|| (Piece::Variable { name: name.to_owned(), default: None }, rest))
}

/// Reads `{NAME}`, `{NAME:-default}` or `{NAME-default}`. The words after `:?`, `?`, `:+` and `+` are not defaults.
fn braced(text: &str) -> Option<(Piece, &str)> {
    let inner = text.strip_prefix('{')?;
    let mut depth = 1_usize;
    let end = inner.char_indices().find_map(|(at, c)| {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        (depth == 0).then_some(at)
    })?;
    let (name, operator) = inner[..end].split_at(name_length(&inner[..end]));
    let default = operator.strip_prefix(":-").or_else(|| operator.strip_prefix('-')).map(str::to_owned);
    let known = operator.is_empty() || operator.starts_with([':', '-', '?', '+']);
    (!name.is_empty() && known).then(|| (Piece::Variable { name: name.to_owned(), default }, &inner[end + 1..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain(text: &str) -> Option<String> {
        Interpolated::read(text).plain(&|name| name == "SET")
    }

    #[test]
    fn defaults_stand_for_what_has_no_value() {
        for (text, expected) in [
            ("3000:3000", Some("3000:3000")),
            ("${PORT:-3000}:80", Some("3000:80")),
            ("${PORT-3000}", Some("3000")),
            ("${A:-${B:-x}}", Some("x")),
            ("${A:-${SET:-x}}", None),
            ("${SET:-3000}", None),
            ("$PORT", None),
            ("${PORT:?is needed}", None),
            ("${PORT:+x}", None),
            ("pa$$word", Some("pa$word")),
            ("a$ b", Some("a$ b")),
            ("${", Some("${")),
            ("${1}", Some("${1}")),
            ("", Some("")),
        ] {
            assert_eq!(plain(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_text_that_is_one_variable_says_which() {
        assert_eq!(Interpolated::read("${TOKEN:-}").variable(), Some("TOKEN"));
        assert_eq!(Interpolated::read("$TOKEN").variable(), Some("TOKEN"));
        assert_eq!(Interpolated::read("x$TOKEN").variable(), None);
    }

    #[test]
    fn values_that_are_handed_out_stand_before_defaults() {
        let with = |text: &str| Interpolated::read(text).with(&|name| (name == "PORT").then(|| "8000".to_owned()));
        assert_eq!(with("${HOST:-127.0.0.1}:${PORT:-1}").as_deref(), Some("127.0.0.1:8000"));
        assert_eq!(with("${OTHER:-${PORT}}").as_deref(), Some("8000"));
        assert_eq!(with("$OTHER:80"), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[${}:\\-?+AB1é ]{0,40}") {
            let _ = plain(&text);
        }

        #[test]
        fn a_text_without_dollars_is_itself(text in "[^$]{0,40}") {
            prop_assert_eq!(plain(&text), Some(text));
        }
    }
}
