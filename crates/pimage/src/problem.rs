//! The reasons why an archive could not be read completely, or differs from its own description.

use std::fmt;
use std::io;

use crate::blob::BlobId;

/// One reason why the reading of an archive is not complete.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Problem {
    pub(crate) blob: Option<BlobId>,
    pub(crate) fault: Fault,
}

impl Problem {
    /// Returns the blob that has the problem, if it belongs to a blob.
    #[must_use]
    pub fn blob(&self) -> Option<BlobId> {
        self.blob
    }

    /// Returns the fault of the archive.
    #[must_use]
    pub fn fault(&self) -> &Fault {
        &self.fault
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fault.fmt(f)
    }
}

/// The fault of an archive. It contains only names and numbers, never content.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The source is not a tar, packed or not.
    NotAnArchive,
    /// The archive ends in the middle of a member.
    ArchiveEndsEarly {
        /// The length of the archive.
        at: u64,
    },
    /// The header of a member is not a tar header.
    ArchiveDamaged {
        /// The offset of the header.
        at: u64,
    },
    /// The source failed.
    SourceFailed {
        /// The number of bytes that were read before.
        at: u64,
        /// The kind of failure.
        kind: io::ErrorKind,
    },
    /// A blob with a source of its own could not be opened, or not read to its end.
    Unreadable {
        /// The member's name, made printable.
        name: String,
        /// The kind of failure.
        kind: io::ErrorKind,
    },
    /// A packed stream ends before its regular end.
    EndsEarly {
        /// The format.
        format: &'static str,
        /// The number of unpacked bytes before the end.
        at: u64,
    },
    /// A packed stream cannot be decoded further, or its checksum is wrong.
    Damaged {
        /// The format.
        format: &'static str,
        /// The number of unpacked bytes before the damage.
        at: u64,
    },
    /// A layer is packed in a format that is not opened.
    NotOpened {
        /// The format.
        format: &'static str,
    },
    /// A layer's tar ends in the middle of an entry.
    LayerEndsEarly {
        /// The number of unpacked bytes before the end.
        at: u64,
    },
    /// A layer is not a tar.
    NotATar,
    /// The archive lists a blob that it does not contain.
    Missing {
        /// The listed name, made printable.
        name: String,
    },
    /// A layer is stored elsewhere, at URLs that are not followed.
    Foreign {
        /// The listed digest, made printable.
        digest: String,
    },
    /// A digest is of an algorithm other than SHA-256, so nothing could be compared.
    UnknownDigest {
        /// The digest, made printable.
        digest: String,
    },
    /// A blob's bytes do not have the digest in its name or its manifest.
    WrongDigest,
    /// A layer's unpacked bytes do not have the digest in the image's configuration.
    WrongDiffId,
    /// A blob does not have the length in its manifest.
    WrongSize,
    /// The archive has neither `manifest.json` nor `index.json`, so nothing says which layers make an image.
    NoManifest,
    /// `manifest.json` and `index.json` list no image.
    NoImage,
    /// A document cannot be parsed.
    BrokenDocument {
        /// The document's name, made printable.
        name: String,
    },
    /// An image's configuration lists more or fewer layers than its manifest.
    LayerCount,
    /// Bytes follow the end of a packed stream. They were shown as they are.
    Behind {
        /// The offset in the stored blob.
        at: u64,
    },
    /// A fault of an archive inside of a layer.
    Inside {
        /// The file's path, and the members that lead to the archive.
        path: String,
        /// The fault of the archive.
        fault: Box<Fault>,
    },
    /// Objects of a git pack are differences to objects that are not in memory. Only the differences were shown.
    Unresolved {
        /// The number of such objects.
        objects: u64,
    },
    /// A fault that an earlier reading reported.
    Earlier {
        /// The message of the earlier report.
        told: String,
    },
    /// A limit was reached; the content beyond it was not read.
    Limit {
        /// The name of the limit, with its number.
        what: &'static str,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnArchive => f.write_str("this is not an image archive"),
            Self::ArchiveEndsEarly { at } => write!(f, "the archive ends early, at {}", Size(*at)),
            Self::ArchiveDamaged { at } => write!(f, "the archive is damaged at byte {at}"),
            Self::SourceFailed { at, kind } => write!(f, "reading the archive failed after {}: {kind}", Size(*at)),
            Self::Unreadable { name, kind } => write!(f, "`{name}` could not be read: {kind}"),
            Self::EndsEarly { format, at } => write!(f, "the {format} stream ends early, at {}", Size(*at)),
            Self::Damaged { format, at } => write!(f, "the {format} stream is damaged at {}", Size(*at)),
            Self::NotOpened { format } => write!(f, "packed with {format}, which is not opened"),
            Self::LayerEndsEarly { at } => write!(f, "the layer's tar ends early, at {}", Size(*at)),
            Self::NotATar => f.write_str("the layer is not a tar"),
            Self::Missing { name } => write!(f, "`{name}` is listed and not in the archive"),
            Self::Foreign { digest } => write!(f, "layer {digest} is kept elsewhere and not in the archive"),
            Self::UnknownDigest { digest } => write!(f, "digest {digest} is not SHA-256 and was not verified"),
            Self::WrongDigest => f.write_str("the bytes do not match their digest"),
            Self::WrongDiffId => f.write_str("the unpacked bytes do not match the configuration's diff_id"),
            Self::WrongSize => f.write_str("the size is not the one that the manifest claims"),
            Self::NoManifest => f.write_str("the archive has neither manifest.json nor index.json"),
            Self::NoImage => f.write_str("the archive lists no image"),
            Self::BrokenDocument { name } => write!(f, "`{name}` cannot be understood"),
            Self::LayerCount => f.write_str("the configuration and the manifest list different numbers of layers"),
            Self::Behind { at } => write!(f, "bytes follow the packed stream, from byte {at} on"),
            Self::Inside { path, fault } => write!(f, "{path}: {fault}"),
            Self::Unresolved { objects } => {
                write!(f, "{objects} objects are differences to objects out of reach, and were seen as that")
            }
            Self::Earlier { told } => f.write_str(told),
            Self::Limit { what } => write!(f, "limit reached: {what}"),
        }
    }
}

/// Writes a number of bytes for people, in decimal units with one digit after the point.
pub(crate) struct Size(pub(crate) u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 3] = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
        for (unit, name) in UNITS {
            if self.0 >= unit {
                return write!(f, "{}.{} {name}", self.0 / unit, self.0 % unit * 10 / unit);
            }
        }
        write!(f, "{} bytes", self.0)
    }
}
