//! Hostile or damaged content of an image is reported clearly, findings are kept, and memory and work stay limited.

use std::io::Write as _;
use std::ops::ControlFlow;
use std::process::Command;

use pscan::{NeedleSetBuilder, Options, Report, Verdict, audit};
use psecret::{SecretName, UserSecret};
use ptest::pack::{self, Zip};
use ptest::{Archive, Canary, Compression, Image, Layer, Oracle};

fn search(token: &Canary, tar: &[u8], options: &Options) -> Report {
    let name = SecretName::parse(token.name()).expect("what the test made itself");
    let needles = NeedleSetBuilder::new()
        .secret(&name, &UserSecret::new(token.value().to_vec()))
        .build()
        .expect("what the test made itself");
    audit(tar, &needles, options, &mut |_| ControlFlow::Continue(())).expect("what the test made itself")
}

/// Makes an archive with hostile bytes between two files.
fn between(token: &Canary, bytes: &[u8]) -> Archive {
    let layer = Layer::new().file("first", token.value()).file("hostile", bytes).file("last", token.value());
    Image::new().layer(layer, "COPY . /").docker_legacy("shop:1")
}

/// Checks that both files around the hostile bytes are found. Returns the reports about the bytes: those on parts
/// that were not searched, and those on damage.
fn told(bytes: &[u8], options: &Options) -> (Vec<String>, Vec<String>, Report) {
    let oracle = Oracle::new();
    let (token, other) = (oracle.token("TOKEN"), oracle.token("OTHER"));
    let archive = between(&token, bytes).tar();
    let report = search(&token, &archive, options);
    let paths: Vec<_> = report.findings().iter().filter_map(|finding| finding.place().path()).collect();
    assert_eq!(paths, ["/first", "/last"], "findings are kept: {report:?}");
    let texts = |list: &[pscan::NotSearched]| list.iter().map(|one| one.why().to_owned()).collect::<Vec<_>>();
    let (not_searched, damaged) = (texts(report.not_searched()), texts(report.damaged()));
    let clean = search(&other, &archive, options).verdict();
    let expected = if not_searched.is_empty() { Verdict::Clean } else { Verdict::Incomplete };
    assert_eq!(clean, expected, "{report:?}");
    (not_searched, damaged, report)
}

fn is_told(what: &str, bytes: &[u8], expected: &str) {
    let (not_searched, _, _) = told(bytes, &Options::default());
    assert!(not_searched.iter().any(|why| why.contains(expected)), "{what}: {not_searched:?}");
}

fn is_remarked(what: &str, bytes: &[u8], expected: &str) {
    let (not_searched, damaged, _) = told(bytes, &Options::default());
    assert_eq!(not_searched, Vec::<String>::new(), "{what}");
    assert!(damaged.iter().any(|why| why.contains(expected)), "{what}: {damaged:?}");
}

fn is_nothing(what: &str, bytes: &[u8]) {
    let (not_searched, damaged, _) = told(bytes, &Options::default());
    assert_eq!((not_searched, damaged), (Vec::new(), Vec::new()), "{what}");
}

type Packer = fn(&[u8]) -> Vec<u8>;

/// Makes pseudorandom letters.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        b'a' + (state % 26) as u8
    };
    std::iter::repeat_with(&mut next).take(count).collect()
}

fn limited(change: impl FnOnce(&mut pimage::Limits)) -> Options {
    let mut options = Options::default();
    change(&mut options.reading.inside);
    options
}

/// A1, A2: wherever an archive is cut or damaged, values before that place are found, and nothing else is reported
/// wrongly.
#[test]
fn archives_inside_cut_and_damaged_anywhere_keep_what_they_gave() {
    let oracle = Oracle::new();
    let token = oracle.token("TOKEN");
    let noise = noise(30_000);
    let tar = Layer::new().file("token", token.value()).file("noise", noise).tar();
    let packers: [(&str, Packer); 6] = [
        ("gzip", pack::gzip),
        ("zlib", pack::zlib),
        ("zstd", pack::zstd),
        ("lzma", pack::lzma),
        ("xz", pack::xz),
        ("bzip2", pack::bzip2),
    ];
    for (format, pack) in packers {
        let packed = pack(&tar);
        for nth in 0..24 {
            let at = 20 + nth * (packed.len() - 24) / 23;
            let mut damaged = packed.clone();
            damaged[at] ^= 0x10;
            for bytes in [&packed[..at], damaged.as_slice()] {
                let report = search(&token, &between(&token, bytes).tar(), &Options::default());
                let places: Vec<_> = report.findings().iter().filter_map(|finding| finding.place().path()).collect();
                assert!(places.contains(&"/first") && places.contains(&"/last"), "{format} at {at}: {report:?}");
                assert_eq!(report.not_searched(), [], "{format} at {at}: damage is no hole");
                // bzip2 and xz return their first bytes late.
                if at > packed.len() / 2 && matches!(format, "gzip" | "zlib" | "lzma") {
                    assert!(places.contains(&"/hostile!token"), "{format} at {at}: {report:?}");
                }
            }
        }
    }
}

