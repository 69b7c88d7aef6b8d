use super::*;
use crate::window::Window;
use ptest::Layer;

/// Walks through a tar. Returns each path with the place of its content, and how the walk ended.
fn walked(tar: &[u8]) -> (Vec<(String, u64, u64)>, End) {
    let mut window = Window::new(tar);
    let mut walk = Walk::default();
    let mut found = Vec::new();
    loop {
        match walk.next(&mut window).unwrap() {
            Ok(()) => {
                let entry = walk.entry();
                found.push((String::from_utf8_lossy(&entry.path).into_owned(), entry.content_at, entry.size));
            }
            Err(end) => return (found, end),
        }
    }
}

fn paths(layer: &Layer) -> Vec<String> {
    let (found, end) = walked(&layer.tar());
    assert_eq!(end, End::Regular);
    found.into_iter().map(|(path, ..)| path).collect()
}

#[test]
fn names_of_every_length_are_read_and_contents_lie_where_they_are_said_to() {
    let long = "d/".repeat(200) + "file";
    let layer =
        Layer::new().file("a", "alpha").file(&long, "beta").directory("d").symlink("l", &long).file("z", "zeta");
    let tar = layer.tar();
    let (found, end) = walked(&tar);
    assert_eq!(end, End::Regular);
    let contents: Vec<&[u8]> = found
        .iter()
        .map(|(_, at, size)| &tar[usize::try_from(*at).unwrap()..usize::try_from(at + size).unwrap()])
        .collect();
    assert_eq!(found.iter().map(|(path, ..)| path.as_str()).collect::<Vec<_>>(), ["a", &long, "d/", "l", "z"]);
    assert_eq!(contents, [&b"alpha"[..], b"beta", b"", b"", b"zeta"]);
}

/// A9: PAX names and sizes replace those of the header, only for the next entry.
#[test]
fn pax_records_name_and_measure_the_next_entry() {
    let layer = Layer::new()
        .pax(b'x', &[("path", b"renamed".as_slice()), ("size", b"6"), ("SCHILY.xattr.user.x", b"v")])
        .header(b"short", b'0', b"", 0)
        .bytes(b"payload is one block")
        .bytes(&[0; 492])
        .file("next", "x");
    let (found, end) = walked(&layer.tar());
    assert_eq!(end, End::Regular);
    assert_eq!((found[0].0.as_str(), found[0].2), ("renamed", 6));
    assert_eq!(found[1].0, "next");
}

/// A9: a header for a name of a gigabyte needs no memory, and hides none of the following entries.
#[test]
fn an_endless_name_is_passed_over() {
    for kind in [b'L', b'K', b'x', b'g'] {
        let layer = Layer::new().header(b"long", kind, b"", 3 << 20).bytes(&vec![b'a'; 3 << 20]).file("next", "x");
        assert_eq!(paths(&layer), ["next"], "{}", char::from(kind));
    }
    let huge = Layer::new().header(b"long", b'L', b"", 1 << 33).file("swallowed", "x");
    assert_eq!(walked(&huge.tar()), (Vec::new(), End::Cut));
}

/// A9: if readers disagree about content after a link, the next header decides.
#[test]
fn content_behind_a_link_neither_hides_the_next_entry_nor_is_taken_for_one() {
    let without = Layer::new().header(b"link", b'2', b"target", 700).file("next", "x");
    let with = Layer::new().header(b"link", b'1', b"target", 700).bytes(&[b'c'; 1024]).file("next", "x");
    for layer in [without, with] {
        assert_eq!(paths(&layer), ["link", "next"]);
    }
}

/// A9: a tar may end with one block of zeros only, and may have entries or garbage after its end.
#[test]
fn entries_behind_the_end_are_named_too() {
    let hidden = Layer::new().file("first", "x").bytes(&[0; 512]).file("after one block", "y");
    assert_eq!(paths(&hidden), ["first", "after one block"]);
    let after = Layer::new().file("first", "x").after_end(&Layer::new().file("second", "y").tar());
    assert_eq!(paths(&after), ["first", "second"]);
    let garbage = Layer::new().file("first", "x").after_end(&[7; 600]);
    assert_eq!(walked(&garbage.tar()).1, End::Lost);
}

/// A9: the map of a sparse file is in blocks before its content.
#[test]
fn the_map_of_a_sparse_file_is_no_entry() {
    let mut tar = Layer::new().header(b"sparse", b'S', b"", 10).tar();
    tar.truncate(512);
    tar[482] = 1;
    let sum: u32 =
        tar.iter().enumerate().map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) }).sum();
    tar[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut map = vec![b'1'; 512];
    map[504] = 0;
    tar.extend(map);
    tar.extend(Layer::new().bytes(&[b'c'; 512]).file("next", "x").tar());
    let (found, end) = walked(&tar);
    assert_eq!((found[0].1, found[1].0.as_str(), end), (1024, "next", End::Regular));
}

/// A1: a cut tar has a regular end only if the cut is between two entries.
#[test]
fn a_cut_tar_is_known_to_be_cut() {
    let tar = Layer::new().file("a", vec![b'x'; 700]).file("b", "y").tar();
    for at in 1..tar.len() {
        let (_, end) = walked(&tar[..at]);
        let between = [1536, 2560].contains(&at) || at >= 2560;
        let partial_header = at < 512 || (1536..2048).contains(&at);
        match end {
            End::Regular => assert!(between, "cut at {at}"),
            End::Lost => assert!(partial_header, "cut at {at}"),
            End::Cut => assert!(!between, "cut at {at}"),
        }
    }
}

proptest::proptest! {
    /// A walk ends and stays within the bytes, whatever they are.
    #[test]
    fn no_bytes_break_a_walk(
        mut noise in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..3000),
        entries in 0_usize..4,
        at in 0_usize..3000,
    ) {
        let mut layer = Layer::new();
        for entry in 0..entries {
            layer = layer.file(&format!("file {entry}"), &noise);
        }
        let mut tar = layer.tar();
        let at = at.min(tar.len());
        tar.splice(at..at, noise.drain(..));
        let (found, _) = walked(&tar);
        for (_, content_at, _) in found {
            assert!(content_at <= tar.len() as u64);
        }
    }
}
