//! The messages of fsutil's transfer, as they are on the wire (tonistiigi/fsutil `types/*.proto`).
//!
//! They are written out here instead of generated, because names of files are bytes: the sender and the receiver in Go
//! pass on any bytes, which Rust's strings cannot hold. Data is [`Bytes`], which is not copied again.

use std::collections::BTreeMap;

use bytes::Bytes;

/// One message, either way.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Packet {
    #[prost(enumeration = "PacketKind", tag = "1")]
    pub(crate) kind: i32,
    #[prost(message, optional, tag = "2")]
    pub(crate) stat: Option<Stat>,
    /// The index of a file among all entries.
    #[prost(uint32, tag = "3")]
    pub(crate) id: u32,
    #[prost(bytes = "bytes", tag = "4")]
    pub(crate) data: Bytes,
}

/// The subject of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum PacketKind {
    /// An entry; without one, the end of the list.
    Stat = 0,
    /// Send this file.
    Request = 1,
    /// A piece of a file; empty, its end.
    Data = 2,
    /// All is there.
    Finish = 3,
    /// The transfer failed.
    Error = 4,
}

/// An entry of a tree.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Stat {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) path: Vec<u8>,
    /// Go's `os.FileMode`.
    #[prost(uint32, tag = "2")]
    pub(crate) mode: u32,
    #[prost(uint32, tag = "3")]
    pub(crate) uid: u32,
    #[prost(uint32, tag = "4")]
    pub(crate) gid: u32,
    #[prost(int64, tag = "5")]
    pub(crate) size: i64,
    /// Nanoseconds since 1970.
    #[prost(int64, tag = "6")]
    pub(crate) modified: i64,
    /// Where a symbolic link leads, or the path of the entry that a hard link is.
    #[prost(bytes = "vec", tag = "7")]
    pub(crate) link: Vec<u8>,
    #[prost(int64, tag = "8")]
    pub(crate) device_major: i64,
    #[prost(int64, tag = "9")]
    pub(crate) device_minor: i64,
    #[prost(btree_map = "string, bytes", tag = "10")]
    pub(crate) attributes: BTreeMap<String, Vec<u8>>,
}

impl Packet {
    pub(crate) fn entry(stat: Stat) -> Self {
        Self { kind: PacketKind::Stat.into(), stat: Some(stat), ..Self::default() }
    }

    pub(crate) fn end_of_entries() -> Self {
        Self { kind: PacketKind::Stat.into(), ..Self::default() }
    }

    /// Asks for the bytes of a file, by the index of its entry.
    pub(crate) fn request(id: u32) -> Self {
        Self { kind: PacketKind::Request.into(), id, ..Self::default() }
    }

    pub(crate) fn data(id: u32, data: Bytes) -> Self {
        Self { kind: PacketKind::Data.into(), id, data, ..Self::default() }
    }

    pub(crate) fn finish() -> Self {
        Self { kind: PacketKind::Finish.into(), ..Self::default() }
    }

    pub(crate) fn error(message: &str) -> Self {
        Self { kind: PacketKind::Error.into(), data: Bytes::copy_from_slice(message.as_bytes()), ..Self::default() }
    }
}

/// Bits of Go's `os.FileMode` beyond the nine permissions.
pub(crate) mod mode {
    pub(crate) const DIRECTORY: u32 = 1 << 31;
    pub(crate) const SYMLINK: u32 = 1 << 27;
    pub(crate) const DEVICE: u32 = 1 << 26;
    pub(crate) const NAMED_PIPE: u32 = 1 << 25;
    pub(crate) const SOCKET: u32 = 1 << 24;
    pub(crate) const SET_USER: u32 = 1 << 23;
    pub(crate) const SET_GROUP: u32 = 1 << 22;
    pub(crate) const CHARACTER_DEVICE: u32 = 1 << 21;
    pub(crate) const STICKY: u32 = 1 << 20;
}
