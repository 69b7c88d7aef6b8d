//! The shapes that a value takes on its way through programs.

mod base32;
mod base64;
mod escape;
mod layout;
mod lines;

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};

use zeroize::Zeroizing;

use crate::searchability::SHORTEST_FULL;
use crate::{Searchability, UserSecret};
pub use layout::{Edge, Layout};

/// Values longer than this are searched for as written, by line, in base64, in hex and JSON-escaped, and in no other
/// form.
pub const LONGEST_IN_EVERY_FORM: usize = 16 * 1024;

/// A secret's raw or encoded shape.
///
/// Its [`Display`](fmt::Display) is for people, its [`Form::machine_name`] for reports; the machine name never
/// changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Form {
    /// The bytes themselves.
    Raw,
    /// The bytes without the blanks and line ends around them.
    Trimmed,
    /// The bytes with LF in place of CRLF, or with CRLF in place of LF.
    LineEnds,
    /// The value's lines with another indentation and any line ends, as YAML blocks have them.
    Indented,
    /// One line of a value that has several; the line looks like key material.
    Line,
    /// The lines of a PEM body joined into one.
    Joined,
    /// The bytes that a PEM body encodes.
    Der,
    /// Base64, standard alphabet.
    Base64,
    /// Base64, URL alphabet.
    Base64Url,
    /// Base64 of base64.
    Base64OfBase64,
    /// Base64 of hex.
    Base64OfHex,
    /// Base64 of UTF-16, as PowerShell takes it.
    Base64OfUtf16,
    /// Base64 of gzip, as Helm stores its releases. No [`Shape`] has this form: the search finds it by unpacking the
    /// text.
    Base64OfGzip,
    /// Hex digits, in lower or upper case, with nothing, `:`, `-`, blanks or `, 0x` between the bytes.
    Hex,
    /// `\x` escapes.
    HexEscaped,
    /// Percent escapes, of however many characters a program escapes, also with `+` for blanks.
    Percent,
    /// The inside of a JSON string.
    Json,
    /// The inside of a JSON string inside a JSON string.
    JsonTwice,
    /// The inside of a quoted shell word.
    Shell,
    /// The inside of a string literal in single quotes, as Python, PHP, Ruby and JavaScript write it.
    Literal,
    /// The value with its quotes doubled, as SQL, YAML and CSV write them.
    Doubled,
    /// XML or HTML entities.
    Xml,
    /// `=` and hex digits: MIME's quoted-printable.
    QuotedPrintable,
    /// UTF-16, little-endian.
    Utf16Le,
    /// UTF-16, big-endian.
    Utf16Be,
    /// UTF-32, little-endian.
    Utf32Le,
    /// UTF-32, big-endian.
    Utf32Be,
    /// A list of the bytes as decimal numbers, as JSON has for Node's buffers.
    Decimal,
    /// Base32, standard alphabet, capital letters.
    Base32,
}

impl Form {
    /// Every form.
    const ALL: [Self; 29] = [
        Self::Raw,
        Self::Trimmed,
        Self::LineEnds,
        Self::Indented,
        Self::Line,
        Self::Joined,
        Self::Der,
        Self::Base64,
        Self::Base64Url,
        Self::Base64OfBase64,
        Self::Base64OfHex,
        Self::Base64OfUtf16,
        Self::Base64OfGzip,
        Self::Hex,
        Self::HexEscaped,
        Self::Percent,
        Self::Json,
        Self::JsonTwice,
        Self::Shell,
        Self::Literal,
        Self::Doubled,
        Self::Xml,
        Self::QuotedPrintable,
        Self::Utf16Le,
        Self::Utf16Be,
        Self::Utf32Le,
        Self::Utf32Be,
        Self::Decimal,
        Self::Base32,
    ];

