//! Compiles the entrypoint, which runs before the app in every instance, for each target that is asked for, and
//! embeds the result in prun.
//!
//! The entrypoint needs compiler flags of its own (no runtime, no libc, fixed addresses). So this script calls the
//! compiler directly and writes into its own output folder. The result depends only on the sources and the compiler:
//! paths are mapped away, and no build id is written.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The largest size of the entrypoint, in bytes.
const LARGEST: u64 = 500 * 1024;

fn main() {
    let root = Path::new(&variable("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace is there");
    let sources = root.join("crates/pshim");
    println!("cargo::rerun-if-changed={}", sources.join("src").display());
    println!("cargo::rerun-if-env-changed={}", pmake::EMBED);
    pmake::version_directives("PRUN_VERSION", &root).iter().for_each(|directive| println!("{directive}"));

    let output = PathBuf::from(variable("OUT_DIR"));
    let targets = pmake::embedded_targets(env::var(pmake::EMBED).ok().as_deref(), &variable("TARGET"));
    let entrypoints: String = targets.iter().map(|target| entrypoint(&sources, &output, target)).collect();
    fs::write(output.join("entrypoints.rs"), format!("&[{entrypoints}]"))
        .expect("the build script's folder is writable");
}

/// Compiles the entrypoint for one target, and returns the Rust expression that embeds it.
fn entrypoint(sources: &Path, output: &Path, target: &str) -> String {
    let folder = output.join(target);
    fs::create_dir_all(&folder).expect("the build script's folder is writable");
    let library = folder.join("libpshim.rlib");
    let program = folder.join("shim");

    let mut compiler = compiler(sources, target);
    compiler.args(["--crate-name=pshim", "--crate-type=rlib", "-o"]).arg(&library).arg("src/lib.rs");
    run(&mut compiler);

    let mut compiler = self::compiler(sources, target);
    compiler.args(["--crate-name=shim", "--crate-type=bin", "-C", "strip=symbols"]);
    compiler.args(linking(target).iter().flat_map(|argument| ["-C".to_owned(), argument.clone()]));
    compiler.arg("--extern").arg(format!("pshim={}", library.display()));
    compiler.arg("-o").arg(&program).arg("src/entrypoint/main.rs");
    run(&mut compiler);

    let size = fs::metadata(&program).map_or(u64::MAX, |metadata| metadata.len());
    assert!(size <= LARGEST, "the entrypoint for {target} has {size} bytes; it may have {LARGEST}");
    let platform = pmake::platform(target).unwrap_or_else(|| panic!("{} names {target}, no Linux", pmake::EMBED));
    format!("Entrypoint {{ program: include_bytes!({program:?}), platform: {platform:?} }},")
}

/// Returns the arguments that link a program without a runtime at fixed addresses. They suit a compiler driver or a
/// bare linker, whichever is set for the target.
fn linking(target: &str) -> Vec<String> {
    let linker = pmake::linker(target);
    let is_driver = linker.as_ref().is_none_or(|linker| !linker.ends_with("ld") && !linker.ends_with("lld"));
    let arguments: &[&str] = if is_driver {
        &[
            "-nostartfiles",
            "-nostdlib",
            "-static",
            "-no-pie",
            "-Wl,-z,noseparate-code,--no-eh-frame-hdr,--build-id=none,--gc-sections",
        ]
    } else {
        &["-static", "-z", "noseparate-code", "--no-eh-frame-hdr", "--build-id=none", "--gc-sections"]
    };
    let own = arguments.iter().map(|argument| format!("link-arg={argument}"));
    // For a target with a C library of its own, rustc would link the start files of that library.
    let start_files = target.ends_with("-musl").then(|| "link-self-contained=no".to_owned());
    own.chain(start_files).chain(linker.map(|linker| format!("linker={linker}"))).collect()
}

fn compiler(sources: &Path, target: &str) -> Command {
    let mut compiler = Command::new(variable("RUSTC"));
    compiler
        .current_dir(sources)
        .args(["--edition=2024", "--target", target, "--remap-path-prefix"])
        .arg(format!("{}=pshim", sources.display()))
        .args(["-C", "opt-level=z", "-C", "panic=abort", "-C", "relocation-model=static", "-C", "codegen-units=1"]);
    compiler
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}

fn run(compiler: &mut Command) {
    let status = compiler.status().expect("the compiler that compiled this script runs");
    assert!(status.success(), "the entrypoint does not compile");
}
