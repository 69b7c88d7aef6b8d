//! Program text and command lines: quoted strings with the names before them, options, and variables before a command.

use zeroize::Zeroizing;

use super::judge::{self, Naming};
use super::lines;
use super::tree::Text;

/// The longest text before a string in which its name is looked for.
const LONGEST_HEAD: usize = 160;

/// The longest string that is read. Longer ones are data.
const LONGEST_STRING: usize = 16 * 1024;

/// A text with the name before it.
pub(super) struct Pair {
    /// The name; empty if there is none.
    pub(super) name: String,
    /// One reading of the text.
    pub(super) value: Text,
}

impl Pair {
    fn new(name: &str, value: &str) -> Self {
        Self { name: name.to_owned(), value: Zeroizing::new(value.to_owned()) }
    }
}

/// Finds every quoted string of a text that has a telling name before it or that may be a credential without one.
pub(super) fn strings(text: &str) -> Vec<Pair> {
    let mut found = Vec::new();
    for line in text.lines() {
        strings_of_line(line, &mut found);
    }
    found
}

fn strings_of_line(line: &str, found: &mut Vec<Pair>) {
    let bytes = line.as_bytes();
    // The quotes that nothing closes from here on. Without this list, a line of such quotes would be read again and
    // again.
    let mut unclosed = [false; 3];
    let mut at = 0;
    while let Some(next) = memchr::memchr3(b'"', b'\'', b'`', &bytes[at..]) {
        let open = at + next;
        let quote = bytes[open];
        let kind = match quote {
            b'"' => 0,
            b'\'' => 1,
            _ => 2,
        };
        at = open + 1;
        if unclosed[kind] || (quote == b'\'' && is_apostrophe(&bytes[..open])) {
            continue;
        }
        let Some(close) = closing(bytes, open) else {
            unclosed[kind] = true;
            continue;
        };
        string(&line[..open], &line[open + 1..close], found);
        at = close + 1;
    }
}

/// Whether a quote after these bytes is the apostrophe of a word. Prefixes of strings, such as Python's `b'…'`, have
/// one or two letters.
fn is_apostrophe(before: &[u8]) -> bool {
    let letters = before.iter().rev().take(3).take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let prefix = &before[before.len() - letters..];
    letters > 2 || !prefix.iter().all(|byte| b"bBrRuUfFNELsqQ".contains(byte))
}

fn closing(bytes: &[u8], open: usize) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in bytes.iter().enumerate().skip(open + 1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            _ if *byte == bytes[open] => return Some(at),
            _ => {}
        }
    }
    None
}

fn string(head: &str, inside: &str, found: &mut Vec<Pair>) {
    if inside.len() < 4 || inside.len() > LONGEST_STRING {
        return;
    }
    let (name, certain) = name_before(head);
    let taken = match judge::name(name) {
        Naming::Public => true,
        Naming::Confidential => certain || judge::may_be_password(inside),
        Naming::Silent => inside.len() >= 8 && !is_plain(inside),
    };
    if !taken {
        return;
    }
    found.push(Pair::new(name, inside));
    if inside.contains('\\') {
        found.push(Pair { name: name.to_owned(), value: lines::unescaped(inside) });
    }
}

/// Whether a text without a name consists of letters of one case and signs of names, so that it need not be read.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_lowercase() || b"_-./, ".contains(&byte))
        || text.bytes().all(|byte| byte.is_ascii_uppercase() || b"_-./, ".contains(&byte))
}

/// Finds the name before a quoted string. The second result says whether the text between them assigns the string to
/// the name; a comma or a blank does this in few languages only.
fn name_before(head: &str) -> (&str, bool) {
    let letters = head.bytes().rev().take(3).take_while(u8::is_ascii_alphabetic).count();
    let prefixed = (1..=2).contains(&letters) && head[..head.len() - letters].ends_with(['=', ' ', ':', '(', ',', '>']);
    let is_prefix = prefixed && head[head.len() - letters..].bytes().all(|byte| b"bBrRuUfFNELsqQ".contains(&byte));
    let head = if is_prefix { &head[..head.len() - letters] } else { head };
    let from = head.floor_char_boundary(head.len().saturating_sub(LONGEST_HEAD));
    let head = head[from..].trim_end();
    // Erlang's binaries, and C# and SQL prefixes.
    let head = head.trim_end_matches(['<', '@', '(']).trim_end();
    let name = head.trim_end_matches(['=', ':', '>', ',', '~', '?', '|']).trim_end();
    let separator = &head[name.len()..];
    if name.len() >= 2 && ends_with(name, " by") && name.to_ascii_lowercase().contains("identified") {
        return ("password", true);
    }
    let is_definition = separator.trim() == ","
        && name.rsplit(['(', ';']).next().is_some_and(|last| {
            let before = name[..name.len() - last.len()].trim_end_matches('(').trim_end();
            ["define", "putenv", "setenv", "Setenv", "set"].iter().any(|function| before.ends_with(function))
        });
    let certain = separator.contains(['=', ':']) || is_definition;
    let name = name.trim_end_matches(['"', '\'', '`', ']', ')', '}', '?']);
    let begin = name
        .char_indices()
        .rev()
        .take_while(|(_, c)| c.is_alphanumeric() || "_-.$@ ".contains(*c))
        .take_while(|(_, c)| *c != ' ')
        .last()
        .map_or(name.len(), |(at, _)| at);
    (name[begin..].trim_start_matches(['-', '$', '@', '.']), certain)
}

fn ends_with(text: &str, end: &str) -> bool {
    text.len() >= end.len() && text.as_bytes()[text.len() - end.len()..].eq_ignore_ascii_case(end.as_bytes())
}

