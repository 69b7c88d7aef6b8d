//! One pattern of a list.

use std::iter::Peekable;
use std::str::Chars;

use regex::Regex;

/// The error for a pattern that is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pattern {pattern:?} is not valid")]
pub struct PatternError {
    /// The pattern.
    pub pattern: String,
}

/// A pattern after cleaning and compiling.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    cleaned: String,
    exclusion: bool,
    rule: Rule,
}

/// The way to compare a path. Most patterns need no regular expression, which would be slow for contexts with many
/// paths.
#[derive(Clone, Debug)]
enum Rule {
    /// The path is equal to the pattern's text.
    Exact,
    /// The pattern is `dir/**`; the text is the part before the stars.
    Prefix(String),
    /// The pattern is `**/name`; the text is the part after the stars.
    Suffix(String),
    /// Any other pattern.
    Regex(Regex),
}

impl Pattern {
    /// Reads a pattern. Returns `None` if it is empty.
    pub(super) fn parse(text: &str) -> Result<Option<Self>, PatternError> {
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Ok(None);
        }
        let wrong = || PatternError { pattern: text.to_owned() };
        // As in moby, the pattern is cleaned together with its `!`, so `!./a` keeps its `./` and matches nothing.
        let whole = clean(trimmed);
        let (cleaned, exclusion) = match whole.strip_prefix('!') {
            Some("") => return Err(wrong()),
            Some(rest) => (rest.to_owned(), true),
            None => (whole, false),
        };
        if !is_go_pattern(&cleaned) {
            return Err(wrong());
        }
        let rule = compile(&cleaned).ok_or_else(wrong)?;
        Ok(Some(Self { cleaned, exclusion, rule }))
    }

    pub(super) fn is_exclusion(&self) -> bool {
        self.exclusion
    }

    pub(super) fn matches(&self, path: &str) -> bool {
        match &self.rule {
            Rule::Exact => path == self.cleaned,
            Rule::Prefix(prefix) => path.starts_with(prefix.as_str()),
            Rule::Suffix(suffix) => path.ends_with(suffix.as_str()) || suffix.strip_prefix('/') == Some(path),
            Rule::Regex(regex) => regex.is_match(path),
        }
    }

    /// Returns the path that the pattern begins with. Returns `None` for a pattern with wildcards other than stars at
    /// its end.
    pub(super) fn fixed_path(&self) -> Option<&str> {
        let path = self.cleaned.strip_suffix("/**").unwrap_or(&self.cleaned);
        let path = path.strip_suffix("/*").unwrap_or(path);
        if path.contains(['*', '[', ']', '?', '^', '\\']) { None } else { Some(path) }
    }
}

/// Cleans a path as Go's `filepath.Clean` does: removes empty parts and `.`, and removes each `..` together with the
/// part before it.
pub(crate) fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => match parts.last() {
                Some(&last) if last != ".." => {
                    parts.pop();
                }
                _ if rooted => {}
                _ => parts.push(".."),
            },
            _ => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

/// Returns true if Go's `filepath.Match` accepts the pattern: each class has members and an end, and no backslash is
/// the last character.
fn is_go_pattern(pattern: &str) -> bool {
    let mut chars = pattern.chars().peekable();
    while let Some(character) = chars.next() {
        match character {
            '\\' if chars.next().is_none() => return false,
            '[' if class(&mut chars).is_none() => return false,
            _ => {}
        }
    }
    true
}

/// A class of characters, which follows a `[`.
struct Class {
    negated: bool,
    members: Vec<(Member, Option<Member>)>,
}

/// A character of a class. An escaped letter may have another meaning in a regular expression.
struct Member {
    character: char,
    escaped: bool,
}

fn class(chars: &mut Peekable<Chars<'_>>) -> Option<Class> {
    let negated = chars.next_if_eq(&'^').is_some();
    let mut members = Vec::new();
    loop {
        if chars.peek() == Some(&']') && !members.is_empty() {
            chars.next();
            return Some(Class { negated, members });
        }
        let low = member(chars)?;
        let high = if chars.next_if_eq(&'-').is_some() { Some(member(chars)?) } else { None };
        members.push((low, high));
    }
}

