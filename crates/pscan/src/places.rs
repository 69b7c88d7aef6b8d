//! The places that an audit searches. The documentation lists these rows, and the tests plant a value in each of
//! them.

use pimage::Container;

/// The places of an image, each with a description.
pub const PLACES: [(&str, &str); 34] = [
    ("file", "the content of a file, deleted in a later layer or not"),
    ("file name", "the name of a file"),
    ("folder name", "the name of a folder"),
    ("symbolic link", "the target of a symbolic link"),
    ("hard link", "the target of a hard link"),
    ("whiteout", "the name of a file that a layer deletes"),
    ("extended attribute", "the value of an extended attribute"),
    ("PAX comment", "a PAX record that readers ignore"),
    ("PAX global record", "a PAX record for all entries that follow"),
    ("owner name", "the names of an entry's owner and group"),
    ("long name", "a name too long for its header"),
    ("header padding", "bytes of a header that no field uses"),
    ("file padding", "bytes between a file's end and the next header"),
    ("behind the tar", "bytes behind a layer's last entry"),
    ("behind a packed layer", "bytes behind the end of a layer's packed stream"),
    ("behind a broken header", "a file behind a block that is no header"),
    ("link with content", "content behind the header of a link or a folder"),
    ("GNU sparse file", "a file with holes, as old GNU tar writes it"),
    ("PAX sparse file", "a file with holes, as tar writes it today"),
    ("same name twice", "each of two files of one name in one layer"),
    ("gzip header of a layer", "name, comment and extra field in the gzip header of a layer"),
    ("config: Env", "the environment in the image's configuration"),
    ("config: Cmd", "the command, and the entrypoint"),
    ("config: Labels", "labels, keys and values"),
    ("config: Healthcheck", "the healthcheck's command"),
    ("config: OnBuild", "instructions for images built from this one"),
    ("config: anything", "any other field, standard or not"),
    ("history: created_by", "the instructions in the image's history"),
    ("history: comment", "the comments in the image's history"),
    ("author", "the image's author"),
    ("manifest annotation", "annotations of a manifest"),
    ("index annotation", "annotations of an index"),
    ("attestation", "provenance, lists of parts and other statements"),
    ("any platform", "all of these, of every platform that the archive holds"),
];

/// The formats inside of layers that are opened, each with a description of what is read.
pub const CONTAINERS: [(Container, &str); 13] = [
    (Container::Gzip, "all members, with name, comment and extra field of each"),
    (Container::Zlib, "zlib streams that begin a file; loose git objects are such"),
    (Container::Zstd, "all frames, skippable ones too"),
    (Container::Xz, "all streams"),
    (Container::Lzma, "the format before xz"),
    (Container::Lzip, "all members"),
    (Container::Bzip2, "all streams"),
    (Container::Tar, "ustar, GNU, PAX and v7; images saved in images"),
    (
        Container::Zip,
        "jar, war, whl, docx …: stored, deflate, bzip2, LZMA, Zstandard and xz members; names, comments and extra fields; \
         members that the directory hides; programs, scripts and pictures with a zip behind them",
    ),
    (Container::Ar, "deb packages and static libraries"),
    (Container::Cpio, "`newc` and `odc`, one behind the other as in an initramfs, and in rpm packages"),
    (Container::SevenZip, "LZMA, LZMA2, bzip2, deflate and stored, up to 32 MiB packed"),
    (Container::GitPack, "all objects; differences applied where their base is among the last 24 MiB"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_container_has_its_row() {
        assert_eq!(CONTAINERS.map(|(container, _)| container), Container::ALL);
    }
}
