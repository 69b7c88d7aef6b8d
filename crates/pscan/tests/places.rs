//! A value in every place that the documentation lists is found and reported with that place.

use std::ops::ControlFlow;

use pimage::Container;
use pscan::{CONTAINERS, Finding, NeedleSetBuilder, Options, PLACES, Place, Report, Verdict, audit};
use psecret::{SecretName, UserSecret};
use ptest::pack::{self, Zip};
use ptest::{Archive, Canary, Compression, Image, Index, Layer, Oracle};
use serde_json::json;

/// A value that is planted in one way.
struct Plant {
    row: &'static str,
    archive: Archive,
    /// The expected place: `part path`, with `*` for the value.
    place: &'static str,
    container: Option<Container>,
}

fn search(oracle: &Oracle, token: &Canary, tar: &[u8]) -> Report {
    let name = SecretName::parse(token.name()).expect("what the test made itself");
    let needles = NeedleSetBuilder::new()
        .secret(&name, &UserSecret::new(token.value().to_vec()))
        .build()
        .expect("what the test made itself");
    let report = audit(tar, &needles, &Options::default(), &mut |_| ControlFlow::Continue(()))
        .expect("what the test made itself");
    oracle.check_bytes("the report", report.to_json().to_string().as_bytes());
    report
}

fn place(finding: &Finding) -> String {
    let place = finding.place();
    let what = match place {
        Place::Document { name, pointer, .. } => format!("{name} {}", pointer.as_deref().unwrap_or_default()),
        _ => place.path().unwrap_or_default().to_owned(),
    };
    format!("{} {what}", place.machine_name()).trim_end().to_owned()
}

fn check(oracle: &Oracle, token: &Canary, plant: &Plant) {
    let Plant { row, archive, place: expected, container } = plant;
    let report = search(oracle, token, &archive.tar());
    assert_eq!(report.verdict(), Verdict::Leak, "{row}: {report:?}");
    // The packed length of a pack's first object depends on the value.
    let place = |finding: &Finding| match place(finding) {
        place if expected.ends_with(" N") => place.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned() + "N",
        place => place,
    };
    let told: Vec<_> = report.findings().iter().map(|finding| (place(finding), finding.container())).collect();
    let wanted = (expected.replace('*', "***TOKEN***"), *container);
    assert!(told.contains(&wanted), "{row}: {told:?} lacks {wanted:?}");
    // Names and extra fields occur in a zip's directory, too.
    let twice = ["same name twice", "any platform", "zip, name", "zip, extra field"];
    let expected_findings = 1 + usize::from(twice.contains(row));
    assert_eq!(told.len(), expected_findings, "{row}: {told:?}");
    // These two rows change a blob after its manifest was written.
    if !["behind a packed layer", "gzip header of a layer"].contains(row) {
        assert_eq!(report.not_searched(), [], "{row}");
    }
}

fn layer(layer: Layer) -> Archive {
    Image::new().layer(layer, "COPY . /").docker_legacy("shop:1")
}

fn configured(change: impl FnOnce(&mut serde_json::Value)) -> Archive {
    Image::new().layer(Layer::new().file("a", "x"), "COPY a /").configured(change).oci()
}

