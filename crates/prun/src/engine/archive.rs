//! Tar archives in memory, which carry files to and from a container.

use bytes::Bytes;
use zeroize::Zeroizing;

/// One file of an archive.
pub(crate) struct File<'a> {
    /// The file's name; a slash separates a folder from the file in it.
    pub(crate) name: String,
    /// The file's content.
    pub(crate) content: &'a [u8],
    /// The file's permissions.
    pub(crate) mode: u32,
    /// The id of the user who owns the file.
    pub(crate) owner: u32,
}

/// Packs files in their order. A folder comes before the files in it.
///
/// The buffer has its final size from the start, because a buffer that grows leaves a copy of its content in freed
/// memory. The copies that the connection to the engine makes cannot be wiped.
#[must_use]
pub(crate) fn pack(files: &[File<'_>]) -> Archive {
    let size: usize = files.iter().map(|file| 2048 + file.content.len().next_multiple_of(512)).sum();
    let mut bytes = Zeroizing::new(Vec::with_capacity(size + 4096));
    let mut archive = tar::Builder::new(&mut *bytes);
    let mut folders: Vec<&str> = Vec::new();
    for file in files {
        if let Some((folder, _)) = file.name.rsplit_once('/')
            && !folders.contains(&folder)
        {
            folders.push(folder);
            let mut header = header(0, 0o755, 0);
            header.set_entry_type(tar::EntryType::Directory);
            append(&mut archive, &mut header, &format!("{folder}/"), &[]);
        }
        let mut header = header(file.content.len(), file.mode, file.owner);
        append(&mut archive, &mut header, &file.name, file.content);
    }
    archive.into_inner().expect("memory takes every byte");
    Archive(bytes)
}

/// A packed archive, which is wiped when it is dropped.
pub(crate) struct Archive(Zeroizing<Vec<u8>>);

impl Archive {
    /// Returns the bytes for the body of a request. They are wiped when the request is done.
    #[must_use]
    pub(crate) fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Archive {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

fn header(size: usize, mode: u32, owner: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(size as u64);
    header.set_mode(mode);
    header.set_uid(owner.into());
    header.set_gid(0);
    header.set_mtime(0);
    header
}

fn append(archive: &mut tar::Builder<&mut Vec<u8>>, header: &mut tar::Header, name: &str, content: &[u8]) {
    archive.append_data(header, name, content).expect("memory takes every byte, and names are plain");
}

/// Returns the regular files of an archive that the engine sent, each with its path. Reading ends at the first
/// damaged entry.
#[must_use]
pub(crate) fn files(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(archive);
    let mut files = Vec::new();
    for entry in archive.entries().into_iter().flatten() {
        let Ok(mut entry) = entry else { break };
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let mut content = Vec::new();
        if std::io::Read::read_to_end(&mut entry, &mut content).is_err() {
            break;
        }
        files.push((String::from_utf8_lossy(&entry.path_bytes()).into_owned(), content));
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_keep_content_mode_owner_and_order() {
        let file = |name: &str, content| File { name: name.to_owned(), content, mode: 0o400, owner: 1000 };
        let packed = pack(&[file("env", &b"A=1\0"[..]), file("files/KEY", b"key"), file("ready", b"")]);
        let mut archive = tar::Archive::new(packed.as_ref());
        let entries: Vec<(String, u32, u64)> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let header = entry.header();
                let path = entry.path().unwrap().display().to_string();
                (path, header.mode().unwrap(), header.uid().unwrap())
            })
            .collect();
        let expected: [(&str, u32, u64); 4] =
            [("env", 0o400, 1000), ("files/", 0o755, 0), ("files/KEY", 0o400, 1000), ("ready", 0o400, 1000)];
        assert_eq!(entries, expected.map(|(path, mode, owner)| (path.to_owned(), mode, owner)));
        let read = files(packed.as_ref());
        let read: Vec<(&str, &[u8])> = read.iter().map(|(name, content)| (name.as_str(), content.as_slice())).collect();
        assert_eq!(read, [("env", &b"A=1\0"[..]), ("files/KEY", b"key"), ("ready", b"")]);
        assert!(files(b"no archive").is_empty());
    }
}
