//! Reads an escape at a place of a text.

use super::name;
use super::rest::Rest;
use crate::Form;

/// The length of the longest escape within an escape. An escape that ends in a letter or a digit has at most half of
/// this.
pub const LONGEST_ESCAPE: usize = 64;

/// The most backslashes in a row that are read as one escape: JSON within JSON within JSON has seven before a quote.
const MOST_BACKSLASHES: usize = 8;

/// The meaning of an escape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    Byte(u8),
    Char(char),
}

impl Code {
    /// Returns the length of the code's bytes, if `accepts` returns true for them.
    pub(super) fn bytes(self, accepts: impl Fn(&[u8]) -> bool) -> Option<usize> {
        let mut utf8 = [0; 4];
        let bytes = match self {
            Self::Byte(byte) => {
                utf8[0] = byte;
                &utf8[..1]
            }
            Self::Char(c) => c.encode_utf8(&mut utf8).as_bytes(),
        };
        accepts(bytes).then_some(bytes.len())
    }

    fn ascii(self) -> Option<u8> {
        match self {
            Self::Byte(byte) => byte.is_ascii().then_some(byte),
            Self::Char(c) => u8::try_from(c).ok().filter(u8::is_ascii),
        }
    }
}

/// One escape: its meaning, and the index after it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unit {
    pub(super) code: Code,
    pub(super) end: usize,
    pub(super) escapes: Escapes,
}

/// The ways in which characters are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Escapes(u16);

impl Escapes {
    const JSON: Self = Self(1);
    const TWICE: Self = Self(2);
    const HEX: Self = Self(4);
    const PERCENT: Self = Self(8);
    const SHELL: Self = Self(16);
    const LITERAL: Self = Self(32);
    const DOUBLED: Self = Self(64);
    const XML: Self = Self(128);
    const QUOTED_PRINTABLE: Self = Self(256);

    pub(super) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn fewer(self, other: Self) -> Self {
        if other.0.count_ones() < self.0.count_ones() { other } else { self }
    }

    fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Returns the form that the value was seen in: the first form in the list below in which a character is written.
    /// Returns `None` if no character is escaped.
    #[must_use]
    pub fn form(self) -> Option<Form> {
        if self == Self::default() {
            return None;
        }
        let forms = [
            (Self::TWICE, Form::JsonTwice),
            (Self::JSON, Form::Json),
            (Self::HEX, Form::HexEscaped),
            (Self::PERCENT, Form::Percent),
            (Self::XML, Form::Xml),
            (Self::QUOTED_PRINTABLE, Form::QuotedPrintable),
            (Self::SHELL, Form::Shell),
            (Self::LITERAL, Form::Literal),
        ];
        Some(forms.into_iter().find(|(escapes, _)| self.has(*escapes)).map_or(Form::Doubled, |(_, form)| form))
    }
}

/// Whether an escape or a gap may begin with the byte. Letters and digits begin neither.
pub(super) fn may_begin(byte: u8) -> bool {
    BEGINS[usize::from(byte)]
}

static BEGINS: [bool; 256] = {
    let mut begins = [false; 256];
    let mut byte = 0_u8;
    while byte < 0x80 {
        begins[byte as usize] = byte.is_ascii_punctuation() || matches!(byte, b'\n' | b'\r' | 0x1b);
        byte += 1;
    }
    begins
};

/// The error that more bytes are needed to read an escape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut;

/// Finds which of these characters an escape at an index stands for, and the index after the escape. Doubled
/// characters are not read as escapes, because the text is an encoder's output.
///
/// # Errors
///
/// Returns [`Cut`] if more bytes are needed to know this.
pub fn escaped_one_of(text: &[u8], at: usize, these: &[u8]) -> Result<Option<(u8, usize)>, Cut> {
    if !text.get(at).is_some_and(|byte| b"\\%&=".contains(byte)) {
        return Ok(None);
    }
    let mut longest: Option<(u8, usize)> = None;
    let is_whole = units(text, at, Rest::MayFollow, &mut |unit| {
        if let Some(byte) = unit.code.ascii().filter(|byte| these.contains(byte))
            && unit.escapes != Escapes::DOUBLED
            && longest.is_none_or(|(_, end)| end < unit.end)
        {
            longest = Some((byte, unit.end));
        }
    });
    if longest.is_none() && !is_whole { Err(Cut) } else { Ok(longest) }
}