fn member(chars: &mut Peekable<Chars<'_>>) -> Option<Member> {
    match chars.next()? {
        '-' | ']' => None,
        '\\' => Some(Member { character: chars.next()?, escaped: true }),
        character => Some(Member { character, escaped: false }),
    }
}

/// Compiles a pattern to a rule. Like moby, it begins with the cheapest kind of rule and chooses a regular expression
/// only if a part of the pattern needs one.
fn compile(pattern: &str) -> Option<Rule> {
    #[derive(PartialEq)]
    enum Kind {
        Exact,
        Prefix,
        Suffix,
        Regex,
    }
    let mut kind = Kind::Exact;
    let mut regex = String::from("^");
    let mut chars = pattern.chars().peekable();
    let mut first = true;
    while let Some(character) = chars.next() {
        match character {
            '*' if chars.next_if_eq(&'*').is_some() => {
                // `**/` has the same meaning as `**`.
                chars.next_if_eq(&'/');
                if chars.peek().is_none() {
                    if kind == Kind::Exact {
                        kind = Kind::Prefix;
                    } else {
                        regex.push_str(".*");
                        kind = Kind::Regex;
                    }
                } else {
                    regex.push_str("(.*/)?");
                    kind = Kind::Regex;
                }
                if first {
                    kind = Kind::Suffix;
                }
            }
            '*' => {
                regex.push_str("[^/]*");
                kind = Kind::Regex;
            }
            '?' => {
                regex.push_str("[^/]");
                kind = Kind::Regex;
            }
            '\\' => {
                regex.push_str(&escaped(chars.next()?)?);
                kind = Kind::Regex;
            }
            '[' => {
                regex.push_str(&class_text(&class(&mut chars)?)?);
                kind = Kind::Regex;
            }
            // A `]` without a `[` is a literal character, but makes moby use a regular expression.
            ']' => {
                regex.push_str(r"\]");
                kind = Kind::Regex;
            }
            // As in moby, `^` is not escaped, so in a regular expression it matches the beginning of the text.
            '^' => regex.push('^'),
            other => regex.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
        first = false;
    }
    Some(match kind {
        Kind::Exact => Rule::Exact,
        Kind::Prefix => Rule::Prefix(pattern[..pattern.len() - 2].to_owned()),
        Kind::Suffix => Rule::Suffix(pattern[2..].to_owned()),
        Kind::Regex => {
            regex.push('$');
            Rule::Regex(Regex::new(&regex).ok()?)
        }
    })
}

fn class_text(class: &Class) -> Option<String> {
    let mut text = String::from(if class.negated { "[^" } else { "[" });
    for (low, high) in &class.members {
        match high {
            None if low.escaped => text.push_str(&escaped(low.character)?),
            None => text.push_str(&literal(low.character)),
            Some(high) => {
                text.push_str(&literal(low.character));
                text.push('-');
                text.push_str(&literal(high.character));
            }
        }
    }
    text.push(']');
    Some(text)
}

/// Translates an escaped character as Go's regular expressions read it: punctuation is literal, and some letters are
/// classes or control characters.
fn escaped(character: char) -> Option<String> {
    let text = match character {
        'd' => "[0-9]",
        'D' => "[^0-9]",
        's' => r"[\t\n\f\r ]",
        'S' => r"[^\t\n\f\r ]",
        'w' => "[0-9A-Za-z_]",
        'W' => "[^0-9A-Za-z_]",
        'a' => r"\x07",
        'f' => r"\x0C",
        't' => r"\t",
        'n' => r"\n",
        'r' => r"\r",
        'v' => r"\x0B",
        letter if letter.is_ascii_alphanumeric() => return None,
        other => return Some(literal(other)),
    };
    Some(text.to_owned())
}

/// Writes the character as a literal, which is also valid inside of a class.
fn literal(character: char) -> String {
    if character.is_ascii_punctuation() { format!("\\{character}") } else { character.to_string() }
}
