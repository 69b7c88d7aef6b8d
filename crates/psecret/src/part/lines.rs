//! Texts with lines that assign values to names: env files, ini, properties, `.npmrc`, `pip.conf`, `.netrc`,
//! `.pgpass`, and others that look like these.

use std::collections::HashMap;

use zeroize::Zeroizing;

use super::judge;
use super::tree::Text;
use crate::{Dialect, EnvFile, EnvValue};

/// A name with its value.
pub(super) struct Assignment {
    /// The section of the assignment; empty if the format has no sections.
    pub(super) section: String,
    /// The name.
    pub(super) name: String,
    /// One reading of the value.
    pub(super) value: Text,
}

/// Finds every reading of every assignment: if two dialects read a line differently, the result has both readings.
pub(super) fn assignments(text: &str) -> Vec<Assignment> {
    let mut found = Vec::new();
    netrc(text, &mut found);
    dotenv(text, &mut found);
    let mut section = String::new();
    let lines = joined(text);
    let ends = ends_of_documents(text, &lines);
    let mut at = 0;
    while let Some(line) = lines.get(at).map(|line| line.trim()) {
        at += 1;
        if let Some((name, end)) = begin_of_document(line)
            && let Some(length) = ends
                .get(end)
                .filter(|last| **last >= at)
                .and_then(|_| lines[at..].iter().position(|line| end_of_document(line) == end))
        {
            let inside = &lines[at..at + length];
            let length_of_text = inside.iter().map(|line| line.len() + 1).sum();
            let mut value = Zeroizing::new(String::with_capacity(length_of_text));
            for line in inside {
                value.push_str(line);
                value.push('\n');
            }
            let value = Zeroizing::new(value.trim().to_owned());
            found.push(Assignment { section: section.clone(), name: name.to_owned(), value });
            at += length + 1;
            continue;
        }
        if let Some(inside) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = inside.trim().to_owned();
        } else if !is_comment(line) {
            assignment(&section, line, &mut found);
        }
    }
    found
}

/// Returns the last place of each line that may end a here-document.
fn ends_of_documents<'a>(text: &str, lines: &'a [Text]) -> HashMap<&'a str, usize> {
    let lines = if text.contains("<<") { lines } else { &[] };
    lines.iter().enumerate().map(|(at, line)| (end_of_document(line), at)).collect()
}

/// Reads the begin of a value that is a here-document, as in HCL, PHP and Ruby: `name = <<EOT`, lines, `EOT`. Returns
/// its name and the line that ends it.
fn begin_of_document(line: &str) -> Option<(&str, &str)> {
    let (name, value) = separator(line)?;
    let end = value.trim().strip_prefix("<<")?.trim_start_matches(['<', '-', '~']).trim_matches(['"', '\'']);
    let is_word = !end.is_empty() && end.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_word.then_some((name.split_whitespace().last()?, end))
}

fn end_of_document(line: &str) -> &str {
    line.trim().trim_end_matches([';', ','])
}

fn is_comment(line: &str) -> bool {
    line.starts_with(['#', ';', '!']) || line.starts_with("// ") || line.starts_with("-- ")
}

/// Splits a text into lines, and joins each line that ends in a backslash with the next.
fn joined(text: &str) -> Vec<Text> {
    let mut lines: Vec<Text> = Vec::new();
    let mut goes_on = false;
    for line in text.lines() {
        let continues = line.len() - line.trim_end_matches('\\').len();
        let kept = if continues % 2 == 1 { &line[..line.len() - 1] } else { line };
        match lines.last_mut().filter(|_| goes_on) {
            Some(last) => {
                let mut longer = Zeroizing::new(String::with_capacity(last.len() + kept.len()));
                longer.push_str(last);
                longer.push_str(kept.trim_start());
                *last = longer;
            }
            None => lines.push(Zeroizing::new(kept.to_owned())),
        }
        goes_on = continues % 2 == 1;
    }
    lines
}

/// Splits a line where its name ends: at the first `=>` or `=`, or at the first colon that a blank follows.
fn separator(line: &str) -> Option<(&str, &str)> {
    let equals = line.find('=');
    let colon = line
        .match_indices(':')
        .map(|(at, _)| at)
        .find(|at| line[at + 1..].starts_with([' ', '\t']) && !line[..*at].is_empty());
    match (equals, colon) {
        (Some(equals), Some(colon)) if colon < equals => Some((&line[..colon], &line[colon + 1..])),
        (Some(equals), _) => {
            let value = &line[equals + 1..];
            Some((&line[..equals], value.strip_prefix('>').unwrap_or(value)))
        }
        (None, Some(colon)) => Some((&line[..colon], &line[colon + 1..])),
        (None, None) => None,
    }
}

