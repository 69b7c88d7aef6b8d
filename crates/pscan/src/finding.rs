//! The places where secrets were seen.

use std::fmt;

use pimage::Container;
use psecret::{Form, SecretName};

/// A secret in one form at one place of an image.
///
/// Several forms at overlapping bytes are one finding, with the plainest of these forms. The same form several times
/// in one file is one finding, with the first offset and the number of times.
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
    /// The content of a file.
    File {
        /// The file's path in the layer, followed by the members of archives within it: `path!member!member`.
        path: String,
        /// The offset in the file, or in the innermost member.
        offset: u64,
    },
    /// The name, link target, attributes or other header fields of a file.
    Header {
        /// The file's path in the layer.
        path: String,
        /// The offset from the beginning of the file's headers.
        offset: u64,
    },
    /// The bytes between two files of a layer, after its last file, or in a layer that is not a tar.
    Bytes {
        /// The last file before the bytes, or the packed file that contains them if its content is not a tar.
        after: Option<String>,
        /// The offset in the unpacked bytes.
        offset: u64,
    },
    /// The name, comment or extra field of a gzip header.
    GzipHeader {
        /// The offset within these fields.
        offset: u64,
    },
    /// Packed bytes that no decoder reads.
    Packed {
        /// The offset in the stored blob.
        offset: u64,
    },
    /// A JSON document that belongs to the image.
    Document {
        /// The document: `config`, `manifest`, `index`, `attestation`, or its name in the archive.
        name: String,
        /// The JSON pointer of the string. `None` if the bytes are between strings or after a fault of the document.
        pointer: Option<String>,
        /// The offset in the document.
        offset: u64,
    },
}

impl Place {
    /// Returns the path in the layer, if the place has one.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::File { path, .. } | Self::Header { path, .. } => Some(path),
            Self::Bytes { after, .. } => after.as_deref(),
            Self::GzipHeader { .. } | Self::Packed { .. } | Self::Document { .. } => None,
        }
    }

    /// Returns the offset within the file, document or stream of the place.
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

    /// Returns the document's name, if the place is in a document.
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

    /// Returns the JSON pointer in the document.
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

    /// Returns the kind of the place, as the JSON contract calls it.
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

/// Writes the place for people: `/etc/app, byte 4`.
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
    /// Returns the secret's name.
    #[must_use]
    pub fn secret(&self) -> &SecretName {
        &self.secret
    }

    /// Returns the part of the secret that was seen; `None` stands for the whole secret.
    #[must_use]
    pub fn part(&self) -> Option<&str> {
        self.part.as_deref()
    }

    /// Returns the secret's name, and that of the part, for people.
    #[must_use]
    pub fn label(&self) -> String {
        label(&self.secret, self.part())
    }

    /// Returns the other secrets that have the same value, or share the value that was seen.
    #[must_use]
    pub fn same_value(&self) -> &[SecretName] {
        &self.same_value
    }

    /// Returns the form in which the secret was seen.
    #[must_use]
    pub fn form(&self) -> Form {
        self.form
    }

    /// Returns the innermost archive or packed stream, inside of a layer, that the secret was seen in. The offset of
    /// the place counts in the unpacked content of this archive or stream.
    #[must_use]
    pub fn container(&self) -> Option<Container> {
        self.container
    }

    /// Whether the value is so short that it was searched for as a whole token only.
    #[must_use]
    pub fn is_weak(&self) -> bool {
        self.weak
    }

    /// Returns the platform of the image, if the archive holds more than one.
    #[must_use]
    pub fn image(&self) -> Option<&str> {
        self.image.as_deref()
    }

    /// Returns the number of the layer, from 1; `None` outside of layers.
    #[must_use]
    pub fn layer(&self) -> Option<usize> {
        self.layer
    }

    /// Returns the digest of the layer's unpacked bytes, as the image's configuration states it.
    #[must_use]
    pub fn diff_id(&self) -> Option<&str> {
        self.diff_id.as_deref()
    }

    /// Returns the place.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Returns the instruction that made the layer or that the history contains, redacted.
    #[must_use]
    pub fn instruction(&self) -> Option<&str> {
        self.instruction.as_deref()
    }

    /// Returns the number of the layer, from 1, that deletes the file. The file is still readable in the image.
    #[must_use]
    pub fn deleted_in(&self) -> Option<usize> {
        self.deleted_in
    }

    /// Returns how many times the secret was seen at this place.
    #[must_use]
    pub fn times(&self) -> u64 {
        self.times
    }

    /// Returns the line of the Dockerfile that made the layer, if the caller of
    /// [`Report::locate`](crate::Report::locate) knew it.
    #[must_use]
    pub fn line(&self) -> Option<&SourceLine> {
        self.line.as_ref()
    }
}

/// Returns the text for a secret and its part.
pub(crate) fn label(secret: &SecretName, part: Option<&str>) -> String {
    match part {
        Some(part) => format!("{secret}, part {part}"),
        None => secret.to_string(),
    }
}
