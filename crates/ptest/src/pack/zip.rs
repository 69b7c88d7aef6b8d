//! Zip archives written by hand, in which the directory and the content may differ.

use flate2::Crc;

/// A zip archive that is being written.
#[derive(Clone, Debug, Default)]
pub struct Zip {
    out: Vec<u8>,
    directory: Vec<u8>,
    members: u16,
    comment: Vec<u8>,
}

/// The form of a member.
#[derive(Clone, Copy)]
struct Shape {
    method: u16,
    flags: u16,
    listed: bool,
}

const STORED: Shape = Shape { method: 0, flags: 0, listed: true };
const DEFLATED: Shape = Shape { method: 8, flags: 0, listed: true };

impl Zip {
    /// Makes a zip without members.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts bytes before the first member.
    #[must_use]
    pub fn stub(mut self, bytes: &[u8]) -> Self {
        self.out.extend_from_slice(bytes);
        self
    }

    /// Adds an uncompressed member.
    #[must_use]
    pub fn stored(self, name: &str, bytes: &[u8]) -> Self {
        self.member(name, bytes, bytes, STORED, b"", b"")
    }

    /// Adds a deflated member.
    #[must_use]
    pub fn deflated(self, name: &str, bytes: &[u8]) -> Self {
        self.member(name, &super::deflate(bytes), bytes, DEFLATED, b"", b"")
    }

    /// Adds a member that was packed with another method.
    #[must_use]
    pub fn packed(self, name: &str, method: u16, packed: &[u8], bytes: &[u8]) -> Self {
        self.member(name, packed, bytes, Shape { method, ..STORED }, b"", b"")
    }

    /// Adds a deflated member with an extra field in both headers and a comment in the directory.
    #[must_use]
    pub fn with_fields(self, name: &str, bytes: &[u8], extra: &[u8], comment: &[u8]) -> Self {
        let length = u16::try_from(extra.len()).unwrap_or_default().to_le_bytes();
        let field = [&[0xfe, 0xca], &length[..], extra].concat();
        self.member(name, &super::deflate(bytes), bytes, DEFLATED, &field, comment)
    }

    /// Adds a deflated member whose sizes follow its data.
    #[must_use]
    pub fn streamed(self, name: &str, bytes: &[u8]) -> Self {
        self.member(name, &super::deflate(bytes), bytes, Shape { flags: 8, ..DEFLATED }, b"", b"")
    }

    /// Adds a deflated member that the directory does not list.
    #[must_use]
    pub fn hidden(self, name: &str, bytes: &[u8]) -> Self {
        self.member(name, &super::deflate(bytes), bytes, Shape { listed: false, ..DEFLATED }, b"", b"")
    }

    /// Adds a member that claims to be encrypted.
    #[must_use]
    pub fn encrypted(self, name: &str, bytes: &[u8]) -> Self {
        self.member(name, bytes, bytes, Shape { flags: 1, ..STORED }, b"", b"")
    }

    /// Sets the comment at the end.
    #[must_use]
    pub fn comment(mut self, comment: &[u8]) -> Self {
        self.comment = comment.to_vec();
        self
    }

    fn member(mut self, name: &str, packed: &[u8], bytes: &[u8], shape: Shape, extra: &[u8], comment: &[u8]) -> Self {
        let Shape { method, flags, listed } = shape;
        let at = u32::try_from(self.out.len()).unwrap_or(u32::MAX);
        let mut crc = Crc::new();
        crc.update(bytes);
        let number = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let sums = [crc.sum(), number(packed.len()), number(bytes.len())].map(u32::to_le_bytes).concat();
        let lengths = |extra: usize| {
            [name.len(), extra].map(|length| u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes()).concat()
        };
        let common = [&[20, 0][..], &flags.to_le_bytes(), &method.to_le_bytes(), &[0; 4]].concat();
        let streamed = flags & 8 != 0;
        let told = if streamed { vec![0; 12] } else { sums.clone() };
        let header = [b"PK\x03\x04", common.as_slice(), &told, &lengths(extra.len()), name.as_bytes(), extra, packed];
        self.out.extend(header.concat());
        if streamed {
            self.out.extend([b"PK\x07\x08".as_slice(), &sums].concat());
        }
        if listed {
            let commented = u16::try_from(comment.len()).unwrap_or(u16::MAX).to_le_bytes();
            let line = [
                b"PK\x01\x02\x14\0",
                common.as_slice(),
                &sums,
                &lengths(extra.len()),
                &commented,
                &[0; 8],
                &at.to_le_bytes(),
                name.as_bytes(),
                extra,
                comment,
            ];
            self.directory.extend(line.concat());
            self.members += 1;
        }
        self
    }

    /// Returns the whole archive.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let number = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
        let count = self.members.to_le_bytes();
        let comment = u16::try_from(self.comment.len()).unwrap_or(u16::MAX).to_le_bytes();
        [
            &self.out,
            &self.directory,
            &b"PK\x05\x06\0\0\0\0"[..],
            &count,
            &count,
            &number(self.directory.len()),
            &number(self.out.len()),
            &comment,
            &self.comment,
        ]
        .concat()
    }
}