/// Makes one tar header, changes it, and corrects its checksum.
fn changed(entry: Layer, change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut tar = entry.tar();
    tar.truncate(tar.len() - 1024);
    change(&mut tar[..512]);
    tar[148..156].copy_from_slice(b"        ");
    let sum: u32 = tar[..512].iter().map(|byte| u32::from(*byte)).sum();
    tar[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    tar
}

fn outer(token: &Canary) -> Vec<Plant> {
    let (text, value) = (token.text(), token.value());
    let plant = |row, archive, place| Plant { row, archive, place, container: None };
    let named = |prefix: &str| format!("{prefix}{text}");
    let in_field = |at: usize| {
        let entry = changed(Layer::new().file("a", "x"), |header| header[at..at + value.len()].copy_from_slice(value));
        Layer::new().bytes(&entry).file("b", "x")
    };
    let mut packed = Image::new().packed_layer(Layer::new().file("a", "x"), Compression::Gzip, "COPY a /").oci();
    let blob = packed.names().next().expect("what the test made itself").to_owned();
    let bytes = packed.get(&blob).expect("what the test made itself").to_vec();
    packed.replace(&blob, [bytes.as_slice(), value].concat());
    let mut with_header = packed.clone();
    let tar = Layer::new().file("a", "x").tar();
    with_header.replace(&blob, pack::gzip_with_fields(&tar, b"none", value, b"none"));
    let sparse_block = changed(Layer::new().entry(b"sparse", b'S', b"", value), |header| {
        // The file has one piece, at 1 MiB.
        header[386..398].copy_from_slice(b"00004000000\0");
        header[398..410].copy_from_slice(b"00000000040\0");
    });
    let twice = Layer::new().file("same", value).file("same", value);
    let mut index = Index::new()
        .platform("linux/amd64", Image::new().layer(Layer::new().file("a", value), "COPY a /"))
        .platform("linux/arm64", Image::new().layer(Layer::new().file("b", value), "COPY b /"))
        .oci();
    let any_platform = index.clone();
    let mut annotated: serde_json::Value =
        serde_json::from_slice(index.get("index.json").expect("what the test made itself"))
            .expect("what the test made itself");
    annotated["manifests"][0]["annotations"] = json!({"org.example.token": text});
    index = Image::new().layer(Layer::new().file("a", "x"), "COPY a /").oci();
    let mut of_index: serde_json::Value =
        serde_json::from_slice(index.get("index.json").expect("what the test made itself"))
            .expect("what the test made itself");
    of_index["manifests"][0]["annotations"] = annotated["manifests"][0]["annotations"].clone();
    index.replace("index.json", of_index.to_string());
    vec![
        plant("file", layer(Layer::new().file("etc/token", value)), "content /etc/token"),
        plant("file name", layer(Layer::new().file(&named("srv/"), "x")), "header /srv/*"),
        plant("folder name", layer(Layer::new().directory(&named("srv/"))), "header /srv/*/"),
        plant("symbolic link", layer(Layer::new().symlink("link", text)), "header /link"),
        plant("hard link", layer(Layer::new().hard_link("link", text)), "header /link"),
        plant("whiteout", layer(Layer::new().whiteout(&named("srv/"))), "header /srv/.wh.*"),
        plant(
            "extended attribute",
            layer(Layer::new().file_with_attribute("a", "user.token", value, "x")),
            "header /a",
        ),
        plant("PAX comment", layer(Layer::new().pax(b'x', &[("comment", value)]).file("a", "x")), "header /a"),
        plant("PAX global record", layer(Layer::new().pax(b'g', &[("comment", value)]).file("a", "x")), "header /a"),
        plant("owner name", layer(in_field(265).file("c", "x")), "header /a"),
        plant(
            "long name",
            layer(Layer::new().file(&named(&"folder/".repeat(40)), "x")),
            "header /folder/folder/folder/folder/folder/folder/folder/folder/folder/folder/folder/folder/folder/folder/\
             folder/folder/folder/folder/folder/folder/folder/folder/folder/folder/folder/folder/folder/folder/folder/\
             folder/folder/folder/folder/folder/folder/folder/folder/folder/folder/folder/*",
        ),
        // After the fields of a header, there are at least twelve unused bytes; only devices have numbers there.
        plant("header padding", layer(in_field(400)), "header /a"),
        plant(
            "file padding",
            layer(
                Layer::new()
                    .header(b"a", b'0', b"", 1)
                    .bytes(&[b"x", value, &vec![0; 511 - value.len()]].concat())
                    .file("b", "x"),
            ),
            "bytes /a",
        ),
        plant("behind the tar", layer(Layer::new().file("a", "x").after_end(value)), "bytes /a"),
        plant("behind a packed layer", packed, "packed"),
        plant(
            "behind a broken header",
            layer(Layer::new().file("a", "x").bytes(&[b'#'; 512]).file("behind", value)),
            "content /behind",
        ),
        plant("link with content", layer(Layer::new().entry(b"link", b'2', b"target", value)), "content /link"),
        plant("GNU sparse file", layer(Layer::new().bytes(&sparse_block)), "content /sparse"),
        plant(
            "PAX sparse file",
            layer(
                Layer::new()
                    .pax(
                        b'x',
                        &[("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.name", b"sparse")],
                    )
                    .file("GNUSparseFile.0/sparse", [b"1\n1048576\n32\n", value].concat()),
            ),
            "content /sparse",
        ),
        plant("same name twice", layer(twice), "content /same"),
        plant("gzip header of a layer", with_header, "gzip-header"),
        plant(
            "config: Env",
            configured(|config| config["config"]["Env"] = json!(["A=b", format!("TOKEN={text}")])),
            "document config /config/Env/1",
        ),
        plant(
            "config: Cmd",
            configured(|config| config["config"]["Cmd"] = json!(["run", text])),
            "document config /config/Cmd/1",
        ),
        plant(
            "config: Labels",
            configured(|config| config["config"]["Labels"] = json!({"key": text})),
            "document config /config/Labels/key",
        ),
        plant(
            "config: Healthcheck",
            configured(|config| config["config"]["Healthcheck"] = json!({"Test": ["CMD", text]})),
            "document config /config/Healthcheck/Test/1",
        ),
        plant(
            "config: OnBuild",
            configured(|config| config["config"]["OnBuild"] = json!([format!("RUN echo {text}")])),
            "document config /config/OnBuild/0",
        ),
        plant(
            "config: anything",
            configured(|config| config["vendor"] = json!({"deep": [{"er": text}]})),
            "document config /vendor/deep/0/er",
        ),
        plant(
            "history: created_by",
            Image::new().layer(Layer::new().file("a", "x"), &format!("RUN login {text}")).oci(),
            "document config /history/0/created_by",
        ),
        plant(
            "history: comment",
            configured(|config| config["history"][0]["comment"] = json!(text)),
            "document config /history/0/comment",
        ),
        plant("author", configured(|config| config["author"] = json!(text)), "document config /author"),
        plant(
            "manifest annotation",
            Image::new().layer(Layer::new().file("a", "x"), "COPY a /").annotation("note", text).oci(),
            "document manifest /annotations/note",
        ),
        plant("index annotation", index, "document index /manifests/0/annotations/org.example.token"),
        plant(
            "attestation",
            Index::new()
                .platform("linux/amd64", Image::new().layer(Layer::new().file("a", "x"), "COPY a /"))
                .attestation(json!({"predicate": {"invocation": {"parameters": {"TOKEN": text}}}}))
                .oci(),
            "document attestation /predicate/invocation/parameters/TOKEN",
        ),
        plant("any platform", any_platform, "content /b"),
    ]
}

/// Makes the rows of all containers.
fn inner(token: &Canary) -> Vec<Plant> {
    let value = token.value();
    let text = [b"some text before ", value, b" and some behind, so that there is something to pack: "].concat();
    let text = [text.as_slice(), &b"aaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbbbbb ".repeat(9)].concat();
    let text = text.as_slice();
    let tar = Layer::new().file("etc/token", text).tar();
    let plant = |row, bytes: Vec<u8>, place, container| Plant {
        row,
        archive: layer(Layer::new().file("before", "x").file("f", bytes).file("behind", "x")),
        place,
        container: Some(container),
    };
    let long = [b"the first version of a file; ".repeat(9).as_slice(), b"its end"].concat();
    let cut = long.len() - 7;
    // The first version already contains the value's first half, so the difference between the versions contains only
    // the second half.
    let (head, tail) = value.split_at(value.len() / 2);
    let first = [&long[..cut], head].concat();
    let second = [&first, tail, b" and more"].concat();
    let saved = Image::new().packed_layer(Layer::new().file("app/token", text), Compression::Gzip, "COPY . /");
    vec![
        plant("gzip", pack::gzip(text), "content /f", Container::Gzip),
        plant("gzip members", [pack::gzip(b"one"), pack::gzip(text)].concat(), "content /f", Container::Gzip),
        plant("zlib", pack::zlib(text), "content /f", Container::Zlib),
        plant("git object", pack::git_loose(text), "content /f", Container::Zlib),
        plant("git object of an archive", pack::git_loose(&tar), "content /f!etc/token", Container::Tar),
        plant("zstd", pack::zstd(text), "content /f", Container::Zstd),
        plant(
            "zstd frames",
            [b"\x50\x2a\x4d\x18\x04\0\0\0skip".as_slice(), &pack::zstd(b"one"), &pack::zstd(text)].concat(),
            "content /f",
            Container::Zstd,
        ),
        plant("xz", pack::xz(text), "content /f", Container::Xz),
        plant(
            "xz streams",
            [pack::xz(b"one").as_slice(), &[0; 8], &pack::xz(text)].concat(),
            "content /f",
            Container::Xz,
        ),
        plant("lzma", pack::lzma(text), "content /f", Container::Lzma),
        plant("lzip", pack::lzip(text), "content /f", Container::Lzip),
        plant("bzip2", pack::bzip2(text), "content /f", Container::Bzip2),
        plant("bzip2 streams", [pack::bzip2(b"one"), pack::bzip2(text)].concat(), "content /f", Container::Bzip2),
        plant("tar", tar.clone(), "content /f!etc/token", Container::Tar),
        plant("packed tar", pack::xz(&tar), "content /f!etc/token", Container::Tar),
        plant(
            "zip",
            Zip::new().deflated("a", b"x").deflated("etc/token", text).bytes(),
            "content /f!etc/token",
            Container::Zip,
        ),
        plant("zip, stored", Zip::new().stored("etc/token", text).bytes(), "content /f!etc/token", Container::Zip),
        plant(
            "zip, streamed",
            Zip::new().streamed("a", b"x").streamed("t", text).bytes(),
            "content /f!t",
            Container::Zip,
        ),
        plant("zip, hidden", Zip::new().hidden("t", text).deflated("a", b"x").bytes(), "content /f!t", Container::Zip),
        plant(
            "zip, bzip2",
            Zip::new().packed("t", 12, &pack::bzip2(text), text).bytes(),
            "content /f!t",
            Container::Zip,
        ),
        plant("zip, zstd", Zip::new().packed("t", 93, &pack::zstd(text), text).bytes(), "content /f!t", Container::Zip),
        plant("zip, xz", Zip::new().packed("t", 95, &pack::xz(text), text).bytes(), "content /f!t", Container::Zip),
        plant(
            "zip, LZMA",
            {
                let packed = pack::lzma(text);
                let member = [&[9, 20, 5, 0][..], &packed[..5], &packed[13..]].concat();
                Zip::new().packed("t", 14, &member, text).bytes()
            },
            "content /f!t",
            Container::Zip,
        ),
        plant("zip, name", Zip::new().deflated(token.text(), b"x").bytes(), "header /f!*", Container::Zip),
        plant("zip, extra field", Zip::new().with_fields("a", b"x", value, b"").bytes(), "header /f!a", Container::Zip),
        Plant {
            container: None,
            ..plant(
                "zip, comment of a member",
                Zip::new().with_fields("a", b"x", b"", value).bytes(),
                "content /f",
                Container::Zip,
            )
        },
        Plant {
            container: None,
            ..plant("zip, comment", Zip::new().deflated("a", b"x").comment(value).bytes(), "content /f", Container::Zip)
        },
        plant(
            "zip behind a script",
            Zip::new().stub(b"#!/usr/bin/env python3\n").deflated("t", text).bytes(),
            "content /f!t",
            Container::Zip,
        ),
        plant(
            "zip behind a program",
            pack::elf(&Zip::new().deflated("t", text).bytes()),
            "content /f!t",
            Container::Zip,
        ),
        plant(
            "zip behind a picture",
            [b"\x89PNG\r\n\x1a\n".as_slice(), &[1; 3000], &Zip::new().deflated("t", text).bytes()].concat(),
            "content /f!t",
            Container::Zip,
        ),
        plant(
            "jar in war",
            Zip::new().stored("lib/a.jar", &Zip::new().deflated("t", text).bytes()).bytes(),
            "content /f!lib/a.jar!t",
            Container::Zip,
        ),
        plant(
            "ar",
            pack::ar(&[("a", b"x"), ("a member of a long name", text)]),
            "content /f!a member of a long name",
            Container::Ar,
        ),
        plant("deb", pack::deb("etc/token", text), "content /f!data.tar.xz!etc/token", Container::Tar),
        plant("cpio", pack::cpio_newc(&[("a", b"x"), ("etc/token", text)]), "content /f!etc/token", Container::Cpio),
        plant(
            "cpio, odc",
            pack::cpio_odc(&[("a", b"x"), ("etc/token", text)]),
            "content /f!etc/token",
            Container::Cpio,
        ),
        plant(
            "initramfs",
            [pack::cpio_newc(&[("early", b"x")]).as_slice(), &[0; 600], &pack::gzip(&pack::cpio_newc(&[("t", text)]))]
                .concat(),
            "content /f!t",
            Container::Cpio,
        ),
        plant("rpm", pack::rpm(&[("etc/token", text)]), "content /f!etc/token", Container::Cpio),
        plant("7z", pack::seven_zip(&[("a", b"x"), ("etc/token", text)]), "content /f!etc/token", Container::SevenZip),
        plant("git pack", pack::git_pack(text, b"x", 0), "content /f!blob at 12", Container::GitPack),
        plant(
            "git pack, a difference",
            pack::git_pack(&first, &second, first.len()),
            "content /f!blob at N",
            Container::GitPack,
        ),
        plant("image in an image", saved.docker_legacy("app:1").tar(), "", Container::Tar),
    ]
}

#[test]
fn a_value_in_every_place_is_found_and_told_with_it() {
    let oracle = Oracle::new();
    let token = oracle.token("TOKEN");
    let plants = outer(&token);
    assert_eq!(plants.iter().map(|plant| plant.row).collect::<Vec<_>>(), PLACES.map(|(row, _)| row));
    for plant in &plants {
        check(&oracle, &token, plant);
    }
}

/// A12, A13: the value is found whatever the file's name is, and in one finding only.
#[test]
fn a_value_in_every_container_is_found_and_told_with_it() {
    let oracle = Oracle::new();
    let token = oracle.token("TOKEN");
    let plants = inner(&token);
    for (container, _) in CONTAINERS {
        assert!(plants.iter().any(|plant| plant.container == Some(container)), "{container:?} has no test");
    }
    for plant in plants.iter().filter(|plant| !plant.place.is_empty()) {
        check(&oracle, &token, plant);
    }
    // The layer's folder has a digest as its name.
    let saved = plants.iter().find(|plant| plant.row == "image in an image").expect("what the test made itself");
    let report = search(&oracle, &token, &saved.archive.tar());
    let told: Vec<_> = report.findings().iter().map(place).collect();
    assert!(told.len() == 1 && told[0].ends_with("layer.tar!app/token"), "{told:?}");
}

/// The documentation's tables have the same rows as the tests above.
#[test]
fn the_page_lists_every_place_and_every_container() {
    let page = include_str!("../../../docs/audit.md");
    let places = PLACES.map(|(place, what)| format!("| {place} | {what} |\n")).concat();
    assert!(page.contains(&places), "docs/audit.md must hold these lines:\n{places}");
    let containers = CONTAINERS.map(|(container, what)| format!("| {} | {what} |\n", container.name())).concat();
    assert!(page.contains(&containers), "docs/audit.md must hold these lines:\n{containers}");
}