/// A3, A4, A5, A6 (`docs/cases.md`): gzip files with several members, no content, bytes after them or long headers.
#[test]
fn odd_gzip_files_are_read_as_far_as_they_are_gzip() {
    is_nothing("empty gzip", &pack::gzip(b""));
    is_nothing("zeros behind it", &[pack::gzip(b"text"), vec![0; 5000]].concat());
    is_nothing("garbage behind it", &[pack::gzip(b"text").as_slice(), b"garbage"].concat());
    is_nothing("a name without end", &[&[0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 0][..], &vec![b'n'; 1 << 20]].concat());
    is_remarked(
        "a wrong sum",
        &{
            let mut packed = pack::gzip(&b"some text ".repeat(2000));
            let at = packed.len() - 8;
            packed[at] ^= 1;
            packed
        },
        "the gzip stream is damaged",
    );
}

/// A7 (`docs/cases.md`): each bomb ends at a limit, which the report names.
#[test]
fn bombs_end_at_a_limit() {
    is_told("zeros", &pack::zeros(100), "unpacked bytes for each packed one");
    is_told(
        "zeros in a zip",
        &Zip::new().deflated("zeros", &vec![0; 70 << 20]).bytes(),
        "unpacked bytes for each packed one",
    );
    is_told("42.zip", &pack::forty_two(10, 2, b"bottom"), "archives inside of archives");
    is_nothing("not quite 42.zip", &pack::forty_two(8, 2, b"bottom"));
    is_told("gzip without end", &pack::gzip_in_gzip(40), "archives inside of archives");
    is_told("gzip that holds itself", &pack::quine(), "archives inside of archives");
    is_nothing("eight times gzip", &pack::gzip_in_gzip(8));
    let text = b"some text that is not all the same 0123456789 ".repeat(1000);
    let (not_searched, ..) = told(&pack::gzip(&text), &limited(|limits| limits.member_bytes = 10_000));
    assert!(not_searched[0].contains("unpacked bytes of one archive member"), "{not_searched:?}");
    let many = Zip::new().deflated("a", &text).deflated("b", &text).deflated("c", &text).bytes();
    let (not_searched, ..) = told(&many, &limited(|limits| limits.layer_bytes = 100_000));
    assert!(not_searched[0].contains("unpacked bytes of all archives inside one layer"), "{not_searched:?}");
    let members: Vec<(&str, &[u8])> = vec![("member", b"x"); 2000];
    let (not_searched, ..) = told(&pack::ar(&members), &limited(|limits| limits.entries = 1000));
    assert!(not_searched[0].contains("members of all archives inside one layer"), "{not_searched:?}");
}

/// A7, A11: if a zip's directory lists the same bytes many times, they are unpacked once.
#[test]
fn overlapping_members_are_unpacked_once_and_told() {
    let size = 1 << 20;
    let bomb = pack::overlapping_zip(500, size);
    let (not_searched, _, report) = told(&bomb, &Options::default());
    assert!(not_searched.iter().any(|why| why.contains("members overlap")), "{not_searched:?}");
    let most = 2 * (bomb.len() + size) as u64 + 20_000;
    assert!(report.stats().bytes < most, "{} bytes", report.stats().bytes);
}

/// A8: content that needs more memory than is allowed, or a dictionary from elsewhere, is reported.
#[test]
fn decoders_that_need_too_much_are_told() {
    let window_of_2_gib = b"\x28\xb5\x2f\xfd\x00\xa8 and so on";
    is_told("zstd window", window_of_2_gib, "memory for unpacking");
    is_told("zstd dictionary", b"\x28\xb5\x2f\xfd\x01\x58\x07 and so on", "zstd with a dictionary");
    let mut xz = pack::xz(&b"text ".repeat(100));
    // The last lines change the header of the first block: its properties and its checksum.
    let length = (usize::from(xz[12]) + 1) * 4;
    let at = (12..12 + length).rfind(|at| xz[at - 1] == 1 && xz[at - 2] == 0x21).expect("what the test made itself");
    xz[at] = 40;
    let mut crc = crc(&xz[12..12 + length - 4]).to_le_bytes().to_vec();
    xz.splice(12 + length - 4..12 + length, crc.drain(..));
    is_told("xz dictionary of 4 GiB", &xz, "memory for unpacking");
    is_nothing("empty bzip2 streams", &pack::bzip2(b"").repeat(20_000));
}

