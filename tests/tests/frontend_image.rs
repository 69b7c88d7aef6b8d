//! The frontend image as a file: the same program gives the same bytes every time, for one architecture and for
//! several.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use ptest::{Archive, sha256};
use serde_json::Value;

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/program-image")
}

/// Makes an image of these programs, in a new folder.
fn make(programs: &[(&str, &[u8])]) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(script());
    command.args(["frontend", "pbuild/frontend:1", "image.tar"]).current_dir(folder.path());
    for (architecture, bytes) in programs {
        fs::write(folder.path().join(architecture), bytes).expect("a file");
        command.arg(format!("{architecture}={architecture}"));
    }
    let output = command.output().expect("the script runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::read(folder.path().join("image.tar")).expect("an archive")
}

fn read(bytes: &[u8]) -> Archive {
    let mut archive = Archive::new();
    for entry in tar::Archive::new(bytes).entries().expect("a tar") {
        let mut entry = entry.expect("an entry");
        let name = String::from_utf8(entry.path_bytes().into_owned()).expect("a name");
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("memory takes every byte");
        archive.add(&name, bytes);
    }
    archive
}

fn document(archive: &Archive, name: &str) -> Value {
    serde_json::from_slice(archive.get(name).unwrap_or_else(|| panic!("no {name}"))).expect("JSON")
}

fn blob(descriptor: &Value) -> String {
    format!("blobs/{}", descriptor["digest"].as_str().expect("a digest").replacen(':', "/", 1))
}

#[test]
fn one_program_makes_the_same_bytes_each_time() {
    let program = b"a program\0of some bytes".repeat(1000);
    let first = make(&[("amd64", &program)]);
    // The archive does not depend on the clock.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert!(first == make(&[("amd64", &program)]), "the archives differ");
    assert!(first != make(&[("amd64", b"another program")]));
}

/// A registry gets an index with one image for each architecture, and every blob is stored under its digest.
#[test]
fn the_index_lists_an_image_for_each_machine() {
    let [intel, arm] = [b"for amd64".repeat(99), b"for arm64".repeat(99)];
    let archive = read(&make(&[("amd64", &intel), ("arm64", &arm)]));
    for name in archive.names().filter(|name| name.starts_with("blobs/sha256/")) {
        let digest = sha256(archive.get(name).expect("a blob"));
        assert_eq!(digest.trim_start_matches("sha256:"), name.trim_start_matches("blobs/sha256/"));
    }
    let index = document(&archive, &blob(&document(&archive, "index.json")["manifests"][0]));
    for (number, (architecture, program)) in [("amd64", &intel), ("arm64", &arm)].into_iter().enumerate() {
        let image = &index["manifests"][number];
        assert_eq!(image["platform"], serde_json::json!({"architecture": architecture, "os": "linux"}));
        let manifest = document(&archive, &blob(image));
        let configuration = document(&archive, &blob(&manifest["config"]));
        assert_eq!(configuration["architecture"], architecture);
        assert_eq!(configuration["config"]["Entrypoint"][0], "/pfrontend");
        let layer = archive.get(&blob(&manifest["layers"][0])).expect("a layer");
        assert_eq!(configuration["rootfs"]["diff_ids"][0], sha256(layer));
        let layer = read(layer);
        assert_eq!(layer.names().collect::<Vec<_>>(), ["pfrontend"]);
        assert!(layer.get("pfrontend") == Some(program.as_slice()), "{architecture}");
    }
    // The docker archive inside is that of the first architecture.
    let manifest = document(&archive, "manifest.json");
    assert_eq!(manifest[0]["RepoTags"][0], "pbuild/frontend:1");
    let configuration = document(&archive, manifest[0]["Config"].as_str().expect("a name"));
    assert_eq!(configuration["architecture"], "amd64");
}