/// Calls `each` for every escape that begins at an index. Returns false if more bytes could make a further escape.
pub(super) fn units(text: &[u8], at: usize, rest: Rest, each: &mut dyn FnMut(Unit)) -> bool {
    // An escape can only be escaped itself if its first character is escaped or is a quote.
    let mut nests = matches!(text.get(at), Some(b'\'' | b'"'));
    let mut is_whole = Reader { text, depth: Depth::One, rest }
        .escape(at, &mut |unit| {
            nests |= unit.code.ascii().is_some_and(|byte| byte.is_ascii_punctuation());
            each(unit);
        })
        .is_ok();
    if nests {
        is_whole &= Reader { text, depth: Depth::Two, rest }.escape(at, each).is_ok();
    }
    is_whole
}

/// Whether an escape other than a quote may begin at an index. This quick check looks only at the next few bytes;
/// most punctuation in a log does not begin an escape.
pub(crate) fn looks_like_one(text: &[u8], at: usize) -> bool {
    let Some(behind) = text.get(at + 1..).filter(|behind| !behind.is_empty()) else { return true };
    let is_sign = |byte: u8| b"\\%&=".contains(&byte);
    match text[at] {
        b'\\' => {
            !behind[0].is_ascii_alphabetic() || b"uUxnrtbfvaeEZ".contains(&behind[0]) || behind[0].is_ascii_hexdigit()
        }
        b'%' => match behind {
            [b'u', ..] => true,
            [first, second, ..] if first.is_ascii_hexdigit() => second.is_ascii_hexdigit() || is_sign(*second),
            [first, ..] => first.is_ascii_hexdigit() || is_sign(*first),
            [] => true,
        },
        b'&' => {
            let name =
                behind.iter().take(name::LONGEST + 1).skip_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'#');
            let longest = behind.len().min(name::LONGEST + 1);
            name.clone().next().map_or(behind.len() == longest, |byte| *byte == b';' || is_sign(*byte))
        }
        b'=' => match behind {
            [first, second, ..] if first.is_ascii_hexdigit() => second.is_ascii_hexdigit() || is_sign(*second),
            [first, ..] => first.is_ascii_hexdigit() || is_sign(*first),
            [] => true,
        },
        _ => true,
    }
}

/// How often an escape was escaped itself. Of the readings of an inner escape, the longest counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// The escape consists of the text's own bytes.
    One,
    /// The escape was escaped itself.
    Two,
}

struct Reader<'a> {
    text: &'a [u8],
    depth: Depth,
    rest: Rest,
}

