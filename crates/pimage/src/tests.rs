use std::io::Read;
use std::ops::ControlFlow;

use ptest::{Archive, Compression, Index, Layer as Tar};

use super::*;

/// A visitor that remembers every byte.
#[derive(Default)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl Visitor for Bytes {
    fn begin(&mut self, _: &Stream<'_>) {}
    fn entry(&mut self, _: &Entry<'_>) {}
    fn bytes(&mut self, _: usize, bytes: &[u8]) -> ControlFlow<()> {
        self.0.extend_from_slice(bytes);
        ControlFlow::Continue(())
    }
    fn end(&mut self) {}
}

/// A visitor that remembers everything that it is shown.
#[derive(Default)]
struct Recorder {
    streams: Vec<StreamRecord>,
    open: Vec<usize>,
    patience: Option<u64>,
}

struct StreamRecord {
    name: String,
    part: Part,
    bytes: Vec<u8>,
    entries: Vec<(String, u64)>,
}

impl Visitor for Recorder {
    fn begin(&mut self, stream: &Stream<'_>) {
        self.open.push(self.streams.len());
        self.streams.push(StreamRecord {
            name: stream.name.to_owned(),
            part: stream.part,
            bytes: Vec::new(),
            entries: Vec::new(),
        });
    }

    fn entry(&mut self, entry: &Entry<'_>) {
        let stream = &mut self.streams[*self.open.last().unwrap()];
        assert!(entry.content_at <= stream.bytes.len() as u64, "a header is shown before its entry is named");
        stream.entries.push((place(entry.path, entry.inside), entry.content_at));
    }

    fn bytes(&mut self, level: usize, bytes: &[u8]) -> ControlFlow<()> {
        assert!(!bytes.is_empty());
        self.streams[self.open[level]].bytes.extend_from_slice(bytes);
        match &mut self.patience {
            Some(left) if *left < bytes.len() as u64 => ControlFlow::Break(()),
            Some(left) => {
                *left -= bytes.len() as u64;
                ControlFlow::Continue(())
            }
            None => ControlFlow::Continue(()),
        }
    }

    fn end(&mut self) {
        assert!(self.open.pop().is_some(), "only what began ends");
    }
}

fn place(path: &[u8], inside: &[u8]) -> String {
    let inside = if inside.is_empty() { Vec::new() } else { [b"!", inside].concat() };
    String::from_utf8_lossy(&[path, &inside].concat()).into_owned()
}

fn read_all(source: impl Read) -> (Recorder, Contents) {
    let mut recorder = Recorder::default();
    let contents = read(source, &Options::default(), &mut recorder).unwrap();
    assert!(recorder.open.is_empty());
    (recorder, contents)
}

fn contents(archive: &Archive) -> Contents {
    read_all(archive.tar().as_slice()).1
}

fn faults(contents: &Contents) -> Vec<Fault> {
    contents.problems().iter().map(|problem| problem.fault().clone()).collect()
}

fn two_layers() -> (Tar, Tar) {
    let lower = Tar::new().directory("etc").file("etc/token", "one").file("srv/app/config", "two");
    let upper = Tar::new().whiteout("etc/token").opaque("srv/app").file("etc/other", "three");
    (lower, upper)
}

fn image(compression: Compression) -> ptest::Image {
    let (lower, upper) = two_layers();
    ptest::Image::new().packed_layer(lower, compression, "COPY . /").empty_layer("ENV A=b").packed_layer(
        upper,
        compression,
        "RUN rm /etc/token",
    )
}

/// Makes an archive of every kind with both layers.
fn archives() -> Vec<(String, Archive)> {
    let mut all = vec![
        ("legacy".to_owned(), image(Compression::Plain).docker_legacy("shop:latest")),
        ("docker 25".to_owned(), image(Compression::Plain).docker_oci("shop:latest")),
    ];
    for compression in Compression::ALL {
        all.push((format!("OCI {compression:?}"), image(compression).oci()));
    }
    all
}

#[test]
fn every_kind_of_archive_gives_the_same_image() {
    let (lower, upper) = two_layers();
    for (kind, archive) in archives() {
        let mut backwards = archive.clone();
        backwards.reverse();
        for archive in [archive, backwards] {
            let (recorder, contents) = read_all(archive.tar().as_slice());
            assert_eq!(faults(&contents), [], "{kind}");
            let [image] = contents.images() else { panic!("{kind}: {} images", contents.images().len()) };
            assert_eq!((image.kind(), image.platform()), (Kind::Image, Some("linux/amd64")), "{kind}");
            let made: Vec<_> = image.layers().iter().map(Layer::created_by).collect();
            assert_eq!(made, [Some("COPY . /"), Some("RUN rm /etc/token")], "{kind}");
            for (layer, tar) in image.layers().iter().zip([&lower, &upper]) {
                let name = contents.blob(layer.blob().unwrap()).name();
                let stream = recorder.streams.iter().find(|stream| stream.name == name).unwrap();
                assert_eq!(stream.bytes, tar.tar(), "{kind}");
                assert_eq!(layer.diff_id().unwrap().as_str(), ptest::sha256(&tar.tar()), "{kind}");
            }
            assert_eq!(contents.deleted_in(0, 0, b"etc/token"), Some(1), "{kind}");
            assert_eq!(contents.deleted_in(0, 0, b"./srv/app/config"), Some(1), "{kind}");
            assert_eq!(contents.deleted_in(0, 0, b"etc/other"), None, "{kind}");
        }
    }
}

#[test]
fn tags_are_told_wherever_they_stand() {
    for archive in [image(Compression::Plain).docker_legacy("shop:1"), image(Compression::Plain).docker_oci("shop:1")] {
        assert_eq!(contents(&archive).images()[0].tags(), ["shop:1"]);
    }
}

#[test]
fn an_archive_that_is_packed_itself_is_unpacked() {
    let tar = image(Compression::Gzip).oci().tar();
    for compression in Compression::ALL {
        let (_, contents) = read_all(compression.pack(&tar).as_slice());
        assert_eq!((faults(&contents), contents.images().len()), (Vec::new(), 1), "{compression:?}");
    }
}

#[test]
fn every_platform_and_attestation_of_an_index_is_found() {
    let archive = Index::new()
        .platform("linux/amd64", image(Compression::Gzip))
        .platform("linux/arm64", image(Compression::Zstd))
        .attestation(serde_json::json!({"predicateType": "https://slsa.dev/provenance/v1"}))
        .oci();
    let contents = contents(&archive);
    assert_eq!(faults(&contents), []);
    let seen: Vec<_> = contents.images().iter().map(|image| (image.kind(), image.platform())).collect();
    assert_eq!(
        seen,
        [(Kind::Image, Some("linux/amd64")), (Kind::Image, Some("linux/arm64")), (Kind::Attestation, None)]
    );
    let statement = contents.images()[2].layers()[0].blob().unwrap();
    assert!(contents.blob(statement).document().is_some(), "a statement is kept as a document");
}

#[test]
fn a_platform_that_the_engine_does_not_have_is_absent_and_no_problem() {
    let mut archive = Index::new()
        .platform("linux/amd64", image(Compression::Gzip))
        .platform("linux/arm64", image(Compression::Zstd).empty_layer("other"))
        .oci();
    let manifest = contents(&archive).images()[1].digest().unwrap().hex().to_owned();
    archive.remove(&format!("blobs/sha256/{manifest}"));
    let contents = contents(&archive);
    assert_eq!((faults(&contents), contents.absent_platforms()), (Vec::new(), &["linux/arm64".to_owned()][..]));
}

/// A1: whatever the offset of the cut, the bytes before it are seen, and the reading is not complete.
#[test]
fn a_cut_archive_is_never_complete_and_loses_nothing_before_the_cut() {
    let tar = image(Compression::Gzip).docker_legacy("shop").tar();
    // The archive ends with two blocks of zeros, of which the first is enough.
    for at in (0..=tar.len() - 1024).step_by(101) {
        let (recorder, contents) = read_all(&tar[..at]);
        assert!(!contents.problems().is_empty(), "cut at {at}");
        let shown: usize = recorder.streams.iter().map(|stream| stream.bytes.len()).sum();
        let (whole, _) = read_all(tar.as_slice());
        let before: usize =
            whole.streams.iter().take(recorder.streams.len().saturating_sub(1)).map(|s| s.bytes.len()).sum();
        assert!(shown >= before, "cut at {at}");
    }
}

/// A1, A2: a layer's stream may be cut or damaged anywhere.
#[test]
fn a_layer_cut_or_damaged_anywhere_is_told_and_read_as_far_as_it_goes() {
    let noise: Vec<u8> = (0..40_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let tar = Tar::new().file("first", "the first file").file("noise", noise);
    for compression in [Compression::Gzip, Compression::GzipMembers, Compression::Zstd] {
        let image = ptest::Image::new().packed_layer(tar.clone(), compression, "COPY");
        let archive = image.oci();
        let name = archive.names().next().unwrap().to_owned();
        let packed = archive.get(&name).unwrap().to_vec();
        let cuts = (0..packed.len()).step_by(7919).chain([1, 9, packed.len() - 1, packed.len() - 4, packed.len() - 8]);
        for at in cuts {
            let mut cut = archive.clone();
            cut.replace(&name, &packed[..at]);
            let (_, contents) = read_all(cut.tar().as_slice());
            assert!(!contents.problems().is_empty(), "{compression:?} cut at {at}");
        }
        for at in [0, 5, packed.len() / 2, packed.len() - 6] {
            let mut damaged = packed.clone();
            damaged[at] ^= 0x55;
            let mut changed = archive.clone();
            changed.replace(&name, damaged);
            let (recorder, contents) = read_all(changed.tar().as_slice());
            assert!(faults(&contents).contains(&Fault::WrongDigest), "{compression:?} damaged at {at}");
            if at > packed.len() / 4 {
                let text = b"the first file";
                let seen = recorder.streams[0].bytes.windows(text.len()).any(|window| window == text);
                assert!(seen, "{compression:?} damaged at {at}: what comes before is seen");
            }
        }
    }
}

/// A4: bytes after the end of a packed layer are seen and reported.
#[test]
fn garbage_behind_a_packed_layer_is_seen_and_told() {
    let (lower, _) = two_layers();
    for compression in [Compression::Gzip, Compression::Zstd] {
        let archive = ptest::Image::new().packed_layer(lower.clone(), compression, "COPY").oci();
        let name = archive.names().next().unwrap().to_owned();
        let mut packed = archive.get(&name).unwrap().to_vec();
        let end = packed.len();
        packed.extend(b"behind the end");
        let mut changed = archive.clone();
        changed.replace(&name, packed);
        let (recorder, contents) = read_all(changed.tar().as_slice());
        assert_eq!(recorder.streams[0].bytes, lower.tar(), "{compression:?}");
        let Part::Rest { at } = recorder.streams[1].part else { panic!("{compression:?}: the rest is shown") };
        assert!(at == end as u64 && recorder.streams[1].bytes.ends_with(b"behind the end"), "{compression:?} {at}");
        assert!(faults(&contents).contains(&Fault::Behind { at: end as u64 }), "{compression:?}");
    }
}

/// B20, A16: digests, sizes and diff_ids that do not match are reported.
#[test]
fn what_does_not_match_its_digest_is_told() {
    let (lower, upper) = two_layers();
    let archive = image(Compression::Plain).oci();
    let name = format!("blobs/{}", ptest::sha256(&lower.tar()).replace(':', "/"));
    let mut forged = archive.clone();
    forged.replace(&name, upper.tar());
    let told = faults(&contents(&forged));
    assert!(
        told.contains(&Fault::WrongDigest) && told.contains(&Fault::WrongDiffId) && told.contains(&Fault::WrongSize)
    );

    let other = ptest::sha256(b"something else");
    let lying = image(Compression::Gzip).configured(|config| config["rootfs"]["diff_ids"][1] = other.into());
    assert_eq!(faults(&contents(&lying.oci())), [Fault::WrongDiffId]);
    let few = image(Compression::Gzip).configured(|config| config["rootfs"]["diff_ids"] = serde_json::json!([]));
    assert_eq!(faults(&contents(&few.oci())), [Fault::LayerCount]);

    let mut unverified = Recorder::default();
    let options = Options { verify: Verify::Nothing, ..Options::default() };
    let contents = read(forged.tar().as_slice(), &options, &mut unverified).unwrap();
    assert_eq!(faults(&contents), [Fault::WrongSize], "nothing is hashed for a source that is trusted");
}

/// A16 (`docs/cases.md`): a blob that a document lists and the archive does not have is reported.
#[test]
fn what_is_listed_and_not_there_is_told() {
    let archive = image(Compression::Plain).docker_legacy("shop");
    let layer = archive.names().find(|name| name.ends_with("layer.tar")).unwrap().to_owned();
    let mut lacking = archive.clone();
    lacking.remove(&layer);
    assert_eq!(faults(&contents(&lacking)), [Fault::Missing { name: layer.clone() }]);

    let mut no_manifest = archive.clone();
    no_manifest.remove("manifest.json");
    assert_eq!(faults(&contents(&no_manifest)), [Fault::NoManifest]);

    let broken = Fault::BrokenDocument { name: "manifest.json".to_owned() };
    for text in ["null", "{}", "[{}]", "[", "", "\u{feff}[]", r#"[{"Config": 5}]"#] {
        let mut changed = archive.clone();
        changed.replace("manifest.json", text);
        assert_eq!(faults(&contents(&changed)), std::slice::from_ref(&broken), "{text}");
    }

    for path in ["../../etc/passwd", "/etc/passwd", "../x"] {
        let mut outside = archive.clone();
        let manifest = serde_json::json!([{"Config": "c.json", "RepoTags": null, "Layers": [path]}]);
        outside.replace("manifest.json", manifest.to_string());
        let missing = |name: &str| Fault::Missing { name: name.to_owned() };
        assert_eq!(faults(&contents(&outside)), [missing("c.json"), missing(path)]);
    }
}

#[test]
fn an_archive_that_lists_no_image_is_told() {
    let mut archive = image(Compression::Plain).docker_legacy("shop");
    archive.replace("manifest.json", "[]");
    assert_eq!(faults(&contents(&archive)), [Fault::NoImage]);
    archive.remove("manifest.json");
    let mut layout = archive.clone();
    layout.add("index.json", r#"{"manifests": []}"#);
    assert_eq!(faults(&contents(&layout)), [Fault::NoImage]);
}

/// Docker writes `"layers": null` for an image without layers.
#[test]
fn an_image_without_layers_is_an_image() {
    let mut archive = Archive::default();
    let config = archive.add_blob(r#"{"rootfs": {"type": "layers", "diff_ids": null}, "config": {"Env": ["A=b"]}}"#);
    let manifest = serde_json::json!({"config": {"digest": config}, "layers": null}).to_string();
    let manifest = archive.add_blob(manifest);
    archive.add("index.json", serde_json::json!({"manifests": [{"digest": manifest}]}).to_string());
    let contents = contents(&archive);
    assert_eq!(faults(&contents), []);
    assert_eq!((contents.images().len(), contents.images()[0].layers().len()), (1, 0));
}

/// The archive is read from a pipe and from a file, packed or not.
#[test]
fn bytes_behind_an_archive_are_seen() {
    use std::io::Write as _;

    let whole = image(Compression::Plain).docker_legacy("shop").tar();
    let behind = b"t0ken-behind-the-end".repeat(40);
    let mut seen = Vec::new();
    let packed = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&whole).unwrap();
        encoder.finish().unwrap()
    };
    for archive in [whole, packed] {
        let bytes = [archive, behind.clone()].concat();
        let mut piped = Bytes::default();
        let contents = read(bytes.as_slice(), &Options::default(), &mut piped).unwrap();
        seen.push((piped.0, faults(&contents)));
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let mut visitors = [Bytes::default()];
        let contents = read_file(file, &Options::default(), &mut visitors).unwrap();
        seen.push((std::mem::take(&mut visitors[0].0), faults(&contents)));
    }
    for (bytes, faults) in seen {
        assert!(bytes.windows(behind.len()).any(|window| window == behind));
        assert_eq!(faults, []);
    }
}

/// A16, B18: documents may be unknown, digests of other algorithms, layers stored elsewhere, and packings not opened.
#[test]
fn what_is_not_understood_is_told() {
    let descriptor = |kind: &str, digest: &str| serde_json::json!({"mediaType": kind, "digest": digest});
    let manifest_kind = "application/vnd.oci.image.manifest.v1+json";
    let with_layer = |layer: serde_json::Value, archive: &mut Archive| {
        let config = archive.add_blob(r#"{"rootfs": {"diff_ids": ["sha256:00"]}}"#);
        let manifest = serde_json::json!({
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": [layer],
        });
        let manifest = archive.add_blob(manifest.to_string());
        archive.add("index.json", serde_json::json!({"manifests": [descriptor(manifest_kind, &manifest)]}).to_string());
        faults(&contents(archive))
    };
    let nowhere = ptest::sha256(b"nowhere");
    let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    assert_eq!(
        with_layer(descriptor(foreign, &nowhere), &mut Archive::new()),
        [Fault::Foreign { digest: nowhere.clone() }]
    );
    let layer = "application/vnd.oci.image.layer.v1.tar";
    let sha512 = format!("sha512:{}", "0".repeat(128));
    assert_eq!(with_layer(descriptor(layer, &sha512), &mut Archive::new()), [Fault::UnknownDigest { digest: sha512 }]);
    for (bytes, fault) in [
        (&b"\x04\x22\x4d\x18 and so on"[..], Fault::NotOpened { format: "lz4" }),
        (b"neither a tar nor anything known", Fault::NotATar),
        (b"", Fault::NotATar),
    ] {
        let mut archive = Archive::new();
        let digest = archive.add_blob(bytes);
        assert_eq!(with_layer(descriptor(layer, &digest), &mut archive), [fault]);
    }
    let mut schema_1 = Archive::new();
    let digest = schema_1.add_blob(r#"{"schemaVersion": 1, "fsLayers": []}"#);
    schema_1.add("index.json", serde_json::json!({"manifests": [descriptor("", &digest)]}).to_string());
    assert_eq!(faults(&contents(&schema_1)), [Fault::BrokenDocument { name: digest }]);
}

/// A16: an index may list itself through another index, or the same manifest a thousand times.
#[test]
fn circles_and_repetitions_of_indexes_end() {
    let mut archive = Archive::new();
    let manifest = archive.add_blob(r#"{"layers": []}"#);
    let many = vec![serde_json::json!({"digest": manifest}); 1000];
    archive.add("index.json", serde_json::json!({"manifests": many}).to_string());
    assert_eq!(contents(&archive).images().len(), 1);

    let mut inner = Archive::new().add_blob("{}");
    let mut deep = Archive::new();
    for _ in 0..20 {
        inner = deep.add_blob(serde_json::json!({"manifests": [{"digest": inner}]}).to_string());
    }
    deep.add("index.json", serde_json::json!({"manifests": [{"digest": inner}]}).to_string());
    assert!(faults(&contents(&deep)).iter().any(|fault| matches!(fault, Fault::Limit { .. })));
}

/// Old engines save a repeated layer as a link to the first one.
#[test]
fn a_layer_that_is_a_link_is_the_layer_it_links_to() {
    let (lower, _) = two_layers();
    let tar = Tar::new()
        .file("one/layer.tar", lower.tar())
        .symlink("two/layer.tar", "../one/layer.tar")
        .symlink("circle", "circle")
        .symlink("out/layer.tar", "../../etc/passwd")
        .file("c.json", r#"{"rootfs": {"diff_ids": []}}"#)
        .file("manifest.json", r#"[{"Config": "c.json", "Layers": ["two/layer.tar", "circle", "out/layer.tar"]}]"#);
    let (_, contents) = read_all(tar.tar().as_slice());
    let layers: Vec<bool> = contents.images()[0].layers().iter().map(|layer| layer.blob().is_some()).collect();
    assert_eq!(layers, [true, false, false]);
}

/// B19, A7: limits are reported, and content beyond them does not count as read.
#[test]
fn limits_are_told() {
    let archive = image(Compression::Gzip).oci();
    let read_with =
        |options: Options| faults(&read(archive.tar().as_slice(), &options, &mut Recorder::default()).unwrap());
    assert_eq!(read_with(Options::default()), []);
    assert!(
        read_with(Options { largest_blob: 1024, ..Options::default() })
            .contains(&Fault::Limit { what: "unpacked bytes of one blob" })
    );
    assert!(
        read_with(Options { largest_document: 10, ..Options::default() })
            .contains(&Fault::Limit { what: "size of a JSON document" })
    );
}

/// B19: very long lists do not need memory for their length, and are reported.
#[test]
fn an_image_of_too_many_layers_is_told() {
    let mut archive = Archive::new();
    let layers = vec!["nowhere"; 300_000];
    archive.add("manifest.json", serde_json::json!([{"Config": "c.json", "Layers": layers}]).to_string());
    let contents = contents(&archive);
    assert_eq!(contents.images()[0].layers().len(), 10_000);
    let missing = |name: &str| Fault::Missing { name: name.to_owned() };
    let limit = Fault::Limit { what: "10000 layers of one image, 100000 of all" };
    let mut told = faults(&contents);
    told.sort_by_key(ToString::to_string);
    assert_eq!(told, [missing("c.json"), missing("nowhere"), limit]);
}

/// A7: a bomb is read to its end with the memory of one chunk, so it only costs time.
#[test]
fn a_bomb_costs_time_alone() {
    let zeros = vec![0; 1 << 20];
    let piece = Compression::Gzip.pack(&zeros);
    let bomb: Vec<u8> = (0..200).flat_map(|_| piece.iter().copied()).collect();
    struct Count(u64);
    impl Visitor for Count {
        fn begin(&mut self, _: &Stream<'_>) {}
        fn entry(&mut self, _: &Entry<'_>) {}
        fn bytes(&mut self, _: usize, bytes: &[u8]) -> ControlFlow<()> {
            self.0 += bytes.len() as u64;
            ControlFlow::Continue(())
        }
        fn end(&mut self) {}
    }
    let mut count = Count(0);
    let mut archive = Archive::new();
    archive.add("bomb", bomb);
    read(archive.tar().as_slice(), &Options { verify: Verify::Nothing, ..Options::default() }, &mut count).unwrap();
    assert_eq!(count.0, 200 << 20);
}

#[test]
fn a_visitor_can_end_the_reading() {
    let tar = image(Compression::Gzip).oci().tar();
    let mut recorder = Recorder { patience: Some(1000), ..Recorder::default() };
    assert_eq!(read(tar.as_slice(), &Options::default(), &mut recorder).unwrap_err(), Cancelled);
    assert!(recorder.open.is_empty(), "what began has ended");
}

#[test]
fn a_source_that_fails_is_told_and_what_came_before_it_stays() {
    struct Failing<'a>(&'a [u8]);
    impl Read for Failing<'_> {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            let count = self.0.read(out)?;
            if count == 0 { Err(std::io::ErrorKind::ConnectionReset.into()) } else { Ok(count) }
        }
    }
    let tar = image(Compression::Plain).docker_legacy("shop").tar();
    let (recorder, contents) = read_all(Failing(&tar[..4000]));
    assert!(matches!(faults(&contents)[0], Fault::SourceFailed { kind: std::io::ErrorKind::ConnectionReset, .. }));
    assert!(!recorder.streams.is_empty());
    let (_, nothing) = read_all(Failing(b""));
    assert!(matches!(faults(&nothing)[..], [Fault::SourceFailed { at: 0, .. }]));
}

#[test]
fn what_is_no_archive_is_told() {
    for bytes in [&b""[..], b"text", &[0; 512], &[7; 5000]] {
        assert!(!read_all(bytes).1.problems().is_empty());
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 64, ..Default::default() })]

    /// Reading ends without a panic, whatever is changed in an archive.
    #[test]
    fn no_bytes_break_a_reading(changes in proptest::collection::vec((0_usize..20_000, proptest::prelude::any::<u8>()), 1..20)) {
        let mut tar = image(Compression::Gzip).docker_oci("shop").tar();
        for (at, byte) in changes {
            let at = at % tar.len();
            tar[at] = byte;
        }
        read_all(tar.as_slice());
    }
}

/// BuildKit writes only the end of a tar for a WORKDIR that exists already.
#[test]
fn a_layer_without_a_change_is_an_empty_tar() {
    for blocks in [1, 2, 20] {
        let mut archive = Archive::new();
        let digest = archive.add_blob(vec![0; 512 * blocks]);
        let layer = serde_json::json!({"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest});
        let manifest = archive.add_blob(serde_json::json!({"layers": [layer]}).to_string());
        let manifest =
            serde_json::json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": manifest});
        archive.add("index.json", serde_json::json!({"manifests": [manifest]}).to_string());
        let found = faults(&contents(&archive));
        assert!(!found.contains(&Fault::NotATar), "{blocks} blocks: {found:?}");
    }
}