fn assignment(section: &str, line: &str, found: &mut Vec<Assignment>) {
    let Some((name, value)) = separator(line) else { return };
    // Only the last word is the name, because `export`, `ENV`, `set` and other words may precede it.
    let name = name.split_whitespace().last().unwrap_or_default().trim_matches(['"', '\'', '`', ':', '{', '(', '[']);
    let value = value.trim();
    if name.is_empty() || value.is_empty() {
        return;
    }
    let mut add = |value: &str| {
        found.push(Assignment {
            section: section.to_owned(),
            name: name.to_owned(),
            value: Zeroizing::new(value.to_owned()),
        });
    };
    match value.chars().next() {
        Some(quote @ ('"' | '\'' | '`')) if let Some(end) = closing(value, quote) => {
            add(&value[1..end]);
            if value[1..end].contains('\\') {
                add(&unescaped(&value[1..end]));
            }
            // More quoted values may follow, as in systemd's `Environment="A=b" "C=d"`.
            let mut rest = value[end + 1..].trim_start();
            while let Some(quote @ ('"' | '\'')) = rest.chars().next()
                && let Some(end) = closing(rest, quote)
            {
                add(&rest[1..end]);
                rest = rest[end + 1..].trim_start();
            }
        }
        _ => {
            let bare = value.trim_end_matches([',', ';']);
            add(bare);
            for comment in [" #", "\t#", " ;"] {
                if let Some((before, _)) = bare.split_once(comment) {
                    add(before.trim_end());
                }
            }
            if bare.contains('\\') {
                add(&unescaped(bare));
            }
        }
    }
}

/// Finds the quote that closes the quote at the text's beginning.
fn closing(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return Some(at),
            _ => {}
        }
    }
    None
}

/// Undoes backslash escapes, which are the same in properties files and in quotes.
pub(super) fn unescaped(text: &str) -> Text {
    let mut out = Zeroizing::new(String::with_capacity(text.len()));
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        match characters.next() {
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('u') => {
                let digits: String = characters.clone().take(4).collect();
                match u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32).filter(|_| digits.len() == 4) {
                    Some(meant) => {
                        out.push(meant);
                        characters.by_ref().take(4).for_each(drop);
                    }
                    None => out.push('u'),
                }
            }
            Some(other) => out.push(other),
            None => {}
        }
    }
    out
}

/// Reads the whole text as an env file, with the rules of frameworks: no other reader finds values of several lines.
#[expect(clippy::disallowed_methods, reason = "door 65: the values of an env file that is a secret are its parts")]
fn dotenv(text: &str, found: &mut Vec<Assignment>) {
    // The dialect also reads `name:value`, but a login and bytes in hex look like this too, so a `=` is required.
    let Some(file) = text.contains('=').then(|| EnvFile::parse(text.as_bytes(), Dialect::Dotenv).ok()).flatten() else {
        return;
    };
    for entry in file.entries() {
        let EnvValue::Literal(value) = &entry.value else { continue };
        if !entry.name.is_variable() {
            continue;
        }
        if let Ok(value) = std::str::from_utf8(value.expose()) {
            found.push(Assignment {
                section: String::new(),
                name: entry.name.to_string(),
                value: Zeroizing::new(value.to_owned()),
            });
        }
    }
}

/// Reads `machine HOST login USER password PASSWORD`, over any number of lines.
fn netrc(text: &str, found: &mut Vec<Assignment>) {
    let mut words = text.split_whitespace().peekable();
    let mut host: Option<String> = None;
    while let Some(word) = words.next() {
        match word {
            "machine" => host = words.next().map(str::to_owned),
            "default" => host = Some("default".to_owned()),
            "password" | "passwd" => {
                if let (Some(host), Some(value)) = (&host, words.next()) {
                    found.push(Assignment {
                        section: host.clone(),
                        name: "password".to_owned(),
                        value: Zeroizing::new(value.trim_matches('"').to_owned()),
                    });
                }
            }
            _ => {}
        }
    }
}

/// Finds lines of a name, blanks and a value, such as `requirepass …` of Redis and `user …` of curl. A line counts
/// only if its value cannot be an ordinary word.
pub(super) fn pairs_of_words(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (name, value) = (words.next()?, words.next()?);
        let value = value.trim_matches(['"', '\'', ';']);
        let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        let is_pair = words.next().is_none() && is_name && judge::may_be_password(value);
        (is_pair && judge::may_hold_password(name)).then_some((name.trim_start_matches('-'), value))
    })
}

/// Reads the passwords of lines `HOST:PORT:DATABASE:USER:PASSWORD` (`.pgpass`); a backslash escapes a colon.
pub(super) fn pgpass(text: &str) -> Vec<Text> {
    let password = |line: &str| {
        let mut fields: Vec<String> = vec![String::new()];
        let mut characters = line.chars();
        while let Some(character) = characters.next() {
            match character {
                ':' if fields.len() < 5 => fields.push(String::new()),
                '\\' => fields.last_mut()?.extend(characters.next()),
                _ => fields.last_mut()?.push(character),
            }
        }
        let fields: [String; 5] = fields.try_into().ok()?;
        let [_, port, _, _, password] = fields.map(Zeroizing::new);
        (*port == "*" || (!port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))).then_some(password)
    };
    text.lines().map(str::trim).filter(|line| !line.contains("://")).filter_map(password).collect()
}
