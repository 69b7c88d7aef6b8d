//! `value = "…"`: a text that is composed of other names.

use std::fmt;

/// A text that may contain `${NAME}`. `$${` is a literal `${`, and any other `$` is a literal, too.
///
/// ```
/// use papp::{Part, Template};
///
/// let template = Template::parse("redis://${REDIS_HOST}:6379/$1").expect("well formed");
/// assert_eq!(template.names().collect::<Vec<_>>(), ["REDIS_HOST"]);
/// assert_eq!(template.parts().len(), 3);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Literal text.
    Literal(String),
    /// The value of another name.
    Name(String),
}

impl Template {
    /// Parses a template. Returns `None` if a `${` is not closed, or does not enclose a valid name of a variable.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (mut parts, mut literal, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find('$') {
            let (before, from) = rest.split_at(at);
            literal.push_str(before);
            if let Some(after) = from.strip_prefix("$${") {
                literal.push_str("${");
                rest = after;
            } else if let Some(after) = from.strip_prefix("${") {
                let (name, after) = after.split_once('}')?;
                if !crate::names::is_variable(name) {
                    return None;
                }
                if !literal.is_empty() {
                    parts.push(Part::Literal(std::mem::take(&mut literal)));
                }
                parts.push(Part::Name(name.to_owned()));
                rest = after;
            } else {
                literal.push('$');
                rest = &from[1..];
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Some(Self { parts })
    }

    /// Returns the pieces in order.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Returns the names that the template needs, in order. A name that is used twice is repeated.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Name(name) => Some(name.as_str()),
            Part::Literal(_) => None,
        })
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Literal(text) => f.write_str(&text.replace("${", "$${")),
            Part::Name(name) => write!(f, "${{{name}}}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_braces_make_a_name() {
        let literal = |text: &str| vec![Part::Literal(text.to_owned())];
        for (text, meant) in
            [("pa$$word", "pa$$word"), ("$HOME", "$HOME"), ("$${A}", "${A}"), ("$", "$"), ("a$$", "a$$")]
        {
            assert_eq!(Template::parse(text).unwrap().parts(), literal(meant), "{text}");
        }
        assert_eq!(
            Template::parse("$${A}${B}$").unwrap().parts(),
            [Part::Literal("${A}".into()), Part::Name("B".into()), Part::Literal("$".into())]
        );
        assert!(Template::parse("").unwrap().parts().is_empty());
    }

    #[test]
    fn broken_names_are_refused() {
        for text in ["${", "${A", "${}", "${A-B}", "${1}", "x${A b}"] {
            assert!(Template::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn display_parses_back() {
        for text in ["a${B}c", "$${A}${B}$", "pa$$word", "$$${A}"] {
            let template = Template::parse(text).unwrap();
            assert_eq!(Template::parse(&template.to_string()).unwrap(), template, "{text}");
        }
    }
}
