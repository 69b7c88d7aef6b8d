use std::io::Write as _;

use psecret::{SecretName, UserSecret};
use ptest::{Archive, Canary, Compression, Image, Index, Layer, Oracle};

use super::*;
use crate::{NeedleSetBuilder, Verdict};

fn needles(canaries: &[&Canary]) -> NeedleSet {
    let add = |builder: NeedleSetBuilder, canary: &&Canary| {
        builder.secret(&SecretName::parse(canary.name()).unwrap(), &UserSecret::new(canary.value().to_vec()))
    };
    canaries.iter().fold(NeedleSetBuilder::new(), add).build().unwrap()
}

fn file(tar: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(tar).unwrap();
    file
}

/// Audits an archive, and makes sure that the report itself leaks nothing.
fn report(oracle: &Oracle, canaries: &[&Canary], tar: &[u8]) -> Report {
    let options = Options { subject: Some("shop:1".to_owned()), ..Options::default() };
    let report = audit(tar, &needles(canaries), &options, &mut |_| ControlFlow::Continue(())).unwrap();
    // Several threads see what one sees.
    let together = audit_file(file(tar), &needles(canaries), &options, &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(format!("{:?}", together.findings()), format!("{:?}", report.findings()));
    assert_eq!(format!("{:?}", together.not_searched()), format!("{:?}", report.not_searched()));
    assert_eq!(together.stats().bytes, report.stats().bytes);
    oracle.check_bytes("the report", report.to_json().to_string().as_bytes());
    oracle.check_bytes("the report's debug output", format!("{report:?}").as_bytes());
    report
}

fn places(report: &Report) -> Vec<String> {
    report.findings().iter().map(|finding| finding.place().to_string()).collect()
}

#[test]
fn a_deleted_file_is_found_with_everything_one_wants_to_know() {
    let oracle = Oracle::new();
    let token = oracle.token("TOKEN");
    let config = format!("index-url = http://build:{}@index/simple\n", token.text());
    let lower = Layer::new().directory("root").file("root/pip.conf", &config).file("root/other", "clean");
    let upper = Layer::new().whiteout("root/pip.conf");
    for compression in Compression::ALL {
        let image = Image::new()
            .packed_layer(Layer::new().file("base", "clean"), compression, "/bin/sh -c #(nop) ADD file:abc in /")
            .packed_layer(lower.clone(), compression, &format!("RUN /bin/sh -c pip {} # buildkit", token.text()))
            .packed_layer(upper.clone(), compression, "RUN /bin/sh -c rm root/pip.conf # buildkit");
        for archive in [image.docker_legacy("shop:1"), image.docker_oci("shop:1"), image.oci()] {
            let report = report(&oracle, &[&token], &archive.tar());
            assert_eq!(report.verdict(), Verdict::Leak);
            let [finding, history] = report.findings() else { panic!("{:?}", report.findings()) };
            assert_eq!(finding.secret().as_str(), "TOKEN");
            assert_eq!(finding.form(), Form::Raw);
            assert_eq!((finding.layer(), finding.deleted_in(), finding.times()), (Some(2), Some(3), 1));
            assert_eq!(finding.diff_id(), Some(ptest::sha256(&lower.tar()).as_str()));
            assert_eq!(finding.instruction(), Some("RUN pip ***TOKEN***"));
            assert_eq!(finding.place(), &Place::File { path: "/root/pip.conf".to_owned(), offset: 25 });
            let Place::Document { name, pointer, .. } = history.place() else { panic!("{history:?}") };
            assert_eq!((name.as_str(), pointer.as_deref()), ("config", Some("/history/1/created_by")));
            assert_eq!(history.instruction(), Some("RUN pip ***TOKEN***"));
        }
    }
}

#[test]
fn a_clean_image_is_clean_and_an_unread_one_is_not() {
    let oracle = Oracle::new();
    let token = oracle.token("TOKEN");
    let image = Image::new().layer(Layer::new().file("a", "nothing"), "COPY a /");
    let mut archive = image.oci();
    assert_eq!(report(&oracle, &[&token], &archive.tar()).verdict(), Verdict::Clean);
    let layer = archive.names().next().unwrap().to_owned();
    archive.remove(&layer);
    let incomplete = report(&oracle, &[&token], &archive.tar());
    assert_eq!((incomplete.verdict(), incomplete.not_searched().len()), (Verdict::Incomplete, 1));
}

/// A1: what was found before a layer's stream breaks off stays found.
#[test]
fn findings_before_a_break_are_kept() {
    let oracle = Oracle::new();
    let token = oracle.token("TOKEN");
    let noise: Vec<u8> = (0..50_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let layer = Layer::new().file("a", token.value()).file("noise", noise);
    let mut archive = Image::new().layer(layer, "COPY").oci();
    let name = archive.names().next().unwrap().to_owned();
    let packed = archive.get(&name).unwrap().to_vec();
    archive.replace(&name, &packed[..packed.len() / 2]);
    let report = report(&oracle, &[&token], &archive.tar());
    assert_eq!(report.verdict(), Verdict::Leak);
    assert_eq!(places(&report), ["/a, byte 0"]);
    assert!(report.not_searched().iter().any(|one| one.layer() == Some(1) && one.why().contains("gzip")));
}

/// Issue of every auditor: what stands beside the content of files.
#[test]
fn names_links_attributes_padding_and_what_follows_the_end_are_searched() {
    let oracle = Oracle::new();
    let token = oracle.token("TOKEN");
    let text = token.text();
    let long = format!("{}/{text}/{}", "d".repeat(90), "e".repeat(90));
    let layers = [
        ("a file's name", Layer::new().file(&format!("srv/{text}"), "x")),
        ("a folder's name", Layer::new().directory(text)),
        ("a long name", Layer::new().file(&long, "x")),
        ("a link's name", Layer::new().symlink(text, "x")),
        ("a link's target", Layer::new().symlink("x", &format!("../{text}"))),
        ("a hard link's target", Layer::new().hard_link("x", text)),
        ("a whiteout", Layer::new().whiteout(text)),
        ("an attribute", Layer::new().file_with_attribute("x", "user.token", token.value(), "x")),
        ("a global record", Layer::new().pax(b'g', &[("comment", token.value())]).file("x", "x")),
        ("a record that names nothing", Layer::new().pax(b'x', &[("comment", token.value())]).file("x", "x")),
        ("padding", Layer::new().header(b"x", b'0', b"", 3).bytes(format!("abc{text}").as_bytes()).bytes(&[0; 477])),
        ("behind the end", Layer::new().file("x", "x").after_end(token.value())),
        ("a folder's payload", Layer::new().header(b"d/", b'5', b"", 32).bytes(token.value()).bytes(&[0; 480])),
        ("behind a header that lies", Layer::new().header(b"x", b'0', b"", 0).bytes(token.value()).bytes(&[0; 480])),
    ];
    for (what, layer) in layers {
        let report = report(&oracle, &[&token], &Image::new().layer(layer, "COPY").oci().tar());
        assert_eq!(report.verdict(), Verdict::Leak, "{what}");
        assert!(report.findings().iter().all(|finding| finding.layer() == Some(1)), "{what}: {:?}", places(&report));
    }
}

/// A17 (`docs/cases.md`): a value in the configuration is found, and reported with its JSON pointer.
#[test]
fn every_field_of_the_configuration_is_searched_and_named_by_its_pointer() {
    let oracle = Oracle::new();
    let token = oracle.token("TOKEN");
    let value = format!("--key={}", token.text());
    let fields = [
        ("/config/Env/1", "config", serde_json::json!({"Env": ["A=b", value]})),
        ("/config/Cmd/0", "config", serde_json::json!({"Cmd": [value]})),
        ("/config/Entrypoint/1", "config", serde_json::json!({"Entrypoint": ["sh", value]})),
        ("/config/Labels/owner", "config", serde_json::json!({"Labels": {"owner": value}})),
        ("/config/Labels/--key=***TOKEN***", "config", serde_json::json!({"Labels": {&value: "x"}})),
        ("/config/Healthcheck/Test/1", "config", serde_json::json!({"Healthcheck": {"Test": ["CMD", value]}})),
        ("/config/OnBuild/0", "config", serde_json::json!({"OnBuild": [value]})),
        ("/history/0/comment", "history", serde_json::json!([{"comment": value}])),
        ("/author", "author", serde_json::json!(value)),
        ("/nobody/knows", "nobody", serde_json::json!({"knows": value})),
    ];
    for (pointer, key, contents) in fields {
        let layer = Layer::new().file("a", "x");
        let image = Image::new().layer(layer, "COPY").configured(|config| config[key] = contents);
        let report = report(&oracle, &[&token], &image.oci().tar());
        assert_eq!(places(&report), [format!("config, {pointer}")]);
    }
}

#[test]
fn a_secret_behind_escapes_that_nobody_listed_is_found_by_its_meaning() {
    let oracle = Oracle::new();
    let token = oracle.token("TOKEN");
    let (first, rest) = token.text().split_at(1);
    let escaped = format!("\\u{:04X}{rest}", first.chars().next().unwrap() as u32);
    let mut archive = Image::new().layer(Layer::new().file("a", "x"), "COPY").oci();
    let document = format!(r#"{{"annotations": {{"key": "{escaped}"}}, "number": 1}}"#);
    archive.add_blob(document.clone());
    let report = report(&oracle, &[&token], &archive.tar());
    let name = ptest::sha256(document.as_bytes()).replace(':', "/");
    assert_eq!(places(&report), [format!("blobs/{name}, /annotations/key")]);
}

#[test]
fn annotations_attestations_and_every_platform_are_searched() {
    let oracle = Oracle::new();
    let (one, two, three) = (oracle.token("ONE"), oracle.token("TWO"), oracle.token("THREE"));
    let amd = Image::new().layer(Layer::new().file("a", "x"), "COPY").annotation("key", one.text());
    let arm = Image::new()
        .layer(Layer::new().file("b", two.value()), "COPY b /")
        .configured(|config| config["architecture"] = "arm64".into());
    let statement = serde_json::json!({"predicate": {"buildArgs": {"build-arg:KEY": three.text()}}});
    let archive = Index::new().platform("linux/amd64", amd).platform("linux/arm64", arm).attestation(statement).oci();
    let report = report(&oracle, &[&one, &two, &three], &archive.tar());
    let mut seen: Vec<(String, String, Option<String>)> = report
        .findings()
        .iter()
        .map(|at| (at.secret().to_string(), at.place().to_string(), at.image().map(str::to_owned)))
        .collect();
    seen.sort();
    let expected = [
        ("ONE", "manifest, /annotations/key", Some("linux/amd64")),
        ("THREE", "attestation, /predicate/buildArgs/build-arg:KEY", None),
        ("TWO", "/b, byte 0", Some("linux/arm64")),
    ];
    let expected = expected.map(|(name, place, image)| (name.to_owned(), place.to_owned(), image.map(str::to_owned)));
    assert_eq!(seen, expected);
}

#[test]
fn several_forms_at_one_place_are_one_finding_and_many_times_in_one_file_are_one_line() {
    let oracle = Oracle::new();
    let key = oracle.key("KEY");
    let once = Image::new().layer(Layer::new().file("key.pem", key.value()), "COPY");
    let report_once = report(&oracle, &[&key], &once.oci().tar());
    let [finding] = report_once.findings() else { panic!("{:?}", report_once.findings()) };
    assert_eq!((finding.form(), finding.times()), (Form::Raw, 1));

    let token = oracle.token("TOKEN");
    let text = format!("{0}\n{0}\n{0}\n", token.text());
    let thrice = Image::new().layer(Layer::new().file("a", &text).file("b", &text), "COPY");
    let report = report(&oracle, &[&token], &thrice.oci().tar());
    let seen: Vec<_> = report.findings().iter().map(|at| (at.place().to_string(), at.times())).collect();
    assert_eq!(seen, [("/a, byte 0".to_owned(), 3), ("/b, byte 0".to_owned(), 3)]);
}

#[test]
fn a_secret_in_every_listed_form_is_found_in_a_file() {
    let oracle = Oracle::new();
    let secret = oracle.punctuated("SECRET");
    let encodings = oracle.encodings(&secret);
    let layer = encodings.iter().enumerate().fold(Layer::new(), |layer, (at, (_, bytes))| {
        layer.file(&format!("file-{at}"), [b"key=".as_slice(), bytes, b"\n"].concat())
    });
    let report = report(&oracle, &[&secret], &Image::new().layer(layer, "COPY").oci().tar());
    for (at, (form, _)) in encodings.iter().enumerate() {
        let path = format!("/file-{at}, ");
        assert!(places(&report).iter().any(|place| place.starts_with(&path)), "{form}");
    }
}

/// A15: at every position relative to the chunks in which a stream arrives.
#[test]
fn a_secret_across_the_boundary_of_chunks_is_found_in_the_right_file() {
    let oracle = Oracle::new();
    let token = oracle.token("TOKEN");
    // Headers and a first file of any length put the second file's content near 256 KiB and its multiples.
    for shift in (0..2048).step_by(97) {
        let first = vec![b'.'; (256 << 10) - 3000 + shift];
        let layer = Layer::new().file("first", &first).file("second", token.value()).file("third", &first);
        let image = Image::new().packed_layer(layer, Compression::Plain, "COPY");
        let report = report(&oracle, &[&token], &image.docker_legacy("x").tar());
        assert_eq!(places(&report), ["/second, byte 0"], "shift {shift}");
    }
}

/// A16: a layer that is used twice is searched once and reported for each use.
#[test]
fn a_layer_used_twice_is_reported_twice() {
    let oracle = Oracle::new();
    let token = oracle.token("TOKEN");
    let layer = Layer::new().file("a", token.value());
    let image = Image::new().layer(layer.clone(), "COPY a /").layer(layer, "COPY a /");
    let report = report(&oracle, &[&token], &image.oci().tar());
    let layers: Vec<_> = report.findings().iter().map(Finding::layer).collect();
    assert_eq!(layers, [Some(1), Some(2)]);
}

#[test]
fn what_no_manifest_lists_is_searched_too() {
    let oracle = Oracle::new();
    let token = oracle.token("TOKEN");
    let mut archive = Image::new().layer(Layer::new().file("a", "x"), "COPY").oci();
    archive.add("extra/notes.txt", format!("see {}", token.text()));
    let report = report(&oracle, &[&token], &archive.tar());
    assert_eq!(places(&report), ["extra/notes.txt, byte 4"]);
}

/// Old engines save a copy of the configuration beside each layer.
#[test]
fn a_copy_of_the_configuration_tells_only_what_the_configuration_does_not() {
    let oracle = Oracle::new();
    let token = oracle.token("TOKEN");
    let env = serde_json::json!({"Env": [format!("KEY={}", token.text())]});
    let image =
        Image::new().layer(Layer::new().file("a", "x"), "COPY").configured(|config| config["config"] = env.clone());
    let mut archive = image.docker_legacy("shop");
    let copy = archive.names().find(|name| name.ends_with("/json")).unwrap().to_owned();
    let text = serde_json::json!({"config": env, "container_config": env, "other": token.text()}).to_string();
    archive.replace(&copy, text);
    let report = report(&oracle, &[&token], &archive.tar());
    assert_eq!(places(&report), ["config, /config/Env/0".to_owned(), format!("{copy}, /other")]);
}

#[test]
fn gzip_headers_are_searched() {
    let oracle = Oracle::new();
    let token = oracle.token("TOKEN");
    let tar = Layer::new().file("a", "x").tar();
    // RFC 1952: flag 8 announces a file name that ends with a zero byte.
    let mut packed = Compression::Gzip.pack(&tar);
    packed[3] = 8;
    packed.splice(10..10, [token.value(), b"\0"].concat());
    let mut archive = Archive::new();
    archive.add("layer", packed);
    let report = report(&oracle, &[&token], &archive.tar());
    assert_eq!(places(&report), ["header of the gzip stream"]);
}

/// Findings of millions of hits cost neither memory nor a report without end.
#[test]
fn a_flood_of_hits_is_counted_and_not_kept() {
    let oracle = Oracle::new();
    let token = oracle.token("TOKEN");
    let layer = (0..10_050).fold(Layer::new(), |layer, at| layer.file(&format!("f{at}"), token.value()));
    let layer = layer.file("many", token.text().repeat(20_000)).after_end(&token.value().repeat(20_000));
    let report = report(&oracle, &[&token], &Image::new().layer(layer, "COPY").oci().tar());
    assert_eq!(report.findings().len(), MOST_FINDINGS);
    assert_eq!(report.not_listed() + MOST_FINDINGS as u64, 10_050 + 20_000 + 20_000);
}

#[test]
fn without_a_searchable_secret_there_is_no_proof() {
    let set = NeedleSetBuilder::new().build().unwrap();
    let result = audit(&b""[..], &set, &Options::default(), &mut |_| ControlFlow::Continue(()));
    assert!(matches!(result, Err(ScanError::NothingSearchable)));
}

#[test]
fn a_search_can_be_cancelled() {
    let oracle = Oracle::new();
    let token = oracle.token("TOKEN");
    let tar = Image::new().layer(Layer::new().file("a", vec![0; 1 << 20]), "COPY").oci().tar();
    let result = audit(tar.as_slice(), &needles(&[&token]), &Options::default(), &mut |_| ControlFlow::Break(()));
    assert!(matches!(result, Err(ScanError::Cancelled)));
    let result = audit_file(file(&tar), &needles(&[&token]), &Options::default(), &mut |_| ControlFlow::Break(()));
    assert!(matches!(result, Err(ScanError::Cancelled)));
}

#[test]
fn a_report_in_json_says_who_wrote_what_where() {
    let oracle = Oracle::new();
    let token = oracle.token("API_TOKEN");
    let encoded: String = token.value().iter().map(|byte| format!("%{byte:02X}")).collect();
    let image = Image::new()
        .layer(
            Layer::new().file("root/.composer/auth.json", token.value()),
            "RUN /bin/sh -c composer install # buildkit",
        )
        .layer(Layer::new().whiteout("root/.composer"), "RUN /bin/sh -c rm -r /root/.composer # buildkit")
        .configured(|config| {
            config["config"]["Env"] = serde_json::json!(["A=b", format!("API_URL=http://{encoded}@h")])
        });
    let found = report(&oracle, &[&token], &image.oci().tar());
    let json = found.to_json();
    assert_eq!(json["version"], 1);
    assert_eq!(json["result"], "leak");
    let expected = serde_json::json!({
        "secret": "API_TOKEN", "form": "raw", "weak": false, "platform": null, "layer": 1,
        "diff_id": json["findings"][0]["diff_id"], "part": "content", "path": "/root/.composer/auth.json", "container": null,
        "offset": 0, "document": null, "pointer": null, "instruction": "RUN composer install",
        "dockerfile": null, "deleted_in": 2, "times": 1,
    });
    assert_eq!(json["findings"][0], expected);
    assert_eq!(json["findings"][1]["pointer"], "/config/Env/1");
    assert_eq!(json["findings"][1]["layer"], serde_json::Value::Null);
}

/// Gives a few bytes at a time, as pipes and engines do.
struct Pieces<'a>(&'a [u8], usize);

impl std::io::Read for Pieces<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let (now, rest) = self.0.split_at(self.0.len().min(self.1).min(out.len()));
        out[..now.len()].copy_from_slice(now);
        self.0 = rest;
        Ok(now.len())
    }
}

