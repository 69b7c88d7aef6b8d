//! A layer: a tar that is made entry by entry.

use crate::pack::stream;

/// The compression of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// No compression.
    Plain,
    /// gzip with one member.
    Gzip,
    /// gzip with several members.
    GzipMembers,
    /// zstd with one frame.
    Zstd,
    /// xz, which was used for the first layers, and which engines still read.
    Xz,
    /// bzip2, which engines still read, too.
    Bzip2,
}

impl Compression {
    /// All kinds of compression.
    pub const ALL: [Self; 6] = [Self::Plain, Self::Gzip, Self::GzipMembers, Self::Zstd, Self::Xz, Self::Bzip2];

    /// Packs bytes.
    ///
    /// # Panics
    ///
    /// This never panics, because writing to memory cannot fail.
    #[must_use]
    pub fn pack(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Plain => bytes.to_vec(),
            Self::Gzip => stream::gzip(bytes),
            Self::GzipMembers => bytes.chunks(1000).flat_map(stream::gzip).collect(),
            Self::Zstd => stream::zstd(bytes),
            Self::Xz => stream::xz(bytes),
            Self::Bzip2 => stream::bzip2(bytes),
        }
    }

    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Gzip | Self::GzipMembers => "+gzip",
            Self::Zstd => "+zstd",
            Self::Xz => "+xz",
            Self::Bzip2 => "+bzip2",
        }
    }
}

/// The tar of a layer, written entry by entry.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    entries: Vec<u8>,
    after_end: Vec<u8>,
}

impl Layer {
    /// Makes a layer without entries.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a regular file.
    #[must_use]
    pub fn file(self, path: &str, contents: impl AsRef<[u8]>) -> Self {
        self.entry(path.as_bytes(), b'0', b"", contents.as_ref())
    }

    /// Adds a regular file whose name may be any bytes.
    #[must_use]
    pub fn file_named(self, path: &[u8], contents: impl AsRef<[u8]>) -> Self {
        self.entry(path, b'0', b"", contents.as_ref())
    }

    /// Adds a folder.
    #[must_use]
    pub fn directory(self, path: &str) -> Self {
        self.entry(format!("{path}/").as_bytes(), b'5', b"", b"")
    }

