//! The messages of fsutil's transfer, in the form of the wire (tonistiigi/fsutil `types/*.proto`).
//!
//! The types are written by hand instead of generated, because names of files are bytes: the sender and the receiver
//! in Go accept any bytes, which Rust's strings cannot hold. Data is [`Bytes`], which are not copied again.

use std::collections::BTreeMap;

use bytes::Bytes;

/// A message in either direction.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Packet {
    #[prost(enumeration = "PacketKind", tag = "1")]
    pub(crate) kind: i32,
    #[prost(message, optional, tag = "2")]
    pub(crate) stat: Option<Stat>,
    /// The index of a file in the list of entries.
    #[prost(uint32, tag = "3")]
    pub(crate) id: u32,
    #[prost(bytes = "bytes", tag = "4")]
    pub(crate) data: Bytes,
}

/// The kind of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum PacketKind {
    /// An entry of the list. Without an entry, the message ends the list.
    Stat = 0,
    /// A request for the bytes of a file.
    Request = 1,
    /// A piece of a file. An empty piece ends the file.
    Data = 2,
    /// The transfer is complete.
    Finish = 3,
    /// The transfer failed.
    Error = 4,
}

/// An entry of a tree.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Stat {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) path: Vec<u8>,
    /// The mode, as in Go's `os.FileMode`.
    #[prost(uint32, tag = "2")]
    pub(crate) mode: u32,
    #[prost(uint32, tag = "3")]
    pub(crate) uid: u32,
    #[prost(uint32, tag = "4")]
    pub(crate) gid: u32,
    #[prost(int64, tag = "5")]
    pub(crate) size: i64,
    /// The modification time, in nanoseconds since 1970.
    #[prost(int64, tag = "6")]
    pub(crate) modified: i64,
    /// The target of a symbolic link, or the path of the first name of a hard link.
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

    /// Requests the bytes of a file, by the index of its entry.
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

/// The bits of Go's `os.FileMode` beyond the nine permission bits.
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