/// Finds the credentials in command lines: options, variables before a command, and the passwords in the lists of
/// users that Redis and `HAProxy` have.
pub(super) fn commands(text: &str) -> Vec<Pair> {
    let mut found = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words.len() >= 2 {
            command(&words, &mut found);
        }
    }
    found
}

fn command(words: &[&str], found: &mut Vec<Pair>) {
    let is_of = |names: &[&str]| {
        words.iter().take(24).any(|word| {
            let program = word.rsplit('/').next().unwrap_or(word);
            names.iter().any(|name| program.starts_with(name))
        })
    };
    let (takes_joined, takes_p, takes_a) = (is_of(&["mysql", "mariadb"]), is_of(&["sshpass"]), is_of(&["redis-cli"]));
    let is_acl = words[0].eq_ignore_ascii_case("user") || words.iter().any(|word| word.eq_ignore_ascii_case("setuser"));
    for (at, word) in words.iter().enumerate() {
        let word = word.trim_start_matches(['"', '\'']);
        let next = words.get(at + 1).map(|next| bare(next)).filter(|next| !next.starts_with('-'));
        if let Some((name, value)) = word.split_once('=') {
            if is_name(name) && judge::name(name) == Naming::Confidential && !bare(value).is_empty() {
                found.push(Pair::new(name.trim_start_matches('-'), bare(value)));
            }
            continue;
        }
        if is_acl && let Some(password) = word.strip_prefix('>') {
            found.push(Pair::new("password", bare(password)));
        }
        if takes_joined || takes_p {
            let joined = word.strip_prefix("-p").filter(|rest| judge::may_be_password(bare(rest)));
            found.extend(joined.map(|value| Pair::new("password", bare(value))));
        }
        let Some(next) = next else { continue };
        let is_short = (takes_p && word == "-p") || (takes_a && word == "-a");
        if is_short && judge::may_be_password(next) {
            found.push(Pair::new("password", next));
        } else if ["-u", "--user", "--userpwd", "--proxy-user", "-U"].contains(&word) && next.contains(':') {
            found.push(Pair::new("user", next));
        } else if is_name(word) && judge::name(word) == Naming::Confidential && judge::may_be_password(next) {
            let small = word.to_ascii_lowercase();
            let read_elsewhere = ["stdin", "prompt", "env", "command", "helper"].iter().any(|end| small.ends_with(end));
            let is_set = at > 0 && ["setenv", "set", "-gx", "-x", "-Ux", "ENV", "export"].contains(&words[at - 1]);
            let is_password = ["password", "passwd", "requirepass"].iter().any(|end| small.ends_with(end));
            if !read_elsewhere && (word.starts_with('-') || is_set || is_password) {
                found.push(Pair::new(word.trim_start_matches('-'), next));
            }
        }
    }
}

fn bare(word: &str) -> &str {
    word.trim_end_matches([',', ';']).trim_matches(['"', '\'', '`'])
}

fn is_name(word: &str) -> bool {
    word.len() <= 64 && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

/// Reads a table whose first line names its columns, with commas, semicolons or tabs between the cells. Returns
/// nothing unless a column is confidential and all lines have the same number of cells.
pub(super) fn table(text: &str) -> Vec<Pair> {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let Some(head) = lines.next().filter(|head| head.len() <= 4096 && !head.contains(['=', ':'])) else {
        return Vec::new();
    };
    for separator in [',', ';', '\t'] {
        let names = cells(head, separator);
        let is_column = |name: &Text| {
            !name.is_empty()
                && name.trim() == name.as_str()
                && name.len() <= 40
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-. ".contains(&b))
        };
        let is_table = names.len() >= 2
            && names.iter().all(is_column)
            && names.iter().any(|name| judge::name(name) == Naming::Confidential);
        if !is_table {
            continue;
        }
        let mut found = Vec::new();
        for line in lines {
            let row = cells(line, separator);
            if row.len() != names.len() {
                return Vec::new();
            }
            let cells = names.iter().zip(row).filter(|(_, cell)| !cell.trim().is_empty());
            found.extend(cells.map(|(name, value)| Pair { name: name.to_string(), value }));
        }
        return found;
    }
    Vec::new()
}

/// Splits a line into cells. A cell in quotes may contain the separator, and a quote that is doubled.
fn cells(line: &str, separator: char) -> Vec<Text> {
    let mut cells = vec![Text::default()];
    let mut quoted = false;
    let mut characters = line.trim_end_matches('\r').chars().peekable();
    while let Some(character) = characters.next() {
        let Some(cell) = cells.last_mut() else { break };
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                cell.push('"');
            }
            '"' if quoted || cell.trim().is_empty() => quoted = !quoted,
            _ if character == separator && !quoted => cells.push(Text::default()),
            _ => cell.push(character),
        }
    }
    cells
}

/// Reads a file of two lines, the user's name and the password, as `OpenVPN` has it.
pub(super) fn two_lines(text: &str) -> Option<&str> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let (user, password, None) = (lines.next()?, lines.next()?, lines.next()) else { return None };
    let is_user = user.len() <= 64
        && user.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.@".contains(&byte))
        && !judge::is_unguessable(user);
    let is_password = !password.contains(char::is_whitespace)
        && !password.contains(['=', ':'])
        && judge::may_be_password(password)
        && !judge::is_host(password);
    (is_user && is_password).then_some(password)
}

/// Finds the lines of a text that are keys of `age`.
pub(super) fn age_keys(text: &str) -> impl Iterator<Item = &str> {
    let is_key = |line: &&str| {
        line.starts_with("AGE-SECRET-KEY-1") && line.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    text.lines().map(str::trim).filter(is_key)
}