    /// Adds a symbolic link.
    #[must_use]
    pub fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(path.as_bytes(), b'2', target.as_bytes(), b"")
    }

    /// Adds a hard link.
    #[must_use]
    pub fn hard_link(self, path: &str, target: &str) -> Self {
        self.entry(path.as_bytes(), b'1', target.as_bytes(), b"")
    }

    /// Deletes the path of a lower layer, by the rule of the OCI image specification (layer.md, "Whiteouts").
    #[must_use]
    pub fn whiteout(self, path: &str) -> Self {
        let (folder, name) = path.rsplit_once('/').map_or(("", path), |(folder, name)| (folder, name));
        let slash = if folder.is_empty() { "" } else { "/" };
        self.entry(format!("{folder}{slash}.wh.{name}").as_bytes(), b'0', b"", b"")
    }

    /// Hides everything that lower layers have in a folder.
    #[must_use]
    pub fn opaque(self, folder: &str) -> Self {
        self.entry(format!("{folder}/.wh..wh..opq").as_bytes(), b'0', b"", b"")
    }

    /// Adds a file with an extended attribute, which is stored in a PAX record as Docker does.
    #[must_use]
    pub fn file_with_attribute(self, path: &str, attribute: &str, value: &[u8], contents: impl AsRef<[u8]>) -> Self {
        let key = format!("SCHILY.xattr.{attribute}");
        self.pax(b'x', &[(key.as_str(), value)]).file(path, contents)
    }

    /// Adds a PAX header. The kind `x` is for the next entry, `g` for all later entries.
    #[must_use]
    pub fn pax(self, kind: u8, records: &[(&str, &[u8])]) -> Self {
        let mut contents = Vec::new();
        for (key, value) in records {
            // The length of a record includes its own digits (POSIX pax, "pax Extended Header").
            let rest = key.len() + value.len() + 3;
            let mut length = rest + 1;
            while length != rest + length.to_string().len() {
                length = rest + length.to_string().len();
            }
            contents.extend_from_slice(format!("{length} {key}=").as_bytes());
            contents.extend_from_slice(value);
            contents.push(b'\n');
        }
        self.entry(b"PaxHeaders/x", kind, b"", &contents)
    }

    /// Adds any entry, by path, type flag, link target and contents. A name of more than 100 bytes gets a GNU
    /// long-name entry before it.
    #[must_use]
    pub fn entry(mut self, path: &[u8], kind: u8, target: &[u8], contents: &[u8]) -> Self {
        for (flag, name) in [(b'L', path), (b'K', target)] {
            if name.len() > 100 {
                let mut long = name.to_vec();
                long.push(0);
                self = self.entry(b"././@LongLink", flag, b"", &long);
            }
        }
        self.header(path, kind, target, contents.len() as u64).bytes(contents).padding(contents.len())
    }

    /// Adds only a header, which may claim any size.
    #[must_use]
    pub fn header(mut self, path: &[u8], kind: u8, target: &[u8], size: u64) -> Self {
        let mut header = [0_u8; 512];
        let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &path[..path.len().min(100)]);
        put(100, b"0000644\0");
        put(108, b"0000000\0");
        put(116, b"0000000\0");
        put(124, format!("{size:011o}\0").as_bytes().get(..12).unwrap_or(b"77777777777\0"));
        put(136, b"00000000000\0");
        put(148, b"        ");
        put(156, &[kind]);
        put(157, &target[..target.len().min(100)]);
        put(257, b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.entries.extend_from_slice(&header);
        self
    }

    /// Adds raw bytes in place of the next header.
    #[must_use]
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.entries.extend_from_slice(bytes);
        self
    }

    fn padding(mut self, length: usize) -> Self {
        self.entries.resize(self.entries.len() + length.next_multiple_of(512) - length, 0);
        self
    }

    /// Adds bytes after the archive's end.
    #[must_use]
    pub fn after_end(mut self, bytes: &[u8]) -> Self {
        self.after_end.extend_from_slice(bytes);
        self
    }

    /// Returns the tar, with its two blocks of zeros at the end.
    #[must_use]
    pub fn tar(&self) -> Vec<u8> {
        [self.entries.as_slice(), &[0; 1024], &self.after_end].concat()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    /// Lists the names with the `tar` crate, which is an independent reader.
    fn names(tar: &[u8]) -> Vec<String> {
        let mut archive = tar::Archive::new(tar);
        let entries = archive.entries().unwrap();
        entries.map(|entry| String::from_utf8_lossy(&entry.unwrap().path_bytes()).into_owned()).collect()
    }

    #[test]
    fn others_read_what_is_written() {
        let long = "d/".repeat(80) + "file";
        let layer = Layer::new()
            .directory("etc")
            .file("etc/a", "alpha")
            .file(&long, "beta")
            .symlink("etc/b", "a")
            .whiteout("etc/c")
            .opaque("var")
            .file_with_attribute("etc/d", "user.key", b"value", "delta");
        let expected = ["etc/", "etc/a", long.as_str(), "etc/b", "etc/.wh.c", "var/.wh..wh..opq", "etc/d"];
        assert_eq!(names(&layer.tar()), expected);
    }

    #[test]
    fn every_compression_gives_the_bytes_back() {
        let bytes: Vec<u8> = (0..5000_u32).flat_map(u32::to_le_bytes).collect();
        for compression in [Compression::Gzip, Compression::GzipMembers] {
            let mut back = Vec::new();
            flate2::read::MultiGzDecoder::new(compression.pack(&bytes).as_slice()).read_to_end(&mut back).unwrap();
            assert_eq!(back, bytes);
        }
        assert_eq!(zstd::decode_all(Compression::Zstd.pack(&bytes).as_slice()).unwrap(), bytes);
    }
}
