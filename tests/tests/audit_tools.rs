//! The audit reads archives of the usual tools, and the usual tools read the archives of the tests' own generators.
//! Together these tests show that neither our readers nor our generators have a dialect of their own.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use ptest::Scene;
use ptest::pack::{self, Zip};
use serde_json::json;

/// Runs a line of shell in a folder.
fn shell(folder: &Path, line: &str) -> String {
    let output = Command::new("/bin/sh")
        .args(["-euc", line])
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .stdin(Stdio::null())
        .output()
        .expect("a shell");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The command by which each tool packs the folder `in`, which contains the value in the file `one`, and the place
/// that an audit names.
const PACKERS: &[(&str, &str, &str)] = &[
    ("gnu.tar", "tar -C in --format=gnu -cf out/gnu.tar .", "/gnu.tar!./one"),
    ("pax.tar", "tar -C in --format=pax -cf out/pax.tar one two", "/pax.tar!one"),
    ("tar.gz", "tar -C in -czf out/tar.gz .", "/tar.gz!./one"),
    ("tar.bz2", "tar -C in -cjf out/tar.bz2 .", "/tar.bz2!./one"),
    ("tar.xz", "tar -C in -cJf out/tar.xz .", "/tar.xz!./one"),
    ("tar.zst", "tar -C in --zstd -cf out/tar.zst .", "/tar.zst!./one"),
    ("gz", "gzip -9c in/one >out/gz", "/gz"),
    ("bz2", "bzip2 -1c in/one >out/bz2", "/bz2"),
    ("xz", "xz --check=sha256 -9ec in/one >out/xz", "/xz"),
    ("lzma", "xz --format=lzma -c in/one >out/lzma", "/lzma"),
    ("lz", "lzip -9c in/one >out/lz", "/lz"),
    ("zst", "zstd -q -19 --long=24 -c in/one >out/zst", "/zst"),
    (
        "deflated",
        "cd in && zip -Xq ../out/deflated.zip one two && mv ../out/deflated.zip ../out/deflated",
        "/deflated!one",
    ),
    ("stored", "cd in && zip -Xq0 ../out/stored.zip one two && mv ../out/stored.zip ../out/stored", "/stored!one"),
    ("bzipped", "cd in && zip -Xq -Z bzip2 ../out/b.zip one && mv ../out/b.zip ../out/bzipped", "/bzipped!one"),
    ("streamed", "cd in && zip -Xq - one two >../out/streamed", "/streamed!one"),
    ("ar", "cd in && ar rc ../out/ar one two", "/ar!one"),
    ("newc", "cd in && ls | cpio -o -H newc --quiet >../out/newc", "/newc!one"),
    ("odc", "cd in && ls | cpio -o -H odc --quiet >../out/odc", "/odc!one"),
    ("crc", "cd in && ls | cpio -o -H crc --quiet >../out/crc", "/crc!one"),
    ("7z", "7z a -bd -y out/7z.7z ./in/one ./in/two && mv out/7z.7z out/7z", "/7z!one"),
    ("7z-lzma", "7z a -bd -y -m0=LZMA out/l.7z ./in/one && mv out/l.7z out/7z-lzma", "/7z-lzma!one"),
    (
        "git",
        "git init -q repository && cp in/one in/two repository && cd repository && git config user.name a && \
         git config user.email a@b.example && git add . && git commit -qm one && find .git/objects -type f -size -2 | \
         while read -r object; do cp \"$object\" ../out/loose-$(basename \"$object\"); done && git gc -q && \
         cp .git/objects/pack/*.pack ../out/git",
        "/git!",
    ),
];

/// A12: an audit finds the value inside of every archive of the usual tools.
#[test]
fn what_the_usual_tools_pack_is_found_inside() {
    let scene = Scene::new();
    let token = scene.oracle().token("TOKEN");
    // The text is so long that every packer compresses it.
    let text = format!("key = {}\n{}", token.text(), "a line of something else\n".repeat(40));
    scene.write_secret("in/one", &text);
    scene.write("in/two", "nothing\n".repeat(100));
    let (folder, out) = (scene.project(), scene.project().join("out"));
    fs::create_dir(&out).expect("a folder");
    scene.allow(&out);
    let repository = folder.join("repository");
    scene.allow(&repository);
    for (_, line, _) in PACKERS {
        let _ = shell(&folder, line);
    }
    let audit = scene.pbuild().args(["audit", "--secret", "id=TOKEN", "--format", "json", "dir:out"]);
    let outcome = audit.env("TOKEN", token.text()).run();
    let report = outcome.expect_code(10).json();
    assert_eq!((&report["not_searched"], &report["damaged"]), (&json!([]), &json!([])), "{report}");
    let paths: Vec<&str> = report["findings"]
        .as_array()
        .expect("findings")
        .iter()
        .filter_map(|finding| finding["path"].as_str())
        .collect();
    for (name, _, place) in PACKERS {
        let is_there =
            if place.ends_with('!') { paths.iter().any(|path| path.starts_with(place)) } else { paths.contains(place) };
        assert!(is_there, "{name}: {place} is not among {paths:#?}");
    }
    assert!(paths.iter().any(|path| path.starts_with("/loose-")), "{paths:#?}");
}

/// The tool of each format reads the right content from the archives of our generators.
#[test]
fn the_usual_tools_read_what_tests_are_made_of() {
    let scene = Scene::new();
    let text = "the text\n".repeat(30);
    let members = [("one", text.as_bytes()), ("a-name-that-is-longer-than-fifteen", &b"two"[..])];
    let pairs: &[(&str, Vec<u8>, &str)] = &[
        ("gz", pack::gzip(text.as_bytes()), "gzip -dc gz"),
        ("fields", pack::gzip_with_fields(text.as_bytes(), b"extra", b"name", b"comment"), "gzip -dc fields"),
        ("bz2", pack::bzip2(text.as_bytes()), "bzip2 -dc bz2"),
        ("xz", pack::xz(text.as_bytes()), "xz -dc xz"),
        ("lzma", pack::lzma(text.as_bytes()), "xz --format=lzma -dc lzma"),
        ("lz", pack::lzip(text.as_bytes()), "lzip -dc lz"),
        ("zst", pack::zstd(text.as_bytes()), "zstd -qdc zst"),
        ("zip", Zip::new().deflated("one", text.as_bytes()).bytes(), "unzip -p zip one"),
        ("ar", pack::ar(&members), "ar p ar one"),
        ("newc", pack::cpio_newc(&members), "cpio -i --quiet --to-stdout one <newc"),
        ("odc", pack::cpio_odc(&members), "cpio -i --quiet --to-stdout one <odc"),
        ("7z", pack::seven_zip(&members), "7z e -so -bd 7z one"),
        ("deb", pack::deb("./one", text.as_bytes()), "dpkg-deb --fsys-tarfile deb | tar -xOf - ./one"),
    ];
    for (name, bytes, line) in pairs {
        scene.write(name, bytes);
        assert_eq!(shell(&scene.project(), line), text, "{name}");
    }
    // git reads a pack by its index, and for that the checksum at the end of the pack must be right.
    let mut packed = pack::git_pack(text.as_bytes(), format!("{text}more").as_bytes(), 100);
    packed.truncate(packed.len() - 20);
    scene.write("unnamed", &packed);
    let line = "git init -q read && cp unnamed named && sha1sum <unnamed | cut -d ' ' -f 1 | xxd -r -p >>named && \
                cd read && git unpack-objects -q <../named && git cat-file --batch-all-objects --batch-check";
    let objects = shell(&scene.project(), line);
    assert_eq!(objects.lines().filter(|line| line.contains(" blob ")).count(), 2, "{objects}");
    scene.write("loose", pack::git_loose(text.as_bytes()));
    let line = "cd read && id=$(printf '%s' \"$(cat ../text; printf x)\" | sed '$s/x$//' | git hash-object --stdin) && \
                mkdir -p .git/objects/${id%${id#??}} && cp ../loose .git/objects/${id%${id#??}}/${id#??} && git cat-file -p $id";
    scene.write("text", &text);
    assert_eq!(shell(&scene.project(), line), text);
}

/// A12: databases are searched as plain bytes. SQLite divides long rows into numbered pages, so a value that a page
/// boundary cuts is not found, as docs/limits.md says. All other rows are found, even deleted ones.
#[test]
fn rows_of_sqlite_are_found_but_for_those_that_a_page_cuts() {
    let scene = Scene::new();
    let token = scene.oracle().token("TOKEN");
    let value = scene.write_secret("value", token.text());
    fs::create_dir(scene.project().join("out")).expect("a folder");
    scene.allow(scene.project().join("out"));
    let program = "import sqlite3
value = open('value').read()
base = sqlite3.connect('out/base.db')
base.execute('PRAGMA page_size = 512')
base.execute('CREATE TABLE t (number INTEGER PRIMARY KEY, text TEXT)')
for number in range(300):
    base.execute('INSERT INTO t VALUES (?, ?)', (number, 'x' * number + value + 'y' * (1500 - number)))
base.commit()
base.execute('DELETE FROM t WHERE number % 2 = 0')
base.commit()
";
    scene.write("make.py", program);
    let _ = shell(&scene.project(), "python3 make.py");
    fs::remove_file(value).expect("a file of the test");
    let bytes = fs::read(scene.project().join("out/base.db")).expect("a database");
    let whole = bytes.windows(token.value().len()).filter(|window| *window == token.value()).count();
    assert!((100..300).contains(&whole), "some rows are cut and some are not: {whole}");
    let audit = scene.pbuild().args(["audit", "--secret", "id=TOKEN", "--format", "json", "dir:out"]);
    let report = audit.env("TOKEN", token.text()).run().expect_code(10).json();
    let times: u64 =
        report["findings"].as_array().expect("findings").iter().filter_map(|one| one["times"].as_u64()).sum();
    assert_eq!(times, whole as u64, "{report}");
}
