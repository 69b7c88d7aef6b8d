use std::collections::BTreeMap;
use std::fs;
use std::io::{Seek as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

fn layer(root: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    Layer::new(Change::new(None, root).unwrap()).read_to_end(&mut bytes).unwrap();
    bytes
}

/// Unpacks a layer with another tar reader. Returns the kind, link and content of each path.
fn unpacked(layer: &[u8]) -> BTreeMap<Vec<u8>, (u8, Vec<u8>, Vec<u8>)> {
    let mut archive = tar::Archive::new(layer);
    let mut found = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let link = entry.link_name_bytes().map(|link| link.to_vec()).unwrap_or_default();
        found.insert(entry.path_bytes().to_vec(), (entry.header().entry_type().as_byte(), link, content));
    }
    found
}

#[test]
fn a_change_reads_as_the_tar_that_others_would_write() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    let long = "d".repeat(90) + "/" + &"f".repeat(200);
    fs::create_dir(at(&long).parent().unwrap()).unwrap();
    fs::write(at(&long), "long").unwrap();
    fs::write(at("one"), vec![7; 1536]).unwrap();
    fs::write(at("empty"), "").unwrap();
    fs::hard_link(at("one"), at("two")).unwrap();
    symlink("t".repeat(300), at("link")).unwrap();
    let found = unpacked(&layer(folder.path()));
    let expected = [
        (b"empty".to_vec(), (b'0', Vec::new(), Vec::new())),
        (b"link".to_vec(), (b'2', "t".repeat(300).into_bytes(), Vec::new())),
        (b"one".to_vec(), (b'0', Vec::new(), vec![7; 1536])),
        (b"two".to_vec(), (b'1', b"one".to_vec(), Vec::new())),
        ("d".repeat(90).into_bytes().into_iter().chain(*b"/").collect(), (b'5', Vec::new(), Vec::new())),
        (long.into_bytes(), (b'0', Vec::new(), b"long".to_vec())),
    ];
    assert_eq!(found, expected.into());
}

#[test]
fn what_is_removed_becomes_a_whiteout() {
    assert_eq!(whiteout(b"etc/app/.npmrc"), b"etc/app/.wh..npmrc");
    assert_eq!(whiteout(b"top"), b".wh.top");
}

#[test]
fn a_record_counts_its_own_digits() {
    for length in [0, 1, 80, 88, 89, 90, 91, 92, 93, 985, 986, 987, 988, 9979, 9980] {
        let record = record(b"path", &vec![b'x'; length]);
        let claimed = std::str::from_utf8(&record[..record.iter().position(|byte| *byte == b' ').unwrap()]).unwrap();
        assert_eq!(claimed.parse::<usize>().unwrap(), record.len());
    }
}

#[test]
fn attributes_stand_in_the_headers() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, "x").unwrap();
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(&path, "trusted.note", b"the note's value", flags).unwrap();
    symlink("file", folder.path().join("link")).unwrap();
    rustix::fs::lsetxattr(folder.path().join("link"), "trusted.note", b"the link's value", flags).unwrap();
    let layer = layer(folder.path());
    for value in [&b"SCHILY.xattr.trusted.note=the note's value\n"[..], b"SCHILY.xattr.trusted.note=the link's value\n"]
    {
        assert!(layer.windows(value.len()).any(|window| window == value));
    }
    assert_eq!(unpacked(&layer).len(), 2);
}

/// The holes of the first file are a terabyte. Reading them from a disk would take hours, and writing them as zeros
/// minutes.
#[test]
fn holes_are_zeros_and_data_behind_them_is_found_where_it_lies() {
    let folder = TempDir::new().unwrap();
    let mut file = fs::File::create(folder.path().join("sparse")).unwrap();
    let mut expected = vec![0; 3 << 20];
    for at in [0_usize, 1 << 20, (2 << 20) + 5] {
        file.seek(SeekFrom::Start(at as u64)).unwrap();
        file.write_all(b"data").unwrap();
        expected[at..at + 4].copy_from_slice(b"data");
    }
    file.set_len(3 << 20).unwrap();
    assert_eq!(unpacked(&layer(folder.path()))[&b"sparse"[..]].2, expected);

    let huge = fs::File::create(folder.path().join("huge")).unwrap();
    huge.set_len(1 << 40).unwrap();
    let mut stretch = Content::new(huge, 1 << 40, true);
    let mut out = vec![1; 1 << 16];
    // The stretch ends at the end of the file, so the next hole must be looked up here.
    stretch.look_ahead().unwrap();
    assert!(matches!(stretch.stretch, Stretch::Hole(end) if end == 1 << 40));
    assert_eq!(stretch.read(&mut out).unwrap(), 1 << 16);
    assert!(out.iter().all(|byte| *byte == 0));
}

#[test]
fn a_file_that_shrank_is_an_error_and_not_a_shorter_file() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, vec![1; 5000]).unwrap();
    let mut reader = Layer::new(Change::new(None, folder.path()).unwrap());
    let mut head = [0; BLOCK];
    reader.read_exact(&mut head).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_len(10).unwrap();
    assert!(reader.read_to_end(&mut Vec::new()).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Any tree of files can be read back from its layer. (Line ends in names are left out, because the `tar` crate
    /// cannot read them in PAX records; our own reader of images can.)
    #[test]
    fn every_tree_comes_out_whole(
        files in prop::collection::btree_map(
            prop::collection::vec("[a-c\u{e9}.-]{1,60}", 1..4).prop_filter("no dots alone", |parts| {
                parts.iter().all(|part| part != "." && part != "..")
            }),
            prop::collection::vec(any::<u8>(), 0..1500),
            0..8,
        ),
        step in 1_usize..3000,
    ) {
        let folder = TempDir::new().unwrap();
        let mut expected = BTreeMap::new();
        for (parts, content) in files {
            let path = folder.path().join(parts.join("/"));
            if fs::create_dir_all(path.parent().unwrap()).is_ok() && !path.exists() && fs::write(&path, &content).is_ok() {
                let relative = path.strip_prefix(folder.path()).unwrap();
                expected.insert(relative.as_os_str().as_bytes().to_vec(), content);
            }
        }
        let mut reader = Layer::new(Change::new(None, folder.path()).unwrap());
        let (mut bytes, mut piece) = (Vec::new(), vec![0; step]);
        loop {
            let count = reader.read(&mut piece).unwrap();
            bytes.extend_from_slice(&piece[..count]);
            if count == 0 {
                break;
            }
        }
        let found: BTreeMap<Vec<u8>, Vec<u8>> =
            unpacked(&bytes).into_iter().filter(|(_, (kind, ..))| *kind == b'0').map(|(path, (_, _, content))| (path, content)).collect();
        prop_assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        prop_assert!(found == expected, "contents differ");
    }
}
