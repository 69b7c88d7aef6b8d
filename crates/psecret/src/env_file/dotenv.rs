//! The dialect of Compose's `.env` files (compose-go, `dotenv/parser.go`), with interpolation off.
//!
//! - `export` before a name is accepted. A name ends at `=` or `:`; blanks around this character are ignored.
//! - A bare value ends with its line. The blanks around it and a comment that follows a space do not belong to it.
//! - Single quotes keep everything, also line ends; the only escape in them is `\'`.
//! - Double quotes have the escapes `\n`, `\t`, `\r`, `\a`, `\b`, `\f`, `\v`, `\\`, `\"`, `\$` and octal `\0…`; other
//!   backslashes stay.
//! - `$` is always a dollar sign: no variable is looked up (D5).
//!
//! A file that this reader accepts has the values that Compose gives it, oddities included; the acceptance suite
//! compares the two. Some mistakes are refused, although Compose continues: a name without a value, text after a
//! closing quote, a name that is empty or contains blanks or control characters, and NUL. Each of these would turn a
//! part of a value into a name, or lose it.

use zeroize::Zeroizing;

use super::{EnvFileError, EnvFileFault, Reading, fault_at};
use crate::SecretName;

/// Reads the text's first name and its value, if they can be read.
pub(super) fn first(text: &str) -> Option<Reading> {
    Reader::new(text).reading().ok().flatten()
}

pub(super) fn readings(text: &str) -> Result<Vec<Reading>, EnvFileError> {
    let mut reader = Reader::new(text);
    let mut readings = Vec::new();
    while let Some(reading) = reader.reading()? {
        readings.push(reading);
    }
    Ok(readings)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// Line ends before this index are counted; `line` is the line at this index.
    counted: usize,
    line: usize,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, at: 0, counted: 0, line: 1 }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn line(&self) -> &'a str {
        self.rest().split('\n').next().unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn fault<T>(&self, at: usize, fault: EnvFileFault) -> Result<T, EnvFileError> {
        Err(fault_at(self.text.as_bytes(), at, fault))
    }

    fn reading(&mut self) -> Result<Option<Reading>, EnvFileError> {
        self.skip_to_name();
        if self.rest().is_empty() {
            return Ok(None);
        }
        // Each line end is counted only once, because a file of half a megabyte may have as many lines.
        self.line += self.text[self.counted..self.at].matches('\n').count();
        self.counted = self.at;
        let (line, begins) = (self.line, self.at);
        let name = self.name()?;
        self.skip_blanks();
        let value = match self.peek() {
            Some(quote @ (b'"' | b'\'')) => self.quoted(quote)?,
            _ => self.bare(),
        };
        Ok(Some(Reading { name, value: Some(Zeroizing::new(value)), line, at: begins..self.at }))
    }

    fn skip_blanks(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start_matches(is_blank).len();
    }

    fn skip_to_name(&mut self) {
        loop {
            self.at += self.rest().len() - self.rest().trim_start().len();
            if self.peek() != Some(b'#') {
                return;
            }
            self.at += self.line().len();
        }
    }

    /// Reads a name, and the `=` or `:` after it.
    fn name(&mut self) -> Result<SecretName, EnvFileError> {
        if self.line().strip_prefix("export").is_some_and(|rest| rest.starts_with([' ', '\t', '\r', '\u{c}'])) {
            self.at += "export".len();
            self.skip_blanks();
        }
        let Some((written, _)) = self.line().split_once(['=', ':']) else {
            return self.fault(self.at, EnvFileFault::NoValue);
        };
        let name = written.trim_end();
        if name.is_empty() {
            return self.fault(self.at, EnvFileFault::NoName);
        }
        if let Some(bad) = name.find(|c: char| !(c.is_alphanumeric() || "_.-[]".contains(c))) {
            return self.fault(self.at + bad, EnvFileFault::BadName);
        }
        let Ok(name) = SecretName::parse(name) else {
            return self.fault(self.at, EnvFileFault::BadName);
        };
        self.at += written.len() + 1;
        Ok(name)
    }

    fn bare(&mut self) -> Vec<u8> {
        let line = self.line();
        self.at += line.len();
        // A `#` begins a comment only after a space; at the value's beginning and after any other character, it is
        // part of the value.
        let value = line.split_once(" #").map_or(line, |(value, _)| value);
        value.trim_end().as_bytes().to_vec()
    }

    fn quoted(&mut self, quote: u8) -> Result<Vec<u8>, EnvFileError> {
        let opening = self.at;
        self.at += 1;
        let mut value = zeroize::Zeroizing::new(Vec::with_capacity(self.line().len()));
        loop {
            let Some(byte) = self.peek() else {
                return self.fault(opening, EnvFileFault::OpenQuote);
            };
            let at = self.at;
            self.at += 1;
            match byte {
                _ if byte == quote => break,
                // A backslash also protects the next byte in single quotes, so the quote after `\\` closes the value.
                b'\\' if quote == b'\'' => self.pair(&mut value),
                b'\\' if !self.escape(&mut value) => return self.fault(at, EnvFileFault::Nul),
                b'\\' => {}
                _ => value.push(byte),
            }
        }
        self.skip_blanks();
        match self.peek() {
            None | Some(b'\n' | b'#') => {}
            Some(_) => return self.fault(self.at, EnvFileFault::AfterQuote),
        }
        self.at += self.line().len();
        Ok(value.to_vec())
    }

    /// Reads the character after a backslash in a single-quoted value. The backslash itself was read before, and
    /// stays in the value.
    fn pair(&mut self, value: &mut Vec<u8>) {
        match self.peek() {
            Some(b'\'') => value.push(b'\''),
            Some(b'\\') => value.extend_from_slice(b"\\\\"),
            _ => return value.push(b'\\'),
        }
        self.at += 1;
    }

    /// Reads one escape of a double-quoted value, whose backslash was read before. Returns false if the escape stands
    /// for NUL.
    fn escape(&mut self, value: &mut Vec<u8>) -> bool {
        let meant = match self.peek() {
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'r') => b'\r',
            Some(b'a') => 7,
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'v') => 11,
            Some(byte @ (b'\\' | b'"' | b'$')) => byte,
            Some(b'0') => return self.octal(value),
            _ => {
                value.push(b'\\');
                return true;
            }
        };
        value.push(meant);
        self.at += 1;
        true
    }

    /// Reads `\0` and three octal digits: a character up to U+00FF. With fewer or other digits, Compose keeps the
    /// backslash and the digits but drops the zero, so this reader does the same.
    fn octal(&mut self, value: &mut Vec<u8>) -> bool {
        let digits = &self.rest()[1..];
        let count = digits.bytes().take(3).take_while(u8::is_ascii_digit).count();
        let digits = &digits[..count];
        self.at += 1 + count;
        match u8::from_str_radix(digits, 8) {
            Ok(0) if count == 3 => return false,
            Ok(byte) if count == 3 => {
                value.extend_from_slice(char::from(byte).encode_utf8(&mut [0; 2]).as_bytes());
            }
            _ => {
                value.push(b'\\');
                value.extend_from_slice(digits.as_bytes());
            }
        }
        true
    }
}

/// Whether Compose skips a character around a name and before a value.
fn is_blank(c: char) -> bool {
    matches!(c, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ' | '\u{85}' | '\u{a0}')
}
