//! The dialect of Compose's `.env` files (compose-go, `dotenv/parser.go`), with interpolation off.
//!
//! - `export` before a name is taken; a name ends at `=`, blanks around the `=` mean nothing.
//! - A bare value ends at its line, without blanks around it and without a comment that a blank precedes.
//! - Single quotes keep everything, several lines too; only `\'` is a quote.
//! - Double quotes know `\n`, `\t`, `\r`, `\a`, `\b`, `\f`, `\v`, `\\`, `\"`, `\$` and octal `\0…`; other backslashes stay.
//! - `$` is a dollar sign, everywhere: nothing is looked up (D5).

use super::{EnvEntry, EnvFileError, EnvFileFault, EnvValue, fault_at};
use crate::{SecretName, UserSecret};

pub(super) fn entries(text: &str) -> Result<Vec<EnvEntry>, EnvFileError> {
    let mut reader = Reader { text: text.as_bytes(), at: 0 };
    let mut entries = Vec::new();
    while let Some(entry) = reader.entry()? {
        entries.push(entry);
    }
    Ok(entries)
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn fault<T>(&self, at: usize, fault: EnvFileFault) -> Result<T, EnvFileError> {
        Err(fault_at(self.text, at, fault))
    }

    fn entry(&mut self) -> Result<Option<EnvEntry>, EnvFileError> {
        self.skip_empty_lines();
        if self.peek().is_none() {
            return Ok(None);
        }
        let line = self.text[..self.at].iter().filter(|b| **b == b'\n').count() + 1;
        let name = self.name()?;
        self.skip_blanks();
        let value = match self.peek() {
            Some(quote @ (b'"' | b'\'')) => self.quoted(quote)?,
            _ => self.bare(),
        };
        Ok(Some(EnvEntry { name, value: EnvValue::Literal(UserSecret::new(value)), line }))
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }

    fn end_of_line(&self) -> usize {
        self.text[self.at..].iter().position(|b| *b == b'\n').map_or(self.text.len(), |length| self.at + length)
    }

    fn skip_empty_lines(&mut self) {
        while let Some(byte) = self.peek() {
            match byte {
                b'#' => self.at = self.end_of_line(),
                _ if byte.is_ascii_whitespace() => self.at += 1,
                _ => return,
            }
        }
    }

    /// The name, and the `=` behind it.
    fn name(&mut self) -> Result<SecretName, EnvFileError> {
        let end = self.end_of_line();
        let line = &self.text[self.at..end];
        if let Some(rest) = line.strip_prefix(b"export")
            && rest.first().is_some_and(|b| matches!(b, b' ' | b'\t'))
            && !rest.trim_ascii_start().starts_with(b"=")
        {
            self.at += b"export".len();
            self.skip_blanks();
        }
        let line = &self.text[self.at..end];
        let Some(equals) = line.iter().position(|b| *b == b'=') else {
            return self.fault(self.at, EnvFileFault::NoValue);
        };
        let written = line[..equals].trim_ascii_end();
        if written.is_empty() {
            return self.fault(self.at, EnvFileFault::NoName);
        }
        let bad = written.iter().position(|b| !(b.is_ascii_alphanumeric() || b"_.-[]".contains(b)));
        if let Some(bad) = bad {
            return self.fault(self.at + bad, EnvFileFault::BadName);
        }
        let name = std::str::from_utf8(written).ok().and_then(|text| SecretName::parse(text).ok());
        let Some(name) = name else {
            return self.fault(self.at, EnvFileFault::BadName);
        };
        self.at += equals + 1;
        Ok(name)
    }

    fn bare(&mut self) -> Vec<u8> {
        let end = self.end_of_line();
        let line = &self.text[self.at..end];
        // A `#` that begins the value is part of it, as Compose and python-dotenv have it.
        let comment = (1..line.len()).find(|at| line[*at] == b'#' && line[*at - 1].is_ascii_whitespace());
        self.at = end;
        line[..comment.unwrap_or(line.len())].trim_ascii().to_vec()
    }

    fn quoted(&mut self, quote: u8) -> Result<Vec<u8>, EnvFileError> {
        let opening = self.at;
        self.at += 1;
        let mut value = zeroize::Zeroizing::new(Vec::with_capacity(self.end_of_line() - self.at));
        loop {
            let Some(byte) = self.peek() else {
                return self.fault(opening, EnvFileFault::OpenQuote);
            };
            self.at += 1;
            match byte {
                _ if byte == quote => break,
                b'\\' if quote == b'"' => self.escape(&mut value),
                b'\\' if self.peek() == Some(b'\'') => {
                    value.push(b'\'');
                    self.at += 1;
                }
                b'\r' if self.peek() == Some(b'\n') => {}
                _ => value.push(byte),
            }
        }
        self.skip_blanks();
        match self.peek() {
            None | Some(b'\n' | b'#') => {}
            Some(b'\r') if matches!(self.text.get(self.at + 1), None | Some(b'\n')) => {}
            Some(_) => return self.fault(self.at, EnvFileFault::AfterQuote),
        }
        self.at = self.end_of_line();
        Ok(value.to_vec())
    }

    /// One escape of a double-quoted value; the backslash is read already.
    fn escape(&mut self, value: &mut Vec<u8>) {
        let Some(byte) = self.peek() else {
            return value.push(b'\\');
        };
        let meant = match byte {
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'a' => 7,
            b'b' => 8,
            b'f' => 12,
            b'v' => 11,
            b'\\' | b'"' | b'$' => byte,
            b'0' => return self.octal(value),
            _ => return value.push(b'\\'),
        };
        value.push(meant);
        self.at += 1;
    }

    /// `\0` and up to three octal digits. A NUL or a number past one byte is no escape: it stays as written.
    fn octal(&mut self, value: &mut Vec<u8>) {
        let digits: Vec<u8> =
            self.text[self.at..].iter().skip(1).take(3).copied().take_while(|b| matches!(b, b'0'..=b'7')).collect();
        let number = digits.iter().fold(0_u32, |sum, digit| sum * 8 + u32::from(digit - b'0'));
        match u8::try_from(number) {
            Ok(byte @ 1..=127) => {
                value.push(byte);
                self.at += 1 + digits.len();
            }
            _ => value.push(b'\\'),
        }
    }
}
