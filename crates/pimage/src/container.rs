//! The formats that contain other content.

/// A format that holds other content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Container {
    /// gzip, all members (RFC 1952).
    Gzip,
    /// A zlib stream (RFC 1950).
    Zlib,
    /// Zstandard, all frames (RFC 8878).
    Zstd,
    /// xz, all streams.
    Xz,
    /// The bare LZMA format, which is older than xz.
    Lzma,
    /// lzip, all members.
    Lzip,
    /// bzip2, all streams.
    Bzip2,
    /// tar: ustar, GNU, PAX and v7.
    Tar,
    /// zip, and formats based on it: jar, war, whl, docx.
    Zip,
    /// ar, for deb packages and static libraries.
    Ar,
    /// cpio, for initial file systems and the payload of rpm packages.
    Cpio,
    /// 7z.
    SevenZip,
    /// A pack of git objects.
    GitPack,
}

impl Container {
    /// All containers.
    pub const ALL: [Self; 13] = [
        Self::Gzip,
        Self::Zlib,
        Self::Zstd,
        Self::Xz,
        Self::Lzma,
        Self::Lzip,
        Self::Bzip2,
        Self::Tar,
        Self::Zip,
        Self::Ar,
        Self::Cpio,
        Self::SevenZip,
        Self::GitPack,
    ];

    /// Finds the container with this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|container| container.name() == name)
    }

    /// Returns the container's name in reports and in the JSON contract.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zlib => "zlib",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Lzma => "lzma",
            Self::Lzip => "lzip",
            Self::Bzip2 => "bzip2",
            Self::Tar => "tar",
            Self::Zip => "zip",
            Self::Ar => "ar",
            Self::Cpio => "cpio",
            Self::SevenZip => "7z",
            Self::GitPack => "git pack",
        }
    }
}