/// A hit may be reported when the next header was already read. It still belongs to the file that contains it.
#[test]
fn however_an_archive_arrives_each_finding_belongs_to_its_own_file() {
    let oracle = Oracle::new();
    let token = oracle.token("TOKEN");
    let mut layer = Layer::new().file("first", format!("key = {}\n", token.text())).file("empty", "");
    for at in 0..40 {
        let content = if at % 3 == 0 { token.text().to_owned() } else { "x".repeat(at * 37) };
        layer = layer.file(&format!("srv/{at}"), content);
    }
    let image =
        Image::new().packed_layer(layer, Compression::Plain, "COPY").layer(Layer::new().whiteout("srv/3"), "RUN");
    let tar = image.docker_oci("shop:1").tar();
    let needles = needles(&[&token]);
    let found = |piece: usize| {
        let options = Options::default();
        let report = audit(Pieces(&tar, piece), &needles, &options, &mut |_| ControlFlow::Continue(())).unwrap();
        assert_eq!(report.verdict(), Verdict::Leak);
        report.findings().to_vec()
    };
    let whole = found(usize::MAX);
    assert_eq!(whole.len(), 15);
    for piece in [64, 100, 512, 1000, 1024, 4096, 10_000] {
        assert_eq!(found(piece), whole, "in pieces of {piece} bytes");
    }
}