fn crc(bytes: &[u8]) -> u32 {
    // CRC-32 (IEEE 802.3), bit by bit.
    !bytes.iter().fold(!0_u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg()))
    })
}

/// A8, A12: content that certainly is an archive, but of a kind that is not opened, is reported.
#[test]
fn archives_that_are_not_opened_are_told() {
    is_told("rar", b"Rar!\x1a\x07\x01\0 and so on", "rar");
    is_told("lz4", b"\x04\x22\x4d\x18\x64\x40\xa7 and so on", "lz4");
    is_told("an encrypted zip", &Zip::new().encrypted("a", b"secret").deflated("b", b"x").bytes(), "encrypted zip");
    is_told("zip by an unknown method", &Zip::new().packed("a", 98, b"packed", b"x").bytes(), "zip with ppmd");
}

/// A9, A14: a tar inside of a layer may have sizes and names of any length.
#[test]
fn tars_inside_that_lie_are_read_as_far_as_they_go() {
    let endless = Layer::new().file("a", "x").header(b"b", b'0', b"", u64::MAX >> 1).tar();
    is_remarked("a file of 8 EiB", &endless, "the tar stream ends early");
    for kind in [b'L', b'K', b'x', b'g'] {
        let tar = Layer::new().header(b"long", kind, b"", 1 << 30).bytes(&[b'n'; 4096]).tar();
        is_remarked("a name of 1 GiB", &tar, "the tar stream ends early");
    }
    is_nothing("links in a circle", &Layer::new().symlink("a", "b").symlink("b", "a").hard_link("c", "c").tar());
    is_nothing("names that lead out", &Layer::new().file("../../etc/passwd", "x").file("/etc/passwd", "x").tar());
}

/// A11: the headers, directory and descriptors of a zip may disagree.
#[test]
fn zips_that_lie_hide_nothing() {
    let oracle = Oracle::new();
    let token = oracle.token("TOKEN");
    let text = [token.value(), b" ", &b"padding ".repeat(40)].concat();
    let mut lying_size = Zip::new().deflated("a", &text).deflated("b", &text).bytes();
    // The packed size of the first member reaches far beyond the second member.
    lying_size[18..22].copy_from_slice(&5000_u32.to_le_bytes());
    let mut lying_descriptor = Zip::new().streamed("a", &text).streamed("b", &text).bytes();
    let at = lying_descriptor.windows(4).position(|window| window == b"PK\x07\x08").expect("what the test made itself");
    lying_descriptor[at + 4..at + 16].fill(0xff);
    let same_name = Zip::new().deflated("a", &text).deflated("a", &text).bytes();
    for (what, zip) in [("size", lying_size), ("descriptor", lying_descriptor), ("same name", same_name)] {
        let layer = Layer::new().file("f.zip", zip);
        let report = search(&token, &Image::new().layer(layer, "COPY").oci().tar(), &Options::default());
        let inside = report.findings().iter().filter(|finding| finding.container().is_some()).count();
        assert_eq!((inside, report.not_searched()), (2, &[][..]), "{what}: {report:?}");
    }
    let many: Zip = (0..3000).fold(Zip::new(), |zip, nth| zip.stored(&format!("../../{nth}"), b"x"));
    is_nothing("many members", &many.bytes());
}

/// A13: a file is opened by its bytes and not by its name. If the bytes can be read as two formats, both are read.
#[test]
fn names_say_nothing() {
    is_nothing("text that is called .gz", b"just text");
    is_nothing("the beginning of a zip", b"PK\x03\x04");
    is_nothing("the beginning of a 7z", b"7z\xbc\xaf");
    is_remarked("a 7z that ends early", &pack::seven_zip(&[("a", &[7; 5000])])[..100], "the 7z stream ends early");
}

/// A15: a value is found at every place around the reader's own buffer borders.
#[test]
fn values_on_the_borders_of_buffers_are_found() {
    let oracle = Oracle::new();
    let token = oracle.token("TOKEN");
    let length = token.value().len();
    for border in [64 << 10, 128 << 10, 256 << 10, 512 << 10] {
        let plain = [noise(border - length / 2).as_slice(), token.value(), &noise(100)].concat();
        let layer = Layer::new()
            .file("gzip", pack::gzip(&plain))
            .file("xz", pack::xz(&plain))
            .file("zip", Zip::new().deflated("m", &plain).stored("s", &plain).bytes());
        let report = search(&token, &Image::new().layer(layer, "COPY").oci().tar(), &Options::default());
        let places: Vec<_> = report.findings().iter().filter_map(|finding| finding.place().path()).collect();
        assert_eq!(places, ["/gzip", "/xz", "/zip!m", "/zip!s"], "{border}");
    }
}

