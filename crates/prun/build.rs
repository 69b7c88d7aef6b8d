//! Compiles the entrypoint that is put before the app, and embeds it.
//!
//! It needs flags of its own (no runtime, no libc, fixed addresses), so the compiler is called directly, into the build
//! script's own folder. The result depends on the sources and the compiler alone: paths are mapped away and no build id
//! is written.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The most that the entrypoint may weigh.
const LARGEST: u64 = 500 * 1024;

fn main() {
    let sources = Path::new(&variable("CARGO_MANIFEST_DIR")).join("../pshim");
    println!("cargo::rerun-if-changed={}", sources.join("src").display());
    let folder = PathBuf::from(variable("OUT_DIR"));
    let library = folder.join("libpshim.rlib");
    let program = folder.join("shim");

    let mut compiler = compiler(&sources);
    compiler.args(["--crate-name=pshim", "--crate-type=rlib", "-o"]).arg(&library).arg("src/lib.rs");
    run(&mut compiler);

    let mut compiler = self::compiler(&sources);
    compiler.args(["--crate-name=shim", "--crate-type=bin", "-C", "strip=symbols"]);
    for argument in [
        "-nostartfiles",
        "-nostdlib",
        "-static",
        "-no-pie",
        "-Wl,-z,noseparate-code,--no-eh-frame-hdr,--build-id=none,--gc-sections",
    ] {
        compiler.args(["-C", &format!("link-arg={argument}")]);
    }
    compiler.arg("--extern").arg(format!("pshim={}", library.display()));
    compiler.arg("-o").arg(&program).arg("src/entrypoint/main.rs");
    run(&mut compiler);

    let size = std::fs::metadata(&program).map_or(u64::MAX, |metadata| metadata.len());
    assert!(size <= LARGEST, "the entrypoint has {size} bytes; it may have {LARGEST}");
    println!("cargo::rustc-env=PRUN_SHIM={}", program.display());
    println!("cargo::rustc-env=PRUN_SHIM_ARCHITECTURE={}", variable("CARGO_CFG_TARGET_ARCH"));
}

fn compiler(sources: &Path) -> Command {
    let mut compiler = Command::new(variable("RUSTC"));
    compiler
        .current_dir(sources)
        .args(["--edition=2024", "--target", &variable("TARGET"), "--remap-path-prefix"])
        .arg(format!("{}=pshim", sources.display()))
        .args(["-C", "opt-level=z", "-C", "panic=abort", "-C", "relocation-model=static", "-C", "codegen-units=1"]);
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        compiler.args(["-C", &format!("linker={linker}")]);
    }
    compiler
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}

fn run(compiler: &mut Command) {
    let status = compiler.status().expect("the compiler that compiled this script runs");
    assert!(status.success(), "the entrypoint does not compile");
}