/// Layers by their digest.
#[derive(Debug, Default)]
struct Kept(std::sync::Mutex<HashMap<Digest, Remembered>>);

impl Memory for Kept {
    fn recall(&self, digest: &Digest) -> Option<Remembered> {
        self.0.lock().unwrap().get(digest).cloned()
    }

    fn remember(&self, digest: &Digest, layer: &Remembered) {
        self.0.lock().unwrap().insert(digest.clone(), layer.clone());
    }
}

/// A remark about content that could not be unpacked is made each time, and a layer that was not searched is never
/// remembered.
#[test]
fn a_remembered_layer_keeps_its_remarks() {
    let oracle = Oracle::new();
    let token = oracle.token("TOKEN");
    let cut = &Compression::Gzip.pack(&"many words ".repeat(3000).into_bytes())[..100];
    let layer = |content: &[u8]| Layer::new().file("usr/share/test.gz", content).file("etc/app", "clean");
    let image = Image::new().layer(layer(cut), "COPY").layer(layer(b"Rar!\x1a\x07\0 unopened"), "COPY");
    let archive = image.oci();
    let blobs = || -> Vec<LooseBlob> {
        let blob = |name: &str| {
            let bytes = archive.get(name).unwrap().to_vec();
            let digest = Digest::of(&bytes);
            LooseBlob::of_bytes(name.to_owned(), bytes).identified(digest, Vouching::Name)
        };
        archive.names().map(blob).collect()
    };
    let memory = Arc::new(Kept::default());
    let options = Options { memory: Some(memory.clone()), ..Options::default() };
    let needles = needles(&[&token]);
    let report = || audit_loose(blobs(), &needles, &options, &mut |_| ControlFlow::Continue(())).unwrap();
    let first = report();
    assert_eq!(memory.0.lock().unwrap().len(), 1, "the layer that was searched whole");
    let again = report();
    assert!(again.layers().iter().any(|layer| layer.state() == crate::LayerState::Remembered));
    assert_eq!((first.damaged().len(), first.not_searched().len()), (1, 1), "{first:?}");
    assert_eq!(format!("{:?}", again.damaged()), format!("{:?}", first.damaged()));
    assert_eq!(format!("{:?}", again.not_searched()), format!("{:?}", first.not_searched()));
}
