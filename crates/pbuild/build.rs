//! Compiles the scanner that runs inside builders, for each target that the build asks for, and embeds it.
//!
//! The scanner must run in an empty container, so it is linked statically, by a separate cargo with its own flags and
//! its own target folder. That folder lies outside of this script's own output folder, because the name of the output
//! folder changes with every dependency of `pbuild`, and then the scanner would be compiled from nothing.
//!
//! The script also names the search, by a digest of the sources that decide what the search finds. A layer that a
//! different version of the search skipped or found clean is searched again, and nobody has to count versions.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The largest scanner, in bytes. The scanner is sent to the builder in one message, and the gateway of Docker 20.10
/// accepts messages of 4 MiB; 64 KiB are kept for the rest of the message.
const LARGEST: u64 = (4 << 20) - (64 << 10);

/// The crates that decide what the search finds: forms, formats and the search itself.
const SEARCH: [&str; 4] = ["psecret", "pimage", "pscan", "plook"];

fn main() {
    let root = Path::new(&variable("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace is there");
    for crate_of_scanner in ["plook", "psecret", "pimage", "pscan"] {
        println!("cargo::rerun-if-changed={}", root.join("crates").join(crate_of_scanner).join("src").display());
        println!("cargo::rerun-if-changed={}", root.join("crates").join(crate_of_scanner).join("Cargo.toml").display());
    }
    for file in ["Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(file).display());
    }
    println!("cargo::rerun-if-env-changed={}", pmake::EMBED);
    println!("cargo::rustc-env=PBUILD_SEARCH={:016x}", digest_of_search(&root));
    pmake::version_directives("PBUILD_VERSION", &root).iter().for_each(|directive| println!("{directive}"));

    let output = PathBuf::from(variable("OUT_DIR"));
    let own = variable("TARGET");
    let folder = folder(&output, &own);
    let targets = pmake::embedded_targets(env::var(pmake::EMBED).ok().as_deref(), &own);
    let scanners: String = targets.iter().map(|target| scanner(&root, &folder, &output, target)).collect();
    fs::write(output.join("scanners.rs"), format!("&[{scanners}]")).expect("the build script's folder is writable");
}

/// Chooses the scanner's own target folder. Builds of the tools for several targets side by side share this folder.
fn folder(output: &Path, own: &str) -> PathBuf {
    let beside = output.ancestors().nth(3).unwrap_or(output);
    let shared = beside.parent().filter(|folder| folder.ends_with(own)).and_then(Path::parent);
    shared.unwrap_or(beside).join("scanner")
}

/// Compiles the scanner for one target, and returns the Rust expression that embeds it.
fn scanner(root: &Path, folder: &Path, output: &Path, target: &str) -> String {
    build(root, folder, target);
    let program = folder.join(target).join("scanner/plook");
    let size = std::fs::metadata(&program).map_or(u64::MAX, |metadata| metadata.len());
    assert!(size <= LARGEST, "the scanner for {target} has {size} bytes; it may have {LARGEST}");
    // A later build may replace the program in the shared folder, so the embedded program is a copy.
    let embedded = output.join(format!("plook-{target}"));
    std::fs::copy(&program, &embedded).expect("the build script's folder is writable");
    let platform = pmake::platform(target).unwrap_or_else(|| panic!("{} names {target}, no Linux", pmake::EMBED));
    format!("Program {{ name: NAME, bytes: include_bytes!({embedded:?}), platform: {platform:?} }},")
}

fn digest_of_search(root: &Path) -> u64 {
    let mut sources = BTreeMap::new();
    for name in SEARCH {
        collect(root, &root.join("crates").join(name).join("src"), &mut sources);
    }
    // The decoders are dependencies, so the digest covers their versions, too.
    sources.insert(PathBuf::from("Cargo.lock"), fs::read(root.join("Cargo.lock")).unwrap_or_default());
    let mut hasher = DefaultHasher::new();
    sources.hash(&mut hasher);
    hasher.finish()
}

fn collect(root: &Path, folder: &Path, sources: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).expect("a folder of sources").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(root, &path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root).expect("below the root").to_owned();
            sources.insert(name, fs::read(&path).expect("a readable source"));
        }
    }
}

fn build(root: &Path, folder: &Path, target: &str) {
    let cargo_home = env::var("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|_| env::var("HOME").map(|home| Path::new(&home).join(".cargo")));
    let mut flags = vec![
        "-Ctarget-feature=+crt-static".to_owned(),
        "-Crelocation-model=static".to_owned(),
        format!("--remap-path-prefix={}=", root.display()),
    ];
    flags.extend(cargo_home.map(|home| format!("--remap-path-prefix={}=", home.display())));
    let mut cargo = Command::new(variable("CARGO"));
    cargo
        .current_dir(root)
        .args(["build", "--locked", "--offline", "--package", "plook", "--bin", "plook", "--profile", "scanner"])
        .args(["--target", target, "--target-dir"])
        .arg(folder)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    // The outer cargo sets these variables for its own build, and they must not change the scanner's.
    for name in [
        "RUSTC",
        "RUSTDOC",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTFLAGS",
        "CARGO_TARGET_DIR",
        "CARGO_BUILD_TARGET",
        "CLIPPY_ARGS",
        "CLIPPY_CONF_DIR",
        "TARGET",
        "CARGO_MAKEFLAGS",
    ] {
        cargo.env_remove(name);
    }
    let status = cargo.status().expect("the cargo that runs this script runs");
    assert!(status.success(), "the scanner does not compile");
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}
