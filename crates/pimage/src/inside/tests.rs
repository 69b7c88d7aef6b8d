use std::ops::ControlFlow;

use ptest::{Compression, Layer};

use crate::{Contents, Entry, Fault, Options, Part, Stream, Visitor, read};

/// A visitor that records where needles were shown: the place, and the innermost format.
#[derive(Default)]
struct Places {
    open: Vec<Open>,
    seen: Vec<String>,
}

struct Open {
    bytes: Vec<u8>,
    /// The places that were named, each with the offset from which on it counts.
    named: Vec<(u64, String)>,
}

const NEEDLE: &[u8] = b"the needle in the haystack";

fn place(path: &[u8], inside: &[u8], format: &str) -> String {
    let inside = if inside.is_empty() { Vec::new() } else { [b"!", inside].concat() };
    format!("{} ({format})", String::from_utf8_lossy(&[path, &inside].concat()))
}

impl Visitor for Places {
    fn begin(&mut self, stream: &Stream<'_>) {
        let format = match stream.part {
            Part::Inside(container) => container.name(),
            _ => "layer",
        };
        let named = vec![(0, place(stream.path, stream.inside, format))];
        self.open.push(Open { bytes: Vec::new(), named });
    }

    fn entry(&mut self, entry: &Entry<'_>) {
        let open = self.open.last_mut().unwrap();
        assert!(entry.header_at <= open.bytes.len() as u64);
        let format = entry.container.map_or("layer", |container| container.name());
        open.named.push((entry.header_at, place(entry.path, entry.inside, format)));
    }

    fn bytes(&mut self, level: usize, bytes: &[u8]) -> ControlFlow<()> {
        self.open[level].bytes.extend_from_slice(bytes);
        ControlFlow::Continue(())
    }

    fn end(&mut self) {
        let open = self.open.pop().unwrap();
        for at in memchr::memmem::find_iter(&open.bytes, NEEDLE) {
            let (_, place) = open.named.iter().rfind(|(from, _)| *from <= at as u64).unwrap();
            self.seen.push(place.clone());
        }
    }
}

fn look(layer: Layer, options: &Options) -> (Vec<String>, Contents) {
    let archive = ptest::Image::new().packed_layer(layer, Compression::Plain, "COPY").docker_legacy("shop");
    let mut places = Places::default();
    let contents = read(archive.tar().as_slice(), options, &mut places).unwrap();
    (places.seen, contents)
}

fn found(layer: Layer) -> Vec<String> {
    let (seen, contents) = look(layer, &Options::default());
    assert_eq!(contents.problems(), []);
    assert_eq!(contents.damaged(), []);
    seen
}

#[test]
fn what_is_packed_is_unpacked_whatever_its_name() {
    let text = [b"before ", NEEDLE, b" behind"].concat();
    for compression in [Compression::Gzip, Compression::GzipMembers, Compression::Zstd] {
        let format = if compression == Compression::Zstd { "zstd" } else { "gzip" };
        // The packed text occurs alone, packed twice, and with other bytes after it.
        let packed = compression.pack(&text);
        let tar = compression.pack(&Layer::new().file("etc/token", &text).tar());
        let seen = found(
            Layer::new()
                .file("srv/a.txt", &packed)
                .file("srv/b", compression.pack(&packed))
                .file("srv/c", [packed.as_slice(), &[0; 700], &tar, b"behind"].concat()),
        );
        // zstd does not pack short texts, so the layer also contains the needle.
        let seen: Vec<_> = seen.iter().filter(|place| !place.ends_with("(layer)")).collect();
        assert_eq!(
            seen.iter().filter(|place| place.as_str() == format!("srv/a.txt ({format})")).count(),
            1,
            "{compression:?}: {seen:?}"
        );
        assert!(seen.iter().any(|place| **place == format!("srv/b ({format})")), "{compression:?}: {seen:?}");
        assert!(seen.iter().any(|place| **place == format!("srv/c ({format})")), "{compression:?}: {seen:?}");
        assert!(seen.iter().any(|place| **place == "srv/c!etc/token (tar)"), "{compression:?}: {seen:?}");
    }
}

#[test]
fn a_tar_in_a_tar_names_its_members_and_what_follows_is_the_files_own() {
    let inner = Layer::new().file("deep/a", "x").file("deep/b", NEEDLE);
    let middle = Layer::new().file("inner.tar", inner.tar()).file("beside", NEEDLE);
    let seen = found(
        Layer::new()
            .file("middle.tar", [middle.tar().as_slice(), b"text ", NEEDLE].concat())
            .file("plain", NEEDLE)
            .file("empty", ""),
    );
    assert_eq!(
        seen,
        ["middle.tar!inner.tar!deep/b (tar)", "middle.tar!beside (tar)", "middle.tar (layer)", "plain (layer)"]
    );
}

/// Damage inside a layer is reported, but does not make the reading incomplete, because all bytes were seen.
#[test]
fn a_damaged_archive_inside_is_a_remark() {
    let noise: Vec<u8> = (0..40_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let packed = Compression::Gzip.pack(&[NEEDLE, &noise].concat());
    let (seen, contents) =
        look(Layer::new().file("cut.gz", &packed[..packed.len() / 2]).file("after", NEEDLE), &Options::default());
    // Noise is stored unpacked, and so is the needle before it.
    assert_eq!(seen, ["cut.gz (gzip)", "cut.gz (layer)", "after (layer)"]);
    assert_eq!(contents.problems(), []);
    let [told] = contents.damaged() else { panic!("{:?}", contents.damaged()) };
    assert!(matches!(told.fault(), Fault::Inside { path, .. } if path == "/cut.gz"), "{told}");
    // Content that only begins like a container is not reported.
    for head in [&b"\x1f\x8b\x08\0 is how a gzip file begins"[..], b"x\x9c is how zlib begins", b"]\0\0\x80\0 lzma"] {
        assert!(found(Layer::new().file("text", head)).is_empty());
    }
}
