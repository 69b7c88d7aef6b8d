//! Where a secret was seen.

use std::fmt;

use pimage::Container;
use psecret::{Form, SecretName};

/// A secret in one form at one place of an image.
///
/// Several forms at overlapping bytes are one finding, in the plainest of them. The same form several times in one file
/// is one finding, at the first offset, with the number of times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub(crate) secret: SecretName,
    pub(crate) part: Option<String>,
    pub(crate) same_value: Vec<SecretName>,
    pub(crate) form: Form,
    pub(crate) container: Option<Container>,
    pub(crate) weak: bool,
    pub(crate) image: Option<String>,
    pub(crate) layer: Option<usize>,
    pub(crate) diff_id: Option<String>,
    pub(crate) place: Place,
    pub(crate) instruction: Option<String>,
    pub(crate) deleted_in: Option<usize>,
    pub(crate) times: u64,
    pub(crate) line: Option<SourceLine>,
}

/// A line of the Dockerfile that an image was built from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceLine {
    /// The Dockerfile's path, as the user gave it.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
}

/// The place of a finding. All text in it is redacted and printable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a file's content.
    File {
        /// The file's path in the layer, and the members of archives that lead on from there: `path!member!member`.
        path: String,
        /// The offset in the file, or in the innermost member.
        offset: u64,
    },
    /// In a file's name, link target, attributes or other header fields.
    Header {
        /// The file's path in the layer.
        path: String,
        /// The offset from the beginning of the file's headers.
        offset: u64,
    },
    /// Between two files of a layer, behind the last, or in something that is no tar.
    Bytes {
        /// The thing that holds the bytes where that is no tar, else the last file before them.
        after: Option<String>,
        /// The offset in the unpacked bytes.
        offset: u64,
    },
    /// In the name, comment or extra field of a gzip header.
    GzipHeader {
        /// The offset among those fields.
        offset: u64,
    },
    /// In packed bytes that no decoder takes.
    Packed {
        /// The offset in the blob as stored.
        offset: u64,
    },
    /// In a JSON document that belongs to the image.
    Document {
        /// Which: `config`, `manifest`, `index`, `attestation`, or the name in the archive.
        name: String,
        /// The JSON pointer of the string; `None` between strings or where the document is broken.
        pointer: Option<String>,
        /// The offset in the document.
        offset: u64,
    },
}

impl Place {
    /// The path in the layer, where there is one.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::File { path, .. } | Self::Header { path, .. } => Some(path),
            Self::Bytes { after, .. } => after.as_deref(),
            Self::GzipHeader { .. } | Self::Packed { .. } | Self::Document { .. } => None,
        }
    }

    /// The offset in what the place is in.
    #[must_use]
    pub fn offset(&self) -> u64 {
        match self {
            Self::File { offset, .. }
            | Self::Header { offset, .. }
            | Self::Bytes { offset, .. }
            | Self::GzipHeader { offset }
            | Self::Packed { offset }
            | Self::Document { offset, .. } => *offset,
        }
    }

    /// The document's name.
    #[must_use]
    pub fn document(&self) -> Option<&str> {
        match self {
            Self::Document { name, .. } => Some(name),
            Self::File { .. }
            | Self::Header { .. }
            | Self::Bytes { .. }
            | Self::GzipHeader { .. }
            | Self::Packed { .. } => None,
        }
    }

    /// The JSON pointer in the document.
    #[must_use]
    pub fn pointer(&self) -> Option<&str> {
        match self {
            Self::Document { pointer, .. } => pointer.as_deref(),
            Self::File { .. }
            | Self::Header { .. }
            | Self::Bytes { .. }
            | Self::GzipHeader { .. }
            | Self::Packed { .. } => None,
        }
    }

    /// The kind of the place, in the word of the JSON contract.
    #[must_use]
    pub fn machine_name(&self) -> &'static str {
        match self {
            Self::File { .. } => "content",
            Self::Header { .. } => "header",
            Self::Bytes { .. } => "bytes",
            Self::GzipHeader { .. } => "gzip-header",
            Self::Packed { .. } => "packed",
            Self::Document { .. } => "document",
        }
    }
}

/// The place as people say it: `/etc/app, byte 4`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, offset } => write!(f, "{path}, byte {offset}"),
            Self::Header { path, .. } => write!(f, "name or attributes of {path}"),
            Self::Bytes { after: Some(path), offset } => write!(f, "behind {path}, byte {offset} of the layer"),
            Self::Bytes { after: None, offset } => write!(f, "byte {offset} of the layer"),
            Self::GzipHeader { .. } => f.write_str("header of the gzip stream"),
            Self::Packed { offset } => write!(f, "packed bytes, byte {offset}"),
            Self::Document { name, pointer: Some(pointer), .. } => write!(f, "{name}, {pointer}"),
            Self::Document { name, pointer: None, offset } => write!(f, "{name}, byte {offset}"),
        }
    }
}

impl Finding {
    /// The secret.
    #[must_use]
    pub fn secret(&self) -> &SecretName {
        &self.secret
    }

    /// The part of the secret that was seen; `None` for the whole of it.
    #[must_use]
    pub fn part(&self) -> Option<&str> {
        self.part.as_deref()
    }

    /// The secret, and which part of it, for people.
    #[must_use]
    pub fn label(&self) -> String {
        label(&self.secret, self.part())
    }

    /// Other secrets that have the same value, or share what was seen.
    #[must_use]
    pub fn same_value(&self) -> &[SecretName] {
        &self.same_value
    }

    /// The form it was seen in.
    #[must_use]
    pub fn form(&self) -> Form {
        self.form
    }

    /// The innermost archive or packed stream that it was seen in, inside of a layer. The offsets of its place count in
    /// what that was unpacked to.
    #[must_use]
    pub fn container(&self) -> Option<Container> {
        self.container
    }

    /// Whether the value is so short that it was searched for as a whole token alone.
    #[must_use]
    pub fn is_weak(&self) -> bool {
        self.weak
    }

    /// The platform of the image, when the archive holds more than one.
    #[must_use]
    pub fn image(&self) -> Option<&str> {
        self.image.as_deref()
    }

    /// The layer, from 1; `None` outside of layers.
    #[must_use]
    pub fn layer(&self) -> Option<usize> {
        self.layer
    }

    /// The digest of the layer's unpacked bytes, as the image's configuration claims it.
    #[must_use]
    pub fn diff_id(&self) -> Option<&str> {
        self.diff_id.as_deref()
    }

    /// The place.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The instruction that made the layer or stands in the history, redacted.
    #[must_use]
    pub fn instruction(&self) -> Option<&str> {
        self.instruction.as_deref()
    }

    /// The layer, from 1, that deletes the file: whoever has the image can still read it.
    #[must_use]
    pub fn deleted_in(&self) -> Option<usize> {
        self.deleted_in
    }

    /// How many times it was seen there.
    #[must_use]
    pub fn times(&self) -> u64 {
        self.times
    }

    /// The line of the Dockerfile that made the layer, if somebody knows it.
    #[must_use]
    pub fn line(&self) -> Option<&SourceLine> {
        self.line.as_ref()
    }
}

/// Names a secret and its part.
pub(crate) fn label(secret: &SecretName, part: Option<&str>) -> String {
    match part {
        Some(part) => format!("{secret}, part {part}"),
        None => secret.to_string(),
    }
}