    /// Finds the form with this machine name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.machine_name() == name)
    }

    /// Returns the name for reports and baselines; it never changes.
    #[must_use]
    pub fn machine_name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Trimmed => "trimmed",
            Self::LineEnds => "line-ends",
            Self::Indented => "indented",
            Self::Line => "line",
            Self::Joined => "joined",
            Self::Der => "der",
            Self::Base64 => "base64",
            Self::Base64Url => "base64url",
            Self::Base64OfBase64 => "base64-of-base64",
            Self::Base64OfHex => "base64-of-hex",
            Self::Base64OfUtf16 => "base64-of-utf16",
            Self::Base64OfGzip => "base64-of-gzip",
            Self::Hex => "hex",
            Self::HexEscaped => "hex-escaped",
            Self::Percent => "percent",
            Self::Json => "json",
            Self::JsonTwice => "json-twice",
            Self::Shell => "shell",
            Self::Literal => "literal",
            Self::Doubled => "doubled",
            Self::Xml => "xml",
            Self::QuotedPrintable => "quoted-printable",
            Self::Utf16Le => "utf16le",
            Self::Utf16Be => "utf16be",
            Self::Utf32Le => "utf32le",
            Self::Utf32Be => "utf32be",
            Self::Decimal => "decimal",
            Self::Base32 => "base32",
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Raw => "as written",
            Self::Trimmed => "as written, trimmed",
            Self::LineEnds => "with other line ends",
            Self::Indented => "with other indentation",
            Self::Line => "a line of it",
            Self::Joined => "joined into one line",
            Self::Der => "as DER",
            Self::Base64 => "base64",
            Self::Base64Url => "base64url",
            Self::Base64OfBase64 => "base64 of base64",
            Self::Base64OfHex => "base64 of hex",
            Self::Base64OfUtf16 => "base64 of UTF-16",
            Self::Base64OfGzip => "in base64 of gzip",
            Self::Hex => "hex",
            Self::HexEscaped => "hex-escaped",
            Self::Percent => "percent-encoded",
            Self::Json => "JSON-escaped",
            Self::JsonTwice => "JSON-escaped twice",
            Self::Shell => "shell-quoted",
            Self::Literal => "as a string literal",
            Self::Doubled => "with doubled quotes",
            Self::Xml => "XML-escaped",
            Self::QuotedPrintable => "quoted-printable",
            Self::Utf16Le => "UTF-16 LE",
            Self::Utf16Be => "UTF-16 BE",
            Self::Utf32Le => "UTF-32 LE",
            Self::Utf32Be => "UTF-32 BE",
            Self::Decimal => "a list of decimal numbers",
            Self::Base32 => "base32",
        })
    }
}

/// One byte string to look for: a secret in one of its forms. Wiped when dropped, never printed.
pub struct Shape {
    form: Form,
    layout: Layout,
    bytes: Zeroizing<Vec<u8>>,
    before: Option<Edge>,
    after: Option<Edge>,
}

impl Shape {
    fn exact(form: Form, bytes: Vec<u8>) -> Self {
        Self { form, layout: Layout::Exact, bytes: Zeroizing::new(bytes), before: None, after: None }
    }

    fn wrapped(form: Form, bytes: Vec<u8>) -> Self {
        Self { layout: Layout::Wrapped, ..Self::exact(form, bytes) }
    }

    fn is_like(&self, other: &Self) -> bool {
        // A reader of [`Layout::Spelled`] also finds the bytes as they are, so such a shape covers an exact one.
        let layout = |shape: &Self| if shape.layout == Layout::Spelled { Layout::Exact } else { shape.layout };
        (layout(self), self.before, self.after) == (layout(other), other.before, other.after)
            && self.bytes == other.bytes
    }

    /// Returns the form of these bytes.
    #[must_use]
    pub fn form(&self) -> Form {
        self.form
    }

    /// Returns how a text may lay out the bytes.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Returns the demands on the characters directly before and after the bytes, where the value determines some of
    /// their bits.
    #[must_use]
    pub fn edges(&self) -> (Option<Edge>, Option<Edge>) {
        (self.before, self.after)
    }

    /// Whether a reader of escapes finds this shape by another shape of the same value, one with [`Layout::Spelled`].
    #[must_use]
    pub fn spells_another(&self) -> bool {
        matches!(
            self.form,
            Form::HexEscaped
                | Form::Percent
                | Form::Json
                | Form::JsonTwice
                | Form::Shell
                | Form::Literal
                | Form::Doubled
                | Form::Xml
        )
    }

    /// Returns the plaintext of this form. Each call is a door, like those of [`UserSecret::expose`].
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the number of bytes of the form.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether the form is empty. This is never true, because empty forms are not made.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shape({})", self.form.machine_name())
    }
}

/// Makes every byte string by which a value can be recognized: each once, the plainest form first.
///
/// - A value that is not searched for ([`Searchability`]) has no forms. A weak value has only those forms that are at
///   least as long as the value and stand for the whole of it.
/// - Base64 comes in three alignments, each cut to the characters that the value alone determines, so that the value
///   is found inside longer base64, whatever surrounds it. The value also determines some bits of the two characters
///   beside the cut ([`Shape::edges`]). Base64 of the value alone, with padding, is a form, too.
/// - Forms that encoders wrap into lines, and lines that may be indented, have the [`Layout`] for this.
/// - A value of several lines is also found by each line that looks like key material ([`Form::Line`]): 8 bytes or
///   more with a run of 16 letters of both cases and digits, or of 32 letters and digits. Lines of prose, of JSON
///   field names and PEM headers are left out, because they occur in innocent files.
/// - Values over [`LONGEST_IN_EVERY_FORM`] have only the forms that this constant lists.
///
/// A value in any other transformation (reversed, encrypted, compressed, hashed) is not found.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "door 2: the forms of a value are made from it")]
pub fn forms(secret: &UserSecret) -> Vec<Shape> {
    shapes(secret.expose())
}

