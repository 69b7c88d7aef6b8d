//! The shapes a value takes on its way through programs.

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

/// Values longer than this are searched as written, by line, in base64, in hex and JSON-escaped alone.
pub const LONGEST_IN_EVERY_FORM: usize = 16 * 1024;

/// A secret's raw or encoded shape.
///
/// [`Display`](fmt::Display) is for people, [`Form::machine_name`] for reports; the latter never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Form {
    /// The bytes themselves.
    Raw,
    /// Without the blanks and line ends around it.
    Trimmed,
    /// With LF in place of CRLF, or the reverse.
    LineEnds,
    /// Its lines with other indentation and any line ends, as YAML blocks have them.
    Indented,
    /// One telling line of a value that has several.
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
    /// In something that was packed with gzip and encoded in base64, as Helm keeps its releases. No shape has this
    /// form: such text must be unpacked.
    Base64OfGzip,
    /// Hex digits, lower or upper case, plain or with `:`, `-`, blanks or `, 0x` between bytes.
    Hex,
    /// `\x` escapes.
    HexEscaped,
    /// Percent escapes of any strictness, `+` for blanks included.
    Percent,
    /// The inside of a JSON string.
    Json,
    /// The inside of a JSON string inside a JSON string.
    JsonTwice,
    /// The inside of a quoted shell word.
    Shell,
    /// The inside of a string literal in single quotes, as Python, PHP, Ruby and JavaScript write it.
    Literal,
    /// With its quotes doubled, as SQL, YAML and CSV write them.
    Doubled,
    /// XML or HTML entities.
    Xml,
    /// `=` and hex digits, as MIME's quoted-printable has it.
    QuotedPrintable,
    /// UTF-16, little end first.
    Utf16Le,
    /// UTF-16, big end first.
    Utf16Be,
    /// UTF-32, little end first.
    Utf32Le,
    /// UTF-32, big end first.
    Utf32Be,
    /// A list of its bytes as decimal numbers, as JSON has Node's buffers.
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

    /// Finds the form of this machine name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.machine_name() == name)
    }

    /// The name for reports and baselines; stable.
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
        // What is read under any escape is read as it is, too.
        let layout = |shape: &Self| if shape.layout == Layout::Spelled { Layout::Exact } else { shape.layout };
        (layout(self), self.before, self.after) == (layout(other), other.before, other.after)
            && self.bytes == other.bytes
    }

    /// Which form this is.
    #[must_use]
    pub fn form(&self) -> Form {
        self.form
    }

    /// How a text may lay the bytes out.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The demands on the characters right before and right behind the bytes, where the value decides a part of them.
    #[must_use]
    pub fn edges(&self) -> (Option<Edge>, Option<Edge>) {
        (self.before, self.after)
    }

    /// Whether another shape has the same in [`Layout::Spelled`], so that who reads that finds this one, too.
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

    /// The plaintext of this form. A door like [`UserSecret::expose`].
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.bytes
    }

    /// How many bytes the form has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether the form is empty, which is never true: an empty form is not made.
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

/// Makes every byte string by which a value can be recognized, without repetition, plainest form first.
///
/// - A value that is not searched ([`Searchability`]) has no forms; a weak one has those that are as long as itself
///   and stand for the whole of it.
/// - Base64 comes in three alignments, cut to the characters that the value determines alone, so that it is found
///   inside longer base64 whatever stands around it, with the bits that it determines of the two characters beside
///   them ([`Shape::edges`]); and whole, with padding.
/// - What encoders wrap, and lines that may be indented, have a [`Layout`] that says so.
/// - A value of several lines is also found by each line that looks like key material ([`Form::Line`]): 8 bytes or
///   more with a run of 16 letters of both cases and digits, or of 32 letters and digits. Lines of prose, of JSON
///   field names and PEM headers stand in innocent files too.
/// - Values over [`LONGEST_IN_EVERY_FORM`] get fewer forms, named there.
///
/// What is not here is not found: other transformations (reversed, encrypted, compressed, hashed) have no form.
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
        // A piece of a weak value is three or four characters: chance hits in any text.
        made.shapes.retain(|shape| !(shape.form == Form::Base64 || shape.form == Form::Base64Url) || shape.len() >= 8);
    }
    made.shapes
}

/// Makes a form of each line of a value that has several, telling or not: a log should show none of them.
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

/// Collects shapes, each byte string once.
struct Maker {
    shapes: Vec<Shape>,
    /// The shapes by the hash of their bytes.
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
    /// The bytes without a door, for tests alone.
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
