//! One pattern.

use std::iter::Peekable;
use std::str::Chars;

use regex::Regex;

/// A pattern that is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pattern {pattern:?} is not valid")]
pub struct PatternError {
    /// The pattern.
    pub pattern: String,
}

/// One pattern, cleaned and compiled.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    cleaned: String,
    exclusion: bool,
    rule: Rule,
}

/// How a path is compared. Most patterns need no regular expression, and contexts have many paths.
#[derive(Clone, Debug)]
enum Rule {
    /// The pattern's text and no other.
    Exact,
    /// `dir/**`: the text before the stars.
    Prefix(String),
    /// `**/name`: the text after the stars.
    Suffix(String),
    /// All else.
    Regex(Regex),
}

impl Pattern {
    /// Reads a pattern; `None` when it is empty.
    pub(super) fn parse(text: &str) -> Result<Option<Self>, PatternError> {
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Ok(None);
        }
        let wrong = || PatternError { pattern: text.to_owned() };
        // Cleaned with its `!`, as moby does: `!./a` stays `./a` and matches nothing.
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

    /// The path that the pattern begins with, if the pattern is nothing but a path and perhaps stars at its end.
    pub(super) fn fixed_path(&self) -> Option<&str> {
        let path = self.cleaned.strip_suffix("/**").unwrap_or(&self.cleaned);
        let path = path.strip_suffix("/*").unwrap_or(path);
        if path.contains(['*', '[', ']', '?', '^', '\\']) { None } else { Some(path) }
    }
}

/// Cleans a path as Go's `filepath.Clean` does: no empty and no `.` parts, `..` taken out where a part stands before
/// it.
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

/// Whether Go's `filepath.Match` takes the pattern: classes have members and an end, nothing ends in a backslash.
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

/// A class of characters, after its `[`.
struct Class {
    negated: bool,
    members: Vec<(Member, Option<Member>)>,
}

/// A character of a class; an escaped letter may stand for something else in a regular expression.
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

/// Turns a pattern into a rule, the way moby does: the kind of rule is guessed on the way, and only what needs one
/// becomes a regular expression.
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
                // `**/` is `**`.
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
            // A `]` without `[` stands for itself, but makes moby use a regular expression.
            ']' => {
                regex.push_str(r"\]");
                kind = Kind::Regex;
            }
            // Moby leaves it to the regular expression, where it is the beginning of the text.
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

/// Translates a backslash and a character as Go's regular expressions read them: punctuation stands for itself, some
/// letters for more.
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

/// Writes the character so that it stands for itself, also inside a class.
fn literal(character: char) -> String {
    if character.is_ascii_punctuation() { format!("\\{character}") } else { character.to_string() }
}