pub(crate) fn shapes(value: &[u8]) -> Vec<Shape> {
    let policy = Searchability::of_bytes(value);
    if !policy.is_searched() {
        return Vec::new();
    }
    let mut made = Maker::new(if policy == Searchability::Full { SHORTEST_FULL } else { value.trim_ascii().len() });
    let trimmed = value.trim_ascii();
    made.add(Form::Raw, value.to_vec());
    made.add(Form::Trimmed, trimmed.to_vec());
    lines::add(&mut made, value);
    encodings(&mut made, trimmed);
    if trimmed.len() != value.len() {
        encodings(&mut made, value);
    }
    for other in lines::with_other_ends(trimmed) {
        base64::add(&mut made, &other);
        if let Ok(text) = std::str::from_utf8(&other) {
            escape::add_json(&mut made, text);
        }
    }
    if policy == Searchability::Weak {
        // A piece of base64 of a weak value has three or four characters, which any text contains by chance.
        made.shapes.retain(|shape| !(shape.form == Form::Base64 || shape.form == Form::Base64Url) || shape.len() >= 8);
    }
    made.shapes
}

/// Makes a form of each line of a value that has several, even of lines that are not typical for the value: a log
/// should show none of them.
pub(crate) fn plain_lines(value: &[u8]) -> Vec<Shape> {
    lines::all(value).map(|line| Shape::exact(Form::Line, line.to_vec())).collect()
}

fn encodings(made: &mut Maker, value: &[u8]) {
    base64::add(made, value);
    escape::add_hex(made, value);
    let text = std::str::from_utf8(value).ok();
    if let Some(text) = text {
        escape::add_json(made, text);
    }
    if value.len() > LONGEST_IN_EVERY_FORM {
        return;
    }
    escape::add_percent(made, value);
    escape::add_shell(made, value);
    escape::add_quoted(made, value);
    if let Some(text) = text {
        escape::add_xml(made, text);
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        base64::add_nested(made, Form::Base64OfUtf16, &little);
        made.add(Form::Utf16Le, little);
        made.add(Form::Utf16Be, text.encode_utf16().flat_map(u16::to_be_bytes).collect());
        made.add(Form::Utf32Le, text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect());
        made.add(Form::Utf32Be, text.chars().flat_map(|c| u32::from(c).to_be_bytes()).collect());
    }
    base64::add_twice(made, value);
    base32::add(made, value);
    escape::add_decimal(made, value);
    base64::add_nested(made, Form::Base64OfHex, &escape::hex(value));
}

/// A collector of shapes that keeps each byte string once.
struct Maker {
    shapes: Vec<Shape>,
    /// The indexes of the shapes, by the hash of their bytes.
    seen: HashMap<u64, Vec<usize>>,
    hasher: RandomState,
    shortest: usize,
}

impl Maker {
    fn new(shortest: usize) -> Self {
        Self { shapes: Vec::new(), seen: HashMap::new(), hasher: RandomState::new(), shortest }
    }

    fn add(&mut self, form: Form, bytes: Vec<u8>) {
        let is_text = matches!(form, Form::Raw | Form::Trimmed | Form::LineEnds | Form::Line);
        let layout = if is_text { Layout::Spelled } else { Layout::Exact };
        self.add_shape(Shape { layout, ..Shape::exact(form, bytes) });
    }

    fn add_shape(&mut self, shape: Shape) {
        let alike = self.seen.entry(self.hasher.hash_one(shape.bytes.as_slice())).or_default();
        if shape.len() >= self.shortest && !alike.iter().any(|at| self.shapes[*at].is_like(&shape)) {
            alike.push(self.shapes.len());
            self.shapes.push(shape);
        }
    }
}

#[cfg(test)]
impl Shape {
    /// Returns the bytes without a door, for tests only.
    pub(crate) fn bytes_for_tests(&self) -> Vec<u8> {
        self.bytes.to_vec()
    }
}

#[cfg(test)]
pub(crate) fn base64_for_tests(value: &[u8]) -> String {
    String::from_utf8_lossy(&base64::whole(value)).into_owned()
}

#[cfg(test)]
mod tests;