/// A7: twice the input causes at most twice the work, counted in bytes.
#[test]
fn the_work_grows_with_the_input() {
    let oracle = Oracle::new();
    let token = oracle.token("TOKEN");
    let work = |count: usize| {
        let member = pack::gzip(&b"text of some length ".repeat(500));
        let zip = (0..count).fold(Zip::new(), |zip, nth| {
            zip.stored(&format!("{nth}.gz"), &member).deflated(&format!("{nth}"), &member)
        });
        search(
            &token,
            &Image::new().layer(Layer::new().file("a", zip.bytes()), "COPY").oci().tar(),
            &Options::default(),
        )
        .stats()
        .bytes
    };
    let (one, two) = (work(200), work(400));
    assert!(two <= 2 * one, "{one} bytes, then {two}");
}

/// A16: if ten thousand layers are the same blob, the blob is searched once and each layer is reported.
#[test]
fn ten_thousand_layers_are_searched_once() {
    let oracle = Oracle::new();
    let token = oracle.token("TOKEN");
    let tar = Layer::new().file("a", token.value()).tar();
    let mut archive = Archive::new();
    archive.add("layer.tar", tar.clone());
    let ids = vec![ptest::sha256(&tar); 10_000];
    archive.add("config.json", serde_json::json!({"rootfs": {"type": "layers", "diff_ids": ids}}).to_string());
    let layers = vec!["layer.tar"; 10_000];
    archive.add("manifest.json", serde_json::json!([{"Config": "config.json", "Layers": layers}]).to_string());
    let report = search(&token, &archive.tar(), &Options::default());
    assert_eq!((report.findings().len(), report.verdict()), (10_000, Verdict::Leak));
    assert!(report.stats().bytes < 3_000_000, "{}", report.stats().bytes);
}

const CHILD: &str = "PSCAN_TEST_HOSTILE";

/// P4: the search of any image needs at most 256 MiB. The test measures this in a process of its own, which may also
/// not have more than a gigabyte of addresses.
#[test]
fn memory_is_bounded_whatever_the_image() {
    if let Some(path) = std::env::var_os(CHILD) {
        let oracle = Oracle::new();
        let report = {
            let name = SecretName::parse("TOKEN").expect("what the test made itself");
            let value = UserSecret::new(oracle.token("TOKEN").value().to_vec());
            let needles = NeedleSetBuilder::new().secret(&name, &value).build().expect("what the test made itself");
            let file = std::fs::File::open(path).expect("what the test made itself");
            audit(file, &needles, &Options::default(), &mut |_| ControlFlow::Continue(()))
                .expect("what the test made itself")
        };
        let status = std::fs::read_to_string("/proc/self/status").expect("what the test made itself");
        let peak = status.lines().find(|line| line.starts_with("VmHWM")).expect("what the test made itself");
        std::io::stderr()
            .write_all(format!("{peak}\n{:?}\n", report.verdict()).as_bytes())
            .expect("what the test made itself");
        return;
    }
    let folder = tempfile::tempdir().expect("what the test made itself");
    let nested = |inner: &[u8]| pack::gzip(&pack::xz(&pack::zstd(&pack::xz(inner))));
    let layer = Layer::new()
        .file("zeros", pack::zeros(2000))
        .file("42.zip", pack::forty_two(9, 3, &vec![0; 1 << 20]))
        .file("overlapping.zip", pack::overlapping_zip(1000, 8 << 20))
        .file("nested", nested(&nested(&vec![7; 4 << 20])))
        .file("window", b"\x28\xb5\x2f\xfd\x00\xa8 and so on")
        .file("pack", pack::git_pack(&vec![1; 3 << 20], &vec![1; 2 << 20], 60_000))
        .file("7z", pack::seven_zip(&[("a", &vec![0; 60 << 20])]));
    for (nth, compression) in [Compression::Gzip, Compression::Zstd].into_iter().enumerate() {
        let archive = Image::new()
            .packed_layer(layer.clone(), compression, "COPY")
            .packed_layer(Layer::new().file("zeros", vec![0; 200 << 20]), compression, "COPY")
            .oci();
        let path = folder.path().join(nth.to_string());
        std::fs::write(&path, archive.tar()).expect("what the test made itself");
        drop(archive);
        let limited = "ulimit -v 1048576; exec \"$0\" --exact memory_is_bounded_whatever_the_image --nocapture";
        let run = Command::new("/bin/sh")
            .args(["-c", limited])
            .arg(std::env::current_exe().expect("what the test made itself"))
            .env(CHILD, &path)
            .output()
            .expect("what the test made itself");
        let said = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(run.status.success() && said.contains("Incomplete"), "{said}");
        let peak = said.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("what the test made itself");
        let kilobytes: u64 = peak.trim().trim_end_matches(" kB").parse().expect("what the test made itself");
        assert!(kilobytes <= 256 << 10, "{kilobytes} kB");
    }
}