impl Reader<'_> {
    /// Reads the next character, and returns it with the index after it.
    fn next(&self, at: usize) -> Result<(u8, usize), Cut> {
        let byte = *self.text.get(at).ok_or(Cut)?;
        if self.depth == Depth::One || !b"\\%&=".contains(&byte) {
            return Ok((byte, at + 1));
        }
        let mut longest: Option<(u8, usize)> = None;
        let inner = Reader { depth: Depth::One, ..*self };
        let whole = inner.escape(at, &mut |unit| {
            if let Some(byte) = unit.code.ascii().filter(u8::is_ascii_graphic)
                && unit.escapes != Escapes::DOUBLED
                && longest.is_none_or(|(_, end)| end < unit.end)
            {
                longest = Some((byte, unit.end));
            }
        });
        match (longest, whole) {
            (Some(longest), _) => Ok(longest),
            (None, Err(cut)) if self.rest == Rest::MayFollow => Err(cut),
            (None, _) => Ok((byte, at + 1)),
        }
    }

    /// Calls `each` for every escape that begins at an index.
    fn escape(&self, at: usize, each: &mut dyn FnMut(Unit)) -> Result<(), Cut> {
        let first = *self.text.get(at).ok_or(Cut)?;
        if self.depth == Depth::One {
            return self.behind(first, at, at + 1, &mut |code, end, escapes| each(Unit { code, end, escapes }));
        }
        // A quote may be unescaped even if the characters between the quotes are escaped.
        let mut firsts = [(first, at + 1); 8];
        let mut count = usize::from(matches!(first, b'\'' | b'"'));
        let inner = Reader { depth: Depth::One, ..*self };
        let mut whole = inner.escape(at, &mut |unit| {
            let first = unit.code.ascii().map(|byte| (byte, unit.end)).filter(|(byte, _)| byte.is_ascii_punctuation());
            if let Some(first) = first.filter(|first| count < firsts.len() && !firsts[..count].contains(first)) {
                firsts[count] = first;
                count += 1;
            }
        });
        for (first, body) in &firsts[..count] {
            let behind = self.behind(*first, at, *body, &mut |code, end, escapes| {
                let twice = if escapes.has(Escapes::JSON) { Escapes::TWICE } else { Escapes::default() };
                each(Unit { code, end, escapes: escapes.with(twice) });
            });
            whole = whole.and(behind);
        }
        whole
    }

    /// Reads an escape that begins at the index `at` with the character `first`; its remaining text begins at the
    /// index `body`.
    fn behind(&self, first: u8, at: usize, body: usize, each: &mut dyn FnMut(Code, usize, Escapes)) -> Result<(), Cut> {
        match first {
            b'\\' => self.backslash(at, body, each)?,
            b'%' => self.percent(body, each)?,
            b'&' => self.entity(body, each)?,
            b'=' => {
                let (byte, end) = self.hex(body, 2)?.unwrap_or((0, body));
                if end > body {
                    each_byte(byte, end, Escapes::QUOTED_PRINTABLE, each);
                }
            }
            b'+' => each(Code::Byte(b' '), body, Escapes::PERCENT),
            b'\'' | b'"' => self.quotes(first, body, each)?,
            b'^' | b'`' => {
                let (next, end) = self.next(body)?;
                if next.is_ascii_punctuation() {
                    each(Code::Byte(next), end, Escapes::SHELL);
                }
            }
            b'~' => {
                let (next, end) = self.next(body)?;
                match next {
                    b'0' => each(Code::Byte(b'~'), end, Escapes::LITERAL),
                    b'1' => each(Code::Byte(b'/'), end, Escapes::LITERAL),
                    _ => {}
                }
            }
            b'\r' | b'\n' => self.fold(at, each)?,
            _ => {}
        }
        if first.is_ascii_punctuation() && first != b'\\' {
            let (next, end) = self.next(body)?;
            if next == first {
                each(Code::Byte(first), end, Escapes::DOUBLED);
            }
        }
        Ok(())
    }

    /// Reads one or more backslashes: JSON within JSON doubles those of the inner text.
    fn backslash(&self, at: usize, mut body: usize, each: &mut dyn FnMut(Code, usize, Escapes)) -> Result<(), Cut> {
        let mut backslashes = 1;
        let (kind, mut end) = loop {
            let (byte, end) = self.next(body)?;
            if byte != b'\\' || backslashes == MOST_BACKSLASHES {
                break (byte, end);
            }
            backslashes += 1;
            body = end;
            if backslashes.is_power_of_two() {
                let escapes = if backslashes > 2 { Escapes::JSON.with(Escapes::TWICE) } else { Escapes::LITERAL };
                each(Code::Byte(b'\\'), body, escapes);
            }
        };
        // An inner text that was unescaped already has no backslashes of its own before an escape.
        let json = if backslashes > 1 && body > at + 1 { Escapes::JSON.with(Escapes::TWICE) } else { Escapes::JSON };
        match kind {
            b'u' => {
                let unit = match self.braced(end)? {
                    Some(unit) => Some(unit),
                    None => self.unit(end, b"\\u")?,
                };
                if let Some((c, end)) = unit {
                    each(Code::Char(c), end, json);
                }
            }
            b'U' => {
                if let Some((code, end)) = self.hex(end, 8)? {
                    each_char(code, end, json, each);
                }
            }
            b'x' => {
                if let Some((c, end)) = self.braced(end)? {
                    each(Code::Char(c), end, Escapes::HEX);
                }
                if let Some((code, end)) = self.hex(end, 2)? {
                    each_byte(code, end, Escapes::HEX, each);
                }
                if let Some((code, end)) = self.hex(end, 4)? {
                    each_char(code, end, Escapes::HEX, each);
                }
            }
            b'n' | b'r' | b't' | b'b' | b'f' | b'v' | b'a' | b'e' | b'E' | b'Z' => {
                let control = match kind {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'f' => 12,
                    b'v' => 11,
                    b'a' => 7,
                    b'Z' => 26,
                    _ => 27,
                };
                each(Code::Byte(control), end, json);
            }
            b' ' => each(Code::Byte(b' '), end, Escapes::SHELL),
            byte if byte.is_ascii_punctuation() && byte != b'\\' => {
                let escapes = match byte {
                    b'"' | b'/' => json,
                    b'\'' => Escapes::LITERAL,
                    _ => Escapes::SHELL,
                };
                each(Code::Byte(byte), end, escapes);
            }
            _ => {}
        }
        if let (Depth::Two, Some(byte @ (b'%' | b'&' | b'='))) = (self.depth, self.text.get(body)) {
            // The character may also be unescaped, although it looks like the beginning of an escape.
            each(Code::Byte(*byte), body + 1, Escapes::SHELL);
        }
        // Octal digits are the escapes of C and shells; hex digits without an `x` are those of LDAP and CSS.
        if kind.is_ascii_hexdigit() {
            let (mut octal, mut hex) = (Some(0_u32), 0_u32);
            end = body;
            for length in 1..=6 {
                let next = self.next(end);
                let Ok((digit, behind)) = next else { return if length == 1 { Ok(()) } else { Err(Cut) } };
                let Some(value) = char::from(digit).to_digit(16) else { break };
                (end, hex) = (behind, hex * 16 + value);
                octal = octal.filter(|_| value < 8).map(|octal| octal * 8 + value);
                if let Some(code) = octal.filter(|code| *code < 256 && length <= 4) {
                    each_byte(code, end, Escapes::LITERAL, each);
                }
                if length > 1 {
                    each_byte(hex, end, Escapes::HEX, each);
                    if let Ok((b' ', behind)) = self.next(end) {
                        each_byte(hex, behind, Escapes::HEX, each);
                    }
                }
            }
        }
        Ok(())
    }

    fn percent(&self, body: usize, each: &mut dyn FnMut(Code, usize, Escapes)) -> Result<(), Cut> {
        let mut at = body;
        // A percent sign may be escaped itself, as in URLs within URLs: `%25252B`.
        for _ in 0..3 {
            if let Some((code, end)) = self.hex(at, 2)? {
                each_byte(code, end, Escapes::PERCENT, each);
                if code == u32::from(b'%') {
                    at = end;
                    continue;
                }
            }
            break;
        }
        if let (b'u', end) = self.next(body)?
            && let Some((c, end)) = self.unit(end, b"%u")?
        {
            each(Code::Char(c), end, Escapes::PERCENT);
        }
        Ok(())
    }

    fn entity(&self, body: usize, each: &mut dyn FnMut(Code, usize, Escapes)) -> Result<(), Cut> {
        let mut letters = [0; name::LONGEST];
        let (mut at, mut count) = (body, 0);
        loop {
            let (byte, end) = self.next(at)?;
            if byte == b';' && count > 0 {
                let code = match &letters[..count] {
                    [b'#', b'x' | b'X', digits @ ..] => number(digits, 16),
                    [b'#', digits @ ..] => number(digits, 10),
                    // Markup within markup escapes the ampersand.
                    b"amp" => {
                        each(Code::Byte(b'&'), end, Escapes::XML);
                        return self.entity(end, each).or(Ok(()));
                    }
                    name => name::character(name).map(u32::from),
                };
                if let Some(code) = code {
                    each_char(code, end, Escapes::XML, each);
                }
                return Ok(());
            }
            if count == name::LONGEST || !(byte.is_ascii_alphanumeric() || byte == b'#' && count == 0) {
                return Ok(());
            }
            letters[count] = byte;
            (count, at) = (count + 1, end);
        }
    }

    /// Reads a quote in a shell word, for which the word's own quotes are closed and opened again: `'\''` or `'"'"'`.
    /// The end of the latter is a gap.
    fn quotes(&self, quote: u8, body: usize, each: &mut dyn FnMut(Code, usize, Escapes)) -> Result<(), Cut> {
        let (second, behind) = self.next(body)?;
        let other = if quote == b'\'' { b'"' } else { b'\'' };
        if second == b'\\' || second == other {
            let (mut third, mut behind) = self.next(behind)?;
            // Within JSON, the backslash is doubled.
            while second == b'\\' && third == b'\\' && behind - body <= MOST_BACKSLASHES {
                (third, behind) = self.next(behind)?;
            }
            if third == quote && second == other {
                each(Code::Byte(quote), behind, Escapes::SHELL);
            } else if third == quote {
                let (fourth, behind) = self.next(behind)?;
                if fourth == quote {
                    each(Code::Byte(quote), behind, Escapes::SHELL);
                }
            }
        }
        Ok(())
    }

    /// Reads a line break and the indentation of the next line. YAML folds a blank to this; with an empty line, it
    /// stands for a line feed.
    fn fold(&self, at: usize, each: &mut dyn FnMut(Code, usize, Escapes)) -> Result<(), Cut> {
        if self.depth == Depth::Two {
            return Ok(());
        }
        let (mut end, mut feeds) = (at, 0);
        while end - at < LONGEST_ESCAPE {
            match self.text.get(end) {
                Some(b'\n') => feeds += 1,
                Some(b' ' | b'\t' | b'\r') => {}
                Some(_) => break,
                None => return Err(Cut),
            }
            end += 1;
        }
        match feeds {
            1 => each(Code::Byte(b' '), end, Escapes::LITERAL),
            2 => each(Code::Byte(b'\n'), end, Escapes::LITERAL),
            _ => {}
        }
        Ok(())
    }

    /// Reads exactly `digits` hex digits.
    fn hex(&self, mut at: usize, digits: usize) -> Result<Option<(u32, usize)>, Cut> {
        let mut code = 0;
        for _ in 0..digits {
            let (digit, end) = self.next(at)?;
            let Some(value) = char::from(digit).to_digit(16) else { return Ok(None) };
            (code, at) = (code << 4 | value, end);
        }
        Ok(Some((code, at)))
    }

    /// Reads `{`, hex digits and `}`.
    fn braced(&self, at: usize) -> Result<Option<(char, usize)>, Cut> {
        let (b'{', mut at) = self.next(at)? else { return Ok(None) };
        let mut code = 0;
        for _ in 0..8 {
            let (digit, end) = self.next(at)?;
            match char::from(digit).to_digit(16) {
                Some(value) if code < 0x0100_0000 => code = code << 4 | value,
                None if digit == b'}' => return Ok(char::from_u32(code).map(|c| (c, end))),
                _ => return Ok(None),
            }
            at = end;
        }
        Ok(None)
    }

    /// Reads four hex digits, a unit of UTF-16. The first unit of a surrogate pair is read together with the second,
    /// which follows the same `sign`.
    fn unit(&self, at: usize, sign: &[u8]) -> Result<Option<(char, usize)>, Cut> {
        let Some((first, mut at)) = self.hex(at, 4)? else { return Ok(None) };
        if let Some(c) = char::from_u32(first) {
            return Ok(Some((c, at)));
        }
        for wanted in sign {
            let mut backslashes = 0;
            loop {
                let (byte, end) = self.next(at)?;
                if byte != *wanted {
                    return Ok(None);
                }
                at = end;
                backslashes += 1;
                if *wanted != b'\\' || backslashes == MOST_BACKSLASHES || !matches!(self.next(at)?, (b'\\', _)) {
                    break;
                }
            }
        }
        let Some((second, at)) = self.hex(at, 4)? else { return Ok(None) };
        let units = [first, second].map(|unit| u16::try_from(unit).unwrap_or_default());
        Ok(char::decode_utf16(units).next().and_then(Result::ok).map(|c| (c, at)))
    }
}

/// Calls `each` with the byte of a number and with the character of that number, because writers differ in which of
/// the two they mean.
fn each_byte(code: u32, end: usize, escapes: Escapes, each: &mut dyn FnMut(Code, usize, Escapes)) {
    match u8::try_from(code) {
        Ok(byte) => {
            each(Code::Byte(byte), end, escapes);
            if !byte.is_ascii() {
                each(Code::Char(char::from(byte)), end, escapes);
            }
        }
        Err(_) => each_char(code, end, escapes, each),
    }
}

fn each_char(code: u32, end: usize, escapes: Escapes, each: &mut dyn FnMut(Code, usize, Escapes)) {
    if let Some(c) = char::from_u32(code) {
        each(Code::Char(c), end, escapes);
    }
}

fn number(digits: &[u8], radix: u32) -> Option<u32> {
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok()
}
